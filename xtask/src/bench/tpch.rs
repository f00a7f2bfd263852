//! TPC-H: all tables in Postgres, and split over Postgres and Parquet; answers compared with Postgres's own.

use std::collections::BTreeMap;
use std::path::Path;

use fjord_harness::{Error, FjordServer, Postgres, Result, cache};

use super::read::timed;
use super::report::{Report, ratio, seconds};
use super::timing::{drain, postgres_psql};
use super::{Bench, peers};

const TABLES: [&str; 8] = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];
/// In the split half, these lie in Parquet.
const IN_PARQUET: [&str; 3] = ["lineitem", "partsupp", "nation"];

const KEYS: &str = "
ALTER TABLE region ADD PRIMARY KEY (r_regionkey);
ALTER TABLE nation ADD PRIMARY KEY (n_nationkey);
ALTER TABLE supplier ADD PRIMARY KEY (s_suppkey);
ALTER TABLE customer ADD PRIMARY KEY (c_custkey);
ALTER TABLE part ADD PRIMARY KEY (p_partkey);
ALTER TABLE partsupp ADD PRIMARY KEY (ps_partkey, ps_suppkey);
ALTER TABLE orders ADD PRIMARY KEY (o_orderkey);
ALTER TABLE lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber);
CREATE INDEX ON orders (o_custkey);
CREATE INDEX ON lineitem (l_partkey, l_suppkey);
VACUUM ANALYZE";

/// No query of a system under test may take longer.
const PATIENCE: &str = "SET statement_timeout = '60s'";

/// Loads both halves and compares.
pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let scale = if bench.quick { "0.01" } else { "1" };
    let folder = cache::get_or_make(&format!("tpch-{scale}"), |half| {
        let script = crate::cargo::root().join("benches/peers/tpch.py");
        bench.venv.run_script(&script, &[scale, &half.display().to_string()]).map(|_| ())
    })?;
    let postgres = bench.postgres()?;
    let load: String =
        TABLES.iter().map(|t| format!("CREATE TABLE pg.public.{t} AS FROM read_parquet('{}/{t}.parquet');", folder.display())).collect();
    peers::duckdb(bench, &postgres, &format!("-- writable\n{load}"), &[])?;
    postgres.psql(KEYS)?;
    let queries = queries(&folder)?;
    let expected = queries.iter().map(|(name, q)| (name.clone(), answer(postgres_psql(&postgres), q))).collect::<BTreeMap<_, _>>();
    for (title, in_parquet) in [("all tables in Postgres", &[][..]), ("lineitem, partsupp and nation in Parquet", &IN_PARQUET[..])] {
        let fjord = bench.fjord(&postgres)?;
        fjord.psql(&format!("CREATE CONNECTOR f TYPE files OPTIONS (location '{}')", folder.display()))?;
        half(bench, report, &postgres, &fjord, &folder, (title, in_parquet), &queries, &expected)?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn half(
    bench: &Bench,
    report: &mut Report,
    postgres: &Postgres,
    fjord: &FjordServer,
    folder: &Path,
    (title, in_parquet): (&str, &[&str]),
    queries: &[(String, String)],
    expected: &BTreeMap<String, Result<String>>,
) -> Result<()> {
    for t in TABLES {
        let place = if in_parquet.contains(&t) { format!("f.files.{t}") } else { format!("pg.public.{t}") };
        fjord.psql(&format!("CREATE OR REPLACE VIEW {t} AS SELECT * FROM {place}"))?;
    }
    let views: String = TABLES
        .iter()
        .map(|t| {
            let place =
                if in_parquet.contains(t) { format!("read_parquet('{}/{t}.parquet')", folder.display()) } else { format!("pg.public.{t}") };
            format!("CREATE VIEW {t} AS SELECT * FROM {place};")
        })
        .collect();
    let duckdb: BTreeMap<_, _> = peers::duckdb(bench, postgres, &views, queries)?.into_iter().collect();
    report.section(
        &format!("TPC-H, {title}"),
        "Seconds, best of three after a warm-up. The answer column compares Fjord's rows with Postgres's own (numbers to nine digits).",
    );
    report.head(&["query", "Postgres", "DuckDB", "Fjord", "Fjord ÷ DuckDB", "Fjord ÷ Postgres", "answer"]);
    for (name, query) in queries {
        let same = match (answer(with_patience(fjord), query), &expected[name]) {
            (Ok(a), Ok(b)) if equal(&a, b) => "equal".to_string(),
            (Ok(_), Ok(_)) => "DIFFERS".to_string(),
            (Err(e), _) => format!("failed: {}", e.to_string().lines().next().unwrap_or("").replace('|', "/")),
            (_, Err(e)) => format!("Postgres failed: {}", e.to_string().lines().next().unwrap_or("")),
        };
        let theirs = timed(|| drain(postgres_psql(postgres), &[PATIENCE, query]));
        let ours = timed(|| drain(fjord.psql_command(), &[PATIENCE, query]));
        let duck = duckdb.get(name).cloned().unwrap_or_else(|| Err("nothing ran".into()));
        report.row(&[name.clone(), seconds(&theirs), seconds(&duck), seconds(&ours), ratio(&ours, &duck), ratio(&ours, &theirs), same]);
    }
    Ok(())
}

fn with_patience(fjord: &FjordServer) -> std::process::Command {
    let mut psql = fjord.psql_command();
    psql.args(["-c", PATIENCE]);
    psql
}

fn answer(mut psql: std::process::Command, query: &str) -> Result<String> {
    fjord_harness::process::run(psql.args(["-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", query]))
}

/// Line by line, field by field; numbers to nine digits, for the scale of a quotient differs.
fn equal(a: &str, b: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let same = |x: &str, y: &str| match (x.parse::<f64>(), y.parse::<f64>()) {
        (Ok(x), Ok(y)) => (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1e-6),
        _ => x.trim_end() == y.trim_end(),
    };
    a.len() == b.len()
        && a.iter()
            .zip(&b)
            .all(|(x, y)| x.split('|').count() == y.split('|').count() && x.split('|').zip(y.split('|')).all(|(x, y)| same(x, y)))
}

/// The 22 queries with the specification's validation parameters.
fn queries(folder: &Path) -> Result<Vec<(String, String)>> {
    (1..=22)
        .map(|n| {
            let file = folder.join(format!("q{n:02}.sql"));
            let text = std::fs::read_to_string(&file).map_err(Error::at(file.display().to_string()))?;
            Ok((format!("Q{n}"), text.trim().trim_end_matches(';').to_string()))
        })
        .collect()
}
