//! The built-in types as PostgreSQL 15 has them, and how types are named in SQL.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The lines of a data file, split at tabs; lines that start with `#` name the columns.
pub fn lines(data: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    data.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(|l| l.split('\t').collect())
}

/// One row of `pg_type`.
#[derive(Debug, Clone, Copy)]
pub struct TypeRow {
    /// `oid`.
    pub oid: u32,
    /// `typname`.
    pub name: &'static str,
    /// `typlen`.
    pub len: i16,
    /// `typbyval`.
    pub by_value: bool,
    /// `typtype`.
    pub kind: char,
    /// `typcategory`.
    pub category: char,
    /// `typispreferred`.
    pub preferred: bool,
    /// `typdelim`.
    pub delimiter: char,
    /// `typsubscript`, by name; `-` is none.
    pub subscript: &'static str,
    /// `typelem`.
    pub element: u32,
    /// `typarray`.
    pub array: u32,
    /// `typinput`, `typoutput`, `typreceive`, `typsend`, `typmodin`, `typmodout`, `typanalyze`.
    pub functions: [u32; 7],
    /// `typalign`.
    pub align: char,
    /// `typstorage`.
    pub storage: char,
    /// `typcollation`.
    pub collation: u32,
}

/// All built-in types, by OID.
pub static TYPES: LazyLock<Vec<TypeRow>> = LazyLock::new(|| lines(include_str!("data/pg_type.tsv")).filter_map(|f| parse(&f)).collect());

static BY_OID: LazyLock<HashMap<u32, usize>> = LazyLock::new(|| TYPES.iter().enumerate().map(|(i, t)| (t.oid, i)).collect());
static BY_NAME: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| TYPES.iter().enumerate().map(|(i, t)| (t.name, i)).collect());

fn parse(f: &[&'static str]) -> Option<TypeRow> {
    let [oid, name, len, byval, kind, category, preferred, delim, _relid, subscript, element, array, rest @ ..] = f else { return None };
    let [functions @ .., align, storage, collation] = rest else { return None };
    let mut io = [0; 7];
    for (to, from) in io.iter_mut().zip(functions) {
        *to = from.parse().ok()?;
    }
    Some(TypeRow {
        oid: oid.parse().ok()?,
        name,
        len: len.parse().ok()?,
        by_value: *byval == "t",
        kind: kind.chars().next()?,
        category: category.chars().next()?,
        preferred: *preferred == "t",
        delimiter: delim.chars().next()?,
        subscript,
        element: element.parse().ok()?,
        array: array.parse().ok()?,
        functions: io,
        align: align.chars().next()?,
        storage: storage.chars().next()?,
        collation: collation.parse().ok()?,
    })
}

/// A type by OID.
pub fn by_oid(oid: u32) -> Option<&'static TypeRow> {
    TYPES.get(*BY_OID.get(&oid)?)
}

/// A type by `typname`.
pub fn by_name(name: &str) -> Option<&'static TypeRow> {
    TYPES.get(*BY_NAME.get(name)?)
}

/// The names that SQL has for types beside their `typname`.
const SQL_NAMES: &[(&str, &str)] = &[
    ("bigint", "int8"),
    ("bit varying", "varbit"),
    ("boolean", "bool"),
    ("character varying", "varchar"),
    ("character", "bpchar"),
    ("double precision", "float8"),
    ("integer", "int4"),
    ("real", "float4"),
    ("smallint", "int2"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
    ("time with time zone", "timetz"),
    ("time without time zone", "time"),
];

/// Names that the parser knows but `format_type` never prints.
const ALIASES: &[(&str, &str)] =
    &[("int", "int4"), ("decimal", "numeric"), ("dec", "numeric"), ("float", "float8"), ("char", "bpchar"), ("\"char\"", "char")];

/// `format_type(oid, typmod)`; a modifier of `None` is SQL's NULL. <https://www.postgresql.org/docs/15/functions-info.html>
pub fn format_type(oid: u32, typmod: Option<i32>) -> String {
    if oid == 0 {
        return "-".into();
    }
    let Some(t) = by_oid(oid) else { return "???".into() };
    if t.category == 'A' && t.element != 0 && t.len == -1 && t.name.starts_with('_') {
        return format!("{}[]", format_type(t.element, typmod));
    }
    let modifier = typmod.filter(|m| *m >= 0);
    match (t.name, modifier) {
        ("char", _) => "\"char\"".into(),
        // Without a modifier these two mean a length of 1 in SQL, so a known lack of one is printed by the internal name.
        ("bpchar", None) if typmod.is_some() => "bpchar".into(),
        ("bit", None) if typmod.is_some() => "\"bit\"".into(),
        ("bpchar", Some(m)) => format!("character({})", m - 4),
        ("varchar", Some(m)) => format!("character varying({})", m - 4),
        ("bit", Some(m)) => format!("bit({m})"),
        ("varbit", Some(m)) => format!("bit varying({m})"),
        ("numeric", Some(m)) => {
            let (precision, scale) = numeric_typmod(m);
            format!("numeric({precision},{scale})")
        }
        ("time", Some(m)) => format!("time({m}) without time zone"),
        ("timetz", Some(m)) => format!("time({m}) with time zone"),
        ("timestamp", Some(m)) => format!("timestamp({m}) without time zone"),
        ("timestamptz", Some(m)) => format!("timestamp({m}) with time zone"),
        (name, _) => sql_name(name).to_string(),
    }
}

/// The SQL name of a `typname`.
pub fn sql_name(typname: &str) -> &str {
    SQL_NAMES.iter().find(|(_, t)| *t == typname).map_or(typname, |(s, _)| s)
}

/// Precision and scale of a numeric's modifier: `((precision << 16) | (scale & 0x7ff)) + 4`, the scale an 11-bit two's complement.
pub fn numeric_typmod(typmod: i32) -> (i32, i32) {
    let m = typmod - 4;
    let scale = ((m & 0x7ff) ^ 1024) - 1024;
    ((m >> 16) & 0xffff, scale)
}

/// The type that a text names, as `to_regtype` reads it: SQL names, `typname`s, `pg_catalog.` in front, `[]` behind, modifiers ignored.
pub fn parse_type(text: &str) -> Option<&'static TypeRow> {
    let mut s = text.trim();
    let mut array = false;
    while let Some(rest) = s.strip_suffix(']') {
        s = rest.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix('[')?.trim_end();
        array = true;
    }
    let mut name = s.strip_prefix("pg_catalog.").unwrap_or(s).to_string();
    if let (Some(open), Some(close)) = (name.find('('), name.find(')')) {
        name.replace_range(open..=close.max(open), "");
        name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let row = if let Some(quoted) = name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        by_name(&quoted.replace("\"\"", "\""))
    } else {
        let lower = name.to_ascii_lowercase();
        let known = SQL_NAMES.iter().chain(ALIASES).find(|(s, _)| *s == lower).map(|(_, t)| *t);
        by_name(known.unwrap_or(&lower))
    }?;
    if array { by_oid(row.array) } else { Some(row) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn formats_types_as_postgres_does() {
        for (oid, typmod, text) in [
            (23, Some(-1), "integer"),
            (1043, Some(84), "character varying(80)"),
            (1042, Some(9), "character(5)"),
            (1042, Some(-1), "bpchar"),
            (1042, None, "character"),
            (1700, Some(655_366), "numeric(10,2)"),
            (1009, Some(-1), "text[]"),
            (1015, Some(84), "character varying(80)[]"),
            (1184, Some(3), "timestamp(3) with time zone"),
            (18, Some(-1), "\"char\""),
            (22, Some(-1), "int2vector"),
            (0, None, "-"),
            (99_999, None, "???"),
        ] {
            assert_eq!(format_type(oid, typmod), text);
        }
    }

    #[test]
    fn parses_type_names() {
        for (text, name) in [
            ("int", "int4"),
            ("pg_catalog.int4", "int4"),
            ("integer[]", "_int4"),
            ("character varying(80)", "varchar"),
            ("timestamp(3) with time zone", "timestamptz"),
            ("\"char\"", "char"),
            ("TEXT", "text"),
            ("_text", "_text"),
        ] {
            assert_eq!(parse_type(text).unwrap().name, name);
        }
        assert!(parse_type("hstore").is_none());
    }
}
