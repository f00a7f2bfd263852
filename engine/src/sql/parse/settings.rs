//! SET, RESET, SHOW, EXPLAIN.

use sqlparser::tokenizer::Token;

use super::super::ddl::Ddl;
use super::super::source::{Cursor, quote_ident};
use super::super::statement::{ExplainFormat, ExplainOptions, StatementKind};
use super::{query, refused, session};
use crate::error::{Result, SqlError, SqlState};

/// Settings whose value is a list of names: each element is kept quoted where it must be (GUC_LIST_QUOTE in PostgreSQL).
const NAME_LISTS: &[&str] = &["search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"];

pub(super) fn set(c: &mut Cursor) -> Result<StatementKind> {
    if c.eat("RESET") {
        if c.eat("ALL") {
            return Ok(StatementKind::Reset(None));
        }
        return Ok(StatementKind::Reset(Some(special_name(c)?)));
    }
    c.expect("SET")?;
    if c.eat_all(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        let modes = session::transaction_modes(c)?;
        let assignments = modes.into_iter().map(|(n, v)| (format!("default_{n}"), Some(v))).collect();
        return Ok(StatementKind::Set { local: false, assignments });
    }
    let mut local = c.eat("LOCAL");
    if !local && c.is("SESSION") && !c.is_at(1, "AUTHORIZATION") {
        c.pos += 1;
    }
    if c.eat("TRANSACTION") {
        if c.eat("SNAPSHOT") {
            return Ok(refused(SqlError::unsupported("SET TRANSACTION SNAPSHOT is not supported")));
        }
        let modes = session::transaction_modes(c)?;
        if modes.is_empty() {
            return Err(c.error());
        }
        local = true;
        let assignments = modes.into_iter().map(|(n, v)| (n.to_string(), Some(v))).collect();
        return Ok(StatementKind::Set { local, assignments });
    }
    if c.is("CONSTRAINTS") {
        return Ok(refused(SqlError::unsupported("SET CONSTRAINTS is not supported")));
    }
    let (name, value) = assignment(c)?;
    Ok(StatementKind::Set { local, assignments: vec![(name, value)] })
}

/// What stands behind SET [LOCAL | SESSION].
fn assignment(c: &mut Cursor) -> Result<(String, Option<String>)> {
    if c.eat_all(&["TIME", "ZONE"]) {
        return Ok(("timezone".into(), time_zone(c)?));
    }
    if c.eat("NAMES") {
        let v = if c.done() || c.eat("DEFAULT") { None } else { Some(c.string("an encoding")?) };
        return Ok(("client_encoding".into(), v));
    }
    if c.eat_all(&["SESSION", "AUTHORIZATION"]) {
        let v = if c.eat("DEFAULT") { None } else { Some(role(c)?) };
        return Ok(("session_authorization".into(), v));
    }
    if c.is("ROLE") && !matches!(c.token(1), Token::Eq) && !c.is_at(1, "TO") {
        c.pos += 1;
        return Ok(("role".into(), Some(role(c)?)));
    }
    let name = c.dotted("a setting")?.join(".").to_ascii_lowercase();
    if !c.eat_token(&Token::Eq) {
        c.expect("TO")?;
    }
    if c.is("DEFAULT") && c.tok(1).is_none() {
        c.pos += 1;
        return Ok((name, None));
    }
    let quoted = NAME_LISTS.contains(&name.as_str());
    let values = c.list(|c| {
        let v = value(c)?;
        Ok(if quoted { quote_ident(&v) } else { v })
    })?;
    Ok((name, Some(values.join(", "))))
}

fn role(c: &mut Cursor) -> Result<String> {
    match c.maybe_string() {
        Some(s) => Ok(s),
        None => c.ident("a role"),
    }
}

fn time_zone(c: &mut Cursor) -> Result<Option<String>> {
    if c.eat("LOCAL") || c.eat("DEFAULT") {
        return Ok(None);
    }
    if c.eat("INTERVAL") {
        let v = c.string("an interval")?;
        c.eat_all(&["HOUR", "TO", "MINUTE"]);
        c.eat("HOUR");
        return Ok(Some(v));
    }
    value(c).map(Some)
}

/// One value of SET: a text, a signed number, or a word (lower case unless quoted; reserved words like ON, TRUE, DEFAULT too).
fn value(c: &mut Cursor) -> Result<String> {
    if let Some(s) = c.maybe_string() {
        return Ok(s);
    }
    let minus = c.eat_token(&Token::Minus);
    if !minus {
        c.eat_token(&Token::Plus);
    }
    let v = match c.token(0) {
        Token::Number(n, _) => format!("{}{n}", if minus { "-" } else { "" }),
        Token::Word(w) if !minus && (w.quote_style.is_some() || !w.value.is_empty()) => match w.quote_style {
            Some(_) => w.value.clone(),
            None => w.value.to_ascii_lowercase(),
        },
        _ => return Err(c.unexpected("a value")),
    };
    c.pos += 1;
    Ok(v)
}

/// A setting's name in RESET and SHOW, with Postgres's many-word names.
fn special_name(c: &mut Cursor) -> Result<String> {
    if c.eat_all(&["TIME", "ZONE"]) {
        return Ok("timezone".into());
    }
    if c.eat_all(&["SESSION", "AUTHORIZATION"]) {
        return Ok("session_authorization".into());
    }
    if c.eat_all(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok("transaction_isolation".into());
    }
    Ok(c.dotted("a setting")?.join(".").to_ascii_lowercase())
}

pub(super) fn show(c: &mut Cursor) -> Result<StatementKind> {
    c.expect("SHOW")?;
    let ddl = |d| Ok(StatementKind::Ddl(Box::new(d)));
    if c.eat("ALL") {
        return Ok(StatementKind::Show(None));
    }
    if c.eat("CONNECTORS") {
        let like = if c.eat("LIKE") { Some(c.string("a pattern")?) } else { None };
        return ddl(Ddl::ShowConnectors { like });
    }
    if c.eat_all(&["CONNECTOR", "TYPES"]) {
        return ddl(Ddl::ShowConnectorTypes);
    }
    if c.eat("SECRETS") {
        return ddl(Ddl::ShowSecrets);
    }
    if c.eat("CREATE") {
        if c.eat("VIEW") {
            return ddl(Ddl::ShowCreateView(super::ddl::view_name(c)?));
        }
        c.expect("CONNECTOR")?;
        return ddl(Ddl::ShowCreateConnector(c.ident("a connector")?));
    }
    Ok(StatementKind::Show(Some(special_name(c)?)))
}

pub(super) fn explain(c: &mut Cursor) -> Result<StatementKind> {
    c.expect("EXPLAIN")?;
    let mut options = ExplainOptions::default();
    // `EXPLAIN (SELECT 1)` is a query in parentheses, `EXPLAIN (VERBOSE) SELECT 1` are options.
    if *c.token(0) == Token::LParen && !["SELECT", "VALUES", "WITH", "TABLE"].iter().any(|w| c.is_at(1, w)) && *c.token(1) != Token::LParen
    {
        c.pos += 1;
        c.list(|c| explain_option(c, &mut options))?;
        c.expect_token(&Token::RParen)?;
    } else {
        options.analyze = c.eat("ANALYZE") || c.eat("ANALYSE");
        options.verbose = c.eat("VERBOSE");
    }
    Ok(match query::nested(c)? {
        Ok(q) => StatementKind::Explain { options, statement: Box::new(q) },
        Err(k) => k,
    })
}

fn explain_option(c: &mut Cursor, o: &mut ExplainOptions) -> Result<()> {
    // ANALYZE is reserved, so it is no name.
    let name = match c.eat_any(&["ANALYZE", "ANALYSE"]) {
        Some(_) => "analyze".to_string(),
        None => c.ident("an option")?,
    };
    if name == "format" {
        let f = match c.maybe_string() {
            Some(s) => s,
            None => c.ident("a format")?,
        };
        o.format = match f.to_ascii_lowercase().as_str() {
            "text" => ExplainFormat::Text,
            "json" => ExplainFormat::Json,
            "xml" | "yaml" => {
                return Err(SqlError::unsupported(format!("EXPLAIN format {f} is not supported")).hint("FORMAT TEXT or JSON."));
            }
            _ => {
                let m = format!("unrecognized value for EXPLAIN option \"format\": \"{f}\"");
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, m));
            }
        };
        return Ok(());
    }
    let on = if matches!(c.token(0), Token::Comma | Token::RParen) {
        true
    } else {
        let v = value(c)?;
        crate::source::parse_bool(&v).ok_or_else(|| SqlError::syntax(format!("{name} requires a Boolean value")))?
    };
    match name.as_str() {
        "analyze" => o.analyze = on,
        "verbose" => o.verbose = on,
        "pushdown" => o.pushdown = on,
        "costs" => o.costs = on,
        "timing" | "summary" | "buffers" | "wal" | "settings" | "generic_plan" => {}
        _ => return Err(SqlError::syntax(format!("unrecognized EXPLAIN option \"{name}\""))),
    }
    Ok(())
}
