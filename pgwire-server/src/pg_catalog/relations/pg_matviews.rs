//! `pg_matviews`: materialized views of the sources.

use super::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for r in cx.model.relations.iter().filter(|r| r.kind == 'm') {
        rows.push(&[
            ("schemaname", cx.model.schema_of(r).map(|s| &s.name).into()),
            ("matviewname", (&r.name).into()),
            ("matviewowner", (&r.owner).into()),
            ("hasindexes", false.into()),
            ("ispopulated", true.into()),
        ]);
    }
}
