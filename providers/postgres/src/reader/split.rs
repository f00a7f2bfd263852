//! Reading a big table on several connections.
//!
//! The table's pages are cut into ranges (`ctid >= '(a,0)' AND ctid < '(b,0)'`, which PostgreSQL 14 and later read by a TID range scan); the last is
//! open at its end. All readers see one snapshot. A [`Coordinator`] has exported it, holds ACCESS SHARE on the table until all have ended, and has
//! checked that the table's file is the snapshot's. Readers take ranges from a queue: one that comes late, or finds no free connection, leaves its
//! share to the others, so nobody waits and no row depends on how many there are.
//!
//! A partitioned table is read by the same conditions on its root: a range takes these pages of every leaf. So rights, row security and the order of
//! columns are the root's, as for one reader; and the leaves are those that the coordinator has seen and locked: a table that is attached meanwhile
//! would otherwise be read from the next range on.
//!
//! Bounds: readers are at most those that were planned; connections beyond the first two are only taken while the pool has some to spare.

use std::collections::VecDeque;
use std::sync::Arc;

use fjord_engine::pushdown::{Family, Op, Rel, RemoteType, Scalar, Value};
use fjord_engine::source::{RemoteRequest, TableInfo, TableKind};
use fjord_engine::{Result, SqlState};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, mpsc};

use super::pages::{Range, Stored, Told, ranges};
use super::read::{Failure, Step, copy, pass_on, report, until_cancelled, whole};
use super::rows::Batches;
use super::snapshot::{self, ATTEMPTS, Coordinator};
use super::{By, Counters, Held, Job, ReaderStream};
use crate::error::is_broken;
use crate::pool::Connection;
use crate::source::{Inner, job_of, render};

/// A second reader pays from so much on, for each reader.
const READER_BYTES_MIN: u64 = 16 << 20;
/// The oldest server that scans a range of TIDs without reading the whole table.
const VERSION_MIN: u32 = 140_000;

/// Operators of ours: the table's page is at least, or less than, their argument.
pub(crate) const CTID_FROM: &str = "ctid_from";
pub(crate) const CTID_TO: &str = "ctid_to";
/// The row is of one of these leaves of a partitioned table.
pub(crate) const LEAVES: &str = "leaves";

/// How many readers a query is planned for: 1 where it is read as a whole.
pub(crate) fn readers(inner: &Inner, rel: &Rel, table: &TableInfo, rows: Option<u64>, most: Option<usize>) -> usize {
    let stored = matches!(table.kind, TableKind::Table | TableKind::MaterializedView | TableKind::Partitioned) && !table.row_security;
    let new_enough = inner.pool.facts().is_some_and(|f| f.version_num >= VERSION_MIN);
    let (Some(bytes), true, true, false) = (table.bytes, stored, new_enough, inner.pool.pooled()) else { return 1 };
    if scanned(rel).is_none() {
        return 1;
    }
    let read = match (rows, table.rows) {
        (Some(rows), Some(all)) if rows < all => u64::try_from(u128::from(bytes) * u128::from(rows) / u128::from(all)).unwrap_or(bytes),
        _ => bytes,
    };
    let most = most.unwrap_or(usize::MAX).min(inner.options.max_parallel_reads);
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

/// The same over a range of pages, of these leaves where it is partitioned.
fn within(rel: &Rel, (from, to): Range, leaves: &[u32]) -> Rel {
    match rel {
        Rel::Filter { input, predicate } => {
            Rel::Filter { input: Box::new(within(input, (from, to), leaves)), predicate: predicate.clone() }
        }
        Rel::Project { input, exprs } => Rel::Project { input: Box::new(within(input, (from, to), leaves)), exprs: exprs.clone() },
        scan => {
            let ty = RemoteType {
                name: "bigint".into(),
                family: Family::Int(64),
                arrow: arrow::datatypes::DataType::UInt64,
                nullable: false,
                text: None,
            };
            let number = |n: u64| Scalar::Literal(Value::UInt(n), ty.clone());
            let call = |name: &str, args| Scalar::call(Op::Source(name.into()), args, RemoteType::boolean(false));
            let mut all = vec![];
            if from > 0 {
                all.push(call(CTID_FROM, vec![number(from)]));
            }
            if let Some(to) = to {
                all.push(call(CTID_TO, vec![number(to)]));
            }
            if !leaves.is_empty() {
                all.push(call(LEAVES, leaves.iter().map(|l| number(u64::from(*l))).collect()));
            }
            let predicate = if all.len() == 1 { all.remove(0) } else { Scalar::call(Op::And, all, RemoteType::boolean(false)) };
            Rel::Filter { input: Box::new(scan.clone()), predicate }
        }
    }
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
    /// Taken by the one reader, where there are not several.
    single: Mutex<Option<Connection>>,
    left: Mutex<Left>,
}

/// What is left to do.
#[derive(Default)]
struct Left {
    ranges: VecDeque<Range>,
    /// Of a partitioned table.
    leaves: Arc<[u32]>,
    spare: Vec<Connection>,
    reading: usize,
    /// There until all have ended.
    coordinator: Option<Arc<Coordinator>>,
}

impl Split {
    /// As many streams as there are readers.
    pub(crate) fn streams(
        inner: &Arc<Inner>,
        request: &RemoteRequest,
        rel: Rel,
        readers: usize,
    ) -> Vec<datafusion::execution::SendableRecordBatchStream> {
        let schema = request.schema.clone();
        let split = Arc::new(Split { inner: inner.clone(), request: request.clone(), rel, readers, begun: OnceCell::new() });
        (0..readers)
            .map(|_| {
                let split = split.clone();
                ReaderStream::start(schema.clone(), Box::new(move |tx| Box::pin(async move { split.work(tx).await })), By::Task)
            })
            .collect()
    }

    async fn work(self: Arc<Split>, tx: mpsc::Sender<Result<Held>>) {
        let counters = Counters::new(&self.request.stats);
        self.read(tx).await;
        counters.done();
    }

    async fn read(&self, tx: mpsc::Sender<Result<Held>>) {
        let begun = match self.begun.get_or_init(|| self.begin()).await {
            Ok(begun) => begun,
            Err(e) => {
                self.request.stats.failed(e.message.clone());
                let _ = tx.send(Err(e.clone())).await;
                return;
            }
        };
        let job = &begun.job;
        let single = begun.single.lock().take();
        if let Some(connection) = single {
            let (pool, origin) = (&self.inner.pool, &self.inner.origin);
            let outcome = until_cancelled(job, whole(pool, origin, job, Some(connection), &tx)).await;
            report(job, outcome, &tx).await;
            return;
        }
        let Some(reader) = Reader::enter(begun) else { return };
        let outcome = until_cancelled(job, self.ranges(begun, &tx)).await;
        let last = reader.leave();
        match outcome {
            Ok(()) if last => job.stats.finished(),
            Ok(()) => {}
            failed => report(job, failed, &tx).await,
        }
    }

    /// Decides how to read, and makes the connections for it.
    async fn begin(&self) -> Result<Begun> {
        let job = job_of(&self.inner, self.request.clone()).await?;
        let pool = &self.inner.pool;
        let shared = snapshot::of_query(pool, &self.inner.origin, &job.scope).await?;
        let first = pool.acquire().await?;
        let single = |job, connection| Begun { job, single: Mutex::new(Some(connection)), left: Mutex::default() };
        job.stats.sent(&job.text);
        // Those that are free now; made while the coordinator begins.
        let extras = futures::future::join_all((0..self.readers).map(|_| pool.acquire_extra()));
        let (coordinated, extras) = tokio::join!(self.coordinate(&job, first, shared.as_deref()), extras);
        let spare: Vec<Connection> = extras.into_iter().flatten().collect();
        let (coordinator, stored) = match coordinated? {
            Ok(both) => both,
            Err(connection) => {
                spare.into_iter().for_each(Connection::release);
                let connection = match connection {
                    Some(c) => c,
                    None => pool.acquire().await?,
                };
                return Ok(single(job, connection));
            }
        };
        let ranges = ranges(&stored.pages, spare.len());
        if ranges.is_empty() {
            spare.into_iter().for_each(Connection::release);
            let connection = match coordinator.into_connection().await {
                Some(c) => c,
                None => pool.acquire().await?,
            };
            return Ok(single(job, connection));
        }
        job.stats.split(ranges.len());
        let left = Left { ranges, leaves: stored.leaves.into(), spare, reading: 0, coordinator: Some(Arc::new(coordinator)) };
        Ok(Begun { job, single: Mutex::new(None), left: Mutex::new(left) })
    }

    /// A coordinator for the table and the table's pages; the inner error gives the connection back: to be read as a whole.
    async fn coordinate(
        &self,
        job: &Job,
        mut connection: Connection,
        shared: Option<&Coordinator>,
    ) -> Result<Result<(Coordinator, Stored), Option<Connection>>> {
        let origin = &self.inner.origin;
        let Some((schema, table)) = scanned(&self.rel) else { return Ok(Err(Some(connection))) };
        let questions = Stored::questions(&job.text, schema, table)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let reused = connection.reused;
            let (coordinator, answers) = match Coordinator::begin(connection, shared, &questions).await {
                Ok(begun) => begun,
                Err(e) if is_broken(&e) && !(reused && attempt < ATTEMPTS) => return Err(origin.running(&e)),
                Err(e) if is_broken(&e) => {
                    self.inner.pool.forget_idle();
                    connection = self.inner.pool.acquire().await?;
                    continue;
                }
                // Not every platform exports snapshots. If the query itself is wrong, it will say so when it runs.
                Err(_) => return Ok(Err(None)),
            };
            let again = match Stored::of(&answers) {
                Told::Ranges(stored) => return Ok(Ok((coordinator, stored))),
                Told::Whole => false,
                Told::Rewritten => true,
            };
            let Some(free) = coordinator.into_connection().await else { return Ok(Err(None)) };
            if !again {
                return Ok(Err(Some(free)));
            }
            if attempt >= ATTEMPTS || shared.is_some() {
                let tables = [(schema.to_string(), table.to_string())];
                return Err(snapshot::rewritten(origin, &tables));
            }
            connection = free;
        }
    }

    /// Reads ranges until none is left.
    async fn ranges(&self, begun: &Begun, tx: &mpsc::Sender<Result<Held>>) -> Result<()> {
        let (origin, job) = (&self.inner.origin, &begun.job);
        let Some(coordinator) = begun.left.lock().coordinator.clone() else { return Ok(()) };
        let Some(mut connection) = begun.left.lock().spare.pop() else { return Ok(()) };
        let leaves = begun.left.lock().leaves.clone();
        let mut batches = Batches::new(origin, job)?;
        let (mut opened, mut sent) = (false, false);
        loop {
            let range = begun.left.lock().ranges.pop_front();
            let Some(range) = range else { break };
            if !coordinator.alive() {
                return Err(origin
                    .error(SqlState::CONNECTION_FAILURE, "the transaction whose snapshot is read has ended")
                    .hint("Run the query again."));
            }
            // What has tightened since the last range goes with this one.
            let narrowed = self.request.narrowing.as_ref().map(|n| n.now());
            let (text, _) = render(&self.inner, &within(narrowed.as_ref().unwrap_or(&self.rel), range, &leaves))?;
            loop {
                let step = Step {
                    opening: (!opened).then(|| coordinator.import()),
                    unchanged: &[],
                    verify: if opened { &[] } else { &job.verify },
                    describe: !opened,
                    text: &text,
                    closing: None,
                };
                match copy(&mut connection, origin, job, &mut batches, step, tx, &mut sent).await {
                    Ok(()) => break,
                    Err(Failure::Ours(e)) => return Err(e),
                    // It had died while it was idle.
                    Err(Failure::Driver(e)) if is_broken(&e) && connection.reused && !opened && !sent && !batches.pending() => {
                        self.inner.pool.forget_idle();
                        connection = self.inner.pool.acquire_alive().await?;
                        connection.reused = false;
                    }
                    Err(Failure::Driver(e)) => return Err(origin.running(&e)),
                }
            }
            opened = true;
        }
        if opened {
            let ended = connection.client()?.batch_execute("COMMIT").await;
            ended.map_err(|e| origin.running(&e))?;
        }
        connection.release();
        batches.finish()?;
        pass_on(&mut batches, job, tx, &mut sent).await
    }
}

/// One of those that read, as long as it does: the last to leave ends the snapshot.
struct Reader<'a>(&'a Begun, bool);

impl<'a> Reader<'a> {
    /// `None`: nothing is left to read.
    fn enter(begun: &'a Begun) -> Option<Reader<'a>> {
        let mut left = begun.left.lock();
        if left.ranges.is_empty() || left.spare.is_empty() {
            return None;
        }
        left.reading += 1;
        Some(Reader(begun, false))
    }

    /// Whether it was the last.
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
        if last {
            left.coordinator = None;
            let spare = std::mem::take(&mut left.spare);
            drop(left);
            spare.into_iter().for_each(Connection::release);
        }
        last
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
