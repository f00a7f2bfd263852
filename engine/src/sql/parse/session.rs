//! Transactions, cursors, prepared statements: the statements about the protocol's state.

use sqlparser::tokenizer::Token;

use super::super::source::Cursor;
use super::super::statement::{SessionStatement as S, StatementKind};
use super::{query, refused};
use crate::error::{Result, SqlError, SqlState};

pub(super) fn transaction(c: &mut Cursor) -> Result<StatementKind> {
    let s = if c.eat("BEGIN") {
        c.eat_any(&["WORK", "TRANSACTION"]);
        S::Begin(transaction_modes(c)?)
    } else if c.eat("START") {
        c.expect("TRANSACTION")?;
        S::Begin(transaction_modes(c)?)
    } else if c.eat("SAVEPOINT") {
        S::Savepoint(c.ident("a savepoint name")?)
    } else if c.eat("RELEASE") {
        c.eat("SAVEPOINT");
        S::Release(c.ident("a savepoint name")?)
    } else if c.eat("COMMIT") || c.eat("END") {
        if let Some(k) = prepared_transaction(c) {
            return Ok(k);
        }
        c.eat_any(&["WORK", "TRANSACTION"]);
        if chain(c)? {
            return Ok(chain_refused());
        }
        S::Commit
    } else {
        if !c.eat("ROLLBACK") {
            c.expect("ABORT")?;
        }
        if let Some(k) = prepared_transaction(c) {
            return Ok(k);
        }
        c.eat_any(&["WORK", "TRANSACTION"]);
        if c.eat("TO") {
            c.eat("SAVEPOINT");
            S::RollbackTo(c.ident("a savepoint name")?)
        } else {
            if chain(c)? {
                return Ok(chain_refused());
            }
            S::Rollback
        }
    };
    Ok(StatementKind::Session(s))
}

fn prepared_transaction(c: &Cursor) -> Option<StatementKind> {
    c.is("PREPARED").then(|| refused(SqlError::unsupported("two-phase commit is not supported: Fjord's transactions only read")))
}

fn chain_refused() -> StatementKind {
    refused(SqlError::unsupported("AND CHAIN is not supported").hint("Send BEGIN after it."))
}

/// `AND [NO] CHAIN`.
fn chain(c: &mut Cursor) -> Result<bool> {
    if !c.eat("AND") {
        return Ok(false);
    }
    let no = c.eat("NO");
    c.expect("CHAIN")?;
    Ok(!no)
}

/// Transaction modes as settings: `ISOLATION LEVEL x`, `READ ONLY`, `READ WRITE`, `[NOT] DEFERRABLE`, commas optional.
pub(super) fn transaction_modes(c: &mut Cursor) -> Result<Vec<(&'static str, String)>> {
    let mut all = vec![];
    while !c.done() {
        if c.eat_all(&["ISOLATION", "LEVEL"]) {
            let levels: &[(&[&str], &str)] = &[
                (&["SERIALIZABLE"], "serializable"),
                (&["REPEATABLE", "READ"], "repeatable read"),
                (&["READ", "COMMITTED"], "read committed"),
                (&["READ", "UNCOMMITTED"], "read uncommitted"),
            ];
            match levels.iter().find(|(words, _)| c.eat_all(words)) {
                Some((_, name)) => all.push(("transaction_isolation", name.to_string())),
                None => return Err(c.unexpected("an isolation level")),
            }
        } else if c.eat_all(&["READ", "ONLY"]) {
            all.push(("transaction_read_only", "on".into()));
        } else if c.eat_all(&["READ", "WRITE"]) {
            all.push(("transaction_read_only", "off".into()));
        } else if c.eat_all(&["NOT", "DEFERRABLE"]) {
            all.push(("transaction_deferrable", "off".into()));
        } else if c.eat("DEFERRABLE") {
            all.push(("transaction_deferrable", "on".into()));
        } else {
            return Err(c.error());
        }
        if c.eat_token(&Token::Comma) && c.done() {
            return Err(c.error());
        }
    }
    Ok(all)
}

pub(super) fn cursor(c: &mut Cursor) -> Result<StatementKind> {
    if c.eat("CLOSE") {
        let name = if c.eat("ALL") { None } else { Some(c.ident("a cursor name")?) };
        return Ok(StatementKind::Session(S::Close(name)));
    }
    if c.eat("DECLARE") {
        return declare(c);
    }
    let fetch = c.eat("FETCH");
    if !fetch {
        c.expect("MOVE")?;
    }
    let Some(count) = direction(c)? else {
        // The words of PostgreSQL for a cursor that was not declared with SCROLL.
        return Ok(refused(
            SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")
                .hint("Fjord streams: FETCH NEXT, FETCH n, FETCH FORWARD n and FETCH ALL are there."),
        ));
    };
    let name = c.ident("a cursor name")?;
    Ok(StatementKind::Session(if fetch { S::Fetch { name, count } } else { S::Move { name, count } }))
}

/// FETCH's direction: `Some(rows)` forward (`Some(None)` is all of them), `None` for any other way.
#[allow(clippy::option_option)]
fn direction(c: &mut Cursor) -> Result<Option<Option<u64>>> {
    // A direction word alone is a cursor's name: they are not reserved.
    let named = c.tok(1).is_none();
    let mut rows = Some(Some(1));
    if !named {
        if c.eat("NEXT") {
        } else if c.eat("ALL") {
            rows = Some(None);
        } else if c.eat_any(&["PRIOR", "FIRST", "LAST"]).is_some() {
            rows = None;
        } else if c.eat_any(&["ABSOLUTE", "RELATIVE"]).is_some() {
            integer(c)?;
            rows = None;
        } else if c.eat("BACKWARD") {
            if !c.eat("ALL") && !c.is("FROM") && !c.is("IN") {
                integer(c)?;
            }
            rows = None;
        } else if c.eat("FORWARD") {
            if c.eat("ALL") {
                rows = Some(None);
            } else if matches!(c.token(0), Token::Number(..) | Token::Minus | Token::Plus) {
                rows = integer(c)?.map(Some);
            }
        } else if matches!(c.token(0), Token::Number(..) | Token::Minus | Token::Plus) {
            rows = integer(c)?.map(Some);
        }
        if !c.eat("FROM") {
            c.eat("IN");
        }
    }
    Ok(rows)
}

/// A signed whole number; `None` if it is negative.
fn integer(c: &mut Cursor) -> Result<Option<u64>> {
    let minus = c.eat_token(&Token::Minus);
    if !minus {
        c.eat_token(&Token::Plus);
    }
    let Token::Number(n, _) = c.token(0) else { return Err(c.unexpected("a number")) };
    // Postgres's grammar takes an int4 here.
    let Some(n) = n.parse::<u64>().ok().filter(|n| *n <= i32::MAX as u64) else { return Err(c.error()) };
    c.pos += 1;
    Ok((!minus || n == 0).then_some(n))
}

fn declare(c: &mut Cursor) -> Result<StatementKind> {
    let name = c.ident("a cursor name")?;
    let (mut binary, mut scroll) = (false, false);
    while !c.is("CURSOR") {
        if c.eat("BINARY") {
            binary = true;
        } else if c.eat("SCROLL") {
            scroll = true;
        } else if !c.eat_all(&["NO", "SCROLL"]) && c.eat_any(&["INSENSITIVE", "ASENSITIVE"]).is_none() {
            return Err(c.unexpected("CURSOR"));
        }
    }
    c.expect("CURSOR")?;
    let hold = c.eat_all(&["WITH", "HOLD"]);
    if !hold {
        c.eat_all(&["WITHOUT", "HOLD"]);
    }
    c.expect("FOR")?;
    let query = match query::nested(c)? {
        Ok(q) => Box::new(q),
        Err(k) => return Ok(k),
    };
    if scroll {
        return Ok(refused(SqlError::unsupported("SCROLL cursors are not supported: Fjord streams").hint("Declare it with NO SCROLL.")));
    }
    Ok(StatementKind::Session(S::Declare { name, hold, binary, query }))
}

pub(super) fn prepared(c: &mut Cursor) -> Result<StatementKind> {
    if c.eat("DEALLOCATE") {
        c.eat("PREPARE");
        let name = if c.eat("ALL") { None } else { Some(c.ident("a statement name")?) };
        return Ok(StatementKind::Session(S::Deallocate(name)));
    }
    if c.eat("EXECUTE") {
        let name = c.ident("a statement name")?;
        let mut args = vec![];
        if *c.token(0) == Token::LParen {
            let (from, to) = c.parenthesised()?;
            args = query::expressions(c, from, to)?;
        }
        return Ok(StatementKind::Session(S::Execute { name, args }));
    }
    c.expect("PREPARE")?;
    if c.are(&["TRANSACTION"]) && super::super::source::string_of(c.token(1)).is_some() {
        return Ok(refused(SqlError::unsupported("two-phase commit is not supported: Fjord's transactions only read")));
    }
    let name = c.ident("a statement name")?;
    let mut types = vec![];
    if *c.token(0) == Token::LParen {
        let (from, to) = c.parenthesised()?;
        types = split_types(c, from, to)?;
    }
    c.expect("AS")?;
    let statement = Box::new(super::one(Cursor::new(c.src, c.pos, c.end))?);
    c.pos = c.end;
    Ok(match statement.kind {
        StatementKind::Query(_) => StatementKind::Session(S::Prepare { name, types, statement }),
        StatementKind::Refused(e) => StatementKind::Refused(e),
        _ => refused(SqlError::unsupported("PREPARE takes a query")),
    })
}

/// `int, numeric(10, 2), text[]`: split at the commas outside parentheses.
fn split_types(c: &Cursor, from: usize, to: usize) -> Result<Vec<String>> {
    let (mut all, mut start, mut depth) = (vec![], from, 0usize);
    for i in from..=to {
        let t = if i == to { &Token::Comma } else { &c.src.toks[i].with_span.token };
        match t {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => {
                if start == i {
                    return Err(Cursor::new(c.src, i, c.end).error());
                }
                all.push(c.slice(start, i).to_string());
                start = i + 1;
            }
            _ => {}
        }
    }
    Ok(all)
}

pub(super) fn other(c: &mut Cursor) -> Result<StatementKind> {
    let s = if c.eat("DISCARD") {
        match c.eat_any(&["ALL", "PLANS", "SEQUENCES", "TEMPORARY", "TEMP"]) {
            Some("TEMPORARY") => S::Discard("TEMP".into()),
            Some(what) => S::Discard(what.into()),
            None => return Err(c.unexpected("ALL, PLANS, SEQUENCES or TEMP")),
        }
    } else if c.eat("LISTEN") {
        c.ident("a channel")?;
        S::Listen("LISTEN")
    } else if c.eat("UNLISTEN") {
        if !c.eat_token(&Token::Mul) {
            c.ident("a channel")?;
        }
        S::Listen("UNLISTEN")
    } else {
        c.expect("NOTIFY")?;
        c.ident("a channel")?;
        if c.eat_token(&Token::Comma) {
            c.string("a payload")?;
        }
        S::Listen("NOTIFY")
    };
    Ok(StatementKind::Session(s))
}
