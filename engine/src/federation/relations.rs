//! `live(t)` and `remote_query(...)` in FROM, on the syntax tree before DataFusion plans it.
//!
//! DataFusion's own hook for such relations is synchronous, while both must ask: `live` the catalog, `remote_query` the source for its columns. So
//! one pass collects them, awaits what they need, and puts a plain table name in their place: `live(a.b.c)` becomes `a.b.c`, so that alias and
//! qualified columns resolve as for the table itself; `remote_query` a name that only this statement's catalogs know.

use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, TableAlias, TableFactor, Value, VisitMut, VisitorMut,
};

use super::catalogs::PlanEnv;
use super::passthrough::PassthroughTable;
use super::table::FjordTable;
use crate::error::{Result, SqlError, SqlState};

/// The schema of one statement's passthrough relations: no user can type it.
pub(crate) const PASSTHROUGH: &str = "\u{1}remote_query";
/// Passthrough relations of one statement: each is described by its source before the statement runs.
const PASSTHROUGH_MAX: usize = 32;

/// Rewrites every `live()` and `remote_query()` of a statement.
pub(crate) async fn resolve(env: &Arc<PlanEnv>, statement: &mut ast::Statement) -> Result<()> {
    let mut pass = Collect::default();
    if let ControlFlow::Break(e) = statement.visit(&mut pass) {
        return Err(e);
    }
    for name in pass.live {
        check_live(env, &name).await?;
    }
    for (connector, text) in pass.remote {
        let connector = env.open_connector(&connector).await?;
        env.add_passthrough(Arc::new(PassthroughTable::describe(connector, &text).await?));
    }
    Ok(())
}

async fn check_live(env: &Arc<PlanEnv>, name: &ObjectName) -> Result<()> {
    let parts: Vec<String> = name.0.iter().filter_map(ObjectNamePart::as_ident).map(normalized).collect();
    match env.lookup(&parts).await? {
        // An unknown table gets its own error, with hints, when it is planned.
        None => Ok(()),
        Some((table, native)) if native || table.downcast_ref::<FjordTable>().is_some() => Ok(()),
        Some(_) => Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a table of a connector", parts.join(".")))
            .hint("live() takes a connector's table: live(connector.schema.table).")),
    }
}

fn normalized(i: &Ident) -> String {
    if i.quote_style.is_some() { i.value.clone() } else { i.value.to_lowercase() }
}

#[derive(Default)]
struct Collect {
    live: Vec<ObjectName>,
    remote: Vec<(String, String)>,
}

impl VisitorMut for Collect {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let (name, args, alias) = match factor {
            TableFactor::Table { name, args: Some(a), alias, .. } => (&*name, a.args.clone(), alias.clone()),
            TableFactor::Function { name, args, alias, .. } => (&*name, args.clone(), alias.clone()),
            _ => return ControlFlow::Continue(()),
        };
        let [ObjectNamePart::Identifier(function)] = name.0.as_slice() else { return ControlFlow::Continue(()) };
        let replaced = match normalized(function).as_str() {
            "live" => self.live(&args).map(|n| plain(n, alias)),
            "remote_query" => self.remote_query(&args).map(|n| {
                let named = TableAlias { explicit: true, name: Ident::new("remote_query"), columns: vec![], at: None };
                plain(n, Some(alias.unwrap_or(named)))
            }),
            _ => return ControlFlow::Continue(()),
        };
        match replaced {
            Ok(f) => {
                *factor = f;
                ControlFlow::Continue(())
            }
            Err(e) => ControlFlow::Break(e),
        }
    }
}

impl Collect {
    fn live(&mut self, args: &[FunctionArg]) -> Result<ObjectName> {
        let name = match args {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(e))] => match e {
                Expr::Identifier(i) => Some(ObjectName::from(vec![i.clone()])),
                Expr::CompoundIdentifier(v) => Some(ObjectName::from(v.clone())),
                _ => None,
            },
            _ => None,
        };
        let name = name.ok_or_else(|| {
            SqlError::syntax("live() takes one table name").hint("Write live(connector.schema.table), without quotes around the whole.")
        })?;
        self.live.push(name.clone());
        Ok(name)
    }
    fn remote_query(&mut self, args: &[FunctionArg]) -> Result<ObjectName> {
        let [connector, text] = args else { return Err(wrong_arguments()) };
        let (Some(connector), Some(text)) = (literal(connector), literal(text)) else { return Err(wrong_arguments()) };
        if self.remote.len() >= PASSTHROUGH_MAX {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("a statement has at most {PASSTHROUGH_MAX} remote_query() relations"),
            ));
        }
        let name = format!("r{}", self.remote.len());
        self.remote.push((connector, text));
        Ok(ObjectName::from(vec![Ident::with_quote('"', PASSTHROUGH), Ident::with_quote('"', name)]))
    }
}

fn wrong_arguments() -> SqlError {
    SqlError::syntax("remote_query() takes two literal strings: a connector's name and the query for its source")
        .hint("SELECT * FROM remote_query('shop', $$SELECT 1$$).")
}

fn literal(arg: &FunctionArg) -> Option<String> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(v))) => match &v.value {
            Value::SingleQuotedString(s) | Value::EscapedStringLiteral(s) => Some(s.clone()),
            Value::DollarQuotedString(s) => Some(s.value.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn plain(name: ObjectName, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}
