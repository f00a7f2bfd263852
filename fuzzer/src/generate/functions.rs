//! The functions that expressions call, by their result.

use super::expr::Arg::{self, Count, Date, Exact, Float, Ints, Json, Jsonb, Number, Plain, Small, Text, Texts, Ts, Tz};

/// A function: its text with `{}` for each argument, the arguments, and why Postgres's answer is not compared.
pub(super) struct Function {
    pub(super) template: &'static str,
    pub(super) args: &'static [Arg],
    pub(super) ours: Option<&'static str>,
}

const fn f(template: &'static str, args: &'static [Arg]) -> Function {
    Function { template, args, ours: None }
}

const fn ours(template: &'static str, args: &'static [Arg], reason: &'static str) -> Function {
    Function { template, args, ours: Some(reason) }
}

const NULL_ELEMENT: &str = "beside an element that is NULL no match is false, not NULL";
const CASE_MAPPING: &str = "case mapping by the source's locale";

/// Text to text.
pub(super) const TEXTS: &[Function] = &[
    ours("upper({})", &[Text], CASE_MAPPING),
    ours("lower({})", &[Text], CASE_MAPPING),
    ours("initcap({})", &[Text], CASE_MAPPING),
    f("substr({}, {}, {})", &[Text, Small, Count]),
    f("substr({}, {})", &[Text, Small]),
    f("left({}, {})", &[Text, Small]),
    f("right({}, {})", &[Text, Small]),
    f("trim({})", &[Text]),
    f("ltrim({})", &[Text]),
    f("rtrim({})", &[Text]),
    f("btrim({}, {})", &[Text, Plain]),
    f("replace({}, {}, {})", &[Text, Plain, Plain]),
    f("lpad({}, {}, {})", &[Text, Count, Plain]),
    f("rpad({}, {}, {})", &[Text, Count, Plain]),
    f("reverse({})", &[Text]),
    f("repeat({}, {})", &[Text, Count]),
    f("split_part({}, {}, {})", &[Text, Plain, Count]),
    f("concat({}, {})", &[Text, Text]),
    f("concat_ws('-', {}, {})", &[Text, Text]),
    f("({} || {})", &[Text, Text]),
    f("({} || 'x')", &[Text]),
    f("md5({})", &[Text]),
    f("CAST({} AS text)", &[Exact]),
    f("CAST({} AS text)", &[Date]),
    f("CAST({} AS varchar)", &[Text]),
    f("translate({}, 'abc', 'xy')", &[Text]),
    f("({} ->> 'a')", &[Jsonb]),
    f("({} #>> '{b,a}')", &[Jsonb]),
    f("({} ->> 'a')", &[Json]),
    f("({})[1]", &[Texts]),
];

/// Anything to a small integer.
pub(super) const INTEGERS: &[Function] = &[
    f("length({})", &[Text]),
    f("char_length({})", &[Text]),
    f("octet_length({})", &[Text]),
    f("strpos({}, {})", &[Text, Plain]),
    f("position({} IN {})", &[Plain, Text]),
    f("ascii({})", &[Text]),
    f("CAST(extract(year FROM {}) AS bigint)", &[Date]),
    f("CAST(extract(month FROM {}) AS bigint)", &[Ts]),
    f("CAST(date_part('day', {}) AS bigint)", &[Tz]),
    f("CAST(extract(dow FROM {}) AS bigint)", &[Date]),
    f("CAST(({} - DATE '2024-02-28') AS bigint)", &[Date]),
    f("CAST(extract(epoch FROM {}) AS bigint)", &[Ts]),
    f("CAST(extract(hour FROM {}) AS bigint)", &[Ts]),
    f("CAST(extract(minute FROM {}) AS bigint)", &[Tz]),
    f("CAST(extract(quarter FROM {}) AS bigint)", &[Date]),
    f("CAST(extract(week FROM {}) AS bigint)", &[Date]),
    f("CAST(extract(doy FROM {}) AS bigint)", &[Ts]),
    f("CAST(extract(isodow FROM {}) AS bigint)", &[Tz]),
    f("CAST(cardinality({}) AS bigint)", &[Ints]),
];

/// Numbers to numbers of the same family: integers and numerics.
pub(super) const NUMBERS: &[Function] = &[
    f("abs({})", &[Number]),
    f("floor({})", &[Number]),
    f("ceil({})", &[Number]),
    f("round({})", &[Number]),
    f("trunc({})", &[Number]),
    f("round({}, 1)", &[Exact]),
    f("greatest({}, {})", &[Number, Number]),
    f("least({}, {})", &[Number, Number]),
];

/// Floats to floats.
pub(super) const FLOATS: &[Function] = &[
    f("abs({})", &[Float]),
    f("floor({})", &[Float]),
    f("ceil({})", &[Float]),
    f("trunc({})", &[Float]),
    ours("round({})", &[Float], "round half away from zero or to even"),
    f("({} + {})", &[Float, Float]),
    f("({} * {})", &[Float, Float]),
    f("({} - {})", &[Float, Float]),
    f("(- {})", &[Float]),
];

/// To boolean.
pub(super) const BOOLEANS: &[Function] = &[
    f("starts_with({}, {})", &[Text, Plain]),
    ours("({} ~ 'a.c')", &[Text], "regular expressions"),
    ours("({} ILIKE 'a%')", &[Text], CASE_MAPPING),
    ours("({} NOT ILIKE '%B%')", &[Text], CASE_MAPPING),
    ours("({} ILIKE 'k')", &[Text], CASE_MAPPING),
];

/// Conditions over json and jsonb.
pub(super) const DOCUMENTS: &[Function] = &[
    f("(({} ->> 'a') = {})", &[Jsonb, Plain]),
    f("(({} ->> 'a') = '1')", &[Jsonb]),
    f("(({} -> 'b' ->> 'a') <> {})", &[Jsonb, Plain]),
    f("(({} ->> 0) = 'a')", &[Jsonb]),
    f("(({} #>> '{b,1,a}') IS NULL)", &[Jsonb]),
    f("(({} #>> '{1,0}') LIKE '1%')", &[Jsonb]),
    f("({} @> '{\"a\": 1}')", &[Jsonb]),
    f("({} @> '[1.00]')", &[Jsonb]),
    f("({} <@ '{\"a\": 1, \"b\": 2, \"c\": 3}')", &[Jsonb]),
    f("({} ? 'a')", &[Jsonb]),
    f("({} ?| ARRAY['b', 'x'])", &[Jsonb]),
    f("({} ?& ARRAY['a', 'b'])", &[Jsonb]),
    f("(jsonb_typeof({}) = 'object')", &[Jsonb]),
    f("(jsonb_typeof({} -> 'a') IN ('string', 'null'))", &[Jsonb]),
    f("(({} ->> 'a') = {})", &[Json, Plain]),
    f("(({} ->> 'a') = '1')", &[Json]),
    f("(({} -> 'b' ->> 'a') = 'k')", &[Json]),
    f("(({} #>> '{a,0}') IS NOT NULL)", &[Json]),
    f("(json_typeof({}) = 'array')", &[Json]),
];

/// Conditions over arrays.
pub(super) const ARRAYS: &[Function] = &[
    f("({} @> ARRAY[1])", &[Ints]),
    f("({} @> ARRAY['a'])", &[Texts]),
    f("({} <@ ARRAY[1, 2, 3])", &[Ints]),
    ours("(1 = ANY({}))", &[Ints], NULL_ELEMENT),
    ours("({} = ANY({}))", &[Plain, Texts], NULL_ELEMENT),
    f("(({})[1] = 2)", &[Ints]),
    f("(({})[2] IS NULL)", &[Ints]),
    f("(({})[1] = {})", &[Texts, Plain]),
    f("(cardinality({}) > 1)", &[Texts]),
];

/// Conditions between days and moments.
pub(super) const MOMENTS: &[Function] = &[
    f("({} < {})", &[Ts, Date]),
    f("({} >= {})", &[Date, Ts]),
    f("({} = {})", &[Ts, Date]),
    f("({} > {})", &[Tz, Date]),
    f("({} <= DATE '9999-12-31')", &[Ts]),
    f("({} IS DISTINCT FROM {})", &[Date, Tz]),
    f("({} < {})", &[Ts, Tz]),
    f("(({} - INTERVAL '1 day') < {})", &[Ts, Ts]),
];

/// To timestamp.
pub(super) const TIMESTAMPS: &[Function] = &[
    f("date_trunc('month', {})", &[Ts]),
    f("date_trunc('hour', {})", &[Ts]),
    f("date_trunc('day', {})", &[Ts]),
    f("date_trunc('week', {})", &[Ts]),
    f("date_trunc('quarter', {})", &[Ts]),
    f("date_trunc('minute', {})", &[Ts]),
    f("date_trunc('second', {})", &[Ts]),
    f("CAST({} AS timestamp)", &[Date]),
    f("({} + INTERVAL '1 day')", &[Ts]),
    f("({} - INTERVAL '1 month')", &[Ts]),
    f("({} + INTERVAL '1 year 1 month 2 hours')", &[Ts]),
    f("({} + INTERVAL '1 month')", &[Date]),
];

/// To timestamptz.
pub(super) const INSTANTS: &[Function] = &[
    f("date_trunc('day', {})", &[Tz]),
    f("date_trunc('month', {})", &[Tz]),
    f("date_trunc('year', {})", &[Tz]),
    f("({} + INTERVAL '2 hours')", &[Tz]),
];

/// To date.
pub(super) const DATES: &[Function] =
    &[f("CAST({} AS date)", &[Ts]), f("CAST({} AS date)", &[Tz]), f("({} + 1)", &[Date]), f("({} - 30)", &[Date])];
