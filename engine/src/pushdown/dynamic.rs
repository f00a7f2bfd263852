//! Filters that are known only while the query runs, as conditions of a remote query: those that a join or a TopK makes, and comparisons with an
//! uncorrelated scalar subquery, which has been run by then.
//!
//! A dynamic filter is advice: who made it checks every row again. So whatever keeps all right rows may be sent, and a part that cannot be judged is
//! left out. The same classes hold as for literals: bounds of a text key need byte order, or are dropped.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator};
use datafusion::physical_expr::expressions::{self as physical, CaseExpr, CastExpr, DynamicFilterPhysicalExpr, InListExpr, Literal};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

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
            // A subquery without a value yet: nothing is known.
            None => match with_values(f) {
                Some(e) => e,
                None => continue,
            },
        };
        for part in split_conjunction(&now) {
            let Some(e) = never(part).or_else(|| logical(part, schema, Keep::More)) else {
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

/// Whether an uncorrelated scalar subquery's value is part of it.
pub fn has_subquery(e: &Arc<dyn PhysicalExpr>) -> bool {
    e.exists(|e| Ok(e.is::<ScalarSubqueryExpr>())).unwrap_or(false)
}

/// The expression with each subquery's value in its place, and what is computed from nothing else computed; `None` where one has not been run.
fn with_values(e: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    let one_row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &RecordBatchOptions::new().with_row_count(Some(1)));
    let one_row = one_row.ok()?;
    let value = |e: Arc<dyn PhysicalExpr>| {
        let subquery = e.is::<ScalarSubqueryExpr>();
        let constant = !e.children().is_empty() && e.children().iter().all(|c| c.is::<Literal>()) && !e.is_volatile_node();
        if !subquery && !constant {
            return Ok(Transformed::no(e));
        }
        match e.evaluate(&one_row).and_then(|v| v.to_array(1)).and_then(|v| ScalarValue::try_from_array(&v, 0)) {
            Ok(v) => Ok(Transformed::yes(Arc::new(Literal::new(v)) as Arc<dyn PhysicalExpr>)),
            // A division by zero, say: it is raised where rows are checked, if there are any.
            Err(_) if constant => Ok(Transformed::no(e)),
            Err(error) => Err(error),
        }
    };
    e.clone().transform_up(value).data().ok()
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
        // DataFusion sorts a NaN with its sign bit set (which `-x` and `inf - inf` give) below everything, a source above: no such bound is sent.
        if is_nan(b.left()) || is_nan(b.right()) {
            return None;
        }
        let inner = if matches!(b.op(), Operator::And | Operator::Or) { keep } else { Keep::Exactly };
        let (left, right) = (logical(b.left(), schema, inner), logical(b.right(), schema, inner));
        return match (b.op(), left, right) {
            (_, Some(l), Some(Expr::Literal(v, _))) if widened(&l, schema).is_some() => {
                let (column, ty) = widened(&l, schema)?;
                let v = fitting(&v, &ty)?;
                Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(column), *b.op(), Box::new(Expr::Literal(v, None)))))
            }
            (_, Some(l), Some(r)) => Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(l), *b.op(), Box::new(r)))),
            (Operator::And, Some(one), None) | (Operator::And, None, Some(one)) if keep == Keep::More => Some(one),
            _ => None,
        };
    }
    if let Some(c) = e.downcast_ref::<CastExpr>() {
        let inner = logical(c.expr(), schema, Keep::Exactly)?;
        return Some(Expr::Cast(Cast::new(Box::new(inner), c.cast_type().clone())));
    }
    if let Some(n) = e.downcast_ref::<physical::IsNullExpr>() {
        return Some(Expr::IsNull(Box::new(logical(n.arg(), schema, Keep::Exactly)?)));
    }
    if let Some(n) = e.downcast_ref::<physical::IsNotNullExpr>() {
        return Some(Expr::IsNotNull(Box::new(logical(n.arg(), schema, Keep::Exactly)?)));
    }
    if let Some(l) = e.downcast_ref::<InListExpr>() {
        return in_list(l, schema, keep);
    }
    if let Some(c) = e.downcast_ref::<CaseExpr>() {
        return if keep == Keep::More { partitioned(c, schema) } else { None };
    }
    None
}

/// `false` for a comparison with NULL: as a condition it keeps no row.
fn never(e: &Arc<dyn PhysicalExpr>) -> Option<Expr> {
    let b = e.downcast_ref::<physical::BinaryExpr>()?;
    let compares = b.op().supports_propagation() || *b.op() == Operator::NotEq;
    let is_null = |e: &Arc<dyn PhysicalExpr>| e.downcast_ref::<Literal>().is_some_and(|l| l.value().is_null());
    (compares && (is_null(b.left()) || is_null(b.right()))).then(|| Expr::Literal(ScalarValue::Boolean(Some(false)), None))
}

fn is_nan(e: &Arc<dyn PhysicalExpr>) -> bool {
    match e.downcast_ref::<Literal>().map(Literal::value) {
        Some(ScalarValue::Float32(Some(f))) => f.is_nan(),
        Some(ScalarValue::Float64(Some(f))) => f.is_nan(),
        _ => false,
    }
}

/// A join's list: `k IN (...)`, or `struct(a, b) IN (...)` for keys of several columns. The latter becomes `a IN (...) AND b IN (...)`, which keeps
/// every right row and some more.
fn in_list(l: &InListExpr, schema: &DFSchema, keep: Keep) -> Option<Expr> {
    if l.negated() {
        return None;
    }
    let values = l.list().iter().map(|item| item.downcast_ref::<Literal>().map(|l| l.value().clone()));
    let values: Vec<ScalarValue> = values.collect::<Option<_>>()?;
    let Some(key) = l.expr().downcast_ref::<ScalarFunctionExpr>() else {
        return Some(one_of(logical(l.expr(), schema, Keep::Exactly)?, values, schema));
    };
    if key.name() != "struct" || keep != Keep::More {
        return None;
    }
    let mut all: Option<Expr> = None;
    for (i, column) in key.args().iter().enumerate() {
        // A column that cannot be said is left out, as any part of a conjunction.
        let Some(column) = logical(column, schema, Keep::Exactly) else { continue };
        let parts: Vec<ScalarValue> = values.iter().filter_map(|v| part(v, i)).collect();
        if parts.len() < values.len() {
            return None;
        }
        let one = one_of(column, parts, schema);
        all = Some(all.map_or(one.clone(), |a| a.and(one)));
    }
    all
}

/// A field of a struct value.
fn part(v: &ScalarValue, i: usize) -> Option<ScalarValue> {
    match v {
        ScalarValue::Struct(s) if i < s.num_columns() && s.len() == 1 => ScalarValue::try_from_array(s.column(i), 0).ok(),
        _ => None,
    }
}

/// `e IN (values)`. They hold duplicates and NULLs (which match nothing), and one of two equal zeros.
fn one_of(e: Expr, values: Vec<ScalarValue>, schema: &DFSchema) -> Expr {
    let (e, narrow) = widened(&e, schema).map_or((e, None), |(column, ty)| (column, Some(ty)));
    let mut list: Vec<Expr> = Vec::with_capacity(values.len());
    let mut seen = std::collections::HashSet::new();
    for value in values.into_iter().filter(|v| !v.is_null()) {
        // No value of a narrower column equals one that it cannot hold.
        let Some(value) = narrow.as_ref().map_or(Some(value.clone()), |ty| fitting(&value, ty)) else { continue };
        let twin = floats::twin(&value);
        for v in std::iter::once(value).chain(twin) {
            if seen.insert(v.clone()) {
                list.push(Expr::Literal(v, None));
            }
        }
    }
    match list.is_empty() {
        true => Expr::Literal(ScalarValue::Boolean(Some(false)), None),
        false => Expr::InList(InList { expr: Box::new(e), list, negated: false }),
    }
}

/// The operand of a cast that only widens an integer, and its type: a key that meets a bigint. Compared as it is, it keeps its index.
fn widened(e: &Expr, schema: &DFSchema) -> Option<(Expr, DataType)> {
    let Expr::Cast(c) = e else { return None };
    let from = c.expr.get_type(schema).ok()?;
    let wider = from.is_signed_integer()
        && c.field.data_type().is_signed_integer()
        && from.primitive_width() <= c.field.data_type().primitive_width();
    wider.then(|| (c.expr.as_ref().clone(), from))
}

/// The value in a narrower type, if that holds it.
fn fitting(v: &ScalarValue, ty: &DataType) -> Option<ScalarValue> {
    v.cast_to(ty).ok().filter(|n| n.is_null() == v.is_null())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::datatypes::Field;

    /// A source may compare the elements of a list by their bits, as DataFusion does.
    #[test]
    fn a_list_holds_both_zeros_each_value_once_and_no_null() {
        let schema = Schema::new(vec![Field::new("f", DataType::Float64, true)]);
        let column: Arc<dyn PhysicalExpr> = Arc::new(physical::Column::new("f", 0));
        let values = [Some(-0.0), None, Some(7.0), Some(7.0)];
        let list = values.iter().map(|v| Arc::new(Literal::new(ScalarValue::Float64(*v))) as Arc<dyn PhysicalExpr>).collect();
        let filter = physical::in_list(column, list, &false, &schema).unwrap();
        let e = logical(&filter, &DFSchema::try_from(schema).unwrap(), Keep::More).unwrap();
        assert_eq!(e.to_string(), "f IN ([Float64(-0), Float64(0), Float64(7)])");
    }
}
