//! Days, wall-clock times and instants in UTC, plus an interval; days minus days.
//!
//! Months, then days, then the time are added on both sides, and the 31st becomes the last day of a shorter month. What differs are the ends: this side raises
//! for an infinity and from the year 262143 on, Postgres has no day before 4713 BC. So what goes forward is exact under a guard that gives NULL where this side
//! raises; what goes back is exact for years after Christ only, a pre-filter.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Judgement, Mostly, Op, RemoteType, Scalar, Typed, Value};

use super::cast::in_utc;
use super::types::{call, describe, int, plain, sound};

/// The renderer's `x + interval`, forward and back; and the test of what may go back.
pub(crate) const FORWARD: &str = "shift_forward";
pub(crate) const BACK: &str = "shift_back";
pub(crate) const AFTER_CHRIST: &str = "after_christ";
/// The renderer's `a - b` of days, and the test of both.
pub(crate) const DAYS_BETWEEN: &str = "days_between";
pub(crate) const FINITE: &str = "finite_days";
/// The renderer's midnight of a day.
pub(crate) const MIDNIGHT: &str = "midnight";

const DAY: i64 = 86_400_000_000;
/// Each part is at most ten thousand years: from the last year of this side, all three stay within Postgres's range.
const MONTHS_MAX: i64 = 120_000;
const DAYS_MAX: i64 = 3_650_000;

enum Direction {
    Forward,
    Back,
}

/// `a + b` or `a - b` that shifts a day or a time, with what is added.
fn shifted(op: &Op, a: &Typed, b: &Typed, result: &DataType) -> Option<Result<(Typed, Scalar, Direction), String>> {
    let interval = |t: &Typed| match t.literal() {
        Some(Value::Interval(m, d, us)) => Some((i64::from(*m), i64::from(*d), *us)),
        _ => None,
    };
    let (x, (months, days, micros)) = match op {
        Op::Plus => interval(b).map(|i| (a, i)).or_else(|| interval(a).map(|i| (b, i)))?,
        Op::Minus => (a, interval(b).map(|(m, d, us)| (-m, -d, us.wrapping_neg()))?),
        _ => return None,
    };
    Some(if x.literal().is_some() || !sound(&x.ty) || x.ty.arrow != *result {
        Err(format!("an interval is added to {} here", describe(&x.ty)))
    } else {
        direction(months, days, micros).and_then(|way| Ok((x.clone(), added(x, months, days, micros)?, way)))
    })
}

fn direction(months: i64, days: i64, micros: i64) -> Result<Direction, String> {
    let within = months.abs() <= MONTHS_MAX && days.abs() <= DAYS_MAX && micros.checked_abs().is_some_and(|m| m / DAY <= DAYS_MAX);
    match within {
        true if months >= 0 && days >= 0 && micros >= 0 => Ok(Direction::Forward),
        true => Ok(Direction::Back),
        false => Err("an interval of more than ten thousand years is added here".into()),
    }
}

/// The interval, or for a day the days.
fn added(x: &Typed, months: i64, days: i64, micros: i64) -> Result<Scalar, String> {
    let fits = |n: i64| i32::try_from(n).map_err(|_| "an interval that is too long");
    match x.ty.family {
        Family::Date if months == 0 && micros % DAY == 0 => {
            Ok(Scalar::Literal(Value::Int(fits(days + micros / DAY)?.into()), int(&DataType::Int32, false).ok_or("no integer")?))
        }
        Family::Date => Err("a day and an interval that is no number of days is a timestamp".into()),
        Family::Timestamp => Ok(interval(fits(months)?, fits(days)?, micros)),
        Family::TimestampTz if in_utc(&x.ty.arrow) => Ok(interval(fits(months)?, fits(days)?, micros)),
        _ => Err(format!("an interval is added to {} here", describe(&x.ty))),
    }
}

fn interval(months: i32, days: i32, micros: i64) -> Scalar {
    let arrow = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
    Scalar::Literal(Value::Interval(months, days, micros), plain("interval", Family::Interval, arrow, false))
}

/// The operator's answer, if it is one of these.
pub(super) fn judge(op: &Op, a: &Typed, b: &Typed, result: &DataType) -> Option<Judgement> {
    if matches!((&a.ty.family, &b.ty.family, op), (Family::Date, Family::Date, Op::Minus)) {
        return Some(Judgement::no("days between infinite dates are an error at the source"));
    }
    Some(match shifted(op, a, b, result)? {
        Ok((x, by, Direction::Forward)) => {
            let ty = RemoteType { nullable: true, ..x.ty.clone() };
            let made = call(Op::Source(FORWARD.into()), vec![x.scalar, by], ty);
            Judgement::rewritten(made.scalar, made.ty, "guarded for infinity and the end of this side's calendar")
        }
        Ok((_, _, Direction::Back)) => Judgement::no("a time before 4713 BC cannot be at the source"),
        Err(reason) => Judgement::no(reason),
    })
}

/// What is exact for years after Christ, or for finite days.
pub(super) fn mostly(op: &Op, a: &Typed, b: &Typed, result: &DataType) -> Option<Mostly> {
    let nullable = a.ty.nullable || b.ty.nullable;
    let outside = |test: Scalar| Scalar::call(Op::Not, vec![test], RemoteType::boolean(nullable));
    if let (Op::Minus, Family::Date, Family::Date, Some(ty)) = (op, &a.ty.family, &b.ty.family, int(result, true)) {
        if !sound(&a.ty) || !sound(&b.ty) || ty.family != Family::Int(64) {
            return None;
        }
        let args = vec![a.scalar.clone(), b.scalar.clone()];
        return Some(Mostly {
            value: call(Op::Source(DAYS_BETWEEN.into()), args.clone(), ty),
            except: outside(Scalar::call(Op::Source(FINITE.into()), args, RemoteType::boolean(nullable))),
            reason: "days between infinite dates are an error at the source: such rows are fetched and compared here".into(),
        });
    }
    let (x, by, Direction::Back) = shifted(op, a, b, result)?.ok()? else { return None };
    let test = Scalar::call(Op::Source(AFTER_CHRIST.into()), vec![x.scalar.clone()], RemoteType::boolean(nullable));
    Some(Mostly {
        value: call(Op::Source(BACK.into()), vec![x.scalar, by], RemoteType { nullable: true, ..x.ty }),
        except: outside(test),
        reason: "a time before 4713 BC cannot be at the source: rows before Christ are fetched and compared here".into(),
    })
}
