//! `pg_enum`: the labels of the sources' enums.

use super::Context;
use crate::pg_catalog::model::hashed;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for t in &cx.model.source_types.all {
        for (i, label) in t.labels.iter().enumerate() {
            let oid = hashed(&["enum", &t.oid.to_string(), label]);
            rows.push(&[
                ("oid", oid.into()),
                ("enumtypid", t.oid.into()),
                // Postgres counts from 1; a label's place never needs more digits than a float has.
                ("enumsortorder", (i as f64 + 1.0).into()),
                ("enumlabel", label.into()),
            ]);
        }
    }
}
