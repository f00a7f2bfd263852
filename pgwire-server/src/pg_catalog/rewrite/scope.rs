//! Which relation of the catalog a name in a SELECT means.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, Select, TableFactor, TableWithJoins, VisitMut, VisitorMut};

use super::build::{cast, folded, number};
use super::expressions::part;
use crate::pg_catalog::columns::{Relation, Schema, relation};

/// One relation of a FROM clause.
#[derive(Debug, Clone)]
pub struct Source {
    /// What columns are qualified with: the alias, else the name.
    pub alias: String,
    /// The system relation; `None` for anything else (derived tables, users' tables, functions).
    pub relation: Option<&'static Relation>,
}

/// The relations of a FROM clause, in order.
pub fn sources(from: &[TableWithJoins]) -> Vec<Source> {
    let mut out = vec![];
    for t in from {
        collect(&t.relation, &mut out);
        t.joins.iter().for_each(|j| collect(&j.relation, &mut out));
    }
    out
}

fn collect(factor: &TableFactor, out: &mut Vec<Source>) {
    match factor {
        TableFactor::NestedJoin { table_with_joins, alias: None } => out.extend(sources(std::slice::from_ref(table_with_joins))),
        TableFactor::Table { name, alias, args: None, .. } => {
            let found = system_relation(name);
            let last = name.0.last().and_then(|p| p.as_ident()).map(folded).unwrap_or_default();
            // Column aliases rename: such a source is not looked into.
            let renamed = alias.as_ref().is_some_and(|a| !a.columns.is_empty());
            out.push(Source { alias: alias.as_ref().map_or(last, |a| folded(&a.name)), relation: found.filter(|_| !renamed) });
        }
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => {
            out.push(Source { alias: alias.as_ref().map(|a| folded(&a.name)).unwrap_or_default(), relation: None });
        }
        _ => out.push(Source { alias: String::new(), relation: None }),
    }
}

/// The system relation of a name that says its schema, or that is bare and `pg_...`: pg_catalog is searched first.
pub fn system_relation(name: &sqlparser::ast::ObjectName) -> Option<&'static Relation> {
    let parts: Vec<String> = name.0.iter().map(|p| p.as_ident().map(folded)).collect::<Option<_>>()?;
    match parts.as_slice() {
        [table] => relation(Schema::PgCatalog, table),
        [schema, table] if schema == "pg_catalog" => relation(Schema::PgCatalog, table),
        [schema, table] if schema == "information_schema" => relation(Schema::InformationSchema, table),
        _ => None,
    }
}

/// Which source a column belongs to; `None`: to an outer query, or unknown.
pub fn owner(sources: &[Source], column: &[Ident]) -> Option<(usize, String)> {
    let name = folded(column.last()?);
    match column {
        [_] => {
            let i = sources.iter().position(|s| s.relation.is_some_and(|r| r.column(&name).is_some()))?;
            Some((i, name))
        }
        [qualifier, _] => {
            let q = folded(qualifier);
            sources.iter().position(|s| s.alias == q).map(|i| (i, name))
        }
        [.., table, _] => {
            let t = folded(table);
            let i = sources.iter().position(|s| s.alias == t && s.relation.is_some_and(|r| r.name == t))?;
            Some((i, name))
        }
        [] => None,
    }
}

/// Replaces `tableoid`, which our relations do not have, by the OID of the relation that it is asked of.
pub fn qualify(select: &mut Select) {
    let sources = sources(&select.from);
    if sources.iter().all(|s| s.relation.is_none()) {
        return;
    }
    struct TableOid<'a>(&'a [Source]);
    impl VisitorMut for TableOid<'_> {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let oid = match expr {
                Expr::CompoundIdentifier(parts) if parts.last().is_some_and(|p| folded(p) == "tableoid") => {
                    owner(self.0, parts).and_then(|(i, _)| self.0.get(i)?.relation).map(|r| r.oid)
                }
                Expr::Identifier(i) if folded(i) == "tableoid" => match self.0 {
                    [only] => only.relation.map(|r| r.oid),
                    _ => None,
                },
                _ => None,
            };
            if let Some(oid) = oid {
                let oid_type = sqlparser::ast::DataType::Custom(sqlparser::ast::ObjectName(vec![part("oid")]), vec![]);
                *expr = cast(number(oid), oid_type);
            }
            ControlFlow::Continue(())
        }
    }
    let mut visitor = TableOid(&sources);
    for item in &mut select.projection {
        if let sqlparser::ast::SelectItem::UnnamedExpr(e) = item
            && matches!(&*e, Expr::CompoundIdentifier(p) if p.last().is_some_and(|p| folded(p) == "tableoid"))
        {
            let alias = Ident::new("tableoid");
            let expr = std::mem::replace(e, number(0));
            *item = sqlparser::ast::SelectItem::ExprWithAlias { expr, alias };
        }
        let _ = item.visit(&mut visitor);
    }
    let _ = select.selection.visit(&mut visitor);
    let _ = select.from.visit(&mut visitor);
}
