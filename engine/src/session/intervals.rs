//! Interval literals: `INTERVAL '1 day 02:00:00'` is read by Postgres's rules.
//!
//! DataFusion 55 reads the text with Arrow's parser, which knows no clock times and lets a sign stand for the first part only: `- INTERVAL '1 day 2
//! hours'` would be a day less and two hours more. Here the text is read as Postgres reads it and written out again in units that both know.

use std::ops::ControlFlow;

use sqlparser::ast::{DateTimeField, Expr, Interval, Statement, UnaryOperator, Value, VisitMut, VisitorMut};

use crate::error::Result;
use crate::values::interval;

/// Writes out the interval literals of a statement.
///
/// # Errors
/// 22007 and 22008 where a text is no interval.
pub fn read(statement: &mut Statement) -> Result<()> {
    match statement.visit(&mut Reader) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(e) => Err(*e),
    }
}

struct Reader;

impl VisitorMut for Reader {
    type Break = Box<crate::SqlError>;

    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<Self::Break> {
        match rewrite(e) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(Box::new(e)),
        }
    }
}

fn rewrite(e: &mut Expr) -> Result<()> {
    match e {
        Expr::Interval(i) => {
            if let Some(text) = text(i) {
                let (months, days, usecs) = interval(&text)?;
                write(i, months, days, usecs);
            }
        }
        // The literal inside has been written out already.
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            if let Expr::Interval(i) = expr.as_mut()
                && let Some(text) = text(i)
                && let (months, days, usecs) = interval(&text)?
                && let (Some(months), Some(days), Some(usecs)) = (months.checked_neg(), days.checked_neg(), usecs.checked_neg())
            {
                write(i, months, days, usecs);
                *e = Expr::Interval(i.clone());
            }
        }
        _ => {}
    }
    Ok(())
}

/// The text with its unit: `'3' DAY` is `3 DAY`. `None` for what DataFusion is to refuse by itself: a precision, `MINUTE TO SECOND`.
fn text(i: &Interval) -> Option<String> {
    let Expr::Value(v) = i.value.as_ref() else { return None };
    let Value::SingleQuotedString(text) = &v.value else { return None };
    if i.leading_precision.is_some() || i.fractional_seconds_precision.is_some() {
        return None;
    }
    use DateTimeField::{Day, Hour, Month, Second, Year};
    match (&i.leading_field, &i.last_field) {
        (None, None) | (Some(Year), Some(Month)) | (Some(Day | Hour), Some(Second)) => Some(text.clone()),
        (Some(unit), None) if text.trim().parse::<f64>().is_ok() => Some(format!("{text} {unit}")),
        _ => None,
    }
}

fn write(i: &mut Interval, months: i32, days: i32, usecs: i64) {
    let text = format!("{months} months {days} days {usecs} microseconds");
    *i.value = Expr::Value(Value::SingleQuotedString(text).into());
    (i.leading_field, i.last_field) = (None, None);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;

    fn written(sql: &str) -> String {
        let mut s = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        read(&mut s).map_or_else(|e| e.to_string(), |()| s.to_string())
    }

    #[test]
    fn read_as_postgres_reads() {
        for (sql, months, days, usecs) in [
            ("INTERVAL '1 day 02:00:00'", 0, 1, 7_200_000_000i64),
            ("- INTERVAL '1 day 2 hours'", 0, -1, -7_200_000_000),
            ("INTERVAL '1-2' YEAR TO MONTH", 14, 0, 0),
            ("INTERVAL '3' DAY", 0, 3, 0),
            ("INTERVAL 'P1Y2M3DT4H'", 14, 3, 14_400_000_000),
            ("INTERVAL '1 week ago'", 0, -7, 0),
        ] {
            let want = format!("SELECT INTERVAL '{months} months {days} days {usecs} microseconds'");
            assert_eq!(written(&format!("SELECT {sql}")), want, "{sql}");
        }
        assert_eq!(written("SELECT INTERVAL 'soon'"), "invalid input syntax for type interval: \"soon\"");
    }
}
