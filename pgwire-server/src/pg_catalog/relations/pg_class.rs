//! `pg_class`: tables, views and indexes. Foreign tables and files are `r`; partitioned tables and their partitions are what they are.

use std::collections::{HashMap, HashSet};

use super::Context;
use super::pg_am::{HEAP, access_method};
use crate::pg_catalog::model::{ConstraintKind, Model};
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    let indexed: HashSet<usize> = cx.model.indexes.iter().map(|i| i.relation).collect();
    // Foreign keys are triggers in Postgres, on both tables; psql asks for keys only where there are triggers.
    let mut triggers: HashSet<usize> = HashSet::new();
    for c in &cx.model.constraints {
        if let ConstraintKind::Foreign(_, to) = &c.kind {
            triggers.insert(c.relation);
            triggers.extend(to);
        }
    }
    let mut checks: HashMap<usize, usize> = HashMap::new();
    for c in cx.model.constraints.iter().filter(|c| matches!(c.kind, ConstraintKind::Check(_))) {
        *checks.entry(c.relation).or_default() += 1;
    }
    for (at, r) in cx.model.relations.iter().enumerate() {
        let Some(schema) = cx.model.schema_of(r) else { continue };
        let table = r.table.as_deref();
        let estimate = table.and_then(|t| t.rows).map_or(-1.0, |n| n as f64);
        // A page of Postgres is 8 KiB.
        let pages = table.and_then(|t| t.bytes).map_or(0, |b| i64::try_from(b / 8192).unwrap_or(i64::MAX));
        rows.push(&[
            ("oid", r.oid.into()),
            ("relname", (&r.name).into()),
            ("relnamespace", schema.oid.into()),
            ("relowner", Model::role_oid(&r.owner).into()),
            ("relam", if r.kind == 'r' || r.kind == 'm' { HEAP } else { 0 }.into()),
            ("reltuples", estimate.into()),
            ("relpages", pages.min(i64::from(i32::MAX)).into()),
            ("relhasindex", indexed.contains(&at).into()),
            ("relpersistence", 'p'.into()),
            ("relkind", r.kind.into()),
            ("relnatts", r.columns.len().into()),
            ("relchecks", checks.get(&at).copied().unwrap_or(0).into()),
            ("relhassubclass", (r.kind == 'p').into()),
            ("relispartition", cx.model.parent(r).is_some().into()),
            ("relpartbound", table.and_then(|t| t.partitioning.bound.as_deref()).into()),
            ("relhasrules", (r.kind == 'v').into()),
            ("relhastriggers", triggers.contains(&at).into()),
            ("relrowsecurity", table.is_some_and(|t| t.row_security).into()),
            ("relispopulated", true.into()),
            ("relreplident", if matches!(r.kind, 'r' | 'p') { 'd' } else { 'n' }.into()),
        ]);
    }
    for i in &cx.model.indexes {
        let Some((r, schema)) = cx.model.relations.get(i.relation).and_then(|r| Some((r, cx.model.schema_of(r)?))) else { continue };
        rows.push(&[
            ("oid", i.oid.into()),
            ("relname", (&i.info.name).into()),
            ("relnamespace", schema.oid.into()),
            ("relowner", Model::role_oid(&r.owner).into()),
            ("relam", access_method(&i.info.method).into()),
            ("reltuples", (-1.0).into()),
            ("relpersistence", 'p'.into()),
            ("relkind", if r.kind == 'p' { 'I' } else { 'i' }.into()),
            ("relnatts", (i.info.columns.len() + i.info.included.len()).into()),
            ("relispartition", i.info.parent.is_some().into()),
            ("relispopulated", true.into()),
            ("relreplident", 'n'.into()),
        ]);
    }
}
