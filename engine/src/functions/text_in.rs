//! Casts from text as Postgres's input functions read it: `fjord_date_in(text)` and its kin.
//!
//! DataFusion 55 reads dates and numbers with Arrow's parsers: `'2025-11-01+00'`, a time without seconds, `infinity` or a blank around a number are
//! errors there. A cast of text to a type that has its own input function here becomes a call of it, with Postgres's words where the text does not
//! fit (22007, 22008, 22P02, 22003). A literal is read when the statement is planned.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};

use super::text_out::is_text;
use crate::error::{SqlError, SqlState};
use crate::pgtype::{self, PG_TYPE, PgType};
use crate::values::{EncodeSettings, decode};

/// Types that are held as text and have a canonical spelling.
const CANONICAL: &[PgType] =
    &[pgtype::UUID, pgtype::JSON, pgtype::JSONB, pgtype::INET, pgtype::CIDR, pgtype::MACADDR, pgtype::MACADDR8, pgtype::TIMETZ];

/// The input function of a type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Input {
    pg: PgType,
    /// What it gives: [`PgType::to_arrow`], or a decimal of another precision.
    to: DataType,
    name: String,
    signature: Signature,
}

impl Input {
    fn function(pg: PgType, to: DataType) -> Arc<ScalarUDF> {
        // `now` and `today` are dates, and an instant without zone is one of the session's.
        let stable = matches!(to, DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..)) || pg == pgtype::TIMETZ;
        let signature = Signature::any(1, if stable { Volatility::Stable } else { Volatility::Immutable });
        Arc::new(ScalarUDF::new_from_impl(Input { pg, to, name: format!("fjord_{}_in", pg.name), signature }))
    }

    fn read(&self, text: &str, settings: &EncodeSettings) -> Result<ScalarValue> {
        let value = decode::from_text(self.pg, text, settings)?;
        fit(value, &self.to)
    }
}

/// A value in the type of its column; only numerics can fail to fit.
fn fit(value: ScalarValue, to: &DataType) -> Result<ScalarValue> {
    if value.data_type() == *to {
        return Ok(value);
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    value.cast_to_with_options(to, &options).map_err(|_| {
        let e = SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow");
        match to {
            DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => e.detail(format!(
                "A field with precision {p}, scale {s} must round to an absolute value less than 10^{}.",
                i32::from(*p) - i32::from(*s)
            )),
            _ => e,
        }
        .into()
    })
}

impl ScalarUDFImpl for Input {
    fn name(&self) -> &str {
        &self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(if PgType::of_arrow(&self.to) == self.pg {
            Field::new(self.name(), self.to.clone(), nullable)
        } else {
            pgtype::field(self.name(), self.to.clone(), nullable, self.pg)
        }))
    }
    fn is_strict(&self) -> bool {
        true
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let settings = EncodeSettings::of_options(&args.config_options);
        let [value] = args.args.as_slice() else { return Err(SqlError::internal(format!("{} takes one argument", self.name)).into()) };
        match value {
            ColumnarValue::Scalar(s) => Ok(ColumnarValue::Scalar(match s.try_as_str().flatten() {
                Some(text) => self.read(text, &settings)?,
                None => ScalarValue::try_from(&self.to)?,
            })),
            ColumnarValue::Array(a) => {
                let mut values = Vec::with_capacity(a.len());
                for text in texts(a)? {
                    values.push(match text {
                        Some(text) => self.read(text, &settings)?,
                        None => ScalarValue::try_from(&self.to)?,
                    });
                }
                Ok(ColumnarValue::Array(if values.is_empty() {
                    arrow::array::new_empty_array(&self.to)
                } else {
                    ScalarValue::iter_to_array(values)?
                }))
            }
        }
    }
}

/// The texts of an array of any of the text types.
pub(super) fn texts(a: &ArrayRef) -> Result<Box<dyn Iterator<Item = Option<&str>> + '_>> {
    Ok(match a.data_type() {
        DataType::Utf8 => Box::new(a.as_string::<i32>().iter()),
        DataType::LargeUtf8 => Box::new(a.as_string::<i64>().iter()),
        DataType::Utf8View => Box::new(a.as_string_view().iter()),
        other => return Err(SqlError::internal(format!("text is expected, not {other}")).into()),
    })
}

/// Every cast from text, after type coercion.
pub(super) fn rewrite(plan: LogicalPlan, settings: &EncodeSettings) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, schema| rewrite_one(e, schema, settings))
}

fn rewrite_one(e: Expr, schema: &DFSchema, settings: &EncodeSettings) -> Result<Transformed<Expr>> {
    let Expr::Cast(Cast { expr, field }) = &e else { return Ok(Transformed::no(e)) };
    let Ok((_, from)) = expr.to_field(schema) else { return Ok(Transformed::no(e)) };
    if !is_text(from.data_type()) {
        return Ok(Transformed::no(e));
    }
    if let Expr::Literal(value, _) = expr.as_ref()
        && let Some(text) = value.try_as_str().flatten()
    {
        return Ok(literal(text, &from, field, settings)?.map_or_else(|| Transformed::no(e), Transformed::yes));
    }
    Ok(match target(&from, field) {
        Some(pg) => Transformed::yes(call(pg, field, expr.as_ref().clone())),
        None => Transformed::no(e),
    })
}

fn call(pg: PgType, field: &Field, text: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Input::function(pg, field.data_type().clone()), vec![text]))
}

/// A text literal in the type of a field; `None` where the type has no input function here. As in Postgres a wrong one is an error of the statement,
/// met or not.
pub(super) fn literal(text: &str, from: &Field, to: &Field, settings: &EncodeSettings) -> Result<Option<Expr>> {
    let Some(pg) = target(from, to) else { return Ok(None) };
    if names_a_moment(pg, text) {
        return Ok(Some(call(pg, to, lit(text))));
    }
    let value = fit(decode::from_text(pg, text, settings)?, to.data_type())?;
    let metadata =
        (PgType::of_arrow(to.data_type()) != pg).then(|| FieldMetadata::from(&pgtype::field("", to.data_type().clone(), true, pg)));
    Ok(Some(Expr::Literal(value, metadata)))
}

/// `now`, `today` and their kin: read each time that the statement runs.
fn names_a_moment(pg: PgType, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [pgtype::DATE, pgtype::TIME, pgtype::TIMETZ, pgtype::TIMESTAMP, pgtype::TIMESTAMPTZ].contains(&pg)
        && ["now", "today", "tomorrow", "yesterday"].iter().any(|w| text.contains(w))
}

/// The type whose input function reads a cast; `None` where the cast stays what it is.
fn target(from: &Field, to: &Field) -> Option<PgType> {
    use DataType as T;
    match to.data_type() {
        T::Utf8 => {
            let (from, to) = (PgType::of(from), to.metadata().get(PG_TYPE).and_then(|n| PgType::by_name(n))?);
            (from != to && CANONICAL.contains(&to)).then_some(to)
        }
        T::Boolean | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Binary | T::Date32 => {
            Some(PgType::of_arrow(to.data_type()))
        }
        T::Decimal128(..) | T::Decimal256(..) => Some(pgtype::NUMERIC),
        T::Time64(TimeUnit::Microsecond) | T::Timestamp(TimeUnit::Microsecond, _) | T::Interval(IntervalUnit::MonthDayNano) => {
            Some(PgType::of_arrow(to.data_type()))
        }
        // `'{1,2}'::int[]`.
        T::List(_) => Some(PgType::of(to)).filter(|pg| pg.element().is_some() && pg.to_arrow() == *to.data_type()),
        _ => None,
    }
}
