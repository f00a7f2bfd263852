//! A guard against an internal error of DataFusion 55.2: a DISTINCT with a limit and no order becomes, where its keys later turn out to come in an order,
//! an aggregation that asks for the direction of that order, and has none.
//!
//! The limit that DataFusion put into it only saves work: it is taken out again, and the limit above stays.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

/// The rule; it comes after all that change what order rows have.
#[derive(Debug)]
pub struct SoftLimits;

impl PhysicalOptimizerRule for SoftLimits {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(a) = node.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(node)) };
            let unordered = a.limit_options().is_some_and(|l| l.descending.is_none());
            if !unordered || a.get_minmax_desc().is_some() || a.is_unordered_unfiltered_group_by_distinct() {
                return Ok(Transformed::no(node));
            }
            Ok(Transformed::yes(Arc::new(a.with_new_limit_options(None)) as _))
        })
        .data()
    }
    fn name(&self) -> &str {
        "fjord_soft_limits"
    }
    fn schema_check(&self) -> bool {
        true
    }
}
