//! Rows of a COPY on their way into record batches.

use arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use fjord_engine::pgtype::PgType;
use fjord_engine::{Result, SqlError, SqlState};
use tokio::sync::mpsc;

use super::column::{Column, Fault};
use super::copy::{Framing, Malformed, Run, Slot};
use super::{BATCH_BYTES, Held, Job, lookup};
use crate::error::Origin;
use crate::pool::READ_AHEAD_BYTES;

/// Rows of one connection, over one COPY or several after each other.
pub(super) struct Batches<'a> {
    origin: &'a Origin,
    job: &'a Job,
    framing: Framing,
    columns: Vec<Column>,
    row_width: usize,
    /// Fields that are found but not decoded yet; they lie in the bytes at hand.
    slots: Vec<Slot>,
    found: usize,
    rows: usize,
    wire_bytes: usize,
    /// For the batch being built.
    memory: MemoryReservation,
    /// For what a COPY reads ahead.
    ahead: MemoryReservation,
    /// Batches that are done.
    pub(super) ready: Vec<Held>,
}

impl<'a> Batches<'a> {
    /// Compiles the decoders.
    pub(super) fn new(origin: &'a Origin, job: &'a Job) -> Result<Batches<'a>> {
        if job.types.len() != job.schema.fields().len() {
            return Err(SqlError::internal(format!(
                "{} columns were asked for, {} are delivered",
                job.schema.fields().len(),
                job.types.len()
            )));
        }
        let columns: Vec<Column> = job
            .types
            .iter()
            .zip(job.schema.fields())
            .map(|(ty, field)| Column::new(field.name(), ty, field.data_type()))
            .collect::<Result<_>>()?;
        let reservation = || MemoryConsumer::new(format!("connector \"{}\"", origin.connector)).register(&job.memory);
        let row_width = columns.iter().map(Column::fixed_width).sum();
        let framing = Framing::new(columns.len());
        Ok(Batches {
            origin,
            job,
            framing,
            columns,
            row_width,
            slots: vec![],
            found: 0,
            rows: 0,
            wire_bytes: 0,
            memory: reservation(),
            ahead: reservation(),
            ready: vec![],
        })
    }

    /// The source says what it is about to send: is it what the decoders were made for? `body`: of a RowDescription.
    pub(super) fn check_description(&self, body: &[u8]) -> Result<()> {
        let Some(now) = described(body) else {
            return Err(self.origin.error(SqlState::PROTOCOL_VIOLATION, "a description of columns that is cut off"));
        };
        self.check_types(now.iter().map(|d| d.oid))
    }

    /// The same by the columns' types.
    pub(super) fn check_types(&self, now: impl ExactSizeIterator<Item = u32>) -> Result<()> {
        let changed = |what: String| {
            self.origin
                .error(SqlState::FDW_INCONSISTENT_DESCRIPTOR, what)
                .hint("The source's schema has changed: REFRESH SCHEMA of the connector.")
        };
        if now.len() != self.columns.len() {
            return Err(changed(format!("{} columns were asked for, the source sends {}", self.columns.len(), now.len())));
        }
        for (column, oid) in self.columns.iter().zip(now) {
            if !column.takes(oid) {
                let now = PgType::by_oid(oid).map_or_else(|| format!("type {oid}"), |t| t.sql_name.to_string());
                return Err(changed(format!("column \"{}\" is {now} at the source now", column.name)));
            }
        }
        Ok(())
    }

    /// Takes the memory of a connection's buffers, before a COPY.
    pub(super) fn begin_copy(&mut self) -> Result<()> {
        if self.ahead.size() == 0 {
            self.ahead.try_grow(READ_AHEAD_BYTES)?;
        }
        Ok(())
    }

    /// Rows wait to be passed on.
    pub(super) fn pending(&self) -> bool {
        self.rows > 0
    }

    /// Takes one row of a statement.
    pub(super) fn append(&mut self, row: &tokio_postgres::Row) -> Result<()> {
        let mut bytes = 0;
        for (i, column) in self.columns.iter_mut().enumerate() {
            let value = lookup::field(row, i).map_err(|e| self.origin.running(&e))?;
            bytes += 4 + value.map_or(0, <[u8]>::len);
            column.append_one(value).map_err(|f| f.into_error(&self.origin.connector, &column.name))?;
        }
        self.rows += 1;
        self.wire_bytes += bytes;
        self.account()?;
        if self.rows >= self.job.batch_rows || self.wire_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands finished batches to the consumer; false where it has gone.
    pub(super) async fn pass_on(&mut self, tx: &mpsc::Sender<Result<Held>>, sent: &mut bool) -> bool {
        for held in self.ready.drain(..) {
            *sent = true;
            if tx.send(Ok(held)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Takes CopyData messages, each with its head of five bytes.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<()> {
        let mut at = 0;
        while let Some(&[_, a, b, c, d]) = piece.get(at..).and_then(<[u8]>::first_chunk::<5>) {
            let end = at + 1 + u32::from_be_bytes([a, b, c, d]) as usize;
            let Some(message) = piece.get(..end) else { break };
            self.message(message, at + 5)?;
            at = end;
        }
        self.decode(piece)?;
        self.account()
    }

    /// The payload begins at `at`.
    pub(super) fn message(&mut self, bytes: &[u8], mut at: usize) -> Result<()> {
        if !self.framing.is_cut() {
            self.index(bytes, &mut at)?;
            self.framing.keep(bytes.get(at..).unwrap_or_default());
            return Ok(());
        }
        self.decode(bytes)?;
        let joined = self.framing.joined(bytes.get(at..).unwrap_or_default()).map_err(|m| self.malformed(m))?;
        let mut at = 0;
        self.index(&joined, &mut at)?;
        self.decode(&joined)?;
        self.framing.keep(joined.get(at..).unwrap_or_default());
        Ok(())
    }

    fn index(&mut self, bytes: &[u8], at: &mut usize) -> Result<()> {
        loop {
            let before = *at;
            let room = self.job.batch_rows.saturating_sub(self.rows + self.found);
            match self.framing.index(bytes, at, room, &mut self.slots) {
                Ok(rows) => self.found += rows,
                Err(m) => return Err(self.malformed(m)),
            }
            self.wire_bytes += *at - before;
            // A message is a row, so a batch is never much over its bound.
            if self.rows + self.found < self.job.batch_rows && self.wire_bytes < BATCH_BYTES {
                return Ok(());
            }
            self.decode(bytes)?;
            self.flush()?;
        }
    }

    /// Decodes what was found in `bytes`, column by column.
    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        if self.found == 0 {
            return Ok(());
        }
        let columns = self.columns.len();
        for (i, column) in self.columns.iter_mut().enumerate() {
            let run = Run { bytes, slots: &self.slots, column: i, columns };
            if let Err(fault) = column.append(run) {
                return Err(fault.into_error(&self.origin.connector, &column.name));
            }
        }
        self.slots.clear();
        self.rows += std::mem::take(&mut self.found);
        Ok(())
    }

    fn malformed(&self, m: Malformed) -> SqlError {
        Fault::from(m).into_error(&self.origin.connector, "(all)")
    }

    /// Takes the memory of the batch being built, in steps, so that the pool is not asked for every row.
    fn account(&mut self) -> Result<()> {
        const STEP: usize = 256 << 10;
        // Builders double when they grow: twice the content covers them.
        let needed = 2 * (self.wire_bytes + self.framing.kept() + self.rows * self.row_width);
        if needed > self.memory.size() {
            self.memory.try_grow((needed - self.memory.size()).next_multiple_of(STEP))?;
        }
        Ok(())
    }

    /// Makes a batch of the rows that are there.
    pub(super) fn flush(&mut self) -> Result<()> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            match column.finish() {
                Ok(a) => arrays.push(a),
                Err(fault) => return Err(fault.into_error(&self.origin.connector, &column.name)),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(self.job.schema.clone(), arrays, &options).map_err(|e| {
            self.origin
                .error(SqlState::FDW_INCONSISTENT_DESCRIPTOR, format!("rows do not fit the known schema: {e}"))
                .hint("The source's schema has changed: REFRESH SCHEMA of the connector.")
        })?;
        let size = batch.get_array_memory_size();
        self.memory.try_resize(size)?;
        self.job.stats.batch(self.rows, self.wire_bytes);
        self.job.within_limits(self.origin)?;
        self.ready.push(Held { batch, _memory: self.memory.take() });
        self.rows = 0;
        self.wire_bytes = 0;
        Ok(())
    }

    /// A COPY has ended, and another may follow.
    pub(super) fn end_copy(&mut self) -> Result<()> {
        self.framing.finish().map_err(|m| self.malformed(m))?;
        self.framing = Framing::new(self.columns.len());
        Ok(())
    }

    /// No more rows come.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.rows > 0 { self.flush() } else { Ok(()) }
    }
}

/// A column as a RowDescription has it.
pub(crate) struct Described {
    pub name: String,
    pub oid: u32,
    pub typmod: i32,
}

/// The columns in the body of a RowDescription: a count, then name, table, column, type, size, modifier and format of each
/// (<https://www.postgresql.org/docs/15/protocol-message-formats.html>).
pub(crate) fn described(body: &[u8]) -> Option<Vec<Described>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = vec![];
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|b| *b == 0)?;
        let name = String::from_utf8_lossy(rest.get(..end)?).into_owned();
        let (fixed, after) = rest.get(end + 1..)?.split_first_chunk::<18>()?;
        let [_, _, _, _, _, _, a, b, c, d, _, _, e, f, g, h, ..] = *fixed;
        columns.push(Described { name, oid: u32::from_be_bytes([a, b, c, d]), typmod: i32::from_be_bytes([e, f, g, h]) });
        rest = after;
    }
    rest.is_empty().then_some(columns)
}
