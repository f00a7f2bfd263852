//! Snapshots that several connections share.
//!
//! A [`Coordinator`] holds a transaction that has exported its snapshot; others import it while that transaction lives. A snapshot does not
//! protect from TRUNCATE, VACUUM FULL and their like, which give a table new files that an older snapshot finds empty
//! (<https://www.postgresql.org/docs/15/mvcc-caveats.html>). So with the table locked, the file that the snapshot knows is compared with the one
//! that there is.

use std::sync::Arc;

use fjord_engine::source::QueryScope;
use fjord_engine::{Result, SqlError, SqlState};
use tokio::sync::OnceCell;
use tokio_postgres::SimpleQueryMessage;

use crate::error::{Origin, is_broken};
use crate::pool::{Connection, Pool};
use crate::render::{table_name, text_literal};

/// How often a coordinator is begun.
pub(super) const ATTEMPTS: u32 = 3;
const ISOLATION: &str = "ISOLATION LEVEL REPEATABLE READ";

/// A transaction whose snapshot others read. When it is dropped the transaction ends.
pub(crate) struct Coordinator {
    connection: Option<Connection>,
    snapshot: String,
}

impl Coordinator {
    /// Begins the transaction: in a snapshot of its own, or in the one of `of`. `questions` are answered in it, in the same round trip.
    pub(super) async fn begin(
        connection: Connection,
        of: Option<&Coordinator>,
        questions: &str,
    ) -> Result<(Coordinator, Vec<SimpleQueryMessage>), tokio_postgres::Error> {
        let begin = match of {
            Some(c) => c.import(),
            None => format!("BEGIN {ISOLATION} READ ONLY"),
        };
        // A transaction that idles while others read must not be ended for it.
        let text =
            format!("{begin}; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_catalog.pg_export_snapshot(); {questions}");
        let answers = match connection.client() {
            Ok(client) => client.simple_query(&text).await,
            Err(_) => Ok(vec![]),
        };
        let answers = match answers {
            Ok(a) => a,
            Err(e) => {
                end(connection).await;
                return Err(e);
            }
        };
        let first = answers.iter().find_map(|m| match m {
            SimpleQueryMessage::Row(r) => r.try_get(0).ok().flatten().map(str::to_string),
            _ => None,
        });
        // In the transaction of another the snapshot is that one's, whose exporter lives longer than this.
        let snapshot = of.map(|c| c.snapshot.clone()).or(first).unwrap_or_default();
        Ok((Coordinator { connection: Some(connection), snapshot }, answers))
    }

    /// Begins a transaction in this snapshot.
    pub(crate) fn import(&self) -> String {
        // The server gave the name: hexadecimal digits and dashes.
        let name: String = self.snapshot.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        format!("BEGIN {ISOLATION} READ ONLY; SET TRANSACTION SNAPSHOT '{name}'")
    }

    /// The transaction is still there, as far as is known.
    pub(super) fn alive(&self) -> bool {
        self.connection.as_ref().and_then(|c| c.client().ok()).is_some_and(|c| !c.is_closed())
    }

    /// Ends the transaction and gives the connection back for another use.
    pub(super) async fn into_connection(mut self) -> Option<Connection> {
        let connection = self.connection.take()?;
        let ended = connection.client().ok()?.batch_execute("ROLLBACK").await;
        ended.is_ok().then_some(connection)
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        connection.pool().clone().detach(end(connection));
    }
}

/// Ends whatever transaction there is. Where that fails, the connection is closed.
async fn end(connection: Connection) {
    let ended = match connection.client() {
        Ok(client) => client.batch_execute("ROLLBACK").await.is_ok(),
        Err(_) => false,
    };
    if ended {
        connection.release();
    }
}

/// The snapshot of a whole query, where its remote queries share one: made by the first that asks, ended with the query.
pub(crate) async fn of_query(pool: &Arc<Pool>, origin: &Origin, scope: &QueryScope) -> Result<Option<Arc<Coordinator>>> {
    if pool.pooled() || !scope.shares_snapshot(&origin.connector, pool.shares_snapshots()) {
        return Ok(None);
    }
    type Cell = OnceCell<Arc<Coordinator>>;
    let cell = scope.shared::<Cell>(&origin.connector);
    let made = cell.get_or_try_init(|| async {
        let mut attempt = 0;
        loop {
            let connection = pool.acquire().await?;
            let reused = connection.reused;
            match Coordinator::begin(connection, None, "").await {
                Ok((c, _)) => return Ok::<_, SqlError>(Arc::new(c)),
                Err(e) if is_broken(&e) && reused && attempt < ATTEMPTS => {
                    pool.forget_idle();
                    attempt += 1;
                }
                Err(e) => return Err(origin.running(&e)),
            }
        }
    });
    Ok(Some(made.await?.clone()))
}

/// Locks the tables (as the query itself will) and asks whether their files are those of the snapshot. Empty for no tables.
pub(super) fn unchanged_text(tables: &[(String, String)]) -> Result<String> {
    if tables.is_empty() {
        return Ok(String::new());
    }
    let mut locks = String::new();
    let mut names = vec![];
    for (schema, table) in tables {
        let name = table_name(schema, table)?;
        locks.push_str(&format!("SELECT FROM {name} WHERE false; "));
        names.push(format!("{}::pg_catalog.regclass", text_literal(&name)?));
    }
    // Views have no file. A table that was made after the snapshot has no row there. pg_partition_tree locks the leaves of a partitioned table.
    let names = names.join(", ");
    Ok(format!(
        "{locks}SELECT count(*) FILTER (WHERE t.named) = {} \
         AND bool_and(coalesce(c.relfilenode = 0 OR c.relfilenode = pg_catalog.pg_relation_filenode(c.oid), true)) \
         FROM (SELECT n AS oid, true AS named FROM unnest(ARRAY[{names}]) n \
         UNION ALL SELECT p.relid, false FROM unnest(ARRAY[{names}]) n, pg_catalog.pg_partition_tree(n) p WHERE p.relid <> n) t \
         JOIN pg_catalog.pg_class c ON c.oid = t.oid",
        tables.len(),
    ))
}

/// The answer to [`unchanged_text`].
pub(super) fn unchanged(answers: &[SimpleQueryMessage]) -> bool {
    answers.iter().any(|m| matches!(m, SimpleQueryMessage::Row(r) if matches!(r.try_get(0), Ok(Some("t")))))
}

/// Their files are not those of the snapshot.
pub(super) fn rewritten(origin: &Origin, tables: &[(String, String)]) -> SqlError {
    let list = tables.iter().map(|(s, t)| format!("\"{s}\".\"{t}\"")).collect::<Vec<_>>().join(", ");
    origin
        .error(SqlState::SERIALIZATION_FAILURE, format!("{list} was truncated or rewritten while the query began"))
        .hint("Run the query again.")
}
