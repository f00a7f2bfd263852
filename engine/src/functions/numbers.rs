//! Where a numeric meets a double: both become doubles, as in Postgres; and `1.5` is a numeric, exactly.
//!
//! DataFusion 55 coerces the pair to Decimal(30, 15): infinity and 1e300 raise, and a literal `99999999.99`, read as a double first, finds nothing in a
//! numeric column. This rule runs before type coercion and leaves it nothing to mix.

use arrow::datatypes::{DataType, i256};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, cast};

/// Functions whose arguments must be of one type.
const ONE_TYPE: &[&str] = &["coalesce", "nullif", "greatest", "least", "ifnull", "nvl"];

pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, schema| Ok(rewrite_one(e, schema)))
}

fn rewrite_one(mut e: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let changed = match &mut e {
        Expr::Literal(value, _) => whole(value),
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => one_type(&mut [left.as_mut(), right.as_mut()], schema),
        Expr::Between(b) => one_type(&mut [b.expr.as_mut(), b.low.as_mut(), b.high.as_mut()], schema),
        Expr::InList(l) => {
            let mut all: Vec<&mut Expr> = vec![l.expr.as_mut()];
            all.extend(l.list.iter_mut());
            one_type(&mut all, schema)
        }
        Expr::Case(c) => {
            let (mut compared, mut values): (Vec<&mut Expr>, Vec<&mut Expr>) = (vec![], vec![]);
            compared.extend(c.expr.as_deref_mut());
            let simple = !compared.is_empty();
            for (when, then) in &mut c.when_then_expr {
                if simple {
                    compared.push(when);
                }
                values.push(then);
            }
            values.extend(c.else_expr.as_deref_mut());
            let first = one_type(&mut compared, schema);
            one_type(&mut values, schema) || first
        }
        Expr::ScalarFunction(f) if ONE_TYPE.contains(&f.func.name()) => one_type(&mut f.args.iter_mut().collect::<Vec<_>>(), schema),
        _ => false,
    };
    if changed { Transformed::yes(e) } else { Transformed::no(e) }
}

/// Makes the numerics among `all` doubles if there is a float among them.
fn one_type(all: &mut [&mut Expr], schema: &DFSchema) -> bool {
    let types: Vec<Option<DataType>> = all.iter().map(|e| e.get_type(schema).ok()).collect();
    if !types.iter().flatten().any(DataType::is_floating) {
        return false;
    }
    let mut changed = false;
    for (e, t) in all.iter_mut().zip(&types) {
        if t.as_ref().is_some_and(is_decimal) {
            **e = match as_double(e) {
                Some(v) => Expr::Literal(ScalarValue::Float64(Some(v)), None),
                None => cast((**e).clone(), DataType::Float64),
            };
            changed = true;
        }
    }
    changed
}

fn is_decimal(t: &DataType) -> bool {
    matches!(t, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// A literal's nearest double, by its digits: dividing by a power of ten would round twice.
fn as_double(e: &Expr) -> Option<f64> {
    let (digits, scale) = match e {
        Expr::Literal(ScalarValue::Decimal128(Some(v), _, s), _) => (v.to_string(), *s),
        Expr::Literal(ScalarValue::Decimal256(Some(v), _, s), _) => (v.to_string(), *s),
        _ => return None,
    };
    format!("{digits}e{}", -i32::from(scale)).parse().ok()
}

/// `1e20` is read as 1 with a scale of -20, which nothing else here expects: its zeros are written out, or it becomes a double.
fn whole(value: &mut ScalarValue) -> bool {
    let (digits, precision, scale) = match value {
        ScalarValue::Decimal128(Some(v), p, s) if *s < 0 => (i256::from_i128(*v), *p, *s),
        ScalarValue::Decimal256(Some(v), p, s) if *s < 0 => (*v, *p, *s),
        _ => return false,
    };
    let zeros = scale.unsigned_abs();
    let wide = i256::from_i128(10).checked_pow(u32::from(zeros)).and_then(|f| digits.checked_mul(f));
    let precision = precision.saturating_add(zeros);
    *value = match wide {
        Some(v) if precision <= 38 => ScalarValue::Decimal128(v.to_i128(), precision, 0),
        Some(v) if precision <= 76 => ScalarValue::Decimal256(Some(v), precision, 0),
        _ => ScalarValue::Float64(format!("{digits}e{zeros}").parse().ok()),
    };
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use datafusion::logical_expr::lit;

    #[test]
    fn literals_keep_their_digits() {
        let e = Expr::Literal(ScalarValue::Decimal128(Some(9_999_999_999), 10, 2), None);
        assert_eq!(as_double(&e), Some(99_999_999.99));
        assert_eq!(as_double(&lit(1.5)), None);
        let mut v = ScalarValue::Decimal128(Some(12), 2, -3);
        assert!(whole(&mut v));
        assert_eq!(v, ScalarValue::Decimal128(Some(12_000), 5, 0));
        let mut v = ScalarValue::Decimal128(Some(1), 1, -100);
        assert!(whole(&mut v));
        assert_eq!(v, ScalarValue::Float64(Some(1e100)));
    }
}
