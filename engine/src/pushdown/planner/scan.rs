//! Scans of remote tables, with the filters and the limit that DataFusion has put into them.

use std::sync::Arc;

use datafusion::common::{Column, DFSchemaRef};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, TableScan};

use crate::federation::table::FjordTable;
use crate::pushdown::class::Class;
use crate::pushdown::ir::Rel;
use crate::pushdown::node::RemoteNode;
use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::Part;

pub(super) fn absorb(scan: &TableScan) -> DfResult<Option<LogicalPlan>> {
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
        limit(&mut query, scan.fetch, true);
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
    limit(&mut query, scan.fetch, residual.is_empty());
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

fn limit(query: &mut RemoteQuery, fetch: Option<usize>, exact: bool) {
    if let (Some(n), true, true) = (fetch, exact, query.pushdown) {
        query.report.add(Part::Limit, format!("LIMIT {n}"), Class::Exact, "");
        query.wrap(|input| Rel::Limit { input, skip: 0, fetch: Some(n as u64) });
        query.rows_max = Some(n as u64);
    }
}
