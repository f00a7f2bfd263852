//! A stream between the socket and the driver that takes the rows of a COPY out on the way.
//!
//! The driver makes a message, a reference count and a channel item of every row. Here the messages of a COPY leave as large pieces of the very buffer
//! that the socket was read into, and the driver sees a COPY as a statement without any rows. It still does all the rest: login, errors, the end
//! of a statement, cancelling.
//!
//! Bounds: [`READ_BYTES`] are read ahead and [`PIECES`] pieces wait, so that a reader that is slow stops the source. Only a row that is larger than
//! that makes the buffer grow, up to [`ROW_BYTES_MAX`].

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_util::sync::PollSender;

use crate::reader::ROW_BYTES_MAX;

/// Read at a time, at most.
const READ_BYTES: usize = 256 << 10;
/// Room below which the buffer is renewed.
const READ_BYTES_MIN: usize = 16 << 10;
/// Pieces that wait for the reader.
const PIECES: usize = 2;
/// What a connection that is read from may hold beside the batches: the pieces, the buffer, and the piece that the reader works on.
pub(crate) const READ_AHEAD_BYTES: usize = (PIECES + 2) * READ_BYTES;
/// A description of columns that is longer is not taken: 1,600 columns with names of 63 bytes are less than a tenth of it.
const DESCRIPTION_BYTES_MAX: usize = 2 << 20;

/// What the reader gets.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The body of a RowDescription.
    Described(Bytes),
    /// CopyData messages, whole ones, each with its head of five bytes.
    Rows(Bytes),
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct Wire {
    pieces: mpsc::Receiver<Piece>,
    described: Arc<AtomicBool>,
}

/// The end that a [`Tap`] gets.
#[derive(Debug)]
pub(crate) struct Outlet {
    pieces: PollSender<Piece>,
    described: Arc<AtomicBool>,
}

/// Both ends of a new connection.
pub(crate) fn wire() -> (Wire, Outlet) {
    let (tx, rx) = mpsc::channel(PIECES);
    let described = Arc::new(AtomicBool::new(false));
    (Wire { pieces: rx, described: described.clone() }, Outlet { pieces: PollSender::new(tx), described })
}

impl Wire {
    /// Whether descriptions of columns are wanted too.
    pub(crate) fn describe(&self, on: bool) {
        self.described.store(on, Ordering::SeqCst);
    }

    /// The next piece; `None`: the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }

    /// A piece that is there already.
    pub(crate) fn take(&mut self) -> Option<Piece> {
        self.pieces.try_recv().ok()
    }
}

/// The stream, from the plain bytes of the socket (or of TLS) to the driver.
pub(crate) struct Tap<S> {
    inner: S,
    outlet: Outlet,
    buffer: BytesMut,
    /// Bytes at the buffer's start that are whole CopyData messages.
    rows: usize,
    /// Bytes of the message before that are still to be passed on to the driver.
    passing: usize,
    /// Bytes of a message that nobody gets.
    skipping: usize,
}

/// The next message after the rows.
enum Head {
    Rows(usize),
    Pass(usize),
    Describe(usize),
    Skip(usize),
    /// Not all there yet: so many bytes are needed.
    More(usize),
}

impl<S> Tap<S> {
    /// Over a stream of which nothing has been read.
    pub(crate) fn new(inner: S, outlet: Outlet) -> Tap<S> {
        Tap { inner, outlet, buffer: BytesMut::new(), rows: 0, passing: 0, skipping: 0 }
    }

    /// Format: <https://www.postgresql.org/docs/15/protocol-message-formats.html>: a byte of type, then the length, its own four bytes included.
    fn head(&self) -> io::Result<Head> {
        let rest = &self.buffer[self.rows..];
        let Some((&[kind, a, b, c, d], _)) = rest.split_first_chunk::<5>() else { return Ok(Head::More(5)) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let whole = length + 1;
        Ok(match kind {
            b'd' if !(4..=ROW_BYTES_MAX).contains(&length) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a row larger than 1 GB"));
            }
            b'd' if rest.len() >= whole => Head::Rows(whole),
            b'd' => Head::More(whole),
            // CopyOutResponse and CopyDone.
            b'H' | b'c' => Head::Skip(whole),
            b'T' if whole <= DESCRIPTION_BYTES_MAX && self.outlet.described.load(Ordering::SeqCst) => {
                if rest.len() >= whole {
                    Head::Describe(whole)
                } else {
                    Head::More(whole)
                }
            }
            _ => Head::Pass(whole.max(5)),
        })
    }

    /// Sends the rows that are there. `Pending`: the reader has not taken those before.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let rows = std::mem::take(&mut self.rows);
        match self.outlet.pieces.poll_reserve(cx) {
            Poll::Ready(Ok(())) => {
                let piece = Piece::Rows(self.buffer.split_to(rows).freeze());
                // Fails only when nobody listens any more, and then nobody misses them.
                let _ = self.outlet.pieces.send_item(piece);
                Poll::Ready(())
            }
            Poll::Ready(Err(_)) => {
                self.buffer.advance(rows);
                Poll::Ready(())
            }
            Poll::Pending => {
                self.rows = rows;
                Poll::Pending
            }
        }
    }

    fn poll_describe(&mut self, cx: &mut Context<'_>, whole: usize) -> Poll<()> {
        let body = Bytes::copy_from_slice(&self.buffer[5..whole]);
        if ready!(self.outlet.pieces.poll_reserve(cx)).is_ok() {
            let _ = self.outlet.pieces.send_item(Piece::Described(body));
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> Tap<S> {
    /// Reads once; so many bytes came.
    fn poll_fill(&mut self, cx: &mut Context<'_>, needed: usize) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES_MIN {
            let missing = (self.rows + needed).saturating_sub(self.buffer.len());
            self.buffer.reserve(missing.max(READ_BYTES));
        }
        pin!(self.inner.read_buf(&mut self.buffer)).poll(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        loop {
            if me.skipping > 0 {
                let n = me.skipping.min(me.buffer.len());
                me.buffer.advance(n);
                me.skipping -= n;
            }
            if me.passing > 0 && !me.buffer.is_empty() {
                let n = me.passing.min(me.buffer.len()).min(out.remaining());
                out.put_slice(&me.buffer[..n]);
                me.buffer.advance(n);
                me.passing -= n;
                return Poll::Ready(Ok(()));
            }
            let mut needed = 1;
            if me.passing == 0 && me.skipping == 0 {
                match me.head()? {
                    Head::Rows(n) => {
                        me.rows += n;
                        if me.rows < READ_BYTES {
                            continue;
                        }
                        ready!(me.poll_send(cx));
                        continue;
                    }
                    Head::More(n) => needed = n,
                    // The order of things must stay: rows first.
                    _ if me.rows > 0 => {
                        ready!(me.poll_send(cx));
                        continue;
                    }
                    Head::Pass(n) => {
                        me.passing = n;
                        continue;
                    }
                    Head::Skip(n) => {
                        me.skipping = n;
                        continue;
                    }
                    Head::Describe(n) => {
                        ready!(me.poll_describe(cx, n));
                        me.passing = n;
                        continue;
                    }
                }
            }
            // A full buffer goes away rather than grow with what it holds.
            if me.rows > 0 && me.buffer.capacity() - me.buffer.len() < READ_BYTES_MIN {
                ready!(me.poll_send(cx));
            }
            match me.poll_fill(cx, needed) {
                // An end inside a message is for the driver to complain about.
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                // Nothing more for now: what there is goes on its way. While the reader is busy it grows instead.
                Poll::Pending if me.rows > 0 => {
                    ready!(me.poll_send(cx));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Tap<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

/// A handshake whose stream is tapped.
pub(crate) struct TappedTls<T> {
    pub connect: T,
    pub outlet: Outlet,
}

impl<S, T> TlsConnect<S> for TappedTls<T>
where
    S: Send + 'static,
    T: TlsConnect<S> + Send + 'static,
    T::Future: Send,
    T::Stream: Unpin,
{
    type Stream = Tap<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Tap<T::Stream>, T::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let handshake = self.connect.connect(stream);
        let outlet = self.outlet;
        Box::pin(async move { Ok(Tap::new(handshake.await?, outlet)) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut m = vec![kind];
        m.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        m.extend(body);
        m
    }

    /// What the driver and the reader get of `bytes`, which arrive in pieces of `chunk`.
    async fn tapped(bytes: Vec<u8>, chunk: usize) -> (Vec<u8>, Vec<u8>, Vec<Bytes>) {
        let (socket, mut server) = tokio::io::duplex(chunk);
        let (mut wire, outlet) = wire();
        wire.describe(true);
        let driver = tokio::spawn(async move {
            let mut tap = Tap::new(socket, outlet);
            let mut all = vec![];
            tap.read_to_end(&mut all).await.unwrap();
            all
        });
        tokio::spawn(async move {
            server.write_all(&bytes).await.unwrap();
        });
        let (mut rows, mut described) = (vec![], vec![]);
        while let Some(piece) = wire.next().await {
            match piece {
                Piece::Rows(b) => rows.extend_from_slice(&b),
                Piece::Described(b) => described.push(b),
            }
        }
        (driver.await.unwrap(), rows, described)
    }

    #[tokio::test]
    async fn rows_leave_and_the_rest_stays_in_order_wherever_it_is_cut() {
        let (mut all, mut driver, mut rows) = (vec![], vec![], vec![]);
        let mut add = |kind: u8, body: &[u8]| {
            let m = message(kind, body);
            match kind {
                b'd' => rows.extend_from_slice(&m),
                b'H' | b'c' => {}
                _ => driver.extend_from_slice(&m),
            }
            all.extend_from_slice(&m);
        };
        add(b'T', b"columns");
        add(b'C', b"SELECT 0\0");
        add(b'H', &[1, 0, 0]);
        for i in 0..200u8 {
            add(b'd', &vec![i; usize::from(i) * 7]);
        }
        add(b'd', &vec![9; 3 * READ_BYTES]);
        add(b'c', b"");
        add(b'C', b"COPY 201\0");
        add(b'Z', b"I");
        for chunk in [1 << 20, 8192, 61, 5] {
            let (d, r, t) = tapped(all.clone(), chunk).await;
            assert_eq!(d, driver, "chunks of {chunk}");
            assert!(r == rows, "chunks of {chunk}");
            assert_eq!(t, vec![Bytes::from_static(b"columns")]);
        }
    }

    #[tokio::test]
    async fn an_impossible_length_of_a_row_is_an_error() {
        let (socket, mut server) = tokio::io::duplex(64);
        let (_wire, outlet) = wire();
        server.write_all(&[b'd', 255, 255, 255, 255]).await.unwrap();
        let e = Tap::new(socket, outlet).read_u8().await.unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn without_a_reader_rows_are_dropped() {
        let (socket, mut server) = tokio::io::duplex(1 << 10);
        let (wire, outlet) = wire();
        drop(wire);
        tokio::spawn(async move {
            for _ in 0..1_000 {
                server.write_all(&message(b'd', &[1; 1_000])).await.unwrap();
            }
            server.write_all(&message(b'Z', b"I")).await.unwrap();
        });
        let mut all = vec![];
        Tap::new(socket, outlet).read_to_end(&mut all).await.unwrap();
        assert_eq!(all, message(b'Z', b"I"));
    }
}
