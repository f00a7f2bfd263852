//! `remote_query`: the user's own text, described by the server and run in a read-only transaction on a connection of its own.
//!
//! The text is put into parentheses (`COPY (...) TO STDOUT`), so it must be one query by itself first: the server's Parse of the bare text proves
//! that. A text such as `SELECT 1) TO PROGRAM 'x' --` is no statement, and never gets into the COPY.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use fjord_engine::pushdown::RemoteType;
use fjord_engine::{Result, SqlError, SqlState};
use tokio_postgres::Client;

use crate::error::{Origin, is_broken};
use crate::introspect::read_types;
use crate::pool::{Connection, Piece};
use crate::reader::described;
use crate::source::Inner;
use crate::types::{Types, wire_cast};

/// A described text.
pub(crate) struct Described {
    /// The query to run.
    pub text: String,
    /// What its columns are at the source.
    pub types: Vec<RemoteType>,
    /// As what they arrive.
    pub schema: SchemaRef,
}

/// Asks the server what the text returns, without running it.
pub(crate) async fn describe(inner: &Inner, text: &str) -> Result<Described> {
    let text = text.trim_end_matches([' ', '\t', '\r', '\n', ';']);
    is_query(&inner.origin, text)?;
    let connection = inner.pool.acquire_alive().await?;
    let (columns, types) =
        if inner.pool.pooled() { in_transaction(inner, text, connection).await? } else { prepared(inner, text, connection).await? };
    Ok(shape(inner, text, &columns, &types))
}

/// A name, a type, a modifier.
type Columns = Vec<(String, u32, i32)>;

async fn prepared(inner: &Inner, text: &str, connection: Connection) -> Result<(Columns, Arc<Types>)> {
    let driver = |e: tokio_postgres::Error| inner.origin.running(&e);
    let client = connection.client()?;
    // One round trip.
    let begin = inner.pool.begin_untrusted();
    let (begun, statement, ended) = tokio::join!(client.batch_execute(&begin), client.prepare(text), client.batch_execute("ROLLBACK"));
    let statement = match begun.and(statement).and_then(|s| ended.map(|()| s)) {
        Ok(s) => s,
        Err(e) => {
            if !is_broken(&e) {
                connection.release();
            }
            return Err(driver(e));
        }
    };
    if !statement.params().is_empty() {
        return Err(inner.origin.error(SqlState::FEATURE_NOT_SUPPORTED, "a remote query takes no parameters"));
    }
    let columns: Columns = statement.columns().iter().map(|c| (c.name().to_string(), c.type_().oid(), c.type_modifier())).collect();
    let types = types_of(inner, &columns, connection.client()?).await?;
    drop(statement);
    connection.release();
    Ok((columns, types))
}

/// Behind a pooler no statement has a name, because it would stay in somebody else's session. An unnamed EXPLAIN proves that the text is one
/// query; what its columns are, the empty query says.
async fn in_transaction(inner: &Inner, text: &str, mut connection: Connection) -> Result<(Columns, Arc<Types>)> {
    let asked = empty_query(inner, text, &mut connection).await;
    // Also after an error: the transaction ends before anybody else gets the connection.
    let ended = connection.client()?.batch_execute("ROLLBACK").await;
    if ended.is_ok() {
        connection.release();
    }
    asked
}

async fn empty_query(inner: &Inner, text: &str, connection: &mut Connection) -> Result<(Columns, Arc<Types>)> {
    let driver = |e: tokio_postgres::Error| inner.origin.running(&e);
    let (client, wire, _) = connection.parts()?;
    client.batch_execute(&inner.pool.begin_untrusted()).await.map_err(driver)?;
    client.query_typed(&format!("EXPLAIN (COSTS OFF) {text}"), &[]).await.map_err(driver)?;
    wire.describe(true);
    client.batch_execute(&format!("SELECT * FROM ({text}\n) AS q WHERE false")).await.map_err(driver)?;
    wire.describe(false);
    let body = match wire.take() {
        Some(Piece::Described(body)) => described(&body),
        _ => None,
    };
    let Some(columns) = body else {
        return Err(inner.origin.error(SqlState::PROTOCOL_VIOLATION, "the source did not describe the columns"));
    };
    let columns: Columns = columns.into_iter().map(|c| (c.name, c.oid, c.typmod)).collect();
    // Types are read with qualified names again.
    connection.client()?.batch_execute("SET LOCAL search_path = ''").await.map_err(driver)?;
    let types = types_of(inner, &columns, connection.client()?).await?;
    Ok((columns, types))
}

/// The types known from the last introspection, or those of now where there are new ones.
async fn types_of(inner: &Inner, columns: &Columns, client: &Client) -> Result<Arc<Types>> {
    let known = inner.types.read().clone().filter(|t| columns.iter().all(|(_, oid, _)| t.rows.contains_key(oid)));
    if let Some(types) = known {
        return Ok(types);
    }
    let types = Arc::new(read_types(client).await.map_err(|e| inner.origin.running(&e))?);
    *inner.types.write() = Some(types.clone());
    Ok(types)
}

fn shape(inner: &Inner, text: &str, columns: &[(String, u32, i32)], types: &Types) -> Described {
    let mut fields = vec![];
    let mut remote = vec![];
    for (name, oid, typmod) in columns {
        let mapped = types.map(*oid, *typmod, 0, true, inner.options.unconstrained_numeric);
        fields.push(mapped.field(name, *typmod));
        remote.push(mapped.remote);
    }
    let text = if remote.iter().any(|t| wire_cast(t).is_some()) {
        // Some columns must be cast to the form that the reader decodes. Positions name them: the text may use one name twice.
        let names: Vec<String> = (0..remote.len()).map(|i| format!("c{i}")).collect();
        let list: Vec<String> = remote
            .iter()
            .zip(&names)
            .map(|(ty, name)| match wire_cast(ty) {
                Some(cast) => format!("{name}::{cast}"),
                None => name.clone(),
            })
            .collect();
        format!("SELECT {} FROM (\n{text}\n) AS q ({})", list.join(", "), names.join(", "))
    } else {
        text.to_string()
    };
    Described { text, types: remote, schema: Arc::new(Schema::new(fields)) }
}

/// The plan was made with one shape; what runs now must have the same.
pub(crate) fn check(origin: &Origin, now: &Schema, planned: &Schema) -> Result<()> {
    let same = now.fields().len() == planned.fields().len()
        && now.fields().iter().zip(planned.fields()).all(|(a, b)| a.data_type() == b.data_type());
    if same {
        return Ok(());
    }
    Err(origin
        .error(SqlState::FDW_INCONSISTENT_DESCRIPTOR, "the remote query returns other columns than when it was planned")
        .hint("Run it again."))
}

/// Only what returns rows and writes nothing. The read-only transaction is the guard; this is the better message.
fn is_query(origin: &Origin, text: &str) -> Result<()> {
    match first_word(text).to_ascii_lowercase().as_str() {
        "select" | "with" | "values" | "table" => Ok(()),
        "" => Err(origin.error(SqlState::SYNTAX_ERROR, "the remote query is empty")),
        word => Err(SqlError {
            hint: Some("remote_query runs SELECT, WITH, VALUES and TABLE, in a read-only transaction.".into()),
            ..origin.error(SqlState::FEATURE_NOT_SUPPORTED, format!("remote_query cannot run {}", word.to_ascii_uppercase()))
        }),
    }
}

/// The first word after blanks, comments and opening parentheses.
fn first_word(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if rest.starts_with("/*") {
            rest = after_comment(rest);
        } else {
            break;
        }
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    &rest[..end]
}

/// Comments nest in Postgres.
fn after_comment(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0usize);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth = depth.saturating_sub(1);
                at += 2;
                if depth == 0 {
                    return &text[at..];
                }
            }
            _ => at += 1,
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word() {
        assert_eq!(first_word("  SELECT 1"), "SELECT");
        assert_eq!(first_word("-- a\n/* b /* c */ */ ((select 1))"), "select");
        assert_eq!(first_word("/* open"), "");
        assert_eq!(first_word("/* é */delete from t"), "delete");
    }
}
