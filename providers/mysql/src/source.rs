//! The open connector: what the engine calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use fjord_engine::Result;
use fjord_engine::pushdown::{Dialect, Rel};
use fjord_engine::source::{Check, PoolStatus, RemoteInput, RemoteRequest, Source, SourceCatalog, TableInfo};
use futures::FutureExt;
use parking_lot::RwLock;

use crate::dialect::MySqlDialect;
use crate::error::Origin;
use crate::facts::Facts;
use crate::introspect::introspect;
use crate::options::MySqlOptions;
use crate::passthrough;
use crate::pool::Pool;
use crate::reader::split::{self, Split};
use crate::reader::{self, Job, ReaderStream};
use crate::render::render_bound;
use crate::validate::validate;

/// A MySQL or MariaDB server.
pub(crate) struct MySqlSource {
    inner: Arc<Inner>,
}

/// What running queries share with the source.
pub(crate) struct Inner {
    pub origin: Origin,
    pub options: Arc<MySqlOptions>,
    pub pool: Arc<Pool>,
    /// Facts of the last introspection.
    pub facts: RwLock<Arc<Facts>>,
    /// The user may not lock tables, so that none is split.
    pub lock_denied: AtomicBool,
}

impl fmt::Debug for MySqlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MySqlSource({:?})", self.inner.options)
    }
}

impl MySqlSource {
    /// Opens it without connecting.
    pub(crate) fn open(connector: &str, options: MySqlOptions) -> Result<MySqlSource> {
        let origin = Origin { connector: connector.to_string(), location: options.location() };
        let options = Arc::new(options);
        let pool = Pool::new(origin.clone(), options.clone())?;
        Ok(MySqlSource { inner: Arc::new(Inner { origin, options, pool, facts: RwLock::default(), lock_denied: AtomicBool::new(false) }) })
    }
}

#[async_trait]
impl Source for MySqlSource {
    fn dialect(&self) -> Option<Arc<dyn Dialect>> {
        Some(Arc::new(MySqlDialect))
    }

    fn location(&self) -> String {
        self.inner.origin.location.clone()
    }

    async fn validate(&self) -> Vec<Check> {
        validate(&self.inner).await
    }

    async fn introspect(&self) -> Result<SourceCatalog> {
        let found = introspect(&self.inner.pool, &self.inner.origin, &self.inner.options).await?;
        *self.inner.facts.write() = Arc::new(found.facts);
        // It may have been given the right since.
        self.inner.lock_denied.store(false, Ordering::Relaxed);
        Ok(found.catalog)
    }

    fn execute(&self, request: RemoteRequest) -> Result<SendableRecordBatchStream> {
        let (inner, schema) = (self.inner.clone(), request.schema.clone());
        let work = move |tx| {
            let work = async move {
                let stats = request.stats.clone();
                let job = plan(&inner, request).await;
                if let Err(e) = &job {
                    stats.failed(e.message.clone());
                }
                reader::run(inner.pool.clone(), inner.origin.clone(), job, tx).await;
            };
            work.boxed()
        };
        Ok(ReaderStream::start(schema, Box::new(work)))
    }

    fn readers(&self, rel: &Rel, table: &TableInfo, rows: Option<u64>, most: Option<usize>) -> usize {
        split::readers(&self.inner, rel, table, rows, most)
    }

    fn execute_split(&self, request: RemoteRequest, readers: usize) -> Result<Vec<SendableRecordBatchStream>> {
        match &request.input {
            RemoteInput::Query(rel) if readers > 1 => Ok(Split::streams(&self.inner, &request, rel.clone(), readers)),
            _ => Ok(vec![self.execute(request)?]),
        }
    }

    async fn describe(&self, text: &str) -> Result<SchemaRef> {
        passthrough::describe(&self.inner, text).await
    }

    fn pool(&self) -> PoolStatus {
        self.inner.pool.status()
    }

    async fn close(&self) {
        self.inner.pool.close();
    }
}

/// What a request comes to, now that all is known of it.
pub(crate) async fn plan(inner: &Inner, request: RemoteRequest) -> Result<Job> {
    // A query is read in one piece: there is no later one that could be narrowed.
    let RemoteRequest { input, schema, scope, memory, batch_rows, stats, narrowing: _ } = request;
    let facts = inner.facts.read().clone();
    let (mut verify, mut tables) = (vec![], vec![]);
    let mut bound = None;
    let (text, untrusted) = match input {
        RemoteInput::Query(rel) => {
            facts.check_plan(&inner.origin, &rel)?;
            verify = facts.stale(&rel, inner.options.schema_ttl);
            tables = rel.tables();
            bound = render_bound(&rel)?;
            (MySqlDialect.render(&rel)?.text, false)
        }
        RemoteInput::Text(text) => (text, true),
    };
    let batch_rows = batch_rows.clamp(1, inner.options.batch_rows);
    let limits = inner.options.limits;
    Ok(Job { text, bound, schema, scope, memory, batch_rows, stats, untrusted, facts, verify, tables, limits })
}
