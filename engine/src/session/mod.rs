//! A session: settings, planning, running one statement.
//!
//! [`Session::prepare`] resolves names and types, [`Session::execute`] binds values, plans and starts; both work on one snapshot of the catalog.
//! The rows come as a stream that ends by itself on cancel and on `statement_timeout`.

mod distinct;
pub mod explain;
mod exponents;
mod grouping;
mod intervals;
mod kept;
pub mod lift;
mod names;
pub(crate) mod operators;
pub mod params;
mod regexes;
pub mod registry;
mod run;
mod settings;
mod spellings;
pub(crate) mod spill;
pub(crate) mod state;
mod types;
pub(crate) mod using;
mod verify;

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use parking_lot::{Mutex, RwLock};
use sqlparser::ast;
use tokio_util::sync::CancellationToken;

pub use names::MARK as NAME_MARK;
pub use settings::{SETTINGS, SettingKind, SettingSpec, Settings};

use crate::catalog::View;
use crate::engine::Engine;
use crate::error::{Result, SqlError, SqlState};
use crate::federation::catalogs::PlanEnv;
use crate::federation::relations;
use crate::functions;
use crate::pgtype::{self, PgType};
use crate::pushdown::planner;
use crate::session::registry::QueryRecord;
use crate::source::QueryScope;
use crate::sql::{Statement, StatementKind};
use kept::Kept;
use run::{Deadline, Ending, QueryStream};
use spill::SpillingStream;
use verify::Verifier;

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
pub struct Session {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Who.
    pub info: SessionInfo,
    /// SET values; shared with functions like `set_config`.
    pub settings: Arc<RwLock<Settings>>,
    base: OnceLock<Arc<SessionState>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("info", &self.info).finish_non_exhaustive()
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
    /// The client has been told the columns, or will be by Describe: where the catalog changes so that they would be others, running it is 0A000.
    pub columns_told: bool,
    /// The text as the user wrote it, where the statement's own has parameters in place of literals.
    shown: Option<Arc<str>>,
    /// Replaced when the catalog or a setting has changed.
    plan: Option<Arc<Mutex<Arc<Planned>>>>,
}

impl Prepared {
    /// The same, to be shown with another text.
    #[must_use]
    pub fn under(&self, text: &str) -> Prepared {
        Prepared { shown: Some(text.into()), ..self.clone() }
    }
}

impl Prepared {
    /// The plan before it is optimized.
    fn logical(&self) -> Option<LogicalPlan> {
        self.plan.as_ref().map(|p| p.lock().plan.clone())
    }
}

/// A plan and what it was made against.
#[derive(Debug)]
struct Planned {
    plan: LogicalPlan,
    /// Its columns as the client sees them.
    schema: SchemaRef,
    env: Arc<PlanEnv>,
    settings: Settings,
    /// The optimized plan, from the first execution on; `None` in it where each execution must plan.
    kept: OnceLock<Option<Kept>>,
}

impl Planned {
    fn kept(&self) -> Option<&Kept> {
        self.kept.get_or_init(|| Kept::of(&self.plan, &self.env.state())).as_ref()
    }
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

impl Execution {
    /// A statement that is done and returns these rows.
    pub fn rows(schema: SchemaRef, batches: Vec<RecordBatch>, tag: impl Into<String>, scope: Arc<QueryScope>) -> Result<Execution> {
        let stream = MemoryStream::try_new(batches, schema.clone(), None)?;
        Ok(Execution { schema: Some(schema), stream: Some(Box::pin(stream)), tag: tag.into(), scope })
    }
    /// A statement that is done and returns no rows.
    pub fn done(tag: impl Into<String>, scope: Arc<QueryScope>) -> Execution {
        Execution { schema: None, stream: None, tag: tag.into(), scope }
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution").field("tag", &self.tag).field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Session {
    /// A new session with default settings.
    pub fn new(engine: Arc<Engine>, info: SessionInfo) -> Session {
        let mut settings = Settings::default();
        settings.force("application_name", &info.application_name);
        settings.force("session_authorization", &info.user);
        Session { engine, info, settings: Arc::new(RwLock::new(settings)), base: OnceLock::new() }
    }

    /// Plans a text that [`lift`] made; `None` where its literals must stay in it, or it does not plan: then the text itself tells why.
    pub async fn prepare_lifted(&self, text: &str) -> Option<Prepared> {
        let statement = crate::sql::parse(text).ok()?.pop()?;
        let prepared = Box::pin(self.prepare(&statement, &[])).await.ok()?;
        self.keeps(&prepared).then_some(prepared)
    }

    /// `fjord.plan_cache`.
    pub fn keeps_plans(&self) -> bool {
        self.settings.read().is_on("fjord.plan_cache")
    }

    /// Whether the plan of a statement may be used again.
    pub fn keeps(&self, prepared: &Prepared) -> bool {
        let planned = prepared.plan.as_ref().map(|p| p.lock().clone());
        planned.is_some_and(|p| p.kept().is_some())
    }

    /// Whether the statement's plan was made under the present catalog and settings.
    pub fn is_current(&self, prepared: &Prepared) -> bool {
        prepared.plan.as_ref().is_some_and(|p| self.holds(&p.lock()))
    }

    fn holds(&self, planned: &Planned) -> bool {
        planned.env.snapshot.version == self.engine.catalog.snapshot().version && planned.settings == *self.settings.read()
    }

    /// Plans a statement and tells its parameters and columns. `params`: types that the client declared.
    ///
    /// # Errors
    /// Syntax and names (42xxx), a connector that is paused (55000) or was not reached (08001), types that do not fit, 57014 on timeout.
    pub async fn prepare(&self, statement: &Statement, params: &[Option<PgType>]) -> Result<Prepared> {
        let plain = |schema| Prepared {
            statement: Arc::new(statement.clone()),
            params: vec![],
            schema,
            shown: None,
            columns_told: true,
            plan: None,
        };
        match &statement.kind {
            StatementKind::Query(query) => {
                let deadline = self.deadline();
                deadline.run(&CancellationToken::new(), self.prepare_query(statement, query, params)).await
            }
            StatementKind::Explain { options, statement: inner } => {
                let mut prepared = Box::pin(self.prepare(inner, params)).await?;
                prepared.statement = Arc::new(statement.clone());
                prepared.schema = Some(explain::schema(options));
                Ok(prepared)
            }
            StatementKind::Show(name) => Ok(plain(Some(self.show_schema(name.as_deref())?))),
            StatementKind::Ddl(ddl) => Ok(plain(crate::sql::ddl::schema(ddl))),
            StatementKind::Refused(e) => Err(e.as_ref().clone()),
            StatementKind::Set { .. } | StatementKind::Reset(_) | StatementKind::Session(_) => Ok(plain(None)),
        }
    }

    /// Runs a prepared statement. Cancelling `cancel`, dropping the stream, or `statement_timeout` ends it, at the sources too.
    ///
    /// # Errors
    /// As [`Session::prepare`], and what the source says.
    pub async fn execute(&self, prepared: &Prepared, params: Vec<ScalarValue>, cancel: CancellationToken) -> Result<Execution> {
        let id = self.engine.next_query_id();
        // A child: our own timeout must not cancel what else the caller hangs on its token.
        let scope = QueryScope::new(id, cancel.child_token());
        match &prepared.statement.kind {
            StatementKind::Query(_) | StatementKind::Explain { .. } => self.execute_query(prepared, params, scope).await,
            StatementKind::Set { assignments, .. } => {
                let mut settings = self.settings.write();
                let mut changed = settings.clone();
                for (name, value) in assignments {
                    match value {
                        Some(v) => changed.set(name, v)?,
                        None => changed.reset(name)?,
                    }
                }
                *settings = changed;
                Ok(Execution::done("SET", scope))
            }
            StatementKind::Reset(name) => {
                match name {
                    Some(n) => self.settings.write().reset(n)?,
                    None => self.settings.write().reset_all(),
                }
                Ok(Execution::done("RESET", scope))
            }
            StatementKind::Show(name) => self.show(name.as_deref(), scope),
            StatementKind::Ddl(ddl) => {
                let deadline = self.deadline();
                let cancel = scope.cancel.clone();
                deadline.run(&cancel, crate::sql::ddl::execute(self, ddl, scope)).await
            }
            StatementKind::Refused(e) => Err(e.as_ref().clone()),
            StatementKind::Session(_) => Err(SqlError::internal("a session statement reached the engine")),
        }
    }

    /// The columns of a view, as a query over it would return them. No source is asked for its schema; only a `remote_query` in the view is described
    /// there.
    ///
    /// # Errors
    /// Why the view cannot be planned now: a table that is gone, a source that was never reached.
    pub async fn view_columns(&self, view: &View) -> Result<SchemaRef> {
        let env = self.env();
        let plan = plan_view(&env, view).await?;
        let state = env.state();
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map_err(|e| env.explain(e))?;
        Ok(names::shown(plan.schema().as_arrow()))
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.settings.read().duration("statement_timeout"))
    }

    fn env(&self) -> Arc<PlanEnv> {
        let base = self.base.get_or_init(|| Arc::new(state::build(&self.engine, &self.info, &self.settings)));
        PlanEnv::new(self.engine.clone(), self.info.clone(), self.settings.read().clone(), base.clone())
    }

    async fn prepare_query(&self, statement: &Statement, query: &ast::Statement, declared: &[Option<PgType>]) -> Result<Prepared> {
        match self.plan_query(statement, query, declared).await {
            // What is not there may be younger than what is known of the source.
            Err(e) if is_unknown_name(&e) => {
                let path = self.settings.read().search_path(&self.info.user);
                if self.engine.catalog.look_again(query, &path).await { self.plan_query(statement, query, declared).await } else { Err(e) }
            }
            planned => planned,
        }
    }

    async fn plan_query(&self, statement: &Statement, query: &ast::Statement, declared: &[Option<PgType>]) -> Result<Prepared> {
        self.sources_ready(query).await;
        let env = self.env();
        let plan = functions::small_literals(functions::days_and_intervals(plan_statement(&env, query.clone()).await?)?)?;
        let params = params::infer(&plan, declared)?;
        let plan = if params.is_empty() { plan } else { params::annotate(plan, &params)? };
        // Analyzed here already: types are those of the final plan (sum of bigint is numeric), and it is done once for many executions.
        let state = env.state();
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map_err(|e| env.explain(e))?;
        let schema = names::shown(plan.schema().as_arrow());
        let settings = env.settings.clone();
        Ok(Prepared {
            statement: Arc::new(statement.clone()),
            params,
            schema: Some(schema.clone()),
            shown: None,
            columns_told: true,
            plan: Some(Arc::new(Mutex::new(Arc::new(Planned { plan, schema, env, settings, kept: OnceLock::new() })))),
        })
    }

    /// Sources of a query that have not been reached yet are tried, schemas that are old are read again.
    async fn sources_ready(&self, query: &ast::Statement) {
        let path = self.settings.read().search_path(&self.info.user);
        self.engine.catalog.ready_for(query, &path).await;
    }

    /// The plan, made again where the catalog or a setting has changed since.
    async fn fresh(&self, prepared: &Prepared) -> Result<Arc<Planned>> {
        let Some(slot) = &prepared.plan else { return Err(SqlError::internal("nothing to run")) };
        if let StatementKind::Query(q) = &prepared.statement.kind {
            self.sources_ready(q).await;
        }
        let planned = slot.lock().clone();
        let explains = matches!(prepared.statement.kind, StatementKind::Explain { .. });
        let told = |columns: &SchemaRef| match &prepared.schema {
            Some(old) if prepared.columns_told && !explains && !Arc::ptr_eq(old, columns) && !same_columns(old, columns) => {
                Err(SqlError::unsupported("cached plan must not change result type")
                    .hint("The catalog changed since the statement was prepared: prepare it again."))
            }
            _ => Ok(()),
        };
        if self.holds(&planned) {
            // Another statement of the same text may have made the plan anew.
            return told(&planned.schema).map(|()| planned);
        }
        let (statement, query) = match &prepared.statement.kind {
            StatementKind::Query(q) => (prepared.statement.as_ref(), q),
            StatementKind::Explain { statement, .. } => match &statement.kind {
                StatementKind::Query(q) => (statement.as_ref(), q),
                _ => return Err(SqlError::unsupported("EXPLAIN of this statement")),
            },
            _ => return Err(SqlError::internal("nothing to plan")),
        };
        let declared: Vec<Option<PgType>> = prepared.params.iter().copied().map(Some).collect();
        let again = self.prepare_query(statement, query, &declared).await?;
        let Some(again) = again.plan else { return Err(SqlError::internal("nothing to run")) };
        let again = again.lock().clone();
        told(&again.schema)?;
        *slot.lock() = again.clone();
        Ok(again)
    }

    async fn execute_query(&self, prepared: &Prepared, params: Vec<ScalarValue>, scope: Arc<QueryScope>) -> Result<Execution> {
        let deadline = self.deadline();
        let application = self.settings.read().get("application_name").unwrap_or_default().to_string();
        let text = prepared.shown.as_deref().unwrap_or(&prepared.statement.text);
        let text = crate::sql::redacted_text(text);
        let record = QueryRecord::new(scope.query_id, &self.info, &application, &text);
        let ending = Ending::new(self.engine.clone(), record.clone(), scope.cancel.clone());
        let verifier = Verifier::of(self, prepared, &params, &scope);
        let work = async {
            let first = self.attempt(prepared, &params, &scope, &record).await;
            let Err(e) = first else { return first };
            // No row has gone to the client yet: where a source is not what the plan took it for, it is looked at again and the statement planned
            // again, once.
            let changed = scope.take_changed();
            if changed.is_empty() || !self.engine.catalog.read_again(changed).await {
                return Err(e);
            }
            self.attempt(prepared, &params, &scope, &record).await
        };
        match deadline.run(&scope.cancel, work).await {
            Ok((schema, stream, tag)) => {
                let stream = match verifier {
                    Some(v) => v.watch(stream),
                    None => stream,
                };
                let limits = spill::Limits::of(&self.settings.read());
                let stream = match limits {
                    Some(limits) => Box::pin(SpillingStream::new(stream, limits, &self.engine, scope.clone(), record.clone())?) as _,
                    None => stream,
                };
                let stream = QueryStream::new(stream, schema.clone(), ending, deadline);
                Ok(Execution { schema: Some(schema), stream: Some(Box::pin(stream)), tag: tag.into(), scope })
            }
            Err(e) => {
                ending.failed(&e);
                Err(e)
            }
        }
    }

    /// Plans where that is needed, starts, and waits for the first rows.
    async fn attempt(
        &self,
        prepared: &Prepared,
        params: &[ScalarValue],
        scope: &Arc<QueryScope>,
        record: &Arc<QueryRecord>,
    ) -> Result<(SchemaRef, SendableRecordBatchStream, &'static str)> {
        let planned = self.fresh(prepared).await?;
        let explains = matches!(prepared.statement.kind, StatementKind::Explain { .. });
        let bound = (!explains && self.keeps_plans()).then(|| planned.kept().and_then(|k| k.bind(params))).flatten();
        if let Some(whole) = bound.as_ref().and_then(kept::whole) {
            record.planned("template");
            return Ok((planned.schema.clone(), run::started(whole.stream(&planned.env, scope, record)?).await?, "SELECT"));
        }
        let running = Running {
            engine: self.engine.clone(),
            state: self.running_state(&planned.env, scope, record),
            scope: scope.clone(),
            record: record.clone(),
        };
        let physical = match bound {
            Some(bound) => {
                record.planned("cached");
                planner::physical(&bound, &running.state).await?
            }
            None => {
                record.planned("planned");
                running.physical(&planned, params.to_vec()).await?
            }
        };
        if let StatementKind::Explain { options, .. } = &prepared.statement.kind {
            let (schema, rows) = explain::explain(&running, physical, options).await?;
            let stream = MemoryStream::try_new(vec![rows], schema.clone(), None)?;
            return Ok((schema, Box::pin(stream), "EXPLAIN"));
        }
        // The source may be read again meanwhile; the tables of the plan stay until its rows have come.
        let rows = run::holding(running.stream(physical)?, planned.clone());
        Ok((planned.schema.clone(), run::started(rows).await?, "SELECT"))
    }

    fn running_state(&self, env: &Arc<PlanEnv>, scope: &Arc<QueryScope>, record: &Arc<QueryRecord>) -> SessionState {
        let mut state = env.state();
        state.config_mut().set_extension(scope.clone());
        state.config_mut().set_extension(record.clone());
        state
    }

    fn show_schema(&self, name: Option<&str>) -> Result<SchemaRef> {
        let text = |n: &str| pgtype::field(n, DataType::Utf8, true, pgtype::TEXT);
        Ok(Arc::new(match name {
            None => Schema::new(vec![text("name"), text("setting"), text("description")]),
            Some(n) => {
                self.settings.read().show(n)?;
                Schema::new(vec![text(Settings::spec(n).map_or(n, |s| s.name))])
            }
        }))
    }

    fn show(&self, name: Option<&str>, scope: Arc<QueryScope>) -> Result<Execution> {
        let schema = self.show_schema(name)?;
        let settings = self.settings.read();
        let columns: Vec<StringArray> = match name {
            Some(n) => vec![StringArray::from(vec![settings.show(n)?])],
            None => {
                let all = settings.all();
                vec![
                    StringArray::from_iter_values(all.iter().map(|(n, ..)| n)),
                    StringArray::from_iter_values(all.iter().map(|(_, v, _)| v)),
                    StringArray::from_iter_values(all.iter().map(|(.., d)| d)),
                ]
            }
        };
        let columns = columns.into_iter().map(|c| Arc::new(c) as _).collect();
        let batch = RecordBatch::try_new(schema.clone(), columns).map_err(datafusion::error::DataFusionError::from)?;
        Execution::rows(schema, vec![batch], "SHOW", scope)
    }
}

/// What a running query plans and runs with.
pub(crate) struct Running {
    pub(crate) engine: Arc<Engine>,
    pub(crate) state: SessionState,
    pub(crate) scope: Arc<QueryScope>,
    pub(crate) record: Arc<QueryRecord>,
}

impl Running {
    async fn physical(&self, planned: &Planned, params: Vec<ScalarValue>) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = match params.is_empty() {
            true => planned.plan.clone(),
            false => planned.plan.clone().with_param_values(ParamValues::List(params.into_iter().map(Into::into).collect()))?,
        };
        Ok(self.state.create_physical_plan(&plan).await?)
    }
    pub(crate) fn stream(&self, plan: Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream> {
        if run::waits_only(&plan) {
            return Ok(execute_stream(plan, self.state.task_ctx())?);
        }
        let threads = self.engine.compute.handle()?;
        let rows = {
            // Some operators begin their work at once.
            let _on_them = threads.enter();
            execute_stream(plan, self.state.task_ctx())?
        };
        Ok(run::apart(rows, threads))
    }
}

/// Whether planning failed for a relation or column that is not known.
fn is_unknown_name(e: &SqlError) -> bool {
    [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME, SqlState::UNDEFINED_COLUMN].contains(&e.state)
}

fn same_columns(a: &Schema, b: &Schema) -> bool {
    a.fields().len() == b.fields().len()
        && a.fields().iter().zip(b.fields()).all(|(a, b)| a.name() == b.name() && PgType::of(a) == PgType::of(b))
}

/// A parsed query as an unoptimized plan.
pub(crate) async fn plan_statement(env: &Arc<PlanEnv>, mut statement: ast::Statement) -> Result<LogicalPlan> {
    // Names first: they are those of what the user wrote, not of what rewrites make of it.
    names::assign(&mut statement);
    using::mark(&mut statement)?;
    spellings::read(&mut statement)?;
    regexes::read(&mut statement)?;
    operators::plain(&mut statement);
    exponents::widen(&mut statement);
    intervals::read(&mut statement)?;
    for schema in env.engine.system_schemas() {
        schema.rewrite(&mut statement)?;
    }
    relations::resolve(env, &mut statement).await?;
    grouping::complete(env, &mut statement).await;
    let state = env.state();
    let statement = datafusion::sql::parser::Statement::Statement(Box::new(statement));
    let plan = state.statement_to_plan(statement).await.map_err(|e| env.explain(e))?;
    Ok(using::merge(plan)?)
}

/// A view's plan.
pub(crate) async fn plan_view(env: &Arc<PlanEnv>, view: &View) -> Result<LogicalPlan> {
    let statement = crate::sql::parse(&view.definition)?;
    match statement.into_iter().next().map(|s| s.kind) {
        Some(StatementKind::Query(q)) => Box::pin(plan_statement(env, *q)).await,
        _ => Err(SqlError::internal(format!("view \"{}.{}\" is not a query", view.schema, view.name))),
    }
}

/// The shared runtime: one memory pool for all queries.
pub(crate) fn runtime(memory_limit: usize) -> Result<Arc<RuntimeEnv>> {
    Ok(RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(memory_limit))).build_arc()?)
}
