//! The views of `information_schema` that have rows, one file each; every other one exists and is empty.

use super::columns::Relation;
use super::model::{RelationRow, SchemaRow};
use super::relations::{Context, Fill};
use super::table::Value;

pub mod character_sets;
pub mod check_constraints;
pub mod columns;
pub mod constraint_column_usage;
pub mod foreign_servers;
pub mod information_schema_catalog_name;
pub mod key_column_usage;
pub mod referential_constraints;
pub mod schemata;
pub mod table_constraints;
pub mod table_privileges;
pub mod tables;
pub mod views;

/// What the standard's views have in common.
pub trait Facts {
    /// The default database, which is the catalog of every name.
    fn database(&self) -> Value<'_>;
    /// Tables and views with their schemas.
    fn visible(&self) -> impl Iterator<Item = (&SchemaRow, &RelationRow)>;
    /// A relation by its place, with its schema.
    fn relation(&self, place: usize) -> Option<(&SchemaRow, &RelationRow)>;
}

impl Facts for Context<'_> {
    fn database(&self) -> Value<'_> {
        self.model.database.as_str().into()
    }
    fn visible(&self) -> impl Iterator<Item = (&SchemaRow, &RelationRow)> {
        self.model.relations.iter().filter_map(|r| Some((self.model.schema_of(r)?, r)))
    }
    fn relation(&self, place: usize) -> Option<(&SchemaRow, &RelationRow)> {
        let r = self.model.relations.get(place)?;
        Some((self.model.schema_of(r)?, r))
    }
}

const FILLED: &[(&str, Fill)] = &[
    ("character_sets", character_sets::fill),
    ("check_constraints", check_constraints::fill),
    ("columns", columns::fill),
    ("constraint_column_usage", constraint_column_usage::fill),
    ("foreign_servers", foreign_servers::fill),
    ("information_schema_catalog_name", information_schema_catalog_name::fill),
    ("key_column_usage", key_column_usage::fill),
    ("referential_constraints", referential_constraints::fill),
    ("schemata", schemata::fill),
    ("table_constraints", table_constraints::fill),
    ("table_privileges", table_privileges::fill),
    ("tables", tables::fill),
    ("views", views::fill),
];

/// How a view is filled; `None`: it has no rows.
pub fn fill(relation: &Relation) -> Option<Fill> {
    FILLED.iter().find(|(n, _)| *n == relation.name).map(|(_, f)| *f)
}
