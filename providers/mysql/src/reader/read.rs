//! One query on one connection: prepared, checked against what was planned, executed, read to its end.

use std::sync::Arc;
use std::time::Duration;

use fjord_engine::pushdown::Value;
use fjord_engine::{Result, SqlError, SqlState};
use tokio::sync::mpsc;

use super::rows::Batches;
use super::{Counters, Held, Job, LINGER, RETRIES};
use crate::error::{Origin, is_broken};
use crate::pool::{Connection, Pool};
use crate::wire::Fault;

/// Waiting without a limit, as a limit.
const NO_LIMIT: Duration = Duration::from_secs(365 * 86_400);

/// Why a query did not come to its end.
pub(super) enum Failure {
    Wire(Fault),
    Ours(SqlError),
}

impl From<SqlError> for Failure {
    fn from(e: SqlError) -> Failure {
        Failure::Ours(e)
    }
}

impl From<Fault> for Failure {
    fn from(e: Fault) -> Failure {
        Failure::Wire(e)
    }
}

/// Runs a job on a connection of the pool and reports to its counters.
pub(crate) async fn run(pool: Arc<Pool>, origin: Origin, job: Result<Job>, tx: mpsc::Sender<Result<Held>>) {
    let job = match job {
        Ok(job) => job,
        Err(e) => {
            // Nobody listens any more: then nobody misses the error either.
            let _ = tx.send(Err(e)).await;
            return;
        }
    };
    let counters = Counters(Some(job.stats.clone()));
    let outcome = until_cancelled(&job, &origin, whole(&pool, &origin, &job, &tx)).await;
    report(&job, outcome, &tx).await;
    counters.done();
}

/// What comes of the work, or that it was cancelled or took too long.
pub(super) async fn until_cancelled(job: &Job, origin: &Origin, work: impl Future<Output = Result<()>>) -> Result<()> {
    let limit = job.limits.time.unwrap_or(NO_LIMIT);
    tokio::select! {
        biased;
        () = job.scope.cancel.cancelled() => {
            job.stats.cancelled();
            Err(SqlError::cancelled())
        }
        () = tokio::time::sleep(limit) => Err(job.too_much(origin, "scan_max_time", format!("{limit:?}"))),
        outcome = work => outcome,
    }
}

/// Tells the counters, and the consumer of an error.
pub(super) async fn report(job: &Job, outcome: Result<()>, tx: &mpsc::Sender<Result<Held>>) {
    match outcome {
        Ok(()) => job.stats.finished(),
        Err(e) => {
            job.stats.failed(e.message.clone());
            let _ = tx.send(Err(e)).await;
        }
    }
}

/// Runs the query; again, where the connection gave way before a row was passed on.
pub(super) async fn whole(pool: &Arc<Pool>, origin: &Origin, job: &Job, tx: &mpsc::Sender<Result<Held>>) -> Result<()> {
    let mut attempt = 0;
    let mut sent = false;
    loop {
        let connection = pool.acquire().await?;
        if attempt == 0 {
            job.stats.sent(&job.text);
        }
        let reused = connection.reused;
        let fault = match one(connection, origin, job, tx, &mut sent).await {
            Ok(()) => return Ok(()),
            Err(Failure::Ours(e)) => return Err(e),
            Err(Failure::Wire(fault)) => fault,
        };
        let broken = is_broken(&fault);
        if broken {
            pool.forget_idle();
        }
        let e = origin.running(&fault);
        // A connection that had been idle may have died unseen (the server was restarted); a deadlock is the source's to solve.
        let again = (broken && reused) || e.state == SqlState::SERIALIZATION_FAILURE;
        if sent || !again || attempt >= RETRIES {
            return Err(e);
        }
        attempt += 1;
    }
}

async fn one(
    mut connection: Connection,
    origin: &Origin,
    job: &Job,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<(), Failure> {
    // From here until its end the session is in the middle of something.
    connection.busy = true;
    let outcome = rows(&mut connection, origin, job, tx, sent).await;
    match &outcome {
        // The server refused the query, but the connection is well.
        Ok(()) => connection.busy = false,
        Err(Failure::Wire(fault)) if !is_broken(fault) => connection.busy = false,
        Err(Failure::Wire(Fault::Io(_) | Fault::Closed | Fault::Server(_))) => {
            connection.abandon();
            return outcome;
        }
        // Any other end kills what runs.
        Err(_) => {}
    }
    if job.untrusted && !connection.busy {
        connection.discard();
    } else {
        connection.release();
    }
    outcome
}

async fn rows(
    connection: &mut Connection,
    origin: &Origin,
    job: &Job,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<(), Failure> {
    let conn = connection.conn()?;
    if !job.verify.is_empty() {
        let now = job.facts.ask(conn, &job.verify).await?;
        if let Err(e) = job.facts.check_answer(origin, &job.verify, &now) {
            connection.busy = false;
            return Err(e.into());
        }
    }
    let conn = connection.conn()?;
    if job.untrusted {
        // The session only reads, but its setting is a setting; inside of a transaction it stands.
        conn.query("START TRANSACTION READ ONLY").await?;
    }
    let statement = match &job.bound {
        Some(bound) => Statement { text: &bound.text, values: &bound.values },
        None => Statement { text: &job.text, values: &[] },
    };
    stream(connection, origin, job, statement, tx, sent).await
}

/// What is sent: a text with values is kept by the connection.
#[derive(Clone, Copy)]
pub(super) struct Statement<'a> {
    pub(super) text: &'a str,
    pub(super) values: &'a [Value],
}

/// Runs one text and passes its rows on; the connection is not busy afterwards, or it is not to be used again.
pub(super) async fn stream(
    connection: &mut Connection,
    origin: &Origin,
    job: &Job,
    wanted: Statement<'_>,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<(), Failure> {
    let conn = connection.conn()?;
    let keep = !wanted.values.is_empty();
    let statement = if keep { conn.kept(wanted.text).await? } else { conn.prepare(wanted.text).await? };
    if usize::from(statement.params) != wanted.values.len() {
        conn.forget(statement.id).await?;
        connection.busy = false;
        return Err(origin.error(SqlState::FEATURE_NOT_SUPPORTED, "a remote query takes no parameters").into());
    }
    let mut batches = match Batches::new(origin, job, &statement.columns) {
        Ok(b) => b,
        Err(e) => {
            conn.forget(statement.id).await?;
            connection.busy = false;
            return Err(e.into());
        }
    };
    let executed = conn.execute(&statement, wanted.values).await;
    if keep && executed.is_err() {
        // Whatever was wrong with it, the next one is prepared anew.
        let _ = conn.forget(statement.id).await;
    }
    let columns = executed?.ok_or(Fault::Malformed("a query without rows"))?;
    // What it says when it runs counts: a type may have become more exact since it was prepared.
    if columns != statement.columns {
        batches = Batches::new(origin, job, &columns)?;
    }
    loop {
        while conn.advance()? {
            match conn.row()? {
                Some(row) => {
                    if batches.row(row)? {
                        pass_on(&mut batches, job, tx, sent).await?;
                    }
                }
                None => {
                    if !keep {
                        conn.close_statement(statement.id).await?;
                    }
                    batches.finish()?;
                    connection.busy = false;
                    return pass_on(&mut batches, job, tx, sent).await.map_err(Failure::from);
                }
            }
        }
        batches.buffers(conn.memory())?;
        tokio::select! {
            biased;
            filled = conn.fill() => filled?,
            () = tokio::time::sleep(LINGER), if batches.pending() => {
                batches.flush()?;
                pass_on(&mut batches, job, tx, sent).await?;
            }
        }
    }
}

/// Hands finished batches over. Nobody takes them: cancelled.
async fn pass_on(batches: &mut Batches<'_>, job: &Job, tx: &mpsc::Sender<Result<Held>>, sent: &mut bool) -> Result<()> {
    if batches.pass_on(tx, sent).await {
        return Ok(());
    }
    job.stats.cancelled();
    Err(SqlError::cancelled())
}
