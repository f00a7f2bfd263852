//! `pg_settings`: settings with the session's values.

use super::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for (name, value, doc) in &cx.settings {
        rows.push(&[
            ("name", name.into()),
            ("setting", value.into()),
            ("category", if name.starts_with("fjord.") { "Fjord" } else { "Client Connection Defaults" }.into()),
            ("short_desc", doc.into()),
            ("context", "user".into()),
            ("vartype", "string".into()),
            ("source", "default".into()),
            ("pending_restart", false.into()),
        ]);
    }
}
