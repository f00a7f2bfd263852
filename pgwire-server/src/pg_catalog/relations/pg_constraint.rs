//! `pg_constraint`: primary, unique and foreign keys and checks of the sources.

use super::Context;
use crate::pg_catalog::definitions::action_code;
use crate::pg_catalog::model::ConstraintKind;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::table::Value;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for c in &cx.model.constraints {
        let Some((relation, schema)) = cx.model.relations.get(c.relation).and_then(|r| Some((r, cx.model.schema_of(r)?))) else { continue };
        let numbers = |columns: &[usize]| columns.iter().map(|c| i64::try_from(c + 1).unwrap_or(0)).collect::<Vec<_>>();
        let mut row: Vec<(&'static str, Value<'_>)> = vec![
            ("oid", c.oid.into()),
            ("conname", (&c.name).into()),
            ("connamespace", schema.oid.into()),
            ("conrelid", relation.oid.into()),
            ("conindid", c.index_oid.into()),
            ("conislocal", true.into()),
        ];
        match &c.kind {
            ConstraintKind::Check(k) => row.extend([
                ("contype", 'c'.into()),
                ("conkey", numbers(&k.columns).into()),
                ("confupdtype", ' '.into()),
                ("confdeltype", ' '.into()),
                ("confmatchtype", ' '.into()),
                ("convalidated", (!k.definition.ends_with(" NOT VALID")).into()),
                ("connoinherit", k.definition.contains(" NO INHERIT").into()),
                ("conbin", k.definition.as_str().into()),
            ]),
            ConstraintKind::Key(k) => row.extend([
                ("connoinherit", true.into()),
                ("convalidated", true.into()),
                ("condeferred", k.definition.contains(" INITIALLY DEFERRED").into()),
                ("contype", if k.primary { 'p' } else { 'u' }.into()),
                ("condeferrable", k.deferrable.into()),
                ("conkey", numbers(&k.columns).into()),
                // Postgres has blanks here for what is no foreign key.
                ("confupdtype", ' '.into()),
                ("confdeltype", ' '.into()),
                ("confmatchtype", ' '.into()),
            ]),
            ConstraintKind::Foreign(fk, to) => {
                let target = to.and_then(|t| cx.model.relations.get(t));
                let place = |name: &String| target.and_then(|t| t.columns.iter().position(|c| c.name == *name)).map_or(0, |p| p + 1);
                let to_numbers: Vec<i64> = fk.to_columns.iter().map(|n| i64::try_from(place(n)).unwrap_or(0)).collect();
                row.extend([
                    ("contype", 'f'.into()),
                    ("connoinherit", true.into()),
                    ("convalidated", (!fk.definition.ends_with(" NOT VALID")).into()),
                    ("condeferrable", fk.definition.contains(" DEFERRABLE").into()),
                    ("condeferred", fk.definition.contains(" INITIALLY DEFERRED").into()),
                    ("confrelid", target.map(|t| t.oid).into()),
                    ("confupdtype", action_code(&fk.definition, "ON UPDATE").into()),
                    ("confdeltype", action_code(&fk.definition, "ON DELETE").into()),
                    ("confmatchtype", if fk.definition.contains(" MATCH FULL") { 'f' } else { 's' }.into()),
                    ("conkey", numbers(&fk.columns).into()),
                    ("confkey", to_numbers.into()),
                ]);
            }
        }
        rows.push(&row);
    }
}
