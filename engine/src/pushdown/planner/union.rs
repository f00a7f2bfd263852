//! UNION ALL of remote queries of one connector. (UNION is a grouping over it.)

use std::sync::Arc;

use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{LogicalPlan, Union};

use super::notes::annotate;
use super::projection::as_remote;
use super::{pushing, same_connector};
use crate::pushdown::class::{Class, Typed};
use crate::pushdown::estimate::ColumnEstimate;
use crate::pushdown::ir::{Rel, RemoteType, Scalar, Value};
use crate::pushdown::node::RemoteNode;
use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::Part;

pub(super) fn absorb(u: &Union) -> DfResult<Option<LogicalPlan>> {
    // What is on trial is decided below a union.
    if u.inputs.iter().any(|i| RemoteNode::of(i).is_some_and(|n| n.query.tentative.is_some())) {
        return Ok(None);
    }
    let inputs: Option<Vec<RemoteNode>> = u.inputs.iter().map(|i| as_remote(i)).collect();
    let judged = match inputs {
        Some(inputs) if !inputs.iter().all(pushing) => return Ok(None),
        Some(inputs) => union(u, &inputs),
        None => Err("not every input is one remote query".to_string()),
    };
    match judged {
        Ok(query) => Ok(Some(RemoteNode { query: Arc::new(query), schema: u.schema.clone() }.into_plan())),
        Err(reason) => {
            if !u.inputs.iter().any(|i| over_remote(i)) {
                return Ok(None);
            }
            let note = |i: &Arc<LogicalPlan>| match over_remote(i) {
                true => Arc::new(annotate(i.as_ref().clone(), |r| r.add(Part::Union, "UNION ALL", Class::No, reason.clone()))),
                false => i.clone(),
            };
            Ok(Some(LogicalPlan::Union(Union { inputs: u.inputs.iter().map(note).collect(), schema: u.schema.clone() })))
        }
    }
}

/// A remote query, or what is finished here of one.
fn over_remote(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Filter(f) => over_remote(&f.input),
        LogicalPlan::Projection(p) => over_remote(&p.input),
        LogicalPlan::SubqueryAlias(a) => over_remote(&a.input),
        plan => RemoteNode::of(plan).is_some_and(pushing),
    }
}

fn union(u: &Union, inputs: &[RemoteNode]) -> Result<RemoteQuery, String> {
    let Some((first, others)) = inputs.split_first() else { return Err("a union of nothing".into()) };
    if others.iter().any(|o| !same_connector(&first.query, &o.query)) {
        return Err("its inputs are read from several connectors".into());
    }
    if let Some(reason) = first.query.dialect.refuses_union() {
        return Err(reason);
    }
    let width = u.schema.fields().len();
    let mut exprs: Vec<Vec<Scalar>> = vec![vec![]; inputs.len()];
    let (mut types, mut columns, mut reasons) = (vec![], vec![], vec![]);
    for c in 0..width {
        let column = |n: &RemoteNode| {
            let ty = n.query.types.get(c)?.clone();
            Some(Typed { scalar: constant(&n.query.rel, c).unwrap_or(Scalar::Column(c)), ty })
        };
        let values: Vec<Typed> = inputs.iter().map(column).collect::<Option<_>>().ok_or("an input lacks a column")?;
        let field = u.schema.field(c);
        let (values, ty) = match alike(&values) {
            Some(ty) => (values, ty),
            None => {
                let (values, ty, reason) = first
                    .query
                    .dialect
                    .union_column(&values, field.data_type())
                    .map_err(|reason| format!("column {}: {reason}", field.name()))?;
                if !reason.is_empty() && !reasons.contains(&reason) {
                    reasons.push(reason);
                }
                (values, ty)
            }
        };
        if ty.arrow != *field.data_type() {
            return Err(format!("{} would arrive as {} instead of {}", field.name(), ty.arrow, field.data_type()));
        }
        for (list, v) in exprs.iter_mut().zip(values) {
            list.push(v.scalar);
        }
        types.push(ty);
        let estimates = || inputs.iter().filter_map(|n| n.query.columns.get(c));
        columns.push(ColumnEstimate {
            distinct: estimates().map(|e| e.distinct).try_fold(0u64, |sum, d| Some(sum.saturating_add(d?))),
            null_fraction: estimates().map(|e| e.null_fraction).fold(0.0, f64::max),
            width: estimates().map(|e| e.width).max().unwrap_or(0),
        });
    }
    if width == 0 {
        // Rows are counted; a source cannot send rows of nothing.
        let ty = RemoteType::boolean(false);
        exprs.iter_mut().for_each(|list| list.push(Scalar::Literal(Value::Bool(true), ty.clone())));
        types.push(ty);
        columns.push(ColumnEstimate::UNKNOWN);
    }
    let mut query = first.query.as_ref().clone();
    let total = |f: &dyn Fn(&RemoteQuery) -> Option<u64>| inputs.iter().try_fold(0u64, |sum, n| Some(sum.saturating_add(f(&n.query)?)));
    query.rows = total(&|q| q.estimated_rows());
    query.rows_max = total(&|q| q.rows_max);
    query.tables = inputs.iter().flat_map(|n| n.query.tables.iter().cloned()).collect();
    for n in others.iter().flat_map(|o| &o.query.report.notes) {
        query.report.add(n.part, &n.text, n.class, n.reason.clone());
    }
    let class = if reasons.is_empty() { Class::Exact } else { Class::Rewritten };
    query.report.add(Part::Union, "UNION ALL", class, reasons.join("; "));
    query.rel = Rel::Union { inputs: inputs.iter().zip(exprs).map(|(n, exprs)| projected(&n.query, exprs)).collect() };
    query.types = types;
    query.columns = columns;
    query.keys.clear();
    query.one_row = false;
    query.order.clear();
    Ok(query)
}

/// A constant of the select list: it takes the type of what it meets.
fn constant(rel: &Rel, column: usize) -> Option<Scalar> {
    match rel {
        Rel::Project { exprs, .. } => exprs.get(column).filter(|e| matches!(e, Scalar::Literal(..))).cloned(),
        _ => None,
    }
}

/// The one type of all columns, if they differ in nullability only.
fn alike(values: &[Typed]) -> Option<RemoteType> {
    if values.iter().any(|v| v.literal().is_some()) {
        return None;
    }
    let nullable = values.iter().any(|v| v.ty.nullable);
    let as_one = |t: &RemoteType| RemoteType { nullable, ..t.clone() };
    let first = as_one(&values.first()?.ty);
    values.iter().all(|v| as_one(&v.ty) == first).then_some(first)
}

fn projected(query: &RemoteQuery, exprs: Vec<Scalar>) -> Rel {
    let same = exprs.len() == query.types.len() && exprs.iter().enumerate().all(|(i, e)| *e == Scalar::Column(i));
    if same { query.rel.clone() } else { Rel::Project { input: Box::new(query.rel.clone()), exprs } }
}
