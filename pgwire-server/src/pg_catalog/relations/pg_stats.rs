//! `pg_stats`: statistics of columns, as the sources have them.

use super::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for r in &cx.model.relations {
        let Some(table) = &r.table else { continue };
        for c in &table.columns {
            let Some(s) = &c.stats else { continue };
            rows.push(&[
                ("schemaname", cx.model.schema_of(r).map(|s| &s.name).into()),
                ("tablename", (&r.name).into()),
                ("attname", c.field.name().into()),
                ("inherited", false.into()),
                ("null_frac", s.null_fraction.into()),
                ("avg_width", i64::from(s.average_width).into()),
                ("n_distinct", s.distinct.map(|d| d as f64).into()),
            ]);
        }
    }
}
