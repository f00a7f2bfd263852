//! What introspection brings back: tables, columns, keys, and the facts that pushdown rests on.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;

use crate::pushdown::RemoteType;

/// Everything one introspection pass has seen.
#[derive(Debug, Clone, Default)]
pub struct SourceCatalog {
    /// `PostgreSQL 15.18`.
    pub server_version: String,
    /// The schema that a bare connector name stands for (`public`, `files`).
    pub default_schema: String,
    /// Sorted by name.
    pub schemas: Vec<SchemaInfo>,
    /// What the user should know (types read as text, tables that cannot be read): shown as NOTICEs at CREATE.
    pub notices: Vec<String>,
}

impl SourceCatalog {
    /// A table by exact names.
    pub fn table(&self, schema: &str, table: &str) -> Option<&Arc<TableInfo>> {
        self.schemas.iter().find(|s| s.name == schema)?.tables.iter().find(|t| t.name == table)
    }
}

/// One schema.
#[derive(Debug, Clone)]
pub struct SchemaInfo {
    /// The name, in its own case.
    pub name: String,
    /// COMMENT ON SCHEMA.
    pub comment: Option<String>,
    /// Sorted by name.
    pub tables: Vec<Arc<TableInfo>>,
}

/// What kind of relation it is at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// An ordinary table.
    Table,
    /// The root of a partitioned table.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    Foreign,
    /// A set of files.
    Files,
}

impl TableKind {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            TableKind::Table => "table",
            TableKind::Partitioned => "partitioned table",
            TableKind::View => "view",
            TableKind::MaterializedView => "materialized view",
            TableKind::Foreign => "foreign table",
            TableKind::Files => "files",
        }
    }
}

/// One relation of a source.
#[derive(Clone)]
pub struct TableInfo {
    /// Its schema at the source.
    pub schema: String,
    /// Its name, in its own case.
    pub name: String,
    /// Its kind.
    pub kind: TableKind,
    /// In order; dropped columns are not there.
    pub columns: Vec<ColumnInfo>,
    /// Primary and unique keys; the primary key first.
    pub keys: Vec<KeyInfo>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Check constraints, for display only: nothing rests on them.
    pub checks: Vec<CheckInfo>,
    /// Indexes, those of keys too.
    pub indexes: Vec<IndexInfo>,
    /// How it is divided, and of what it is a part.
    pub partitioning: Partitioning,
    /// COMMENT ON TABLE.
    pub comment: Option<String>,
    /// Estimated rows, where the source knows (`None`: never analyzed).
    pub rows: Option<u64>,
    /// Size on the source's disk.
    pub bytes: Option<u64>,
    /// Why the source role cannot read it, if it cannot. Listed all the same; a query gets 42501 with this text.
    pub unreadable: Option<String>,
    /// Row-level security applies to the source role.
    pub row_security: bool,
    /// The provider for a table that DataFusion reads itself (files).
    pub native: Option<Arc<dyn TableProvider>>,
}

impl fmt::Debug for TableInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableInfo({}.{}, {} columns)", self.schema, self.name, self.columns.len())
    }
}

impl TableInfo {
    /// The Arrow schema.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()))
    }
    /// The primary key, if any.
    pub fn primary_key(&self) -> Option<&KeyInfo> {
        self.keys.iter().find(|k| k.primary)
    }
}

/// One column.
#[derive(Debug, Clone)]
pub struct ColumnInfo {
    /// Name, Arrow type, nullability; metadata holds the Postgres type ([`crate::pgtype::PG_TYPE`]).
    pub field: FieldRef,
    /// What pushdown knows of it.
    pub remote: RemoteType,
    /// The type as the source writes it (`character varying(20)`).
    pub source_type: String,
    /// COMMENT ON COLUMN.
    pub comment: Option<String>,
    /// The default's text.
    pub default: Option<String>,
    /// `GENERATED ... AS IDENTITY`: `a` (always) or `d` (by default), as in `pg_attribute.attidentity`.
    pub identity: Option<char>,
    /// The expression of a generated column.
    pub generated: Option<String>,
    /// The default's or generated column's text without the parentheses that are not needed, where that is another.
    pub pretty: Option<String>,
    /// From the source's statistics.
    pub stats: Option<ColumnStats>,
}

/// Statistics of one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColumnStats {
    /// Distinct values, estimated, absolute.
    pub distinct: Option<u64>,
    /// Fraction of NULLs, 0 to 1.
    pub null_fraction: f64,
    /// Bytes per value.
    pub average_width: u32,
}

/// A primary or unique key.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    /// The constraint's name.
    pub name: String,
    /// PRIMARY KEY.
    pub primary: bool,
    /// Ordinals into [`TableInfo::columns`].
    pub columns: Vec<usize>,
    /// DEFERRABLE: may be violated inside a transaction.
    pub deferrable: bool,
    /// The definition's text as the source prints it (`UNIQUE (a, b) INCLUDE (c)`).
    pub definition: String,
    /// COMMENT ON CONSTRAINT.
    pub comment: Option<String>,
}

/// A check constraint.
#[derive(Debug, Clone)]
pub struct CheckInfo {
    /// The constraint's name.
    pub name: String,
    /// Ordinals of the columns that it names.
    pub columns: Vec<usize>,
    /// The definition's text as the source prints it (`CHECK ((a > 0))`).
    pub definition: String,
    /// The same without the parentheses that are not needed.
    pub pretty: String,
    /// COMMENT ON CONSTRAINT.
    pub comment: Option<String>,
}

/// A table's place among partitions; a table that has none of these is no part of any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partitioning {
    /// The table that it is a partition of: schema and name.
    pub parent: Option<(String, String)>,
    /// Which rows of the parent it holds (`FOR VALUES FROM (1) TO (10)`, `DEFAULT`).
    pub bound: Option<String>,
    /// How its own rows are divided (`RANGE (at)`).
    pub key: Option<String>,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// Ordinals of the referencing columns.
    pub columns: Vec<usize>,
    /// The referenced table's schema.
    pub to_schema: String,
    /// The referenced table.
    pub to_table: String,
    /// The referenced columns, by name.
    pub to_columns: Vec<String>,
    /// The definition's text as the source prints it (`FOREIGN KEY (a) REFERENCES b(c) ON DELETE CASCADE`).
    pub definition: String,
    /// COMMENT ON CONSTRAINT.
    pub comment: Option<String>,
}

/// An index.
#[derive(Debug, Clone)]
pub struct IndexInfo {
    /// Its name.
    pub name: String,
    /// UNIQUE.
    pub unique: bool,
    /// Belongs to the primary key.
    pub primary: bool,
    /// Key columns in order; `None` for an expression.
    pub columns: Vec<Option<usize>>,
    /// Further columns that it only carries (INCLUDE).
    pub included: Vec<usize>,
    /// The definition's text as the source prints it.
    pub definition: String,
    /// The same without the parentheses that are not needed.
    pub pretty: String,
    /// Its method (`btree`, `gin`).
    pub method: String,
    /// The collation of each key column, where it has one; `None` where the type has none.
    pub collations: Vec<Option<String>>,
    /// The operator class of each key column (`text_pattern_ops`).
    pub operator_classes: Vec<String>,
    /// Has a WHERE clause.
    pub partial: bool,
    /// COMMENT ON INDEX.
    pub comment: Option<String>,
    /// Of a partition's index: the name of the partitioned table's index that it is a part of.
    pub parent: Option<String>,
}
