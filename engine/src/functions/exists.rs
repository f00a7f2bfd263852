//! `EXISTS (...)` and `x IN (SELECT ...)` as values: in a SELECT list, under GROUP BY, in ORDER BY, and where a condition tells NULL from false.
//!
//! DataFusion 55 turns them into joins only in a WHERE; elsewhere no physical plan knows them. As values they are scalar subqueries that count: a count
//! has one row whatever the subquery finds, so a correlated one decorrelates too. And as it plans no scalar subquery in an aggregate or a window either,
//! those are computed in a projection below.
//!
//! And `x > ANY (SELECT ...)`, `x = ALL (SELECT ...)` wherever they stand: DataFusion compares x with the subquery's column by their names, so that over
//! the same table `age > ALL (SELECT age ...)` becomes `age > age`, of the subquery alone. There the subquery gets a name of its own.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, Spans};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, not, when};
use datafusion::scalar::ScalarValue;

/// What the names of columns that hold a subquery's value start with.
const SUBQUERY: &str = "__fjord_subquery_";

/// Rewrites the subqueries that stand for a value.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_nodes(plan, &|node, below| match node {
        LogicalPlan::Projection(_) | LogicalPlan::Sort(_) => super::map_named(node, &|e| e.transform_up(|e| one(e, below))),
        LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => {
            super::map_named(node, &|e| e.transform_up(|e| one(e, below)))?.transform_data(computed_below)
        }
        LogicalPlan::Filter(_) => node.map_expressions(|e| condition(e, below)),
        other => Ok(Transformed::no(other)),
    })
}

/// A guard against a wrong answer of DataFusion 55.2: `a OR x NOT IN (SELECT ...)` becomes a join that marks rows with true or false, and takes NULL
/// for false, so that NOT makes it true. Where NULL and false are not alike, IN over what may be NULL is a value. (As a conjunct by itself it becomes a
/// join that knows NULL.)
fn condition(e: Expr, below: &DFSchema) -> Result<Transformed<Expr>> {
    let by_itself = |e: &Expr| matches!(e, Expr::InSubquery(_)) || matches!(e, Expr::Not(inner) if matches!(**inner, Expr::InSubquery(_)));
    let mut changed = false;
    let mut conjuncts = vec![];
    for c in split_conjunction_owned(e) {
        let c = if by_itself(&c) { Transformed::no(c) } else { three_valued(c, true, below)? };
        changed |= c.transformed;
        conjuncts.push(c.data);
    }
    let whole = conjunction(conjuncts).unwrap_or_else(|| lit(true));
    Ok(if changed { Transformed::yes(whole) } else { Transformed::no(whole) })
}

/// `alike`: NULL and false mean the same here.
fn three_valued(e: Expr, alike: bool, below: &DFSchema) -> Result<Transformed<Expr>> {
    match &e {
        Expr::InSubquery(i) => {
            let column = i.subquery.subquery.schema().fields().first().is_none_or(|f| f.is_nullable());
            let differs = (!alike || i.negated) && !i.expr.is_volatile() && (column || i.expr.nullable(below)?);
            Ok(if differs { Transformed::yes(is_in(i, below)?) } else { Transformed::no(e) })
        }
        _ => {
            let alike = alike && matches!(&e, Expr::BinaryExpr(b) if matches!(b.op, Operator::And | Operator::Or));
            e.map_children(|c| three_valued(c, alike, below))
        }
    }
}

/// The node with its scalar subqueries as columns of a projection under it. Columns keep their names.
fn computed_below(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut found: Vec<Expr> = vec![];
    node.apply_expressions(|e| {
        e.apply(|e| {
            if matches!(e, Expr::ScalarSubquery(_)) && !found.contains(e) {
                found.push(e.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    let Some(input) = node.inputs().first().filter(|_| !found.is_empty()).map(|i| (*i).clone()) else { return Ok(Transformed::no(node)) };
    // A window passes its input's columns on: one over it that has subqueries too takes the next numbers.
    let taken = input.schema().fields().iter().filter(|f| f.name().starts_with(SUBQUERY)).count();
    let name = |i: usize| format!("{SUBQUERY}{}", taken + i);
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let values = found.iter().enumerate().map(|(i, e)| e.clone().alias(name(i)));
    let below = LogicalPlanBuilder::from(input).project(columns.chain(values))?.build()?;
    let column = |e: Expr| {
        Ok(match found.iter().position(|f| *f == e) {
            Some(i) => Transformed::yes(Expr::from(Column::from_name(name(i)))),
            None => Transformed::no(e),
        })
    };
    let above = super::map_named(node, &|e| e.transform_up(column))?;
    let expressions = above.data.expressions();
    Ok(Transformed::yes(above.data.with_new_exprs(expressions, vec![below])?))
}

/// Gives the subqueries of ANY and ALL a name that nothing outside has.
pub(super) fn apart(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|e| {
            e.transform_up(|e| match e {
                Expr::SetComparison(mut s) if !is_apart(&s.subquery.subquery) => {
                    s.subquery = named(&s.subquery)?;
                    Ok(Transformed::yes(Expr::SetComparison(s)))
                }
                e => Ok(Transformed::no(e)),
            })
        })
    });
    Ok(rewritten?.data)
}

/// The name of a subquery whose column is compared.
const COMPARED: &str = "__fjord_compared";

fn is_apart(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::SubqueryAlias(a) if a.alias.table() == COMPARED)
}

fn named(subquery: &Subquery) -> Result<Subquery> {
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).alias(COMPARED)?.build()?;
    Ok(Subquery { subquery: Arc::new(plan), ..subquery.clone() })
}

fn one(e: Expr, below: &DFSchema) -> Result<Transformed<Expr>> {
    match e {
        Expr::Exists(Exists { subquery, negated }) => {
            let found = finds(subquery.subquery.as_ref().clone())?;
            Ok(Transformed::yes(if negated { not(found) } else { found }))
        }
        Expr::InSubquery(i) if !i.expr.is_volatile() => Ok(Transformed::yes(is_in(&i, below)?)),
        e => Ok(Transformed::no(e)),
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
    let subquery = named(&i.subquery)?;
    let plan = subquery.subquery.as_ref();
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
