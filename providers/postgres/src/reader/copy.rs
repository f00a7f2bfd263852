//! The framing of `COPY ... (FORMAT binary)`: header, rows, trailer, over messages that may cut anywhere.
//!
//! Format: <https://www.postgresql.org/docs/15/sql-copy.html> (Binary Format). Everything that comes in is checked against what is there: a wrong
//! length is an error, never a panic, and never more memory than the bytes that came.
//!
//! Rows are not copied: [`Framing::index`] notes where each field lies, and the columns are then decoded one after the other.

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

/// Where a field lies in the bytes that were indexed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    start: u32,
    /// -1: NULL.
    length: i32,
}

impl Slot {
    /// The field; `None` is NULL.
    #[inline]
    fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        let length = usize::try_from(self.length).ok()?;
        let start = self.start as usize;
        // Within the bytes: index() has looked.
        Some(bytes.get(start..start + length).unwrap_or_default())
    }
}

/// The values of one column in some rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    /// What was indexed.
    pub bytes: &'a [u8],
    /// The fields, row by row.
    pub slots: &'a [Slot],
    /// Which column.
    pub column: usize,
    /// How many there are.
    pub columns: usize,
}

impl<'a> Run<'a> {
    /// The values; `None` is NULL.
    pub(crate) fn values(self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let slots = self.slots.get(self.column..).unwrap_or_default();
        slots.iter().step_by(self.columns.max(1)).map(move |s| s.of(self.bytes))
    }
}

/// Finds the rows in the payloads of a COPY.
#[derive(Debug)]
pub(crate) struct Framing {
    columns: usize,
    state: State,
    carry: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

impl Framing {
    /// For rows of so many columns.
    pub(crate) fn new(columns: usize) -> Framing {
        Framing { columns, state: State::Header, carry: vec![] }
    }

    /// What comes next goes behind bytes that were kept, or begins with the header: the rare case, for which the bytes are put together.
    pub(crate) fn is_cut(&self) -> bool {
        self.state == State::Header || !self.carry.is_empty()
    }

    /// The kept bytes with `more` behind them.
    pub(crate) fn joined(&mut self, more: &[u8]) -> Result<Vec<u8>, Malformed> {
        if self.carry.len().saturating_add(more.len()) > ROW_BYTES_MAX {
            return Err(Malformed("a row larger than 1 GB"));
        }
        let mut all = std::mem::take(&mut self.carry);
        all.extend_from_slice(more);
        Ok(all)
    }

    /// Keeps the bytes of a row that is not complete.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.carry.extend_from_slice(rest);
    }

    /// Bytes kept.
    pub(crate) fn kept(&self) -> usize {
        self.carry.len()
    }

    /// The stream is over: was it whole?
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.state == State::Ended && self.carry.is_empty() { Ok(()) } else { Err(Malformed("the stream ended inside the data")) }
    }

    /// Notes the fields of the whole rows in `bytes` from `at` on, at most `rows_max`; afterwards `at` is behind them. Gives their number.
    pub(crate) fn index(&mut self, bytes: &[u8], at: &mut usize, rows_max: usize, slots: &mut Vec<Slot>) -> Result<usize, Malformed> {
        let mut rows = 0;
        loop {
            let rest = bytes.get(*at..).unwrap_or_default();
            match self.state {
                State::Header => {
                    let Some(used) = header(rest)? else { return Ok(rows) };
                    self.state = State::Rows;
                    *at += used;
                }
                State::Rows if rows == rows_max => return Ok(rows),
                State::Rows => {
                    let Some((count, _)) = rest.split_first_chunk::<2>() else { return Ok(rows) };
                    match i16::from_be_bytes(*count) {
                        -1 => {
                            self.state = State::Ended;
                            *at += 2;
                        }
                        n if usize::try_from(n) == Ok(self.columns) => {
                            let before = slots.len();
                            match row(bytes, *at + 2, self.columns, slots)? {
                                Some(end) => *at = end,
                                None => {
                                    slots.truncate(before);
                                    return Ok(rows);
                                }
                            }
                            rows += 1;
                        }
                        _ => return Err(Malformed("a row with another number of columns than asked for")),
                    }
                }
                State::Ended if rest.is_empty() => return Ok(rows),
                State::Ended => return Err(Malformed("data after the end")),
            }
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

/// The end of the row whose fields begin at `at`; `None` where it is not all there yet.
#[inline]
fn row(bytes: &[u8], mut at: usize, columns: usize, slots: &mut Vec<Slot>) -> Result<Option<usize>, Malformed> {
    for _ in 0..columns {
        let Some((head, rest)) = bytes.get(at..).and_then(|b| b.split_first_chunk::<4>()) else { return Ok(None) };
        let length = i32::from_be_bytes(*head);
        at += 4;
        let start = u32::try_from(at).map_err(|_| Malformed("a row larger than 1 GB"))?;
        if length >= 0 {
            let n = length as usize;
            if n > rest.len() {
                return if n > ROW_BYTES_MAX { Err(Malformed("a row larger than 1 GB")) } else { Ok(None) };
            }
            at += n;
        } else if length != -1 {
            return Err(Malformed("a negative field length"));
        }
        slots.push(Slot { start, length });
    }
    Ok(Some(at))
}

/// The elements of one array, in order.
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
            let bytes = framing.joined(c)?;
            let (mut at, mut slots) = (0, vec![]);
            let rows = framing.index(&bytes, &mut at, usize::MAX, &mut slots)?;
            assert_eq!(slots.len(), 2 * rows);
            let run = |column| Run { bytes: &bytes, slots: &slots, column, columns: 2 };
            out.extend(run(0).values().map(|v| String::from_utf8_lossy(v.unwrap()).into_owned()));
            assert!(run(1).values().all(|v| v.is_none()));
            framing.keep(&bytes[at..]);
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
