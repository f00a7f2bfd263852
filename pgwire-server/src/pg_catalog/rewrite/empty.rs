//! Relations that never have rows in Fjord (policies, triggers, publications, partitions, extended statistics...).
//!
//! A SELECT that inner-joins one returns nothing, so what its output computes is never computed: its subqueries become NULL. A scalar subquery that
//! reads one is NULL, ARRAY over one is empty. That settles the parts of psql's `\d` that DataFusion cannot plan.

use std::ops::ControlFlow;

use sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, FunctionArguments, JoinOperator, Query, Select, SetExpr, TableFactor, VisitMut, VisitorMut,
};

use super::build::{cast, last, null};
use super::scope::system_relation;
use crate::pg_catalog::columns::{Relation, Schema};
use crate::pg_catalog::{information_schema, relations};

/// Takes subqueries out of a SELECT.
pub fn prune(select: &mut Select) {
    let nothing = reads_nothing(select);
    let mut visitor = Prune { all: nothing };
    let _ = select.projection.visit(&mut visitor);
    visitor.all = false;
    let _ = select.selection.visit(&mut visitor);
}

fn never_filled(r: &Relation) -> bool {
    match r.schema {
        Schema::PgCatalog => relations::fill(r).is_none(),
        Schema::InformationSchema => information_schema::fill(r).is_none(),
    }
}

/// Whether FROM can give no row.
fn reads_nothing(select: &Select) -> bool {
    select.from.iter().any(|t| {
        // The left side of a left join, both sides of an inner one.
        let outer_right = |o: &JoinOperator| {
            matches!(
                o,
                JoinOperator::Right(_)
                    | JoinOperator::RightOuter(_)
                    | JoinOperator::FullOuter(_)
                    | JoinOperator::RightSemi(_)
                    | JoinOperator::RightAnti(_)
            )
        };
        if t.joins.iter().any(|j| outer_right(&j.join_operator)) {
            return false;
        }
        let inner = |o: &JoinOperator| matches!(o, JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_));
        empty(&t.relation) || t.joins.iter().any(|j| inner(&j.join_operator) && empty(&j.relation))
    })
}

fn empty(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => system_relation(name).is_some_and(never_filled),
        _ => false,
    }
}

/// Whether a query's answer is no row, whatever its outer query: a plain SELECT over nothing, without aggregates over the whole.
fn no_rows(query: &Query) -> bool {
    match query.body.as_ref() {
        SetExpr::Select(s) => reads_nothing(s) && !super::subqueries::aggregates(s),
        _ => false,
    }
}

/// The type of a NULL array.
fn texts() -> DataType {
    DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::Text), None))
}

struct Prune {
    /// Every subquery, because nothing is computed.
    all: bool,
}

impl VisitorMut for Prune {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Subquery(q) if self.all || no_rows(q) => *expr = null(DataType::Text),
            Expr::Function(f) if last(&f.name).as_deref() == Some("array") => {
                if let FunctionArguments::Subquery(q) = &f.args
                    && (self.all || no_rows(q))
                {
                    *expr = empty_array();
                }
            }
            Expr::CompoundFieldAccess { .. } if self.all => *expr = null(DataType::Text),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn empty_array() -> Expr {
    cast(Expr::Array(sqlparser::ast::Array { elem: vec![], named: true }), texts())
}
