//! Negative zero. DataFusion 55 treats -0.0 and 0.0 as equal in `=`, joins and grouping, but not in IN lists: `x IN (0.0)` loses the rows with
//! -0.0 that `x = 0.0` finds, and `CASE x WHEN 0.0` passes it by. Both zeros go into every IN list that holds one, and a CASE over a float
//! compares.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::{Case, InList};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Adds the twin of every zero in the IN lists of a plan. Repeating it changes nothing.
pub fn expand_zeros(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(|p| p.map_expressions(|e| e.transform_up(expand)))?.data)
}

fn expand(e: Expr) -> DfResult<Transformed<Expr>> {
    let mut l = match e {
        Expr::InList(l) => l,
        Expr::Case(c) => return Ok(compared(c)),
        e => return Ok(Transformed::no(e)),
    };
    let mut twins = vec![];
    for item in &l.list {
        if let Some(twin) = zero_twin(item)
            && !l.list.contains(&twin)
        {
            twins.push(twin);
        }
    }
    if twins.is_empty() {
        return Ok(Transformed::no(Expr::InList(l)));
    }
    l.list.extend(twins);
    Ok(Transformed::yes(Expr::InList(InList { ..l })))
}

/// `CASE x WHEN 0.0 THEN ...` as `CASE WHEN x = 0.0 THEN ...`.
fn compared(mut c: Case) -> Transformed<Expr> {
    if !c.when_then_expr.iter().any(|(when, _)| zero_twin(when).is_some()) {
        return Transformed::no(Expr::Case(c));
    }
    let Some(operand) = c.expr.take() else { return Transformed::no(Expr::Case(c)) };
    for (when, _) in &mut c.when_then_expr {
        **when = operand.as_ref().clone().eq(when.as_ref().clone());
    }
    Transformed::yes(Expr::Case(c))
}

fn zero_twin(e: &Expr) -> Option<Expr> {
    match e {
        Expr::Literal(v, m) => twin(v).map(|v| Expr::Literal(v, m.clone())),
        // Not folded yet: `CAST(0 AS DOUBLE)`.
        Expr::Cast(c) => match (c.expr.as_ref(), c.field.data_type()) {
            (Expr::Literal(v, m), t @ (DataType::Float32 | DataType::Float64)) => {
                v.cast_to(t).ok().and_then(|v| twin(&v)).map(|v| Expr::Literal(v, m.clone()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The other zero.
pub fn twin(v: &ScalarValue) -> Option<ScalarValue> {
    match v {
        ScalarValue::Float32(Some(f)) if *f == 0.0 => Some(ScalarValue::Float32(Some(-*f))),
        ScalarValue::Float64(Some(f)) if *f == 0.0 => Some(ScalarValue::Float64(Some(-*f))),
        _ => None,
    }
}
