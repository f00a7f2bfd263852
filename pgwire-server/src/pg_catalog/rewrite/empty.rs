//! Relations that never have rows in Fjord (policies, triggers, publications, partitions, extended statistics...).
//!
//! A SELECT that inner-joins one returns nothing, so what its output computes is never computed: its subqueries become NULL. A scalar subquery that
//! reads one is NULL, ARRAY over one is empty. That settles the parts of psql's `\d` that DataFusion cannot plan.

use std::ops::ControlFlow;

use sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CaseWhen, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, JoinOperator, Query,
    Select, SetExpr, TableFactor, TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::build::{bare, call, cast, folded, last, null};
use super::scope::system_relation;
use super::typing;
use crate::pg_catalog::columns::{Relation, Schema};
use crate::pg_catalog::{information_schema, relations};

/// Takes subqueries out of a SELECT.
pub fn prune(select: &mut Select) {
    let nothing = reads_nothing(select);
    let mut visitor = Prune { all: nothing };
    let _ = VisitMut::visit(&mut select.projection, &mut visitor);
    visitor.all = false;
    let _ = VisitMut::visit(&mut select.selection, &mut visitor);
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
            Expr::Subquery(q) if self.all || no_rows(q) => *expr = nothing(q),
            Expr::Function(f) if last(&f.name).as_deref() == Some("array") => {
                if let FunctionArguments::Subquery(q) = &f.args {
                    if self.all || no_rows(q) || unnests_null(q) {
                        *expr = empty_array();
                    } else if let Some(options) = options_of(q) {
                        *expr = call("fjord_option_list", vec![options]);
                    }
                }
            }
            Expr::Case { operand: None, conditions, .. } => conditions.iter_mut().for_each(absent_kind),
            Expr::CompoundFieldAccess { .. } if self.all => *expr = null(DataType::Text),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Columns that are always NULL in Fjord: nothing has storage options or access lists.
const ALWAYS_NULL: &[&str] = &["reloptions", "attoptions", "attfdwoptions", "spcoptions", "fdwoptions", "umoptions", "evttags"];

/// Whether a query reads `unnest` of a column that is always NULL.
fn unnests_null(query: &Query) -> bool {
    let SetExpr::Select(s) = query.body.as_ref() else { return false };
    let [TableWithJoins { relation: TableFactor::UNNEST { array_exprs, .. }, joins }] = s.from.as_slice() else { return false };
    let name = match array_exprs.as_slice() {
        [Expr::Identifier(i)] => folded(i),
        [Expr::CompoundIdentifier(parts)] => parts.last().map(folded).unwrap_or_default(),
        _ => return false,
    };
    joins.is_empty() && ALWAYS_NULL.contains(&name.as_str())
}

/// What `SELECT quote_ident(option_name) || ' ' || quote_literal(option_value) FROM pg_options_to_table(x)` reads: psql's way to print options.
fn options_of(query: &Query) -> Option<Expr> {
    let SetExpr::Select(s) = query.body.as_ref() else { return None };
    let [TableWithJoins { relation: TableFactor::Table { name, args: Some(args), .. }, joins }] = s.from.as_slice() else { return None };
    if !joins.is_empty() || last(name).as_deref() != Some("pg_options_to_table") || s.selection.is_some() {
        return None;
    }
    match args.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(e))] => Some(e.clone()),
        _ => None,
    }
}

/// `CASE WHEN t.typtype = 'd' THEN (subquery)`: Fjord's types are base types, arrays, ranges and pseudo-types; there are no domains or composites
/// to look into. asyncpg asks for them by recursive subqueries.
fn absent_kind(when: &mut CaseWhen) {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = bare(&when.condition) else { return };
    let column = match bare(left) {
        Expr::Identifier(i) => folded(i),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded).unwrap_or_default(),
        _ => return,
    };
    let Expr::Value(v) = bare(right) else { return };
    let Value::SingleQuotedString(kind) = &v.value else { return };
    if column != "typtype" || !matches!(kind.as_str(), "d" | "c") {
        return;
    }
    let Expr::Subquery(q) = bare(&when.result) else { return };
    when.result = null(typing::data_type(typing::of_subquery(q).as_deref().unwrap_or("oid")));
}

/// NULL in place of a subquery. Its parameters stay, so that the statement has as many as the client will send.
fn nothing(query: &Query) -> Expr {
    #[derive(Default)]
    struct Parameters(Vec<Expr>);
    impl Visitor for Parameters {
        type Break = ();
        fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
            let placeholder = |e: &Expr| matches!(e, Expr::Value(v) if matches!(v.value, Value::Placeholder(_)));
            // A cast tells the type: it comes before the parameter that it is over.
            if placeholder(e) || matches!(e, Expr::Cast { expr, .. } if placeholder(expr)) {
                self.0.push(e.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut parameters = Parameters::default();
    let _ = Visit::visit(query, &mut parameters);
    if parameters.0.is_empty() { null(DataType::Text) } else { call("fjord_nothing", parameters.0) }
}

fn empty_array() -> Expr {
    cast(Expr::Array(sqlparser::ast::Array { elem: vec![], named: true }), texts())
}
