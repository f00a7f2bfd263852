//! What clients ask of the catalog, answered by a real Postgres and by Fjord in front of one: names, types and rows must be the same.
//!
//! `corpus/` is what the clients sent to PostgreSQL 15.18. The reference is a database `twin` whose schemas are named as Fjord exposes those of the
//! source (`public` is `shop`, `billing` is `shop__billing`), so that only OIDs differ: those are compared by the names that they stand for. What
//! legitimately differs stands in `corpus/exceptions.tsv`, one line a statement, with the reason; a line that is not needed any more fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod twin;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::SocketAddr;

use bytes::Buf;
use common::{Message, Raw};
use twin::{SHOP, Twin};

const FILES: [(&str, &str); 7] = [
    ("psql", include_str!("corpus/psql.sql")),
    ("psql_tab_completion", include_str!("corpus/psql_tab_completion.sql")),
    ("asyncpg", include_str!("corpus/asyncpg.sql")),
    ("psycopg3", include_str!("corpus/psycopg3.sql")),
    ("sqlalchemy_psycopg3", include_str!("corpus/sqlalchemy_psycopg3.sql")),
    ("sqlalchemy_psycopg2", include_str!("corpus/sqlalchemy_psycopg2.sql")),
    ("sqlalchemy_pg8000", include_str!("corpus/sqlalchemy_pg8000.sql")),
];

/// The OIDs in the recorded statements, and what they stood for.
const RECORDED: [(u32, &str, &str); 7] = [
    (16384, "shop", "users"),
    (16391, "shop", "users_pkey"),
    (16395, "shop", "orders"),
    (16408, "shop", "Mixed Case"),
    (16415, "shop", "active"),
    (16420, "shop__billing", "invoices"),
    (16425, "shop__billing", "invoices_pkey"),
];

/// One answer: columns with the OIDs of their types, and rows; or an error.
#[derive(Debug, PartialEq)]
struct Answer {
    columns: Vec<(String, u32)>,
    rows: Vec<Vec<Option<String>>>,
    error: Option<String>,
}

struct Side {
    raw: Raw,
    names: HashMap<u32, String>,
    roles: HashMap<u32, String>,
}

impl Side {
    async fn connect(port: u16, database: &str) -> Side {
        let mut raw = Raw::connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
        raw.startup(0x0003_0000, &[("user", "postgres"), ("database", database), ("client_encoding", "UTF8")]).await;
        raw.until_ready().await;
        Side { raw, names: HashMap::new(), roles: HashMap::new() }
    }
    async fn ask(&mut self, sql: &str) -> Answer {
        self.raw.query(sql);
        answer(&self.raw.round().await)
    }
    /// Learns what this side's OIDs stand for.
    async fn learn(&mut self) {
        const NAMED: &str =
            "SELECT c.oid, 'relation ' || n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            UNION ALL SELECT oid, 'schema ' || nspname FROM pg_namespace
            UNION ALL SELECT oid, 'constraint ' || conname FROM pg_constraint
            UNION ALL SELECT oid, 'type ' || typname FROM pg_type";
        self.names = self.map(NAMED).await;
        self.roles = self.map("SELECT oid, 'role ' || rolname FROM pg_authid").await;
    }
    async fn map(&mut self, sql: &str) -> HashMap<u32, String> {
        let found = self.ask(sql).await;
        assert_eq!(found.error, None, "{sql}");
        found.rows.into_iter().map(|r| (r[0].clone().unwrap().parse().unwrap(), r[1].clone().unwrap())).collect()
    }
    /// A recorded statement with this side's OIDs in it.
    fn localized(&self, sql: &str) -> String {
        let mut sql = sql.to_string();
        for (oid, schema, name) in RECORDED {
            let wanted = format!("relation {schema}.{name}");
            let own = self.names.iter().find(|(_, n)| **n == wanted).map(|(o, _)| *o).unwrap_or_else(|| panic!("no OID for {wanted}"));
            sql = sql.replace(&oid.to_string(), &format!("\u{1}{own}"));
        }
        sql.replace('\u{1}', "")
    }
    /// OIDs of objects that are not built in become names.
    fn named(&self, answer: &mut Answer) {
        const OIDS: [u32; 6] = [24, 26, 30, 1028, 2205, 2206];
        for row in &mut answer.rows {
            for (cell, (_, kind)) in row.iter_mut().zip(&answer.columns) {
                let Some(text) = cell.as_mut().filter(|_| OIDS.contains(kind)) else { continue };
                let parts = text.split_inclusive([' ', ',', '{', '}']).map(|part| {
                    let (number, tail) = part.split_at(part.trim_end_matches([' ', ',', '{', '}']).len());
                    let name = number.parse::<u32>().ok().and_then(|oid| {
                        let known = self.roles.get(&oid).or_else(|| self.names.get(&oid).filter(|_| oid >= 16384));
                        known.cloned().or_else(|| (oid >= 16384).then(|| "unnamed".to_string()))
                    });
                    format!("{}{tail}", name.unwrap_or_else(|| number.to_string()))
                });
                *text = parts.collect();
            }
        }
        answer.rows.sort();
    }
}

fn answer(messages: &[Message]) -> Answer {
    let mut out = Answer { columns: vec![], rows: vec![], error: None };
    for m in messages {
        match m.tag {
            b'T' => {
                let mut b = m.body.clone();
                for _ in 0..b.get_u16() {
                    let end = b.iter().position(|x| *x == 0).unwrap();
                    let name = String::from_utf8(b.split_to(end).to_vec()).unwrap();
                    b.advance(1 + 6);
                    let oid = b.get_u32();
                    b.advance(8);
                    out.columns.push((name, oid));
                }
            }
            b'D' => out.rows.push(m.values().into_iter().map(|v| v.map(|v| String::from_utf8(v).unwrap())).collect()),
            b'E' => out.error = Some(format!("{} {}", m.state(), m.field(b'M'))),
            _ => {}
        }
    }
    out
}

/// The statements of a corpus file with their numbers, parameters put in place, without those of sessions.
fn corpus(text: &str) -> Vec<(usize, String)> {
    const SESSION: [&str; 13] = [
        "begin",
        "commit",
        "rollback",
        "savepoint",
        "release",
        "set",
        "show",
        "close",
        "fetch",
        "declare",
        "copy",
        "select pg_advisory",
        "start",
    ];
    let blocks = text.split("\n;\n").enumerate().filter_map(|(i, block)| {
        let mut sql: String = block.lines().filter(|l| !l.starts_with("-- ")).collect::<Vec<_>>().join("\n").trim().to_string();
        let lower = sql.to_lowercase();
        if sql.is_empty() || SESSION.iter().any(|s| lower.starts_with(s)) || lower.contains("nothere") {
            return None;
        }
        if let Some(list) = block.lines().find_map(|l| l.strip_prefix("-- parameters: ")) {
            let values: Vec<&str> = list.split(", $").map(|p| p.split_once(" = ").unwrap().1).collect();
            for (i, v) in values.iter().enumerate().rev() {
                sql = sql.replace(&format!("${}", i + 1), v);
            }
        }
        let sql = sql.replace("billing", "shop__billing").replace("public.", "shop.").replace("'public'", "'shop'");
        Some((i + 1, sql))
    });
    blocks.collect()
}

/// How two answers differ: `error`, `names`, `types`, `rows`; `None` where they do not.
fn difference(postgres: &Answer, fjord: &Answer) -> Option<&'static str> {
    let names = |a: &Answer| a.columns.iter().map(|c| c.0.clone()).collect::<Vec<_>>();
    if postgres.error.is_some() != fjord.error.is_some() {
        return Some("error");
    }
    if names(postgres) != names(fjord) {
        return Some("names");
    }
    if postgres.columns != fjord.columns {
        return Some("types");
    }
    (postgres.rows != fjord.rows).then_some("rows")
}

/// What differs, for people: rows of one side only.
fn told(postgres: &Answer, fjord: &Answer) -> String {
    let mut out = String::new();
    for (p, f) in postgres.columns.iter().zip(&fjord.columns).filter(|(p, f)| p != f) {
        let _ = writeln!(out, "  column {p:?} is {f:?}");
    }
    if postgres.columns.len() != fjord.columns.len() || postgres.error != fjord.error {
        let _ = writeln!(
            out,
            "  {} columns and {:?}, {} columns and {:?}",
            postgres.columns.len(),
            postgres.error,
            fjord.columns.len(),
            fjord.error
        );
    }
    let only = |mark: char, a: &Answer, b: &Answer, out: &mut String| {
        let missing: Vec<_> = a.rows.iter().filter(|r| !b.rows.contains(r)).collect();
        for r in missing.iter().take(8) {
            let cells: Vec<&str> = r.iter().map(|c| c.as_deref().unwrap_or("NULL")).collect();
            let _ = writeln!(out, "  {mark} {}", cells.join(" | "));
        }
        let _ = writeln!(out, "  {mark} {} of {} rows", missing.len(), a.rows.len());
    };
    only('-', postgres, fjord, &mut out);
    only('+', fjord, postgres, &mut out);
    out
}

/// The exceptions: file and number, what differs, why.
fn exceptions() -> BTreeMap<String, (String, String)> {
    let lines = include_str!("corpus/exceptions.tsv").lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    let parsed = lines.map(|l| {
        let [key, what, why] = l.split('\t').collect::<Vec<_>>()[..] else { panic!("not three fields: {l}") };
        assert!(!why.trim().is_empty(), "no reason: {l}");
        (key.to_string(), (what.to_string(), why.to_string()))
    });
    parsed.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_is_answered_as_postgres_answers_it() {
    let twin = tokio::task::spawn_blocking(|| Twin::start(SHOP)).await.unwrap();
    let mut postgres = Side::connect(twin.postgres.port(), "twin").await;
    let mut fjord = Side::connect(twin.fjord.port(), "fjord").await;
    for side in [&mut postgres, &mut fjord] {
        side.ask("SET search_path = shop, public").await;
        side.learn().await;
    }
    let mut known = exceptions();
    let (mut compared, mut report) = (0, String::new());
    for (file, text) in FILES {
        for (number, sql) in corpus(text) {
            let key = format!("{file}#{number}");
            let (mut p, mut f) = (postgres.ask(&postgres.localized(&sql)).await, fjord.ask(&fjord.localized(&sql)).await);
            postgres.named(&mut p);
            fjord.named(&mut f);
            compared += 1;
            let found = difference(&p, &f);
            match (found, known.remove(&key)) {
                (None, None) => {}
                (Some(what), Some((allowed, _))) if what == allowed => {}
                (None, Some(_)) => report.push_str(&format!("{key} is the same now: take it off corpus/exceptions.tsv\n")),
                (Some(what), _) => report.push_str(&format!("{key}\t{what}\n{}{}\n\n", told(&p, &f), fjord.localized(&sql))),
            }
        }
    }
    for key in known.keys() {
        report.push_str(&format!("{key} is no statement of the corpus\n"));
    }
    assert!(compared > 200, "only {compared} statements");
    assert!(report.is_empty(), "{report}");
}
