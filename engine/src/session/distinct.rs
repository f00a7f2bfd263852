//! `sum(x), count(DISTINCT y)`: a rule of DataFusion's that changes the type of the sum.
//!
//! SingleDistinctToGroupBy groups by y first and then sums the groups' sums. The sum of a sum has another type than the sum: a numeric gains digits with
//! each, and a bigint's is a numeric. Nobody casts it back, and the rows do not fit what was promised (22000). So the rule leaves sums alone.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule's name.
const RULE: &str = "single_distinct_aggregation_to_group_by";

/// DataFusion's rules, that one among them guarded.
pub(super) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let guarded = |rule: Arc<dyn OptimizerRule + Send + Sync>| -> Arc<dyn OptimizerRule + Send + Sync> {
        if rule.name() == RULE { Arc::new(WithoutSums(rule)) } else { rule }
    };
    Optimizer::new().rules.into_iter().map(guarded).collect()
}

#[derive(Debug)]
struct WithoutSums(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for WithoutSums {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Aggregate(a) if a.aggr_expr.iter().any(sums) => Ok(Transformed::no(plan)),
            _ => self.0.rewrite(plan, config),
        }
    }
}

/// A sum over all rows.
fn sums(e: &Expr) -> bool {
    matches!(e, Expr::AggregateFunction(f) if f.func.name() == "sum" && !f.params.distinct)
}
