//! `table_constraints`: keys. Postgres lists NOT NULL as checks here; so does this.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::model::ConstraintKind;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    let mut push = |schema: &str, table: &str, name: &str, kind: &str, deferrable: bool| {
        rows.push(&[
            ("constraint_catalog", cx.database()),
            ("constraint_schema", schema.to_string().into()),
            ("constraint_name", name.to_string().into()),
            ("table_catalog", cx.database()),
            ("table_schema", schema.to_string().into()),
            ("table_name", table.to_string().into()),
            ("constraint_type", kind.to_string().into()),
            ("is_deferrable", if deferrable { "YES" } else { "NO" }.into()),
            ("initially_deferred", "NO".into()),
            ("enforced", "YES".into()),
            ("nulls_distinct", (kind == "UNIQUE").then_some("YES").into()),
        ]);
    };
    for c in &cx.model.constraints {
        let Some((schema, r)) = cx.relation(c.relation) else { continue };
        let (kind, deferrable) = match &c.kind {
            ConstraintKind::Key(k) if k.primary => ("PRIMARY KEY", k.deferrable),
            ConstraintKind::Key(k) => ("UNIQUE", k.deferrable),
            ConstraintKind::Check(_) => ("CHECK", false),
            ConstraintKind::Foreign(fk, _) => ("FOREIGN KEY", fk.definition.contains(" DEFERRABLE")),
        };
        push(&schema.name, &r.name, &c.name, kind, deferrable);
    }
    for (schema, r) in cx.visible().filter(|(_, r)| matches!(r.kind, 'r' | 'p')) {
        for (i, _) in r.columns.iter().enumerate().filter(|(_, c)| c.not_null) {
            push(&schema.name, &r.name, &format!("{}_{}_{}_not_null", schema.oid, r.oid, i + 1), "CHECK", false);
        }
    }
}
