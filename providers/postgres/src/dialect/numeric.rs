//! round, trunc, ceil, floor and sign.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Judgement, RemoteType, Typed};

use super::function::{made, number, whole};
use super::types::{describe, numeric, sound, wider_there};

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
