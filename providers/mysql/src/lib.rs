//! The `mysql` connector type: everything that is particular to MySQL and MariaDB as sources.
//!
//! What lives here: options, TLS, the client protocol (`wire`), the connection pool, introspection, the type table, the dialect (what may be pushed) and
//! `render` (how it is written), and the reader that turns binary rows into Arrow. What does not: planning (engine) and the wire towards clients.

pub mod dialect;
mod error;
mod facts;
mod introspect;
mod options;
mod passthrough;
mod pool;
mod reader;
mod render;
mod source;
mod tls;
mod types;
mod validate;
mod wire;

use std::sync::Arc;

use fjord_engine::Result;
use fjord_engine::source::{ConnectorType, OptionSpec, OptionValues, Source};

pub use options::OPTIONS;

/// The connector type `mysql`.
#[derive(Debug, Default, Clone, Copy)]
pub struct MySqlType;

impl ConnectorType for MySqlType {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn doc(&self) -> &'static str {
        "MySQL 8.0 and later, MariaDB 10.5 and later"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn open(&self, connector: &str, options: OptionValues) -> Result<Arc<dyn Source>> {
        let options = options::MySqlOptions::parse(connector, &options)?;
        Ok(Arc::new(source::MySqlSource::open(connector, options)?))
    }
}
