//! Comparisons and IN lists of a field with literals.

use fjord_engine::pushdown::{Judgement, Op, Scalar, Typed, Value};

use super::{condition, field, numbers};
use crate::types::Kind;

/// Bytes of the elements of a list: a command may have 16 MiB.
const IN_BYTES_MAX: usize = 4 << 20;
/// Bytes that the name and type of an element take beside its value.
const ELEMENT_BYTES: usize = 9;

/// What a literal is to a field.
enum Meets {
    /// It may be equal to a value.
    Value(Value),
    /// No value is equal to it, but they have an order.
    Between(Value, Value),
    /// No value is equal to it, and their order is not known.
    Never,
}

const ARRAYS: &str = "arrays are held off, index usable";

/// `a op b` for the six comparisons and IS [NOT] DISTINCT FROM.
pub(super) fn compare(op: &Op, a: &Typed, b: &Typed) -> Judgement {
    match (a.literal(), b.literal()) {
        (Some(_), Some(_)) => return Judgement::no("two literals are compared here"),
        (None, None) => {
            return Judgement::no(
                "two fields are compared here: in $expr, which the source has for it, NaN, null and types have another order",
            );
        }
        (Some(_), None) => return compare(&mirrored(op), b, a),
        (None, Some(Value::Null)) => return Judgement::no("a comparison with NULL is folded here"),
        (None, Some(_)) => {}
    }
    let Some(kind) = field(a) else { return Judgement::no("only a field is compared at the source") };
    let met = match meet(&kind, a, b) {
        Ok(m) => m,
        Err(reason) => return Judgement::no(reason),
    };
    let with = |v: Value| vec![a.scalar.clone(), Scalar::Literal(v, a.ty.clone())];
    match (op, met) {
        (Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, Meets::Never) => {
            Judgement::no(format!("the literal is no {}: what is below it is compared here", kind.name()))
        }
        (Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, _) if kind == Kind::Bool => Judgement::no("booleans are ordered here"),
        // Values are whole milliseconds: below 1.5 is below 2, above 1.5 is above 1.
        (Op::Lt | Op::LtEq, Meets::Between(_, above)) => condition(Op::Lt, with(above), ARRAYS),
        (Op::Gt | Op::GtEq, Meets::Between(below, _)) => condition(Op::Gt, with(below), ARRAYS),
        (Op::Gt | Op::GtEq, Meets::Value(v)) if kind == Kind::Double => {
            condition(op.clone(), with(v), "NaN, which is above all numbers here, is asked for too; arrays are held off, index usable")
        }
        (Op::Eq | Op::IsNotDistinctFrom, Meets::Value(v)) => condition(Op::Eq, with(v), ARRAYS),
        (Op::NotEq, Meets::Value(v)) => {
            condition(Op::NotEq, with(v), "null and missing, which are unequal to all there, are held off, and arrays")
        }
        (Op::IsDistinctFrom, Meets::Value(v)) => condition(Op::IsDistinctFrom, with(v), "arrays are held off"),
        (Op::Lt | Op::LtEq | Op::Gt | Op::GtEq, Meets::Value(v)) => condition(op.clone(), with(v), ARRAYS),
        (Op::Eq | Op::IsNotDistinctFrom, _) => condition(Op::In, vec![a.scalar.clone()], format!("no {} is equal to it", kind.name())),
        (Op::NotEq, _) => condition(Op::IsNotNull, vec![a.scalar.clone()], format!("no {} is equal to it", kind.name())),
        _ => Judgement::no("it is compared here"),
    }
}

/// `a [NOT] IN (list)`, NULLs in the list included.
pub(super) fn in_list(a: &Typed, list: &[Typed], negated: bool) -> Judgement {
    let Some(kind) = field(a) else { return Judgement::no("only a field is looked for in a list at the source") };
    let mut args = vec![a.scalar.clone()];
    let mut bytes = 0usize;
    for item in list {
        match item.literal() {
            None => return Judgement::no("an IN list of expressions is evaluated here"),
            Some(Value::Null) if negated => return Judgement::no("NOT IN a list with a NULL is never true: evaluated here"),
            Some(Value::Null) => continue,
            Some(_) => {}
        }
        match meet(&kind, a, item) {
            Ok(Meets::Value(v)) => {
                bytes += ELEMENT_BYTES + size(&v);
                args.push(Scalar::Literal(v, a.ty.clone()));
            }
            // No value is equal to it.
            Ok(_) => {}
            Err(reason) => return Judgement::no(reason),
        }
    }
    if bytes > IN_BYTES_MAX {
        return Judgement::no(format!("an IN list of {} elements takes too many bytes: evaluated here", list.len()));
    }
    match negated {
        true => condition(Op::NotIn, args, "null and missing, which are in no list there, are held off, and arrays"),
        false => condition(Op::In, args, ARRAYS),
    }
}

fn size(v: &Value) -> usize {
    match v {
        Value::Text(s) => s.len() + 5,
        _ => 17,
    }
}

/// What a literal is to values of a kind; an error where it is not known.
fn meet(kind: &Kind, a: &Typed, literal: &Typed) -> Result<Meets, String> {
    let v = literal.literal().ok_or("no literal")?;
    match (kind, v) {
        (Kind::Int | Kind::Long | Kind::Double | Kind::Decimal, v) => numbers::fitting(kind, &a.ty, v).map(Meets::Value),
        (Kind::Bool, Value::Bool(_)) | (Kind::String, Value::Text(_)) => Ok(Meets::Value(v.clone())),
        (Kind::ObjectId, Value::Text(s)) => Ok(if is_hex(s, 24) { Meets::Value(v.clone()) } else { Meets::Never }),
        // Other spellings of a uuid may mean the same here.
        (Kind::Uuid, Value::Text(s)) => {
            let canonical = s.len() == 36 && s.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && is_hex(&s.replace('-', ""), 32);
            if canonical { Ok(Meets::Value(v.clone())) } else { Err("the literal is not the usual form of a uuid".into()) }
        }
        (Kind::Date, Value::TimestampTz(micros)) => Ok(match micros.rem_euclid(1_000) {
            0 => Meets::Value(v.clone()),
            rest => {
                let below = micros.checked_sub(rest).ok_or("the timestamp is out of range")?;
                let above = below.checked_add(1_000).ok_or("the timestamp is out of range")?;
                Meets::Between(Value::TimestampTz(below), Value::TimestampTz(above))
            }
        }),
        (Kind::Json | Kind::Raw, _) => Err("a field of mixed types is compared here, as json".into()),
        (Kind::Binary, _) => Err("binary data of another subtype is unequal there: compared here".into()),
        (Kind::Array(_), _) => Err("arrays are compared here: there a comparison means each element".into()),
        (kind, _) => Err(format!("{} meets a literal of another type: compared here", kind.name())),
    }
}

/// Lower-case hexadecimal digits, as they are read.
fn is_hex(s: &str, digits: usize) -> bool {
    s.len() == digits && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn mirrored(op: &Op) -> Op {
    match op {
        Op::Lt => Op::Gt,
        Op::LtEq => Op::GtEq,
        Op::Gt => Op::Lt,
        Op::GtEq => Op::LtEq,
        op => op.clone(),
    }
}
