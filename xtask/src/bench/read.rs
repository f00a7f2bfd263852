//! Reading many rows: into Arrow, and through the wire.

use fjord_harness::Result;

use super::report::{Report, ratio, seconds};
use super::timing::{best, drain, into_arrow, postgres_psql};
use super::{Bench, peers};

struct Table {
    name: &'static str,
    title: &'static str,
    /// The rows of a full run.
    rows: u32,
    /// `SELECT` list over `generate_series(1, rows) AS i`.
    columns: &'static str,
}

const TABLES: [Table; 4] = [
    Table {
        name: "mixed",
        title: "1,000,000 rows of ten mixed columns",
        rows: 1_000_000,
        columns: "i AS id, i % 10 AS bucket, i::bigint * 1000003 AS big, i / 7.0::float8 AS price, ((i % 100000)::numeric / 3)::numeric(14,4) AS amount,
            'name ' || i AS name, (ARRAY['a','bb','ccc','dddd'])[1 + i % 4] AS category, timestamptz '2024-01-01' + i * interval '1 s' AS at,
            date '2024-01-01' + i % 365 AS day, i % 50 AS quantity",
    },
    Table {
        name: "wide",
        title: "300,000 rows of ten texts",
        rows: 300_000,
        columns: "i AS id, md5(i::text) AS t1, md5((i+1)::text) AS t2, repeat(md5(i::text), 3) AS t3, 'Straße ' || i AS t4, md5((i+2)::text) AS t5,
            md5((i+3)::text) AS t6, repeat('x', i % 100) AS t7, md5((i+4)::text) AS t8, nullif(i % 3, 0)::text AS t9",
    },
    Table { name: "narrow", title: "3,000,000 rows of two integers", rows: 3_000_000, columns: "i AS id, i % 1000 AS v" },
    Table {
        name: "numerics",
        title: "1,000,000 rows of four numerics",
        rows: 1_000_000,
        columns: "i AS id, (i / 7.0)::numeric(18,6) AS a, (i * 1.01)::numeric(12,2) AS b, (i::numeric * 1000003 / 17)::numeric(30,10) AS c, i::numeric(10,0) AS d",
    },
];

/// Fills the tables and compares.
pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let postgres = bench.postgres()?;
    let fjord = bench.fjord(&postgres)?;
    for t in &TABLES {
        let rows = if bench.quick { t.rows / 100 } else { t.rows };
        postgres.psql(&format!(
            "CREATE TABLE {0} AS SELECT {1} FROM generate_series(1, {rows}) AS i; ALTER TABLE {0} ADD PRIMARY KEY (id); VACUUM ANALYZE {0}",
            t.name, t.columns
        ))?;
    }
    report.section(
        "Reading into Arrow",
        "Seconds, best of three. The floor is what one connection's binary COPY takes to reach `/dev/null`. The peers end in an Arrow table, Fjord in record batches.",
    );
    report.head(&["table", "way", "seconds", "Fjord ÷ this"]);
    for t in &TABLES {
        let query = format!("SELECT * FROM {}", t.name);
        let ours_query = format!("SELECT * FROM pg.public.{}", t.name);
        let ours = timed(|| into_arrow(&fjord, &[], &ours_query));
        let floor = timed(|| drain(postgres_psql(&postgres), &[&format!("COPY ({query}) TO STDOUT (FORMAT binary)")]));
        let mut ways = vec![("Fjord".to_string(), ours.clone()), ("psql, binary COPY to /dev/null".to_string(), floor)];
        ways.extend(peers::read(bench, &postgres, &query)?);
        for (way, time) in ways {
            report.row(&[t.title.into(), way, seconds(&time), ratio(&ours, &time)]);
        }
    }
    report.section("Through the wire", "The same `psql` at Fjord and at Postgres itself, the rows to `/dev/null`. Seconds, best of three.");
    report.head(&["table", "format", "Postgres", "Fjord", "Fjord ÷ Postgres"]);
    for t in &TABLES {
        for (shown, format) in
            [("COPY, text", "COPY ({}) TO STDOUT"), ("COPY, binary", "COPY ({}) TO STDOUT (FORMAT binary)"), ("SELECT, text", "{}")]
        {
            let direct = format.replace("{}", &format!("SELECT * FROM {}", t.name));
            let through = format.replace("{}", &format!("SELECT * FROM pg.public.{}", t.name));
            let theirs = timed(|| drain(postgres_psql(&postgres), &[&direct]));
            let ours = timed(|| drain(fjord.psql_command(), &[&through]));
            report.row(&[t.title.into(), shown.into(), seconds(&theirs), seconds(&ours), ratio(&ours, &theirs)]);
        }
    }
    report.section("Pushed or pulled", "Through `psql`: a filter with a projection, and an aggregate, with and without pushdown.");
    report.head(&["query", "Postgres", "Fjord", "Fjord, pushdown off", "Fjord ÷ Postgres"]);
    for query in [
        "SELECT id, price FROM mixed WHERE bucket = 7",
        "SELECT category, count(*) AS n, sum(quantity) AS q FROM mixed WHERE id > 1000 GROUP BY category",
        "SELECT * FROM mixed ORDER BY price DESC LIMIT 10",
    ] {
        let through = query.replace("FROM mixed", "FROM pg.public.mixed");
        let theirs = timed(|| drain(postgres_psql(&postgres), &[query]));
        let ours = timed(|| drain(fjord.psql_command(), &[&through]));
        let pulled = timed(|| drain(fjord.psql_command(), &["SET fjord.pushdown = off", &through]));
        report.row(&[format!("`{query}`"), seconds(&theirs), seconds(&ours), seconds(&pulled), ratio(&ours, &theirs)]);
    }
    Ok(())
}

/// A way that fails is a line of the report, not its end.
pub fn timed(work: impl FnMut() -> Result<()>) -> std::result::Result<f64, String> {
    best(work).map(|t| t.as_secs_f64()).map_err(|e| e.to_string())
}
