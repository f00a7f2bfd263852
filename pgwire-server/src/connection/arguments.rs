//! EXECUTE's arguments and PREPARE's declared types.

use datafusion::common::ScalarValue;
use fjord_engine::pgtype::{self, PgType};
use fjord_engine::sql::{self, StatementKind};
use fjord_engine::{Result, SqlError, SqlState};
use futures::StreamExt;
use sqlparser::ast::{Expr, SelectItem, SetExpr, Statement as Ast, UnaryOperator, Value};

use super::Connection;
use super::guard::Guard;
use super::io::Socket;
use crate::codec::{self, EncodeSettings};
use crate::protocol::Format;

impl<S: Socket> Connection<S> {
    /// The values of EXECUTE's arguments. Literals are read as their parameter's type reads text; other expressions are cast to it.
    pub(super) async fn arguments(&mut self, args: &[Expr], types: &[PgType], guard: &Guard) -> Result<Vec<ScalarValue>> {
        let settings = EncodeSettings::of(&self.session.settings.read())?;
        let mut values = vec![];
        for (arg, pg) in args.iter().zip(types) {
            values.push(match literal(arg) {
                Some(text) => codec::decode_param(*pg, Format::Text, text.as_deref().map(str::as_bytes), &settings)?,
                None => self.evaluate(arg, *pg, guard).await?,
            });
        }
        Ok(values)
    }

    async fn evaluate(&mut self, arg: &Expr, pg: PgType, guard: &Guard) -> Result<ScalarValue> {
        let lost = || SqlError::internal("lost argument");
        let mut statement = sql::parse(&format!("SELECT CAST(NULL AS {})", pg.sql_name))?.pop().ok_or_else(lost)?;
        // The argument goes in as the tree that it is, never as text.
        if let StatementKind::Query(query) = &mut statement.kind
            && let Ast::Query(query) = query.as_mut()
            && let SetExpr::Select(select) = query.body.as_mut()
            && let Some(SelectItem::UnnamedExpr(Expr::Cast { expr, .. })) = select.projection.first_mut()
        {
            **expr = arg.clone();
        } else {
            return Err(lost());
        }
        let session = &self.session;
        let token = guard.token.clone();
        let value = async {
            let prepared = Box::pin(session.prepare(&statement, &[])).await?;
            let execution = Box::pin(session.execute(&prepared, vec![], token)).await?;
            let mut stream = execution.stream.ok_or_else(lost)?;
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                if batch.num_rows() > 0 {
                    return Ok(ScalarValue::try_from_array(batch.column(0), 0)?);
                }
            }
            Err(lost())
        };
        guard.run(&mut self.io, value).await
    }
}

/// The text of a literal; `Some(None)` is NULL, `None` no literal.
fn literal(e: &Expr) -> Option<Option<String>> {
    match e {
        Expr::Nested(e) => literal(e),
        Expr::Value(v) => match &v.value {
            Value::Null => Some(None),
            Value::SingleQuotedString(s) | Value::EscapedStringLiteral(s) => Some(Some(s.clone())),
            Value::Number(n, _) => Some(Some(n.to_string())),
            Value::Boolean(b) => Some(Some(b.to_string())),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(v) => match &v.value {
                Value::Number(n, _) => Some(Some(format!("-{n}"))),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The type that a name in PREPARE means; `unknown` is `None`, to be inferred.
pub(super) fn type_by_name(name: &str) -> Result<Option<PgType>> {
    let name = name.trim().to_ascii_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let (base, array) = match name.split_once('[') {
        Some((base, _)) => (base.trim(), true),
        None => (name, false),
    };
    // A length or precision says nothing about how a parameter is read.
    let plain = match (base.find('('), base.rfind(')')) {
        (Some(a), Some(b)) if a < b => format!("{}{}", base[..a].trim_end(), &base[b + 1..]),
        _ => base.to_string(),
    };
    let canonical = match plain.as_str() {
        "unknown" => return Ok(None),
        "int" => "int4",
        "decimal" | "dec" => "numeric",
        "float" => "float8",
        "char" => "bpchar",
        "\"char\"" => "char",
        "timestamp with time zone" => "timestamptz",
        "time with time zone" => "timetz",
        other => other,
    };
    let found = pgtype::PG_TYPES.iter().copied().find(|t| t.name == canonical || t.sql_name == canonical);
    let found = if array { found.and_then(PgType::array) } else { found };
    found.map(Some).ok_or_else(|| SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn type_names() {
        for (name, want) in [
            ("int", "int4"),
            ("INTEGER", "int4"),
            ("varchar(20)", "varchar"),
            ("character varying (20)", "varchar"),
            ("numeric(10, 2)", "numeric"),
            ("timestamp(3) with time zone", "timestamptz"),
            ("double precision", "float8"),
            ("text[]", "_text"),
            ("int[][]", "_int4"),
            ("pg_catalog.int8", "int8"),
        ] {
            assert_eq!(type_by_name(name).unwrap().unwrap().name, want, "{name}");
        }
        assert!(type_by_name("nonsense").is_err());
    }
}
