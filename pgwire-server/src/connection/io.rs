//! The socket of one session: frames in, bytes out.
//!
//! Both directions are cancel-safe: what was read or not yet written stays in the buffers, so that a select which drops one of these futures
//! loses nothing.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use fjord_engine::SqlError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::protocol::frontend::{self, Frame, violation};
use crate::protocol::limits::{FLUSH_AT, READ_AHEAD_MAX};

/// Whatever a session talks through: TCP, TLS over it, a pipe in process.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for T {}

/// Why no frame came.
#[derive(Debug)]
pub enum ReadError {
    /// The client has closed the connection, or it broke.
    Gone,
    /// The client has lost the message boundary, or sends more than is allowed: FATAL.
    Broken(SqlError),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> ReadError {
        ReadError::Gone
    }
}

/// The socket with its two buffers.
pub struct Io<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    input: BytesMut,
    /// Messages to be sent: written to freely, sent by [`Io::flush`].
    pub out: BytesMut,
    /// The largest message accepted.
    pub message_max: usize,
}

impl<S: Socket> Io<S> {
    /// Over a socket; `input` is what was read of it already.
    pub fn new(socket: S, input: BytesMut, message_max: usize) -> Io<S> {
        let (reader, writer) = tokio::io::split(socket);
        Io { reader, writer, input, out: BytesMut::with_capacity(8192), message_max }
    }
    /// The next frame.
    pub async fn frame(&mut self) -> Result<Frame, ReadError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }
    /// A whole frame waits to be taken.
    pub fn has_frame(&self) -> bool {
        self.input.get(1..5).is_some_and(|l| self.input.len() > u32::from_be_bytes([l[0], l[1], l[2], l[3]]) as usize)
    }
    fn take(&mut self) -> Result<Option<Frame>, ReadError> {
        let Some(&tag) = self.input.first() else { return Ok(None) };
        if !frontend::is_known(tag) {
            return Err(ReadError::Broken(violation(format!("invalid frontend message type {tag}"))));
        }
        let Some(len) = self.input.get(1..5) else { return Ok(None) };
        let len = u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize;
        if len < 4 || len > self.message_max {
            return Err(ReadError::Broken(
                violation(format!("invalid message length {len}")).hint(format!("A message may have 4 to {} bytes.", self.message_max)),
            ));
        }
        if self.input.len() < 1 + len {
            return Ok(None);
        }
        self.input.advance(5);
        Ok(Some(Frame { tag, body: self.input.split_to(len - 4).freeze() }))
    }
    /// A packet of the start: length and body, no type byte.
    pub async fn packet(&mut self, max: usize) -> Result<Bytes, ReadError> {
        loop {
            if let Some(len) = self.input.get(0..4) {
                let len = u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize;
                if len < 8 || len > max {
                    return Err(ReadError::Broken(violation("invalid length of startup packet")));
                }
                if self.input.len() >= len {
                    self.input.advance(4);
                    return Ok(self.input.split_to(len - 4).freeze());
                }
            }
            self.fill().await?;
        }
    }
    /// Reads more. The buffer grows with what has come, not with what a header claims.
    async fn fill(&mut self) -> Result<(), ReadError> {
        self.input.reserve(8192);
        if self.reader.read_buf(&mut self.input).await? == 0 { Err(ReadError::Gone) } else { Ok(()) }
    }
    /// Resolves when the client is gone. Meanwhile it reads ahead, up to a limit; beyond it the client waits and a loss shows at the next write.
    pub async fn gone(&mut self) {
        while self.input.len() < READ_AHEAD_MAX {
            if self.fill().await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
    /// Enough is gathered to be sent.
    pub fn is_full(&self) -> bool {
        self.out.len() >= FLUSH_AT
    }
    /// Sends all that is gathered. Cancel-safe: what is not sent stays.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            if self.writer.write_buf(&mut self.out).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        if self.out.capacity() > 4 * FLUSH_AT {
            // One huge row must not keep its memory for the rest of the session.
            self.out = BytesMut::with_capacity(8192);
        }
        self.writer.flush().await
    }
    /// Sends what is left and closes, without waiting longer than a second for a client that does not read.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            self.flush().await?;
            self.writer.shutdown().await
        })
        .await;
    }
}
