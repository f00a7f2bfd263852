//! `pg_range`: range types.

use super::Context;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::lines;

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for l in lines(include_str!("../data/pg_range.tsv")) {
        let names = ["rngtypid", "rngsubtype", "rngmultitypid", "rngcollation", "rngsubopc", "rngcanonical", "rngsubdiff"];
        let values = l.iter().map(|s| s.parse::<i64>().unwrap_or(0).into());
        rows.push(&names.into_iter().zip(values).collect::<Vec<_>>());
    }
}
