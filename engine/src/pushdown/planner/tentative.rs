//! Joins that are pushed on trial.
//!
//! A join of many rows with many may send more than its two sides would; an aggregate or a limit absorbed above it can make that good. So it is
//! absorbed with what it would take to take it back ([`Tentative`]), and decided where the remote query ends.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::LogicalPlan;

use super::absorb;
use crate::pushdown::node::RemoteNode;
use crate::pushdown::remote::{RemoteQuery, Tentative};

/// Carries the trial of an input on to `changed`, which is `plan` absorbed; or decides it, where `plan` was not absorbed whole.
pub(super) fn follow(plan: &LogicalPlan, changed: Option<LogicalPlan>) -> DfResult<Option<LogicalPlan>> {
    let on_trial = |i: &LogicalPlan| RemoteNode::of(i).and_then(|n| n.query.tentative.clone());
    let Some((at, trial)) = plan.inputs().into_iter().enumerate().find_map(|(at, i)| Some((at, on_trial(i)?))) else {
        return Ok(changed);
    };
    if let Some(node) = changed.as_ref().and_then(RemoteNode::of) {
        // A join has put the sum of its sides there; every other operator leaves what its input had.
        let budget = node.query.tentative.as_ref().map_or(trial.budget, |t| t.budget);
        let mut above = trial.above.clone();
        above.push((plan.clone(), at));
        let trial = Tentative { budget, local: trial.local.clone(), above };
        return Ok(Some(with_trial(node, Some(Arc::new(trial)))));
    }
    // Decided with what was absorbed of this operator (the rows of a sort with a limit).
    let end = changed.as_ref().unwrap_or(plan);
    let mut exceeds = false;
    end.apply(|p| {
        if let Some(node) = RemoteNode::of(p)
            && let Some(t) = &node.query.tentative
        {
            exceeds |= node.query.exceeds(t.budget);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !exceeds {
        let kept = kept(end)?;
        // An operator that takes no input on trial may take it now.
        return Ok(Some(if changed.is_none() { absorb(&kept)?.unwrap_or(kept) } else { kept }));
    }
    let inputs = plan.inputs().into_iter().map(settled).collect::<DfResult<Vec<_>>>()?;
    let again = plan.with_new_exprs(plan.expressions(), inputs)?;
    Ok(Some(absorb(&again)?.unwrap_or(again)))
}

/// The plan with the trial of its topmost remote query decided.
pub(super) fn settled(plan: &LogicalPlan) -> DfResult<LogicalPlan> {
    let Some((node, trial)) = RemoteNode::of(plan).and_then(|n| Some((n, n.query.tentative.as_ref()?))) else {
        return Ok(plan.clone());
    };
    if !node.query.exceeds(trial.budget) {
        return Ok(with_trial(node, None));
    }
    let mut now = trial.local.clone();
    for (operator, at) in &trial.above {
        let mut inputs: Vec<LogicalPlan> = operator.inputs().into_iter().cloned().collect();
        if let Some(input) = inputs.get_mut(*at) {
            *input = now;
        }
        let again = operator.with_new_exprs(operator.expressions(), inputs)?;
        now = absorb(&again)?.unwrap_or(again);
    }
    // Another join of the same operators may be on trial now.
    settled(&now)
}

/// All trials in the plan have ended well.
fn kept(plan: &LogicalPlan) -> DfResult<LogicalPlan> {
    let clear = |p: LogicalPlan| {
        Ok(match RemoteNode::of(&p).filter(|n| n.query.tentative.is_some()) {
            Some(node) => Transformed::yes(with_trial(node, None)),
            None => Transformed::no(p),
        })
    };
    Ok(plan.clone().transform_up(clear)?.data)
}

fn with_trial(node: &RemoteNode, tentative: Option<Arc<Tentative>>) -> LogicalPlan {
    let query = RemoteQuery { tentative, ..node.query.as_ref().clone() };
    RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan()
}
