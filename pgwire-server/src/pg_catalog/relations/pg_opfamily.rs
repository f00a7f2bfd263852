//! `pg_opfamily`: operator families.

use super::Context;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::lines;

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for l in lines(include_str!("../data/pg_opfamily.tsv")) {
        let [oid, method, name] = l.as_slice() else { continue };
        let number = |s: &str| s.parse::<i64>().unwrap_or(0);
        rows.push(&[
            ("oid", number(oid).into()),
            ("opfmethod", number(method).into()),
            ("opfname", (*name).into()),
            ("opfnamespace", 11_u32.into()),
            ("opfowner", 10_u32.into()),
        ]);
    }
}
