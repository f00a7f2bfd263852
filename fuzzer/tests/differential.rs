//! The fuzzer with fixed seeds, and everything that was ever found. `FJORD_TEST_FULL=1` adds many queries of a seed that the clock chooses and that is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::time::{Duration, SystemTime};

use fjord_fuzzer::compare::Rules;
use fjord_fuzzer::pinned::Pinned;
use fjord_fuzzer::run::{Config, Servers, run};

/// An error both ways proves nothing: this share of the queries may end so.
const ERRORS_PERCENT_MAX: u64 = 5;

/// What no run may leave out: the operations that are pushed, and the traps of DataFusion that have a guard.
const MUST_EXERCISE: &[&str] = &[
    "WHERE",
    "JOIN",
    "LEFT JOIN",
    "FULL JOIN",
    "GROUP BY",
    "DISTINCT",
    "UNION",
    "UNION ALL",
    "EXISTS, correlated",
    "NOT IN subquery",
    "window functions",
    "ORDER BY LIMIT",
    "LIMIT without ORDER BY",
    "join of a source and a file",
    "self join (every column name twice)",
    "literal -0.0",
    "literal finer than a microsecond",
    "IN list of floats",
];

fn fuzz(seed: u64, queries: u64, time_max: Option<Duration>) {
    let config = Config { seed, queries, first_world: 0, workers: 3, failures_max: 5, time_max };
    let report = run(&config).unwrap();
    println!("seed {seed}: {report}");
    assert!(report.failures.is_empty(), "seed {seed}: {report}");
    assert!(report.errors * 100 <= report.queries * ERRORS_PERCENT_MAX, "seed {seed}: {report}");
    let missing: Vec<_> = MUST_EXERCISE.iter().filter(|f| !report.features.contains_key(**f)).collect();
    assert!(missing.is_empty(), "seed {seed} does not exercise {missing:?}: {report}");
    for kind in ["WHERE", "GROUP BY", "ORDER BY", "LIMIT"] {
        assert!(report.remote.contains_key(kind), "seed {seed}: no remote text has {kind}: {report}");
    }
}

// Four tests, so that they run beside one another and each stays below nextest's limit.

#[test]
fn seed_1() {
    fuzz(1, 500, None);
}

#[test]
fn seed_2() {
    fuzz(2, 500, None);
}

#[test]
fn seed_3() {
    fuzz(3, 500, None);
}

#[test]
fn seed_4() {
    fuzz(4, 500, None);
}

/// Not in the usual run: a red check that nobody can repeat helps nobody. Bounded in time by nextest's limit.
#[test]
fn a_seed_of_the_clock() {
    if std::env::var_os("FJORD_TEST_FULL").is_some() {
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        println!("seed {seed}");
        fuzz(seed, 1_000_000, Some(Duration::from_secs(240)));
    }
}

#[test]
fn what_was_found_stays_found() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let servers = Servers::start().unwrap();
    let mut worker = servers.worker(0).unwrap();
    let mut failures = vec![];
    for file in files {
        let case = Pinned::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        worker.load(&case.world).unwrap();
        let sql = case.query.replace("pg.w.", "pg0.w.").replace("fl.files.", "fl0.files.");
        let on = worker.ways.on.query(&sql).unwrap();
        let off = worker.ways.off.query(&sql).unwrap();
        let rules = Rules::default();
        let difference = match (&on, &off) {
            (Ok(on), Ok(off)) => rules.difference(on, off),
            (on, off) => Some(format!("pushed: {:?}; local: {:?}", on.as_ref().err(), off.as_ref().err())),
        };
        failures.extend(difference.map(|d| format!("{}: {d}", file.display())));
        if let (Some(sql), Ok(on)) = (&case.postgres, &on) {
            let theirs = worker.ways.postgres.query(sql).unwrap().unwrap();
            let difference = Rules { postgres: true, ..Rules::default() }.difference(on, &theirs);
            failures.extend(difference.map(|d| format!("{}: Postgres answers otherwise: {d}", file.display())));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
