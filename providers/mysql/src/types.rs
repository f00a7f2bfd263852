//! Which Arrow type holds a MySQL type, and what pushdown may know of it.
//!
//! The table is connectors.md's: lossless, or refused by name. Zero dates (`0000-00-00`, `2024-00-01`) are read as NULL, so a column of dates may be
//! NULL whatever the source declares.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use fjord_engine::pgtype::{PG_TYPE, PG_TYPMOD};
use fjord_engine::pushdown::{Equality, Family, Order, RemoteType, TextFacts};

use crate::options::Reading;
use crate::wire::ColumnDef;

/// Digits of the widest decimal that 128 bits hold.
const DECIMAL128_DIGITS: u8 = 38;
/// Digits of the widest decimal that the servers have.
pub(crate) const DECIMAL_DIGITS_MAX: u8 = 65;
/// The collation number of bytes.
const BINARY: u16 = 63;

/// Field kinds of the protocol (`enum_field_types`).
pub(crate) mod kind {
    pub(crate) const DECIMAL: u8 = 0;
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const NULL: u8 = 6;
    pub(crate) const TIMESTAMP: u8 = 7;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const TIME: u8 = 11;
    pub(crate) const DATETIME: u8 = 12;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const NEWDATE: u8 = 14;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const JSON: u8 = 245;
    pub(crate) const NEWDECIMAL: u8 = 246;
    pub(crate) const GEOMETRY: u8 = 255;
    /// A column of unsigned numbers.
    pub(crate) const UNSIGNED_FLAG: u16 = 32;
}

/// A column's mapping.
#[derive(Debug, Clone)]
pub(crate) struct Mapped {
    /// For pushdown and the reader.
    pub remote: RemoteType,
    /// The Postgres type that clients are shown, where it is not the Arrow type's own, and its modifier.
    pub pg: Option<(&'static str, Option<u64>)>,
    /// A type that we do not know: read as what the server sends.
    pub unknown: bool,
}

impl Mapped {
    /// The Arrow field.
    pub(crate) fn field(&self, name: &str) -> Field {
        let mut metadata = HashMap::new();
        if let Some((pg, modifier)) = self.pg {
            metadata.insert(PG_TYPE.to_string(), pg.to_string());
            if let Some(m) = modifier {
                metadata.insert(PG_TYPMOD.to_string(), m.to_string());
            }
        }
        Field::new(name, self.remote.arrow.clone(), self.remote.nullable).with_metadata(metadata)
    }
}

/// A row of `information_schema.COLUMNS`, as far as the type goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declared<'a> {
    /// `int`, `varchar`.
    pub data_type: &'a str,
    /// `int(10) unsigned`, `enum('a','b')`.
    pub column_type: &'a str,
    /// Digits of a decimal, bits of a bit field.
    pub precision: Option<u64>,
    /// Digits behind the point.
    pub scale: Option<u64>,
    /// Characters of a char or varchar.
    pub characters: Option<u64>,
    pub collation: Option<&'a str>,
    pub nullable: bool,
}

/// What the server says of its collations: by name, whether it ignores trailing blanks; `None` where it does not say (MariaDB).
pub(crate) type Collations = HashMap<String, Option<bool>>;

/// The mapping of a declared column.
pub(crate) fn declared(d: &Declared<'_>, collations: &Collations, reading: Reading) -> Mapped {
    let unsigned = d.column_type.contains("unsigned") || d.column_type.contains("zerofill");
    let mut name = d.column_type.to_string();
    let int = |bits: u8| integer(bits, unsigned);
    let mut pg = None;
    let (family, arrow) = match d.data_type {
        "tinyint" if reading.tinyint1_is_bool && d.column_type == "tinyint(1)" => (Family::Bool, DataType::Boolean),
        "tinyint" => int(8),
        "smallint" => int(16),
        "mediumint" | "int" => int(32),
        "bigint" => int(64),
        "decimal" | "numeric" => decimal(d.precision, d.scale),
        "float" => (Family::Float(32), DataType::Float32),
        "double" | "real" => (Family::Float(64), DataType::Float64),
        "year" => (Family::Int(16), DataType::Int16),
        "bit" if d.precision == Some(1) => (Family::Bool, DataType::Boolean),
        "bit" => (Family::UInt(64), DataType::UInt64),
        "date" => (Family::Date, DataType::Date32),
        "datetime" => (Family::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, None)),
        "timestamp" => (Family::TimestampTz, utc()),
        "time" => time(reading),
        "char" | "varchar" => {
            pg = d.characters.map(|n| ("varchar", Some(n + 4)));
            (Family::Text, DataType::Utf8)
        }
        "tinytext" | "text" | "mediumtext" | "longtext" | "set" => (Family::Text, DataType::Utf8),
        "enum" => {
            name = "enum".into();
            (Family::Enum(labels(d.column_type)), DataType::Utf8)
        }
        "json" => {
            pg = Some(("json", None));
            (Family::Json, DataType::Utf8)
        }
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => (Family::Bytes, DataType::Binary),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection"
        | "geomcollection" => (Family::Other, DataType::Binary),
        "uuid" => {
            pg = Some(("uuid", None));
            (Family::Other, DataType::Utf8)
        }
        "inet4" | "inet6" => (Family::Other, DataType::Utf8),
        "vector" => (Family::Other, DataType::Binary),
        _ => {
            let family = if d.collation.is_some() { DataType::Utf8 } else { DataType::Binary };
            return Mapped { remote: remote(name, Family::Other, family, true), pg: None, unknown: true };
        }
    };
    // Zero dates are read as NULL.
    let nullable = d.nullable || matches!(family, Family::Date | Family::Timestamp | Family::TimestampTz);
    let textual = matches!(family, Family::Text | Family::Enum(_));
    let mut ty = remote(name, family, arrow, nullable);
    if textual {
        ty.text = Some(text_facts(d.collation, collations));
    }
    Mapped { remote: ty, pg, unknown: false }
}

/// The mapping of a column of a result: of `remote_query`, whose columns may be anything.
pub(crate) fn described(c: &ColumnDef, reading: Reading) -> Mapped {
    let unsigned = c.flags & kind::UNSIGNED_FLAG != 0;
    let mut pg = None;
    let bytes = c.collation == BINARY;
    let (family, arrow) = match c.kind {
        kind::TINY if reading.tinyint1_is_bool && !unsigned && c.length == 1 => (Family::Bool, DataType::Boolean),
        kind::TINY => integer(8, unsigned),
        kind::SHORT => integer(16, unsigned),
        kind::LONG | kind::INT24 => integer(32, unsigned),
        kind::LONGLONG => integer(64, unsigned),
        kind::YEAR => (Family::Int(16), DataType::Int16),
        kind::FLOAT => (Family::Float(32), DataType::Float32),
        kind::DOUBLE => (Family::Float(64), DataType::Float64),
        kind::DECIMAL | kind::NEWDECIMAL => {
            let scale = u32::from(c.decimals);
            let digits = c.length.saturating_sub(u32::from(scale > 0)).saturating_sub(u32::from(!unsigned));
            decimal(Some(u64::from(digits)), Some(u64::from(scale)))
        }
        kind::DATE | kind::NEWDATE => (Family::Date, DataType::Date32),
        kind::DATETIME => (Family::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, None)),
        kind::TIMESTAMP => (Family::TimestampTz, utc()),
        kind::TIME => time(reading),
        kind::BIT if c.length == 1 => (Family::Bool, DataType::Boolean),
        kind::BIT => (Family::UInt(64), DataType::UInt64),
        kind::JSON => {
            pg = Some(("json", None));
            (Family::Json, DataType::Utf8)
        }
        kind::GEOMETRY => (Family::Other, DataType::Binary),
        kind::NULL => (Family::Text, DataType::Utf8),
        _ if bytes => (Family::Bytes, DataType::Binary),
        _ => (Family::Text, DataType::Utf8),
    };
    Mapped { remote: remote(format!("type {}", c.kind), family, arrow, true), pg, unknown: false }
}

fn remote(name: String, family: Family, arrow: DataType, nullable: bool) -> RemoteType {
    RemoteType { name, family, arrow, nullable, text: None }
}

fn integer(bits: u8, unsigned: bool) -> (Family, DataType) {
    let arrow = match (bits, unsigned) {
        (8, false) => DataType::Int8,
        (8, true) => DataType::UInt8,
        (16, false) => DataType::Int16,
        (16, true) => DataType::UInt16,
        (32, false) => DataType::Int32,
        (32, true) => DataType::UInt32,
        (_, false) => DataType::Int64,
        (_, true) => DataType::UInt64,
    };
    (if unsigned { Family::UInt(bits) } else { Family::Int(bits) }, arrow)
}

fn decimal(precision: Option<u64>, scale: Option<u64>) -> (Family, DataType) {
    let most = u64::from(DECIMAL_DIGITS_MAX);
    let scale = scale.unwrap_or(0).min(most);
    let precision = precision.unwrap_or(10).clamp(scale.max(1), most);
    let (p, s) = (u8::try_from(precision).unwrap_or(DECIMAL_DIGITS_MAX), i8::try_from(scale).unwrap_or(0));
    (Family::Decimal(Some((p, s))), if p <= DECIMAL128_DIGITS { DataType::Decimal128(p, s) } else { DataType::Decimal256(p, s) })
}

fn time(reading: Reading) -> (Family, DataType) {
    match reading.time_as_interval {
        true => (Family::Interval, DataType::Interval(IntervalUnit::MonthDayNano)),
        false => (Family::Time, DataType::Time64(TimeUnit::Microsecond)),
    }
}

/// Instants.
pub(crate) fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The labels of `enum('a','b''c')`.
fn labels(column_type: &str) -> Vec<String> {
    let inner = column_type.strip_prefix("enum(").and_then(|t| t.strip_suffix(')')).unwrap_or_default();
    let mut out = vec![];
    let mut label: Option<String> = None;
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match (&mut label, c) {
            (None, '\'') => label = Some(String::new()),
            (None, _) => {}
            (Some(l), '\'') if chars.peek() == Some(&'\'') => {
                chars.next();
                l.push('\'');
            }
            (Some(_), '\'') => out.extend(label.take()),
            (Some(l), c) => l.push(c),
        }
    }
    out
}

/// What is known of a column's collation.
///
/// Bytes decide only under a binary collation that does not pad. `utf8mb4_bin` pads (`'a' = 'a '`), and `utf8mb4_0900_as_cs` takes a letter with its accent
/// composed and decomposed for one.
pub(crate) fn text_facts(collation: Option<&str>, collations: &Collations) -> TextFacts {
    let Some(name) = collation else {
        return TextFacts { equality: Equality::Unknown, order: Order::Other, pads: true, collation: "unknown".into() };
    };
    let pads = match collations.get(name) {
        Some(Some(pads)) => *pads,
        // MariaDB does not say it, but by the name.
        _ => !name.contains("_nopad_") && !name.contains("_0900_"),
    };
    // Of the character sets whose conversion to UTF-8 is one to one.
    let bytewise = !pads
        && match name.strip_suffix("_0900_bin").or_else(|| name.strip_suffix("_nopad_bin")) {
            Some(charset) => one_to_one(charset),
            None => false,
        };
    // The order of MariaDB's collations without padding takes '' and a NUL character for the same; MySQL's 0900_bin is that of the bytes.
    let order = if bytewise && name == "utf8mb4_0900_bin" { Order::Bytes } else { Order::Other };
    let equality = if bytewise { Equality::Bytewise } else { Equality::Coarser };
    TextFacts { equality, order, pads, collation: name.to_string() }
}

/// The character set of a collation (`latin1` of `latin1_swedish_ci`).
pub(crate) fn charset_of(collation: &str) -> &str {
    collation.split_once('_').map_or(collation, |(c, _)| c)
}

/// Character sets in which every character has one form, so that a text that goes to UTF-8 and back is the same bytes.
fn one_to_one(charset: &str) -> bool {
    matches!(charset, "utf8mb4" | "utf8mb3" | "utf8" | "latin1" | "ascii")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_quotes_and_commas() {
        assert_eq!(labels("enum('a','b''c',',','')"), ["a", "b'c", ",", ""]);
        assert!(labels("enum(").is_empty() && labels("set('a')").is_empty());
    }

    #[test]
    fn only_binary_collations_that_do_not_pad_compare_by_bytes() {
        let known: Collations = [("utf8mb4_bin".to_string(), Some(true)), ("utf8mb4_0900_bin".to_string(), Some(false))].into();
        let of = |name| {
            let f = text_facts(Some(name), &known);
            (f.equality, f.order, f.pads)
        };
        assert_eq!(of("utf8mb4_0900_bin"), (Equality::Bytewise, Order::Bytes, false));
        assert_eq!(of("utf8mb4_nopad_bin"), (Equality::Bytewise, Order::Other, false));
        assert_eq!(of("utf8mb4_bin"), (Equality::Coarser, Order::Other, true));
        assert_eq!(of("utf8mb4_0900_as_cs"), (Equality::Coarser, Order::Other, false));
        assert_eq!(of("latin1_swedish_ci"), (Equality::Coarser, Order::Other, true));
        assert_eq!(of("sjis_nopad_bin"), (Equality::Coarser, Order::Other, false));
        assert_eq!(text_facts(None, &known).equality, Equality::Unknown);
    }

    #[test]
    fn unsigned_and_wide_decimals() {
        let of = |data_type, column_type, precision| {
            let d = Declared { data_type, column_type, precision, scale: Some(2), ..Declared::default() };
            declared(&d, &Collations::new(), Reading::default()).remote.arrow
        };
        assert_eq!(of("bigint", "bigint(20) unsigned", Some(20)), DataType::UInt64);
        assert_eq!(of("tinyint", "tinyint(3) unsigned zerofill", Some(3)), DataType::UInt8);
        assert_eq!(of("tinyint", "tinyint(1)", Some(3)), DataType::Int8);
        assert_eq!(of("decimal", "decimal(65,2)", Some(65)), DataType::Decimal256(65, 2));
        assert_eq!(of("decimal", "decimal(38,2)", Some(38)), DataType::Decimal128(38, 2));
    }
}
