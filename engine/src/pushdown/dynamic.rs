//! Filters that a join makes while the query runs, as conditions of a remote query.
//!
//! A dynamic filter is advice: the join checks every row again. So whatever keeps all right rows may be sent, and a part that cannot be judged is
//! left out. The same classes hold as for literals: bounds of a text key need byte order, or are dropped.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{self as physical, CaseExpr, DynamicFilterPhysicalExpr, InListExpr, Literal};
use datafusion::physical_expr::utils::split_conjunction;

use super::class::Class;
use super::ir::{Rel, Scalar};
use super::remote::RemoteQuery;
use super::report::{Part, Report};
use crate::federation::floats;

/// Adds what `filters` say now to the query, and tells what became of each part.
pub fn apply(query: &mut RemoteQuery, schema: &DFSchema, filters: &[Arc<dyn PhysicalExpr>]) -> Report {
    let mut report = Report::default();
    let mut conditions = vec![];
    for f in filters {
        let now = match f.downcast_ref::<DynamicFilterPhysicalExpr>() {
            Some(d) => match d.current() {
                Ok(e) => e,
                Err(_) => continue,
            },
            None => f.clone(),
        };
        for part in split_conjunction(&now) {
            let Some(e) = logical(part, schema, Keep::More) else {
                report.add(Part::DynamicFilter, part, Class::No, "this form is not sent");
                continue;
            };
            if matches!(&e, Expr::Literal(ScalarValue::Boolean(Some(true)), _)) {
                continue;
            }
            let j = query.converter(schema).filter(&e);
            report.add(Part::DynamicFilter, &e, j.class, j.reason.clone());
            if let (true, Some(t)) = (j.class != Class::No, j.expr) {
                conditions.push(t.scalar);
            }
        }
    }
    if !conditions.is_empty() {
        add_below(query, conditions);
    }
    report
}

/// Conditions over a projection go below it, where they merge with the query's own WHERE.
fn add_below(query: &mut RemoteQuery, conditions: Vec<Scalar>) {
    if let Rel::Project { input, exprs } = &query.rel {
        let below: Vec<Scalar> =
            conditions.iter().map(|c| c.map_columns(&mut |i| exprs.get(i).cloned().unwrap_or(Scalar::Column(i)))).collect();
        let exprs = exprs.clone();
        query.rel = input.as_ref().clone();
        query.add_condition(below);
        query.wrap(|input| Rel::Project { input, exprs });
    } else {
        query.add_condition(conditions);
    }
}

/// Which way an approximation may err: `More` may keep too many rows, `Exactly` may not be approximated (below a negation, an operand).
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    More,
    Exactly,
}

/// A physical expression over the leaf's columns as a logical one; `None` where it has no such form.
fn logical(e: &Arc<dyn PhysicalExpr>, schema: &DFSchema, keep: Keep) -> Option<Expr> {
    if let Some(c) = e.downcast_ref::<physical::Column>() {
        return (c.index() < schema.fields().len()).then(|| Expr::Column(Column::from(schema.qualified_field(c.index()))));
    }
    if let Some(l) = e.downcast_ref::<Literal>() {
        return Some(Expr::Literal(l.value().clone(), None));
    }
    if let Some(d) = e.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return logical(&d.current().ok()?, schema, keep);
    }
    if let Some(b) = e.downcast_ref::<physical::BinaryExpr>() {
        let inner = if matches!(b.op(), Operator::And | Operator::Or) { keep } else { Keep::Exactly };
        let (left, right) = (logical(b.left(), schema, inner), logical(b.right(), schema, inner));
        return match (b.op(), left, right) {
            (_, Some(l), Some(r)) => Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(l), *b.op(), Box::new(r)))),
            (Operator::And, Some(one), None) | (Operator::And, None, Some(one)) if keep == Keep::More => Some(one),
            _ => None,
        };
    }
    if let Some(l) = e.downcast_ref::<InListExpr>() {
        return in_list(l, schema);
    }
    if let Some(c) = e.downcast_ref::<CaseExpr>() {
        return if keep == Keep::More { partitioned(c, schema) } else { None };
    }
    None
}

/// A join's list holds duplicates and NULLs (which match nothing), and one of two equal zeros.
fn in_list(l: &InListExpr, schema: &DFSchema) -> Option<Expr> {
    if l.negated() {
        return None;
    }
    let mut list: Vec<Expr> = Vec::with_capacity(l.list().len());
    let mut seen = std::collections::HashSet::new();
    for item in l.list() {
        let value = item.downcast_ref::<Literal>()?.value().clone();
        if value.is_null() {
            continue;
        }
        let twin = floats::twin(&value);
        for v in std::iter::once(value).chain(twin) {
            if seen.insert(v.clone()) {
                list.push(Expr::Literal(v, None));
            }
        }
    }
    if list.is_empty() {
        return Some(Expr::Literal(ScalarValue::Boolean(Some(false)), None));
    }
    Some(Expr::InList(InList { expr: Box::new(logical(l.expr(), schema, Keep::Exactly)?), list, negated: false }))
}

/// `CASE hash % n WHEN i THEN f_i ... ELSE false END`: a row meets one of the f_i, so their OR keeps every right row.
fn partitioned(c: &CaseExpr, schema: &DFSchema) -> Option<Expr> {
    let arms = c.when_then_expr().iter().map(|(_, then)| then).chain(c.else_expr());
    let mut all: Option<Expr> = None;
    for arm in arms {
        let arm = logical(arm, schema, Keep::More)?;
        if matches!(&arm, Expr::Literal(ScalarValue::Boolean(Some(false) | None), _)) {
            continue;
        }
        all = Some(match all {
            None => arm,
            Some(a) => Expr::BinaryExpr(BinaryExpr::new(Box::new(a), Operator::Or, Box::new(arm))),
        });
    }
    Some(all.unwrap_or(Expr::Literal(ScalarValue::Boolean(Some(false)), None)))
}
