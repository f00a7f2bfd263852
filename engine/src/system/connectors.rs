//! `sys.connectors`.

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
pub(super) struct Connectors;

impl SystemTable for Connectors {
    fn name(&self) -> &'static str {
        "connectors"
    }
    fn doc(&self) -> &'static str {
        "Every connector: type, status, where its source is, how many tables it shows."
    }
    fn schema(&self) -> SchemaRef {
        rows::connectors_schema()
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        rows::connectors(&engine.catalog, None)
    }
}
