//! A guard against a wrong answer of DataFusion 55.2: filters are remapped by column *name* when they are pushed down the physical plan.
//!
//! Where a node's schema has two columns of one name (two tables that both have `id`, under a join), a dynamic or parent filter can land on the
//! wrong one, and rows are lost; on Parquet too. Upstream issues 25244 and 25296, fixed by 25259, which is not in 55.2. So before the pushdown
//! rules run, each such node is wrapped in a `Barrier` that lets only filters over uniquely named columns pass; afterwards the barriers go. The guard of
//! [`super::nan`] comes and goes with them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::filter_pushdown::{ChildFilterDescription, FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};

use super::nan::NanGuard;
use crate::error::SqlError;

/// DataFusion's physical rules, with both filter pushdown rules guarded.
pub fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    PhysicalOptimizer::new()
        .rules
        .into_iter()
        .map(|rule| match rule.name() {
            "FilterPushdown" => Arc::new(SafeFilterPushdown(FilterPushdown::new())) as _,
            "FilterPushdown(Post)" => Arc::new(SafeFilterPushdown(FilterPushdown::new_post_optimization())) as _,
            _ => rule,
        })
        .collect()
}

#[derive(Debug)]
struct SafeFilterPushdown(FilterPushdown);

impl PhysicalOptimizerRule for SafeFilterPushdown {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wrapped = plan
            .transform_up(|node| {
                let node: Arc<dyn ExecutionPlan> = if NanGuard::concerns(&node) { Arc::new(NanGuard(node)) } else { node };
                let schema = node.schema();
                let unique = unique_columns(&schema).len() == schema.fields().len();
                Ok(Transformed::yes(if unique { node } else { Arc::new(Barrier(node)) as _ }))
            })
            .data()?;
        self.0
            .optimize(wrapped, config)?
            .transform_up(|node| {
                let inner = match (node.downcast_ref::<Barrier>(), node.downcast_ref::<NanGuard>()) {
                    (Some(b), _) => Some(b.0.clone()),
                    (_, Some(g)) => Some(g.0.clone()),
                    _ => None,
                };
                Ok(inner.map_or_else(|| Transformed::no(node), Transformed::yes))
            })
            .data()
    }
    fn name(&self) -> &str {
        "fjord_filter_pushdown"
    }
    fn schema_check(&self) -> bool {
        true
    }
}

fn unique_columns(schema: &Schema) -> HashSet<usize> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for f in schema.fields() {
        *seen.entry(f.name()).or_default() += 1;
    }
    schema.fields().iter().enumerate().filter(|(_, f)| seen.get(f.name().as_str()) == Some(&1)).map(|(i, _)| i).collect()
}

#[derive(Debug)]
struct Barrier(Arc<dyn ExecutionPlan>);

impl Barrier {
    fn with(child: Option<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        child.map(|c| Arc::new(Barrier(c)) as _).ok_or_else(|| SqlError::internal("a barrier has one child").into())
    }
}

impl DisplayAs for Barrier {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Barrier")
    }
}

impl ExecutionPlan for Barrier {
    fn name(&self) -> &str {
        "Barrier"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }
    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Barrier::with(children.pop())
    }
    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Barrier::with(children.pop())
    }
    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(SqlError::internal("a barrier is taken out before execution").into())
    }
    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let allowed = unique_columns(&self.0.schema());
        Ok(FilterDescription::new().with_child(ChildFilterDescription::from_child_with_allowed_indices(&filters, allowed, &self.0)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, SchemaRef};
    use datafusion::dataframe::DataFrameWriteOptions;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

    const ROWS: i64 = 200_000;

    fn batch(columns: Vec<(&str, Vec<i64>)>) -> RecordBatch {
        let schema: SchemaRef =
            Arc::new(Schema::new(columns.iter().map(|(n, _)| Field::new(*n, DataType::Int64, true)).collect::<Vec<_>>()));
        RecordBatch::try_new(schema, columns.into_iter().map(|(_, v)| Arc::new(Int64Array::from(v)) as _).collect()).unwrap()
    }

    async fn context(folder: &std::path::Path, guarded: bool) -> SessionContext {
        let mut config = SessionConfig::new().with_target_partitions(2);
        // Row-level filtering, so that a filter on a wrong column loses rows and not just row groups.
        config.options_mut().execution.parquet.pushdown_filters = true;
        let mut state = SessionStateBuilder::new().with_default_features().with_config(config);
        if guarded {
            state = state.with_physical_optimizer_rules(physical_rules());
        }
        let ctx = SessionContext::new_with_state(state.build());
        for (name, columns) in [
            ("o", vec![("id", (0..3 * ROWS).collect::<Vec<_>>()), ("amount", (0..3 * ROWS).map(|i| 1_000_000 + i).collect())]),
            ("p", vec![("id", (0..ROWS).collect()), ("amount", (0..ROWS).map(|i| ROWS - i).collect())]),
            ("c", vec![("id", (0..ROWS / 2).chain(ROWS - 10_000..ROWS).collect())]),
        ] {
            let path = folder.join(format!("{name}.parquet"));
            if !path.exists() {
                let df = ctx.read_batch(batch(columns)).unwrap();
                df.write_parquet(path.to_str().unwrap(), DataFrameWriteOptions::new().with_single_file_output(true), None).await.unwrap();
            }
            ctx.register_parquet(name, path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        }
        ctx
    }

    async fn rows(ctx: &SessionContext, sql: &str) -> Vec<String> {
        let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        text.lines().skip(3).filter(|l| l.starts_with('|')).map(str::to_string).collect()
    }

    /// Two columns of one name under a TopK whose filter is on one of them. Without the guard this gives `1024575, 175425` on 55.2: the sizes of
    /// the tables make the plan that shows it, so leave them.
    const QUERY: &str = "select o.amount, p.amount from o join p on o.id = p.id join c on p.id = c.id order by p.amount limit 1";

    #[tokio::test]
    async fn a_filter_never_lands_on_another_column_of_the_same_name_over_parquet() {
        let folder = tempfile::tempdir().unwrap();
        let guarded = context(folder.path(), true).await;
        assert_eq!(rows(&guarded, QUERY).await, vec!["| 1199999 | 1      |"]);
        assert_eq!(
            rows(&guarded, "select count(*) from c join (select p.id a, o.amount b from p left join o on p.id = o.id) j on c.id = j.a")
                .await,
            vec!["| 110000   |"]
        );
    }

    #[test]
    fn both_pushdown_rules_are_guarded() {
        let names: Vec<_> = physical_rules().iter().map(|r| r.name().to_string()).collect();
        assert_eq!(names.iter().filter(|n| *n == "fjord_filter_pushdown").count(), 2, "{names:?}");
        assert!(!names.iter().any(|n| n.starts_with("FilterPushdown")), "{names:?}");
    }
}
