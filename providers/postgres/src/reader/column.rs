//! Decoders: the binary form of one column's values straight into its Arrow builder.
//!
//! A decoder is compiled once per query from what the column is at the source ([`RemoteType`]) and the Arrow type that was asked for. It casts
//! nothing silently: bytes of another length than the type has are an error. Layouts: the `*_send` functions of src/backend/utils/adt.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Array, Decimal256Array, IntervalMonthDayNanoBuilder, ListArray, NullBufferBuilder,
    PrimitiveBuilder, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt32Type, UInt64Type,
};
use fjord_engine::pgtype::{self, PgType};
use fjord_engine::pushdown::{Family, RemoteType};
use fjord_engine::{SqlError, SqlState};

use super::copy::{Fields, Malformed, Run};
use super::numeric::{Numeric, Unfit, power_of_ten};
use super::{addresses, numeric};

/// Types that are not built in have OIDs from here (src/include/access/transam.h).
const FIRST_USER_OID: u32 = 16_384;
/// Days from 1970-01-01 to 2000-01-01, where Postgres counts from.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Why a value could not be taken; the column's name is added outside.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The bytes are not what the type says.
    Malformed(&'static str),
    /// A value that the Arrow type cannot hold.
    Value(SqlState, String, Option<&'static str>),
}

impl From<Malformed> for Fault {
    fn from(m: Malformed) -> Fault {
        Fault::Malformed(m.0)
    }
}

impl Fault {
    /// The error that a user sees.
    pub(crate) fn into_error(self, connector: &str, column: &str) -> SqlError {
        match self {
            Fault::Malformed(what) => SqlError::new(
                SqlState::PROTOCOL_VIOLATION,
                format!("connector \"{connector}\": column \"{column}\" arrived in an unexpected form: {what}"),
            )
            .hint("If the source's schema has changed: REFRESH SCHEMA of the connector."),
            Fault::Value(state, what, hint) => {
                let e = SqlError::new(state, format!("connector \"{connector}\": column \"{column}\": {what}"));
                match hint {
                    Some(h) => e.hint(h),
                    None => e,
                }
            }
        }
    }
}

/// One column's builder and how values get into it.
#[derive(Debug)]
pub(crate) struct Column {
    /// For errors.
    pub name: String,
    decoder: Decoder,
    /// The source's type is one of its own (an enum, citext), or an array of one: its OID is any.
    user_type: bool,
}

/// Texts side by side; UTF-8 is checked once per batch, over all of them.
#[derive(Debug)]
struct Texts {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

/// How a text is made from the wire's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextForm {
    Plain,
    Bpchar,
    Jsonb,
    Uuid,
    Inet,
    Cidr,
    Mac,
    Numeric,
}

#[derive(Debug)]
enum Decoder {
    Bool(BooleanBuilder),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    UInt32(PrimitiveBuilder<UInt32Type>),
    /// A grouping id, an integer at the source.
    UInt8(PrimitiveBuilder<UInt8Type>),
    /// A number of elements, an integer at the source.
    UInt64(PrimitiveBuilder<UInt64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal128(PrimitiveBuilder<Decimal128Type>, u8, i8, i128),
    Decimal256(PrimitiveBuilder<Decimal256Type>, u8, i8, arrow::datatypes::i256),
    Date(PrimitiveBuilder<Date32Type>),
    Time(PrimitiveBuilder<Time64MicrosecondType>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>, Option<Arc<str>>),
    Interval(IntervalMonthDayNanoBuilder),
    Bytes(BinaryBuilder),
    Text(Texts, TextForm),
    List(Box<Lists>),
}

#[derive(Debug)]
struct Lists {
    field: FieldRef,
    element: Decoder,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Column {
    /// Compiles the decoder, or says that this type does not arrive in that Arrow type.
    pub(crate) fn new(name: &str, ty: &RemoteType, arrow: &DataType) -> Result<Column, SqlError> {
        let decoder = Decoder::new(ty, arrow)
            .ok_or_else(|| SqlError::internal(format!("column \"{name}\": {} of the source cannot be read as {arrow}", ty.name)))?;
        let user = |f: &Family| matches!(f, Family::Enum(_) | Family::Citext);
        let user_type = match &ty.family {
            Family::Array(e) => user(&e.family),
            f => user(f),
        };
        Ok(Column { name: name.to_string(), decoder, user_type })
    }

    /// Whether values of this Postgres type are what the decoder reads.
    pub(crate) fn takes(&self, oid: u32) -> bool {
        self.decoder.takes(oid, self.user_type)
    }

    /// Appends the column's values of some rows.
    pub(crate) fn append(&mut self, run: Run<'_>) -> Result<(), Fault> {
        self.decoder.append(run.values())
    }

    /// Appends one value.
    pub(crate) fn append_one(&mut self, value: Option<&[u8]>) -> Result<(), Fault> {
        self.decoder.append(std::iter::once(value))
    }

    /// Hands the values over and starts anew.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, Fault> {
        self.decoder.finish()
    }

    /// Bytes that a row takes in this column beside the value's own.
    pub(crate) fn fixed_width(&self) -> usize {
        match &self.decoder {
            Decoder::Bool(_) => 1,
            Decoder::Decimal256(..) => 33,
            Decoder::Decimal128(..) | Decoder::Interval(_) => 17,
            _ => 9,
        }
    }
}

impl Decoder {
    fn new(ty: &RemoteType, arrow: &DataType) -> Option<Decoder> {
        use DataType as D;
        let text = |form| Some(Decoder::Text(Texts::new(), form));
        match (&ty.family, arrow) {
            (Family::Bool, D::Boolean) => Some(Decoder::Bool(BooleanBuilder::new())),
            (Family::Int(_), D::Int16) => Some(Decoder::Int16(PrimitiveBuilder::new())),
            (Family::Int(_), D::Int32) => Some(Decoder::Int32(PrimitiveBuilder::new())),
            (Family::Int(_), D::Int64) => Some(Decoder::Int64(PrimitiveBuilder::new())),
            (Family::UInt(32), D::UInt32) => Some(Decoder::UInt32(PrimitiveBuilder::new())),
            (Family::UInt(64), D::UInt64) => Some(Decoder::UInt64(PrimitiveBuilder::new())),
            (Family::UInt(8), D::UInt8) => Some(Decoder::UInt8(PrimitiveBuilder::new())),
            (Family::Float(32), D::Float32) => Some(Decoder::Float32(PrimitiveBuilder::new())),
            (Family::Float(_), D::Float64) => Some(Decoder::Float64(PrimitiveBuilder::new())),
            (Family::Decimal(_), D::Decimal128(p, s)) => {
                Some(Decoder::Decimal128(PrimitiveBuilder::new(), *p, *s, 10i128.checked_pow(u32::from(*p))?))
            }
            (Family::Decimal(_), D::Decimal256(p, s)) => {
                Some(Decoder::Decimal256(PrimitiveBuilder::new(), *p, *s, power_of_ten(u32::from(*p))?))
            }
            (Family::Decimal(_), D::Utf8) => text(TextForm::Numeric),
            (Family::Text | Family::Citext | Family::Enum(_) | Family::Json, D::Utf8) => text(TextForm::Plain),
            (Family::Bpchar, D::Utf8) => text(TextForm::Bpchar),
            (Family::Jsonb, D::Utf8) => text(TextForm::Jsonb),
            (Family::Uuid, D::Utf8) => text(TextForm::Uuid),
            (Family::Other, D::Utf8) => text(match ty.name.as_str() {
                "inet" => TextForm::Inet,
                "cidr" => TextForm::Cidr,
                "macaddr" | "macaddr8" => TextForm::Mac,
                _ => TextForm::Plain,
            }),
            (Family::Bytes, D::Binary) => Some(Decoder::Bytes(BinaryBuilder::new())),
            (Family::Date, D::Date32) => Some(Decoder::Date(PrimitiveBuilder::new())),
            (Family::Time, D::Time64(TimeUnit::Microsecond)) => Some(Decoder::Time(PrimitiveBuilder::new())),
            (Family::Timestamp, D::Timestamp(TimeUnit::Microsecond, None)) => Some(Decoder::Timestamp(PrimitiveBuilder::new(), None)),
            (Family::TimestampTz, D::Timestamp(TimeUnit::Microsecond, Some(tz))) => {
                Some(Decoder::Timestamp(PrimitiveBuilder::new(), Some(tz.clone())))
            }
            (Family::Interval, D::Interval(IntervalUnit::MonthDayNano)) => Some(Decoder::Interval(IntervalMonthDayNanoBuilder::new())),
            (Family::Array(e), D::List(field)) => Some(Decoder::List(Box::new(Lists {
                field: field.clone(),
                element: Decoder::new(e, field.data_type())?,
                offsets: vec![0],
                nulls: NullBufferBuilder::new(0),
            }))),
            _ => None,
        }
    }

    fn takes(&self, oid: u32, user_type: bool) -> bool {
        use pgtype as p;
        let one_of = |types: &[PgType]| types.iter().any(|t| t.oid == oid);
        match self {
            Decoder::Bool(_) => one_of(&[p::BOOL]),
            Decoder::Int16(_) | Decoder::Int32(_) | Decoder::Int64(_) => one_of(&[p::INT2, p::INT4, p::INT8]),
            Decoder::UInt32(_) => one_of(&[p::OID]),
            Decoder::UInt8(_) => one_of(&[p::INT4]),
            Decoder::UInt64(_) => one_of(&[p::INT4, p::INT8]),
            Decoder::Float32(_) => one_of(&[p::FLOAT4]),
            Decoder::Float64(_) => one_of(&[p::FLOAT4, p::FLOAT8]),
            Decoder::Decimal128(..) | Decoder::Decimal256(..) => one_of(&[p::NUMERIC]),
            Decoder::Date(_) => one_of(&[p::DATE]),
            Decoder::Time(_) => one_of(&[p::TIME]),
            Decoder::Timestamp(_, None) => one_of(&[p::TIMESTAMP]),
            Decoder::Timestamp(_, Some(_)) => one_of(&[p::TIMESTAMPTZ]),
            Decoder::Interval(_) => one_of(&[p::INTERVAL]),
            Decoder::Bytes(_) => one_of(&[p::BYTEA]),
            Decoder::Text(_, form) => match form {
                TextForm::Plain => (user_type && oid >= FIRST_USER_OID) || one_of(&[p::TEXT, p::VARCHAR, p::NAME, p::JSON]),
                TextForm::Bpchar => one_of(&[p::BPCHAR, p::TEXT]),
                TextForm::Jsonb => one_of(&[p::JSONB, p::TEXT]),
                TextForm::Uuid => one_of(&[p::UUID, p::TEXT]),
                TextForm::Inet | TextForm::Cidr => one_of(&[p::INET, p::CIDR, p::TEXT]),
                TextForm::Mac => one_of(&[p::MACADDR, p::MACADDR8, p::TEXT]),
                TextForm::Numeric => one_of(&[p::NUMERIC]),
            },
            Decoder::List(l) => {
                let element = PgType::by_oid(oid).and_then(PgType::element);
                element.map_or(user_type && oid >= FIRST_USER_OID, |e| l.element.takes(e.oid, user_type))
            }
        }
    }

    /// One loop for each kind of column: what a column is, is asked once for many values.
    fn append<'v>(&mut self, values: impl Iterator<Item = Option<&'v [u8]>>) -> Result<(), Fault> {
        macro_rules! each {
            ($builder:ident, $v:ident => $value:expr) => {
                for value in values {
                    match value {
                        Some($v) => $builder.append_value($value),
                        None => $builder.append_null(),
                    }
                }
            };
        }
        match self {
            Decoder::Bool(b) => each!(b, v => match v {
                [0] => false,
                [1] => true,
                _ => return Err(Fault::Malformed("a boolean that is neither 0 nor 1")),
            }),
            Decoder::Int16(b) => each!(b, v => integer(v)?),
            Decoder::Int32(b) => each!(b, v => integer(v)?),
            Decoder::Int64(b) => each!(b, v => integer(v)?),
            Decoder::UInt32(b) => each!(b, v => u32::from_be_bytes(exact(v)?)),
            Decoder::UInt64(b) => each!(b, v => {
                let n: i64 = integer(v)?;
                u64::try_from(n).map_err(|_| Fault::Malformed("a count below zero"))?
            }),
            Decoder::UInt8(b) => each!(b, v => {
                u8::try_from(i32::from_be_bytes(exact(v)?)).map_err(|_| Fault::Malformed("a grouping id out of range"))?
            }),
            Decoder::Float32(b) => each!(b, v => one_nan_32(f32::from_be_bytes(exact(v)?))),
            // real arrives in four bytes; its value as a double is the same.
            Decoder::Float64(b) => each!(b, v => one_nan_64(match v.len() {
                4 => f64::from(f32::from_be_bytes(exact(v)?)),
                _ => f64::from_be_bytes(exact(v)?),
            })),
            Decoder::Decimal128(b, p, s, limit) => each!(b, v => {
                let n = match numeric::short(v, *s) {
                    Some(n) => n,
                    None => Numeric::parse(v).and_then(|n| n.to_i128(*s)).map_err(|u| unfit(u, *p, *s))?,
                };
                if n.unsigned_abs() >= limit.unsigned_abs() {
                    return Err(unfit(Unfit::TooLarge, *p, *s));
                }
                n
            }),
            Decoder::Decimal256(b, p, s, limit) => each!(b, v => {
                let n = Numeric::parse(v).and_then(|n| n.to_i256(*s)).map_err(|u| unfit(u, *p, *s))?;
                if n >= *limit || n <= limit.wrapping_neg() {
                    return Err(unfit(Unfit::TooLarge, *p, *s));
                }
                n
            }),
            Decoder::Date(b) => each!(b, v => date(i32::from_be_bytes(exact(v)?))?),
            Decoder::Time(b) => each!(b, v => match i64::from_be_bytes(exact(v)?) {
                // 24:00:00 is a time of its own in Postgres, after 23:59:59.999999.
                t @ 0..=86_400_000_000 => t,
                _ => return Err(Fault::Malformed("a time of day out of range")),
            }),
            Decoder::Timestamp(b, _) => each!(b, v => timestamp(i64::from_be_bytes(exact(v)?))?),
            Decoder::Interval(b) => each!(b, v => interval(exact(v)?)?),
            Decoder::Bytes(b) => each!(b, v => {
                room(b.values_slice().len(), v.len())?;
                v
            }),
            Decoder::Text(t, TextForm::Plain) => {
                for value in values {
                    match value {
                        Some(v) => t.append_plain(v)?,
                        None => t.close(false),
                    }
                }
            }
            Decoder::Text(t, form) => {
                for value in values {
                    match value {
                        Some(v) => t.append_form(v, *form)?,
                        None => t.close(false),
                    }
                }
            }
            Decoder::List(l) => {
                for value in values {
                    match value {
                        Some(v) => l.append(v)?,
                        None => l.close(false),
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, Fault> {
        Ok(match self {
            Decoder::Bool(b) => Arc::new(b.finish()),
            Decoder::Int16(b) => Arc::new(b.finish()),
            Decoder::Int32(b) => Arc::new(b.finish()),
            Decoder::Int64(b) => Arc::new(b.finish()),
            Decoder::UInt32(b) => Arc::new(b.finish()),
            Decoder::UInt8(b) => Arc::new(b.finish()),
            Decoder::UInt64(b) => Arc::new(b.finish()),
            Decoder::Float32(b) => Arc::new(b.finish()),
            Decoder::Float64(b) => Arc::new(b.finish()),
            Decoder::Decimal128(b, p, s, _) => Arc::new(decimal(b.finish(), |a: Decimal128Array| a.with_precision_and_scale(*p, *s))?),
            Decoder::Decimal256(b, p, s, _) => Arc::new(decimal(b.finish(), |a: Decimal256Array| a.with_precision_and_scale(*p, *s))?),
            Decoder::Date(b) => Arc::new(b.finish()),
            Decoder::Time(b) => Arc::new(b.finish()),
            Decoder::Timestamp(b, tz) => Arc::new(b.finish().with_timezone_opt(tz.clone())),
            Decoder::Interval(b) => Arc::new(b.finish()),
            Decoder::Bytes(b) => Arc::new(b.finish()),
            Decoder::Text(t, _) => t.finish()?,
            Decoder::List(l) => l.finish()?,
        })
    }
}

impl Texts {
    fn new() -> Texts {
        Texts { bytes: vec![], offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    #[inline]
    fn append_plain(&mut self, v: &[u8]) -> Result<(), Fault> {
        room(self.bytes.len(), v.len())?;
        self.bytes.extend_from_slice(v);
        self.close(true);
        Ok(())
    }

    fn append_form(&mut self, v: &[u8], form: TextForm) -> Result<(), Fault> {
        // No form is longer than four times its bytes and 64 more.
        room(self.bytes.len(), v.len())?;
        match form {
            TextForm::Plain => self.bytes.extend_from_slice(v),
            TextForm::Bpchar => {
                let end = v.iter().rposition(|b| *b != b' ').map_or(0, |i| i + 1);
                self.bytes.extend_from_slice(&v[..end]);
            }
            // The version byte is 1; the text of a JSON value never begins with it, so a value that was cast to text passes as it is.
            TextForm::Jsonb => self.bytes.extend_from_slice(v.strip_prefix(&[1]).unwrap_or(v)),
            TextForm::Uuid if v.len() == 16 => {
                for (i, b) in v.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        self.bytes.push(b'-');
                    }
                    self.bytes.push(addresses::HEX[usize::from(b >> 4)]);
                    self.bytes.push(addresses::HEX[usize::from(b & 15)]);
                }
            }
            TextForm::Uuid if v.len() == 36 => self.bytes.extend_from_slice(v),
            TextForm::Uuid => return Err(Fault::Malformed("a uuid of another length than 16 bytes")),
            TextForm::Inet | TextForm::Cidr => {
                let t = addresses::inet(v, form == TextForm::Cidr).ok_or(Fault::Malformed("no network address"))?;
                self.bytes.extend_from_slice(t.as_bytes());
            }
            TextForm::Mac => {
                let t = addresses::mac(v).ok_or(Fault::Malformed("no MAC address"))?;
                self.bytes.extend_from_slice(t.as_bytes());
            }
            TextForm::Numeric => {
                let t = match Numeric::parse(v) {
                    Ok(n) => n.to_text(),
                    Err(Unfit::Nan) => "NaN".into(),
                    Err(Unfit::Infinite) => if v.get(4) == Some(&0xf0) { "-Infinity" } else { "Infinity" }.into(),
                    Err(_) => return Err(Fault::Malformed("no numeric")),
                };
                self.bytes.extend_from_slice(t.as_bytes());
            }
        }
        if self.bytes.len() > i32::MAX as usize {
            return Err(too_many_bytes());
        }
        self.close(true);
        Ok(())
    }

    fn close(&mut self, valid: bool) {
        // Within i32: checked by append_form before anything is closed.
        self.offsets.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
        self.nulls.append(valid);
    }

    fn finish(&mut self) -> Result<ArrayRef, Fault> {
        let Texts { bytes, offsets, mut nulls } = std::mem::replace(self, Texts::new());
        let array = StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes), nulls.finish()).map_err(|_| {
            Fault::Value(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                "a text that is not UTF-8".into(),
                Some("The source's database has no encoding (SQL_ASCII) or holds damaged text: find the row there, or read the column as bytea."),
            )
        })?;
        Ok(Arc::new(array))
    }
}

impl Lists {
    /// Layout (array_send): dimensions, has-nulls flag, element type, then length and lower bound of each dimension, then the elements.
    fn append(&mut self, v: &[u8]) -> Result<(), Fault> {
        let cut = || Fault::Malformed("an array that is cut off");
        let (dimensions, rest) = v.split_first_chunk::<4>().ok_or_else(cut)?;
        let (_, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        match i32::from_be_bytes(*dimensions) {
            0 if rest.is_empty() => {
                self.close(true);
                return Ok(());
            }
            1 => {}
            2..=6 => {
                return Err(Fault::Value(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "an array of more than one dimension".into(),
                    Some("Read it as text: remote_query with column::text, or a view at the source."),
                ));
            }
            _ => return Err(Fault::Malformed("an array with an impossible number of dimensions")),
        }
        let (head, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let [a, b, c, d, lower @ ..] = *head;
        if i32::from_be_bytes(lower) != 1 {
            return Err(Fault::Value(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("an array whose first subscript is {} instead of 1", i32::from_be_bytes(lower)),
                Some("Read it as text: remote_query with column::text, or a view at the source."),
            ));
        }
        // Each element takes four bytes at least: a count that the bytes cannot hold is refused before anything is allocated for it.
        let count = usize::try_from(i32::from_be_bytes([a, b, c, d])).ok().filter(|n| *n <= rest.len() / 4).ok_or_else(cut)?;
        let mut elements = Fields::new(rest);
        for _ in 0..count {
            self.element.append(std::iter::once(elements.next()?))?;
        }
        if !elements.is_empty() {
            return Err(Fault::Malformed("an array with bytes behind its end"));
        }
        let last = self.offsets.last().copied().unwrap_or(0);
        let end = i32::try_from(count).ok().and_then(|n| last.checked_add(n)).ok_or_else(too_many_bytes)?;
        self.offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    /// Ends a value without elements.
    fn close(&mut self, valid: bool) {
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.nulls.append(valid);
    }

    fn finish(&mut self) -> Result<ArrayRef, Fault> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let nulls = self.nulls.finish();
        let values = self.element.finish()?;
        let array = ListArray::try_new(self.field.clone(), OffsetBuffer::new(ScalarBuffer::from(offsets)), values, nulls)
            .map_err(|_| Fault::Malformed("a list that does not fit its type"))?;
        Ok(Arc::new(array))
    }
}

fn decimal<A, B>(array: A, set: impl FnOnce(A) -> Result<B, arrow::error::ArrowError>) -> Result<B, Fault> {
    set(array).map_err(|_| Fault::Malformed("a decimal type that does not exist"))
}

fn too_many_bytes() -> Fault {
    Fault::Value(SqlState::PROGRAM_LIMIT_EXCEEDED, "more than 2 GB in one batch".into(), Some("Lower \"batch_rows\" of the connector."))
}

/// Offsets are 32 bits: a batch's column holds at most 2 GB.
fn room(used: usize, more: usize) -> Result<(), Fault> {
    if used.saturating_add(more) > i32::MAX as usize { Err(too_many_bytes()) } else { Ok(()) }
}

fn exact<const N: usize>(v: &[u8]) -> Result<[u8; N], Fault> {
    v.try_into().map_err(|_| Fault::Malformed("a value of another length than its type has"))
}

/// An integer of 2, 4 or 8 bytes into one that holds its value: the source may send a narrower or wider type than the promised one.
fn integer<T: TryFrom<i64>>(v: &[u8]) -> Result<T, Fault> {
    let wide = match v.len() {
        2 => i64::from(i16::from_be_bytes(exact(v)?)),
        4 => i64::from(i32::from_be_bytes(exact(v)?)),
        _ => i64::from_be_bytes(exact(v)?),
    };
    T::try_from(wide)
        .map_err(|_| Fault::Value(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{wide} does not fit the column's type"), None))
}

/// To Postgres every NaN is the same and the greatest. DataFusion compares by sign and bits, so that the NaN of `inf - inf`, which has its sign bit set
/// on x86, would be the least of all and equal to no other.
fn one_nan_64(v: f64) -> f64 {
    if v.is_nan() { f64::NAN } else { v }
}

fn one_nan_32(v: f32) -> f32 {
    if v.is_nan() { f32::NAN } else { v }
}

/// `infinity` and `-infinity` stay the largest and smallest value, as in Postgres: they sort right, and the wire prints them by name.
fn date(days: i32) -> Result<i32, Fault> {
    match days {
        i32::MAX | i32::MIN => Ok(days),
        d => d.checked_add(EPOCH_DAYS).filter(|d| *d != i32::MAX).ok_or_else(|| out_of_range("a date")),
    }
}

fn timestamp(micros: i64) -> Result<i64, Fault> {
    match micros {
        i64::MAX | i64::MIN => Ok(micros),
        m => m.checked_add(EPOCH_MICROS).filter(|m| *m != i64::MAX).ok_or_else(|| out_of_range("a timestamp")),
    }
}

fn interval(bytes: [u8; 16]) -> Result<IntervalMonthDayNano, Fault> {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    let micros = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let nanos = micros.checked_mul(1000).ok_or_else(|| out_of_range("the time part of an interval"))?;
    Ok(IntervalMonthDayNano::new(i32::from_be_bytes([m, n, o, p]), i32::from_be_bytes([i, j, k, l]), nanos))
}

fn out_of_range(what: &str) -> Fault {
    Fault::Value(
        SqlState::DATETIME_FIELD_OVERFLOW,
        format!("{what} beyond the range that can be held"),
        Some("Read it as text: remote_query with column::text, or a view at the source."),
    )
}

const NUMERIC_HINT: &str = "Set the connector's option unconstrained_numeric to 'text', or give the column a precision at the source.";

fn unfit(unfit: numeric::Unfit, p: u8, s: i8) -> Fault {
    let value = |what: String| Fault::Value(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, what, Some(NUMERIC_HINT));
    match unfit {
        Unfit::Malformed => Fault::Malformed("no numeric"),
        Unfit::Nan => value("NaN cannot be held as a decimal (option unconstrained_numeric)".into()),
        Unfit::Infinite => value("Infinity cannot be held as a decimal (option unconstrained_numeric)".into()),
        Unfit::TooLarge => value(format!("a value is too large for decimal({p},{s}) (option unconstrained_numeric)")),
        Unfit::TooFine => {
            value(format!("a value has more than {s} digits behind the point, decimal({p},{s}) (option unconstrained_numeric)"))
        }
    }
}
