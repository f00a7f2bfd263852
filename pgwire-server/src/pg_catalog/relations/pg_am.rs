//! `pg_am`: access methods.

use super::Context;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::lines;

/// The OID of `heap`, the method of every table.
pub const HEAP: u32 = 2;
/// The OID of btree.
const BTREE: u32 = 403;
const METHODS: &str = include_str!("../data/pg_am.tsv");

/// The OID of an index method by name; that of btree for one that Postgres has not built in.
pub fn access_method(name: &str) -> u32 {
    lines(METHODS).find(|l| l.get(1) == Some(&name)).and_then(|l| l.first()?.parse().ok()).unwrap_or(BTREE)
}

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for l in lines(METHODS) {
        let [oid, name, handler, kind] = l.as_slice() else { continue };
        let number = |s: &str| s.parse::<i64>().unwrap_or(0);
        rows.push(&[
            ("oid", number(oid).into()),
            ("amname", (*name).into()),
            ("amhandler", number(handler).into()),
            ("amtype", (*kind).into()),
        ]);
    }
}
