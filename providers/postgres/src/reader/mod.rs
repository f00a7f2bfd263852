//! The reader: `COPY (query) TO STDOUT (FORMAT binary)` into Arrow batches, streaming, bounded, cancelled when nobody listens any more.
//!
//! Bounds: a batch ends at the wanted number of rows or at [`BATCH_BYTES`]; [`READ_AHEAD`] batches wait for the consumer, one more is being built.
//! So a consumer that does not read has about 4 MiB read ahead of it here, and what the kernel's socket buffers hold. All of it is accounted in the
//! query's memory pool. A source that is slow does not hold rows back: what has come is passed on after
//! [`LINGER`].

mod addresses;
mod column;
mod copy;
mod lookup;
mod numeric;

#[cfg(test)]
mod fuzz;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use fjord_engine::pgtype::PgType;
use fjord_engine::pushdown::RemoteType;
use fjord_engine::source::{QueryScope, RemoteStats};
use fjord_engine::{Result, SqlError, SqlState};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;

use crate::error::{Origin, is_broken};
use crate::facts::Facts;
use crate::pool::{Connection, Pool};
use crate::render::Bound;
use column::{Column, Fault};
use copy::{Framing, Malformed};
pub(crate) use lookup::{Statements, is_short};

/// A batch ends when its rows took so many bytes on the wire: large enough that the cost of a batch does not show, small enough that those that wait
/// for a slow client are few MiB.
pub(crate) const BATCH_BYTES: usize = 1 << 20;
/// Finished batches that wait for the consumer.
const READ_AHEAD: usize = 2;
/// The longest that rows wait for more before they are passed on.
const LINGER: Duration = Duration::from_millis(20);
/// How often a query is sent again, while no row of it has been passed on.
const RETRIES: u32 = 2;

/// What to run and how its columns are to be understood.
pub(crate) struct Job {
    /// The query, without the COPY around it.
    pub text: String,
    /// The same with parameters, where it is known to give few rows.
    pub bound: Option<Bound>,
    /// What each column is at the source.
    pub types: Vec<RemoteType>,
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
    /// The text is a user's: run it in a transaction of its own and throw the connection away.
    pub untrusted: bool,
    /// What the query rests on.
    pub facts: Arc<Facts>,
    /// Tables of it whose facts are asked again.
    pub verify: Vec<(String, String)>,
}

/// The stream of a job. Nothing happens before its first poll; dropped, it cancels the query at the source.
pub(crate) struct ReaderStream {
    schema: SchemaRef,
    state: State,
}

enum State {
    Start(Option<(Arc<Pool>, Origin, Box<dyn JobSource>)>),
    Running(mpsc::Receiver<Result<Held>>, #[allow(dead_code)] SpawnedTask<()>),
    Ended,
}

/// A batch with the memory that it is accounted for until the consumer has it.
struct Held {
    batch: RecordBatch,
    _memory: MemoryReservation,
}

/// Makes the job at the first poll: rendering waits until then, because dynamic filters may still arrive.
#[async_trait::async_trait]
pub(crate) trait JobSource: Send + Sync {
    /// The job.
    async fn job(self: Box<Self>) -> Result<Job>;
}

impl ReaderStream {
    /// A stream that has not begun.
    pub(crate) fn start(pool: Arc<Pool>, origin: Origin, schema: SchemaRef, source: Box<dyn JobSource>) -> SendableRecordBatchStream {
        Box::pin(ReaderStream { schema, state: State::Start(Some((pool, origin, source))) })
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
                    let Some((pool, origin, source)) = start.take() else { return Poll::Ready(None) };
                    let (tx, rx) = mpsc::channel(READ_AHEAD);
                    self.state = State::Running(rx, SpawnedTask::spawn(run(pool, origin, source, tx)));
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

/// Marks the counters as cancelled when the task is aborted, which is what a dropped stream comes to. After an orderly end it changes nothing.
struct Counters(Arc<RemoteStats>);

impl Drop for Counters {
    fn drop(&mut self) {
        self.0.cancelled();
    }
}

async fn run(pool: Arc<Pool>, origin: Origin, source: Box<dyn JobSource>, tx: mpsc::Sender<Result<Held>>) {
    let job = match source.job().await {
        Ok(job) => job,
        Err(e) => {
            // Nobody listens any more: then nobody misses the error either.
            let _ = tx.send(Err(e)).await;
            return;
        }
    };
    let counters = Counters(job.stats.clone());
    let cancel = job.scope.cancel.clone();
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            job.stats.cancelled();
            Err(SqlError::cancelled())
        }
        outcome = read(&pool, &origin, &job, &tx) => outcome,
    };
    match outcome {
        Ok(()) => job.stats.finished(),
        Err(e) => {
            job.stats.failed(e.message.clone());
            let _ = tx.send(Err(e)).await;
        }
    }
    drop(counters);
}

/// Runs the query; again, where the connection or the server gave way before a row was passed on.
async fn read(pool: &Arc<Pool>, origin: &Origin, job: &Job, tx: &mpsc::Sender<Result<Held>>) -> Result<()> {
    let mut attempt = 0;
    let mut sent = false;
    let mut bound = job.bound.as_ref();
    loop {
        let connection = pool.acquire().await?;
        if attempt == 0 {
            job.stats.sent(&job.text);
        }
        let reused = connection.reused;
        let ended = match bound {
            Some(bound) => lookup::fetch(connection, origin, job, bound, tx, &mut sent).await,
            None => copy_out(connection, origin, job, tx, &mut sent).await.map(|()| lookup::Ended::Done),
        };
        match ended {
            Ok(lookup::Ended::Done) => return Ok(()),
            // The COPY describes the query anew, and says what has changed.
            Ok(lookup::Ended::Outdated) => bound = None,
            Err(Failure::Ours(e)) => return Err(e),
            Err(Failure::Driver(e)) => {
                let broken = is_broken(&e);
                if broken {
                    pool.forget_idle();
                }
                // A connection that had been idle may have died unseen (the server was restarted); a standby may cancel a query to go on replaying.
                let again = (broken && reused) || e.code().is_some_and(|c| c.code() == SqlState::SERIALIZATION_FAILURE.0);
                if sent || !again || attempt >= RETRIES {
                    return Err(origin.running(&e));
                }
                attempt += 1;
            }
        }
    }
}

enum Failure {
    Driver(tokio_postgres::Error),
    Ours(SqlError),
}

impl From<SqlError> for Failure {
    fn from(e: SqlError) -> Failure {
        Failure::Ours(e)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(e: tokio_postgres::Error) -> Failure {
        Failure::Driver(e)
    }
}

async fn copy_out(
    connection: Connection,
    origin: &Origin,
    job: &Job,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<(), Failure> {
    let mut batches = Batches::new(origin, job)?;
    if job.untrusted {
        connection.client()?.batch_execute("BEGIN READ ONLY").await?;
    }
    // One round trip says whether the plan still holds; the next one starts the rows. The text is described, because bytes do not tell a double from
    // a bigint: a column whose type was changed at the source would be read as nonsense. The COPY must not be sent before all this is answered: the
    // driver asks the server about types that are not built in, and such an answer would wait behind rows that nobody reads yet.
    let client = connection.client()?;
    // The newline keeps a comment at the end of a user's text from swallowing the parenthesis.
    let copy = format!("COPY ({}\n) TO STDOUT (FORMAT binary)", job.text);
    let verify = async { if job.verify.is_empty() { Ok(vec![]) } else { job.facts.ask(client, &job.verify).await } };
    let prepared = tokio::try_join!(client.prepare(&job.text), client.prepare(&copy), verify);
    let (described, copy, facts) = match prepared {
        Ok(p) => p,
        Err(e) => {
            // The server refused the query, but the connection is well.
            if !is_broken(&e) && !job.untrusted {
                connection.release();
            }
            return Err(Failure::Driver(e));
        }
    };
    job.facts.check_answer(origin, &job.verify, &facts)?;
    batches.check_types(described.columns().iter().map(|c| c.type_().oid()))?;
    drop(described);
    let stream = match client.copy_out(&copy).await {
        Ok(stream) => stream,
        Err(e) => {
            if !is_broken(&e) && !job.untrusted {
                drop(copy);
                connection.release();
            }
            return Err(Failure::Driver(e));
        }
    };
    let mut stream = Box::pin(stream);
    loop {
        let chunk = match stream.next().now_or_never() {
            Some(chunk) => chunk,
            None if batches.rows > 0 => match tokio::time::timeout(LINGER, stream.next()).await {
                Ok(chunk) => chunk,
                Err(_) => {
                    batches.flush()?;
                    Some(Ok(Bytes::new()))
                }
            },
            None => stream.next().await,
        };
        let done = match chunk {
            Some(Ok(chunk)) => {
                batches.feed(chunk)?;
                false
            }
            Some(Err(e)) => {
                if !is_broken(&e) && !job.untrusted {
                    drop(stream);
                    connection.release();
                }
                return Err(Failure::Driver(e));
            }
            None => {
                batches.finish()?;
                true
            }
        };
        if !batches.pass_on(tx, sent).await {
            // The consumer has gone: dropping the connection cancels.
            job.stats.cancelled();
            return Ok(());
        }
        if done {
            break;
        }
    }
    drop(stream);
    if job.untrusted {
        connection.discard()
    } else {
        connection.release()
    }
    Ok(())
}

/// Rows on their way into batches.
struct Batches<'a> {
    origin: &'a Origin,
    job: &'a Job,
    framing: Framing,
    columns: Vec<Column>,
    row_width: usize,
    rows: usize,
    wire_bytes: usize,
    /// For the batch being built.
    memory: MemoryReservation,
    ready: Vec<Held>,
}

/// Which column a fault is about; `None`: the framing.
struct RowFault(Option<usize>, Fault);

impl From<Malformed> for RowFault {
    fn from(m: Malformed) -> RowFault {
        RowFault(None, m.into())
    }
}

impl<'a> Batches<'a> {
    fn new(origin: &'a Origin, job: &'a Job) -> Result<Batches<'a>> {
        if job.types.len() != job.schema.fields().len() {
            return Err(SqlError::internal(format!(
                "{} columns were asked for, {} are delivered",
                job.schema.fields().len(),
                job.types.len()
            )));
        }
        let columns: Vec<Column> = job
            .types
            .iter()
            .zip(job.schema.fields())
            .map(|(ty, field)| Column::new(field.name(), ty, field.data_type()))
            .collect::<Result<_>>()?;
        let memory = MemoryConsumer::new(format!("connector \"{}\"", origin.connector)).register(&job.memory);
        let row_width = columns.iter().map(Column::fixed_width).sum();
        let framing = Framing::new(columns.len());
        Ok(Batches { origin, job, framing, columns, row_width, rows: 0, wire_bytes: 0, memory, ready: vec![] })
    }

    /// The source says what it is about to send: is it what the decoders were made for?
    fn check_types(&self, oids: impl ExactSizeIterator<Item = u32>) -> Result<()> {
        let changed = |what: String| {
            self.origin
                .error(SqlState::FDW_INCONSISTENT_DESCRIPTOR, what)
                .hint("The source's schema has changed: REFRESH SCHEMA of the connector.")
        };
        if oids.len() != self.columns.len() {
            return Err(changed(format!("{} columns were asked for, the source sends {}", self.columns.len(), oids.len())));
        }
        for (column, oid) in self.columns.iter().zip(oids) {
            if !column.takes(oid) {
                let now = PgType::by_oid(oid).map_or_else(|| format!("type {oid}"), |t| t.sql_name.to_string());
                return Err(changed(format!("column \"{}\" is {now} at the source now", column.name)));
            }
        }
        Ok(())
    }

    fn feed(&mut self, chunk: Bytes) -> Result<()> {
        let bytes = chunk.len();
        let columns = &mut self.columns;
        let mut rows = 0;
        let fed = self.framing.feed::<RowFault>(chunk, &mut |mut fields| {
            for (i, column) in columns.iter_mut().enumerate() {
                let value = fields.next()?;
                column.append(value).map_err(|f| RowFault(Some(i), f))?;
            }
            rows += 1;
            Ok(())
        });
        if let Err(RowFault(at, fault)) = fed {
            let name = at.and_then(|i| self.columns.get(i)).map_or("(all)", |c| c.name.as_str());
            return Err(fault.into_error(&self.origin.connector, name));
        }
        self.rows += rows;
        self.wire_bytes += bytes;
        self.account()?;
        // A chunk is what the server sent as one message: a row. So a batch is never much over its bound.
        if self.is_full() {
            self.flush()?;
        }
        Ok(())
    }

    /// Takes the memory of the batch being built, in steps, so that the pool is not asked for every row.
    fn account(&mut self) -> Result<()> {
        const STEP: usize = 256 << 10;
        // Builders double when they grow: twice the content covers them.
        let needed = 2 * (self.wire_bytes + self.rows * self.row_width);
        if needed > self.memory.size() {
            self.memory.try_grow((needed - self.memory.size()).next_multiple_of(STEP))?;
        }
        Ok(())
    }

    /// One row of a statement.
    fn append(&mut self, row: &tokio_postgres::Row) -> Result<()> {
        let mut bytes = 0;
        for (i, column) in self.columns.iter_mut().enumerate() {
            let value = lookup::field(row, i).map_err(|e| self.origin.running(&e))?;
            bytes += 4 + value.map_or(0, <[u8]>::len);
            column.append(value).map_err(|f| f.into_error(&self.origin.connector, &column.name))?;
        }
        self.rows += 1;
        self.wire_bytes += bytes;
        self.account()?;
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        self.rows >= self.job.batch_rows || self.wire_bytes >= BATCH_BYTES
    }

    /// Hands finished batches to the consumer; false where it has gone.
    async fn pass_on(&mut self, tx: &mpsc::Sender<Result<Held>>, sent: &mut bool) -> bool {
        for held in self.ready.drain(..) {
            *sent = true;
            if tx.send(Ok(held)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// The last rows.
    fn flush_rest(&mut self) -> Result<()> {
        if self.rows > 0 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            match column.finish() {
                Ok(a) => arrays.push(a),
                Err(fault) => return Err(fault.into_error(&self.origin.connector, &column.name)),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(self.job.schema.clone(), arrays, &options).map_err(|e| {
            self.origin
                .error(SqlState::FDW_INCONSISTENT_DESCRIPTOR, format!("rows do not fit the known schema: {e}"))
                .hint("The source's schema has changed: REFRESH SCHEMA of the connector.")
        })?;
        let size = batch.get_array_memory_size();
        self.memory.try_resize(size)?;
        self.job.stats.batch(self.rows, self.wire_bytes);
        self.ready.push(Held { batch, _memory: self.memory.take() });
        self.rows = 0;
        self.wire_bytes = 0;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if let Err(m) = self.framing.finish() {
            return Err(Fault::from(m).into_error(&self.origin.connector, "(all)"));
        }
        self.flush_rest()
    }
}
