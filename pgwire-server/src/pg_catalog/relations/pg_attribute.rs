//! `pg_attribute`: columns of relations and of indexes.

use super::Context;
use crate::pg_catalog::definitions::index_columns;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for r in &cx.model.relations {
        let inherited = cx.model.parent(r).is_some();
        for (i, c) in r.columns.iter().enumerate() {
            let t = cx.model.storage(c.type_oid);
            rows.push(&[
                ("attrelid", r.oid.into()),
                ("attname", (&c.name).into()),
                ("atttypid", c.type_oid.into()),
                ("attstattarget", (-1).into()),
                ("attlen", t.map(|t| t.len).into()),
                ("attnum", (i + 1).into()),
                ("attndims", t.map(|t| i16::from(t.array)).into()),
                ("attcacheoff", (-1).into()),
                ("atttypmod", c.typmod.into()),
                ("attbyval", t.map(|t| t.by_value).into()),
                ("attalign", t.map(|t| t.align).into()),
                ("attstorage", t.map(|t| t.storage).into()),
                ("attnotnull", c.not_null.into()),
                ("atthasdef", c.default.is_some().into()),
                ("attidentity", c.identity.into()),
                ("attgenerated", c.generated.then_some('s').into()),
                ("attislocal", (!inherited).into()),
                ("attinhcount", i32::from(inherited).into()),
                ("attcollation", t.map(|t| t.collation).into()),
            ]);
        }
    }
    for i in &cx.model.indexes {
        let Some(relation) = cx.model.relations.get(i.relation) else { continue };
        let texts = index_columns(&i.info.definition);
        let carried = i.info.included.iter().map(|c| Some(*c));
        for (n, column) in i.info.columns.iter().copied().chain(carried).enumerate() {
            let c = column.and_then(|c| relation.columns.get(c));
            let name = c.map_or_else(|| expression_name(texts.get(n)), |c| c.name.clone());
            let oid = c.map_or(25, |c| c.type_oid);
            let t = cx.model.storage(oid);
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

/// The name of an index's column that is an expression: that of its function, as in Postgres, else `expr`.
fn expression_name(text: Option<&String>) -> String {
    let called = text.and_then(|t| t.split_once('(')).map(|(name, _)| name);
    let plain = |n: &&str| !n.is_empty() && n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    called.filter(plain).unwrap_or("expr").to_string()
}
