//! The open connector: what the engine calls.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use fjord_engine::pushdown::{Dialect, Rel};
use fjord_engine::source::{Check, PoolStatus, RemoteInput, RemoteRequest, Source, SourceCatalog, TableInfo};
use fjord_engine::{Result, SqlError};
use futures::FutureExt;
use parking_lot::RwLock;

use crate::dialect::{PostgresDialect, PostgresFacts};
use crate::error::Origin;
use crate::facts::Facts;
use crate::introspect::introspect;
use crate::options::PostgresOptions;
use crate::passthrough;
use crate::pool::Pool;
use crate::reader::split::{self, Split};
use crate::reader::{self, By, Job, ReaderStream, is_short};
use crate::render::render_bound;
use crate::types::Types;
use crate::validate::validate;

/// A PostgreSQL database.
pub(crate) struct PostgresSource {
    inner: Arc<Inner>,
}

/// What running queries share with the source.
pub(crate) struct Inner {
    pub origin: Origin,
    pub options: Arc<PostgresOptions>,
    pub pool: Arc<Pool>,
    /// Types of the last introspection, for `remote_query`.
    pub types: RwLock<Option<Arc<Types>>>,
    /// Facts of the last introspection.
    pub facts: RwLock<Arc<Facts>>,
}

impl fmt::Debug for PostgresSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresSource({:?})", self.inner.options)
    }
}

impl PostgresSource {
    /// Opens it without connecting.
    pub(crate) fn open(connector: &str, options: PostgresOptions) -> Result<PostgresSource> {
        let origin = Origin { connector: connector.to_string(), location: options.location() };
        let options = Arc::new(options);
        let pool = Pool::new(origin.clone(), options.clone())?;
        Ok(PostgresSource { inner: Arc::new(Inner { origin, options, pool, types: RwLock::default(), facts: RwLock::default() }) })
    }
}

impl Inner {
    fn dialect(&self) -> PostgresDialect {
        let facts = self.pool.facts();
        PostgresDialect::new(PostgresFacts {
            // Before the first connection nothing is known; the oldest supported version is the safe assumption.
            server_version_num: facts.as_ref().map_or(140_000, |f| f.version_num),
            encoding_utf8: facts.is_some_and(|f| f.encoding == "UTF8"),
            connector: self.origin.connector.clone(),
        })
    }
}

#[async_trait]
impl Source for PostgresSource {
    fn dialect(&self) -> Option<Arc<dyn Dialect>> {
        Some(Arc::new(self.inner.dialect()))
    }

    fn location(&self) -> String {
        self.inner.origin.location.clone()
    }

    async fn validate(&self) -> Vec<Check> {
        validate(&self.inner).await
    }

    async fn introspect(&self) -> Result<SourceCatalog> {
        let found = introspect(&self.inner.pool, &self.inner.origin, &self.inner.options).await?;
        *self.inner.types.write() = Some(found.types);
        *self.inner.facts.write() = Arc::new(found.facts);
        Ok(found.catalog)
    }

    fn execute(&self, request: RemoteRequest) -> Result<SendableRecordBatchStream> {
        let (inner, schema) = (self.inner.clone(), request.schema.clone());
        let by = match &request.input {
            RemoteInput::Query(rel) if is_short(rel, &inner.facts.read()) => By::Consumer,
            _ => By::Task,
        };
        let work = move |tx| {
            let work = async move {
                let job = job_of(&inner, request).await;
                reader::run(inner.pool.clone(), inner.origin.clone(), job, tx).await;
            };
            work.boxed()
        };
        Ok(ReaderStream::start(schema, Box::new(work), by))
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
        Ok(passthrough::describe(&self.inner, text).await?.schema)
    }

    fn pool(&self) -> PoolStatus {
        self.inner.pool.status()
    }

    async fn close(&self) {
        self.inner.pool.close();
    }
}

/// What a request comes to, now that all is known of it.
pub(crate) async fn job_of(inner: &Inner, request: RemoteRequest) -> Result<Job> {
    let stats = request.stats.clone();
    let job = plan(inner, request).await;
    if let Err(e) = &job {
        stats.failed(e.message.clone());
    }
    job
}

async fn plan(inner: &Inner, request: RemoteRequest) -> Result<Job> {
    let RemoteRequest { input, schema, scope, memory, batch_rows, stats, narrowing: _ } = request;
    let facts = inner.facts.read().clone();
    let (mut verify, mut tables, mut bound) = (vec![], vec![], None);
    let (text, types, untrusted) = match input {
        RemoteInput::Query(rel) => {
            facts.check_plan(&inner.origin, &rel)?;
            verify = facts.stale(&rel, inner.options.schema_ttl);
            tables = rel.tables();
            let (text, types) = render(inner, &rel)?;
            // A pooler gives each transaction another session: no statement stays there.
            if is_short(&rel, &facts) && !inner.pool.pooled() {
                bound = render_bound(&rel)?;
            }
            (text, types, false)
        }
        RemoteInput::Text(text) => {
            let described = passthrough::describe(inner, &text).await?;
            passthrough::check(&inner.origin, &described.schema, &schema)?;
            (described.text, described.types, true)
        }
    };
    let batch_rows = batch_rows.clamp(1, inner.options.batch_rows);
    let limits = inner.options.limits;
    Ok(Job { text, bound, types, schema, scope, memory, batch_rows, stats, untrusted, facts, verify, tables, limits })
}

/// The text of a query, and the types in which its columns arrive.
pub(crate) fn render(inner: &Inner, rel: &Rel) -> Result<(String, Vec<fjord_engine::pushdown::RemoteType>)> {
    let rendered = inner.dialect().render(rel)?;
    if !rendered.params.is_empty() {
        // COPY has no bind parameters: the dialect writes literals.
        return Err(SqlError::internal("the Postgres dialect gave bind values, which COPY cannot take"));
    }
    Ok((rendered.text, rel.types()))
}
