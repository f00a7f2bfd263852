//! `pg_authid`: the same roles as `pg_roles`; verifiers are never shown.

use super::Context;
use crate::pg_catalog::model::SYSTEM_ROLE;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for (name, oid) in cx.roles() {
        rows.push(&[
            ("oid", oid.into()),
            ("rolsuper", (name == SYSTEM_ROLE).into()),
            ("rolcreaterole", (name == SYSTEM_ROLE).into()),
            ("rolcreatedb", (name == SYSTEM_ROLE).into()),
            ("rolreplication", false.into()),
            ("rolbypassrls", (name == SYSTEM_ROLE).into()),
            ("rolinherit", true.into()),
            ("rolcanlogin", true.into()),
            ("rolconnlimit", (-1).into()),
            ("rolname", name.into()),
        ]);
    }
}
