//! Partitioned tables read on several connections: every row of every leaf once, by the root's rights, and no leaf that came meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::execution::SendableRecordBatchStream;
use fjord_engine::SqlError;
use fjord_engine::pushdown::{Op, Rel, RemoteType, Scalar, Value};
use fjord_engine::source::{RemoteInput, Source, TableInfo, TableKind};
use fjord_harness::Postgres;
use futures::TryStreamExt;
use support::*;

/// Leaves of different sizes and depths, one with its columns in another order and one that has lost a column, a default one, an empty one, and a root
/// without leaves. Pages are left nearly empty, so that few rows take much room: about 9,000 pages.
const PARTED: &str = "CREATE TABLE parted (id int, v bigint, pad text) PARTITION BY RANGE (id);
    CREATE TABLE p1 PARTITION OF parted FOR VALUES FROM (1) TO (50001) WITH (fillfactor = 10);
    CREATE TABLE p2 (gone int, pad text, id int, v bigint) WITH (fillfactor = 10);
    ALTER TABLE p2 DROP gone;
    ALTER TABLE parted ATTACH PARTITION p2 FOR VALUES FROM (50001) TO (60001);
    CREATE TABLE p3 PARTITION OF parted FOR VALUES FROM (60001) TO (90001) PARTITION BY HASH (id);
    CREATE TABLE p3a PARTITION OF p3 FOR VALUES WITH (MODULUS 2, REMAINDER 0) WITH (fillfactor = 10);
    CREATE TABLE p3b PARTITION OF p3 FOR VALUES WITH (MODULUS 2, REMAINDER 1) WITH (fillfactor = 10);
    CREATE TABLE p4 PARTITION OF parted FOR VALUES FROM (90001) TO (100000) PARTITION BY RANGE (id);
    CREATE TABLE p5 PARTITION OF parted DEFAULT;
    INSERT INTO parted SELECT i, 0, repeat('x', 40) FROM generate_series(1, 90000) i; ANALYZE parted; VACUUM ANALYZE";
const ROWS: usize = 90_000;

async fn parted(user: &str, sql: &str) -> (Postgres, Arc<dyn Source>, Arc<TableInfo>) {
    let pg = Postgres::with_settings("shared_buffers = 256MB\nautovacuum = off").unwrap();
    pg.psql(PARTED).unwrap();
    pg.psql(sql).unwrap();
    let port = pg.port().to_string();
    let at = [("host", "127.0.0.1"), ("port", port.as_str()), ("user", user), ("database", "postgres"), ("sslmode", "disable")];
    let source = connector(&[&at[..], &[("max_parallel_reads", "4"), ("batch_rows", "100")]].concat()).unwrap();
    let table = table(&source.introspect().await.unwrap(), "parted");
    (pg, source, table)
}

fn split(source: &Arc<dyn Source>, rel: Rel, table: &TableInfo) -> (Vec<SendableRecordBatchStream>, Asked) {
    let asked = request(RemoteInput::Query(rel), table.arrow_schema());
    (source.execute_split(asked.request.clone(), 4).unwrap(), asked)
}

async fn all(streams: Vec<SendableRecordBatchStream>) -> Result<Vec<RecordBatch>, SqlError> {
    let tasks: Vec<_> = streams.into_iter().map(|s| tokio::spawn(s.try_collect::<Vec<_>>())).collect();
    let mut batches = vec![];
    for t in tasks {
        batches.extend(t.await.unwrap().map_err(SqlError::from)?);
    }
    Ok(batches)
}

fn ids(batches: &[RecordBatch]) -> Vec<i32> {
    batches.iter().flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec()).collect()
}

fn every_row_once(batches: &[RecordBatch]) {
    let ids = ids(batches);
    assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>().len()), (ROWS, ROWS));
    for b in batches {
        assert!(b.column(1).as_primitive::<Int64Type>().values().iter().all(|v| *v == 0), "columns are not mixed up");
        assert!(b.column(2).as_string::<i32>().iter().all(|t| t.is_some_and(|t| t.len() == 40)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_every_leaf_comes_once() {
    let (pg, source, table) = parted("postgres", "SELECT").await;
    assert_eq!(table.kind, TableKind::Partitioned);
    let (rel, _) = scan(&table);
    assert_eq!(source.readers(&rel, &table, table.rows, None), 4);
    let (streams, asked) = split(&source, rel.clone(), &table);
    every_row_once(&all(streams).await.unwrap());
    assert!(asked.stats.splits() >= 8, "{}", asked.stats.splits());
    until("all connections are free", async || source.pool().in_use == 0).await;

    // A range is read by its pages, in each leaf (an empty one is read as a whole, which is as quick).
    let plan = pg
        .psql("EXPLAIN (COSTS OFF) SELECT id FROM parted WHERE ctid >= '(10,0)' AND ctid < '(20,0)' AND tableoid = ANY ('{1,2}'::oid[])")
        .unwrap();
    assert!(plan.matches("Tid Range Scan").count() >= 4, "{plan}");

    // Leaves that the source does not look at.
    let int = table.columns[0].remote.clone();
    let predicate = Scalar::call(Op::Gt, vec![Scalar::Column(0), Scalar::Literal(Value::Int(60_000), int)], RemoteType::boolean(true));
    let (streams, _) = split(&source, Rel::Filter { input: Box::new(rel), predicate }, &table);
    let found: BTreeSet<i32> = ids(&all(streams).await.unwrap()).into_iter().collect();
    assert_eq!(found, (60_001..=90_000).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_and_row_security_are_the_roots() {
    // The role may read the root only, and a leaf has row security, which is not asked through the root.
    let grants = "CREATE ROLE app LOGIN; GRANT SELECT ON parted TO app; ALTER TABLE p2 ENABLE ROW LEVEL SECURITY";
    let (pg, source, table) = parted("app", grants).await;
    let (rel, _) = scan(&table);
    let (streams, asked) = split(&source, rel.clone(), &table);
    every_row_once(&all(streams).await.unwrap());
    assert!(asked.stats.splits() >= 8, "{}", asked.stats.splits());

    pg.psql("CREATE POLICY few ON parted USING (id <= 10); ALTER TABLE parted ENABLE ROW LEVEL SECURITY").unwrap();
    let table = support::table(&source.introspect().await.unwrap(), "parted");
    assert_eq!(source.readers(&rel, &table, table.rows, None), 1);
    let (streams, _) = split(&source, rel, &table);
    assert_eq!(ids(&all(streams).await.unwrap()).len(), 10, "asked of a plan that is older than the policy, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_elsewhere_makes_one_reader() {
    let foreign = "CREATE EXTENSION file_fdw; CREATE SERVER f FOREIGN DATA WRAPPER file_fdw;
        CREATE FOREIGN TABLE pf PARTITION OF parted FOR VALUES FROM (100001) TO (200000) SERVER f OPTIONS (program 'printf \"100001\\t0\\tx\\n\"')";
    let (_pg, source, table) = parted("postgres", foreign).await;
    let (rel, _) = scan(&table);
    let (streams, asked) = split(&source, rel, &table);
    assert_eq!(ids(&all(streams).await.unwrap()).len(), ROWS + 1);
    assert_eq!(asked.stats.splits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_is_attached_meanwhile_is_not_read_in_part() {
    // A default partition, which the query locks, would make it wait.
    let (pg, source, table) = parted("postgres", "DROP TABLE p5; CREATE TABLE late (LIKE parted) WITH (fillfactor = 10)").await;
    pg.psql("INSERT INTO late SELECT i, 0, repeat('y', 40) FROM generate_series(100001, 140000) i; ALTER TABLE late ADD CHECK (id >= 100001 AND id < 200000)").unwrap();
    let (rel, _) = scan(&table);
    let (mut streams, asked) = split(&source, rel, &table);
    // Some ranges are being read: the readers wait for us with few rows in hand. The others are not.
    let mut first = vec![];
    for s in &mut streams {
        first.extend(s.try_next().await.unwrap());
    }
    pg.psql("ALTER TABLE parted ATTACH PARTITION late FOR VALUES FROM (100001) TO (200000)").unwrap();
    first.extend(all(streams).await.unwrap());
    every_row_once(&first);
    assert!(asked.stats.splits() >= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_gets_new_files_while_the_query_begins_is_read_from_them() {
    let (pg, source, table) = parted("postgres", "SELECT").await;
    let client = pg.client().await.unwrap();
    let writer = pg.client().await.unwrap();
    writer.batch_execute("BEGIN; CREATE TEMP TABLE copy AS TABLE p3a; TRUNCATE p3a; INSERT INTO p3a SELECT * FROM copy").await.unwrap();
    let (rel, _) = scan(&table);
    let (streams, asked) = split(&source, rel, &table);
    let reading = tokio::spawn(all(streams));
    until("the query waits for the lock", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fjord' AND wait_event_type = 'Lock'";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    writer.batch_execute("COMMIT").await.unwrap();
    every_row_once(&reading.await.unwrap().unwrap());
    assert!(asked.stats.splits() > 1);
}
