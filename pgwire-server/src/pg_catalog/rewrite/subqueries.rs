//! Correlated scalar subqueries over the catalog, as left joins.
//!
//! DataFusion decorrelates only subqueries that aggregate. `(SELECT d.adbin FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum)`
//! becomes `LEFT JOIN (SELECT d.adbin AS c0, ..., count(*) OVER (PARTITION BY d.adrelid, d.adnum) AS n FROM pg_attrdef d) AS s ON s.c1 = a.attrelid ...`
//! and `CASE WHEN fjord_one_row(s.n) THEN s.c0 END`: two rows for one outer row are 21000, as in Postgres. Where inner and outer columns meet by
//! something else than `=`, the rows are not counted, and the outer row repeats.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    Join, JoinConstraint, JoinOperator, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor,
    TableWithJoins, UnaryOperator, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::build::{call, last, number};
use super::conditions::Conditions;
use super::scope::{Source, owner, sources};

const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// Whether a SELECT aggregates.
pub fn aggregates(select: &Select) -> bool {
    struct Find;
    impl Visitor for Find {
        type Break = ();
        fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
            match e {
                Expr::Function(f) if f.over.is_none() && last(&f.name).is_some_and(|n| AGGREGATES.contains(&n.as_str())) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
        // An aggregate of a subquery is its own.
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
    }
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(e, m) if e.is_empty() && m.is_empty());
    grouped || select.having.is_some() || select.projection.iter().any(|p| outer_only(p, &mut Find))
}

/// Visits the expressions of an item that are not inside a subquery.
fn outer_only(item: &SelectItem, find: &mut impl Visitor<Break = ()>) -> bool {
    let mut item = item.clone();
    struct Hide;
    impl VisitorMut for Hide {
        type Break = ();
        fn pre_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
            if matches!(e, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
                || matches!(e, Expr::Function(f) if matches!(f.args, FunctionArguments::Subquery(_)))
            {
                *e = number(0);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(&mut item, &mut Hide);
    Visit::visit(&item, find).is_break()
}

/// Turns the correlated scalar subqueries of a SELECT into joins, where both read the catalog only.
pub fn join(select: &mut Select, counter: &mut usize) {
    let outer = sources(&select.from);
    let plain = !outer.is_empty() && outer.iter().all(|s| s.relation.is_some() || s.alias.starts_with(PREFIX));
    let wildcard = select.projection.iter().any(|p| matches!(p, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    if !plain || wildcard || aggregates(select) {
        return;
    }
    let mut visitor = Joiner { outer: &outer, counter, joins: vec![] };
    let _ = VisitMut::visit(&mut select.projection, &mut visitor);
    let _ = VisitMut::visit(&mut select.selection, &mut visitor);
    let joins = visitor.joins;
    if joins.is_empty() {
        return;
    }
    one_tree(&mut select.from);
    if let Some(first) = select.from.first_mut() {
        first.joins.extend(joins);
    }
}

/// Makes `FROM a, b` one tree of joins, so that a condition can name all of them.
fn one_tree(from: &mut Vec<TableWithJoins>) {
    let rest = from.split_off(1.min(from.len()));
    let Some(first) = from.first_mut() else { return };
    for t in rest {
        let relation = match t.joins.is_empty() {
            true => t.relation,
            false => TableFactor::NestedJoin { table_with_joins: Box::new(t), alias: None },
        };
        first.joins.push(Join { relation, global: false, join_operator: JoinOperator::CrossJoin(JoinConstraint::None) });
    }
}

const PREFIX: &str = "__fjord_s";

struct Joiner<'a> {
    outer: &'a [Source],
    counter: &'a mut usize,
    joins: Vec<Join>,
}

impl VisitorMut for Joiner<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Subquery(q) = expr
            && let Some((join, value)) = joined(q, self.outer, *self.counter)
        {
            *self.counter += 1;
            self.joins.push(join);
            *expr = value;
        }
        ControlFlow::Continue(())
    }
}

/// The one expression that a plain SELECT gives; `None` where it is not plain.
fn plain_select(query: &Query) -> Option<(&Select, &Expr)> {
    if query.with.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return None;
    }
    let SetExpr::Select(s) = query.body.as_ref() else { return None };
    if s.distinct.is_some() || aggregates(s) {
        return None;
    }
    match s.projection.as_slice() {
        [SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. }] => Some((s, e)),
        _ => None,
    }
}

fn joined(query: &Query, outer: &[Source], n: usize) -> Option<(Join, Expr)> {
    let (select, value) = plain_select(query)?;
    let inner = sources(&select.from);
    if inner.is_empty() || inner.iter().any(|s| s.relation.is_none()) {
        return None;
    }
    let conditions = Conditions::of(select.selection.as_ref()?, &inner);
    let alias = format!("{PREFIX}{n}");
    let mut rename = Rename { inner: &inner, outer, alias: &alias, used: HashMap::new(), order: vec![], correlated: false, failed: false };
    let (mut condition, mut value) = (conditions.correlated.clone()?, value.clone());
    let _ = VisitMut::visit(&mut condition, &mut rename);
    let _ = VisitMut::visit(&mut value, &mut rename);
    if rename.failed || !rename.correlated {
        return None;
    }
    let mut projection: Vec<SelectItem> = rename
        .order
        .iter()
        .enumerate()
        .map(|(i, (source, column))| SelectItem::ExprWithAlias {
            expr: Expr::CompoundIdentifier(vec![quoted(source), quoted(column)]),
            alias: quoted(&column_name(&alias, i)),
        })
        .collect();
    // NULL where nothing was found.
    let marker = format!("{alias}_m");
    let rows = conditions.rows();
    let counted = rows.is_some();
    let found = rows.unwrap_or_else(|| Expr::Value(Value::Boolean(true).into()));
    projection.push(SelectItem::ExprWithAlias { expr: found, alias: quoted(&marker) });
    let mut inner_select = select.clone();
    inner_select.projection = projection;
    inner_select.selection = conditions.inner;
    let mut subquery = query.clone();
    subquery.order_by = None;
    *subquery.body = SetExpr::Select(Box::new(inner_select));
    let relation = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(subquery),
        alias: Some(TableAlias { explicit: true, name: quoted(&alias), columns: vec![], at: None }),
        sample: None,
    };
    let join = Join { relation, global: false, join_operator: JoinOperator::LeftOuter(JoinConstraint::On(condition)) };
    let marker = Expr::CompoundIdentifier(vec![quoted(&alias), quoted(&marker)]);
    let marker = if counted { call("fjord_one_row", vec![marker]) } else { marker };
    let value = Expr::Case {
        case_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        end_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition: marker, result: value }],
        else_result: None,
    };
    Some((join, value))
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

fn column_name(alias: &str, i: usize) -> String {
    format!("{alias}_c{i}")
}

/// Makes a subquery's own columns those of the joined table, and notes what is not its own.
struct Rename<'a> {
    inner: &'a [Source],
    outer: &'a [Source],
    alias: &'a str,
    used: HashMap<(String, String), usize>,
    order: Vec<(String, String)>,
    correlated: bool,
    failed: bool,
}

impl Rename<'_> {
    fn column(&mut self, parts: &[Ident]) -> Option<Expr> {
        if let Some((i, column)) = owner(self.inner, parts) {
            let source = self.inner.get(i)?;
            source.relation?.column(&column)?;
            let key = (source.alias.clone(), column);
            let next = self.order.len();
            let place = *self.used.entry(key.clone()).or_insert(next);
            if place == next {
                self.order.push(key);
            }
            return Some(Expr::CompoundIdentifier(vec![quoted(self.alias), quoted(&column_name(self.alias, place))]));
        }
        if owner(self.outer, parts).is_some() {
            self.correlated = true;
        } else {
            // Of a query further out, or a name that nobody knows: left to DataFusion and its message.
            self.failed = true;
        }
        None
    }
}

impl VisitorMut for Rename<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let new = match expr {
            Expr::Identifier(i) => self.column(std::slice::from_ref(&*i)),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                self.failed = true;
                None
            }
            _ => None,
        };
        if let Some(new) = new {
            *expr = new;
        }
        ControlFlow::Continue(())
    }
}

/// Makes aggregates of the ARRAY(subquery) expressions of a SELECT.
pub fn arrays(select: &mut Select) {
    struct Arrays;
    impl VisitorMut for Arrays {
        type Break = ();
        fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(f) = e
                && last(&f.name).as_deref() == Some("array")
                && let FunctionArguments::Subquery(q) = &f.args
                && let Some(new) = array_of(q)
            {
                *e = new;
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(&mut select.projection, &mut Arrays);
    let _ = VisitMut::visit(&mut select.selection, &mut Arrays);
}

/// EXISTS among the output, which DataFusion cannot plan, as `coalesce((SELECT bool_or(true) ...), false)`; over the catalog only.
pub fn exists(select: &mut Select) {
    struct Output;
    impl VisitorMut for Output {
        type Break = ();
        fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
            if let Expr::Exists { subquery, negated } = e
                && let Some((s, _)) = plain_select(subquery)
                && sources(&s.from).iter().all(|s| s.relation.is_some())
            {
                let mut inner = s.clone();
                let yes = Expr::Value(Value::Boolean(true).into());
                inner.projection = vec![SelectItem::UnnamedExpr(call("bool_or", vec![yes]))];
                *subquery.body = SetExpr::Select(Box::new(inner));
                let found = call("coalesce", vec![Expr::Subquery(subquery.clone()), Expr::Value(Value::Boolean(false).into())]);
                *e = match negated {
                    true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(found) },
                    false => found,
                };
            }
            ControlFlow::Continue(())
        }
    }
    if sources(&select.from).iter().all(|s| s.relation.is_some()) {
        let _ = VisitMut::visit(&mut select.projection, &mut Output);
    }
}

/// `ARRAY(SELECT x FROM ... ORDER BY y)` as an aggregate, which DataFusion decorrelates; `None` where it is not plain.
fn array_of(query: &Query) -> Option<Expr> {
    let (select, value) = plain_select(query)?;
    // ARRAY(SELECT x FROM unnest(a) AS t(x)) is a.
    if let [TableWithJoins { relation: TableFactor::UNNEST { array_exprs, alias: Some(alias), with_ordinality: false, .. }, joins }] =
        select.from.as_slice()
        && joins.is_empty()
        && select.selection.is_none()
        && query.order_by.is_none()
        && let ([array], Expr::Identifier(column)) = (array_exprs.as_slice(), value)
        && alias.columns.first().map_or(&alias.name, |c| &c.name).value == column.value
    {
        return Some(array.clone());
    }
    let order: Vec<OrderByExpr> = match query.order_by.as_ref().map(|o| &o.kind) {
        None => vec![],
        Some(OrderByKind::Expressions(e)) => e
            .iter()
            .map(|o| {
                let mut o = o.clone();
                // ORDER BY 1 is the output itself.
                if matches!(&o.expr, Expr::Value(v) if matches!(&v.value, Value::Number(n, _) if n == "1")) {
                    o.expr = value.clone();
                }
                o
            })
            .collect(),
        Some(OrderByKind::All(_)) => return None,
    };
    let mut aggregate = call("array_agg", vec![value.clone()]);
    if let Expr::Function(f) = &mut aggregate
        && !order.is_empty()
    {
        f.args = FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value.clone()))],
            clauses: vec![FunctionArgumentClause::OrderBy(order)],
        });
    }
    let mut inner = select.clone();
    inner.projection = vec![SelectItem::UnnamedExpr(aggregate)];
    let mut subquery = query.clone();
    subquery.order_by = None;
    *subquery.body = SetExpr::Select(Box::new(inner));
    Some(call("fjord_array_or_empty", vec![Expr::Subquery(Box::new(subquery))]))
}
