//! The `files` connector type: Parquet, CSV, JSON and Arrow files on local disks, S3, GCS, Azure and HTTP.
//!
//! What lives here: options, where files are ([`mod@location`]), which files make which table ([`mod@layout`]), schema inference, and a table provider
//! around DataFusion's `ListingTable`. What does not: any file format. DataFusion's own readers do the reading, with their own pruning and filters.

mod error;
mod format;
mod glob;
mod guarded;
mod layout;
mod location;
mod options;
mod rooted;
mod schema;
mod source;
mod store;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use fjord_engine::Result;
use fjord_engine::source::{ConnectorType, OptionSpec, OptionValues, Source};

pub use options::OPTIONS;

/// The connector type `files`.
#[derive(Debug, Default, Clone)]
pub struct FilesType {
    /// Local locations must lie below this folder (`--file-root`); without one, any that the server may read is allowed.
    pub root: Option<PathBuf>,
}

impl ConnectorType for FilesType {
    fn name(&self) -> &'static str {
        "files"
    }

    fn doc(&self) -> &'static str {
        "Parquet, CSV, JSON and Arrow files: local folders, S3, GCS, Azure, HTTP; globs and hive partitions"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn open(&self, connector: &str, options: OptionValues) -> Result<Arc<dyn Source>> {
        let mut options = options::FilesOptions::parse(&options)?;
        options.root.clone_from(&self.root);
        Ok(Arc::new(source::FilesSource::open(connector, options)?))
    }
}
