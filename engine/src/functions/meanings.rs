//! Functions that DataFusion has under the same name, and that do something else there.
//!
//! `length` of bytes counts the characters of their text form; `array_remove` and `array_replace` stop after the first element that is equal.

use std::sync::{Arc, LazyLock};

use arrow::compute::kernels::length::length;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::functions_nested::remove::array_remove_all_udf;
use datafusion::functions_nested::replace::array_replace_all_udf;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::SqlError;

/// Puts what is meant in their place.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|mut e, schema| {
        let Expr::ScalarFunction(f) = &mut e else { return Ok(Transformed::no(e)) };
        let meant = match f.func.name() {
            "character_length" | "octet_length" => match f.args.first().map(|a| a.get_type(schema)) {
                Some(Ok(DataType::Binary | DataType::LargeBinary)) => bytes(),
                _ => return Ok(Transformed::no(e)),
            },
            "array_remove" => array_remove_all_udf(),
            "array_replace" => array_replace_all_udf(),
            _ => return Ok(Transformed::no(e)),
        };
        f.func = meant;
        Ok(Transformed::yes(e))
    })
}

/// The number of bytes of a bytea; the rule above puts it in place of `length`.
pub(super) fn bytes() -> Arc<ScalarUDF> {
    static BYTES: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::uniform(1, vec![DataType::Binary, DataType::LargeBinary], Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Bytes { signature }))
    });
    BYTES.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bytes {
    signature: Signature,
}

impl ScalarUDFImpl for Bytes {
    fn name(&self) -> &str {
        "fjord_byte_length"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else { return Err(SqlError::internal("the length of nothing").into()) };
        let one = matches!(value, ColumnarValue::Scalar(_));
        let lengths = length(&value.to_array(if one { 1 } else { args.number_rows })?)?;
        let lengths = arrow::compute::cast(&lengths, &DataType::Int32)?;
        Ok(if one { ColumnarValue::Scalar(ScalarValue::try_from_array(&lengths, 0)?) } else { ColumnarValue::Array(lengths) })
    }
}
