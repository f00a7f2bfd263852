//! Every type at its edges: what arrives in Arrow is what the server itself says of the value.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use fjord_engine::SqlState;
use fjord_engine::pgtype::{PG_TYPE, SOURCE_TYPE};
use fjord_harness::Postgres;
use support::*;

const SETUP: &str = r#"
CREATE EXTENSION citext; CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'Happy ''n'' glad');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN pairs AS pair[];
CREATE DOMAIN ints AS int[];
CREATE DOMAIN price AS numeric(12,3);
CREATE DOMAIN small_price AS price CHECK (VALUE < 100);
"#;

/// (column type, values, what the server says of it in the exact form of `support::value`). `{c}` is the column.
const CASES: &[(&str, &[&str], &str)] = &[
    ("bool", &["true", "false", "NULL"], "{c}::text"),
    ("smallint", &["-32768", "32767", "0", "NULL"], "{c}::text"),
    ("int", &["-2147483648", "2147483647", "NULL"], "{c}::text"),
    ("bigint", &["-9223372036854775808", "9223372036854775807", "NULL"], "{c}::text"),
    ("oid", &["0", "4294967295", "NULL"], "{c}::text"),
    ("real", &["'NaN'", "'-0'", "'Infinity'", "'-Infinity'", "1e-45", "3.4028235e38", "0.1", "NULL"], "encode(float4send({c}), 'hex')"),
    ("float8", &["'NaN'", "'-0'", "'Infinity'", "5e-324", "1.7976931348623157e308", "0.1", "NULL"], "encode(float8send({c}), 'hex')"),
    ("numeric(10,2)", &["99999999.99", "-99999999.99", "0.01", "0", "12.3", "NULL"], "({c} * 100)::numeric(76,0)::text"),
    ("numeric(38,0)", &["99999999999999999999999999999999999999", "-1", "NULL"], "{c}::text"),
    ("numeric(38,38)", &["0.99999999999999999999999999999999999999", "1e-38", "NULL"], "({c} * 1e38)::numeric(76,0)::text"),
    (
        "numeric(76,10)",
        &["999999999999999999999999999999999999999999999999999999999999999999.9999999999", "-0.0000000001", "NULL"],
        "({c} * 1e10)::numeric(76,0)::text",
    ),
    ("numeric(5,-2)", &["12345", "99949", "-100", "NULL"], "({c})::numeric(76,0)::text"),
    ("numeric(2,5)", &["0.00099", "-0.00001", "NULL"], "({c} * 100000)::numeric(76,0)::text"),
    ("numeric(100,2)", &["1e90", "-1.25", "'NaN'", "NULL"], "{c}::text"),
    ("numeric", &["99999999999999999999999999999999999999", "-1.5", "1e-38", "0.000", "NULL"], "({c} * 1e38)::numeric(76,0)::text"),
    ("text", &["''", "'ä€😀'", "E'a\\tb\\nc\\\\d''e\"f'", "'  both  '", "repeat('x', 100000)", "'NULL'", "NULL"], "{c}"),
    ("varchar(10)", &["'abc  '", "NULL"], "{c}"),
    ("char(5)", &["'ab'", "'     '", "' a b'", "NULL"], "rtrim({c}::text, ' ')"),
    ("name", &["'pg_class'", "NULL"], "{c}::text"),
    ("\"char\"", &["'x'", "''", "NULL"], "{c}::text"),
    ("citext", &["'ABC'", "'abc'", "NULL"], "{c}::text"),
    ("mood", &["'sad'", "'Happy ''n'' glad'", "NULL"], "{c}::text"),
    ("bytea", &["''", "'\\x00ff80'", "NULL"], "encode({c}, 'hex')"),
    (
        "date",
        &["'1970-01-01'", "'1969-12-31'", "'4713-01-01 BC'", "'5874897-12-31'", "'2000-02-29'", "NULL"],
        "({c} - date '1970-01-01')::text",
    ),
    ("time", &["'00:00'", "'23:59:59.999999'", "'24:00'", "NULL"], "(extract(epoch from {c}) * 1000000)::bigint::text"),
    (
        "timestamp",
        &["'1970-01-01'", "'1969-12-31 23:59:59.999999'", "'4713-01-01 BC'", "'294246-12-31 23:59:59.999999'", "NULL"],
        "trunc(extract(epoch from {c}) * 1000000)::numeric::text",
    ),
    (
        "timestamptz",
        &["'1970-01-01 00:00+00'", "'1900-01-01 00:00:00.5+01'", "'9999-12-31 23:59:59.999999-12'", "NULL"],
        "trunc(extract(epoch from {c}) * 1000000)::numeric::text",
    ),
    (
        "interval",
        &["'1 year 2 months 3 days 04:05:06.789'", "'-1 mon 1 day -00:00:00.000001'", "'0'", "NULL"],
        "(extract(year from {c}) * 12 + extract(month from {c}))::int || ' ' || extract(day from {c})::int || ' ' || (extract(hour from {c}) * 3600000000 + extract(minute from {c}) * 60000000 + extract(microseconds from {c}))::bigint",
    ),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'", "NULL"], "{c}::text"),
    ("json", &["'{\"b\": 1,  \"a\":[1, null]}'", "'null'", "NULL"], "{c}::text"),
    ("jsonb", &["'{\"b\": 1,  \"a\":[1, null], \"b\": 2}'", "'null'", "'\"x\"'", "NULL"], "{c}::text"),
    (
        "inet",
        &["'10.0.0.1'", "'10.1.2.3/8'", "'::1'", "'2001:db8::/32'", "'::ffff:1.2.3.4'", "'::1.2.3.4'", "NULL"],
        "textin(inet_out({c}))",
    ),
    ("cidr", &["'10.0.0.0/8'", "'10.0.0.1/32'", "'2001:db8::/32'", "NULL"], "textin(cidr_out({c}))"),
    ("macaddr", &["'08:00:2b:01:02:03'", "NULL"], "{c}::text"),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'", "NULL"], "{c}::text"),
    ("bit(5)", &["B'10110'", "NULL"], "{c}::text"),
    ("varbit", &["B''", "B'1'", "NULL"], "{c}::text"),
    ("money", &["12.34", "NULL"], "{c}::text"),
    ("xml", &["'<a>b</a>'", "NULL"], "{c}::text"),
    ("timetz", &["'12:34:56.789+05:30'", "NULL"], "{c}::text"),
    ("tsvector", &["'fat cat'", "NULL"], "{c}::text"),
    ("tsquery", &["'fat & cat'", "NULL"], "{c}::text"),
    ("int4range", &["'[1,5)'", "'empty'", "'(,3]'", "NULL"], "{c}::text"),
    ("tstzrange", &["'[2020-01-01 00:00+00,)'", "NULL"], "{c}::text"),
    ("nummultirange", &["'{[1,2),(3,4]}'", "NULL"], "{c}::text"),
    ("hstore", &["'a=>1, b=>NULL'", "NULL"], "{c}::text"),
    ("pair", &["ROW(1, 'x y')", "NULL"], "{c}::text"),
    ("point", &["'(1,2.5)'", "NULL"], "{c}::text"),
    ("pg_lsn", &["'16/B374D848'", "NULL"], "{c}::text"),
    ("price", &["123456789.125", "NULL"], "({c} * 1000)::numeric(76,0)::text"),
    ("small_price", &["-1.5", "NULL"], "({c} * 1000)::numeric(76,0)::text"),
    ("int[]", &["'{}'", "'{1,NULL,-3}'", "NULL"], "{list}"),
    ("text[]", &["'{a,\"b c\",NULL,\"NULL\",\"\"}'", "NULL"], "{list}"),
    (
        "numeric(6,2)[]",
        &["'{1.5,NULL}'", "NULL"],
        "'[' || (SELECT string_agg(coalesce((x * 100)::numeric(30,0)::text, 'NULL'), ',' ORDER BY i) FROM unnest({c}) WITH ORDINALITY u (x, i)) || ']'",
    ),
    ("mood[]", &["'{sad,NULL}'", "NULL"], "{list}"),
    ("citext[]", &["'{A,b}'", "NULL"], "{list}"),
    ("uuid[]", &["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", "NULL"], "{list}"),
    ("int4range[]", &["'{\"[1,5)\",empty}'", "NULL"], "{list}"),
    (
        "price[]",
        &["'{1.5,NULL}'", "NULL"],
        "'[' || (SELECT string_agg(coalesce((x * 1000)::numeric(30,0)::text, 'NULL'), ',' ORDER BY i) FROM unnest({c}) WITH ORDINALITY u (x, i)) || ']'",
    ),
    ("pairs", &["'{\"(1,x)\"}'", "NULL"], "'[' || array_to_string({c}, ',', 'NULL') || ']'"),
    ("ints", &["'{1,2}'", "NULL"], "{list}"),
    ("inet[]", &["'{10.0.0.1,10.0.0.0/8}'", "NULL"], "'[' || array_to_string({c}, ',', 'NULL') || ']'"),
    ("pair[]", &["ARRAY[ROW(1, 'x')::pair]", "NULL"], "'[' || array_to_string({c}, ',', 'NULL') || ']'"),
    ("jsonb[]", &["ARRAY['{\"a\":1}'::jsonb]", "NULL"], "{list}"),
];

const LIST: &str =
    "'[' || coalesce((SELECT string_agg(coalesce(x::text, 'NULL'), ',' ORDER BY i) FROM unnest({c}) WITH ORDINALITY u (x, i)), '') || ']'";

#[tokio::test(flavor = "multi_thread")]
async fn every_type_at_its_edges_arrives_as_the_server_has_it() {
    let pg = Postgres::start().unwrap();
    let mut setup = SETUP.to_string();
    for (i, (ty, values, _)) in CASES.iter().enumerate() {
        setup += &format!("CREATE TABLE t{i} (n int PRIMARY KEY, v {ty});\n");
        for (n, v) in values.iter().enumerate() {
            setup += &format!("INSERT INTO t{i} VALUES ({n}, {v});\n");
        }
    }
    pg.psql(&setup).unwrap();
    let client = pg.client().await.unwrap();
    let source = over(&pg, &[]);
    let catalog = source.introspect().await.unwrap();
    let mut wrong = vec![];
    for (i, (ty, values, form)) in CASES.iter().enumerate() {
        let table = table(&catalog, &format!("t{i}"));
        let batches = match read(&source, &table).await {
            Ok(b) => b,
            Err(e) => {
                wrong.push(format!("{ty}: {e}"));
                continue;
            }
        };
        let form = form.replace("{list}", LIST).replace("{c}", "v");
        // `'[' || NULL` of a NULL array must stay NULL.
        let sql = format!(
            "SELECT n, CASE WHEN v IS NOT NULL OR pg_typeof(v)::text = 'pair' AND v::text IS NOT NULL THEN {form} END FROM t{i} ORDER BY n"
        );
        let expected: Vec<String> =
            client.query(&sql, &[]).await.unwrap().iter().map(|r| r.get::<_, Option<String>>(1).unwrap_or_else(|| "NULL".into())).collect();
        assert_eq!(expected.len(), values.len());
        let mut got: Vec<(i32, String)> = exact(&batches, 0).iter().map(|n| n.parse().unwrap()).zip(exact(&batches, 1)).collect();
        got.sort();
        let got: Vec<String> = got.into_iter().map(|g| g.1).collect();
        if got != expected {
            wrong.push(format!("{ty}: {got:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn infinite_dates_are_the_largest_and_smallest_value() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t (d date, s timestamp, z timestamptz); INSERT INTO t VALUES ('infinity', 'infinity', 'infinity'), ('-infinity', '-infinity', '-infinity')").unwrap();
    let source = over(&pg, &[]);
    let batches = read(&source, &table(&source.introspect().await.unwrap(), "t")).await.unwrap();
    assert_eq!(exact(&batches, 0), [i32::MAX.to_string(), i32::MIN.to_string()]);
    assert_eq!(exact(&batches, 1), [i64::MAX.to_string(), i64::MIN.to_string()]);
    assert_eq!(exact(&batches, 2), [i64::MAX.to_string(), i64::MIN.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_held_is_an_error_that_names_the_column() {
    let pg = Postgres::start().unwrap();
    let source = over(&pg, &[]);
    for (ty, value, state) in [
        ("numeric", "'NaN'", SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
        ("numeric", "'Infinity'", SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
        ("numeric", "1e38", SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
        ("numeric", "1e-39", SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
        ("numeric(5,2)", "'NaN'", SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
        ("timestamp", "'294250-01-01'", SqlState::DATETIME_FIELD_OVERFLOW),
        ("interval", "'10000000 hours'", SqlState::DATETIME_FIELD_OVERFLOW),
        ("int[]", "'{{1,2},{3,4}}'", SqlState::FEATURE_NOT_SUPPORTED),
        ("int[]", "'[0:1]={1,2}'", SqlState::FEATURE_NOT_SUPPORTED),
    ] {
        pg.psql(&format!("DROP TABLE IF EXISTS odd; CREATE TABLE odd (amount {ty}); INSERT INTO odd VALUES ({value})")).unwrap();
        let e = read(&source, &table(&source.introspect().await.unwrap(), "odd")).await.unwrap_err();
        assert_eq!(e.state, state, "{ty} {value}: {e}");
        assert!(e.message.contains("connector \"shop\"") && e.message.contains("\"amount\""), "{e}");
        assert!(e.hint.is_some(), "{e}");
        if ty == "numeric" {
            assert!(e.message.contains("unconstrained_numeric"), "{e}");
        }
    }
    // The connection is not poisoned by a query that we gave up.
    assert_eq!(exact(&run_text(&source, "SELECT 1").await.unwrap(), 0), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unconstrained_numeric_as_text() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t (v numeric); INSERT INTO t VALUES ('NaN'), (1.500), ('-Infinity'), (1e100)").unwrap();
    let source = over(&pg, &[("unconstrained_numeric", "text")]);
    let t = table(&source.introspect().await.unwrap(), "t");
    let got = exact(&read(&source, &t).await.unwrap(), 0);
    assert_eq!(got, ["NaN".to_string(), "1.500".into(), "-Infinity".into(), format!("1{}", "0".repeat(100))]);
    assert_eq!(t.columns[0].field.metadata()[PG_TYPE], "text");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_carry_the_types_of_the_source() {
    let pg = Postgres::start().unwrap();
    pg.psql(&format!(
        "{SETUP} CREATE TABLE t (a uuid, b mood, c jsonb, d varchar(7), e small_price, f int[], g hstore, h mood[], i int4range)"
    ))
    .unwrap();
    let source = over(&pg, &[]);
    let catalog = source.introspect().await.unwrap();
    let t = table(&catalog, "t");
    let shown: Vec<String> = t
        .columns
        .iter()
        .map(|c| {
            let m = c.field.metadata();
            format!("{} {} {} {}", c.field.name(), m[PG_TYPE], m.get(SOURCE_TYPE).map_or("-", String::as_str), c.source_type)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "a uuid - uuid",
            "b text public.mood public.mood",
            "c jsonb - jsonb",
            "d varchar - character varying(7)",
            "e numeric public.small_price public.small_price",
            "f _int4 - integer[]",
            "g text public.hstore public.hstore",
            "h _text public.mood[] public.mood[]",
            "i int4range - int4range",
        ]
    );
    assert_eq!(catalog.notices, ["type public.hstore is read as text: public.t.g"]);
}
