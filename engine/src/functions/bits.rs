//! `~x`: the integer with every bit turned over, written as `x # -1`, which a source takes over.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::compute::kernels::bitwise::bitwise_not;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{SqlError, SqlState};
use crate::pgtype::PgType;

/// What the operator becomes on the syntax tree.
pub(crate) const NOT_BITS: &str = "fjord_not_bits";

/// The function, to be registered.
pub(super) fn not_bits() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(NotBits { signature: Signature::user_defined(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NotBits {
    signature: Signature,
}

/// -1 of an integer type.
fn all_ones(t: &DataType) -> Result<ScalarValue> {
    ScalarValue::Int64(Some(-1)).cast_to(t)
}

impl ScalarUDFImpl for NotBits {
    fn name(&self) -> &str {
        NOT_BITS
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [t @ (DataType::Int16 | DataType::Int32 | DataType::Int64)] => Ok(vec![t.clone()]),
            [t] if t.is_string() || t.is_null() => Ok(vec![DataType::Int32]),
            other => {
                let name = other.first().map_or("nothing", |t| PgType::of_arrow(t).sql_name);
                Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: ~ {name}"))
                    .hint("It takes an integer. You might need to add an explicit type cast.")
                    .into())
            }
        }
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| SqlError::internal("~ of nothing").into())
    }
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let [x] = args.as_slice() else { return Ok(ExprSimplifyResult::Original(args)) };
        let ones = Expr::Literal(all_ones(&info.get_data_type(x)?)?, None);
        Ok(ExprSimplifyResult::Simplified(Expr::BinaryExpr(BinaryExpr::new(Box::new(x.clone()), Operator::BitwiseXor, Box::new(ones)))))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [x] = args.args.as_slice() else { return Err(SqlError::internal("~ takes one argument").into()) };
        let one = matches!(x, ColumnarValue::Scalar(_));
        // Of a bigint: turning over the bits of a narrower integer gives the same number.
        let wide = cast(&x.to_array(if one { 1 } else { args.number_rows })?, &DataType::Int64)?;
        let bits = cast(&bitwise_not(wide.as_primitive::<Int64Type>())?, &x.data_type())?;
        Ok(if one { ColumnarValue::Scalar(ScalarValue::try_from_array(&bits, 0)?) } else { ColumnarValue::Array(bits) })
    }
}
