//! `sys.connector_options`.

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
pub(super) struct ConnectorOptions;

impl SystemTable for ConnectorOptions {
    fn name(&self) -> &'static str {
        "connector_options"
    }
    fn doc(&self) -> &'static str {
        "Every option of every connector type, with its documentation."
    }
    fn schema(&self) -> SchemaRef {
        rows::options_schema()
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        rows::options(&engine.catalog)
    }
}
