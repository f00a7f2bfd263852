//! Postgres's meaning of arithmetic and aggregates, where DataFusion 55's differs.
//!
//! DataFusion wraps integer arithmetic and SUM, and averages integers as doubles. Here integer `+ - *` and unary minus raise 22003, `sum(bigint)` and
//! `avg(integer | numeric)` are numeric, rows compare column by column, NaN is the greatest float, a day is one of the session's zone, a literal is
//! read in the type of what it meets, casts from and to text read and write what Postgres does, and a cast to an integer rounds. JSON operators are
//! functions of ours. One file each; the same definition holds for pushed and for local work.

mod at_zone;
mod average;
mod bits;
mod checked;
mod counts;
mod cuts;
mod epoch;
mod exists;
mod extremes;
mod folded;
mod json;
mod lenient;
mod literals;
mod math;
mod meanings;
mod now;
mod numbers;
mod overlap;
mod parts;
mod quotient;
mod rounding;
mod rows;
mod rowwise;
mod spans;
mod sum;
mod text_in;
mod text_out;
mod to_char_number;
mod to_char_time;
mod unions;
mod vectors;
mod whole;
mod wide;
mod words;
mod zone;

use std::cell::Cell;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{AggregateUDF, BinaryExpr, Expr, LogicalPlan, Operator, ScalarUDF};
use datafusion::optimizer::{Analyzer, AnalyzerRule};

pub(crate) use at_zone::NAME as AT_ZONE;
pub(crate) use bits::NOT_BITS;
pub use checked::{Arithmetic, checked};
pub(crate) use cuts::HEADER as LENGTH_HEADER;
pub(crate) use folded::fold;
pub(crate) use json::JsonOperators;
pub(crate) use numbers::small_literals;
pub(crate) use overlap::ArrayOperators;
pub use overlap::OVERLAP;
pub(crate) use parts::Extracts;
pub(crate) use spans::IntervalArithmetic;
pub(crate) use vectors::VectorSubscripts;
pub(crate) use zone::days_and_intervals;

use crate::values::EncodeSettings;

/// `sum`, to be registered over DataFusion's.
pub fn pg_sum() -> Arc<AggregateUDF> {
    sum::pg_sum()
}

/// Scalar functions that the rules here make (registered so that plans with them can be read back), and those that stand in DataFusion's place.
pub fn internal_functions() -> Vec<Arc<ScalarUDF>> {
    let own = Arithmetic::ALL.iter().map(|a| checked(*a)).chain([average::finish(), text_out::text()]);
    let own = own.chain(rounding::all()).chain(json::functions().iter().cloned());
    let own = own
        .chain(now::all())
        .chain([meanings::bytes(), at_zone::function()])
        .chain(quotient::all())
        .chain(parts::all())
        .chain(counts::all())
        .chain([lenient::coalesce(), bits::not_bits(), overlap::function()]);
    let rowwise = math::ALL.iter().chain(words::ALL).chain(spans::ALL).chain([&epoch::TO_TIMESTAMP]);
    own.chain(rowwise.map(rowwise::function)).collect()
}

/// The analyzer's rules: DataFusion's own with ours around type coercion. Before it what decides types (so that what grows out of it is coerced), after
/// it what needs both sides to have one type. A prepared plan is analyzed twice, so each rule leaves its own result alone.
pub fn analyzer() -> Analyzer {
    let before = [
        rule("fjord_rows", |plan, _| rows::rewrite(plan)),
        rule("fjord_exists", |plan, _| exists::rewrite(plan)),
        rule("fjord_compared_subqueries", |plan, _| exists::apart(plan)),
        rule("fjord_meant_functions", |plan, _| meanings::rewrite(plan)),
        rule("fjord_float_extremes", |plan, _| extremes::rewrite(plan)),
        rule("fjord_small_sums", |plan, _| sum::small(plan)),
        rule("fjord_typed_literals", |plan, config| literals::rewrite(plan, &EncodeSettings::of_options(config))),
        rule("fjord_short_booleans", |plan, _| text_out::short_booleans(plan)),
        rule("fjord_cut_texts", |plan, _| cuts::rewrite(plan)),
        rule("fjord_numerics_meet_floats", |plan, _| numbers::rewrite(plan)),
        rule("fjord_numeric_quotients", |plan, _| quotient::rewrite(plan)),
        rule("fjord_room_for_both", |plan, _| wide::rewrite(plan)),
        rule("fjord_row_numbers", |plan, _| counts::rewrite(plan)),
        rule("fjord_union_types", |plan, _| unions::rewrite(plan)),
    ];
    let after = [
        rule("fjord_nullif_of_floats", |plan, _| folded::nullif(plan)),
        rule("fjord_floats_within", |plan, _| folded::elements(plan)),
        rule("fjord_check_arithmetic", |plan, _| checked::rewrite(plan)),
        rule("fjord_round_to_integers", |plan, _| whole::rewrite(plan)),
        rule("fjord_session_zone", |plan, config| zone::rewrite(plan, config.execution.time_zone.as_deref())),
        rule("fjord_text_in", |plan, config| text_in::rewrite(plan, &EncodeSettings::of_options(config))),
        rule("fjord_text_out", |plan, _| text_out::rewrite(plan)),
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

/// Rewrites every expression of a plan bottom-up, subqueries included. `f` sees the schema of the node's inputs; output names stay as they were, and
/// the types above follow what changed below.
pub(crate) fn rewrite_expressions(plan: LogicalPlan, f: &dyn Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>) -> Result<LogicalPlan> {
    rewrite_nodes(plan, &|plan, schema| map_named(plan, &|e| e.transform_up(|e| f(e, schema))))
}

/// Maps the expressions of one node, each of which keeps the name that it gives a column.
fn map_named(plan: LogicalPlan, f: &dyn Fn(Expr) -> Result<Transformed<Expr>>) -> Result<Transformed<LogicalPlan>> {
    fn named(e: Expr, names: &NamePreserver, f: &dyn Fn(Expr) -> Result<Transformed<Expr>>) -> Result<Transformed<Expr>> {
        let (saved, grouping) = match &e {
            // It has no name of its own: each of its keys gives a column.
            Expr::GroupingSet(_) => return e.map_children(|key| named(key, names, f)),
            Expr::Alias(a) if is_grouping(&a.expr) => return e.map_children(|inner| named(inner, names, f)),
            _ => (names.save(&e), is_grouping(&e)),
        };
        // `grouping(key)` finds its key by being equal to it, name and all.
        let out = if grouping { e.map_children(|key| named(key, names, f))? } else { f(e)? };
        Ok(if out.transformed { Transformed::yes(saved.restore(out.data)) } else { out })
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|e| named(e, &names, f))
}

fn is_grouping(e: &Expr) -> bool {
    matches!(e, Expr::AggregateFunction(f) if f.func.name() == "grouping")
}

type Rewriter<'a> = dyn Fn(LogicalPlan, &DFSchema) -> Result<Transformed<LogicalPlan>> + 'a;

/// Rewrites every node of a plan bottom-up, subqueries included. `f` sees the schema of the node's inputs.
pub(crate) fn rewrite_nodes(plan: LogicalPlan, f: &Rewriter<'_>) -> Result<LogicalPlan> {
    // A changed node may have other types, and then those above it have, too.
    Ok(rewrite_below(plan, f, &Cell::new(false))?.data)
}

/// Inputs first: what a subquery takes from around it has the type that it has there by then.
fn rewrite_below(plan: LogicalPlan, f: &Rewriter<'_>, changed: &Cell<bool>) -> Result<Transformed<LogicalPlan>> {
    let mut plan = plan.map_children(|input| rewrite_below(input, f, changed))?;
    let mut schema: DFSchema = merge_schema(&plan.data.inputs());
    plan = plan.transform_data(|plan| {
        plan.map_subqueries(|subquery| {
            let subquery = if changed.get() { retyped(subquery, &schema)? } else { Transformed::no(subquery) };
            subquery.transform_data(|subquery| rewrite_below(subquery, f, changed))
        })
    })?;
    let transformed = plan.transformed;
    let node = if changed.get() { plan.data.recompute_schema()? } else { plan.data };
    if let LogicalPlan::TableScan(ts) = &node {
        schema.merge(&DFSchema::try_from_qualified_schema(ts.table_name.clone(), &ts.source.schema())?);
    }
    let out = f(node, &schema)?;
    if !out.transformed {
        return Ok(Transformed::new_transformed(out.data, transformed || changed.get()));
    }
    changed.set(true);
    Ok(Transformed::yes(out.data.recompute_schema()?))
}

/// A subquery whose references to the columns around it have the types that these have now: they were noted when the statement was planned.
fn retyped(plan: LogicalPlan, outer: &DFSchema) -> Result<Transformed<LogicalPlan>> {
    let current = |e: Expr| {
        e.transform(|e| {
            let Expr::OuterReferenceColumn(noted, column) = &e else { return Ok(Transformed::no(e)) };
            match outer.field_from_column(column) {
                Ok(now) if now.data_type() != noted.data_type() => {
                    Ok(Transformed::yes(Expr::OuterReferenceColumn(now.clone(), column.clone())))
                }
                _ => Ok(Transformed::no(e)),
            }
        })
    };
    plan.transform_down_with_subqueries(|node| {
        let node = match node {
            LogicalPlan::Subquery(mut s) => {
                let columns = s.outer_ref_columns.into_iter().map(|e| Ok(current(e)?.data)).collect::<Result<_>>()?;
                s.outer_ref_columns = columns;
                LogicalPlan::Subquery(s)
            }
            node => node,
        };
        node.map_expressions(current)
    })
}

/// Functions whose arguments must be of one type.
const ONE_TYPE: &[&str] = &["coalesce", "nullif", "greatest", "least", "ifnull", "nvl"];

/// The parts of an expression that must have one type among themselves, group by group: the sides of a comparison, the results of a CASE.
fn siblings(e: &mut Expr) -> Vec<Vec<&mut Expr>> {
    match e {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => vec![vec![left.as_mut(), right.as_mut()]],
        Expr::Between(b) => vec![vec![b.expr.as_mut(), b.low.as_mut(), b.high.as_mut()]],
        Expr::InList(l) => {
            let mut all: Vec<&mut Expr> = vec![l.expr.as_mut()];
            all.extend(l.list.iter_mut());
            vec![all]
        }
        Expr::Case(c) => {
            let (mut compared, mut values): (Vec<&mut Expr>, Vec<&mut Expr>) = (vec![], vec![]);
            compared.extend(c.expr.as_deref_mut());
            let simple = !compared.is_empty();
            for (when, then) in &mut c.when_then_expr {
                if simple {
                    compared.push(when);
                }
                values.push(then);
            }
            values.extend(c.else_expr.as_deref_mut());
            vec![compared, values]
        }
        Expr::ScalarFunction(f) if ONE_TYPE.contains(&f.func.name()) => vec![f.args.iter_mut().collect()],
        _ => vec![],
    }
}

/// `=`, `<` and their kin.
pub(crate) fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

#[cfg(test)]
mod tests;
