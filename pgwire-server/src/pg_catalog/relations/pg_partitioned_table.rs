//! `pg_partitioned_table`: how tables are divided.

use super::Context;
use crate::pg_catalog::definitions::index_columns;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for r in &cx.model.relations {
        let Some(key) = r.table.as_ref().and_then(|t| t.partitioning.key.as_deref()) else { continue };
        let strategy = match key.split_whitespace().next() {
            Some("LIST") => 'l',
            Some("HASH") => 'h',
            _ => 'r',
        };
        // The key reads like an index's columns, after another word.
        let columns = index_columns(&format!(" USING {key}"));
        let place = |name: &String| {
            let plain = name.strip_prefix('"').and_then(|n| n.strip_suffix('"')).map_or_else(|| name.clone(), |n| n.replace("\"\"", "\""));
            r.columns.iter().position(|c| c.name == plain).map_or(0, |p| p + 1)
        };
        let places: Vec<i64> = columns.iter().map(|c| i64::try_from(place(c)).unwrap_or(0)).collect();
        let default = cx.model.relations.iter().find(|p| {
            p.table.as_ref().is_some_and(|t| t.partitioning.bound.as_deref() == Some("DEFAULT"))
                && cx.model.parent(p).is_some_and(|parent| parent.oid == r.oid)
        });
        rows.push(&[
            ("partrelid", r.oid.into()),
            ("partstrat", strategy.into()),
            ("partnatts", columns.len().into()),
            ("partdefid", default.map(|d| d.oid).into()),
            ("partattrs", places.into()),
        ]);
    }
}
