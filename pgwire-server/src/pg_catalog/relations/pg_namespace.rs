//! `pg_namespace`: schemas of the default database.

use super::Context;
use crate::pg_catalog::model::Model;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for s in &cx.model.schemas {
        rows.push(&[("oid", s.oid.into()), ("nspname", (&s.name).into()), ("nspowner", Model::role_oid(&s.owner).into())]);
    }
}
