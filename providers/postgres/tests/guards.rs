//! What protects a source and an answer: limits of a scan, one snapshot for a query, settings of the session at the source.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use fjord_engine::source::{QueryScope, RemoteInput, RemoteRequest, Source};
use fjord_engine::{SqlError, SqlState};
use fjord_harness::Postgres;
use futures::TryStreamExt;
use std::sync::Arc;
use support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_passes_a_limit_ends_and_says_which() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t AS SELECT i, repeat('x', 1000) AS s FROM generate_series(1, 20000) i; CREATE VIEW slow AS SELECT pg_sleep(600)::text AS s")
        .unwrap();
    let client = pg.client().await.unwrap();
    for (option, value, view, passes) in
        [("scan_max_rows", "19999", "t", "20000"), ("scan_max_bytes", "1MB", "t", "1GB"), ("scan_max_time", "300ms", "slow", "")]
    {
        let source = over(&pg, &[(option, value)]);
        let t = table(&source.introspect().await.unwrap(), view);
        let e = read(&source, &t).await.unwrap_err();
        assert_eq!(e.state, SqlState::PROGRAM_LIMIT_EXCEEDED, "{e}");
        assert!(e.message.contains(option) && e.message.contains(&format!("\"public\".\"{view}\"")), "{e}");
        assert!(e.hint.as_deref().unwrap_or_default().contains(option), "{e}");
        until("nothing runs", async || running(&client).await == 0).await;
        if !passes.is_empty() {
            let source = over(&pg, &[(option, passes)]);
            let t = table(&source.introspect().await.unwrap(), view);
            assert_eq!(read(&source, &t).await.unwrap().iter().map(|b| b.num_rows()).sum::<usize>(), 20_000);
        }
    }
}

async fn one(source: &Arc<dyn Source>, name: &str, scope: &Arc<QueryScope>) -> Result<Vec<String>, SqlError> {
    let t = table(&source.introspect().await.unwrap(), name);
    let (rel, schema) = scan(&t);
    let asked = request(RemoteInput::Query(rel), schema);
    let request = RemoteRequest { scope: scope.clone(), ..asked.request };
    Ok(exact(&source.execute(request)?.try_collect::<Vec<_>>().await.map_err(SqlError::from)?, 0))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_remote_queries_of_one_query_share_a_snapshot_where_it_is_wanted() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE a AS SELECT 1 AS v; CREATE TABLE b AS SELECT 1 AS v").unwrap();
    for (option, wanted, shares) in [("off", None, false), ("query", None, true), ("off", Some(true), true), ("query", Some(false), false)]
    {
        let source = over(&pg, &[("snapshot", option)]);
        pg.psql("UPDATE a SET v = 1; UPDATE b SET v = 1").unwrap();
        let scope = request(RemoteInput::Text(String::new()), Arc::new(arrow::datatypes::Schema::empty())).request.scope;
        scope.share_snapshot("shop", wanted);
        assert_eq!(one(&source, "a", &scope).await.unwrap(), ["1"]);
        pg.psql("UPDATE a SET v = 2; UPDATE b SET v = 2").unwrap();
        let second = one(&source, "b", &scope).await.unwrap();
        assert_eq!(second, [if shares { "1" } else { "2" }], "{option} {wanted:?}");
        // A new file would be found empty by the old snapshot.
        pg.psql("TRUNCATE a; INSERT INTO a VALUES (3)").unwrap();
        match one(&source, "a", &scope).await {
            Err(e) if shares => assert_eq!(e.state, SqlState::SERIALIZATION_FAILURE, "{e}"),
            other => assert_eq!(other.unwrap(), ["3"]),
        }
        drop(scope);
        until("all connections are free", async || source.pool().in_use == 0).await;
        let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fjord' AND state = 'idle in transaction'";
        let client = pg.client().await.unwrap();
        until("the snapshot's transaction has ended", async || client.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_at_the_source_have_their_limits() {
    let pg = Postgres::start().unwrap();
    let source = over(&pg, &[("statement_timeout", "200ms")]);
    let text = "SELECT current_setting('client_connection_check_interval') || ' ' || current_setting('statement_timeout')";
    assert_eq!(exact(&run_text(&source, text).await.unwrap(), 0), ["5s 200ms"]);
    pg.psql("CREATE VIEW slow AS SELECT pg_sleep(600)::text AS s").unwrap();
    let e = read(&source, &table(&source.introspect().await.unwrap(), "slow")).await.unwrap_err();
    assert_eq!(e.state, SqlState::QUERY_CANCELED, "{e}");
    assert!(e.message.contains("statement timeout"), "{e}");
}
