//! WHERE conditions.

use super::{Case, NUMBERS};

const TEXTS: &[&str] = &["t", "tc", "ten", "tnd", "vc", "bp", "ci", "nm", "e"];
/// Text columns on which Postgres's `=` is that of bytes.
const BYTEWISE: &[&str] = &["t", "tc", "ten", "vc"];

fn where_(predicate: impl AsRef<str>, oracle: bool) -> Case {
    Case { sql: format!("SELECT id FROM {{t}} WHERE {}", predicate.as_ref()), oracle }
}

pub fn texts() -> Vec<Case> {
    let mut out = vec![];
    for c in TEXTS {
        let bytewise = BYTEWISE.contains(c);
        for (predicate, agrees) in [
            ("= 'abc'", true),
            ("= 'abc '", true),
            ("= 'ABC'", true),
            ("= ''", true),
            ("= ' '", true),
            ("= 'e\u{301}'", true),
            ("= '\u{e9}'", true),
            ("= '\\'", true),
            ("= 'a\\b'", true),
            ("= 'O''Brien'", true),
            ("<> 'abc'", true),
            ("< 'b'", false),
            (">= 'Abc'", false),
            ("> '\u{e9}'", false),
            ("BETWEEN 'A' AND 'b'", false),
            ("NOT BETWEEN 'A' AND 'b'", false),
            ("IN ('abc', 'ABC', ' ', 'happy', 'nope')", true),
            ("IN ('abc ', 'Happy')", true),
            ("NOT IN ('a', '\u{c9}', 'ok', 'abc ')", true),
            ("IN ('abc', NULL)", true),
            ("NOT IN ('abc', NULL)", true),
            ("LIKE 'a%'", true),
            ("LIKE 'a_c'", true),
            ("LIKE 'a\\_b'", true),
            ("LIKE '%\\%%'", true),
            ("LIKE '_'", true),
            ("LIKE '%\n%'", true),
            ("LIKE 'abc'", true),
            ("LIKE 'a\\\\b'", true),
            ("NOT LIKE '%b%'", true),
            ("ILIKE 'AB%'", false),
            ("ILIKE 'k'", false),
            ("NOT ILIKE 'a%'", false),
            ("ILIKE 'ss'", false),
            ("IS NULL", true),
            ("IS NOT NULL", true),
            ("IS DISTINCT FROM 'abc'", true),
            ("IS NOT DISTINCT FROM 'abc'", true),
        ] {
            out.push(where_(format!("{c} {predicate}"), bytewise && agrees));
        }
        out.push(where_(format!("NOT ({c} = 'abc')"), bytewise));
        out.push(where_(format!("NOT ({c} < 'b')"), false));
        out.push(where_(format!("NOT ({c} LIKE 'a%' OR b)"), bytewise));
        out.push(where_(format!("({c} = 'abc') IS NOT TRUE"), bytewise));
        out.push(where_(format!("NOT ({c} IN ('abc', 'nope', 'abc '))"), bytewise));
    }
    out
}

pub fn numbers_and_times() -> Vec<Case> {
    let mut out = vec![];
    for c in NUMBERS {
        for predicate in [
            "= 0",
            "<> 1",
            "> 1.5",
            "<= -1",
            "= 42",
            "IN (0, 42, 7)",
            "IN (1, 2, NULL)",
            "NOT IN (0, 1)",
            "BETWEEN -1 AND 42",
            "IS NULL",
            "IS DISTINCT FROM 1",
            "= -0.0",
            "> 0",
            "< 0.1",
        ] {
            // 0.1 is not exact in a real; all the others are in every type.
            out.push(where_(format!("{c} {predicate}"), predicate != "< 0.1"));
        }
    }
    for v in ["NaN", "Infinity", "-Infinity", "-0", "0", "1e300", "5e-324"] {
        for op in ["=", "<>", "<", ">=", ">"] {
            out.push(where_(format!("f8 {op} '{v}'::double precision"), true));
        }
    }
    for p in [
        "i8 = 9223372036854775807",
        "i8 = -9223372036854775808",
        "i8 > 9007199254740992",
        "i8 = 9007199254740993",
        "i4 = 2147483648",
        "i2 < 100000",
        "n10 = 99999999.99",
        "n38 > 9999999999999999999999999999",
        "nu = 1.000",
        "nu = 123456789012345678901234567890.123456789",
        "o = 4294967295",
        "o > 2147483647",
        "\"Odd \"\"Name\" = 3",
        "ts = '1969-12-31 23:59:59.999999'",
        "ts > '2024-02-29 12:00:00.123455'",
        "tz = '2024-02-29 12:00:00.123456+02'",
        "tz < '2024-06-01 23:30:00-05'",
        "tm = '12:34:56.789012'",
        "tm > '23:00'",
        "tm < '01:00:00.000001'",
        "d = DATE '2024-06-01'",
        "d < DATE '2024-01-01' OR d IS NULL",
        "ts >= TIMESTAMP '2024-06-01 00:00:00' AND ts < TIMESTAMP '2024-06-02 00:00:00'",
        "i4 = i8",
        "i4 > i2",
        "n10 = nu",
        "n10 > i4",
        "f8 = f8",
        "f4 = f8",
        "f8 > i4",
        "i4 + 1 > 5 AND i4 < 1000000",
        "i2 - i2 = 0",
        "i4 / 2 = 21",
        "i4 % 3 = 1",
        "i4 % -3 = -1",
        "n10 + 1 > 42",
        "n10 * 2 = 3",
        "n10 - n10 = 0",
        "id + id > 100",
        "id * id < 1000",
        "i4::bigint = 42",
        "i2::int = 1",
        "i4::numeric(20, 2) = 42",
        "i4::text = '42'",
        "COALESCE(i4, 0) = 0",
        "NULLIF(i4, 1) = 42",
    ] {
        out.push(where_(p, true));
    }
    for c in ["d", "ts", "tz"] {
        for v in ["1970-01-01", "1969-12-31", "2024-02-29", "0001-01-01", "1900-03-01", "9999-12-31"] {
            for op in ["=", "<", ">="] {
                out.push(where_(format!("{c} {op} '{v}'"), true));
            }
        }
        out.push(where_(format!("{c} BETWEEN '1900-01-01' AND '2024-03-01'"), true));
        out.push(where_(format!("{c} IN ('1970-01-01', '2024-02-29')"), true));
        out.push(where_(format!("{c} IS NULL"), true));
    }
    for p in [
        "f8 IN (0.0, 1.5)",
        "f8 NOT IN (0.0, 1.5)",
        "f8 IN (-0.0)",
        "f8 IN ('NaN'::double precision, 2.0)",
        "f4 IN (1.5, 0)",
        "CASE f8 WHEN 0.0 THEN true ELSE false END",
        "NULLIF(f8, 0.0) IS NULL",
        "i8 + 1 > 0",
        "i8 * 2 > 0",
        "i4 + i4 > 0",
        "i4 * i4 > 10",
        "-i4 > 0",
        "-i2 = 1",
        "i2 * 2 < 0",
        "i2 + 1 = 2",
        "f8 * 2 > 1 AND f8 < 10",
        "ts::date = DATE '2024-06-01' AND ts < '5000-01-01'",
        "tz::date = DATE '2024-06-02' AND tz < '5000-01-01'",
        "iv = INTERVAL '1 month'",
        "iv > INTERVAL '1 day'",
        "iv IS NULL",
    ] {
        out.push(where_(p, false));
    }
    out
}

pub fn others() -> Vec<Case> {
    let mut out = vec![];
    for p in [
        "b",
        "NOT b",
        "b = true",
        "b <> true",
        "b < true",
        "b IS TRUE",
        "b IS NOT TRUE",
        "b IS FALSE",
        "b IS NOT FALSE",
        "b IS UNKNOWN",
        "b IS NOT UNKNOWN",
        "b AND i4 = 1",
        "b OR i4 = 1",
        "NOT (b AND t = 'abc')",
        "NOT (b OR t = 'abc')",
        "(t = 'abc' OR vc = 'abc') AND NOT (i4 = 1 AND b)",
        "t = vc",
        "t <> tc",
        "tc IS DISTINCT FROM vc",
        "u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        "u <> 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        "u > 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        "u IN ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'ffffffff-ffff-ffff-ffff-ffffffffffff')",
        "i4 IS NULL AND t IS NULL",
        "COALESCE(t, 'x') = 'x'",
        "NULLIF(t, 'abc') IS NULL",
        "CASE WHEN b THEN i4 ELSE i2 END = 1",
        "CASE WHEN t = 'abc' THEN 'x' WHEN vc IS NULL THEN 'y' END = 'y'",
        "NOT (CASE WHEN t = 'abc' THEN true END)",
        "CASE i4 WHEN 1 THEN true WHEN 42 THEN NULL ELSE false END",
        "b::text = 'true'",
        "vc::text = 'abc'",
        "t || vc = 'aa'",
        "t || 'x' = 'abcx'",
        "id IN (SELECT i4 FROM {t})",
        "id NOT IN (SELECT i2 FROM {t} WHERE i2 IS NOT NULL)",
        "id > (SELECT avg(id) FROM {t})",
        "upper(t) = 'ABC'",
        "length(vc) > 3",
        "true",
        "false",
        "NULL",
        "1 = 1 AND id < 10",
        "id IS NOT NULL OR t = 'abc'",
    ] {
        out.push(where_(p, true));
    }
    for p in [
        "t = ten",
        "bp = vc",
        "bp = t",
        "ci = t",
        "ci = ci",
        "tnd = t",
        "tnd = tnd",
        "e = t",
        "t < ten",
        "ten < vc",
        "bp < ci",
        "nm = t",
        "j = '{\"a\":1}'",
        "j <> '{\"a\":1}'",
        "jb = '{\"a\": 1}'",
        "jb IN ('1.0', 'null')",
        "jb LIKE '%a%'",
        "u = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
        "u = 'no uuid'",
        "u LIKE 'a0%'",
        "u < 'b0000000-0000-0000-0000-000000000000'",
        "e IN ('ok', 'nope', NULL)",
        "e NOT IN ('ok', 'nope')",
        "e > 'a'",
        "NOT (bp = 'abc ')",
        "NULLIF(tnd, 'abc') IS NULL",
        "NULLIF(ci, 'abc') IS NULL",
        "NULLIF(bp, 'abc') IS NULL",
        "COALESCE(e, t) = 'ok'",
        "COALESCE(tnd, ten) = 'abc'",
        "COALESCE(bp, ci, t) LIKE 'a%'",
        "CASE WHEN b THEN bp ELSE ci END = 'abc'",
        "ci || bp = 'aa'",
        "ip IS NULL",
        "ip = '127.0.0.1'",
        "ip LIKE '%/8'",
        "p IS NULL",
        "p IS NOT NULL",
        "r IS NULL",
        "m IS NOT NULL",
        "ai IS NULL",
        "at IS NOT NULL",
        "j IS NULL",
        "\"by\" = '\\x00'::bytea",
        "\"by\" IS NULL",
    ] {
        out.push(where_(p, false));
    }
    out
}
