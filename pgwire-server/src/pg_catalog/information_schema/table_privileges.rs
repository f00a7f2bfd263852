//! `table_privileges`: what may be done: tables that the source lets its role read are readable, nothing is writable.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for (schema, r) in cx.visible().filter(|(_, r)| r.table.as_ref().is_none_or(|t| t.unreadable.is_none())) {
        rows.push(&[
            ("grantor", (&r.owner).into()),
            ("grantee", "PUBLIC".into()),
            ("table_catalog", cx.database()),
            ("table_schema", (&schema.name).into()),
            ("table_name", (&r.name).into()),
            ("privilege_type", "SELECT".into()),
            ("is_grantable", "NO".into()),
            ("with_hierarchy", "YES".into()),
        ]);
    }
}
