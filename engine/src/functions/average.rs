//! `avg` over integers and numerics: a sum and a count, divided at the end.
//!
//! Postgres gives numeric, DataFusion a double (integers) or four digits more (decimals). Split like this the sum and the count push into a source
//! exactly, and the division is ours in both cases: at least 16 digits after the point, rounded half away from zero as `numeric_div` does.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Builder, Decimal256Builder};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Int64Type, i256};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, Window, WindowFunctionDefinition,
};

use crate::error::{SqlError, SqlState};

/// Digits after the point, at least (NUMERIC_MIN_SIG_DIGITS of Postgres's numeric.c).
const SCALE_MIN: i8 = 16;

pub(super) fn finish() -> Arc<ScalarUDF> {
    static FINISH: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Finish { signature: Signature::any(2, Volatility::Immutable) })));
    FINISH.clone()
}

/// `fjord_avg(sum, count)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Finish {
    signature: Signature,
}

fn result_type(sum: &DataType) -> Result<DataType> {
    Ok(match sum {
        // A sum of integers: 19 digits before the point and 16 after fit.
        DataType::Int64 | DataType::Decimal128(_, 0) => DataType::Decimal128(38, SCALE_MIN),
        DataType::Decimal128(_, s) if *s <= SCALE_MIN => DataType::Decimal256(76, SCALE_MIN),
        DataType::Decimal128(_, s) | DataType::Decimal256(_, s) => DataType::Decimal256(76, (*s).max(SCALE_MIN)),
        other => return Err(SqlError::internal(format!("fjord_avg over {other}")).into()),
    })
}

impl ScalarUDFImpl for Finish {
    fn name(&self) -> &str {
        "fjord_avg"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        args.first().map_or_else(|| Err(SqlError::internal("fjord_avg without arguments").into()), result_type)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let target = args.return_type().clone();
        let all_scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [sum, count] = arrays.as_slice() else { return Err(SqlError::internal("fjord_avg takes two arguments").into()) };
        let out = divide(sum, count, &target)?;
        Ok(if all_scalar {
            ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&out, 0)?)
        } else {
            ColumnarValue::Array(out)
        })
    }
}

fn divide(sum: &ArrayRef, count: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let counts = count
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(|| SqlError::internal(format!("fjord_avg: the count is {}", count.data_type())))?;
    let (scale, target_scale) = match (sum.data_type(), target) {
        (DataType::Decimal128(_, s) | DataType::Decimal256(_, s), DataType::Decimal128(_, t) | DataType::Decimal256(_, t)) => (*s, *t),
        (_, DataType::Decimal128(_, t)) => (0, *t),
        _ => return Err(SqlError::internal(format!("fjord_avg over {}", sum.data_type())).into()),
    };
    let value = |i: usize| -> Option<i256> {
        if sum.is_null(i) || counts.is_null(i) || counts.value(i) == 0 {
            return None;
        }
        match sum.data_type() {
            DataType::Int64 => Some(i256::from_i128(i128::from(sum.as_primitive::<Int64Type>().value(i)))),
            DataType::Decimal128(..) => Some(i256::from_i128(sum.as_primitive::<Decimal128Type>().value(i))),
            _ => Some(sum.as_primitive::<Decimal256Type>().value(i)),
        }
    };
    let up = i256::from_i128(10).wrapping_pow(u32::try_from(target_scale - scale).unwrap_or(0));
    let overflow = || SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow in avg");
    let quotient = |v: i256, n: i64| -> Result<i256> {
        let n = i256::from_i128(i128::from(n));
        let v = v.checked_mul(up).ok_or_else(overflow)?;
        let (q, r) = (v.wrapping_div(n), v.wrapping_rem(n));
        let twice = r.wrapping_abs().wrapping_mul(i256::from_i128(2));
        Ok(if twice >= n { if v.is_negative() { q.wrapping_sub(i256::ONE) } else { q.wrapping_add(i256::ONE) } } else { q })
    };
    match target {
        DataType::Decimal128(p, s) => {
            let mut b = Decimal128Builder::with_capacity(sum.len()).with_precision_and_scale(*p, *s)?;
            for i in 0..sum.len() {
                match value(i) {
                    None => b.append_null(),
                    Some(v) => b.append_value(quotient(v, counts.value(i))?.to_i128().ok_or_else(overflow)?),
                }
            }
            Ok(Arc::new(b.finish()))
        }
        DataType::Decimal256(p, s) => {
            let mut b = Decimal256Builder::with_capacity(sum.len()).with_precision_and_scale(*p, *s)?;
            for i in 0..sum.len() {
                match value(i) {
                    None => b.append_null(),
                    Some(v) => b.append_value(quotient(v, counts.value(i))?),
                }
            }
            Ok(Arc::new(b.finish()))
        }
        other => Err(SqlError::internal(format!("fjord_avg to {other}")).into()),
    }
}

/// Splits every avg over integers and decimals of a plan's aggregates and windows. Averages of doubles stay.
pub(super) fn split(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan
        .transform_up_with_subqueries(|plan| {
            let plan = plan.recompute_schema()?;
            match plan {
                LogicalPlan::Aggregate(a) => split_one(a),
                LogicalPlan::Window(w) => split_window(w),
                other => Ok(Transformed::no(other)),
            }
        })?
        .data)
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
