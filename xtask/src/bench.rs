//! `cargo xtask bench`: the same rows read in several ways, side by side on this machine.
//!
//! Each way runs several times after a warm-up and its best time counts: what else the machine does only ever adds. Numbers of different machines, or of different moments of a busy one,
//! say nothing; the report is only ever of one run.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fjord_harness::{Error, FjordOptions, FjordServer, Postgres, Result, Venv};

use crate::{cargo, setup};

const PEER_REQUIREMENTS: &str = include_str!("../../benches/peers/requirements.txt");
const RUNS: usize = 3;

/// What is compared.
struct Case {
    title: &'static str,
    /// The query at Postgres; the table is called `rows`.
    query: &'static str,
}

const CASES: &[Case] = &[
    Case { title: "Every row of a table of ten columns", query: "SELECT * FROM rows" },
    Case { title: "Two columns, a tenth of the rows", query: "SELECT id, price FROM rows WHERE bucket = 7" },
    Case { title: "Grouped sums", query: "SELECT category, count(*) AS n, sum(quantity) AS q FROM rows WHERE id > 1000 GROUP BY category" },
];

/// Runs the comparisons and prints them. `quick`: an unoptimised build and few rows, to see that it works; its numbers mean nothing.
pub fn run(quick: bool) -> Result<()> {
    setup::packages()?;
    let program = cargo::build_fjord(!quick)?;
    println!("bench: preparing the peers' Python environment");
    let venv = Venv::with_requirements(PEER_REQUIREMENTS)?;
    let rows = if quick { 20_000 } else { 1_000_000 };
    let postgres = Postgres::with_settings("shared_buffers = '512MB'\nmax_parallel_workers_per_gather = 2")?;
    postgres.psql(&table(rows))?;
    let fjord = FjordServer::with(FjordOptions { program: Some(program), ..FjordOptions::default() })?;
    fjord.psql(&format!(
        "CREATE CONNECTOR pg TYPE postgres OPTIONS (host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable')",
        postgres.port()
    ))?;
    println!(
        "bench: {rows} rows, best of {RUNS} runs, seconds{}",
        if quick { " (QUICK: unoptimised, the numbers mean nothing)" } else { "" }
    );
    for case in CASES {
        println!("\n{}: {}", case.title, case.query);
        let ours = case.query.replace("FROM rows", "FROM pg.public.rows");
        report("psql, Postgres itself, COPY binary", best(|| copy(postgres_psql(&postgres), case.query))?);
        report("psql, through Fjord, COPY binary", best(|| copy(fjord.psql_command(), &ours))?);
        report(
            "psql, through Fjord, pushdown off",
            best(|| {
                let mut psql = fjord.psql_command();
                psql.args(["-c", "SET fjord.pushdown = off"]);
                copy(psql, &ours)
            })?,
        );
        peers(&venv, &postgres, case.query)?;
    }
    println!("\nA thousand lookups by primary key, one after the other in one session");
    let lookups =
        |table: &str| (0..1000).map(|i| format!("SELECT * FROM {table} WHERE id = {};\n", 1 + i * 7919 % rows)).collect::<String>();
    let (theirs, ours) = (lookups("rows"), lookups("pg.public.rows"));
    report("psql, Postgres itself", best(|| postgres.psql(&theirs).map(|_| ()))?);
    report("psql, through Fjord", best(|| fjord.psql(&ours).map(|_| ()))?);
    Ok(())
}

fn table(rows: u32) -> String {
    format!(
        "CREATE TABLE rows AS SELECT i AS id, i % 10 AS bucket, i::bigint * 1000003 AS big, i / 7.0::float8 AS price, (i % 100000)::numeric(12,2) / 3 AS amount,
           'name ' || i AS name, (ARRAY['a','bb','ccc','dddd'])[1 + i % 4] AS category, timestamptz '2024-01-01' + i * interval '1 s' AS at,
           date '2024-01-01' + i % 365 AS day, i % 50 AS quantity
         FROM generate_series(1, {rows}) AS i;
         ALTER TABLE rows ALTER amount TYPE numeric(14,4), ADD PRIMARY KEY (id);
         VACUUM ANALYZE rows"
    )
}

fn postgres_psql(postgres: &Postgres) -> Command {
    let mut psql = Command::new(postgres.programs().join("psql"));
    psql.args(["-X", "-U", "postgres", "-d", "postgres", "-h", "127.0.0.1", "-p", &postgres.port().to_string()]);
    psql
}

fn copy(mut psql: Command, query: &str) -> Result<()> {
    let statement = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
    let out = psql
        .args(["-q", "-v", "ON_ERROR_STOP=1", "-c", &statement])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = out.wait_with_output()?;
    if out.status.success() { Ok(()) } else { Err(Error::new(String::from_utf8_lossy(&out.stderr).into_owned())) }
}

fn best(mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    work()?;
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let since = Instant::now();
        work()?;
        least = least.min(since.elapsed());
    }
    Ok(least)
}

fn report(name: &str, took: Duration) {
    println!("  {:>8.3}  {name}", took.as_secs_f64());
}

fn peers(venv: &Venv, postgres: &Postgres, query: &str) -> Result<()> {
    let script = cargo::root().join("benches/peers/read.py");
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", postgres.port());
    for line in venv.run_script(&script, &[&url, &RUNS.to_string(), query])?.lines() {
        let mut parts = line.split('\t');
        let (name, seconds, rest) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        match seconds.parse::<f64>() {
            Ok(s) => println!("  {s:>8.3}  {name}"),
            Err(_) => println!("         -  {name}: {rest}"),
        }
    }
    Ok(())
}
