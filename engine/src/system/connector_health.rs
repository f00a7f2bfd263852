//! `sys.connector_health`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::SystemTable;
use crate::engine::Engine;
use crate::error::Result;
use crate::session::SessionInfo;
use crate::sql::ddl::rows;

/// The table.
#[derive(Debug)]
pub(super) struct ConnectorHealth;

impl SystemTable for ConnectorHealth {
    fn name(&self) -> &'static str {
        "connector_health"
    }
    fn doc(&self) -> &'static str {
        "How each connector fares now: phase, pool, last error."
    }
    fn schema(&self) -> SchemaRef {
        rows::health_schema()
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        rows::health(&engine.catalog)
    }
}
