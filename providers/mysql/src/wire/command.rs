//! Commands of a session: a query for its text rows, a statement that is prepared and executed for its binary rows.

use fjord_engine::pushdown::Value;

use super::handshake::error_packet;
use super::{Conn, Fault, Input, Malformed};
use crate::types::kind;

const COM_QUIT: u8 = 0x01;
const COM_QUERY: u8 = 0x03;
const COM_PING: u8 = 0x0e;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;

/// Set in the second byte of a parameter's type.
const UNSIGNED_PARAMETER: u8 = 0x80;
/// Statements that a connection keeps: those used last. A server holds 16,382 of all its connections by default.
const STATEMENTS_MAX: usize = 32;

/// Bytes of text rows that are kept: the answer of an introspection query.
const TEXT_BYTES_MAX: usize = 512 << 20;

/// A column of a result, as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnDef {
    pub name: String,
    /// `enum_field_types`.
    pub kind: u8,
    /// `UNSIGNED_FLAG` and others.
    pub flags: u16,
    /// Of the result's character set; 63: bytes.
    pub collation: u16,
    /// The most bytes that a value has.
    pub length: u32,
    /// Digits behind the point; of times, of their seconds.
    pub decimals: u8,
}

/// A statement that the server holds.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub id: u32,
    pub params: u16,
    pub columns: Vec<ColumnDef>,
}

/// A row of a text result.
#[derive(Debug, Clone)]
pub(crate) struct TextRow(Vec<Option<String>>);

impl TextRow {
    /// A cell; `None` for NULL and for a column that is not there.
    pub(crate) fn text(&self, i: usize) -> Option<&str> {
        self.0.get(i).and_then(|c| c.as_deref())
    }
    /// A cell, empty for NULL.
    pub(crate) fn owned(&self, i: usize) -> String {
        self.text(i).unwrap_or_default().to_string()
    }
    /// A whole number.
    pub(crate) fn number(&self, i: usize) -> Option<u64> {
        self.text(i)?.parse().ok()
    }
}

impl Conn {
    async fn command(&mut self, code: u8, body: &[u8]) -> Result<(), Fault> {
        self.framing.begin();
        let mut packet = Vec::with_capacity(1 + body.len());
        packet.push(code);
        packet.extend(body);
        self.framing.send(&packet).await
    }

    /// The next packet, unless it is an error.
    async fn answer(&mut self) -> Result<&[u8], Fault> {
        let packet = self.framing.next().await?;
        match packet.first() {
            Some(0xff) => Err(error_packet(packet, true)?.into()),
            Some(_) => Ok(packet),
            None => Err(Malformed("an empty packet").into()),
        }
    }

    /// Runs a text of ours that returns rows, or none.
    pub(crate) async fn query(&mut self, text: &str) -> Result<Vec<TextRow>, Fault> {
        self.command(COM_QUERY, text.as_bytes()).await?;
        let Some(columns) = self.head().await? else { return Ok(vec![]) };
        let mut rows = vec![];
        let mut bytes = 0;
        loop {
            let packet = self.answer().await?;
            if is_end(packet) {
                return Ok(rows);
            }
            bytes += packet.len();
            if bytes > TEXT_BYTES_MAX {
                return Err(Fault::TooLarge(TEXT_BYTES_MAX));
            }
            let mut input = Input(packet);
            let mut row = Vec::with_capacity(columns.len());
            for _ in &columns {
                row.push(input.nullable_bytes()?.map(|b| String::from_utf8_lossy(b).into_owned()));
            }
            rows.push(TextRow(row));
        }
    }

    /// Begins to read a result: its columns, or `None` where there are no rows.
    async fn head(&mut self) -> Result<Option<Vec<ColumnDef>>, Fault> {
        let packet = self.answer().await?;
        let count = match packet {
            [0x00, ..] => return Ok(None),
            [0xfb, ..] => return Err(Fault::Refused("the source asks for a local file, which is never sent".into(), "")),
            _ => Input(packet).length()?,
        };
        self.columns(count).await.map(Some)
    }

    async fn columns(&mut self, count: u64) -> Result<Vec<ColumnDef>, Fault> {
        // More columns than any server allows in a result.
        if count > 65_535 {
            return Err(Malformed("too many columns").into());
        }
        let mut columns = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(4_096));
        for _ in 0..count {
            columns.push(column(self.answer().await?)?);
        }
        Ok(columns)
    }

    /// Prepares a text.
    pub(crate) async fn prepare(&mut self, text: &str) -> Result<Prepared, Fault> {
        self.command(COM_STMT_PREPARE, text.as_bytes()).await?;
        let mut input = Input(self.answer().await?);
        if input.u8()? != 0 {
            return Err(Malformed("an answer to prepare that is none").into());
        }
        let id = input.u32()?;
        let (columns, params) = (input.u16()?, input.u16()?);
        self.columns(u64::from(params)).await?;
        let columns = self.columns(u64::from(columns)).await?;
        Ok(Prepared { id, params, columns })
    }

    /// The statement of a text that comes again: prepared on this connection before, or now. The server prepares it anew by itself when a table changes.
    pub(crate) async fn kept(&mut self, text: &str) -> Result<Prepared, Fault> {
        if let Some(at) = self.statements.iter().position(|(known, _)| known == text) {
            // The one used last is the last to go.
            let entry = self.statements.remove(at);
            let statement = entry.1.clone();
            self.statements.push(entry);
            return Ok(statement);
        }
        if self.statements.len() >= STATEMENTS_MAX {
            let (_, oldest) = self.statements.remove(0);
            self.close_statement(oldest.id).await?;
        }
        let statement = self.prepare(text).await?;
        self.statements.push((text.to_string(), statement.clone()));
        Ok(statement)
    }

    /// Lets go of a statement that was kept, if it was.
    pub(crate) async fn forget(&mut self, id: u32) -> Result<(), Fault> {
        self.statements.retain(|(_, s)| s.id != id);
        self.close_statement(id).await
    }

    /// Starts a prepared statement; its rows follow, to be read by [`Conn::advance`] and [`Conn::fill`]. `None`: it returns none.
    pub(crate) async fn execute(&mut self, statement: &Prepared, params: &[Value]) -> Result<Option<Vec<ColumnDef>>, Fault> {
        let mut body = Vec::with_capacity(9 + params.len() * 10);
        body.extend(statement.id.to_le_bytes());
        // No cursor: the rows come as one stream. Once.
        body.push(0);
        body.extend(1u32.to_le_bytes());
        if !params.is_empty() {
            // None is NULL; types follow.
            body.extend(std::iter::repeat_n(0, params.len().div_ceil(8)));
            body.push(1);
            for p in params {
                body.extend([kind::LONGLONG, if matches!(p, Value::UInt(_)) { UNSIGNED_PARAMETER } else { 0 }]);
            }
            for p in params {
                match p {
                    Value::Int(v) => body.extend(v.to_le_bytes()),
                    Value::UInt(v) => body.extend(v.to_le_bytes()),
                    _ => return Err(Fault::Malformed("a parameter that is no integer")),
                }
            }
        }
        self.command(COM_STMT_EXECUTE, &body).await?;
        self.head().await
    }

    /// Lets go of a statement. There is no answer to it.
    pub(crate) async fn close_statement(&mut self, id: u32) -> Result<(), Fault> {
        self.command(COM_STMT_CLOSE, &id.to_le_bytes()).await
    }

    /// Asks whether it is alive.
    pub(crate) async fn ping(&mut self) -> Result<(), Fault> {
        self.command(COM_PING, &[]).await?;
        self.answer().await.map(|_| ())
    }

    /// Says goodbye.
    pub(crate) async fn quit(&mut self) {
        // Whoever does not hear it notices the end of the stream.
        let _ = self.command(COM_QUIT, &[]).await;
        let _ = self.framing.shutdown().await;
    }

    /// Goes to the next row that is here already.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<bool, Fault> {
        self.framing.advance()
    }

    /// Reads more bytes; may be dropped at any time.
    pub(crate) async fn fill(&mut self) -> Result<(), Fault> {
        self.framing.fill().await
    }

    /// The row that [`Conn::advance`] found, without its head; `None` at the end of the result.
    #[inline]
    pub(crate) fn row(&self) -> Result<Option<&[u8]>, Fault> {
        let packet = self.framing.payload();
        match packet.split_first() {
            Some((0x00, row)) => Ok(Some(row)),
            Some((0xfe, _)) if is_end(packet) => Ok(None),
            Some((0xff, _)) => Err(error_packet(packet, true)?.into()),
            _ => Err(Malformed("a row that is none").into()),
        }
    }

    /// Bytes that its buffers hold.
    pub(crate) fn memory(&self) -> usize {
        self.framing.memory()
    }
}

/// The OK packet that ends a result. A text row may begin with 0xFE too, but is longer than 16 MiB then.
fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 0xff_ffff
}

/// A column definition.
pub(super) fn column(packet: &[u8]) -> Result<ColumnDef, Malformed> {
    let mut input = Input(packet);
    // Catalog, schema, table, original table.
    for _ in 0..4 {
        input.bytes()?;
    }
    let name = String::from_utf8_lossy(input.bytes()?).into_owned();
    input.bytes()?;
    input.length()?;
    let collation = input.u16()?;
    let length = input.u32()?;
    let kind = input.u8()?;
    let flags = input.u16()?;
    let decimals = input.u8()?;
    Ok(ColumnDef { name, kind, flags, collation, length, decimals })
}
