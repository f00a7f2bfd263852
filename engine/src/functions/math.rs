//! power, exp, ln, log, sqrt, div and width_bucket, with Postgres's errors in place of infinities and NaN.
//!
//! As `float.c` and `numeric.c` of PostgreSQL 15 have them; those over double precision take numerics as doubles.

use arrow::datatypes::{ArrowNativeTypeOp, i256};
use datafusion::common::{Result, ScalarValue};

use super::rowwise::{Def, Kind, Overload, wrong};
use crate::error::{SqlError, SqlState};

/// The functions.
pub(super) static ALL: &[Def] = &[
    Def { name: "power", overloads: &[Overload { takes: &[Kind::Float8, Kind::Float8], gives: Kind::Float8, eval: |r| two(r, power) }] },
    Def { name: "pow", overloads: &[Overload { takes: &[Kind::Float8, Kind::Float8], gives: Kind::Float8, eval: |r| two(r, power) }] },
    Def { name: "exp", overloads: &[Overload { takes: &[Kind::Float8], gives: Kind::Float8, eval: |r| one(r, exp) }] },
    Def { name: "ln", overloads: &[Overload { takes: &[Kind::Float8], gives: Kind::Float8, eval: |r| one(r, |x| log(x, f64::ln)) }] },
    Def { name: "log10", overloads: &[Overload { takes: &[Kind::Float8], gives: Kind::Float8, eval: |r| one(r, |x| log(x, f64::log10)) }] },
    Def {
        name: "log",
        overloads: &[
            Overload { takes: &[Kind::Float8], gives: Kind::Float8, eval: |r| one(r, |x| log(x, f64::log10)) },
            Overload { takes: &[Kind::Float8, Kind::Float8], gives: Kind::Float8, eval: |r| two(r, log_to_base) },
        ],
    },
    Def { name: "sqrt", overloads: &[Overload { takes: &[Kind::Float8], gives: Kind::Float8, eval: |r| one(r, sqrt) }] },
    Def { name: "div", overloads: &[Overload { takes: &[Kind::Numeric, Kind::Numeric], gives: Kind::Numeric, eval: div }] },
    Def {
        name: "width_bucket",
        overloads: &[
            Overload { takes: &[Kind::Numeric, Kind::Numeric, Kind::Numeric, Kind::Count], gives: Kind::Int4, eval: numeric_bucket },
            Overload { takes: &[Kind::Float8, Kind::Float8, Kind::Float8, Kind::Count], gives: Kind::Int4, eval: float_bucket },
        ],
    },
];

fn one(row: &[ScalarValue], f: fn(f64) -> Result<f64>) -> Result<ScalarValue> {
    match row {
        [ScalarValue::Float64(Some(x))] => Ok(ScalarValue::Float64(Some(f(*x)?))),
        _ => wrong(row),
    }
}

fn two(row: &[ScalarValue], f: fn(f64, f64) -> Result<f64>) -> Result<ScalarValue> {
    match row {
        [ScalarValue::Float64(Some(x)), ScalarValue::Float64(Some(y))] => Ok(ScalarValue::Float64(Some(f(*x, *y)?))),
        _ => wrong(row),
    }
}

fn raise<T>(state: SqlState, message: &str) -> Result<T> {
    Err(SqlError::new(state, message).into())
}

/// A result of finite arguments.
fn in_range(result: f64, may_be_zero: bool) -> Result<f64> {
    if result.is_infinite() {
        return raise(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow");
    }
    if result == 0.0 && !may_be_zero {
        return raise(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow");
    }
    Ok(result)
}

fn power(x: f64, y: f64) -> Result<f64> {
    if x == 0.0 && y < 0.0 {
        return raise(SqlState::INVALID_ARGUMENT_FOR_POWER, "zero raised to a negative power is undefined");
    }
    if x < 0.0 && y.is_finite() && y.floor() != y {
        return raise(SqlState::INVALID_ARGUMENT_FOR_POWER, "a negative number raised to a non-integer power yields a complex result");
    }
    let result = x.powf(y);
    if x.is_finite() && y.is_finite() { in_range(result, x == 0.0) } else { Ok(result) }
}

fn exp(x: f64) -> Result<f64> {
    if x.is_finite() { in_range(x.exp(), false) } else { Ok(x.exp()) }
}

fn log(x: f64, f: fn(f64) -> f64) -> Result<f64> {
    if x == 0.0 {
        return raise(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, "cannot take logarithm of zero");
    }
    if x < 0.0 {
        return raise(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, "cannot take logarithm of a negative number");
    }
    Ok(f(x))
}

fn log_to_base(base: f64, x: f64) -> Result<f64> {
    let (below, above) = (log(base, f64::ln)?, log(x, f64::ln)?);
    if below == 0.0 {
        return raise(SqlState::DIVISION_BY_ZERO, "division by zero");
    }
    Ok(above / below)
}

fn sqrt(x: f64) -> Result<f64> {
    if x < 0.0 {
        return raise(SqlState::INVALID_ARGUMENT_FOR_POWER, "cannot take square root of a negative number");
    }
    Ok(x.sqrt())
}

fn div(row: &[ScalarValue]) -> Result<ScalarValue> {
    let [ScalarValue::Decimal256(Some(a), p, s), ScalarValue::Decimal256(Some(b), _, _)] = row else { return wrong(row) };
    if b.is_zero() {
        return raise(SqlState::DIVISION_BY_ZERO, "division by zero");
    }
    let unit = i256::from_i128(10).pow_checked(u32::from(s.unsigned_abs()))?;
    let quotient = a.wrapping_div(*b).checked_mul(unit);
    match quotient {
        Some(q) => Ok(ScalarValue::Decimal256(Some(q), *p, *s)),
        None => raise(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow"),
    }
}

fn count_of(count: i32) -> Result<i32> {
    if count <= 0 { raise(SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET, "count must be greater than zero") } else { Ok(count) }
}

fn beyond(count: i32) -> Result<i32> {
    count.checked_add(1).map_or_else(|| raise(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range"), Ok)
}

fn equal_bounds<T>() -> Result<T> {
    raise(SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET, "lower bound cannot equal upper bound")
}

fn numeric_bucket(row: &[ScalarValue]) -> Result<ScalarValue> {
    let [ScalarValue::Decimal256(Some(x), ..), ScalarValue::Decimal256(Some(low), ..), ScalarValue::Decimal256(Some(high), ..), count] =
        row
    else {
        return wrong(row);
    };
    let ScalarValue::Int32(Some(count)) = count else { return wrong(row) };
    let count = count_of(*count)?;
    if low == high {
        return equal_bounds();
    }
    // Bounds that fall are those that rise, seen from the other side.
    let falls = low > high;
    let (before, after) = if falls { (x > low, x <= high) } else { (x < low, x >= high) };
    if before {
        return Ok(ScalarValue::Int32(Some(0)));
    }
    if after {
        return Ok(ScalarValue::Int32(Some(beyond(count)?)));
    }
    let overflow = || SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow in width_bucket");
    let (part, whole) = if falls { (low.checked_sub(*x), low.checked_sub(*high)) } else { (x.checked_sub(*low), high.checked_sub(*low)) };
    let part = part.and_then(|p| p.checked_mul(i256::from_i128(i128::from(count)))).ok_or_else(overflow)?;
    let bucket = part.wrapping_div(whole.ok_or_else(overflow)?);
    let bucket = bucket.to_i128().and_then(|b| i32::try_from(b).ok()).ok_or_else(overflow)?;
    Ok(ScalarValue::Int32(Some(beyond(bucket)?)))
}

fn float_bucket(row: &[ScalarValue]) -> Result<ScalarValue> {
    let [ScalarValue::Float64(Some(x)), ScalarValue::Float64(Some(low)), ScalarValue::Float64(Some(high)), ScalarValue::Int32(Some(count))] =
        row
    else {
        return wrong(row);
    };
    let count = count_of(*count)?;
    let wrong_argument = |message: &str| raise(SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET, message);
    if x.is_nan() || low.is_nan() || high.is_nan() {
        return wrong_argument("operand, lower bound, and upper bound cannot be NaN");
    }
    if low.is_infinite() || high.is_infinite() {
        return wrong_argument("lower and upper bounds must be finite");
    }
    if low == high {
        return equal_bounds();
    }
    let falls = low > high;
    let (before, after) = if falls { (x > low, x <= high) } else { (x < low, x >= high) };
    let bucket = if before {
        0
    } else if after {
        beyond(count)?
    } else {
        let (part, whole) = if falls { (low - x, low - high) } else { (x - low, high - low) };
        let share = if whole.is_finite() {
            part / whole
        } else if falls {
            (low / 2.0 - x / 2.0) / (low / 2.0 - high / 2.0)
        } else {
            (x / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)
        };
        // The share is below 1, so the product fits; but it may round up to the count itself.
        ((f64::from(count) * share) as i32).min(count - 1) + 1
    };
    Ok(ScalarValue::Int32(Some(bucket)))
}
