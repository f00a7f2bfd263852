//! `information_schema_catalog_name`: the default database.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    rows.push(&[("catalog_name", cx.database())]);
}
