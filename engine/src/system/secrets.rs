//! `sys.secrets`.

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
pub(super) struct Secrets;

impl SystemTable for Secrets {
    fn name(&self) -> &'static str {
        "secrets"
    }
    fn doc(&self) -> &'static str {
        "Secrets by name and source; never a value."
    }
    fn schema(&self) -> SchemaRef {
        rows::secrets_schema()
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        rows::secrets(&engine.catalog)
    }
}
