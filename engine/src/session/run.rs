//! The stream of a running query: cancel, statement_timeout, counting, and the end that is always recorded.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use datafusion::physical_plan::{EmptyRecordBatchStream, ExecutionPlan};
use futures::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::registry::{QueryRecord, QueryState};
use crate::engine::Engine;
use crate::error::{Result, SqlError, SqlState};
use crate::federation::scan::RemoteScanExec;

/// When a statement must have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(timeout: Option<Duration>) -> Deadline {
        Deadline(timeout.and_then(|t| Instant::now().checked_add(t)))
    }
    /// Runs the planning part under the deadline and the cancel token.
    pub(crate) async fn run<T>(self, cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(SqlError::cancelled()),
            () = self.elapsed() => Err(timed_out()),
            done = work => done,
        }
    }
    async fn elapsed(self) {
        match self.0 {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

fn timed_out() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout")
        .hint("SET statement_timeout gives it more time; 0 turns it off.")
}

/// A plan that does no work of its own worth the name: it passes on what one remote query brings, or is a row of constants.
pub(crate) fn waits_only(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<RemoteScanExec>()
        || plan.is::<PlaceholderRowExec>()
        || (plan.is::<ProjectionExec>() && plan.children().into_iter().all(waits_only))
}

/// The same rows, computed in a task of their own, on the threads for that. An operator may compute for seconds before it lets go of its thread; whoever
/// waits for the rows then still hears a cancel at once. Dropped, it ends the task where that next lets go. At most two batches are computed ahead.
pub(crate) fn apart(mut rows: SendableRecordBatchStream, threads: &Handle) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStreamBuilder::new(rows.schema(), 1);
    let tx = builder.tx();
    let work = async move {
        while let Some(batch) = rows.next().await {
            let last = batch.is_err();
            if tx.send(batch).await.is_err() || last {
                break;
            }
        }
        Ok(())
    };
    builder.spawn_on(work, threads);
    builder.build()
}

/// The same rows; `kept` is not dropped before they are. A relation may take what its rows are read from with it, as a table of files does.
pub(crate) fn holding<T: Send + Sync + 'static>(rows: SendableRecordBatchStream, kept: T) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let rows = rows.inspect(move |_| {
        let _held = &kept;
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// The same rows, once the first of them are there or the end is: an error before that is given back as such.
pub(crate) async fn started(mut rows: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
    while let Some(batch) = rows.next().await.transpose()? {
        if batch.num_rows() > 0 {
            let schema = rows.schema();
            let all = futures::stream::once(std::future::ready(Ok(batch))).chain(rows);
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, all)));
        }
    }
    Ok(Box::pin(EmptyRecordBatchStream::new(rows.schema())))
}

/// Ends the record of a query when it is dropped, whichever way that comes about.
pub(crate) struct Ending {
    engine: Arc<Engine>,
    pub(crate) record: Arc<QueryRecord>,
    cancel: CancellationToken,
}

impl Ending {
    /// Begins a query.
    pub(crate) fn new(engine: Arc<Engine>, record: Arc<QueryRecord>, cancel: CancellationToken) -> Ending {
        engine.queries.begin(record.clone());
        Ending { engine, record, cancel }
    }
    pub(crate) fn end(&self, state: QueryState) {
        self.engine.queries.end(&self.record, state);
    }
    pub(crate) fn failed(&self, e: &SqlError) {
        self.end(match e.state {
            SqlState::QUERY_CANCELED => QueryState::Cancelled,
            _ => QueryState::Failed(e.state.to_string(), e.message.clone()),
        });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(QueryState::Cancelled);
        // Whatever still works for this query, at the sources too, stops now.
        self.cancel.cancel();
    }
}

/// The rows of a query.
pub(crate) struct QueryStream {
    inner: Option<SendableRecordBatchStream>,
    schema: SchemaRef,
    ending: Ending,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    timeout: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl QueryStream {
    pub(crate) fn new(inner: SendableRecordBatchStream, schema: SchemaRef, ending: Ending, deadline: Deadline) -> QueryStream {
        let cancelled = Box::pin(ending.cancel.clone().cancelled_owned());
        let timeout = deadline.0.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        QueryStream { inner: Some(inner), schema, ending, cancelled, timeout }
    }
    fn fail(&mut self, e: SqlError) -> Poll<Option<DfResult<RecordBatch>>> {
        self.inner = None;
        self.ending.failed(&e);
        self.ending.cancel.cancel();
        Poll::Ready(Some(Err(e.into())))
    }
}

impl Stream for QueryStream {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let me = self.as_mut().get_mut();
        let Some(inner) = me.inner.as_mut() else { return Poll::Ready(None) };
        if me.cancelled.as_mut().poll(cx).is_ready() {
            return me.fail(SqlError::cancelled());
        }
        if me.timeout.as_mut().is_some_and(|t| t.as_mut().poll(cx).is_ready()) {
            return me.fail(timed_out());
        }
        match Pin::new(inner).poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(batch))) => {
                me.ending.record.add_rows(batch.num_rows());
                // The plan's own names become the statement's: `count(*)` is `count`.
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                // And what a list says of its items: an array literal lost their Postgres type on its way.
                let columns = me.schema.fields().iter().zip(batch.columns()).map(|(f, c)| match f.data_type() {
                    t if t != c.data_type() && t.equals_datatype(c.data_type()) => cast(c, t),
                    _ => Ok(c.clone()),
                });
                let renamed = columns.collect::<Result<Vec<_>, _>>();
                match renamed.and_then(|c| RecordBatch::try_new_with_options(me.schema.clone(), c, &options)) {
                    Ok(b) => Poll::Ready(Some(Ok(b))),
                    Err(e) => me.fail(SqlError::from(DataFusionError::from(e))),
                }
            }
            Poll::Ready(Some(Err(e))) => me.fail(SqlError::from(e)),
            Poll::Ready(None) => {
                me.inner = None;
                me.ending.end(QueryState::Finished);
                Poll::Ready(None)
            }
        }
    }
}

impl RecordBatchStream for QueryStream {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
