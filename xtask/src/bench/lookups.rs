//! Short queries: rows by primary key, timed by pgbench.

use std::path::Path;
use std::process::Command;

use fjord_harness::{Error, Postgres, Result, TempFolder, process};

use super::Bench;
use super::report::{Report, ratio};

/// Fills the table and compares.
pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let postgres = bench.postgres()?;
    let fjord = bench.fjord(&postgres)?;
    let rows = if bench.quick { 10_000 } else { 1_000_000 };
    postgres.psql(&format!(
        "CREATE TABLE lookup AS SELECT i AS id, 'name ' || i AS name, i / 7.0::float8 AS price, (i * 1.01)::numeric(12,2) AS amount,
           timestamptz '2024-01-01' + i * interval '1 s' AS at FROM generate_series(1, {rows}) AS i;
         ALTER TABLE lookup ADD PRIMARY KEY (id); VACUUM ANALYZE lookup"
    ))?;
    let seconds = if bench.quick { 1 } else { 5 };
    report.section(
        "Lookups by primary key",
        "`pgbench`, one row of five columns by its key, in milliseconds. It runs on the machine of both servers, so that with 16 clients two cores are shared by all.",
    );
    report.head(&["protocol", "clients", "Postgres p50", "p99", "Fjord p50", "p99", "Fjord ÷ Postgres, p50", "p99"]);
    let folder = TempFolder::new("pgbench")?;
    for protocol in ["simple", "extended", "prepared"] {
        for clients in [1, 16] {
            let mut figures = vec![];
            for (table, port, user, database) in
                [("lookup", postgres.port(), "postgres", "postgres"), ("pg.public.lookup", fjord.port(), "fjord", "fjord")]
            {
                let script = folder.write("script.sql", format!("\\set id random(1, {rows})\nSELECT * FROM {table} WHERE id = :id;\n"))?;
                figures.push(latencies(&postgres, folder.path(), &script, protocol, clients, seconds, port, user, database));
            }
            let cell = |i: usize, p: usize| match &figures[i] {
                Ok(l) => format!("{:.3}", l[p]),
                Err(e) => format!("failed: {}", e.to_string().lines().last().unwrap_or("").replace('|', "/")),
            };
            let part = |i: usize, p: usize| figures[i].as_ref().map(|l| l[p]).map_err(ToString::to_string);
            report.row(&[
                protocol.into(),
                clients.to_string(),
                cell(0, 0),
                cell(0, 1),
                cell(1, 0),
                cell(1, 1),
                ratio(&part(1, 0), &part(0, 0)),
                ratio(&part(1, 1), &part(0, 1)),
            ]);
        }
    }
    Ok(())
}

/// p50 and p99 in milliseconds.
#[allow(clippy::too_many_arguments)]
fn latencies(
    postgres: &Postgres,
    folder: &Path,
    script: &Path,
    protocol: &str,
    clients: u32,
    seconds: u32,
    port: u16,
    user: &str,
    database: &str,
) -> Result<[f64; 2]> {
    let prefix = format!("log-{protocol}-{clients}-{port}");
    let mut pgbench = Command::new(postgres.programs().join("pgbench"));
    pgbench.current_dir(folder).args(["-n", "-M", protocol, "-l", "-h", "127.0.0.1"]);
    pgbench.args(["-c", &clients.to_string(), "-j", "1", "-T", &seconds.to_string(), "-p", &port.to_string(), "-U", user]);
    pgbench.arg(format!("--log-prefix={prefix}")).arg("-f").arg(script).arg(database);
    process::run(&mut pgbench)?;
    let mut micros: Vec<u64> = vec![];
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // client, transaction, microseconds, script, time
            micros.extend(std::fs::read_to_string(entry.path())?.lines().filter_map(|l| l.split(' ').nth(2)?.parse::<u64>().ok()));
        }
    }
    micros.sort_unstable();
    let at = |p: usize| micros.get((micros.len().saturating_sub(1)) * p / 100).map(|m| *m as f64 / 1000.0);
    match (at(50), at(99)) {
        (Some(p50), Some(p99)) => Ok([p50, p99]),
        _ => Err(Error::new("pgbench recorded no transaction")),
    }
}
