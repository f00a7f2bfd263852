//! `sys.connector_events`.

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
pub(super) struct ConnectorEvents;

impl SystemTable for ConnectorEvents {
    fn name(&self) -> &'static str {
        "connector_events"
    }
    fn doc(&self) -> &'static str {
        "The last 1,000 changes of phase of all connectors, since this server started."
    }
    fn schema(&self) -> SchemaRef {
        rows::events_schema()
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        rows::events(&engine.catalog)
    }
}
