//! The `mongodb` connector type: everything that is particular to MongoDB as a source.
//!
//! What lives here: options, the client and its bounds, the schema of collections that have none (`schema`), the type table, the dialect (what may be
//! pushed) and `render` (aggregation pipelines), and the reader that turns raw BSON into Arrow. What does not: planning (engine) and the wire towards
//! clients.

mod client;
pub mod dialect;
mod error;
mod facts;
mod json;
mod options;
mod passthrough;
mod reader;
mod render;
mod schema;
mod source;
mod types;
mod validate;

use std::sync::Arc;

use fjord_engine::Result;
use fjord_engine::source::{ConnectorType, OptionSpec, OptionValues, Source};

pub use options::OPTIONS;

/// The connector type `mongodb`.
#[derive(Debug, Default, Clone, Copy)]
pub struct MongoType;

impl ConnectorType for MongoType {
    fn name(&self) -> &'static str {
        "mongodb"
    }

    fn doc(&self) -> &'static str {
        "MongoDB 6.0 and later"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn open(&self, connector: &str, options: OptionValues) -> Result<Arc<dyn Source>> {
        let options = options::MongoOptions::parse(connector, &options)?;
        Ok(Arc::new(source::MongoSource::open(connector, options)))
    }
}
