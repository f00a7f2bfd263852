//! A session without any connector: settings, names, arithmetic, errors, timeouts, the query registry.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use fjord_engine::session::{Execution, Session, SessionInfo};
use fjord_engine::{Engine, EngineConfig, Result, SqlError, SqlState};
use futures::StreamExt;
use object_store::memory::InMemory;
use tokio_util::sync::CancellationToken;

async fn session() -> Session {
    let config = EngineConfig {
        store: Arc::new(InMemory::new()),
        data_dir: None,
        secret_key: None,
        memory_limit: 64 << 20,
        database: "fjord".into(),
        secret_root: None,
        allow_link_local: false,
    };
    let engine = Engine::open(config, vec![]).await.unwrap();
    engine.session(SessionInfo {
        user: "ann".into(),
        database: "fjord".into(),
        application_name: "test".into(),
        client: String::new(),
        pid: 1,
    })
}

async fn start(s: &Session, sql: &str, params: Vec<ScalarValue>) -> Result<Execution> {
    let statement = fjord_engine::sql::parse(sql)?.remove(0);
    let prepared = s.prepare(&statement, &[]).await?;
    s.execute(&prepared, params, CancellationToken::new()).await
}

/// Header and rows, cells joined by `|`.
async fn rows_with(s: &Session, sql: &str, params: Vec<ScalarValue>) -> Result<Vec<String>> {
    let mut e = start(s, sql, params).await?;
    let Some(schema) = e.schema.clone() else { return Ok(vec![e.tag]) };
    let mut out = vec![schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join("|")];
    let mut stream = e.stream.take().unwrap();
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(SqlError::from)?;
        assert_eq!(batch.schema(), schema);
        let options = FormatOptions::default().with_null("NULL");
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        for i in 0..batch.num_rows() {
            out.push(columns.iter().map(|c| c.value(i).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    Ok(out)
}

async fn rows(s: &Session, sql: &str) -> Result<Vec<String>> {
    rows_with(s, sql, vec![]).await
}

#[tokio::test]
async fn names_and_values_are_postgres() {
    let s = session().await;
    for (sql, want) in [
        ("SELECT 1, 2 + 3, 'x'::text", vec!["?column?|?column?|text", "1|5|x"]),
        ("SELECT count(*), sum(a), avg(a)::text FROM (VALUES (1), (2), (2)) t(a)", vec!["count|sum|avg", "3|5|1.6666666666666667"]),
        ("SELECT a, a FROM (VALUES (1)) t(a)", vec!["a|a", "1|1"]),
        ("SELECT count FROM (SELECT count(*) FROM (VALUES (1)) t(a)) s", vec!["count", "1"]),
        ("SELECT sum(a) FROM (VALUES (9223372036854775807), (9223372036854775807)) t(a)", vec!["sum", "18446744073709551614"]),
        ("SELECT x FROM (VALUES (-0.0::float8), (0.0), (1.0)) t(x) WHERE x IN (0.0, 5.0, 6.0, 7.0) ORDER BY 1", vec!["x", "-0.0", "0.0"]),
        ("SELECT 7 / 2, -7 / 2, 7 % 3", vec!["?column?|?column?|?column?", "3|-3|1"]),
        ("SELECT timestamp '1500-01-01 00:00:00' < timestamp '3000-01-01'", vec!["?column?", "true"]),
    ] {
        assert_eq!(rows(&s, sql).await.unwrap(), want, "{sql}");
    }
}

#[tokio::test]
async fn errors_have_states_and_remedies() {
    let s = session().await;
    for (sql, state) in [
        ("SELECT 9223372036854775807 + 1", SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
        ("SELECT a * a FROM (VALUES (9223372036854775807)) t(a)", SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
        ("SELECT 1 / 0", SqlState::DIVISION_BY_ZERO),
        ("SELECT 1 % (a - a) FROM (VALUES (1)) t(a)", SqlState::DIVISION_BY_ZERO),
        ("SELECT * FROM nothing", SqlState::UNDEFINED_TABLE),
        ("SELECT * FROM sys.querys", SqlState::UNDEFINED_TABLE),
        ("SELECT * FROM nowhere.t", SqlState::INVALID_SCHEMA_NAME),
        ("SELECT * FROM no.such.t", SqlState::INVALID_CATALOG_NAME),
        ("SELECT missing FROM sys.queries", SqlState::UNDEFINED_COLUMN),
        ("SELECT nofunction(1)", SqlState::UNDEFINED_FUNCTION),
        ("SET nosuch = 1", SqlState::UNDEFINED_OBJECT),
        ("SELECT a, count(*) FROM (VALUES (1)) t(a)", SqlState::GROUPING_ERROR),
        ("SELECT x.id FROM (VALUES (1)) x(id), (VALUES (1)) y(id) WHERE id = 1", SqlState::AMBIGUOUS_COLUMN),
        ("SELECT 'abc'::int", SqlState::INVALID_TEXT_REPRESENTATION),
    ] {
        let e = rows(&s, sql).await.unwrap_err();
        assert_eq!(e.state, state, "{sql}: {e}");
    }
    let e = rows(&s, "SELECT * FROM sys.querys").await.unwrap_err();
    assert_eq!(e.hint.as_deref(), Some("Did you mean \"queries\"?"));
}

#[tokio::test]
async fn settings_are_set_shown_and_reset() {
    let s = session().await;
    assert_eq!(rows(&s, "SHOW statement_timeout").await.unwrap(), ["statement_timeout", "0"]);
    rows(&s, "SET statement_timeout = '5s'").await.unwrap();
    assert_eq!(rows(&s, "SHOW statement_timeout").await.unwrap(), ["statement_timeout", "5s"]);
    rows(&s, "RESET ALL").await.unwrap();
    assert_eq!(rows(&s, "SHOW statement_timeout").await.unwrap(), ["statement_timeout", "0"]);
    rows(&s, "SET TIME ZONE 'Europe/Stockholm'").await.unwrap();
    assert_eq!(rows(&s, "SHOW timezone").await.unwrap(), ["TimeZone", "Europe/Stockholm"]);
    assert!(rows(&s, "SHOW ALL").await.unwrap().len() > 20);
    assert_eq!(rows(&s, "SHOW application_name").await.unwrap(), ["application_name", "test"]);
}

#[tokio::test]
async fn parameters_are_bound() {
    let s = session().await;
    let three = ScalarValue::Int64(Some(3));
    let sql = "SELECT a FROM (VALUES (1), (2), (3), (4)) t(a) ORDER BY a LIMIT $1";
    assert_eq!(rows_with(&s, sql, vec![three]).await.unwrap().len(), 4);
    let statement = fjord_engine::sql::parse("SELECT $1, $2::int + 1").unwrap().remove(0);
    let prepared = s.prepare(&statement, &[]).await.unwrap();
    assert_eq!(prepared.params.iter().map(|p| p.name).collect::<Vec<_>>(), ["text", "int4"]);
}

#[tokio::test]
async fn statement_timeout_ends_a_running_query() {
    let s = session().await;
    rows(&s, "SET statement_timeout = '50ms'").await.unwrap();
    let sql = "SELECT count(*) FROM generate_series(1, 100000000000) a(x) WHERE a.x < 0";
    let e = rows(&s, sql).await.unwrap_err();
    assert_eq!(e.state, SqlState::QUERY_CANCELED, "{e}");
    assert!(e.message.contains("statement timeout"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_a_running_query_and_is_recorded() {
    let s = session().await;
    let cancel = CancellationToken::new();
    let sql = "SELECT count(*) FROM generate_series(1, 100000000000) a(x) WHERE a.x < 0";
    let statement = fjord_engine::sql::parse(sql).unwrap().remove(0);
    let prepared = s.prepare(&statement, &[]).await.unwrap();
    // It waits for the first row, and there is none.
    let stop = async {
        while s.engine.queries.running().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (e, ()) = tokio::join!(s.execute(&prepared, vec![], cancel.clone()), stop);
    let error = e.err().unwrap();
    assert_eq!(error.state, SqlState::QUERY_CANCELED);
    assert!(s.engine.queries.running().is_empty());
    let log = rows(&s, "SELECT state FROM sys.queries ORDER BY id").await.unwrap();
    assert_eq!(log, ["state", "cancelled", "running"]);
}

#[tokio::test]
async fn a_dropped_stream_ends_its_query() {
    let s = session().await;
    let e = start(&s, "SELECT * FROM generate_series(1, 10000000)", vec![]).await.unwrap();
    assert_eq!(s.engine.queries.running().len(), 1);
    drop(e);
    assert!(s.engine.queries.running().is_empty());
}

#[tokio::test]
async fn explain_shows_the_plan() {
    let s = session().await;
    let plan = rows(&s, "EXPLAIN SELECT 1 AS x").await.unwrap().join("\n");
    assert!(plan.starts_with("QUERY PLAN\n"), "{plan}");
    assert!(plan.contains("ProjectionExec"), "{plan}");
    let plan = rows(&s, "EXPLAIN ANALYZE SELECT 1 AS x").await.unwrap().join("\n");
    assert!(plan.contains("Execution Time"), "{plan}");
    let header = rows(&s, "EXPLAIN (PUSHDOWN) SELECT 1 AS x").await.unwrap();
    assert_eq!(header, ["remote_query|connector|part|expression|class|reason|remote_text|rows|bytes"]);
}
