//! `pg_catalog` and `information_schema`: what psql, drivers and tools ask before they ask anything else.
//!
//! Start at [`system_schemas`]. A [`model::Model`] is flattened from one catalog snapshot; [`relations`] and [`information_schema`] make rows of it,
//! one file a relation, built once per catalog version and only when asked for; [`functions`] are `pg_get_constraintdef` and its kin; [`rewrite`]
//! turns what DataFusion cannot plan (`'t'::regclass`, correlated subqueries over the catalog) into what it can, on the syntax tree.
//! Nothing here asks a source, but that a view over `remote_query` is described there when its columns are asked for.

pub mod activity;
pub mod columns;
pub mod definitions;
pub mod functions;
pub mod information_schema;
pub mod model;
pub mod relations;
pub mod rewrite;
pub mod source_types;
pub mod table;
pub mod types;
mod views;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use fjord_engine::catalog::CatalogSnapshot;
use fjord_engine::error::Result;
use fjord_engine::session::{SessionInfo, Settings};
use fjord_engine::{Engine, SystemSchema};
use parking_lot::{Mutex, RwLock};
use sqlparser::ast;

use columns::{RELATIONS, Relation, Schema};
use functions::Env;
use model::{Model, ViewColumns};
use relations::{Activity, Context};
use table::Rows;

/// Who is connected; the wire's registry of sessions implements it.
pub trait Sessions: Send + Sync + fmt::Debug {
    /// All sessions.
    fn list(&self) -> Vec<Activity>;
    /// Cancels a session's running statement; false where there is no such session.
    fn cancel(&self, pid: i32) -> bool;
    /// Ends a session; false where there is no such session.
    fn terminate(&self, pid: i32) -> bool;
}

/// Both schemas, to be added to an engine before its first session. `sessions` is what `pg_stat_activity` shows.
pub fn system_schemas(sessions: Option<Arc<dyn Sessions>>) -> Vec<Arc<dyn SystemSchema>> {
    let shared = Arc::new(Shared { cache: Mutex::new(None), planned: Default::default(), sessions, started: SystemTime::now() });
    vec![Arc::new(PgCatalog { shared: shared.clone() }), Arc::new(InformationSchema { shared })]
}

/// What all sessions share.
#[derive(Debug)]
pub struct Shared {
    cache: Mutex<Option<Arc<Built>>>,
    /// The same with the columns of views, which take planning.
    planned: views::Planned,
    sessions: Option<Arc<dyn Sessions>>,
    started: SystemTime,
}

/// One catalog version, and the relations that were asked for so far.
struct Built {
    model: Arc<Model>,
    batches: Mutex<HashMap<(Schema, &'static str), RecordBatch>>,
}

impl Built {
    fn new(snapshot: &CatalogSnapshot, database: &str, views: &ViewColumns) -> Built {
        let extra: Vec<model::ExtraRelation> =
            fjord_engine::system::tables().iter().map(|t| ("sys".to_string(), t.name().to_string(), t.schema())).collect();
        Built { model: Arc::new(Model::new(snapshot, database, &extra, views)), batches: Mutex::default() }
    }
}

impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Built({})", self.model.version)
    }
}

impl Shared {
    fn built(&self, engine: &Arc<Engine>) -> Arc<Built> {
        let snapshot = engine.catalog.snapshot();
        let mut cache = self.cache.lock();
        if let Some(b) = &*cache
            && b.model.version == snapshot.version
        {
            return b.clone();
        }
        let built = Arc::new(Built::new(&snapshot, &engine.database, &ViewColumns::default()));
        *cache = Some(built.clone());
        built
    }
    /// The catalog as it is now.
    pub fn model(&self, engine: &Arc<Engine>) -> Arc<Model> {
        self.built(engine).model.clone()
    }
    /// When the server began.
    pub fn started(&self) -> SystemTime {
        self.started
    }
    /// The sessions.
    pub fn sessions(&self) -> Option<&Arc<dyn Sessions>> {
        self.sessions.as_ref()
    }
    async fn batch(
        &self,
        relation: &'static Relation,
        engine: &Arc<Engine>,
        session: &SessionInfo,
        settings: &Settings,
        read: Option<&Vec<usize>>,
    ) -> DfResult<RecordBatch> {
        let built = match views::has_their_columns(relation, read) {
            true => self.planned.built(self.built(engine), engine, session).await,
            false => self.built(engine),
        };
        let per_session = relation.schema == Schema::PgCatalog && relations::per_session(relation);
        let key = (relation.schema, relation.name);
        if !per_session && let Some(b) = built.batches.lock().get(&key) {
            return Ok(b.clone());
        }
        let activity = match (relation.name, &self.sessions) {
            ("pg_stat_activity", Some(s)) => s.list(),
            _ => vec![],
        };
        let settings = if relation.name == "pg_settings" { settings.all() } else { vec![] };
        let cx = Context { model: &built.model, session: per_session.then_some(session), settings, activity };
        let mut rows = Rows::new(relation);
        let fill = match relation.schema {
            Schema::PgCatalog => relations::fill(relation),
            Schema::InformationSchema => information_schema::fill(relation),
        };
        if let Some(fill) = fill {
            fill(&cx, &mut rows);
        }
        let batch = rows.finish()?;
        if !per_session {
            built.batches.lock().insert(key, batch.clone());
        }
        Ok(batch)
    }
}

/// `pg_catalog`.
#[derive(Debug)]
pub struct PgCatalog {
    shared: Arc<Shared>,
}

impl SystemSchema for PgCatalog {
    fn name(&self) -> &'static str {
        "pg_catalog"
    }
    fn schema(&self, engine: &Arc<Engine>, session: &SessionInfo) -> Arc<dyn SchemaProvider> {
        self.session_schema(engine, session, &Settings::default())
    }
    fn session_schema(&self, engine: &Arc<Engine>, session: &SessionInfo, settings: &Settings) -> Arc<dyn SchemaProvider> {
        Arc::new(Provider {
            schema: Schema::PgCatalog,
            shared: self.shared.clone(),
            engine: engine.clone(),
            session: session.clone(),
            settings: settings.clone(),
        })
    }
    fn functions(&self, _: &Arc<Engine>, _: &SessionInfo) -> Vec<Arc<ScalarUDF>> {
        vec![]
    }
    fn session_functions(&self, engine: &Arc<Engine>, session: &SessionInfo, settings: &Arc<RwLock<Settings>>) -> Vec<Arc<ScalarUDF>> {
        functions::udfs(&Arc::new(Env {
            shared: self.shared.clone(),
            engine: engine.clone(),
            session: session.clone(),
            settings: settings.clone(),
        }))
    }
    fn rewrite(&self, statement: &mut ast::Statement) -> Result<()> {
        rewrite::rewrite(statement);
        Ok(())
    }
}

/// `information_schema`.
#[derive(Debug)]
pub struct InformationSchema {
    shared: Arc<Shared>,
}

impl SystemSchema for InformationSchema {
    fn name(&self) -> &'static str {
        "information_schema"
    }
    fn schema(&self, engine: &Arc<Engine>, session: &SessionInfo) -> Arc<dyn SchemaProvider> {
        Arc::new(Provider {
            schema: Schema::InformationSchema,
            shared: self.shared.clone(),
            engine: engine.clone(),
            session: session.clone(),
            settings: Settings::default(),
        })
    }
    fn functions(&self, _: &Arc<Engine>, _: &SessionInfo) -> Vec<Arc<ScalarUDF>> {
        vec![]
    }
}

/// One of the two schemas as one session sees it.
#[derive(Debug)]
struct Provider {
    schema: Schema,
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    session: SessionInfo,
    settings: Settings,
}

#[async_trait]
impl SchemaProvider for Provider {
    fn table_names(&self) -> Vec<String> {
        RELATIONS.iter().filter(|r| r.schema == self.schema).map(|r| r.name.to_string()).collect()
    }
    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let Some(relation) = columns::relation(self.schema, name) else { return Ok(None) };
        Ok(Some(Arc::new(CatalogTable {
            relation,
            schema: table::schema(relation),
            shared: self.shared.clone(),
            engine: self.engine.clone(),
            session: self.session.clone(),
            settings: self.settings.clone(),
        })))
    }
    fn table_exist(&self, name: &str) -> bool {
        columns::relation(self.schema, name).is_some()
    }
}

/// One relation. Its rows are made when it is scanned: planning needs its columns only, and a view that reads the catalog can be planned while the
/// catalog asks for that view's columns.
#[derive(Debug)]
struct CatalogTable {
    relation: &'static Relation,
    schema: SchemaRef,
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    session: SessionInfo,
    settings: Settings,
}

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let rows = self.shared.batch(self.relation, &self.engine, &self.session, &self.settings, projection).await?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], self.schema.clone(), projection.cloned())?)
    }
}

/// The names of a comma-separated list (`search_path`): unquoted ones folded to lower case.
pub fn split_names(list: &str) -> Vec<String> {
    split(list, ',').unwrap_or_default().into_iter().filter(|n| !n.is_empty()).collect()
}

/// The parts of a dotted name as SQL reads it; `None` where it is none (an empty part, an open quote).
pub fn split_path(name: &str) -> Option<Vec<String>> {
    split(name, '.').filter(|parts| parts.iter().all(|p| !p.is_empty()))
}

fn split(text: &str, separator: char) -> Option<Vec<String>> {
    let (mut parts, mut part, mut chars, mut was_quoted) = (vec![], String::new(), text.chars().peekable(), false);
    while let Some(c) = chars.next() {
        match c {
            '"' => loop {
                was_quoted = true;
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_some() => part.push('"'),
                    '"' => break,
                    c => part.push(c),
                }
            },
            c if c == separator => {
                parts.push(std::mem::take(&mut part));
                was_quoted = false;
            }
            c if c.is_whitespace()
                && (part.is_empty() || was_quoted || chars.peek().is_none_or(|n| *n == separator || n.is_whitespace())) => {}
            c => part.extend(c.to_lowercase()),
        }
    }
    parts.push(part);
    Some(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn splits_names_as_sql_does() {
        assert_eq!(split_names("\"$user\", Public ,\"My Schema\""), ["$user", "public", "My Schema"]);
        assert_eq!(split_path("pg.\"Mixed \"\"Case\"").unwrap(), ["pg", "Mixed \"Case"]);
        assert_eq!(split_path("a..b"), None);
        assert_eq!(split_path("\"open"), None);
    }
}
