//! Binary rows on their way into record batches.

use arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use fjord_engine::{Result, SqlState};
use tokio::sync::mpsc;

use super::column::{Column, Unread};
use super::{BATCH_BYTES, Held, Job};
use crate::error::Origin;
use crate::wire::{ColumnDef, Input};

/// Bits in front of the first column's in a row's map of NULLs.
const NULL_MAP_OFFSET: usize = 2;

/// Rows of one query.
pub(super) struct Batches<'a> {
    origin: &'a Origin,
    job: &'a Job,
    columns: Vec<Column>,
    row_width: usize,
    rows: usize,
    wire_bytes: usize,
    /// For the batch being built.
    memory: MemoryReservation,
    /// For the connection's buffers.
    ahead: MemoryReservation,
    /// Batches that are done.
    ready: Vec<Held>,
}

impl<'a> Batches<'a> {
    /// Makes the decoders for what the source is about to send, if that is what was asked for.
    pub(super) fn new(origin: &'a Origin, job: &'a Job, now: &[ColumnDef]) -> Result<Batches<'a>> {
        let changed = |what: String| {
            origin
                .error(SqlState::FDW_INCONSISTENT_DESCRIPTOR, what)
                .hint("The source's schema has changed: REFRESH SCHEMA of the connector.")
        };
        let wanted = job.schema.fields();
        if now.len() != wanted.len() {
            return Err(changed(format!("{} columns were asked for, the source sends {}", wanted.len(), now.len())));
        }
        let mut columns = Vec::with_capacity(now.len());
        for (field, def) in wanted.iter().zip(now) {
            let column = Column::new(field.name(), def, field.data_type());
            columns.push(column.ok_or_else(|| {
                changed(format!("column \"{}\" is of another type (field type {}) at the source now", field.name(), def.kind))
            })?);
        }
        let reservation = || MemoryConsumer::new(format!("connector \"{}\"", origin.connector)).register(&job.memory);
        let row_width = columns.iter().map(Column::fixed_width).sum();
        let (memory, ahead) = (reservation(), reservation());
        Ok(Batches { origin, job, columns, row_width, rows: 0, wire_bytes: 0, memory, ahead, ready: vec![] })
    }

    /// Takes one row, without the packet's head. True: a batch is done.
    #[inline]
    pub(super) fn row(&mut self, row: &[u8]) -> Result<bool> {
        let map = (self.columns.len() + 7 + NULL_MAP_OFFSET) / 8;
        let Some((nulls, values)) = row.split_at_checked(map) else { return Err(self.fault("(all)", Unread::Malformed("it is cut off"))) };
        let mut input = Input(values);
        let mut failed = None;
        for (i, column) in self.columns.iter_mut().enumerate() {
            let bit = i + NULL_MAP_OFFSET;
            if nulls.get(bit / 8).is_some_and(|b| b >> (bit % 8) & 1 == 1) {
                column.null();
            } else if let Err(e) = column.take(&mut input) {
                failed = Some((i, e));
                break;
            }
        }
        if let Some((i, e)) = failed {
            let name = self.columns.get(i).map(|c| c.name.clone()).unwrap_or_default();
            return Err(self.fault(&name, e));
        }
        if !input.0.is_empty() {
            return Err(self.fault("(all)", Unread::Malformed("a row is longer than its columns")));
        }
        self.rows += 1;
        self.wire_bytes += row.len() + 5;
        // The pool is not asked for every row.
        if self.rows.is_multiple_of(64) || row.len() > 64 << 10 {
            self.account()?;
        }
        if self.rows >= self.job.batch_rows || self.wire_bytes >= BATCH_BYTES {
            self.flush()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn fault(&self, column: &str, unread: Unread) -> fjord_engine::SqlError {
        unread.into_error(&self.origin.connector, column)
    }

    /// Takes the memory of the connection's buffers, which grow with the largest row.
    pub(super) fn buffers(&mut self, bytes: usize) -> Result<()> {
        if bytes != self.ahead.size() {
            self.ahead.try_resize(bytes)?;
        }
        Ok(())
    }

    /// Takes the memory of the batch being built, in steps.
    fn account(&mut self) -> Result<()> {
        const STEP: usize = 256 << 10;
        // Builders double when they grow: twice the content covers them.
        let needed = 2 * (self.wire_bytes + self.rows * self.row_width);
        if needed > self.memory.size() {
            self.memory.try_grow((needed - self.memory.size()).next_multiple_of(STEP))?;
        }
        Ok(())
    }

    /// Rows wait to be passed on.
    pub(super) fn pending(&self) -> bool {
        self.rows > 0
    }

    /// Makes a batch of the rows that are there.
    pub(super) fn flush(&mut self) -> Result<()> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
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

    /// No more rows come.
    pub(super) fn finish(&mut self) -> Result<()> {
        for column in self.columns.iter().filter(|c| c.zero_dates > 0) {
            self.job.scope.say(format!(
                "connector \"{}\": {} zero or invalid dates of column \"{}\" were read as NULL",
                self.origin.connector, column.zero_dates, column.name
            ));
        }
        if self.rows > 0 { self.flush() } else { Ok(()) }
    }
}
