//! Tells each remote scan what only the whole plan knows: which of its dynamic filters a hash join completes, and whether others ask its connector
//! too.
//!
//! Operators that spawn (CoalescePartitions, SortPreservingMerge) poll a scan before an outer join's filter exists. A scan waits, bounded, for a
//! filter that a hash join will complete; one of TopK or of an aggregate never completes and is never awaited.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

use super::scan::RemoteScanExec;

/// The rule; it must be the last.
#[derive(Debug)]
pub struct TagDynamicFilters;

impl PhysicalOptimizerRule for TagDynamicFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut completing = HashSet::new();
        let mut asked: HashMap<String, usize> = HashMap::new();
        plan.apply(|node| {
            if let Some(scan) = node.downcast_ref::<RemoteScanExec>() {
                *asked.entry(scan.query().connector.name.clone()).or_default() += 1;
            }
            if node.is::<HashJoinExec>() {
                completing.extend(node.dynamic_expressions_produced().iter().filter_map(|e| e.expression_id()));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if completing.is_empty() && asked.values().all(|n| *n < 2) {
            return Ok(plan);
        }
        let completing = Arc::new(completing);
        let tagged = plan.transform_up(|node| {
            Ok(match node.downcast_ref::<RemoteScanExec>() {
                Some(scan) => {
                    let several = asked.get(&scan.query().connector.name).is_some_and(|n| *n > 1);
                    Transformed::yes(Arc::new(scan.tagged(&completing, several)) as Arc<dyn ExecutionPlan>)
                }
                None => Transformed::no(node),
            })
        })?;
        Ok(tagged.data)
    }
    fn name(&self) -> &str {
        "fjord_tag_dynamic_filters"
    }
    fn schema_check(&self) -> bool {
        true
    }
}
