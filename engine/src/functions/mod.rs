//! Postgres's meaning of arithmetic and aggregates, where DataFusion 55's differs.
//!
//! DataFusion wraps integer arithmetic and SUM, and averages integers as doubles. Here integer `+ - *` and unary minus raise 22003, `sum(bigint)` and
//! `avg(integer | numeric)` are numeric, rows compare column by column, NaN is the greatest float, a day is one of the session's
//! zone, and a literal is read in the type of what it meets. One file each; the same definition holds for pushed and for local work.

mod average;
mod checked;
mod extremes;
mod literals;
mod numbers;
mod rounding;
mod rows;
mod sum;
mod unions;
mod zone;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, ScalarUDF};
use datafusion::optimizer::{Analyzer, AnalyzerRule};

pub use checked::{Arithmetic, checked};

/// `sum`, to be registered over DataFusion's.
pub fn pg_sum() -> Arc<AggregateUDF> {
    sum::pg_sum()
}

/// Scalar functions that the rules here make (registered so that plans with them can be read back), and those that stand in DataFusion's place.
pub fn internal_functions() -> Vec<Arc<ScalarUDF>> {
    Arithmetic::ALL.iter().map(|a| checked(*a)).chain([average::finish()]).chain(rounding::all()).collect()
}

/// The analyzer's rules: DataFusion's own with ours around type coercion. Before it what decides types (so that what grows out of it is coerced), after
/// it what needs both sides to have one type. A prepared plan is analyzed twice, so each rule leaves its own result alone.
pub fn analyzer() -> Analyzer {
    let before = [
        rule("fjord_rows", |plan, _| rows::rewrite(plan)),
        rule("fjord_float_extremes", |plan, _| extremes::rewrite(plan)),
        rule("fjord_small_sums", |plan, _| sum::small(plan)),
        rule("fjord_typed_literals", |plan, config| literals::rewrite(plan, config.execution.time_zone.as_deref())),
        rule("fjord_numerics_meet_floats", |plan, _| numbers::rewrite(plan)),
        rule("fjord_split_averages", |plan, _| average::split(plan)),
        rule("fjord_union_types", |plan, _| unions::rewrite(plan)),
    ];
    let after = [
        rule("fjord_check_arithmetic", |plan, _| checked::rewrite(plan)),
        rule("fjord_session_zone", |plan, config| zone::rewrite(plan, config.execution.time_zone.as_deref())),
    ];
    Analyzer::with_rules(before.into_iter().chain(Analyzer::new().rules).chain(after).collect())
}

/// An analyzer rule that is one function; what it does stands at the head of its file.
#[derive(Debug)]
struct Rule {
    name: &'static str,
    rewrite: Rewrite,
}

type Rewrite = fn(LogicalPlan, &ConfigOptions) -> Result<LogicalPlan>;

fn rule(name: &'static str, rewrite: Rewrite) -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(Rule { name, rewrite })
}

impl AnalyzerRule for Rule {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        (self.rewrite)(plan, config)
    }
    fn name(&self) -> &str {
        self.name
    }
}

/// Rewrites every expression of a plan bottom-up, subqueries included. `f` sees the schema of the node's inputs; output names stay as they were.
pub(crate) fn rewrite_expressions(plan: LogicalPlan, f: &dyn Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>) -> Result<LogicalPlan> {
    Ok(plan
        .transform_up_with_subqueries(|plan| {
            let mut schema: DFSchema = merge_schema(&plan.inputs());
            if let LogicalPlan::TableScan(ts) = &plan {
                schema.merge(&DFSchema::try_from_qualified_schema(ts.table_name.clone(), &ts.source.schema())?);
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|e| {
                let saved = names.save(&e);
                let out = e.transform_up(|e| f(e, &schema))?;
                Ok(if out.transformed { Transformed::yes(saved.restore(out.data)) } else { out })
            })
        })?
        .data)
}

#[cfg(test)]
mod tests;
