//! A small client of the Postgres protocol: blocking, text form only, and with the column types of every answer, which tokio-postgres hides for simple queries.
//! <https://www.postgresql.org/docs/15/protocol-message-formats.html>

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fjord_harness::{Error, Result};

/// A server that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// No message of a test is longer.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub oid: u32,
    /// Its type's modifier.
    pub typmod: i32,
}

/// A row: values in text form.
pub type Row = Vec<Option<String>>;

/// What a query returned.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// An error that the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// SQLSTATE.
    pub code: String,
    /// The message.
    pub message: String,
}

/// An answer or the server's error.
pub type Outcome = std::result::Result<Answer, Refusal>;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects as a user who is trusted.
    pub fn open(port: u16, user: &str, database: &str) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        for text in ["user", user, "database", database, "client_encoding", "UTF8", "TimeZone", "UTC", ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        let mut connection = Connection { stream: BufReader::new(stream) };
        let mut packet = length(body.len())?.to_vec();
        packet.extend(body);
        connection.stream.get_mut().write_all(&packet)?;
        match connection.receive()? {
            Ok(_) => Ok(connection),
            Err(e) => Err(Error::new(format!("connecting: {} {}", e.code, e.message))),
        }
    }

    /// Runs statements by the simple protocol.
    pub fn query(&mut self, sql: &str) -> Result<Outcome> {
        self.send(sql)?;
        self.receive()
    }

    /// Runs statements that must succeed.
    pub fn run(&mut self, sql: &str) -> Result<Answer> {
        self.query(sql)?.map_err(|e| Error::new(format!("{} {}\nin {sql}", e.code, e.message)))
    }

    /// Sends statements; [`Connection::receive`] waits for their end.
    pub fn send(&mut self, sql: &str) -> Result<()> {
        let mut out = vec![];
        message(&mut out, b'Q', &[sql.as_bytes(), &[0]].concat())?;
        Ok(self.stream.get_mut().write_all(&out)?)
    }

    /// Runs one statement by the extended protocol, `times` times with the same parameters in text form; the last answer.
    pub fn execute(&mut self, sql: &str, parameters: &[(String, u32)], times: usize) -> Result<Outcome> {
        let count = u16::try_from(parameters.len()).map_err(Error::at("parameters"))?.to_be_bytes();
        let mut out = vec![];
        let mut parse = [&[0], sql.as_bytes(), &[0], &count[..]].concat();
        let mut bind = [&[0, 0, 0, 0][..], &count[..]].concat();
        for (value, oid) in parameters {
            parse.extend(oid.to_be_bytes());
            bind.extend(u32::try_from(value.len()).map_err(Error::at("a parameter"))?.to_be_bytes());
            bind.extend(value.as_bytes());
        }
        bind.extend([0, 0]);
        message(&mut out, b'P', &parse)?;
        for _ in 0..times {
            message(&mut out, b'B', &bind)?;
            message(&mut out, b'D', b"P\0")?;
            message(&mut out, b'E', &[0, 0, 0, 0, 0])?;
        }
        message(&mut out, b'S', &[])?;
        self.stream.get_mut().write_all(&out)?;
        self.receive()
    }

    /// Reads until the server is ready for the next query: the last answer, or the first error.
    pub fn receive(&mut self) -> Result<Outcome> {
        let mut answer = Answer::default();
        let mut refusal = None;
        loop {
            let (tag, body) = self.message()?;
            let mut fields = Fields { body: &body };
            match tag {
                b'T' => {
                    answer = Answer::default();
                    for _ in 0..fields.int::<2>()? {
                        let name = fields.text()?;
                        fields.take(6)?;
                        let oid = fields.u32()?;
                        fields.take(2)?;
                        let typmod = fields.u32()?.cast_signed();
                        fields.take(2)?;
                        answer.columns.push(Column { name, oid, typmod });
                    }
                }
                b'D' => {
                    let mut row = vec![];
                    for _ in 0..fields.int::<2>()? {
                        row.push(match fields.u32()?.cast_signed() {
                            -1 => None,
                            n => {
                                let bytes = fields.take(usize::try_from(n).map_err(Error::at("a value's length"))?)?;
                                Some(String::from_utf8(bytes.to_vec()).map_err(Error::at("a value"))?)
                            }
                        });
                    }
                    answer.rows.push(row);
                }
                b'E' if refusal.is_none() => {
                    let mut e = Refusal { code: String::new(), message: String::new() };
                    while let Some(field) = fields.body.first().copied().filter(|f| *f != 0) {
                        fields.take(1)?;
                        let text = fields.text()?;
                        match field {
                            b'C' => e.code = text,
                            b'M' => e.message = text,
                            b'D' => e.message.push_str(&format!(" DETAIL: {text}")),
                            _ => {}
                        }
                    }
                    let fatal = e.code.starts_with("57P");
                    if fatal || e.code.starts_with("28") {
                        return Ok(Err(e));
                    }
                    refusal = Some(e);
                }
                b'Z' => return Ok(refusal.map_or(Ok(answer), Err)),
                _ => {}
            }
        }
    }

    fn message(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).map_err(Error::at("the server hung up, or hangs"))?;
        let size = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]])).map_err(Error::at("a message"))?;
        if !(4..=MESSAGE_BYTES_MAX).contains(&size) {
            return Err(Error::new(format!("a message of {size} bytes")));
        }
        let mut body = vec![0; size - 4];
        self.stream.read_exact(&mut body).map_err(Error::at("the server hung up in mid message"))?;
        Ok((head[0], body))
    }
}

fn length(body: usize) -> Result<[u8; 4]> {
    u32::try_from(body + 4).map(u32::to_be_bytes).map_err(Error::at("a message's length"))
}

fn message(out: &mut Vec<u8>, tag: u8, body: &[u8]) -> Result<()> {
    out.push(tag);
    out.extend(length(body.len())?);
    out.extend(body);
    Ok(())
}

struct Fields<'a> {
    body: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.body.split_at_checked(n).ok_or_else(|| Error::new("a message is too short"))?;
        self.body = rest;
        Ok(head)
    }
    fn int<const N: usize>(&mut self) -> Result<usize> {
        Ok(self.take(N)?.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }
    fn u32(&mut self) -> Result<u32> {
        let b = self.take(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }
    fn text(&mut self) -> Result<String> {
        let end = self.body.iter().position(|b| *b == 0).ok_or_else(|| Error::new("a text without an end"))?;
        let text = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(text)
    }
}
