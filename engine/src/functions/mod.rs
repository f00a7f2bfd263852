//! Postgres's meaning of arithmetic and aggregates, where DataFusion 55's differs.
//!
//! DataFusion wraps integer arithmetic and SUM, and averages integers as doubles. Here integer `+ - *` and unary minus raise 22003, `sum(bigint)` and
//! `avg(integer | numeric)` are numeric. The same definition holds for pushed and for local work.

mod average;
mod checked;
mod extremes;
mod literals;
mod numbers;
mod sum;
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

/// Scalar functions that the rules here make; registered so that plans with them can be read back.
pub fn internal_functions() -> Vec<Arc<ScalarUDF>> {
    Arithmetic::ALL.iter().map(|a| checked(*a)).chain([average::finish()]).collect()
}

/// The analyzer's rules: DataFusion's own with ours around type coercion. Averages are split before it (so that what grows out of them is coerced),
/// arithmetic becomes checked after it (so that both sides have one type).
pub fn analyzer() -> Analyzer {
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(SplitAverages));
    rules.insert(0, Arc::new(NumericsMeetFloats));
    rules.insert(0, Arc::new(TypedLiterals));
    rules.insert(0, Arc::new(SmallSums));
    rules.insert(0, Arc::new(FloatExtremes));
    rules.push(Arc::new(CheckArithmetic));
    rules.push(Arc::new(SessionZone));
    Analyzer::with_rules(rules)
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

/// avg(x) over integers and numerics -> `fjord_avg(sum(x), count(x))`, so that a source can compute the sum and the count exactly.
#[derive(Debug)]
pub struct SplitAverages;

impl AnalyzerRule for SplitAverages {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        average::split(plan)
    }
    fn name(&self) -> &str {
        "fjord_split_averages"
    }
}

/// A numeric beside a double becomes a double, as in Postgres, instead of a Decimal(30, 15) that neither fits.
#[derive(Debug)]
pub struct NumericsMeetFloats;

impl AnalyzerRule for NumericsMeetFloats {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        numbers::rewrite(plan)
    }
    fn name(&self) -> &str {
        "fjord_numerics_meet_floats"
    }
}

/// Days, hours and fields of an instant are those of the session's TimeZone.
#[derive(Debug)]
pub struct SessionZone;

impl AnalyzerRule for SessionZone {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        zone::rewrite(plan, config.execution.time_zone.as_deref())
    }
    fn name(&self) -> &str {
        "fjord_session_zone"
    }
}

/// Text literals beside timestamps and uuids are read in that type, in the session's zone.
#[derive(Debug)]
pub struct TypedLiterals;

impl AnalyzerRule for TypedLiterals {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        literals::rewrite(plan, config.execution.time_zone.as_deref())
    }
    fn name(&self) -> &str {
        "fjord_typed_literals"
    }
}

/// sum(integer | smallint) is bigint, and stays it when a plan is analyzed twice.
#[derive(Debug)]
pub struct SmallSums;

impl AnalyzerRule for SmallSums {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        sum::small(plan)
    }
    fn name(&self) -> &str {
        "fjord_small_sums"
    }
}

/// min and max of floats take NaN for the greatest.
#[derive(Debug)]
pub struct FloatExtremes;

impl AnalyzerRule for FloatExtremes {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        extremes::rewrite(plan)
    }
    fn name(&self) -> &str {
        "fjord_float_extremes"
    }
}

/// Integer `+ - *` and unary minus -> checked functions.
#[derive(Debug)]
pub struct CheckArithmetic;

impl AnalyzerRule for CheckArithmetic {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        checked::rewrite(plan)
    }
    fn name(&self) -> &str {
        "fjord_check_arithmetic"
    }
}

#[cfg(test)]
mod tests;
