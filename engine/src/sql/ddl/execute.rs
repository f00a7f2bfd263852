//! Running DDL.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::Ddl;
use crate::error::{Result, SqlError};
use crate::session::{Execution, Session};
use crate::source::QueryScope;

/// The columns of the rows that a statement returns, if it returns any.
pub fn schema(_ddl: &Ddl) -> Option<SchemaRef> {
    None
}

/// Runs it.
pub async fn execute(_session: &Session, ddl: &Ddl, _scope: Arc<QueryScope>) -> Result<Execution> {
    Err(SqlError::unsupported(format!("{} is not supported yet", ddl.tag())))
}
