//! What pg_catalog shows, flattened from one catalog snapshot: schemas, relations, indexes, constraints with their OIDs. No SQL here.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use fjord_engine::catalog::{CatalogSnapshot, Connector};
use fjord_engine::pgtype::{PG_TYPMOD, PgType};
use fjord_engine::pushdown::RemoteType;
use fjord_engine::source::{CheckInfo, ForeignKey, IndexInfo, KeyInfo, TableInfo, TableKind};

use super::columns::{RELATIONS, Schema};
use super::source_types::{SourceType, SourceTypes, enum_of};
use super::types;

/// The role that owns what belongs to nobody else.
pub const SYSTEM_ROLE: &str = "fjord";
/// Its OID, that of Postgres's bootstrap superuser.
pub const SYSTEM_ROLE_OID: u32 = 10;
/// The OID of schema `public`, fixed in Postgres.
pub const PUBLIC_OID: u32 = 2200;
/// OIDs of objects that the catalog keeps none for (indexes, constraints, connectors) are hashed into this range, above what the catalog hands out from 16384 up and within
/// what clients read as a signed 32-bit number.
const HASHED: std::ops::Range<u32> = 1_000_000_000..2_000_000_000;

/// Partitions of partitions: deeper ones are not followed.
const PARTITION_DEPTH_MAX: usize = 64;

/// A schema.
#[derive(Debug, Clone)]
pub struct SchemaRow {
    /// Its OID.
    pub oid: u32,
    /// Its name in the default database.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// COMMENT ON SCHEMA.
    pub comment: Option<String>,
}

/// A table or view.
#[derive(Debug, Clone)]
pub struct RelationRow {
    /// Its OID.
    pub oid: u32,
    /// Its place in [`Model::schemas`].
    pub schema: usize,
    /// Its name.
    pub name: String,
    /// `relkind`.
    pub kind: char,
    /// Its owner.
    pub owner: String,
    /// In order.
    pub columns: Vec<ColumnRow>,
    /// A live table's facts.
    pub table: Option<Arc<TableInfo>>,
    /// A view's query.
    pub definition: Option<String>,
    /// COMMENT.
    pub comment: Option<String>,
    /// The connector's name.
    pub connector: Option<String>,
    /// The source's schema.
    pub remote_schema: Option<String>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct ColumnRow {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_oid: u32,
    /// Its modifier or -1.
    pub typmod: i32,
    /// NOT NULL.
    pub not_null: bool,
    /// The default's text; of a generated column its expression.
    pub default: Option<String>,
    /// The default without needless parentheses, where that is another text.
    pub pretty: Option<String>,
    /// `attidentity`.
    pub identity: Option<char>,
    /// It is generated from others, and stored.
    pub generated: bool,
    /// COMMENT.
    pub comment: Option<String>,
}

/// An index.
#[derive(Debug, Clone)]
pub struct IndexRow {
    /// Its OID.
    pub oid: u32,
    /// Its table's place in [`Model::relations`].
    pub relation: usize,
    /// What the source says.
    pub info: IndexInfo,
}

/// A constraint.
#[derive(Debug, Clone)]
pub struct ConstraintRow {
    /// Its OID.
    pub oid: u32,
    /// Its table's place in [`Model::relations`].
    pub relation: usize,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ConstraintKind,
    /// The index behind a key, or behind the referenced key.
    pub index_oid: u32,
}

/// Kinds of constraint.
#[derive(Debug, Clone)]
pub enum ConstraintKind {
    /// A primary or unique key.
    Key(KeyInfo),
    /// A check.
    Check(CheckInfo),
    /// A foreign key: the referenced relation's place, where it is known.
    Foreign(ForeignKey, Option<usize>),
}

/// A connector as a foreign server.
#[derive(Debug, Clone)]
pub struct ServerRow {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Its type's name, also the wrapper's.
    pub type_name: String,
    /// The server's version.
    pub version: Option<String>,
    /// Its owner.
    pub owner: String,
    /// Options as given; secrets are never in them.
    pub options: Vec<String>,
    /// COMMENT.
    pub comment: Option<String>,
}

impl ConstraintKind {
    /// COMMENT ON CONSTRAINT.
    pub fn comment(&self) -> Option<&String> {
        match self {
            ConstraintKind::Key(k) => k.comment.as_ref(),
            ConstraintKind::Check(c) => c.comment.as_ref(),
            ConstraintKind::Foreign(f, _) => f.comment.as_ref(),
        }
    }
}

/// Everything that is shown at one catalog version.
#[derive(Debug, Default)]
pub struct Model {
    /// The catalog's version.
    pub version: u64,
    /// The default database.
    pub database: String,
    /// Schemas.
    pub schemas: Vec<SchemaRow>,
    /// Tables and views.
    pub relations: Vec<RelationRow>,
    /// Indexes.
    pub indexes: Vec<IndexRow>,
    /// Constraints.
    pub constraints: Vec<ConstraintRow>,
    /// Connectors.
    pub servers: Vec<ServerRow>,
    /// Roles: name and OID.
    pub roles: Vec<(String, u32)>,
    /// Enums of the sources.
    pub source_types: SourceTypes,
    schema_by_oid: HashMap<u32, usize>,
    schema_by_name: HashMap<String, usize>,
    relation_by_oid: HashMap<u32, usize>,
    relation_by_name: HashMap<(usize, String), usize>,
    index_by_oid: HashMap<u32, usize>,
    constraint_by_oid: HashMap<u32, usize>,
    /// Of partitions, by OID.
    parents: HashMap<u32, usize>,
}

/// The columns of views, by schema and name.
pub type ViewColumns = HashMap<(String, String), SchemaRef>;

/// A relation of another provider in the default database: schema, name, columns.
pub type ExtraRelation = (String, String, SchemaRef);

impl Model {
    /// Flattens a snapshot; `extra` are tables of system schemas that other crates provide (`sys`). A view that is not in `views` has no columns.
    pub fn new(snapshot: &CatalogSnapshot, database: &str, extra: &[ExtraRelation], views: &ViewColumns) -> Model {
        let mut b = Builder { model: Model::default(), used: HashSet::new(), snapshot };
        b.model.version = snapshot.version;
        b.model.database = database.to_string();
        b.system();
        for (schema, name, columns) in extra {
            b.extra(schema, name, columns);
        }
        for connector in snapshot.connectors.values() {
            b.connector(connector);
        }
        b.views(views);
        b.keys();
        b.roles();
        b.model
    }
    /// A schema by OID.
    pub fn schema(&self, oid: u32) -> Option<&SchemaRow> {
        self.schemas.get(*self.schema_by_oid.get(&oid)?)
    }
    /// A schema by name.
    pub fn schema_named(&self, name: &str) -> Option<&SchemaRow> {
        self.schemas.get(*self.schema_by_name.get(name)?)
    }
    /// A schema's place by name.
    pub fn schema_place(&self, name: &str) -> Option<usize> {
        self.schema_by_name.get(name).copied()
    }
    /// The schema of a relation.
    pub fn schema_of(&self, relation: &RelationRow) -> Option<&SchemaRow> {
        self.schemas.get(relation.schema)
    }
    /// A table or view by OID.
    pub fn relation(&self, oid: u32) -> Option<&RelationRow> {
        self.relations.get(*self.relation_by_oid.get(&oid)?)
    }
    /// A table or view by schema and name.
    pub fn relation_named(&self, schema: &str, name: &str) -> Option<&RelationRow> {
        let schema = *self.schema_by_name.get(schema)?;
        self.relations.get(*self.relation_by_name.get(&(schema, name.to_string()))?)
    }
    /// An index by OID.
    pub fn index(&self, oid: u32) -> Option<&IndexRow> {
        self.indexes.get(*self.index_by_oid.get(&oid)?)
    }
    /// A constraint by OID.
    pub fn constraint(&self, oid: u32) -> Option<&ConstraintRow> {
        self.constraints.get(*self.constraint_by_oid.get(&oid)?)
    }
    /// A role's name.
    pub fn role(&self, oid: u32) -> Option<&str> {
        self.roles.iter().find(|(_, o)| *o == oid).map(|(n, _)| n.as_str())
    }
    /// A role's OID. A role that owns nothing (the present user) has one too.
    pub fn role_oid(name: &str) -> u32 {
        if name == SYSTEM_ROLE { SYSTEM_ROLE_OID } else { hashed(&["role", name]) }
    }
    /// The relation that this one is a partition of.
    pub fn parent(&self, relation: &RelationRow) -> Option<&RelationRow> {
        self.relations.get(*self.parents.get(&relation.oid)?)
    }
    /// A partition, what it is a part of, and so on up; empty for what is no part of a partitioned table.
    pub fn ancestors(&self, oid: u32) -> Vec<u32> {
        let Some(mut at) = self.relation(oid).filter(|r| r.kind == 'p' || self.parent(r).is_some()) else { return vec![] };
        let mut out = vec![oid];
        // A tree has no cycles; the bound keeps a damaged catalog from hanging us.
        while let Some(up) = self.parent(at).filter(|_| out.len() < PARTITION_DEPTH_MAX) {
            out.push(up.oid);
            at = up;
        }
        out
    }
    /// The names of a relation or index: schema and name.
    pub fn names(&self, oid: u32) -> Option<(&str, &str)> {
        if let Some(r) = self.relation(oid) {
            return Some((&self.schema_of(r)?.name, &r.name));
        }
        let i = self.index(oid)?;
        Some((&self.schema_of(self.relations.get(i.relation)?)?.name, &i.info.name))
    }
}

/// A stable OID for what the catalog keeps none: the same path gives the same OID on each server and after each restart.
pub fn hashed(path: &[&str]) -> u32 {
    // FNV-1a, because std's hashes promise nothing across versions.
    let mut h: u32 = 0x811c_9dc5;
    for part in path {
        for b in part.bytes().chain([0]) {
            h = (h ^ u32::from(b)).wrapping_mul(0x0100_0193);
        }
    }
    HASHED.start + h % (HASHED.end - HASHED.start)
}

struct Builder<'a> {
    model: Model,
    used: HashSet<u32>,
    snapshot: &'a CatalogSnapshot,
}

impl Builder<'_> {
    /// The persisted OID of a path, or a hashed one; two paths never share one.
    fn oid(&mut self, path: &[&str]) -> u32 {
        let key: Vec<String> = path.iter().map(|s| (*s).to_string()).collect();
        let mut oid = self.snapshot.oids.get(&key).copied().unwrap_or_else(|| hashed(path));
        while !self.used.insert(oid) {
            oid = if oid + 1 >= HASHED.end || oid < HASHED.start { HASHED.start } else { oid + 1 };
        }
        oid
    }
    fn add_schema(&mut self, oid: u32, name: &str, owner: &str, comment: Option<String>) -> usize {
        if let Some(i) = self.model.schema_by_name.get(name) {
            return *i;
        }
        let i = self.model.schemas.len();
        self.used.insert(oid);
        self.model.schemas.push(SchemaRow { oid, name: name.into(), owner: owner.into(), comment });
        self.model.schema_by_oid.insert(oid, i);
        self.model.schema_by_name.insert(name.into(), i);
        i
    }
    fn add_relation(&mut self, row: RelationRow) {
        let i = self.model.relations.len();
        self.used.insert(row.oid);
        self.model.relation_by_oid.insert(row.oid, i);
        self.model.relation_by_name.insert((row.schema, row.name.clone()), i);
        self.model.relations.push(row);
    }
    fn system(&mut self) {
        let schemas = [(Schema::PgCatalog, "system catalog schema"), (Schema::InformationSchema, "the SQL standard's view of the catalog")];
        for (s, comment) in schemas {
            self.add_schema(s.oid(), s.name(), SYSTEM_ROLE, Some(comment.into()));
        }
        self.add_schema(PUBLIC_OID, "public", SYSTEM_ROLE, Some("views of this database".into()));
        for r in RELATIONS.iter() {
            let columns = r.columns.iter().map(|c| ColumnRow {
                name: c.name.into(),
                type_oid: types::by_name(c.type_name).map_or(25, |t| t.oid),
                typmod: -1,
                not_null: c.not_null,
                default: None,
                pretty: None,
                identity: None,
                generated: false,
                comment: None,
            });
            let schema = usize::from(r.schema == Schema::InformationSchema);
            let columns = columns.collect();
            self.add_relation(RelationRow { columns, ..plain(r.oid, schema, r.name, r.kind, SYSTEM_ROLE) });
        }
    }
    fn extra(&mut self, schema: &str, name: &str, columns: &SchemaRef) {
        let oid = self.oid(&["system", schema]);
        let schema_index = self.add_schema(oid, schema, SYSTEM_ROLE, Some("what Fjord knows of itself".into()));
        let columns = columns.fields().iter().map(|f| column(f)).collect();
        let oid = self.oid(&["system", schema, name]);
        self.add_relation(RelationRow { columns, ..plain(oid, schema_index, name, 'v', SYSTEM_ROLE) });
    }
    fn connector(&mut self, c: &Connector) {
        let oid = self.oid(&["server", &c.name]);
        self.model.servers.push(ServerRow {
            oid,
            name: c.name.clone(),
            type_name: c.type_name.clone(),
            version: c.schema.as_ref().ok().map(|s| s.server_version.clone()).filter(|v| !v.is_empty()),
            owner: c.owner.clone(),
            options: c.options.iter().map(|(k, v)| format!("{k}={v}")).collect(),
            comment: c.comment.clone(),
        });
        let Ok(catalog) = &c.schema else { return };
        for (exposed, remote) in CatalogSnapshot::exposed_schemas(c) {
            let Some(info) = catalog.schemas.iter().find(|s| s.name == remote) else { continue };
            let oid = self.oid(&[&c.name, &remote]);
            let comment = info.comment.clone().or_else(|| (remote == catalog.default_schema).then(|| c.comment.clone()).flatten());
            let schema = self.add_schema(oid, &exposed, &c.owner, comment);
            for t in &info.tables {
                let oid = self.oid(&[&c.name, &remote, &t.name]);
                let mut columns: Vec<ColumnRow> = t.columns.iter().map(|c| column(&c.field)).collect();
                for (row, info) in columns.iter_mut().zip(&t.columns) {
                    row.default = info.default.clone().or_else(|| info.generated.clone());
                    row.pretty.clone_from(&info.pretty);
                    row.identity = info.identity;
                    row.generated = info.generated.is_some();
                    if let Some(oid) = self.source_type(c, schema, &info.remote) {
                        row.type_oid = oid;
                    }
                    row.comment.clone_from(&info.comment);
                }
                self.add_relation(RelationRow {
                    columns,
                    table: Some(t.clone()),
                    comment: t.comment.clone(),
                    connector: Some(c.name.clone()),
                    remote_schema: Some(remote.clone()),
                    ..plain(oid, schema, &t.name, kind(t.kind), &c.owner)
                });
            }
        }
    }
    /// The OID of a column's own type, where it has one; the type is added when it is first seen. An enum of a schema that is not exposed lives
    /// beside the table.
    fn source_type(&mut self, c: &Connector, beside: usize, remote: &RemoteType) -> Option<u32> {
        let (remote_schema, name, labels, array) = enum_of(remote)?;
        let exposed = CatalogSnapshot::exposed_schemas(c).into_iter().find(|(_, r)| *r == remote_schema);
        let schema = match exposed {
            Some((exposed, remote)) => {
                let oid = self.oid(&[&c.name, &remote]);
                self.add_schema(oid, &exposed, &c.owner, None)
            }
            None => beside,
        };
        if self.model.source_types.named(schema, &name).is_none() {
            let array_name = format!("_{name}");
            let oid = self.oid(&[&c.name, &remote_schema, "type", &name]);
            let array = self.oid(&[&c.name, &remote_schema, "type", &array_name]);
            let labels = labels.to_vec();
            self.model.source_types.add(SourceType { oid, schema, name: name.clone(), array, element: 0, labels });
            self.model.source_types.add(SourceType { oid: array, schema, name: array_name, array: 0, element: oid, labels: vec![] });
        }
        let found = self.model.source_types.named(schema, &name)?;
        Some(if array { found.array } else { found.oid })
    }
    fn views(&mut self, planned: &ViewColumns) {
        let views: Vec<_> = self.snapshot.views.values().cloned().collect();
        for v in views {
            let schema = match self.model.schema_by_name.get(&v.schema) {
                Some(i) => *i,
                None => {
                    let oid = self.oid(&["view", &v.schema]);
                    self.add_schema(oid, &v.schema, &v.owner, None)
                }
            };
            let oid = self.oid(&["view", &v.schema, &v.name]);
            let columns = planned.get(&(v.schema.clone(), v.name.clone())).map(|s| s.fields().iter().map(|f| column(f)).collect());
            self.add_relation(RelationRow {
                definition: Some(v.definition.clone()),
                comment: v.comment.clone(),
                // The fields say nullable anyway: Postgres has no NOT NULL on views.
                columns: columns.unwrap_or_default(),
                ..plain(oid, schema, &v.name, 'v', &v.owner)
            });
        }
    }
    /// Indexes and constraints, after all relations are there to be referenced.
    fn keys(&mut self) {
        let remote: HashMap<(String, String, String), usize> = self
            .model
            .relations
            .iter()
            .enumerate()
            .filter_map(|(i, r)| Some(((r.connector.clone()?, r.remote_schema.clone()?, r.name.clone()), i)))
            .collect();
        for at in 0..self.model.relations.len() {
            let Some((table, connector)) = self.model.relations.get(at).and_then(|r| Some((r.table.clone()?, r.connector.clone()?))) else {
                continue;
            };
            if let (Some((schema, name)), Some(oid)) = (&table.partitioning.parent, self.model.relations.get(at).map(|r| r.oid))
                && let Some(parent) = remote.get(&(connector.clone(), schema.clone(), name.clone()))
            {
                self.model.parents.insert(oid, *parent);
            }
            let path =
                |kind: &'static str, name: &str| [connector.clone(), table.schema.clone(), table.name.clone(), kind.into(), name.into()];
            for info in &table.indexes {
                let path = path("index", &info.name);
                let oid = self.oid(&path.each_ref().map(String::as_str));
                self.model.index_by_oid.insert(oid, self.model.indexes.len());
                self.model.indexes.push(IndexRow { oid, relation: at, info: info.clone() });
            }
            for key in &table.keys {
                let path = path("constraint", &key.name);
                let oid = self.oid(&path.each_ref().map(String::as_str));
                self.add_constraint(oid, at, &key.name, ConstraintKind::Key(key.clone()));
            }
            for check in &table.checks {
                let path = path("constraint", &check.name);
                let oid = self.oid(&path.each_ref().map(String::as_str));
                self.add_constraint(oid, at, &check.name, ConstraintKind::Check(check.clone()));
            }
            for fk in &table.foreign_keys {
                let path = path("constraint", &fk.name);
                let oid = self.oid(&path.each_ref().map(String::as_str));
                let to = remote.get(&(connector.clone(), fk.to_schema.clone(), fk.to_table.clone())).copied();
                self.add_constraint(oid, at, &fk.name, ConstraintKind::Foreign(fk.clone(), to));
            }
        }
        self.link_indexes();
    }
    fn add_constraint(&mut self, oid: u32, relation: usize, name: &str, kind: ConstraintKind) {
        self.model.constraint_by_oid.insert(oid, self.model.constraints.len());
        self.model.constraints.push(ConstraintRow { oid, relation, name: name.into(), kind, index_oid: 0 });
    }
    /// A key's index has its name; a foreign key points to the index of the key with the referenced columns.
    fn link_indexes(&mut self) {
        let by_name: HashMap<(usize, &str), u32> = self.model.indexes.iter().map(|i| ((i.relation, i.info.name.as_str()), i.oid)).collect();
        let found: Vec<u32> = self
            .model
            .constraints
            .iter()
            .map(|c| match &c.kind {
                ConstraintKind::Key(k) => by_name.get(&(c.relation, k.name.as_str())).copied(),
                ConstraintKind::Check(_) => None,
                ConstraintKind::Foreign(fk, to) => to.and_then(|to| {
                    let table = self.model.relations.get(to)?.table.as_ref()?;
                    let key = table.keys.iter().find(|k| same_columns(table, k, &fk.to_columns))?;
                    by_name.get(&(to, key.name.as_str())).copied()
                }),
            })
            .map(Option::unwrap_or_default)
            .collect();
        for (c, oid) in self.model.constraints.iter_mut().zip(found) {
            c.index_oid = oid;
        }
    }
    fn roles(&mut self) {
        let mut names: BTreeSet<&str> = [SYSTEM_ROLE].into();
        names.extend(self.model.schemas.iter().map(|s| s.owner.as_str()));
        names.extend(self.model.relations.iter().map(|r| r.owner.as_str()));
        names.extend(self.model.servers.iter().map(|s| s.owner.as_str()));
        self.model.roles = names.into_iter().map(|n| (n.to_string(), Model::role_oid(n))).collect();
    }
}

/// Whether a key is over just these columns.
fn same_columns(table: &TableInfo, key: &KeyInfo, names: &[String]) -> bool {
    let key: BTreeSet<&str> = key.columns.iter().filter_map(|i| table.columns.get(*i)).map(|c| c.field.name().as_str()).collect();
    key == names.iter().map(String::as_str).collect()
}

fn plain(oid: u32, schema: usize, name: &str, kind: char, owner: &str) -> RelationRow {
    RelationRow {
        oid,
        schema,
        name: name.into(),
        kind,
        owner: owner.into(),
        columns: vec![],
        table: None,
        definition: None,
        comment: None,
        connector: None,
        remote_schema: None,
    }
}

fn column(f: &Field) -> ColumnRow {
    ColumnRow {
        name: f.name().clone(),
        type_oid: PgType::of(f).oid,
        typmod: f.metadata().get(PG_TYPMOD).and_then(|m| m.parse().ok()).unwrap_or(-1),
        not_null: !f.is_nullable(),
        default: None,
        pretty: None,
        identity: None,
        generated: false,
        comment: None,
    }
}

/// Foreign tables and files are `r`: clients list no other kind as tables.
fn kind(kind: TableKind) -> char {
    match kind {
        TableKind::View => 'v',
        TableKind::MaterializedView => 'm',
        TableKind::Partitioned => 'p',
        TableKind::Table | TableKind::Foreign | TableKind::Files => 'r',
    }
}
