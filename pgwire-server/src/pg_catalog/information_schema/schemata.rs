//! `schemata`: schemas.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for s in &cx.model.schemas {
        rows.push(&[("catalog_name", cx.database()), ("schema_name", (&s.name).into()), ("schema_owner", (&s.owner).into())]);
    }
}
