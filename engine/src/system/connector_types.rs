//! `sys.connector_types`.

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
pub(super) struct ConnectorTypes;

impl SystemTable for ConnectorTypes {
    fn name(&self) -> &'static str {
        "connector_types"
    }
    fn doc(&self) -> &'static str {
        "The connector types of this build."
    }
    fn schema(&self) -> SchemaRef {
        rows::types_schema()
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        rows::types(&engine.catalog)
    }
}
