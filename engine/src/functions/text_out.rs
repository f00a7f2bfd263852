//! Casts to text that print what Postgres prints: `fjord_text(x)`.
//!
//! DataFusion 55 writes an instant in ISO 8601 and in UTC (`2026-01-01T00:00:00Z`), a double as Rust does (`1e300` with 300 zeros) and a bytea as its
//! raw bytes. A cast to text, written or implied by `||`, goes through the writer that the wire uses, in the session's settings. Integers and
//! booleans stay casts: both write them alike, and a source takes over a cast.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, StringBuilder};
use arrow::datatypes::DataType;
use bytes::BytesMut;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast, lit,
    when,
};

use crate::error::SqlError;
use crate::values::{EncodeSettings, Format, Shape, cell, wire_type};

pub(super) fn text() -> Arc<ScalarUDF> {
    static TEXT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        // Stable: the session's zone and settings take part.
        Arc::new(ScalarUDF::new_from_impl(Text { signature: Signature::any(1, Volatility::Stable) }))
    });
    TEXT.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Text {
    signature: Signature,
}

impl ScalarUDFImpl for Text {
    fn name(&self) -> &str {
        "fjord_text"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }
    fn is_strict(&self) -> bool {
        true
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ([value], [field]) = (args.args.as_slice(), args.arg_fields.as_slice()) else {
            return Err(SqlError::internal("fjord_text takes one argument").into());
        };
        let scalar = matches!(value, ColumnarValue::Scalar(_));
        let array = value.to_array(if scalar { 1 } else { args.number_rows })?;
        let shape = Shape::of_field(field, wire_type(field), Format::Text);
        let cell = cell(&array, &shape, &EncodeSettings::of_options(&args.config_options))?;
        let mut out = StringBuilder::with_capacity(array.len(), array.len() * 16);
        let mut text = BytesMut::new();
        for i in 0..array.len() {
            if cell.is_null(i) {
                out.append_null();
                continue;
            }
            text.clear();
            cell.put(i, &mut text)?;
            let text = std::str::from_utf8(&text).map_err(|_| SqlError::internal("a value was written as bytes that are no text"))?;
            out.append_value(text);
        }
        let out = out.finish();
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(Arc::new(out)) })
    }
}

/// After type coercion: every cast to text.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, schema| {
        let Expr::Cast(Cast { expr, field }) = &e else { return Ok(Transformed::no(e)) };
        let to = field.data_type();
        if !is_text(to) || !expr.get_type(schema).is_ok_and(|from| is_written(&from)) {
            return Ok(Transformed::no(e));
        }
        let written = Expr::ScalarFunction(ScalarFunction::new_udf(text(), vec![expr.as_ref().clone()]));
        Ok(Transformed::yes(if *to == DataType::Utf8 { written } else { cast(written, to.clone()) }))
    })
}

/// Before it: `concat` and `concat_ws` write a boolean as its output function does (`t`), while a cast writes `true`.
pub(super) fn short_booleans(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|mut e, schema| {
        let Expr::ScalarFunction(f) = &mut e else { return Ok(Transformed::no(e)) };
        if !["concat", "concat_ws"].contains(&f.func.name()) {
            return Ok(Transformed::no(e));
        }
        let mut changed = false;
        for a in &mut f.args {
            if a.get_type(schema).is_ok_and(|t| t == DataType::Boolean) {
                let value = std::mem::take(a);
                *a = when(value.clone(), lit("t")).when(Expr::Not(Box::new(value)), lit("f")).end()?;
                changed = true;
            }
        }
        Ok(if changed { Transformed::yes(e) } else { Transformed::no(e) })
    })
}

pub(super) fn is_text(t: &DataType) -> bool {
    matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Types that DataFusion would write otherwise than Postgres.
fn is_written(t: &DataType) -> bool {
    use DataType as T;
    t.is_floating()
        || t.is_decimal()
        || t.is_temporal()
        || matches!(t, T::Interval(_) | T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) | T::Struct(_) | T::Map(..))
        || matches!(t, T::List(_) | T::LargeList(_) | T::FixedSizeList(..) | T::ListView(_) | T::LargeListView(_))
}
