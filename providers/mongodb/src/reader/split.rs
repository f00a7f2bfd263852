//! Several readers of one collection, by ranges of `_id`, in one snapshot.
//!
//! Bounds are `_id`s of a random sample. A range is asked for by `$expr`, whose order is total over all types (match language is bracketed by type: it would
//! lose the `_id`s of other types than the bound's); with constants it is served by the index all the same. All ranges are read at one cluster time.
//! Readers take ranges from a queue: one that finds no free connection leaves its share to the others.

use std::collections::VecDeque;
use std::sync::Arc;

use bson::{Bson, Document, Timestamp, doc};
use datafusion::execution::SendableRecordBatchStream;
use fjord_engine::pushdown::Rel;
use fjord_engine::source::{RemoteRequest, TableInfo};
use fjord_engine::{Result, SqlError};
use futures::{FutureExt, StreamExt};
use mongodb::error::ErrorKind;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, mpsc};

use super::run::{bounded, command_of, explained, one, whole};
use super::{Held, Job, ReaderStream, What};
use crate::client::{Running, Slot};
use crate::render::Query;
use crate::source::{Inner, job_of};

/// A second reader pays from so much on, for each reader.
const READER_BYTES_MIN: u64 = 16 << 20;
/// Ranges for each reader, so that one that is slow does not hold up the others.
const RANGES_PER_READER: usize = 4;
/// Documents sampled for each bound: more make the ranges more alike.
const SAMPLES_PER_RANGE: usize = 16;

/// How many readers a query is planned for: 1 where it is read as a whole.
pub(crate) fn readers(inner: &Inner, rel: &Rel, table: &TableInfo, rows: Option<u64>, most: Option<usize>) -> usize {
    fn plain(rel: &Rel) -> bool {
        match rel {
            Rel::Scan { .. } => true,
            Rel::Filter { input, .. } | Rel::Project { input, .. } => plain(input),
            _ => false,
        }
    }
    let facts = inner.facts.read().clone();
    let concern = inner.options.read_concern.as_deref();
    let whole =
        !plain(rel) || !facts.snapshots || !facts.has_ranges(&table.schema, &table.name) || !matches!(concern, None | Some("snapshot"));
    let (Some(bytes), false) = (table.bytes, whole) else { return 1 };
    let read = match (rows, table.rows) {
        (Some(rows), Some(all)) if rows < all => u64::try_from(u128::from(bytes) * u128::from(rows) / u128::from(all)).unwrap_or(bytes),
        _ => bytes,
    };
    let most = most.unwrap_or(usize::MAX).min(inner.options.max_parallel_reads).min(inner.options.pool_size as usize);
    usize::try_from(read / READER_BYTES_MIN).unwrap_or(usize::MAX).min(most).max(1)
}

struct Split {
    inner: Arc<Inner>,
    request: RemoteRequest,
    readers: usize,
    begun: OnceCell<Result<Begun>>,
}

struct Begun {
    job: Job,
    at: Option<Timestamp>,
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    ranges: VecDeque<Range>,
    reading: usize,
}

/// From a bound on, below another.
#[derive(Debug, Clone)]
struct Range {
    from: Option<Bson>,
    to: Option<Bson>,
}

/// As many streams as there are readers.
pub(crate) fn streams(inner: &Arc<Inner>, request: RemoteRequest, readers: usize) -> Vec<SendableRecordBatchStream> {
    let schema = request.schema.clone();
    let split = Arc::new(Split { inner: inner.clone(), request, readers, begun: OnceCell::new() });
    (0..readers)
        .map(|_| {
            let split = split.clone();
            ReaderStream::start(schema.clone(), Box::new(move |tx| async move { split.work(tx).await }.boxed()))
        })
        .collect()
}

impl Split {
    async fn work(self: Arc<Split>, tx: mpsc::Sender<Result<Held>>) {
        let begun = match self.begun.get_or_init(|| self.begin()).await {
            Ok(b) => b,
            Err(e) => {
                self.request.stats.failed(e.message.clone());
                let _ = tx.send(Err(e.clone())).await;
                return;
            }
        };
        let done = bounded(&self.inner, &begun.job, &tx, self.ranges(begun, &tx)).await;
        let left = begun.left.lock();
        if done && left.ranges.is_empty() && left.reading == 0 {
            begun.job.stats.finished();
        }
    }

    /// Bounds and a snapshot.
    async fn begin(&self) -> Result<Begun> {
        let job = job_of(&self.inner, self.request.clone())?;
        let What::Query(q) = &job.what else { return Err(SqlError::internal("a command is not split")) };
        let slot = self.inner.client.acquire().await?;
        let fail = |e: mongodb::error::Error| self.inner.origin.driver(&e);
        let db = slot.client.database(&q.database);
        let first = doc! { "find": &q.collection, "batchSize": 0, "singleBatch": true, "readConcern": { "level": "snapshot" } };
        // Without a time the readers would see different moments: then it is read as a whole. So it is where the source has no snapshot just now.
        let at = match db.run_command(first).await {
            Ok(reply) => reply.get_document("cursor").ok().and_then(|c| c.get_timestamp("atClusterTime").ok()),
            Err(e) if matches!(e.kind.as_ref(), ErrorKind::Command(_)) => None,
            Err(e) => return Err(fail(e)),
        };
        let bounds = match at {
            Some(_) => bounds(&slot, q, self.readers * RANGES_PER_READER).await.map_err(fail)?,
            None => vec![],
        };
        let mut ranges = VecDeque::new();
        let mut from = None;
        for b in bounds {
            ranges.push_back(Range { from: from.replace(b.clone()), to: Some(b) });
        }
        ranges.push_back(Range { from, to: None });
        job.stats.sent(&job.text);
        job.stats.split(ranges.len());
        Ok(Begun { job, at, left: Mutex::new(Left { ranges, reading: 0 }) })
    }

    async fn ranges(&self, begun: &Begun, tx: &mpsc::Sender<Result<Held>>) -> Result<()> {
        loop {
            let (range, alone) = {
                let mut left = begun.left.lock();
                let Some(range) = left.ranges.pop_front() else { return Ok(()) };
                left.reading += 1;
                (range, left.reading == 1)
            };
            // Given back however this ends.
            let _reading = Reading(&begun.left);
            let slot = match alone {
                true => Some(self.inner.client.acquire().await?),
                false => self.inner.client.try_acquire().await,
            };
            let Some(slot) = slot else {
                begun.left.lock().ranges.push_back(range);
                return Ok(());
            };
            self.range(begun, range, slot, tx).await?;
        }
    }

    async fn range(&self, begun: &Begun, range: Range, slot: Slot, tx: &mpsc::Sender<Result<Held>>) -> Result<()> {
        let What::Query(q) = &begun.job.what else { return Ok(()) };
        if range.from.is_none() && range.to.is_none() {
            return whole(&self.inner, &begun.job, slot, tx).await;
        }
        let mut q = q.clone();
        q.stages.insert(0, doc! { "$match": { "$expr": { "$and": range.conditions() } } });
        let mut command = command_of(&self.inner, &q, begun.at);
        command.insert("hint", doc! { "_id": 1 });
        let mut sent = false;
        let database = q.database.clone();
        match one(&self.inner, &begun.job, &database, command, Running::new(slot), tx, &mut sent).await {
            Ok(()) => Ok(()),
            Err(f) => Err(explained(&self.inner, &begun.job, f).await),
        }
    }
}

/// One that reads.
struct Reading<'a>(&'a Mutex<Left>);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.lock().reading -= 1;
    }
}

impl Range {
    fn conditions(&self) -> Vec<Document> {
        let bound = |op: &str, b: &Bson| {
            let mut d = Document::new();
            d.insert(op, vec![Bson::String("$_id".into()), doc! { "$literal": b.clone() }.into()]);
            d
        };
        let from = self.from.as_ref().map(|b| bound("$gte", b));
        from.into_iter().chain(self.to.as_ref().map(|b| bound("$lt", b))).collect()
    }
}

/// Bounds of so many ranges of about equal size, in ascending order by the source's own order; fewer where the sample has fewer.
async fn bounds(slot: &Slot, q: &Query, ranges: usize) -> mongodb::error::Result<Vec<Bson>> {
    let size = i64::try_from(ranges * SAMPLES_PER_RANGE).unwrap_or(i64::MAX);
    let pipeline = vec![doc! { "$sample": { "size": size } }, doc! { "$project": { "_id": 1 } }, doc! { "$sort": { "_id": 1 } }];
    let command =
        doc! { "aggregate": &q.collection, "pipeline": pipeline, "cursor": {}, "collation": { "locale": "simple" }, "allowDiskUse": true };
    let mut cursor = slot.client.database(&q.database).run_cursor_command(command).await?;
    let mut ids: Vec<Bson> = vec![];
    while let Some(d) = cursor.next().await {
        if let Some(id) = d?.get("_id")
            && ids.last() != Some(id)
        {
            ids.push(id.clone());
        }
    }
    let step = (ids.len() / ranges.max(1)).max(1);
    Ok(ids.into_iter().step_by(step).skip(1).take(ranges.saturating_sub(1)).collect())
}
