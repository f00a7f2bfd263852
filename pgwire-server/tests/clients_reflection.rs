//! Real clients, run against a real Postgres and against Fjord in front of it: what they see must be the same.
//!
//! The scripts in `clients/` print facts as JSON lines, without OIDs. `corpus/` is what the clients sent to PostgreSQL 15.18; each statement over the
//! catalog must plan and run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use fjord_harness::{FjordOptions, FjordServer, Postgres, Venv};

struct Shop {
    postgres: Postgres,
    fjord: FjordServer,
}

/// The schema `public` of the source is `pg` here.
fn shop() -> Shop {
    let postgres = Postgres::start().unwrap();
    postgres.psql(include_str!("clients/shop.sql")).unwrap();
    let options = FjordOptions { program: Some(PathBuf::from(env!("CARGO_BIN_EXE_fjord"))), ..FjordOptions::default() };
    let fjord = FjordServer::with(options).unwrap();
    let port = postgres.port();
    fjord
        .psql(&format!(
            "CREATE CONNECTOR pg TYPE postgres OPTIONS (host '127.0.0.1', port '{port}', user 'postgres', database 'postgres', sslmode 'disable')"
        ))
        .unwrap();
    Shop { postgres, fjord }
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
    for driver in ["psycopg", "psycopg2"] {
        let url = |url: String| {
            url.replacen("postgres://", &format!("postgresql+{driver}://"), 1).replacen(
                "postgresql://",
                &format!("postgresql+{driver}://"),
                1,
            )
        };
        let path = script("sqlalchemy_reflect.py");
        let expected = venv.run_script(&path, &[&url(s.postgres.url()), "public"]).unwrap();
        same(&expected, &venv.run_script(&path, &[&url(s.fjord.url()), "pg"]).unwrap());
    }
}

#[test]
fn drivers_see_the_same() {
    let (s, venv) = (shop(), venv());
    for name in ["psycopg3_session.py", "psycopg2_session.py", "asyncpg_session.py"] {
        let path = script(name);
        let expected = venv.run_script(&path, &[&s.postgres.url(), "public"]).unwrap();
        same(&expected, &venv.run_script(&path, &[&s.fjord.url(), "pg"]).unwrap());
    }
}

/// The statements of a corpus file, parameters put in place, without those of sessions and of the user's own tables.
fn corpus(text: &str) -> Vec<String> {
    let session =
        ["begin", "commit", "rollback", "savepoint", "release", "set", "show", "close", "fetch", "declare", "copy", "select pg_advisory"];
    text.split("\n;\n")
        .filter_map(|block| {
            let mut sql: String = block.lines().filter(|l| !l.starts_with("-- ")).collect::<Vec<_>>().join("\n").trim().to_string();
            let lower = sql.to_lowercase();
            if sql.is_empty() || session.iter().any(|s| lower.starts_with(s)) || lower.contains("public.") || lower.contains("nothere") {
                return None;
            }
            if let Some(list) = block.lines().find_map(|l| l.strip_prefix("-- parameters: ")) {
                let values: Vec<&str> = list.split(", $").map(|p| p.split_once(" = ").unwrap().1).collect();
                for (i, v) in values.iter().enumerate().rev() {
                    sql = sql.replace(&format!("${}", i + 1), v);
                }
            }
            Some(sql)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_the_corpus_runs() {
    let s = tokio::task::spawn_blocking(shop).await.unwrap();
    let client = s.fjord.client().await.unwrap();
    client.simple_query("SET search_path = pg, public").await.unwrap();
    let files = [
        include_str!("corpus/psql.sql"),
        include_str!("corpus/psql_tab_completion.sql"),
        include_str!("corpus/asyncpg.sql"),
        include_str!("corpus/psycopg3.sql"),
        include_str!("corpus/sqlalchemy_psycopg3.sql"),
        include_str!("corpus/sqlalchemy_psycopg2.sql"),
    ];
    let mut ran = 0;
    for sql in files.iter().flat_map(|f| corpus(f)) {
        if let Err(e) = client.simple_query(&sql).await {
            panic!("{e:?}\n{sql}");
        }
        ran += 1;
    }
    assert!(ran > 200, "only {ran} statements");
}

#[test]
fn psql_describes_tables_keys_and_comments() {
    let s = shop();
    let out = s.fjord.psql_script(&[], "SET search_path = pg;\n\\d orders\n\\d+ users\n\\d users_pkey\n\\dn\n\\l\n\\du\n\\des+\n").unwrap();
    for part in [
        "character(5)",
        "PRIMARY KEY, btree (id)",
        "UNIQUE CONSTRAINT, btree (user_id, note)",
        "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
        "unique mail",
        "'nobody'::text",
    ] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }
}
