//! Pushdown on = off: a wide hand-made set of queries over the nasty table, each run with everything pushed that may be and with
//! `SET fjord.pushdown = off`, through the wire. Identical rows, or the test names the query and both answers.
//!
//! Where Postgres's own semantics coincide with ours, its answer is compared too: pushed and local could agree on a wrong one. A push may remove an
//! error, never add one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod aggregates;
mod capabilities;
mod documents;
mod filters;
mod joins;
mod scalars;
mod shapes;
mod truthful;

use fjord_harness::{FjordServer, Postgres};
use tokio_postgres::{Client, SimpleQueryMessage};

const NASTY: &str = include_str!("../../sources/nasty.sql");

/// A query, with `{t}` for the nasty table and `{docs}` for that of documents.
struct Case {
    sql: String,
    /// Postgres must give the same.
    oracle: bool,
}

fn ours(sql: impl Into<String>) -> Case {
    Case { sql: sql.into(), oracle: false }
}

fn same(sql: impl Into<String>) -> Case {
    Case { sql: sql.into(), oracle: true }
}

const NUMBERS: &[&str] = &["i2", "i4", "i8", "n10", "n38", "nu", "f4", "f8"];
const EVERY: &[&str] = &[
    "b",
    "i2",
    "i4",
    "i8",
    "f4",
    "f8",
    "n10",
    "n38",
    "nu",
    "t",
    "tc",
    "ten",
    "tnd",
    "vc",
    "bp",
    "ci",
    "nm",
    "e",
    "by",
    "d",
    "tm",
    "ts",
    "tz",
    "iv",
    "u",
    "j",
    "jb",
    "ai",
    "at",
    "ip",
    "o",
    "m",
    "r",
    "p",
    "\"Odd \"\"Name\"",
];
/// What has an order and an equality here; the rest (arrays, composites, intervals) is tested apart.
const COMPARABLE: &[&str] = &[
    "b", "i2", "i4", "i8", "f4", "f8", "n10", "n38", "nu", "t", "tc", "ten", "tnd", "vc", "bp", "ci", "nm", "e", "by", "d", "tm", "ts",
    "tz", "u", "j", "jb", "o",
];

type Rows = Vec<Vec<Option<String>>>;

/// Rows as texts, sorted unless the query says how; or the error.
async fn answer(client: &Client, sql: &str) -> Result<Rows, String> {
    let messages = client.simple_query(sql).await.map_err(|e| match e.as_db_error() {
        Some(db) => format!("{} {}", db.code().code(), db.message()),
        None => format!("{e}"),
    })?;
    let mut rows: Rows = messages
        .iter()
        .filter_map(|m| match m {
            SimpleQueryMessage::Row(r) => Some((0..r.len()).map(|i| r.get(i).map(str::to_string)).collect()),
            _ => None,
        })
        .collect();
    let outermost_order = sql.rfind("ORDER BY").is_some_and(|at| !sql[at..].contains(')'));
    if !outermost_order {
        rows.sort();
    }
    Ok(rows)
}

fn difference(a: &Rows, b: &Rows) -> String {
    let only = |x: &Rows, y: &Rows| x.iter().filter(|r| !y.contains(r)).take(3).cloned().collect::<Vec<_>>();
    let position = a.iter().zip(b).position(|(x, y)| x != y);
    format!("{} and {} rows; only in the first {:?}; only in the second {:?}; at {position:?}", a.len(), b.len(), only(a, b), only(b, a))
}

/// A source with the nasty table, and two sessions: everything pushed, nothing pushed.
struct Setup {
    postgres: Postgres,
    _fjord: FjordServer,
    on: Client,
    off: Client,
}

async fn setup() -> Setup {
    let postgres = Postgres::start().unwrap();
    postgres.psql(NASTY).unwrap();
    let fjord = FjordServer::start().unwrap();
    let (on, off) = (fjord.client().await.unwrap(), fjord.client().await.unwrap());
    let create = format!(
        "CREATE CONNECTOR src TYPE postgres OPTIONS (host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable')",
        postgres.port()
    );
    on.simple_query(&create).await.unwrap();
    off.simple_query("SET fjord.pushdown = off").await.unwrap();
    Setup { postgres, _fjord: fjord, on, off }
}

async fn check(cases: Vec<Case>) {
    let s = setup().await;
    let source = s.postgres.client().await.unwrap();
    source.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
    let mut failures = vec![];
    let (mut answered, mut compared, mut refused) = (0, 0, vec![]);
    for case in &cases {
        let sql = case.sql.replace("{t}", "src.public.nasty").replace("{docs}", "src.public.docs");
        let (on, off) = (answer(&s.on, &sql).await, answer(&s.off, &sql).await);
        match (&on, &off) {
            (Ok(a), Ok(b)) if a == b => answered += 1,
            (Ok(a), Ok(b)) => failures.push(format!("{}\n    pushed and local differ: {}", case.sql, difference(a, b))),
            (Err(e), Ok(_)) => failures.push(format!("{}\n    pushing adds an error: {e}", case.sql)),
            // Removing an error is allowed; one that both have is one that the query has.
            (Ok(_), Err(e)) => refused.push(format!("{} (only local: {e})", case.sql)),
            (Err(e), Err(_)) => refused.push(format!("{} ({e})", case.sql)),
        }
        if let (true, Ok(a)) = (case.oracle, &on) {
            match answer(&source, &case.sql.replace("{t}", "nasty").replace("{docs}", "docs")).await {
                Ok(b) if *a == b => compared += 1,
                Ok(b) => failures.push(format!("{}\n    Postgres answers otherwise: {}", case.sql, difference(a, &b))),
                Err(e) => failures.push(format!("{}\n    Postgres refuses it: {e}", case.sql)),
            }
        }
    }
    println!("{} queries: {answered} equal pushed and local, {compared} equal to Postgres", cases.len());
    println!("with errors on a side:\n  {}", refused.join("\n  "));
    assert!(failures.is_empty(), "{} of {} queries fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
    // A set that mostly fails on both sides proves nothing.
    assert!(refused.len() * 20 <= cases.len(), "{} of {} queries end in errors:\n{}", refused.len(), cases.len(), refused.join("\n"));
}

#[tokio::test]
async fn text_filters_on_equals_off() {
    check(filters::texts()).await;
}

#[tokio::test]
async fn number_and_time_filters_on_equals_off() {
    check(filters::numbers_and_times()).await;
}

#[tokio::test]
async fn other_filters_on_equals_off() {
    check(filters::others()).await;
}

#[tokio::test]
async fn text_functions_on_equals_off() {
    check(scalars::texts()).await;
}

#[tokio::test]
async fn number_functions_on_equals_off() {
    check(scalars::numbers()).await;
}

#[tokio::test]
async fn texts_read_as_numbers_on_equals_off() {
    check(scalars::readings()).await;
}

#[tokio::test]
async fn times_on_equals_off() {
    check(scalars::times()).await;
}

#[tokio::test]
async fn documents_on_equals_off() {
    check(documents::all()).await;
}

#[tokio::test]
async fn spellings_on_equals_off() {
    check(scalars::spellings()).await;
}

#[tokio::test]
async fn arrays_on_equals_off() {
    check(scalars::arrays()).await;
}

#[tokio::test]
async fn aggregates_on_equals_off() {
    check(aggregates::all()).await;
}

#[tokio::test]
async fn sorts_on_equals_off() {
    check(shapes::sorts()).await;
}

#[tokio::test]
async fn shapes_on_equals_off() {
    check(shapes::all()).await;
}

#[tokio::test]
async fn join_keys_on_equals_off() {
    check(joins::keys()).await;
}

#[tokio::test]
async fn joins_unions_and_subqueries_on_equals_off() {
    check(joins::all()).await;
}
