//! What Postgres may take over: the safety class of every operator, function, key and aggregate, by exact signature.
//!
//! The judge is an allow-list. An answer other than [`Class::No`](fjord_engine::pushdown::Class) means: for every row, Postgres gives what
//! DataFusion gives on the same row read by our reader. The comment above each rule says which wrong answer it prevents. How the judged
//! expression is written is in `render`; nothing here is text, but for the reasons that a user reads.
//!
//! Facts about DataFusion 55 that the rules rest on, each seen in its sources: comparisons of floats fold -0.0 into 0.0 and put NaN last
//! (`physical-expr-common/datum.rs`), IN lists compare floats by bits (`in_list/branchless_filter.rs`), sorting is `total_cmp`, grouped MIN and
//! MAX of floats depend on the order of rows when NaN is among them (`functions-aggregate/min_max.rs`), LIKE takes `\` before any character as
//! that character and `_` as one code point (`arrow-string/predicate.rs`).

mod arithmetic;
mod array;
mod cast;
mod compare;
mod conditional;
mod function;
mod json;
mod keys;
mod mostly;
mod numeric;
mod pattern;
mod shift;
mod text;
mod time;
mod types;

use arrow::datatypes::DataType;
use fjord_engine::pgtype::PgType;
use fjord_engine::pushdown::{
    AggregateCall, Dialect, Family, Judgement, Mostly, Op, Rel, RemoteText, RemoteType, Scalar, SortSpec, Typed, Value,
};

pub(crate) use function::WRITTEN;
pub(crate) use json::{ESCAPED, OPERATORS};
pub(crate) use mostly::{LOOKS_LIKE, pattern};
pub(crate) use numeric::AVERAGE;
pub(crate) use shift::{AFTER_CHRIST, BACK, DAYS_BETWEEN, FINITE, FORWARD, MIDNIGHT};
pub(crate) use time::{EXTRACT, TRUNCATE};
pub(crate) use types::{AS_WIDE, WIDEN_16, WIDEN_32, plain_digits};

/// What the dialect must know of the server it speaks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresFacts {
    /// `server_version_num` (`150018`).
    pub server_version_num: u32,
    /// `server_encoding` is UTF8. Where it is not, a text's bytes at the server are not those we read, and nothing on text is pushed.
    pub encoding_utf8: bool,
    /// The connector's name, for messages.
    pub connector: String,
}

/// The Postgres dialect: judge and renderer. Pure.
#[derive(Debug, Clone)]
pub struct PostgresDialect {
    facts: PostgresFacts,
}

impl PostgresDialect {
    /// A dialect for a server with these facts.
    pub fn new(facts: PostgresFacts) -> PostgresDialect {
        PostgresDialect { facts }
    }

    /// The facts it was made with.
    pub fn facts(&self) -> &PostgresFacts {
        &self.facts
    }
}

impl Dialect for PostgresDialect {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn scalar(&self, op: &Op, args: &[Typed], result: &DataType) -> Judgement {
        match op {
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::IsDistinctFrom | Op::IsNotDistinctFrom => match args {
                [a, b] => self.compare(op, a, b),
                _ => wrong_arity(op),
            },
            Op::In | Op::NotIn => match args {
                [a, list @ ..] if !list.is_empty() => self.in_list(a, list, *op == Op::NotIn),
                _ => wrong_arity(op),
            },
            Op::And | Op::Or | Op::Not | Op::IsTrue | Op::IsFalse | Op::IsUnknown | Op::IsNotTrue | Op::IsNotFalse | Op::IsNotUnknown => {
                boolean(op, args)
            }
            Op::IsNull | Op::IsNotNull => match args {
                [a] => null_test(op, a),
                _ => wrong_arity(op),
            },
            Op::Like | Op::NotLike | Op::ILike | Op::NotILike => match args {
                [a, pattern] => self.like(op, a, pattern),
                _ => wrong_arity(op),
            },
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => match args {
                [a, b] => shift::judge(op, a, b, result).unwrap_or_else(|| arithmetic::binary(op, a, b, result)),
                _ => wrong_arity(op),
            },
            Op::Negate => match args {
                [a] => arithmetic::negate(a, result),
                _ => wrong_arity(op),
            },
            Op::Concat => self.concat(args),
            Op::Cast => match args {
                [a] => self.cast(a, result),
                _ => wrong_arity(op),
            },
            Op::Case => self.case(args, result),
            Op::Coalesce => self.coalesce(args, result),
            Op::NullIf => match args {
                [a, b] => self.null_if(a, b),
                _ => wrong_arity(op),
            },
            Op::BitAnd | Op::BitOr | Op::BitXor => match args {
                [a, b] => arithmetic::bitwise(op, a, b, result),
                _ => wrong_arity(op),
            },
            Op::Function(name) => self.function(name, args, result),
            Op::Source(name) => Judgement::no(format!("{name} is the dialect's own")),
        }
    }

    fn literal(&self, value: &Value, arrow: &DataType, _near: Option<&RemoteType>) -> Judgement {
        // A comparison adapts the literal to the other side itself (uuid, enum label), so `near` is not needed here.
        match types::literal_type(value, arrow).and_then(|ty| self.sendable(value).map(|()| ty)) {
            Ok(ty) => Judgement::exact(Scalar::Literal(value.clone(), ty.clone()), ty),
            Err(reason) => Judgement::no(reason),
        }
    }

    fn scalar_mostly(&self, op: &Op, args: &[Typed], result: &DataType) -> Option<Mostly> {
        self.mostly(op, args, result)
    }

    fn group_key(&self, key: &Typed) -> Judgement {
        self.key(key)
    }

    fn grouping_id(&self, keys: usize, arrow: &DataType) -> Option<RemoteType> {
        // GROUPING() takes 31 arguments at most; more than eight keys in sets are no query of a person.
        (keys <= 8 && *arrow == DataType::UInt8).then(|| types::plain("integer", Family::UInt(8), arrow.clone(), false))
    }

    fn sort_key(&self, key: &SortSpec) -> Judgement {
        self.order(key)
    }

    fn aggregate(&self, call: &AggregateCall) -> (Judgement, Vec<Scalar>) {
        self.aggregate_call(call)
    }

    fn union_column(&self, columns: &[Typed], result: &DataType) -> Result<(Vec<Typed>, RemoteType, String), String> {
        let (columns, mut ty, rewritten) = self.unify(&columns.iter().collect::<Vec<_>>(), result)?;
        ty.nullable = columns.iter().any(|c| c.ty.nullable);
        Ok((columns, ty, if rewritten { conditional::MEET_AS_C.into() } else { String::new() }))
    }

    fn render(&self, rel: &Rel) -> fjord_engine::Result<RemoteText> {
        crate::render::render(rel)
    }
}

fn wrong_arity(op: &Op) -> Judgement {
    Judgement::no(format!("{op:?} with an unusual number of arguments"))
}

/// AND, OR, NOT and the IS tests have SQL's three-valued meaning on both sides.
fn boolean(op: &Op, args: &[Typed]) -> Judgement {
    let arity_fits = match op {
        Op::And | Op::Or => args.len() >= 2,
        _ => args.len() == 1,
    };
    if !arity_fits {
        return wrong_arity(op);
    }
    if args.iter().any(|a| a.ty.family != Family::Bool) {
        return Judgement::no("a boolean test of something that is not boolean at the source");
    }
    let nullable = matches!(op, Op::And | Op::Or | Op::Not) && args.iter().any(|a| a.ty.nullable);
    let ty = RemoteType::boolean(nullable);
    Judgement::exact(Scalar::call(op.clone(), args.iter().map(|a| a.scalar.clone()).collect(), ty.clone()), ty)
}

/// IS NULL is the same everywhere but on composites: `ROW(NULL, NULL) IS NULL` is true in Postgres, while the value we read is the text `(,)`. A
/// family of which we only know the text form is therefore tested on its text, but for the built-in types, none of which is composite.
fn null_test(op: &Op, a: &Typed) -> Judgement {
    let ty = RemoteType::boolean(false);
    if a.ty.family == Family::Other && PgType::by_name(&a.ty.name).is_none() {
        let text = types::as_text(a);
        return Judgement::rewritten(
            Scalar::call(op.clone(), vec![text.scalar], ty.clone()),
            ty,
            format!("{} is tested through its text: a composite of NULLs is no NULL here", a.ty.name),
        );
    }
    Judgement::exact(Scalar::call(op.clone(), vec![a.scalar.clone()], ty.clone()), ty)
}
