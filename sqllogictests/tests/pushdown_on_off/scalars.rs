//! Scalar functions and operators: each as a value (a projection, where NULL is NULL) and in conditions.

use super::{Case, ours, same};

/// Every kind of text column; those on which Postgres's functions go by bytes as ours do.
const TEXTS: &[(&str, bool)] = &[
    ("t", true),
    ("tc", true),
    ("ten", true),
    ("tnd", false),
    ("vc", true),
    ("bp", false),
    ("ci", false),
    ("nm", true),
    ("e", false),
    ("u", false),
    ("jb", false),
];

fn value(expr: &str, oracle: bool) -> Case {
    Case { sql: format!("SELECT id, {expr} FROM {{t}}"), oracle }
}

fn condition(expr: &str, oracle: bool) -> Case {
    Case { sql: format!("SELECT id FROM {{t}} WHERE {expr}"), oracle }
}

pub fn texts() -> Vec<Case> {
    let mut out = vec![];
    for (c, bytewise) in TEXTS {
        for (expr, agrees) in [
            ("length({c})", true),
            ("octet_length({c})", true),
            ("ascii({c})", true),
            ("reverse({c})", true),
            ("btrim({c})", true),
            ("ltrim({c}, 'a ')", true),
            ("rtrim({c}, 'c\u{301}')", true),
            ("substr({c}, 2)", true),
            ("substr({c}, -1, 3)", true),
            ("substr({c}, 0, 2)", true),
            ("substr({c}, 2, 0)", true),
            ("left({c}, 2)", true),
            ("left({c}, -1)", true),
            ("right({c}, 2)", true),
            ("right({c}, -2)", true),
            ("lpad({c}, 5, 'xy')", true),
            ("rpad({c}, 3)", true),
            ("lpad({c}, -1, 'x')", true),
            ("replace({c}, 'b', 'xx')", true),
            ("replace({c}, '', 'y')", true),
            ("translate({c}, 'abc', 'x')", true),
            ("split_part({c}, 'b', 1)", true),
            ("split_part({c}, 'b', -1)", true),
            ("strpos({c}, 'b')", true),
            ("strpos({c}, '')", true),
            ("starts_with({c}, 'A')", true),
            ("concat({c}, '-', vc)", true),
            ("concat({c}, NULL)", true),
            ("concat_ws('-', {c}, vc, tc)", true),
            ("{c} || vc", true),
            ("greatest({c}, 'b')", false),
            ("least({c}, tc)", false),
            ("upper({c})", false),
        ] {
            // Postgres sees the padding of a bpchar, and folds citext; a uuid and an enum are no texts to it.
            out.push(value(&expr.replace("{c}", c), *bytewise && agrees && *c != "ten"));
        }
        for (expr, agrees) in [
            ("length({c}) > 2", true),
            ("NOT (length({c}) > 2)", true),
            ("substr({c}, 1, 2) = 'ab'", true),
            ("left({c}, 1) IN ('a', 'A')", true),
            ("right({c}, 1) < 'b'", false),
            ("reverse({c}) LIKE 'c%'", true),
            ("btrim({c}) = 'abc'", true),
            ("strpos({c}, 'b') = 2", true),
            ("NOT starts_with({c}, 'a')", true),
            ("concat({c}, tc) = 'aA'", true),
            ("{c} || 'x' = 'abcx'", true),
            ("lower({c}) = 'abc'", false),
            ("upper({c}) = 'ABC'", false),
            ("lower({c}) LIKE 'a%'", false),
            ("NOT (lower({c}) = 'abc')", false),
            ("lower({c}) = 'k'", false),
            ("upper({c}) = 'SS'", false),
            ("lower({c}) IN ('abc', 'e\u{301}', 'i\u{307}')", false),
            ("lower({c}) = 'abc' OR upper({c}) > 'Z'", false),
            ("lower({c}) IS NULL", false),
            ("lower({c}) <> upper({c})", false),
            ("lower({c}) IS DISTINCT FROM 'abc'", false),
        ] {
            // Postgres refuses to compare what two collations meet in.
            let one_collation = *c != "ten" || !expr.contains("tc)");
            out.push(condition(&expr.replace("{c}", c), *bytewise && agrees && one_collation));
        }
        out.push(ours(format!("SELECT left({c}, 1) AS k, count(*) FROM {{t}} GROUP BY 1")));
        out.push(ours(format!("SELECT id FROM {{t}} ORDER BY substr({c}, 2), id LIMIT 20")));
        out.push(ours(format!("SELECT max(rtrim({c})), count(DISTINCT replace({c}, 'a', 'A')) FROM {{t}}")));
    }
    for expr in ["concat(ten, tc) = 'aa'", "strpos(ten, tc) = 1", "replace(ten, tnd, 'x') = 'x'", "greatest(ten, tc, tnd) = 'b'"] {
        out.push(condition(expr, false));
    }
    // Long lists go as one array: every nasty text in it, NULL too.
    let many: Vec<String> = (0..60).map(|i| format!("'k{i}'")).collect();
    for c in ["t", "ten", "vc", "nm", "tnd", "bp", "ci", "e"] {
        for (op, extra) in [
            ("IN", "'a\\b', 'O''Brien', '\"', ''"),
            ("NOT IN", "'a\\b', '{}', ',', ' '"),
            ("IN", "'NULL', 'null', '\\'"),
            ("NOT IN", "'abc', NULL"),
            ("IN", "'abc', NULL"),
        ] {
            out.push(condition(&format!("{c} {op} ({}, {extra})", many.join(", ")), matches!(c, "t" | "ten" | "vc")));
        }
    }
    out
}

pub fn numbers() -> Vec<Case> {
    let mut out = vec![];
    for expr in [
        "abs(n10)",
        "abs(f8)",
        "abs(f4)",
        "abs(n38)",
        "CASE WHEN i4 > -5 THEN abs(i4) END",
        "round(n10)",
        "round(n10, 1)",
        "round(n10, 3)",
        "round(n10, -1)",
        "round(n10, -5)",
        "round(n10, -30)",
        "round(n38, 2)",
        "round(n38)",
        "round(nu, 2)",
        "round(f8)",
        "round(f8 + 1)",
        "round(i4)",
        "round(i4, -1)",
        "trunc(n10)",
        "trunc(n10, 1)",
        "trunc(n10, -1)",
        "trunc(n38, 3)",
        "trunc(f8)",
        "ceil(n10)",
        "ceiling(n38)",
        "ceil(f8)",
        "ceil(f4)",
        "ceil(i4)",
        "floor(n10)",
        "floor(n38)",
        "floor(f8)",
        "sign(n10)",
        "sign(f8)",
        "sign(i4)",
        "mod(i4, 3)",
        "mod(n10, 3)",
        "i4 % 3",
        "i8 % -7",
        "n10 % 0.7",
        "n38 % 3",
        "n38 * n10",
        "n10 * n38 * n10",
        "n38 + n38 - n10",
        "i4 / 2",
        "i4 & 3",
        "i2 | i2",
        "i4 # 3",
        "i8::double precision",
        "i4::double precision",
        "b::int",
        "i4::boolean",
        "n10::numeric(20,4)",
        "n10::numeric(12,1)",
        "greatest(i4, i2)",
        "least(i4, 5, NULL)",
        "greatest(d, DATE '2000-01-01')",
        "least(b, true)",
        "i4 IS DISTINCT FROM i2",
        "i4 IS NOT DISTINCT FROM i2",
        "NULLIF(i4, 0)",
        "COALESCE(i4, i2, 7)",
        "CASE i2 WHEN 0 THEN 'zero' WHEN 1 THEN 'one' ELSE 'many' END",
        "CASE WHEN i2 <> 0 THEN 100 / i2 END",
        "(i4, i2) = (1, 1)",
        "(i4, i2) <> (1, 1)",
        "(i4, i2) < (1, 1)",
        "(i4, i2) >= (0, 100)",
        "(i4, i2) IN ((1, 1), (0, 0), (42, NULL))",
        "(i4, t) NOT IN ((1, 'abc'), (0, 'a'))",
        "b AND i4 = 1",
        "i4 IN (1, 2, NULL)",
    ] {
        out.push(same(format!("SELECT id, {expr} FROM {{t}}")));
    }
    for expr in [
        "abs(nu)",
        "ceil(nu)",
        "floor(nu)",
        "trunc(nu)",
        "round(nu)",
        "greatest(nu, n10)",
        "greatest(n10, n38)",
        "nu % 3",
        "greatest(f8, 1.0)",
        "least(f4, f8)",
    ] {
        out.push(ours(format!("SELECT id, {expr} FROM {{t}}")));
    }
    for expr in [
        "abs(n10) = 1.5",
        "abs(i4) = 1",
        "abs(i2) + 1 > 100",
        "abs(i8) < 100 AND i8 > -100",
        "round(n10, 1) = 1.5",
        "round(n38) = 1",
        "trunc(n10) = 1",
        "ceil(n10) = 2",
        "floor(n10) < -1",
        "sign(n10) = -1",
        "sign(f8) = 0",
        "floor(f8) = 1",
        "round(f8) = 2",
        "mod(i4, 2) = 1",
        "n10 % 1 = 0.5",
        "i4 & 1 = 1",
        "i8::int = 42 AND i8 < 1000 AND i8 > -1000",
        "i4::smallint > 5 AND i4 < 1000 AND i4 > -1000",
        "greatest(i4, i2) = 42",
        "least(n10, 0) < 0",
        "b::int = 1",
        "NOT i4::boolean",
        "i8::double precision = 9007199254740992",
        "f8 = i4",
        "(i4, i2) = (1, 0)",
        "NOT ((i4, i2) = (1, 0))",
        "NOT ((i4, i2) < (1, 0))",
        "(id, i4) > (5, 5) AND (id, i4) <= (9, 9)",
        "i4 = ANY(ARRAY[1, 42])",
        "i4 <> ALL(ARRAY[1, 42])",
        "NOT (i4 = ANY(ARRAY[1, NULL]))",
    ] {
        out.push(condition(expr, !expr.contains("abs(i")));
    }
    let many: Vec<String> = (0..50).map(|i| (i * 3 - 1).to_string()).collect();
    for c in ["i2", "i4", "i8", "n10", "f8", "o"] {
        out.push(condition(&format!("{c} IN ({})", many.join(", ")), c != "o"));
        out.push(condition(&format!("{c} NOT IN ({})", many.join(", ")), c != "o"));
        out.push(condition(&format!("{c} NOT IN ({}, NULL)", many.join(", ")), c != "o"));
        out.push(condition(&format!("{c} IN ({}, NULL)", many.join(", ")), c != "o"));
    }
    out.push(ours("SELECT i8::int, count(*) FROM {t} WHERE i8 < 100 AND i8 > -100 GROUP BY 1"));
    out.push(ours("SELECT sum(i8::int), min(i8::int) FROM {t} WHERE i8 < 100 AND i8 > -100"));
    out.push(ours("SELECT id FROM {t} WHERE i8::int + 1 > 5 AND i8 < 100 AND i8 > -100"));
    out.push(ours("SELECT round(n10, 1) AS k, count(*) FROM {t} GROUP BY 1 ORDER BY 1"));
    out
}

pub fn arrays() -> Vec<Case> {
    let mut out = vec![];
    for (expr, agrees) in [
        ("1 = ANY(ai)", true),
        ("i4 = ANY(ai)", true),
        ("i8 = ANY(ai)", true),
        ("5000000000 = ANY(ai)", true),
        ("'a' = ANY(at)", true),
        ("'B' = ANY(at) OR i4 = 1", true),
        // A NULL among the elements: unknown in Postgres, false here.
        ("NOT (1 = ANY(ai))", false),
        ("(1 = ANY(ai)) IS FALSE", false),
        ("ai @> ARRAY[1]", true),
        ("ai @> ARRAY[1, 2]", true),
        ("NOT (ai @> ARRAY[1])", true),
        ("ai <@ ARRAY[1, 2, 3]", true),
        ("at @> ARRAY['B', 'a']", true),
        ("ai @> ARRAY[NULL]::int[]", false),
        ("ai @> '{}'::int[]", false),
        ("ai[1] = 1", true),
        ("ai[2] IS NULL", true),
        ("at[1] = 'a'", true),
        ("at[2] LIKE '%,%'", true),
        ("ai[-1] = 2", false),
        ("ai[0] IS NULL", true),
        ("cardinality(ai) = 2", true),
        ("NOT (cardinality(ai) > 1)", true),
        ("cardinality(at) IN (0, 2)", true),
        ("array_length(ai, 1) = 2", true),
        ("array_has_any(ai, ARRAY[1, 3])", false),
        ("NOT array_has_any(ai, ARRAY[1, 3])", false),
        ("ai && ARRAY[1, 3]", true),
        ("NOT (ai && ARRAY[1, 3])", true),
        ("(ai && ARRAY[1, NULL]::int[]) IS NOT TRUE", true),
        ("ai && '{}'::int[]", true),
        ("NOT (ai && '{}'::int[])", true),
        ("ai && '{2,NULL}'", true),
        ("ai && NULL::int[] IS NULL", true),
        ("ai && ai", true),
        ("(at && at) IS FALSE", true),
        ("at && ARRAY['B', 'a']", true),
        ("ARRAY['a'] && at", true),
        ("NOT (array_length(ai, 1) > 1)", true),
        ("array_length(at, 1) IS NULL", true),
        ("array_length(at, 2) IS NULL", true),
    ] {
        out.push(condition(expr, agrees));
    }
    for expr in
        ["ai[1]", "at[1]", "ai @> ARRAY[2]", "ai[1] + 1", "ai && ARRAY[2]", "ai && ai", "array_length(ai, 1)", "array_length(at, 1)"]
    {
        out.push(same(format!("SELECT id, {expr} FROM {{t}}")));
    }
    out.push(same("SELECT at[1], count(*) FROM {t} GROUP BY 1"));
    out
}

/// date_trunc and extract: over the values that the local functions take (they raise for the ends of time), and over all as pushed alone.
pub fn times() -> Vec<Case> {
    let mut out = vec![];
    let ours_alone = "ts > '1800-01-01' AND ts < '2200-01-01' AND tz > '1800-01-01' AND tz < '2200-01-01'";
    for c in ["ts", "tz"] {
        for unit in ["year", "QUARTER", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"] {
            out.push(same(format!("SELECT id, date_trunc('{unit}', {c}) FROM {{t}} WHERE {ours_alone}")));
            out.push(same(format!("SELECT date_trunc('{unit}', {c}) AS k, count(*) FROM {{t}} WHERE {ours_alone} GROUP BY 1")));
        }
    }
    for c in ["d", "ts", "tz"] {
        for field in ["quarter", "month", "week", "day", "dow", "isodow", "doy"] {
            out.push(ours(format!("SELECT id, extract({field} FROM {c}) FROM {{t}}")));
            out.push(condition(&format!("extract({field} FROM {c}) = 1"), true));
            out.push(condition(&format!("extract({field} FROM {c}) IS NULL"), false));
        }
        // Of the infinities Postgres gives infinity.
        out.push(ours(format!("SELECT id, extract(year FROM {c}), date_part('year', {c}) FROM {{t}}")));
        out.push(same(format!("SELECT id, extract(year FROM {c}) FROM {{t}} WHERE isfinite({c}) AND {c} < '100000-01-01'")));
        out.push(ours(format!("SELECT extract(year FROM {c}) AS k, count(*) FROM {{t}} GROUP BY 1")));
        out.push(condition(&format!("extract(year FROM {c}) = 2024"), true));
        out.push(condition(&format!("extract(year FROM {c}) % 4 = 0 AND {c} > '0005-01-01'"), false));
    }
    for c in ["ts", "tz"] {
        for field in ["second", "milliseconds", "epoch"] {
            out.push(same(format!("SELECT id, extract({field} FROM {c}) FROM {{t}} WHERE isfinite({c})")));
        }
        for field in ["hour", "minute"] {
            out.push(ours(format!("SELECT id, extract({field} FROM {c}) FROM {{t}}")));
            out.push(condition(&format!("date_part('{field}', {c}) = 12"), true));
        }
    }
    // Shifted by days and intervals: ends of months, leap days, the seconds of a day.
    for by in ["interval '1 day'", "interval '1 month'", "interval '13 months 2 days 03:04:05.000001'", "interval '00:00:00.5'"] {
        for c in ["ts", "tz"] {
            for op in ["+", "-"] {
                out.push(same(format!("SELECT id, {c} {op} {by} FROM {{t}} WHERE {ours_alone}")));
                let guarded = format!("CASE WHEN {ours_alone} THEN {c} {op} {by} END");
                out.push(condition(&format!("{guarded} > '2024-01-01'"), true));
                out.push(condition(&format!("NOT ({guarded} > '2024-01-01')"), true));
            }
        }
        out.push(same(format!("SELECT ts + {by} AS k, count(*) FROM {{t}} WHERE {ours_alone} GROUP BY 1")));
        out.push(same(format!("SELECT id, d + {by} FROM {{t}} WHERE d > '1800-01-01' AND d < '2200-01-01'")));
    }
    for days in ["1", "400", "-30"] {
        out.push(same(format!("SELECT id, d + ({days}) FROM {{t}} WHERE d > '1800-01-01' AND d < '2200-01-01'")));
        out.push(same(format!("SELECT id, d - ({days}) FROM {{t}} WHERE d > '1800-01-01' AND d < '2200-01-01'")));
        out.push(condition(&format!("d - DATE '2024-02-28' > {days} AND d > '-infinity' AND d < 'infinity'"), true));
        out.push(ours(format!("SELECT id FROM {{t}} WHERE d - DATE '2024-02-28' = {days}")));
        out.push(ours(format!("SELECT id FROM {{t}} WHERE NOT (d - DATE '2024-02-28' <= {days})")));
    }
    out.push(condition("ts > now() - interval '1 day' AND ts < '2900-01-01'", true));
    for predicate in [
        "date_trunc('day', ts) = '2024-02-29'",
        "date_trunc('month', ts) < '2024-02-29' AND ts > '1900-01-01'",
        "date_trunc('hour', tz) = '2024-02-29 10:00:00+00'",
        "NOT (date_trunc('year', tz) = '2024-01-01')",
    ] {
        out.push(condition(&format!("{predicate} AND {ours_alone}"), true));
    }
    out
}

/// Functions and operators that are Fjord's own: what Postgres answers.
pub fn spellings() -> Vec<Case> {
    let mut out = vec![];
    for expr in [
        "coalesce(ts, '2024-01-01')",
        "coalesce(d, '2024-01-01')",
        "coalesce(i4, '5')",
        "coalesce(u, '00000000-0000-0000-0000-00000000000A')",
        "coalesce(b, 't')",
        "iv * 1.5",
        "2 * iv",
        "iv / 7",
        "~i2",
        "~i4",
        "~i8",
        "trunc(div(n10, 3))",
        "width_bucket(f8, -3.7, 9.1, 17)",
        "width_bucket(n10, 9.1, -3.7, 4)",
        "isfinite(d)",
        "isfinite(ts)",
        "isfinite(tz)",
        "isfinite(iv)",
        "to_hex(i4)",
        "to_hex(i8)",
        "encode(by, 'base64')",
        "encode(by, 'hex')",
        "encode(by, 'escape')",
        "array_length(ai, 1)",
        "array_ndims(ai)",
        "cardinality(at)",
        "i4::varchar(2)",
        "vc::varchar(1)",
        "tc::varchar(2)",
        "round(n10 / 3, 20)",
        "round(n38 / 7, 20)",
        "round(i4 / 1.7, 15)",
        "n10 / 7 > 0.2",
        "row_number() OVER (ORDER BY id)",
        "CASE WHEN i4 > 0 THEN i4 + 1 ELSE 0 END",
    ] {
        out.push(same(format!("SELECT id, {expr} FROM {{t}}")));
    }
    for predicate in [
        "i4 BETWEEN SYMMETRIC 50 AND 1",
        "i4 NOT BETWEEN SYMMETRIC 50 AND 1",
        "i4 BETWEEN SYMMETRIC i2 AND NULL",
        "coalesce(ts, '2024-01-01') < '2024-06-01'",
        "~i4 & 7 = 3",
        "vc::varchar(2) = 'ab'",
        "n10 / 3 > 0.4",
        "extract(second FROM ts) = 56.789",
        "extract(year FROM d) < 0 AND isfinite(d)",
        "array_length(ai, 1) IS NULL",
    ] {
        out.push(condition(predicate, true));
    }
    out.push(same("SELECT id, age(ts, timestamp '2000-02-29 13:14:15.5'), age(tz, ts) FROM {t} WHERE isfinite(ts) AND isfinite(tz)"));
    out.push(same("SELECT id, power(f8, 2), exp(f8), ln(f8), sqrt(f8) FROM {t} WHERE f8 > 0.5 AND f8 < 100"));
    out.push(same("SELECT k, id FROM (SELECT id, row_number() OVER (PARTITION BY b ORDER BY id) AS k FROM {t}) s WHERE k < 3"));
    out
}

/// Casts of texts that are mostly numbers.
pub fn readings() -> Vec<Case> {
    [
        "CASE WHEN t IN ('9', '10') THEN t::int END = 10",
        "NOT (CASE WHEN t IN ('9', '10') THEN t::int END = 10)",
        "CASE WHEN t IN ('9', '10') THEN t::int END = 10 OR vc = 'abc'",
        "CASE WHEN vc IN ('9', '10') THEN vc::numeric END > 9.5",
        "CASE WHEN ten IN ('9', '10') THEN ten::double precision END < 9.5",
        "CASE WHEN tnd IN ('9', '10') THEN tnd::bigint END = 9",
    ]
    .into_iter()
    .map(|p| condition(p, true))
    .collect()
}
