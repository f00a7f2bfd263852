//! `pg_attrdef`: defaults of columns. `adbin` holds the text, which `pg_get_expr` hands back.

use super::Context;
use crate::pg_catalog::definitions::tree;
use crate::pg_catalog::model::hashed;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for r in &cx.model.relations {
        for (i, c) in r.columns.iter().enumerate().filter(|(_, c)| c.default.is_some()) {
            let oid = hashed(&["default", &r.oid.to_string(), &c.name]);
            rows.push(&[
                ("oid", oid.into()),
                ("adrelid", r.oid.into()),
                ("adnum", (i + 1).into()),
                ("adbin", tree(c.default.as_deref().unwrap_or_default(), c.pretty.as_deref()).into()),
            ]);
        }
    }
}
