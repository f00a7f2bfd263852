//! One zero and one NaN: where DataFusion tells floats apart by their bits, and Postgres by their value.
//!
//! DataFusion 55 takes -0.0 and 0.0 for one value in `=`, joins and grouping, and for two in the keys of a window and in COUNT(DISTINCT x), where that is
//! not alone in its SELECT (alone it becomes a grouping), and within arrays and rows; likewise two NaN with other sign bits. There the value goes
//! through a function that leaves one zero and one NaN. `NULLIF(a, b)` over floats is the comparison that it stands for.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, LargeListArray, ListArray, StructArray};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    Window, when,
};

use super::is_comparison;
use crate::error::SqlError;

/// Folds the floats of window keys and of DISTINCT aggregates in a plan. Repeating it changes nothing.
pub(crate) fn fold(plan: LogicalPlan) -> Result<LogicalPlan> {
    let done = plan.transform_up_with_subqueries(|p| match p {
        LogicalPlan::Aggregate(a) => {
            let exprs = a.aggr_expr.iter().map(|e| with_keys(e, a.input.schema())).collect::<Result<Vec<_>>>()?;
            if exprs == a.aggr_expr {
                return Ok(Transformed::no(LogicalPlan::Aggregate(a)));
            }
            let folded = Aggregate::try_new_with_schema(a.input, a.group_expr, exprs, a.schema)?;
            Ok(Transformed::yes(LogicalPlan::Aggregate(folded)))
        }
        LogicalPlan::Window(w) => {
            let exprs = w.window_expr.iter().map(|e| with_keys(e, w.input.schema())).collect::<Result<Vec<_>>>()?;
            if exprs == w.window_expr {
                return Ok(Transformed::no(LogicalPlan::Window(w)));
            }
            Ok(Transformed::yes(LogicalPlan::Window(Window::try_new_with_schema(exprs, w.input, w.schema)?)))
        }
        p => Ok(Transformed::no(p)),
    })?;
    Ok(done.data)
}

/// The function with its keys folded, under the name that it has.
fn with_keys(e: &Expr, schema: &DFSchema) -> Result<Expr> {
    let mut changed = false;
    let mut fold = |key: &mut Expr| {
        if key.get_type(schema).is_ok_and(|t| t.is_floating()) && !is_folded(key) {
            *key = Expr::ScalarFunction(ScalarFunction::new_udf(FOLDED.clone(), vec![key.clone()]));
            changed = true;
        }
    };
    let name = e.schema_name().to_string();
    let mut inner = e.clone();
    while let Expr::Alias(a) = inner {
        inner = *a.expr;
    }
    match &mut inner {
        Expr::AggregateFunction(AggregateFunction { params, .. }) if params.distinct => params.args.iter_mut().for_each(&mut fold),
        Expr::WindowFunction(w) => {
            let WindowFunction { params, .. } = w.as_mut();
            params.partition_by.iter_mut().for_each(&mut fold);
            params.order_by.iter_mut().for_each(|s| fold(&mut s.expr));
        }
        _ => {}
    }
    Ok(if changed { inner.alias(name) } else { e.clone() })
}

fn is_folded(e: &Expr) -> bool {
    matches!(e, Expr::ScalarFunction(f) if f.func.name() == FOLDED.name())
}

/// `NULLIF(a, b)` of floats as `CASE WHEN a = b THEN NULL ELSE a END`.
pub(super) fn nullif(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, schema| {
        let Expr::ScalarFunction(f) = &e else { return Ok(Transformed::no(e)) };
        let [a, b] = f.args.as_slice() else { return Ok(Transformed::no(e)) };
        let ty = a.get_type(schema)?;
        if f.func.name() != "nullif" || !ty.is_floating() {
            return Ok(Transformed::no(e));
        }
        let null = Expr::Literal(ScalarValue::try_from(&ty)?, None);
        Ok(Transformed::yes(when(a.clone().eq(b.clone()), null).otherwise(a.clone())?))
    })
}

/// Comparisons of arrays and rows that hold floats, and the search for a float in an array.
pub(super) fn elements(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|mut e, schema| {
        let holds = |e: &Expr, test: fn(&DataType) -> bool| e.get_type(schema).is_ok_and(|t| test(&t));
        let sides: Vec<&mut Expr> = match &mut e {
            Expr::BinaryExpr(b) if is_comparison(b.op) && holds(&b.left, within) => vec![b.left.as_mut(), b.right.as_mut()],
            Expr::InList(l) if holds(&l.expr, within) => std::iter::once(l.expr.as_mut()).chain(l.list.iter_mut()).collect(),
            Expr::ScalarFunction(f) if f.func.name().starts_with("array_has") && f.args.first().is_some_and(|a| holds(a, within)) => {
                f.args.iter_mut().collect()
            }
            _ => return Ok(Transformed::no(e)),
        };
        let mut changed = false;
        for side in sides {
            if !is_folded(side) && holds(side, |t| t.is_floating() || within(t)) {
                *side = Expr::ScalarFunction(ScalarFunction::new_udf(FOLDED.clone(), vec![std::mem::take(side)]));
                changed = true;
            }
        }
        Ok(if changed { Transformed::yes(e) } else { Transformed::no(e) })
    })
}

/// An array or a row with floats somewhere in it.
fn within(t: &DataType) -> bool {
    let floats = |f: &FieldRef| f.data_type().is_floating() || within(f.data_type());
    match t {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => floats(f),
        DataType::Struct(fields) => fields.iter().any(floats),
        _ => false,
    }
}

static FOLDED: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Folded { signature: Signature::any(1, Volatility::Immutable) })));

/// `fjord_folded(x)`: 0.0 for either zero, one NaN for all.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Folded {
    signature: Signature,
}

impl ScalarUDFImpl for Folded {
    fn name(&self) -> &str {
        "fjord_folded"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        args.first().cloned().ok_or_else(|| SqlError::internal("fjord_folded takes an argument").into())
    }
    fn is_strict(&self) -> bool {
        true
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else { return Err(SqlError::internal("fjord_folded takes one argument").into()) };
        let scalar = matches!(value, ColumnarValue::Scalar(_));
        let out = folded(&value.to_array(if scalar { 1 } else { args.number_rows })?)?;
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}

fn folded(values: &ArrayRef) -> Result<ArrayRef> {
    // -0.0 + 0.0 is 0.0.
    Ok(match values.data_type() {
        DataType::Float64 => {
            Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }))
        }
        DataType::Float32 => {
            Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }))
        }
        DataType::List(_) => {
            let (field, offsets, items, nulls) = values.as_list::<i32>().clone().into_parts();
            Arc::new(ListArray::try_new(field, offsets, folded(&items)?, nulls)?)
        }
        DataType::LargeList(_) => {
            let (field, offsets, items, nulls) = values.as_list::<i64>().clone().into_parts();
            Arc::new(LargeListArray::try_new(field, offsets, folded(&items)?, nulls)?)
        }
        DataType::FixedSizeList(..) => {
            let (field, size, items, nulls) = values.as_fixed_size_list().clone().into_parts();
            Arc::new(FixedSizeListArray::try_new(field, size, folded(&items)?, nulls)?)
        }
        DataType::Struct(_) => {
            let (fields, columns, nulls) = values.as_struct().clone().into_parts();
            let columns = columns.iter().map(folded).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields, columns, nulls)?)
        }
        _ => values.clone(),
    })
}
