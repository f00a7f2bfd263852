//! The framing of `COPY ... (FORMAT binary)`: header, rows, trailer, over chunks that may cut anywhere.
//!
//! Format: <https://www.postgresql.org/docs/15/sql-copy.html> (Binary Format). Everything that comes in is checked against what is there: a wrong
//! length is an error, never a panic, and never more memory than the bytes that came.

use bytes::{Buf, Bytes, BytesMut};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Flag bit 16: OIDs are included (servers before 12).
const FLAG_OIDS: u32 = 1 << 16;
/// Bits 16 to 31 are critical: a reader that does not know one must stop.
const FLAGS_CRITICAL: u32 = 0xffff_0000;
/// A row that is not complete after so many bytes is refused. The server's own limit for a row is 1 GB.
pub(crate) const ROW_BYTES_MAX: usize = (1 << 30) + (1 << 20);
const HEADER_EXTENSION_MAX: usize = 1 << 16;

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

/// Cuts chunks into rows.
#[derive(Debug)]
pub(crate) struct Framing {
    columns: usize,
    state: State,
    carry: BytesMut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

/// The next thing in the stream.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// A row.
    Row(Fields<'a>),
    /// The trailer: nothing may follow.
    End,
}

impl Framing {
    /// For rows of so many columns.
    pub(crate) fn new(columns: usize) -> Framing {
        Framing { columns, state: State::Header, carry: BytesMut::new() }
    }

    /// Takes a chunk and calls `each` for every row that is complete with it.
    pub(crate) fn feed<E: From<Malformed>>(
        &mut self,
        mut chunk: Bytes,
        each: &mut dyn FnMut(Fields<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.carry.is_empty() {
            // The rare case: a row was cut. It is put together once, and the rest of the chunk goes with it.
            if self.carry.len().saturating_add(chunk.len()) > ROW_BYTES_MAX {
                return Err(Malformed("a row larger than 1 GB").into());
            }
            self.carry.extend_from_slice(&chunk);
            chunk = self.carry.split().freeze();
        }
        while let Some((next, used)) = self.step(&chunk)? {
            if let Some(Next::Row(fields)) = next {
                each(fields)?;
            }
            chunk.advance(used);
        }
        self.carry.extend_from_slice(&chunk);
        Ok(())
    }

    /// The stream is over: was it whole?
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.state == State::Ended && self.carry.is_empty() { Ok(()) } else { Err(Malformed("the stream ended inside the data")) }
    }

    /// One header, row or trailer, and its length; `None` where more bytes are needed.
    #[allow(clippy::type_complexity)]
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(Option<Next<'a>>, usize)>, Malformed> {
        match self.state {
            State::Header => {
                let Some(used) = header(bytes)? else { return Ok(None) };
                self.state = State::Rows;
                Ok(Some((None, used)))
            }
            State::Rows => {
                let Some((count, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
                match i16::from_be_bytes(*count) {
                    -1 => {
                        self.state = State::Ended;
                        Ok(Some((Some(Next::End), 2)))
                    }
                    n if usize::try_from(n) == Ok(self.columns) => match row_length(rest, self.columns)? {
                        Some(length) => {
                            let fields = Fields { bytes: rest.get(..length).unwrap_or_default() };
                            Ok(Some((Some(Next::Row(fields)), 2 + length)))
                        }
                        None => Ok(None),
                    },
                    _ => Err(Malformed("a row with another number of columns than asked for")),
                }
            }
            State::Ended if bytes.is_empty() => Ok(None),
            State::Ended => Err(Malformed("data after the end")),
        }
    }
}

fn header(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Err(Malformed("the signature of binary COPY is missing"));
    }
    let Some((flags, rest)) = bytes.get(SIGNATURE.len()..).and_then(|b| b.split_first_chunk::<4>()) else { return Ok(None) };
    let flags = u32::from_be_bytes(*flags);
    if flags & FLAG_OIDS != 0 || flags & FLAGS_CRITICAL != 0 {
        return Err(Malformed("unknown flags in the header"));
    }
    let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let extension = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| Malformed("a negative length in the header"))?;
    if extension > HEADER_EXTENSION_MAX {
        return Err(Malformed("an oversized header"));
    }
    Ok((rest.len() >= extension).then_some(SIGNATURE.len() + 8 + extension))
}

/// The bytes of all fields of a row, lengths included; `None` where they are not all there yet.
fn row_length(bytes: &[u8], columns: usize) -> Result<Option<usize>, Malformed> {
    let mut at = 0usize;
    for _ in 0..columns {
        let Some((length, _)) = bytes.get(at..).and_then(|b| b.split_first_chunk::<4>()) else { return Ok(None) };
        at += 4;
        match i32::from_be_bytes(*length) {
            -1 => {}
            n => {
                let n = usize::try_from(n).map_err(|_| Malformed("a negative field length"))?;
                if n > ROW_BYTES_MAX {
                    return Err(Malformed("a row larger than 1 GB"));
                }
                at += n;
            }
        }
    }
    Ok((bytes.len() >= at).then_some(at))
}

/// The fields of one row (or the elements of one array), in order. Their lengths have been checked for a row; for an array they are checked here.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Over length-prefixed values.
    pub(crate) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { bytes }
    }

    /// The next value; the inner `None` is NULL.
    #[allow(clippy::should_implement_trait)]
    pub(crate) fn next(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let (length, rest) = self.bytes.split_first_chunk::<4>().ok_or(Malformed("a value is missing"))?;
        match i32::from_be_bytes(*length) {
            -1 => {
                self.bytes = rest;
                Ok(None)
            }
            n => {
                let n = usize::try_from(n).map_err(|_| Malformed("a negative field length"))?;
                let (value, rest) = rest.split_at_checked(n).ok_or(Malformed("a value is cut off"))?;
                self.bytes = rest;
                Ok(Some(value))
            }
        }
    }

    /// All values have been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample() -> Vec<u8> {
        let mut b = SIGNATURE.to_vec();
        b.extend([0; 8]);
        for text in ["one", "two"] {
            b.extend(2i16.to_be_bytes());
            b.extend(3i32.to_be_bytes());
            b.extend(text.as_bytes());
            b.extend((-1i32).to_be_bytes());
        }
        b.extend((-1i16).to_be_bytes());
        b
    }

    fn rows(chunks: &[&[u8]]) -> Result<Vec<String>, Malformed> {
        let mut framing = Framing::new(2);
        let mut out = vec![];
        for c in chunks {
            framing.feed::<Malformed>(Bytes::copy_from_slice(c), &mut |mut f| {
                out.push(String::from_utf8_lossy(f.next()?.unwrap_or_default()).into_owned());
                assert_eq!(f.next()?, None);
                Ok(())
            })?;
        }
        framing.finish()?;
        Ok(out)
    }

    #[test]
    fn rows_are_the_same_wherever_the_chunks_are_cut() {
        let all = sample();
        for cut in 0..=all.len() {
            assert_eq!(rows(&[&all[..cut], &all[cut..]]).unwrap(), ["one", "two"], "cut at {cut}");
        }
        let single: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(rows(&single).unwrap(), ["one", "two"]);
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let all = sample();
        for end in 0..all.len() {
            assert!(rows(&[&all[..end]]).is_err(), "cut at {end}");
        }
        let mut more = all.clone();
        more.push(0);
        assert!(rows(&[&more]).is_err());
    }
}
