//! `constraint_column_usage`: the columns that a key or a check is over; of a foreign key, the referenced ones.

use fjord_engine::source::{CheckInfo, KeyInfo};

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::model::ConstraintKind;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for c in &cx.model.constraints {
        let (place, names): (usize, Vec<&String>) = match &c.kind {
            ConstraintKind::Key(KeyInfo { columns, .. }) | ConstraintKind::Check(CheckInfo { columns, .. }) => {
                let Some(r) = cx.model.relations.get(c.relation) else { continue };
                (c.relation, columns.iter().filter_map(|i| r.columns.get(*i)).map(|c| &c.name).collect())
            }
            ConstraintKind::Foreign(fk, Some(to)) => (*to, fk.to_columns.iter().collect()),
            ConstraintKind::Foreign(_, None) => continue,
        };
        let (Some((own, _)), Some((schema, r))) = (cx.relation(c.relation), cx.relation(place)) else { continue };
        for name in names {
            rows.push(&[
                ("table_catalog", cx.database()),
                ("table_schema", (&schema.name).into()),
                ("table_name", (&r.name).into()),
                ("column_name", name.into()),
                ("constraint_catalog", cx.database()),
                ("constraint_schema", (&own.name).into()),
                ("constraint_name", (&c.name).into()),
            ]);
        }
    }
}
