//! Big tables read on several connections: every row once, one snapshot, no file but the snapshot's, nobody waits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::execution::SendableRecordBatchStream;
use fjord_engine::pushdown::{Family, Op, Rel, RemoteType, Scalar, Value};
use fjord_engine::source::{RemoteInput, Source, TableInfo};
use fjord_engine::{SqlError, SqlState};
use fjord_harness::Postgres;
use futures::TryStreamExt;
use support::*;

/// Pages are left nearly empty, so that few rows take much room: about 9,000 pages of 8 kB.
const ROWS: i32 = 90_000;
const BIG: &str = "CREATE TABLE big (id int PRIMARY KEY, v bigint, pad text) WITH (fillfactor = 10);
    INSERT INTO big SELECT i, 0, repeat('x', 40) FROM generate_series(1, 90000) i; VACUUM ANALYZE big";

async fn big(options: &[(&str, &str)]) -> (Postgres, Arc<dyn Source>, Arc<TableInfo>) {
    let pg = Postgres::with_settings("shared_buffers = 256MB\nautovacuum = off").unwrap();
    pg.psql(BIG).unwrap();
    let options: Vec<_> = [("max_parallel_reads", "4")].iter().chain(options).copied().collect();
    let source = over(&pg, &options);
    let table = table(&source.introspect().await.unwrap(), "big");
    (pg, source, table)
}

/// The streams of a scan of the table, and what was asked.
fn split(source: &Arc<dyn Source>, rel: Rel, table: &TableInfo, readers: usize) -> (Vec<SendableRecordBatchStream>, Asked) {
    let asked = request(RemoteInput::Query(rel), table.arrow_schema());
    (source.execute_split(asked.request.clone(), readers).unwrap(), asked)
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
    assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>().len()), (ROWS as usize, ROWS as usize));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_comes_once_however_the_streams_are_polled() {
    let (_pg, source, table) = big(&[]).await;
    let (rel, _) = scan(&table);
    assert_eq!(source.readers(&rel, &table, table.rows, None), 4);
    assert_eq!(source.readers(&rel, &table, table.rows, Some(2)), 2);
    assert_eq!(source.readers(&rel, &table, Some(10), None), 1, "ten rows are not worth it");
    let (streams, asked) = split(&source, rel.clone(), &table, 4);
    assert_eq!(streams.len(), 4);
    every_row_once(&all(streams).await.unwrap());
    assert!(asked.stats.splits() >= 8, "{}", asked.stats.splits());
    assert_eq!((asked.stats.rows(), asked.stats.is_done(), asked.stats.was_cancelled()), (ROWS as u64, true, false));
    // The coordinator gives its connection back behind our back.
    until("all connections are free", async || source.pool().in_use == 0).await;
    assert_eq!(source.pool().idle, 5);

    // One after the other: the first reads all.
    let (streams, _) = split(&source, rel.clone(), &table, 4);
    let mut batches = vec![];
    for s in streams {
        batches.extend(s.try_collect::<Vec<_>>().await.unwrap());
    }
    every_row_once(&batches);
    until("all connections are free", async || source.pool().in_use == 0).await;

    // One stream is dropped after its first rows: none of the others' rows comes twice, and all ends.
    let (mut streams, _) = split(&source, rel, &table, 4);
    let mut one = streams.pop().unwrap();
    let mut batches = vec![one.try_next().await.unwrap().unwrap()];
    drop(one);
    batches.extend(all(streams).await.unwrap());
    let ids = ids(&batches);
    assert!(ids.len() > ROWS as usize / 2 && ids.len() == ids.iter().collect::<BTreeSet<_>>().len(), "{}", ids.len());
    until("all connections are free", async || source.pool().in_use == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_room_and_a_query_through_an_index_are_read_as_a_whole() {
    let (_pg, source, table) = big(&[("pool_size", "3")]).await;
    let (rel, _) = scan(&table);
    let (streams, asked) = split(&source, rel.clone(), &table, 4);
    every_row_once(&all(streams).await.unwrap());
    assert_eq!(asked.stats.splits(), 1, "one connection stays free for others, so only two are left");
    assert!(asked.stats.is_done() && !asked.stats.was_cancelled());

    let int = table.columns[0].remote.clone();
    let predicate = Scalar::call(Op::Eq, vec![Scalar::Column(0), Scalar::Literal(Value::Int(7), int)], RemoteType::boolean(true));
    let (_pg, source, table) = big(&[]).await;
    let (streams, asked) = split(&source, Rel::Filter { input: Box::new(rel), predicate }, &table, 4);
    assert_eq!(ids(&all(streams).await.unwrap()), [7]);
    assert_eq!(asked.stats.splits(), 1);
    until("all connections are free", async || source.pool().in_use == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_plain_scans_of_stored_tables_are_split() {
    let (pg, source, table) = big(&[]).await;
    let (rel, _) = scan(&table);
    for rel in [
        Rel::Limit { input: Box::new(rel.clone()), skip: 0, fetch: Some(50_000) },
        Rel::Distinct { input: Box::new(rel.clone()) },
        Rel::Sort { input: Box::new(rel.clone()), keys: vec![] },
        Rel::Union { inputs: vec![rel.clone()] },
    ] {
        assert_eq!(source.readers(&rel, &table, table.rows, None), 1, "{rel:?}");
    }
    // Children are no part of their parent's pages.
    pg.psql("CREATE TABLE child (more text) INHERITS (big); INSERT INTO child VALUES (0, 0, '', '')").unwrap();
    let (streams, asked) = split(&source, rel, &table, 4);
    let found = ids(&all(streams).await.unwrap());
    assert_eq!((found.len(), asked.stats.splits()), (ROWS as usize + 1, 1));
    let family = table.columns[0].remote.family.clone();
    assert_eq!(family, Family::Int(32));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_readers_see_one_snapshot_while_rows_move() {
    let (pg, source, table) = big(&[]).await;
    let writer = pg.client().await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // Each transaction moves a value between two rows far apart, and the rows between pages.
    let writing = tokio::spawn(async move {
        let mut stopped = stopped;
        let mut commits = 0;
        while stopped.try_recv().is_err() {
            let (a, b) = (1 + commits % ROWS, ROWS - commits % ROWS);
            writer
                .batch_execute(&format!("BEGIN; UPDATE big SET v = v + 7 WHERE id = {a}; UPDATE big SET v = v - 7 WHERE id = {b}; COMMIT"))
                .await
                .unwrap();
            commits += 1;
        }
        commits
    });
    let (rel, _) = scan(&table);
    for _ in 0..5 {
        let (streams, asked) = split(&source, rel.clone(), &table, 4);
        let batches = all(streams).await.unwrap();
        every_row_once(&batches);
        let sum: i64 = batches.iter().flat_map(|b| b.column(1).as_primitive::<Int64Type>().values().to_vec()).sum();
        assert_eq!(sum, 0);
        assert!(asked.stats.splits() > 1);
    }
    stop.send(()).unwrap();
    assert!(writing.await.unwrap() > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_gets_new_files_while_the_query_begins_is_read_from_them() {
    let (pg, source, table) = big(&[]).await;
    let client = pg.client().await.unwrap();
    let writer = pg.client().await.unwrap();
    let (rel, _) = scan(&table);
    // The writer holds the table; the query takes its snapshot, in which the table still has its old file, and waits for the lock.
    writer
        .batch_execute("BEGIN; CREATE TEMP TABLE copy AS TABLE big; TRUNCATE big; INSERT INTO big SELECT id, v + 1, pad FROM copy")
        .await
        .unwrap();
    let (streams, asked) = split(&source, rel, &table, 4);
    let reading = tokio::spawn(all(streams));
    until("the query waits for the lock", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fjord' AND wait_event_type = 'Lock'";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    writer.batch_execute("COMMIT").await.unwrap();
    let batches = reading.await.unwrap().unwrap();
    every_row_once(&batches);
    assert!(batches.iter().all(|b| b.column(1).as_primitive::<Int64Type>().values().iter().all(|v| *v == 1)));
    assert!(asked.stats.splits() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_all_readers_and_an_error_of_one_is_the_querys() {
    // More than all the buffers on the way hold.
    let (pg, source, _) = big(&[]).await;
    pg.psql(
        "CREATE TABLE wide (id int, v bigint, pad text); ALTER TABLE wide ALTER pad SET STORAGE PLAIN;
         INSERT INTO wide SELECT i, 0, repeat('x', 3900) FROM generate_series(1, 20000) i; VACUUM ANALYZE wide",
    )
    .unwrap();
    let table = support::table(&source.introspect().await.unwrap(), "wide");
    let client = pg.client().await.unwrap();
    let (rel, _) = scan(&table);
    let (mut streams, asked) = split(&source, rel.clone(), &table, 3);
    for s in &mut streams {
        assert!(s.try_next().await.unwrap().is_some());
    }
    // Whether the source is still sending depends on how much the kernel's buffers hold.
    asked.cancel.cancel();
    let e = all(streams).await.unwrap_err();
    assert_eq!(e.state, SqlState::QUERY_CANCELED, "{e}");
    until("nothing runs", async || running(&client).await == 0).await;
    until("all connections are gone", async || source.pool().in_use == 0).await;
    assert!(asked.stats.was_cancelled());

    pg.psql("ALTER TABLE wide ADD n numeric; UPDATE wide SET n = 'NaN' WHERE id = 15000; VACUUM ANALYZE wide").unwrap();
    let table = support::table(&source.introspect().await.unwrap(), "wide");
    let (rel, _) = scan(&table);
    let (streams, asked) = split(&source, rel, &table, 4);
    let e = all(streams).await.unwrap_err();
    assert_eq!(e.state, SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "{e}");
    assert!(asked.stats.error().is_some());
    until("all connections are gone", async || source.pool().in_use == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_before_the_query_is_not_noticed_by_it() {
    let (mut pg, source, table) = big(&[]).await;
    let (rel, _) = scan(&table);
    for _ in 0..2 {
        let (streams, asked) = split(&source, rel.clone(), &table, 4);
        every_row_once(&tokio::time::timeout(Duration::from_secs(60), all(streams)).await.unwrap().unwrap());
        assert!(asked.stats.is_done());
        pg.restart().unwrap();
    }
}
