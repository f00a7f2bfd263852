//! Columns that were declared: by the user in the option `columns`, or by a collection's `$jsonSchema` validator.

use std::collections::BTreeMap;

use bson::{Bson, Document};

use super::shape::{self, Shape, nameable};
use crate::types::Kind;

/// A user's columns of one collection, in order.
pub(crate) type Declared = Vec<(String, Kind)>;

/// The option `columns`, by database and collection. The error says what is wrong, and nothing else.
pub(crate) fn declared(text: &str) -> Result<BTreeMap<(String, String), Declared>, String> {
    // Read as a document, because that keeps the order of fields.
    let all: Document = serde_json::from_str(text).map_err(|e| format!("it is no JSON object: {e}"))?;
    let mut out = BTreeMap::new();
    for (collection, columns) in &all {
        let (database, name) = collection.split_once('.').ok_or_else(|| format!("\"{collection}\" is not database.collection"))?;
        let Bson::Document(columns) = columns else { return Err(format!("\"{collection}\" has no object of columns")) };
        let mut list = vec![];
        for (column, kind) in columns {
            let Bson::String(kind) = kind else { return Err(format!("the type of \"{collection}\".\"{column}\" is no text")) };
            if !column.split('.').all(nameable) {
                return Err(format!("\"{column}\" of \"{collection}\" is no path of fields"));
            }
            let kind = Kind::parse(kind).filter(|k| *k != Kind::Raw).ok_or_else(|| {
                format!("\"{kind}\" of \"{collection}\".\"{column}\" is no type: int, long, double, decimal, bool, string, objectId, uuid, binData, date, json or array<type>")
            })?;
            list.push((column.clone(), kind));
        }
        if list.is_empty() {
            return Err(format!("\"{collection}\" has no columns"));
        }
        out.insert((database.to_string(), name.to_string()), list);
    }
    Ok(out)
}

/// What a validator says of fields. Its word counts like that of a document: it says nothing of documents that were there before it.
pub(crate) fn of_validator(validator: &Document) -> Option<Shape> {
    let schema = validator.get_document("$jsonSchema").ok()?;
    let mut out = Shape::default();
    object(&mut out, schema, 0);
    Some(out)
}

fn object(into: &mut Shape, schema: &Document, depth: usize) {
    const DEPTH_MAX: usize = 16;
    into.add_types(shape::OBJECT);
    let Ok(properties) = schema.get_document("properties") else { return };
    if depth > DEPTH_MAX {
        return;
    }
    for (name, property) in properties {
        let Bson::Document(property) = property else { continue };
        // Without a type it says nothing.
        let Some(types) = types(property) else { continue };
        let Some(field) = into.field(name) else { continue };
        field.add_types(types);
        if types & shape::OBJECT != 0 {
            object(field, property, depth + 1);
        }
        if types & shape::ARRAY != 0
            && let Ok(items) = property.get_document("items")
        {
            let of_items = self::types(items).unwrap_or(shape::OTHER);
            field.items().add_types(of_items);
        }
    }
}

fn types(property: &Document) -> Option<u32> {
    let named = property.get("bsonType").or_else(|| property.get("type"))?;
    let one = |t: &Bson| match t.as_str()? {
        "int" => Some(shape::INT),
        "long" => Some(shape::LONG),
        "double" => Some(shape::DOUBLE),
        "decimal" => Some(shape::DECIMAL),
        "bool" | "boolean" => Some(shape::BOOL),
        "string" => Some(shape::STRING),
        "objectId" => Some(shape::OBJECT_ID),
        "date" => Some(shape::DATE),
        "object" => Some(shape::OBJECT),
        "array" => Some(shape::ARRAY),
        "null" => Some(shape::NULL),
        // `number` is any of four, `binData` any subtype: what documents have decides.
        "number" | "binData" => None,
        _ => Some(shape::OTHER),
    };
    match named {
        Bson::Array(all) => all.iter().map(one).try_fold(0, |sum, t| Some(sum | t?)),
        t => one(t),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn a_validator_gives_columns() {
        let v = doc! { "$jsonSchema": { "bsonType": "object", "required": ["a"], "properties": {
        "a": { "bsonType": "int" }, "b": { "bsonType": ["string", "null"] }, "n": { "bsonType": "number" }, "e": { "enum": [1, 2] },
        "o": { "bsonType": "object", "properties": { "x": { "bsonType": "date" } } },
        "l": { "bsonType": "array", "items": { "bsonType": "string" } } } } };
        let columns = of_validator(&v).unwrap().columns(2, false);
        let shown: Vec<_> = columns.iter().map(|(n, k, _)| format!("{n} {}", k.name())).collect();
        assert_eq!(shown, ["a int", "b string", "o json", "o.x date", "l array<string>"]);
        assert!(of_validator(&doc! { "a": { "$gt": 1 } }).is_none());
    }
}
