#![allow(clippy::unwrap_used, clippy::expect_used)]

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::error::SqlState;
use crate::session::SessionInfo;
use crate::source::RemoteStats;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("t", DataType::Utf8, true)]))
}

/// 100,000 bytes of it are text.
fn batch(n: i64) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..100).map(|i| n * 100 + i))),
        Arc::new(StringArray::from_iter_values((0..100).map(|_| "x".repeat(1_000)))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

struct World {
    scope: Arc<QueryScope>,
    remote: Arc<RemoteStats>,
    disk: Arc<Disk>,
    record: Arc<QueryRecord>,
    folder: tempfile::TempDir,
}

fn world() -> World {
    let scope = QueryScope::new(1, CancellationToken::new());
    let remote = RemoteStats::new("shop");
    scope.add_remote(remote.clone());
    let info = SessionInfo { user: "ann".into(), database: "fjord".into(), application_name: String::new(), client: String::new(), pid: 1 };
    let folder = tempfile::tempdir().unwrap();
    World { scope, remote, disk: Disk::new(Some(folder.path())), record: QueryRecord::new(1, &info, "", "SELECT"), folder }
}

impl World {
    fn stream(&self, rows: impl Stream<Item = DfResult<RecordBatch>> + Send + 'static, bytes_max: u64) -> SpillingStream {
        let rows: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema(), rows));
        let waiting = Arc::new(Waiting {
            schema: schema(),
            limits: Limits { after: Duration::ZERO, bytes_max },
            disk: self.disk.clone(),
            threads: Handle::current(),
            scope: self.scope.clone(),
            record: self.record.clone(),
            began: Instant::now(),
            idle_since: AtomicU64::new(0),
            consumer: AtomicWaker::new(),
            state: Mutex::new(State { ready: VecDeque::new(), rest: Rest::Here(rows), task: None }),
        });
        SpillingStream { waker: Waker::from(waiting.clone()), rows: waiting, reading: None }
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn not_taken(rows: &SpillingStream) -> bool {
    !matches!(rows.rows.state.lock().rest, Rest::Taken)
}

async fn rest(mut rows: SpillingStream) -> Vec<i64> {
    let mut all = vec![];
    while let Some(batch) = rows.next().await {
        all.extend(batch.unwrap().column(0).as_primitive::<Int64Type>().values());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_put_aside_and_comes_back_in_order() {
    let w = world();
    let mut rows = w.stream(futures::stream::iter((0..200).map(|n| Ok(batch(n)))), 1 << 30);
    let first = rows.next().await.unwrap().unwrap();
    assert_eq!(first, batch(0));
    rows.rows.clone().spill_if_idle();
    until("all is on disk", || not_taken(&rows)).await;
    assert!(w.disk.used() > 19_000_000, "{}", w.disk.used());
    assert_eq!(w.record.spilled(), w.disk.used());
    assert_eq!(std::fs::read_dir(w.folder.path().join("spill")).unwrap().count(), 0, "files have no names");
    assert_eq!(rest(rows).await, (100..20_000).collect::<Vec<i64>>());
    assert_eq!(w.disk.used(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_read_while_it_is_written_and_room_is_given_back() {
    let w = world();
    // 200 MB through room for 80 MB: files that have been read are gone.
    let slowly = futures::stream::iter(0..2_000).then(|n| async move {
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(batch(n))
    });
    let mut rows = w.stream(slowly, 80 << 20);
    rows.next().await.unwrap().unwrap();
    rows.rows.clone().spill_if_idle();
    assert_eq!(rest(rows).await, (100..200_000).collect::<Vec<i64>>());
    assert_eq!(w.disk.used(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_the_rest_stays_where_it_is() {
    let w = world();
    let mut rows = w.stream(futures::stream::iter((0..200).map(|n| Ok(batch(n)))), 5_000_000);
    rows.next().await.unwrap().unwrap();
    rows.rows.clone().spill_if_idle();
    until("the room is full", || not_taken(&rows)).await;
    assert!((3_000_000..=5_000_000).contains(&w.disk.used()), "{}", w.disk.used());
    let notice = w.scope.take_notices().remove(0);
    assert_eq!((notice.state, notice.severity), (SqlState::CONFIGURATION_LIMIT_EXCEEDED, Severity::Warning));
    assert!(notice.message.contains("fjord.spill_size_max (5000000 bytes)"), "{}", notice.message);
    // Not again before it has been read.
    rows.rows.clone().spill_if_idle();
    assert!(matches!(rows.rows.state.lock().rest, Rest::Here(_)));
    assert_eq!(rest(rows).await, (100..20_000).collect::<Vec<i64>>());
    assert_eq!(w.disk.used(), 0);

    w.disk.limit(1_000_000);
    let mut rows = w.stream(futures::stream::iter((0..200).map(|n| Ok(batch(n)))), 1 << 30);
    rows.next().await.unwrap().unwrap();
    rows.rows.clone().spill_if_idle();
    until("the room of all is full", || not_taken(&rows)).await;
    let notice = w.scope.take_notices().remove(0);
    assert_eq!(notice.state, SqlState::CONFIGURATION_LIMIT_EXCEEDED);
    assert!(notice.hint.unwrap().contains("[limits] spill"));
    assert_eq!(rest(rows).await, (100..20_000).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_loses_no_rows() {
    let w = world();
    std::fs::write(w.folder.path().join("spill"), "a file, where a folder should be").unwrap();
    let mut rows = w.stream(futures::stream::iter((0..200).map(|n| Ok(batch(n)))), 1 << 30);
    rows.next().await.unwrap().unwrap();
    rows.rows.clone().spill_if_idle();
    until("it has failed", || not_taken(&rows)).await;
    let notice = w.scope.take_notices().remove(0);
    assert_eq!(notice.state, SqlState::IO_ERROR);
    assert!(notice.message.starts_with("rows that wait for their client cannot be written to "), "{}", notice.message);
    assert_eq!(rest(rows).await, (100..20_000).collect::<Vec<i64>>());
    let full = w.disk.failed("written to", &io_error(std::io::ErrorKind::StorageFull));
    assert_eq!(full.state, SqlState::DISK_FULL);
}

fn io_error(kind: std::io::ErrorKind) -> std::io::Error {
    kind.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_the_end_comes_after_the_rows() {
    let w = world();
    let failing = (0..50).map(|n| if n < 40 { Ok(batch(n)) } else { Err(SqlError::new(SqlState::DIVISION_BY_ZERO, "no").into()) });
    let mut rows = w.stream(futures::stream::iter(failing), 1 << 30);
    rows.next().await.unwrap().unwrap();
    rows.rows.clone().spill_if_idle();
    until("it has ended", || not_taken(&rows)).await;
    let mut seen = 100;
    let e = loop {
        match rows.next().await.expect("an error") {
            Ok(b) => seen += b.num_rows(),
            Err(e) => break SqlError::from(e),
        }
    };
    assert_eq!((seen, e.state), (4_000, SqlState::DIVISION_BY_ZERO));
    assert!(rows.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_keeps_no_source_busy_is_left_alone() {
    let w = world();
    w.remote.finished();
    let mut rows = w.stream(futures::stream::iter((0..200).map(|n| Ok(batch(n)))), 1 << 30);
    rows.next().await.unwrap().unwrap();
    rows.rows.clone().spill_if_idle();
    assert!(matches!(rows.rows.state.lock().rest, Rest::Here(_)));
    // And one whose source has ended meanwhile is computed no further.
    let w = world();
    let remote = w.remote.clone();
    let ending = futures::stream::iter(0..200).map(move |n| {
        if n == 50 {
            remote.finished();
        }
        Ok(batch(n))
    });
    let mut rows = w.stream(ending, 1 << 30);
    rows.next().await.unwrap().unwrap();
    rows.rows.clone().spill_if_idle();
    until("its source has ended", || not_taken(&rows)).await;
    assert!(w.disk.used() < 6_000_000, "{}", w.disk.used());
    assert_eq!(rest(rows).await, (100..20_000).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_query_leaves_nothing() {
    let w = world();
    let endless = futures::stream::iter(0..).then(|n| async move {
        tokio::task::yield_now().await;
        Ok(batch(n))
    });
    let mut rows = w.stream(endless, 1 << 40);
    rows.next().await.unwrap().unwrap();
    rows.rows.clone().spill_if_idle();
    until("it writes", || w.disk.used() > 1_000_000).await;
    drop(rows);
    until("its files are gone", || w.disk.used() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_slow_source_is_not_idle() {
    let w = world();
    let (tx, rx) = tokio::sync::mpsc::channel::<DfResult<RecordBatch>>(4);
    let mut rows = w.stream(futures::stream::unfold(rx, |mut rx| async { rx.recv().await.map(|b| (b, rx)) }), 1 << 30);
    let shared = rows.rows.clone();
    let reading = tokio::spawn(async move { (rows.next().await.unwrap().unwrap(), rows) });
    until("it waits", || shared.idle_since.load(Ordering::SeqCst) == WAITING).await;
    shared.clone().spill_if_idle();
    assert!(matches!(shared.state.lock().rest, Rest::Here(_)));
    tx.send(Ok(batch(0))).await.unwrap();
    let (got, mut rows) = reading.await.unwrap();
    assert_eq!(got, batch(0));
    // The batch has been taken: from here on it is the consumer who is late,
    assert_ne!(shared.idle_since.load(Ordering::SeqCst), WAITING);
    // and who has been told of rows and does not come for them.
    assert!(rows.poll_next_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(shared.idle_since.load(Ordering::SeqCst), WAITING);
    tx.send(Ok(batch(1))).await.unwrap();
    assert_ne!(shared.idle_since.load(Ordering::SeqCst), WAITING);
    shared.clone().spill_if_idle();
    until("it is put aside", || !shared.state.lock().ready.is_empty()).await;
    assert_eq!(rows.next().await.unwrap().unwrap(), batch(1));
}
