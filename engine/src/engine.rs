//! The engine: one per process, shared by all sessions.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::catalog::SchemaProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use object_store::ObjectStore;
use parking_lot::RwLock;
use sqlparser::ast;

use crate::catalog::Catalog;
use crate::compute::Compute;
use crate::error::Result;
use crate::session::registry::QueryRegistry;
use crate::session::spill::{self, Disk};
use crate::session::{Session, SessionInfo, Settings};
use crate::source::{ConnectorType, Secret};

/// How to open an engine.
pub struct EngineConfig {
    /// Where all state lives.
    pub store: Arc<dyn ObjectStore>,
    /// The folder behind `store`, where it is a local one: commits are fsynced there.
    pub data_dir: Option<PathBuf>,
    /// The key that encrypts literal secrets at rest; without one, literal secrets are refused.
    pub secret_key: Option<Secret>,
    /// Memory for queries, in bytes.
    pub memory_limit: usize,
    /// The name of the default database.
    pub database: String,
    /// The folder below which CREATE SECRET ... FROM FILE may read (`--secret-root`); without one, file secrets are refused.
    pub secret_root: Option<PathBuf>,
    /// Lets connectors reach link-local and cloud metadata addresses, which are denied otherwise.
    pub allow_link_local: bool,
}

/// Relations and functions that another crate adds to every session (pg_catalog, information_schema).
pub trait SystemSchema: Send + Sync + fmt::Debug {
    /// The schema's name in the default database.
    fn name(&self) -> &'static str;
    /// The schema as one session sees it.
    fn schema(&self, engine: &Arc<Engine>, session: &SessionInfo) -> Arc<dyn SchemaProvider>;
    /// The schema as one session sees it, with its settings (`pg_settings`).
    fn session_schema(&self, engine: &Arc<Engine>, session: &SessionInfo, settings: &Settings) -> Arc<dyn SchemaProvider> {
        let _ = settings;
        self.schema(engine, session)
    }
    /// Scalar functions, registered under their bare name and under `name().function`.
    fn functions(&self, engine: &Arc<Engine>, session: &SessionInfo) -> Vec<Arc<ScalarUDF>>;
    /// Scalar functions that read or write the session's settings (`current_setting`, `set_config`, `pg_table_is_visible`); registered like
    /// `functions`, over which they win.
    fn session_functions(&self, engine: &Arc<Engine>, session: &SessionInfo, settings: &Arc<RwLock<Settings>>) -> Vec<Arc<ScalarUDF>> {
        let _ = (engine, session, settings);
        vec![]
    }
    /// Aggregate functions.
    fn aggregates(&self) -> Vec<Arc<AggregateUDF>> {
        vec![]
    }
    /// Rewrites a parsed query before planning (`'t'::regclass`, `OPERATOR(pg_catalog.~)`, `ANY(array)`...), on the AST, never on text.
    fn rewrite(&self, statement: &mut ast::Statement) -> Result<()> {
        let _ = statement;
        Ok(())
    }
}

/// One process's engine.
pub struct Engine {
    /// Connectors, secrets, views.
    pub catalog: Arc<Catalog>,
    /// Memory pool, disk manager, object stores.
    pub runtime: Arc<RuntimeEnv>,
    /// The default database's name.
    pub database: String,
    /// Running and finished queries.
    pub queries: QueryRegistry,
    /// What clients asked for and Fjord refused.
    pub unsupported: crate::system::UnsupportedQueries,
    /// The threads on which queries compute.
    pub(crate) compute: Compute,
    /// Where rows wait that clients do not take.
    pub(crate) spill: Arc<Disk>,
    system: RwLock<Vec<Arc<dyn SystemSchema>>>,
    next_query: AtomicU64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.database)
    }
}

impl Engine {
    /// Opens the store, loads the catalog, opens its connectors (without waiting for their sources).
    pub async fn open(config: EngineConfig, types: Vec<Arc<dyn ConnectorType>>) -> Result<Arc<Engine>> {
        let runtime = crate::session::runtime(config.memory_limit)?;
        let database = config.database.clone();
        let spill = Disk::new(config.data_dir.as_deref());
        let catalog = Catalog::open(config, types).await?;
        let engine = Arc::new(Engine {
            catalog,
            runtime,
            database,
            queries: QueryRegistry::default(),
            unsupported: Default::default(),
            compute: Compute::start()?,
            spill,
            system: RwLock::default(),
            next_query: AtomicU64::new(1),
        });
        engine.compute.handle()?.spawn(spill::watch(Arc::downgrade(&engine)));
        Ok(engine)
    }
    /// Bounds what all queries together have on disk because their clients do not read.
    pub fn spill_at_most(&self, bytes: u64) {
        self.spill.limit(bytes);
    }
    /// Adds a system schema; before the first session.
    pub fn add_system_schema(&self, schema: Arc<dyn SystemSchema>) {
        self.system.write().push(schema);
    }
    /// The system schemas.
    pub fn system_schemas(&self) -> Vec<Arc<dyn SystemSchema>> {
        self.system.read().clone()
    }
    /// A new session.
    pub fn session(self: &Arc<Self>, info: SessionInfo) -> Session {
        Session::new(self.clone(), info)
    }
    /// A fresh query id.
    pub fn next_query_id(&self) -> u64 {
        self.next_query.fetch_add(1, Ordering::Relaxed)
    }
    /// Closes all connectors.
    pub async fn shutdown(&self) {
        self.catalog.shutdown().await;
    }
}
