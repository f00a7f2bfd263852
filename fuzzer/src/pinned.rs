//! What was found, kept as files that every test run repeats.
//!
//! ```text
//! # why it was wrong
//! source mysql                 (or mariadb; without it: Postgres)
//! table t1                     (or: file events)
//! column integer PRIMARY KEY | id
//! row 1 <tab> \N
//! query
//! SELECT ... FROM pg.w."t1"    (fl.files."events")
//! postgres
//! SELECT ... FROM w."t1"       (f."events")
//! ```
//! Without the last part Postgres is not asked. Values are written as by COPY: `\N` is NULL; `\t`, `\n` and `\\` stand for what they stand for there.

use std::fmt;

use fjord_harness::{Error, Result};

use crate::source::Source;
use crate::types::{Kind, Ty};
use crate::wire::Row;
use crate::world::{ColumnSpec, TableSpec, World};

/// A case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pinned {
    /// What it is about.
    pub comment: String,
    /// Its tables.
    pub world: World,
    /// The query, over the connectors `pg` (`my` for MySQL and MariaDB, with the schemas `w` and `x`) and `fl`.
    pub query: String,
    /// The same for Postgres.
    pub postgres: Option<String>,
}

impl Pinned {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Pinned> {
        let mut case = Pinned::default();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let source = case.world.source;
            let table = case.world.tables.last_mut();
            match (word, table) {
                ("", _) => {}
                ("#", _) => case.comment.push_str(&format!("{rest}\n")),
                ("source", None) => case.world.source = rest.parse()?,
                ("table" | "file", _) => case.world.tables.push(TableSpec {
                    name: rest.to_string(),
                    file: word == "file",
                    columns: vec![],
                    rows: vec![],
                    after: vec![],
                }),
                ("column", Some(t)) => {
                    let (sql, name) = rest.split_once(" | ").ok_or_else(|| Error::new(format!("no column: {line}")))?;
                    let column = ColumnSpec {
                        name: name.into(),
                        ty: type_of(source, sql),
                        sql: sql.into(),
                        magnitude: f64::INFINITY,
                        unique: false,
                    };
                    t.columns.push(column);
                }
                ("after", Some(t)) => t.after.push(rest.to_string()),
                ("row", Some(t)) => t.rows.push(read_row(rest)),
                ("query", _) => {
                    let rest: Vec<&str> = lines.by_ref().collect();
                    let (query, postgres) = match rest.iter().position(|l| *l == "postgres") {
                        Some(at) => (&rest[..at], Some(rest[at + 1..].join("\n"))),
                        None => (&rest[..], None),
                    };
                    case.query = query.join("\n").trim_end().to_string();
                    case.postgres = postgres.map(|p| p.trim_end().to_string());
                }
                _ => return Err(Error::new(format!("not understood: {line}"))),
            }
        }
        Ok(case)
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.comment.lines() {
            writeln!(f, "# {line}")?;
        }
        if self.world.source != Source::Postgres {
            writeln!(f, "source {}", self.world.source.name())?;
        }
        for t in &self.world.tables {
            writeln!(f, "{} {}", if t.file { "file" } else { "table" }, t.name)?;
            for c in &t.columns {
                writeln!(f, "column {} | {}", c.sql, c.name)?;
            }
            for r in &t.rows {
                writeln!(f, "row {}", written_row(r))?;
            }
            for a in &t.after {
                writeln!(f, "after {a}")?;
            }
        }
        writeln!(f, "query\n{}", self.query)?;
        if let Some(p) = &self.postgres {
            writeln!(f, "postgres\n{p}")?;
        }
        Ok(())
    }
}

/// Enough of a column's type for a file's columns.
fn type_of(source: Source, sql: &str) -> Ty {
    let bare = sql.strip_suffix(" NOT NULL").unwrap_or(sql);
    if let Some(known) = source.columns().into_iter().flatten().find(|c| c.sql == bare) {
        return known.ty;
    }
    let numeric = || {
        let (p, s) = sql
            .strip_prefix("numeric(")?
            .split_once(')')?
            .0
            .split_once(',')
            .unwrap_or((sql.strip_prefix("numeric(")?.split_once(')')?.0, "0"));
        Some(Ty::Num(p.trim().parse().ok()?, s.trim().parse().ok()?))
    };
    let plain = [Ty::Bool, Ty::I2, Ty::I4, Ty::I8, Ty::F4, Ty::F8, Ty::Tz, Ty::Ts, Ty::Date, Ty::Bytes];
    numeric().or_else(|| plain.into_iter().find(|t| sql.starts_with(&t.name()))).unwrap_or(Ty::Text(Kind::C))
}

fn read_row(text: &str) -> Row {
    text.split('\t')
        .map(|field| {
            if field == "\\N" {
                return None;
            }
            let mut value = String::new();
            let mut letters = field.chars();
            while let Some(c) = letters.next() {
                match (c, if c == '\\' { letters.next() } else { None }) {
                    ('\\', Some('t')) => value.push('\t'),
                    ('\\', Some('n')) => value.push('\n'),
                    ('\\', Some(other)) => value.push(other),
                    (c, _) => value.push(c),
                }
            }
            Some(value)
        })
        .collect()
}

fn written_row(row: &Row) -> String {
    let field = |v: &Option<String>| match v {
        None => "\\N".to_string(),
        Some(v) => v.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n"),
    };
    row.iter().map(field).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_case_is_read_as_it_was_written() {
        let text = "# a comment\ntable T two\ncolumn integer PRIMARY KEY | id\ncolumn numeric(10,2) | odd | name\nrow 1\t\\N\nrow 2\ta\\\\b\\tc\nquery\nSELECT 1\npostgres\nSELECT 2\n";
        let case = Pinned::parse(text).unwrap();
        assert_eq!(case.world.tables[0].columns[1].ty, Ty::Num(10, 2));
        assert_eq!(case.world.tables[0].rows[1][1].as_deref(), Some("a\\b\tc"));
        assert_eq!(case.to_string(), text);
    }
}
