//! The fuzzer with fixed seeds, and everything that was ever found. `FJORD_TEST_FULL=1` adds many queries of a seed that the clock chooses and that is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use fjord_fuzzer::pinned::Pinned;
use fjord_fuzzer::run::{Config, Servers, run};
use fjord_fuzzer::source::Source;

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

fn fuzz(source: Source, seed: u64, queries: u64, time_max: Option<Duration>) {
    let config = Config { source, seed, queries, first_world: 0, workers: 3, failures_max: 5, time_max };
    let report = run(&config).unwrap();
    println!("{source:?} seed {seed}: {report}");
    assert!(report.failures.is_empty(), "seed {seed}: {report}");
    assert!(report.errors * 100 <= report.queries * ERRORS_PERCENT_MAX, "seed {seed}: {report}");
    let missing: Vec<_> = MUST_EXERCISE.iter().filter(|f| !report.features.contains_key(**f)).collect();
    assert!(missing.is_empty(), "seed {seed} does not exercise {missing:?}: {report}");
    for kind in sent(source) {
        assert!(report.remote.contains_key(*kind), "seed {seed}: no remote text has {kind}: {report}");
    }
}

/// What some query of each seed must send. Few columns of MySQL's have an order that may be sent, and not every seed asks for one of them.
fn sent(source: Source) -> &'static [&'static str] {
    match source {
        Source::Postgres => &["WHERE", "GROUP BY", "ORDER BY", "LIMIT"],
        Source::MySql | Source::MariaDb => &["WHERE", "GROUP BY"],
    }
}

// Four tests for each source, so that they run beside one another and each stays below nextest's limit.

#[test]
fn seed_1() {
    fuzz(Source::Postgres, 1, 500, None);
}

#[test]
fn seed_2() {
    fuzz(Source::Postgres, 2, 500, None);
}

#[test]
fn seed_3() {
    fuzz(Source::Postgres, 3, 500, None);
}

#[test]
fn seed_4() {
    fuzz(Source::Postgres, 4, 500, None);
}

#[test]
fn mysql_seed_1() {
    fuzz(Source::MySql, 1, 500, None);
}

#[test]
fn mysql_seed_2() {
    fuzz(Source::MySql, 2, 500, None);
}

#[test]
fn mysql_seed_3() {
    fuzz(Source::MySql, 3, 500, None);
}

#[test]
fn mysql_seed_4() {
    fuzz(Source::MySql, 4, 500, None);
}

#[test]
fn mariadb_seed_1() {
    fuzz(Source::MariaDb, 1, 500, None);
}

#[test]
fn mariadb_seed_2() {
    fuzz(Source::MariaDb, 2, 500, None);
}

#[test]
fn mariadb_seed_3() {
    fuzz(Source::MariaDb, 3, 500, None);
}

#[test]
fn mariadb_seed_4() {
    fuzz(Source::MariaDb, 4, 500, None);
}

/// Not in the usual run: a red check that nobody can repeat helps nobody. Bounded in time by nextest's limit.
#[test]
fn a_seed_of_the_clock() {
    if std::env::var_os("FJORD_TEST_FULL").is_some() {
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        println!("seed {seed}");
        // Each in its turn: all of them in what one test may take.
        for source in [Source::Postgres, Source::MySql, Source::MariaDb] {
            fuzz(source, seed, 1_000_000, Some(Duration::from_secs(80)));
        }
    }
}

#[test]
fn what_was_found_stays_found() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut failures = vec![];
    let mut workers = HashMap::new();
    for file in files {
        let case = Pinned::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let source = case.world.source;
        let (_, worker) = workers.entry(source).or_insert_with(|| {
            let servers = Servers::start(source).unwrap();
            let worker = servers.worker(0).unwrap();
            (servers, worker)
        });
        let difference = worker.try_case(&case).unwrap().difference();
        failures.extend(difference.map(|d| format!("{}: {d}", file.display())));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
