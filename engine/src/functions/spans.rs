//! Intervals times and over numbers, the time between two instants (`age`), and `isfinite`: as `timestamp.c` of PostgreSQL 15 has them.

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use sqlparser::ast::BinaryOperator;

use super::rowwise::{self, Def, Kind, Overload, wrong};
use crate::error::{SqlError, SqlState};
use crate::values::{USECS_PER_DAY, civil_of_days};

static TIMES: Def = Def {
    name: "fjord_interval_times",
    overloads: &[Overload { takes: &[Kind::Interval, Kind::Float8], gives: Kind::Interval, eval: |r| scaled(r, times) }],
};
static OVER: Def = Def {
    name: "fjord_interval_over",
    overloads: &[Overload { takes: &[Kind::Interval, Kind::Float8], gives: Kind::Interval, eval: |r| scaled(r, over) }],
};
static AGE: Def =
    Def { name: "age", overloads: &[Overload { takes: &[Kind::Timestamp, Kind::Timestamp], gives: Kind::Interval, eval: age }] };
static IS_FINITE: Def = Def {
    name: "isfinite",
    overloads: &[
        Overload { takes: &[Kind::Interval], gives: Kind::Bool, eval: |_| Ok(ScalarValue::Boolean(Some(true))) },
        Overload { takes: &[Kind::Date], gives: Kind::Bool, eval: is_finite },
        Overload { takes: &[Kind::Timestamp], gives: Kind::Bool, eval: is_finite },
    ],
};

/// The functions.
pub(super) static ALL: [&Def; 4] = [&TIMES, &OVER, &AGE, &IS_FINITE];

/// Plans `interval * number`, `number * interval` and `interval / number`.
#[derive(Debug)]
pub(crate) struct IntervalArithmetic;

impl ExprPlanner for IntervalArithmetic {
    fn plan_binary_op(&self, e: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let type_of = |e: &Expr| e.get_type(schema).unwrap_or(DataType::Null);
        let interval = |t: &DataType| matches!(t, DataType::Interval(IntervalUnit::MonthDayNano));
        // A literal or parameter without a type is the number.
        let number = |t: &DataType| t.is_numeric() || t.is_string() || t.is_null();
        let (left, right) = (type_of(&e.left), type_of(&e.right));
        let (def, args) = match &e.op {
            BinaryOperator::Multiply if interval(&left) && number(&right) => (&TIMES, vec![e.left, e.right]),
            BinaryOperator::Multiply if interval(&right) && number(&left) => (&TIMES, vec![e.right, e.left]),
            BinaryOperator::Divide if interval(&left) && number(&right) => (&OVER, vec![e.left, e.right]),
            _ => return Ok(PlannerResult::Original(e)),
        };
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(rowwise::function(def), args))))
    }
}

/// Months, days and microseconds.
type Span = (i32, i32, i64);

fn scaled(row: &[ScalarValue], f: fn(Span, f64) -> Result<Span>) -> Result<ScalarValue> {
    let [ScalarValue::IntervalMonthDayNano(Some(i)), ScalarValue::Float64(Some(factor))] = row else { return wrong(row) };
    let (months, days, usecs) = f((i.months, i.days, i.nanoseconds.div_euclid(1_000)), *factor)?;
    made(months, days, usecs)
}

fn made(months: i32, days: i32, usecs: i64) -> Result<ScalarValue> {
    let nanoseconds = usecs.checked_mul(1_000).ok_or_else(out_of_range)?;
    Ok(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds })))
}

fn out_of_range() -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

fn times(span: Span, factor: f64) -> Result<Span> {
    split(span, |v| v * factor)
}

fn over(span: Span, factor: f64) -> Result<Span> {
    if factor == 0.0 {
        return Err(SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero").into());
    }
    split(span, |v| v / factor)
}

/// `interval_mul` and `interval_div`: fractions of months become days of 30 to the month, fractions of days hours.
fn split((months, days, usecs): Span, f: impl Fn(f64) -> f64) -> Result<Span> {
    const DAYS_PER_MONTH: f64 = 30.0;
    const SECS_PER_DAY: f64 = 86_400.0;
    // TSROUND: to a microsecond.
    let rounded = |v: f64| (v * 1e6).round_ties_even() / 1e6;
    let whole = |v: f64| {
        // Also NaN is refused.
        if v >= f64::from(i32::MIN) && v <= f64::from(i32::MAX) { Ok(v as i32) } else { Err(out_of_range()) }
    };
    let month = whole(f(f64::from(months)))?;
    let mut day = whole(f(f64::from(days)))?;
    let month_days = rounded((f(f64::from(months)) - f64::from(month)) * DAYS_PER_MONTH);
    let mut seconds = rounded((f(f64::from(days)) - f64::from(day) + month_days - month_days.trunc()) * SECS_PER_DAY);
    if seconds.abs() >= SECS_PER_DAY {
        let more = (seconds / SECS_PER_DAY).trunc();
        day = day.checked_add(whole(more)?).ok_or_else(out_of_range)?;
        seconds -= more * SECS_PER_DAY;
    }
    day = day.checked_add(whole(month_days.trunc())?).ok_or_else(out_of_range)?;
    let time = (f(usecs as f64) + seconds * 1e6).round_ties_even();
    // 2^63 is a double, i64::MAX is not.
    if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&time) {
        return Err(out_of_range().into());
    }
    Ok((month, day, time as i64))
}

fn is_finite(row: &[ScalarValue]) -> Result<ScalarValue> {
    let finite = match row {
        [ScalarValue::Date32(Some(d))] => !matches!(*d, i32::MIN | i32::MAX),
        [ScalarValue::TimestampMicrosecond(Some(t), _)] => !matches!(*t, i64::MIN | i64::MAX),
        _ => return wrong(row),
    };
    Ok(ScalarValue::Boolean(Some(finite)))
}

/// Years, months, days and the time between two wall-clock times, as a calendar counts them.
fn age(row: &[ScalarValue]) -> Result<ScalarValue> {
    let [ScalarValue::TimestampMicrosecond(Some(a), _), ScalarValue::TimestampMicrosecond(Some(b), _)] = row else { return wrong(row) };
    if [a, b].iter().any(|t| matches!(**t, i64::MIN | i64::MAX)) {
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range").into());
    }
    let fields = |t: i64| {
        let (year, month, day) = civil_of_days(t.div_euclid(USECS_PER_DAY));
        (year, i64::from(month), i64::from(day), t.rem_euclid(USECS_PER_DAY))
    };
    let ((y1, m1, d1, t1), (y2, m2, d2, t2)) = (fields(*a), fields(*b));
    let sign = if a < b { -1 } else { 1 };
    let (mut years, mut months, mut days, mut usecs) = (sign * (y1 - y2), sign * (m1 - m2), sign * (d1 - d2), sign * (t1 - t2));
    if usecs < 0 {
        usecs += USECS_PER_DAY;
        days -= 1;
    }
    while days < 0 {
        // The days of the month in which the earlier of the two stands.
        days += if a < b { days_of_month(y1, m1) } else { days_of_month(y2, m2) };
        months -= 1;
    }
    while months < 0 {
        months += 12;
        years -= 1;
    }
    let narrow = |v: i64| i32::try_from(sign * v).map_err(|_| out_of_range());
    made(narrow(years * 12 + months)?, narrow(days)?, sign * usecs)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::values::USECS_PER_SEC;

    #[test]
    fn fractions_go_down_as_in_postgres() {
        // SELECT interval '1 mon 1 day 1 sec' * 1.5, and so on, of PostgreSQL 15.
        assert_eq!(times((1, 1, USECS_PER_SEC), 1.5).unwrap(), (1, 16, 12 * 3600 * USECS_PER_SEC + 1_500_000));
        assert_eq!(over((1, 0, 0), 3.0).unwrap(), (0, 10, 0));
        assert_eq!(times((0, 1, 0), -0.5).unwrap(), (0, 0, -12 * 3600 * USECS_PER_SEC));
        assert!(times((i32::MAX, 0, 0), 2.0).is_err());
        assert!(times((1, 0, 0), f64::NAN).is_err());
        assert!(over((1, 0, 0), 0.0).is_err());
    }
}
