//! Numbers: which literal may meet which field, and casts that change no value.
//!
//! The source compares integers, doubles and decimals by their exact values. So does DataFusion only where both sides have a common type without loss.

use arrow::datatypes::DataType;
use bson::{Bson, Decimal128};
use fjord_engine::pushdown::{Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::field;
use crate::types::{DECIMAL, Kind};

/// Significant digits of a decimal in BSON, and its exponents.
const DIGITS: usize = 34;
const EXPONENT_MIN: i64 = -6176;

/// A cast of a field, where it changes no value: the field itself is compared then, and the reader gives the wider type.
pub(super) fn cast(a: &Typed, result: &DataType) -> Judgement {
    let Some(kind) = field(a) else { return Judgement::no("a cast is computed here") };
    let family = match (&kind, &a.ty.arrow, result) {
        (Kind::Int, DataType::Int32, DataType::Int64) => Family::Int(64),
        // Not of a long, which a double rounds.
        (Kind::Int, DataType::Int32, DataType::Float64) => Family::Float(64),
        (Kind::Int | Kind::Long, DataType::Int32 | DataType::Int64, DataType::Decimal128(p, s) | DataType::Decimal256(p, s)) if *s >= 0 => {
            // A type too narrow for the values raises here, and would not there: allowed, but not a rounding one.
            Family::Decimal(Some((*p, *s)))
        }
        (Kind::Decimal, DataType::Decimal256(..), DataType::Decimal256(p, s)) if *s >= DECIMAL.1 => Family::Decimal(Some((*p, *s))),
        _ => return Judgement::no(format!("a cast from {} to {result} is computed here", a.ty.name)),
    };
    let ty = RemoteType { name: a.ty.name.clone(), family, arrow: result.clone(), nullable: a.ty.nullable, text: None };
    Judgement::exact(Scalar::call(Op::Cast, vec![a.scalar.clone()], ty.clone()), ty)
}

/// The number to compare a field of this kind, seen as `seen`, with; or why not.
pub(super) fn fitting(kind: &Kind, seen: &RemoteType, v: &Value) -> Result<Value, String> {
    let as_double = matches!(seen.arrow, DataType::Float64);
    match (kind, v) {
        (Kind::Int | Kind::Long | Kind::Decimal, Value::Int(_)) if !as_double => Ok(v.clone()),
        (Kind::Int | Kind::Long | Kind::Decimal, Value::UInt(n)) if !as_double => Ok(Value::Decimal(n.to_string())),
        (Kind::Int | Kind::Long | Kind::Decimal, Value::Decimal(d)) if !as_double => {
            decimal128(d).map(|_| v.clone()).ok_or_else(|| "the number has more than the 34 digits that BSON holds".into())
        }
        // NaN is equal to itself and above all others here.
        (Kind::Double | Kind::Int, Value::Float64(bits)) if as_double => {
            if f64::from_bits(*bits).is_nan() {
                return Err("NaN is compared here".into());
            }
            Ok(v.clone())
        }
        _ => Err(format!("{} meets a number of another kind: compared here", kind.name())),
    }
}

/// Plain digits as a BSON decimal, exactly or not at all.
pub(crate) fn decimal128(digits: &str) -> Option<Decimal128> {
    let (sign, number) = digits.strip_prefix('-').map_or(("", digits), |n| ("-", n));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let exponent = -i64::try_from(fraction.len()).ok()?;
    if significant.is_empty() {
        return "0".parse().ok();
    }
    // Zeros at the end of a whole number go into the exponent.
    let (significant, exponent) = if significant.len() > DIGITS && exponent == 0 {
        let trimmed = significant.trim_end_matches('0');
        (trimmed, i64::try_from(significant.len() - trimmed.len()).ok()?)
    } else {
        (significant, exponent)
    };
    if significant.len() > DIGITS || exponent < EXPONENT_MIN {
        return None;
    }
    format!("{sign}{significant}E{exponent}").parse().ok()
}

/// A number as it is sent.
pub(crate) fn number(v: &Value) -> Option<Bson> {
    Some(match v {
        Value::Int(n) => i32::try_from(*n).map_or(Bson::Int64(*n), Bson::Int32),
        Value::UInt(n) => Bson::Decimal128(decimal128(&n.to_string())?),
        Value::Decimal(d) => Bson::Decimal128(decimal128(d)?),
        Value::Float64(bits) => Bson::Double(f64::from_bits(*bits)),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::decimal128;

    #[test]
    fn decimals_are_exact_or_refused() {
        for (digits, shown) in [
            ("0.00", "0"),
            ("-12.50", "-12.5"),
            ("100", "100"),
            ("0.000001", "0.000001"),
            ("1234567890123456789012345678901234", "1234567890123456789012345678901234"),
            ("12345678901234567890123456789012340000", "1.234567890123456789012345678901234E+37"),
        ] {
            assert_eq!(decimal128(digits).unwrap().to_string(), shown, "{digits}");
        }
        for digits in ["12345678901234567890123456789012345", "1.2345678901234567890123456789012345", "1e5", "x"] {
            assert!(decimal128(digits).is_none(), "{digits}");
        }
    }
}
