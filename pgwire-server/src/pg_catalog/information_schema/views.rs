//! `views`: views. The query of a view at a source stays there.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for (schema, r) in cx.visible().filter(|(_, r)| r.kind == 'v') {
        rows.push(&[
            ("table_catalog", cx.database()),
            ("table_schema", (&schema.name).into()),
            ("table_name", (&r.name).into()),
            ("view_definition", r.definition.as_deref().into()),
            ("check_option", "NONE".into()),
            ("is_updatable", "NO".into()),
            ("is_insertable_into", "NO".into()),
            ("is_trigger_updatable", "NO".into()),
            ("is_trigger_deletable", "NO".into()),
            ("is_trigger_insertable_into", "NO".into()),
        ]);
    }
}
