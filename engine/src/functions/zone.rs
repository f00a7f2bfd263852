//! The client's TimeZone decides what a day is.
//!
//! Instants are held in UTC, and DataFusion truncates and takes apart a timestamp in the zone of its *type*: `date_trunc('day', ts)` would cut days
//! in UTC whatever the session says. So the argument gets the session's zone before, and the result its own type back. Casts between instants and
//! days or wall-clock times go through the session's zone in the same way.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::functions::datetime::to_local_time;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, cast};

/// Functions whose result depends on the zone of an instant.
const ZONED: [&str; 4] = ["date_trunc", "date_part", super::parts::EXTRACT, "to_char"];

/// Gives the instants under zone-dependent functions the session's zone.
pub(super) fn rewrite(plan: LogicalPlan, zone: Option<&str>) -> Result<LogicalPlan> {
    let Some(zone) = zone.filter(|z| !is_utc(z)) else { return Ok(plan) };
    let zone: Arc<str> = zone.into();
    super::rewrite_expressions(plan, &|e, schema| Ok(rewrite_one(e, schema, &zone)))
}

fn rewrite_one(e: Expr, schema: &DFSchema, zone: &Arc<str>) -> Transformed<Expr> {
    if let Expr::Cast(c) = &e {
        let Ok(from) = c.expr.get_type(schema) else { return Transformed::no(e) };
        return match through_zone(&c.expr, &from, c.field.data_type(), zone) {
            Some(inner) => Transformed::yes(Expr::Cast(Cast { expr: Box::new(inner), field: c.field.clone() })),
            None => Transformed::no(e),
        };
    }
    let Expr::ScalarFunction(f) = &e else { return Transformed::no(e) };
    if !ZONED.contains(&f.func.name()) {
        return Transformed::no(e);
    }
    let mut original = None;
    let args = f
        .args
        .iter()
        .map(|a| match a.get_type(schema) {
            Ok(t @ DataType::Timestamp(unit, Some(_))) => {
                let wanted = DataType::Timestamp(unit, Some(zone.clone()));
                if t == wanted {
                    return a.clone();
                }
                original = Some(t);
                cast(a.clone(), wanted)
            }
            _ => a.clone(),
        })
        .collect();
    let Some(original) = original else { return Transformed::no(e) };
    let zoned = Expr::ScalarFunction(ScalarFunction::new_udf(f.func.clone(), args));
    Transformed::yes(if f.func.name() == "date_trunc" { cast(zoned, original) } else { zoned })
}

/// What a cast between an instant and a wall-clock time or day must stand over; `None` where no zone takes part in it.
fn through_zone(inner: &Expr, from: &DataType, to: &DataType, zone: &Arc<str>) -> Option<Expr> {
    use DataType::{Date32, Date64, Time32, Time64, Timestamp};
    match (from, to) {
        (Timestamp(unit, Some(_)), Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(_, None)) => {
            let zoned = cast(inner.clone(), Timestamp(*unit, Some(zone.clone())));
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(to_local_time(), vec![zoned])))
        }
        (Date32 | Date64 | Timestamp(_, None), Timestamp(unit, Some(own))) if own != zone => {
            Some(cast(cast(inner.clone(), Timestamp(*unit, None)), Timestamp(*unit, Some(zone.clone()))))
        }
        _ => None,
    }
}

/// A day and an interval make a timestamp: DataFusion 55 gives a day and loses the interval's hours. Not a rule of the analyzer: coercion makes an
/// interval of the number in `day + 1`, which stays a day.
pub(crate) fn days_and_intervals(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|mut e, schema| {
        let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) = &mut e else {
            return Ok(Transformed::no(e));
        };
        let is = |e: &Expr, test: fn(&DataType) -> bool| e.get_type(schema).is_ok_and(|t| test(&t));
        let day: fn(&DataType) -> bool = |t| matches!(t, DataType::Date32);
        let interval: fn(&DataType) -> bool = |t| matches!(t, DataType::Interval(_));
        let side = match op {
            _ if is(left, day) && is(right, interval) => left,
            Operator::Plus if is(left, interval) && is(right, day) => right,
            _ => return Ok(Transformed::no(e)),
        };
        **side = cast(std::mem::take(side.as_mut()), DataType::Timestamp(TimeUnit::Microsecond, None));
        Ok(Transformed::yes(e))
    })
}

fn is_utc(zone: &str) -> bool {
    ["UTC", "Etc/UTC", "+00", "+00:00", "GMT", "Z"].iter().any(|z| z.eq_ignore_ascii_case(zone))
}
