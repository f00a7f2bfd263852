//! WHERE and HAVING.

use std::sync::Arc;

use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Filter, LogicalPlan};

use super::{pushing, subquery};
use crate::pushdown::node::RemoteNode;

pub(super) fn absorb(filter: &Filter) -> DfResult<Option<LogicalPlan>> {
    let Some(node) = RemoteNode::of(&filter.input) else { return Ok(None) };
    if !pushing(node) {
        return Ok(None);
    }
    if let Some(joined) = subquery::compared(filter, node)? {
        return Ok(Some(joined));
    }
    let mut query = node.query.as_ref().clone();
    let residual = query.push_filter(&filter.predicate, &node.schema);
    let plan = RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan();
    Ok(Some(match conjunction(residual) {
        None => plan,
        Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?),
    }))
}
