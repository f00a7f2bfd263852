//! Sizes, as the sources told them at the last introspection. No source is asked.

use fjord_engine::error::Result;

use super::casts::class_oid;
use super::{Def, Env, Row, strict};
use crate::pg_catalog::table::Value;

pub(super) const FUNCTIONS: &[Def] = &[
    strict("pg_relation_size", "int8", size),
    strict("pg_table_size", "int8", size),
    strict("pg_total_relation_size", "int8", size),
    strict("pg_indexes_size", "int8", |_, _| Ok(0.into())),
    strict("pg_database_size", "int8", |env, _| {
        let m = env.model();
        let total: u64 = m.relations.iter().filter_map(|r| r.table.as_ref()?.bytes).sum();
        Ok(i64::try_from(total).unwrap_or(i64::MAX).into())
    }),
    strict("pg_tablespace_size", "int8", |_, _| Ok(0.into())),
    strict("pg_column_size", "int4", |_, r| Ok(r.text(0).map(|t| t.len()).into())),
    strict("pg_size_pretty", "text", |_, r| Ok(r.int(0).map(pretty).into())),
];

/// A relation that does not exist has no size; one whose source tells none has 0.
fn size(env: &Env, r: &Row<'_>) -> Result<Value<'static>> {
    let m = env.model();
    let relation = class_oid(env, r, 0)?;
    let known = relation.filter(|o| m.relation(*o).is_some() || m.index(*o).is_some());
    let bytes = known.map(|o| m.relation(o).and_then(|r| r.table.as_ref()?.bytes).unwrap_or(0));
    Ok(bytes.map(|b| i64::try_from(b).unwrap_or(i64::MAX)).into())
}

/// As `pg_size_pretty(bigint)`: up to 10 × 1024 of a unit, each next one rounded half up.
fn pretty(bytes: i64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let mut size = bytes;
    for (i, unit) in units.iter().enumerate() {
        let limit = if i == 0 { 10 * 1024 } else { 20 * 1024 - 1 };
        if size.unsigned_abs() < limit || i + 1 == units.len() {
            let half = if i == 0 { size } else { (size + size.signum()) / 2 };
            return format!("{half} {unit}");
        }
        // One bit more than the unit is kept for rounding.
        size >>= if i == 0 { 9 } else { 10 };
    }
    size.to_string()
}

#[cfg(test)]
mod tests {
    use super::pretty;

    // The right sides were printed by PostgreSQL 15.18.
    #[test]
    fn pretty_sizes_are_those_of_postgres() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (10_752, "11 kB"),
            (8_192_000, "8000 kB"),
            (10_485_247, "10239 kB"),
            (10_485_248, "10 MB"),
            (1_073_741_824, "1024 MB"),
            (-10_240, "-10 kB"),
        ] {
            assert_eq!(pretty(bytes), text);
        }
    }
}
