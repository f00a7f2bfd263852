//! One query on one connection, in one round trip.
//!
//! Whatever must hold before the first row is released travels in front of the COPY without being waited for: the begin of a transaction, the
//! facts that the plan rests on, and the types of the columns, because bytes do not tell a double from a bigint. The server answers in order, so all
//! is known when the rows come.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fjord_engine::{Result, SqlError, SqlState};
use futures::future::maybe_done;
use tokio::sync::mpsc;
use tokio_postgres::SimpleQueryMessage;

use super::rows::Batches;
use super::{Counters, Held, Job, LINGER, RETRIES, lookup, snapshot};
use crate::error::{Origin, is_broken};
use crate::pool::{Connection, OWN_PATH, Piece, Pool};
use crate::render::Bound;

/// Waiting without a limit, as a limit.
const NO_LIMIT: Duration = Duration::from_secs(365 * 86_400);

/// Why a query did not come to its end.
pub(super) enum Failure {
    Driver(tokio_postgres::Error),
    Ours(SqlError),
}

impl From<SqlError> for Failure {
    fn from(e: SqlError) -> Failure {
        Failure::Ours(e)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(e: tokio_postgres::Error) -> Failure {
        Failure::Driver(e)
    }
}

/// What travels with a COPY.
pub(super) struct Step<'a> {
    /// Begins a transaction; behind it the settings where there is a pooler.
    pub opening: Option<String>,
    /// Tables whose files must be those that the snapshot knows.
    pub unchanged: &'a [(String, String)],
    /// Tables whose facts are asked again.
    pub verify: &'a [(String, String)],
    /// The columns are described first.
    pub describe: bool,
    /// The query.
    pub text: &'a str,
    /// Ends the transaction.
    pub closing: Option<&'static str>,
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
    let counters = Counters::new(&job.stats);
    let outcome = until_cancelled(&job, whole(&pool, &origin, &job, None, &tx)).await;
    report(&job, outcome, &tx).await;
    counters.done();
}

/// The work, or the cancel of its query.
pub(super) async fn until_cancelled(job: &Job, work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::select! {
        biased;
        () = job.scope.cancel.cancelled() => {
            job.stats.cancelled();
            Err(SqlError::cancelled())
        }
        outcome = work => outcome,
    }
}

/// The end of a job that has one reader.
pub(super) async fn report(job: &Job, outcome: Result<()>, tx: &mpsc::Sender<Result<Held>>) {
    match outcome {
        Ok(()) => job.stats.finished(),
        Err(e) => {
            job.stats.failed(e.message.clone());
            let _ = tx.send(Err(e)).await;
        }
    }
}

/// Runs the whole query on one connection; again, where the connection or the server gave way before a row was passed on.
pub(super) async fn whole(
    pool: &Arc<Pool>,
    origin: &Origin,
    job: &Job,
    mut first: Option<Connection>,
    tx: &mpsc::Sender<Result<Held>>,
) -> Result<()> {
    let shared = snapshot::of_query(pool, origin, &job.scope).await?;
    let mut attempt = 0;
    let mut sent = false;
    // In a shared snapshot the query needs a transaction of its own.
    let mut bound = job.bound.as_ref().filter(|_| shared.is_none());
    loop {
        let connection = match first.take() {
            Some(c) => c,
            None => pool.acquire().await?,
        };
        if attempt == 0 {
            job.stats.sent(&job.text);
        }
        let reused = connection.reused;
        if let Some(lookup) = bound {
            match short(connection, origin, job, lookup, tx, &mut sent).await {
                Ok(lookup::Ended::Done) => return Ok(()),
                // The COPY describes the query anew, and says what has changed.
                Ok(lookup::Ended::Outdated) => bound = None,
                Err(failure) => again(pool, origin, failure, reused, sent, &mut attempt)?,
            }
            continue;
        }
        let opening = match &shared {
            Some(s) if job.untrusted => Some(format!("{}; {OWN_PATH}", s.import())),
            Some(s) => Some(s.import()),
            None if job.untrusted => Some(pool.begin_untrusted()),
            None if pool.pooled() => Some(pool.begin("")),
            None => None,
        };
        let step = Step {
            unchanged: if shared.is_some() { &job.tables } else { &[] },
            verify: &job.verify,
            describe: true,
            text: &job.text,
            // A user's text may have changed settings: undone, wherever the session goes afterwards.
            closing: opening.as_ref().map(|_| if job.untrusted { "ROLLBACK" } else { "COMMIT" }),
            opening,
        };
        match one(connection, origin, job, step, tx, &mut sent).await {
            Ok(()) => return Ok(()),
            Err(failure) => again(pool, origin, failure, reused, sent, &mut attempt)?,
        }
    }
}

/// Whether a query is sent again after a failure; else its error.
fn again(pool: &Pool, origin: &Origin, failure: Failure, reused: bool, sent: bool, attempt: &mut u32) -> Result<()> {
    let e = match failure {
        Failure::Ours(e) => return Err(e),
        Failure::Driver(e) => e,
    };
    let broken = is_broken(&e);
    if broken {
        pool.forget_idle();
    }
    // A connection that had been idle may have died unseen (the server was restarted); a standby may cancel a query to go on replaying.
    let again = (broken && reused) || e.code().is_some_and(|c| c.code() == SqlState::SERIALIZATION_FAILURE.0);
    if sent || !again || *attempt >= RETRIES {
        return Err(origin.running(&e));
    }
    *attempt += 1;
    Ok(())
}

/// A query that gives few rows. Out of time its connection is dropped, and that cancels.
async fn short(
    connection: Connection,
    origin: &Origin,
    job: &Job,
    bound: &Bound,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<lookup::Ended, Failure> {
    let limit = job.limits.time.unwrap_or(NO_LIMIT);
    match tokio::time::timeout(limit, lookup::fetch(connection, origin, job, bound, tx, sent)).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::Ours(job.too_much(origin, "scan_max_time", format!("{limit:?}")))),
    }
}

async fn one(
    mut connection: Connection,
    origin: &Origin,
    job: &Job,
    step: Step<'_>,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<(), Failure> {
    let mut batches = Batches::new(origin, job)?;
    let in_transaction = step.opening.is_some();
    let read = match copy(&mut connection, origin, job, &mut batches, step, tx, sent).await {
        Ok(()) => Ok(()),
        Err(Failure::Driver(e)) => {
            // The server refused the query, but the connection is well.
            if !is_broken(&e)
                && !job.untrusted
                && !connection.busy
                && (!in_transaction || connection.client()?.batch_execute("ROLLBACK").await.is_ok())
            {
                connection.release();
            }
            return Err(Failure::Driver(e));
        }
        ours => ours,
    };
    // What follows no longer needs the source. An error of ours drops the connection, and that cancels.
    read?;
    if job.untrusted {
        connection.discard()
    } else {
        connection.release()
    }
    batches.finish()?;
    pass_on(&mut batches, job, tx, sent).await?;
    Ok(())
}

/// Hands finished batches over. Nobody takes them: cancelled.
pub(super) async fn pass_on(batches: &mut Batches<'_>, job: &Job, tx: &mpsc::Sender<Result<Held>>, sent: &mut bool) -> Result<()> {
    if batches.pass_on(tx, sent).await {
        return Ok(());
    }
    job.stats.cancelled();
    Err(SqlError::cancelled())
}

/// One COPY. What is left in `batches` is less than one.
pub(super) async fn copy(
    connection: &mut Connection,
    origin: &Origin,
    job: &Job,
    batches: &mut Batches<'_>,
    step: Step<'_>,
    tx: &mpsc::Sender<Result<Held>>,
    sent: &mut bool,
) -> Result<(), Failure> {
    batches.begin_copy()?;
    let (client, wire, busy) = connection.parts()?;
    // Until the statement has ended: an error before that leaves it so.
    *busy = true;
    wire.describe(step.describe);
    // The newline keeps a comment at the end of a user's text from swallowing the parenthesis.
    let mut text = String::with_capacity(2 * step.text.len() + 100);
    if step.describe {
        text.push_str(&format!("SELECT * FROM ({}\n) AS q WHERE false; ", step.text));
    }
    text.push_str(&format!("COPY ({}\n) TO STDOUT (FORMAT binary)", step.text));
    if let Some(closing) = step.closing {
        text.push_str("; ");
        text.push_str(closing);
    }
    let check = snapshot::unchanged_text(step.unchanged)?;
    // A request is on its way when its future has been polled once: in this order they are sent, and the server answers in the same.
    let before = async {
        futures::join!(
            optional(step.opening.as_deref().map(|o| client.batch_execute(o))),
            optional((!check.is_empty()).then(|| client.simple_query(&check))),
            optional((!step.verify.is_empty()).then(|| job.facts.ask(client, step.verify))),
        )
    };
    let mut before = pin!(maybe_done(before));
    let _ = futures::poll!(&mut before);
    let mut main = pin!(maybe_done(client.batch_execute(&text)));
    let _ = futures::poll!(&mut main);
    // Descriptions that come meanwhile are taken, else the answers behind them would not get through. Rows come after all answers.
    let mut early = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            () = before.as_mut() => break,
            Some(piece) = wire.next() => early.push_back(piece),
        }
    }
    let (opening, files, facts) = before.take_output().ok_or_else(|| SqlError::internal("answers were taken twice"))?;
    opening.transpose()?;
    let (files, facts) = (files.transpose()?.unwrap_or_default(), facts.transpose()?);
    if !step.unchanged.is_empty() && !snapshot::unchanged(&files) {
        return Err(Failure::Ours(snapshot::rewritten(origin, step.unchanged)));
    }
    // Each of these questions has described its own columns.
    let mut skipped = files.iter().filter(|m| matches!(m, SimpleQueryMessage::RowDescription(_))).count() + usize::from(facts.is_some());
    if let Some(facts) = facts {
        job.facts.check_answer(origin, step.verify, &facts)?;
    }
    let (mut known, mut ended) = (!step.describe, false);
    let mut too_late = pin!(tokio::time::sleep(job.limits.time.map_or(NO_LIMIT, |t| t.saturating_sub(job.stats.total()))));
    loop {
        let piece = if let Some(piece) = early.pop_front() {
            piece
        } else if ended {
            match wire.take() {
                Some(piece) => piece,
                None => break,
            }
        } else {
            tokio::select! {
                biased;
                () = &mut too_late => {
                    let limit = job.limits.time.unwrap_or_default();
                    return Err(Failure::Ours(job.too_much(origin, "scan_max_time", format!("{limit:?}"))));
                }
                piece = wire.next() => match piece {
                    Some(piece) => piece,
                    // The connection is gone; how, the statement knows. It may have ended well just before.
                    None => {
                        main.as_mut().await;
                        main.as_mut().take_output().transpose()?;
                        ended = true;
                        continue;
                    }
                },
                () = main.as_mut() => {
                    *busy = false;
                    main.as_mut().take_output().transpose()?;
                    ended = true;
                    continue;
                }
                () = tokio::time::sleep(LINGER), if batches.pending() => {
                    batches.flush()?;
                    pass_on(batches, job, tx, sent).await?;
                    continue;
                }
            }
        };
        match piece {
            Piece::Described(_) if skipped > 0 => skipped -= 1,
            Piece::Described(body) => {
                batches.check_description(&body)?;
                known = true;
            }
            Piece::Rows(_) if !known => return Err(Failure::Ours(SqlError::internal("rows came before their description"))),
            Piece::Rows(rows) => batches.feed(&rows)?,
        }
        pass_on(batches, job, tx, sent).await?;
    }
    batches.end_copy()?;
    Ok(())
}

async fn optional<F: Future>(f: Option<F>) -> Option<F::Output> {
    match f {
        Some(f) => Some(f.await),
        None => None,
    }
}
