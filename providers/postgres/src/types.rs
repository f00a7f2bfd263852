//! Which Arrow type holds a Postgres type, and what pushdown may know of it.
//!
//! The table is connectors.md's: lossless, or as text with a notice. A type that Postgres does not have built in is read through its text form and
//! keeps its own name in the field's metadata.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use fjord_engine::pgtype::{self, PG_TYPE, PG_TYPMOD, PgType, SOURCE_TYPE};
use fjord_engine::pushdown::{Equality, Family, Order, RemoteType, TextFacts};

use crate::options::UnconstrainedNumeric;

/// Domains over domains, arrays of domains of arrays...: deeper nesting than this is read as text.
const NESTING_MAX: u32 = 16;
/// The OID of the collation `default`.
const COLLATION_DEFAULT: u32 = 100;

/// A row of `pg_type`.
#[derive(Debug, Clone)]
pub(crate) struct TypeRow {
    /// `typname`.
    pub name: String,
    /// It lives in pg_catalog.
    pub built_in: bool,
    /// `format_type(oid, NULL)` under an empty search_path: qualified and quoted as a cast needs it.
    pub display: String,
    /// `typtype`: b, c, d, e, m, p, r.
    pub kind: char,
    /// A true array type over `element`.
    pub array: bool,
    /// `typelem`.
    pub element: u32,
    /// `typbasetype` of a domain.
    pub base: u32,
    /// `typtypmod` of a domain.
    pub base_typmod: i32,
    /// `typcollation`.
    pub collation: u32,
    /// It is the type of the extension citext.
    pub citext: bool,
    /// Labels of an enum, in order.
    pub labels: Vec<String>,
}

/// A row of `pg_collation`.
#[derive(Debug, Clone)]
pub(crate) struct CollationRow {
    /// Its name, qualified where it is not built in.
    pub name: String,
    /// `collprovider`: c (libc), i (ICU), b (built in), d (the database's).
    pub provider: char,
    /// `collisdeterministic`.
    pub deterministic: bool,
    /// The locale as its provider calls it.
    pub locale: String,
}

/// The database's own collation and encoding.
#[derive(Debug, Clone, Default)]
pub(crate) struct DatabaseFacts {
    /// `server_encoding` is UTF8.
    pub utf8: bool,
    /// `datlocprovider`; c before 15.
    pub provider: char,
    /// The locale as its provider calls it.
    pub locale: String,
}

/// Everything that is known of types and collations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Types {
    pub rows: HashMap<u32, TypeRow>,
    pub collations: HashMap<u32, CollationRow>,
    pub database: DatabaseFacts,
}

/// What a column's type became.
#[derive(Debug, Clone)]
pub(crate) struct Mapped {
    /// What pushdown knows, the Arrow type included.
    pub remote: RemoteType,
    /// The Postgres type shown to clients.
    pub pg: PgType,
    /// The own name of a type that Postgres does not have built in, or that is shown as another.
    pub source_type: Option<String>,
    /// It is a domain, and `remote` its base type.
    pub domain: bool,
    /// It is read as text for want of something better: the user is told.
    pub as_text: bool,
}

impl Mapped {
    /// The Arrow field of a column.
    pub(crate) fn field(&self, name: &str, typmod: i32) -> Field {
        let mut metadata = HashMap::from([(PG_TYPE.to_string(), self.pg.name.to_string())]);
        if typmod != -1 && self.source_type.is_none() {
            metadata.insert(PG_TYPMOD.to_string(), typmod.to_string());
        }
        if let Some(t) = &self.source_type {
            metadata.insert(SOURCE_TYPE.to_string(), t.clone());
        }
        Field::new(name, self.remote.arrow.clone(), self.remote.nullable).with_metadata(metadata)
    }
}

impl Types {
    /// Maps a column's type.
    pub(crate) fn map(&self, oid: u32, typmod: i32, collation: u32, nullable: bool, numeric: UnconstrainedNumeric) -> Mapped {
        let mut mapped = self.map_nested(oid, typmod, collation, numeric, NESTING_MAX);
        mapped.remote.nullable = nullable;
        mapped
    }

    fn map_nested(&self, oid: u32, typmod: i32, collation: u32, numeric: UnconstrainedNumeric, depth: u32) -> Mapped {
        let Some(row) = self.rows.get(&oid) else { return text_form(format!("type {oid}"), None) };
        if depth == 0 {
            return text_form(row.display.clone(), None);
        }
        if row.kind == 'd' {
            let typmod = if typmod == -1 { row.base_typmod } else { typmod };
            let collation = if collation == 0 { row.collation } else { collation };
            let base = self.map_nested(row.base, typmod, collation, numeric, depth - 1);
            return Mapped { source_type: Some(row.display.clone()), domain: true, ..base };
        }
        if row.array {
            let element = self.map_nested(row.element, typmod, collation, numeric, depth - 1);
            return array_of(row, element);
        }
        if row.kind == 'e' {
            let remote = RemoteType {
                name: row.display.clone(),
                family: Family::Enum(row.labels.clone()),
                arrow: DataType::Utf8,
                nullable: true,
                text: None,
            };
            return Mapped { remote, pg: pgtype::TEXT, source_type: Some(row.display.clone()), as_text: false, domain: false };
        }
        if row.citext {
            let text = TextFacts { equality: Equality::Coarser, order: Order::Other, pads: false, collation: "citext".into() };
            let remote =
                RemoteType { name: row.display.clone(), family: Family::Citext, arrow: DataType::Utf8, nullable: true, text: Some(text) };
            return Mapped { remote, pg: pgtype::TEXT, source_type: Some(row.display.clone()), as_text: false, domain: false };
        }
        self.built_in(oid, row, typmod, collation, numeric)
    }

    fn built_in(&self, oid: u32, row: &TypeRow, typmod: i32, collation: u32, numeric: UnconstrainedNumeric) -> Mapped {
        use pgtype as p;
        let pg = PgType::by_oid(oid).filter(|_| row.built_in);
        let Some(pg) = pg else { return text_form(row.display.clone(), None) };
        let (family, arrow) = match pg {
            p::BOOL => (Family::Bool, DataType::Boolean),
            p::INT2 => (Family::Int(16), DataType::Int16),
            p::INT4 => (Family::Int(32), DataType::Int32),
            p::INT8 => (Family::Int(64), DataType::Int64),
            p::OID => (Family::UInt(32), DataType::UInt32),
            p::FLOAT4 => (Family::Float(32), DataType::Float32),
            p::FLOAT8 => (Family::Float(64), DataType::Float64),
            p::NUMERIC => match numeric_type(typmod, numeric) {
                Some(t) => t,
                // Shown as text, because a client would take the text for a number's binary form.
                None => return Mapped { as_text: false, ..text_form("numeric".into(), None) },
            },
            p::TEXT | p::VARCHAR | p::NAME => (Family::Text, DataType::Utf8),
            p::BPCHAR => (Family::Bpchar, DataType::Utf8),
            p::BYTEA => (Family::Bytes, DataType::Binary),
            p::DATE => (Family::Date, DataType::Date32),
            p::TIME => (Family::Time, DataType::Time64(TimeUnit::Microsecond)),
            p::TIMESTAMP => (Family::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, None)),
            p::TIMESTAMPTZ => (Family::TimestampTz, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            p::INTERVAL => (Family::Interval, DataType::Interval(IntervalUnit::MonthDayNano)),
            p::UUID => (Family::Uuid, DataType::Utf8),
            p::JSON => (Family::Json, DataType::Utf8),
            p::JSONB => (Family::Jsonb, DataType::Utf8),
            // Numbers inside, names outside: what psql shows is the name.
            p::REGCLASS | p::REGTYPE | p::REGPROC | p::REGNAMESPACE | p::REGROLE => {
                return Mapped { as_text: false, ..text_form(row.display.clone(), None) };
            }
            other => return text_form(cast_name(row), Some(other)),
        };
        let text = matches!(family, Family::Text | Family::Bpchar).then(|| {
            let collation = if collation == 0 { row.collation } else { collation };
            TextFacts { pads: family == Family::Bpchar, ..self.text_facts(collation) }
        });
        Mapped {
            remote: RemoteType { name: cast_name(row), family, arrow, nullable: true, text },
            pg,
            source_type: None,
            as_text: false,
            domain: false,
        }
    }

    /// What a collation says of equality and order.
    pub(crate) fn text_facts(&self, collation: u32) -> TextFacts {
        let unknown = |name: &str| TextFacts { equality: Equality::Unknown, order: Order::Other, pads: false, collation: name.to_string() };
        let (name, provider, deterministic, locale) = match self.collations.get(&collation) {
            Some(c) if c.provider != 'd' => (c.name.clone(), c.provider, c.deterministic, c.locale.as_str()),
            // A database's own collation is always deterministic.
            Some(_) => (format!("default ({})", self.database.locale), self.database.provider, true, self.database.locale.as_str()),
            None if collation == COLLATION_DEFAULT => {
                (format!("default ({})", self.database.locale), self.database.provider, true, self.database.locale.as_str())
            }
            None => return unknown("unknown"),
        };
        // In another encoding the source compares other bytes than those that arrive.
        if !self.database.utf8 {
            return unknown(&name);
        }
        let bytes = match provider {
            'c' => matches!(locale, "C" | "POSIX"),
            // The built-in provider of 17 and later orders all its locales by code point, which in UTF-8 is the order of bytes.
            'b' => true,
            'i' => false,
            _ => return unknown(&name),
        };
        TextFacts {
            equality: if deterministic { Equality::Bytewise } else { Equality::Coarser },
            order: if bytes { Order::Bytes } else { Order::Other },
            pads: false,
            collation: name,
        }
    }
}

/// The cast that a select list must write around a column of this type, so that it arrives in the form that the reader decodes. `None`: as it is.
/// The renderer, `remote_query` and the reader all go by this one rule.
pub(crate) fn wire_cast(ty: &RemoteType) -> Option<String> {
    match &ty.family {
        Family::Other if is_address(&ty.name) => None,
        Family::Other => Some("text".into()),
        Family::Array(e) if matches!(e.family, Family::Other) && !is_address(&e.name) => Some("text[]".into()),
        // An array of a domain's values is a type of its own; that of the base type says the same.
        Family::Array(e) if !matches!(e.family, Family::Enum(_) | Family::Citext) => {
            let base = format!("{}[]", e.name);
            (base != ty.name).then_some(base)
        }
        _ => None,
    }
}

/// Types that are read in their binary form although they arrive as text: `inet::text` is not what inet prints (`/32` is added).
fn is_address(name: &str) -> bool {
    matches!(name, "inet" | "cidr" | "macaddr" | "macaddr8")
}

/// A built-in type's `typname` is a good cast, but for "char", which unquoted means character(1).
fn cast_name(row: &TypeRow) -> String {
    match (row.built_in, row.name.as_str()) {
        (true, "char") => "\"char\"".into(),
        (true, name) => name.to_string(),
        (false, _) => row.display.clone(),
    }
}

fn text_form(name: String, pg: Option<PgType>) -> Mapped {
    Mapped {
        source_type: pg.is_none().then(|| name.clone()),
        remote: RemoteType { name, family: Family::Other, arrow: DataType::Utf8, nullable: true, text: None },
        pg: pg.unwrap_or(pgtype::TEXT),
        as_text: pg.is_none(),
        domain: false,
    }
}

fn array_of(row: &TypeRow, element: Mapped) -> Mapped {
    let domain = element.domain;
    let array = element.pg.array();
    let (Some(pg), false) = (array, matches!(element.remote.family, Family::Array(_))) else {
        // Only a domain over an array can make an array of arrays: Postgres prints it nested, we pass that on.
        return text_form(row.display.clone(), None);
    };
    let item = element.field("item", -1).with_nullable(true);
    Mapped {
        remote: RemoteType {
            name: if domain { row.display.clone() } else { format!("{}[]", element.remote.name) },
            arrow: DataType::List(Arc::new(item)),
            nullable: true,
            text: None,
            family: Family::Array(Box::new(element.remote)),
        },
        pg,
        source_type: element.source_type.map(|t| format!("{t}[]")),
        as_text: element.as_text,
        domain: false,
    }
}

/// `numeric(p, s)` as a decimal; `None` where it is read as text.
fn numeric_type(typmod: i32, unconstrained: UnconstrainedNumeric) -> Option<(Family, DataType)> {
    if typmod < 4 {
        return match unconstrained {
            UnconstrainedNumeric::Error => Some((Family::Decimal(None), DataType::Decimal256(76, 38))),
            UnconstrainedNumeric::Text => None,
        };
    }
    let packed = typmod - 4;
    let precision = (packed >> 16) & 0xffff;
    // Eleven bits with sign since 15, where numeric(5,-2) and numeric(2,5) exist; never negative before.
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    // Arrow wants 0 <= scale <= precision here: numeric(5,-2) is up to seven whole digits, numeric(2,5) has five places.
    let (precision, scale) = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
    let (p, s) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
    let arrow = match p {
        0..=38 => DataType::Decimal128(p, s),
        39..=76 => DataType::Decimal256(p, s),
        _ => return None,
    };
    Some((Family::Decimal(Some((p, s))), arrow))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numeric_modifiers() {
        let t = |p: i32, s: i32| numeric_type(((p << 16) | (s & 0x7ff)) + 4, UnconstrainedNumeric::Error).map(|t| t.1);
        assert_eq!(t(10, 2), Some(DataType::Decimal128(10, 2)));
        assert_eq!(t(38, 0), Some(DataType::Decimal128(38, 0)));
        assert_eq!(t(39, 10), Some(DataType::Decimal256(39, 10)));
        assert_eq!(t(77, 10), None);
        assert_eq!(t(5, -2), Some(DataType::Decimal128(7, 0)));
        assert_eq!(t(2, 5), Some(DataType::Decimal128(5, 5)));
        assert_eq!(t(1000, -1000), None);
        assert_eq!(numeric_type(-1, UnconstrainedNumeric::Error).unwrap().1, DataType::Decimal256(76, 38));
        assert_eq!(numeric_type(-1, UnconstrainedNumeric::Text), None);
    }

    #[test]
    fn collations_tell_equality_and_order() {
        let mut types = Types { database: DatabaseFacts { utf8: true, provider: 'c', locale: "en_US.UTF-8".into() }, ..Types::default() };
        let row = |name: &str, provider, deterministic, locale: &str| CollationRow {
            name: name.into(),
            provider,
            deterministic,
            locale: locale.into(),
        };
        types.collations.insert(950, row("C", 'c', true, "C"));
        types.collations.insert(1, row("C.utf8", 'c', true, "C.utf8"));
        types.collations.insert(2, row("ci", 'i', false, "und-u-ks-level2"));
        types.collations.insert(3, row("pg_c_utf8", 'b', true, "C.UTF-8"));
        let facts = |t: &Types, c| (t.text_facts(c).equality, t.text_facts(c).order);
        assert_eq!(facts(&types, 950), (Equality::Bytewise, Order::Bytes));
        // libc's C.utf8 sorts by its own rules on some platforms: not proven to be bytes.
        assert_eq!(facts(&types, 1), (Equality::Bytewise, Order::Other));
        assert_eq!(facts(&types, 2), (Equality::Coarser, Order::Other));
        assert_eq!(facts(&types, 3), (Equality::Bytewise, Order::Bytes));
        assert_eq!(facts(&types, COLLATION_DEFAULT), (Equality::Bytewise, Order::Other));
        assert_eq!(facts(&types, 77), (Equality::Unknown, Order::Other));
        types.database.utf8 = false;
        assert_eq!(facts(&types, 950), (Equality::Unknown, Order::Other));
    }
}
