//! What ends a running statement from outside: CancelRequest, statement_timeout, a client that has gone, a server that stops.

use std::future::Future;
use std::sync::Arc;

use fjord_engine::{Result, SqlError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::io::{Io, Socket};
use crate::sessions::{CancelReason, SessionEntry};

/// Watches over one statement, until it is dropped.
#[derive(Debug)]
pub struct Guard {
    entry: Arc<SessionEntry>,
    /// Reaches the plan and every remote query.
    pub token: CancellationToken,
    deadline: Option<Instant>,
}

impl Guard {
    /// A statement begins now. `text` has no secrets in it.
    pub fn begin(entry: &Arc<SessionEntry>, text: &str, token: CancellationToken, timeout: Option<std::time::Duration>) -> Guard {
        entry.begin(text, token.clone());
        Guard { entry: entry.clone(), token, deadline: timeout.and_then(|t| Instant::now().checked_add(t)) }
    }
    /// Runs a part of the statement until it is done or something ends it. Meanwhile the client is watched.
    pub async fn run<S: Socket, T>(&self, io: &mut Io<S>, part: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            // The end comes first: a stream that is always ready must not outrun it.
            biased;
            () = self.ended() => Err(self.reason().error()),
            result = part => result.map_err(|e| self.explain(e)),
            () = io.gone() => {
                self.entry.cancel(CancelReason::ClientGone);
                self.token.cancel();
                Err(CancelReason::ClientGone.error())
            }
        }
    }
    /// Sends what is gathered. A cancel does not wait for a client that reads slowly: the rest stays in the buffer, in front of the error.
    pub async fn flush<S: Socket>(&self, io: &mut Io<S>) -> Result<()> {
        tokio::select! {
            biased;
            () = self.ended() => Err(self.reason().error()),
            sent = io.flush() => sent.map_err(|_| {
                self.entry.cancel(CancelReason::ClientGone);
                self.token.cancel();
                CancelReason::ClientGone.error()
            }),
        }
    }
    async fn ended(&self) {
        match self.deadline {
            None => self.token.cancelled().await,
            Some(at) => tokio::select! {
                () = self.token.cancelled() => {}
                () = tokio::time::sleep_until(at) => {
                    self.entry.cancel(CancelReason::Timeout);
                    self.token.cancel();
                }
            },
        }
    }
    fn reason(&self) -> CancelReason {
        self.entry.cancel_reason()
    }
    /// An error that a cancelled source or plan gave is told as what it was: the cancel.
    fn explain(&self, e: SqlError) -> SqlError {
        if self.token.is_cancelled() { self.reason().error() } else { e }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.entry.end();
    }
}
