//! Through a real PgBouncer in transaction mode, where each transaction may run in another session.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use fjord_engine::source::{CheckStatus, RemoteInput, Source};
use fjord_engine::{SqlError, SqlState};
use fjord_harness::{PgBouncer, Postgres};
use futures::StreamExt;
use support::*;

const TABLES: &str = "CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE t (id int PRIMARY KEY, name text, at timestamptz, f float8, m mood, n numeric(8,2));
    INSERT INTO t SELECT i, 'name ' || i, timestamptz '2026-01-01 00:00Z' + i * interval '1 hour', i / 3.0, 'glad', i FROM generate_series(1, 5000) i;
    ALTER SYSTEM SET timezone = 'Asia/Tokyo'; SELECT pg_reload_conf()";

fn through(bouncer: &PgBouncer, more: &[(&str, &str)]) -> Arc<dyn Source> {
    let port = bouncer.port().to_string();
    let mut options = vec![
        ("host", "127.0.0.1"),
        ("port", port.as_str()),
        ("user", "postgres"),
        ("database", "postgres"),
        ("sslmode", "disable"),
        ("pooler", "transaction"),
    ];
    options.extend_from_slice(more);
    connector(&options).unwrap()
}

async fn client(bouncer: &PgBouncer) -> tokio_postgres::Client {
    let url = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", bouncer.port());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_share_two_and_every_answer_is_right() {
    let pg = Postgres::start().unwrap();
    pg.psql(TABLES).unwrap();
    let bouncer = PgBouncer::start(&pg, 2).unwrap();
    let direct = over(&pg, &[]);
    let catalog = direct.introspect().await.unwrap();
    let expected = read(&direct, &table(&catalog, "t")).await.unwrap();
    // Others leave their settings in the sessions that we are given.
    for _ in 0..4 {
        client(&bouncer)
            .await
            .batch_execute(
                "SET extra_float_digits = -10; SET DateStyle = 'German'; SET search_path = nowhere; SET standard_conforming_strings = off",
            )
            .await
            .unwrap();
    }
    let mut tasks = vec![];
    for _ in 0..4 {
        let source = through(&bouncer, &[("schema_ttl", "0s"), ("statement_timeout", "60s")]);
        let checks = source.validate().await;
        assert!(checks.iter().all(|c| matches!(c.status, CheckStatus::Ok | CheckStatus::Warning)), "{checks:?}");
        assert!(checks.iter().any(|c| c.name == "read_only" && c.status == CheckStatus::Ok), "{checks:?}");
        let t = table(&source.introspect().await.unwrap(), "t");
        let (rel, _) = scan(&t);
        assert_eq!(source.readers(&rel, &t, t.rows, None), 1);
        for _ in 0..2 {
            let (source, t, expected) = (source.clone(), t.clone(), expected.clone());
            tasks.push(tokio::spawn(async move {
                for i in 0..6 {
                    let found = read(&source, &t).await.unwrap();
                    for c in 0..6 {
                        assert_eq!(exact(&found, c), exact(&expected, c), "column {c}");
                    }
                    let text = format!("SELECT m, current_setting('TimeZone') || {i} AS z, 'a\\b' AS s FROM public.t WHERE id = 1");
                    let found = run_text(&source, &text).await.unwrap();
                    assert_eq!((exact(&found, 0), exact(&found, 1)), (vec!["glad".to_string()], vec![format!("UTC{i}")]));
                    assert_eq!(exact(&found, 2), ["a\\b"]);
                    let e = run_text(&source, "SELECT 1 / (id - id) FROM public.t").await.unwrap_err();
                    assert_eq!(e.state, SqlState::DIVISION_BY_ZERO, "{e}");
                }
            }));
        }
    }
    for t in tasks {
        t.await.unwrap();
    }
    // What we set is gone, and nothing has a name.
    let other = client(&bouncer).await;
    let left = other.simple_query("SELECT count(*) FROM pg_prepared_statements").await.unwrap();
    assert!(left.iter().any(|m| matches!(m, tokio_postgres::SimpleQueryMessage::Row(r) if r.get(0) == Some("0"))), "{left:?}");
    for setting in ["default_transaction_read_only", "statement_timeout", "bytea_output"] {
        let fresh = pg.psql(&format!("SHOW {setting}")).unwrap();
        let found = other.simple_query(&format!("SHOW {setting}")).await.unwrap();
        let same = |m: &tokio_postgres::SimpleQueryMessage| matches!(m, tokio_postgres::SimpleQueryMessage::Row(r) if r.get(0) == Some(fresh.trim()));
        assert!(found.iter().any(same), "{setting}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_text_is_one_query_that_only_reads_and_leaves_nothing() {
    let pg = Postgres::start().unwrap();
    pg.psql(TABLES).unwrap();
    let bouncer = PgBouncer::start(&pg, 1).unwrap();
    let source = through(&bouncer, &[]);
    for text in [
        "SELECT 1) AS q; DROP TABLE public.t; SELECT * FROM (SELECT 1",
        "SELECT 1; DROP TABLE public.t",
        "SELECT 1) TO STDOUT; DROP TABLE public.t; COPY (SELECT 1",
        "WITH d AS (DELETE FROM public.t RETURNING id) SELECT * FROM d",
        "SELECT $1::int",
    ] {
        assert!(source.describe(text).await.is_err() || run_text(&source, text).await.is_err(), "{text}");
    }
    run_text(&source, "SELECT set_config('bytea_output', 'escape', false)").await.unwrap();
    assert_eq!(pg.psql("SELECT count(*) FROM t").unwrap().trim(), "5000");
    let found = client(&bouncer).await.simple_query("SHOW bytea_output").await.unwrap();
    assert!(found.iter().any(|m| matches!(m, tokio_postgres::SimpleQueryMessage::Row(r) if r.get(0) == Some("hex"))), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_goes_through() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE VIEW slow AS SELECT pg_sleep(600)::text AS s").unwrap();
    let bouncer = PgBouncer::start(&pg, 1).unwrap();
    let watcher = pg.client().await.unwrap();
    let sleeping = async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        watcher.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let source = through(&bouncer, &[]);
    let t = table(&source.introspect().await.unwrap(), "slow");
    let (rel, schema) = scan(&t);
    let asked = request(RemoteInput::Query(rel), schema);
    let mut stream = source.execute(asked.request).unwrap();
    let reader = tokio::spawn(async move { stream.next().await });
    until("the query runs", async || sleeping().await == 1).await;
    asked.cancel.cancel();
    let e = SqlError::from(reader.await.unwrap().unwrap().unwrap_err());
    assert_eq!(e.state, SqlState::QUERY_CANCELED, "{e}");
    until("the query is gone", async || sleeping().await == 0).await;
    // The only session is free again.
    until("another query runs", async || run_text(&source, "SELECT 1").await.is_ok()).await;
}
