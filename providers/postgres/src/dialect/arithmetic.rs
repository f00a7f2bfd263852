//! Arithmetic: only where no row can make it raise at the source.
//!
//! Our sessions check integer arithmetic (22003), as Postgres does. But *when* it is evaluated differs: a filter that removes a row first removes
//! its error too. So an operator is pushed only where its operands' types leave no room for an overflow.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::types::{AS_WIDE, WIDEN_16, WIDEN_32, arrow_bits, call, describe, int, numeric, sound, wider_there};

/// `a op b` for `+ - * / %`.
pub(super) fn binary(op: &Op, a: &Typed, b: &Typed, result: &DataType) -> Judgement {
    if !sound(&a.ty) || !sound(&b.ty) || a.literal().is_some() && b.literal().is_some() {
        return Judgement::no(format!("arithmetic on {} and {} is evaluated here", describe(&a.ty), describe(&b.ty)));
    }
    match (&a.ty.family, &b.ty.family) {
        (Family::Int(_), Family::Int(_)) => integers(op, a, b, result),
        (Family::Decimal(_), Family::Decimal(_)) => decimals(op, a, b, result),
        // Postgres raises 22003 where a float overflows or underflows, DataFusion gives infinity or zero.
        (Family::Float(_), _) | (_, Family::Float(_)) => {
            Judgement::no("float arithmetic raises at the source where it gives infinity here")
        }
        _ => Judgement::no(format!("arithmetic on {} and {} is evaluated here", describe(&a.ty), describe(&b.ty))),
    }
}

/// `-a`.
pub(super) fn negate(a: &Typed, result: &DataType) -> Judgement {
    if !sound(&a.ty) || a.ty.arrow != *result || a.literal().is_some() {
        return Judgement::no(format!("negation of {} is evaluated here", describe(&a.ty)));
    }
    match a.ty.family {
        // -(-2147483648) does not exist as an integer.
        Family::Int(_) => checked(&Op::Negate, &[a], result),
        // A numeric has a sign apart from its digits, a float too (and -0.0 is made on both sides).
        Family::Decimal(_) | Family::Float(_) => {
            let made = call(Op::Negate, vec![a.scalar.clone()], a.ty.clone());
            Judgement::exact(made.scalar, made.ty)
        }
        _ => Judgement::no(format!("negation of {} is evaluated here", describe(&a.ty))),
    }
}

/// `abs(a)`: the least integer has no positive counterpart, so integers are computed wider, like negation.
pub(super) fn absolute(a: &Typed, result: &DataType) -> Judgement {
    if !sound(&a.ty) || a.ty.arrow != *result || a.literal().is_some() {
        return Judgement::no(format!("abs of {} is evaluated here", describe(&a.ty)));
    }
    match a.ty.family {
        Family::Int(_) => checked(&Op::Function("abs".into()), &[a], result),
        Family::Decimal(_) | Family::Float(_) => {
            let made = call(Op::Function("abs".into()), vec![a.scalar.clone()], a.ty.clone());
            Judgement::exact(made.scalar, made.ty)
        }
        _ => Judgement::no(format!("abs of {} is evaluated here", describe(&a.ty))),
    }
}

/// `& | #` of integers of one width: no value raises.
pub(super) fn bitwise(op: &Op, a: &Typed, b: &Typed, result: &DataType) -> Judgement {
    let same = a.ty.arrow == b.ty.arrow && a.ty.arrow == *result && !wider_there(&a.ty) && !wider_there(&b.ty);
    let integers = sound(&a.ty) && sound(&b.ty) && matches!((&a.ty.family, &b.ty.family), (Family::Int(_), Family::Int(_)));
    match int(result, a.ty.nullable || b.ty.nullable) {
        Some(ty) if same && integers && a.literal().is_none_or(|_| b.literal().is_none()) => {
            let made = call(op.clone(), vec![a.scalar.clone(), b.scalar.clone()], ty);
            Judgement::exact(made.scalar, made.ty)
        }
        _ => Judgement::no(format!("bits of {} and {} are evaluated here", describe(&a.ty), describe(&b.ty))),
    }
}

fn integers(op: &Op, a: &Typed, b: &Typed, result: &DataType) -> Judgement {
    if a.ty.arrow != b.ty.arrow || a.ty.arrow != *result {
        return Judgement::no("integer arithmetic with a result of another width is evaluated here");
    }
    match op {
        Op::Plus | Op::Minus | Op::Multiply => checked(op, &[a, b], result),
        // Both truncate towards zero, and the remainder has the dividend's sign. Zero raises; the least value by -1 overflows.
        Op::Divide | Op::Modulo => match b.literal() {
            Some(Value::Int(d)) if !matches!(d, 0 | -1) => {
                let ty = RemoteType { nullable: a.ty.nullable, ..a.ty.clone() };
                let made = call(op.clone(), vec![a.scalar.clone(), b.scalar.clone()], ty);
                Judgement::exact(made.scalar, made.ty)
            }
            _ => Judgement::no("division by something that may be zero or -1 could raise at the source where a filter here would not"),
        },
        _ => Judgement::no("no integer arithmetic"),
    }
}

/// `+ - *` and negation of integers. Where the result always fits, as it is. Where it may not, but fits into a bigint, as a bigint: it cannot raise at
/// the source, a comparison is right for every row that does not raise here, and the reader checks each value that arrives.
fn checked(op: &Op, args: &[&Typed], result: &DataType) -> Judgement {
    let nullable = args.iter().any(|a| a.ty.nullable);
    let (Some(ty), Some(bits)) = (int(result, nullable), arrow_bits(result)) else {
        return Judgement::no("integer arithmetic with another result is evaluated here");
    };
    let ranges: Vec<_> = args.iter().map(|a| range(&a.scalar, bits)).collect();
    if fits_in(op, &ranges, bits) && !args.iter().any(|a| wider_there(&a.ty)) {
        let made = call(op.clone(), args.iter().map(|a| a.scalar.clone()).collect(), ty);
        return Judgement::exact(made.scalar, made.ty);
    }
    if bits == 64 || !fits_in(op, &ranges, 64) {
        return Judgement::no(overflow_reason(&ty.name));
    }
    let wide = RemoteType { name: "bigint".into(), family: Family::Int(64), ..ty };
    let widen = |a: &&Typed| match a.ty.family {
        Family::Int(64) => a.scalar.clone(),
        Family::Int(16) => Scalar::call(Op::Source(WIDEN_16.into()), vec![a.scalar.clone()], wide.clone()),
        _ => Scalar::call(Op::Source(WIDEN_32.into()), vec![a.scalar.clone()], wide.clone()),
    };
    let made = call(op.clone(), args.iter().map(widen).collect(), wide.clone());
    Judgement::rewritten(made.scalar, made.ty, "computed as bigint at the source, where it cannot overflow")
}

fn overflow_reason(name: &str) -> String {
    format!("{name} arithmetic that could overflow is evaluated here: the error must not depend on the order of evaluation")
}

/// numeric is exact at the source. It is the same here as long as the result has its full scale. Its precision may be cut to the most that a decimal
/// has: what then does not fit is an error here, and one less there, unless it is a column of the answer, where the reader says the same.
fn decimals(op: &Op, a: &Typed, b: &Typed, result: &DataType) -> Judgement {
    let shape = |t: &DataType| match t {
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Some((i32::from(*p), i32::from(*s))),
        _ => None,
    };
    let (Some((p1, s1)), Some((p2, s2)), Some(got)) = (shape(&a.ty.arrow), shape(&b.ty.arrow), shape(result)) else {
        return Judgement::no("numeric arithmetic with another result is evaluated here");
    };
    let full = match op {
        Op::Plus | Op::Minus => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Op::Multiply => (p1 + p2 + 1, s1 + s2),
        // The remainder has the dividend's sign on both sides. Zero raises.
        Op::Modulo => match b.literal() {
            Some(Value::Decimal(d)) if d.bytes().any(|c| matches!(c, b'1'..=b'9')) => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
            _ => return Judgement::no("a remainder by something that may be zero could raise at the source where a filter here would not"),
        },
        // The scale of a quotient is chosen by other rules, and the last digit is cut here and rounded there.
        _ => return Judgement::no("numeric division has another scale and rounding at the source"),
    };
    let digits_max = if matches!(result, DataType::Decimal128(..)) { 38 } else { 76 };
    if got != (full.0.min(digits_max), full.1) {
        return Judgement::no("numeric arithmetic whose result is cut in scale is evaluated here");
    }
    let ty = numeric(result, a.ty.nullable || b.ty.nullable);
    let made = call(op.clone(), vec![a.scalar.clone(), b.scalar.clone()], ty);
    Judgement::exact(made.scalar, made.ty)
}

/// The least and greatest value that an integer expression of so many bits can have.
pub(super) fn range(scalar: &Scalar, bits: u8) -> (i128, i128) {
    let full = |bits: u8| (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1);
    let whole = full(bits.clamp(1, 64));
    match scalar {
        Scalar::Literal(Value::Int(v), _) => (i128::from(*v), i128::from(*v)),
        Scalar::Call { op: Op::Source(name), ty, .. } if name == AS_WIDE => match ty.family {
            Family::Int(there) => full(there),
            _ => whole,
        },
        Scalar::Call { op: Op::Source(name), args, .. } => {
            let from = match name.as_str() {
                WIDEN_16 => 16,
                WIDEN_32 => 32,
                _ => return whole,
            };
            args.first().map_or(full(from), |a| range(a, from))
        }
        // A quotient or remainder is no larger than the dividend, on either side of zero.
        Scalar::Call { op: Op::Divide | Op::Modulo, args, .. } => {
            let (low, high) = args.first().map_or(whole, |a| range(a, bits));
            let most = low.abs().max(high.abs());
            (-most, most)
        }
        // Operands of a pushed integer operator have its own width.
        Scalar::Call { op: Op::Function(name), args, .. } if name == "abs" => {
            let parts: Vec<_> = args.iter().map(|a| range(a, bits)).collect();
            combine(&Op::Function("abs".into()), &parts).unwrap_or(whole)
        }
        Scalar::Call { op: op @ (Op::Plus | Op::Minus | Op::Multiply | Op::Negate), args, .. } => {
            let parts: Vec<_> = args.iter().map(|a| range(a, bits)).collect();
            combine(op, &parts).unwrap_or(whole)
        }
        _ => whole,
    }
}

fn fits_in(op: &Op, parts: &[(i128, i128)], bits: u8) -> bool {
    let (least, greatest) = (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1);
    combine(op, parts).is_some_and(|(low, high)| low >= least && high <= greatest)
}

/// Interval arithmetic over i128: what is pushed has at most 64 bits, so nothing here overflows.
fn combine(op: &Op, parts: &[(i128, i128)]) -> Option<(i128, i128)> {
    match (op, parts) {
        (Op::Negate, [(l, h)]) => Some((-h, -l)),
        (Op::Function(name), [(l, h)]) if name == "abs" => Some((0, l.abs().max(h.abs()))),
        (Op::Plus, [(a, b), (c, d)]) => Some((a + c, b + d)),
        (Op::Minus, [(a, b), (c, d)]) => Some((a - d, b - c)),
        (Op::Multiply, [(a, b), (c, d)]) => {
            let corners = [a * c, a * d, b * c, b * d];
            Some((*corners.iter().min()?, *corners.iter().max()?))
        }
        _ => None,
    }
}
