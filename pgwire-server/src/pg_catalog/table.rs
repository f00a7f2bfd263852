//! Building the rows of one system relation: columns are set by name, the rest gets NULL or, where NOT NULL, the type's zero.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder, UInt32Builder, new_null_array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::error::Result;
use fjord_engine::pgtype::{self, PgType};

use super::columns::Relation;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// bool.
    Bool(bool),
    /// Any integer type, and oid.
    Int(i64),
    /// A float.
    Float(f64),
    /// text, name, "char".
    Text(Cow<'a, str>),
    /// An array of integers or oids.
    Ints(Vec<i64>),
    /// An array of texts.
    Texts(Vec<String>),
    /// Microseconds since 1970.
    Instant(i64),
}

macro_rules! value_from {
    ($($t:ty => |$v:ident| $e:expr;)*) => { $(impl<'a> From<$t> for Value<'a> { fn from($v: $t) -> Value<'a> { $e } })* };
}

value_from! {
    bool => |v| Value::Bool(v);
    i16 => |v| Value::Int(v.into());
    i32 => |v| Value::Int(v.into());
    u32 => |v| Value::Int(v.into());
    i64 => |v| Value::Int(v);
    usize => |v| Value::Int(i64::try_from(v).unwrap_or(i64::MAX));
    f64 => |v| Value::Float(v);
    f32 => |v| Value::Float(v.into());
    char => |v| Value::Text(Cow::Owned(v.to_string()));
    &'a str => |v| Value::Text(Cow::Borrowed(v));
    &'a String => |v| Value::Text(Cow::Borrowed(v));
    String => |v| Value::Text(Cow::Owned(v));
    Vec<i64> => |v| Value::Ints(v);
    Vec<String> => |v| Value::Texts(v);
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(v: Option<T>) -> Value<'a> {
        v.map_or(Value::Null, Into::into)
    }
}

/// The Arrow field of a column whose type is a `typname`.
pub fn field(name: &str, type_name: &str, nullable: bool) -> Field {
    let list = |t: DataType| DataType::List(Arc::new(Field::new("item", t, true)));
    let pg = PgType::by_name(type_name).unwrap_or(pgtype::TEXT);
    let plain = match pg.to_arrow() {
        // Elements of arrays carry no metadata here: functions over arrays compare element types exactly.
        DataType::List(f) => list(f.data_type().clone()),
        t => t,
    };
    pgtype::field(name, plain, nullable, pg)
}

/// The Arrow schema of a system relation. Every column is nullable, also where `attnotnull` says otherwise: with fields that cannot be NULL,
/// DataFusion 55's planner fails on some UNIONs over outer joins ("Physical input schema should be the same").
pub fn schema(relation: &Relation) -> SchemaRef {
    Arc::new(Schema::new(relation.columns.iter().map(|c| field(c.name, c.type_name, true)).collect::<Vec<_>>()))
}

/// Appends values of one column.
pub struct ColumnBuilder {
    field: FieldRef,
    /// The column is NOT NULL: what is not given is the type's zero.
    zero: bool,
    inner: Inner,
}

enum Inner {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Oid(UInt32Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    Instant(TimestampMicrosecondBuilder),
    Int16s(ListBuilder<Int16Builder>),
    Oids(ListBuilder<UInt32Builder>),
    Int32s(ListBuilder<Int32Builder>),
    Texts(ListBuilder<StringBuilder>),
    /// A type that no relation fills: only NULLs are counted.
    Nulls(usize),
}

impl ColumnBuilder {
    /// A builder for a field; `zero`: the type's zero stands for what is not given.
    pub fn new(field: FieldRef, zero: bool) -> ColumnBuilder {
        let inner = match field.data_type() {
            DataType::Boolean => Inner::Bool(BooleanBuilder::new()),
            DataType::Int16 => Inner::Int16(Int16Builder::new()),
            DataType::Int32 => Inner::Int32(Int32Builder::new()),
            DataType::Int64 => Inner::Int64(Int64Builder::new()),
            DataType::UInt32 => Inner::Oid(UInt32Builder::new()),
            DataType::Float32 => Inner::Float32(Float32Builder::new()),
            DataType::Float64 => Inner::Float64(Float64Builder::new()),
            DataType::Utf8 => Inner::Text(StringBuilder::new()),
            DataType::Timestamp(_, zone) => Inner::Instant(TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone())),
            DataType::List(item) => match item.data_type() {
                DataType::Int16 => Inner::Int16s(ListBuilder::new(Int16Builder::new())),
                DataType::Int32 => Inner::Int32s(ListBuilder::new(Int32Builder::new())),
                DataType::UInt32 => Inner::Oids(ListBuilder::new(UInt32Builder::new())),
                DataType::Utf8 => Inner::Texts(ListBuilder::new(StringBuilder::new())),
                _ => Inner::Nulls(0),
            },
            _ => Inner::Nulls(0),
        };
        ColumnBuilder { field, zero, inner }
    }
    /// Appends a value; one that does not fit the type becomes NULL (or zero where the column is NOT NULL).
    pub fn push(&mut self, value: &Value<'_>) {
        let zero = self.zero;
        match &mut self.inner {
            Inner::Bool(b) => b.append_option(if let Value::Bool(v) = value { Some(*v) } else { zero.then_some(false) }),
            Inner::Int16(b) => b.append_option(int(value).or(zero.then_some(0))),
            Inner::Int32(b) => b.append_option(int(value).or(zero.then_some(0))),
            Inner::Int64(b) => b.append_option(int(value).or(zero.then_some(0))),
            Inner::Oid(b) => b.append_option(int(value).or(zero.then_some(0))),
            Inner::Float32(b) => b.append_option(float(value).or(zero.then_some(0.0)).map(|v| v as f32)),
            Inner::Float64(b) => b.append_option(float(value).or(zero.then_some(0.0))),
            Inner::Text(b) => match value {
                Value::Text(t) => b.append_value(t),
                _ => b.append_option(zero.then_some("")),
            },
            Inner::Instant(b) => b.append_option(if let Value::Instant(v) = value { Some(*v) } else { zero.then_some(0) }),
            Inner::Int16s(b) => match value {
                Value::Ints(v) => b.append_value(v.iter().map(|x| i16::try_from(*x).ok())),
                _ => b.append(zero),
            },
            Inner::Int32s(b) => match value {
                Value::Ints(v) => b.append_value(v.iter().map(|x| i32::try_from(*x).ok())),
                _ => b.append(zero),
            },
            Inner::Oids(b) => match value {
                Value::Ints(v) => b.append_value(v.iter().map(|x| u32::try_from(*x).ok())),
                _ => b.append(zero),
            },
            Inner::Texts(b) => match value {
                Value::Texts(v) => b.append_value(v.iter().map(Some)),
                _ => b.append(zero),
            },
            Inner::Nulls(n) => *n += 1,
        }
    }
    /// The finished column.
    pub fn finish(mut self) -> ArrayRef {
        match &mut self.inner {
            Inner::Bool(b) => Arc::new(b.finish()),
            Inner::Int16(b) => Arc::new(b.finish()),
            Inner::Int32(b) => Arc::new(b.finish()),
            Inner::Int64(b) => Arc::new(b.finish()),
            Inner::Oid(b) => Arc::new(b.finish()),
            Inner::Float32(b) => Arc::new(b.finish()),
            Inner::Float64(b) => Arc::new(b.finish()),
            Inner::Text(b) => Arc::new(b.finish()),
            Inner::Instant(b) => Arc::new(b.finish()),
            Inner::Int16s(b) => Arc::new(b.finish()),
            Inner::Int32s(b) => Arc::new(b.finish()),
            Inner::Oids(b) => Arc::new(b.finish()),
            Inner::Texts(b) => Arc::new(b.finish()),
            Inner::Nulls(n) => new_null_array(self.field.data_type(), *n),
        }
    }
}

fn int<T: TryFrom<i64>>(value: &Value<'_>) -> Option<T> {
    if let Value::Int(v) = value { T::try_from(*v).ok() } else { None }
}

fn float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Float(v) => Some(*v),
        Value::Int(v) => Some(*v as f64),
        _ => None,
    }
}

/// Collects the rows of one relation.
pub struct Rows {
    relation: &'static Relation,
    schema: SchemaRef,
    builders: Vec<ColumnBuilder>,
    places: HashMap<&'static str, usize>,
    // Which value of the present row belongs to each column; kept to spare an allocation a row.
    taken: Vec<Option<usize>>,
    rows: usize,
}

impl Rows {
    /// No rows yet.
    pub fn new(relation: &'static Relation) -> Rows {
        let schema = schema(relation);
        let fields = schema.fields().iter().zip(&relation.columns);
        let builders = fields.map(|(f, c)| ColumnBuilder::new(f.clone(), c.not_null)).collect();
        let places = relation.columns.iter().enumerate().map(|(i, c)| (c.name, i)).collect();
        Rows { relation, schema, builders, places, taken: vec![None; relation.columns.len()], rows: 0 }
    }
    /// Adds a row; columns that are not named get NULL or zero.
    pub fn push(&mut self, values: &[(&'static str, Value<'_>)]) {
        self.taken.iter_mut().for_each(|t| *t = None);
        for (i, (name, _)) in values.iter().enumerate() {
            debug_assert!(self.places.contains_key(name), "{} has no column {name}", self.relation.name);
            if let Some(&place) = self.places.get(name)
                && let Some(t) = self.taken.get_mut(place)
            {
                *t = Some(i);
            }
        }
        for (builder, taken) in self.builders.iter_mut().zip(&self.taken) {
            match taken.and_then(|i| values.get(i)) {
                Some((_, v)) => builder.push(v),
                None => builder.push(&Value::Null),
            }
        }
        self.rows += 1;
    }
    /// The batch.
    pub fn finish(self) -> Result<RecordBatch> {
        let columns = self.builders.into_iter().map(ColumnBuilder::finish).collect();
        Ok(RecordBatch::try_new(self.schema, columns)?)
    }
}
