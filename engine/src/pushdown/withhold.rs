//! A planner that keeps one kind of operator from being pushed: `SET fjord.verify` finds the part at fault with it.
//!
//! Below each operator of that kind it puts a repartitioning, which changes no rows and which the pass over the plan does not look through.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as DfResult;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Partitioning, Projection, Repartition, TableScan, TableScanBuilder};
use datafusion::physical_plan::ExecutionPlan;

use super::planner::FederationPlanner;

/// The kinds that can be withheld, with their names in words.
pub const PARTS: &[(&str, &str)] = &[
    ("filters", "filters"),
    ("joins", "joins"),
    ("aggregates", "aggregates or DISTINCT"),
    ("sorts", "sorts"),
    ("limits", "limits"),
    ("unions", "unions"),
    ("projections", "computed columns"),
];

/// Plans as ever, but for one kind of operator.
#[derive(Debug)]
pub struct Withholding(pub &'static str);

#[async_trait]
impl QueryPlanner for Withholding {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> DfResult<Arc<dyn ExecutionPlan>> {
        let plan = plan.clone().transform_up_with_subqueries(|p| self.withheld(p))?.data;
        FederationPlanner.create_physical_plan(&plan, session).await
    }
}

impl Withholding {
    fn withheld(&self, plan: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
        if let LogicalPlan::TableScan(scan) = &plan {
            return match self.0 {
                "filters" if !scan.filters.is_empty() => Ok(Transformed::yes(unfiltered(scan)?)),
                "limits" if scan.fetch.is_some() => Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { fetch: None, ..scan.clone() }))),
                _ => Ok(Transformed::no(plan)),
            };
        }
        let kind = match &plan {
            LogicalPlan::Filter(_) => "filters",
            LogicalPlan::Join(_) => "joins",
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => "aggregates",
            LogicalPlan::Sort(_) => "sorts",
            LogicalPlan::Limit(_) => "limits",
            LogicalPlan::Union(_) => "unions",
            LogicalPlan::Projection(_) => "projections",
            _ => return Ok(Transformed::no(plan)),
        };
        if kind != self.0 {
            return Ok(Transformed::no(plan));
        }
        let inputs = plan.inputs().into_iter().cloned().map(kept).collect();
        Ok(Transformed::yes(plan.with_new_exprs(plan.expressions(), inputs)?))
    }
}

fn kept(input: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Repartition(Repartition { input: Arc::new(input), partitioning_scheme: Partitioning::RoundRobinBatch(1) })
}

/// A scan's filters as an operator above it. They may use columns that the scan's projection drops.
fn unfiltered(scan: &TableScan) -> DfResult<LogicalPlan> {
    let whole = TableScanBuilder::new(scan.table_name.clone(), scan.source.clone()).build()?;
    let input = kept(LogicalPlan::TableScan(whole));
    let Some(predicate) = conjunction(scan.filters.clone()) else { return Ok(input) };
    let filter = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?);
    let columns = scan.projected_schema.iter().map(|f| Expr::Column(Column::from(f))).collect();
    Ok(LogicalPlan::Projection(Projection::try_new_with_schema(columns, Arc::new(filter), scan.projected_schema.clone())?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::SessionContext;

    const SQL: &str = "SELECT k + 1, n FROM (
        SELECT a.x % 3 AS k, count(*) AS n FROM generate_series(1, 20) AS a(x) JOIN generate_series(1, 9) AS b(x) ON a.x = b.x WHERE a.x > 2 GROUP BY 1
        UNION ALL SELECT DISTINCT 7, 7 FROM generate_series(1, 4)) AS u ORDER BY 1 LIMIT 3";

    #[tokio::test]
    async fn whatever_is_withheld_the_rows_are_the_same() {
        let run = async |planner: Arc<dyn QueryPlanner + Send + Sync>| {
            let state = SessionStateBuilder::new().with_default_features().with_query_planner(planner).build();
            let rows = SessionContext::new_with_state(state).sql(SQL).await.unwrap().collect().await.unwrap();
            pretty_format_batches(&rows).unwrap().to_string()
        };
        let plain = run(Arc::new(FederationPlanner)).await;
        for (part, _) in PARTS {
            assert_eq!(run(Arc::new(Withholding(part))).await, plain, "{part}");
        }
    }
}
