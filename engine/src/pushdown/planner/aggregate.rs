//! GROUP BY, DISTINCT and aggregates.

use std::sync::Arc;

use datafusion::common::{Column, DFSchemaRef};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::expr_to_columns;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::notes::{annotate, annotate_input};
use super::projection::{as_remote, prune};
use super::{correlated, plain_column, pushing, sets};
use crate::pushdown::class::Class;
use crate::pushdown::estimate::ColumnEstimate;
use crate::pushdown::ir::Rel;
use crate::pushdown::node::RemoteNode;
use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::{Part, Report};

pub(super) fn absorb(a: &Aggregate) -> DfResult<Option<LogicalPlan>> {
    let Some(node) = RemoteNode::of(&a.input) else {
        if let Some(node) = as_remote(&a.input)
            && pushing(&node)
            && let Ok(query) = grouped(&node, &a.group_expr, &a.aggr_expr, &a.schema)
        {
            return Ok(Some(RemoteNode { query: Arc::new(query), schema: a.schema.clone() }.into_plan()));
        }
        let input = annotate_input(&a.input, Part::Aggregate, &aggregate_text(a))?;
        return input.map(|input| reaggregate(a, input)).transpose();
    };
    let reason = if pushing(node) {
        match grouped(node, &a.group_expr, &a.aggr_expr, &a.schema) {
            Ok(query) => return Ok(Some(RemoteNode { query: Arc::new(query), schema: a.schema.clone() }.into_plan())),
            Err(reason) => Some(reason),
        }
    } else {
        None
    };
    // Local: only the columns it needs are read.
    let mut needed = std::collections::HashSet::new();
    for e in a.group_expr.iter().chain(&a.aggr_expr) {
        if correlated(e)? {
            return Ok(None);
        }
        expr_to_columns(e, &mut needed)?;
    }
    let mut input = prune(&a.input, &mut needed, &[])?;
    if let Some(reason) = reason {
        input = input.map(|p| annotate(p, |r| r.add(Part::Aggregate, aggregate_text(a), Class::No, reason.clone())));
    }
    input.map(|input| reaggregate(a, input)).transpose()
}

fn reaggregate(a: &Aggregate, input: LogicalPlan) -> DfResult<LogicalPlan> {
    let (groups, aggregates) = (a.group_expr.clone(), a.aggr_expr.clone());
    Ok(LogicalPlan::Aggregate(Aggregate::try_new_with_schema(Arc::new(input), groups, aggregates, a.schema.clone())?))
}

fn aggregate_text(a: &Aggregate) -> String {
    let list = |e: &[Expr]| e.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (a.group_expr.is_empty(), a.aggr_expr.is_empty()) {
        (true, _) => list(&a.aggr_expr),
        (_, true) => format!("DISTINCT {}", list(&a.group_expr)),
        _ => format!("{} GROUP BY {}", list(&a.aggr_expr), list(&a.group_expr)),
    }
}

fn grouped(node: &RemoteNode, groups: &[Expr], aggregates: &[Expr], schema: &DFSchemaRef) -> Result<RemoteQuery, String> {
    let mut query = node.query.as_ref().clone();
    let (mut keys, mut types, mut from, mut pushed) = (vec![], vec![], vec![], vec![]);
    let mut notes = Report::default();
    let sets = match groups {
        [one] => sets::of(one)?,
        _ => None,
    };
    let distinct = sets.as_ref().map(|s| s.keys.clone());
    for g in distinct.as_deref().unwrap_or(groups) {
        let (key, class, reason) = query.converter(&node.schema).group_key(g)?;
        notes.add(Part::Aggregate, format!("GROUP BY {g}"), class, reason);
        from.push(plain_column(g, &node.schema));
        types.push(key.ty);
        keys.push(key.scalar);
    }
    let id = match &sets {
        None => None,
        Some(sets) => {
            sets::sendable(&keys)?;
            types.iter_mut().for_each(|t| t.nullable = true);
            let id = sets.id(query.dialect.as_ref(), schema)?;
            types.push(id.clone());
            Some(id)
        }
    };
    for a in aggregates {
        let p = query.converter(&node.schema).aggregate(a)?;
        notes.add(Part::Aggregate, a, p.class, p.reason);
        types.push(p.aggregate.ty.clone());
        pushed.push(p.aggregate);
    }
    for (t, f) in types.iter().zip(schema.fields()) {
        if t.arrow != *f.data_type() {
            return Err(format!("{} would arrive as {} instead of {}", f.name(), t.arrow, f.data_type()));
        }
    }
    let groups = match &sets {
        None if keys.is_empty() => Some(1),
        None => query.groups(&from),
        Some(sets) => sets.sets.iter().try_fold(0u64, |sum, set| {
            let from: Vec<_> = set.iter().filter_map(|k| from.get(*k).copied()).collect();
            Some(sum.saturating_add(query.groups(&from)?))
        }),
    };
    let each = sets.as_ref().map_or(1, |s| s.sets.len() as u64);
    query.rows = match (query.estimated_rows(), groups) {
        (Some(r), Some(g)) => Some(r.saturating_mul(each).min(g)),
        // The usual guess where nothing is known of the keys.
        (Some(r), None) => Some((r.saturating_mul(each) / 10).max(1)),
        (None, _) => None,
    };
    query.one_row = keys.is_empty() && sets.is_none();
    query.rows_max = match (query.one_row, query.rows_max) {
        (true, _) => Some(1),
        // The empty set has a row over nothing too.
        (false, Some(m)) if sets.is_some() => Some(m.max(1).saturating_mul(each)),
        (false, m) => m,
    };
    // With the id the keys of all sets differ.
    query.keys = if query.one_row { vec![] } else { vec![(0..keys.len() + usize::from(id.is_some())).collect()] };
    let column = |f: &Option<usize>| f.and_then(|i| query.columns.get(i).copied()).unwrap_or(ColumnEstimate::UNKNOWN);
    let computed = usize::from(id.is_some()) + pushed.len();
    query.columns = from.iter().map(column).chain((0..computed).map(|_| ColumnEstimate::UNKNOWN)).collect();
    query.wrap(|input| match sets.zip(id) {
        Some((sets, id)) => Rel::GroupingSets { input, keys, sets: sets.sets, id, aggregates: pushed },
        None => Rel::Aggregate { input, keys, aggregates: pushed },
    });
    query.types = types;
    query.order.clear();
    query.report.notes.extend(notes.notes);
    Ok(query)
}

pub(super) fn absorb_distinct(input: &Arc<LogicalPlan>, schema: &DFSchemaRef) -> Option<LogicalPlan> {
    let node = RemoteNode::of(input).filter(|n| pushing(n))?;
    let groups: Vec<Expr> = (0..node.schema.fields().len()).map(|i| Expr::Column(Column::from(node.schema.qualified_field(i)))).collect();
    let query = grouped(node, &groups, &[], schema).ok()?;
    Some(RemoteNode { query: Arc::new(query), schema: schema.clone() }.into_plan())
}
