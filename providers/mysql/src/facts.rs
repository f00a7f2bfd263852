//! What a plan rests on, and whether it still holds.
//!
//! A changed collation raises no error, it only gives wrong rows. So the columns of a query's tables are asked for again, on the query's own connection
//! before it runs, once what is known is older than `schema_ttl`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjord_engine::pushdown::{Rel, ScanColumn};
use fjord_engine::source::TableInfo;
use fjord_engine::{Result, SqlError, SqlState};
use parking_lot::Mutex;

use crate::error::Origin;
use crate::render::text_literal;
use crate::wire::{Conn, Fault, TextRow};

/// All that is known of the source's tables.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    tables: HashMap<(String, String), Table>,
}

#[derive(Debug)]
struct Table {
    info: Arc<TableInfo>,
    /// What each column was declared as, by name.
    marks: HashMap<String, Mark>,
    /// When that was read.
    at: Mutex<Instant>,
}

/// A column's declaration: type, collation, nullability.
pub(crate) type Mark = (String, String, String);

impl Facts {
    /// Adds a table that has just been read.
    pub(crate) fn add(&mut self, info: Arc<TableInfo>, marks: HashMap<String, Mark>) {
        let key = (info.schema.clone(), info.name.clone());
        self.tables.insert(key, Table { info, marks, at: Mutex::new(Instant::now()) });
    }

    /// A table.
    pub(crate) fn table(&self, schema: &str, table: &str) -> Option<Arc<TableInfo>> {
        self.tables.get(&(schema.to_string(), table.to_string())).map(|t| t.info.clone())
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

    /// Asks the source.
    pub(crate) async fn ask(&self, conn: &mut Conn, tables: &[(String, String)]) -> Result<Vec<TextRow>, Fault> {
        let one = |(schema, table): &(String, String)| {
            Some(format!("(TABLE_SCHEMA = {} AND TABLE_NAME = {})", text_literal(schema).ok()?, text_literal(table).ok()?))
        };
        let which: Vec<String> = tables.iter().filter_map(one).collect();
        conn.query(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME, IS_NULLABLE FROM information_schema.COLUMNS WHERE {}",
            which.join(" OR ")
        ))
        .await
    }

    /// Compares the answer with what is known.
    pub(crate) fn check_answer(&self, origin: &Origin, tables: &[(String, String)], rows: &[TextRow]) -> Result<()> {
        let mut now: HashMap<(String, String), HashMap<String, Mark>> = HashMap::new();
        for row in rows {
            now.entry((row.owned(0), row.owned(1))).or_default().insert(row.owned(2), mark(row, 3));
        }
        for key in tables {
            let (Some(known), Some(now)) = (self.tables.get(key), now.get(key)) else { continue };
            for (column, before) in &known.marks {
                // A column that is gone is the query's own error, if the query uses it.
                if now.get(column).is_some_and(|m| m != before) {
                    return Err(changed(origin, &key.0, &key.1, column).hint("REFRESH SCHEMA of the connector, then run the query again."));
                }
            }
            *known.at.lock() = Instant::now();
        }
        Ok(())
    }
}

/// Type, collation and nullability, from the cell `at` on.
pub(crate) fn mark(row: &TextRow, at: usize) -> Mark {
    (row.owned(at), row.owned(at + 1), row.owned(at + 2))
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
