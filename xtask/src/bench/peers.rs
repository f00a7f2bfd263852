//! Other programs that read Postgres, MySQL and MariaDB, each in a Python script of `benches/peers` that times itself: starting Python is nobody's fault.

use fjord_harness::{MySql, Postgres, Result};

use super::Bench;
use super::timing::RUNS;
use crate::cargo;

/// A peer's name, and its seconds or why there are none.
pub type Timed = (String, std::result::Result<f64, String>);

/// Reads a query's rows into Arrow in each peer.
pub fn read(bench: &Bench, postgres: &Postgres, query: &str) -> Result<Vec<Timed>> {
    run(bench, "read.py", &[&url(postgres), &RUNS.to_string(), query])
}

/// The same for a table of the database `bench` of MySQL or MariaDB, whose key partitions it.
pub fn read_mysql(bench: &Bench, server: &MySql, table: &str, key: &str) -> Result<Vec<Timed>> {
    run(bench, "read_mysql.py", &[&server.port().to_string(), &RUNS.to_string(), table, key])
}

/// Runs statements in DuckDB after a set-up: a time for each.
pub fn duckdb(bench: &Bench, postgres: &Postgres, setup: &str, queries: &[(String, String)]) -> Result<Vec<Timed>> {
    let list: String = queries.iter().map(|(name, q)| format!("{name}\u{1f}{q}\u{1e}")).collect();
    let folder = fjord_harness::TempFolder::new("bench")?;
    let file = folder.write("queries", list)?;
    run(bench, "duck.py", &[&url(postgres), &RUNS.to_string(), setup, &file.display().to_string()])
}

fn run(bench: &Bench, script: &str, arguments: &[&str]) -> Result<Vec<Timed>> {
    let out = bench.venv.run_script(&cargo::root().join("benches/peers").join(script), arguments)?;
    Ok(out
        .lines()
        .map(|line| {
            let mut parts = line.split('\t');
            let (name, seconds, rest) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            (name.to_string(), seconds.parse::<f64>().map_err(|_| rest.to_string()))
        })
        .collect())
}

/// How the peers reach the server.
pub fn url(postgres: &Postgres) -> String {
    format!("postgresql://postgres@127.0.0.1:{}/postgres", postgres.port())
}
