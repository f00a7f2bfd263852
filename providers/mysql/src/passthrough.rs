//! `remote_query`: the user's own text, described by the server's prepare, run in a session that only reads and is thrown away afterwards.
//!
//! A text is one statement: the protocol takes several only where a client asks for that, which ours does not.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use fjord_engine::{Result, SqlError, SqlState};

use crate::error::{Origin, is_broken};
use crate::source::Inner;
use crate::types::described;

/// Asks the server what the text returns, without running it.
pub(crate) async fn describe(inner: &Inner, text: &str) -> Result<SchemaRef> {
    let origin = &inner.origin;
    if !is_query(text) {
        return Err(not_a_query(origin));
    }
    let mut connection = inner.pool.acquire_alive().await?;
    connection.busy = true;
    let prepared = match connection.conn()?.prepare(text).await {
        Ok(p) => p,
        Err(e) => {
            connection.busy = is_broken(&e);
            connection.release();
            return Err(origin.running(&e));
        }
    };
    connection.conn()?.close_statement(prepared.id).await.map_err(|e| origin.running(&e))?;
    connection.busy = false;
    connection.release();
    if prepared.params > 0 {
        return Err(origin.error(SqlState::FEATURE_NOT_SUPPORTED, "a remote query takes no parameters"));
    }
    if prepared.columns.is_empty() {
        return Err(not_a_query(origin));
    }
    let fields: Vec<_> = prepared.columns.iter().map(|c| described(c, inner.options.reading).field(&c.name)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn not_a_query(origin: &Origin) -> SqlError {
    origin
        .error(SqlState::WRONG_OBJECT_TYPE, "the text is no query")
        .hint("remote_query takes one SELECT, WITH, TABLE, VALUES, SHOW, EXPLAIN or DESCRIBE.")
}

/// Whether the text begins with a word that only reads. The session reads only; this is for what returns rows and does more (ANALYZE TABLE).
fn is_query(text: &str) -> bool {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        // A comment that begins with ! or M! is executed: then it is no comment.
        let comment_end = if rest.starts_with("/*") && !rest.starts_with("/*!") && !rest.starts_with("/*M!") {
            rest.find("*/").map(|at| at + 2)
        } else if rest.starts_with("-- ") || rest.starts_with('#') {
            rest.find('\n')
        } else {
            break;
        };
        let Some(end) = comment_end else { return false };
        rest = rest.get(end..).unwrap_or_default();
    }
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    let known = ["select", "with", "table", "values", "show", "explain", "describe", "desc"];
    known.iter().any(|k| k.eq_ignore_ascii_case(&word))
}

#[cfg(test)]
mod tests {
    use super::is_query;

    #[test]
    fn first_words() {
        for good in [
            "SELECT 1",
            " (select 1)",
            "/* a */ -- b\n# c\nWITH x AS (SELECT 1) SELECT * FROM x",
            "show tables",
            "TABLE t",
            "VALUES ROW(1)",
        ] {
            assert!(is_query(good), "{good}");
        }
        for bad in [
            "",
            "DELETE FROM t RETURNING a",
            "/*! DELETE */ SELECT 1",
            "/*M! x */ select 1",
            "ANALYZE TABLE t",
            "CALL p()",
            "/* select",
            "selects 1",
        ] {
            assert!(!is_query(bad), "{bad}");
        }
    }
}
