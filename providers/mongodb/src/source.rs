//! The open connector: what the engine calls.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use fjord_engine::Result;
use fjord_engine::pushdown::{Dialect, Rel};
use fjord_engine::source::{Check, PoolStatus, RemoteInput, RemoteRequest, Source, SourceCatalog, TableInfo};
use futures::FutureExt;
use parking_lot::RwLock;

use crate::client::Client;
use crate::dialect::MongoDialect;
use crate::error::Origin;
use crate::facts::{Facts, Known};
use crate::options::MongoOptions;
use crate::passthrough;
use crate::reader::{self, Job, ReaderStream, What, split};
use crate::render;
use crate::schema::introspect;
use crate::validate::validate;

/// A MongoDB server, replica set or cluster.
pub(crate) struct MongoSource {
    inner: Arc<Inner>,
}

/// What running queries share with the source.
pub(crate) struct Inner {
    pub origin: Origin,
    pub options: Arc<MongoOptions>,
    pub client: Arc<Client>,
    /// Facts of the last introspection.
    pub facts: RwLock<Arc<Facts>>,
    /// What was ever seen in collections.
    pub known: Known,
}

impl fmt::Debug for MongoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MongoSource({:?})", self.inner.options)
    }
}

impl MongoSource {
    /// Opens it without connecting.
    pub(crate) fn open(connector: &str, options: MongoOptions) -> MongoSource {
        let origin = Origin { connector: connector.to_string(), location: options.location() };
        let options = Arc::new(options);
        let client = Client::new(origin.clone(), options.clone());
        MongoSource { inner: Arc::new(Inner { origin, options, client, facts: RwLock::default(), known: Known::default() }) }
    }
}

#[async_trait]
impl Source for MongoSource {
    fn dialect(&self) -> Option<Arc<dyn Dialect>> {
        Some(Arc::new(MongoDialect))
    }

    fn location(&self) -> String {
        self.inner.origin.location.clone()
    }

    async fn validate(&self) -> Vec<Check> {
        validate(&self.inner).await
    }

    async fn introspect(&self) -> Result<SourceCatalog> {
        let slot = self.inner.client.acquire().await?;
        let found = introspect(&slot.client, &self.inner.origin, &self.inner.options, &self.inner.known).await?;
        *self.inner.facts.write() = Arc::new(found.facts);
        Ok(found.catalog)
    }

    fn execute(&self, request: RemoteRequest) -> Result<SendableRecordBatchStream> {
        let (inner, schema) = (self.inner.clone(), request.schema.clone());
        let work = move |tx| {
            let work = async move {
                let stats = request.stats.clone();
                let job = job_of(&inner, request);
                if let Err(e) = &job {
                    stats.failed(e.message.clone());
                }
                reader::run(inner, job, tx).await;
            };
            work.boxed()
        };
        Ok(ReaderStream::start(schema, Box::new(work)))
    }

    fn readers(&self, query: &Rel, table: &TableInfo, rows: Option<u64>, most: Option<usize>) -> usize {
        split::readers(&self.inner, query, table, rows, most)
    }

    fn execute_split(&self, request: RemoteRequest, readers: usize) -> Result<Vec<SendableRecordBatchStream>> {
        if !matches!(request.input, RemoteInput::Query(_)) {
            return Ok(vec![self.execute(request)?]);
        }
        Ok(split::streams(&self.inner, request, readers))
    }

    async fn describe(&self, text: &str) -> Result<SchemaRef> {
        passthrough::parse(&self.inner.origin, text, &self.inner.options.database)?;
        Ok(passthrough::schema())
    }

    fn pool(&self) -> PoolStatus {
        self.inner.client.status()
    }

    async fn close(&self) {
        self.inner.client.close().await;
    }
}

/// What a request comes to, now that all is known of it.
pub(crate) fn job_of(inner: &Inner, request: RemoteRequest) -> Result<Job> {
    // A query is read in one piece: there is no later one that could be narrowed.
    let RemoteRequest { input, schema, scope, memory, batch_rows, stats, narrowing: _ } = request;
    let (what, text) = match input {
        RemoteInput::Query(rel) => {
            let facts = inner.facts.read().clone();
            facts.check_plan(&inner.origin, &rel)?;
            (What::Query(render::query(&rel)?), render::text(&rel)?)
        }
        RemoteInput::Text(text) => (What::Command(passthrough::parse(&inner.origin, &text, &inner.options.database)?), text),
    };
    let batch_rows = batch_rows.clamp(1, inner.options.batch_rows);
    Ok(Job { what, text, schema, scope, memory, batch_rows, stats, limits: inner.options.limits })
}
