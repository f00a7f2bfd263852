//! The facts that pushdown rests on, and whether they still hold.
//!
//! A changed collation, enum label or NOT NULL raises nothing at the source: it only makes a pushed query wrong. So a plan is compared with what the
//! last introspection saw, and what that saw is asked again, in the query's own round trip, once it is older than `schema_ttl`; before the first row
//! is released.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjord_engine::pushdown::{Rel, ScanColumn};
use fjord_engine::source::TableInfo;
use fjord_engine::{Result, SqlError, SqlState};
use parking_lot::Mutex;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use crate::error::Origin;
use crate::types::Types;

/// `$1`, `$2`: schemas and tables. The casts to name let the index of pg_class answer. The locale is read as in the introspection's query.
const QUERY: &str = r"
SELECT w.s, w.t, a.attname::text, a.atttypid::int8, a.atttypmod, a.attcollation::int8, a.attnotnull, l.collprovider::text, l.collisdeterministic,
       coalesce(CASE WHEN l.collprovider = 'c' THEN l.collcollate::text END, to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale',
                l.collcollate::text, ''),
       coalesce((SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
                 WHERE e.enumtypid IN (t.oid, t.typelem, t.typbasetype)), '{}'::text[])
FROM unnest($1::text[], $2::text[]) AS w (s, t)
JOIN pg_catalog.pg_namespace n ON n.nspname = w.s::name
JOIN pg_catalog.pg_class c ON c.relname = w.t::name AND c.relnamespace = n.oid
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation";

/// What one introspection saw.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    tables: HashMap<(String, String), Table>,
}

#[derive(Debug)]
struct Table {
    info: Arc<TableInfo>,
    /// One per column of `info`.
    marks: Vec<u64>,
    /// When the source last said so.
    at: Mutex<Instant>,
}

/// A column's facts, to be told apart from others.
#[derive(Hash)]
pub(crate) struct Mark<'a> {
    pub type_oid: u32,
    pub typmod: i32,
    pub collation: u32,
    pub not_null: bool,
    pub provider: char,
    pub deterministic: bool,
    pub locale: &'a str,
    pub labels: &'a [String],
}

impl Mark<'_> {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        Hash::hash(self, &mut hasher);
        hasher.finish()
    }
}

/// The mark of a column as the introspection saw it.
pub(crate) fn mark(types: &Types, type_oid: u32, typmod: i32, collation: u32, not_null: bool) -> u64 {
    let ty = types.rows.get(&type_oid);
    let labels = ty
        .and_then(|t| {
            [type_oid, t.element, t.base].iter().filter_map(|o| types.rows.get(o)).map(|r| r.labels.as_slice()).find(|l| !l.is_empty())
        })
        .unwrap_or_default();
    let c = types.collations.get(&collation);
    Mark {
        type_oid,
        typmod,
        collation,
        not_null,
        provider: c.map_or(' ', |c| c.provider),
        deterministic: c.is_some_and(|c| c.deterministic),
        locale: c.map_or("", |c| c.locale.as_str()),
        labels,
    }
    .hash()
}

impl Facts {
    /// Adds a table that has just been read.
    pub(crate) fn add(&mut self, info: Arc<TableInfo>, marks: Vec<u64>) {
        let key = (info.schema.clone(), info.name.clone());
        self.tables.insert(key, Table { info, marks, at: Mutex::new(Instant::now()) });
    }

    /// What is known of a table.
    pub(crate) fn table(&self, schema: &str, name: &str) -> Option<&TableInfo> {
        self.tables.get(&(schema.to_string(), name.to_string())).map(|t| t.info.as_ref())
    }

    /// Was the plan made with what is known now?
    pub(crate) fn check_plan(&self, origin: &Origin, rel: &Rel) -> Result<()> {
        let mut outcome = Ok(());
        scans(rel, &mut |schema, table, columns| {
            let Some(known) = self.tables.get(&(schema.to_string(), table.to_string())) else { return };
            for planned in columns {
                let now = known.info.columns.iter().find(|c| c.field.name() == &planned.name).map(|c| &c.remote);
                // A plan that allows for NULLs is right without them too.
                let same = now.is_some_and(|now| {
                    let p = &planned.ty;
                    (&p.name, &p.family, &p.arrow, &p.text) == (&now.name, &now.family, &now.arrow, &now.text)
                        && (p.nullable || !now.nullable)
                });
                if !same && outcome.is_ok() {
                    outcome =
                        Err(changed(origin, schema, table, &planned.name).hint("Run the query again: it was planned before the change."));
                }
            }
        });
        outcome
    }

    /// The tables of a query whose facts are older than `ttl`.
    pub(crate) fn stale(&self, rel: &Rel, ttl: Duration) -> Vec<(String, String)> {
        rel.tables().into_iter().filter(|t| self.tables.get(t).is_some_and(|t| t.at.lock().elapsed() >= ttl)).collect()
    }

    /// Asks the source. One message: it must be on its way before the COPY is, behind whose rows the answer would wait.
    pub(crate) async fn ask(&self, client: &Client, tables: &[(String, String)]) -> Result<Vec<Row>, Error> {
        let (schemas, names): (Vec<&str>, Vec<&str>) = tables.iter().map(|(s, t)| (s.as_str(), t.as_str())).unzip();
        client.query_typed(QUERY, &[(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)]).await
    }

    /// Compares the answer with what is known.
    pub(crate) fn check_answer(&self, origin: &Origin, tables: &[(String, String)], rows: &[Row]) -> Result<()> {
        let mut now: HashMap<(String, String), HashMap<String, u64>> = HashMap::new();
        for row in rows {
            let (schema, table, column, mark) = answered(row).map_err(|e| origin.running(&e))?;
            now.entry((schema, table)).or_default().insert(column, mark);
        }
        for key in tables {
            let (Some(known), Some(now)) = (self.tables.get(key), now.get(key)) else { continue };
            for (column, mark) in known.info.columns.iter().zip(&known.marks) {
                // A column that is gone is the query's own error, if the query uses it.
                if now.get(column.field.name()).is_some_and(|m| m != mark) {
                    return Err(changed(origin, &key.0, &key.1, column.field.name())
                        .hint("REFRESH SCHEMA of the connector, then run the query again."));
                }
            }
            *known.at.lock() = Instant::now();
        }
        Ok(())
    }
}

fn answered(row: &Row) -> Result<(String, String, String, u64), Error> {
    let oid = |i| row.try_get::<_, i64>(i).map(|o| u32::try_from(o).unwrap_or(0));
    let (locale, labels): (String, Vec<String>) = (row.try_get(9)?, row.try_get(10)?);
    let mark = Mark {
        type_oid: oid(3)?,
        typmod: row.try_get(4)?,
        collation: oid(5)?,
        not_null: row.try_get(6)?,
        provider: row.try_get::<_, Option<&str>>(7)?.and_then(|p| p.chars().next()).unwrap_or(' '),
        deterministic: row.try_get::<_, Option<bool>>(8)?.unwrap_or(false),
        locale: &locale,
        labels: &labels,
    };
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, mark.hash()))
}

fn changed(origin: &Origin, schema: &str, table: &str, column: &str) -> SqlError {
    let what = format!("column \"{column}\" of \"{schema}\".\"{table}\" has changed at the source");
    origin.error(SqlState::FDW_INCONSISTENT_DESCRIPTOR, what)
}

fn scans(rel: &Rel, each: &mut dyn FnMut(&str, &str, &[ScanColumn])) {
    match rel {
        Rel::Scan { schema, table, columns } => each(schema, table, columns),
        Rel::Filter { input, .. }
        | Rel::Project { input, .. }
        | Rel::Aggregate { input, .. }
        | Rel::GroupingSets { input, .. }
        | Rel::Distinct { input }
        | Rel::Sort { input, .. }
        | Rel::Limit { input, .. } => scans(input, each),
        Rel::Join { left, right, .. } => {
            scans(left, each);
            scans(right, each);
        }
        Rel::Union { inputs } => inputs.iter().for_each(|i| scans(i, each)),
    }
}
