//! What clients write and DataFusion cannot plan, rewritten on the syntax tree before planning. Never on text.
//!
//! In this order: [`expressions`] turns Postgres's spellings into plain ones (`OPERATOR(pg_catalog.~)`, `COLLATE`, `'t'::regclass`, functions named
//! with their schema); [`empty`] takes out what reads relations that never have rows in Fjord; [`subqueries`] turns correlated scalar subqueries over
//! the catalog into left joins; [`output`] makes the outermost SELECT print names for OIDs of objects. Before all,
//! [`typing`] marks what would lose its Postgres type. Only queries over the catalog are reshaped:
//! what reads a user's tables passes through the first step alone.

mod build;
mod conditions;
mod empty;
mod expressions;
mod output;
mod scope;
mod subqueries;
mod typing;

use std::ops::ControlFlow;

use sqlparser::ast::{Query, SetExpr, Statement, VisitMut, VisitorMut};

/// Rewrites a statement.
pub fn rewrite(statement: &mut Statement) {
    if let Statement::Query(query) = statement {
        typing::mark(query);
        output::unshadow(query);
    }
    let _ = statement.visit(&mut expressions::Expressions);
    let _ = statement.visit(&mut Queries { counter: 0 });
    if let Statement::Query(query) = statement {
        output::print_names(&mut query.body);
    }
}

/// Reshapes queries from the inside out.
struct Queries {
    /// Numbers the joined subqueries of one statement.
    counter: usize,
}

impl VisitorMut for Queries {
    type Break = ();

    /// On the way in: an outer query that reads nothing makes its subqueries moot.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        each_select(&mut query.body, &mut |s| {
            scope::qualify(s);
            empty::prune(s);
            subqueries::arrays(s);
            subqueries::exists(s);
        });
        ControlFlow::Continue(())
    }
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let counter = &mut self.counter;
        each_select(&mut query.body, &mut |s| subqueries::join(s, counter));
        ControlFlow::Continue(())
    }
}

/// Every SELECT of a body, without those of nested queries.
fn each_select(body: &mut SetExpr, f: &mut dyn FnMut(&mut sqlparser::ast::Select)) {
    match body {
        SetExpr::Select(s) => f(s),
        SetExpr::SetOperation { left, right, .. } => {
            each_select(left, f);
            each_select(right, f);
        }
        // A parenthesized query is visited as a query of its own.
        _ => {}
    }
}
