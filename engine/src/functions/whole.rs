//! Casts of floats and numerics to integers round: `fjord_round_to_integer(x)` and its kin.
//!
//! DataFusion 55 cuts the fraction off. Postgres rounds, a float to the nearest even on a tie (`rint`), a numeric away from zero, and raises 22003 where
//! the integer has no room (<https://www.postgresql.org/docs/15/datatype-numeric.html>).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{SqlError, SqlState};
use crate::pgtype::PgType;

/// To an integer of 16, 32 or 64 bits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Round {
    to: DataType,
    name: String,
    signature: Signature,
}

/// After type coercion: every such cast.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, schema| {
        let Expr::Cast(Cast { expr, field }) = &e else { return Ok(Transformed::no(e)) };
        let to = field.data_type();
        let from = expr.get_type(schema);
        if !matches!(to, DataType::Int16 | DataType::Int32 | DataType::Int64) || !from.is_ok_and(|t| t.is_floating() || t.is_decimal()) {
            return Ok(Transformed::no(e));
        }
        let name = format!("fjord_round_to_{}", PgType::of_arrow(to).sql_name);
        let round = Round { to: to.clone(), name, signature: Signature::any(1, Volatility::Immutable) };
        let function = Arc::new(ScalarUDF::new_from_impl(round));
        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr.as_ref().clone()]))))
    })
}

impl ScalarUDFImpl for Round {
    fn name(&self) -> &str {
        &self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }
    fn is_strict(&self) -> bool {
        true
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else { return Err(SqlError::internal(format!("{} takes one argument", self.name)).into()) };
        let scalar = matches!(value, ColumnarValue::Scalar(_));
        let out = self.round(&value.to_array(if scalar { 1 } else { args.number_rows })?)?;
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}

impl Round {
    fn round(&self, a: &ArrayRef) -> Result<ArrayRef> {
        let range = || {
            let name = PgType::of_arrow(&self.to).sql_name;
            SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
        };
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let whole: ArrayRef = if a.data_type().is_floating() {
            // 2^63 is a double, i64::MAX is not.
            const END: f64 = 9_223_372_036_854_775_808.0;
            let doubles = cast(a, &DataType::Float64)?;
            let mut whole = Vec::with_capacity(a.len());
            for v in doubles.as_primitive::<Float64Type>() {
                let rounded = v.map(f64::round_ties_even);
                if rounded.is_some_and(|v| !(-END..END).contains(&v)) {
                    return Err(range().into());
                }
                whole.push(rounded.map(|v| v as i64));
            }
            Arc::new(Int64Array::from(whole))
        } else {
            // To scale 0: Arrow rounds half away from zero there.
            let digits = match a.data_type() {
                DataType::Decimal256(..) => DataType::Decimal256(76, 0),
                _ => DataType::Decimal128(38, 0),
            };
            cast_with_options(a, &digits, &strict).map_err(|_| range())?
        };
        Ok(cast_with_options(&whole, &self.to, &strict).map_err(|_| range())?)
    }
}
