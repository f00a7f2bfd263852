//! The golden values: which are asked for, and the file that holds the answers. A line is
//! `type <tab> time zone <tab> input <tab> text <tab> binary in hex`, with `\t`, `\n`, `\r` and `\\` escaped.

#![allow(dead_code)]

use std::fmt::Write;
use std::path::PathBuf;

use fjord_engine::pgtype::{self, PgType};
use fjord_harness::Postgres;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::{FromSql, Type};

pub struct Golden {
    pub type_name: String,
    pub zone: String,
    pub input: String,
    pub text: String,
    pub binary: Vec<u8>,
}

impl Golden {
    pub fn pg(&self) -> PgType {
        let name = match self.type_name.split('(').next().unwrap() {
            "\"char\"" => "char",
            other => other,
        };
        match name.strip_suffix("[]") {
            Some(element) => PgType::by_name(element).unwrap().array().unwrap(),
            None => PgType::by_name(name).unwrap(),
        }
    }
    /// Arrow's interval counts nanoseconds in 64 bits: about 292 years of hours.
    pub fn arrow_holds_it(&self) -> bool {
        self.pg() != pgtype::INTERVAL || i64::from_be_bytes(self.binary[..8].try_into().unwrap()).checked_mul(1000).is_some()
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/values.tsv")
}

pub fn read() -> Vec<Golden> {
    let all = std::fs::read_to_string(path()).expect("tests/golden/values.tsv");
    all.lines()
        .filter(|l| !l.starts_with('#'))
        .map(|line| {
            let f: Vec<String> = line.split('\t').map(unescape).collect();
            let [type_name, zone, input, text, binary] = <[String; 5]>::try_from(f).unwrap();
            let binary = (0..binary.len() / 2).map(|i| u8::from_str_radix(&binary[2 * i..2 * i + 2], 16).unwrap()).collect();
            Golden { type_name, zone, input, text, binary }
        })
        .collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn escape(t: &str) -> String {
    t.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescape(t: &str) -> String {
    let mut out = String::new();
    let mut chars = t.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next().unwrap() {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                other => other,
            },
            c => c,
        });
    }
    out
}

/// The bytes of a value of any type.
pub struct Raw(pub Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw.to_vec()))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Asks a real server for every value and writes the file.
pub async fn generate() {
    let server = Postgres::start().unwrap();
    let client = server.client().await.unwrap();
    let version: String = client.query_one("SELECT current_setting('server_version')", &[]).await.unwrap().get(0);
    let mut out = format!("# PostgreSQL {version}\n");
    for (type_name, zones, inputs) in CASES {
        for zone in zones.split('|') {
            client.batch_execute(&format!("SET TimeZone = '{zone}'")).await.unwrap();
            for input in *inputs {
                let sql = format!("SELECT '{}'::{type_name}", input.replace('\'', "''"));
                let rows = client.simple_query(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
                let text = rows
                    .iter()
                    .find_map(|m| match m {
                        SimpleQueryMessage::Row(r) => Some(r.get(0).unwrap().to_string()),
                        _ => None,
                    })
                    .unwrap();
                let Raw(binary) = client.query_one(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e}")).get(0);
                let line = [type_name.to_string(), zone.to_string(), escape(input), escape(&text), hex(&binary)].join("\t");
                writeln!(out, "{line}").unwrap();
            }
        }
    }
    std::fs::write(path(), out).unwrap();
}

/// Zones with a history: local mean times with seconds, half hours, summer times, a day that was skipped (Samoa), and the far future's rules.
const ZONES: &str = "UTC|America/New_York|Asia/Kolkata|Europe/Berlin|Australia/Lord_Howe|Pacific/Apia|Africa/Monrovia|<+05>-05|-3.5";

/// (type, time zones, inputs).
const CASES: &[(&str, &str, &[&str])] = &[
    ("bool", "UTC", &["t", "false", "yes", "off", "1", " true "]),
    ("int2", "UTC", &["0", "-1", "32767", "-32768", "+7", " 12 "]),
    ("int4", "UTC", &["0", "-1", "2147483647", "-2147483648", "99", "100", "1000000"]),
    ("int8", "UTC", &["0", "-1", "9223372036854775807", "-9223372036854775808", "4294967296"]),
    ("oid", "UTC", &["0", "16384", "4294967295"]),
    (
        "float4",
        "UTC",
        &[
            "0",
            "-0",
            "1",
            "-1.5",
            "0.1",
            "3.4028235e38",
            "1.17549435e-38",
            "1e-45",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e6",
            "999999",
            "1234567",
            "100000",
            "0.0001",
            "0.00001",
            "1.1754944e-38",
            "16777216",
            "33554432",
            "5e-20",
            "8388608.5",
            "1e10",
            "123456.7",
            ".5",
            "inf",
        ],
    ),
    (
        "float8",
        "UTC",
        &[
            "0",
            "-0",
            "1",
            "-1.5",
            "0.1",
            "1.7976931348623157e308",
            "2.2250738585072014e-308",
            "5e-324",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e20",
            "1e15",
            "1e14",
            "999999999999999",
            "123456789012345678",
            "0.0001",
            "0.00001",
            "5.684341886080802e-14",
            "9007199254740993",
            "9007199254740992",
            "4503599627370496.5",
            "0.30000000000000004",
            "1e23",
            "1e22",
            "6.02214076e23",
            "-1e-7",
            "2e-323",
            "100",
            "1.0",
            "9.5367431640625e-07",
            "1.4551915228366852e-11",
            "-inf",
        ],
    ),
    (
        "numeric",
        "UTC",
        &[
            "0",
            "0.0",
            "0.000",
            "1",
            "-1",
            "1.50",
            "-0.005",
            "0.0001",
            "0.00001",
            "0.000010",
            "9999",
            "10000",
            "10001",
            "99999999",
            "100000000",
            "12345.6789",
            "123456789012345678901234567890",
            "-98765432109876543210.0123456789",
            "1e20",
            "1e-20",
            "1.10e3",
            "0.1000",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e100",
            "1e-100",
            "99999999999999999999999999999999999999",
            "0.00000000000000000000000000000000000001",
            "99999999999999999999999999999999999999.99999999999999999999999999999999999999",
            "1.0000000000000000000",
            "10.0000",
            "5e3",
            "-0.0",
            "12",
            "1234",
            "12345",
            "123456",
            "0.12",
            "0.123",
            "0.1234",
            "0.12345",
            "1000.0001",
            "10000.00010000",
            " 7.0 ",
            ".5",
            "5.",
        ],
    ),
    ("text", "UTC", &["", "a", "Grüße, 世界 🌍", "a\tb\nc\\d\"e'f", "NULL", "  padded  "]),
    ("varchar", "UTC", &["", "abc", "é"]),
    ("bpchar", "UTC", &["", "abc"]),
    ("name", "UTC", &["", "pg_class"]),
    ("\"char\"", "UTC", &["a", "", "9"]),
    ("xml", "UTC", &["<a>b</a>"]),
    ("bytea", "UTC", &["", "\\x", "\\xDEADbeef", "abc", "a\\\\b", "\\000\\377x", "\\x00 ff"]),
    (
        "uuid",
        "UTC",
        &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{A0EEBC99-9C0B4EF8BB6D6BB9BD380A11}", "00000000-0000-0000-0000-000000000000"],
    ),
    ("json", "UTC", &["{\"b\": 1,  \"a\":[1,2]}", "null", "\"x\"", " 1.50 ", "{\"a\":\"\\u00e9\\n\"}"]),
    (
        "jsonb",
        "UTC",
        &[
            "{\"bb\": 1,  \"a\":[1,2]}",
            "null",
            "\"x\"",
            "1.50",
            "1e3",
            "-0",
            "{}",
            "[]",
            "{\"a\":{\"b\":[{},[]]}}",
            "{\"a\":1,\"a\":2}",
            "\"\\u00e9\\n\\\"\\\\\\/\\b\\f\\t\\u0001\"",
            "[true,false]",
            "\"\\ud83c\\udf0d\"",
            "1E-3",
            "123456789012345678901234567890.10",
            "\"\\u007f\"",
        ],
    ),
    (
        "inet",
        "UTC",
        &[
            "192.168.0.1",
            "192.168.0.1/24",
            "10.0.0.0/8",
            "::1",
            "2001:db8::1/64",
            "::ffff:1.2.3.4",
            "::1.2.3.4",
            "fe80::1",
            "0.0.0.0/0",
            "1:0:0:2::3",
            "2001:DB8::",
            "1.2.3.4/32",
        ],
    ),
    ("cidr", "UTC", &["192.168.0.0/24", "10.0.0.0/8", "::1/128", "2001:db8::/32", "1.2.3.4/32", "1.2.3.4", "0.0.0.0/0", "::/0"]),
    ("macaddr", "UTC", &["08:00:2b:01:02:03", "08002B:010203", "0800.2b01.0203", "ff-ff-ff-ff-ff-ff"]),
    ("macaddr8", "UTC", &["08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03", "0800.2b01.0203.0405"]),
    ("bit(3)", "UTC", &["101", "000"]),
    ("varbit", "UTC", &["", "1", "10100000", "101000001", "xA5"]),
    (
        "date",
        "UTC",
        &[
            "1970-01-01",
            "2000-01-01",
            "1999-12-31",
            "2000-02-29",
            "1900-03-01",
            "0001-01-01",
            "0001-12-31 BC",
            "4713-11-24 BC",
            "5874897-12-31",
            "infinity",
            "-infinity",
            "epoch",
            "9999-12-31",
            "10000-01-01",
            "19990108",
            "990108",
            "January 8, 1999",
            "8 Jan 1999",
            "1999-Jan-08",
            "08-Jan-1999",
            "1/8/1999",
            "1/18/03",
            "Jan-08-1999",
            "2024-07-04 12:34:56",
            "0044-03-15 BC",
            "1.8.1999",
            "2024-02-29T10:00:00Z",
            "20240229T101112",
        ],
    ),
    (
        "time",
        "UTC",
        &[
            "00:00:00",
            "23:59:59.999999",
            "24:00:00",
            "12:34:56.7",
            "12:34",
            "04:05:06.789",
            "04:05 AM",
            "04:05 PM",
            "12:00 AM",
            "12:30 pm",
            "01:02:03.000004",
            "23:59:60",
            "2003-04-12 04:05:06",
            "10:00:00.1234565",
            "allballs",
        ],
    ),
    (
        "timetz",
        "UTC",
        &["04:05:06-08", "04:05:06.789+05:30", "24:00:00+00", "00:00:00+15:59:59", "04:05:06 PST", "23:59:59.999999-04:56:02", "12:00Z"],
    ),
    (
        "timestamp",
        "UTC",
        &[
            "1970-01-01 00:00:00",
            "2000-01-01 00:00:00",
            "1999-12-31 23:59:59.999999",
            "0001-01-01 00:00:00",
            "0001-12-31 23:59:59 BC",
            "4713-11-24 00:00:00 BC",
            "294247-01-10 04:00:54.775806",
            "infinity",
            "-infinity",
            "epoch",
            "2024-02-29 12:00:00.5",
            "1969-12-31 23:59:59.000001",
            "10000-01-01 00:00:00",
            "2024-07-04T12:34:56",
            "2024-07-04T12:34:56.123456Z",
            "2024-07-04 12:34:56+02",
            "20240704T123456",
            "20240704 123456.789",
            "Thu Jul 04 12:34:56 2024",
            "Jan 8 1999 4:05 PM",
            "1999-01-08",
            "2024-07-04 24:00:00",
            "1/8/1999 01:02:03",
            "8 January 0044 BC 10:00",
        ],
    ),
    (
        "timestamptz",
        ZONES,
        &[
            "1970-01-01 00:00:00+00",
            "2000-01-01 00:00:00+00",
            "1800-07-01 12:00:00+00",
            "1883-11-18 17:00:00+00",
            "1900-01-01 00:00:00+00",
            "1945-08-14 23:30:00+00",
            "1972-01-07 00:44:29+00",
            "2011-12-30 09:59:59+00",
            "2011-12-30 10:00:00+00",
            "2024-03-10 06:59:59.999999+00",
            "2024-03-10 07:00:00+00",
            "2024-11-03 05:59:59+00",
            "2024-11-03 06:00:00+00",
            "2024-07-04 12:34:56.789+02",
            "2050-07-04 12:00:00+00",
            "2450-07-04 12:00:00+00",
            "2451-01-04 12:00:00+00",
            "9999-12-31 23:59:59+00",
            "290000-07-01 00:00:00+00",
            "0001-01-01 12:00:00+00",
            "0044-03-15 12:00:00+00 BC",
            "4713-12-24 12:00:00+00 BC",
            "infinity",
            "-infinity",
            "epoch",
            "2024-07-04 12:34:56",
            "2024-03-10 02:30:00",
            "2024-11-03 01:30:00",
            "2024-03-31 02:30:00",
            "2024-10-27 02:30:00",
            "1850-01-01 00:00:00",
            "2024-07-04 12:34:56 America/Los_Angeles",
            "2024-01-04 12:34:56 PST",
            "2024-07-04T12:34:56Z",
            "2024-07-04 12:34:56 UTC",
            "2500-07-04 12:34:56",
            "2024-07-04 12:34:56.7 -03:30",
            "2024-07-04 12:34:56-0330",
        ],
    ),
    (
        "interval",
        "UTC",
        &[
            "0",
            "1 year",
            "1 mon",
            "1 day",
            "1 second",
            "-1 second",
            "1 year 2 mons 3 days 04:05:06.789",
            "-1 year -2 mons +3 days -04:05:06",
            "1 mon -1 day",
            "-1 mon 1 day",
            "1 day -00:00:01",
            "-1 day +02:00:00",
            "2 years 14 months",
            "100 hours",
            "@ 1 minute ago",
            "1-2",
            "1 2:03:04",
            "P1Y2M3DT4H5M6.7S",
            "P0001-02-03T04:05:06",
            "00:00:00.000001",
            "-00:00:00.000001",
            "1.5 months",
            "1.5 years",
            "2.5 days",
            "1.5 weeks",
            "1 week",
            "178956970 years 7 mons",
            "2147483647 days",
            "2562047788:00:54.775807",
            "1 decade",
            "1 century",
            "1 millennium",
            "5",
            "3 hours 2 min 1.25 sec",
            "-178956970 years -8 mons",
            "1 day ago",
            "PT36H",
            "P2W",
            "-5 days 3 hours",
            "1 month 2 days ago",
            "1day",
            "1 y 2 mon 3 d 4 h 5 m 6 s",
            "5 ms",
            "7 us",
            "-13 mons",
            "+4 days -05:00",
            "4:5.5",
        ],
    ),
    ("int4[]", "UTC", &["{}", "{1}", "{1,2}", "{NULL,-7}", "{NULL}", " { 1 , null } "]),
    ("int8[]", "UTC", &["{9223372036854775807,-9223372036854775808}"]),
    ("int2[]", "UTC", &["{1,NULL}"]),
    ("bool[]", "UTC", &["{t,f}", "{NULL}"]),
    ("float8[]", "UTC", &["{1.5,NaN}", "{-0,1e300}"]),
    (
        "text[]",
        "UTC",
        &[
            "{}",
            "{a,b}",
            "{\"a b\",\"\"}",
            "{\"NULL\",NULL}",
            "{\"a\\\"b\",\"c\\\\d\"}",
            "{\"{x}\",\"a,b\"}",
            "{\"null\",Null}",
            "{\"\\t\",\" \"}",
            "{é,世}",
            "{a b , c }",
            "{a\\,b}",
            "{\"\\\"\"}",
        ],
    ),
    ("varchar[]", "UTC", &["{a,b}"]),
    ("uuid[]", "UTC", &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}"]),
    ("date[]", "UTC", &["{2024-01-01,infinity}", "{\"0044-03-15 BC\",NULL}"]),
    ("timestamp[]", "UTC", &["{\"2024-01-01 00:00:00\",NULL}"]),
    ("timestamptz[]", "America/New_York", &["{\"2024-07-04 12:00:00+00\",infinity}"]),
    ("interval[]", "UTC", &["{\"1 day\",\"01:00\"}"]),
    ("bytea[]", "UTC", &["{\"\\\\x00ff\",NULL}"]),
    ("jsonb[]", "UTC", &["{\"{\\\"a\\\": 1}\",\"null\"}"]),
    ("inet[]", "UTC", &["{10.0.0.1,::1}"]),
    ("bpchar[]", "UTC", &["{a,b}"]),
    ("numeric[]", "UTC", &["{1,2}"]),
    ("time[]", "UTC", &["{10:00,24:00}"]),
    ("oid[]", "UTC", &["{1,4294967295}"]),
];
