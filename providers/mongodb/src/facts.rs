//! What plans and queries rest on: the tables as they were introspected, and how the source is built.

use std::collections::HashMap;
use std::sync::Arc;

use bson::RawDocument;
use fjord_engine::Result;
use fjord_engine::pushdown::{Rel, ScanColumn};
use fjord_engine::source::TableInfo;
use parking_lot::Mutex;

use crate::error::Origin;
use crate::schema::Shape;

/// Places of drift that are told of.
const DRIFTS_MAX: usize = 100;

/// All that is known of the source since the last introspection.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    tables: HashMap<(String, String), Table>,
    /// A replica set or a sharded cluster: it has snapshots.
    pub snapshots: bool,
}

#[derive(Debug)]
struct Table {
    info: Arc<TableInfo>,
    /// A view with a collation of its own, which no query can override.
    own_collation: bool,
    /// Stored documents with an index on `_id` in the order of the bytes.
    ranges: bool,
}

impl Facts {
    /// Of no table yet.
    pub(crate) fn new(snapshots: bool) -> Facts {
        Facts { tables: HashMap::new(), snapshots }
    }

    /// Adds a table that has just been read.
    pub(crate) fn add(&mut self, info: Arc<TableInfo>, own_collation: bool, ranges: bool) {
        self.tables.insert((info.schema.clone(), info.name.clone()), Table { info, own_collation, ranges });
    }

    /// Whether queries over a collection say which collation they mean.
    pub(crate) fn takes_collation(&self, database: &str, collection: &str) -> bool {
        !self.get(database, collection).is_some_and(|t| t.own_collation)
    }

    /// Whether a collection can be read by ranges of `_id`.
    pub(crate) fn has_ranges(&self, database: &str, collection: &str) -> bool {
        self.get(database, collection).is_some_and(|t| t.ranges)
    }

    fn get(&self, database: &str, collection: &str) -> Option<&Table> {
        self.tables.get(&(database.to_string(), collection.to_string()))
    }

    /// Was the plan made with what is known now?
    pub(crate) fn check_plan(&self, origin: &Origin, rel: &Rel) -> Result<()> {
        let mut outcome = Ok(());
        scans(rel, &mut |schema, table, columns| {
            let Some(known) = self.get(schema, table) else { return };
            for planned in columns {
                let now = known.info.columns.iter().find(|c| c.field.name() == &planned.name).map(|c| &c.remote);
                let same = now.is_some_and(|now| now.name == planned.ty.name && (planned.ty.nullable || !now.nullable));
                if !same && outcome.is_ok() {
                    let what = format!("column \"{}\" of \"{schema}\".\"{table}\" is another since the query was planned", planned.name);
                    outcome = Err(origin.changed(what).hint("Run the query again."));
                }
            }
        });
        outcome
    }
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

/// What was ever seen of each collection while the connector has been open: samples, and documents that did not fit.
#[derive(Debug, Default)]
pub(crate) struct Known {
    shapes: Mutex<HashMap<(String, String), Shape>>,
    drifts: Mutex<Vec<String>>,
}

impl Known {
    /// Adds what an introspection has seen; gives all that is known then.
    pub(crate) fn widen(&self, database: &str, collection: &str, seen: &Shape) -> Shape {
        let mut shapes = self.shapes.lock();
        let known = shapes.entry((database.to_string(), collection.to_string())).or_default();
        known.merge(seen);
        known.clone()
    }

    /// A document did not fit its columns: the next introspection makes them wider.
    pub(crate) fn drift(&self, database: &str, collection: &str, document: &RawDocument, what: &str) {
        self.shapes.lock().entry((database.to_string(), collection.to_string())).or_default().observe(document);
        let mut drifts = self.drifts.lock();
        let line = format!("\"{database}\".\"{collection}\": {what}");
        if drifts.len() < DRIFTS_MAX && !drifts.contains(&line) {
            drifts.push(line);
        }
    }

    /// What did not fit so far.
    pub(crate) fn drifts(&self) -> Vec<String> {
        self.drifts.lock().clone()
    }
}
