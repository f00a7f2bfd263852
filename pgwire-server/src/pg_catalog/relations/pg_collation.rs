//! `pg_collation`: collations. Fjord compares text by its bytes, as `C` does.

use super::Context;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::lines;

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for l in lines(include_str!("../data/pg_collation.tsv")) {
        let [oid, name, provider, encoding, collate, ctype] = l.as_slice() else { continue };
        let number = |s: &str| s.parse::<i64>().unwrap_or(0);
        let some = |s: &'static str| (!s.is_empty()).then_some(s);
        rows.push(&[
            ("oid", number(oid).into()),
            ("collname", (*name).into()),
            ("collnamespace", 11_u32.into()),
            ("collowner", 10_u32.into()),
            ("collprovider", (*provider).into()),
            ("collisdeterministic", true.into()),
            ("collencoding", number(encoding).into()),
            ("collcollate", some(collate).into()),
            ("collctype", some(ctype).into()),
        ]);
    }
}
