//! `referential_constraints`: foreign keys.

use crate::pg_catalog::definitions::action_code;
use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::model::ConstraintKind;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for c in &cx.model.constraints {
        let ConstraintKind::Foreign(fk, _) = &c.kind else { continue };
        let Some((schema, _)) = cx.relation(c.relation) else { continue };
        let names = cx.model.names(c.index_oid).map(|(s, n)| (s.to_string(), n.to_string()));
        rows.push(&[
            ("constraint_catalog", cx.database()),
            ("constraint_schema", (&schema.name).into()),
            ("constraint_name", (&c.name).into()),
            ("unique_constraint_catalog", names.as_ref().map(|_| cx.model.database.clone()).into()),
            ("unique_constraint_schema", names.clone().map(|n| n.0).into()),
            ("unique_constraint_name", names.map(|n| n.1).into()),
            ("match_option", if fk.definition.contains(" MATCH FULL") { "FULL" } else { "NONE" }.into()),
            ("update_rule", rule(action_code(&fk.definition, "ON UPDATE")).into()),
            ("delete_rule", rule(action_code(&fk.definition, "ON DELETE")).into()),
        ]);
    }
}

fn rule(code: char) -> &'static str {
    match code {
        'c' => "CASCADE",
        'n' => "SET NULL",
        'd' => "SET DEFAULT",
        'r' => "RESTRICT",
        _ => "NO ACTION",
    }
}
