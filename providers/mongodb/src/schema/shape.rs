//! What was seen in the documents of a collection, and the columns that follow.
//!
//! A [`Shape`] only ever gains: what it was merged with stays in it. So columns widen (int to long, two types to JSON), and never narrow while the
//! connector is open.

use std::collections::HashMap;

use bson::RawDocument;
use bson::raw::RawBsonRef;
use bson::spec::BinarySubtype;

use crate::types::Kind;

/// Fields of one object that are followed; an object with more is a map with data for keys, and read as JSON.
const FIELDS_MAX: usize = 1_000;
/// Elements of an array that are looked at.
const ITEMS_MAX: usize = 1_000;
/// Nesting that is looked at.
const DEPTH_MAX: usize = 16;
/// Columns of one collection.
pub(crate) const COLUMNS_MAX: usize = 1_600;

pub(crate) const INT: u32 = 1;
pub(crate) const LONG: u32 = 1 << 1;
pub(crate) const DOUBLE: u32 = 1 << 2;
pub(crate) const DECIMAL: u32 = 1 << 3;
pub(crate) const BOOL: u32 = 1 << 4;
pub(crate) const STRING: u32 = 1 << 5;
pub(crate) const OBJECT_ID: u32 = 1 << 6;
pub(crate) const UUID: u32 = 1 << 7;
pub(crate) const BINARY: u32 = 1 << 8;
pub(crate) const DATE: u32 = 1 << 9;
pub(crate) const OBJECT: u32 = 1 << 10;
pub(crate) const ARRAY: u32 = 1 << 11;
/// Regular expressions, timestamps, code and whatever else has no SQL type.
pub(crate) const OTHER: u32 = 1 << 12;
pub(crate) const NULL: u32 = 1 << 13;

/// The types seen in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    types: u32,
    /// Fields of objects, in order of first sight.
    fields: Vec<(String, Shape)>,
    index: HashMap<String, usize>,
    /// Elements of arrays.
    items: Option<Box<Shape>>,
    /// An object had more fields than are followed, or names that no path can say.
    pub(crate) partial: bool,
}

impl Shape {
    /// Adds types.
    pub(crate) fn add_types(&mut self, types: u32) {
        self.types |= types;
    }
    /// The field of an object, made where it is new; `None` where there are too many or a path cannot name it.
    pub(crate) fn field(&mut self, name: &str) -> Option<&mut Shape> {
        let at = match self.index.get(name) {
            Some(at) => *at,
            None => {
                if self.fields.len() >= FIELDS_MAX || !nameable(name) {
                    self.partial = true;
                    return None;
                }
                self.fields.push((name.to_string(), Shape::default()));
                self.index.insert(name.to_string(), self.fields.len() - 1);
                self.fields.len() - 1
            }
        };
        self.fields.get_mut(at).map(|(_, s)| s)
    }

    /// What its elements are.
    pub(crate) fn items(&mut self) -> &mut Shape {
        self.items.get_or_insert_with(Box::default)
    }

    /// Adds a document's fields.
    pub(crate) fn observe(&mut self, doc: &RawDocument) {
        self.observe_object(doc, 0);
    }

    fn observe_object(&mut self, doc: &RawDocument, depth: usize) {
        self.types |= OBJECT;
        for element in doc.iter_elements() {
            // What is malformed here is an error when it is read.
            let Ok(element) = element else { return };
            let Some(field) = self.field(element.key().as_str()) else { continue };
            match element.value() {
                Ok(v) => field.observe_value(v, depth + 1),
                Err(_) => field.types |= OTHER,
            }
        }
    }

    fn observe_value(&mut self, v: RawBsonRef<'_>, depth: usize) {
        self.types |= match v {
            RawBsonRef::Int32(_) => INT,
            RawBsonRef::Int64(_) => LONG,
            RawBsonRef::Double(_) => DOUBLE,
            RawBsonRef::Decimal128(_) => DECIMAL,
            RawBsonRef::Boolean(_) => BOOL,
            RawBsonRef::String(_) => STRING,
            RawBsonRef::ObjectId(_) => OBJECT_ID,
            RawBsonRef::Binary(b) if b.subtype == BinarySubtype::Uuid && b.bytes.len() == 16 => UUID,
            // A vector or an encrypted value is bytes to us, but others would lose what they are.
            RawBsonRef::Binary(b) if matches!(b.subtype, BinarySubtype::Generic | BinarySubtype::BinaryOld) => BINARY,
            RawBsonRef::DateTime(_) => DATE,
            RawBsonRef::Null => NULL,
            RawBsonRef::Document(d) => {
                if depth < DEPTH_MAX {
                    self.observe_object(d, depth);
                }
                OBJECT
            }
            RawBsonRef::Array(a) => {
                let items = self.items();
                for e in a.iter_elements().take(ITEMS_MAX) {
                    match e.and_then(|e| e.value()) {
                        Ok(v) if depth < DEPTH_MAX => items.observe_value(v, depth + 1),
                        _ => items.types |= OTHER,
                    }
                }
                ARRAY
            }
            _ => OTHER,
        };
    }

    /// Adds all that another has seen.
    pub(crate) fn merge(&mut self, other: &Shape) {
        self.types |= other.types;
        self.partial |= other.partial;
        for (name, shape) in &other.fields {
            if let Some(mine) = self.field(name) {
                mine.merge(shape);
            }
        }
        if let Some(items) = &other.items {
            self.items().merge(items);
        }
    }

    /// A value may be null.
    pub(crate) fn has_null(&self) -> bool {
        self.types & NULL != 0
    }

    /// What a column for it holds.
    pub(crate) fn kind(&self, decimal_as_text: bool) -> Kind {
        match self.types & !NULL {
            INT => Kind::Int,
            LONG => Kind::Long,
            t if t & !(INT | LONG) == 0 && t != 0 => Kind::Long,
            // A 32-bit integer is a double without loss; one of 64 bits is not.
            t if t & !(INT | DOUBLE) == 0 && t & DOUBLE != 0 => Kind::Double,
            t if t & !(INT | LONG | DECIMAL) == 0 && t & DECIMAL != 0 => {
                if decimal_as_text {
                    Kind::DecimalText
                } else {
                    Kind::Decimal
                }
            }
            BOOL => Kind::Bool,
            STRING => Kind::String,
            OBJECT_ID => Kind::ObjectId,
            UUID => Kind::Uuid,
            BINARY => Kind::Binary,
            DATE => Kind::Date,
            ARRAY => {
                let item = self.items.as_ref().map(|i| i.kind(decimal_as_text));
                match item {
                    Some(k) if k.is_scalar() => Kind::Array(Box::new(k)),
                    _ => Kind::Json,
                }
            }
            _ => Kind::Json,
        }
    }

    /// The columns of a collection: name, kind, nullable. Objects are a JSON column each, and their fields columns of their own down to `depth` names.
    pub(crate) fn columns(&self, depth: usize, decimal_as_text: bool) -> Vec<(String, Kind, bool)> {
        let mut out = vec![];
        // `_id` stands first, whatever the order.
        let id = self.fields.iter().filter(|(n, _)| n == "_id");
        for (name, shape) in id.chain(self.fields.iter().filter(|(n, _)| n != "_id")) {
            shape.add_columns(name.clone(), depth.saturating_sub(1), decimal_as_text, &mut out);
        }
        out
    }

    fn add_columns(&self, name: String, depth: usize, decimal_as_text: bool, out: &mut Vec<(String, Kind, bool)>) {
        if out.len() >= COLUMNS_MAX {
            return;
        }
        // Every document has an `_id`.
        let nullable = name != "_id" || self.has_null();
        out.push((name.clone(), self.kind(decimal_as_text), nullable));
        // Within an array a path means all of its elements.
        if depth == 0 || self.types & OBJECT == 0 || self.types & ARRAY != 0 || self.partial {
            return;
        }
        for (field, shape) in &self.fields {
            shape.add_columns(format!("{name}.{field}"), depth - 1, decimal_as_text, out);
        }
    }
}

/// Whether a path can name such a field.
pub(crate) fn nameable(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('$') && !name.contains(['.', '\0'])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bson::{RawDocumentBuf, doc};

    use super::*;

    fn columns(docs: &[bson::Document], depth: usize) -> Vec<String> {
        let mut s = Shape::default();
        for d in docs {
            s.observe(&RawDocumentBuf::try_from(d).unwrap());
        }
        s.columns(depth, false).into_iter().map(|(n, k, _)| format!("{n} {}", k.name())).collect()
    }

    #[test]
    fn objects_are_flattened_and_mixed_types_are_json() {
        let docs = [
            doc! { "a": 1, "_id": 1, "o": { "x": 1, "p": { "y": "s" } }, "l": [1, 2], "m": 1, "n": bson::Bson::Null },
            doc! { "_id": 2, "a": 5i64, "o": { "x": 2.5 }, "l": [bson::Bson::Null], "m": "x", "d": 1.5, "e": [] },
            doc! { "_id": 3, "d": 2, "mo": { "x": 1 }, "e": [{ "q": 1 }] },
            doc! { "_id": 4, "mo": [1] },
        ];
        assert_eq!(
            columns(&docs, 2),
            ["_id int", "a long", "o json", "o.x double", "o.p json", "l array<int>", "m json", "n json", "d double", "e json", "mo json"]
        );
        assert_eq!(columns(&docs[..1], 1), ["_id int", "a int", "o json", "l array<int>", "m int", "n json"]);
        assert_eq!(columns(&docs[..1], 3)[4..6], ["o.p json", "o.p.y string"]);
        assert_eq!(columns(&[doc! { "_id": 1, "x.y": 1, "$z": 2, "": 3 }], 2), ["_id int"]);
    }

    #[test]
    fn a_long_beside_a_double_keeps_its_digits() {
        assert_eq!(columns(&[doc! { "a": 1.5 }, doc! { "a": i64::MAX }], 2), ["a json"]);
    }
}
