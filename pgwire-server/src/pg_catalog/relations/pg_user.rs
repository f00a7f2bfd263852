//! `pg_user`: the roles of `pg_roles` in the older form.

use super::Context;
use crate::pg_catalog::model::SYSTEM_ROLE;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for (name, oid) in cx.roles() {
        rows.push(&[
            ("usesysid", oid.into()),
            ("usesuper", (name == SYSTEM_ROLE).into()),
            ("usecreatedb", (name == SYSTEM_ROLE).into()),
            ("userepl", false.into()),
            ("usebypassrls", (name == SYSTEM_ROLE).into()),
            ("passwd", "********".into()),
            ("usename", name.into()),
        ]);
    }
}
