//! The `postgres` connector type: everything that is particular to PostgreSQL as a source.
//!
//! What lives here: options, TLS, the connection pool, introspection, the type table, the dialect (what may be pushed, and how it is written), and
//! the reader that turns binary COPY into Arrow. What does not: planning (engine) and the wire towards clients (pgwire-server), which speaks the
//! same protocol in the other direction and shares no code with this.

pub mod dialect;
mod endpoint;
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

use std::sync::Arc;

use fjord_engine::Result;
use fjord_engine::source::{ConnectorType, OptionSpec, OptionValues, Source};

pub use options::OPTIONS;

/// The connector type `postgres`.
#[derive(Debug, Default, Clone, Copy)]
pub struct PostgresType;

impl ConnectorType for PostgresType {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn doc(&self) -> &'static str {
        "PostgreSQL 14 and later, and servers that speak its protocol and have its catalogs"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn open(&self, connector: &str, options: OptionValues) -> Result<Arc<dyn Source>> {
        let options = options::PostgresOptions::parse(connector, &options)?;
        Ok(Arc::new(source::PostgresSource::open(connector, options)?))
    }
}
