//! GROUP BY, DISTINCT and aggregates.

use std::sync::Arc;

use datafusion::common::{Column, DFSchemaRef};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::expr_to_columns;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::notes::{annotate, annotate_input};
use super::projection::{as_remote, prune};
use super::{correlated, plain_column, pushing, unaliased};
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
    for g in groups {
        if matches!(unaliased(g), Expr::GroupingSet(_)) {
            return Err("GROUPING SETS, CUBE and ROLLUP are grouped locally".into());
        }
        let (key, class, reason) = query.converter(&node.schema).group_key(g)?;
        notes.add(Part::Aggregate, format!("GROUP BY {g}"), class, reason);
        from.push(plain_column(g, &node.schema));
        types.push(key.ty);
        keys.push(key.scalar);
    }
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
    let groups = if keys.is_empty() { Some(1) } else { query.groups(&from) };
    query.rows = match (query.estimated_rows(), groups) {
        (Some(r), Some(g)) => Some(r.min(g)),
        // The usual guess where nothing is known of the keys.
        (Some(r), None) => Some((r / 10).max(1)),
        (None, _) => None,
    };
    query.one_row = keys.is_empty();
    query.rows_max = if query.one_row { Some(1) } else { query.rows_max };
    query.keys = if query.one_row { vec![] } else { vec![(0..keys.len()).collect()] };
    let column = |f: &Option<usize>| f.and_then(|i| query.columns.get(i).copied()).unwrap_or(ColumnEstimate::UNKNOWN);
    query.columns = from.iter().map(column).chain(pushed.iter().map(|_| ColumnEstimate::UNKNOWN)).collect();
    query.wrap(|input| Rel::Aggregate { input, keys, aggregates: pushed });
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
