//! `avg` over integers and numerics: a sum and a count, divided at the end.
//!
//! Postgres gives numeric, DataFusion a double (integers) or four digits more (decimals). Split like this the sum and the count push into a source
//! exactly, and the division, with Postgres's digits, is ours in both cases, or the source's where it has the same.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, Window, WindowFunctionDefinition,
};
use datafusion::scalar::ScalarValue;

use super::quotient;
use crate::error::SqlError;

pub(super) fn finish() -> Arc<ScalarUDF> {
    static FINISH: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Finish { signature: Signature::any(2, Volatility::Immutable) })));
    FINISH.clone()
}

/// `fjord_avg(sum, count)`: their quotient as a numeric without precision, NULL where nothing was counted.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Finish {
    signature: Signature,
}

impl ScalarUDFImpl for Finish {
    fn name(&self) -> &str {
        "fjord_avg"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args {
            [sum, DataType::Int64] if sum.is_integer() || sum.is_decimal() => Ok(quotient::TYPE),
            other => Err(SqlError::internal(format!("fjord_avg over {other:?}")).into()),
        }
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let one = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = args.args.iter().map(|a| a.to_array(if one { 1 } else { args.number_rows })).collect::<Result<Vec<_>>>()?;
        let [sum, count] = arrays.as_slice() else { return Err(SqlError::internal("fjord_avg takes two arguments").into()) };
        let out = quotient::averages(sum, count)?;
        Ok(if one { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}

/// Splits every avg over integers and decimals of an aggregate or a window. Averages of doubles stay.
pub(super) fn split(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Aggregate(a) => split_one(a),
        LogicalPlan::Window(w) => split_window(w),
        other => Ok(Transformed::no(other)),
    }
}

fn exact_average(e: &Expr, input: &LogicalPlan) -> Option<AggregateFunctionParams> {
    let e = match e {
        Expr::Alias(a) => a.expr.as_ref(),
        e => e,
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = e else { return None };
    let [arg] = params.args.as_slice() else { return None };
    let exact = func.name() == "avg" && arg.get_type(input.schema()).is_ok_and(|t| t.is_integer() || t.is_decimal());
    exact.then(|| params.clone())
}

fn split_one(a: Aggregate) -> Result<Transformed<LogicalPlan>> {
    if !a.aggr_expr.iter().any(|e| exact_average(e, &a.input).is_some()) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(a)));
    }
    let mut inner: Vec<Expr> = vec![];
    let place = |e: Expr, inner: &mut Vec<Expr>| {
        // By name, not by value: `sum(a), avg(a)` has the sum already, perhaps as the one that is typed bigint.
        if !inner.iter().any(|i| i.schema_name().to_string() == e.schema_name().to_string()) {
            inner.push(e);
        }
    };
    let mut outer: Vec<Expr> = vec![];
    let old_schema = a.schema.clone();
    let keys = old_schema.fields().len() - a.aggr_expr.len();
    // Where grouping() is still to be resolved, that drops the id below, and nothing above asks for it.
    let unresolved = a.aggr_expr.iter().any(is_grouping);
    for i in (0..keys).filter(|i| !unresolved || old_schema.field(*i).name() != Aggregate::INTERNAL_GROUPING_ID) {
        outer.push(Expr::Column(Column::from(old_schema.qualified_field(i))));
    }
    for (i, e) in a.aggr_expr.iter().enumerate() {
        let (relation, field) = old_schema.qualified_field(keys + i);
        match exact_average(e, &a.input) {
            None => {
                place(e.clone(), &mut inner);
                outer.push(Expr::Column(Column::from((relation, field))));
            }
            Some(params) => {
                let sum = Expr::AggregateFunction(AggregateFunction { func: super::pg_sum(), params: params.clone() });
                let count = Expr::AggregateFunction(AggregateFunction { func: count_udaf(), params });
                let columns = [&sum, &count].map(|e| Expr::Column(Column::new_unqualified(e.schema_name().to_string())));
                place(sum, &mut inner);
                place(count, &mut inner);
                let division = Expr::ScalarFunction(ScalarFunction::new_udf(finish(), columns.to_vec()));
                outer.push(division.alias_qualified(relation.cloned(), field.name()));
            }
        }
    }
    let aggregate = Aggregate::try_new(a.input, a.group_expr, inner)?;
    let plan = LogicalPlanBuilder::from(LogicalPlan::Aggregate(aggregate)).project(outer)?.build()?;
    Ok(Transformed::yes(plan))
}

fn is_grouping(e: &Expr) -> bool {
    match e {
        Expr::Alias(a) => is_grouping(&a.expr),
        Expr::AggregateFunction(f) => f.func.name() == "grouping",
        _ => false,
    }
}

/// The average that a window's expression is, if it is over integers or decimals.
fn exact_window(e: &Expr, input: &LogicalPlan) -> Option<Box<WindowFunction>> {
    let e = match e {
        Expr::Alias(a) => a.expr.as_ref(),
        e => e,
    };
    let Expr::WindowFunction(w) = e else { return None };
    let WindowFunctionDefinition::AggregateUDF(f) = &w.fun else { return None };
    let [arg] = w.params.args.as_slice() else { return None };
    let exact = f.name() == "avg" && arg.get_type(input.schema()).is_ok_and(|t| t.is_integer() || t.is_decimal());
    exact.then(|| w.clone())
}

fn split_window(w: Window) -> Result<Transformed<LogicalPlan>> {
    if !w.window_expr.iter().any(|e| exact_window(e, &w.input).is_some()) {
        return Ok(Transformed::no(LogicalPlan::Window(w)));
    }
    let (schema, before) = (w.schema.clone(), w.input.schema().fields().len());
    let mut inner: Vec<Expr> = vec![];
    let mut place = |e: Expr| {
        if !inner.iter().any(|i| i.schema_name().to_string() == e.schema_name().to_string()) {
            inner.push(e);
        }
    };
    let mut outer: Vec<Expr> = (0..before).map(|i| Expr::Column(Column::from(schema.qualified_field(i)))).collect();
    for (i, e) in w.window_expr.iter().enumerate() {
        let (relation, field) = schema.qualified_field(before + i);
        let Some(average) = exact_window(e, &w.input) else {
            place(e.clone());
            outer.push(Expr::Column(Column::from((relation, field))));
            continue;
        };
        let over =
            |f| Expr::WindowFunction(Box::new(WindowFunction { fun: WindowFunctionDefinition::AggregateUDF(f), ..*average.clone() }));
        let (sum, count) = (over(super::pg_sum()), over(count_udaf()));
        let columns = [&sum, &count].map(|e| Expr::Column(Column::new_unqualified(e.schema_name().to_string())));
        place(sum);
        place(count);
        let division = Expr::ScalarFunction(ScalarFunction::new_udf(finish(), columns.to_vec()));
        outer.push(division.alias_qualified(relation.cloned(), field.name()));
    }
    let window = LogicalPlan::Window(Window::try_new(inner, w.input)?);
    Ok(Transformed::yes(LogicalPlanBuilder::from(window).project(outer)?.build()?))
}
