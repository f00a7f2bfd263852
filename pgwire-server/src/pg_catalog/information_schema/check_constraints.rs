//! `check_constraints`: checks, and NOT NULL, which Postgres lists here too.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::model::ConstraintKind;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    let mut push = |schema: &str, name: &str, clause: &str| {
        rows.push(&[
            ("constraint_catalog", cx.database()),
            ("constraint_schema", schema.to_string().into()),
            ("constraint_name", name.to_string().into()),
            ("check_clause", clause.to_string().into()),
        ]);
    };
    for c in &cx.model.constraints {
        let (ConstraintKind::Check(check), Some((schema, _))) = (&c.kind, cx.relation(c.relation)) else { continue };
        // `CHECK ((a > 0))`, of which the outer parentheses are the clause's.
        let clause = check.definition.strip_prefix("CHECK (").and_then(|d| d.strip_suffix(')')).unwrap_or(&check.definition);
        push(&schema.name, &c.name, clause);
    }
    for (schema, r) in cx.visible().filter(|(_, r)| matches!(r.kind, 'r' | 'p')) {
        for (i, c) in r.columns.iter().enumerate().filter(|(_, c)| c.not_null) {
            push(&schema.name, &format!("{}_{}_{}_not_null", schema.oid, r.oid, i + 1), &format!("{} IS NOT NULL", c.name));
        }
    }
}
