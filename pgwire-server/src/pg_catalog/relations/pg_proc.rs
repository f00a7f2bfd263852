//! `pg_proc`: functions that Postgres has and Fjord knows by name: those that types name as their input and output, and those of expressions.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Context;
use crate::pg_catalog::model::SYSTEM_ROLE_OID;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::lines;

static ROWS: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| lines(include_str!("../data/pg_proc.tsv")).collect());
static OIDS: LazyLock<HashMap<&'static str, u32>> =
    LazyLock::new(|| ROWS.iter().rev().filter_map(|r| Some((*r.get(1)?, r.first()?.parse().ok()?))).collect());
static NAMES: LazyLock<HashMap<u32, &'static str>> =
    LazyLock::new(|| ROWS.iter().filter_map(|r| Some((r.first()?.parse().ok()?, *r.get(1)?))).collect());

/// The OID of the first function of a name; 0 is none.
pub fn oid(name: &str) -> u32 {
    OIDS.get(name).copied().unwrap_or(0)
}

/// A function's name.
pub fn name(oid: u32) -> Option<&'static str> {
    NAMES.get(&oid).copied()
}

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for r in ROWS.iter() {
        let [oid, name, kind, volatile, strict, set, args, returns, types] = r.as_slice() else { continue };
        let number = |s: &str| s.parse::<i64>().unwrap_or(0);
        rows.push(&[
            ("oid", number(oid).into()),
            ("proname", (*name).into()),
            ("pronamespace", 11_u32.into()),
            ("proowner", SYSTEM_ROLE_OID.into()),
            ("prolang", 12_u32.into()),
            ("procost", 1.0.into()),
            ("prokind", (*kind).into()),
            ("provolatile", (*volatile).into()),
            ("proparallel", 's'.into()),
            ("proisstrict", (*strict == "t").into()),
            ("proretset", (*set == "t").into()),
            ("pronargs", number(args).into()),
            ("prorettype", number(returns).into()),
            ("proargtypes", types.split_whitespace().map(number).collect::<Vec<_>>().into()),
            ("prosrc", (*name).into()),
        ]);
    }
}
