//! Rows out: one encoder per statement, bound to each batch, writing whole DataRow messages.

use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, BytesMut};
use fjord_engine::values::{CellBox, EncodeSettings, Format, Shape, cell, put_with_length, wire_type};
use fjord_engine::{Result, SqlError, SqlState};

/// The column count of a DataRow is a signed 16-bit number.
const COLUMNS_MAX: usize = i16::MAX as usize;

/// How a statement's columns are written.
#[derive(Debug, Clone)]
pub struct RowEncoder {
    columns: Vec<(Shape, DataType)>,
    settings: EncodeSettings,
}

/// A batch ready to be written row by row.
pub struct BoundBatch {
    cells: Vec<CellBox>,
    rows: usize,
}

impl RowEncoder {
    /// An encoder for results of a schema; `formats` has one entry per column ([`Format::results`]).
    pub fn new(schema: &Schema, formats: &[Format], settings: &EncodeSettings) -> Result<RowEncoder> {
        let fields = schema.fields();
        if fields.len() > COLUMNS_MAX {
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a result can have at most {COLUMNS_MAX} columns")));
        }
        if formats.len() != fields.len() {
            return Err(SqlError::internal(format!("{} formats for {} columns", formats.len(), fields.len())));
        }
        let columns =
            fields.iter().zip(formats).map(|(f, format)| (Shape::of_field(f, wire_type(f), *format), f.data_type().clone())).collect();
        Ok(RowEncoder { columns, settings: settings.clone() })
    }

    /// Looks at a batch once, so that a row costs no lookups. The batch's columns must have the types of the schema.
    pub fn bind(&self, batch: &RecordBatch) -> Result<BoundBatch> {
        if batch.num_columns() != self.columns.len() {
            return Err(SqlError::internal(format!(
                "a batch of {} columns where {} were described",
                batch.num_columns(),
                self.columns.len()
            )));
        }
        let mut cells = Vec::with_capacity(self.columns.len());
        for (i, ((shape, described), array)) in self.columns.iter().zip(batch.columns()).enumerate() {
            // Field names and metadata inside nested types may differ from what was planned; the layout may not.
            if !array.data_type().equals_datatype(described) {
                return Err(SqlError::internal(format!("column {} has type {} where {described} was described", i + 1, array.data_type())));
            }
            cells.push(cell(array, shape, &self.settings)?);
        }
        Ok(BoundBatch { cells, rows: batch.num_rows() })
    }
}

impl BoundBatch {
    /// Rows in the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends row `i` as a whole DataRow message. After an error `out` is as it was.
    pub fn data_row(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        let start = out.len();
        out.put_u8(b'D');
        out.put_i32(0);
        out.put_i16(self.cells.len() as i16);
        let written = self.put_cells(i, out).and_then(|()| {
            i32::try_from(out.len() - start - 1)
                .map_err(|_| SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row is longer than the 2 GiB that a message can have"))
        });
        match written {
            Ok(length) => {
                out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
                Ok(())
            }
            Err(e) => {
                out.truncate(start);
                Err(e)
            }
        }
    }

    fn put_cells(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        if i >= self.rows {
            return Err(SqlError::internal(format!("row {i} of a batch of {}", self.rows)));
        }
        for cell in &self.cells {
            put_with_length(cell.as_ref(), i, out)?;
        }
        Ok(())
    }

    pub(super) fn cells(&self) -> &[CellBox] {
        &self.cells
    }
}
