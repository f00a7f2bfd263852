//! Column types and the values on which databases disagree.

use crate::rng::Rng;

/// The type of a column or an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    /// boolean
    Bool,
    /// smallint
    I2,
    /// integer
    I4,
    /// bigint
    I8,
    /// oid
    Oid,
    /// real
    F4,
    /// double precision
    F8,
    /// numeric(p, s)
    Num(u8, u8),
    /// numeric
    Numeric,
    /// Everything that arrives as text.
    Text(Kind),
    /// bytea
    Bytes,
    /// date
    Date,
    /// time
    Time,
    /// timestamp
    Ts,
    /// timestamptz
    Tz,
    /// interval
    Interval,
    /// uuid
    Uuid,
    /// json
    Json,
    /// jsonb
    Jsonb,
    /// integer[]
    Ints,
    /// text[]
    Texts,
    /// inet
    Inet,
}

/// What text compares by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A literal, or nothing that has a collation of its own.
    Plain,
    /// The database's collation (libc).
    Default,
    /// COLLATE "C", and `name`.
    C,
    /// A deterministic ICU collation.
    Icu,
    /// An ICU collation in which letters of both cases are equal.
    Nondeterministic,
    /// citext
    Citext,
    /// char(8)
    Bpchar,
    /// An enum.
    Enum,
    /// Texts of several collations.
    Mixed,
}

/// Types that can stand in each other's place (in CASE, UNION, a comparison).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// boolean
    Bool,
    /// Integers and numeric.
    Exact,
    /// Floats.
    Float,
    /// Texts.
    Text,
    /// Only itself.
    Own(Ty),
}

impl Ty {
    /// Its family.
    pub fn family(self) -> Family {
        match self {
            Ty::Bool => Family::Bool,
            Ty::I2 | Ty::I4 | Ty::I8 | Ty::Num(..) | Ty::Numeric => Family::Exact,
            Ty::F4 | Ty::F8 => Family::Float,
            Ty::Text(_) => Family::Text,
            other => Family::Own(other),
        }
    }
    /// smallint, integer, bigint.
    pub fn is_integer(self) -> bool {
        matches!(self, Ty::I2 | Ty::I4 | Ty::I8)
    }
    /// numeric with or without precision.
    pub fn is_decimal(self) -> bool {
        matches!(self, Ty::Num(..) | Ty::Numeric)
    }
    /// It has `=` and `<` here and in Postgres.
    pub fn is_ordered(self) -> bool {
        !matches!(self, Ty::Json | Ty::Jsonb | Ty::Ints | Ty::Texts | Ty::Inet | Ty::Interval)
    }
    /// What text compares by.
    pub fn kind(self) -> Kind {
        if let Ty::Text(k) = self { k } else { Kind::Plain }
    }
    /// The name for casts, for literals and for a file's columns.
    pub fn name(self) -> String {
        match self {
            Ty::Bool => "boolean".into(),
            Ty::I2 => "smallint".into(),
            Ty::I4 => "integer".into(),
            Ty::I8 => "bigint".into(),
            Ty::Oid => "oid".into(),
            Ty::F4 => "real".into(),
            Ty::F8 => "double precision".into(),
            Ty::Num(p, s) => format!("numeric({p},{s})"),
            Ty::Numeric => "numeric".into(),
            Ty::Text(_) => "text".into(),
            Ty::Bytes => "bytea".into(),
            Ty::Date => "date".into(),
            Ty::Time => "time".into(),
            Ty::Ts => "timestamp".into(),
            Ty::Tz => "timestamptz".into(),
            Ty::Interval => "interval".into(),
            Ty::Uuid => "uuid".into(),
            Ty::Json => "json".into(),
            Ty::Jsonb => "jsonb".into(),
            Ty::Ints => "integer[]".into(),
            Ty::Texts => "text[]".into(),
            Ty::Inet => "inet".into(),
        }
    }
    /// The type of a parameter.
    pub fn oid(self) -> u32 {
        match self {
            Ty::Bool => 16,
            Ty::I2 => 21,
            Ty::I4 => 23,
            Ty::I8 => 20,
            Ty::Oid => 26,
            Ty::F4 => 700,
            Ty::F8 => 701,
            Ty::Num(..) | Ty::Numeric => 1700,
            Ty::Bytes => 17,
            Ty::Date => 1082,
            Ty::Time => 1083,
            Ty::Ts => 1114,
            Ty::Tz => 1184,
            Ty::Interval => 1186,
            Ty::Uuid => 2950,
            _ => 25,
        }
    }
    /// Its nasty values, in Postgres's text form.
    pub fn values(self) -> &'static [&'static str] {
        match self {
            Ty::Bool => &["t", "f"],
            Ty::I2 => &["0", "1", "-1", "2", "7", "32767", "-32768", "100"],
            Ty::I4 => &["0", "1", "-1", "42", "2147483647", "-2147483648", "1000", "7"],
            Ty::I8 => {
                &["0", "1", "-1", "42", "9007199254740993", "9007199254740992", "9223372036854775807", "-9223372036854775808", "5000000000"]
            }
            Ty::Oid => &["0", "1", "4294967295", "2147483648"],
            Ty::F4 => &["0", "-0", "1.5", "-1.5", "NaN", "Infinity", "-Infinity", "3.4e38", "1e-45", "0.1", "16777216", "2"],
            Ty::F8 => &["0", "-0", "1.5", "-1.5", "NaN", "Infinity", "-Infinity", "1e300", "5e-324", "0.1", "9007199254740992", "2", "42"],
            Ty::Num(_, 0) => &["0", "1", "-1", "42", "100", "99999"],
            Ty::Num(..) => &["0", "0.00", "1.5", "-1.50", "99999.99", "-99999.99", "0.01", "42", "100"],
            Ty::Numeric => {
                &["0", "0.000", "1", "1.0", "1.00", "-1", "1.5", "42", "123456789012345678901234567890.123456789", "0.00000000000000000001"]
            }
            Ty::Text(Kind::Enum) => LABELS,
            Ty::Text(Kind::Bpchar) => &["", "a", "A", "abc", "ABC", "abc  ", " a", "\u{e9}", "e\u{301}", "10", "9", "%", "'", "\\"],
            Ty::Text(_) => TEXTS,
            Ty::Bytes => &["\\x", "\\x00", "\\x0000", "\\x61", "\\xff", "\\x6162", "\\x5c27"],
            Ty::Date => {
                &["1970-01-01", "1969-12-31", "2024-02-29", "0001-01-01", "9999-12-31", "2024-06-01", "1900-03-01", "infinity", "-infinity"]
            }
            Ty::Time => &["00:00:00", "12:34:56.789012", "23:59:59.999999", "01:00:00", "24:00:00"],
            Ty::Ts => &[
                "1970-01-01 00:00:00",
                "1969-12-31 23:59:59.999999",
                "2024-02-29 12:00:00.123456",
                "0001-01-01 00:00:00",
                "9999-12-31 23:59:59",
                "1900-03-01 00:00:00.5",
                "2024-06-01 23:30:00",
                "infinity",
                "-infinity",
            ],
            Ty::Tz => &[
                "1970-01-01 00:00:00+00",
                "1969-12-31 23:59:59.999999+00",
                "2024-02-29 10:00:00.123456+00",
                "0001-01-01 00:00:00+00",
                "9999-12-31 23:59:59+00",
                "1883-11-18 12:00:00+00",
                "2024-06-02 04:30:00+00",
                "infinity",
                "-infinity",
            ],
            Ty::Interval => &["00:00:00", "1 mon", "30 days", "1 day", "24:00:00", "-1 days", "1 year 2 mons 3 days 04:05:06.789"],
            Ty::Uuid => &[
                "00000000-0000-0000-0000-000000000000",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "0a0eebc9-9c0b-4ef8-bb6d-6bb9bd380a11",
            ],
            Ty::Json => &[
                "{\"a\":1}",
                "{\"a\": 1}",
                "[1,2]",
                "null",
                "\"x\"",
                "{\"a\": \"\\u00e9\", \"a\": [\"a\" , {}]}",
                " {\"b\":{\"a\":\"k\"}} ",
            ],
            Ty::Jsonb => &[
                "{\"a\": 1}",
                "{\"a\": 1, \"b\": 2}",
                "[1, 2]",
                "null",
                "\"x\"",
                "1.0",
                "1.00",
                "{\"a\": \"\\u00e9\", \"b\": [\"a\", {\"a\": null}]}",
                "{\"b\": {\"a\": \"K\"}}",
                "[\"a\", [1.0]]",
            ],
            Ty::Ints => &["{1,2}", "{}", "{NULL,3}", "{2,1}"],
            Ty::Texts => &["{a,B}", "{}", "{NULL,\"a,b\"}", "{\"x\\\"y\"}"],
            Ty::Inet => &["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"],
        }
    }
    /// One of its values.
    pub fn value(self, rng: &mut Rng) -> String {
        (*rng.pick(self.values())).to_string()
    }
    /// A value as a literal.
    pub fn literal(self, value: &str) -> String {
        match self {
            Ty::Bool => if value == "t" { "true" } else { "false" }.into(),
            // A minus binds less than a cast or an operator beside it.
            Ty::I2 | Ty::I4 | Ty::I8 | Ty::Num(..) | Ty::Numeric if value.starts_with('-') => format!("({value})"),
            Ty::I2 | Ty::I4 | Ty::I8 | Ty::Num(..) | Ty::Numeric => value.into(),
            Ty::Text(_) => text_literal(value),
            _ => format!("CAST({} AS {})", text_literal(value), self.name()),
        }
    }
    /// A value is at most so large; infinite for what is no number.
    pub fn magnitude(self, value: &str) -> f64 {
        value.parse::<f64>().map_or(f64::INFINITY, f64::abs)
    }
}

/// Text in single quotes.
pub fn text_literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// The enum's labels, not in the order of their bytes.
pub const LABELS: &[&str] = &["sad", "ok", "Happy", "happy", "zzz top"];

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "b",
    "B",
    "abc",
    "ABC",
    "Abc",
    "abc ",
    "abc  ",
    " abc",
    "\u{e9}",
    "e\u{301}",
    "\u{c9}",
    "e",
    "E",
    "\u{df}",
    "ss",
    "SS",
    "\u{17f}",
    "\u{212a}",
    "k",
    "K",
    "\u{131}",
    "I",
    "i",
    "\u{130}",
    "a\\b",
    "\\",
    "\\\\",
    "%",
    "_",
    "a%b",
    "a_b",
    "axb",
    "'",
    "O'Brien",
    "\"",
    "a\nb",
    "\t",
    "\u{65e5}\u{672c}",
    "\u{1f600}",
    "\u{ffff}",
    "zebra",
    "Zebra",
    "\u{e4}",
    "z",
    "10",
    "9",
    "NULL",
    "null",
    "ok",
    "happy",
    "Happy",
    "\u{1}",
    "aa",
    "a b",
    "a-b",
    "\u{a0}",
];

/// LIKE patterns.
pub const PATTERNS: &[&str] = &[
    "a%", "%b", "%b%", "a_c", "a\\_b", "%\\%%", "_", "__", "%", "", "abc", "%\n%", "a\\\\b", "A%", "%e%", "\u{e9}%", "_\u{301}", "%'%",
    "%  ", "a%c%", "\\\\%",
];
