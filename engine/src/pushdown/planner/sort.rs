//! ORDER BY.

use std::sync::Arc;

use datafusion::common::{Column, JoinType};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Projection, Sort};

use super::notes::annotate_input;
use super::{plain_column, pushing};
use crate::pushdown::class::Class;
use crate::pushdown::ir::Rel;
use crate::pushdown::node::RemoteNode;
use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::Part;

/// The sort is pushed and stays in the plan: the leaf declares its order, so DataFusion drops its own sort where nothing between disturbs it, and
/// keeps (or merges) where something does. With a fetch, only that many rows come.
pub(super) fn absorb(s: &Sort) -> DfResult<Option<LogicalPlan>> {
    let text = || format!("ORDER BY {}", s.expr.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    let Some(node) = RemoteNode::of(&s.input) else {
        if let Some(n) = s.fetch
            && let Some(input) = under_outer_join(&s.input, s, n)?
        {
            return Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(input), ..s.clone() })));
        }
        return Ok(
            annotate_input(&s.input, Part::Sort, &text())?.map(|input| LogicalPlan::Sort(Sort { input: Arc::new(input), ..s.clone() }))
        );
    };
    if !pushing(node) {
        return Ok(None);
    }
    let mut query = node.query.as_ref().clone();
    let mut keys = vec![];
    let mut order = vec![];
    let mut refused = None;
    for e in &s.expr {
        match query.converter(&node.schema).sort_key(e) {
            Ok((key, class, reason)) => {
                query.report.add(Part::Sort, format!("ORDER BY {e}"), class, reason);
                order.push(plain_column(&e.expr, &node.schema).map(|i| (i, !e.asc, e.nulls_first)));
                keys.push(key);
            }
            Err(reason) => {
                refused = Some(reason);
                break;
            }
        }
    }
    let order: Option<Vec<_>> = order.into_iter().collect();
    if refused.is_none() && order.is_none() && s.fetch.is_none() {
        refused = Some("a computed sort key without a LIMIT is sorted locally".into());
    }
    if let Some(reason) = refused {
        let mut query = node.query.as_ref().clone();
        query.report.add(Part::Sort, text(), Class::No, reason);
        let input = RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan();
        return Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(input), ..s.clone() })));
    }
    query.wrap(|input| Rel::Sort { input, keys });
    query.order = order.unwrap_or_default();
    if let Some(n) = s.fetch {
        query.report.add(Part::Limit, format!("LIMIT {n}"), Class::Exact, "");
        query.wrap(|input| Rel::Limit { input, skip: 0, fetch: Some(n as u64) });
        query.rows_max = Some(query.rows_max.map_or(n as u64, |m| m.min(n as u64)));
    }
    let input = RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan();
    Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(input), fetch: None, expr: s.expr.clone() })))
}

/// The first rows of an outer join by columns of the side that it keeps are among the first rows of that side: no more of them are read.
fn under_outer_join(plan: &LogicalPlan, s: &Sort, n: usize) -> DfResult<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(p) if p.expr.iter().all(|e| matches!(e, Expr::Column(_))) => {
            let Some(input) = under_outer_join(&p.input, s, n)? else { return Ok(None) };
            Ok(Some(LogicalPlan::Projection(Projection::try_new_with_schema(p.expr.clone(), Arc::new(input), p.schema.clone())?)))
        }
        LogicalPlan::Join(j) => {
            let kept = match j.join_type {
                JoinType::Left => &j.left,
                JoinType::Right => &j.right,
                _ => return Ok(None),
            };
            let Some(node) = RemoteNode::of(kept) else { return Ok(None) };
            let known = |c: &&Column| node.schema.has_column(c);
            let all_known = s.expr.iter().all(|e| e.expr.column_refs().iter().all(known));
            let few = node.query.rows_max.is_some_and(|m| m <= n as u64);
            if few || !all_known || !pushing(node) {
                return Ok(None);
            }
            let Some(LogicalPlan::Sort(first)) = absorb(&Sort { input: kept.clone(), expr: s.expr.clone(), fetch: Some(n) })? else {
                return Ok(None);
            };
            let Some(node) = RemoteNode::of(&first.input).filter(|_| first.fetch.is_none()) else { return Ok(None) };
            // Which rows, not their order: the join does not keep it.
            let query = RemoteQuery { order: vec![], ..node.query.as_ref().clone() };
            let kept = Arc::new(RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan());
            let (left, right) = match j.join_type {
                JoinType::Left => (kept, j.right.clone()),
                _ => (j.left.clone(), kept),
            };
            Ok(Some(LogicalPlan::Join(Join { left, right, ..j.clone() })))
        }
        _ => Ok(None),
    }
}
