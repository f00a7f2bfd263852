//! Documents on their way into record batches.

use arrow::array::{RecordBatch, RecordBatchOptions};
use bson::RawDocument;
use bson::raw::RawBsonRef;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use fjord_engine::pushdown::Value;
use fjord_engine::{Result, SqlError, SqlState};
use tokio::sync::mpsc;

use super::column::{Column, Misfit};
use super::fields::{At, Fields};
use super::{BATCH_BYTES, Held, Job, What};
use crate::error::Origin;
use crate::render::Out;
use crate::types::Kind;

/// Why documents could not be taken.
pub(super) enum Untaken {
    /// A document does not fit its columns: the schema is another than was thought.
    Drift(String),
    /// Any other error.
    Error(SqlError),
}

impl From<SqlError> for Untaken {
    fn from(e: SqlError) -> Untaken {
        Untaken::Error(e)
    }
}

/// Rows of one query.
pub(super) struct Batches<'a> {
    origin: &'a Origin,
    job: &'a Job,
    columns: Vec<Column>,
    fields: Fields,
    /// Columns of the whole document.
    whole: Vec<usize>,
    constants: Vec<(usize, Value)>,
    /// The field that counts values of wrong types.
    wrong: Option<String>,
    row_width: usize,
    rows: usize,
    bytes: usize,
    /// For the batch being built.
    memory: MemoryReservation,
    /// For the reply that is being read.
    reply: MemoryReservation,
    ready: Vec<Held>,
}

impl<'a> Batches<'a> {
    /// Makes the decoders.
    pub(super) fn new(origin: &'a Origin, job: &'a Job) -> Result<Batches<'a>> {
        let out: Vec<Out> = match &job.what {
            What::Query(q) => q.out.clone(),
            What::Command(_) => vec![Out::Path(String::new(), Kind::Raw)],
        };
        let wanted = job.schema.fields();
        if out.len() != wanted.len() {
            return Err(SqlError::internal(format!("{} columns were asked for, {} are read", wanted.len(), out.len())));
        }
        let (mut columns, mut fields, mut whole, mut constants) = (vec![], Fields::default(), vec![], vec![]);
        for (i, (field, o)) in wanted.iter().zip(&out).enumerate() {
            let column = match o {
                Out::Path(path, kind) => {
                    if path.is_empty() {
                        whole.push(i);
                    } else {
                        fields.add(path, i);
                    }
                    Column::new(kind, field.data_type(), field.is_nullable())
                }
                Out::Const(v, _) => {
                    constants.push((i, v.clone()));
                    Column::of_constant(v, field.data_type())
                }
            };
            columns.push(column.ok_or_else(|| {
                origin.changed(format!("column \"{}\" is not read as {}", field.name(), field.data_type())).hint("Run the query again.")
            })?);
        }
        let reservation = || MemoryConsumer::new(format!("connector \"{}\"", origin.connector)).register(&job.memory);
        let row_width = columns.iter().map(Column::fixed_width).sum();
        let wrong = match &job.what {
            What::Query(q) => q.wrong.clone(),
            What::Command(_) => None,
        };
        let (memory, reply) = (reservation(), reservation());
        Ok(Batches { origin, job, columns, fields, whole, constants, wrong, row_width, rows: 0, bytes: 0, memory, reply, ready: vec![] })
    }

    /// Takes one document. True: a batch is done.
    pub(super) fn document(&mut self, doc: &RawDocument) -> Result<bool, Untaken> {
        let row = self.rows;
        let walked = self.fields.walk(doc, &mut self.columns, row);
        walked.map_err(|at| self.misfit(at))?;
        for i in 0..self.whole.len() {
            let c = self.whole[i];
            let taken = self.columns[c].take(RawBsonRef::Document(doc));
            taken.map_err(|misfit| self.misfit(At { column: Some(c), misfit }))?;
        }
        for (c, v) in &self.constants {
            if !self.columns[*c].constant(v) {
                return Err(SqlError::internal("a constant has no form in its column").into());
            }
        }
        for c in 0..self.columns.len() {
            if self.columns[c].len <= row {
                let taken = self.columns[c].null();
                taken.map_err(|misfit| self.misfit(At { column: Some(c), misfit }))?;
            }
        }
        if let Some(name) = &self.wrong {
            let count = match doc.get(name) {
                Ok(Some(RawBsonRef::Int32(n))) => i64::from(n),
                Ok(Some(RawBsonRef::Int64(n))) => n,
                _ => return Err(self.origin.error(SqlState::PROTOCOL_VIOLATION, "a group came without its count of wrong types").into()),
            };
            if count > 0 {
                return Err(Untaken::Drift(format!("{count} documents of a group hold values of other types than their columns")));
            }
        }
        self.rows += 1;
        self.bytes += doc.as_bytes().len();
        // The pool is not asked for every row.
        if self.rows.is_multiple_of(64) || doc.as_bytes().len() > 64 << 10 {
            self.account()?;
        }
        if self.rows >= self.job.batch_rows || self.bytes >= BATCH_BYTES {
            self.flush()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn misfit(&self, at: At) -> Untaken {
        let name = at.column.and_then(|c| self.job.schema.fields().get(c)).map_or("(all)", |f| f.name().as_str());
        let holds = at.column.and_then(|c| self.columns.get(c)).map(|c| c.kind().name()).unwrap_or_default();
        match at.misfit {
            Misfit::Type(found) => Untaken::Drift(format!("column \"{name}\" is {holds}, and a document has {found} there")),
            Misfit::Value(state, what, hint) => {
                let place = match &self.job.what {
                    What::Query(q) => format!("\"{}\".\"{}\", ", q.database, q.collection),
                    What::Command(_) => String::new(),
                };
                let e = self.origin.error(state, format!("{place}column \"{name}\": {what}"));
                Untaken::Error(match hint {
                    Some(h) => e.hint(h),
                    None => e,
                })
            }
        }
    }

    /// Takes the memory of a reply for as long as it is read.
    pub(super) fn reply(&mut self, bytes: usize) -> Result<()> {
        self.reply.try_resize(bytes)?;
        Ok(())
    }

    /// Takes the memory of the batch being built, in steps.
    fn account(&mut self) -> Result<()> {
        const STEP: usize = 256 << 10;
        // Builders double when they grow: twice the content covers them.
        let needed = 2 * (self.bytes + self.rows * self.row_width);
        if needed > self.memory.size() {
            self.memory.try_grow((needed - self.memory.size()).next_multiple_of(STEP))?;
        }
        Ok(())
    }

    /// Makes a batch of the rows that are there.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(self.job.schema.clone(), arrays, &options)
            .map_err(|e| self.origin.changed(format!("documents do not fit the known schema: {e}")))?;
        let size = batch.get_array_memory_size();
        self.memory.try_resize(size)?;
        self.job.stats.batch(self.rows, self.bytes);
        self.job.within_limits(self.origin)?;
        self.ready.push(Held { batch, _memory: self.memory.take() });
        self.rows = 0;
        self.bytes = 0;
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
}
