//! `key_column_usage`: the columns of keys.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::model::ConstraintKind;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for c in &cx.model.constraints {
        let Some((schema, r)) = cx.relation(c.relation) else { continue };
        let (columns, foreign) = match &c.kind {
            ConstraintKind::Check(_) => continue,
            ConstraintKind::Key(k) => (&k.columns, None),
            ConstraintKind::Foreign(fk, to) => (&fk.columns, Some((fk, to))),
        };
        for (i, column) in columns.iter().enumerate() {
            // The place of the referenced column in the key that it belongs to.
            let position = foreign.and_then(|(fk, to)| {
                let target = cx.model.relations.get((*to)?)?;
                let table = target.table.as_ref()?;
                let wanted = target.columns.iter().position(|c| Some(&c.name) == fk.to_columns.get(i))?;
                let key = table.keys.iter().find(|k| k.columns.len() == fk.to_columns.len() && k.columns.contains(&wanted))?;
                key.columns.iter().position(|k| *k == wanted).map(|p| p + 1)
            });
            rows.push(&[
                ("constraint_catalog", cx.database()),
                ("constraint_schema", (&schema.name).into()),
                ("constraint_name", (&c.name).into()),
                ("table_catalog", cx.database()),
                ("table_schema", (&schema.name).into()),
                ("table_name", (&r.name).into()),
                ("column_name", r.columns.get(*column).map(|c| &c.name).into()),
                ("ordinal_position", (i + 1).into()),
                ("position_in_unique_constraint", position.into()),
            ]);
        }
    }
}
