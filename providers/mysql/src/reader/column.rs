//! Decoders: the binary form of a column's values straight into its Arrow builder.
//!
//! A decoder is made once per query from how the column arrives ([`ColumnDef`]) and the Arrow type that was asked for. A value that the Arrow type
//! cannot hold is an error that names the column; nothing is cut or rounded. Layouts:
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, BooleanBuilder, IntervalMonthDayNanoBuilder, PrimitiveBuilder, StringBuilder};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type, i256,
};
use fjord_engine::{SqlError, SqlState};

use super::decimal::{self, Unfit, power_of_ten};
use crate::types::kind;
use crate::wire::{ColumnDef, Input, Malformed};

const DAY_MICROS: i64 = 86_400_000_000;
/// A geometry is preceded by the number of its spatial reference system.
const SRID_BYTES: usize = 4;

/// Why a value could not be taken; the column's name is added outside.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The bytes are not what the type says.
    Malformed(&'static str),
    /// A value that the Arrow type cannot hold.
    Value(SqlState, String, Option<&'static str>),
}

impl From<Malformed> for Unread {
    fn from(m: Malformed) -> Unread {
        Unread::Malformed(m.0)
    }
}

impl Unread {
    /// The error that a user sees.
    pub(crate) fn into_error(self, connector: &str, column: &str) -> SqlError {
        match self {
            Unread::Malformed(what) => SqlError::new(
                SqlState::PROTOCOL_VIOLATION,
                format!("connector \"{connector}\": column \"{column}\" arrived in an unexpected form: {what}"),
            )
            .hint("If the source's schema has changed: REFRESH SCHEMA of the connector."),
            Unread::Value(state, what, hint) => {
                let e = SqlError::new(state, format!("connector \"{connector}\": column \"{column}\": {what}"));
                match hint {
                    Some(h) => e.hint(h),
                    None => e,
                }
            }
        }
    }
}

/// How a value lies in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
    /// Bytes with their length in front.
    Bytes,
    /// The same: a number, most significant byte first.
    Bits,
    /// The same behind four bytes.
    Geometry,
    DateTime,
    Span,
}

impl Layout {
    fn of(def: &ColumnDef) -> Layout {
        let unsigned = def.flags & kind::UNSIGNED_FLAG != 0;
        match (def.kind, unsigned) {
            (kind::TINY, false) => Layout::I8,
            (kind::TINY, true) => Layout::U8,
            (kind::SHORT, false) => Layout::I16,
            (kind::SHORT, true) | (kind::YEAR, _) => Layout::U16,
            (kind::LONG | kind::INT24, false) => Layout::I32,
            (kind::LONG | kind::INT24, true) => Layout::U32,
            (kind::LONGLONG, false) => Layout::I64,
            (kind::LONGLONG, true) => Layout::U64,
            (kind::FLOAT, _) => Layout::F32,
            (kind::DOUBLE, _) => Layout::F64,
            (kind::DATE | kind::NEWDATE | kind::DATETIME | kind::TIMESTAMP, _) => Layout::DateTime,
            (kind::TIME, _) => Layout::Span,
            (kind::BIT, _) => Layout::Bits,
            (kind::GEOMETRY, _) => Layout::Geometry,
            _ => Layout::Bytes,
        }
    }

    fn is_integer(self) -> bool {
        use Layout as L;
        matches!(self, L::I8 | L::U8 | L::I16 | L::U16 | L::I32 | L::U32 | L::I64 | L::U64 | L::Bits)
    }
}

/// A value of a row.
#[derive(Debug, Clone, Copy)]
enum Raw<'a> {
    Int(i64),
    UInt(u64),
    F32(f32),
    F64(f64),
    Bytes(&'a [u8]),
    /// Days since 1970 and microseconds of the day.
    DateTime(i32, i64),
    /// A date with a zero in it, or one that no calendar has.
    NoDate,
    /// Microseconds.
    Span(i64),
}

#[derive(Debug)]
enum Target {
    Bool(BooleanBuilder),
    Int8(PrimitiveBuilder<Int8Type>),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    UInt8(PrimitiveBuilder<UInt8Type>),
    UInt16(PrimitiveBuilder<UInt16Type>),
    UInt32(PrimitiveBuilder<UInt32Type>),
    UInt64(PrimitiveBuilder<UInt64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal128(PrimitiveBuilder<Decimal128Type>, i8, i128),
    Decimal256(PrimitiveBuilder<Decimal256Type>, i8, i256),
    Date(PrimitiveBuilder<Date32Type>),
    Time(PrimitiveBuilder<Time64MicrosecondType>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>),
    Interval(IntervalMonthDayNanoBuilder),
    Bytes(BinaryBuilder),
    Text(StringBuilder),
}

/// One column's builder and how values get into it.
#[derive(Debug)]
pub(crate) struct Column {
    /// For errors.
    pub name: String,
    layout: Layout,
    target: Target,
    arrow: DataType,
    /// Zero dates that were read as NULL.
    pub zero_dates: u64,
}

impl Column {
    /// A decoder; `None` where what arrives is not read as that type.
    pub(crate) fn new(name: &str, def: &ColumnDef, arrow: &DataType) -> Option<Column> {
        let layout = Layout::of(def);
        let target = Target::new(arrow)?;
        let fits = def.kind == kind::NULL
            || match &target {
                Target::Bool(_) => layout.is_integer(),
                Target::Float32(_) => layout == Layout::F32,
                Target::Float64(_) => matches!(layout, Layout::F64 | Layout::F32),
                Target::Date(_) | Target::Timestamp(_) => layout == Layout::DateTime,
                Target::Time(_) | Target::Interval(_) => layout == Layout::Span,
                Target::Bytes(_) => matches!(layout, Layout::Bytes | Layout::Geometry) && !is_decimal(def),
                Target::Text(_) => layout == Layout::Bytes && !is_decimal(def),
                // Sums and counts arrive as decimals, integers as wider ones.
                _ => layout.is_integer() || is_decimal(def),
            };
        fits.then(|| Column { name: name.to_string(), layout, target, arrow: arrow.clone(), zero_dates: 0 })
    }

    /// Takes the next value of a row.
    #[inline]
    pub(crate) fn take(&mut self, row: &mut Input<'_>) -> Result<(), Unread> {
        let raw = match self.layout {
            Layout::I8 => Raw::Int(i64::from(i8::from_le_bytes(row.array()?))),
            Layout::U8 => Raw::UInt(u64::from(row.u8()?)),
            Layout::I16 => Raw::Int(i64::from(i16::from_le_bytes(row.array()?))),
            Layout::U16 => Raw::UInt(u64::from(row.u16()?)),
            Layout::I32 => Raw::Int(i64::from(i32::from_le_bytes(row.array()?))),
            Layout::U32 => Raw::UInt(u64::from(row.u32()?)),
            Layout::I64 => Raw::Int(i64::from_le_bytes(row.array()?)),
            Layout::U64 => Raw::UInt(u64::from_le_bytes(row.array()?)),
            Layout::F32 => Raw::F32(f32::from_le_bytes(row.array()?)),
            Layout::F64 => Raw::F64(f64::from_le_bytes(row.array()?)),
            Layout::Bytes => Raw::Bytes(row.bytes()?),
            Layout::Geometry => {
                let all = row.bytes()?;
                Raw::Bytes(all.get(SRID_BYTES..).unwrap_or_default())
            }
            Layout::Bits => {
                let bits = row.bytes()?;
                if bits.len() > 8 {
                    return Err(Unread::Malformed("more than 64 bits"));
                }
                Raw::UInt(bits.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
            }
            Layout::DateTime => date_time(row)?,
            Layout::Span => Raw::Span(span(row)?),
        };
        self.push(raw)
    }

    #[inline]
    fn push(&mut self, raw: Raw<'_>) -> Result<(), Unread> {
        match (&mut self.target, raw) {
            (Target::Int32(b), Raw::Int(v)) => whole(b, v, &self.arrow)?,
            (Target::Int64(b), Raw::Int(v)) => b.append_value(v),
            (Target::Text(b), Raw::Bytes(v)) => b.append_value(utf8(v)?),
            (Target::Float64(b), Raw::F64(v)) => b.append_value(v),
            (Target::Float64(b), Raw::F32(v)) => b.append_value(f64::from(v)),
            (Target::Float32(b), Raw::F32(v)) => b.append_value(v),
            (Target::Bytes(b), Raw::Bytes(v)) => b.append_value(v),
            (Target::Decimal128(b, scale, limit), Raw::Bytes(v)) => {
                b.append_value(decimal::to_i128(v, *scale, *limit).map_err(|u| unfit(u, v, &self.arrow))?);
            }
            (Target::Decimal256(b, scale, limit), Raw::Bytes(v)) => {
                b.append_value(decimal::to_i256(v, *scale, *limit).map_err(|u| unfit(u, v, &self.arrow))?);
            }
            (Target::Date(_) | Target::Timestamp(_), Raw::NoDate) => {
                self.zero_dates += 1;
                self.null();
            }
            (Target::Date(b), Raw::DateTime(days, _)) => b.append_value(days),
            // Years have four digits: no overflow.
            (Target::Timestamp(b), Raw::DateTime(days, micros)) => b.append_value(i64::from(days) * DAY_MICROS + micros),
            (Target::Time(b), Raw::Span(v)) => {
                if !(0..=DAY_MICROS).contains(&v) {
                    return Err(Unread::Value(
                        SqlState::DATETIME_FIELD_OVERFLOW,
                        "a time span that is no time of day".into(),
                        Some("Set option time_spans 'interval' of the connector."),
                    ));
                }
                b.append_value(v);
            }
            (Target::Interval(b), Raw::Span(v)) => {
                let nanos = v.checked_mul(1_000).ok_or(Unread::Malformed("a time span out of range"))?;
                b.append_value(IntervalMonthDayNano::new(0, 0, nanos));
            }
            (Target::Bool(b), Raw::Int(v)) => b.append_value(v != 0),
            (Target::Bool(b), Raw::UInt(v)) => b.append_value(v != 0),
            // The rest: numbers as other numbers.
            (_, Raw::Int(v)) => self.number(i128::from(v))?,
            (_, Raw::UInt(v)) => self.number(i128::from(v))?,
            (_, Raw::Bytes(v)) => self.number(decimal::to_i128(v, 0, i128::MAX).map_err(|u| unfit(u, v, &self.arrow))?)?,
            _ => return Err(Unread::Malformed("a value of another type than was said")),
        }
        Ok(())
    }

    fn number(&mut self, v: i128) -> Result<(), Unread> {
        let arrow = &self.arrow;
        match &mut self.target {
            Target::Int8(b) => whole(b, v, arrow),
            Target::Int16(b) => whole(b, v, arrow),
            Target::Int32(b) => whole(b, v, arrow),
            Target::Int64(b) => whole(b, v, arrow),
            Target::UInt8(b) => whole(b, v, arrow),
            Target::UInt16(b) => whole(b, v, arrow),
            Target::UInt32(b) => whole(b, v, arrow),
            Target::UInt64(b) => whole(b, v, arrow),
            Target::Decimal128(b, scale, limit) => {
                let scaled = u32::try_from(*scale).ok().and_then(|s| 10i128.checked_pow(s)).and_then(|p| v.checked_mul(p));
                b.append_value(scaled.filter(|s| s.abs() < *limit).ok_or_else(|| too_large(&v.to_string(), arrow))?);
                Ok(())
            }
            Target::Decimal256(b, scale, limit) => {
                let power = u32::try_from(*scale).ok().and_then(power_of_ten);
                let scaled = power.and_then(|p| i256::from_i128(v).checked_mul(p));
                let value = scaled.filter(|s| s.checked_abs().is_some_and(|a| a < *limit));
                b.append_value(value.ok_or_else(|| too_large(&v.to_string(), arrow))?);
                Ok(())
            }
            _ => Err(Unread::Malformed("a number where there should be none")),
        }
    }

    /// Appends a NULL.
    #[inline]
    pub(crate) fn null(&mut self) {
        match &mut self.target {
            Target::Bool(b) => b.append_null(),
            Target::Int8(b) => b.append_null(),
            Target::Int16(b) => b.append_null(),
            Target::Int32(b) => b.append_null(),
            Target::Int64(b) => b.append_null(),
            Target::UInt8(b) => b.append_null(),
            Target::UInt16(b) => b.append_null(),
            Target::UInt32(b) => b.append_null(),
            Target::UInt64(b) => b.append_null(),
            Target::Float32(b) => b.append_null(),
            Target::Float64(b) => b.append_null(),
            Target::Decimal128(b, ..) => b.append_null(),
            Target::Decimal256(b, ..) => b.append_null(),
            Target::Date(b) => b.append_null(),
            Target::Time(b) => b.append_null(),
            Target::Timestamp(b) => b.append_null(),
            Target::Interval(b) => b.append_null(),
            Target::Bytes(b) => b.append_null(),
            Target::Text(b) => b.append_null(),
        }
    }

    /// Hands the values over and starts anew.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        let arrow = &self.arrow;
        match &mut self.target {
            Target::Bool(b) => Arc::new(b.finish()),
            Target::Int8(b) => Arc::new(b.finish()),
            Target::Int16(b) => Arc::new(b.finish()),
            Target::Int32(b) => Arc::new(b.finish()),
            Target::Int64(b) => Arc::new(b.finish()),
            Target::UInt8(b) => Arc::new(b.finish()),
            Target::UInt16(b) => Arc::new(b.finish()),
            Target::UInt32(b) => Arc::new(b.finish()),
            Target::UInt64(b) => Arc::new(b.finish()),
            Target::Float32(b) => Arc::new(b.finish()),
            Target::Float64(b) => Arc::new(b.finish()),
            Target::Decimal128(b, ..) => Arc::new(b.finish().with_data_type(arrow.clone())),
            Target::Decimal256(b, ..) => Arc::new(b.finish().with_data_type(arrow.clone())),
            Target::Date(b) => Arc::new(b.finish()),
            Target::Time(b) => Arc::new(b.finish()),
            Target::Timestamp(b) => Arc::new(b.finish().with_data_type(arrow.clone())),
            Target::Interval(b) => Arc::new(b.finish()),
            Target::Bytes(b) => Arc::new(b.finish()),
            Target::Text(b) => Arc::new(b.finish()),
        }
    }

    /// Bytes that a row takes in this column beside the value's own.
    pub(crate) fn fixed_width(&self) -> usize {
        match &self.target {
            Target::Bool(_) => 1,
            Target::Decimal256(..) => 33,
            Target::Decimal128(..) | Target::Interval(_) => 17,
            _ => 9,
        }
    }
}

impl Target {
    fn new(arrow: &DataType) -> Option<Target> {
        Some(match arrow {
            DataType::Boolean => Target::Bool(BooleanBuilder::new()),
            DataType::Int8 => Target::Int8(PrimitiveBuilder::new()),
            DataType::Int16 => Target::Int16(PrimitiveBuilder::new()),
            DataType::Int32 => Target::Int32(PrimitiveBuilder::new()),
            DataType::Int64 => Target::Int64(PrimitiveBuilder::new()),
            DataType::UInt8 => Target::UInt8(PrimitiveBuilder::new()),
            DataType::UInt16 => Target::UInt16(PrimitiveBuilder::new()),
            DataType::UInt32 => Target::UInt32(PrimitiveBuilder::new()),
            DataType::UInt64 => Target::UInt64(PrimitiveBuilder::new()),
            DataType::Float32 => Target::Float32(PrimitiveBuilder::new()),
            DataType::Float64 => Target::Float64(PrimitiveBuilder::new()),
            DataType::Decimal128(p, s) => Target::Decimal128(PrimitiveBuilder::new(), *s, 10i128.checked_pow(u32::from(*p))?),
            DataType::Decimal256(p, s) => Target::Decimal256(PrimitiveBuilder::new(), *s, power_of_ten(u32::from(*p))?),
            DataType::Date32 => Target::Date(PrimitiveBuilder::new()),
            DataType::Time64(TimeUnit::Microsecond) => Target::Time(PrimitiveBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Target::Timestamp(PrimitiveBuilder::new()),
            DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => Target::Interval(IntervalMonthDayNanoBuilder::new()),
            DataType::Binary => Target::Bytes(BinaryBuilder::new()),
            DataType::Utf8 => Target::Text(StringBuilder::new()),
            _ => return None,
        })
    }
}

fn is_decimal(def: &ColumnDef) -> bool {
    matches!(def.kind, kind::DECIMAL | kind::NEWDECIMAL)
}

#[inline]
fn whole<T, V>(b: &mut PrimitiveBuilder<T>, v: V, arrow: &DataType) -> Result<(), Unread>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<V>,
    V: Copy + ToString,
{
    match T::Native::try_from(v) {
        Ok(v) => {
            b.append_value(v);
            Ok(())
        }
        Err(_) => Err(too_large(&v.to_string(), arrow)),
    }
}

fn too_large(value: &str, arrow: &DataType) -> Unread {
    Unread::Value(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{value} does not fit {arrow}"), None)
}

fn unfit(unfit: Unfit, text: &[u8], arrow: &DataType) -> Unread {
    let shown = String::from_utf8_lossy(text);
    match unfit {
        Unfit::Malformed => Unread::Malformed("a decimal that is no number"),
        Unfit::TooLarge => too_large(&shown, arrow),
        Unfit::TooFine => {
            Unread::Value(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{shown} has digits that {arrow} would cut off"), None)
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Unread> {
    std::str::from_utf8(bytes)
        .map_err(|_| Unread::Value(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "the source sent bytes that are no UTF-8".into(), None))
}

/// A length, then year, month, day, then hours, minutes, seconds, then microseconds; what is all zeros at the end is left out.
fn date_time<'a>(row: &mut Input<'_>) -> Result<Raw<'a>, Unread> {
    let length = row.u8()?;
    let mut input = Input(row.take(usize::from(length))?);
    if !matches!(length, 0 | 4 | 7 | 11) {
        return Err(Unread::Malformed("a date of an unknown length"));
    }
    if length == 0 {
        return Ok(Raw::NoDate);
    }
    let (year, month, day) = (input.u16()?, input.u8()?, input.u8()?);
    let clock = if length >= 7 { input.array()? } else { [0u8; 3] };
    let micros = if length == 11 { input.u32()? } else { 0 };
    let [hours, minutes, seconds] = clock;
    if hours > 23 || minutes > 59 || seconds > 59 || micros > 999_999 || year > 9999 {
        return Err(Unread::Malformed("a time of day that is none"));
    }
    let Some(days) = days(i32::from(year), u32::from(month), u32::from(day)) else { return Ok(Raw::NoDate) };
    let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
    Ok(Raw::DateTime(days, seconds * 1_000_000 + i64::from(micros)))
}

/// Days since 1970-01-01; `None` for what is no date. The year 0 of the servers is no year of any calendar either.
fn days(year: i32, month: u32, day: u32) -> Option<i32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    if day == 0 || day > length || year == 0 {
        return None;
    }
    // Eras of 400 years from 0000-03-01, so that the leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let day_of_year = i32::try_from((153 * m + 2) / 5 + day - 1).ok()?;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// A length, then the sign, days, hours, minutes, seconds, then microseconds; nothing for zero.
fn span(row: &mut Input<'_>) -> Result<i64, Unread> {
    let length = row.u8()?;
    let mut input = Input(row.take(usize::from(length))?);
    if !matches!(length, 0 | 8 | 12) {
        return Err(Unread::Malformed("a time span of an unknown length"));
    }
    if length == 0 {
        return Ok(0);
    }
    let negative = input.u8()? != 0;
    let days = input.u32()?;
    let [hours, minutes, seconds] = input.array()?;
    let micros = if length == 12 { input.u32()? } else { 0 };
    if days > 40 || hours > 23 || minutes > 59 || seconds > 59 || micros > 999_999 {
        return Err(Unread::Malformed("a time span that is none"));
    }
    let seconds = i64::from(days) * 86_400 + i64::from(hours) * 3_600 + i64::from(minutes) * 60 + i64::from(seconds);
    let all = seconds * 1_000_000 + i64::from(micros);
    Ok(if negative { -all } else { all })
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn the_calendar() {
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(1969, 12, 31), Some(-1));
        assert_eq!(days(2024, 2, 29), Some(19_782));
        assert_eq!(days(1, 1, 1), Some(-719_162));
        assert_eq!(days(9999, 12, 31), Some(2_932_896));
        for (y, m, d) in [(2023, 2, 29), (2024, 2, 30), (2024, 0, 1), (2024, 1, 0), (0, 1, 1), (2024, 13, 1), (2024, 4, 31)] {
            assert_eq!(days(y, m, d), None, "{y}-{m}-{d}");
        }
    }
}
