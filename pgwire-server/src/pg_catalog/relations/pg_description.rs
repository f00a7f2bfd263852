//! `pg_description`: comments on schemas, relations, columns, constraints and connectors.

use super::Context;
use crate::pg_catalog::table::Rows;

/// `pg_namespace`'s OID.
pub const PG_NAMESPACE: u32 = 2615;
/// `pg_class`'s OID.
pub const PG_CLASS: u32 = 1259;
/// `pg_constraint`'s OID.
pub const PG_CONSTRAINT: u32 = 2606;
/// `pg_foreign_server`'s OID.
pub const PG_FOREIGN_SERVER: u32 = 1417;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    let mut push = |oid: u32, class: u32, sub: usize, text: Option<&String>| {
        if let Some(text) = text {
            rows.push(&[("objoid", oid.into()), ("classoid", class.into()), ("objsubid", sub.into()), ("description", text.into())]);
        }
    };
    for s in &cx.model.schemas {
        push(s.oid, PG_NAMESPACE, 0, s.comment.as_ref());
    }
    for r in &cx.model.relations {
        push(r.oid, PG_CLASS, 0, r.comment.as_ref());
        for (i, c) in r.columns.iter().enumerate() {
            push(r.oid, PG_CLASS, i + 1, c.comment.as_ref());
        }
    }
    for i in &cx.model.indexes {
        push(i.oid, PG_CLASS, 0, i.info.comment.as_ref());
    }
    for c in &cx.model.constraints {
        push(c.oid, PG_CONSTRAINT, 0, c.kind.comment());
    }
    for s in &cx.model.servers {
        push(s.oid, PG_FOREIGN_SERVER, 0, s.comment.as_ref());
    }
}
