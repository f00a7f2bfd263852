//! The reader: a prepared statement's binary rows into Arrow batches, streaming, bounded, killed when nobody listens any more.
//!
//! [`read`] runs one query on one connection, [`rows`] makes batches of what comes, [`column`] decodes.
//!
//! Bounds: a batch ends at the wanted number of rows or at [`BATCH_BYTES`]; [`READ_AHEAD`] batches wait for the consumer, one more is being built.
//! So a consumer that does not read has about 4 MiB read ahead of it here, and what the kernel's socket buffers hold. All of it is accounted in the
//! query's memory pool. A source that is slow does not hold rows back: what has come is passed on after [`LINGER`].

mod column;
mod decimal;
#[cfg(test)]
mod mutations;
mod read;
mod rows;
pub(crate) mod split;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryPool, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use fjord_engine::source::{QueryScope, RemoteStats};
use fjord_engine::{Result, SqlError, SqlState};
use futures::Stream;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::error::Origin;
use crate::facts::Facts;
use crate::options::ScanLimits;
use crate::render::Bound;
pub(crate) use read::run;

/// A batch ends when its rows took so many bytes on the wire.
const BATCH_BYTES: usize = 1 << 20;
/// Finished batches that wait for the consumer.
const READ_AHEAD: usize = 2;
/// The longest that rows wait for more before they are passed on.
const LINGER: Duration = Duration::from_millis(20);
/// How often a query is sent again, while no row of it has been passed on.
const RETRIES: u32 = 2;

/// What to run and how its columns are to be understood.
pub(crate) struct Job {
    /// The query.
    pub text: String,
    /// The same with parameters, where it is one that comes again.
    pub bound: Option<Bound>,
    /// What to deliver.
    pub schema: SchemaRef,
    /// The query that asks.
    pub scope: Arc<QueryScope>,
    /// Where rows in flight are accounted.
    pub memory: Arc<dyn MemoryPool>,
    /// Rows per batch.
    pub batch_rows: usize,
    /// Counters.
    pub stats: Arc<RemoteStats>,
    /// The text is a user's: the connection is thrown away afterwards.
    pub untrusted: bool,
    /// What the query rests on.
    pub facts: Arc<Facts>,
    /// Tables of it whose facts are asked again.
    pub verify: Vec<(String, String)>,
    /// What it reads.
    pub tables: Vec<(String, String)>,
    /// What it may bring at most.
    pub limits: ScanLimits,
}

impl Job {
    fn within_limits(&self, origin: &Origin) -> Result<()> {
        let (rows, bytes) = (self.stats.rows(), self.stats.bytes());
        if let Some(max) = self.limits.rows.filter(|max| rows > *max) {
            return Err(self.too_much(origin, "scan_max_rows", format!("{max} rows")));
        }
        if let Some(max) = self.limits.bytes.filter(|max| bytes > *max) {
            return Err(self.too_much(origin, "scan_max_bytes", format!("{max} bytes")));
        }
        Ok(())
    }

    fn too_much(&self, origin: &Origin, option: &str, limit: String) -> SqlError {
        let what = match self.tables.as_slice() {
            [] => "remote_query".to_string(),
            tables => tables.iter().map(|(s, t)| format!("\"{s}\".\"{t}\"")).collect::<Vec<_>>().join(", "),
        };
        origin
            .error(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("reading {what} passed {option} ({limit})"))
            .hint(format!("Narrow the query, so that the source returns less, or raise \"{option}\" of the connector."))
    }
}

/// The stream of a job. Nothing happens before its first poll; dropped, it kills the query at the source.
pub(crate) struct ReaderStream {
    schema: SchemaRef,
    state: State,
}

/// Works until all batches are in the channel.
pub(crate) type Work = Box<dyn FnOnce(mpsc::Sender<Result<Held>>) -> BoxFuture<'static, ()> + Send>;

enum State {
    Start(Option<Work>),
    Running(mpsc::Receiver<Result<Held>>, #[allow(dead_code)] SpawnedTask<()>),
    Ended,
}

/// A batch with the memory that it is accounted for until the consumer has it.
pub(crate) struct Held {
    batch: RecordBatch,
    _memory: MemoryReservation,
}

impl ReaderStream {
    /// A stream that has not begun.
    pub(crate) fn start(schema: SchemaRef, work: Work) -> SendableRecordBatchStream {
        Box::pin(ReaderStream { schema, state: State::Start(Some(work)) })
    }
}

impl RecordBatchStream for ReaderStream {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl Stream for ReaderStream {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Start(start) => {
                    let Some(work) = start.take() else { return Poll::Ready(None) };
                    let (tx, rx) = mpsc::channel(READ_AHEAD);
                    self.state = State::Running(rx, SpawnedTask::spawn(work(tx)));
                }
                State::Running(rx, _) => {
                    let next = std::task::ready!(rx.poll_recv(cx));
                    if !matches!(next, Some(Ok(_))) {
                        self.state = State::Ended;
                    }
                    return Poll::Ready(next.map(|r| r.map(|held| held.batch).map_err(DataFusionError::from)));
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

/// Marks the counters as cancelled when the task is aborted, which is what a dropped stream comes to.
struct Counters(Option<Arc<RemoteStats>>);

impl Counters {
    /// The task comes to its end by itself.
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        if let Some(stats) = &self.0 {
            stats.cancelled();
        }
    }
}
