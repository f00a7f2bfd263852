//! `EXISTS (...)` and `x IN (SELECT ...)` as values: in a SELECT list, under GROUP BY, in ORDER BY.
//!
//! DataFusion 55 turns them into joins only in a WHERE; elsewhere no physical plan knows them. As values they are scalar subqueries that count: a count
//! has one row whatever the subquery finds, so a correlated one decorrelates too.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, Spans};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery, lit, not, when};
use datafusion::scalar::ScalarValue;

/// Rewrites the subqueries that stand for a value.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_) => {
            let below = node.inputs().first().map(|i| i.schema().clone());
            node.map_expressions(|e| e.transform_up(|e| one(e, below.as_deref())))
        }
        other => Ok(Transformed::no(other)),
    })?
    .data
    .recompute_schema()
}

fn one(e: Expr, below: Option<&DFSchema>) -> Result<Transformed<Expr>> {
    match (e, below) {
        (Expr::Exists(Exists { subquery, negated }), _) => {
            let found = finds(subquery.subquery.as_ref().clone())?;
            Ok(Transformed::yes(if negated { not(found) } else { found }))
        }
        (Expr::InSubquery(i), Some(below)) if !i.expr.is_volatile() => Ok(Transformed::yes(is_in(&i, below)?)),
        (e, _) => Ok(Transformed::no(e)),
    }
}

/// True where the plan has a row, else false.
fn finds(plan: LogicalPlan) -> Result<Expr> {
    let one_is_enough = plan.all_out_ref_exprs().is_empty();
    let rows = LogicalPlanBuilder::from(plan);
    let rows = if one_is_enough { rows.limit(0, Some(1))? } else { rows };
    let counted = rows.aggregate(Vec::<Expr>::new(), vec![count(lit(1i64)).alias("rows")])?;
    let plan = counted.project(vec![Expr::from(Column::from_name("rows")).gt(lit(0i64)).alias("exists")])?.build()?;
    Ok(Expr::ScalarSubquery(Subquery { outer_ref_columns: plan.all_out_ref_exprs(), subquery: Arc::new(plan), spans: Spans::new() }))
}

/// True where a row equals, else NULL where one or the value is NULL (unless there is no row at all), else false.
fn is_in(i: &InSubquery, below: &DFSchema) -> Result<Expr> {
    let plan = i.subquery.subquery.as_ref();
    let column = Expr::from(Column::from(plan.schema().qualified_field(0)));
    let value = i.expr.as_ref().clone();
    let outside = value
        .clone()
        .transform_up(|e| match e {
            Expr::Column(c) => {
                let field = below.qualified_field_from_column(&c)?.1.clone();
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, c)))
            }
            e => Ok(Transformed::no(e)),
        })?
        .data;
    let filtered = |condition: Expr| LogicalPlanBuilder::from(plan.clone()).filter(condition)?.build();
    let equal = finds(filtered(column.clone().eq(outside))?)?;
    let null = finds(filtered(column.is_null())?)?.or(value.is_null().and(finds(plan.clone())?));
    let found = when(equal, lit(!i.negated)).when(null, lit(ScalarValue::Boolean(None))).otherwise(lit(i.negated))?;
    Ok(found)
}
