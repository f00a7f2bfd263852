//! The one place where the registry of connector types is built. A new source is a new crate under providers/ and one line here.

use std::path::PathBuf;
use std::sync::Arc;

use fjord_engine::Engine;
use fjord_engine::source::ConnectorType;

use crate::sessions::SessionRegistry;

/// Every connector type of this binary. `file_root`: local files are read below it only.
pub fn connector_types(file_root: Option<PathBuf>) -> Vec<Arc<dyn ConnectorType>> {
    vec![
        Arc::new(fjord_postgres::PostgresType),
        Arc::new(fjord_mysql::MySqlType),
        Arc::new(fjord_mongodb::MongoType),
        Arc::new(fjord_files::FilesType { root: file_root }),
    ]
}

/// Adds what clients look up before they query: pg_catalog and information_schema.
pub fn add_system_schemas(engine: &Arc<Engine>, sessions: &Arc<SessionRegistry>) {
    let registry = Arc::new(crate::pg_catalog::activity::Registry(sessions.clone()));
    for schema in crate::pg_catalog::system_schemas(Some(registry)) {
        engine.add_system_schema(schema);
    }
}
