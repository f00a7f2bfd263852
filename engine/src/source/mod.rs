//! What a source of data implements, and nothing else.
//!
//! A *connector type* ([`ConnectorType`]) is a row in the registry: name, options, constructor. Opening one gives a [`Source`]: it validates,
//! introspects, and runs remote queries. A source that takes pushed work has a [`Dialect`]; one that is read by
//! DataFusion's own readers (files) gives ready-made table providers in its schema instead.

mod options;
mod schema;
mod scope;

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryPool;

use crate::error::Result;
use crate::pushdown::{Dialect, Rel};

pub use options::{AddressGuard, OptionKind, OptionSpec, OptionValues, Secret, parse_duration};
pub(crate) use options::{distance, parse_bool};
pub use schema::{
    CheckInfo, ColumnInfo, ColumnStats, ForeignKey, IndexInfo, KeyInfo, Partitioning, SchemaInfo, SourceCatalog, TableInfo, TableKind,
};
pub use scope::{Notice, QueryScope, RemoteStats, Severity};

/// A kind of connector (`postgres`, `files`): what CREATE CONNECTOR ... TYPE names.
pub trait ConnectorType: Send + Sync + Debug {
    /// The name in `TYPE name`, lower case.
    fn name(&self) -> &'static str;
    /// One line for SHOW CONNECTOR TYPES and the docs.
    fn doc(&self) -> &'static str;
    /// Every option, with its documentation: validation, `sys.connector_options` and the docs pages come from this one table.
    fn options(&self) -> &'static [OptionSpec];
    /// Checks the values against each other and makes the source. No I/O: [`Source::validate`] does that.
    fn open(&self, connector: &str, options: OptionValues) -> Result<Arc<dyn Source>>;
}

/// An open connector's source.
#[async_trait]
pub trait Source: Send + Sync + Debug {
    /// What may be pushed and how it is written; `None` where the tables are native providers.
    fn dialect(&self) -> Option<Arc<dyn Dialect>>;
    /// Where it is (`host:port/database`), for messages. No secrets.
    fn location(&self) -> String;
    /// One row per check (reachable, TLS, credentials, rights, version, ...), in the order in which they were made. Never fails: a failed check
    /// is a row. CREATE CONNECTOR refuses on the first failed one and uses its error.
    async fn validate(&self) -> Vec<Check>;
    /// Reads all schemas in one pass.
    async fn introspect(&self) -> Result<SourceCatalog>;
    /// Starts a remote query. Nothing is sent before the first poll; dropping the stream cancels at the source. The memory of batches in flight is
    /// taken from the request's pool; at most a stated number of batches is read ahead.
    fn execute(&self, request: RemoteRequest) -> Result<SendableRecordBatchStream>;
    /// How many streams should share the rows of a query over `table`, of which about `rows` come back; at most `most` and what the connector
    /// allows. 1: it is read by [`Source::execute`].
    fn readers(&self, _query: &Rel, _table: &TableInfo, _rows: Option<u64>, _most: Option<usize>) -> usize {
        1
    }
    /// As [`Source::execute`], in at most `readers` streams that share the rows, in one snapshot: each row comes in exactly one of them, in which
    /// is not said. They may be polled at the same time or after each other; a stream that is dropped takes with it the rows it was about to give.
    fn execute_split(&self, request: RemoteRequest, _readers: usize) -> Result<Vec<SendableRecordBatchStream>> {
        Ok(vec![self.execute(request)?])
    }
    /// The result schema of a passthrough text, by the source's own Describe, without running it.
    async fn describe(&self, text: &str) -> Result<SchemaRef>;
    /// Connections in use and allowed.
    fn pool(&self) -> PoolStatus;
    /// Closes idle connections and refuses new ones. Running queries end by their own cancel.
    async fn close(&self);
}

/// One remote query to run.
#[derive(Debug, Clone)]
pub struct RemoteRequest {
    /// What to run.
    pub input: RemoteInput,
    /// The shape to deliver: column i of the stream has field i's type. The source's reader casts nothing silently: a mismatch is an error.
    pub schema: SchemaRef,
    /// The query that asks: cancel token, notices, id.
    pub scope: Arc<QueryScope>,
    /// Where the memory of rows in flight is accounted.
    pub memory: Arc<dyn MemoryPool>,
    /// Rows per batch, at most.
    pub batch_rows: usize,
    /// Counters to fill.
    pub stats: Arc<RemoteStats>,
    /// Where conditions tighten while rows come: asked before each further piece by a source that reads in pieces.
    pub narrowing: Option<Arc<dyn Narrowing>>,
}

/// What a query's dynamic filters make of it by now.
pub trait Narrowing: Send + Sync + Debug {
    /// The query of [`RemoteRequest::input`] with all conditions known by now: the same shape, perhaps fewer rows.
    fn now(&self) -> Rel;
}

/// What a remote query is.
#[derive(Debug, Clone)]
pub enum RemoteInput {
    /// Planned by us, rendered by the dialect.
    Query(Rel),
    /// `remote_query`: the user's own text, run as it is in a read-only transaction.
    Text(String),
}

/// One line of VALIDATE CONNECTOR.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was checked, a stable snake_case name (`connect`, `tls`, `read_catalog`).
    pub name: &'static str,
    /// The outcome.
    pub status: CheckStatus,
    /// What was found (`PostgreSQL 15.18`).
    pub detail: String,
    /// What to do where it failed or warned.
    pub hint: Option<String>,
    /// The error of a failed check: what CREATE CONNECTOR raises.
    pub error: Option<crate::error::SqlError>,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    /// Good.
    Ok,
    /// Works, but the user should know.
    Warning,
    /// Does not work.
    Failed,
    /// Not reached, because an earlier one failed.
    Skipped,
}

impl Check {
    /// A passed check.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Check {
        Check { name, status: CheckStatus::Ok, detail: detail.into(), hint: None, error: None }
    }
    /// A failed check.
    pub fn failed(name: &'static str, error: crate::error::SqlError) -> Check {
        Check { name, status: CheckStatus::Failed, detail: error.message.clone(), hint: error.hint.clone(), error: Some(error) }
    }
    /// A check with a warning.
    pub fn warning(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Check {
        Check { name, status: CheckStatus::Warning, detail: detail.into(), hint: Some(hint.into()), error: None }
    }
}

/// Connections of a source.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolStatus {
    /// Taken by running queries.
    pub in_use: u32,
    /// Open and waiting.
    pub idle: u32,
    /// The most there may be.
    pub max: u32,
}
