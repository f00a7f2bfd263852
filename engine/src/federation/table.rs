//! The provider of one remote table.
//!
//! Our own planner pass reads what it needs from it ([`FjordTable::query`]); the provider is right by itself all the same, in any DataFusion:
//! filters that it calls exact are those that the pass would push, a limit is sent only over exact filters.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::datasource::TableType;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

use super::scan::RemoteScanExec;
use crate::catalog::Connector;
use crate::error::{Result, SqlError};
use crate::pushdown::{Dialect, Rel, remote::RemoteQuery};
use crate::source::TableInfo;

/// A table of a connector.
#[derive(Debug)]
pub struct FjordTable {
    connector: Arc<Connector>,
    dialect: Arc<dyn Dialect>,
    info: Arc<TableInfo>,
    schema: SchemaRef,
    /// The same, for judging filters without a qualifier.
    bare: DFSchemaRef,
    pushdown: bool,
}

impl FjordTable {
    /// A table; `pushdown` is the session's `fjord.pushdown`.
    pub fn new(connector: Arc<Connector>, info: Arc<TableInfo>, pushdown: bool) -> Result<FjordTable> {
        let dialect = connector
            .source
            .dialect()
            .ok_or_else(|| SqlError::internal(format!("connector \"{}\" has neither a dialect nor a reader", connector.name)))?;
        let schema = info.arrow_schema();
        let bare = Arc::new(DFSchema::try_from(schema.clone())?);
        // No constraints are told to DataFusion: 55.2 keeps the dependencies of a key after a join has repeated it and a DISTINCT has gone over all, and
        // then drops sort keys that still matter.
        Ok(FjordTable { connector, dialect, info, schema, bare, pushdown })
    }
    /// What introspection knows of it.
    pub fn info(&self) -> &Arc<TableInfo> {
        &self.info
    }
    /// Its Arrow schema.
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.schema
    }
    /// Its connector.
    pub fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }
    /// A query for some of its columns.
    pub fn query(&self, columns: &[usize]) -> RemoteQuery {
        let mut q = RemoteQuery::scan(self.connector.clone(), self.dialect.clone(), self.info.clone(), columns);
        q.pushdown = self.pushdown;
        q
    }
}

#[async_trait]
impl TableProvider for FjordTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        if !self.pushdown {
            return Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()]);
        }
        let all: Vec<usize> = (0..self.info.columns.len()).collect();
        let query = self.query(&all);
        Ok(filters
            .iter()
            .map(|f| {
                // The filter names columns as the query does (`u.id`); the judge sees the bare table.
                let bare = unqualified(f);
                match query.converter(&self.bare).filter(&bare).class.is_exact() {
                    true => TableProviderFilterPushDown::Exact,
                    // A superset stays a Filter node, which the planner pass sends as a pre-filter.
                    false => TableProviderFilterPushDown::Unsupported,
                }
            })
            .collect())
    }
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.info.columns.len()).collect();
        let mut query = self.query(&all);
        let mut exact = true;
        for f in filters {
            exact &= query.push_filter(&unqualified(f), &self.bare).is_empty();
        }
        if let (Some(n), true) = (limit, exact) {
            query.wrap(|input| Rel::Limit { input, skip: 0, fetch: Some(n as u64) });
            query.rows_max = Some(n as u64);
        }
        let columns = projection.cloned().unwrap_or(all);
        query.pick(&columns);
        let fields: Vec<_> = columns.iter().map(|i| self.schema.fields()[*i].clone()).collect();
        Ok(Arc::new(RemoteScanExec::try_new(Arc::new(query), &fields, session.config())?))
    }
}

fn unqualified(e: &Expr) -> Expr {
    use datafusion::common::Column;
    use datafusion::common::tree_node::{Transformed, TreeNode};
    e.clone()
        .transform(|e| {
            Ok(match e {
                Expr::Column(c) if c.relation.is_some() => Transformed::yes(Expr::Column(Column::new_unqualified(c.name))),
                e => Transformed::no(e),
            })
        })
        .map_or_else(|_| e.clone(), |t| t.data)
}
