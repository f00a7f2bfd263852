//! The servers that a world's tables may be in, and what each has for columns.

use std::str::FromStr;

use fjord_harness::{Error, Flavor};

use crate::types::{Kind, LABELS, Ty, text_literal};

/// A source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// PostgreSQL, whose own answer is compared too.
    #[default]
    Postgres,
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// A type of column.
#[derive(Debug, Clone, Copy)]
pub struct ColumnType {
    /// How often it is chosen.
    pub weight: usize,
    /// What expressions take it for.
    pub ty: Ty,
    /// The words of CREATE TABLE.
    pub sql: &'static str,
    /// Its nasty values; empty: those of `ty`.
    pub values: &'static [&'static str],
}

/// What a pinned case and a report call the database of a source that is not Postgres, and the one beside it.
pub const DATABASE: &str = "w";
/// Its second database: tables of both join.
pub const OTHER_DATABASE: &str = "x";

impl Source {
    /// For people, for `--source` and for pinned cases.
    pub fn name(self) -> &'static str {
        match self {
            Source::Postgres => "postgres",
            Source::MySql => "mysql",
            Source::MariaDb => "mariadb",
        }
    }

    /// Its connector, without a worker's number.
    pub fn connector(self) -> &'static str {
        if self == Source::Postgres { "pg" } else { "my" }
    }

    /// The server of the harness, where it is not Postgres.
    pub fn flavor(self) -> Option<Flavor> {
        match self {
            Source::Postgres => None,
            Source::MySql => Some(Flavor::MySql),
            Source::MariaDb => Some(Flavor::MariaDb),
        }
    }

    /// Options of its connector beside those that say where it is.
    pub fn options(self) -> &'static str {
        match self {
            Source::Postgres => "",
            // The two ways to read a time, one on each.
            Source::MySql => ", tinyint1_is_bool 'true'",
            Source::MariaDb => ", tinyint1_is_bool 'true', time_spans 'interval'",
        }
    }

    /// Whether a table of this name is in the second database.
    pub fn beside(self, table: &str) -> bool {
        self != Source::Postgres && matches!(table, "order" | "Users" | "t.dot")
    }

    /// Columns of its tables; `None`: those of Postgres.
    pub fn columns(self) -> Option<Vec<ColumnType>> {
        let own = match self {
            Source::Postgres => return None,
            Source::MySql => MYSQL,
            Source::MariaDb => MARIADB,
        };
        Some(BOTH.iter().chain(own).copied().collect())
    }

    /// A value of a column as a literal of the source.
    pub fn literal(self, ty: Ty, value: &str) -> String {
        match ty {
            _ if self == Source::Postgres => text_literal(value),
            Ty::Bool if value == "t" => "1".into(),
            Ty::Bool if value == "f" => "0".into(),
            Ty::Bytes => format!("x'{}'", value.trim_start_matches("\\x")),
            Ty::Text(_) | Ty::Json => format!("_utf8mb4 x'{}'", value.bytes().map(|b| format!("{b:02x}")).collect::<String>()),
            Ty::Bool | Ty::I2 | Ty::I4 | Ty::I8 | Ty::F4 | Ty::F8 | Ty::Num(..) | Ty::Numeric => value.into(),
            _ => format!("'{value}'"),
        }
    }

    /// An identifier in quotes.
    pub fn quoted(self, name: &str) -> String {
        match self {
            Source::Postgres => crate::ast::quoted(name),
            _ => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// Whether a text of the list can be in a column of this type.
    pub fn holds(self, sql: &str, text: &str) -> bool {
        let most = |limit: u32| text.chars().all(|c| u32::from(c) < limit);
        match sql {
            _ if self == Source::Postgres => true,
            s if s.contains("latin1") => text.chars().all(|c| matches!(u32::from(c), 0..=0x7f | 0xa0..=0xff)),
            s if s.contains("utf8mb3") => most(0x1_0000),
            _ => true,
        }
    }
}

impl FromStr for Source {
    type Err = Error;
    fn from_str(text: &str) -> Result<Source, Error> {
        let all = [Source::Postgres, Source::MySql, Source::MariaDb];
        all.into_iter().find(|s| s.name() == text).ok_or_else(|| Error::new(format!("no source {text}")))
    }
}

const fn column(weight: usize, ty: Ty, sql: &'static str, values: &'static [&'static str]) -> ColumnType {
    ColumnType { weight, ty, sql, values }
}

const fn text(weight: usize, kind: Kind, sql: &'static str) -> ColumnType {
    ColumnType { weight, ty: Ty::Text(kind), sql, values: &[] }
}

const DATES: &[&str] = &[
    "1970-01-01",
    "1969-12-31",
    "2024-02-29",
    "1000-01-01",
    "9999-12-31",
    "2024-06-01",
    "0000-00-00",
    "2024-00-01",
    "2024-01-00",
    "2024-02-30",
];
const TIMES: &[&str] = &[
    "1970-01-01 00:00:00",
    "1969-12-31 23:59:59.999999",
    "2024-02-29 12:00:00.123456",
    "1000-01-01 00:00:00",
    "9999-12-31 23:59:59",
    "2024-06-01 23:30:00",
    "0000-00-00 00:00:00",
    "2024-02-30 10:00:00",
    "2024-06-00 10:00:00",
];
const SECONDS: &[&str] =
    &["1970-01-01 00:00:00", "2024-02-29 12:00:00", "2024-06-01 23:30:00", "0000-00-00 00:00:00", "9999-12-31 23:59:59"];
const INSTANTS: &[&str] =
    &["1970-01-01 00:00:01", "2024-02-29 10:00:00.123456", "2038-01-19 03:14:07", "2024-06-02 04:30:00", "0000-00-00 00:00:00"];
const DECIMALS: &[&str] = &[
    "0",
    "1",
    "-1",
    "1.5",
    "42",
    "0.000000000000000000000000000001",
    "99999999999999999999999999999999999.999999999999999999999999999999",
    "-99999999999999999999999999999999999.999999999999999999999999999999",
    "12345678901234567890123456789012345.123456789012345678901234567890",
];
const FLOATS: &[&str] = &["0", "-0e0", "1.5e0", "-1.5e0", "3.4e38", "1.17549e-38", "0.1e0", "16777216e0", "2e0"];
const DOUBLES: &[&str] =
    &["0", "-0e0", "1.5e0", "-1.5e0", "1.7976931348623157e308", "2.2250738585072014e-308", "0.1e0", "9007199254740992e0", "42e0"];

/// Columns that both servers have.
const BOTH: &[ColumnType] = &[
    column(4, Ty::Bool, "tinyint(1)", &["0", "1", "2", "-1"]),
    column(2, Ty::Bool, "bit(1)", &[]),
    column(2, Ty::I2, "tinyint", &["0", "1", "-1", "127", "-128"]),
    column(3, Ty::I2, "smallint", &[]),
    column(1, Ty::I2, "tinyint unsigned", &["0", "1", "255", "7"]),
    column(2, Ty::I2, "year", &["1901", "2155", "2024", "0000", "1970"]),
    column(6, Ty::I4, "int", &[]),
    column(1, Ty::I4, "mediumint", &["0", "1", "-1", "8388607", "-8388608"]),
    column(1, Ty::I4, "smallint unsigned zerofill", &["0", "1", "65535", "42"]),
    column(4, Ty::I8, "bigint", &[]),
    column(3, Ty::I8, "int unsigned", &["0", "1", "4294967295", "2147483648", "42"]),
    column(3, Ty::I8, "bigint unsigned", &["0", "1", "18446744073709551615", "9223372036854775808", "9223372036854775807", "42"]),
    column(2, Ty::I8, "bit(20)", &["0", "1", "1048575", "97"]),
    column(2, Ty::F4, "float", FLOATS),
    column(5, Ty::F8, "double", DOUBLES),
    column(5, Ty::Num(10, 2), "decimal(10,2)", &[]),
    column(2, Ty::Num(5, 0), "decimal(5)", &[]),
    column(2, Ty::Num(30, 10), "decimal(30,10)", &[]),
    column(2, Ty::Num(65, 30), "decimal(65,30)", DECIMALS),
    column(1, Ty::Num(10, 2), "decimal(10,2) unsigned", &["0", "0.01", "1.5", "42", "99999999.99"]),
    text(5, Kind::Default, "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
    text(3, Kind::Default, "text CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
    text(4, Kind::Default, "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
    text(3, Kind::Default, "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"),
    text(4, Kind::Default, "varchar(40) CHARACTER SET latin1 COLLATE latin1_swedish_ci"),
    text(2, Kind::Default, "varchar(40) CHARACTER SET latin1 COLLATE latin1_bin"),
    text(1, Kind::Default, "tinytext CHARACTER SET latin1 COLLATE latin1_german2_ci"),
    text(3, Kind::Default, "varchar(40) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci"),
    text(1, Kind::Default, "varchar(40) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin"),
    text(3, Kind::Default, "char(12) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
    text(1, Kind::Default, "varchar(40) CHARACTER SET ucs2 COLLATE ucs2_general_ci"),
    column(
        3,
        Ty::Text(Kind::Enum),
        "enum('sad','ok','Happy','zzz top','','1','2') CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        &["sad", "ok", "Happy", "zzz top", "", "1", "2"],
    ),
    column(2, Ty::Text(Kind::Enum), "enum('sad','ok','Happy','happy','zzz top') CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", LABELS),
    column(
        2,
        Ty::Text(Kind::Default),
        "set('a','b','B c','1') CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        &["", "a", "b", "a,b", "B c", "a,1", "1"],
    ),
    column(2, Ty::Bytes, "varbinary(20)", &[]),
    column(1, Ty::Bytes, "binary(3)", &[]),
    column(1, Ty::Bytes, "blob", &[]),
    column(5, Ty::Date, "date", DATES),
    column(4, Ty::Ts, "datetime(6)", TIMES),
    column(2, Ty::Ts, "datetime", SECONDS),
    column(4, Ty::Tz, "timestamp(6) NULL", INSTANTS),
];

const MYSQL: &[ColumnType] = &[
    text(5, Kind::Default, "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci"),
    text(3, Kind::Default, "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_as_cs"),
    text(4, Kind::C, "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"),
    text(1, Kind::C, "text CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"),
    text(1, Kind::Default, "char(12) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"),
    column(1, Ty::Json, "json", &[]),
    column(2, Ty::Time, "time(6)", &["00:00:00", "12:34:56.789012", "23:59:59.999999", "01:00:00"]),
];

const MARIADB: &[ColumnType] = &[
    text(4, Kind::C, "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"),
    text(3, Kind::Default, "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_nopad_ci"),
    text(3, Kind::Default, "varchar(40) CHARACTER SET utf8mb4 COLLATE uca1400_as_cs"),
    text(1, Kind::Default, "char(12) CHARACTER SET latin1 COLLATE latin1_nopad_bin"),
    column(2, Ty::Uuid, "uuid", &[]),
    column(2, Ty::Interval, "time(6)", &["00:00:00", "-838:59:59", "838:59:59", "12:34:56.789012", "-00:00:00.000001"]),
];
