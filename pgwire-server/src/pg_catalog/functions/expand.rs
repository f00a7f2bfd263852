//! `fjord_expandarray(array)`: a list of the composites `(x, n)` of which `information_schema._pg_expandarray` makes a set. pgjdbc asks for keys by it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use fjord_engine::error::{SqlError, SqlState};

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ExpandArray {
    signature: Signature,
}

impl ExpandArray {
    pub(super) fn new() -> ExpandArray {
        ExpandArray { signature: Signature::any(1, Volatility::Immutable) }
    }
}

fn composite(element: &DataType) -> Fields {
    Fields::from(vec![Field::new("x", element.clone(), true), Field::new("n", DataType::Int32, true)])
}

fn item(element: &DataType) -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(composite(element)), true))
}

fn element(list: &DataType) -> DfResult<&DataType> {
    match list {
        DataType::List(item) => Ok(item.data_type()),
        other => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function _pg_expandarray of {other} does not exist"))
            .hint("It takes an array.")
            .into()),
    }
}

impl ScalarUDFImpl for ExpandArray {
    fn name(&self) -> &str {
        "fjord_expandarray"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::List(item(element(types.first().unwrap_or(&DataType::Null))?)))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let [column] = args.args.as_slice() else { return Err(SqlError::internal("_pg_expandarray takes one argument").into()) };
        let column: ArrayRef = column.to_array(args.number_rows)?;
        let element = element(column.data_type())?.clone();
        let list = column.as_list::<i32>();
        let numbers: Int32Array = (0..list.len()).flat_map(|i| 1..=list.value_length(i)).collect();
        // The numbers are made for the rows that this array shows: its values may begin further on.
        let (first, last) = (list.value_offsets().first().copied().unwrap_or(0), list.value_offsets().last().copied().unwrap_or(0));
        let offset = |o: i32| usize::try_from(o).map_err(|_| SqlError::internal("a negative offset"));
        let values = list.values().slice(offset(first)?, offset(last - first)?);
        let offsets = arrow::buffer::OffsetBuffer::from_lengths((0..list.len()).map(|i| offset(list.value_length(i)).unwrap_or(0)));
        let composites = StructArray::try_new(composite(&element), vec![values, Arc::new(numbers)], None)?;
        let out = ListArray::try_new(item(&element), offsets, Arc::new(composites), list.nulls().cloned())?;
        Ok(ColumnarValue::Array(Arc::new(out)))
    }
}
