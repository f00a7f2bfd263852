//! What Postgres spells in a way that DataFusion 55 does not know, or takes for something else: `FETCH FIRST`, `U&'...'`, a function that returns rows in
//! a SELECT list, TABLESAMPLE, `localtimestamp`, AT TIME ZONE.

use std::ops::ControlFlow;

use sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArguments, Ident, LimitClause, ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, Statement,
    TableFactor, TimezoneInfo, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use crate::error::{Result, SqlError};
use crate::functions::AT_ZONE;

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

    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::AtTimeZone { timestamp, time_zone } = e {
            *e = function(AT_ZONE, vec![time_zone.as_ref().clone(), timestamp.as_ref().clone()]);
        }
        let name = match e {
            Expr::Identifier(name) => Some(name),
            Expr::Function(f) if matches!(f.args, FunctionArguments::None) => match f.name.0.as_mut_slice() {
                [ObjectNamePart::Identifier(name)] => Some(name),
                _ => None,
            },
            _ => None,
        };
        if name.is_some_and(|n| n.quote_style.is_none() && n.value.eq_ignore_ascii_case("localtimestamp")) {
            *e = local_now();
        }
        ControlFlow::Continue(())
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

/// The session's wall clock: `CAST(current_timestamp AS timestamp)`.
fn local_now() -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(function("now", vec![])),
        data_type: DataType::Timestamp(None, TimezoneInfo::None),
        array: false,
        format: None,
    }
}

fn call(name: &str, argument: Expr) -> Expr {
    function(name, vec![argument])
}

fn function(name: &str, arguments: Vec<Expr>) -> Expr {
    use sqlparser::ast::{Function, FunctionArg, FunctionArgExpr, FunctionArgumentList};
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(|a| FunctionArg::Unnamed(FunctionArgExpr::Expr(a))).collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
