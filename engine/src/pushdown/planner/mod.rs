//! Finds the largest subtrees that one connector can run, after DataFusion's optimizer has reached its fixed point.
//!
//! Bottom-up: a scan of a remote table becomes a [`RemoteNode`]; each operator above one is absorbed into it as far as the dialect proves it
//! safe. What is not absorbed stays a local operator over the node, with the reason in the node's report. One file an operator; [`regroup`] finds
//! the inputs of one connector in a chain of joins, [`names`] lets the keys of local joins reach them, and [`tentative`] takes back a join that turned out to send more than its sides.

mod aggregate;
mod filter;
mod join;
mod lift;
mod limit;
mod names;
mod notes;
mod null_aware;
mod projection;
mod regroup;
mod scan;
mod sets;
mod sort;
mod subquery;
mod tentative;
mod union;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use super::node::{RemoteNode, RemoteNodePlanner};
use super::remote::RemoteQuery;
use crate::federation::floats;
use crate::functions;

/// DataFusion's planner with our pass in front.
#[derive(Debug)]
pub struct FederationPlanner;

#[async_trait]
impl QueryPlanner for FederationPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> DfResult<Arc<dyn ExecutionPlan>> {
        physical(&federate(plan.clone())?, session).await
    }
}

/// Our own pass over an optimized plan.
pub(crate) fn federate(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    // Keys are folded where they are compared here, not at a source.
    functions::fold(push_down(floats::expand_zeros(plan)?)?)
}

/// The physical plan of what [`federate`] gave.
pub(crate) async fn physical(plan: &LogicalPlan, session: &dyn Session) -> DfResult<Arc<dyn ExecutionPlan>> {
    DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(RemoteNodePlanner)]).create_physical_plan(plan, session).await
}

/// Replaces what can be pushed by remote queries. Never fails for a refusal.
pub fn push_down(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|p| {
        Ok(match absorb(&p)? {
            Some(changed) => Transformed::new(changed, true, TreeNodeRecursion::Continue),
            None => Transformed::no(p),
        })
    })?;
    // What is on trial yet ends in a remote query of its own: the whole plan, or a subquery.
    let settle = |p: LogicalPlan| {
        Ok(match RemoteNode::of(&p).is_some_and(|n| n.query.tentative.is_some()) {
            true => Transformed::yes(tentative::settled(&p)?),
            false => Transformed::no(p),
        })
    };
    let plan = plan.data.transform_up_with_subqueries(settle)?.data;
    Ok(names::made_unique(plan))
}

/// The plan, whose inputs have been through this already, with itself absorbed, or changed around its inputs; `None`: as it is.
fn absorb(plan: &LogicalPlan) -> DfResult<Option<LogicalPlan>> {
    let changed = match plan {
        LogicalPlan::TableScan(scan) => scan::absorb(scan)?,
        LogicalPlan::SubqueryAlias(alias) => projection::absorb_alias(alias),
        LogicalPlan::Filter(filter) => filter::absorb(filter)?,
        LogicalPlan::Projection(p) => projection::absorb(p)?,
        LogicalPlan::Aggregate(a) => aggregate::absorb(a)?,
        LogicalPlan::Distinct(Distinct::All(input)) => aggregate::absorb_distinct(input, plan.schema()),
        LogicalPlan::Sort(s) => sort::absorb(s)?,
        LogicalPlan::Limit(l) => limit::absorb(l)?,
        LogicalPlan::Join(j) => join::absorb(j)?,
        LogicalPlan::Union(u) => union::absorb(u)?,
        _ => None,
    };
    tentative::follow(plan, changed)
}

/// The table was made with pushdown on.
fn pushing(node: &RemoteNode) -> bool {
    node.query.pushdown
}

/// Of one connector as it is now: the same name, and the same open source (a change of options opens another).
fn same_connector(a: &RemoteQuery, b: &RemoteQuery) -> bool {
    a.connector.name == b.connector.name && Arc::ptr_eq(&a.connector.source, &b.connector.source)
}

fn plain_column(e: &Expr, schema: &DFSchemaRef) -> Option<usize> {
    match unaliased(e) {
        Expr::Column(c) => schema.maybe_index_of_column(c),
        _ => None,
    }
}

fn unaliased(e: &Expr) -> &Expr {
    match e {
        Expr::Alias(a) => unaliased(&a.expr),
        e => e,
    }
}

/// A correlated subquery names outer columns that `expr_to_columns` does not see.
fn correlated(e: &Expr) -> DfResult<bool> {
    e.exists(|e| {
        Ok(match e {
            Expr::ScalarSubquery(s) => !s.outer_ref_columns.is_empty(),
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::OuterReferenceColumn(..) => true,
            _ => false,
        })
    })
}
