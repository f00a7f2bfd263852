//! The table of behaviours that the Postgres connector declares (after Trino's connector tests). What is declared must be in the remote text, what is not
//! declared must not be, and either way the answer is that of the same query over pulled rows. `docs/connectors/postgres-capabilities.md` is written from
//! this table by `UPDATE_EXPECT=1`, and compared with it.

use std::fmt::Write as _;
use std::path::Path;

use super::truthful::remote;
use super::{answer, difference, setup};

/// A behaviour: its name, whether it is pushed, a query, and what its remote text holds if it is.
type Capability = (&'static str, bool, &'static str, &'static [&'static str]);

const CAPABILITIES: &[Capability] = &[
    ("PREDICATE", true, "SELECT id FROM {t} WHERE i4 = 42", &["\"i4\" = 42"]),
    ("PREDICATE_WITH_VARCHAR_EQUALITY", true, "SELECT id FROM {t} WHERE vc = 'abc'", &["\"vc\" = 'abc'"]),
    ("PREDICATE_WITH_VARCHAR_INEQUALITY", true, "SELECT id FROM {t} WHERE vc > 'b'", &["(\"vc\" COLLATE \"C\") > 'b'"]),
    ("PREDICATE_WITH_NONDETERMINISTIC_TEXT", true, "SELECT id FROM {t} WHERE tnd = 'abc'", &["\"tnd\" = 'abc'", "COLLATE \"C\""]),
    ("PREDICATE_WITH_CITEXT", true, "SELECT id FROM {t} WHERE ci = 'abc'", &["(\"ci\"::text COLLATE \"C\") = 'abc'"]),
    ("PREDICATE_WITH_CHAR", true, "SELECT id FROM {t} WHERE bp = 'abc'", &["\"bp\" = 'abc'"]),
    ("PREDICATE_WITH_ENUM", true, "SELECT id FROM {t} WHERE e = 'ok'", &["\"e\" = 'ok'"]),
    (
        "PREDICATE_WITH_UUID",
        true,
        "SELECT id FROM {t} WHERE u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        &["\"u\" = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    ),
    ("PREDICATE_WITH_NUMERIC", true, "SELECT id FROM {t} WHERE n10 > 1.5", &["\"n10\" > 1.5"]),
    ("PREDICATE_WITH_FLOAT", true, "SELECT id FROM {t} WHERE f8 > 1.5", &["\"f8\" > "]),
    ("PREDICATE_WITH_NEGATIVE_DATE", true, "SELECT id FROM {t} WHERE d > '0044-03-15 BC'", &["\"d\" > '0044-03-15 BC'::date"]),
    ("PREDICATE_WITH_DATE", true, "SELECT id FROM {t} WHERE d >= '2024-01-01'", &["\"d\" >= '2024-01-01'::date"]),
    ("PREDICATE_WITH_TIME", true, "SELECT id FROM {t} WHERE tm = '12:34:56.789012'", &["\"tm\" = '12:34:56.789012'::time"]),
    ("PREDICATE_WITH_TIMESTAMP", true, "SELECT id FROM {t} WHERE ts > '2024-01-01'", &["\"ts\" > '2024-01-01 00:00:00'::timestamp"]),
    ("PREDICATE_WITH_TIMESTAMPTZ", true, "SELECT id FROM {t} WHERE tz > '2024-01-01'", &["\"tz\" > '2024-01-01 00:00:00+00'::timestamptz"]),
    ("PREDICATE_WITH_INTERVAL", false, "SELECT id FROM {t} WHERE iv > INTERVAL '1 day'", &["\"iv\" >"]),
    ("PREDICATE_WITH_IN_LIST", true, "SELECT id FROM {t} WHERE i4 IN (1, 2, 3, 4, 5)", &["\"i4\" IN ("]),
    ("PREDICATE_WITH_LARGE_IN_LIST", true, LARGE_IN_LIST, &["\"i4\" = ANY ('{0,1,"]),
    ("PREDICATE_WITH_OR_AND_NOT", true, "SELECT id FROM {t} WHERE NOT (i4 = 1 OR b)", &["\"b\"", "\"i4\" <> 1"]),
    ("PREDICATE_WITH_NULL_TESTS", true, "SELECT id FROM {t} WHERE t IS NULL AND b IS NOT TRUE", &["\"t\" IS NULL", "\"b\" IS NOT TRUE"]),
    ("PREDICATE_WITH_DISTINCT_FROM", true, "SELECT id FROM {t} WHERE i4 IS DISTINCT FROM 1", &["\"i4\" IS DISTINCT FROM 1"]),
    ("PREDICATE_WITH_ROWS", true, "SELECT id FROM {t} WHERE (i4, i2) = (42, 1)", &["\"i4\" = 42", "\"i2\" = 1"]),
    ("PREDICATE_EXPRESSION", true, "SELECT id FROM {t} WHERE NULLIF(t, 'abc') IS NULL", &["NULLIF("]),
    ("PREDICATE_EXPRESSION_WITH_CASE", true, "SELECT id FROM {t} WHERE CASE WHEN b THEN i4 ELSE id END = 1", &["CASE WHEN \"b\""]),
    ("PREDICATE_EXPRESSION_WITH_LIKE", true, "SELECT id FROM {t} WHERE vc LIKE 'a%'", &["\"vc\" LIKE 'a%'"]),
    ("PREDICATE_EXPRESSION_WITH_ILIKE", true, "SELECT id FROM {t} WHERE vc ILIKE 'A%'", &["lower(\"vc\" COLLATE \"C\") LIKE 'a%'"]),
    (
        "PREDICATE_EXPRESSION_WITH_CASE_FOLDING",
        true,
        "SELECT id FROM {t} WHERE lower(vc) = 'abc'",
        &["lower(\"vc\" COLLATE \"C\") = 'abc'"],
    ),
    ("PREDICATE_EXPRESSION_WITH_REGEXP", false, "SELECT id FROM {t} WHERE vc ~ 'a.c'", &["~"]),
    ("PREDICATE_EXPRESSION_WITH_TEXT_FUNCTIONS", true, "SELECT id FROM {t} WHERE left(vc, 2) = 'ab'", &["left(\"vc\", 2::integer) = 'ab'"]),
    ("PREDICATE_EXPRESSION_WITH_ROUNDING", true, "SELECT id FROM {t} WHERE round(n10, 1) = 1.5", &["round(\"n10\", 1::integer)"]),
    ("PREDICATE_EXPRESSION_WITH_NARROWING_CAST", true, "SELECT id FROM {t} WHERE i8::int = 42 AND i8 < 100 AND i8 > 0", &["\"i8\" = 42"]),
    ("PREDICATE_ARITHMETIC", true, "SELECT id FROM {t} WHERE i2 + 1 > 5", &["\"i2\"::integer::bigint + "]),
    ("PREDICATE_ARITHMETIC_ON_NUMERIC", true, "SELECT id FROM {t} WHERE n10 * 2 = 3", &["\"n10\" * "]),
    ("PREDICATE_ARITHMETIC_ON_BIGINT", false, "SELECT id FROM {t} WHERE i8 - i8 = 0", &["\"i8\" -"]),
    ("PREDICATE_ARITHMETIC_ON_FLOAT", false, "SELECT id FROM {t} WHERE f8 * 2 > 1", &["*"]),
    ("PREDICATE_ARRAY_ANY", true, "SELECT id FROM {t} WHERE 1 = ANY(ai)", &["= ANY (\"ai\")"]),
    ("PREDICATE_ARRAY_CONTAINS", true, "SELECT id FROM {t} WHERE ai @> ARRAY[1]", &["\"ai\" @> "]),
    ("PREDICATE_ARRAY_SUBSCRIPT", true, "SELECT id FROM {t} WHERE ai[1] = 1", &["(\"ai\")["]),
    (
        "PREDICATE_EXPRESSION_WITH_DATE_TRUNC",
        true,
        "SELECT date_trunc('day', ts), count(*) FROM {t} WHERE ts > '1800-01-01' AND ts < '2200-01-01' GROUP BY 1",
        &["date_trunc('day', \"ts\")"],
    ),
    ("PREDICATE_EXPRESSION_WITH_EXTRACT", true, "SELECT id FROM {t} WHERE extract(dow FROM ts) = 4", &["extract(dow FROM \"ts\")"]),
    (
        "PREDICATE_EXPRESSION_WITH_TEXT_READ_AS_NUMBER",
        true,
        "SELECT id FROM {t} WHERE CASE WHEN t IN ('9', '10') THEN t::int END = 10",
        &["~ '^-?[0-9]{1,9}$'"],
    ),
    ("PREDICATE_ARRAY_OVERLAP", true, "SELECT id FROM {t} WHERE ai && ARRAY[1, 3]", &["\"ai\" && "]),
    ("PREDICATE_ARRAY_OVERLAP_OF_COLUMNS", true, "SELECT id FROM {t} WHERE ai && ai", &["\"ai\" && \"ai\""]),
    ("PREDICATE_ARRAY_CARDINALITY", true, "SELECT id FROM {t} WHERE cardinality(ai) = 2", &["cardinality(\"ai\") = "]),
    ("PREDICATE_ARRAY_LENGTH", true, "SELECT id FROM {t} WHERE array_length(ai, 1) = 2", &["array_length(\"ai\", 1::integer) = "]),
    ("PREDICATE_WITH_NOW", true, "SELECT id FROM {t} WHERE ts > now() - interval '1 day' AND ts < '2200-01-01'", &["\"ts\" > '"]),
    ("PREDICATE_DATE_DIFFERENCE", true, "SELECT id FROM {t} WHERE d - DATE '2024-01-01' > 5", &["(\"d\" - '2024-01-01'::date)::bigint"]),
    (
        "TIMESTAMP_PLUS_INTERVAL",
        true,
        "SELECT id, ts + interval '1 month' FROM {t} WHERE ts > '1800-01-01' AND ts < '2200-01-01'",
        &["\"ts\" + '1 mons 0 days "],
    ),
    ("DATE_PLUS_DAYS", true, "SELECT id, d + 1 FROM {t} WHERE d > '1800-01-01' AND d < '2200-01-01'", &["\"d\" + 1"]),
    (
        "PREDICATE_TIMESTAMP_MINUS_INTERVAL",
        true,
        "SELECT id FROM {t} WHERE CASE WHEN ts > '1800-01-01' AND ts < '2200-01-01' THEN ts - interval '1 day' END > '2000-01-01'",
        &["\"ts\" + '0 mons -1 days "],
    ),
    ("PREDICATE_JSON_MEMBER", true, "SELECT id FROM {t} WHERE jb ->> 'a' = '1'", &["(\"jb\" ->> 'a'::text) = '1'"]),
    (
        "PREDICATE_JSON_PATH",
        true,
        "SELECT id FROM {t} WHERE jb #>> '{a,0}' = '1'",
        &["(\"jb\" #>> ARRAY['a'::text, '0'::text]::text[]) = '1'"],
    ),
    ("PREDICATE_JSON_CONTAINS", true, "SELECT id FROM {t} WHERE jb @> '{\"a\": 1}'", &["\"jb\" @> '{\"a\": 1}'::jsonb"]),
    ("PREDICATE_JSON_KEY_EXISTS", true, "SELECT id FROM {t} WHERE jb ? 'a'", &["\"jb\" ? 'a'::text"]),
    ("PREDICATE_JSON_TYPE", true, "SELECT id FROM {t} WHERE jsonb_typeof(jb) = 'object'", &["jsonb_typeof(\"jb\") = 'object'"]),
    (
        "PREDICATE_JSON_TEXT_MEMBER",
        true,
        "SELECT id FROM {t} WHERE j ->> 'a' = '1'",
        &["\"j\" ->> 'a'::text", "strpos(\"j\"::text, E'\\\\u') > 0"],
    ),
    (
        "PREDICATE_JSON_ARRAY_LENGTH",
        false,
        "SELECT id FROM {t} WHERE CASE WHEN jsonb_typeof(jb) = 'array' THEN jsonb_array_length(jb) END = 2",
        &["array_length"],
    ),
    ("COMPUTED_PROJECTION", true, "SELECT id, left(vc, 1) FROM {t}", &["left(\"vc\""]),
    ("LIMIT", true, "SELECT count(*) FROM (SELECT id FROM {t} LIMIT 3) x", &["LIMIT 3"]),
    ("LIMIT_OVER_A_SUPERSET", false, "SELECT count(*) FROM (SELECT id FROM {t} WHERE t ILIKE 'A%' LIMIT 2) x", &["LIMIT"]),
    ("OFFSET", true, "SELECT id FROM {t} ORDER BY id LIMIT 3 OFFSET 2", &["OFFSET 2"]),
    ("TOPN", true, "SELECT id, i4 FROM {t} ORDER BY i4 DESC, id LIMIT 5", &["ORDER BY", "LIMIT 5"]),
    ("TOPN_WITH_VARCHAR", true, "SELECT id FROM {t} ORDER BY ten, id LIMIT 5", &["ORDER BY (\"ten\" COLLATE \"C\")", "LIMIT 5"]),
    ("TOPN_BY_EXPRESSION", true, "SELECT id FROM {t} ORDER BY substr(t, 2), id LIMIT 5", &["ORDER BY", "substr(\"t\"", "LIMIT 5"]),
    ("SORT", true, "SELECT id, t FROM {t} ORDER BY t, id", &["ORDER BY (\"t\" COLLATE \"C\")"]),
    (
        "AGGREGATION",
        true,
        "SELECT b, count(*), sum(i4), min(i4), max(i4) FROM {t} GROUP BY b",
        &["count(*)", "sum(", "min(", "max(", "GROUP BY"],
    ),
    (
        "TOPN_OVER_AVG",
        true,
        "SELECT b, avg(n10), avg(i4) FROM {t} GROUP BY b HAVING avg(i2) > -100000 ORDER BY avg(n10) DESC, b LIMIT 2",
        &["/ NULLIF(count(\"n10\"), 0)", "HAVING", "LIMIT 2"],
    ),
    ("AGGREGATION_AVG", true, "SELECT b, avg(n10) FROM {t} GROUP BY b", &["sum(\"n10\")", "count(\"n10\")"]),
    ("AGGREGATION_COUNT_DISTINCT", true, "SELECT count(DISTINCT t) FROM {t}", &["GROUP BY \"t\""]),
    ("AGGREGATION_MIN_MAX_WITH_VARCHAR", true, "SELECT min(ten), max(ten) FROM {t}", &["min(\"ten\" COLLATE \"C\")"]),
    ("AGGREGATION_BOOLEAN", true, "SELECT bool_and(b), bool_or(b) FROM {t}", &["bool_and(\"b\")", "bool_or(\"b\")"]),
    ("AGGREGATION_FILTER", true, "SELECT count(*) FILTER (WHERE b) FROM {t}", &["FILTER (WHERE \"b\")"]),
    ("AGGREGATION_HAVING", true, "SELECT i2, count(*) FROM {t} GROUP BY i2 HAVING count(*) > 2", &["HAVING count(*) > 2"]),
    ("AGGREGATION_BY_EXPRESSION", true, "SELECT left(t, 1), count(*) FROM {t} GROUP BY 1", &["GROUP BY left(\"t\""]),
    (
        "AGGREGATION_GROUPING_SETS",
        true,
        "SELECT b, i2, count(*) FROM {t} GROUP BY GROUPING SETS ((b), (i2), ())",
        &["GROUPING SETS ((\"b\"), (\"i2\"), ())"],
    ),
    (
        "AGGREGATION_ROLLUP",
        true,
        "SELECT b, ten, grouping(b, ten), count(*) FROM {t} GROUP BY ROLLUP (b, ten)",
        &["GROUPING SETS ((), (\"b\"), (\"b\", \"ten\"))"],
    ),
    (
        "AGGREGATION_CUBE",
        true,
        "SELECT b, i2, avg(i4) FROM {t} GROUP BY CUBE (b, i2)",
        &["GROUPING SETS (", "sum(", "GROUPING(\"b\", \"i2\")"],
    ),
    ("AGGREGATION_SUM_OF_FLOAT", false, "SELECT sum(f8) FROM {t} WHERE f8 = 2", &["sum("]),
    ("AGGREGATION_STDDEV", false, "SELECT stddev(i4) FROM {t} WHERE i4 = 42", &["stddev"]),
    ("AGGREGATION_VARIANCE", false, "SELECT var_samp(i4) FROM {t} WHERE i4 = 42", &["var"]),
    ("AGGREGATION_COVARIANCE", false, "SELECT covar_samp(i4, i2) FROM {t} WHERE i4 = 42", &["covar"]),
    ("AGGREGATION_CORRELATION", false, "SELECT corr(i4, i2) FROM {t} WHERE i4 = 42", &["corr"]),
    ("AGGREGATION_REGRESSION", false, "SELECT regr_slope(i4, i2) FROM {t} WHERE i4 = 42", &["regr"]),
    ("AGGREGATION_STRING_AGG", false, "SELECT string_agg(t, ',' ORDER BY id) FROM {t}", &["string_agg"]),
    ("DISTINCT", true, "SELECT DISTINCT i2, b FROM {t}", &["GROUP BY"]),
    ("JOIN", true, "SELECT a.id, x.i2 FROM {t} a JOIN {t} x ON a.i4 = x.id", &[" JOIN ", "\"i4\" = "]),
    ("JOIN_WITH_VARCHAR_EQUALITY", true, "SELECT a.id, x.i2 FROM {t} a JOIN {t} x ON a.id = x.id AND a.t = x.vc", &[" JOIN ", "\"t\" = "]),
    (
        "JOIN_WITH_VARCHAR_INEQUALITY",
        true,
        "SELECT a.id, x.i2 FROM {t} a JOIN {t} x ON a.id = x.id AND a.t < x.ten",
        &[" JOIN ", "(q1.\"t\" COLLATE \"C\") < "],
    ),
    (
        "JOIN_WITH_DISTINCT_FROM",
        true,
        "SELECT a.id, x.i2 FROM {t} a JOIN {t} x ON a.id = x.id AND a.i4 IS NOT DISTINCT FROM x.i4",
        &[" JOIN "],
    ),
    ("JOIN_FULL", true, "SELECT a.id, x.i2 FROM {t} a FULL JOIN {t} x ON a.i4 = x.id", &["FULL JOIN"]),
    ("JOIN_LEFT", true, "SELECT a.id, x.i2 FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id", &["LEFT JOIN"]),
    ("JOIN_SEMI", true, "SELECT id FROM {t} WHERE id IN (SELECT i4 FROM {t})", &["EXISTS ("]),
    ("JOIN_ANTI", true, "SELECT id FROM {t} a WHERE NOT EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id)", &["NOT EXISTS ("]),
    ("JOIN_UNDER_A_LOCAL_FILTER", true, "SELECT a.id, x.i2 FROM {t} a JOIN {t} x ON a.i4 = x.id WHERE md5(a.t) <> 'x'", &[" JOIN "]),
    ("JOIN_THAT_SENDS_MORE_ROWS", false, "SELECT a.id, x.id FROM {t} a JOIN {t} x ON a.b = x.b", &["JOIN"]),
    ("ARRAY", true, "SELECT id, ai, at FROM {t}", &["\"ai\", \"at\""]),
    ("AGGREGATION_OVER_JOIN", true, "SELECT x.t, count(*) FROM {t} a JOIN {t} x ON a.i4 = x.id GROUP BY x.t", &["JOIN", "GROUP BY"]),
    ("UNION", true, "SELECT id FROM {t} UNION ALL SELECT i4 FROM {t}", &["UNION ALL"]),
    ("SCALAR_SUBQUERY", true, "SELECT id FROM {t} WHERE i4 = (SELECT max(i4) FROM {t})", &["max("]),
    ("WINDOW", false, "SELECT id, row_number() OVER (ORDER BY id) FROM {t}", &["OVER"]),
];

const LARGE_IN_LIST: &str = "SELECT id FROM {t} WHERE i4 IN (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, \
                             24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39)";

const HEAD: &str = "# What is pushed into a Postgres source\n
Written from the table in `sqllogictests/tests/pushdown_on_off/capabilities.rs`, whose test fails where a behaviour is declared and not pushed, pushed and not
declared, or answers otherwise than with `SET fjord.pushdown = off`. The rules behind it: [postgres-pushdown.md](postgres-pushdown.md).

The names are those of Trino's connector tests where those have one. Of its behaviours that concern reading, these are proven elsewhere: dynamic filters
(`sqllogictests/tests/dynamic_filters.rs`), a query in the source's own SQL (`providers/postgres/tests/remote_query.rs`), cancellation
(`sqllogictests/tests/faults_client.rs`). Row types and their fields are not pushed: a composite is read as text.

A pre-filter (`ILIKE`, `lower(c) = ...`) counts as pushed: what it lets through is checked again here.

| behaviour | pushed | example |\n|---|---|---|\n";

fn page() -> String {
    let mut out = HEAD.to_string();
    for (name, pushed, sql, _) in CAPABILITIES {
        let sql = if sql.len() > 130 { "SELECT id FROM {t} WHERE i4 IN (0, 1, ... 39)" } else { sql };
        let example = sql.replace("{t}", "t").replace('|', "\\|");
        writeln!(out, "| `{name}` | {} | `{example}` |", if *pushed { "yes" } else { "no" }).unwrap();
    }
    out
}

#[test]
fn the_table_of_the_documentation_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/connectors/postgres-capabilities.md");
    let page = page();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "run it with UPDATE_EXPECT=1");
}

#[tokio::test]
async fn declared_capabilities_are_true() {
    let s = setup().await;
    let mut failures = vec![];
    for (name, pushed, sql, marks) in CAPABILITIES {
        let sql = sql.replace("{t}", "src.public.nasty");
        let text = remote(&s.on, &sql).await;
        for mark in *marks {
            match (pushed, text.contains(mark)) {
                (true, false) => failures.push(format!("{name} is declared, but {mark} is not sent:\n    {text}")),
                (false, true) => failures.push(format!("{name} is not declared, but {mark} is sent:\n    {text}")),
                _ => {}
            }
        }
        match (answer(&s.on, &sql).await, answer(&s.off, &sql).await) {
            (Ok(a), Ok(b)) if a == b => {}
            (Ok(a), Ok(b)) => failures.push(format!("{name}: pushed and local differ: {}", difference(&a, &b))),
            (Err(e), _) | (_, Err(e)) => failures.push(format!("{name}: {e}")),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
