//! Real clients, run against a real Postgres and against Fjord in front of it: what they see must be the same.
//!
//! The scripts in `clients/` print facts as JSON lines, without OIDs. What they ask of the catalog is compared in `introspection.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod twin;

use std::path::{Path, PathBuf};

use fjord_harness::{Venv, java};
use twin::{MORE, SHOP, Twin};

fn shop() -> Twin {
    Twin::start(&format!("{SHOP}{MORE}"))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn venv() -> Venv {
    Venv::with_requirements(include_str!("clients/requirements.txt")).unwrap()
}

/// Both sides' facts, line by line. A `char(5)` comes without its blanks from Fjord: the value is the same, the padding is not kept.
fn same(postgres: &str, fjord: &str) {
    let lines = |s: &str| s.lines().map(|l| l.replace("\"x    \"", "\"x\"")).collect::<Vec<_>>();
    pretty_diff(&lines(postgres), &lines(fjord));
}

fn pretty_diff(expected: &[String], got: &[String]) {
    for (i, (e, g)) in expected.iter().zip(got).enumerate() {
        assert_eq!(e, g, "line {}", i + 1);
    }
    assert_eq!(expected.len(), got.len());
    assert!(!expected.is_empty());
}

#[test]
fn sqlalchemy_reflects_the_same() {
    let (s, venv) = (shop(), venv());
    for driver in ["psycopg", "psycopg2", "pg8000"] {
        let url = |url: String| {
            url.replacen("postgres://", &format!("postgresql+{driver}://"), 1).replacen(
                "postgresql://",
                &format!("postgresql+{driver}://"),
                1,
            )
        };
        let path = script("sqlalchemy_reflect.py");
        let expected = venv.run_script(&path, &[&url(s.twin_url()), "shop"]).unwrap();
        same(&expected, &venv.run_script(&path, &[&url(s.fjord.url()), "shop"]).unwrap());
    }
}

#[test]
fn drivers_see_the_same() {
    let (s, venv) = (shop(), venv());
    for name in ["psycopg3_session.py", "psycopg2_session.py", "asyncpg_session.py"] {
        let path = script(name);
        let expected = venv.run_script(&path, &[&s.twin_url(), "shop"]).unwrap();
        same(&expected, &venv.run_script(&path, &[&s.fjord.url(), "shop"]).unwrap());
    }
    let path = script("pg8000_session.py");
    let run = |port: u16, database: &str| venv.run_script(&path, &["127.0.0.1", &port.to_string(), "postgres", database, "shop"]).unwrap();
    same(&run(s.postgres.port(), "twin"), &run(s.fjord.port(), "fjord"));
}

/// pgjdbc: all of DatabaseMetaData, prepared statements on both sides of its threshold, cursors by fetch size.
#[test]
fn jdbc_sees_the_same() {
    let s = shop();
    let path = script("Jdbc.java");
    let run = |port: u16, database: &str| {
        java::run_source(&path, &[&format!("jdbc:postgresql://127.0.0.1:{port}/{database}?user=postgres"), "shop"]).unwrap()
    };
    // Sequences are not shown, and an enum's values are announced as text.
    let known = |l: &&str| !l.contains("_seq | SEQUENCE") && !l.starts_with("rows id:int4 mood:");
    let lines = |out: String| out.lines().filter(known).map(str::to_string).collect::<Vec<_>>();
    pretty_diff(&lines(run(s.postgres.port(), "twin")), &lines(run(s.fjord.port(), "fjord")));
}
