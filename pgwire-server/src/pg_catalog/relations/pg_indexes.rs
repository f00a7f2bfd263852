//! `pg_indexes`: indexes, in the form for people.

use super::Context;
use crate::pg_catalog::definitions;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for i in &cx.model.indexes {
        let Some(r) = cx.model.relations.get(i.relation) else { continue };
        rows.push(&[
            ("schemaname", cx.model.schema_of(r).map(|s| &s.name).into()),
            ("tablename", (&r.name).into()),
            ("indexname", (&i.info.name).into()),
            ("indexdef", definitions::index(cx.model, i.oid, 0, None).into()),
        ]);
    }
}
