//! `pg_tablespace`: the two that every Postgres has.

use super::Context;
use crate::pg_catalog::model::SYSTEM_ROLE_OID;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for (oid, name) in [(1663, "pg_default"), (1664, "pg_global")] {
        rows.push(&[("oid", oid.into()), ("spcname", name.into()), ("spcowner", SYSTEM_ROLE_OID.into())]);
    }
}
