//! Rows from a running result to the client (or to nowhere, for MOVE), as they come.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use arrow::record_batch::RecordBatch;
use fjord_engine::Result;

use super::guard::Guard;
use super::io::{Io, Socket};
use super::portal::Rows;
use crate::codec::{CopyEncoder, RowEncoder};
use crate::protocol::backend;

/// Where rows go.
pub enum Sink {
    /// DataRow messages.
    Rows(RowEncoder),
    /// CopyData messages.
    Copy(CopyEncoder),
    /// Counted only.
    Count,
}

/// Passes on rows until there are `max` or no more; gives their number. What is gathered is sent when it is enough, and whenever the source lets
/// us wait: the first row does not wait for the last.
pub async fn pump<S: Socket>(io: &mut Io<S>, rows: &mut Rows, sink: &mut Sink, max: Option<u64>, guard: &Guard) -> Result<u64> {
    let mut count = 0u64;
    let mut unsent = false;
    loop {
        let left = max.map_or(u64::MAX, |m| m - count);
        if left == 0 {
            return Ok(count);
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let batch = {
            let mut next = pin!(rows.next(left));
            let ready = if unsent { std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await } else { Poll::Pending };
            match ready {
                Poll::Ready(batch) if !guard.token.is_cancelled() => batch?,
                Poll::Ready(_) => guard.run(io, std::future::pending()).await?,
                Poll::Pending => {
                    if unsent {
                        guard.flush(io).await?;
                    }
                    guard.run(io, next).await?
                }
            }
        };
        let Some(batch) = batch else { return Ok(count) };
        count += batch.num_rows() as u64;
        write(io, sink, &batch, guard).await?;
        unsent = !io.out.is_empty();
        // A plan that never waits must leave room for other sessions on this thread.
        tokio::task::consume_budget().await;
    }
}

async fn write<S: Socket>(io: &mut Io<S>, sink: &mut Sink, batch: &RecordBatch, guard: &Guard) -> Result<()> {
    match sink {
        Sink::Rows(encoder) => {
            let bound = encoder.bind(batch)?;
            for i in 0..batch.num_rows() {
                bound.data_row(i, &mut io.out)?;
                if io.is_full() {
                    guard.flush(io).await?;
                }
            }
        }
        Sink::Copy(encoder) => {
            let bound = encoder.bind(batch)?;
            for i in 0..batch.num_rows() {
                let mut written = Ok(());
                backend::message(&mut io.out, b'd', |out| written = encoder.put_row(&bound, i, out));
                written?;
                if io.is_full() {
                    guard.flush(io).await?;
                }
            }
        }
        Sink::Count => {}
    }
    Ok(())
}
