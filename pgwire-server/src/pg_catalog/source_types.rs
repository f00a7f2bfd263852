//! Types that a source made itself and its columns have: enums, and arrays of them. Their values are sent as text; the catalog says what they are.

use std::collections::HashMap;

use fjord_engine::pushdown::{Family, RemoteType};

use super::definitions::quote_ident;
use super::model::Model;
use super::split_path;
use super::types::{self, TypeRow};

/// An enum of a source, or the array type over one.
#[derive(Debug, Clone)]
pub struct SourceType {
    /// Its OID.
    pub oid: u32,
    /// Its place in [`Model::schemas`].
    pub schema: usize,
    /// `typname`: of an array with a `_` in front.
    pub name: String,
    /// The OID of the array type over it; 0 for an array type.
    pub array: u32,
    /// The OID of an array's elements; 0 for an enum.
    pub element: u32,
    /// An enum's labels, in order.
    pub labels: Vec<String>,
}

/// All of a catalog's, by OID.
#[derive(Debug, Default)]
pub struct SourceTypes {
    /// In the order in which columns name them.
    pub all: Vec<SourceType>,
    by_oid: HashMap<u32, usize>,
}

impl SourceTypes {
    /// Adds a type.
    pub fn add(&mut self, t: SourceType) {
        self.by_oid.insert(t.oid, self.all.len());
        self.all.push(t);
    }
    /// A type by OID.
    pub fn get(&self, oid: u32) -> Option<&SourceType> {
        self.all.get(*self.by_oid.get(&oid)?)
    }
    /// A type by schema and name.
    pub fn named(&self, schema: usize, name: &str) -> Option<&SourceType> {
        self.all.iter().find(|t| t.schema == schema && t.name == name)
    }
}

/// The enum behind a column: its schema and name at the source, its labels, and whether the column is an array of it.
pub fn enum_of(remote: &RemoteType) -> Option<(String, String, &[String], bool)> {
    let (family, name, array) = match &remote.family {
        Family::Array(element) => (&element.family, &element.name, true),
        other => (other, &remote.name, false),
    };
    let Family::Enum(labels) = family else { return None };
    let mut parts = split_path(name)?;
    let last = parts.pop()?;
    Some((parts.pop().unwrap_or_default(), last, labels, array))
}

/// What `pg_attribute` and `information_schema` say of a column's storage.
#[derive(Debug, Clone, Copy)]
pub struct Storage {
    /// `typlen`.
    pub len: i16,
    /// `typbyval`.
    pub by_value: bool,
    /// `typalign`.
    pub align: char,
    /// `typstorage`.
    pub storage: char,
    /// `typcollation`.
    pub collation: u32,
    /// It is an array.
    pub array: bool,
}

impl Model {
    /// A source's own type.
    pub fn source_type(&self, oid: u32) -> Option<&SourceType> {
        self.source_types.get(oid)
    }
    /// How values of a type are stored, in Postgres.
    pub fn storage(&self, oid: u32) -> Option<Storage> {
        if let Some(TypeRow { len, by_value, align, storage, collation, category, .. }) = types::by_oid(oid).copied() {
            return Some(Storage { len, by_value, align, storage, collation, array: category == 'A' });
        }
        let array = self.source_type(oid)?.element != 0;
        Some(match array {
            true => Storage { len: -1, by_value: false, align: 'i', storage: 'x', collation: 0, array },
            false => Storage { len: 4, by_value: true, align: 'i', storage: 'p', collation: 0, array },
        })
    }
    /// `format_type`, with the schema of a type that a bare name does not find.
    pub fn format_type(&self, oid: u32, typmod: Option<i32>, path: &[String]) -> String {
        let Some(t) = self.source_type(oid) else { return types::format_type(oid, typmod) };
        if t.element != 0 {
            return format!("{}[]", self.format_type(t.element, None, path));
        }
        match self.schemas.get(t.schema) {
            Some(s) if !self.is_type_visible(oid, path) => format!("{}.{}", quote_ident(&s.name), quote_ident(&t.name)),
            _ => quote_ident(&t.name),
        }
    }
    /// Whether a bare name finds this type.
    pub fn is_type_visible(&self, oid: u32, path: &[String]) -> bool {
        let Some(t) = self.source_type(oid) else { return types::by_oid(oid).is_some() };
        let places = path.iter().filter_map(|s| self.schema_place(s));
        places.filter_map(|s| self.source_types.named(s, &t.name)).next().is_some_and(|first| first.oid == oid)
    }
    /// The OID of a source's type by name, through a search path where it has no schema; `[]` behind means the array.
    pub fn find_source_type(&self, text: &str, path: &[String]) -> Option<u32> {
        let (text, array) = text.trim().strip_suffix("[]").map_or((text, false), |t| (t, true));
        let names = split_path(text)?;
        let found = match names.as_slice() {
            [schema, name] => self.source_types.named(self.schema_place(schema)?, name),
            [name] => path.iter().filter_map(|s| self.schema_place(s)).find_map(|s| self.source_types.named(s, name)),
            _ => None,
        }?;
        if array { Some(found.array).filter(|a| *a != 0) } else { Some(found.oid) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn reads_an_enum_off_a_column() {
        let of = |name: &str, family| RemoteType { name: name.into(), family, arrow: DataType::Utf8, nullable: true, text: None };
        let mood = of("public.\"My Mood\"", Family::Enum(vec!["sad".into()]));
        assert_eq!(enum_of(&mood).unwrap(), ("public".into(), "My Mood".into(), &["sad".to_string()][..], false));
        assert!(enum_of(&of("public.\"My Mood\"[]", Family::Array(Box::new(mood)))).unwrap().3);
        assert!(enum_of(&of("text", Family::Text)).is_none());
    }
}
