//! `pg_cast`: casts between built-in types, as PostgreSQL 15 has them.

use super::Context;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::lines;

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for l in lines(include_str!("../data/pg_cast.tsv")) {
        let [oid, source, target, function, context, method] = l.as_slice() else { continue };
        let number = |s: &str| s.parse::<i64>().unwrap_or(0);
        rows.push(&[
            ("oid", number(oid).into()),
            ("castsource", number(source).into()),
            ("casttarget", number(target).into()),
            ("castfunc", number(function).into()),
            ("castcontext", (*context).into()),
            ("castmethod", (*method).into()),
        ]);
    }
}
