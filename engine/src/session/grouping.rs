//! `SELECT name FROM t GROUP BY id` where `id` is the primary key: the other columns of `t` depend on it, and may be named without being grouped by.
//!
//! DataFusion would have to be told of keys, and 55.2 keeps believing in them where a join has repeated their rows. So the columns that are named are
//! added to GROUP BY on the syntax tree: rows that agree in a key of their table agree in all of its columns, also where an outer join has made them
//! all NULL, so the groups stay what they are.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, ObjectName, ObjectNamePart, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, TableFactor, TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use crate::federation::catalogs::PlanEnv;
use crate::federation::table::FjordTable;

/// Columns of a table that has a primary key, by name.
struct Keyed {
    columns: Vec<String>,
    key: Vec<String>,
}

/// Adds to every GROUP BY what depends on it.
pub(crate) async fn complete(env: &Arc<PlanEnv>, statement: &mut Statement) {
    let mut names = Names::default();
    let _ = Visit::visit(statement, &mut names);
    let mut tables = HashMap::new();
    for parts in names.tables.difference(&names.ctes) {
        let Ok(Some((table, _))) = env.lookup(parts).await else { continue };
        let Some(info) = table.downcast_ref::<FjordTable>().map(|t| t.info().clone()) else { continue };
        let Some(key) = info.primary_key().filter(|k| !k.deferrable) else { continue };
        let name = |i: &usize| info.columns.get(*i).map(|c| c.field.name().clone());
        let Some(key) = key.columns.iter().map(name).collect::<Option<Vec<_>>>() else { continue };
        tables.insert(parts.clone(), Keyed { columns: info.columns.iter().map(|c| c.field.name().clone()).collect(), key });
    }
    if tables.is_empty() {
        return;
    }
    let state = env.state();
    let aggregates = state.aggregate_functions().keys().cloned().collect();
    let _ = VisitMut::visit(statement, &mut Complete { tables, aggregates });
}

/// The tables of SELECTs with GROUP BY, and the names that WITH gives to queries.
#[derive(Default)]
struct Names {
    tables: HashSet<Vec<String>>,
    ctes: HashSet<Vec<String>>,
}

impl Visitor for Names {
    type Break = ();
    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            self.ctes.extend(with.cte_tables.iter().map(|c| vec![folded(&c.alias.name)]));
        }
        if let SetExpr::Select(s) = query.body.as_ref()
            && grouping(s).is_some()
        {
            each_table(&s.from, &mut |name, _| {
                self.tables.extend(parts(name));
            });
        }
        ControlFlow::Continue(())
    }
}

struct Complete {
    tables: HashMap<Vec<String>, Keyed>,
    aggregates: HashSet<String>,
}

impl VisitorMut for Complete {
    type Break = ();
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let order: Vec<Expr> = match query.order_by.as_ref().map(|o| &o.kind) {
            Some(OrderByKind::Expressions(e)) => e.iter().map(|o| o.expr.clone()).collect(),
            _ => vec![],
        };
        if let SetExpr::Select(s) = query.body.as_mut() {
            self.select(s, &order);
        }
        ControlFlow::Continue(())
    }
}

impl Complete {
    fn select(&self, select: &mut Select, order: &[Expr]) {
        let Some(grouped) = grouping(select) else { return };
        let mut sources: Vec<(String, &Keyed)> = vec![];
        each_table(&select.from, &mut |name, alias| {
            if let Some(keyed) = parts(name).and_then(|p| self.tables.get(&p)) {
                sources.push((alias, keyed));
            }
        });
        let columns: HashSet<(usize, String)> = grouped.iter().filter_map(|e| grouped_column(e, select, &sources)).collect();
        let dependent: Vec<usize> =
            (0..sources.len()).filter(|i| sources[*i].1.key.iter().all(|k| columns.contains(&(*i, k.clone())))).collect();
        if dependent.is_empty() {
            return;
        }
        let mut used = Used { sources: &sources, dependent: &dependent, aggregates: &self.aggregates, inside: 0, found: vec![] };
        for item in &select.projection {
            used.item(item);
        }
        let _ = select.having.visit(&mut used);
        for e in order {
            let _ = e.visit(&mut used);
        }
        let more = used.found.into_iter().filter(|c| !columns.contains(c));
        let more: Vec<Expr> = more
            .map(|(i, column)| Expr::CompoundIdentifier(vec![Ident::with_quote('"', sources[i].0.clone()), Ident::with_quote('"', column)]))
            .collect();
        if let GroupByExpr::Expressions(all, _) = &mut select.group_by {
            all.extend(more);
        }
    }
}

/// The plain expressions of a GROUP BY.
fn grouping(select: &Select) -> Option<&[Expr]> {
    match &select.group_by {
        GroupByExpr::Expressions(all, modifiers)
            if !all.is_empty()
                && modifiers.is_empty()
                && !all.iter().any(|e| matches!(e, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_))) =>
        {
            Some(all)
        }
        _ => None,
    }
}

/// The column that an expression of GROUP BY is: named, or by its place among the output.
fn grouped_column(e: &Expr, select: &Select, sources: &[(String, &Keyed)]) -> Option<(usize, String)> {
    match e {
        Expr::Value(v) => {
            let Value::Number(n, _) = &v.value else { return None };
            let at = n.parse::<usize>().ok()?.checked_sub(1)?;
            match select.projection.get(at)? {
                SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => column(e, sources),
                _ => None,
            }
        }
        // The name may be one that the output gives to something else.
        Expr::Identifier(i)
            if select.projection.iter().any(|p| matches!(p, SelectItem::ExprWithAlias { alias, .. } if folded(alias) == folded(i))) =>
        {
            None
        }
        e => column(e, sources),
    }
}

fn column(e: &Expr, sources: &[(String, &Keyed)]) -> Option<(usize, String)> {
    match e {
        Expr::Nested(inner) => column(inner, sources),
        Expr::Identifier(i) => {
            let name = folded(i);
            let mut owners = sources.iter().enumerate().filter(|(_, (_, k))| k.columns.contains(&name));
            let (i, _) = owners.next()?;
            // Of two, DataFusion says that it is ambiguous.
            owners.next().is_none().then_some((i, name))
        }
        Expr::CompoundIdentifier(parts) => {
            let [.., table, column] = parts.as_slice() else { return None };
            let (table, column) = (folded(table), folded(column));
            let i = sources.iter().position(|(alias, k)| *alias == table && k.columns.contains(&column))?;
            Some((i, column))
        }
        _ => None,
    }
}

/// The columns of dependent tables that are named outside of aggregates.
struct Used<'a> {
    sources: &'a [(String, &'a Keyed)],
    dependent: &'a [usize],
    aggregates: &'a HashSet<String>,
    /// How many aggregates are open.
    inside: usize,
    found: Vec<(usize, String)>,
}

impl Used<'_> {
    fn item(&mut self, item: &SelectItem) {
        let all = match item {
            SelectItem::Wildcard(_) => self.dependent.to_vec(),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let alias = name.0.last().and_then(ObjectNamePart::as_ident).map(folded).unwrap_or_default();
                self.dependent.iter().copied().filter(|i| self.sources[*i].0 == alias).collect()
            }
            _ => vec![],
        };
        for i in all {
            for c in &self.sources[i].1.columns {
                self.note((i, c.clone()));
            }
        }
        let _ = item.visit(self);
    }
    fn note(&mut self, column: (usize, String)) {
        if self.dependent.contains(&column.0) && !self.found.contains(&column) {
            self.found.push(column);
        }
    }
    fn is_aggregate(&self, e: &Expr) -> bool {
        let aggregate = |f: &Function| {
            let name = f.name.0.last().and_then(ObjectNamePart::as_ident).map(folded);
            f.over.is_none() && name.is_some_and(|n| self.aggregates.contains(&n))
        };
        matches!(e, Expr::Function(f) if aggregate(f))
    }
}

impl Visitor for Used<'_> {
    type Break = ();
    fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
        if self.is_aggregate(e) {
            self.inside += 1;
        } else if self.inside == 0
            && let Some(found) = column(e, self.sources)
        {
            self.note(found);
        }
        ControlFlow::Continue(())
    }
    fn post_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
        if self.is_aggregate(e) {
            self.inside -= 1;
        }
        ControlFlow::Continue(())
    }
}

/// The tables of a FROM clause that are named, each with what its columns are qualified with.
fn each_table(from: &[TableWithJoins], f: &mut dyn FnMut(&ObjectName, String)) {
    for t in from {
        for factor in std::iter::once(&t.relation).chain(t.joins.iter().map(|j| &j.relation)) {
            match factor {
                TableFactor::NestedJoin { table_with_joins, alias: None } => each_table(std::slice::from_ref(table_with_joins), f),
                // Columns with other names are not looked into.
                TableFactor::Table { name, alias, args: None, .. } if alias.as_ref().is_none_or(|a| a.columns.is_empty()) => {
                    let own = name.0.last().and_then(ObjectNamePart::as_ident).map(folded).unwrap_or_default();
                    f(name, alias.as_ref().map_or(own, |a| folded(&a.name)));
                }
                _ => {}
            }
        }
    }
}

fn parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0.iter().map(|p| p.as_ident().map(folded)).collect()
}

fn folded(i: &Ident) -> String {
    if i.quote_style.is_some() { i.value.clone() } else { i.value.to_lowercase() }
}
