//! From text to [`Statement`]s. The first words decide; each family has its own file.

mod copy;
mod ddl;
mod depth;
mod dialect;
mod distinct_from;
mod query;
mod session;
mod settings;

use sqlparser::tokenizer::Token;

use super::source::{Cursor, Source};
use super::statement::{Statement, StatementKind};
use crate::error::{Result, SqlError, SqlState};

pub use depth::{ARMS_MAX, DEPTH_MAX};

/// Parses a text of statements separated by `;`. An error's position counts characters of the whole text, from 1.
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    let src = Source::new(sql)?;
    let mut all = vec![];
    let mut from = 0;
    while from < src.toks.len() {
        let to = (from..src.toks.len()).find(|&i| src.toks[i].with_span.token == Token::SemiColon).unwrap_or(src.toks.len());
        if to > from {
            all.push(one(Cursor::new(&src, from, to))?);
        }
        from = to + 1;
    }
    Ok(all)
}

/// Parses exactly one query (a view's definition, the text of `-c`).
pub fn parse_query(sql: &str) -> Result<Statement> {
    let mut all = parse(sql)?;
    match (all.pop(), all.is_empty()) {
        (Some(s @ Statement { kind: StatementKind::Query(_), .. }), true) => Ok(s),
        _ => Err(SqlError::syntax("one query is expected here")),
    }
}

/// One statement: all tokens of the cursor.
fn one(mut c: Cursor) -> Result<Statement> {
    let text = c.slice_from(c.pos).to_string();
    let Token::Word(first) = c.token(0) else {
        if *c.token(0) == Token::LParen {
            return Ok(Statement { text, kind: query::query(&mut c)? });
        }
        return Err(c.error());
    };
    let first = if first.quote_style.is_none() { first.value.to_ascii_uppercase() } else { String::new() };
    let kind = match first.as_str() {
        "SELECT" | "VALUES" | "WITH" | "TABLE" => query::query(&mut c)?,
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => session::transaction(&mut c)?,
        "DECLARE" | "FETCH" | "MOVE" | "CLOSE" => session::cursor(&mut c)?,
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => session::prepared(&mut c)?,
        "DISCARD" | "LISTEN" | "UNLISTEN" | "NOTIFY" => session::other(&mut c)?,
        "COPY" => copy::copy(&mut c)?,
        "SET" | "RESET" => settings::set(&mut c)?,
        "SHOW" => settings::show(&mut c)?,
        "EXPLAIN" => settings::explain(&mut c)?,
        "CREATE" | "ALTER" | "DROP" | "COMMENT" | "DESCRIBE" | "DESC" | "VALIDATE" => ddl::ddl(&mut c)?,
        _ => return refuse(&c, &first).map(|e| Statement { text, kind: StatementKind::Refused(Box::new(e)) }),
    };
    // A refusal says enough; what stands behind the refused words is not looked at.
    if !matches!(kind, StatementKind::Refused(_)) {
        c.expect_end()?;
    }
    Ok(Statement { text, kind })
}

fn refused(e: SqlError) -> StatementKind {
    StatementKind::Refused(Box::new(e))
}

/// Statements of Postgres's that write, or that Fjord does not have. What is no statement at all is a syntax error.
fn refuse(c: &Cursor, first: &str) -> Result<SqlError> {
    Ok(match first {
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" | "LOCK" => read_only(first),
        "VACUUM" | "ANALYZE" | "ANALYSE" | "CLUSTER" | "REINDEX" | "CHECKPOINT" => {
            SqlError::unsupported(format!("{first} is not supported: Fjord stores no tables of its own"))
                .hint("ALTER CONNECTOR name REFRESH SCHEMA reads a source's tables and statistics again.")
        }
        "GRANT" | "REVOKE" | "REASSIGN" | "SECURITY" | "IMPORT" | "REFRESH" => SqlError::unsupported(format!("{first} is not supported")),
        "DO" | "CALL" | "LOAD" => SqlError::unsupported(format!("{first} is not supported: Fjord runs no procedural code")),
        _ => return Err(c.error()),
    })
}

/// 25006: Fjord never writes into a source.
fn read_only(what: &str) -> SqlError {
    SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, format!("cannot execute {what}: Fjord reads its sources and never writes to them"))
        .hint("Run it on the source itself.")
}

#[cfg(test)]
mod tests;
