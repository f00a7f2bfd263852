//! How tables are read, as a user sees it: parts of a big table, one snapshot for a statement, limits of a scan.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::object_store::memory::InMemory;
use fjord_engine::session::{Session, SessionInfo};
use fjord_engine::{Engine, EngineConfig, Result, SqlError, SqlState};
use fjord_harness::Postgres;
use fjord_postgres::PostgresType;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

/// `big` takes about 9,000 pages, `small` two.
const TABLES: &str = "CREATE TABLE big (id int PRIMARY KEY, v bigint, pad text) WITH (fillfactor = 10);
    INSERT INTO big SELECT i, 0, repeat('x', 40) FROM generate_series(1, 90000) i; CREATE TABLE small AS SELECT i AS id FROM generate_series(1, 500) i;
    VACUUM ANALYZE";

struct World {
    pg: Postgres,
    session: Session,
}

async fn world(options: &str) -> World {
    let pg = Postgres::with_settings("log_statement = 'all'\nautovacuum = off").unwrap();
    pg.psql(TABLES).unwrap();
    let config = EngineConfig {
        store: Arc::new(InMemory::new()),
        data_dir: None,
        secret_key: None,
        memory_limit: 256 << 20,
        database: "fjord".into(),
        secret_root: None,
        allow_link_local: false,
    };
    let engine = Engine::open(config, vec![Arc::new(PostgresType)]).await.unwrap();
    let info = SessionInfo { user: "ann".into(), database: "fjord".into(), application_name: "test".into(), client: String::new(), pid: 1 };
    let w = World { session: engine.session(info), pg };
    w.rows(&format!(
        "CREATE CONNECTOR shop TYPE postgres OPTIONS (host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable', \
         max_parallel_reads 4{options})",
        w.pg.port()
    ))
    .await
    .unwrap();
    w
}

impl World {
    async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let mut out = vec![];
        for statement in fjord_engine::sql::parse(sql)? {
            let prepared = self.session.prepare(&statement, &[]).await?;
            let mut e = self.session.execute(&prepared, vec![], CancellationToken::new()).await?;
            let Some(mut stream) = e.stream.take() else { continue };
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(SqlError::from)?;
                let options = FormatOptions::default();
                let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
                for i in 0..batch.num_rows() {
                    out.push(columns.iter().map(|c| c.value(i).to_string()).collect::<Vec<_>>().join("|"));
                }
            }
        }
        Ok(out)
    }

    async fn one(&self, sql: &str) -> String {
        self.rows(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")).join("\n")
    }

    /// What the server was sent by a statement.
    async fn sent(&self, sql: &str) -> String {
        let before = self.pg.log().len();
        self.one(sql).await;
        self.pg.log()[before..].to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_table_is_read_in_parts_and_says_so() {
    let w = world("").await;
    let text = w.one("EXPLAIN ANALYZE SELECT id FROM shop.big").await;
    assert!(text.contains("readers=4") && text.contains("splits=10") && text.contains("rows=90000"), "{text}");
    assert_eq!(w.one("SELECT splits FROM sys.pushdown_summary ORDER BY query_id DESC LIMIT 1").await, "10");
    for pushdown in ["on", "off"] {
        w.one(&format!("SET fjord.pushdown = {pushdown}")).await;
        for (sql, answer) in [
            ("SELECT count(*), count(DISTINCT id), sum(id), min(pad) FROM shop.big", format!("90000|90000|4050045000|{}", "x".repeat(40))),
            ("SELECT count(*) FROM shop.big b JOIN shop.small s ON b.id = s.id + 89900", "100".into()),
            ("SELECT count(*) FROM (SELECT id FROM shop.big WHERE reverse(pad) LIKE 'x%' LIMIT 7) q", "7".into()),
            ("SELECT id FROM shop.big WHERE reverse(pad) LIKE 'x%' ORDER BY id DESC LIMIT 2", "90000\n89999".into()),
            ("SELECT count(*) FROM (SELECT id FROM shop.big UNION ALL SELECT id FROM shop.big) q", "180000".into()),
            ("SELECT sum(id) FROM shop.big WHERE id > (SELECT max(id) - 2 FROM shop.big)", "179999".into()),
            ("SELECT count(*) FROM shop.big a JOIN shop.big b ON a.id = b.id AND reverse(a.pad) = reverse(b.pad)", "90000".into()),
        ] {
            assert_eq!(w.one(sql).await, answer, "{sql}, pushdown {pushdown}");
        }
    }
    w.one("SET fjord.pushdown = on; SET fjord.max_parallel_reads = 1").await;
    let text = w.one("EXPLAIN ANALYZE SELECT id FROM shop.big").await;
    assert!(!text.contains("readers=") && !text.contains("splits=") && text.contains("rows=90000"), "{text}");
    w.one("SET fjord.max_parallel_reads = 2").await;
    let text = w.one("EXPLAIN ANALYZE SELECT id FROM shop.big").await;
    assert!(text.contains("readers=2") && text.contains("splits="), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_with_several_remote_queries_shares_a_snapshot_on_request() {
    let w = world("").await;
    let union = "SELECT id FROM shop.small WHERE reverse(id::text) = '1' UNION ALL SELECT id FROM shop.small WHERE reverse(id::text) = '2'";
    w.one("SET fjord.pushdown = off").await;
    assert!(!w.sent(union).await.contains("SNAPSHOT"));
    w.one("SET fjord.snapshot = query").await;
    let sent = w.sent(union).await;
    assert_eq!((sent.matches("pg_export_snapshot()").count(), sent.matches("SET TRANSACTION SNAPSHOT").count()), (1, 2), "{sent}");
    // One remote query is one state anyway.
    assert!(!w.sent("SELECT id FROM shop.small").await.contains("SNAPSHOT"));
    // A big table and a small one: all readers in the one snapshot.
    let both = "SELECT count(*) FROM shop.big b JOIN shop.small s ON reverse(b.id::text) = reverse(s.id::text)";
    assert_eq!(w.one(both).await, "500");
    w.one("SET fjord.snapshot = off").await;
    assert!(!w.sent(union).await.contains("SNAPSHOT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_passes_its_limit_says_what_was_not_pushed() {
    let w = world(", scan_max_rows 1000").await;
    assert_eq!(w.one("SELECT count(*) FROM shop.big WHERE id <= 1000").await, "1000");
    let e = w.rows("SELECT id FROM shop.big WHERE pad ~ '(y|z){2}'").await.unwrap_err();
    assert_eq!(e.state, SqlState::PROGRAM_LIMIT_EXCEEDED, "{e}");
    let hint = e.hint.as_deref().unwrap_or_default();
    assert!(hint.contains("scan_max_rows") && hint.contains("Not pushed: ") && hint.contains("pad ~"), "{e}");
    assert_eq!(w.one("SELECT count(*) FROM shop.small").await, "500");
}
