//! What the dialect answers for a curated set of expressions, and the text that is sent: golden files, updated by `UPDATE_EXPECT=1`.
//!
//! Each text is prepared on a real Postgres over the nasty table, so that a golden file never holds SQL that does not parse.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write as _;
use std::path::Path;

use arrow::datatypes::{DataType, TimeUnit};
use fjord_engine::pushdown::ir::Aggregate;
use fjord_engine::pushdown::{
    AggregateCall, AggregateFunction, Class, Dialect, Equality, Family, JoinKind, Judgement, Op, Order, Rel, RemoteType, Scalar,
    ScanColumn, SortKey, SortSpec, TextFacts, Typed, Value,
};
use fjord_harness::Postgres;
use fjord_postgres::dialect::{PostgresDialect, PostgresFacts};

const NASTY: &str = include_str!("../../../sqllogictests/sources/nasty.sql");
const MICROS: TimeUnit = TimeUnit::Microsecond;

fn dialect() -> PostgresDialect {
    PostgresDialect::new(PostgresFacts { server_version_num: 150_000, encoding_utf8: true, connector: "pg".into() })
}

fn ty(name: &str, family: Family, arrow: DataType) -> RemoteType {
    RemoteType { name: name.into(), family, arrow, nullable: true, text: None }
}

fn text(name: &str, family: Family, equality: Equality, order: Order, collation: &str) -> RemoteType {
    let text = Some(TextFacts { equality, order, pads: false, collation: collation.into() });
    RemoteType { text, ..ty(name, family, DataType::Utf8) }
}

fn bpchar() -> RemoteType {
    let mut ty = text("bpchar", Family::Bpchar, Equality::Bytewise, Order::Other, "default");
    if let Some(facts) = &mut ty.text {
        facts.pads = true;
    }
    ty
}

/// The columns of the nasty table as introspection sees them.
fn columns() -> Vec<ScanColumn> {
    let labels = || ["sad", "ok", "Happy", "happy", "zzz top"].map(String::from).to_vec();
    let det = |name: &str, collation: &str| text(name, Family::Text, Equality::Bytewise, Order::Other, collation);
    let int = |bits: u8, name: &str, arrow: DataType| ty(name, Family::Int(bits), arrow);
    [
        ("id", int(32, "integer", DataType::Int32)),
        ("b", ty("boolean", Family::Bool, DataType::Boolean)),
        ("i2", int(16, "smallint", DataType::Int16)),
        ("i4", int(32, "integer", DataType::Int32)),
        ("i8", int(64, "bigint", DataType::Int64)),
        ("f4", ty("real", Family::Float(32), DataType::Float32)),
        ("f8", ty("double precision", Family::Float(64), DataType::Float64)),
        ("n10", ty("numeric", Family::Decimal(Some((10, 2))), DataType::Decimal128(10, 2))),
        ("nu", ty("numeric", Family::Decimal(None), DataType::Decimal256(76, 38))),
        ("t", det("text", "default")),
        ("tc", text("text", Family::Text, Equality::Bytewise, Order::Bytes, "C")),
        ("ten", det("text", "en-US-x-icu")),
        ("tnd", text("text", Family::Text, Equality::Coarser, Order::Other, "nondet")),
        ("vc", det("varchar", "default")),
        ("bp", bpchar()),
        ("ci", text("public.citext", Family::Citext, Equality::Coarser, Order::Other, "default")),
        ("nm", text("name", Family::Text, Equality::Bytewise, Order::Bytes, "C")),
        ("e", ty("public.mood", Family::Enum(labels()), DataType::Utf8)),
        ("by", ty("bytea", Family::Bytes, DataType::Binary)),
        ("d", ty("date", Family::Date, DataType::Date32)),
        ("tm", ty("time", Family::Time, DataType::Time64(MICROS))),
        ("ts", ty("timestamp", Family::Timestamp, DataType::Timestamp(MICROS, None))),
        ("tz", ty("timestamptz", Family::TimestampTz, DataType::Timestamp(MICROS, Some("UTC".into())))),
        ("iv", ty("interval", Family::Interval, DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano))),
        ("u", ty("uuid", Family::Uuid, DataType::Utf8)),
        ("j", ty("json", Family::Json, DataType::Utf8)),
        ("jb", ty("jsonb", Family::Jsonb, DataType::Utf8)),
        ("ip", ty("inet", Family::Other, DataType::Utf8)),
        ("o", ty("oid", Family::UInt(32), DataType::UInt32)),
        ("p", ty("public.pair", Family::Other, DataType::Utf8)),
        ("Odd \"Name", int(32, "integer", DataType::Int32)),
    ]
    .into_iter()
    .map(|(name, ty)| ScanColumn { name: name.into(), ty })
    .collect()
}

fn scan() -> Rel {
    Rel::Scan { schema: "public".into(), table: "nasty".into(), columns: columns() }
}

fn col(name: &str) -> Typed {
    let (i, c) = columns().into_iter().enumerate().find(|(_, c)| c.name == name).unwrap();
    Typed { scalar: Scalar::Column(i), ty: c.ty }
}

fn lit(value: Value, arrow: DataType) -> Typed {
    dialect().literal(&value, &arrow, None).expr.unwrap()
}
fn s(v: &str) -> Typed {
    lit(Value::Text(v.into()), DataType::Utf8)
}
fn i(v: i64) -> Typed {
    lit(Value::Int(v), DataType::Int64)
}
fn i4(v: i64) -> Typed {
    lit(Value::Int(v), DataType::Int32)
}
fn f(v: f64) -> Typed {
    lit(Value::Float64(v.to_bits()), DataType::Float64)
}
fn dec(v: &str, p: u8, scale: i8) -> Typed {
    lit(Value::Decimal(v.into()), DataType::Decimal128(p, scale))
}
fn null() -> Typed {
    lit(Value::Null, DataType::Utf8)
}
fn judge(op: Op, args: &[Typed]) -> Judgement {
    dialect().scalar(&op, args, &DataType::Boolean)
}
fn made(op: Op, args: &[Typed], result: DataType) -> Typed {
    let j = dialect().scalar(&op, args, &result);
    j.expr.unwrap_or_else(|| panic!("{op:?} is not pushed: {}", j.reason))
}

fn made_judgement(j: Judgement) -> Judgement {
    assert!(j.expr.is_some(), "{}", j.reason);
    j
}

/// Every rule, by name of what it shows.
fn predicates() -> Vec<(String, Judgement)> {
    let mut out: Vec<(String, Judgement)> = vec![];
    let mut add = |what: &str, j: Judgement| out.push((what.to_string(), j));
    for name in ["t", "tc", "ten", "tnd", "vc", "bp", "ci", "nm", "e", "u", "j", "jb"] {
        for (sign, op) in [("=", Op::Eq), ("<>", Op::NotEq), ("<", Op::Lt), ("IS DISTINCT FROM", Op::IsDistinctFrom)] {
            add(&format!("{name} {sign} 'happy'"), judge(op, &[col(name), s("happy")]));
        }
        add(&format!("{name} IN"), judge(Op::In, &[col(name), s("happy"), s("abc "), null()]));
        add(&format!("{name} NOT IN"), judge(Op::NotIn, &[col(name), s("happy"), s("abc ")]));
        add(&format!("{name} LIKE"), judge(Op::Like, &[col(name), s("a\\_b%")]));
        add(&format!("{name} ILIKE"), judge(Op::ILike, &[col(name), s("AB%")]));
        add(&format!("{name} IS NULL"), judge(Op::IsNull, &[col(name)]));
    }
    add("'b' > t", judge(Op::Gt, &[s("b"), col("t")]));
    add("bpchar, literal with blank", judge(Op::Eq, &[col("bp"), s("abc ")]));
    add("bpchar <> literal with blank", judge(Op::NotEq, &[col("bp"), s("abc ")]));
    add("enum, no label", judge(Op::Eq, &[col("e"), s("nope")]));
    add("uuid, canonical", judge(Op::Eq, &[col("u"), s("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")]));
    add("uuid range", judge(Op::GtEq, &[col("u"), s("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")]));
    add("uuid, capitals", judge(Op::Eq, &[col("u"), s("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11")]));
    add("name, long literal", judge(Op::Eq, &[col("nm"), s(&"x".repeat(64))]));
    add("name range, long literal", judge(Op::Lt, &[col("nm"), s(&"x".repeat(64))]));
    add("two collations", judge(Op::Eq, &[col("t"), col("ten")]));
    add("two collations, order", judge(Op::Lt, &[col("t"), col("ten")]));
    add("one collation, order", judge(Op::Lt, &[col("t"), col("vc")]));
    add("text and bpchar", judge(Op::Eq, &[col("t"), col("bp")]));
    add("text and enum", judge(Op::Eq, &[col("t"), col("e")]));
    add("nasty literal", judge(Op::Eq, &[col("t"), s("\\' OR 1=1 --")]));
    add("LIKE, pattern ends in escape", judge(Op::Like, &[col("t"), s("abc\\")]));
    add("LIKE, pattern a column", judge(Op::Like, &[col("t"), col("vc")]));
    add("ILIKE beyond ASCII", judge(Op::ILike, &[col("t"), s("É%")]));
    add("NOT ILIKE", judge(Op::NotILike, &[col("t"), s("a%")]));
    add("i4 = 5", judge(Op::Eq, &[col("i4"), i4(5)]));
    add("i8 < least", judge(Op::LtEq, &[col("i8"), i(i64::MIN)]));
    add("i4 IN", judge(Op::In, &[col("i4"), i4(1), i4(-2)]));
    add("oid", judge(Op::Gt, &[col("o"), lit(Value::UInt(2_147_483_648), DataType::UInt32)]));
    add("f8 = -0.0", judge(Op::Eq, &[col("f8"), f(-0.0)]));
    add("f8 > NaN", judge(Op::GtEq, &[col("f8"), f(f64::NAN)]));
    add("f8 IN without zero", judge(Op::In, &[col("f8"), f(1.5), f(f64::INFINITY)]));
    add("f8 IN with zero", judge(Op::In, &[col("f8"), f(0.0), f(1.5)]));
    add("f4 and f8", judge(Op::Eq, &[made(Op::Cast, &[col("f4")], DataType::Float64), f(0.1)]));
    add("f4 without cast", judge(Op::Eq, &[col("f4"), f(0.1)]));
    add("i4 as f8", judge(Op::Gt, &[made(Op::Cast, &[col("i4")], DataType::Float64), f(1.5)]));
    add("i8 as f8", dialect().scalar(&Op::Cast, &[col("i8")], &DataType::Float64));
    add("n10 = 1.5", judge(Op::Eq, &[col("n10"), dec("1.50", 10, 2)]));
    add("n10 rescaled", judge(Op::Lt, &[made(Op::Cast, &[col("n10")], DataType::Decimal128(22, 4)), dec("-1.5000", 22, 4)]));
    add("n10 cut", dialect().scalar(&Op::Cast, &[col("n10")], &DataType::Decimal128(10, 1)));
    add("i4 as numeric", judge(Op::Eq, &[made(Op::Cast, &[col("i4")], DataType::Decimal128(12, 2)), dec("5.00", 12, 2)]));
    add("i8 as too small numeric", dialect().scalar(&Op::Cast, &[col("i8")], &DataType::Decimal128(12, 2)));
    add("bytea", judge(Op::Eq, &[col("by"), lit(Value::Bytes(vec![0, 0x5c, 0x27]), DataType::Binary)]));
    add("date", judge(Op::Lt, &[col("d"), lit(Value::Date(-719_528), DataType::Date32)]));
    add("date infinity", judge(Op::Lt, &[col("d"), lit(Value::Date(i32::MAX), DataType::Date32)]));
    add("time 24:00", judge(Op::Eq, &[col("tm"), lit(Value::Time(86_400_000_000), DataType::Time64(MICROS))]));
    add("timestamp", judge(Op::GtEq, &[col("ts"), lit(Value::Timestamp(-1), DataType::Timestamp(MICROS, None))]));
    let utc = || DataType::Timestamp(MICROS, Some("UTC".into()));
    add("timestamptz", judge(Op::GtEq, &[col("tz"), lit(Value::TimestampTz(-62_135_596_800_000_001), utc())]));
    add("timestamptz and timestamp", judge(Op::Eq, &[col("tz"), col("ts")]));
    add("day of timestamptz", judge(Op::Eq, &[made(Op::Cast, &[col("tz")], DataType::Date32), lit(Value::Date(19_782), DataType::Date32)]));
    add(
        "interval",
        judge(Op::Eq, &[col("iv"), lit(Value::Interval(1, 0, 0), DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano))]),
    );
    add("inet", judge(Op::Eq, &[col("ip"), s("127.0.0.1")]));
    add("composite IS NULL", judge(Op::IsNull, &[col("p")]));
    let wide = made(Op::Cast, &[col("i4")], DataType::Int64);
    let sum = dialect().scalar(&Op::Plus, &[wide.clone(), i(1)], &DataType::Int64);
    add("i4 + 1", judge(Op::Gt, &[sum.expr.clone().unwrap(), i(5)]));
    add("(i4 + 1) * i4", dialect().scalar(&Op::Multiply, &[sum.expr.clone().unwrap(), wide.clone()], &DataType::Int64));
    add("i8 + 1", dialect().scalar(&Op::Plus, &[col("i8"), i(1)], &DataType::Int64));
    let sum = made(Op::Plus, &[col("i4"), col("id")], DataType::Int32);
    add("i4 + id", judge(Op::Gt, &[sum.clone(), i4(5)]));
    add("(i4 + id) * i4", dialect().scalar(&Op::Multiply, &[sum.clone(), col("i4")], &DataType::Int32));
    add("(i4 + id) * (i4 + id) * (i4 + id)", {
        let square = dialect().scalar(&Op::Multiply, &[sum.clone(), sum.clone()], &DataType::Int32);
        assert_eq!(square.class, Class::No, "2^66 does not fit a bigint");
        square
    });
    add("(i4 + id)::bigint", made_judgement(dialect().scalar(&Op::Cast, &[sum], &DataType::Int64)));
    add("i4 / 2", judge(Op::Eq, &[made(Op::Divide, &[col("i4"), i4(2)], DataType::Int32), i4(3)]));
    add("i4 / 0", dialect().scalar(&Op::Divide, &[col("i4"), i4(0)], &DataType::Int32));
    add("i4 % id", dialect().scalar(&Op::Modulo, &[col("i4"), col("id")], &DataType::Int32));
    add("-i4", dialect().scalar(&Op::Negate, &[col("i4")], &DataType::Int32));
    add("-i8", dialect().scalar(&Op::Negate, &[col("i8")], &DataType::Int64));
    add("-i4::bigint", judge(Op::Lt, &[made(Op::Negate, &[wide], DataType::Int64), i(0)]));
    add("n10 * n10", judge(Op::Gt, &[made(Op::Multiply, &[col("n10"), col("n10")], DataType::Decimal128(21, 4)), dec("2.2500", 21, 4)]));
    add("n10 / n10", dialect().scalar(&Op::Divide, &[col("n10"), col("n10")], &DataType::Decimal128(21, 6)));
    add("f8 + 1", dialect().scalar(&Op::Plus, &[col("f8"), f(1.0)], &DataType::Float64));
    add("COALESCE(t, 'x')", judge(Op::Eq, &[made(Op::Coalesce, &[col("t"), s("x")], DataType::Utf8), s("x")]));
    add("COALESCE(e, t)", judge(Op::Eq, &[made(Op::Coalesce, &[col("e"), col("t")], DataType::Utf8), s("x")]));
    add("NULLIF(tnd, 'abc')", judge(Op::IsNull, &[made(Op::NullIf, &[col("tnd"), s("abc")], DataType::Utf8)]));
    add("NULLIF(f8, 0)", judge(Op::NullIf, &[col("f8"), f(0.0)]));
    let case = made(
        Op::Case,
        &[judge(Op::Eq, &[col("i4"), i4(1)]).expr.unwrap(), s("one"), judge(Op::Eq, &[col("i4"), i4(7)]).expr.unwrap(), col("t")],
        DataType::Utf8,
    );
    add("CASE", judge(Op::Eq, &[case, s("one")]));
    add("t || vc || 'x'", judge(Op::Eq, &[made(Op::Concat, &[col("t"), col("vc"), s("x")], DataType::Utf8), s("ax")]));
    add("i4 || 'x'", judge(Op::Eq, &[made(Op::Concat, &[made(Op::Cast, &[col("i4")], DataType::Utf8), s("x")], DataType::Utf8), s("1x")]));
    add("b IS NOT TRUE", judge(Op::IsNotTrue, &[col("b")]));
    add("a function", judge(Op::Function("upper".into()), &[col("t")]));
    add(
        "quoted name",
        judge(Op::Or, &[judge(Op::Eq, &[col("Odd \"Name"), i4(3)]).expr.unwrap(), judge(Op::Not, &[col("b")]).expr.unwrap()]),
    );
    out
}

/// Scalar functions: sent by exact signature, or kept with the reason.
fn functions() -> Vec<(String, Judgement)> {
    let f = |name: &str, args: &[Typed], result: DataType| dialect().scalar(&Op::Function(name.into()), args, &result);
    let (utf8, int, yes) = (|| DataType::Utf8, || DataType::Int32, || DataType::Boolean);
    let mut out: Vec<(String, Judgement)> = vec![];
    for name in ["t", "tc", "tnd", "bp", "ci", "nm", "e"] {
        out.push((format!("length({name})"), f("character_length", &[col(name)], int())));
        out.push((format!("substr({name}, 2, 3)"), f("substr", &[col(name), i(2), i(3)], utf8())));
        out.push((format!("replace({name}, 'a', vc)"), f("replace", &[col(name), s("a"), col("vc")], utf8())));
        out.push((format!("greatest({name}, 'b')"), f("greatest", &[col(name), s("b")], utf8())));
    }
    let decimal = |p: u8, scale: i8| DataType::Decimal128(p, scale);
    let iv = |m, d, us| lit(Value::Interval(m, d, us), DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano));
    for (what, judgement) in [
        ("substr, negative count", f("substr", &[col("t"), i(2), i(-1)], utf8())),
        ("substr, start of a column", f("substr", &[col("t"), col("i8")], utf8())),
        ("right, least integer", f("right", &[col("t"), i(i64::from(i32::MIN))], utf8())),
        ("left('x', 1)", f("left", &[s("x"), i(1)], utf8())),
        ("lpad", f("lpad", &[col("t"), i(5), s("xy")], utf8())),
        ("lpad, too long", f("lpad", &[col("t"), i(100_000_000)], utf8())),
        ("split_part", f("split_part", &[col("t"), s("a"), i(-1)], utf8())),
        ("split_part, zero", f("split_part", &[col("t"), s("a"), i(0)], utf8())),
        ("strpos of two collations", f("strpos", &[col("t"), col("ten")], int())),
        ("starts_with", f("starts_with", &[col("t"), s("a")], yes())),
        ("concat", f("concat", &[col("t"), s("-"), null(), col("vc")], utf8())),
        ("concat_ws", f("concat_ws", &[s("-"), col("t"), col("ci")], utf8())),
        ("repeat", f("repeat", &[col("t"), i(3)], utf8())),
        ("md5", f("md5", &[col("t")], DataType::Utf8View)),
        ("upper", f("upper", &[col("t")], utf8())),
        ("unknown", f("levenshtein", &[col("t"), s("x")], int())),
        ("a NULL", f("strpos", &[col("t"), null()], int())),
        ("abs(i4)", f("abs", &[col("i4")], int())),
        ("abs(i8)", f("abs", &[col("i8")], DataType::Int64)),
        ("abs(f4)", f("abs", &[col("f4")], DataType::Float32)),
        ("round(n10, 1)", f("round", &[col("n10"), i(1)], decimal(10, 1))),
        ("round(n10, id)", f("round", &[col("n10"), col("i8")], decimal(11, 2))),
        ("floor(f8)", f("floor", &[col("f8")], DataType::Float64)),
        ("floor(f4)", f("floor", &[col("f4")], DataType::Float32)),
        ("greatest(i4, id)", f("greatest", &[col("i4"), col("id")], int())),
        ("greatest(f8, f8)", f("greatest", &[col("f8"), col("f8")], DataType::Float64)),
        ("i4 & 3", dialect().scalar(&Op::BitAnd, &[col("i4"), i4(3)], &int())),
        ("n10 % 0.7", dialect().scalar(&Op::Modulo, &[col("n10"), dec("0.7", 2, 1)], &decimal(3, 2))),
        ("n10 % 0", dialect().scalar(&Op::Modulo, &[col("n10"), dec("0.0", 2, 1)], &decimal(3, 2))),
        ("i8::int", dialect().scalar(&Op::Cast, &[col("i8")], &int())),
        ("i8::int + 1", {
            let narrow = made(Op::Cast, &[col("i8")], int());
            dialect().scalar(&Op::Plus, &[narrow, i4(1)], &int())
        }),
        ("b::int", dialect().scalar(&Op::Cast, &[col("b")], &int())),
        ("ts + 1 month", dialect().scalar(&Op::Plus, &[col("ts"), iv(1, 0, 0)], &DataType::Timestamp(MICROS, None))),
        ("ts - 1 day", dialect().scalar(&Op::Minus, &[col("ts"), iv(0, 1, 0)], &DataType::Timestamp(MICROS, None))),
        ("ts + 20000 years", dialect().scalar(&Op::Plus, &[col("ts"), iv(240_000, 0, 0)], &DataType::Timestamp(MICROS, None))),
        ("d + 3", dialect().scalar(&Op::Plus, &[col("d"), iv(0, 0, 3 * 86_400_000_000)], &DataType::Date32)),
        ("d - d", dialect().scalar(&Op::Minus, &[col("d"), col("d")], &DataType::Int64)),
        ("d::timestamp", dialect().scalar(&Op::Cast, &[col("d")], &DataType::Timestamp(MICROS, None))),
        ("jb ->> 'k'", f("fjord_json_get_text", &[col("jb"), s("k")], utf8())),
        ("jb -> 0", f("fjord_json_get", &[col("jb"), i(0)], utf8())),
        ("jb -> a bigint", f("fjord_json_get", &[col("jb"), i(5_000_000_000)], utf8())),
        ("jb -> a column", f("fjord_json_get", &[col("jb"), col("t")], utf8())),
        ("jb #>> '{a,b}'", f("fjord_json_get_path_text", &[col("jb"), s("{a,b}")], utf8())),
        ("jb #>> '{a,null}'", f("fjord_json_get_path_text", &[col("jb"), s("{a,null}")], utf8())),
        ("jsonb_extract_path_text(jb, 'a', '0')", f("jsonb_extract_path_text", &[col("jb"), s("a"), s("0")], utf8())),
        ("jb @> '{\"a\": 1}'", f("fjord_jsonb_contains", &[col("jb"), s("{\"a\": 1}")], yes())),
        ("'{\"a\": 1}' @> jb", f("fjord_jsonb_contains", &[s("{\"a\": 1}"), col("jb")], yes())),
        ("jb @> no document", f("fjord_jsonb_contains", &[col("jb"), s("{\"a\": 1e999999}")], yes())),
        ("jb ? 'a'", f("fjord_jsonb_exists", &[col("jb"), s("a")], yes())),
        ("jb ?| '{a,b}'", f("fjord_jsonb_exists_any", &[col("jb"), s("{a,b}")], yes())),
        ("jsonb_typeof(jb)", f("jsonb_typeof", &[col("jb")], utf8())),
        ("jsonb_array_length(jb)", f("jsonb_array_length", &[col("jb")], int())),
        ("j ->> 'k'", f("fjord_json_get_text", &[col("j"), s("k")], utf8())),
        ("json_typeof(j)", f("json_typeof", &[col("j")], utf8())),
        ("i4::boolean", dialect().scalar(&Op::Cast, &[col("i4")], &yes())),
    ] {
        out.push((what.to_string(), judgement));
    }
    // Exact for most rows: the form, OR the rows it is not exact for.
    let mostly = |function: &str, args: Vec<Typed>, with: Typed| {
        let m = dialect().scalar_mostly(&Op::Function(function.into()), &args, &DataType::Utf8).unwrap();
        let condition = judge(Op::Eq, &[m.value, with]).expr.unwrap();
        let ty = RemoteType::boolean(true);
        Judgement::superset(Scalar::call(Op::Or, vec![condition.scalar, m.except], ty.clone()), ty, m.reason)
    };
    out.push(("lower(ci) = 'a'".into(), mostly("lower", vec![col("ci")], s("a"))));
    out.push(("j ->> 'k' = 'v'".into(), mostly("fjord_json_get_text", vec![col("j"), s("k")], s("v"))));
    let many: Vec<Typed> = (0..40).map(|n| i4(n * n)).collect();
    out.push(("a long IN list".into(), judge(Op::In, &[vec![col("i4")], many].concat())));
    let many: Vec<Typed> = (0..40).map(|n| s(&format!("\\\"'{n}"))).chain([null()]).collect();
    out.push(("a long NOT IN list of texts".into(), judge(Op::NotIn, &[vec![col("t")], many.clone()].concat())));
    out.push(("a long IN list, citext".into(), judge(Op::In, &[vec![col("ci")], many].concat())));
    out
}

fn filter(predicate: Scalar) -> Rel {
    Rel::Filter { input: Box::new(scan()), predicate }
}

fn project(input: Rel, names: &[&str]) -> Rel {
    Rel::Project { input: Box::new(input), exprs: names.iter().map(|n| col(n).scalar).collect() }
}

/// Whole queries.
fn queries() -> Vec<(&'static str, Rel)> {
    let d = dialect();
    let eq = |name: &str, v: &str| judge(Op::Eq, &[col(name), s(v)]).expr.unwrap().scalar;
    let key = |name: &str| d.group_key(&col(name)).expr.unwrap().scalar;
    let sort = |name: &str, descending: bool| {
        let spec = SortSpec { expr: col(name), descending, nulls_first: descending };
        SortKey { expr: d.sort_key(&spec).expr.unwrap().scalar, descending, nulls_first: descending }
    };
    let aggregate = |function: AggregateFunction, arg: Option<&str>, distinct: bool, result: DataType| {
        let args: Vec<Typed> = arg.iter().map(|a| col(a)).collect();
        let call = AggregateCall { function: function.clone(), args, distinct, filter: None, result };
        let (j, args) = d.aggregate(&call);
        Aggregate { function, args, distinct, filter: None, ty: j.expr.unwrap_or_else(|| panic!("{}", j.reason)).ty }
    };
    let count = || aggregate(AggregateFunction::CountStar, None, false, DataType::Int64);
    let limit = |input: Rel, skip: u64, fetch: Option<u64>| Rel::Limit { input: Box::new(input), skip, fetch };
    let sorted = |input: Rel, keys: Vec<SortKey>| Rel::Sort { input: Box::new(input), keys };
    let grouped = |input: Rel, keys: Vec<Scalar>, aggregates: Vec<Aggregate>| Rel::Aggregate { input: Box::new(input), keys, aggregates };
    let group_of = || {
        grouped(
            filter(eq("t", "abc")),
            vec![key("ten"), key("ci"), key("f8")],
            vec![
                count(),
                aggregate(AggregateFunction::Sum, Some("i4"), false, DataType::Int64),
                aggregate(AggregateFunction::Sum, Some("i8"), false, DataType::Int64),
                aggregate(AggregateFunction::Sum, Some("n10"), false, DataType::Decimal128(20, 2)),
                aggregate(AggregateFunction::Min, Some("ten"), false, DataType::Utf8),
                aggregate(AggregateFunction::Max, Some("b"), false, DataType::Boolean),
                aggregate(AggregateFunction::Count, Some("tnd"), true, DataType::Int64),
            ],
        )
    };
    let having = Rel::Filter {
        input: Box::new(group_of()),
        predicate: Scalar::call(Op::Gt, vec![Scalar::Column(3), i(1).scalar], RemoteType::boolean(true)),
    };
    let mut filtered = count();
    filtered.filter = Some(eq("vc", "x"));
    vec![
        ("all columns", scan()),
        ("no columns", project(scan(), &[])),
        ("projection", project(filter(eq("t", "abc")), &["id", "Odd \"Name"])),
        ("top n by locale text", limit(project(sorted(scan(), vec![sort("ten", false)]), &["id", "ten"]), 0, Some(3))),
        ("order by", project(sorted(scan(), vec![sort("ten", false), sort("f8", true), sort("e", false), sort("id", true)]), &["id", "e"])),
        ("limit and offset", limit(limit(project(scan(), &["id"]), 5, Some(100)), 10, Some(200))),
        ("filter above a limit", Rel::Filter { input: Box::new(limit(scan(), 0, Some(10))), predicate: eq("t", "abc") }),
        ("group by", group_of()),
        (
            "having and top n",
            limit(sorted(having, vec![SortKey { expr: Scalar::Column(3), descending: true, nulls_first: true }]), 0, Some(5)),
        ),
        ("one row", grouped(scan(), vec![], vec![count(), filtered])),
        ("aggregate of an aggregate", grouped(group_of(), vec![], vec![count()])),
        (
            "grouping sets, then a condition and a limit",
            limit(
                Rel::Filter {
                    input: Box::new(Rel::GroupingSets {
                        input: Box::new(filter(eq("t", "abc"))),
                        keys: vec![key("b"), key("ci"), key("f8")],
                        sets: vec![vec![0, 1, 2], vec![1], vec![]],
                        id: d.grouping_id(3, &DataType::UInt8).unwrap(),
                        aggregates: vec![count(), aggregate(AggregateFunction::Sum, Some("i4"), false, DataType::Int64)],
                    }),
                    predicate: Scalar::call(Op::IsNotNull, vec![Scalar::Column(0)], RemoteType::boolean(false)),
                },
                0,
                Some(3),
            ),
        ),
        ("distinct", Rel::Distinct { input: Box::new(project(scan(), &["i4", "b"])) }),
        (
            "sort above distinct",
            sorted(
                Rel::Distinct { input: Box::new(project(scan(), &["i4", "b"])) },
                vec![SortKey { expr: Scalar::Column(0), descending: false, nulls_first: false }],
            ),
        ),
        ("constant key", grouped(scan(), vec![i(1).scalar], vec![count()])),
        (
            "constant column",
            Rel::Project { input: Box::new(scan()), exprs: vec![i4(1).scalar, s("x").scalar, f(1.5).scalar, null().scalar] },
        ),
        (
            "join",
            Rel::Join {
                left: Box::new(project(scan(), &["id", "t"])),
                right: Box::new(project(filter(eq("t", "abc")), &["id"])),
                kind: JoinKind::Left,
                on: Some(Scalar::call(Op::Eq, vec![Scalar::Column(0), Scalar::Column(2)], RemoteType::boolean(true))),
            },
        ),
        (
            "semi join",
            Rel::Join {
                left: Box::new(project(scan(), &["id", "t"])),
                right: Box::new(project(scan(), &["id"])),
                kind: JoinKind::Semi,
                on: Some(Scalar::call(Op::Eq, vec![Scalar::Column(0), Scalar::Column(2)], RemoteType::boolean(true))),
            },
        ),
        ("join of joins, a filter on the padded side", {
            let side = |rel: Rel| Box::new(project(rel, &["id", "i4"]));
            let on = |a: usize, b: usize| Some(Scalar::call(Op::Eq, vec![Scalar::Column(a), Scalar::Column(b)], RemoteType::boolean(true)));
            let inner = Rel::Join { left: side(scan()), right: side(filter(eq("vc", "x"))), kind: JoinKind::Inner, on: on(1, 2) };
            Rel::Join { left: side(filter(eq("t", "abc"))), right: Box::new(inner), kind: JoinKind::Left, on: on(1, 2) }
        }),
        ("computed column on the padded side", {
            let constant = Rel::Project { input: Box::new(scan()), exprs: vec![Scalar::Column(0), i4(1).scalar] };
            let on = Some(Scalar::call(Op::Eq, vec![Scalar::Column(0), Scalar::Column(1)], RemoteType::boolean(true)));
            Rel::Join { left: Box::new(project(scan(), &["id"])), right: Box::new(constant), kind: JoinKind::Left, on }
        }),
        ("full join of filtered sides, grouped", {
            let on = Some(Scalar::call(Op::Eq, vec![Scalar::Column(0), Scalar::Column(1)], RemoteType::boolean(true)));
            let left = Box::new(project(filter(eq("t", "abc")), &["id"]));
            let join = Rel::Join { left, right: Box::new(project(scan(), &["id"])), kind: JoinKind::Full, on };
            grouped(join, vec![Scalar::Column(1)], vec![count()])
        }),
        ("not in, with nulls on both sides", {
            let keys = |of: Rel| Box::new(project(of, &["i4"]));
            let null = Scalar::call(Op::IsNull, vec![Scalar::Column(0)], RemoteType::boolean(false));
            let nulls = Rel::Filter { input: keys(scan()), predicate: null };
            let none = Rel::Join { left: keys(scan()), right: Box::new(nulls), kind: JoinKind::Anti, on: None };
            let marked = Rel::Join { left: Box::new(none), right: keys(scan()), kind: JoinKind::Mark, on: None };
            let present = Scalar::call(Op::IsNotNull, vec![Scalar::Column(0)], RemoteType::boolean(false));
            let empty = Scalar::call(Op::Not, vec![Scalar::Column(1)], RemoteType::boolean(false));
            let predicate = Scalar::call(Op::Or, vec![present, empty], RemoteType::boolean(false));
            let kept = Rel::Project { input: Box::new(Rel::Filter { input: Box::new(marked), predicate }), exprs: vec![Scalar::Column(0)] };
            let on = Some(Scalar::call(Op::Eq, vec![Scalar::Column(0), Scalar::Column(1)], RemoteType::boolean(true)));
            Rel::Join { left: Box::new(kept), right: keys(scan()), kind: JoinKind::Anti, on }
        }),
        ("top n over a join with a group", {
            let on = Some(Scalar::call(Op::Eq, vec![Scalar::Column(0), Scalar::Column(2)], RemoteType::boolean(true)));
            let groups = grouped(project(scan(), &["i4"]), vec![Scalar::Column(0)], vec![count()]);
            let join = Rel::Join { left: Box::new(project(scan(), &["id", "t"])), right: Box::new(groups), kind: JoinKind::Left, on };
            limit(sorted(join, vec![SortKey { expr: Scalar::Column(0), descending: true, nulls_first: true }]), 0, Some(3))
        }),
        ("union", Rel::Union { inputs: vec![project(scan(), &["id"]), project(filter(eq("t", "abc")), &["i4"])] }),
    ]
}

fn check_golden(file: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, got).unwrap();
        return;
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    for (n, (w, g)) in want.lines().zip(got.lines()).enumerate() {
        assert_eq!(w, g, "{file}:{} differs; UPDATE_EXPECT=1 if it is meant", n + 1);
    }
    assert_eq!(want.lines().count(), got.lines().count(), "{file}: another number of lines; UPDATE_EXPECT=1 if it is meant");
}

#[test]
fn judgements() {
    let mut out = String::new();
    for (what, j) in predicates().into_iter().chain(functions()) {
        let sent = match &j.expr {
            Some(e) if e.ty.family == Family::Bool => {
                let text = dialect().render(&project(filter(e.scalar.clone()), &["id"])).unwrap().text;
                text.split_once(" WHERE ").unwrap().1.to_string()
            }
            Some(e) => dialect().render(&Rel::Project { input: Box::new(scan()), exprs: vec![e.scalar.clone()] }).unwrap().text,
            None => String::new(),
        };
        writeln!(out, "{what}\n    {}  {sent}\n    {}", j.class, j.reason).unwrap();
        assert_eq!(j.class == Class::No, j.expr.is_none(), "{what}");
        assert!(!j.reason.is_empty() || j.class == Class::Exact, "{what}: a {} without a reason", j.class);
    }
    check_golden("judgements.txt", &out);
}

#[test]
fn remote_texts() {
    let mut out = String::new();
    for (what, rel) in queries() {
        writeln!(out, "-- {what}\n{}\n", dialect().render(&rel).unwrap().text).unwrap();
    }
    check_golden("remote.sql", &out);
}

/// Where the server's encoding is not UTF8, or a collation is not known, nothing on text goes there.
#[test]
fn unknown_text_is_never_compared_at_the_source() {
    let latin = PostgresDialect::new(PostgresFacts { server_version_num: 150_000, encoding_utf8: false, connector: "pg".into() });
    let unknown = Typed { ty: text("text", Family::Text, Equality::Unknown, Order::Other, "?"), ..col("t") };
    let without = Typed { ty: ty("text", Family::Text, DataType::Utf8), ..col("t") };
    for op in [Op::Eq, Op::NotEq, Op::Lt, Op::Like, Op::In, Op::IsNotDistinctFrom] {
        assert_eq!(latin.scalar(&op, &[col("t"), s("x")], &DataType::Boolean).class, Class::No, "{op:?}");
        assert_eq!(dialect().scalar(&op, &[unknown.clone(), s("x")], &DataType::Boolean).class, Class::No, "{op:?}");
        assert_eq!(dialect().scalar(&op, &[without.clone(), s("x")], &DataType::Boolean).class, Class::No, "{op:?}");
    }
    for dialect_and_key in [(&latin, col("t")), (&dialect(), unknown)] {
        let (d, key) = dialect_and_key;
        assert_eq!(d.group_key(&key).class, Class::No);
        assert_eq!(d.sort_key(&SortSpec { expr: key, descending: false, nulls_first: false }).class, Class::No);
    }
    assert_eq!(latin.literal(&Value::Text("é".into()), &DataType::Utf8, None).class, Class::No);
}

/// A numeric that is read as text compares as text here and as a number there.
#[test]
fn what_arrives_as_another_type_is_not_pushed() {
    let numeric = Typed { ty: ty("numeric", Family::Decimal(None), DataType::Utf8), ..col("nu") };
    assert_eq!(judge(Op::Eq, &[numeric.clone(), s("1")]).class, Class::No);
    assert_eq!(dialect().group_key(&numeric).class, Class::No);
    assert_eq!(judge(Op::IsNull, &[numeric]).class, Class::Exact);
}

/// Every text of the golden files is SQL that a real Postgres plans, with our session's empty search_path.
#[tokio::test]
async fn every_text_parses_on_a_real_server() {
    let server = Postgres::start().unwrap();
    server.psql(NASTY).unwrap();
    let client = server.client().await.unwrap();
    client.batch_execute("SET search_path = ''").await.unwrap();
    for (what, j) in predicates().into_iter().chain(functions()) {
        let Some(e) = j.expr else { continue };
        let rel = match e.ty.family {
            Family::Bool => project(filter(e.scalar), &["id"]),
            _ => Rel::Project { input: Box::new(scan()), exprs: vec![e.scalar] },
        };
        let text = dialect().render(&rel).unwrap().text;
        // Run, not only planned: a rule that lets an error through shows here.
        client.simple_query(&text).await.unwrap_or_else(|e| panic!("{what}: {text}\n{e:?}"));
    }
    for (what, rel) in queries() {
        let text = dialect().render(&rel).unwrap().text;
        client.simple_query(&text).await.unwrap_or_else(|e| panic!("{what}: {text}\n{e:?}"));
        client.batch_execute(&format!("COPY ({text}) TO STDOUT (FORMAT binary)")).await.err();
    }
}

/// The two-conjunct forms find by index and answer by bytes.
#[tokio::test]
async fn coarse_equality_is_exact_and_keeps_the_index() {
    let server = Postgres::start().unwrap();
    server.psql(NASTY).unwrap();
    let client = server.client().await.unwrap();
    client.batch_execute("SET search_path = ''; SET enable_seqscan = off").await.unwrap();
    for (name, index) in [("tnd", "nasty_tnd"), ("ci", "nasty_ci")] {
        let j = judge(Op::Eq, &[col(name), s("abc")]);
        let text = dialect().render(&project(filter(j.expr.unwrap().scalar), &[name])).unwrap().text;
        let rows = client.query(&text, &[]).await.unwrap();
        assert!(!rows.is_empty());
        assert!(rows.iter().all(|r| r.get::<_, &str>(0) == "abc"), "{text}");
        let plan = client.query(&format!("EXPLAIN {text}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|r| r.get(0)).collect();
        assert!(plan.join("\n").contains(index), "{plan:?}");
    }
}

/// Texts, bytes, numbers and times come back from the server as they were written.
#[tokio::test]
async fn literals_survive_the_server() {
    let server = Postgres::start().unwrap();
    let client = server.client().await.unwrap();
    let mut texts: Vec<String> = vec![
        "".into(),
        "'".into(),
        "''".into(),
        "\\".into(),
        "\\'".into(),
        "\\\\'; DROP TABLE x; --".into(),
        "\n\r\t\u{1}\u{7f}".into(),
        "$$".into(),
        "é e\u{301} 😀 \u{ffff} \u{10ffff}".into(),
        "E'\\x41'".into(),
        "\\x41\\u0041\\101".into(),
        "x".repeat(100_000),
    ];
    // Every pair of the characters that mean something to a lexer.
    for a in ['\'', '\\', '"', '$', '%', '-', '\n', 'E', ':', 'u', 'é'] {
        for b in ['\'', '\\', '"', '$', '%', '-', '\n', 'E', ':', 'u', 'é'] {
            texts.push(format!("{a}{b}"));
            texts.push(format!("{a}{b}{a}"));
        }
    }
    let one = |value: Value, arrow: DataType| {
        let typed = dialect().literal(&value, &arrow, None).expr.unwrap();
        let rel = Rel::Project {
            input: Box::new(Rel::Scan { schema: "pg_catalog".into(), table: "pg_am".into(), columns: vec![] }),
            exprs: vec![typed.scalar],
        };
        dialect().render(&Rel::Limit { input: Box::new(rel), skip: 0, fetch: Some(1) }).unwrap().text
    };
    // Both settings: the writer must not depend on ours.
    for setting in ["on", "off"] {
        client.batch_execute(&format!("SET standard_conforming_strings = {setting}; SET escape_string_warning = off")).await.unwrap();
        for t in &texts {
            let sql = one(Value::Text(t.clone()), DataType::Utf8);
            let row = client.query_one(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
            assert_eq!(row.get::<_, &str>(0), t, "{sql}");
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let row = client.query_one(&one(Value::Bytes(bytes.clone()), DataType::Binary), &[]).await.unwrap();
        assert_eq!(row.get::<_, Vec<u8>>(0), bytes);
    }
    for v in
        [0.0, -0.0, 0.1, 1e300, 5e-324, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 9_007_199_254_740_993.0]
    {
        let row = client.query_one(&one(Value::Float64(v.to_bits()), DataType::Float64), &[]).await.unwrap();
        let back: f64 = row.get(0);
        assert!(back.to_bits() == v.to_bits() || back.is_nan() && v.is_nan(), "{v}: {back}");
        let row = client.query_one(&one(Value::Float32((v as f32).to_bits()), DataType::Float32), &[]).await.unwrap();
        let back: f32 = row.get(0);
        assert!(back.to_bits() == (v as f32).to_bits() || back.is_nan() && v.is_nan(), "{v}: {back}");
    }
    for v in [0, -1, i64::MAX, i64::MIN] {
        let row = client.query_one(&one(Value::Int(v), DataType::Int64), &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), v);
    }
    client.batch_execute("SET TimeZone = 'Asia/Kathmandu'").await.unwrap();
    // Microseconds since 1970 by the server's own reckoning, through numeric because float8 would round.
    let micros = "(extract(epoch FROM (v AT TIME ZONE 'UTC' AT TIME ZONE 'UTC')) * 1000000)::numeric(30,0)::text";
    for v in [0, -1, 1, 86_399_999_999, -62_135_596_800_000_000, -62_135_596_800_000_001, -210_866_803_200_000_000, 253_402_300_799_999_999]
    {
        for (value, arrow) in [
            (Value::TimestampTz(v), DataType::Timestamp(MICROS, Some("UTC".into()))),
            (Value::Timestamp(v), DataType::Timestamp(MICROS, None)),
        ] {
            let sql = format!("SELECT {} FROM ({}) AS x(v)", micros, one(value, arrow));
            let row = client.query_one(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
            assert_eq!(row.get::<_, &str>(0), v.to_string(), "{sql}");
        }
    }
    for v in [0, -1, 19_782, -719_528, -719_529, -2_440_588, 2_145_042_905, 100_000_000] {
        let sql = format!("SELECT v - '1970-01-01'::date FROM ({}) AS x(v)", one(Value::Date(v), DataType::Date32));
        assert_eq!(client.query_one(&sql, &[]).await.unwrap().get::<_, i32>(0), v, "{sql}");
    }
    for (months, days, us, want) in
        [(14, 3, 14_706_789_000, "1 year 2 mons 3 days 04:05:06.789"), (-1, 2, -1, "-1 mons +2 days -00:00:00.000001")]
    {
        let arrow = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
        let sql = format!("SELECT v::text FROM ({}) AS x(v)", one(Value::Interval(months, days, us), arrow));
        assert_eq!(client.query_one(&sql, &[]).await.unwrap().get::<_, &str>(0), want);
    }
}
