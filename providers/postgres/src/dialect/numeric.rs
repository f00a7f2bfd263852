//! round, trunc, ceil, floor and sign; the division of an average.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::function::{made, number, whole};
use super::types::{describe, numeric, plain, sound, wider_there};

/// The renderer's word for the division of an average.
pub(crate) const AVERAGE: &str = "average";

/// Digits before and after the point to which a numeric may be rounded at the source; beyond them both sides give what they were given, or zero.
const DIGITS_MAX: i64 = 1_000;

/// `name(a)` and `name(a, digits)`: of numerics exactly; of doubles where neither side can raise.
pub(super) fn rounding(name: &str, a: &Typed, digits: &[Typed], result: &DataType) -> Result<Judgement, String> {
    if !sound(&a.ty) || wider_there(&a.ty) {
        return Err(format!("{name} of {} is evaluated here", describe(&a.ty)));
    }
    let mut args = vec![a.scalar.clone()];
    match (digits, name) {
        ([], _) => {}
        ([n], "round" | "trunc") if number(n).is_some_and(|n| n.abs() <= DIGITS_MAX) => args.push(whole(n)?),
        _ => return Err(format!("{name} to digits that are no literal is evaluated here")),
    }
    match (&a.ty.family, result) {
        // Rounded half away from zero on both sides; the result type has room for every value (functions/rounding.rs).
        (Family::Decimal(_), DataType::Decimal128(..) | DataType::Decimal256(..)) => {
            Ok(made(name, args, numeric(result, a.ty.nullable), String::new()))
        }
        // Doubles keep NaN, the infinities and the sign of zero; round is half to even on both sides.
        (Family::Float(64), DataType::Float64) if args.len() == 1 => {
            Ok(made(name, args, RemoteType { nullable: a.ty.nullable, ..a.ty.clone() }, String::new()))
        }
        _ => Err(format!("{name} of {} as {result} is evaluated here", describe(&a.ty))),
    }
}

/// Digits after the point that a sum may have for its average to be sent. By `select_div_scale` of numeric.c a sum of at least 10^-4, divided by a count
/// below 10^16, has at most 36 of them; 38 can be read.
const SUM_SCALE_MAX: i8 = 4;

/// `fjord_avg(sum, count)`: the quotient that `avg` itself gives, digit by digit, NULL where nothing was counted.
pub(super) fn average(sum: &Typed, count: &Typed, result: &DataType) -> Result<Judgement, String> {
    let scale = match (&sum.ty.family, &sum.ty.arrow) {
        (Family::Int(_), _) => 0,
        (Family::Decimal(_), DataType::Decimal128(_, s) | DataType::Decimal256(_, s)) if (0..=SUM_SCALE_MAX).contains(s) => *s,
        _ => return Err("an average whose digits after the point may be more than 38 is divided here".into()),
    };
    if !sound(&sum.ty) || !matches!(count.ty.family, Family::Int(64)) || sum.literal().is_some() || count.literal().is_some() {
        return Err(format!("an average of {} is divided here", describe(&sum.ty)));
    }
    let ty = numeric(result, true);
    let digits = Scalar::Literal(Value::Int(i64::from(scale)), plain("integer", Family::Int(32), DataType::Int32, false));
    let scalar = Scalar::call(Op::Source(AVERAGE.into()), vec![sum.scalar.clone(), count.scalar.clone(), digits], ty.clone());
    Ok(Judgement::exact(scalar, ty))
}
