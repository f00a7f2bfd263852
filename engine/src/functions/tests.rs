#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::error::{SqlError, SqlState};

fn context() -> SessionContext {
    let config = SessionConfig::new().set_bool("datafusion.sql_parser.parse_float_as_decimal", true);
    let state = SessionStateBuilder::new().with_default_features().with_config(config).with_analyzer_rules(super::analyzer().rules).build();
    let ctx = SessionContext::new_with_state(state);
    ctx.register_udaf(super::pg_sum().as_ref().clone());
    for f in super::internal_functions() {
        ctx.register_udf(f.as_ref().clone());
    }
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Int64, true)]));
    let batch = RecordBatch::try_new(
        schema,
        vec![
            Arc::new(Int32Array::from(vec![Some(i32::MAX), Some(1), None])),
            Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MAX), Some(i64::MIN)])),
        ],
    )
    .unwrap();
    ctx.register_batch("t", batch).unwrap();
    ctx
}

async fn one(sql: &str) -> Result<String, SqlError> {
    let batches = context().sql(sql).await?.collect().await?;
    let column = batches.iter().find(|b| b.num_rows() > 0).unwrap().column(0).clone();
    Ok(arrow::util::display::array_value_to_string(&column, 0).unwrap())
}

#[tokio::test]
async fn integer_overflow_is_an_error_not_a_wrapped_value() {
    for sql in [
        "select 9223372036854775807 + 1",
        "select b + 1 from t where a = 1",
        "select a * a from t where a > 1",
        "select -b from t where a is null",
        "select b - 1 from t where a is null",
        "select x + 1 from (select 9223372036854775807 as x)",
        "select a from t where b + 1 > 0",
        "select b + 1 from t group by b + 1",
        "select count(*) from t x join t y on x.b + 1 = y.b",
    ] {
        let e = one(sql).await.expect_err(sql);
        assert_eq!(e.state, SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "{sql}: {e}");
    }
    assert_eq!(one("select 1 + 2 * 3 - 4").await.unwrap(), "3");
    assert_eq!(one("select -9223372036854775808").await.unwrap(), "-9223372036854775808");
}

#[tokio::test]
async fn sum_of_bigint_is_numeric_and_does_not_wrap() {
    assert_eq!(one("select sum(b) from t where a is not null").await.unwrap(), "18446744073709551614");
    assert_eq!(one("select sum(b) from t having sum(b) > 5").await.unwrap(), "9223372036854775806");
    assert_eq!(one("select arrow_typeof(sum(a)) from t").await.unwrap(), "Int64");
    assert_eq!(one("select sum(a) from t").await.unwrap(), "2147483648");
}

#[tokio::test]
async fn average_is_numeric_and_rounded() {
    assert_eq!(one("select avg(x)::text from (values (1), (2)) v(x)").await.unwrap(), "1.5");
    assert_eq!(one("select avg(x)::text from (values (1), (1), (2)) v(x)").await.unwrap(), "1.3333333333333333");
    assert_eq!(one("select avg(x)::text from (values (2), (2), (1)) v(x)").await.unwrap(), "1.6666666666666667");
    assert_eq!(one("select avg(x)::text from (values (-2), (-2), (-1)) v(x)").await.unwrap(), "-1.6666666666666667");
    assert_eq!(one("select avg(x)::text from (values (1.5), (2.25)) v(x)").await.unwrap(), "1.875");
    assert_eq!(one("select avg(b)::text from t where a is not null").await.unwrap(), "9223372036854775807");
    assert_eq!(one("select avg(a)::text from t where a > 2147483647").await.unwrap(), "");
    // As many digits as PostgreSQL 15 gives them.
    assert_eq!(one("select avg(x)::text from (values (1), (0), (0)) v(x)").await.unwrap(), "0.33333333333333333333");
    assert_eq!(one("select avg(x)::text from (values (1000000.01), (2), (3)) v(x)").await.unwrap(), "333335.003333333333");
    // The sum that the user asks for is the one that the average needs.
    for (select, first) in [("sum(a), avg(a), count(a), avg(b), sum(b)", "1"), ("avg(a)::text, sum(b), count(a), avg(b), sum(a)", "1")] {
        assert_eq!(one(&format!("select {select} from t where a = 1")).await.unwrap(), first, "{select}");
    }
    assert_eq!(one("select (avg(a) + 1)::text from t where a = 1 group by b having avg(a) > 0.5").await.unwrap(), "2");
    assert_eq!(one("select avg(distinct a)::text from (select 1 a union all select 1 union all select 2) s").await.unwrap(), "1.5");
}

#[tokio::test]
async fn numerics_are_rounded_as_postgres_does() {
    // The expectations are PostgreSQL 15's.
    for (sql, expected) in [
        ("round(1.45, 1)", "1.5"),
        ("round(-1.45, 1)", "-1.5"),
        ("round(1.5)", "2"),
        ("round(-0.5)", "-1"),
        ("round(99.995, 2)", "100.00"),
        ("round(1.5, 3)", "1.500"),
        ("round(151, -2)", "200"),
        ("round(149.9, -2)", "100"),
        ("round(5, -1)", "10"),
        ("round(4, -1)", "0"),
        ("round(4, -40)", "0"),
        ("round(99999999.99::numeric(10, 2))", "100000000"),
        ("trunc(-1.57, 1)", "-1.5"),
        ("trunc(-1.57)", "-1"),
        ("trunc(157, -1)", "150"),
        ("floor(-99999999.99::numeric(10, 2))", "-100000000"),
        ("ceil(99999999.01::numeric(10, 2))", "100000000"),
        ("ceiling(-1.5)", "-1"),
        ("floor(12345678901234567890123456789012345678901234567890.5)", "12345678901234567890123456789012345678901234567890"),
        ("sign(-1.5)", "-1"),
        ("sign(0.00)", "0"),
        ("mod(7, -3)", "1"),
        ("mod(-7.5, 2)", "-1.5"),
        ("round(null::numeric(10, 2), 1) is null", "true"),
    ] {
        assert_eq!(one(&format!("select {sql}")).await.unwrap(), expected, "{sql}");
    }
    let doubles = [("0.5", "0.0"), ("1.5", "2.0"), ("2.5", "2.0"), ("-2.5", "-2.0"), ("'NaN'", "NaN"), ("'-infinity'", "-inf")];
    for (value, expected) in doubles {
        assert_eq!(one(&format!("select round({value}::double precision)")).await.unwrap(), expected, "{value}");
    }
    assert_eq!(one("select sign('NaN'::double precision)").await.unwrap(), "0.0");
    assert_eq!(one("select arrow_typeof(round(5))").await.unwrap(), "Float64");
    for sql in ["round('2024-01-01'::date)", "round(1.5, 1.5)", "sign(1, 2)", "mod(1)"] {
        assert_eq!(one(&format!("select {sql}")).await.expect_err(sql).state, SqlState::UNDEFINED_FUNCTION, "{sql}");
    }
}

#[tokio::test]
async fn rows_compare_column_by_column() {
    for (sql, expected) in [
        ("(1, 2) = (1, 2)", "true"),
        ("(1, null) = (2, 2)", "false"),
        ("coalesce((1, null) = (1, 2), false)", "false"),
        ("((1, null) = (1, 2)) is null", "true"),
        ("((1, null) < (1, 2)) is null", "true"),
        ("(1, null) < (2, 2)", "true"),
        ("(1, 2) <= (1, 2)", "true"),
        ("(1, 2) < (1, 2)", "false"),
        ("(2, 1) > (1, 9)", "true"),
        ("(1, 'b') in ((1, 'a'), (1, 'b'))", "true"),
        ("((1, null) in ((1, 'a'))) is null", "true"),
        ("(1, 'b') not in ((1, 'a'), (2, 'b'))", "true"),
        ("row(1, 2) is distinct from row(1, null)", "true"),
    ] {
        assert_eq!(one(&format!("select {sql}")).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn division_by_zero_is_22012() {
    for sql in ["select 1 / 0", "select b / (a - 1) from t where a = 1", "select b % (a - 1) from t where a = 1"] {
        assert_eq!(one(sql).await.expect_err(sql).state, SqlState::DIVISION_BY_ZERO, "{sql}");
    }
}

/// A table `z`: midnight of 2024-01-01 in New York, as an instant, and a uuid.
fn in_new_york() -> SessionContext {
    let ctx = context();
    let utc = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    let schema =
        Arc::new(Schema::new(vec![Field::new("ts", utc, true), crate::pgtype::field("u", DataType::Utf8, true, crate::pgtype::UUID)]));
    let instant = arrow::array::TimestampMicrosecondArray::from(vec![1_704_085_200_000_000]).with_timezone("UTC");
    let uuid = arrow::array::StringArray::from(vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]);
    ctx.register_batch("z", RecordBatch::try_new(schema, vec![Arc::new(instant), Arc::new(uuid)]).unwrap()).unwrap();
    ctx.state_ref().write().config_mut().options_mut().execution.time_zone = Some("America/New_York".into());
    ctx
}

#[tokio::test]
async fn the_session_zone_decides_what_a_day_is() {
    let ctx = in_new_york();
    // The expectations are PostgreSQL 15's with TimeZone = America/New_York.
    for (sql, expected) in [
        ("select date_trunc('day', ts) = ts from z", "true"),
        ("select date_trunc('year', ts - interval '1 second') < date_trunc('year', ts) from z", "true"),
        ("select extract(hour from ts) from z", "0"),
        ("select extract(day from ts - interval '1 second') from z", "31"),
        ("select (ts - interval '1 second')::date from z", "2023-12-31"),
        ("select ts::timestamp from z", "2024-01-01T00:00:00"),
        ("select ts = timestamp '2024-01-01 00:00:00' from z", "true"),
        ("select ts = date '2024-01-01' from z", "true"),
        ("select timestamp '2024-01-01 00:00:00'::timestamptz = ts from z", "true"),
    ] {
        let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
        assert_eq!(arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn a_plan_that_is_analyzed_twice_keeps_its_types() {
    let ctx = context();
    for sql in [
        "select sum(a), sum(b) from t",
        "select '7'::bigint, a::text, b::double::text, 2.5::int from t",
        "select date '2024-01-01' + 1, date '2024-01-01' + interval '1 day', '2024-01-01'::date from t",
        "select avg(a) over (order by b), min(a::double) over (order by b), max(b) over () from t",
        "select column1 + 1.5 from (values (1.5), (2::double), (3), (null)) v",
        "select 7 union all select 1.5 union all select 2::double",
        "select a from t where a * 1.5 in (select b::double from t)",
        "select concat('x', a = 1, 1.5) from t",
    ] {
        let plan = ctx.state().create_logical_plan(sql).await.unwrap();
        let once = ctx.state().analyzer().execute_and_check(plan, ctx.state().config_options(), |_, _| {}).unwrap();
        let twice = ctx.state().analyzer().execute_and_check(once.clone(), ctx.state().config_options(), |_, _| {}).unwrap();
        assert_eq!(once.schema(), twice.schema(), "{sql}");
        ctx.execute_logical_plan(twice).await.unwrap().collect().await.unwrap();
    }
    let plan = ctx.state().create_logical_plan("select sum(a) from t").await.unwrap();
    let once = ctx.state().analyzer().execute_and_check(plan, ctx.state().config_options(), |_, _| {}).unwrap();
    assert_eq!(once.schema().field(0).data_type(), &DataType::Int64);
}

#[tokio::test]
async fn a_numeric_and_a_double_make_a_double() {
    for (sql, want) in [
        ("select arrow_typeof(column1) from (values (1.5), ('inf'::double), (null)) v", "Float64"),
        ("select arrow_typeof(x) from (select 7 as x union all select 1.5 union all select 'nan'::double) s", "Float64"),
        ("select arrow_typeof(x) from (select 1.5 as x union select 2.25) s", "Decimal128(3, 2)"),
        ("select arrow_typeof(column1) from (values (1.5), (2)) v", "Decimal128(21, 1)"),
        ("select x * 2.5 from (select case when a = 1 then 1.5 else 'nan'::double end x from t) s where x < 2", "3.75"),
    ] {
        assert_eq!(one(sql).await.unwrap(), want, "{sql}");
    }
}

#[tokio::test]
async fn text_beside_a_timestamp_is_read_in_its_type_and_the_session_zone() {
    let ctx = in_new_york();
    for (condition, rows) in [
        ("ts = '2024-01-01 00:00:00'", 1),
        ("ts = '2024-01-01 05:00:00Z'", 1),
        ("ts < '9999-12-31'", 1),
        ("ts between '1600-01-01' and 'infinity'", 1),
        ("ts in ('2024-01-01', '2030-01-01')", 1),
        ("ts < '-infinity'", 0),
        ("u = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", 1),
        ("u in ('{a0eebc999c0b4ef8bb6d6bb9bd380a11}')", 1),
    ] {
        let sql = format!("select 1 from z where {condition}");
        let found: usize = ctx.sql(&sql).await.unwrap().collect().await.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(found, rows, "{sql}");
    }
    let e: SqlError = ctx.sql("select 1 from z where u = 'x'").await.unwrap().collect().await.unwrap_err().into();
    assert_eq!(e.state, SqlState::INVALID_TEXT_REPRESENTATION);
}

#[tokio::test]
async fn nan_is_the_greatest_float_whatever_the_order_of_the_rows() {
    for rows in ["('NaN'), ('1'), ('-0'), ('0')", "('1'), ('0'), ('-0'), ('NaN')", "('0'), ('NaN'), ('-0'), ('1')"] {
        for ty in ["double precision", "real"] {
            let from = format!("from (select cast(column1 as {ty}) x from (values {rows})) v");
            assert_eq!(one(&format!("select max(x) {from}")).await.unwrap(), "NaN", "{rows}");
            assert_eq!(one(&format!("select min(x) {from}")).await.unwrap(), "-0.0", "{rows}");
            assert_eq!(one(&format!("select max(x) {from} group by x > 100 order by 1 limit 1")).await.unwrap(), "1.0", "{rows}");
            assert_eq!(one(&format!("select max(x) {from} where x > 'infinity'::{ty} and x < 0")).await.unwrap(), "");
            // Groups are another code path of DataFusion's, where the last of a NaN and a number is kept.
            assert_eq!(one(&format!("select max(x) {from} group by x is null")).await.unwrap(), "NaN", "{rows}");
            assert_eq!(one(&format!("select min(x) {from} group by x is null")).await.unwrap(), "-0.0", "{rows}");
        }
    }
}
