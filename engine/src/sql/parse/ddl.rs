//! CREATE, ALTER, DROP, COMMENT, DESCRIBE, VALIDATE of our own objects; the refusal of everybody else's.

use sqlparser::tokenizer::Token;

use super::super::ddl::{
    AlterConnector, CommentTarget, CreateConnector, Ddl, Mode, OptionValue, SecretSource, SyncClause, SyncWhat, ViewName,
};
use super::super::source::Cursor;
use super::super::statement::StatementKind;
use super::{query, read_only, refused};
use crate::error::{Result, SqlError, SqlState};
use crate::source::Secret;

/// Options in one statement, at most.
const OPTIONS_MAX: usize = 200;

pub(super) fn ddl(c: &mut Cursor) -> Result<StatementKind> {
    let d = if c.eat("CREATE") {
        return create(c);
    } else if c.eat("ALTER") {
        return alter(c);
    } else if c.eat("DROP") {
        return drop(c);
    } else if c.eat("COMMENT") {
        return comment(c);
    } else if c.eat("VALIDATE") {
        c.expect("CONNECTOR")?;
        Ddl::ValidateConnector(c.ident("a connector")?)
    } else {
        if !c.eat("DESCRIBE") {
            c.expect("DESC")?;
        }
        c.expect("CONNECTOR")?;
        Ddl::DescribeConnector(c.ident("a connector")?)
    };
    Ok(ours(d))
}

fn ours(d: Ddl) -> StatementKind {
    StatementKind::Ddl(Box::new(d))
}

fn create(c: &mut Cursor) -> Result<StatementKind> {
    let or_replace = c.eat_all(&["OR", "REPLACE"]);
    if c.eat("SECRET") {
        c.secretive = true;
        return create_secret(c, or_replace);
    }
    if c.eat("CONNECTOR") {
        c.secretive = true;
        return create_connector(c, or_replace);
    }
    if c.eat("VIEW") {
        return create_view(c, or_replace);
    }
    refuse_create(c)
}

/// CREATE of things that Fjord does not have.
fn refuse_create(c: &Cursor) -> Result<StatementKind> {
    let hint = match c.token(0) {
        Token::Word(w) => match w.value.to_ascii_uppercase().as_str() {
            "TABLE" | "INDEX" | "SEQUENCE" | "SCHEMA" | "TYPE" | "DOMAIN" | "UNIQUE" | "UNLOGGED" | "DATABASE" | "TABLESPACE" => {
                "Fjord reads its sources and never writes to them: create it on the source, then ALTER CONNECTOR name REFRESH SCHEMA."
            }
            "EXTERNAL" | "FOREIGN" | "SERVER" => {
                "CREATE CONNECTOR name TYPE files OPTIONS (location '...') reads files; other types read databases."
            }
            "TEMP" | "TEMPORARY" | "LOCAL" | "GLOBAL" => "Use WITH name AS (...) in the query, or CREATE VIEW.",
            "MATERIALIZED" | "RECURSIVE" => "CREATE VIEW stores a query; its rows are read from the sources each time.",
            "ROLE" | "USER" | "GROUP" => "Users are configured in fjord.toml.",
            "FUNCTION" | "PROCEDURE" | "TRIGGER" | "RULE" | "AGGREGATE" | "OPERATOR" | "CAST" | "EXTENSION" | "LANGUAGE" | "POLICY"
            | "PUBLICATION" | "SUBSCRIPTION" | "EVENT" | "COLLATION" | "CONVERSION" | "STATISTICS" | "TEXT" | "ACCESS" | "TRANSFORM"
            | "FUNCTIONS" | "CATALOG" | "MACRO" => "Fjord has SECRETs, CONNECTORs and VIEWs.",
            _ => return Err(c.unexpected("SECRET, CONNECTOR or VIEW")),
        },
        _ => return Err(c.unexpected("SECRET, CONNECTOR or VIEW")),
    };
    Ok(refused(refusal("CREATE", c).hint(hint)))
}

/// 0A000 for a verb and the word behind it.
fn refusal(verb: &str, c: &Cursor) -> SqlError {
    let what = match c.token(0) {
        Token::Word(w) => w.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    SqlError::unsupported(format!("{verb} {what} is not supported"))
}

fn create_secret(c: &mut Cursor, or_replace: bool) -> Result<StatementKind> {
    let if_not_exists = c.if_not_exists();
    both(or_replace, if_not_exists, c)?;
    let name = c.ident("a secret's name")?;
    let source = if c.eat("AS") {
        SecretSource::Literal(Secret::new(c.string("the secret as a text literal")?))
    } else {
        c.expect("FROM")?;
        match c.eat_any(&["ENV", "FILE", "VAULT"]) {
            Some("ENV") => SecretSource::Env(c.string("the name of an environment variable")?),
            Some("FILE") => SecretSource::File(c.string("a path")?),
            Some(_) => SecretSource::Vault(c.string("a path with #key")?),
            None => return Err(c.unexpected("ENV, FILE or VAULT")),
        }
    };
    Ok(ours(Ddl::CreateSecret { or_replace, if_not_exists, name, source }))
}

/// OR REPLACE and IF NOT EXISTS exclude each other.
fn both(or_replace: bool, if_not_exists: bool, c: &Cursor) -> Result<()> {
    if or_replace && if_not_exists {
        return Err(SqlError::syntax("OR REPLACE and IF NOT EXISTS cannot be used together").at(c.tok(0).map_or(c.src.end_at, |t| t.at)));
    }
    Ok(())
}

fn create_connector(c: &mut Cursor, or_replace: bool) -> Result<StatementKind> {
    let if_not_exists = c.if_not_exists();
    both(or_replace, if_not_exists, c)?;
    let name = c.ident("a connector's name")?;
    c.expect("TYPE")?;
    let type_name = match c.maybe_string() {
        Some(s) => s.to_ascii_lowercase(),
        None => c.ident("a connector type")?,
    };
    let mut new = CreateConnector { or_replace, if_not_exists, name, type_name, options: vec![], mode: None, sync: None, comment: None };
    let (mut seen_options, mut seen_comment) = (false, false);
    while !c.done() {
        if !seen_options && (c.is("OPTIONS") || c.is("WITH")) {
            c.pos += 1;
            new.options = options(c)?;
            seen_options = true;
        } else if new.mode.is_none() && c.eat("MODE") {
            new.mode = Some(mode(c)?.ok_or_else(|| c.unexpected("FEDERATION, SYNC or BOTH"))?);
        } else if new.sync.is_none() && c.eat("SYNC") {
            new.sync = Some(sync(c)?);
        } else if !seen_comment && c.eat("COMMENT") {
            new.comment = Some(c.string("a text")?);
            seen_comment = true;
        } else {
            return Err(c.error());
        }
    }
    Ok(ours(Ddl::CreateConnector(new)))
}

fn mode(c: &mut Cursor) -> Result<Option<Mode>> {
    Ok(match c.eat_any(&["FEDERATION", "SYNC", "BOTH"]) {
        Some("FEDERATION") => Some(Mode::Federation),
        Some("SYNC") => Some(Mode::Sync),
        Some(_) => Some(Mode::Both),
        None => None,
    })
}

fn sync(c: &mut Cursor) -> Result<SyncClause> {
    let what = if c.eat_all(&["ALL", "TABLES"]) {
        SyncWhat::All
    } else if c.eat("SCHEMA") {
        SyncWhat::Schemas(c.list(|c| c.ident("a schema"))?)
    } else if c.eat("TABLE") {
        SyncWhat::Tables(c.list(|c| {
            let t = c.dotted("a table")?;
            let mut columns = vec![];
            if c.eat_token(&Token::LParen) {
                columns = c.list(|c| c.ident("a column"))?;
                c.expect_token(&Token::RParen)?;
            }
            Ok((t, columns))
        })?)
    } else {
        return Err(c.unexpected("ALL TABLES, SCHEMA or TABLE"));
    };
    let mut except = vec![];
    if c.eat("EXCEPT") {
        c.expect_token(&Token::LParen)?;
        except = tables(c)?;
        c.expect_token(&Token::RParen)?;
    }
    Ok(SyncClause { what, except })
}

fn tables(c: &mut Cursor) -> Result<Vec<Vec<String>>> {
    c.list(|c| c.dotted("a table"))
}

/// `(k v, ...)`, `(k = v, ...)`, `()`.
fn options(c: &mut Cursor) -> Result<Vec<(String, OptionValue)>> {
    c.expect_token(&Token::LParen)?;
    if c.eat_token(&Token::RParen) {
        return Ok(vec![]);
    }
    let mut all: Vec<(String, OptionValue)> = vec![];
    loop {
        let at = c.tok(0).map_or(c.src.end_at, |t| t.at);
        let key = option_name(c)?;
        if all.iter().any(|(k, _)| *k == key) {
            return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, format!("option \"{key}\" provided more than once")).at(at));
        }
        c.eat_token(&Token::Eq);
        let value = option_value(c)?;
        all.push((key, value));
        if all.len() > OPTIONS_MAX {
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("more than {OPTIONS_MAX} options")));
        }
        if !c.eat_token(&Token::Comma) {
            break;
        }
    }
    c.expect_token(&Token::RParen)?;
    Ok(all)
}

/// An option's name. `user` is reserved in SQL and the most used option of all: any word will do here.
fn option_name(c: &mut Cursor) -> Result<String> {
    let Token::Word(w) = c.token(0) else { return Err(c.unexpected("an option")) };
    let name = w.value.to_ascii_lowercase();
    c.pos += 1;
    Ok(name)
}

fn option_value(c: &mut Cursor) -> Result<OptionValue> {
    if let Some(s) = c.maybe_string() {
        return Ok(OptionValue::Literal(Secret::new(s)));
    }
    // `SECRET n`; the bare word `secret` as a value is a literal.
    if c.is("SECRET") && matches!(c.token(1), Token::Word(_)) {
        c.pos += 1;
        return Ok(OptionValue::Secret(c.ident("a secret's name")?));
    }
    let minus = c.eat_token(&Token::Minus);
    let v = match c.token(0) {
        Token::Number(n, _) => format!("{}{n}", if minus { "-" } else { "" }),
        Token::Word(w) if !minus => w.value.clone(),
        _ => return Err(c.unexpected("a value")),
    };
    c.pos += 1;
    // `verify-full`, `5s`, `64MB` without quotes: words and numbers that touch are one value.
    let mut v = v;
    while let (Some(previous), Some(t)) = (c.src.toks[..c.pos].last(), c.tok(0)) {
        let joins = matches!(t.with_span.token, Token::Word(_) | Token::Number(..) | Token::Minus | Token::Period);
        if previous.end != t.start || !joins {
            break;
        }
        v.push_str(&c.src.text[t.start..t.end]);
        c.pos += 1;
    }
    Ok(OptionValue::Literal(Secret::new(v)))
}

pub(super) fn view_name(c: &mut Cursor) -> Result<ViewName> {
    let at = c.tok(0).map_or(c.src.end_at, |t| t.at);
    let mut parts = c.dotted("a view's name")?;
    let name = parts.pop().unwrap_or_default();
    match parts.len() {
        0 | 1 => Ok(ViewName { schema: parts.pop(), name }),
        _ => Err(SqlError::unsupported("views live in the default database: schema.name").at(at)),
    }
}

fn create_view(c: &mut Cursor, or_replace: bool) -> Result<StatementKind> {
    if c.are(&["IF", "NOT", "EXISTS"]) {
        return Err(c.error().hint("CREATE OR REPLACE VIEW is there."));
    }
    let name = view_name(c)?;
    let mut columns = vec![];
    if c.eat_token(&Token::LParen) {
        columns = c.list(|c| c.ident("a column"))?;
        c.expect_token(&Token::RParen)?;
    }
    if c.eat("WITH") {
        return Ok(refused(SqlError::unsupported("options of views are not supported")));
    }
    c.expect("AS")?;
    // WITH CHECK OPTION is about writing through the view.
    let check = (0..c.end - c.pos).any(|i| c.is_at(i, "CHECK") && c.is_at(i + 1, "OPTION") && c.pos + i + 2 == c.end);
    if check {
        return Ok(refused(read_only("CREATE VIEW ... WITH CHECK OPTION")));
    }
    Ok(match query::nested(c)? {
        Ok(q) => ours(Ddl::CreateView { or_replace, name, columns, query: Box::new(q) }),
        Err(k) => k,
    })
}

fn alter(c: &mut Cursor) -> Result<StatementKind> {
    if c.eat("CONNECTOR") {
        c.secretive = true;
        let if_exists = c.if_exists();
        let name = c.ident("a connector")?;
        let action = alter_connector(c)?;
        return Ok(ours(Ddl::AlterConnector { if_exists, name, action }));
    }
    let hint = match c.token(0) {
        Token::Word(w) => match w.value.to_ascii_uppercase().as_str() {
            "SECRET" => "CREATE OR REPLACE SECRET replaces it.",
            "VIEW" => "CREATE OR REPLACE VIEW replaces it.",
            "ROLE" | "USER" | "GROUP" => "Users are configured in fjord.toml.",
            "SYSTEM" | "DATABASE" => "The server is configured in fjord.toml.",
            "TABLE" | "INDEX" | "SEQUENCE" | "SCHEMA" | "TYPE" | "DOMAIN" | "MATERIALIZED" | "FUNCTION" | "FOREIGN" | "SERVER"
            | "DEFAULT" | "EXTENSION" | "POLICY" | "TRIGGER" | "PUBLICATION" | "SUBSCRIPTION" => "Run it on the source itself.",
            _ => return Err(c.unexpected("CONNECTOR")),
        },
        _ => return Err(c.unexpected("CONNECTOR")),
    };
    Ok(refused(refusal("ALTER", c).hint(hint)))
}

fn alter_connector(c: &mut Cursor) -> Result<AlterConnector> {
    if c.eat("SET") {
        c.eat("OPTIONS");
        return options(c).map(AlterConnector::Set);
    }
    if c.eat("OPTIONS") {
        return options(c).map(AlterConnector::Set);
    }
    if c.eat("RESET") {
        c.expect_token(&Token::LParen)?;
        let names = c.list(option_name)?;
        c.expect_token(&Token::RParen)?;
        return Ok(AlterConnector::Reset(names));
    }
    if c.eat("PAUSE") {
        return mode(c).map(AlterConnector::Pause);
    }
    if c.eat("RESUME") {
        return mode(c).map(AlterConnector::Resume);
    }
    if c.eat_all(&["REFRESH", "SCHEMA"]) {
        return Ok(AlterConnector::RefreshSchema);
    }
    if c.eat_all(&["ADD", "SYNC", "TABLE"]) {
        return tables(c).map(AlterConnector::AddSyncTables);
    }
    if c.eat_all(&["DROP", "SYNC", "TABLE"]) {
        return tables(c).map(AlterConnector::DropSyncTables);
    }
    if c.eat("RESYNC") {
        if c.eat_all(&["ALL", "TABLES"]) {
            return Ok(AlterConnector::Resync(vec![]));
        }
        c.expect("TABLE")?;
        return tables(c).map(AlterConnector::Resync);
    }
    if c.eat_all(&["OWNER", "TO"]) {
        if c.eat_any(&["CURRENT_USER", "SESSION_USER", "CURRENT_ROLE"]).is_some() {
            return Ok(AlterConnector::Owner(String::new()));
        }
        return Ok(AlterConnector::Owner(c.ident("a role")?));
    }
    if c.eat_all(&["RENAME", "TO"]) {
        return Ok(AlterConnector::Rename(c.ident("a connector's name")?));
    }
    Err(c.unexpected("SET, RESET, PAUSE, RESUME, REFRESH SCHEMA, ADD SYNC TABLE, DROP SYNC TABLE, RESYNC, OWNER TO or RENAME TO"))
}

fn drop(c: &mut Cursor) -> Result<StatementKind> {
    if c.eat("SECRET") {
        let if_exists = c.if_exists();
        let names = c.list(|c| c.ident("a secret"))?;
        c.eat("RESTRICT");
        return Ok(ours(Ddl::DropSecret { if_exists, names }));
    }
    if c.eat("CONNECTOR") {
        let if_exists = c.if_exists();
        let names = c.list(|c| c.ident("a connector"))?;
        let (mut cascade, mut restrict, mut keep_slot) = (false, false, false);
        while !c.done() {
            if !restrict && !cascade && c.eat("CASCADE") {
                cascade = true;
            } else if !restrict && !cascade && c.eat("RESTRICT") {
                restrict = true;
            } else if !keep_slot && c.eat_all(&["KEEP", "SLOT"]) {
                keep_slot = true;
            } else {
                return Err(c.error());
            }
        }
        return Ok(ours(Ddl::DropConnector { if_exists, names, cascade, keep_slot }));
    }
    if c.eat("VIEW") {
        let if_exists = c.if_exists();
        let names = c.list(view_name)?;
        let cascade = c.eat("CASCADE");
        if !cascade {
            c.eat("RESTRICT");
        }
        return Ok(ours(Ddl::DropView { if_exists, names, cascade }));
    }
    match c.token(0) {
        Token::Word(w) if w.quote_style.is_none() && c.tok(1).is_some() => Ok(refused(
            refusal("DROP", c).hint("Fjord has SECRETs, CONNECTORs and VIEWs; everything else is dropped on the source itself."),
        )),
        _ => Err(c.unexpected("SECRET, CONNECTOR or VIEW")),
    }
}

fn comment(c: &mut Cursor) -> Result<StatementKind> {
    c.expect("ON")?;
    let on = if c.eat("CONNECTOR") {
        CommentTarget::Connector(c.ident("a connector")?)
    } else if c.eat("SECRET") {
        CommentTarget::Secret(c.ident("a secret")?)
    } else if c.eat("VIEW") {
        CommentTarget::View(view_name(c)?)
    } else if matches!(c.token(0), Token::Word(_)) && c.tok(1).is_some() {
        return Ok(refused(
            refusal("COMMENT ON", c).hint("Fjord keeps comments of connectors, secrets and views; a source's own comments are set there."),
        ));
    } else {
        return Err(c.unexpected("CONNECTOR, SECRET or VIEW"));
    };
    c.expect("IS")?;
    let text = if c.eat("NULL") { None } else { Some(c.string("a text or NULL")?) };
    Ok(ours(Ddl::Comment { on, text }))
}
