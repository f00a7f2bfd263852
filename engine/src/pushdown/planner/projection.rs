//! SELECT lists, table aliases, and the columns that local operators need of a remote query.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::expr_to_columns;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, SubqueryAlias};

use super::{correlated, plain_column, pushing, unaliased};
use crate::pushdown::class::Class;
use crate::pushdown::estimate::ColumnEstimate;
use crate::pushdown::ir::Rel;
use crate::pushdown::node::RemoteNode;
use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::Part;

pub(super) fn absorb_alias(alias: &SubqueryAlias) -> Option<LogicalPlan> {
    let node = RemoteNode::of(&alias.input)?;
    Some(RemoteNode { query: node.query.clone(), schema: alias.schema.clone() }.into_plan())
}

pub(super) fn absorb(p: &Projection) -> DfResult<Option<LogicalPlan>> {
    let Some(node) = RemoteNode::of(&p.input) else { return prune_through(p) };
    let columns: Option<Vec<usize>> = p.expr.iter().map(|e| plain_column(e, &node.schema)).collect();
    if let Some(columns) = columns {
        let mut query = node.query.as_ref().clone();
        query.pick(&columns);
        return Ok(Some(RemoteNode { query: Arc::new(query), schema: p.schema.clone() }.into_plan()));
    }
    if pushing(node)
        && !p.expr.iter().any(|e| matches!(unaliased(e), Expr::Literal(..)))
        && let Some(query) = computed(node, &p.expr)
    {
        return Ok(Some(RemoteNode { query: Arc::new(query), schema: p.schema.clone() }.into_plan()));
    }
    prune_through(p)
}

/// A projection in which every expression is exact as a value. Not over a sorted query: `SELECT` over a sorted subquery promises no order.
///
/// Constants go too, though they travel better in the plan than over the wire row by row: whoever asks decides.
fn computed(node: &RemoteNode, exprs: &[Expr]) -> Option<RemoteQuery> {
    let mut query = node.query.as_ref().clone();
    if !query.order.is_empty() {
        return None;
    }
    let (mut scalars, mut types, mut columns, mut from) = (vec![], vec![], vec![], vec![]);
    for e in exprs {
        let plain = plain_column(e, &node.schema);
        let (typed, class, reason) = query.converter(&node.schema).value(e).ok()?;
        columns.push(plain.and_then(|i| query.columns.get(i).copied()).unwrap_or(ColumnEstimate::UNKNOWN));
        if plain.is_none() && !matches!(unaliased(e), Expr::Literal(..)) {
            query.report.add(Part::Projection, e, class, reason);
        }
        from.push(plain);
        types.push(typed.ty);
        scalars.push(typed.scalar);
    }
    let moved = |key: &Vec<usize>| key.iter().map(|c| from.iter().position(|f| *f == Some(*c))).collect::<Option<Vec<_>>>();
    query.keys = query.keys.iter().filter_map(moved).collect();
    query.wrap(|input| Rel::Project { input, exprs: scalars });
    query.types = types;
    query.columns = columns;
    Some(query)
}

/// The plan as a remote query where it is one but for what an operator above it does not mind: constants in the select list, and an order that
/// nothing keeps.
pub(super) fn as_remote(plan: &LogicalPlan) -> Option<RemoteNode> {
    match plan {
        LogicalPlan::Projection(p) => {
            let node = as_remote(&p.input).filter(pushing)?;
            let plain: Option<Vec<usize>> = p.expr.iter().map(|e| plain_column(e, &node.schema)).collect();
            let query = match plain {
                Some(columns) => {
                    let mut query = node.query.as_ref().clone();
                    query.pick(&columns);
                    query
                }
                None => computed(&node, &p.expr)?,
            };
            Some(RemoteNode { query: Arc::new(query), schema: p.schema.clone() })
        }
        LogicalPlan::SubqueryAlias(a) => Some(RemoteNode { schema: a.schema.clone(), ..as_remote(&a.input)? }),
        LogicalPlan::Sort(s) if s.fetch.is_none() => {
            let node = RemoteNode::of(&s.input)?;
            let mut query = node.query.as_ref().clone();
            query.order.clear();
            // Over a limit the order says which rows: it stays.
            if let Rel::Sort { input, .. } = &query.rel {
                query.rel = input.as_ref().clone();
            }
            Some(RemoteNode { query: Arc::new(query), schema: node.schema.clone() })
        }
        plan => RemoteNode::of(plan).cloned(),
    }
}

/// The projection stays local: its remote input is narrowed to the columns that it, and local filters between, still need.
fn prune_through(p: &Projection) -> DfResult<Option<LogicalPlan>> {
    let mut needed = std::collections::HashSet::new();
    for e in &p.expr {
        expr_to_columns(e, &mut needed)?;
        if correlated(e)? {
            return Ok(None);
        }
    }
    let Some(input) = prune(&p.input, &mut needed, &p.expr)? else { return Ok(None) };
    Ok(Some(LogicalPlan::Projection(Projection::try_new_with_schema(p.expr.clone(), Arc::new(input), p.schema.clone())?)))
}

pub(super) fn prune(plan: &LogicalPlan, needed: &mut std::collections::HashSet<Column>, above: &[Expr]) -> DfResult<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(f) => {
            if correlated(&f.predicate)? {
                return Ok(None);
            }
            expr_to_columns(&f.predicate, needed)?;
            let Some(input) = prune(&f.input, needed, above)? else { return Ok(None) };
            Ok(Some(LogicalPlan::Filter(Filter::try_new(f.predicate.clone(), Arc::new(input))?)))
        }
        _ => {
            let Some(node) = RemoteNode::of(plan) else { return Ok(None) };
            let mut query = node.query.as_ref().clone();
            if query.pushdown {
                for e in above {
                    let computed = plain_column(e, &node.schema).is_none() && !matches!(unaliased(e), Expr::Literal(..));
                    if computed && let Err(reason) = query.converter(&node.schema).value(e) {
                        query.report.add(Part::Projection, e, Class::No, reason);
                    }
                }
            }
            let columns: Vec<usize> =
                (0..node.schema.fields().len()).filter(|i| needed.contains(&Column::from(node.schema.qualified_field(*i)))).collect();
            let fields = columns
                .iter()
                .map(|i| {
                    let (q, f) = node.schema.qualified_field(*i);
                    (q.cloned(), f.clone())
                })
                .collect();
            let schema = Arc::new(datafusion::common::DFSchema::new_with_metadata(fields, node.schema.metadata().clone())?);
            query.pick(&columns);
            Ok(Some(RemoteNode { query: Arc::new(query), schema }.into_plan()))
        }
    }
}
