//! Random tables and files.

use crate::rng::Rng;
use crate::source::{ColumnType, Source};
use crate::types::{Kind, Ty};
use crate::wire::Row;
use crate::world::{ColumnSpec, TableSpec, World};

/// Names that need quotes, that differ only by case, and that several tables share.
const NAMES: &[&str] = &[
    "a",
    "b",
    "Name",
    "odd \"q\"",
    "select",
    "\u{e9} col",
    "x.y",
    "UPPER",
    "upper",
    "a b",
    "$1",
    "100%",
    "back\\slash",
    "it's",
    "value",
    "order",
    "n",
];
const TABLE_NAMES: &[&str] = &["t1", "T two", "order", "q\"t", "t.dot", "Users"];
const FILE_NAMES: &[&str] = &["events", "people"];

/// Types with the words of CREATE TABLE, and how often they are chosen.
const TYPES: &[(usize, Ty, &str)] = &[
    (5, Ty::Bool, "boolean"),
    (4, Ty::I2, "smallint"),
    (8, Ty::I4, "integer"),
    (5, Ty::I8, "bigint"),
    (1, Ty::Oid, "oid"),
    (2, Ty::F4, "real"),
    (6, Ty::F8, "double precision"),
    (5, Ty::Num(10, 2), "numeric(10,2)"),
    (2, Ty::Num(5, 0), "numeric(5)"),
    (3, Ty::Num(30, 10), "numeric(30,10)"),
    (3, Ty::Numeric, "numeric"),
    (6, Ty::Text(Kind::Default), "text"),
    (4, Ty::Text(Kind::Default), "varchar(40)"),
    (6, Ty::Text(Kind::C), "text COLLATE \"C\""),
    (1, Ty::Text(Kind::C), "name"),
    (2, Ty::Text(Kind::C), "public.label"),
    (4, Ty::Text(Kind::Icu), "text COLLATE \"en-US-x-icu\""),
    (4, Ty::Text(Kind::Nondeterministic), "text COLLATE public.nondet"),
    (3, Ty::Text(Kind::Citext), "public.citext"),
    (3, Ty::Text(Kind::Bpchar), "char(8)"),
    (3, Ty::Text(Kind::Enum), "public.mood"),
    (3, Ty::Bytes, "bytea"),
    (5, Ty::Date, "date"),
    (2, Ty::Time, "time"),
    (5, Ty::Ts, "timestamp"),
    (5, Ty::Tz, "timestamptz"),
    (2, Ty::Interval, "interval"),
    (3, Ty::Uuid, "uuid"),
    (1, Ty::Json, "json"),
    (2, Ty::Jsonb, "jsonb"),
    (1, Ty::Ints, "integer[]"),
    (1, Ty::Texts, "text[]"),
    (1, Ty::Inet, "inet"),
    (2, Ty::I4, "public.small"),
];

/// A random world in a source.
pub fn world(seed: u64, source: Source) -> World {
    let mut rng = Rng::new(seed);
    let mut tables = vec![];
    let postgres: Vec<ColumnType> =
        TYPES.iter().map(|(weight, ty, sql)| ColumnType { weight: *weight, ty: *ty, sql, values: &[] }).collect();
    let own = source.columns().unwrap_or_else(|| postgres.clone());
    let mut names = TABLE_NAMES.to_vec();
    rng.shuffle(&mut names);
    for name in names.into_iter().take(rng.between(2, 4)) {
        tables.push(table(&mut rng, name, source, &own, false));
    }
    for name in FILE_NAMES.iter().take(rng.between(1, 2)) {
        tables.push(table(&mut rng, name, Source::Postgres, &postgres, true));
    }
    World { source, tables }
}

fn table(rng: &mut Rng, name: &str, source: Source, types: &[ColumnType], file: bool) -> TableSpec {
    let count = match rng.weighted(&[6, 4, 15, 35, 25, 12, if file { 0 } else { 3 }]) {
        0 => 0,
        1 => 1,
        2 => 5,
        3 => 12,
        4 => 20,
        5 => 35,
        _ => 700,
    };
    let keyed = rng.chance(70);
    let id_sql = if keyed { "integer PRIMARY KEY" } else { "integer NOT NULL" };
    let mut columns = vec![
        ColumnSpec { name: "id".into(), ty: Ty::I4, sql: id_sql.into(), magnitude: 1000.0, unique: true },
        ColumnSpec { name: "k".into(), ty: Ty::I4, sql: "integer".into(), magnitude: 1000.0, unique: false },
    ];
    let mut ids: Vec<usize> = (1..=count).collect();
    rng.shuffle(&mut ids);
    let mut values: Vec<Vec<Option<String>>> = vec![
        ids.iter().map(|i| Some(i.to_string())).collect(),
        // Most keys are rare, so that joins of three tables stay small.
        ids.iter().map(|_| (!rng.chance(10)).then(|| rng.between(1, count + 3).to_string())).collect(),
    ];
    let mut names = NAMES.to_vec();
    rng.shuffle(&mut names);
    let weights: Vec<usize> = types.iter().map(|t| t.weight).collect();
    let wanted = rng.between(3, 9);
    let mut after = vec![];
    for name in names {
        if columns.len() >= wanted + 2 {
            break;
        }
        let ColumnType { ty, sql, values: own, .. } = types[rng.weighted(&weights)];
        if file && !fits_file(ty) {
            continue;
        }
        // Elsewhere than in Postgres names that differ by case alone are one name.
        if source != Source::Postgres && columns.iter().any(|c: &ColumnSpec| c.name.eq_ignore_ascii_case(name)) {
            continue;
        }
        let (ty, sql) = match ty {
            Ty::Text(_) if file => (Ty::Text(Kind::C), "text COLLATE \"C\""),
            _ => (ty, sql),
        };
        let (pool, magnitude) = pool(rng, source, ColumnType { weight: 0, ty, sql, values: own }, file);
        let required = rng.chance(20);
        let column: Row = (0..count).map(|_| (required || !rng.chance(15)).then(|| rng.pick(&pool).clone())).collect();
        if !file && ty.is_ordered() && rng.chance(25) {
            let quoted = source.quoted(name);
            after.push(match source {
                Source::Postgres => format!("CREATE INDEX ON {{}} ({quoted})"),
                _ if sql.starts_with("text") || sql.starts_with("tinytext") || sql.starts_with("blob") => {
                    format!("ALTER TABLE {{}} ADD INDEX ({quoted}(10))")
                }
                _ => format!("ALTER TABLE {{}} ADD INDEX ({quoted})"),
            });
        }
        let sql = if required && !file { format!("{sql} NOT NULL") } else { sql.to_string() };
        columns.push(ColumnSpec { name: name.into(), ty, sql, magnitude, unique: false });
        values.push(column);
    }
    let rows = (0..count).map(|r| values.iter().map(|c| c[r].clone()).collect()).collect();
    TableSpec { name: name.into(), file, columns, rows, after }
}

fn fits_file(ty: Ty) -> bool {
    matches!(ty, Ty::Bool | Ty::I2 | Ty::I4 | Ty::I8 | Ty::F4 | Ty::F8 | Ty::Num(..) | Ty::Date | Ty::Ts | Ty::Tz | Ty::Bytes | Ty::Text(_))
}

/// A few values, so that they meet; and their bound.
fn pool(rng: &mut Rng, source: Source, column: ColumnType, file: bool) -> (Vec<String>, f64) {
    let ColumnType { ty, sql, values, .. } = column;
    if ty.is_integer() && (sql == "public.small" || rng.chance(50)) && sql != "year" {
        let n = rng.between(2, 8);
        let least = if sql.contains("unsigned") || sql.starts_with("bit") { 0 } else { -2 };
        return ((0..n).map(|_| (rng.below(12).cast_signed() + least).to_string()).collect(), if least < 0 { 10.0 } else { 11.0 });
    }
    let extreme = |v: &str| v.contains("infinity") || v.starts_with("0001") || v.starts_with("9999");
    let sane = file || rng.chance(50);
    let list = if values.is_empty() { ty.values() } else { values };
    let all: Vec<&str> = list
        .iter()
        .copied()
        .filter(|v| !(sane && matches!(ty, Ty::Date | Ty::Ts | Ty::Tz) && extreme(v)))
        .filter(|v| !(sql == "name" && v.is_empty()))
        .filter(|v| source.holds(sql, v))
        // The reader of Parquet files leaves out row groups by minima and maxima, which know nothing of NaN: COMPAT.md.
        .filter(|v| !(file && *v == "NaN"))
        .collect();
    let n = rng.between(2, 9);
    let pool: Vec<String> = (0..n).map(|_| (*rng.pick(&all)).to_string()).collect();
    let magnitude = match ty {
        Ty::Date | Ty::Ts | Ty::Tz if sane => 0.0,
        Ty::I2 | Ty::I4 | Ty::I8 | Ty::F4 | Ty::F8 | Ty::Num(..) | Ty::Numeric => pool.iter().map(|v| ty.magnitude(v)).fold(0.0, f64::max),
        _ => f64::INFINITY,
    };
    (pool, if magnitude.is_nan() { f64::INFINITY } else { magnitude })
}
