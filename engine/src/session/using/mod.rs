//! `JOIN ... USING (k)` and NATURAL JOIN as Postgres has them: `k` is one column, of the side that has it.
//!
//! DataFusion 55 keeps both sides' columns and takes the one whose table comes first by its name for `k` and in `*`: over an outer join that may be the side
//! that is missing, so `k` is NULL. And in WHERE, and where several joins name it, it calls `k` ambiguous. So:
//! - on the syntax tree, `k` gets a table where DataFusion would not find it, and a column that is named with its table (`l.k`, which is NULL where `l` is missing) is
//!   marked by a function, `fjord_own(l.k)`;
//! - on the plan, above each such outer join both columns become the merged one, under their names, and each keeps its own value under another name, which
//!   is put in the place of the marks.

mod merge;
mod star;

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Ident, ObjectName, ObjectNamePart, Query, ReplaceSelectElement, ReplaceSelectItem, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

pub(crate) use merge::{merge, own_function};
use star::Star;

use super::names::MARK;
use crate::error::{Result, SqlError};

/// The function that marks a column of one side.
const OWN: &str = "fjord_own";

/// Marks the columns of one side in every SELECT that joins by USING.
///
/// # Errors
/// `t.*` beside a NATURAL outer join, whose common columns are not known yet, or beside another one.
pub(crate) fn mark(statement: &mut ast::Statement) -> Result<()> {
    match statement.visit(&mut Selects) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Selects;

impl VisitorMut for Selects {
    type Break = SqlError;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let Query { body, order_by, .. } = query;
        let mut joins = Joins::default();
        if let Err(e) = in_body(body, &mut joins) {
            return ControlFlow::Break(e);
        }
        // The keys of ORDER BY belong to the SELECT, where there is one.
        if let (true, SetExpr::Select(select), Some(order)) = (joins.outer, body.as_ref(), order_by) {
            let _ = order.visit(&mut Owned(&joins));
            if let ast::OrderByKind::Expressions(keys) = &mut order.kind {
                keys.iter_mut().for_each(|k| by_output(&mut k.expr, select));
            }
        }
        ControlFlow::Continue(())
    }
}

/// The USING joins of one SELECT.
#[derive(Default)]
struct Joins {
    keys: Vec<Key>,
    natural: bool,
    /// One of them is an outer join.
    outer: bool,
    /// What `*` gives, where that can be told without the tables' columns.
    star: Option<Star>,
}

/// The condition of a join, and whether it is an outer one.
fn constraint(join: &ast::Join) -> Option<(&ast::JoinConstraint, bool)> {
    use ast::JoinOperator as J;
    match &join.join_operator {
        J::Join(c) | J::Inner(c) => Some((c, false)),
        J::Left(c) | J::LeftOuter(c) | J::Right(c) | J::RightOuter(c) | J::FullOuter(c) => Some((c, true)),
        _ => None,
    }
}

/// A column of USING.
struct Key {
    column: String,
    /// A table that has it: the first, whose value an inner join gives.
    table: Vec<Ident>,
    /// Several joins name it: then DataFusion finds it ambiguous wherever it stands.
    several: bool,
}

impl Joins {
    fn of(tables: &[TableWithJoins]) -> Joins {
        let mut joins = Joins { star: Star::of(tables), ..Joins::default() };
        tables.iter().for_each(|t| joins.add(t));
        joins
    }
    fn add(&mut self, table: &TableWithJoins) {
        self.nested(&table.relation);
        for (i, join) in table.joins.iter().enumerate() {
            self.nested(&join.relation);
            let Some((constraint, outer)) = constraint(join) else { continue };
            match constraint {
                ast::JoinConstraint::Using(columns) => {
                    self.outer |= outer;
                    let first = if i == 0 { name_of(&table.relation) } else { None };
                    let named = first.or_else(|| name_of(&join.relation)).unwrap_or_default();
                    for column in columns.iter().filter_map(last).map(normalized) {
                        match self.keys.iter_mut().find(|k| k.column == column) {
                            Some(k) => k.several = true,
                            None => self.keys.push(Key { column, table: named.clone(), several: false }),
                        }
                    }
                }
                ast::JoinConstraint::Natural => {
                    self.natural = true;
                    self.outer |= outer;
                }
                _ => {}
            }
        }
    }
    fn nested(&mut self, factor: &TableFactor) {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            self.add(table_with_joins);
        }
    }
    /// Whether a column named with its table may be one of those that a join has merged.
    fn concerns(&self, column: &Ident) -> bool {
        self.natural || self.keys.iter().any(|k| k.column == normalized(column))
    }
}

fn name_of(factor: &TableFactor) -> Option<Vec<Ident>> {
    match factor {
        TableFactor::Table { alias: Some(a), .. } | TableFactor::Derived { alias: Some(a), .. } => Some(vec![a.name.clone()]),
        // `live(t)` goes by the name of its table, which only the next pass puts there.
        TableFactor::Table { name, args: None, .. } => name.0.iter().map(|p| p.as_ident().cloned()).collect(),
        _ => None,
    }
}

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(ObjectNamePart::as_ident)
}

fn normalized(i: &Ident) -> String {
    if i.quote_style.is_some() { i.value.clone() } else { i.value.to_lowercase() }
}

fn in_body(body: &mut SetExpr, found: &mut Joins) -> Result<()> {
    match body {
        SetExpr::Select(s) => {
            star::by_condition(s);
            *found = Joins::of(&s.from);
            in_select(s, found)
        }
        SetExpr::SetOperation { left, right, .. } => {
            in_body(left, &mut Joins::default())?;
            in_body(right, &mut Joins::default())
        }
        _ => Ok(()),
    }
}

fn in_select(select: &mut Select, joins: &Joins) -> Result<()> {
    name_columns(select, joins)?;
    if joins.outer {
        let _ = select.visit(&mut Owned(joins));
    }
    if let Some(condition) = &mut select.selection {
        let _ = condition.visit(&mut Qualified { joins, everywhere: false, depth: 0 });
    }
    let mut rest = Qualified { joins, everywhere: true, depth: 0 };
    let Select { projection, group_by, having, .. } = select;
    let _ = projection.visit(&mut rest);
    let _ = group_by.visit(&mut rest);
    let _ = having.visit(&mut rest);
    if let Some(star) = &joins.star {
        let plain = ast::WildcardAdditionalOptions::default();
        let items = std::mem::take(projection).into_iter().flat_map(|item| match item {
            SelectItem::Wildcard(o)
                if ast::WildcardAdditionalOptions { wildcard_token: o.wildcard_token.clone(), ..plain.clone() } == o =>
            {
                star.items()
            }
            item => vec![item],
        });
        *projection = items.collect();
    }
    Ok(())
}

/// Columns that will be marked keep their names, apart from that of the merged column; and `t.*` means the table's own.
fn name_columns(select: &mut Select, joins: &Joins) -> Result<()> {
    let mut seen: HashSet<String> = HashSet::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(ast::Expr::Identifier(i)) => drop(seen.insert(normalized(i))),
            SelectItem::ExprWithAlias { alias, .. } => drop(seen.insert(normalized(alias))),
            _ => {}
        }
    }
    let wildcards = select.projection.iter().filter(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))).count();
    let star = wildcards > 0;
    for (i, item) in select.projection.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(e) => {
                let ast::Expr::CompoundIdentifier(parts) = &*e else { continue };
                let Some(column) = parts.last().filter(|c| joins.concerns(c)) else { continue };
                let name = normalized(column);
                let taken = star || seen.contains(&name);
                if taken || joins.outer {
                    seen.insert(name.clone());
                    let unique = if taken { format!("{name}{MARK}own{i}") } else { name };
                    *item = SelectItem::ExprWithAlias { expr: e.clone(), alias: Ident::with_quote('"', unique) };
                }
            }
            _ if !joins.outer => {}
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options) => {
                if joins.natural || wildcards > 1 {
                    return Err(SqlError::unsupported(format!("{table}.* beside this outer join by common columns is not supported"))
                        .hint("Name the columns, or join with ON."));
                }
                let table: Vec<Ident> = table.0.iter().filter_map(ObjectNamePart::as_ident).cloned().collect();
                let own = joins.keys.iter().map(|k| {
                    let column = Ident::with_quote('"', k.column.clone());
                    let expr = ast::Expr::CompoundIdentifier(table.iter().cloned().chain([column.clone()]).collect());
                    Box::new(ReplaceSelectElement { expr, column_name: column, as_keyword: true })
                });
                options.opt_replace = Some(ReplaceSelectItem { items: own.collect() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// A key that the SELECT gives out goes by its name there, as DISTINCT wants it.
fn by_output(key: &mut ast::Expr, select: &Select) {
    let named = select.projection.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if expr == key => Some(alias.clone()),
        _ => None,
    });
    if let Some(name) = named {
        *key = ast::Expr::Identifier(name);
    }
}

/// `l.k` becomes `fjord_own(l.k)`.
struct Owned<'a>(&'a Joins);

impl VisitorMut for Owned<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, e: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::CompoundIdentifier(parts) = e
            && parts.last().is_some_and(|c| self.0.concerns(c))
        {
            *e = call(e.clone());
        }
        ControlFlow::Continue(())
    }
}

fn call(argument: ast::Expr) -> ast::Expr {
    ast::Expr::Function(ast::Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(OWN))]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument))],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// `k` becomes `t.k`, outside of subqueries: there it may be another table's.
struct Qualified<'a> {
    joins: &'a Joins,
    /// Not in WHERE, where DataFusion finds every `k` ambiguous.
    everywhere: bool,
    depth: usize,
}

impl VisitorMut for Qualified<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }
    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
    fn pre_visit_expr(&mut self, e: &mut ast::Expr) -> ControlFlow<()> {
        if let (0, ast::Expr::Identifier(i)) = (self.depth, &*e) {
            let found = self.joins.keys.iter().find(|k| k.column == normalized(i) && !k.table.is_empty());
            if let Some(k) = found.filter(|k| k.several || !self.everywhere) {
                *e = ast::Expr::CompoundIdentifier(k.table.iter().cloned().chain([i.clone()]).collect());
            }
        }
        ControlFlow::Continue(())
    }
}
