//! What Postgres spells in a way that DataFusion 55 does not know, or takes for something else: `FETCH FIRST`, `U&'...'`, a function that returns rows in
//! a SELECT list, TABLESAMPLE.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArguments, Ident, LimitClause, ObjectName, Query, SelectItem, SetExpr, Statement, TableFactor, Value, ValueWithSpan,
    VisitMut, VisitorMut,
};

use crate::error::{Result, SqlError};

/// Brings a statement into DataFusion's spelling.
///
/// # Errors
/// 0A000 for what has no spelling there.
pub fn read(statement: &mut Statement) -> Result<()> {
    match statement.visit(&mut Speller) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(e) => Err(*e),
    }
}

struct Speller;

impl VisitorMut for Speller {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        if let Err(e) = fetch(query) {
            return ControlFlow::Break(Box::new(e));
        }
        if let SetExpr::Select(select) = query.body.as_mut() {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } = item {
                    unnest(e);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        match factor {
            // DataFusion reads over it, and answers with every row.
            TableFactor::Table { sample: Some(_), .. } => ControlFlow::Break(Box::new(
                SqlError::unsupported("TABLESAMPLE").hint("remote_query('connector', $$ ... $$) runs it at the source."),
            )),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_value(&mut self, v: &mut ValueWithSpan) -> ControlFlow<Self::Break> {
        if let Value::UnicodeStringLiteral(text) = &mut v.value {
            v.value = Value::SingleQuotedString(std::mem::take(text));
        }
        ControlFlow::Continue(())
    }
}

/// `FETCH FIRST n ROWS ONLY` is LIMIT n; without a number it is one row.
fn fetch(query: &mut Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.with_ties {
        return Err(SqlError::unsupported("FETCH FIRST ... WITH TIES").hint("rank() OVER (ORDER BY ...) in a subquery finds the ties."));
    }
    if fetch.percent {
        return Err(SqlError::unsupported("FETCH FIRST ... PERCENT"));
    }
    let most = fetch.quantity.unwrap_or_else(|| Expr::value(Value::Number("1".into(), false)));
    match &mut query.limit_clause {
        None => query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(most), offset: None, limit_by: vec![] }),
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(most),
        Some(_) => return Err(SqlError::syntax("multiple LIMIT clauses not allowed")),
    }
    Ok(())
}

/// `SELECT generate_series(1, 3)` has three rows; DataFusion's function of that name returns them as one list.
fn unnest(e: &mut Expr) {
    let returns_rows = match e {
        Expr::Function(f) => {
            let name = f.name.0.last().and_then(|p| p.as_ident());
            name.is_some_and(|n| n.value.eq_ignore_ascii_case("generate_series"))
                && f.over.is_none()
                && matches!(f.args, FunctionArguments::List(_))
        }
        _ => false,
    };
    if returns_rows {
        let rows = std::mem::replace(e, Expr::value(Value::Null));
        *e = call("unnest", rows);
    }
}

fn call(name: &str, argument: Expr) -> Expr {
    use sqlparser::ast::{Function, FunctionArg, FunctionArgExpr, FunctionArgumentList};
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
