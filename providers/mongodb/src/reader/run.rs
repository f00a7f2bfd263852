//! One query: sent, read to its end, and what becomes of it when it does not come there.

use std::sync::Arc;
use std::time::Duration;

use bson::raw::RawBsonRef;
use bson::{Document, RawDocumentBuf, doc};
use datafusion::common::runtime::SpawnedTask;
use fjord_engine::{Result, SqlError, SqlState};
use futures::StreamExt;
use mongodb::raw_batch_cursor::RawBatch;
use tokio::sync::mpsc;

use super::rows::{Batches, Untaken};
use super::{Counters, FIRST_REPLY, Held, Job, RETRIES, What};
use crate::client::{Running, Slot};
use crate::error::is_broken;
use crate::render::Query;
use crate::source::Inner;

/// Waiting without a limit, as a limit.
const NO_LIMIT: Duration = Duration::from_secs(365 * 86_400);

/// Why a query did not come to its end.
pub(super) enum Failure {
    Driver(mongodb::error::Error),
    Drift(String, Option<RawDocumentBuf>),
    Ours(SqlError),
}

impl From<SqlError> for Failure {
    fn from(e: SqlError) -> Failure {
        Failure::Ours(e)
    }
}

impl From<mongodb::error::Error> for Failure {
    fn from(e: mongodb::error::Error) -> Failure {
        Failure::Driver(e)
    }
}

/// Runs a job and reports to its counters.
pub(crate) async fn run(inner: Arc<Inner>, job: Result<Job>, tx: mpsc::Sender<Result<Held>>) {
    let job = match job {
        Ok(job) => job,
        Err(e) => {
            // Nobody listens any more: then nobody misses the error either.
            let _ = tx.send(Err(e)).await;
            return;
        }
    };
    let work = async {
        let slot = inner.client.acquire().await?;
        whole(&inner, &job, slot, &tx).await
    };
    if bounded(&inner, &job, &tx, work).await {
        job.stats.finished();
    }
}

/// Work on a job until it is done, cancelled or takes too long; what came of it goes to the counters and the consumer. True: it was done.
pub(super) async fn bounded(inner: &Inner, job: &Job, tx: &mpsc::Sender<Result<Held>>, work: impl Future<Output = Result<()>>) -> bool {
    let counters = Counters(Some(job.stats.clone()));
    let limit = job.limits.time.unwrap_or(NO_LIMIT);
    let outcome = tokio::select! {
        biased;
        () = job.scope.cancel.cancelled() => {
            job.stats.cancelled();
            Err(SqlError::cancelled())
        }
        () = tokio::time::sleep(limit) => Err(job.too_much(&inner.origin, "scan_max_time", format!("{limit:?}"))),
        outcome = work => outcome,
    };
    let done = outcome.is_ok();
    if let Err(e) = outcome {
        job.stats.failed(e.message.clone());
        let _ = tx.send(Err(e)).await;
    }
    counters.done();
    done
}

/// Runs the query; again, where the connection gave way before a row was passed on.
pub(super) async fn whole(inner: &Arc<Inner>, job: &Job, slot: Slot, tx: &mpsc::Sender<Result<Held>>) -> Result<()> {
    let mut sent = false;
    let mut attempt = 0;
    job.stats.sent(&job.text);
    let (database, command) = match &job.what {
        What::Query(q) => (q.database.as_str(), command_of(inner, q, None)),
        What::Command(c) => (c.database.as_str(), c.document.clone()),
    };
    let mut slot = Some(slot);
    loop {
        let running = Running::new(match slot.take() {
            Some(s) => s,
            None => inner.client.acquire().await?,
        });
        match one(inner, job, database, command.clone(), running, tx, &mut sent).await {
            Ok(()) => return Ok(()),
            Err(Failure::Driver(e)) if is_broken(&e) && !sent && attempt < RETRIES => attempt += 1,
            Err(f) => return Err(explained(inner, job, f).await),
        }
    }
}

/// A failure as the user sees it.
pub(super) async fn explained(inner: &Inner, job: &Job, failure: Failure) -> SqlError {
    match failure {
        Failure::Ours(e) => e,
        Failure::Driver(e) => inner.origin.driver(&e),
        Failure::Drift(what, document) => drifted(inner, job, &what, document).await,
    }
}

/// The command of a query, but for what belongs to one execution of it.
pub(super) fn command_of(inner: &Inner, q: &Query, snapshot: Option<bson::Timestamp>) -> Document {
    let first = i32::try_from(FIRST_REPLY).unwrap_or(101);
    let mut c = doc! { "aggregate": &q.collection, "pipeline": q.stages.clone(), "cursor": { "batchSize": first }, "allowDiskUse": true };
    if inner.facts.read().takes_collation(&q.database, &q.collection) {
        c.insert("collation", doc! { "locale": "simple" });
    }
    if let Some(t) = inner.options.statement_timeout {
        c.insert("maxTimeMS", i64::try_from(t.as_millis()).unwrap_or(i64::MAX).max(1));
    }
    match (snapshot, &inner.options.read_concern) {
        (Some(at), _) => {
            c.insert("readConcern", doc! { "level": "snapshot", "atClusterTime": at });
        }
        (None, Some(level)) => {
            c.insert("readConcern", doc! { "level": level });
        }
        (None, None) => {}
    }
    c
}

/// One execution.
pub(super) async fn one(
    inner: &Inner,
    job: &Job,
    database: &str,
    command: Document,
    running: Running,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<(), Failure> {
    let outcome = read(inner, job, database, command, &running, tx, sent).await;
    match &outcome {
        Ok(()) => running.ended(),
        // It failed at the source, or the connection it ran on is gone.
        Err(Failure::Driver(_)) => running.ended(),
        // What runs is looked for and killed.
        Err(_) => drop(running),
    }
    outcome
}

async fn read(
    inner: &Inner,
    job: &Job,
    database: &str,
    mut command: Document,
    running: &Running,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<(), Failure> {
    let client = running.client()?;
    let mut batches = Batches::new(&inner.origin, job)?;
    command.insert("comment", running.comment());
    let db = client.database(database);
    if matches!(&job.what, What::Command(c) if !c.cursor) {
        let mut request = db.run_command(command);
        if let Some(criteria) = client.selection_criteria() {
            request = request.selection_criteria(criteria.clone());
        }
        let reply = request.await?;
        let raw = RawDocumentBuf::try_from(&reply).map_err(|e| SqlError::internal(e.to_string()))?;
        take(&mut batches, &raw, tx, sent).await?;
        batches.flush()?;
        return finish(&mut batches, tx, sent).await;
    }
    let later = u32::try_from(job.batch_rows).unwrap_or(u32::MAX).max(1);
    let mut request = db.run_cursor_command(command).batch_size(later);
    if let Some(criteria) = client.selection_criteria() {
        request = request.selection_criteria(criteria.clone());
    }
    let mut replies = request.batch().await?;
    let Some(first) = replies.next().await else { return Ok(()) };
    let first = first?;
    let more = goes_on(&first);
    reply(inner, &mut batches, first, tx, sent).await?;
    if !more {
        return Ok(());
    }
    // One reply is fetched while another is read. Aborted, which the end of this function does, the cursor is dropped, and killed at the source.
    let (ahead, mut coming) = mpsc::channel(1);
    let _fetching = SpawnedTask::spawn(async move {
        while let Some(next) = replies.next().await {
            if ahead.send(next).await.is_err() {
                return;
            }
        }
    });
    while let Some(next) = coming.recv().await {
        reply(inner, &mut batches, next?, tx, sent).await?;
    }
    Ok(())
}

/// Whether the source has more than this reply.
fn goes_on(reply: &RawBatch) -> bool {
    let id = reply.as_raw_document().get_document("cursor").ok().and_then(|c| c.get("id").ok().flatten());
    !matches!(id, Some(RawBsonRef::Int64(0) | RawBsonRef::Int32(0)))
}

async fn reply(
    inner: &Inner,
    batches: &mut Batches<'_>,
    reply: RawBatch,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<(), Failure> {
    // This one, the one that waits and the one that comes meanwhile.
    batches.reply(3 * reply.as_raw_document().as_bytes().len())?;
    for d in reply.doc_slices()? {
        let d = d.map_err(|e| inner.origin.error(SqlState::PROTOCOL_VIOLATION, format!("a reply is no BSON: {e}")))?;
        let RawBsonRef::Document(d) = d else {
            return Err(inner.origin.error(SqlState::PROTOCOL_VIOLATION, "a reply holds what is no document").into());
        };
        take(batches, d, tx, sent).await?;
    }
    // What has come does not wait for the next reply.
    batches.flush()?;
    finish(batches, tx, sent).await
}

async fn take(batches: &mut Batches<'_>, d: &bson::RawDocument, tx: &mpsc::Sender<Result<Held>>, sent: &mut bool) -> Result<(), Failure> {
    match batches.document(d) {
        Ok(false) => Ok(()),
        Ok(true) => finish(batches, tx, sent).await,
        Err(Untaken::Error(e)) => Err(e.into()),
        Err(Untaken::Drift(what)) => Err(Failure::Drift(what, Some(d.to_owned()))),
    }
}

/// Hands finished batches over. Nobody takes them: cancelled.
async fn finish(batches: &mut Batches<'_>, tx: &mpsc::Sender<Result<Held>>, sent: &mut bool) -> Result<(), Failure> {
    if batches.pass_on(tx, sent).await {
        return Ok(());
    }
    Err(SqlError::cancelled().into())
}

/// A document does not fit: it is remembered, so that the next introspection makes the columns wider, and the error has the schema read again.
async fn drifted(inner: &Inner, job: &Job, what: &str, document: Option<RawDocumentBuf>) -> SqlError {
    let What::Query(q) = &job.what else { return inner.origin.changed(what) };
    let place = format!("\"{}\".\"{}\"", q.database, q.collection);
    let declared = inner.options.reading.columns.contains_key(&(q.database.clone(), q.collection.clone()));
    let found = if q.wrong.is_none() && q.checked.is_empty() { document } else { wrong_document(inner, q).await };
    if let Some(d) = &found {
        inner.known.drift(&q.database, &q.collection, d, what);
    }
    let id = found.as_ref().and_then(|d| d.get("_id").ok().flatten()).map(|v| {
        let mut shown = String::new();
        let _ = crate::json::value(&mut shown, v);
        format!(" (_id {shown})")
    });
    let e = inner.origin.changed(format!("{place}: {what}{}", id.unwrap_or_default()));
    e.hint(match declared {
        true => "Declare the field as json in the option \"columns\", or repair the document.",
        false => {
            "The schema is read again, with the column as json: run the query again. A larger \"sample_size\" finds such documents sooner."
        }
    })
}

/// A document with a value of another type in one of the fields that were grouped; else one with a long, which an int column may be too narrow for.
async fn wrong_document(inner: &Inner, q: &Query) -> Option<RawDocumentBuf> {
    let slot = inner.client.try_acquire().await?;
    let (mut other, mut long) = (vec![], vec![]);
    let mut fields = Document::new();
    let on = |path: &str, operator: Document| {
        let mut d = Document::new();
        d.insert(path, operator);
        d
    };
    for (path, types) in &q.checked {
        let right: Vec<&str> = types.iter().copied().chain(["null"]).collect();
        other.push(on(path, doc! { "$exists": true, "$not": { "$type": right } }));
        other.push(on(path, doc! { "$type": "array" }));
        long.push(on(path, doc! { "$type": "long" }));
        fields.insert(path.clone(), 1);
    }
    for any in [other, long] {
        let pipeline = vec![doc! { "$match": { "$or": any } }, doc! { "$limit": 1 }, doc! { "$project": fields.clone() }];
        let command = doc! { "aggregate": &q.collection, "pipeline": pipeline, "cursor": {} };
        let mut replies = slot.client.database(&q.database).run_cursor_command(command).batch().await.ok()?;
        let reply = replies.next().await?.ok()?;
        if let Some(Ok(RawBsonRef::Document(found))) = reply.doc_slices().ok()?.into_iter().next() {
            return Some(found.to_owned());
        }
    }
    None
}
