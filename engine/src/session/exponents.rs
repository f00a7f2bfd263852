//! Number literals that no decimal holds: `1e300`.
//!
//! Numeric literals are parsed as decimals (`1.5` is a numeric, as in Postgres), and DataFusion 55 refuses one whose exponent leaves the range of its
//! decimals. Postgres's numeric holds such a number; here it becomes a double, which is what it is compared with in practice.

use std::ops::ControlFlow;

use sqlparser::ast::{CastKind, DataType, ExactNumberInfo, Expr, Statement, Value, VisitMut, VisitorMut};

/// Digits of the widest decimal.
const DECIMAL_DIGITS_MAX: i64 = 76;

/// Turns number literals beyond every decimal into casts from text to a double.
pub fn widen(statement: &mut Statement) {
    let _ = statement.visit(&mut Widener);
}

struct Widener;

impl VisitorMut for Widener {
    type Break = ();

    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(v) = e
            && let Value::Number(text, _) = &v.value
            && beyond_decimals(text)
        {
            let mut quoted = v.clone();
            quoted.value = Value::SingleQuotedString(text.clone());
            *e = Expr::Cast {
                kind: CastKind::DoubleColon,
                expr: Box::new(Expr::Value(quoted)),
                data_type: DataType::Double(ExactNumberInfo::None),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    }
}

fn beyond_decimals(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let digits = i64::try_from(mantissa.len()).unwrap_or(i64::MAX);
    // An exponent that does not even parse is beyond everything; the double's own parser decides.
    exponent.parse::<i64>().map_or(true, |e| e.saturating_abs().saturating_add(digits) > DECIMAL_DIGITS_MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;

    #[test]
    fn only_what_no_decimal_holds_becomes_a_double() {
        let mut s = Parser::parse_sql(&PostgreSqlDialect {}, "SELECT 1e300, 1.5e10, 2, 1e-200").unwrap().remove(0);
        widen(&mut s);
        assert_eq!(s.to_string(), "SELECT '1e300'::DOUBLE, 1.5e10, 2, '1e-200'::DOUBLE");
    }
}
