//! A selective join between Postgres and Parquet: only what matches should travel.

use fjord_harness::{Result, TempFolder};

use super::read::timed;
use super::report::{Report, ratio, seconds};
use super::timing::{drain, into_arrow};
use super::{Bench, peers};

/// Makes both sides and compares.
pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let postgres = bench.postgres()?;
    let fjord = bench.fjord(&postgres)?;
    let (big, small) = if bench.quick { (10_000, 100) } else { (1_000_000, 10_000) };
    postgres.psql(&format!(
        "CREATE TABLE big AS SELECT i AS id, 'name ' || i AS name, i / 7.0::float8 AS price FROM generate_series(1, {big}) AS i;
         ALTER TABLE big ADD PRIMARY KEY (id);
         CREATE TABLE small AS SELECT i * 97 AS id, i % 10 AS kind, 'small ' || i AS label FROM generate_series(1, {small}) AS i;
         ALTER TABLE small ADD PRIMARY KEY (id);
         VACUUM ANALYZE big; VACUUM ANALYZE small"
    ))?;
    let folder = TempFolder::new("parquet")?;
    let path = folder.path().display().to_string();
    let make = format!(
        "COPY (SELECT i AS id, 'name ' || i AS name, i / 7.0 AS price FROM range(1, {big} + 1) t(i)) TO '{path}/big.parquet' (FORMAT parquet);
         COPY (SELECT i * 97 AS id, i % 10 AS kind, 'small ' || i AS label FROM range(1, {small} + 1) t(i)) TO '{path}/small.parquet' (FORMAT parquet)"
    );
    peers::duckdb(bench, &postgres, &make, &[])?;
    fjord.psql(&format!("CREATE CONNECTOR f TYPE files OPTIONS (location '{path}')"))?;
    report.section(
        "A selective join of Postgres with Parquet",
        "A tenth of the small side has a partner to look for: about 100 of the 1,000,000 rows match. Milliseconds through `psql` (which starts within the time) and, for Fjord, of `EXPLAIN ANALYZE`; DuckDB in process.",
    );
    report.head(&["big side", "small side", "Fjord, psql", "Fjord, EXPLAIN ANALYZE", "DuckDB", "Fjord ÷ DuckDB"]);
    for (big_side, small_side) in [("f.files.big", "pg.public.small"), ("pg.public.big", "f.files.small")] {
        let query = format!(
            "SELECT count(*) AS n, sum(b.price) AS total FROM {big_side} b JOIN {small_side} s ON b.id = s.id WHERE s.kind = 3 AND s.id < 100000"
        );
        let shown = timed(|| drain(fjord.psql_command(), &[&query]));
        let analyzed = timed(|| into_arrow(&fjord, &[], &query));
        let view = |t: &str| {
            let name = t.rsplit('.').next().unwrap_or(t);
            if t.starts_with('f') { format!("read_parquet('{path}/{name}.parquet')") } else { t.to_string() }
        };
        let theirs_query = query.replace(big_side, &view(big_side)).replace(small_side, &view(small_side));
        let theirs = peers::duckdb(bench, &postgres, "", &[("join".into(), theirs_query)])?;
        let theirs = theirs.into_iter().next().map_or_else(|| Err("nothing ran".to_string()), |t| t.1);
        let ms = |t: &std::result::Result<f64, String>| seconds(&t.clone().map(|s| s * 1000.0));
        report.row(&[big_side.into(), small_side.into(), ms(&shown), ms(&analyzed), ms(&theirs), ratio(&analyzed, &theirs)]);
    }
    Ok(())
}
