//! Packets on a byte stream: three bytes of length, a sequence number, the payload; a payload of 2^24 - 1 bytes goes on in the next packet.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Fault, Malformed};

/// The largest message that is taken (a row). MySQL allows up to 1 GiB; several of those at once would be no bound.
pub(crate) const PACKET_MAX: usize = 256 << 20;
const PART_MAX: usize = 0xff_ffff;
/// What is read from the socket at once.
const READ_BYTES: usize = 128 << 10;

/// TCP, TLS or a Unix socket.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Bytes for T {}

/// Where the current packet's payload is.
#[derive(Clone, Copy)]
enum Current {
    None,
    Here(usize, usize),
    Joined,
}

/// A stream of packets.
pub(super) struct Framing {
    io: Option<Box<dyn Bytes>>,
    buffer: Vec<u8>,
    /// Bytes in `buffer` that are not taken yet.
    start: usize,
    end: usize,
    sequence: u8,
    joined: Vec<u8>,
    joining: bool,
    current: Current,
}

impl Framing {
    pub(super) fn new(io: Box<dyn Bytes>) -> Framing {
        Framing {
            io: Some(io),
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            sequence: 0,
            joined: vec![],
            joining: false,
            current: Current::None,
        }
    }

    fn io(&mut self) -> Result<&mut Box<dyn Bytes>, Fault> {
        self.io.as_mut().ok_or(Fault::Closed)
    }

    /// Takes the stream out, to put TLS around it. Nothing may have been read beyond what was asked for: a plain-text answer that somebody slipped in
    /// would count as one of the encrypted stream.
    pub(super) fn take_io(&mut self) -> Result<Box<dyn Bytes>, Fault> {
        if self.start != self.end {
            return Err(Fault::Malformed("bytes before the TLS handshake"));
        }
        self.io.take().ok_or(Fault::Closed)
    }

    pub(super) fn put_io(&mut self, io: Box<dyn Bytes>) {
        self.io = Some(io);
    }

    /// A new command: sequence numbers begin anew.
    pub(super) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut out = Vec::with_capacity(payload.len() + 8);
        let mut rest = payload;
        loop {
            let (part, after) = rest.split_at(rest.len().min(PART_MAX));
            let [a, b, c, _] = (part.len() as u32).to_le_bytes();
            out.extend([a, b, c, self.sequence]);
            out.extend(part);
            self.sequence = self.sequence.wrapping_add(1);
            rest = after;
            if part.len() < PART_MAX {
                break;
            }
        }
        let io = self.io()?;
        io.write_all(&out).await?;
        io.flush().await?;
        Ok(())
    }

    /// The payload of the packet that [`Framing::advance`] found.
    #[inline]
    pub(super) fn payload(&self) -> &[u8] {
        match self.current {
            Current::None => &[],
            Current::Here(from, to) => self.buffer.get(from..to).unwrap_or_default(),
            Current::Joined => &self.joined,
        }
    }

    /// Goes to the next packet if it is all there already.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<bool, Fault> {
        loop {
            let Some(&[a, b, c, sequence]) = self.buffer.get(self.start..self.end).and_then(<[u8]>::first_chunk::<4>) else {
                return Ok(false);
            };
            let length = u32::from_le_bytes([a, b, c, 0]) as usize;
            if self.end - self.start < 4 + length {
                return Ok(false);
            }
            if sequence != self.sequence {
                return Err(Malformed("packets out of order").into());
            }
            self.sequence = self.sequence.wrapping_add(1);
            let from = self.start + 4;
            self.start = from + length;
            if !self.joining && length < PART_MAX {
                self.current = Current::Here(from, self.start);
                return Ok(true);
            }
            if !self.joining {
                self.joined.clear();
            }
            if self.joined.len() + length > PACKET_MAX {
                return Err(Fault::TooLarge(PACKET_MAX));
            }
            self.joined.extend(self.buffer.get(from..self.start).unwrap_or_default());
            self.joining = length == PART_MAX;
            if !self.joining {
                self.current = Current::Joined;
                return Ok(true);
            }
        }
    }

    /// Reads more bytes. May be dropped at any time: what was read is kept.
    pub(super) async fn fill(&mut self) -> Result<(), Fault> {
        self.current = Current::None;
        if !self.joining && self.joined.capacity() > READ_BYTES {
            self.joined = vec![];
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.buffer.len() - self.end < READ_BYTES / 4 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        // A packet part that is larger than the buffer: at most 16 MiB.
        let wanted = match self.buffer.get(self.start..self.end).and_then(<[u8]>::first_chunk::<4>) {
            Some(&[a, b, c, _]) => self.start + 4 + u32::from_le_bytes([a, b, c, 0]) as usize,
            None => 0,
        };
        if self.buffer.len() < wanted || self.end == self.buffer.len() {
            self.buffer.resize(wanted.max(self.end + READ_BYTES), 0);
        } else if self.start == self.end && self.buffer.len() > 4 * READ_BYTES {
            self.buffer.truncate(READ_BYTES);
            self.buffer.shrink_to_fit();
        }
        let end = self.end;
        let Some(io) = self.io.as_mut() else { return Err(Fault::Closed) };
        let read = io.read(self.buffer.get_mut(end..).unwrap_or_default()).await?;
        if read == 0 {
            return Err(Fault::Closed);
        }
        self.end += read;
        Ok(())
    }

    /// The next packet, awaited.
    pub(super) async fn next(&mut self) -> Result<&[u8], Fault> {
        while !self.advance()? {
            self.fill().await?;
        }
        Ok(self.payload())
    }

    /// Bytes that the buffers hold.
    pub(super) fn memory(&self) -> usize {
        self.buffer.capacity() + self.joined.capacity()
    }

    /// Says goodbye.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self.io.as_mut() {
            Some(io) => io.shutdown().await,
            None => Ok(()),
        }
    }
}
