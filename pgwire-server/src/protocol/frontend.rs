//! Messages from clients.

use bytes::{Buf, Bytes};
use fjord_engine::{Result, SqlError, SqlState};

/// A message as it came: its type byte and its body without the length.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The type byte.
    pub tag: u8,
    /// What follows the length.
    pub body: Bytes,
}

/// A decoded message.
#[derive(Debug)]
pub enum Frontend {
    /// `Q`: a text of statements.
    Query(String),
    /// `P`.
    Parse {
        /// The statement's name; empty is the unnamed one.
        name: String,
        /// The text.
        query: String,
        /// Declared parameter types; 0 is undeclared.
        types: Vec<u32>,
    },
    /// `B`.
    Bind {
        /// The portal's name; empty is the unnamed one.
        portal: String,
        /// The statement's name.
        statement: String,
        /// Parameter format codes.
        formats: Vec<i16>,
        /// Parameter values.
        values: Vec<Option<Bytes>>,
        /// Result format codes.
        results: Vec<i16>,
    },
    /// `D` of a statement or a portal.
    Describe(Target, String),
    /// `C` of a statement or a portal.
    Close(Target, String),
    /// `E`: run a portal; 0 rows is all.
    Execute(String, u32),
    /// `H`.
    Flush,
    /// `S`.
    Sync,
    /// `X`.
    Terminate,
    /// `p`: a password or SASL message.
    Password(Bytes),
    /// `d`, `c`, `f`: left over from a COPY that has failed; ignored as Postgres does.
    Copy,
    /// `F`: the function call sub-protocol, which we do not have.
    FunctionCall,
}

/// What Describe and Close are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// True for a type byte that a client may send. Anything else means that we have lost the message boundary: the connection must end.
pub fn is_known(tag: u8) -> bool {
    b"QPBDCEHSXpdcfF".contains(&tag)
}

impl Frontend {
    /// Decodes a message. Errors are 08P01 (or 22021 for text that is no UTF-8); the connection can go on after them.
    pub fn decode(frame: Frame) -> Result<Frontend> {
        let mut b = Body(frame.body);
        let message = match frame.tag {
            b'Q' => Frontend::Query(b.text()?),
            b'P' => {
                let (name, query) = (b.text()?, b.text()?);
                let n = b.count(4)?;
                let types = (0..n).map(|_| b.u32()).collect::<Result<_>>()?;
                Frontend::Parse { name, query, types }
            }
            b'B' => {
                let (portal, statement) = (b.text()?, b.text()?);
                let n = b.count(2)?;
                let formats = (0..n).map(|_| b.i16()).collect::<Result<_>>()?;
                let n = b.count(4)?;
                let values = (0..n).map(|_| b.value()).collect::<Result<_>>()?;
                let n = b.count(2)?;
                let results = (0..n).map(|_| b.i16()).collect::<Result<_>>()?;
                Frontend::Bind { portal, statement, formats, values, results }
            }
            b'D' => Frontend::Describe(b.target("DESCRIBE")?, b.text()?),
            b'C' => Frontend::Close(b.target("CLOSE")?, b.text()?),
            b'E' => {
                let portal = b.text()?;
                // A negative number means all rows, as 0 does (src/backend/tcop/postgres.c, exec_execute_message).
                Frontend::Execute(portal, u32::try_from(b.u32()?.cast_signed()).unwrap_or(0))
            }
            b'H' => Frontend::Flush,
            b'S' => Frontend::Sync,
            b'X' => Frontend::Terminate,
            b'p' => return Ok(Frontend::Password(b.0)),
            b'd' | b'c' | b'f' => return Ok(Frontend::Copy),
            b'F' => return Ok(Frontend::FunctionCall),
            other => return Err(violation(format!("invalid frontend message type {other}"))),
        };
        if b.0.is_empty() { Ok(message) } else { Err(violation("invalid message format")) }
    }
}

/// 08P01.
pub fn violation(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// 22021 with the bytes in question, as Postgres says it.
fn invalid_utf8(bytes: &[u8], at: usize) -> SqlError {
    let bad: Vec<String> = bytes[at..].iter().take(4).map(|b| format!("{b:#04x}")).collect();
    SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, format!("invalid byte sequence for encoding \"UTF8\": {}", bad.join(" ")))
}

/// A body that is taken apart from the front.
struct Body(Bytes);

impl Body {
    fn need(&self, n: usize) -> Result<()> {
        if self.0.len() < n { Err(violation("insufficient data left in message")) } else { Ok(()) }
    }
    fn i16(&mut self) -> Result<i16> {
        self.need(2)?;
        Ok(self.0.get_i16())
    }
    fn u32(&mut self) -> Result<u32> {
        self.need(4)?;
        Ok(self.0.get_u32())
    }
    /// A count of items that take at least `size` bytes each: checked before anything is allocated for them.
    fn count(&mut self, size: usize) -> Result<usize> {
        let n = usize::from(self.i16()?.cast_unsigned());
        self.need(n * size)?;
        Ok(n)
    }
    fn text(&mut self) -> Result<String> {
        let Some(end) = self.0.iter().position(|b| *b == 0) else {
            return Err(violation("invalid string in message"));
        };
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(bytes.to_vec()).map_err(|e| invalid_utf8(e.as_bytes(), e.utf8_error().valid_up_to()))
    }
    fn value(&mut self) -> Result<Option<Bytes>> {
        let len = self.u32()?.cast_signed();
        if len == -1 {
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| violation("invalid length of a bind parameter"))?;
        self.need(len)?;
        Ok(Some(self.0.split_to(len)))
    }
    fn target(&mut self, what: &str) -> Result<Target> {
        self.need(1)?;
        match self.0.get_u8() {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            other => Err(violation(format!("invalid {what} message subtype {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Frame {
        Frame { tag, body: Bytes::copy_from_slice(body) }
    }

    #[test]
    fn bind_with_counts_that_lie_is_an_error() {
        for body in
            [&b"\0\0"[..], b"\0\0\0\x01", b"\0\0\xff\xff\0\x01", b"\0\0\0\0\0\x01\0\0\0\x09x", b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"]
        {
            let e = Frontend::decode(frame(b'B', body)).unwrap_err();
            assert_eq!(e.state, SqlState::PROTOCOL_VIOLATION, "{body:?}");
        }
    }

    #[test]
    fn a_tail_is_an_error() {
        assert_eq!(Frontend::decode(frame(b'S', b"x")).unwrap_err().message, "invalid message format");
    }

    #[test]
    fn random_bodies_never_panic() {
        use rand::{Rng, SeedableRng};
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        for _ in 0..50_000 {
            let len = rng.random_range(0..40);
            let body: Vec<u8> = (0..len).map(|_| if rng.random_bool(0.5) { 0 } else { rng.random() }).collect();
            let tag = b"QPBDCEHSXpdcfFz"[rng.random_range(0..15)];
            let _ = Frontend::decode(frame(tag, &body));
        }
    }
}
