//! Short results: a named statement kept on the connection, its parameters bound, its rows in binary. One round trip, and the source parses nothing.
//!
//! COPY takes no parameters and is parsed and planned anew each time, which costs more than the lookup of a key itself; so a query that is known to
//! give few rows ([`is_short`]) goes this way. The values have the same binary form in both, so the same columns decode them. A guess that was wrong
//! costs nothing but speed: rows stream in bounded batches here too.

use std::collections::VecDeque;

use bytes::BytesMut;
use fjord_engine::pushdown::{JoinKind, Op, Rel, Scalar, Value};
use fjord_engine::source::TableInfo;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Row, Statement};

use super::read::Failure;
use super::rows::Batches;
use super::{Held, Job, LINGER};
use crate::error::{Origin, is_broken};
use crate::facts::Facts;
use crate::pool::Connection;
use crate::render::Bound;

/// Statements kept on one connection; the one used longest ago goes first.
pub(crate) const STATEMENTS_MAX: usize = 64;
/// A query that gives no more rows than this, as far as can be known, is short.
const ROWS: u64 = 1_000;

/// The statements of one connection, the last used first.
#[derive(Default)]
pub(crate) struct Statements(VecDeque<(String, Statement)>);

impl Statements {
    fn get(&mut self, text: &str) -> Option<Statement> {
        let at = self.0.iter().position(|(t, _)| t == text)?;
        let found = self.0.remove(at)?;
        let statement = found.1.clone();
        self.0.push_front(found);
        Some(statement)
    }

    fn put(&mut self, text: &str, statement: Statement) {
        // The driver closes a statement at the server when it is dropped.
        self.0.truncate(STATEMENTS_MAX - 1);
        self.0.push_front((text.to_string(), statement));
    }

    fn forget(&mut self, text: &str) {
        self.0.retain(|(t, _)| t != text);
    }
}

/// Whether the query gives few rows: a limit, equality with all columns of a key, equality with columns of which each value is rare, or a small table; and
/// joins of such with what has few rows for each of theirs.
pub(crate) fn is_short(rel: &Rel, facts: &Facts) -> bool {
    rows(rel, &[], facts).is_some_and(|n| n <= ROWS)
}

/// The rows of a query for each value of these columns of it, where limits, keys or statistics tell.
fn rows(rel: &Rel, given: &[usize], facts: &Facts) -> Option<u64> {
    match rel {
        Rel::Limit { input, fetch, .. } => least(*fetch, rows(input, given, facts)),
        Rel::Project { input, exprs } => {
            let plain = |c: &usize| match exprs.get(*c) {
                Some(Scalar::Column(i)) => Some(*i),
                _ => None,
            };
            rows(input, &given.iter().filter_map(plain).collect::<Vec<_>>(), facts)
        }
        Rel::Sort { input, .. } | Rel::Distinct { input } => rows(input, given, facts),
        Rel::Aggregate { input, .. } => rows(input, &[], facts),
        Rel::Scan { .. } => of_table(rel, None, given, facts),
        Rel::Filter { input, predicate } => match input.as_ref() {
            scan @ Rel::Scan { .. } => of_table(scan, Some(predicate), given, facts),
            _ => rows(input, given, facts),
        },
        Rel::Join { left, right, kind, on } => {
            let width = left.types().len();
            let (mut lefts, mut rights) = (vec![], vec![]);
            if let Some(on) = on {
                pairs(on, width, &mut lefts, &mut rights);
            }
            let product =
                |first: &Rel, other: &Rel, on: &[usize]| Some(rows(first, &[], facts)?.saturating_mul(rows(other, on, facts)?.max(1)));
            let (from_left, from_right) = (product(left, right, &rights), product(right, left, &lefts));
            match kind {
                JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => rows(left, &[], facts),
                JoinKind::Inner => least(from_left, from_right),
                JoinKind::Left => from_left,
                JoinKind::Right => from_right,
                JoinKind::Full => None,
            }
        }
        Rel::GroupingSets { .. } | Rel::Union { .. } => None,
    }
}

fn least(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.zip(b).map(|(a, b)| a.min(b)).or(a).or(b)
}

fn of_table(scan: &Rel, condition: Option<&Scalar>, given: &[usize], facts: &Facts) -> Option<u64> {
    let Rel::Scan { schema, table, columns } = scan else { return None };
    let info = facts.table(schema, table)?;
    let place = |column: usize| {
        let name = columns.get(column).map(|c| &c.name);
        info.columns.iter().position(|c| Some(c.field.name()) == name)
    };
    let mut fixed: Vec<(usize, u64)> = given.iter().filter_map(|c| place(*c)).map(|i| (i, 1)).collect();
    if let Some(condition) = condition {
        equalities(condition, &mut |column, values| fixed.extend(place(column).map(|i| (i, values))));
    }
    least(info.rows, rows_of(info, &fixed))
}

/// The columns of both sides that a join's condition takes to be equal.
fn pairs(on: &Scalar, width: usize, lefts: &mut Vec<usize>, rights: &mut Vec<usize>) {
    let Scalar::Call { op, args, .. } = on else { return };
    match (op, args.as_slice()) {
        (Op::And, args) => args.iter().for_each(|a| pairs(a, width, lefts, rights)),
        (Op::Eq, [Scalar::Column(a), Scalar::Column(b)]) if (*a < width) != (*b < width) => {
            lefts.push(*a.min(b));
            rights.push(a.max(b) - width);
        }
        _ => {}
    }
}

/// The rows that have one of so many values in each of these columns, where keys or statistics tell.
fn rows_of(info: &TableInfo, fixed: &[(usize, u64)]) -> Option<u64> {
    let values = |column: usize| fixed.iter().filter(|(c, _)| *c == column).map(|(_, n)| *n).min();
    let by_key = info
        .keys
        .iter()
        .filter(|k| !k.columns.is_empty())
        .filter_map(|k| k.columns.iter().map(|c| values(*c)).try_fold(1u64, |product, n| n.map(|n| product.saturating_mul(n))));
    let by_statistics = fixed.iter().filter_map(|(column, n)| {
        let distinct = info.columns.get(*column)?.stats?.distinct?;
        Some((info.rows? / distinct.max(1)).saturating_mul(*n))
    });
    by_key.chain(by_statistics).min()
}

/// The columns that a condition fixes, with the number of values that each may have.
fn equalities(s: &Scalar, found: &mut dyn FnMut(usize, u64)) {
    let Scalar::Call { op, args, .. } = s else { return };
    let value = |s: &Scalar| matches!(s, Scalar::Literal(v, _) if *v != Value::Null);
    match (op, args.as_slice()) {
        (Op::And, args) => args.iter().for_each(|a| equalities(a, found)),
        (Op::Eq, [Scalar::Column(c), v] | [v, Scalar::Column(c)]) if value(v) => found(*c, 1),
        (Op::In, [Scalar::Column(c), list @ ..]) if list.iter().all(|s| matches!(s, Scalar::Literal(..))) => found(*c, list.len() as u64),
        _ => {}
    }
}

/// How a lookup came out.
pub(super) enum Ended {
    /// All rows were passed on, or nobody wants them any more.
    Done,
    /// The source's schema changed under the statement. Nothing was passed on: describe the query anew.
    Outdated,
}

/// Runs the job through its statement.
pub(super) async fn fetch(
    mut connection: Connection,
    origin: &Origin,
    job: &Job,
    bound: &Bound,
    tx: &mpsc::Sender<super::Result<Held>>,
    sent: &mut bool,
) -> Result<Ended, Failure> {
    let mut batches = Batches::new(origin, job)?;
    match run(&mut connection, origin, job, bound, tx, sent, &mut batches).await {
        Ok(Some(ended)) => {
            connection.release();
            Ok(ended)
        }
        // The consumer has gone: dropping the connection cancels.
        Ok(None) => {
            job.stats.cancelled();
            Ok(Ended::Done)
        }
        Err(Failure::Driver(e)) if !is_broken(&e) => {
            if let Ok(statements) = connection.statements() {
                statements.forget(&bound.text);
            }
            connection.release();
            // "cached plan must not change result type", and a statement that something between us and the source has forgotten.
            let outdated = e.code().is_some_and(|c| matches!(c.code(), "0A000" | "26000"));
            if outdated && !*sent { Ok(Ended::Outdated) } else { Err(Failure::Driver(e)) }
        }
        Err(e) => Err(e),
    }
}

async fn run(
    connection: &mut Connection,
    origin: &Origin,
    job: &Job,
    bound: &Bound,
    tx: &mpsc::Sender<super::Result<Held>>,
    sent: &mut bool,
    batches: &mut Batches<'_>,
) -> Result<Option<Ended>, Failure> {
    let mut verify = job.verify.as_slice();
    let statement = match connection.statements()?.get(&bound.text) {
        Some(known) => known,
        None => {
            let client = connection.client()?;
            let asked = async { if verify.is_empty() { Ok(vec![]) } else { job.facts.ask(client, verify).await } };
            let (facts, made) = tokio::try_join!(asked, client.prepare(&bound.text))?;
            job.facts.check_answer(origin, verify, &facts)?;
            verify = &[];
            connection.statements()?.put(&bound.text, made.clone());
            made
        }
    };
    if batches.check_types(statement.columns().iter().map(|c| c.type_().oid())).is_err() {
        connection.statements()?.forget(&bound.text);
        return Ok(Some(Ended::Outdated));
    }
    let client = connection.client()?;
    // The question goes first, so that its answer does not wait behind rows that nobody reads yet.
    let asked = async { if verify.is_empty() { Ok(vec![]) } else { job.facts.ask(client, verify).await } };
    let (facts, rows) = tokio::try_join!(asked, client.query_raw(&statement, bound.values.iter().map(|v| AsText(v))))?;
    job.facts.check_answer(origin, verify, &facts)?;
    let mut rows = Box::pin(rows);
    loop {
        let row = match rows.next().now_or_never() {
            Some(row) => row,
            None if batches.pending() => match tokio::time::timeout(LINGER, rows.next()).await {
                Ok(row) => row,
                Err(_) => {
                    batches.flush()?;
                    if !batches.pass_on(tx, sent).await {
                        return Ok(None);
                    }
                    continue;
                }
            },
            None => rows.next().await,
        };
        match row {
            Some(row) => batches.append(&row?)?,
            None => {
                batches.finish()?;
                return Ok(batches.pass_on(tx, sent).await.then_some(Ended::Done));
            }
        }
        if !batches.pass_on(tx, sent).await {
            return Ok(None);
        }
    }
}

/// The bytes of a field; `None` is NULL.
pub(super) fn field(row: &Row, i: usize) -> Result<Option<&[u8]>, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<Raw>>(i)?.map(|v| v.0))
}

/// A value as it came.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw<'a>, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter in its text form, whatever its type: the server reads it as it reads a literal.
#[derive(Debug)]
struct AsText<'a>(&'a str);

impl ToSql for AsText<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
    tokio_postgres::types::to_sql_checked!();
}
