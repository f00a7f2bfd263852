//! `fjord_typed(x, 'name')`: x, announced as this Postgres type. The value stays as it is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use fjord_engine::pgtype::PG_TYPE;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Typed {
    signature: Signature,
}

impl Typed {
    pub(super) fn new() -> Typed {
        Typed { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Typed {
    fn name(&self) -> &str {
        "fjord_typed"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let data_type = args.arg_fields.first().map_or(DataType::Null, |f| f.data_type().clone());
        let name = match args.scalar_arguments.get(1) {
            Some(Some(ScalarValue::Utf8(Some(n)))) => Some(n.clone()),
            _ => None,
        };
        let metadata: HashMap<String, String> = name.into_iter().map(|n| (PG_TYPE.to_string(), n)).collect();
        Ok(Arc::new(Field::new(self.name(), data_type, true).with_metadata(metadata)))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Ok(args.args.into_iter().next().unwrap_or(ColumnarValue::Scalar(ScalarValue::Null)))
    }
}
