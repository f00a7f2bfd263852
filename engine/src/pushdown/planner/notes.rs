//! Reasons in the report of the remote query that an operator stands over.

use std::sync::Arc;

use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Filter, LogicalPlan};

use super::pushing;
use crate::pushdown::class::Class;
use crate::pushdown::node::RemoteNode;
use crate::pushdown::report::{Part, Report};

/// Says in the report of the remote query below a local filter why an operator above it was not pushed.
pub(super) fn annotate_input(input: &LogicalPlan, part: Part, text: &str) -> DfResult<Option<LogicalPlan>> {
    let LogicalPlan::Filter(f) = input else { return Ok(None) };
    let Some(node) = RemoteNode::of(&f.input) else { return Ok(None) };
    if !pushing(node) {
        return Ok(None);
    }
    let node = annotate(f.input.as_ref().clone(), |r| {
        r.add(part, text, Class::No, "it stands over a filter that is finished locally");
    });
    Ok(Some(LogicalPlan::Filter(Filter::try_new(f.predicate.clone(), Arc::new(node))?)))
}

/// Adds to the report of the remote query under a plan of one input each.
pub(super) fn annotate(plan: LogicalPlan, f: impl Fn(&mut Report)) -> LogicalPlan {
    match RemoteNode::of(&plan) {
        Some(node) => {
            let mut query = node.query.as_ref().clone();
            f(&mut query.report);
            RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan()
        }
        None => {
            let [input] = plan.inputs()[..] else { return plan };
            let passes = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_));
            let noted = if passes { annotate(input.clone(), f) } else { return plan };
            plan.with_new_exprs(plan.expressions(), vec![noted]).unwrap_or(plan)
        }
    }
}
