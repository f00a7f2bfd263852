//! Running queries: streaming in bounded memory, cancel, the pool, restarts, schema changes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use fjord_engine::source::RemoteInput;
use fjord_engine::{SqlError, SqlState};
use fjord_harness::{Direction, FaultProxy, Postgres, PostgresOptions};
use futures::{StreamExt, TryStreamExt};
use support::*;

const WIDE: &str = "SELECT i::int4 AS a, i::int8 * 3 AS b, i * 0.5::float8 AS c, i::text AS d, (i || ' some more text')::varchar AS e, \
                    (i * 1.25)::numeric(12,2) AS f, date '2000-01-01' + i % 10000 AS g, \
                    timestamptz '2000-01-01 00:00Z' + i * interval '1 s' AS h, i % 2 = 0 AS j, CASE WHEN i % 3 > 0 THEN (i % 30000)::int2 END AS k \
                    FROM generate_series(1, 1000000) i";

/// Two rows that fill the server's send buffer (8 kB), then nothing for ten minutes.
const STUCK: &str = "SELECT i, repeat('x', 10000) AS s FROM generate_series(1, 2) i UNION ALL SELECT 3, pg_sleep(600)::text";

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_stream_in_bounded_memory() {
    let pg = Postgres::start().unwrap();
    pg.psql(&format!("CREATE VIEW wide AS {WIDE}")).unwrap();
    let source = over(&pg, &[]);
    let (rel, schema) = scan(&table(&source.introspect().await.unwrap(), "wide"));
    // A million rows of this kind are about 150 MB; three batches of 8192 are about 4 MB.
    let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(16 << 20));
    let asked = request_with(RemoteInput::Query(rel), schema, memory.clone());
    let stats = asked.stats.clone();
    let mut stream = source.execute(asked.request).unwrap();
    let (mut rows, mut batches) = (0, 0);
    while let Some(b) = stream.try_next().await.unwrap() {
        assert!(b.num_rows() <= 8192);
        if rows == 0 {
            assert_eq!(value(b.column(5).as_ref(), 1), "250");
        }
        rows += b.num_rows();
        batches += 1;
    }
    assert_eq!(rows, 1_000_000);
    // 123 full ones, and a few short ones where the server paused longer than we hold rows back.
    assert!((123..1_000).contains(&batches), "{batches} batches");
    assert_eq!((stats.rows(), stats.is_done(), stats.was_cancelled(), stats.error()), (1_000_000, true, false, None));
    assert!(stats.bytes() > 50_000_000 && stats.time_to_first_row().unwrap() < stats.total());
    assert_eq!(memory.reserved(), 0);
    assert_eq!((source.pool().in_use, source.pool().idle), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_not_there_is_an_error() {
    let pg = Postgres::start().unwrap();
    let source = over(&pg, &[]);
    let text = "SELECT repeat('x', 100000) FROM generate_series(1, 1000)";
    let schema = source.describe(text).await.unwrap();
    let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1 << 20));
    let asked = request_with(RemoteInput::Text(text.into()), schema, memory.clone());
    let e = SqlError::from(source.execute(asked.request).unwrap().try_collect::<Vec<_>>().await.unwrap_err());
    assert_eq!(e.state, SqlState::OUT_OF_MEMORY, "{e}");
    assert_eq!(memory.reserved(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_holds_the_source_back() {
    let pg = Postgres::start().unwrap();
    pg.psql(&format!("CREATE VIEW wide AS {WIDE}")).unwrap();
    let client = pg.client().await.unwrap();
    let source = over(&pg, &[]);
    let (rel, schema) = scan(&table(&source.introspect().await.unwrap(), "wide"));
    let asked = request(RemoteInput::Query(rel), schema);
    let mut stream = source.execute(asked.request).unwrap();
    stream.try_next().await.unwrap().unwrap();
    until("the server waits for us", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fjord' AND wait_event = 'ClientWrite'";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    // One was taken, two wait, one is finished and waits for room.
    assert!(asked.stats.rows() <= 4 * 8192, "{} rows were read ahead", asked.stats.rows());
    drop(stream);
    until("the query is gone", async || running(&client).await == 0).await;
    assert!(asked.stats.was_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_before_the_query_has_ended() {
    let pg = Postgres::start().unwrap();
    let source = over(&pg, &[]);
    let text = STUCK;
    let schema = source.describe(text).await.unwrap();
    let asked = request(RemoteInput::Text(text.into()), schema);
    let mut stream = source.execute(asked.request).unwrap();
    let first = tokio::time::timeout(Duration::from_secs(20), stream.try_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_query_ends_at_the_server_too() {
    for tls in [false, true] {
        let pg = Postgres::with(PostgresOptions { tls, tls_only: tls, ..PostgresOptions::default() }).unwrap();
        let client = pg.client().await.unwrap();
        let source = over(&pg, &[("sslmode", if tls { "require" } else { "disable" })]);
        let text = "SELECT pg_sleep(600)::text";
        let schema = source.describe(text).await.unwrap();
        let asked = request(RemoteInput::Text(text.into()), schema.clone());
        let mut stream = source.execute(asked.request).unwrap();
        let reader = tokio::spawn(async move { stream.next().await });
        until("the query runs", async || running(&client).await == 1).await;
        asked.cancel.cancel();
        let e = SqlError::from(reader.await.unwrap().unwrap().unwrap_err());
        assert_eq!(e.state, SqlState::QUERY_CANCELED);
        until("the query is gone", async || running(&client).await == 0).await;
        until("the cancel is on record", async || asked.stats.was_cancelled()).await;
        assert!(asked.stats.error().is_none());

        // The same when its reader goes away.
        let asked = request(RemoteInput::Text(text.into()), schema);
        let mut stream = source.execute(asked.request).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(1), stream.next()).await.is_err());
        until("the query runs", async || running(&client).await == 1).await;
        drop(stream);
        until("the query is gone", async || running(&client).await == 0).await;
        until("its connection is gone", async || source.pool().in_use == 0).await;
        until("that cancel is on record", async || asked.stats.was_cancelled()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_the_first_poll() {
    let pg = Postgres::start().unwrap();
    let source = over(&pg, &[]);
    let schema = source.describe("SELECT 1").await.unwrap();
    let before = source.pool();
    let stream = source.execute(request(RemoteInput::Text("SELECT 1".into()), schema).request).unwrap();
    tokio::task::yield_now().await;
    assert_eq!((source.pool().in_use, source.pool().idle), (before.in_use, before.idle));
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_says_so_in_time() {
    let pg = Postgres::start().unwrap();
    let source = over(&pg, &[("pool_size", "1"), ("pool_timeout", "300ms")]);
    let text = STUCK;
    let schema = source.describe(text).await.unwrap();
    let mut stream = source.execute(request(RemoteInput::Text(text.into()), schema).request).unwrap();
    stream.try_next().await.unwrap().unwrap();
    let e = run_text(&source, "SELECT 1").await.unwrap_err();
    assert_eq!(e.state, SqlState::TOO_MANY_CONNECTIONS);
    assert!(e.message.contains("\"shop\"") && e.message.contains("1 of 1 in use"), "{e}");
    assert!(e.hint.unwrap().contains("pool_size"));
    drop(stream);
    until("there is room again", async || run_text(&source, "SELECT 1").await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_after_a_restart_works() {
    let mut pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t AS SELECT 1 AS a").unwrap();
    let source = over(&pg, &[]);
    let t = table(&source.introspect().await.unwrap(), "t");
    for _ in 0..2 {
        pg.restart().unwrap();
        assert_eq!(exact(&read(&source, &t).await.unwrap(), 0), ["1"]);
        pg.kill9();
        pg.start_again().unwrap();
        assert_eq!(exact(&read(&source, &t).await.unwrap(), 0), ["1"]);
        assert_eq!(exact(&run_text(&source, "SELECT 2").await.unwrap(), 0), ["2"]);
    }
    // While it is down: an error that says where it was sought.
    pg.stop().unwrap();
    let e = read(&source, &t).await.unwrap_err();
    assert_eq!(e.state, SqlState::CONNECTION_UNABLE, "{e}");
    assert!(e.message.contains(&source.location()), "{e}");
    pg.start_again().unwrap();
    assert_eq!(exact(&read(&source, &t).await.unwrap(), 0), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_mid_query_fails_it_and_the_next_one_works() {
    let mut pg = Postgres::start().unwrap();
    let source = over(&pg, &[]);
    let text = STUCK;
    let schema = source.describe(text).await.unwrap();
    let mut stream = source.execute(request(RemoteInput::Text(text.into()), schema).request).unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    pg.restart().unwrap();
    // The second row may still come.
    let e = SqlError::from(stream.try_collect::<Vec<_>>().await.unwrap_err());
    assert!(matches!(e.state, SqlState::ADMIN_SHUTDOWN | SqlState::CONNECTION_FAILURE), "{e}");
    assert!(e.message.contains("connector \"shop\""), "{e}");
    assert_eq!(exact(&run_text(&source, "SELECT 1").await.unwrap(), 0), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_any_byte_gives_all_rows_or_an_error() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t AS SELECT i, repeat('x', i) AS s FROM generate_series(1, 50) i").unwrap();
    let proxy = FaultProxy::start(pg.port()).unwrap();
    let port = proxy.port().to_string();
    let source = over(&pg, &[("port", &port)]);
    let t = table(&source.introspect().await.unwrap(), "t");
    let whole = exact(&read(&source, &t).await.unwrap(), 1);
    let mut failed = 0;
    for bytes in (0..4_000).step_by(61) {
        proxy.cut_after(Direction::ToClient, Some(bytes));
        proxy.cut_all();
        match read(&source, &t).await {
            Ok(batches) => assert_eq!(exact(&batches, 1), whole, "cut after {bytes}"),
            Err(e) => {
                failed += 1;
                assert!(matches!(e.state, SqlState::CONNECTION_UNABLE | SqlState::CONNECTION_FAILURE), "cut after {bytes}: {e}");
            }
        }
        proxy.cut_after(Direction::ToClient, None);
        assert_eq!(exact(&read(&source, &t).await.unwrap(), 1), whole, "after a cut after {bytes}");
    }
    assert!(failed > 10, "only {failed} cuts were felt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_answer_is_given_up() {
    let pg = Postgres::start().unwrap();
    let proxy = FaultProxy::start(pg.port()).unwrap();
    proxy.stall(Direction::ToClient, true);
    let port = proxy.port().to_string();
    let source = over(&pg, &[("port", &port), ("connect_timeout", "300ms")]);
    let e = run_text(&source, "SELECT 1").await.unwrap_err();
    assert_eq!(e.state, SqlState::CONNECTION_UNABLE);
    assert!(e.message.contains("within 300ms"), "{e}");
    assert_eq!(source.pool().in_use, 0);
}

/// What a standby does to a query that holds up its replay.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_could_not_be_serialized_is_sent_again() {
    let pg = Postgres::start().unwrap();
    pg.psql(
        "CREATE FUNCTION conflict() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'conflict with recovery' USING ERRCODE = '40001'; END $$;
         CREATE VIEW v AS SELECT conflict() AS a",
    )
    .unwrap();
    let source = over(&pg, &[]);
    let e = read(&source, &table(&source.introspect().await.unwrap(), "v")).await.unwrap_err();
    assert_eq!(e.state, SqlState::SERIALIZATION_FAILURE, "{e}");
    // The server's log may reach its file after the answer has reached us.
    let times = || pg.log().matches("ERROR:  conflict with recovery").count();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while times() < 3 && std::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(times(), 3, "once, and two more times");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sources_statement_timeout_is_ours_to_set() {
    let pg = Postgres::start().unwrap();
    let source = over(&pg, &[("statement_timeout", "200ms")]);
    let e = run_text(&source, "SELECT pg_sleep(600)::text").await.unwrap_err();
    assert_eq!(e.state, SqlState::QUERY_CANCELED);
    assert!(e.message.contains("statement timeout"), "{e}");
    assert_eq!(exact(&run_text(&source, "SELECT 1").await.unwrap(), 0), ["1"]);
}

/// The driver asks the server about such types in the middle of things: that must not wait behind rows that nobody reads.
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_types_that_are_not_built_in() {
    let pg = Postgres::start().unwrap();
    pg.psql(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN price AS numeric(10,2); CREATE EXTENSION citext;
         CREATE TABLE t AS SELECT 'ok'::mood AS m, ARRAY['sad'::mood] AS ms, ARRAY[i::price] AS ps, i::text::citext AS c FROM generate_series(1, 50000) i",
    )
    .unwrap();
    let source = over(&pg, &[("schema_ttl", "0s")]);
    let t = table(&source.introspect().await.unwrap(), "t");
    let batches = tokio::time::timeout(Duration::from_secs(60), read(&source, &t)).await.unwrap().unwrap();
    assert_eq!(exact(&batches, 2)[49_999], "[5000000]");
    assert_eq!(exact(&batches, 0).len(), 50_000);
    // A column that becomes such a type under a plan that knows it as text.
    let source = over(&pg, &[]);
    pg.psql("ALTER TABLE t ALTER m TYPE text").unwrap();
    let t = table(&source.introspect().await.unwrap(), "t");
    pg.psql("ALTER TABLE t ALTER m TYPE mood USING m::mood").unwrap();
    let e = tokio::time::timeout(Duration::from_secs(60), read(&source, &t)).await.unwrap().unwrap_err();
    assert_eq!(e.state, SqlState::FDW_INCONSISTENT_DESCRIPTOR, "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_asked_again_after_schema_ttl() {
    let pg = Postgres::start().unwrap();
    pg.psql(
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE t (a int NOT NULL, b text, m mood, ms mood[]); INSERT INTO t VALUES (1, 'x', 'ok', '{sad}'); CREATE TABLE other (a int)",
    )
    .unwrap();
    let (now, later) = (over(&pg, &[("schema_ttl", "0s")]), over(&pg, &[("schema_ttl", "1h")]));
    for (change, column) in [
        ("ALTER TABLE t ALTER b TYPE text COLLATE ci", "b"),
        ("ALTER TYPE mood RENAME VALUE 'sad' TO 'SAD'", "m"),
        ("ALTER TABLE t ALTER a DROP NOT NULL", "a"),
        ("ALTER TABLE t ALTER b TYPE varchar(10)", "b"),
    ] {
        let before = table(&now.introspect().await.unwrap(), "t");
        later.introspect().await.unwrap();
        assert_eq!(exact(&read(&now, &before).await.unwrap(), 0), ["1"]);
        pg.psql(change).unwrap();
        // Young enough to be believed.
        assert!(read(&later, &before).await.is_ok());
        let e = read(&now, &before).await.unwrap_err();
        assert_eq!(e.state, SqlState::FDW_INCONSISTENT_DESCRIPTOR, "{change}: {e}");
        assert!(e.message.contains(&format!("\"{column}\" of \"public\".\"t\"")), "{change}: {e}");
        // The schema is read again, but this plan is from before.
        now.introspect().await.unwrap();
        let e = read(&now, &before).await.unwrap_err();
        assert_eq!(e.state, SqlState::FDW_INCONSISTENT_DESCRIPTOR, "{change}: {e}");
    }
    // What a query does not read may change.
    let other = table(&now.introspect().await.unwrap(), "other");
    pg.psql("ALTER TABLE t ADD z int").unwrap();
    assert!(read(&now, &other).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_changed_is_an_error_never_nonsense() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t (a bigint NOT NULL, b text); INSERT INTO t VALUES (1, 'x')").unwrap();
    let source = over(&pg, &[]);
    let t = table(&source.introspect().await.unwrap(), "t");
    assert_eq!(exact(&read(&source, &t).await.unwrap(), 0), ["1"]);
    for (change, state, name) in [
        // Eight bytes are eight bytes: without the check this reads 4607182418800017408.
        ("ALTER TABLE t ALTER a TYPE float8", SqlState::FDW_INCONSISTENT_DESCRIPTOR, "\"a\""),
        ("ALTER TABLE t ALTER a TYPE bigint, ALTER a DROP NOT NULL; UPDATE t SET a = NULL", SqlState::FDW_INCONSISTENT_DESCRIPTOR, "'a'"),
        ("UPDATE t SET a = 1; ALTER TABLE t RENAME b TO c", SqlState::UNDEFINED_COLUMN, "b"),
        ("DROP TABLE t", SqlState::UNDEFINED_TABLE, "t"),
    ] {
        pg.psql(change).unwrap();
        let e = read(&source, &t).await.unwrap_err();
        assert_eq!(e.state, state, "{change}: {e}");
        assert!(e.message.contains(name) && e.hint.as_ref().unwrap().contains("REFRESH SCHEMA"), "{change}: {e}");
    }
}
