//! `pg_attribute`: columns of relations and of indexes.

use super::Context;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for r in &cx.model.relations {
        for (i, c) in r.columns.iter().enumerate() {
            let t = types::by_oid(c.type_oid);
            rows.push(&[
                ("attrelid", r.oid.into()),
                ("attname", (&c.name).into()),
                ("atttypid", c.type_oid.into()),
                ("attstattarget", (-1).into()),
                ("attlen", t.map(|t| t.len).into()),
                ("attnum", (i + 1).into()),
                ("attndims", t.map(|t| i16::from(t.category == 'A')).into()),
                ("attcacheoff", (-1).into()),
                ("atttypmod", c.typmod.into()),
                ("attbyval", t.map(|t| t.by_value).into()),
                ("attalign", t.map(|t| t.align).into()),
                ("attstorage", t.map(|t| t.storage).into()),
                ("attnotnull", c.not_null.into()),
                ("atthasdef", c.default.is_some().into()),
                ("attislocal", true.into()),
                ("attcollation", t.map(|t| t.collation).into()),
            ]);
        }
    }
    for i in &cx.model.indexes {
        let Some(relation) = cx.model.relations.get(i.relation) else { continue };
        for (n, column) in i.info.columns.iter().enumerate() {
            let c = column.and_then(|c| relation.columns.get(c));
            let name = c.map_or_else(|| "expr".to_string(), |c| c.name.clone());
            let oid = c.map_or(25, |c| c.type_oid);
            let t = types::by_oid(oid);
            rows.push(&[
                ("attrelid", i.oid.into()),
                ("attname", name.into()),
                ("atttypid", oid.into()),
                ("attstattarget", (-1).into()),
                ("attlen", t.map(|t| t.len).into()),
                ("attnum", (n + 1).into()),
                ("attcacheoff", (-1).into()),
                ("atttypmod", c.map_or(-1, |c| c.typmod).into()),
                ("attbyval", t.map(|t| t.by_value).into()),
                ("attalign", t.map(|t| t.align).into()),
                ("attstorage", t.map(|t| t.storage).into()),
                ("attislocal", true.into()),
                ("attcollation", t.map(|t| t.collation).into()),
            ]);
        }
    }
}
