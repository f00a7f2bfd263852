//! `pg_inherits`: partitions and what they are a part of. Inheritance without partitioning is not shown.

use std::collections::HashMap;

use super::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for r in &cx.model.relations {
        let Some(parent) = cx.model.parent(r) else { continue };
        rows.push(&[("inhrelid", r.oid.into()), ("inhparent", parent.oid.into()), ("inhseqno", 1.into())]);
    }
    let by_name: HashMap<(u32, &str), u32> =
        cx.model.indexes.iter().filter_map(|i| Some(((cx.model.relations.get(i.relation)?.oid, i.info.name.as_str()), i.oid))).collect();
    for i in &cx.model.indexes {
        let parent = cx.model.relations.get(i.relation).and_then(|r| cx.model.parent(r));
        let Some((table, name)) = parent.zip(i.info.parent.as_deref()) else { continue };
        if let Some(oid) = by_name.get(&(table.oid, name)) {
            rows.push(&[("inhrelid", i.oid.into()), ("inhparent", (*oid).into()), ("inhseqno", 1.into())]);
        }
    }
}
