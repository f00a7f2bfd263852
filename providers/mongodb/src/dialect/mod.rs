//! What MongoDB may take over: the safety class of every operator, key and aggregate, by exact signature.
//!
//! The judge is an allow-list. An answer other than [`Class::No`](fjord_engine::pushdown::Class) means: for every document that fits its columns, the
//! server gives what DataFusion gives on the same document read by our reader. A document that does not fit is an error where it is read; a condition
//! may spare it from being read. The comment above each rule says which wrong answer it prevents.
//!
//! Three things rest under all rules. Conditions are written in match language, never in `$expr`, whose order puts numbers below texts and NaN below
//! numbers; they know only true and not true, so every one of them is good as a filter only. Every command says `collation: {locale: "simple"}`, by which
//! texts compare by their bytes, whatever the collection says. And a path into an array means all of its elements, so every prefix of a path is held to
//! be no array.

mod aggregate;
mod compare;
mod keys;
mod numbers;
mod pattern;

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{
    AggregateCall, Dialect, Family, JoinKind, Judgement, Op, Rel, RemoteText, RemoteType, Scalar, SortSpec, Typed, Value,
};

use crate::types::Kind;
pub(crate) use numbers::number;

/// The dialect: judge and renderer. Pure.
#[derive(Debug, Clone, Copy, Default)]
pub struct MongoDialect;

impl Dialect for MongoDialect {
    fn name(&self) -> &'static str {
        "mongodb"
    }

    fn scalar(&self, op: &Op, args: &[Typed], result: &DataType) -> Judgement {
        match (op, args) {
            (Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::IsDistinctFrom | Op::IsNotDistinctFrom, [a, b]) => {
                compare::compare(op, a, b)
            }
            (Op::In | Op::NotIn, [a, list @ ..]) if !list.is_empty() => compare::in_list(a, list, *op == Op::NotIn),
            (Op::IsNull | Op::IsNotNull, [a]) => null_test(op, a),
            (Op::IsTrue | Op::IsFalse | Op::IsUnknown | Op::IsNotTrue | Op::IsNotFalse | Op::IsNotUnknown, [a]) => truth(op, a),
            (Op::Like, [a, p]) => pattern::like(a, p),
            (Op::NotLike | Op::ILike | Op::NotILike, _) => {
                Judgement::no("the source has only regular expressions for it, which give up on some texts without a word")
            }
            (Op::Cast, [a]) => numbers::cast(a, result),
            (Op::Function(name), _) => Judgement::no(format!("{name} is computed here")),
            (op, _) => {
                Judgement::no(format!("{op:?} is computed here: in the source's expressions null, missing and NaN mean something else"))
            }
        }
    }

    fn literal(&self, value: &Value, arrow: &DataType, _near: Option<&RemoteType>) -> Judgement {
        match literal_type(value, arrow) {
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

    fn union_column(&self, _columns: &[Typed], _result: &DataType) -> Result<(Vec<Typed>, RemoteType, String), String> {
        Err("MongoDB's unions are of one database only".into())
    }

    fn refuses_union(&self) -> Option<String> {
        Some("$unionWith is for collections of one database, and loses the order of each".into())
    }

    fn refuses_join(&self, _kind: JoinKind) -> Option<String> {
        Some("a $lookup looks each document up by itself, and finds the missing where null is wanted: joined here, with the keys of one side sent to the other".into())
    }

    fn render(&self, rel: &Rel) -> fjord_engine::Result<RemoteText> {
        Ok(RemoteText { text: crate::render::text(rel)?, params: vec![] })
    }
}

/// The type of a literal: how it would be read if it were a column.
fn literal_type(value: &Value, arrow: &DataType) -> Result<RemoteType, String> {
    let kind = match value {
        Value::Null => {
            return Ok(RemoteType { name: "null".into(), family: Family::Other, arrow: arrow.clone(), nullable: true, text: None });
        }
        Value::Bool(_) => Kind::Bool,
        Value::Int(v) if i32::try_from(*v).is_ok() => Kind::Int,
        Value::Int(_) => Kind::Long,
        Value::UInt(v) if i64::try_from(*v).is_ok() => Kind::Long,
        Value::UInt(_) | Value::Decimal(_) => Kind::Decimal,
        Value::Float64(_) | Value::Float32(_) => Kind::Double,
        Value::Text(_) => Kind::String,
        Value::TimestampTz(_) => Kind::Date,
        Value::Bytes(_) => Kind::Binary,
        other => return Err(format!("{other:?} has no form in BSON")),
    };
    Ok(RemoteType { arrow: arrow.clone(), ..kind.remote(false) })
}

/// A field, and what it holds: a column, or one behind a cast that changes no value.
fn field(t: &Typed) -> Option<Kind> {
    fn plain(s: &Scalar) -> bool {
        match s {
            Scalar::Column(_) => true,
            Scalar::Call { op: Op::Cast, args, .. } => args.iter().all(plain),
            _ => false,
        }
    }
    (plain(&t.scalar) && t.ty.family != Family::Other).then(|| Kind::of(&t.ty)).flatten()
}

/// A column itself: what is grouped, sorted and aggregated.
fn column(t: &Typed) -> Result<Kind, String> {
    match &t.scalar {
        Scalar::Column(_) if t.ty.family != Family::Other => Kind::of(&t.ty).ok_or_else(|| format!("{} is computed with here", t.ty.name)),
        Scalar::Column(_) => Err("the view has a collation of its own, by which its texts compare".into()),
        _ => Err("only fields are grouped, sorted and aggregated at the source".into()),
    }
}

/// What every condition is: true or not, and so good as a filter only.
fn condition(op: Op, args: Vec<Scalar>, reason: impl Into<String>) -> Judgement {
    let ty = RemoteType::boolean(true);
    let reason = reason.into();
    let scalar = Scalar::call(op, args, ty.clone());
    let j = if reason.is_empty() { Judgement::exact(scalar, ty) } else { Judgement::rewritten(scalar, ty, reason) };
    j.as_filter_only()
}

/// `null` and missing are alike on both sides. An array with a null in it matches null there: it is held to be none.
fn null_test(op: &Op, a: &Typed) -> Judgement {
    if !matches!(a.scalar, Scalar::Column(_)) || a.ty.name == Kind::Raw.name() {
        return Judgement::no("only whether a field is null is asked of the source");
    }
    // A text under a view's own collation may be null as any other.
    if Kind::of(&a.ty).is_none() {
        return Judgement::no(format!("{} is not known", a.ty.name));
    }
    condition(op.clone(), vec![a.scalar.clone()], "null or missing")
}

/// IS TRUE and its kin, of a boolean field.
fn truth(op: &Op, a: &Typed) -> Judgement {
    if field(a) != Some(Kind::Bool) {
        return Judgement::no("a condition is true or not at the source, never unknown");
    }
    condition(op.clone(), vec![a.scalar.clone()], "")
}
