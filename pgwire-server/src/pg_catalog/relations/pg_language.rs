//! `pg_language`: the languages that functions of Fjord count as.

use super::Context;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::lines;

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for l in lines(include_str!("../data/pg_language.tsv")) {
        let [oid, name, procedural, trusted, handler, inline, validator] = l.as_slice() else { continue };
        let number = |s: &str| s.parse::<i64>().unwrap_or(0);
        rows.push(&[
            ("oid", number(oid).into()),
            ("lanname", (*name).into()),
            ("lanowner", 10_u32.into()),
            ("lanispl", (*procedural == "t").into()),
            ("lanpltrusted", (*trusted == "t").into()),
            ("lanplcallfoid", number(handler).into()),
            ("laninline", number(inline).into()),
            ("lanvalidator", number(validator).into()),
        ]);
    }
}
