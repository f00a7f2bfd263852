//! Rows that nobody takes go to disk, so that their source need not wait.
//!
//! A client that stops reading (a cursor that is left alone, a socket that is full) stops the stream of its query, and with it the source, whose
//! transaction stays open: it keeps old row versions from being cleaned up there, and a connection from others. So where the consumer has taken no batch
//! for `fjord.spill_after`, a task reads the rest in its place and lays it down in [`disk`]; whoever comes back finds first what lies there. Rows and their
//! order, and an error at their end, are the same.
//!
//! A query that keeps no source busy is left alone: nothing is won by computing it ahead. Where there is no room, or the disk fails, the rest stays where
//! it is, as if there were no spilling, and the client is told (WARNING): a query never fails because its rows could not be put aside.
//!
//! Who reads keeps the pace costs nothing: no task, no timer, no copy. [`watch`] looks at the running queries a few times a second.

mod disk;

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};

pub(crate) use disk::Disk;
use disk::{Extent, Writer};

use super::Settings;
use super::registry::QueryRecord;
use crate::engine::Engine;
use crate::error::{Result, SqlError};
use crate::source::{Notice, QueryScope, Severity};

/// How often the running queries are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Rows are gathered up to so much before they are written: batches of a source that is slow may have one row each.
const WRITE_BYTES: usize = 1 << 20;
/// And so many batches.
const WRITE_BATCHES: usize = 1_000;
/// `idle_since`: the consumer waits for rows.
const WAITING: u64 = u64::MAX;

/// What a session wants put aside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    after: Duration,
    bytes_max: u64,
}

impl Limits {
    /// `None`: never.
    pub(crate) fn of(settings: &Settings) -> Option<Limits> {
        let bytes_max = settings.bytes("fjord.spill_size_max").filter(|b| *b > 0)?;
        Some(Limits { after: settings.duration("fjord.spill_after")?, bytes_max })
    }
}

/// Looks after the queries of an engine, as long as there is one.
pub(crate) async fn watch(engine: Weak<Engine>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(engine) = engine.upgrade() else { return };
        for query in engine.queries.running() {
            if let Some(rows) = query.waiting_rows() {
                rows.spill_if_idle();
            }
        }
    }
}

/// The same rows, of which the rest goes to disk where nobody takes them.
pub(crate) struct SpillingStream {
    rows: Arc<Waiting>,
    /// Of `rows`: tells when they can go on.
    waker: Waker,
    /// A batch that is being read back.
    reading: Option<JoinHandle<Result<RecordBatch>>>,
}

/// What the consumer and the task that reads in its place share.
pub(crate) struct Waiting {
    schema: SchemaRef,
    limits: Limits,
    disk: Arc<Disk>,
    threads: Handle,
    scope: Arc<QueryScope>,
    record: Arc<QueryRecord>,
    began: Instant,
    /// Since when there are rows (or may be) and nobody takes them: milliseconds after `began`.
    idle_since: AtomicU64,
    consumer: AtomicWaker,
    state: Mutex<State>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("limits", &self.limits).finish_non_exhaustive()
    }
}

struct State {
    /// What comes before the rest.
    ready: VecDeque<Part>,
    rest: Rest,
    task: Option<AbortHandle>,
}

enum Part {
    Memory(RecordBatch),
    Disk(Extent),
}

enum Rest {
    /// Read by the consumer.
    Here(SendableRecordBatchStream),
    /// Read by the task.
    Taken,
    Ended(Option<DataFusionError>),
}

impl SpillingStream {
    pub(crate) fn new(
        rows: SendableRecordBatchStream,
        limits: Limits,
        engine: &Engine,
        scope: Arc<QueryScope>,
        record: Arc<QueryRecord>,
    ) -> Result<SpillingStream> {
        let waiting = Arc::new(Waiting {
            schema: rows.schema(),
            limits,
            disk: engine.spill.clone(),
            threads: engine.compute.handle()?.clone(),
            scope,
            record,
            began: Instant::now(),
            idle_since: AtomicU64::new(0),
            consumer: AtomicWaker::new(),
            state: Mutex::new(State { ready: VecDeque::new(), rest: Rest::Here(rows), task: None }),
        });
        waiting.record.rows_wait(Arc::downgrade(&waiting));
        Ok(SpillingStream { waker: Waker::from(waiting.clone()), rows: waiting, reading: None })
    }

    fn poll_rows(&mut self) -> Poll<Option<DfResult<RecordBatch>>> {
        let cx = &mut Context::from_waker(&self.waker);
        loop {
            if let Some(reading) = &mut self.reading {
                let read = std::task::ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                let read = read.unwrap_or_else(|e| Err(SqlError::internal(format!("a spilled batch was not read: {e}"))));
                return Poll::Ready(Some(read.map_err(DataFusionError::from)));
            }
            let mut state = self.rows.state.lock();
            match state.ready.pop_front() {
                Some(Part::Memory(batch)) => return Poll::Ready(Some(Ok(batch))),
                Some(Part::Disk(extent)) => {
                    // Not on this thread: the disk may take its time.
                    let schema = self.rows.schema.clone();
                    self.reading = Some(self.rows.threads.spawn_blocking(move || extent.read(schema)));
                    continue;
                }
                None => {}
            }
            return match &mut state.rest {
                Rest::Here(rows) => {
                    let next = std::task::ready!(rows.as_mut().poll_next(cx));
                    if !matches!(next, Some(Ok(_))) {
                        state.rest = Rest::Ended(None);
                    }
                    Poll::Ready(next)
                }
                Rest::Taken => Poll::Pending,
                Rest::Ended(error) => Poll::Ready(error.take().map(Err)),
            };
        }
    }
}

impl Stream for SpillingStream {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let me = self.as_mut().get_mut();
        me.rows.consumer.register(cx.waker());
        me.rows.idle_since.store(WAITING, Ordering::SeqCst);
        let next = me.poll_rows();
        if next.is_ready() {
            me.rows.idle_since.store(me.rows.now(), Ordering::SeqCst);
        }
        next
    }
}

impl RecordBatchStream for SpillingStream {
    fn schema(&self) -> SchemaRef {
        self.rows.schema.clone()
    }
}

impl Drop for SpillingStream {
    fn drop(&mut self) {
        let mut state = self.rows.state.lock();
        if let Some(task) = state.task.take() {
            task.abort();
        }
        // The task may hold on to the rest of us until it is next polled: files and rows go now.
        let gone = (mem::take(&mut state.ready), mem::replace(&mut state.rest, Rest::Ended(None)));
        drop(state);
        drop(gone);
    }
}

/// There may be rows now: from here on it is the consumer who makes them wait.
impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        let _ = self.idle_since.compare_exchange(WAITING, self.now(), Ordering::SeqCst, Ordering::SeqCst);
        self.consumer.wake();
    }
}

impl Waiting {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(WAITING - 1)
    }

    fn spill_if_idle(self: Arc<Self>) {
        let since = self.idle_since.load(Ordering::SeqCst);
        let idle = since != WAITING && u128::from(self.now().saturating_sub(since)) >= self.limits.after.as_millis();
        if !idle || !self.scope.keeps_sources_busy() {
            return;
        }
        // Locked: the consumer is at work.
        let Some(mut state) = self.state.try_lock() else { return };
        // What was put aside before is still there: there was no room for more.
        if !state.ready.is_empty() || !matches!(state.rest, Rest::Here(_)) {
            return;
        }
        let Rest::Here(rows) = mem::replace(&mut state.rest, Rest::Taken) else { return };
        tracing::debug!(query_id = self.record.id, "the client takes no rows: the rest is put aside");
        state.task = Some(self.threads.spawn(Taking(self.clone()).run(rows)).abort_handle());
    }
}

/// The task that reads in the consumer's place.
struct Taking(Arc<Waiting>);

impl Taking {
    async fn run(self, mut rows: SendableRecordBatchStream) {
        let me = &self.0;
        let mut writer = Writer::new(me.disk.clone(), me.limits.bytes_max);
        let rest = loop {
            match rows.next().await {
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => {
                    if let Err(why) = self.put(batch, &mut writer) {
                        self.no_room(&why);
                        break Rest::Here(rows);
                    }
                    if !me.scope.keeps_sources_busy() {
                        break Rest::Here(rows);
                    }
                }
                Some(Err(e)) => break Rest::Ended(Some(e)),
                None => break Rest::Ended(None),
            }
        };
        if matches!(rest, Rest::Ended(_)) {
            // Whatever else is held at the sources for this query.
            me.scope.leave_sources();
        }
        // Before anybody can see that it has ended: the last file is the reader's alone.
        drop(writer);
        me.state.lock().rest = rest;
        me.consumer.wake();
    }

    /// Behind what is there, on disk where it is enough. On an error all rows are there all the same, in memory.
    fn put(&self, batch: RecordBatch, writer: &mut Writer) -> Result<()> {
        let mut gathered = vec![];
        {
            let mut state = self.0.state.lock();
            state.ready.push_back(Part::Memory(batch));
            let in_memory = || state.ready.iter().rev().map_while(|p| if let Part::Memory(b) = p { Some(b) } else { None });
            let bytes: usize = in_memory().map(RecordBatch::get_array_memory_size).sum();
            let batches = in_memory().count();
            if bytes >= WRITE_BYTES || batches >= WRITE_BATCHES {
                let from = state.ready.len() - batches;
                gathered = state.ready.drain(from..).collect();
            }
        }
        if !gathered.is_empty() {
            let parts: Vec<RecordBatch> =
                gathered.into_iter().filter_map(|p| if let Part::Memory(b) = p { Some(b) } else { None }).collect();
            let all = concat_batches(&self.0.schema, &parts).map_err(DataFusionError::from)?;
            drop(parts);
            let (part, outcome) = match writer.write(&all) {
                Ok(extent) => {
                    self.0.record.add_spilled(extent.bytes());
                    (Part::Disk(extent), Ok(()))
                }
                Err(e) => (Part::Memory(all), Err(e)),
            };
            self.0.state.lock().ready.push_back(part);
            self.0.consumer.wake();
            return outcome;
        }
        self.0.consumer.wake();
        Ok(())
    }

    fn no_room(&self, why: &SqlError) {
        let me = &self.0;
        tracing::warn!(query_id = me.record.id, pid = me.record.pid, error = %why, "rows that a client does not take stay at their source");
        me.scope.notice(Notice {
            severity: Severity::Warning,
            state: why.state,
            message: why.message.clone(),
            detail: Some("The source of the query waits until its rows are read, and keeps its transaction open.".into()),
            hint: why.hint.clone(),
        });
    }
}

impl Drop for Taking {
    /// It ended otherwise (a panic, threads that stop): nobody shall wait for it.
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(state.rest, Rest::Taken) {
            state.rest = Rest::Ended(Some(SqlError::internal("the rest of the rows could not be put aside").into()));
            drop(state);
            self.0.consumer.wake();
        }
    }
}

#[cfg(test)]
mod tests;
