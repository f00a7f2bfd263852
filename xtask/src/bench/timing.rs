//! Timing whole commands: a warm-up, then the best of a few.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fjord_harness::{Error, FjordServer, Postgres, Result};

/// How often each way is timed after its warm-up.
pub const RUNS: usize = 3;

/// The least time of [`RUNS`] runs after one that does not count.
pub fn best(mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    work()?;
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let since = Instant::now();
        work()?;
        least = least.min(since.elapsed());
    }
    Ok(least)
}

/// `psql` at the Postgres server itself, over TCP as Fjord is reached too.
pub fn postgres_psql(postgres: &Postgres) -> Command {
    let mut psql = Command::new(postgres.programs().join("psql"));
    psql.args(["-X", "-U", "postgres", "-d", "postgres", "-h", "127.0.0.1", "-p", &postgres.port().to_string()]);
    psql
}

/// Runs statements through `psql` and throws the rows away.
pub fn drain(mut psql: Command, statements: &[&str]) -> Result<()> {
    psql.args(["-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
    for s in statements {
        psql.args(["-c", s]);
    }
    let out = psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    if out.status.success() { Ok(()) } else { Err(Error::new(String::from_utf8_lossy(&out.stderr).trim().to_string())) }
}

/// Runs a query in Fjord to its last row without sending the rows anywhere: what `EXPLAIN ANALYZE` does.
pub fn into_arrow(fjord: &FjordServer, settings: &[&str], query: &str) -> Result<()> {
    let explain = format!("EXPLAIN ANALYZE {query}");
    let mut statements = settings.to_vec();
    statements.push(&explain);
    drain(fjord.psql_command(), &statements)
}
