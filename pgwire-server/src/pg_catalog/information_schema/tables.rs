//! `tables`: tables and views, the system's own too.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for (schema, r) in cx.visible() {
        let kind = if matches!(r.kind, 'v' | 'm') { "VIEW" } else { "BASE TABLE" };
        rows.push(&[
            ("table_catalog", cx.database()),
            ("table_schema", (&schema.name).into()),
            ("table_name", (&r.name).into()),
            ("table_type", kind.into()),
            ("is_insertable_into", "NO".into()),
            ("is_typed", "NO".into()),
        ]);
    }
}
