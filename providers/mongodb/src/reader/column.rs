//! Decoders: BSON values straight into a column's Arrow builder.
//!
//! A decoder is made once per query from what the column holds ([`Kind`]) and the Arrow type that was asked for. A value that does not fit is an error;
//! nothing is cut, rounded or made NULL. What fits without loss is taken: a long that is a 32-bit integer's, an integer for a decimal.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, BooleanBuilder, ListArray, NullArray, PrimitiveBuilder, StringBuilder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, FieldRef, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, i256,
};
use bson::raw::RawBsonRef;
use bson::spec::BinarySubtype;
use fjord_engine::SqlState;
use fjord_engine::pushdown::Value;

use super::decimal::{self, Unfit, power_of_ten};
use crate::json;
use crate::types::{Kind, type_name, uuid_bytes};

/// Why a value was not taken.
#[derive(Debug)]
pub(super) enum Misfit {
    /// Its BSON type is not one of the column's.
    Type(&'static str),
    /// Its type is, but the Arrow type does not hold it.
    Value(SqlState, String, Option<&'static str>),
}

#[derive(Debug)]
enum Target {
    Bool(BooleanBuilder),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal128(PrimitiveBuilder<Decimal128Type>, i8, i256),
    Decimal256(PrimitiveBuilder<Decimal256Type>, i8, i256),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    List { items: Box<Column>, field: FieldRef, ends: Vec<i32>, valid: Vec<bool> },
    Null(usize),
}

/// One column's builder and how values get into it.
#[derive(Debug)]
pub(super) struct Column {
    kind: Kind,
    arrow: DataType,
    nullable: bool,
    target: Target,
    /// Values taken since the last batch.
    pub len: usize,
    scratch: String,
}

impl Column {
    /// A decoder; `None` where such a column is not read as that type.
    pub(super) fn new(kind: &Kind, arrow: &DataType, nullable: bool) -> Option<Column> {
        let target = match (kind, arrow) {
            (Kind::Bool, DataType::Boolean) => Target::Bool(BooleanBuilder::new()),
            (Kind::Int, DataType::Int32) => Target::Int32(PrimitiveBuilder::new()),
            (Kind::Int | Kind::Long, DataType::Int64) => Target::Int64(PrimitiveBuilder::new()),
            (Kind::Double | Kind::Int, DataType::Float64) => Target::Float64(PrimitiveBuilder::new()),
            (Kind::Int | Kind::Long | Kind::Decimal, DataType::Decimal128(p, s)) => {
                Target::Decimal128(PrimitiveBuilder::new(), *s, power_of_ten(u32::from(*p))?)
            }
            (Kind::Int | Kind::Long | Kind::Decimal, DataType::Decimal256(p, s)) => {
                Target::Decimal256(PrimitiveBuilder::new(), *s, power_of_ten(u32::from(*p))?)
            }
            (Kind::Date, DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => Target::Timestamp(PrimitiveBuilder::new()),
            (Kind::Binary, DataType::Binary) => Target::Bytes(BinaryBuilder::new()),
            (Kind::String | Kind::ObjectId | Kind::Uuid | Kind::Json | Kind::Raw | Kind::DecimalText, DataType::Utf8) => {
                Target::Text(StringBuilder::new())
            }
            (Kind::Array(item), DataType::List(field)) => {
                let items = Box::new(Column::new(item, field.data_type(), true)?);
                Target::List { items, field: field.clone(), ends: vec![0], valid: vec![] }
            }
            _ => return None,
        };
        Some(Column { kind: kind.clone(), arrow: arrow.clone(), nullable, target, len: 0, scratch: String::new() })
    }

    /// A column of one value, which [`Column::constant`] repeats.
    pub(super) fn of_constant(v: &Value, arrow: &DataType) -> Option<Column> {
        let target = match (v, arrow) {
            (Value::Null, DataType::Null) => Target::Null(0),
            (_, DataType::Boolean) => Target::Bool(BooleanBuilder::new()),
            (_, DataType::Int32) => Target::Int32(PrimitiveBuilder::new()),
            (_, DataType::Int64) => Target::Int64(PrimitiveBuilder::new()),
            (_, DataType::Float64) => Target::Float64(PrimitiveBuilder::new()),
            (_, DataType::Utf8) => Target::Text(StringBuilder::new()),
            (_, DataType::Timestamp(TimeUnit::Microsecond, _)) => Target::Timestamp(PrimitiveBuilder::new()),
            _ => return None,
        };
        Some(Column { kind: Kind::Json, arrow: arrow.clone(), nullable: true, target, len: 0, scratch: String::new() })
    }

    /// Appends a constant; false where it has no form in the column's type.
    pub(super) fn constant(&mut self, v: &Value) -> bool {
        self.len += 1;
        match (&mut self.target, v) {
            (_, Value::Null) => self.append_null(),
            (Target::Bool(b), Value::Bool(v)) => b.append_value(*v),
            (Target::Int32(b), Value::Int(v)) => match i32::try_from(*v) {
                Ok(v) => b.append_value(v),
                Err(_) => return false,
            },
            (Target::Int64(b), Value::Int(v)) => b.append_value(*v),
            (Target::Float64(b), Value::Float64(bits)) => b.append_value(f64::from_bits(*bits)),
            (Target::Text(b), Value::Text(v)) => b.append_value(v),
            (Target::Timestamp(b), Value::TimestampTz(v) | Value::Timestamp(v)) => b.append_value(*v),
            _ => return false,
        }
        true
    }

    /// Takes the next value.
    #[inline]
    pub(super) fn take(&mut self, v: RawBsonRef<'_>) -> Result<(), Misfit> {
        if matches!(v, RawBsonRef::Null) {
            return self.null();
        }
        let wrong = || Misfit::Type(type_name(v.element_type()));
        match (&mut self.target, &self.kind, v) {
            (Target::Int32(b), _, RawBsonRef::Int32(n)) => b.append_value(n),
            (Target::Int32(b), _, RawBsonRef::Int64(n)) => b.append_value(i32::try_from(n).map_err(|_| wrong())?),
            (Target::Int64(b), _, RawBsonRef::Int32(n)) => b.append_value(i64::from(n)),
            (Target::Int64(b), Kind::Long, RawBsonRef::Int64(n)) => b.append_value(n),
            // A 32-bit column that is read as wider.
            (Target::Int64(b), _, RawBsonRef::Int64(n)) => b.append_value(i32::try_from(n).map(i64::from).map_err(|_| wrong())?),
            (Target::Float64(b), Kind::Double, RawBsonRef::Double(d)) => b.append_value(d),
            (Target::Float64(b), _, RawBsonRef::Int32(n)) => b.append_value(f64::from(n)),
            (Target::Float64(b), Kind::Int, RawBsonRef::Int64(n)) => b.append_value(i32::try_from(n).map(f64::from).map_err(|_| wrong())?),
            (Target::Bool(b), _, RawBsonRef::Boolean(v)) => b.append_value(v),
            (Target::Text(b), Kind::String, RawBsonRef::String(s)) => b.append_value(s),
            (Target::Text(b), Kind::ObjectId, RawBsonRef::ObjectId(id)) => b.append_value(id.to_hex()),
            (Target::Text(b), Kind::Uuid, v) => {
                let bytes = uuid_bytes(&v).ok_or_else(wrong)?;
                self.scratch.clear();
                json::uuid(&mut self.scratch, &bytes);
                b.append_value(&self.scratch);
            }
            (Target::Text(b), Kind::DecimalText, RawBsonRef::Decimal128(d)) => b.append_value(d.to_string()),
            (Target::Text(b), Kind::DecimalText, RawBsonRef::Int32(n)) => b.append_value(n.to_string()),
            (Target::Text(b), Kind::DecimalText, RawBsonRef::Int64(n)) => b.append_value(n.to_string()),
            (Target::Text(b), Kind::Json | Kind::Raw, v) => {
                self.scratch.clear();
                json::value(&mut self.scratch, v).map_err(|e| Misfit::Value(SqlState::FEATURE_NOT_SUPPORTED, e, None))?;
                b.append_value(&self.scratch);
            }
            (Target::Bytes(b), _, RawBsonRef::Binary(v)) if matches!(v.subtype, BinarySubtype::Generic | BinarySubtype::BinaryOld) => {
                b.append_value(v.bytes);
            }
            (Target::Timestamp(b), _, RawBsonRef::DateTime(d)) => match d.timestamp_millis().checked_mul(1_000) {
                Some(micros) => b.append_value(micros),
                None => {
                    let what = format!("a date of {} milliseconds is out of range", d.timestamp_millis());
                    return Err(Misfit::Value(SqlState::DATETIME_FIELD_OVERFLOW, what, Some("Declare the field as json in \"columns\".")));
                }
            },
            (Target::Decimal128(..) | Target::Decimal256(..), kind, v) => {
                let whole = match (kind, v) {
                    (_, RawBsonRef::Int32(n)) => Some(i64::from(n)),
                    (Kind::Long | Kind::Decimal, RawBsonRef::Int64(n)) => Some(n),
                    (_, RawBsonRef::Int64(n)) => Some(i32::try_from(n).map(i64::from).map_err(|_| wrong())?),
                    (Kind::Decimal, RawBsonRef::Decimal128(_)) => None,
                    _ => return Err(wrong()),
                };
                self.decimal(whole, v)?;
            }
            (Target::List { items, ends, valid, .. }, _, RawBsonRef::Array(a)) => {
                for e in a.iter_elements() {
                    let item = e.and_then(|e| e.value()).map_err(|e| malformed(&e))?;
                    items.take(item)?;
                }
                let end = i32::try_from(items.len)
                    .map_err(|_| Misfit::Value(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many elements".into(), None))?;
                ends.push(end);
                valid.push(true);
            }
            _ => return Err(wrong()),
        }
        self.len += 1;
        Ok(())
    }

    fn decimal(&mut self, whole: Option<i64>, v: RawBsonRef<'_>) -> Result<(), Misfit> {
        let (scale, limit) = match &self.target {
            Target::Decimal128(_, s, l) | Target::Decimal256(_, s, l) => (*s, *l),
            _ => return Err(Misfit::Type("decimal")),
        };
        let scaled = match (whole, v) {
            (Some(n), _) => decimal::integer(n, scale, limit),
            (None, RawBsonRef::Decimal128(d)) => decimal::scaled(d.bytes(), scale, limit),
            _ => return Err(Misfit::Type(type_name(v.element_type()))),
        };
        let value = scaled.map_err(|u| {
            let what = match u {
                Unfit::NotFinite => "NaN and infinity are no numeric values",
                Unfit::Large => "a decimal has too many digits in front of the point",
                Unfit::Fine => "a decimal has too many digits behind the point",
            };
            Misfit::Value(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, what.into(), Some("Set option decimal128_mode 'text' of the connector."))
        })?;
        match &mut self.target {
            Target::Decimal128(b, ..) => b.append_value(value.to_i128().ok_or(Misfit::Type("decimal"))?),
            Target::Decimal256(b, ..) => b.append_value(value),
            _ => {}
        }
        Ok(())
    }

    /// Takes a null or what is missing.
    #[inline]
    pub(super) fn null(&mut self) -> Result<(), Misfit> {
        if !self.nullable {
            return Err(Misfit::Type("null"));
        }
        self.len += 1;
        self.append_null();
        Ok(())
    }

    fn append_null(&mut self) {
        match &mut self.target {
            Target::Bool(b) => b.append_null(),
            Target::Int32(b) => b.append_null(),
            Target::Int64(b) => b.append_null(),
            Target::Float64(b) => b.append_null(),
            Target::Decimal128(b, ..) => b.append_null(),
            Target::Decimal256(b, ..) => b.append_null(),
            Target::Timestamp(b) => b.append_null(),
            Target::Text(b) => b.append_null(),
            Target::Bytes(b) => b.append_null(),
            Target::List { ends, valid, .. } => {
                ends.push(ends.last().copied().unwrap_or(0));
                valid.push(false);
            }
            Target::Null(n) => *n += 1,
        }
    }

    /// Hands the values over and starts anew.
    pub(super) fn finish(&mut self) -> ArrayRef {
        self.len = 0;
        let arrow = &self.arrow;
        match &mut self.target {
            Target::Bool(b) => Arc::new(b.finish()),
            Target::Int32(b) => Arc::new(b.finish()),
            Target::Int64(b) => Arc::new(b.finish()),
            Target::Float64(b) => Arc::new(b.finish()),
            Target::Decimal128(b, ..) => Arc::new(b.finish().with_data_type(arrow.clone())),
            Target::Decimal256(b, ..) => Arc::new(b.finish().with_data_type(arrow.clone())),
            Target::Timestamp(b) => Arc::new(b.finish().with_data_type(arrow.clone())),
            Target::Text(b) => Arc::new(b.finish()),
            Target::Bytes(b) => Arc::new(b.finish()),
            Target::List { items, field, ends, valid } => {
                let values = items.finish();
                let nulls = NullBuffer::from(std::mem::take(valid));
                let offsets = OffsetBuffer::new(std::mem::replace(ends, vec![0]).into());
                let nulls = Some(nulls).filter(|n| n.null_count() > 0);
                Arc::new(ListArray::new(field.clone(), offsets, values, nulls))
            }
            Target::Null(n) => Arc::new(NullArray::new(std::mem::take(n))),
        }
    }

    /// What it holds, for messages.
    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Bytes that a row takes in this column beside the value's own.
    pub(super) fn fixed_width(&self) -> usize {
        match &self.target {
            Target::Bool(_) => 1,
            Target::Decimal256(..) => 33,
            Target::Decimal128(..) => 17,
            Target::List { .. } => 40,
            _ => 9,
        }
    }
}

fn malformed(e: &bson::error::Error) -> Misfit {
    Misfit::Value(SqlState::PROTOCOL_VIOLATION, format!("it is no BSON: {e}"), None)
}
