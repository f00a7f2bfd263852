//! `x AT TIME ZONE zone`, which is `timezone(zone, x)`: the wall clock of an instant in a zone, or the instant of a wall clock there.
//!
//! DataFusion 55 gives an instant another zone to be printed in, so it stays the instant; and a wall clock is read in the session's zone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::error::{SqlError, SqlState};
use crate::values::Zone;

/// The name of the function, which stands for the operator.
pub(crate) const NAME: &str = "timezone";

const USECS_PER_SEC: i64 = 1_000_000;

/// The function, to be registered.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(AtZone { signature: Signature::user_defined(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AtZone {
    signature: Signature,
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn clock() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

impl ScalarUDFImpl for AtZone {
    fn name(&self) -> &str {
        NAME
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [zone, time] = types else { return Err(none(types).into()) };
        if !zone.is_string() && !zone.is_null() {
            return Err(none(types).into());
        }
        let time = match time {
            DataType::Timestamp(_, None) => clock(),
            // A day is its midnight in the session's zone.
            DataType::Timestamp(_, Some(_)) | DataType::Date32 | DataType::Date64 => instant(),
            t if t.is_string() || t.is_null() => instant(),
            _ => return Err(none(types).into()),
        };
        Ok(vec![DataType::Utf8, time])
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(if types.get(1) == Some(&clock()) { instant() } else { clock() })
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let one = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if one { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let [zones, times] = arrays.as_slice() else { return Err(SqlError::internal("timezone takes two arguments").into()) };
        let out = converted(zones, times)?;
        Ok(if one { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}

fn converted(zones: &ArrayRef, times: &ArrayRef) -> Result<ArrayRef> {
    let from_instant = times.data_type() == &instant();
    let (zones, times) = (zones.as_string::<i32>(), times.as_primitive::<TimestampMicrosecondType>());
    let mut last: Option<(&str, Zone)> = None;
    let mut out = Vec::with_capacity(times.len());
    for i in 0..times.len() {
        if zones.is_null(i) || times.is_null(i) {
            out.push(None);
            continue;
        }
        let zone = match last {
            Some((name, zone)) if name == zones.value(i) => zone,
            _ => named(zones.value(i))?,
        };
        last = Some((zones.value(i), zone));
        let time = times.value(i);
        let seconds = time.div_euclid(USECS_PER_SEC);
        out.push(match (time, from_instant) {
            // The infinities.
            (i64::MIN | i64::MAX, _) => Some(time),
            (_, true) => shifted(time, zone.offset_at(seconds))?,
            (_, false) => shifted(time, -zone.offset_of_local(seconds))?,
        });
    }
    let out = TimestampMicrosecondArray::from(out);
    Ok(Arc::new(if from_instant { out } else { out.with_timezone("UTC") }))
}

fn shifted(time: i64, seconds: i32) -> Result<Option<i64>> {
    let by = i64::from(seconds) * USECS_PER_SEC;
    let out = time.checked_add(by).ok_or_else(|| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range"))?;
    Ok(Some(out))
}

/// Offsets mean the opposite here of what they mean in SET TIME ZONE, and are left to those who write a name.
fn named(zone: &str) -> Result<Zone> {
    if !zone.trim_start().starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(SqlError::unsupported(format!("time zone \"{zone}\"")).hint("Name a zone, such as 'Europe/Stockholm'.").into());
    }
    Ok(Zone::parse(zone.trim())?)
}

fn none(types: &[DataType]) -> SqlError {
    let names: Vec<&str> = types.iter().map(|t| crate::pgtype::PgType::of_arrow(t).sql_name).collect();
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function timezone({}) does not exist", names.join(", ")))
        .hint("AT TIME ZONE takes a timestamp and the name of a zone.")
}
