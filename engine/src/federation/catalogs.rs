//! Names: each connector is a catalog, the default database holds views, `sys`, the system schemas and every connector's schemas.
//!
//! All of it reads one [`CatalogSnapshot`], so a statement sees one state of the catalog. A name that is not found is not an error here, because
//! DataFusion also asks for the names of table functions; it is remembered with its proper SQLSTATE and hint, and `PlanEnv::explain` puts it in
//! the place of DataFusion's own message when planning fails for it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::SessionState;
use datafusion::prelude::SessionConfig;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::near;
use super::relations::PASSTHROUGH;
use super::table::FjordTable;
use crate::catalog::{CatalogSnapshot, Connector, View};
use crate::engine::Engine;
use crate::error::{Result, SqlError, SqlState};
use crate::session::{SessionInfo, Settings};

/// The schema behind a bare name: walks the search path. The control character keeps it apart from any schema a user can have.
pub(crate) const SEARCH_PATH: &str = "\u{1}search_path";
/// The schema of Fjord's own tables.
pub(crate) const SYS: &str = "sys";
/// Views that may stand on views; deeper is a cycle or a mistake.
const VIEW_DEPTH_MAX: usize = 32;

/// What one statement is planned against.
pub(crate) struct PlanEnv {
    pub(crate) engine: Arc<Engine>,
    pub(crate) info: SessionInfo,
    pub(crate) settings: Settings,
    pub(crate) snapshot: Arc<CatalogSnapshot>,
    /// The session's state: functions, rules, settings that do not change by statement.
    base: Arc<SessionState>,
    /// How many views stand above this plan.
    depth: usize,
    misses: Mutex<Vec<(String, SqlError)>>,
    /// The relations of `remote_query`, in order.
    passthrough: Mutex<Vec<Arc<dyn TableProvider>>>,
}

impl fmt::Debug for PlanEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanEnv(catalog version {})", self.snapshot.version)
    }
}

impl PlanEnv {
    pub(crate) fn new(engine: Arc<Engine>, info: SessionInfo, settings: Settings, base: Arc<SessionState>) -> Arc<PlanEnv> {
        let snapshot = engine.catalog.snapshot();
        Arc::new(PlanEnv { engine, info, settings, snapshot, base, depth: 0, misses: Mutex::default(), passthrough: Mutex::default() })
    }
    /// A state to plan and run one statement with.
    pub(crate) fn state(self: &Arc<Self>) -> SessionState {
        crate::session::state::for_statement(&self.base, self)
    }
    /// The session's configuration, for an execution that plans nothing.
    pub(crate) fn config(&self) -> SessionConfig {
        let reads = crate::session::state::reads(&self.settings);
        self.base.config().clone().with_extension(Arc::new(reads))
    }
    fn inner(&self) -> Arc<PlanEnv> {
        Arc::new(PlanEnv {
            engine: self.engine.clone(),
            info: self.info.clone(),
            settings: self.settings.clone(),
            snapshot: self.snapshot.clone(),
            base: self.base.clone(),
            depth: self.depth + 1,
            misses: Mutex::default(),
            passthrough: Mutex::default(),
        })
    }
    /// The catalogs for DataFusion.
    pub(crate) fn catalogs(self: &Arc<Self>) -> Arc<dyn CatalogProviderList> {
        Arc::new(Catalogs(self.clone()))
    }
    /// Adds a `remote_query` relation; its name is its number.
    pub(crate) fn add_passthrough(&self, table: Arc<dyn TableProvider>) {
        self.passthrough.lock().push(table);
    }
    /// A connector that may be asked now: exists, is not paused.
    pub(crate) async fn open_connector(&self, name: &str) -> Result<Arc<Connector>> {
        let Some(c) = self.snapshot.connectors.get(name) else { return Err(self.undefined_connector(name)) };
        if c.paused {
            return Err(paused(c));
        }
        Ok(c.clone())
    }
    /// The table of a name of one to three parts, and whether it is one that DataFusion's own readers read; `None` where it does not exist.
    pub(crate) async fn lookup(self: &Arc<Self>, parts: &[String]) -> Result<Option<(Arc<dyn TableProvider>, bool)>> {
        let schema = match parts {
            [_] => self.schema(SEARCH_PATH),
            [s, _] => self.schema(s),
            [c, s, _] => match self.snapshot.connectors.get(c) {
                Some(c) => Some(Schema { env: self.clone(), kind: Kind::Connector(c.clone(), s.clone()) }),
                None if *c == self.engine.database => self.schema(s),
                None => return Err(self.undefined_connector(c)),
            },
            _ => None,
        };
        let (Some(schema), Some(name)) = (schema, parts.last()) else { return Ok(None) };
        let Some(table) = schema.find(name).await? else { return Ok(None) };
        let native = self
            .snapshot
            .connectors
            .values()
            .filter_map(|c| c.schema.as_ref().ok())
            .any(|s| s.schemas.iter().flat_map(|s| &s.tables).any(|t| t.native.as_ref().is_some_and(|n| Arc::ptr_eq(n, &table))));
        Ok(Some((table, native)))
    }
    fn undefined_connector(&self, name: &str) -> SqlError {
        let e = SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("connector \"{name}\" does not exist"));
        match near(name, self.snapshot.connectors.keys().map(String::as_str)).first() {
            Some(n) => e.hint(format!("Did you mean \"{n}\"?")),
            None => e.hint("SHOW CONNECTORS lists them; CREATE CONNECTOR makes one."),
        }
    }
    fn miss(&self, name: &str, error: SqlError) {
        self.misses.lock().push((name.to_string(), error));
    }
    /// DataFusion's planning error as a user should see it: an unknown name gets its own SQLSTATE and hint.
    pub(crate) fn explain(&self, error: DataFusionError) -> SqlError {
        let text = error.find_root().strip_backtrace();
        if let Some(start) = text.find("table '")
            && text.ends_with("not found")
        {
            let misses = self.misses.lock();
            let named = &text[start..];
            let found = misses.iter().find(|(table, _)| named.contains(&format!("{table}'"))).or_else(|| misses.first());
            if let Some((_, e)) = found {
                return e.clone();
            }
        }
        SqlError::from(error)
    }
    /// Schemas that `*.*` and the search path can name in the default database.
    fn schema(self: &Arc<Self>, name: &str) -> Option<Schema> {
        if name == SEARCH_PATH {
            return Some(Schema { env: self.clone(), kind: Kind::Path });
        }
        if name == PASSTHROUGH {
            return Some(Schema { env: self.clone(), kind: Kind::Passthrough });
        }
        if name == SYS {
            return Some(Schema { env: self.clone(), kind: Kind::External(crate::system::schema(&self.engine, &self.info)) });
        }
        if let Some(s) = self.engine.system_schemas().iter().find(|s| s.name() == name) {
            return Some(Schema { env: self.clone(), kind: Kind::External(s.session_schema(&self.engine, &self.info, &self.settings)) });
        }
        if name == "public" || self.snapshot.views.keys().any(|(s, _)| s == name) {
            return Some(Schema { env: self.clone(), kind: Kind::Views(name.to_string()) });
        }
        // `connector` or `connector__schema`: the longest connector name that fits, because names may hold `__` themselves.
        for c in self.snapshot.connectors.values() {
            let exposed = CatalogSnapshot::exposed_schemas(c);
            if let Some((_, schema)) = exposed.into_iter().find(|(e, _)| e == name) {
                return Some(Schema { env: self.clone(), kind: Kind::Connector(c.clone(), schema) });
            }
            if c.schema.is_err() && (c.name == name || name.strip_prefix(&c.name).is_some_and(|r| r.starts_with("__"))) {
                // The source has not been reached: which schemas it has is not known, so asking for a table says why.
                return Some(Schema { env: self.clone(), kind: Kind::Connector(c.clone(), name.to_string()) });
            }
        }
        None
    }
    fn schema_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = ["public".to_string(), SYS.to_string()].into();
        names.extend(self.engine.system_schemas().iter().map(|s| s.name().to_string()));
        names.extend(self.snapshot.views.keys().map(|(s, _)| s.clone()));
        for c in self.snapshot.connectors.values() {
            names.extend(CatalogSnapshot::exposed_schemas(c).into_iter().map(|(e, _)| e));
        }
        names.into_iter().collect()
    }
    /// The path of a bare name: pg_catalog first unless it is named, as in Postgres.
    fn path(&self) -> Vec<String> {
        let mut path = self.settings.search_path(&self.info.user);
        if !path.iter().any(|s| s == "pg_catalog") {
            path.insert(0, "pg_catalog".into());
        }
        path
    }
    fn undefined_table(&self, shown: &str, name: &str, there: &[String]) -> SqlError {
        let e = SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"));
        let mut hints = near(name, there.iter().map(String::as_str));
        if hints.is_empty() {
            // The same name elsewhere: the usual mistake is to leave the connector out.
            for c in self.snapshot.connectors.values() {
                let Ok(s) = &c.schema else { continue };
                for schema in &s.schemas {
                    if schema.tables.iter().any(|t| t.name == name) {
                        hints.push(format!("{}.{}.{}", c.name, schema.name, name));
                    }
                }
            }
            hints.truncate(3);
        }
        match hints.as_slice() {
            [] => e.hint("SHOW CONNECTORS lists the connectors; a table is named connector.schema.table."),
            names => e.hint(format!("Did you mean {}?", names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(" or "))),
        }
    }
}

#[derive(Debug)]
struct Catalogs(Arc<PlanEnv>);

impl CatalogProviderList for Catalogs {
    fn register_catalog(&self, _name: String, _catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }
    fn catalog_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.snapshot.connectors.keys().cloned().collect();
        names.push(self.0.engine.database.clone());
        names
    }
    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        if name == self.0.engine.database {
            return Some(Arc::new(Database(self.0.clone())));
        }
        if let Some(c) = self.0.snapshot.connectors.get(name) {
            return Some(Arc::new(ConnectorCatalog(self.0.clone(), c.clone())));
        }
        Some(Arc::new(MissingCatalog(self.0.clone(), name.to_string())))
    }
}

/// The default database.
#[derive(Debug)]
struct Database(Arc<PlanEnv>);

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        self.0.schema_names()
    }
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let schema = self.0.schema(name).unwrap_or_else(|| {
            let near = near(name, self.0.schema_names().iter().map(String::as_str));
            let e = SqlError::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"));
            let e = match near.first() {
                Some(n) => e.hint(format!("Did you mean \"{n}\"?")),
                None => e.hint("A connector's main schema has the connector's name; SHOW CONNECTORS lists them."),
            };
            Schema { env: self.0.clone(), kind: Kind::Missing(name.to_string(), e) }
        });
        Some(Arc::new(schema))
    }
}

/// One connector: its source's own schemas.
#[derive(Debug)]
struct ConnectorCatalog(Arc<PlanEnv>, Arc<Connector>);

impl CatalogProvider for ConnectorCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.1.schema.as_ref().map(|s| s.schemas.iter().map(|s| s.name.clone()).collect()).unwrap_or_default()
    }
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(Schema { env: self.0.clone(), kind: Kind::Connector(self.1.clone(), name.to_string()) }))
    }
}

#[derive(Debug)]
struct MissingCatalog(Arc<PlanEnv>, String);

impl CatalogProvider for MissingCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![]
    }
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let e = self.0.undefined_connector(&self.1);
        Some(Arc::new(Schema { env: self.0.clone(), kind: Kind::Missing(format!("{}.{name}", self.1), e) }))
    }
}

/// A schema of any of these.
#[derive(Debug)]
struct Schema {
    env: Arc<PlanEnv>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Path,
    Passthrough,
    Views(String),
    Connector(Arc<Connector>, String),
    External(Arc<dyn SchemaProvider>),
    Missing(String, SqlError),
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        match &self.kind {
            Kind::Path => {
                let path = self.env.path();
                path.iter().filter_map(|s| self.env.schema(s)).flat_map(|s| s.table_names()).collect()
            }
            Kind::Views(schema) => self.env.snapshot.views.keys().filter(|(s, _)| s == schema).map(|(_, n)| n.clone()).collect(),
            Kind::Connector(c, schema) => c
                .schema
                .as_ref()
                .ok()
                .and_then(|s| s.schemas.iter().find(|s| s.name == *schema))
                .map(|s| s.tables.iter().map(|t| t.name.clone()).collect())
                .unwrap_or_default(),
            Kind::External(s) => s.table_names(),
            Kind::Missing(..) | Kind::Passthrough => vec![],
        }
    }
    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let found = self.find(name).await?;
        if found.is_none() {
            let database = &self.env.engine.database;
            let (full, error) = match &self.kind {
                Kind::Path => {
                    let error = self.env.undefined_table(name, name, &self.table_names());
                    (format!("{database}.{SEARCH_PATH}.{name}"), error)
                }
                Kind::Views(s) => self.unknown(&format!("{s}.{name}"), &format!("{database}.{s}.{name}"), name),
                Kind::External(_) | Kind::Passthrough => self.unknown(name, &format!(".{name}"), name),
                Kind::Connector(c, s) => {
                    let shown = format!("{}.{s}.{name}", c.name);
                    match &c.schema {
                        Ok(catalog) if !catalog.schemas.iter().any(|i| i.name == *s) => {
                            let near = near(s, catalog.schemas.iter().map(|i| i.name.as_str()));
                            let e = SqlError::new(
                                SqlState::INVALID_SCHEMA_NAME,
                                format!("schema \"{s}\" does not exist in connector \"{}\"", c.name),
                            );
                            let e = match near.first() {
                                Some(n) => e.hint(format!("Did you mean \"{n}\"?")),
                                None => e.hint(format!("ALTER CONNECTOR {} REFRESH SCHEMA if it was made since.", c.name)),
                            };
                            (format!(".{name}"), e)
                        }
                        _ => self.unknown(&shown, &format!(".{name}"), name),
                    }
                }
                Kind::Missing(full, e) => (format!("{full}.{name}"), e.clone()),
            };
            self.env.miss(&full, error);
        }
        Ok(found)
    }
    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|n| n == name)
    }
}

impl Schema {
    fn unknown(&self, shown: &str, full: &str, name: &str) -> (String, SqlError) {
        (full.to_string(), self.env.undefined_table(shown, name, &self.table_names()))
    }
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>>> {
        Box::pin(async move {
            match &self.kind {
                Kind::Path => {
                    let mut failed = None;
                    for s in self.env.path() {
                        let Some(schema) = self.env.schema(&s) else { continue };
                        match schema.find(name).await {
                            Ok(Some(t)) => return Ok(Some(t)),
                            Ok(None) => {}
                            // A connector on the path that is down does not hide what other schemas have.
                            Err(e) => failed = failed.or(Some(e)),
                        }
                    }
                    failed.map_or(Ok(None), Err)
                }
                Kind::Views(schema) => match self.env.snapshot.views.get(&(schema.clone(), name.to_string())) {
                    Some(v) => Ok(Some(self.view(v).await?)),
                    None => Ok(None),
                },
                Kind::External(s) => Ok(s.table(name).await?),
                Kind::Missing(..) => Ok(None),
                Kind::Passthrough => {
                    let number = name.strip_prefix('r').and_then(|n| n.parse::<usize>().ok());
                    Ok(number.and_then(|n| self.env.passthrough.lock().get(n).cloned()))
                }
                Kind::Connector(c, schema) => remote_table(&self.env, c, schema, name).await,
            }
        })
    }
    async fn view(&self, view: &View) -> Result<Arc<dyn TableProvider>> {
        if self.env.depth >= VIEW_DEPTH_MAX {
            return Err(SqlError::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                format!("view \"{}.{}\" stands on more than {VIEW_DEPTH_MAX} views, or on itself", view.schema, view.name),
            ));
        }
        let plan = crate::session::plan_view(&self.env.inner(), view).await?;
        Ok(Arc::new(ViewTable::new(plan, Some(view.definition.clone()))))
    }
}

/// A connector's table: paused 55000, not reached 08001, unreadable 42501; `None` where it does not exist.
pub(crate) async fn remote_table(
    env: &Arc<PlanEnv>,
    connector: &Arc<Connector>,
    schema: &str,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>> {
    if connector.paused {
        return Err(paused(connector));
    }
    let catalog = connector.schema.as_ref().map_err(Clone::clone)?;
    let Some(info) = catalog.table(schema, name) else { return Ok(None) };
    if let Some(reason) = &info.unreadable {
        return Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for table {}.{schema}.{name}: {reason}", connector.name),
        )
        .hint("Grant the connector's role SELECT on it at the source, then ALTER CONNECTOR ... REFRESH SCHEMA."));
    }
    if let Some(native) = &info.native {
        return Ok(Some(native.clone()));
    }
    Ok(Some(Arc::new(FjordTable::new(connector.clone(), info.clone(), env.settings.is_on("fjord.pushdown"))?)))
}

fn paused(connector: &Connector) -> SqlError {
    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("connector \"{}\" is paused", connector.name))
        .hint(format!("ALTER CONNECTOR {} RESUME.", connector.name))
}
