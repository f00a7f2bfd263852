//! The test client's own reading of binary values agrees with a real Postgres: otherwise it could not judge Fjord.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use fjord_harness::Postgres;
use fjord_sqllogictests::binary::{Raw, text};

const VALUES: &[&str] = &[
    "true",
    "false",
    "(-32768)::int2",
    "2147483647",
    "(-9223372036854775808)::int8",
    "4294967295::oid",
    "0::float8",
    "'-0'::float8",
    "1e20::float8",
    "1e14::float8",
    "123456789012345::float8",
    "1e15::float8",
    "0.0001::float8",
    "0.00001::float8",
    "'NaN'::float8",
    "'-Infinity'::float8",
    "5e-324::float8",
    "1.7976931348623157e308::float8",
    "0.1::float8",
    "-2.5::float8",
    "123456::float4",
    "1e6::float4",
    "3.4e38::float4",
    "0.1::float4",
    "0::numeric",
    "0.00::numeric",
    "-1.50::numeric",
    "10000::numeric",
    "100000000.0001::numeric",
    "0.00001234::numeric",
    "12345678901234567890.123456789::numeric",
    "'NaN'::numeric",
    "1e30::numeric",
    "1e-10::numeric",
    "0.9999::numeric",
    "-0.5::numeric",
    "'2000-01-01'::date",
    "'1969-12-31'::date",
    "'2024-02-29'::date",
    "'0044-03-15 BC'::date",
    "'infinity'::date",
    "'-infinity'::date",
    "'12345-06-07'::date",
    "'00:00'::time",
    "'23:59:59.999999'::time",
    "'24:00'::time",
    "'12:34:56.5'::time",
    "'2024-02-29 12:34:56.789'::timestamp",
    "'1900-01-01 00:00:00.000001'::timestamp",
    "'0001-01-01 00:00:00 BC'::timestamp",
    "'infinity'::timestamp",
    "'2024-02-29 12:34:56.789+02'::timestamptz",
    "'-infinity'::timestamptz",
    "'1 year 2 mons 3 days 04:05:06.7'::interval",
    "'0'::interval",
    "'-1 mons +2 days -03:00'::interval",
    "'-1 day +1 hour'::interval",
    "'14 mons'::interval",
    "'100:00:00'::interval",
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    "'192.168.0.1'::inet",
    "'10.0.0.0/8'::cidr",
    "'192.168.0.1/24'::inet",
    "'::1'::inet",
    "'2001:db8::/32'::cidr",
    "'\\x00ff'::bytea",
    "''::bytea",
    "'{\"a\": [1, null]}'::jsonb",
    "'{\"a\":1}'::json",
    "'text, \"quoted\"'::text",
    "'x'::varchar",
    "array[1,null,3]",
    "array['a','','null','b,c','d\"e','f\\g',' ']",
    "'{}'::int[]",
    "'{{1,2},{3,4}}'::int[]",
    "array[1.50,2]::numeric[]",
    "array['2024-01-01'::date]",
];

#[tokio::test]
async fn binary_values_are_read_as_postgres_prints_them() {
    let pg = Postgres::start().unwrap();
    let client = pg.client().await.unwrap();
    for value in VALUES {
        let binary = client.query_one(&format!("SELECT {value} AS v"), &[]).await.unwrap();
        let shown = text(binary.columns()[0].type_(), Some(binary.get::<_, Raw>(0))).unwrap();
        // psql's own view; boolean's cast to text would say `true`.
        let printed = pg.psql(&format!("SELECT {value}")).unwrap();
        assert_eq!(shown.as_deref(), printed.strip_suffix('\n'), "{value}");
    }
}
