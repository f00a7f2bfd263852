//! One column of one batch, writing cell by cell: how each pair of Arrow and Postgres types is written.

use crate::pgtype::{self, PgType};
use crate::{Result, SqlError, SqlState};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, GenericByteArray, PrimitiveArray, RunArray,
    StringViewArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, ByteArrayType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, RunEndIndexType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use bytes::{BufMut, BytesMut};

use super::array::{ArrayCell, ListRef, VectorCell};
use super::datetime as dt;
use super::decimal::{self, Numeric};
use super::float::{put_f32_text, put_f64_text};
use super::number::{put_bytea_text, put_int, put_uuid_text};
use super::{EncodeSettings, Format, json_out, net, wire_type};

/// A column of a batch.
pub trait Cell: Send + Sync {
    /// The value is NULL.
    fn is_null(&self, i: usize) -> bool;
    /// Writes a value that is not NULL, without its length.
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()>;
}

/// A cell of whatever type.
pub type CellBox = Box<dyn Cell>;

/// What a column is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The Postgres type.
    pub pg: PgType,
    /// Text or binary.
    pub format: Format,
    /// A numeric without precision: its scale is how it is stored, not how it was written, so trailing zeros go.
    pub trim: bool,
}

impl Shape {
    /// The shape of a field that is announced as a type.
    pub fn of_field(field: &Field, pg: PgType, format: Format) -> Shape {
        let mut inner = field;
        let mut typed = wire_type::typmod(inner) != -1;
        while let Some(deeper) = ListRef::element_of(inner.data_type()) {
            inner = deeper;
            typed |= wire_type::typmod(inner) != -1;
        }
        let (precision, scale) = decimal::UNCONSTRAINED;
        Shape { pg, format, trim: !typed && *inner.data_type() == DataType::Decimal256(precision, scale) }
    }
}

/// Writes length and value, or the length -1 of a NULL.
pub fn put_with_length(cell: &dyn Cell, i: usize, out: &mut BytesMut) -> Result<()> {
    if cell.is_null(i) {
        out.put_i32(-1);
        return Ok(());
    }
    let at = out.len();
    out.put_i32(0);
    cell.put(i, out)?;
    let length = i32::try_from(out.len() - at - 4)
        .map_err(|_| SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a value is longer than the 2 GiB that the protocol can send"))?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// An array as its own type.
pub(crate) fn downcast<A: Array + Clone + 'static>(array: &ArrayRef) -> Result<A> {
    array
        .as_any()
        .downcast_ref::<A>()
        .cloned()
        .ok_or_else(|| SqlError::internal(format!("an array of type {} is not laid out as such", array.data_type())))
}

/// The cell of an array; [`wire_type::wire_type`] only gives pairs of types that are here.
pub fn cell(array: &ArrayRef, shape: &Shape, settings: &EncodeSettings) -> Result<CellBox> {
    let Shape { pg, format, trim } = *shape;
    let text = format == Format::Text;
    let digits = settings.extra_float_digits;
    Ok(match array.data_type() {
        DataType::Null => Box::new(NullCell),
        DataType::Boolean => Box::new(BoolCell { array: downcast(array)?, text }),
        DataType::Int8 => int::<Int8Type>(array, pg, format)?,
        DataType::Int16 => int::<Int16Type>(array, pg, format)?,
        DataType::Int32 => int::<Int32Type>(array, pg, format)?,
        DataType::Int64 => int::<Int64Type>(array, pg, format)?,
        DataType::UInt8 => int::<UInt8Type>(array, pg, format)?,
        DataType::UInt16 => int::<UInt16Type>(array, pg, format)?,
        DataType::UInt32 => int::<UInt32Type>(array, pg, format)?,
        DataType::UInt64 => int::<UInt64Type>(array, pg, format)?,
        DataType::Float16 => values::<Float16Type, _>(array, move |v, out| float4(v.to_f32(), pg, text, digits, out))?,
        DataType::Float32 => values::<Float32Type, _>(array, move |v, out| float4(v, pg, text, digits, out))?,
        DataType::Float64 => values::<Float64Type, _>(array, move |v, out| float8(v, text, digits, out))?,
        DataType::Decimal32(_, s) => decimals::<Decimal32Type>(array, *s, format)?,
        DataType::Decimal64(_, s) => decimals::<Decimal64Type>(array, *s, format)?,
        DataType::Decimal128(_, s) => decimals::<Decimal128Type>(array, *s, format)?,
        DataType::Decimal256(_, s) => {
            let s = *s;
            values::<Decimal256Type, _>(array, move |v, out| {
                decimal::put_i256(v, s, trim, format, out);
                Ok(())
            })?
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => strings(array, pg, format)?,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            let style = settings.bytea_output;
            byte_values(array, move |v, out| {
                match (text, pg) {
                    (true, pgtype::UUID) => put_uuid_text(v, out),
                    (true, _) => put_bytea_text(v, style, out),
                    (false, _) => out.put_slice(v),
                }
                Ok(())
            })?
        }
        DataType::Date32 => values::<Date32Type, _>(array, move |v, out| date(v, text, out))?,
        DataType::Date64 => values::<Date64Type, _>(array, move |v, out| {
            let days = v.div_euclid(86_400_000);
            date(i32::try_from(days).map_err(|_| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range"))?, text, out)
        })?,
        DataType::Time32(TimeUnit::Second) => {
            values::<Time32SecondType, _>(array, move |v, out| time(i64::from(v) * 1_000_000, text, out))?
        }
        DataType::Time32(_) => values::<Time32MillisecondType, _>(array, move |v, out| time(i64::from(v) * 1_000, text, out))?,
        DataType::Time64(TimeUnit::Nanosecond) => values::<Time64NanosecondType, _>(array, move |v, out| time(v / 1_000, text, out))?,
        DataType::Time64(_) => values::<Time64MicrosecondType, _>(array, move |v, out| time(v, text, out))?,
        DataType::Timestamp(unit, zone) => {
            let (unit, zone) = (*unit, zone.is_some().then_some(settings.time_zone));
            let put = move |v: i64, out: &mut BytesMut| {
                let usecs = dt::usecs_of(v, unit)?;
                if text {
                    dt::put_timestamp_text(usecs, zone, out);
                    return Ok(());
                }
                dt::put_timestamp_binary(usecs, out)
            };
            match unit {
                TimeUnit::Second => values::<TimestampSecondType, _>(array, put)?,
                TimeUnit::Millisecond => values::<TimestampMillisecondType, _>(array, put)?,
                TimeUnit::Microsecond => values::<TimestampMicrosecondType, _>(array, put)?,
                TimeUnit::Nanosecond => values::<TimestampNanosecondType, _>(array, put)?,
            }
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            values::<IntervalYearMonthType, _>(array, move |v, out| interval(v, 0, 0, text, out))?
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            values::<IntervalDayTimeType, _>(array, move |v, out| interval(0, v.days, i64::from(v.milliseconds) * 1_000, text, out))?
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            values::<IntervalMonthDayNanoType, _>(array, move |v, out| interval(v.months, v.days, v.nanoseconds / 1_000, text, out))?
        }
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => duration::<DurationSecondType>(array, 1_000_000, text)?,
            TimeUnit::Millisecond => duration::<DurationMillisecondType>(array, 1_000, text)?,
            TimeUnit::Microsecond => duration::<DurationMicrosecondType>(array, 1, text)?,
            TimeUnit::Nanosecond => values::<DurationNanosecondType, _>(array, move |v, out| in_days(v / 1_000, text, out))?,
        },
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let inner = cell(dictionary.values(), shape, settings)?;
            Box::new(IndirectCell { inner, at: dictionary_positions(array) })
        }
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => run_ends::<Int16Type>(array, shape, settings)?,
            DataType::Int32 => run_ends::<Int32Type>(array, shape, settings)?,
            _ => run_ends::<Int64Type>(array, shape, settings)?,
        },
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => json(array, shape, settings)?,
        other => match (ListRef::is_list(other), pg.element()) {
            (true, None) if pgtype::vector_element(pg).is_some() => {
                let element = Shape { pg: pgtype::vector_element(pg).unwrap_or(pg), format, trim };
                Box::new(VectorCell::build(array, &element, settings)?)
            }
            (true, Some(element)) => Box::new(ArrayCell::build(array, &Shape { pg: element, format, trim }, settings)?),
            (true, None) => json(array, shape, settings)?,
            _ => return Err(SqlError::unsupported(format!("values of type {other} cannot be sent"))),
        },
    })
}

struct NullCell;

impl Cell for NullCell {
    fn is_null(&self, _: usize) -> bool {
        true
    }
    fn put(&self, _: usize, _: &mut BytesMut) -> Result<()> {
        Ok(())
    }
}

struct BoolCell {
    array: BooleanArray,
    text: bool,
}

impl Cell for BoolCell {
    fn is_null(&self, i: usize) -> bool {
        self.array.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        let v = self.array.value(i);
        out.put_u8(match (self.text, v) {
            (true, true) => b't',
            (true, false) => b'f',
            (false, _) => u8::from(v),
        });
        Ok(())
    }
}

struct ValueCell<T: ArrowPrimitiveType, F> {
    array: PrimitiveArray<T>,
    put: F,
}

impl<T: ArrowPrimitiveType, F: Fn(T::Native, &mut BytesMut) -> Result<()> + Send + Sync> Cell for ValueCell<T, F> {
    fn is_null(&self, i: usize) -> bool {
        self.array.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        (self.put)(self.array.value(i), out)
    }
}

fn values<T, F>(array: &ArrayRef, put: F) -> Result<CellBox>
where
    T: ArrowPrimitiveType,
    F: Fn(T::Native, &mut BytesMut) -> Result<()> + Send + Sync + 'static,
{
    Ok(Box::new(ValueCell::<T, F> { array: downcast(array)?, put }))
}

fn int<T>(array: &ArrayRef, pg: PgType, format: Format) -> Result<CellBox>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128>,
{
    if pg == pgtype::NUMERIC {
        return values::<T, _>(array, move |v, out| {
            decimal::put_i128(v.into(), 0, false, format, out);
            Ok(())
        });
    }
    values::<T, _>(array, move |v, out| put_int(v.into(), pg, format, out))
}

fn decimals<T>(array: &ArrayRef, scale: i8, format: Format) -> Result<CellBox>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128>,
{
    values::<T, _>(array, move |v, out| {
        decimal::put_i128(v.into(), scale, false, format, out);
        Ok(())
    })
}

fn float4(v: f32, pg: PgType, text: bool, digits: i8, out: &mut BytesMut) -> Result<()> {
    match (pg, text) {
        (pgtype::FLOAT8, _) => return float8(f64::from(v), text, digits, out),
        (_, true) => put_f32_text(v, digits, out),
        (_, false) => out.put_f32(v),
    }
    Ok(())
}

fn float8(v: f64, text: bool, digits: i8, out: &mut BytesMut) -> Result<()> {
    if text {
        put_f64_text(v, digits, out);
    } else {
        out.put_f64(v);
    }
    Ok(())
}

fn date(days: i32, text: bool, out: &mut BytesMut) -> Result<()> {
    if text {
        dt::put_date_text(days, out);
        return Ok(());
    }
    dt::put_date_binary(days, out)
}

fn time(usecs: i64, text: bool, out: &mut BytesMut) -> Result<()> {
    if text {
        dt::put_time_text(usecs, out);
    } else {
        out.put_i64(usecs);
    }
    Ok(())
}

fn interval(months: i32, days: i32, usecs: i64, text: bool, out: &mut BytesMut) -> Result<()> {
    if text {
        dt::put_interval_text(months, days, usecs, out);
    } else {
        dt::put_interval_binary(months, days, usecs, out);
    }
    Ok(())
}

fn duration<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, usecs_per_unit: i64, text: bool) -> Result<CellBox> {
    values::<T, _>(array, move |v, out| {
        let usecs =
            v.checked_mul(usecs_per_unit).ok_or_else(|| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"))?;
        in_days(usecs, text, out)
    })
}

/// The time between two timestamps is told in days and what is left.
fn in_days(usecs: i64, text: bool, out: &mut BytesMut) -> Result<()> {
    let (days, rest) = super::days_and_rest(usecs);
    interval(0, days, rest, text, out)
}

/// Arrays whose values are bytes.
trait Bytes: Array + Clone + Send + Sync + 'static {
    fn bytes(&self, i: usize) -> &[u8];
}

impl<T: ByteArrayType> Bytes for GenericByteArray<T> {
    fn bytes(&self, i: usize) -> &[u8] {
        self.value(i).as_ref()
    }
}
impl Bytes for StringViewArray {
    fn bytes(&self, i: usize) -> &[u8] {
        self.value(i).as_bytes()
    }
}
impl Bytes for BinaryViewArray {
    fn bytes(&self, i: usize) -> &[u8] {
        self.value(i)
    }
}
impl Bytes for FixedSizeBinaryArray {
    fn bytes(&self, i: usize) -> &[u8] {
        self.value(i)
    }
}

struct ByteCell<A, F> {
    array: A,
    put: F,
}

impl<A: Bytes, F: Fn(&[u8], &mut BytesMut) -> Result<()> + Send + Sync> Cell for ByteCell<A, F> {
    fn is_null(&self, i: usize) -> bool {
        self.array.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        (self.put)(self.array.bytes(i), out)
    }
}

fn byte_values<F>(array: &ArrayRef, put: F) -> Result<CellBox>
where
    F: Fn(&[u8], &mut BytesMut) -> Result<()> + Send + Sync + 'static,
{
    Ok(match array.data_type() {
        DataType::Utf8 => Box::new(ByteCell { array: array.as_string::<i32>().clone(), put }),
        DataType::LargeUtf8 => Box::new(ByteCell { array: array.as_string::<i64>().clone(), put }),
        DataType::Utf8View => Box::new(ByteCell { array: array.as_string_view().clone(), put }),
        DataType::Binary => Box::new(ByteCell { array: array.as_binary::<i32>().clone(), put }),
        DataType::LargeBinary => Box::new(ByteCell { array: array.as_binary::<i64>().clone(), put }),
        DataType::BinaryView => Box::new(ByteCell { array: array.as_binary_view().clone(), put }),
        _ => Box::new(ByteCell { array: downcast::<FixedSizeBinaryArray>(array)?, put }),
    })
}

/// Text, and the types that Fjord holds as text: their text is sent as it is, their binary form is made from it.
fn strings(array: &ArrayRef, pg: PgType, format: Format) -> Result<CellBox> {
    let plain = |v: &[u8], out: &mut BytesMut| {
        out.put_slice(v);
        Ok(())
    };
    if is_reg(pg) {
        return byte_values(array, move |v, out| put_reg(v, format, out));
    }
    if format == Format::Text {
        return byte_values(array, plain);
    }
    let parsed = |put: fn(&str, PgType, &mut BytesMut) -> Option<()>| {
        byte_values(array, move |v, out| {
            let text = std::str::from_utf8(v).unwrap_or_default();
            put(text, pg, out).ok_or_else(|| {
                SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {}: \"{text}\"", pg.sql_name))
            })
        })
    };
    match pg {
        pgtype::JSONB => byte_values(array, |v, out| {
            out.put_u8(1);
            out.put_slice(v);
            Ok(())
        }),
        // "char" is one byte; the empty string is the byte 0.
        pgtype::CHAR => byte_values(array, |v, out| {
            out.put_u8(v.first().copied().unwrap_or(0));
            Ok(())
        }),
        pgtype::UUID => parsed(|v, _, out| {
            out.put_slice(&net::parse_uuid(v.as_bytes())?);
            Some(())
        }),
        pgtype::INET | pgtype::CIDR => parsed(|v, pg, out| {
            net::Inet::parse(v, pg == pgtype::CIDR)?.put_binary(out);
            Some(())
        }),
        pgtype::MACADDR | pgtype::MACADDR8 => parsed(|v, pg, out| {
            out.put_slice(&net::parse_mac(v, pg == pgtype::MACADDR8)?);
            Some(())
        }),
        pgtype::BIT | pgtype::VARBIT => parsed(|v, _, out| net::put_bits_binary(v.as_bytes(), out)),
        pgtype::NUMERIC => parsed(|v, _, out| {
            Numeric::parse(v)?.put(Format::Binary, out);
            Some(())
        }),
        pgtype::TIMETZ => parsed(|v, _, out| {
            let (usecs, east) = super::decode::parse_timetz(v)?;
            out.put_i64(usecs);
            // Postgres counts this zone westward.
            out.put_i32(-east);
            Some(())
        }),
        _ => byte_values(array, plain),
    }
}

/// The types whose values are OIDs of objects and are read as names.
pub(super) fn is_reg(pg: PgType) -> bool {
    [pgtype::REGCLASS, pgtype::REGTYPE, pgtype::REGPROC, pgtype::REGNAMESPACE, pgtype::REGROLE].contains(&pg)
}

/// A value of such a type: what text shows, and the OID, which binary sends. No Postgres text has the byte between them.
pub fn reg_value(name: &str, oid: u32) -> String {
    format!("{name}\0{oid}")
}

fn put_reg(v: &[u8], format: Format, out: &mut BytesMut) -> Result<()> {
    let (name, oid) = match v.iter().rposition(|b| *b == 0) {
        Some(at) => (&v[..at], std::str::from_utf8(&v[at + 1..]).ok().and_then(|o| o.parse::<u32>().ok())),
        None => (v, None),
    };
    match (format, oid) {
        (Format::Text, _) => out.put_slice(name),
        (Format::Binary, Some(oid)) => out.put_u32(oid),
        (Format::Binary, None) => return Err(SqlError::internal("a name without its OID")),
    }
    Ok(())
}

fn json(array: &ArrayRef, shape: &Shape, settings: &EncodeSettings) -> Result<CellBox> {
    let field = Field::new("", array.data_type().clone(), true);
    let inner = json_out::json_cell(array, &field, settings)?;
    let version = shape.pg == pgtype::JSONB && shape.format == Format::Binary;
    Ok(if version { Box::new(JsonbCell(inner)) } else { inner })
}

/// Binary jsonb: a version byte, then the text.
struct JsonbCell(CellBox);

impl Cell for JsonbCell {
    fn is_null(&self, i: usize) -> bool {
        self.0.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        out.put_u8(1);
        self.0.put(i, out)
    }
}

/// A dictionary or run-ends column: `at[i]` is where value `i` stands, `None` for NULL.
struct IndirectCell {
    inner: CellBox,
    at: Vec<Option<usize>>,
}

impl Cell for IndirectCell {
    fn is_null(&self, i: usize) -> bool {
        self.at[i].is_none_or(|at| self.inner.is_null(at))
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        match self.at[i] {
            Some(at) => self.inner.put(at, out),
            None => Ok(()),
        }
    }
}

fn dictionary_positions(array: &ArrayRef) -> Vec<Option<usize>> {
    let dictionary = array.as_any_dictionary();
    if dictionary.values().is_empty() {
        return vec![None; array.len()];
    }
    let keys = dictionary.keys();
    dictionary.normalized_keys().into_iter().enumerate().map(|(i, k)| keys.is_valid(i).then_some(k)).collect()
}

fn run_ends<R: RunEndIndexType>(array: &ArrayRef, shape: &Shape, settings: &EncodeSettings) -> Result<CellBox> {
    let runs: RunArray<R> = downcast(array)?;
    let inner = cell(runs.values(), shape, settings)?;
    let at = (0..runs.len()).map(|i| Some(runs.get_physical_index(i))).collect();
    Ok(Box::new(IndirectCell { inner, at }))
}
