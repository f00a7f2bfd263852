//! A guard against lost NaNs: the statistics of a Parquet column leave NaN out, and DataFusion sorts NaN above all numbers.
//!
//! `x > 1e300` is true for a NaN, but a row group whose greatest *number* is 2 would be skipped for it; a bound of a TopK or of a join's build side
//! likewise. So before the pushdown rules run, a file source with float columns is put behind a [`NanGuard`], which hands on only the filters that no
//! NaN fulfils; the others stay where they were. Afterwards the guards go.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNotNullExpr, IsNullExpr, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};

use crate::error::SqlError;

/// A file source with float columns, during filter pushdown.
#[derive(Debug)]
pub(super) struct NanGuard(pub(super) Arc<dyn ExecutionPlan>);

impl NanGuard {
    /// Whether a node needs the guard.
    pub(super) fn concerns(node: &Arc<dyn ExecutionPlan>) -> bool {
        node.downcast_ref::<DataSourceExec>().is_some() && !float_columns(&node.schema()).is_empty()
    }
}

fn float_columns(schema: &Schema) -> HashSet<usize> {
    schema.fields().iter().enumerate().filter(|(_, f)| f.data_type().is_floating()).map(|(i, _)| i).collect()
}

/// No NaN fulfils the filter, or it is about other columns.
fn never_by_nan(filter: &Arc<dyn PhysicalExpr>, floats: &HashSet<usize>) -> bool {
    if !collect_columns(filter).iter().any(|c| floats.contains(&c.index())) {
        return true;
    }
    if let Some(e) = filter.downcast_ref::<BinaryExpr>() {
        let number = |e: &Arc<dyn PhysicalExpr>| e.downcast_ref::<Literal>().is_some_and(|l| is_number(l.value()));
        let column = |e: &Arc<dyn PhysicalExpr>| e.downcast_ref::<Column>().is_some();
        return match e.op() {
            Operator::And => never_by_nan(e.left(), floats) && never_by_nan(e.right(), floats),
            Operator::Eq => column(e.left()) && number(e.right()) || number(e.left()) && column(e.right()),
            Operator::Lt | Operator::LtEq => column(e.left()) && number(e.right()),
            Operator::Gt | Operator::GtEq => number(e.left()) && column(e.right()),
            _ => false,
        };
    }
    // Counts of NULLs hold. All else, and filters that change while the query runs, cannot be judged now.
    filter.downcast_ref::<IsNullExpr>().is_some_and(|e| e.arg().downcast_ref::<Column>().is_some())
        || filter.downcast_ref::<IsNotNullExpr>().is_some_and(|e| e.arg().downcast_ref::<Column>().is_some())
}

fn is_number(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float32(Some(x)) => !x.is_nan(),
        ScalarValue::Float64(Some(x)) => !x.is_nan(),
        _ => false,
    }
}

impl DisplayAs for NanGuard {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NanGuard")
    }
}

impl ExecutionPlan for NanGuard {
    fn name(&self) -> &str {
        "NanGuard"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }
    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.0.apply_expressions(f)
    }
    fn replace_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>, _: ReplaceChildrenOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(SqlError::internal("a guard is taken out before execution").into())
    }
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        mut offered: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let floats = float_columns(&self.0.schema());
        let safe: Vec<bool> = offered.parent_filters.iter().map(|f| never_by_nan(&f.filter, &floats)).collect();
        let mut keep = safe.iter();
        offered.parent_filters.retain(|_| keep.next().copied().unwrap_or(false));
        let inner = self.0.handle_child_pushdown_result(phase, offered, config)?;
        let mut results = inner.filters.into_iter();
        let filters = safe.iter().map(|s| if *s { results.next().unwrap_or(PushedDown::No) } else { PushedDown::No }).collect();
        let all = FilterPushdownPropagation::with_parent_pushdown_result(filters);
        Ok(match inner.updated_node {
            Some(node) => all.with_updated_node(Arc::new(NanGuard(node)) as _),
            None => all,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::barrier::physical_rules;
    use arrow::array::{Float64Array, Int64Array, RecordBatch};
    use datafusion::dataframe::DataFrameWriteOptions;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
    use std::sync::Arc;

    async fn context(folder: &std::path::Path, guarded: bool) -> SessionContext {
        let mut state = SessionStateBuilder::new().with_default_features().with_config(SessionConfig::new().with_target_partitions(2));
        if guarded {
            state = state.with_physical_optimizer_rules(physical_rules());
        }
        let ctx = SessionContext::new_with_state(state.build());
        let batch = RecordBatch::try_from_iter([
            ("i", Arc::new(Int64Array::from(vec![1, 2, 3])) as _),
            ("x", Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0])) as _),
        ])
        .unwrap();
        let path = folder.join("t.parquet");
        let df = ctx.read_batch(batch).unwrap();
        df.write_parquet(path.to_str().unwrap(), DataFrameWriteOptions::new().with_single_file_output(true), None).await.unwrap();
        ctx.register_parquet("t", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        ctx
    }

    async fn found(ctx: &SessionContext, condition: &str) -> Vec<i64> {
        let batches = ctx.sql(&format!("SELECT i FROM t WHERE {condition} ORDER BY i")).await.unwrap().collect().await.unwrap();
        batches.iter().flat_map(|b| b.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()).collect()
    }

    /// When this fails, DataFusion no longer needs the guard.
    #[tokio::test]
    async fn without_the_guard_a_nan_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        assert!(found(&context(folder.path(), false).await, "x > 1e300").await.is_empty());
    }

    #[tokio::test]
    async fn no_nan_is_lost_over_parquet() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = context(folder.path(), true).await;
        for (condition, expected) in [
            ("x > 1e300", vec![2]),
            ("1e300 <= x", vec![2]),
            ("x <> 1 AND x > 5", vec![2]),
            ("NOT (x <= 2)", vec![2]),
            ("x = 'NaN'::double", vec![2]),
            ("x BETWEEN 1.5 AND 9", vec![3]),
            ("x = 2", vec![3]),
            ("x > 5 AND i = 2", vec![2]),
            ("x IS NULL", vec![]),
            ("x IN (SELECT x FROM t WHERE i = 2)", vec![2]),
        ] {
            assert_eq!(found(&ctx, condition).await, expected, "{condition}");
        }
    }

    /// The list of a join's build side is compared by bits, where DataFusion filters row by row: a build side of -0.0 joins rows of both zeros all the
    /// same, because no filter over floats that changes while the query runs reaches the file.
    #[tokio::test]
    async fn a_build_side_of_one_zero_joins_both_over_parquet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("z.parquet");
        let mut config = SessionConfig::new().with_target_partitions(2);
        config.options_mut().execution.parquet.pushdown_filters = true;
        let state = SessionStateBuilder::new().with_default_features().with_config(config).with_physical_optimizer_rules(physical_rules());
        let ctx = SessionContext::new_with_state(state.build());
        let batch = RecordBatch::try_from_iter([
            ("i", Arc::new(Int64Array::from((0..1000).collect::<Vec<_>>())) as _),
            ("x", Arc::new(Float64Array::from_iter_values((0..1000).map(|i| [0.0, -0.0, 1.0, 2.0][i % 4]))) as _),
        ])
        .unwrap();
        let df = ctx.read_batch(batch).unwrap();
        df.write_parquet(path.to_str().unwrap(), DataFrameWriteOptions::new().with_single_file_output(true), None).await.unwrap();
        ctx.register_parquet("z", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        for zero in [0.0, -0.0] {
            let few = RecordBatch::try_from_iter([("y", Arc::new(Float64Array::from(vec![zero])) as _)]).unwrap();
            ctx.register_batch("few", few).unwrap();
            let sql = "SELECT count(*) FROM few JOIN z ON few.y = z.x";
            let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
            let counted: i64 = batches.iter().map(|b| b.column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0)).sum();
            assert_eq!(counted, 500, "{zero:?}");
            ctx.deregister_table("few").unwrap();
        }
    }
}
