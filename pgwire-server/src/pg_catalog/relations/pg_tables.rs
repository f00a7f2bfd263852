//! `pg_tables`: tables, in the form for people.

use std::collections::HashSet;

use super::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    let indexed: HashSet<usize> = cx.model.indexes.iter().map(|i| i.relation).collect();
    for (at, r) in cx.model.relations.iter().enumerate().filter(|(_, r)| matches!(r.kind, 'r' | 'p')) {
        rows.push(&[
            ("schemaname", cx.model.schema_of(r).map(|s| &s.name).into()),
            ("tablename", (&r.name).into()),
            ("tableowner", (&r.owner).into()),
            ("hasindexes", indexed.contains(&at).into()),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", r.table.as_ref().is_some_and(|t| t.row_security).into()),
        ]);
    }
}
