//! `pg_database`: the default database.

use super::Context;
use crate::pg_catalog::model::SYSTEM_ROLE_OID;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    rows.push(&[
        ("oid", DATABASE_OID.into()),
        ("datname", (&cx.model.database).into()),
        ("datdba", SYSTEM_ROLE_OID.into()),
        // UTF8.
        ("encoding", 6.into()),
        ("datlocprovider", 'c'.into()),
        ("datallowconn", true.into()),
        ("datconnlimit", (-1).into()),
        ("dattablespace", 1663.into()),
        ("datcollate", "C".into()),
        ("datctype", "C".into()),
    ]);
}

/// The OID of the default database, that of `postgres` in Postgres.
pub const DATABASE_OID: u32 = 5;

/// A database by name.
pub fn oid(database: &str, name: &str) -> Option<u32> {
    (database == name).then_some(DATABASE_OID)
}
