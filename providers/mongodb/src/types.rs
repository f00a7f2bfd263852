//! Kinds of columns: which BSON types a column takes, which Arrow type holds them, and what pushdown may know of it.
//!
//! The table is connectors.md's, lossless or refused by name, with these choices of ours: instants are microseconds like every connector's; objects,
//! BSON timestamps and whatever has no SQL type are extended JSON, which keeps all of it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use bson::raw::RawBsonRef;
use bson::spec::{BinarySubtype, ElementType};
use fjord_engine::pgtype::PG_TYPE;
use fjord_engine::pushdown::{Equality, Family, Order, RemoteType, TextFacts};

/// Digits and scale of a decimal without a declared scale, as for Postgres's unconstrained numeric.
pub(crate) const DECIMAL: (u8, i8) = (76, 38);

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 32-bit integers.
    Int,
    /// 64-bit integers, and 32-bit ones.
    Long,
    /// Doubles, and 32-bit integers, which they hold exactly.
    Double,
    /// Decimals, and integers.
    Decimal,
    /// The same as text, digit by digit.
    DecimalText,
    Bool,
    String,
    /// As 24 hexadecimal digits.
    ObjectId,
    /// Binary data of subtype 4.
    Uuid,
    /// Binary data of any other subtype.
    Binary,
    Date,
    /// Anything, as relaxed extended JSON.
    Json,
    /// The whole document, as relaxed extended JSON.
    Raw,
    /// Arrays of one scalar kind and nulls.
    Array(Box<Kind>),
}

impl Kind {
    /// The name in [`RemoteType::name`] and in the option `columns`.
    pub(crate) fn name(&self) -> String {
        match self {
            Kind::Int => "int".into(),
            Kind::Long => "long".into(),
            Kind::Double => "double".into(),
            Kind::Decimal => "decimal".into(),
            Kind::DecimalText => "decimal as text".into(),
            Kind::Bool => "bool".into(),
            Kind::String => "string".into(),
            Kind::ObjectId => "objectId".into(),
            Kind::Uuid => "uuid".into(),
            Kind::Binary => "binData".into(),
            Kind::Date => "date".into(),
            Kind::Json => "json".into(),
            Kind::Raw => "document".into(),
            Kind::Array(item) => format!("array<{}>", item.name()),
        }
    }

    /// The kind of a name; the names of both BSON and extended JSON are taken.
    pub(crate) fn parse(name: &str) -> Option<Kind> {
        if let Some(item) = name.strip_prefix("array<").and_then(|n| n.strip_suffix('>')) {
            let item = Kind::parse(item)?;
            return item.is_scalar().then(|| Kind::Array(Box::new(item)));
        }
        Some(match name {
            "int" | "int32" => Kind::Int,
            "long" | "int64" => Kind::Long,
            "double" => Kind::Double,
            "decimal" | "decimal128" => Kind::Decimal,
            "decimal as text" => Kind::DecimalText,
            "bool" | "boolean" => Kind::Bool,
            "string" => Kind::String,
            "objectId" => Kind::ObjectId,
            "uuid" => Kind::Uuid,
            "binData" | "binary" => Kind::Binary,
            "date" => Kind::Date,
            "json" | "object" | "array" => Kind::Json,
            "document" => Kind::Raw,
            _ => return None,
        })
    }

    /// Values of one simple type.
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Kind::Json | Kind::Raw | Kind::Array(_))
    }

    /// The kind that a remote type's name says.
    pub(crate) fn of(ty: &RemoteType) -> Option<Kind> {
        Kind::parse(&ty.name)
    }

    /// The Arrow type.
    pub(crate) fn arrow(&self) -> DataType {
        match self {
            Kind::Int => DataType::Int32,
            Kind::Long => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Decimal => DataType::Decimal256(DECIMAL.0, DECIMAL.1),
            Kind::Bool => DataType::Boolean,
            Kind::Binary => DataType::Binary,
            Kind::Date => utc(),
            Kind::Array(item) => DataType::List(Arc::new(Field::new("item", item.arrow(), true))),
            Kind::DecimalText | Kind::String | Kind::ObjectId | Kind::Uuid | Kind::Json | Kind::Raw => DataType::Utf8,
        }
    }

    /// The kinds whose texts are compared by their bytes on both sides.
    fn text(&self) -> Option<TextFacts> {
        matches!(self, Kind::String | Kind::ObjectId).then(|| TextFacts {
            equality: Equality::Bytewise,
            order: Order::Bytes,
            pads: false,
            collation: "simple".into(),
        })
    }

    /// For pushdown.
    pub(crate) fn remote(&self, nullable: bool) -> RemoteType {
        let family = match self {
            Kind::Int => Family::Int(32),
            Kind::Long => Family::Int(64),
            Kind::Double => Family::Float(64),
            Kind::Decimal => Family::Decimal(None),
            Kind::Bool => Family::Bool,
            Kind::String | Kind::ObjectId => Family::Text,
            Kind::Uuid => Family::Uuid,
            Kind::Binary => Family::Bytes,
            Kind::Date => Family::TimestampTz,
            Kind::Json | Kind::Raw => Family::Json,
            Kind::Array(item) => Family::Array(Box::new(item.remote(true))),
            Kind::DecimalText => Family::Other,
        };
        RemoteType { name: self.name(), family, arrow: self.arrow(), nullable, text: self.text() }
    }

    /// The Arrow field of a column.
    pub(crate) fn field(&self, name: &str, nullable: bool) -> Field {
        let pg = match self {
            Kind::Uuid => Some("uuid"),
            Kind::Json | Kind::Raw => Some("json"),
            Kind::Array(item) if **item == Kind::Uuid => Some("_uuid"),
            _ => None,
        };
        let metadata = pg.map(|pg| HashMap::from([(PG_TYPE.to_string(), pg.to_string())])).unwrap_or_default();
        Field::new(name, self.arrow(), nullable).with_metadata(metadata)
    }

    /// The BSON types (`$type` names) whose values such a column takes, for scalar kinds; `None`: any.
    pub(crate) fn bson_types(&self) -> Option<&'static [&'static str]> {
        Some(match self {
            // A long that fits, a double that is a 32-bit integer's: the reader decides.
            Kind::Int | Kind::Long => &["int", "long"],
            Kind::Double => &["double", "int"],
            Kind::Decimal | Kind::DecimalText => &["decimal", "int", "long"],
            Kind::Bool => &["bool"],
            Kind::String => &["string"],
            Kind::ObjectId => &["objectId"],
            Kind::Uuid | Kind::Binary => &["binData"],
            Kind::Date => &["date"],
            Kind::Array(_) => &["array"],
            Kind::Json | Kind::Raw => return None,
        })
    }
}

/// Instants.
pub(crate) fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The name of a value's BSON type, as `$type` says it.
pub(crate) fn type_name(t: ElementType) -> &'static str {
    match t {
        ElementType::Double => "double",
        ElementType::String => "string",
        ElementType::EmbeddedDocument => "object",
        ElementType::Array => "array",
        ElementType::Binary => "binData",
        ElementType::Undefined => "undefined",
        ElementType::ObjectId => "objectId",
        ElementType::Boolean => "bool",
        ElementType::DateTime => "date",
        ElementType::Null => "null",
        ElementType::RegularExpression => "regex",
        ElementType::DbPointer => "dbPointer",
        ElementType::JavaScriptCode => "javascript",
        ElementType::Symbol => "symbol",
        ElementType::JavaScriptCodeWithScope => "javascriptWithScope",
        ElementType::Int32 => "int",
        ElementType::Timestamp => "timestamp",
        ElementType::Int64 => "long",
        ElementType::Decimal128 => "decimal",
        ElementType::MaxKey => "maxKey",
        ElementType::MinKey => "minKey",
    }
}

/// A UUID's 16 bytes, if the value is one.
pub(crate) fn uuid_bytes(v: &RawBsonRef<'_>) -> Option<[u8; 16]> {
    match v {
        RawBsonRef::Binary(b) if b.subtype == BinarySubtype::Uuid => b.bytes.try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        let scalars = [
            Kind::Int,
            Kind::Long,
            Kind::Double,
            Kind::Decimal,
            Kind::DecimalText,
            Kind::Bool,
            Kind::String,
            Kind::ObjectId,
            Kind::Uuid,
            Kind::Binary,
            Kind::Date,
        ];
        for k in scalars {
            assert_eq!(Kind::parse(&k.name()), Some(k.clone()));
            let list = Kind::Array(Box::new(k));
            assert_eq!(Kind::parse(&list.name()), Some(list));
        }
        assert_eq!(Kind::parse("array<array<int>>"), None);
        assert_eq!(Kind::parse("array<json>"), None);
        assert_eq!(Kind::of(&Kind::Json.remote(true)), Some(Kind::Json));
        assert_eq!(Kind::of(&Kind::Raw.remote(true)), Some(Kind::Raw));
    }
}
