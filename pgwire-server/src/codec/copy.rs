//! COPY ... TO STDOUT: rows as text, CSV or binary, byte for byte as `src/backend/commands/copyto.c` writes them. The wire puts them into CopyData.

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, BytesMut};
use fjord_engine::values::{EncodeSettings, Format, put_with_length};
use fjord_engine::{Result, SqlError, SqlState};

use super::row::{BoundBatch, RowEncoder};

/// FORMAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyFormat {
    /// Lines of text.
    #[default]
    Text,
    /// Comma-separated values.
    Csv,
    /// Postgres's binary format.
    Binary,
}

/// The options of COPY TO. `None` means the format's default.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// FORMAT.
    pub format: CopyFormat,
    /// DELIMITER, one byte: tab in text, comma in CSV.
    pub delimiter: Option<u8>,
    /// NULL: `\N` in text, nothing in CSV.
    pub null: Option<String>,
    /// HEADER.
    pub header: bool,
    /// QUOTE, one byte: `"`.
    pub quote: Option<u8>,
    /// ESCAPE, one byte: the quote.
    pub escape: Option<u8>,
    /// FORCE_QUOTE *.
    pub force_quote_all: bool,
    /// FORCE_QUOTE (columns): names.
    pub force_quote: Vec<String>,
}

/// Writes a result as COPY data.
#[derive(Debug, Clone)]
pub struct CopyEncoder {
    rows: RowEncoder,
    names: Vec<String>,
    format: CopyFormat,
    delimiter: u8,
    null: Vec<u8>,
    header: bool,
    quote: u8,
    escape: u8,
    force: Vec<bool>,
}

impl CopyEncoder {
    /// Checks the options against each other, as ProcessCopyOptions does.
    pub fn new(schema: &Schema, options: &CopyOptions, settings: &EncodeSettings) -> Result<CopyEncoder> {
        let CopyOptions { format, .. } = *options;
        let (csv, binary) = (format == CopyFormat::Csv, format == CopyFormat::Binary);
        let syntax = |m: &str| Err(SqlError::syntax(m));
        let unsupported = |m: &str| Err(SqlError::unsupported(m));
        let invalid = |m: String| Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, m));
        if binary && options.delimiter.is_some() {
            return syntax("cannot specify DELIMITER in BINARY mode");
        }
        if binary && options.null.is_some() {
            return syntax("cannot specify NULL in BINARY mode");
        }
        if binary && options.header {
            return unsupported("cannot specify HEADER in BINARY mode");
        }
        if !csv && options.quote.is_some() {
            return unsupported("COPY quote available only in CSV mode");
        }
        if !csv && options.escape.is_some() {
            return unsupported("COPY escape available only in CSV mode");
        }
        if !csv && (options.force_quote_all || !options.force_quote.is_empty()) {
            return unsupported("COPY force quote available only in CSV mode");
        }
        let delimiter = options.delimiter.unwrap_or(if csv { b',' } else { b'\t' });
        let quote = options.quote.unwrap_or(b'"');
        let null = options.null.clone().unwrap_or_else(|| if csv { String::new() } else { "\\N".into() }).into_bytes();
        if matches!(delimiter, b'\n' | b'\r') {
            return invalid("COPY delimiter cannot be newline or carriage return".into());
        }
        if null.iter().any(|b| matches!(b, b'\n' | b'\r')) {
            return invalid("COPY null representation cannot use newline or carriage return".into());
        }
        if !csv && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
            return invalid(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter)));
        }
        if csv && delimiter == quote {
            return invalid("COPY delimiter and quote must be different".into());
        }
        if null.contains(&delimiter) && !binary {
            return unsupported("COPY delimiter must not appear in the NULL specification");
        }
        if csv && null.contains(&quote) {
            return unsupported("CSV quote character must not appear in the NULL specification");
        }
        let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        if let Some(unknown) = options.force_quote.iter().find(|f| !names.contains(f)) {
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{unknown}\" does not exist")));
        }
        let formats = vec![if binary { Format::Binary } else { Format::Text }; names.len()];
        Ok(CopyEncoder {
            rows: RowEncoder::new(schema, &formats, settings)?,
            force: names.iter().map(|n| options.force_quote_all || options.force_quote.contains(n)).collect(),
            names,
            format,
            delimiter,
            null,
            header: options.header,
            quote,
            escape: options.escape.unwrap_or(quote),
        })
    }

    /// The format code of CopyOutResponse, for the whole and for each column.
    pub fn code(&self) -> i16 {
        if self.format == CopyFormat::Binary { Format::Binary.code() } else { Format::Text.code() }
    }

    /// Columns, for CopyOutResponse.
    pub fn columns(&self) -> usize {
        self.names.len()
    }

    /// What stands before the first row: the binary signature, or the header line, or nothing.
    pub fn put_header(&self, out: &mut BytesMut) {
        if self.format == CopyFormat::Binary {
            out.put_slice(b"PGCOPY\n\xff\r\n\0");
            out.put_i32(0);
            out.put_i32(0);
        } else if self.header {
            for (i, name) in self.names.iter().enumerate() {
                if i > 0 {
                    out.put_u8(self.delimiter);
                }
                let from = out.len();
                out.put_slice(name.as_bytes());
                self.escape(from, false, out);
            }
            out.put_u8(b'\n');
        }
    }

    /// Looks at a batch once; see [`RowEncoder::bind`].
    pub fn bind(&self, batch: &RecordBatch) -> Result<BoundBatch> {
        self.rows.bind(batch)
    }

    /// Appends row `i`. After an error `out` is as it was.
    pub fn put_row(&self, batch: &BoundBatch, i: usize, out: &mut BytesMut) -> Result<()> {
        let start = out.len();
        let written = self.put_cells(batch, i, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    /// What stands after the last row.
    pub fn put_trailer(&self, out: &mut BytesMut) {
        if self.format == CopyFormat::Binary {
            out.put_i16(-1);
        }
    }

    fn put_cells(&self, batch: &BoundBatch, i: usize, out: &mut BytesMut) -> Result<()> {
        if i >= batch.rows() {
            return Err(SqlError::internal(format!("row {i} of a batch of {}", batch.rows())));
        }
        if self.format == CopyFormat::Binary {
            out.put_i16(batch.cells().len() as i16);
            return batch.cells().iter().try_for_each(|cell| put_with_length(cell.as_ref(), i, out));
        }
        for (column, cell) in batch.cells().iter().enumerate() {
            if column > 0 {
                out.put_u8(self.delimiter);
            }
            if cell.is_null(i) {
                out.put_slice(&self.null);
                continue;
            }
            let from = out.len();
            cell.put(i, out)?;
            self.escape(from, self.force[column], out);
        }
        out.put_u8(b'\n');
        Ok(())
    }

    /// Escapes what was written from `from` on.
    fn escape(&self, from: usize, force: bool, out: &mut BytesMut) {
        match self.format {
            CopyFormat::Csv => self.escape_csv(from, force, out),
            _ => self.escape_text(from, out),
        }
    }

    fn escape_text(&self, from: usize, out: &mut BytesMut) {
        let letter = |b: u8| match b {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            other => other,
        };
        let special = |b: u8| b == self.delimiter || letter(b) != b || b == b'\\';
        widen(from, out, special, |b| [b'\\', letter(b)]);
    }

    fn escape_csv(&self, from: usize, force: bool, out: &mut BytesMut) {
        let field = &out[from..];
        let needs = force
            || field == self.null.as_slice()
            // A line of `\.` alone would end the data.
            || (self.names.len() == 1 && field == b"\\.")
            || field.iter().any(|b| *b == self.delimiter || *b == self.quote || matches!(b, b'\n' | b'\r'));
        if !needs {
            return;
        }
        widen(from, out, |b| b == self.quote || b == self.escape, |b| [self.escape, b]);
        out.put_u8(self.quote);
        let end = out.len();
        out.put_u8(self.quote);
        out.copy_within(from..end, from + 1);
        out[from] = self.quote;
    }
}

/// Replaces each special byte from `from` on by two, in place from the end.
fn widen(from: usize, out: &mut BytesMut, special: impl Fn(u8) -> bool, two: impl Fn(u8) -> [u8; 2]) {
    let extra = out[from..].iter().filter(|b| special(**b)).count();
    if extra == 0 {
        return;
    }
    let mut read = out.len();
    out.put_bytes(0, extra);
    let mut write = out.len();
    while write > read {
        read -= 1;
        let b = out[read];
        if special(b) {
            write -= 2;
            out[write..write + 2].copy_from_slice(&two(b));
        } else {
            write -= 1;
            out[write] = b;
        }
    }
}
