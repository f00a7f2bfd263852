//! Quotients and products of numerics: `fjord_divide(a, b)`, `fjord_times(a, b)`, and the division in an average.
//!
//! DataFusion 55 gives a quotient four digits more than the dividend's, cut, and refuses the product of two numerics without precision: it would have
//! 76 digits after the point. Here a quotient has the digits that PostgreSQL 15 gives it (`select_div_scale` in `numeric.c`: at least 16 significant
//! ones), rounded, and both have no more than the 38 that a numeric without precision is held with.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal256Builder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Int64Type, i256};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::error::{SqlError, SqlState};

/// Digits of the result's type: those of a numeric without precision.
const PRECISION: u8 = 76;
/// Digits after the point in it.
const SCALE: i8 = 38;
/// A numeric without precision: the type of every result here.
pub(super) const TYPE: DataType = DataType::Decimal256(PRECISION, SCALE);
/// NUMERIC_MIN_SIG_DIGITS of numeric.c.
const SIGNIFICANT_MIN: i32 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Op {
    Divide,
    Times,
}

/// The functions, to be registered.
pub(super) fn all() -> [Arc<ScalarUDF>; 2] {
    static ALL: LazyLock<[Arc<ScalarUDF>; 2]> = LazyLock::new(|| {
        [Op::Divide, Op::Times].map(|op| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(Numeric { op, signature }))
        })
    });
    ALL.clone()
}

/// Every quotient of numerics, and every product of numerics with more digits after the point than are kept. Before type coercion, which makes both
/// sides alike and their scales with it.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, schema| Ok(rewrite_one(e, schema)))
}

fn rewrite_one(e: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &e else { return Transformed::no(e) };
    let scale = |e: &Expr| match e.get_type(schema) {
        Ok(DataType::Decimal128(_, s) | DataType::Decimal256(_, s)) => Some((true, s)),
        Ok(t) if t.is_integer() => Some((false, 0)),
        _ => None,
    };
    let (Some((a_numeric, a)), Some((b_numeric, b))) = (scale(left), scale(right)) else { return Transformed::no(e) };
    let [divide, times] = all();
    let function = match op {
        Operator::Divide if a_numeric || b_numeric => divide,
        Operator::Multiply if a.saturating_add(b) > SCALE => times,
        _ => return Transformed::no(e),
    };
    Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![left.as_ref().clone(), right.as_ref().clone()])))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Numeric {
    op: Op,
    signature: Signature,
}

impl ScalarUDFImpl for Numeric {
    fn name(&self) -> &str {
        match self.op {
            Op::Divide => "fjord_divide",
            Op::Times => "fjord_times",
        }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let decimal = |t: &DataType| match t {
            DataType::Decimal128(..) | DataType::Decimal256(..) => Ok(t.clone()),
            t if t.is_integer() || t.is_null() => Ok(DataType::Decimal128(20, 0)),
            other => Err(SqlError::internal(format!("{} of {other}", self.name())).into()),
        };
        types.iter().map(decimal).collect()
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(TYPE)
    }
    fn is_strict(&self) -> bool {
        true
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let one = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if one { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let [a, b] = arrays.as_slice() else { return Err(SqlError::internal(format!("{} takes two arguments", self.name())).into()) };
        let (a, b) = (Column::of(a)?, Column::of(b)?);
        let mut out = Decimal256Builder::with_capacity(rows).with_precision_and_scale(PRECISION, SCALE)?;
        for i in 0..rows {
            out.append_option(match (a.value(i), b.value(i)) {
                (Some(x), Some(y)) => Some(match self.op {
                    Op::Divide => divide((x, a.scale), (y, b.scale))?,
                    Op::Times => times(x, y, a.scale + b.scale).ok_or_else(overflow)?,
                }),
                _ => None,
            });
        }
        let out: ArrayRef = Arc::new(out.finish());
        Ok(if one { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}

/// `sum / count` row by row, as `numeric_avg` of numeric.c divides them; NULL where the count is zero.
pub(super) fn averages(sum: &ArrayRef, count: &ArrayRef) -> Result<ArrayRef> {
    let sum = if sum.data_type().is_integer() { cast(sum, &DataType::Decimal128(20, 0))? } else { sum.clone() };
    let counts = count.as_primitive_opt::<Int64Type>().ok_or_else(|| SqlError::internal(format!("a count is {}", count.data_type())))?;
    let sums = Column::of(&sum)?;
    let mut out = Decimal256Builder::with_capacity(sum.len()).with_precision_and_scale(PRECISION, SCALE)?;
    for (i, n) in counts.iter().enumerate() {
        let counted = n.filter(|n| *n != 0).map(|n| (i256::from_i128(i128::from(n)), 0));
        out.append_option(sums.value(i).zip(counted).map(|(v, n)| divide((v, sums.scale), n)).transpose()?);
    }
    Ok(Arc::new(out.finish()))
}

/// One argument's values.
struct Column<'a> {
    values: &'a ArrayRef,
    scale: i32,
}

impl Column<'_> {
    fn of(values: &ArrayRef) -> Result<Column<'_>> {
        match values.data_type() {
            DataType::Decimal128(_, s) | DataType::Decimal256(_, s) => Ok(Column { values, scale: i32::from(*s) }),
            other => Err(SqlError::internal(format!("arithmetic of {other}")).into()),
        }
    }
    fn value(&self, i: usize) -> Option<i256> {
        if self.values.is_null(i) {
            return None;
        }
        Some(match self.values.data_type() {
            DataType::Decimal128(..) => i256::from_i128(self.values.as_primitive::<Decimal128Type>().value(i)),
            _ => self.values.as_primitive::<Decimal256Type>().value(i),
        })
    }
}

fn overflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
        .hint("Fjord computes numerics with 38 digits before the point. Cast to double precision for a wider range.")
}

fn power(n: i32) -> Option<i256> {
    u32::try_from(n).ok().and_then(|n| i256::from_i128(10).checked_pow(n))
}

/// Decimal digits of an absolute value.
fn digits(v: i256) -> i32 {
    let (mut n, mut v) = (0, v.wrapping_abs());
    if let Some(small) = v.to_i128() {
        return small.unsigned_abs().checked_ilog10().map_or(0, |l| i32::try_from(l).unwrap_or(0) + 1);
    }
    while v != i256::ZERO {
        v = v.wrapping_div(i256::from_i128(10));
        n += 1;
    }
    n
}

/// Where Postgres's first digit in base 10,000 stands, and its value: `1234567.8` is 123 at weight 1.
fn leading(v: i256, scale: i32) -> (i32, i32) {
    let places = digits(v) - scale;
    // Weight 0 holds the four digits before the point.
    let weight = (places - 1).div_euclid(4);
    // The group begins `first` digits into the number, at 10^(4 * weight).
    let below = 4 * weight + scale;
    let first = match power(below.abs()) {
        Some(p) if below >= 0 => v.wrapping_abs().wrapping_div(p),
        Some(p) => v.wrapping_abs().wrapping_mul(p),
        None => i256::ZERO,
    };
    (weight, first.to_i128().and_then(|f| i32::try_from(f).ok()).unwrap_or(0))
}

/// The digits after the point that a value shows: all of a column with a precision of its own, else those up to its last that is not zero.
fn shown(v: i256, scale: i32) -> i32 {
    if scale < i32::from(SCALE) {
        return scale;
    }
    let (mut v, mut scale) = (v, scale);
    let ten = i256::from_i128(10);
    while scale > 0 && v != i256::ZERO && v.wrapping_rem(ten) == i256::ZERO {
        v = v.wrapping_div(ten);
        scale -= 1;
    }
    if v == i256::ZERO { 0 } else { scale }
}

fn divide((a, a_scale): (i256, i32), (b, b_scale): (i256, i32)) -> Result<i256> {
    if b == i256::ZERO {
        return Err(SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero").into());
    }
    if a == i256::ZERO {
        return Ok(i256::ZERO);
    }
    let ((a_weight, a_first), (b_weight, b_first)) = (leading(a, a_scale), leading(b, b_scale));
    let weight = a_weight - b_weight - i32::from(a_first <= b_first);
    let wanted = (SIGNIFICANT_MIN - 4 * weight).max(shown(a, a_scale)).max(shown(b, b_scale)).clamp(0, i32::from(SCALE));
    let quotient = quotient(a, b, wanted + b_scale - a_scale).ok_or_else(overflow)?;
    let value = power(i32::from(SCALE) - wanted).and_then(|p| quotient.checked_mul(p));
    Ok(value.filter(in_range).ok_or_else(overflow)?)
}

fn in_range(v: &i256) -> bool {
    power(i32::from(PRECISION)).is_some_and(|p| v.wrapping_abs() < p)
}

/// `a * 10^shift / b`, rounded half away from zero; `None` where it does not fit.
fn quotient(a: i256, b: i256, shift: i32) -> Option<i256> {
    let (mut a, mut b, negative) = (a.wrapping_abs(), b.wrapping_abs(), a.is_negative() != b.is_negative());
    let mut left = shift;
    if left < 0 {
        b = b.checked_mul(power(-left)?)?;
        left = 0;
    }
    // As many digits at a time as there is room for beside the divisor, like on paper.
    let step = i32::from(PRECISION) - digits(b);
    let mut q = i256::ZERO;
    let mut r = a;
    loop {
        q = q.checked_add(r.wrapping_div(b))?;
        r = r.wrapping_rem(b);
        if left == 0 {
            break;
        }
        if step < 1 {
            return None;
        }
        let more = left.min(step);
        q = q.checked_mul(power(more)?)?;
        a = r.checked_mul(power(more)?)?;
        r = a;
        left -= more;
    }
    // b - r does not overflow where 2 * r could.
    if r >= b.wrapping_sub(r) {
        q = q.checked_add(i256::ONE)?;
    }
    Some(if negative { q.wrapping_neg() } else { q })
}

/// The product of two values whose scales add up to `scale`, rounded to [`SCALE`] digits; `None` where it does not fit.
fn times(a: i256, b: i256, scale: i32) -> Option<i256> {
    let negative = a.is_negative() != b.is_negative();
    let mut product = widened(a.wrapping_abs(), b.wrapping_abs());
    let mut drop = scale - i32::from(SCALE);
    let (mut rest, mut half) = (0, 0);
    while drop > 0 {
        let n = drop.min(18);
        let divisor = 10u64.pow(n.unsigned_abs());
        rest = divide_small(&mut product, divisor);
        half = divisor / 2;
        drop -= n;
    }
    // The last digits to go decide, whatever was dropped below them: half and more goes up.
    if half > 0 && rest >= half {
        add_one(&mut product);
    }
    if product[4..].iter().any(|l| *l != 0) || product[3] >> 63 != 0 {
        return None;
    }
    let part = |i: usize| u128::from(product[i]);
    let value = i256::from_parts(part(0) | part(1) << 64, (part(2) | part(3) << 64) as i128);
    let value = value.checked_mul(power((i32::from(SCALE) - scale).max(0))?)?;
    Some(if negative { value.wrapping_neg() } else { value }).filter(in_range)
}

/// A product in 512 bits, from the lowest 64 on.
fn widened(a: i256, b: i256) -> [u64; 8] {
    let limbs = |v: i256| {
        let (low, high) = v.to_parts();
        let high = high as u128;
        [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64]
    };
    let (a, b) = (limbs(a), limbs(b));
    let mut out = [0u64; 8];
    for (i, x) in a.iter().enumerate() {
        let mut carry = 0u128;
        for (j, y) in b.iter().enumerate() {
            let sum = u128::from(*x) * u128::from(*y) + u128::from(out[i + j]) + carry;
            out[i + j] = sum as u64;
            carry = sum >> 64;
        }
        out[i + 4] = carry as u64;
    }
    out
}

/// Divides in place and gives the remainder.
fn divide_small(v: &mut [u64; 8], by: u64) -> u64 {
    let mut rest = 0u128;
    for limb in v.iter_mut().rev() {
        let all = rest << 64 | u128::from(*limb);
        *limb = (all / u128::from(by)) as u64;
        rest = all % u128::from(by);
    }
    rest as u64
}

fn add_one(v: &mut [u64; 8]) {
    for limb in v.iter_mut() {
        let (sum, carry) = limb.overflowing_add(1);
        *limb = sum;
        if !carry {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn number(v: i128) -> i256 {
        i256::from_i128(v)
    }

    #[test]
    fn quotients_have_the_digits_of_postgres() {
        // (a, scale, b, scale) and a / b of PostgreSQL 15: its digits and how many of them stand after the point.
        for (a, s, b, t, digits, scale) in [
            (10, 1, 3, 0, 33_333_333_333_333_333_333, 20),
            (100, 1, 40, 1, 25_000_000_000_000_000, 16),
            (1, 0, 30_000, 0, 33_333_333_333_333_333_333, 24),
            (-2, 0, 3, 0, -66_666_666_666_666_666_667, 20),
            (1_000_000_000_000, 0, 70, 1, 14_285_714_285_714_285_714, 8),
        ] {
            let want = number(digits).wrapping_mul(power(38 - scale).unwrap());
            assert_eq!(divide((number(a), s), (number(b), t)).unwrap(), want, "{a} / {b}");
        }
        assert!(divide((number(1), 0), (number(0), 0)).is_err());
    }

    #[test]
    fn products_keep_38_digits() {
        let unit = number(10).checked_pow(38).unwrap();
        let value = |v: i128| number(v).checked_mul(unit).unwrap();
        assert_eq!(times(value(12_345), value(-99_999), 76).unwrap(), value(-12_345 * 99_999));
        // A third of a third, rounded.
        let third = unit.wrapping_div(number(3));
        assert_eq!(times(third, third, 76).unwrap().to_string(), "11111111111111111111111111111111111111");
        assert_eq!(times(value(10).wrapping_mul(value(1).wrapping_div(unit)), value(1), 76), Some(value(10)));
        let huge = value(1).checked_mul(number(10).checked_pow(30).unwrap()).unwrap();
        assert_eq!(times(huge, huge, 76), None);
    }
}
