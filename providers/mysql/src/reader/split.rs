//! Reading a big table on several connections, by ranges of its primary key, in one snapshot.
//!
//! Neither server exports a snapshot. So the table is locked against writing (`LOCK TABLES t READ`) for as long as it takes to open a transaction
//! WITH CONSISTENT SNAPSHOT on each connection: no commit falls between two of them, so what they see of the table is the same. Writers of the source
//! wait that long, and while the lock itself waits for one of them; hence a table is split only where the option `max_parallel_reads` says so, and a
//! lock that does not come at once is given up. Without the right, or on a table that has no snapshots (MyISAM), one connection reads.
//!
//! Readers take ranges from a queue: one that comes late leaves its share to the others. A metadata lock keeps the table's definition until all have ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use datafusion::execution::SendableRecordBatchStream;
use fjord_engine::Result;
use fjord_engine::pushdown::{Family, Op, Rel, RemoteType, Scalar, ScanColumn, Value};
use fjord_engine::source::{ColumnInfo, RemoteRequest, TableInfo, TableKind};
use futures::future::{join_all, try_join_all};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, mpsc};

use super::read::{Failure, Statement, report, stream, until_cancelled, whole};
use super::{Counters, Held, Job, ReaderStream};
use crate::error::is_broken;
use crate::pool::Connection;
use crate::render::{column_name, render, table_name, text_literal};
use crate::source::{Inner, plan};
use crate::wire::{Fault, TextRow};

/// A further reader pays from so much on.
const READER_BYTES_MIN: u64 = 16 << 20;
/// Ranges for each reader, so that one that is slow does not hold up the others.
const RANGES_PER_READER: i128 = 4;
/// How long the source's writers may wait for us: for the lock, in whole seconds (the servers know no less), and while it is held.
const LOCK_WAIT_SECONDS: u32 = 1;
const LOCKED_MAX: Duration = Duration::from_secs(3);

/// ER_DBACCESS_DENIED, ER_TABLEACCESS_DENIED, ER_SPECIFIC_ACCESS_DENIED: the user may not lock tables.
const DENIED: [u16; 3] = [1044, 1142, 1227];

/// Keys from one on and before another.
type Range = (Option<i128>, Option<i128>);

/// How many readers a query is planned for: 1 where it is read as a whole.
pub(crate) fn readers(inner: &Inner, rel: &Rel, table: &TableInfo, rows: Option<u64>, most: Option<usize>) -> usize {
    let most = most.unwrap_or(usize::MAX).min(inner.options.max_parallel_reads);
    if most < 2 || inner.lock_denied.load(Ordering::Relaxed) {
        return 1;
    }
    let (Some(bytes), TableKind::Table, Some(_), Some(_)) = (table.bytes, table.kind, scanned(rel), key_of(table)) else { return 1 };
    let read = match (rows, table.rows) {
        (Some(rows), Some(all)) if rows < all => u64::try_from(u128::from(bytes) * u128::from(rows) / u128::from(all)).unwrap_or(bytes),
        _ => bytes,
    };
    usize::try_from(read / READER_BYTES_MIN).unwrap_or(usize::MAX).min(most).max(1)
}

/// The table of a plain scan; `None` for whatever needs all rows at once.
fn scanned(rel: &Rel) -> Option<(&str, &str)> {
    match rel {
        Rel::Scan { schema, table, .. } => Some((schema, table)),
        Rel::Filter { input, .. } | Rel::Project { input, .. } => scanned(input),
        _ => None,
    }
}

/// The column that is the primary key, if it is one integer.
fn key_of(table: &TableInfo) -> Option<&ColumnInfo> {
    let key = table.keys.iter().find(|k| k.primary)?;
    let [column] = key.columns.as_slice() else { return None };
    let column = table.columns.get(*column)?;
    let integer = matches!(column.remote.family, Family::Int(_) | Family::UInt(_));
    (integer && column.remote.name.contains("int")).then_some(column)
}

/// The same over a range of keys.
fn within(rel: &Rel, key: &ColumnInfo, range: Range) -> Rel {
    match rel {
        Rel::Filter { input, predicate } => Rel::Filter { input: Box::new(within(input, key, range)), predicate: predicate.clone() },
        Rel::Project { input, exprs } => Rel::Project { input: Box::new(within(input, key, range)), exprs: exprs.clone() },
        Rel::Scan { schema, table, columns } => {
            let (mut columns, width) = (columns.clone(), columns.len());
            let at = columns.iter().position(|c| &c.name == key.field.name()).unwrap_or(width);
            if at == width {
                columns.push(ScanColumn { name: key.field.name().clone(), ty: key.remote.clone() });
            }
            let side = |op: Op, bound: i128| {
                let value = i64::try_from(bound).map(Value::Int).or_else(|_| u64::try_from(bound).map(Value::UInt)).unwrap_or(Value::Null);
                Scalar::call(op, vec![Scalar::Column(at), Scalar::Literal(value, key.remote.clone())], RemoteType::boolean(false))
            };
            let sides: Vec<Scalar> = range.0.map(|b| side(Op::GtEq, b)).into_iter().chain(range.1.map(|b| side(Op::Lt, b))).collect();
            let predicate = match <[Scalar; 1]>::try_from(sides) {
                Ok([one]) => one,
                Err(both) => Scalar::call(Op::And, both, RemoteType::boolean(false)),
            };
            let scan = Rel::Scan { schema: schema.clone(), table: table.clone(), columns };
            let filtered = Rel::Filter { input: Box::new(scan), predicate };
            match at < width {
                true => filtered,
                false => Rel::Project { input: Box::new(filtered), exprs: (0..width).map(Scalar::Column).collect() },
            }
        }
        other => other.clone(),
    }
}

/// All keys as ranges, the first without a beginning, the last without an end. Empty where one reader is as good.
fn ranges(least: i128, greatest: i128, readers: usize) -> VecDeque<Range> {
    let wanted = i128::try_from(readers).unwrap_or(1) * RANGES_PER_READER;
    let size = ((greatest - least) / wanted.max(1) + 1).max(1);
    let bounds: Vec<i128> = (1..wanted).map(|i| least + i * size).take_while(|b| *b <= greatest).collect();
    if bounds.is_empty() || readers < 2 {
        return VecDeque::new();
    }
    let froms = std::iter::once(None).chain(bounds.iter().copied().map(Some));
    froms.zip(bounds.iter().copied().map(Some).chain([None])).collect()
}

/// One query that several streams read.
pub(crate) struct Split {
    inner: Arc<Inner>,
    request: RemoteRequest,
    rel: Rel,
    readers: usize,
    begun: OnceCell<Result<Begun>>,
}

/// How it is read.
struct Begun {
    job: Job,
    /// Whoever takes it reads all, where there are not several.
    whole: Mutex<bool>,
    left: Mutex<Left>,
}

/// What is left to do.
#[derive(Default)]
struct Left {
    table: Option<Arc<TableInfo>>,
    ranges: VecDeque<Range>,
    spare: Vec<Connection>,
    reading: usize,
}

impl Split {
    /// As many streams as there are readers.
    pub(crate) fn streams(inner: &Arc<Inner>, request: &RemoteRequest, rel: Rel, readers: usize) -> Vec<SendableRecordBatchStream> {
        let split = Arc::new(Split { inner: inner.clone(), request: request.clone(), rel, readers, begun: OnceCell::new() });
        let one = |_| {
            let split = split.clone();
            ReaderStream::start(request.schema.clone(), Box::new(move |tx| Box::pin(async move { split.work(tx).await })))
        };
        (0..readers).map(one).collect()
    }

    async fn work(self: Arc<Split>, tx: mpsc::Sender<Result<Held>>) {
        let counters = Counters(Some(self.request.stats.clone()));
        self.read(&tx).await;
        counters.done();
    }

    async fn read(&self, tx: &mpsc::Sender<Result<Held>>) {
        let begun = match self.begun.get_or_init(|| self.begin()).await {
            Ok(begun) => begun,
            Err(e) => {
                self.request.stats.failed(e.message.clone());
                let _ = tx.send(Err(e.clone())).await;
                return;
            }
        };
        let (job, origin) = (&begun.job, &self.inner.origin);
        if std::mem::take(&mut *begun.whole.lock()) {
            let outcome = until_cancelled(job, origin, whole(&self.inner.pool, origin, job, tx)).await;
            return report(job, outcome, tx).await;
        }
        let Some((reader, connection)) = Reader::enter(begun) else { return };
        let outcome = until_cancelled(job, origin, self.ranges(begun, connection, tx)).await;
        let last = reader.leave();
        match outcome {
            Ok(()) if !last => {}
            outcome => report(job, outcome, tx).await,
        }
    }

    /// Decides how to read, and opens the snapshots for it.
    async fn begin(&self) -> Result<Begun> {
        let job = plan(&self.inner, self.request.clone()).await?;
        let Some((left, splits)) = self.snapshots(&job).await? else {
            return Ok(Begun { job, whole: Mutex::new(true), left: Mutex::default() });
        };
        job.stats.sent(&job.text);
        job.stats.split(splits);
        Ok(Begun { job, whole: Mutex::new(false), left: Mutex::new(left) })
    }

    /// Snapshots that are one; `None`: it is read as a whole, by whatever connection there is then.
    async fn snapshots(&self, job: &Job) -> Result<Option<(Left, usize)>> {
        let (pool, origin) = (&self.inner.pool, &self.inner.origin);
        let Some((schema, name)) = scanned(&self.rel) else { return Ok(None) };
        let Some(table) = job.facts.table(schema, name) else { return Ok(None) };
        let Some(key) = key_of(&table) else { return Ok(None) };
        let mut locker = pool.acquire_alive().await?;
        let mut spare: Vec<Connection> = join_all((0..self.readers).map(|_| pool.acquire_extra())).await.into_iter().flatten().collect();
        if spare.len() < 2 {
            spare.into_iter().for_each(Connection::release);
            locker.release();
            return Ok(None);
        }
        let target = Target { schema: text_literal(schema)?, table: text_literal(name)?, name: table_name(schema, name)? };
        let opened = tokio::time::timeout(LOCKED_MAX, open(&mut locker, &mut spare, &target, key)).await;
        let edges = match opened {
            Ok(Ok(edges)) => edges,
            // A right is missing, or a writer is in the way.
            Ok(Err(Fault::Server(e))) if !is_broken(&Fault::Server(e.clone())) => {
                if DENIED.contains(&e.code) {
                    self.inner.lock_denied.store(true, Ordering::Relaxed);
                }
                None
            }
            // What runs is stopped when its connection is dropped; the one reader says what is wrong.
            Ok(Err(_)) | Err(_) => return Ok(None),
        };
        let Some((least, greatest)) = edges else {
            // In a transaction, or with a lock: nobody uses them again.
            std::iter::once(locker).chain(spare).for_each(Connection::discard);
            return Ok(None);
        };
        if !job.verify.is_empty() {
            locker.busy = true;
            let now = job.facts.ask(locker.conn()?, &job.verify).await.map_err(|e| origin.running(&e))?;
            locker.busy = false;
            job.facts.check_answer(origin, &job.verify, &now)?;
        }
        locker.release();
        let ranges = ranges(least, greatest, spare.len());
        if ranges.is_empty() {
            return Ok(None);
        }
        let splits = ranges.len();
        Ok(Some((Left { table: Some(table.clone()), ranges, spare, reading: 0 }, splits)))
    }

    /// Reads ranges until none is left.
    async fn ranges(&self, begun: &Begun, mut connection: Connection, tx: &mpsc::Sender<Result<Held>>) -> Result<()> {
        let (origin, job) = (&self.inner.origin, &begun.job);
        let table = begun.left.lock().table.clone();
        let Some(key) = table.as_deref().and_then(key_of) else { return Ok(()) };
        let mut sent = false;
        loop {
            let range = begun.left.lock().ranges.pop_front();
            let Some(range) = range else { break };
            // What has tightened since the last range goes with this one.
            let narrowed = self.request.narrowing.as_ref().map(|n| n.now());
            let text = render(&within(narrowed.as_ref().unwrap_or(&self.rel), key, range))?.text;
            connection.busy = true;
            match stream(&mut connection, origin, job, Statement { text: &text, values: &[] }, tx, &mut sent).await {
                Ok(()) => {}
                Err(Failure::Ours(e)) => return Err(e),
                Err(Failure::Wire(fault)) => return Err(origin.running(&fault)),
            }
        }
        connection.busy = true;
        connection.conn()?.query("COMMIT").await.map_err(|e| origin.running(&e))?;
        connection.busy = false;
        connection.release();
        Ok(())
    }
}

/// One of those that read, as long as it does: the last to leave closes what is left.
struct Reader<'a>(&'a Begun, bool);

impl<'a> Reader<'a> {
    /// `None`: nothing is left to read.
    fn enter(begun: &'a Begun) -> Option<(Reader<'a>, Connection)> {
        let mut left = begun.left.lock();
        if left.ranges.is_empty() {
            return None;
        }
        let connection = left.spare.pop()?;
        left.reading += 1;
        Some((Reader(begun, false), connection))
    }

    /// Whether it was the last, and all is read.
    fn leave(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        if std::mem::replace(&mut self.1, true) {
            return false;
        }
        let mut left = self.0.left.lock();
        left.reading -= 1;
        let last = left.reading == 0 && left.ranges.is_empty();
        let spare = if last { std::mem::take(&mut left.spare) } else { vec![] };
        drop(left);
        // Each is in a transaction that nobody needs.
        spare.into_iter().for_each(Connection::discard);
        last
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// The table, in the words of the source.
struct Target {
    schema: String,
    table: String,
    name: String,
}

/// Locks the table, opens a snapshot on each connection, and lets go of the lock. The least and the greatest key; `None` where there is nothing to split.
async fn open(locker: &mut Connection, spare: &mut [Connection], target: &Target, key: &ColumnInfo) -> Result<Option<(i128, i128)>, Fault> {
    let Target { schema, table, name } = target;
    locker.busy = true;
    spare.iter_mut().for_each(|c| c.busy = true);
    let Ok(conn) = locker.conn() else { return Ok(None) };
    let which = format!("TABLE_SCHEMA = {schema} AND TABLE_NAME = {table}");
    let engine = conn.query(&format!("SELECT ENGINE FROM information_schema.TABLES WHERE {which}")).await?;
    if engine.first().and_then(|r| r.text(0)) != Some("InnoDB") {
        locker.busy = false;
        spare.iter_mut().for_each(|c| c.busy = false);
        return Ok(None);
    }
    conn.query(&format!("SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}")).await?;
    conn.query(&format!("LOCK TABLES {name} READ")).await?;
    try_join_all(spare.iter_mut().map(|c| snapshot(c, name))).await?;
    let Ok(conn) = locker.conn() else { return Ok(None) };
    conn.query("UNLOCK TABLES").await?;
    conn.query("SET SESSION lock_wait_timeout = DEFAULT").await?;
    locker.busy = false;
    let Some(Ok(conn)) = spare.first_mut().map(Connection::conn) else { return Ok(None) };
    let Ok(column) = column_name(key.field.name()) else { return Ok(None) };
    let edges = conn.query(&format!("SELECT MIN({column}), MAX({column}) FROM {name}")).await?;
    spare.iter_mut().for_each(|c| c.busy = false);
    let edge = |i: usize| edges.first().and_then(|r: &TextRow| r.text(i)).and_then(|v| v.parse::<i128>().ok());
    Ok(edge(0).zip(edge(1)))
}

/// A transaction that sees the table as it is now. Whatever the server's isolation level is: below REPEATABLE READ there would be no snapshot.
async fn snapshot(connection: &mut Connection, name: &str) -> Result<(), Fault> {
    let Ok(conn) = connection.conn() else { return Ok(()) };
    conn.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    conn.query("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    // Takes the metadata lock: from here on nobody alters or truncates the table.
    conn.query(&format!("SELECT 1 FROM {name} LIMIT 0")).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_all_keys_once() {
        for (least, greatest) in [(0, 0), (1, 2), (-5, 40), (i128::from(i64::MIN), i128::from(u64::MAX)), (0, i128::from(u64::MAX))] {
            for readers in 0..9 {
                let ranges = ranges(least, greatest, readers);
                assert!(ranges.len() != 1 && ranges.len() <= readers * 4, "{least} {greatest} {readers}");
                let mut next = None;
                for (from, to) in &ranges {
                    assert_eq!(*from, next);
                    assert!(to.is_none_or(|t| t > least && t <= greatest && from.is_none_or(|f| f < t)));
                    next = *to;
                }
                assert_eq!(next, None);
            }
        }
        assert!(ranges(7, 7, 4).is_empty() && ranges(1, 1_000, 1).is_empty());
        assert_eq!(ranges(1, 1_000, 2).len(), 8);
    }
}
