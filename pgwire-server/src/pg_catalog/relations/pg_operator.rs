//! `pg_operator`: operators of built-in types, as PostgreSQL 15 has them. Which of them Fjord computes is another matter.

use super::Context;
use crate::pg_catalog::model::SYSTEM_ROLE_OID;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::lines;

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for l in lines(include_str!("../data/pg_operator.tsv")) {
        let [oid, name, kind, merges, hashes, left, right, result, commutator, negator, code, restriction, join] = l.as_slice() else {
            continue;
        };
        let number = |s: &str| s.parse::<i64>().unwrap_or(0);
        rows.push(&[
            ("oid", number(oid).into()),
            ("oprname", (*name).into()),
            ("oprnamespace", 11_u32.into()),
            ("oprowner", SYSTEM_ROLE_OID.into()),
            ("oprkind", (*kind).into()),
            ("oprcanmerge", (*merges == "t").into()),
            ("oprcanhash", (*hashes == "t").into()),
            ("oprleft", number(left).into()),
            ("oprright", number(right).into()),
            ("oprresult", number(result).into()),
            ("oprcom", number(commutator).into()),
            ("oprnegate", number(negator).into()),
            ("oprcode", number(code).into()),
            ("oprrest", number(restriction).into()),
            ("oprjoin", number(join).into()),
        ]);
    }
}
