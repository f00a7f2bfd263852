//! `pg_views`: views. The definition of a view at a source stays there.

use super::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for r in cx.model.relations.iter().filter(|r| r.kind == 'v') {
        rows.push(&[
            ("schemaname", cx.model.schema_of(r).map(|s| &s.name).into()),
            ("viewname", (&r.name).into()),
            ("viewowner", (&r.owner).into()),
            ("definition", r.definition.as_deref().into()),
        ]);
    }
}
