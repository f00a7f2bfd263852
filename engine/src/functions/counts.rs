//! Lengths, dimensions, positions and row numbers as integers: DataFusion 55 counts in unsigned 64 bits, which only a numeric holds in Postgres; and an
//! empty array has neither length nor dimensions there.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions_nested::{cardinality, dimension, length, position};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, cast,
};

use crate::error::SqlError;

/// The functions of arrays, to be registered over DataFusion's.
pub(super) fn all() -> [Arc<ScalarUDF>; 4] {
    [
        (length::array_length_udf(), true),
        (dimension::array_ndims_udf(), true),
        (cardinality::cardinality_udf(), false),
        (position::array_position_udf(), false),
    ]
    .map(|(inner, no_empty)| Arc::new(ScalarUDF::new_from_impl(Count { inner, no_empty })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Count {
    inner: Arc<ScalarUDF>,
    /// NULL of an empty array.
    no_empty: bool,
}

impl ScalarUDFImpl for Count {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)?;
        Ok(Arc::new(Field::new(self.name(), DataType::Int32, true)))
    }
    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let list = args.args.first().cloned().ok_or_else(|| SqlError::internal(format!("{} of nothing", self.name())))?;
        let rows = args.number_rows;
        args.return_field = Arc::new(Field::new(self.name(), DataType::UInt64, true));
        let counted = self.inner.invoke_with_args(args)?;
        let one = matches!(counted, ColumnarValue::Scalar(_));
        let rows = if one { 1 } else { rows };
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let mut counts = cast_with_options(&counted.to_array(rows)?, &DataType::Int32, &strict)?;
        if self.no_empty {
            let list = list.to_array(rows)?;
            let counted = counts.as_primitive::<Int32Type>();
            let kept: Int32Array =
                (0..counted.len()).map(|i| (counted.is_valid(i) && !is_empty(&list, i)).then(|| counted.value(i))).collect();
            counts = Arc::new(kept);
        }
        Ok(if one { ColumnarValue::Scalar(ScalarValue::try_from_array(&counts, 0)?) } else { ColumnarValue::Array(counts) })
    }
}

fn is_empty(list: &ArrayRef, i: usize) -> bool {
    match list.data_type() {
        DataType::List(_) => list.as_list::<i32>().value_length(i) == 0,
        DataType::LargeList(_) => list.as_list::<i64>().value_length(i) == 0,
        _ => false,
    }
}

/// row_number, rank and dense_rank are bigints, ntile is an integer.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan
        .transform_up_with_subqueries(|plan| {
            let plan = plan.recompute_schema()?;
            let LogicalPlan::Window(w) = &plan else { return Ok(Transformed::no(plan)) };
            let before = w.input.schema().fields().len();
            let unsigned = |i: usize| i >= before && w.schema.field(i).data_type() == &DataType::UInt64;
            if !(0..w.schema.fields().len()).any(unsigned) {
                return Ok(Transformed::no(plan));
            }
            let outputs: Vec<Expr> = (0..w.schema.fields().len())
                .map(|i| {
                    let (relation, field) = w.schema.qualified_field(i);
                    let column = Expr::Column(Column::from((relation, field)));
                    if !unsigned(i) {
                        return column;
                    }
                    let to = if w.window_expr.get(i - before).is_some_and(is_ntile) { DataType::Int32 } else { DataType::Int64 };
                    cast(column, to).alias_qualified(relation.cloned(), field.name())
                })
                .collect();
            Ok(Transformed::yes(LogicalPlanBuilder::from(plan).project(outputs)?.build()?))
        })?
        .data)
}

fn is_ntile(e: &Expr) -> bool {
    match e {
        Expr::Alias(a) => is_ntile(&a.expr),
        Expr::WindowFunction(w) => w.fun.name() == "ntile",
        _ => false,
    }
}
