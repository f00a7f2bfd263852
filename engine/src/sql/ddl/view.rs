//! CREATE VIEW: from a query to a definition that means the same in every session.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query, Statement as Ast, VisitMut, VisitorMut};

use super::ViewName;
use super::execute::view_key;
use crate::catalog::{CatalogSnapshot, View};
use crate::error::{Result, SqlError, SqlState};
use crate::session::Session;
use crate::sql::{Statement, StatementKind, quote_ident};

/// Plans the query, so that a view that cannot work is refused now, and makes the view.
pub(super) async fn define(session: &Session, name: &ViewName, columns: &[String], query: &Statement) -> Result<View> {
    let (schema, name) = view_key(name)?;
    let prepared = Box::pin(session.prepare(query, &[])).await?;
    if !prepared.params.is_empty() {
        return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1 in a view"));
    }
    let own: Vec<String> = prepared.schema.map(|s| s.fields().iter().map(|f| f.name().clone()).collect()).unwrap_or_default();
    if columns.len() > own.len() {
        return Err(SqlError::syntax("CREATE VIEW specifies more column names than columns"));
    }
    let names: Vec<&String> = columns.iter().chain(own.iter().skip(columns.len())).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|n| !seen.insert(**n)) {
        return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{twice}\" specified more than once"))
            .hint("Give each column a name of its own with AS."));
    }
    let mut definition = qualified(session, query)?;
    if !columns.is_empty() {
        let list = names.iter().map(|n| quote_ident(n)).collect::<Vec<_>>().join(", ");
        // A line break first: the query may end in a comment.
        definition = format!("SELECT * FROM (\n{definition}\n) AS {}({list})", quote_ident(&name));
    }
    Ok(View { schema, name, definition, owner: session.info.user.clone(), comment: None })
}

/// The query's text; if a bare name in it was found through a `search_path` other than the default one, with that name qualified.
fn qualified(session: &Session, query: &Statement) -> Result<String> {
    let path = session.settings.read().get("search_path").map(schemas_of).unwrap_or_default();
    let StatementKind::Query(ast) = &query.kind else { return Err(SqlError::internal("a view over no query")) };
    if path.iter().all(|s| s == "public" || s == "$user" || s == "pg_catalog") {
        return Ok(query.text.clone());
    }
    let mut ast = ast.clone();
    let mut q = Qualify { path, snapshot: session.engine.catalog.snapshot(), ctes: BTreeSet::new(), changed: false };
    collect_ctes(&mut ast, &mut q.ctes);
    let _ = ast.visit(&mut q);
    Ok(if q.changed { ast.to_string() } else { query.text.clone() })
}

/// `a, "B c"` as names.
fn schemas_of(path: &str) -> Vec<String> {
    path.split(',')
        .map(|s| {
            let s = s.trim();
            s.strip_prefix('"').and_then(|s| s.strip_suffix('"')).map_or_else(|| s.to_ascii_lowercase(), |q| q.replace("\"\"", "\""))
        })
        .collect()
}

struct Qualify {
    path: Vec<String>,
    snapshot: std::sync::Arc<CatalogSnapshot>,
    ctes: BTreeSet<String>,
    changed: bool,
}

impl VisitorMut for Qualify {
    type Break = ();
    fn pre_visit_relation(&mut self, n: &mut ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Identifier(i)] = n.0.as_slice() {
            let name = if i.quote_style.is_some() { i.value.clone() } else { i.value.to_ascii_lowercase() };
            let found = if self.ctes.contains(&name) { None } else { self.path.iter().find(|s| self.has(s, &name)) };
            if let Some(schema) = found.filter(|s| *s != "public") {
                n.0.insert(0, ObjectNamePart::Identifier(Ident::with_quote('"', schema.clone())));
                self.changed = true;
            }
        }
        ControlFlow::Continue(())
    }
}

impl Qualify {
    fn has(&self, schema: &str, name: &str) -> bool {
        if schema == "public" {
            return self.snapshot.views.contains_key(&(schema.to_string(), name.to_string()));
        }
        self.snapshot.connectors.values().any(|c| {
            CatalogSnapshot::exposed_schemas(c)
                .iter()
                .any(|(exposed, source)| exposed == schema && c.schema.as_ref().is_ok_and(|s| s.table(source, name).is_some()))
        })
    }
}

/// All names that WITH gives anywhere in the query.
fn collect_ctes(ast: &mut Ast, into: &mut BTreeSet<String>) {
    struct Ctes<'a>(&'a mut BTreeSet<String>);
    impl VisitorMut for Ctes<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, q: &mut Query) -> ControlFlow<()> {
            for cte in q.with.iter().flat_map(|w| &w.cte_tables) {
                let i = &cte.alias.name;
                self.0.insert(if i.quote_style.is_some() { i.value.clone() } else { i.value.to_ascii_lowercase() });
            }
            ControlFlow::Continue(())
        }
    }
    let _ = ast.visit(&mut Ctes(into));
}
