//! Arithmetic: only where no row can make it raise at the source.
//!
//! The source computes integers in 64 bits and raises where that is too little (1690). Our sessions check too (22003), but *when* it is evaluated
//! differs: a filter that removes a row first removes its error too. So an operator is pushed only where its operands' types leave no room for an
//! overflow. The result is compared in 64 bits there; the reader checks each value that arrives.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::numbers;
use super::types::{call, clean, describe, sound};

/// `a op b` for `+ - * / %`.
pub(super) fn binary(op: &Op, a: &Typed, b: &Typed, result: &DataType) -> Judgement {
    if !signed(a) || !signed(b) || !result.is_signed_integer() || a.literal().is_some() && b.literal().is_some() {
        return Judgement::no(match (&a.ty.family, &b.ty.family) {
            (Family::Interval, _) | (_, Family::Interval) => "a moment beyond the year 9999 is NULL at the source and an error here".into(),
            (Family::UInt(_), _) | (_, Family::UInt(_)) => "arithmetic on unsigned numbers raises at the source below zero".into(),
            (Family::Decimal(_), _) | (_, Family::Decimal(_)) => "decimal arithmetic has another scale at the source".into(),
            _ => format!("arithmetic on {} and {} is evaluated here", describe(&a.ty), describe(&b.ty)),
        });
    }
    let (x, y) = (clean(a), clean(b));
    match op {
        Op::Plus | Op::Minus | Op::Multiply => checked(op, &[&x, &y], result),
        // Both truncate towards zero, and the remainder has the dividend's sign. By zero it is NULL there and an error here; `/` is no integer division.
        Op::Divide | Op::Modulo => match y.literal() {
            Some(Value::Int(d)) if !matches!(d, 0 | -1) => {
                let ty = wide(result, x.ty.nullable);
                let made = call(op.clone(), vec![x.scalar, y.scalar], ty);
                Judgement::rewritten(made.scalar, made.ty, "integer division")
            }
            _ => Judgement::no("division by something that may be zero is NULL at the source and an error here"),
        },
        _ => Judgement::no("no integer arithmetic"),
    }
}

/// `-a`.
pub(super) fn negate(a: &Typed, result: &DataType) -> Judgement {
    if !signed(a) || a.literal().is_some() || !result.is_signed_integer() {
        return Judgement::no(format!("negation of {} is evaluated here", describe(&a.ty)));
    }
    checked(&Op::Negate, &[&clean(a)], result)
}

fn signed(a: &Typed) -> bool {
    sound(&a.ty) && matches!(a.ty.family, Family::Int(_)) && !numbers::is_unsigned(&a.ty)
}

fn wide(result: &DataType, nullable: bool) -> RemoteType {
    RemoteType { name: "bigint".into(), family: Family::Int(64), arrow: result.clone(), nullable, text: None }
}

fn checked(op: &Op, args: &[&Typed], result: &DataType) -> Judgement {
    let ranges: Vec<_> = args.iter().map(|a| range(&a.scalar, &a.ty)).collect();
    let fits = combine(op, &ranges).is_some_and(|(low, high)| low >= i128::from(i64::MIN) && high <= i128::from(i64::MAX));
    if !fits {
        return Judgement::no("arithmetic that could overflow is evaluated here: the error must not depend on the order of evaluation");
    }
    let nullable = args.iter().any(|a| a.ty.nullable);
    let made = call(op.clone(), args.iter().map(|a| a.scalar.clone()).collect(), wide(result, nullable));
    Judgement::exact(made.scalar, made.ty)
}

/// The least and greatest value that an integer expression can have at the source.
fn range(scalar: &Scalar, ty: &RemoteType) -> (i128, i128) {
    match scalar {
        Scalar::Literal(Value::Int(v), _) => (i128::from(*v), i128::from(*v)),
        Scalar::Call { op: op @ (Op::Plus | Op::Minus | Op::Multiply | Op::Negate), args, .. } => {
            let parts: Vec<_> = args.iter().map(|a| range(a, &inner_type(a, ty))).collect();
            combine(op, &parts).unwrap_or_else(|| numbers::range(ty))
        }
        // What was widened keeps its name.
        _ => numbers::range(ty),
    }
}

/// Of a column inside of an operator only that it has at most 64 bits.
fn inner_type(scalar: &Scalar, outer: &RemoteType) -> RemoteType {
    match scalar {
        Scalar::Call { ty, .. } | Scalar::Literal(_, ty) => ty.clone(),
        Scalar::Column(_) => RemoteType { name: "bigint".into(), ..outer.clone() },
    }
}

/// Interval arithmetic over i128: operands have at most 64 bits, so nothing here overflows.
fn combine(op: &Op, parts: &[(i128, i128)]) -> Option<(i128, i128)> {
    match (op, parts) {
        (Op::Negate, [(l, h)]) => Some((-h, -l)),
        (Op::Plus, [(a, b), (c, d)]) => Some((a + c, b + d)),
        (Op::Minus, [(a, b), (c, d)]) => Some((a - d, b - c)),
        (Op::Multiply, [(a, b), (c, d)]) => {
            let corners = [a.checked_mul(*c)?, a.checked_mul(*d)?, b.checked_mul(*c)?, b.checked_mul(*d)?];
            Some((*corners.iter().min()?, *corners.iter().max()?))
        }
        _ => None,
    }
}
