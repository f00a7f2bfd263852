//! The `sys` schema: what Fjord tells about itself, as tables. One file per table.
//!
//! A table is a [`SystemTable`]: a schema and a function that gives the rows at the moment of the scan. Nothing here asks a source.

mod connector_events;
mod connector_health;
mod connector_options;
mod connector_types;
mod connectors;
mod pushdown_summary;
mod queries;
mod remote_queries;
mod secrets;
mod unsupported_queries;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use crate::engine::Engine;
use crate::error::Result;
use crate::session::SessionInfo;

pub use unsupported_queries::{UNSUPPORTED_MAX, UnsupportedQueries};

/// One table of `sys`.
pub trait SystemTable: Send + Sync + Debug {
    /// Its name.
    fn name(&self) -> &'static str;
    /// One line, for the docs and `obj_description`.
    fn doc(&self) -> &'static str;
    /// Its columns; [`crate::pgtype::field`] makes them.
    fn schema(&self) -> SchemaRef;
    /// Its rows now, in one batch of that schema.
    fn rows(&self, engine: &Arc<Engine>, session: &SessionInfo) -> Result<RecordBatch>;
}

/// Every table of `sys`, by name.
pub fn tables() -> Vec<Arc<dyn SystemTable>> {
    vec![
        Arc::new(connectors::Connectors),
        Arc::new(connector_health::ConnectorHealth),
        Arc::new(connector_events::ConnectorEvents),
        Arc::new(connector_types::ConnectorTypes),
        Arc::new(connector_options::ConnectorOptions),
        Arc::new(secrets::Secrets),
        Arc::new(unsupported_queries::Table),
        Arc::new(pushdown_summary::PushdownSummary),
        Arc::new(queries::Queries),
        Arc::new(remote_queries::RemoteQueries),
    ]
}

/// The schema as one session sees it.
pub fn schema(engine: &Arc<Engine>, session: &SessionInfo) -> Arc<dyn SchemaProvider> {
    Arc::new(SysSchema { engine: engine.clone(), session: session.clone() })
}

/// A batch of a table's own schema.
fn batch(table: &dyn SystemTable, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(table.schema(), columns).map_err(DataFusionError::from)?)
}

/// Microseconds since 1970.
fn micros(t: SystemTime) -> i64 {
    t.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

#[derive(Debug)]
struct SysSchema {
    engine: Arc<Engine>,
    session: SessionInfo,
}

#[async_trait]
impl SchemaProvider for SysSchema {
    fn table_names(&self) -> Vec<String> {
        tables().iter().map(|t| t.name().to_string()).collect()
    }
    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        Ok(tables().into_iter().find(|t| t.name() == name).map(|table| {
            Arc::new(SysTable { schema: table.schema(), table, engine: self.engine.clone(), session: self.session.clone() })
                as Arc<dyn TableProvider>
        }))
    }
    fn table_exist(&self, name: &str) -> bool {
        tables().iter().any(|t| t.name() == name)
    }
}

/// Reads the rows when the scan is planned, so that one statement sees one state.
#[derive(Debug)]
struct SysTable {
    table: Arc<dyn SystemTable>,
    schema: SchemaRef,
    engine: Arc<Engine>,
    session: SessionInfo,
}

#[async_trait]
impl TableProvider for SysTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let rows = self.table.rows(&self.engine, &self.session)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], self.schema.clone(), projection.cloned())?)
    }
}
