//! What MySQL and MariaDB may take over: the safety class of every operator, function, key and aggregate, by exact signature.
//!
//! The judge is an allow-list. An answer other than [`Class::No`](fjord_engine::pushdown::Class) means: for every row, the server gives what DataFusion
//! gives on the same row read by our reader. The comment above each rule says which wrong answer it prevents. How the judged expression is written is
//! in `render`; nothing here is text, but for the reasons that a user reads. One dialect serves both servers: what is written means the same on
//! both, and tests run on both.
//!
//! A session pins what the rules rest on (`pool`): sql_mode, time zone, character set, `max_sort_length`.

mod aggregate;
mod arithmetic;
mod cast;
mod compare;
mod conditional;
mod dates;
mod function;
mod keys;
mod numbers;
mod pattern;
mod text;
mod types;

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{
    AggregateCall, Dialect, Family, JoinKind, Judgement, Op, Rel, RemoteText, RemoteType, Scalar, SortSpec, Typed, Value,
};

pub(crate) use text::BYTES_COLLATION;
pub(crate) use types::form;

/// The dialect: judge and renderer. Pure.
#[derive(Debug, Clone, Copy, Default)]
pub struct MySqlDialect;

impl Dialect for MySqlDialect {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn scalar(&self, op: &Op, args: &[Typed], result: &DataType) -> Judgement {
        match (op, args) {
            (Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::IsDistinctFrom | Op::IsNotDistinctFrom, [a, b]) => {
                compare::compare(op, a, b)
            }
            (Op::In | Op::NotIn, [a, list @ ..]) if !list.is_empty() => compare::in_list(a, list, *op == Op::NotIn),
            (
                Op::And | Op::Or | Op::Not | Op::IsTrue | Op::IsFalse | Op::IsUnknown | Op::IsNotTrue | Op::IsNotFalse | Op::IsNotUnknown,
                args,
            ) => boolean(op, args),
            (Op::IsNull | Op::IsNotNull, [a]) => null_test(op, a),
            (Op::Like | Op::NotLike, [a, p]) => pattern::like(op, a, p),
            (Op::ILike | Op::NotILike, _) => Judgement::no("ILIKE folds letters by rules that the source does not have"),
            (Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo, [a, b]) => arithmetic::binary(op, a, b, result),
            (Op::Negate, [a]) => arithmetic::negate(a, result),
            (Op::Cast, [a]) => cast::cast(a, result),
            (Op::Case, args) => conditional::case(args, result),
            (Op::Coalesce, args) => conditional::coalesce(args, result),
            (Op::NullIf, [a, b]) => conditional::null_if(a, b, result),
            (Op::Concat, _) => Judgement::no("|| is OR at the source; texts are put together here"),
            (Op::BitAnd | Op::BitOr | Op::BitXor, _) => Judgement::no("bit operations are on unsigned 64 bits at the source"),
            (Op::Function(name), args) => function::function(name, args, result),
            (Op::Source(name), _) => Judgement::no(format!("{name} is the dialect's own")),
            (op, args) => Judgement::no(format!("{op:?} of {} operands is evaluated here", args.len())),
        }
    }

    fn literal(&self, value: &Value, arrow: &DataType, _near: Option<&RemoteType>) -> Judgement {
        match types::literal_type(value, arrow) {
            Ok(ty) => Judgement::exact(Scalar::Literal(value.clone(), ty.clone()), ty),
            Err(reason) => Judgement::no(reason),
        }
    }

    fn group_key(&self, key: &Typed) -> Judgement {
        keys::group_key(key)
    }

    fn sort_key(&self, key: &SortSpec) -> Judgement {
        keys::sort_key(key)
    }

    fn aggregate(&self, call: &AggregateCall) -> (Judgement, Vec<Scalar>) {
        aggregate::aggregate(call)
    }

    fn union_column(&self, columns: &[Typed], result: &DataType) -> Result<(Vec<Typed>, RemoteType, String), String> {
        let (columns, mut ty, reason) = conditional::unify(&columns.iter().collect::<Vec<_>>(), result)?;
        ty.nullable = columns.iter().any(|c| c.ty.nullable);
        Ok((columns, ty, reason))
    }

    fn refuses_join(&self, kind: JoinKind) -> Option<String> {
        (kind == JoinKind::Full).then(|| "MySQL and MariaDB have no FULL JOIN".into())
    }

    fn render(&self, rel: &Rel) -> fjord_engine::Result<RemoteText> {
        crate::render::render(rel)
    }
}

/// AND, OR, NOT and the IS tests have SQL's three-valued meaning on both sides; a boolean column may hold any number there, and all but 0 is true.
fn boolean(op: &Op, args: &[Typed]) -> Judgement {
    let arity_fits = match op {
        Op::And | Op::Or => args.len() >= 2,
        _ => args.len() == 1,
    };
    if !arity_fits || args.iter().any(|a| a.ty.family != Family::Bool) {
        return Judgement::no("a boolean test of something that is not boolean at the source");
    }
    let nullable = matches!(op, Op::And | Op::Or | Op::Not) && args.iter().any(|a| a.ty.nullable);
    let ty = RemoteType::boolean(nullable);
    Judgement::exact(Scalar::call(op.clone(), args.iter().map(|a| a.scalar.clone()).collect(), ty.clone()), ty)
}

/// IS NULL. A zero date is read as NULL here, and the servers take IS NULL on a date that is NOT NULL for a test of zero.
fn null_test(op: &Op, a: &Typed) -> Judgement {
    let ty = RemoteType::boolean(false);
    if let Some(valid) = dates::valid(a) {
        let op = if *op == Op::IsNull { Op::IsNotTrue } else { Op::IsTrue };
        return Judgement::rewritten(Scalar::call(op, vec![valid.scalar], ty.clone()), ty, dates::ZERO_DATES);
    }
    Judgement::exact(Scalar::call(op.clone(), vec![a.scalar.clone()], ty.clone()), ty)
}
