//! DataFusion's scalar values as IR values: exactly, or not at all.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;

use super::ir::Value;

/// The value, or why there is none.
pub fn value(scalar: &ScalarValue) -> Result<Value, String> {
    use ScalarValue as S;
    if scalar.is_null() {
        return Ok(Value::Null);
    }
    let v = match scalar {
        S::Boolean(Some(v)) => Value::Bool(*v),
        S::Int8(Some(v)) => Value::Int(i64::from(*v)),
        S::Int16(Some(v)) => Value::Int(i64::from(*v)),
        S::Int32(Some(v)) => Value::Int(i64::from(*v)),
        S::Int64(Some(v)) => Value::Int(*v),
        S::UInt8(Some(v)) => Value::UInt(u64::from(*v)),
        S::UInt16(Some(v)) => Value::UInt(u64::from(*v)),
        S::UInt32(Some(v)) => Value::UInt(u64::from(*v)),
        S::UInt64(Some(v)) => Value::UInt(*v),
        S::Float32(Some(v)) => Value::Float32(v.to_bits()),
        S::Float64(Some(v)) => Value::Float64(v.to_bits()),
        S::Decimal32(Some(v), _, scale) => Value::Decimal(digits(&v.to_string(), *scale)),
        S::Decimal64(Some(v), _, scale) => Value::Decimal(digits(&v.to_string(), *scale)),
        S::Decimal128(Some(v), _, scale) => Value::Decimal(digits(&v.to_string(), *scale)),
        S::Decimal256(Some(v), _, scale) => Value::Decimal(digits(&v.to_string(), *scale)),
        S::Utf8(Some(v)) | S::LargeUtf8(Some(v)) | S::Utf8View(Some(v)) => Value::Text(v.clone()),
        S::Binary(Some(v)) | S::LargeBinary(Some(v)) | S::BinaryView(Some(v)) | S::FixedSizeBinary(_, Some(v)) => Value::Bytes(v.clone()),
        S::Date32(Some(v)) => Value::Date(*v),
        S::Time64Microsecond(Some(v)) => Value::Time(*v),
        S::Time64Nanosecond(Some(v)) => Value::Time(whole_micros(*v)?),
        S::Time32Second(Some(v)) => Value::Time(i64::from(*v) * 1_000_000),
        S::Time32Millisecond(Some(v)) => Value::Time(i64::from(*v) * 1_000),
        S::TimestampSecond(Some(v), tz) => timestamp(scale_up(*v, 1_000_000)?, tz.is_some()),
        S::TimestampMillisecond(Some(v), tz) => timestamp(scale_up(*v, 1_000)?, tz.is_some()),
        S::TimestampMicrosecond(Some(v), tz) => timestamp(*v, tz.is_some()),
        S::TimestampNanosecond(Some(v), tz) => timestamp(whole_micros(*v)?, tz.is_some()),
        S::IntervalYearMonth(Some(v)) => Value::Interval(*v, 0, 0),
        S::IntervalDayTime(Some(v)) => Value::Interval(0, v.days, i64::from(v.milliseconds) * 1_000),
        S::IntervalMonthDayNano(Some(v)) => Value::Interval(v.months, v.days, whole_micros(v.nanoseconds)?),
        S::Dictionary(_, v) => return value(v),
        S::List(a) => {
            // The one list of the scalar: a slice of an array keeps the values of all its rows.
            let list = a.value(0);
            let mut items = Vec::with_capacity(list.len());
            for i in 0..list.len() {
                let item = ScalarValue::try_from_array(&list, i).map_err(|e| e.strip_backtrace())?;
                items.push(value(&item)?);
            }
            Value::List(items)
        }
        other => return Err(format!("a value of type {} has no form at the source", other.data_type())),
    };
    Ok(v)
}

fn timestamp(micros: i64, zoned: bool) -> Value {
    if zoned { Value::TimestampTz(micros) } else { Value::Timestamp(micros) }
}

fn scale_up(v: i64, by: i64) -> Result<i64, String> {
    v.checked_mul(by).ok_or_else(|| "the timestamp is out of range".to_string())
}

/// A source that keeps microseconds would round a finer value, and `=` would find what is not equal.
fn whole_micros(nanos: i64) -> Result<i64, String> {
    if nanos % 1_000 == 0 { Ok(nanos / 1_000) } else { Err("the value is finer than a microsecond".to_string()) }
}

/// Plain digits of an unscaled integer with a scale.
fn digits(unscaled: &str, scale: i8) -> String {
    let (sign, number) = unscaled.strip_prefix('-').map_or(("", unscaled), |n| ("-", n));
    if scale <= 0 {
        let zeros = if number == "0" { 0 } else { usize::from(scale.unsigned_abs()) };
        return format!("{sign}{number}{}", "0".repeat(zeros));
    }
    let scale = usize::from(scale.unsigned_abs());
    let padded = format!("{number:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// The unit of a timestamp type, if it is one.
pub fn timestamp_unit(t: &DataType) -> Option<TimeUnit> {
    match t {
        DataType::Timestamp(u, _) => Some(*u),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_plain_digits() {
        for (n, s, want) in [("0", 2, "0.00"), ("-5", 3, "-0.005"), ("12345", 2, "123.45"), ("7", 0, "7"), ("7", -2, "700"), ("0", -2, "0")]
        {
            assert_eq!(digits(n, s), want);
        }
    }

    #[test]
    fn finer_than_a_microsecond_is_refused() {
        assert_eq!(value(&ScalarValue::TimestampNanosecond(Some(1_500_000), None)), Ok(Value::Timestamp(1_500)));
        assert!(value(&ScalarValue::TimestampNanosecond(Some(1_500), None)).is_err());
        assert!(value(&ScalarValue::TimestampSecond(Some(i64::MAX), None)).is_err());
    }
}
