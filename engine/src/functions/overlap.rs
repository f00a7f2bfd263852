//! `a && b` of arrays: whether they have an element in common. NULL elements have no equal, and a NULL array gives NULL, as in Postgres; DataFusion's
//! `array_has_any`, which keeps its own name and meaning, finds NULL in both.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray};
use arrow::compute::{cast, unary};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast as cast_to,
};
use sqlparser::ast::BinaryOperator;

/// The name of the function that the operator becomes.
pub const OVERLAP: &str = "fjord_array_overlap";
/// So many pairs are compared one by one; more are looked up.
const PAIRS_MAX: usize = 64;

/// Plans `a && b` where one side is an array.
#[derive(Debug)]
pub(crate) struct ArrayOperators;

impl ExprPlanner for ArrayOperators {
    fn plan_binary_op(&self, e: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if e.op != BinaryOperator::PGOverlap {
            return Ok(PlannerResult::Original(e));
        }
        let (left, right) = (e.left.get_type(schema)?, e.right.get_type(schema)?);
        let untyped = |e: &Expr| matches!(e, Expr::Literal(v, m) if m.is_none() && (v.data_type().is_string() || v.is_null()));
        let args = match (&left, &right) {
            (DataType::List(_), DataType::List(_)) => vec![e.left, e.right],
            (DataType::List(_), _) if untyped(&e.right) => vec![e.left, cast_to(e.right, left)],
            (_, DataType::List(_)) if untyped(&e.left) => vec![cast_to(e.left, right), e.right],
            _ => return Ok(PlannerResult::Original(e)),
        };
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(function(), args))))
    }
}

/// The function, to be registered.
pub(super) fn function() -> Arc<ScalarUDF> {
    static ONE: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Overlap { signature: Signature::user_defined(Volatility::Immutable) })));
    ONE.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Overlap {
    signature: Signature,
}

impl ScalarUDFImpl for Overlap {
    fn name(&self) -> &str {
        OVERLAP
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [DataType::List(a), DataType::List(b)] = types else { return plan_err!("the operator && takes two arrays") };
        if a.data_type().equals_datatype(b.data_type()) {
            return Ok(types.to_vec());
        }
        let Some(common) = comparison_coercion(a.data_type(), b.data_type()) else {
            return plan_err!("the operator && takes two arrays of one type, not of {} and {}", a.data_type(), b.data_type());
        };
        Ok(vec![DataType::List(Arc::new(Field::new_list_field(common, true))); 2])
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let one = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else { return plan_err!("the operator && takes two arrays") };
        let found: ArrayRef = Arc::new(overlaps(left.as_list(), right.as_list())?);
        Ok(match one {
            true => ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&found, 0)?),
            false => ColumnarValue::Array(found),
        })
    }
}

fn overlaps(left: &ListArray, right: &ListArray) -> Result<BooleanArray> {
    let (a, b) = (comparable(left.values()), comparable(right.values()));
    let b = if a.data_type() == b.data_type() { b } else { cast(&b, a.data_type())? };
    let converter = RowConverter::new(vec![SortField::new(a.data_type().clone())])?;
    let (of_a, of_b) = (converter.convert_columns(std::slice::from_ref(&a))?, converter.convert_columns(std::slice::from_ref(&b))?);
    let range = |list: &ListArray, i: usize| list.value_offsets()[i] as usize..list.value_offsets()[i + 1] as usize;
    Ok((0..left.len())
        .map(|i| (left.is_valid(i) && right.is_valid(i)).then(|| meet((&a, &of_a, range(left, i)), (&b, &of_b, range(right, i)))))
        .collect())
}

type Part<'a> = (&'a ArrayRef, &'a Rows, Range<usize>);

fn meet((a, of_a, left): Part<'_>, (b, of_b, right): Part<'_>) -> bool {
    let some = |array: &ArrayRef, at: &Range<usize>| at.clone().filter(|i| array.is_valid(*i)).collect::<Vec<_>>();
    let (left, right) = (some(a, &left), some(b, &right));
    if left.len() * right.len() <= PAIRS_MAX {
        return left.iter().any(|l| right.iter().any(|r| of_a.row(*l) == of_b.row(*r)));
    }
    let known: HashSet<_> = left.iter().map(|l| of_a.row(*l)).collect();
    right.iter().any(|r| known.contains(&of_b.row(*r)))
}

/// Floats so that equal ones have the same bits: 0.0 is -0.0, and one NaN is another.
fn comparable(values: &ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Float32 => {
            let plain = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(unary::<Float32Type, _, Float32Type>(values.as_primitive(), plain))
        }
        DataType::Float64 => {
            let plain = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(unary::<Float64Type, _, Float64Type>(values.as_primitive(), plain))
        }
        _ => values.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::Float64Array;
    use arrow::datatypes::Int32Type;

    #[test]
    fn null_elements_have_no_equal_and_null_arrays_give_null() {
        let many = Some((0..40).map(Some).collect::<Vec<_>>());
        let list = |rows: Vec<Option<Vec<Option<i32>>>>| ListArray::from_iter_primitive::<Int32Type, _, _>(rows);
        let left = list(vec![Some(vec![Some(1), Some(2)]), Some(vec![None]), Some(vec![]), None, many.clone(), Some(vec![Some(99)])]);
        let right =
            list(vec![Some(vec![Some(2), None]), Some(vec![None]), Some(vec![Some(1)]), many.clone(), Some(vec![Some(39); 9]), many]);
        let found = overlaps(&left, &right).unwrap();
        assert_eq!(found, BooleanArray::from(vec![Some(true), Some(false), Some(false), None, Some(true), Some(false)]));
        // A slice begins elsewhere.
        assert_eq!(overlaps(&left.slice(4, 2), &right.slice(4, 2)).unwrap(), BooleanArray::from(vec![true, false]));
    }

    #[test]
    fn zeros_and_nans_are_one_value_each() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, -f64::NAN, 1.5]));
        let bits: Vec<u64> = comparable(&values).as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, [0.0f64.to_bits(), f64::NAN.to_bits(), 1.5f64.to_bits()]);
    }
}
