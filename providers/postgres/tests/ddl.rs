//! CREATE, ALTER, DROP CONNECTOR and what goes with them, through sessions of an engine, over a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use fjord_engine::session::{Session, SessionInfo};
use fjord_engine::source::Secret;
use fjord_engine::{Engine, EngineConfig, Result, SqlError, SqlState};
use fjord_harness::Postgres;
use fjord_postgres::PostgresType;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use tokio_util::sync::CancellationToken;

async fn engine(dir: &Path) -> Arc<Engine> {
    let config = EngineConfig {
        store: Arc::new(InMemory::new()),
        data_dir: Some(dir.to_path_buf()),
        secret_key: Some(Secret::new("a key of enough length")),
        memory_limit: 256 << 20,
        database: "fjord".into(),
        secret_root: Some(dir.to_path_buf()),
        allow_link_local: false,
    };
    Box::pin(Engine::open(config, vec![Arc::new(PostgresType)])).await.unwrap()
}

fn session(engine: &Arc<Engine>) -> Session {
    engine.session(SessionInfo {
        user: "ann".into(),
        database: "fjord".into(),
        application_name: "test".into(),
        client: String::new(),
        pid: 1,
    })
}

/// Runs statements; gives the rows of the last one as text, columns joined by `|`, and all notices.
async fn run_all(session: &Session, sql: &str) -> Result<(Vec<String>, Vec<String>)> {
    let (mut rows, mut notices) = (vec![], vec![]);
    for statement in fjord_engine::sql::parse(sql)? {
        let prepared = Box::pin(session.prepare(&statement, &[])).await?;
        let execution = Box::pin(session.execute(&prepared, vec![], CancellationToken::new())).await?;
        assert_eq!(execution.schema.is_some(), prepared.schema.is_some(), "{sql}");
        if let (Some(a), Some(b)) = (&execution.schema, &prepared.schema) {
            assert_eq!(a.fields().len(), b.fields().len(), "{sql}");
        }
        rows.clear();
        if let Some(stream) = execution.stream {
            for batch in stream.try_collect::<Vec<_>>().await? {
                let options = FormatOptions::default().with_null("NULL");
                let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
                rows.extend((0..batch.num_rows()).map(|i| columns.iter().map(|c| c.value(i).to_string()).collect::<Vec<_>>().join("|")));
            }
        }
        notices.extend(execution.scope.take_notices().into_iter().map(|n| n.message));
    }
    Ok((rows, notices))
}

async fn run(session: &Session, sql: &str) -> Vec<String> {
    Box::pin(run_all(session, sql)).await.unwrap_or_else(|e| panic!("{sql}: {e}")).0
}

async fn fail(session: &Session, sql: &str) -> SqlError {
    match Box::pin(run_all(session, sql)).await {
        Ok(rows) => panic!("{sql}: {rows:?}"),
        Err(e) => e,
    }
}

fn create(pg: &Postgres, name: &str) -> String {
    format!(
        "CREATE CONNECTOR {name} TYPE postgres OPTIONS (host '127.0.0.1', port {}, user postgres, database postgres, sslmode disable)",
        pg.port()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_connector() {
    let mut pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, NULL); CREATE SCHEMA billing; CREATE TABLE billing.b (x int)")
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let e = engine(dir.path()).await;
    let s = session(&e);

    run(&s, &format!("{} COMMENT 'it''s'", create(&pg, "shop"))).await;
    for name in ["shop.public.t", "shop.t", "fjord.shop.t"] {
        assert_eq!(run(&s, &format!("SELECT count(*) FROM {name}")).await, ["2"], "{name}");
    }
    assert_eq!(run(&s, "SELECT count(*) FROM shop__billing.b").await, ["0"]);
    assert_eq!(fail(&s, &create(&pg, "shop")).await.state, SqlState::DUPLICATE_OBJECT);
    assert_eq!(fail(&s, "SELECT * FROM shop.public.nope").await.state, SqlState::UNDEFINED_TABLE);

    // The canonical text makes the same connector again.
    let text = run(&s, "SHOW CREATE CONNECTOR shop").await.join("\n");
    assert!(
        text.starts_with("CREATE CONNECTOR shop TYPE postgres OPTIONS (\n    database 'postgres',") && text.ends_with("COMMENT 'it''s'"),
        "{text}"
    );
    run(&s, "DROP CONNECTOR shop").await;
    run(&s, &text).await;
    assert_eq!(run(&s, "SHOW CREATE CONNECTOR shop").await.join("\n"), text);

    let rows = run(&s, "SHOW CONNECTORS LIKE 'sh%'").await;
    assert!(rows.len() == 1 && rows[0].starts_with("shop|postgres|federation|running|"), "{rows:?}");
    assert!(run(&s, "SHOW CONNECTORS LIKE 'x%'").await.is_empty());
    assert!(run(&s, "DESCRIBE CONNECTOR shop").await.contains(&"schema billing|1 table".to_string()));
    let checks = run(&s, "VALIDATE CONNECTOR shop").await;
    assert!(checks.iter().any(|c| c.starts_with("connect|ok|")), "{checks:?}");
    assert_eq!(run(&s, "SELECT name, phase FROM sys.connector_health").await, ["shop|running"]);
    assert_eq!(run(&s, "SELECT count(*) > 10 FROM sys.connector_options WHERE type = 'postgres'").await, ["true"]);
    assert_eq!(run(&s, "SELECT name FROM sys.connector_types").await, ["postgres"]);

    // New tables: after REFRESH SCHEMA.
    pg.psql("CREATE TABLE u (y int)").unwrap();
    run(&s, "ALTER CONNECTOR shop REFRESH SCHEMA; SELECT * FROM shop.u").await;

    run(&s, "ALTER CONNECTOR shop PAUSE").await;
    assert_eq!(fail(&s, "SELECT * FROM shop.t").await.state, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    run(&s, "ALTER CONNECTOR shop RESUME; SELECT * FROM shop.t").await;
    run(&s, "ALTER CONNECTOR shop RENAME TO store; ALTER CONNECTOR store OWNER TO bob; COMMENT ON CONNECTOR store IS NULL").await;
    assert_eq!(run(&s, "SELECT name, owner, comment FROM sys.connectors").await, ["store|bob|NULL"]);
    assert_eq!(run(&s, "SELECT count(*) FROM store.t").await, ["2"]);
    assert_eq!(fail(&s, "SELECT * FROM shop.public.t").await.state, SqlState::INVALID_CATALOG_NAME);

    // Options are validated before they are kept.
    assert_eq!(fail(&s, "ALTER CONNECTOR store SET (database 'nope')").await.state.0, "3D000");
    assert_eq!(fail(&s, "ALTER CONNECTOR store SET (pool_size 0)").await.state, SqlState::INVALID_PARAMETER_VALUE);
    assert_eq!(fail(&s, "ALTER CONNECTOR store SET (prot 1)").await.hint.as_deref(), Some("Did you mean \"port\"?"));
    run(&s, "ALTER CONNECTOR store SET (pool_size 2); SELECT * FROM store.t").await;

    // A restart of Fjord while the source is down: Fjord is there, the query says what is wrong; when the source is back, so are its tables.
    e.shutdown().await;
    pg.stop().unwrap();
    let e = engine(dir.path()).await;
    let s = session(&e);
    assert_eq!(run(&s, "SELECT 1").await, ["1"]);
    let error = fail(&s, "SELECT * FROM store.t").await;
    assert!(error.state == SqlState::CONNECTION_UNABLE && error.message.contains("store"), "{error:?}");
    assert_eq!(run(&s, "SELECT phase FROM sys.connector_health").await, ["stalled"]);
    pg.start_again().unwrap();
    let began = std::time::Instant::now();
    while run_all(&s, "SELECT * FROM store.t").await.is_err() {
        assert!(began.elapsed().as_secs() < 30);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(run(&s, "SELECT phase FROM sys.connector_health").await, ["running"]);
    let events = run(&s, "SELECT to_phase FROM sys.connector_events WHERE connector = 'store' ORDER BY at").await;
    assert_eq!(events, ["starting", "stalled", "running"]);
    run(&s, "DROP CONNECTOR store").await;
    e.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_hold_their_connector_and_cascade() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t (id int, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let e = engine(dir.path()).await;
    let s = session(&e);
    run(&s, &create(&pg, "shop")).await;
    run(&s, "CREATE VIEW v (n, total) AS SELECT name, count(*) FROM shop.public.t GROUP BY name -- a comment").await;
    assert_eq!(run(&s, "SELECT n, total FROM v ORDER BY n").await, ["a|1", "b|1"]);
    run(&s, "CREATE VIEW w AS SELECT n FROM public.v").await;
    assert_eq!(fail(&s, "CREATE VIEW v AS SELECT 1").await.state, SqlState::DUPLICATE_TABLE);
    assert_eq!(fail(&s, "CREATE VIEW x AS SELECT * FROM shop.public.nope").await.state, SqlState::UNDEFINED_TABLE);
    assert_eq!(fail(&s, "CREATE VIEW x AS SELECT 1 AS a, 2 AS a").await.state.0, "42701");
    assert_eq!(fail(&s, "CREATE VIEW x (a, b) AS SELECT 1").await.state, SqlState::SYNTAX_ERROR);
    assert_eq!(fail(&s, "CREATE VIEW sys.x AS SELECT 1").await.state, SqlState::INVALID_SCHEMA_NAME);
    // Bare names through another search path mean the same in every session.
    run(&s, "SET search_path = shop; CREATE VIEW q AS SELECT id FROM t; RESET search_path").await;
    assert_eq!(run(&s, "SELECT count(*) FROM q").await, ["2"]);

    assert_eq!(fail(&s, "DROP CONNECTOR shop").await.state, SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    assert_eq!(fail(&s, "DROP VIEW v").await.state, SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    e.shutdown().await;
    drop(s);

    let e = engine(dir.path()).await;
    let s = session(&e);
    assert_eq!(run(&s, "SELECT n FROM w ORDER BY n").await, ["a", "b"]);
    let (_, notices) = run_all(&s, "DROP CONNECTOR shop CASCADE").await.unwrap();
    assert_eq!(notices.len(), 3, "{notices:?}");
    assert_eq!(fail(&s, "SELECT * FROM v").await.state, SqlState::UNDEFINED_TABLE);
    let (_, notices) = run_all(&s, "DROP VIEW IF EXISTS v; DROP CONNECTOR IF EXISTS shop").await.unwrap();
    assert_eq!(notices.len(), 2);
    e.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_open_the_door_and_show_nowhere() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE ROLE app LOGIN PASSWORD 'hunter2'; CREATE TABLE t (id int); GRANT SELECT ON t TO app").unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "hunter2\n").unwrap();
    let e = engine(dir.path()).await;
    let s = session(&e);
    run(&s, "CREATE SECRET lit AS 'hunter2'; CREATE SECRET file FROM FILE 'pw'; CREATE SECRET path FROM ENV 'PATH'").await;
    for (i, password) in ["SECRET lit", "SECRET file", "'hunter2'"].iter().enumerate() {
        let sql = format!(
            "CREATE CONNECTOR c{i} TYPE postgres OPTIONS (host '127.0.0.1', port {}, user app, database postgres, sslmode disable, password {password})",
            pg.port()
        );
        run(&s, &sql).await;
        assert_eq!(run(&s, &format!("SELECT count(*) FROM c{i}.t")).await, ["0"]);
    }
    let mut shown = run(&s, "SHOW SECRETS").await;
    for sql in [
        "SELECT * FROM sys.secrets",
        "SELECT * FROM sys.connectors",
        "SELECT * FROM sys.queries",
        "SHOW CREATE CONNECTOR c0",
        "SHOW CREATE CONNECTOR c2",
        "DESCRIBE CONNECTOR c1",
        "DESCRIBE CONNECTOR c2",
        "VALIDATE CONNECTOR c2",
        "EXPLAIN SELECT * FROM c2.t",
        "SELECT * FROM sys.connector_events",
    ] {
        shown.extend(run(&s, sql).await);
    }
    shown.push(format!("{:?} {:?}", e.catalog, e.catalog.snapshot()));
    for f in std::fs::read_dir(dir.path().join("catalog")).unwrap() {
        shown.push(std::fs::read_to_string(f.unwrap().path()).unwrap());
    }
    assert!(!shown.iter().any(|t| t.contains("hunter2")), "{:?}", shown.iter().find(|t| t.contains("hunter2")));
    assert_eq!(fail(&s, "DROP SECRET lit").await.state, SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    run(&s, "DROP SECRET path").await;
    e.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_yet_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let e = engine(dir.path()).await;
    let s = session(&e);
    for (sql, code) in [
        ("CREATE CONNECTOR c TYPE postgres MODE SYNC", "0A000"),
        ("CREATE CONNECTOR c TYPE postgres SYNC ALL TABLES", "0A000"),
        ("ALTER CONNECTOR c RESYNC ALL TABLES", "0A000"),
        ("CREATE SECRET s FROM VAULT 'a#b'", "0A000"),
        ("CREATE TABLE t (a int)", "0A000"),
        ("INSERT INTO t VALUES (1)", "25006"),
        ("COPY t FROM STDIN", "25006"),
        ("CREATE CONNECTOR c TYPE mysql", "42704"),
        ("CREATE CONNECTOR c TYPE postgres OPTIONS (host '169.254.169.254')", "42501"),
        ("SHOW CREATE CONNECTOR nope", "3D000"),
        ("ALTER CONNECTOR nope PAUSE", "3D000"),
        ("DROP SECRET nope", "42704"),
    ] {
        assert_eq!(fail(&s, sql).await.state.0, code, "{sql}");
    }
    let (_, notices) = run_all(&s, "ALTER CONNECTOR IF EXISTS nope PAUSE").await.unwrap();
    assert_eq!(notices, ["connector \"nope\" does not exist, skipping"]);
    e.shutdown().await;
}
