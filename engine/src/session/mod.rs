//! A session: settings, planning, running one statement.

pub mod names;
pub mod params;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::{Result, SqlError};
use crate::pgtype::PgType;
use crate::source::QueryScope;
use crate::sql::{Statement, StatementKind};

/// Who is connected, from where.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// The role.
    pub user: String,
    /// The database named at startup.
    pub database: String,
    /// The client's name for itself.
    pub application_name: String,
    /// `127.0.0.1:40000`, or empty in process.
    pub client: String,
    /// The process id shown to the client.
    pub pid: i32,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Who.
    pub info: SessionInfo,
    /// SET values; shared with functions like `set_config`.
    pub settings: Arc<RwLock<Settings>>,
}

/// SET values of a session, by lower-case name. Names with a dot that nobody knows are kept (as Postgres does); others are 42704.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

impl Settings {
    /// A value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
    /// Sets a value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.values.insert(name.to_ascii_lowercase(), value.to_string());
        Ok(())
    }
}

/// A statement that is planned as far as it can be without parameter values.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The statement.
    pub statement: Arc<Statement>,
    /// The types of `$1`...
    pub params: Vec<PgType>,
    /// The result's columns; `None` where it returns no rows.
    pub schema: Option<SchemaRef>,
    plan: Option<Arc<LogicalPlan>>,
}

/// A statement that runs.
pub struct Execution {
    /// The result's columns; `None` where it returns no rows.
    pub schema: Option<SchemaRef>,
    /// The rows, where there are any. Errors in it are `SqlError` inside `DataFusionError::External` or DataFusion's own: see [`SqlError::from`].
    pub stream: Option<SendableRecordBatchStream>,
    /// The command tag without a count (`SELECT`, `CREATE CONNECTOR`): the wire appends the row count to SELECT.
    pub tag: String,
    /// Notices, cancel, counters.
    pub scope: Arc<QueryScope>,
}

impl Session {
    /// A new session with default settings.
    pub fn new(engine: Arc<Engine>, info: SessionInfo) -> Session {
        Session { engine, info, settings: Arc::default() }
    }
    /// Plans a statement and tells its parameters and columns. `params`: types that the client declared.
    pub async fn prepare(&self, statement: &Statement, params: &[Option<PgType>]) -> Result<Prepared> {
        let _ = params;
        let plan = match &statement.kind {
            StatementKind::Query(q) => {
                let ctx = self.context();
                let s = datafusion::sql::parser::Statement::Statement(q.clone());
                Some(Arc::new(ctx.state().statement_to_plan(s).await?))
            }
            _ => return Err(SqlError::unsupported(format!("not supported yet: {}", statement.text))),
        };
        let schema = plan.as_ref().map(|p| Arc::new(p.schema().as_arrow().clone()));
        Ok(Prepared { statement: Arc::new(statement.clone()), params: vec![], schema, plan })
    }
    /// Runs a prepared statement.
    pub async fn execute(&self, prepared: &Prepared, params: Vec<ScalarValue>, cancel: CancellationToken) -> Result<Execution> {
        let _ = params;
        let scope = QueryScope::new(self.engine.next_query_id(), cancel);
        let Some(plan) = &prepared.plan else { return Err(SqlError::internal("nothing to run")) };
        let stream = self.context().execute_logical_plan(plan.as_ref().clone()).await?.execute_stream().await?;
        Ok(Execution { schema: prepared.schema.clone(), stream: Some(stream), tag: "SELECT".into(), scope })
    }
    fn context(&self) -> SessionContext {
        SessionContext::new_with_config_rt(SessionConfig::new(), self.engine.runtime.clone())
    }
}

/// The shared runtime: one memory pool for all queries.
pub(crate) fn runtime(memory_limit: usize) -> Result<Arc<RuntimeEnv>> {
    Ok(RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(memory_limit))).build_arc()?)
}
