//! `pg_inherits`: partitions and what they are a part of. Inheritance without partitioning is not shown.

use super::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for r in &cx.model.relations {
        let Some(parent) = cx.model.parent(r) else { continue };
        rows.push(&[("inhrelid", r.oid.into()), ("inhparent", parent.oid.into()), ("inhseqno", 1.into())]);
    }
}
