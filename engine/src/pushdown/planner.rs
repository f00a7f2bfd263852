//! Finds the largest subtrees that one connector can run, after DataFusion's optimizer has reached its fixed point.
//!
//! Bottom-up: a scan of a remote table becomes a [`RemoteNode`]; each operator above one is absorbed into it as far as the dialect proves it
//! safe. What is not absorbed stays a local operator over the node, with the reason in the node's report. Only Filter, Projection, Aggregate, Sort,
//! Limit and aliases are absorbed so far; joins and unions stay local.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as DfResult;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::utils::{conjunction, expr_to_columns};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, FetchType, Filter, Limit, LogicalPlan, Projection, SkipType, Sort, SubqueryAlias, TableScan,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use super::class::Class;
use super::ir::Rel;
use super::node::{RemoteNode, RemoteNodePlanner};
use super::remote::RemoteQuery;
use super::report::{Part, Report};
use crate::federation::floats;
use crate::federation::table::FjordTable;

/// DataFusion's planner with our pass in front.
#[derive(Debug)]
pub struct FederationPlanner;

#[async_trait]
impl QueryPlanner for FederationPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> DfResult<Arc<dyn ExecutionPlan>> {
        let plan = push_down(floats::expand_zeros(plan.clone())?)?;
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(RemoteNodePlanner)]).create_physical_plan(&plan, session).await
    }
}

/// Replaces what can be pushed by remote queries. Never fails for a refusal.
pub fn push_down(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(absorb)?.data)
}

fn absorb(plan: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
    let changed = match &plan {
        LogicalPlan::TableScan(scan) => absorb_scan(scan)?,
        LogicalPlan::SubqueryAlias(alias) => absorb_alias(alias),
        LogicalPlan::Filter(filter) => absorb_filter(filter)?,
        LogicalPlan::Projection(p) => absorb_projection(p)?,
        LogicalPlan::Aggregate(a) => absorb_aggregate(a)?,
        LogicalPlan::Distinct(Distinct::All(input)) => absorb_distinct(input, plan.schema()),
        LogicalPlan::Sort(s) => absorb_sort(s)?,
        LogicalPlan::Limit(l) => absorb_limit(l)?,
        _ => None,
    };
    Ok(match changed {
        Some(p) => Transformed::new(p, true, TreeNodeRecursion::Continue),
        None => Transformed::no(plan),
    })
}

fn absorb_scan(scan: &TableScan) -> DfResult<Option<LogicalPlan>> {
    let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
    let Some(table) = provider.downcast_ref::<FjordTable>() else { return Ok(None) };
    let width = table.info().columns.len();
    let projection: Vec<usize> = scan.projection.clone().unwrap_or_else(|| (0..width).collect());
    if scan.filters.is_empty() {
        let mut query = table.query(&projection);
        if projection.is_empty() {
            query = table.query(&(0..width).collect::<Vec<_>>());
            query.pick(&[]);
        }
        limit_scan(&mut query, scan.fetch, true);
        return Ok(Some(RemoteNode { query: Arc::new(query), schema: scan.projected_schema.clone() }.into_plan()));
    }
    // The filters may use columns that the projection drops: filter the whole width, then pick.
    let all: Vec<usize> = (0..width).collect();
    let full: DFSchemaRef =
        Arc::new(datafusion::common::DFSchema::try_from_qualified_schema(scan.table_name.clone(), table.arrow_schema().as_ref())?);
    let mut query = table.query(&all);
    let mut residual = vec![];
    for f in &scan.filters {
        residual.extend(query.push_filter(f, &full));
    }
    limit_scan(&mut query, scan.fetch, residual.is_empty());
    if residual.is_empty() {
        query.pick(&projection);
        return Ok(Some(RemoteNode { query: Arc::new(query), schema: scan.projected_schema.clone() }.into_plan()));
    }
    // Not met while the provider answers `Exact` only for what this very code pushes; kept right all the same.
    let node = RemoteNode { query: Arc::new(query), schema: full.clone() }.into_plan();
    let Some(predicate) = conjunction(residual) else { return Ok(Some(node)) };
    let filter = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(node))?);
    let exprs = projection.iter().map(|i| Expr::Column(Column::from(full.qualified_field(*i)))).collect();
    let picked = LogicalPlan::Projection(Projection::try_new_with_schema(exprs, Arc::new(filter), scan.projected_schema.clone())?);
    Ok(Some(picked))
}

fn limit_scan(query: &mut RemoteQuery, fetch: Option<usize>, exact: bool) {
    if let (Some(n), true, true) = (fetch, exact, query.pushdown) {
        query.report.add(Part::Limit, format!("LIMIT {n}"), Class::Exact, "");
        query.wrap(|input| Rel::Limit { input, skip: 0, fetch: Some(n as u64) });
        query.rows_max = Some(n as u64);
    }
}

fn absorb_alias(alias: &SubqueryAlias) -> Option<LogicalPlan> {
    let node = RemoteNode::of(&alias.input)?;
    Some(RemoteNode { query: node.query.clone(), schema: alias.schema.clone() }.into_plan())
}

fn absorb_filter(filter: &Filter) -> DfResult<Option<LogicalPlan>> {
    let Some(node) = RemoteNode::of(&filter.input) else { return Ok(None) };
    if !pushing(node) {
        return Ok(None);
    }
    let mut query = node.query.as_ref().clone();
    let residual = query.push_filter(&filter.predicate, &node.schema);
    let plan = RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan();
    Ok(Some(match conjunction(residual) {
        None => plan,
        Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?),
    }))
}

/// The table was made with pushdown on.
fn pushing(node: &RemoteNode) -> bool {
    node.query.pushdown
}

fn absorb_projection(p: &Projection) -> DfResult<Option<LogicalPlan>> {
    let Some(node) = RemoteNode::of(&p.input) else { return prune_through(p) };
    let columns: Option<Vec<usize>> = p.expr.iter().map(|e| plain_column(e, &node.schema)).collect();
    if let Some(columns) = columns {
        let mut query = node.query.as_ref().clone();
        query.pick(&columns);
        return Ok(Some(RemoteNode { query: Arc::new(query), schema: p.schema.clone() }.into_plan()));
    }
    if pushing(node)
        && let Some(query) = computed_projection(node, &p.expr)
    {
        return Ok(Some(RemoteNode { query: Arc::new(query), schema: p.schema.clone() }.into_plan()));
    }
    prune_through(p)
}

/// A projection in which every expression is exact as a value. Not over a sorted query: `SELECT` over a sorted subquery promises no order.
fn computed_projection(node: &RemoteNode, exprs: &[Expr]) -> Option<RemoteQuery> {
    let mut query = node.query.as_ref().clone();
    if !query.order.is_empty() {
        return None;
    }
    let (mut scalars, mut types, mut origins) = (vec![], vec![], vec![]);
    for e in exprs {
        // A constant travels better in the plan than over the wire, row by row.
        if matches!(unaliased(e), Expr::Literal(..)) {
            return None;
        }
        match query.converter(&node.schema).value(e) {
            Ok((t, class, reason)) => {
                origins.push(plain_column(e, &node.schema).and_then(|i| query.origins.get(i).copied().flatten()));
                if plain_column(e, &node.schema).is_none() {
                    query.report.add(Part::Projection, e, class, reason);
                }
                types.push(t.ty);
                scalars.push(t.scalar);
            }
            Err(_) => return None,
        }
    }
    query.wrap(|input| Rel::Project { input, exprs: scalars });
    query.types = types;
    query.origins = origins;
    Some(query)
}

/// The projection stays local: its remote input is narrowed to the columns that it, and local filters between, still need.
fn prune_through(p: &Projection) -> DfResult<Option<LogicalPlan>> {
    let mut needed = std::collections::HashSet::new();
    for e in &p.expr {
        expr_to_columns(e, &mut needed)?;
        if has_subquery(e)? {
            return Ok(None);
        }
    }
    let Some(input) = prune(&p.input, &mut needed, &p.expr)? else { return Ok(None) };
    Ok(Some(LogicalPlan::Projection(Projection::try_new_with_schema(p.expr.clone(), Arc::new(input), p.schema.clone())?)))
}

/// A correlated subquery names outer columns that `expr_to_columns` does not see.
fn has_subquery(e: &Expr) -> DfResult<bool> {
    use datafusion::common::tree_node::TreeNode;
    e.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))))
}

fn prune(plan: &LogicalPlan, needed: &mut std::collections::HashSet<Column>, above: &[Expr]) -> DfResult<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(f) => {
            if has_subquery(&f.predicate)? {
                return Ok(None);
            }
            expr_to_columns(&f.predicate, needed)?;
            let Some(input) = prune(&f.input, needed, above)? else { return Ok(None) };
            Ok(Some(LogicalPlan::Filter(Filter::try_new(f.predicate.clone(), Arc::new(input))?)))
        }
        _ => {
            let Some(node) = RemoteNode::of(plan) else { return Ok(None) };
            let mut query = node.query.as_ref().clone();
            if query.pushdown {
                for e in above {
                    let computed = plain_column(e, &node.schema).is_none() && !matches!(unaliased(e), Expr::Literal(..));
                    if computed && let Err(reason) = query.converter(&node.schema).value(e) {
                        query.report.add(Part::Projection, e, Class::No, reason);
                    }
                }
            }
            let columns: Vec<usize> =
                (0..node.schema.fields().len()).filter(|i| needed.contains(&Column::from(node.schema.qualified_field(*i)))).collect();
            let fields = columns
                .iter()
                .map(|i| {
                    let (q, f) = node.schema.qualified_field(*i);
                    (q.cloned(), f.clone())
                })
                .collect();
            let schema = Arc::new(datafusion::common::DFSchema::new_with_metadata(fields, node.schema.metadata().clone())?);
            query.pick(&columns);
            Ok(Some(RemoteNode { query: Arc::new(query), schema }.into_plan()))
        }
    }
}

fn absorb_aggregate(a: &Aggregate) -> DfResult<Option<LogicalPlan>> {
    let Some(node) = RemoteNode::of(&a.input) else {
        let input = annotate_input(&a.input, Part::Aggregate, &aggregate_text(a))?;
        return input.map(|input| reaggregate(a, input)).transpose();
    };
    let reason = if pushing(node) {
        match aggregate(node, &a.group_expr, &a.aggr_expr, &a.schema) {
            Ok(query) => return Ok(Some(RemoteNode { query: Arc::new(query), schema: a.schema.clone() }.into_plan())),
            Err(reason) => Some(reason),
        }
    } else {
        None
    };
    // Local: only the columns it needs are read.
    let mut needed = std::collections::HashSet::new();
    for e in a.group_expr.iter().chain(&a.aggr_expr) {
        if has_subquery(e)? {
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

fn aggregate(node: &RemoteNode, groups: &[Expr], aggregates: &[Expr], schema: &DFSchemaRef) -> Result<RemoteQuery, String> {
    let mut query = node.query.as_ref().clone();
    let (mut keys, mut types, mut origins, mut pushed) = (vec![], vec![], vec![], vec![]);
    let mut notes = Report::default();
    for g in groups {
        if matches!(unaliased(g), Expr::GroupingSet(_)) {
            return Err("GROUPING SETS, CUBE and ROLLUP are grouped locally".into());
        }
        if matches!(unaliased(g), Expr::Literal(..)) {
            return Err("a constant grouping key is grouped locally".into());
        }
        let (key, class, reason) = query.converter(&node.schema).group_key(g)?;
        notes.add(Part::Aggregate, format!("GROUP BY {g}"), class, reason);
        origins.push(plain_column(g, &node.schema).and_then(|i| query.origins.get(i).copied().flatten()));
        types.push(key.ty);
        keys.push(key.scalar);
    }
    for a in aggregates {
        let p = query.converter(&node.schema).aggregate(a)?;
        notes.add(Part::Aggregate, a, p.class, p.reason);
        types.push(p.aggregate.ty.clone());
        origins.push(None);
        pushed.push(p.aggregate);
    }
    for (t, f) in types.iter().zip(schema.fields()) {
        if t.arrow != *f.data_type() {
            return Err(format!("{} would arrive as {} instead of {}", f.name(), t.arrow, f.data_type()));
        }
    }
    let groups = if keys.is_empty() { Some(1) } else { distinct_groups(&query, &origins[..keys.len()]) };
    query.rows = match (query.rows, groups) {
        (Some(r), Some(g)) => Some(r.min(g)),
        // The usual guess where nothing is known of the keys.
        (Some(r), None) => Some((r / 10).max(1)),
        (None, _) => None,
    };
    query.rows_max = if keys.is_empty() { Some(1) } else { query.rows_max };
    query.wrap(|input| Rel::Aggregate { input, keys, aggregates: pushed });
    query.types = types;
    query.origins = origins;
    query.order.clear();
    query.report.notes.extend(notes.notes);
    Ok(query)
}

fn distinct_groups(query: &RemoteQuery, origins: &[Option<usize>]) -> Option<u64> {
    let mut product: u64 = 1;
    for o in origins {
        let column = (*o)?;
        let position = query.origins.iter().position(|q| *q == Some(column))?;
        product = product.saturating_mul(query.distinct_of(position)?);
    }
    Some(product.max(1))
}

fn absorb_distinct(input: &Arc<LogicalPlan>, schema: &DFSchemaRef) -> Option<LogicalPlan> {
    let node = RemoteNode::of(input)?;
    if !pushing(node) {
        return None;
    }
    let groups: Vec<Expr> = (0..node.schema.fields().len()).map(|i| Expr::Column(Column::from(node.schema.qualified_field(i)))).collect();
    let query = aggregate(node, &groups, &[], schema).ok()?;
    Some(RemoteNode { query: Arc::new(query), schema: schema.clone() }.into_plan())
}

/// The sort is pushed and stays in the plan: the leaf declares its order, so DataFusion drops its own sort where nothing between disturbs it, and
/// keeps (or merges) where something does. With a fetch, only that many rows come.
fn absorb_sort(s: &Sort) -> DfResult<Option<LogicalPlan>> {
    let text = || format!("ORDER BY {}", s.expr.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    let Some(node) = RemoteNode::of(&s.input) else {
        return Ok(
            annotate_input(&s.input, Part::Sort, &text())?.map(|input| LogicalPlan::Sort(Sort { input: Arc::new(input), ..s.clone() }))
        );
    };
    if !pushing(node) {
        return Ok(None);
    }
    let mut query = node.query.as_ref().clone();
    let mut keys = vec![];
    let mut order = vec![];
    let mut refused = None;
    for e in &s.expr {
        match query.converter(&node.schema).sort_key(e) {
            Ok((key, class, reason)) => {
                query.report.add(Part::Sort, format!("ORDER BY {e}"), class, reason);
                order.push(plain_column(&e.expr, &node.schema).map(|i| (i, !e.asc, e.nulls_first)));
                keys.push(key);
            }
            Err(reason) => {
                refused = Some(reason);
                break;
            }
        }
    }
    let order: Option<Vec<_>> = order.into_iter().collect();
    if refused.is_none() && order.is_none() && s.fetch.is_none() {
        refused = Some("a computed sort key without a LIMIT is sorted locally".into());
    }
    if let Some(reason) = refused {
        let mut query = node.query.as_ref().clone();
        query.report.add(Part::Sort, text(), Class::No, reason);
        let input = RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan();
        return Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(input), ..s.clone() })));
    }
    query.wrap(|input| Rel::Sort { input, keys });
    query.order = order.unwrap_or_default();
    if let Some(n) = s.fetch {
        query.report.add(Part::Limit, format!("LIMIT {n}"), Class::Exact, "");
        query.wrap(|input| Rel::Limit { input, skip: 0, fetch: Some(n as u64) });
        query.rows_max = Some(query.rows_max.map_or(n as u64, |m| m.min(n as u64)));
    }
    let input = RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan();
    Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(input), fetch: None, expr: s.expr.clone() })))
}

fn absorb_limit(l: &Limit) -> DfResult<Option<LogicalPlan>> {
    let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (l.get_skip_type()?, l.get_fetch_type()?) else { return Ok(None) };
    let text = match (skip, fetch) {
        (0, Some(n)) => format!("LIMIT {n}"),
        (s, Some(n)) => format!("LIMIT {n} OFFSET {s}"),
        (s, None) => format!("OFFSET {s}"),
    };
    // Over a sort that was pushed: the limit goes under the local sort, which has no work then.
    if let LogicalPlan::Sort(s) = l.input.as_ref()
        && s.fetch.is_none()
        && let Some(node) = RemoteNode::of(&s.input)
        && !node.query.order.is_empty()
        && node.query.order.len() == s.expr.len()
    {
        let query = limited(node, skip, fetch, &text);
        let input = RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan();
        return Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(input), ..s.clone() })));
    }
    let Some(node) = RemoteNode::of(&l.input) else {
        return Ok(
            annotate_input(&l.input, Part::Limit, &text)?.map(|input| LogicalPlan::Limit(Limit { input: Arc::new(input), ..l.clone() }))
        );
    };
    // `LIMIT 0` is answered without asking anybody.
    if !pushing(node) || fetch == Some(0) {
        return Ok(None);
    }
    let query = limited(node, skip, fetch, &text);
    Ok(Some(RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan()))
}

fn limited(node: &RemoteNode, skip: usize, fetch: Option<usize>, text: &str) -> RemoteQuery {
    let mut query = node.query.as_ref().clone();
    let (skip, mut fetch) = (skip as u64, fetch.map(|n| n as u64));
    let mut outer_skip = skip;
    // The optimizer leaves LIMIT n OFFSET s over a fetch of s + n: one limit says both.
    if let Rel::Limit { input, skip: 0, fetch: Some(inner) } = &query.rel {
        fetch = Some(fetch.map_or(inner.saturating_sub(skip), |f| f.min(inner.saturating_sub(skip))));
        outer_skip = skip;
        query.rel = input.as_ref().clone();
    }
    query.report.notes.retain(|n| n.part != Part::Limit);
    query.report.add(Part::Limit, text, Class::Exact, "");
    query.wrap(|input| Rel::Limit { input, skip: outer_skip, fetch });
    query.rows = query.rows.map(|r| r.saturating_sub(skip));
    query.rows_max = match (query.rows_max, fetch) {
        (Some(m), Some(f)) => Some(m.min(f)),
        (m, f) => f.or(m),
    };
    query
}

/// Says in the report of the remote query below a local filter why an operator above it was not pushed.
fn annotate_input(input: &LogicalPlan, part: Part, text: &str) -> DfResult<Option<LogicalPlan>> {
    let LogicalPlan::Filter(f) = input else { return Ok(None) };
    let Some(node) = RemoteNode::of(&f.input) else { return Ok(None) };
    if !pushing(node) {
        return Ok(None);
    }
    let node = annotate(f.input.as_ref().clone(), |r| {
        r.add(part, text, Class::No, "it stands over a filter that is finished locally");
    });
    Ok(Some(LogicalPlan::Filter(Filter::try_new(f.predicate.clone(), Arc::new(node))?)))
}

fn annotate(plan: LogicalPlan, f: impl Fn(&mut Report)) -> LogicalPlan {
    match &plan {
        LogicalPlan::Filter(filter) => {
            let input = annotate(filter.input.as_ref().clone(), f);
            match Filter::try_new(filter.predicate.clone(), Arc::new(input)) {
                Ok(filter) => LogicalPlan::Filter(filter),
                Err(_) => plan,
            }
        }
        _ => match RemoteNode::of(&plan) {
            Some(node) => {
                let mut query = node.query.as_ref().clone();
                f(&mut query.report);
                RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan()
            }
            None => plan,
        },
    }
}

fn plain_column(e: &Expr, schema: &DFSchemaRef) -> Option<usize> {
    match unaliased(e) {
        Expr::Column(c) => schema.maybe_index_of_column(c),
        _ => None,
    }
}

fn unaliased(e: &Expr) -> &Expr {
    match e {
        Expr::Alias(a) => unaliased(&a.expr),
        e => e,
    }
}
