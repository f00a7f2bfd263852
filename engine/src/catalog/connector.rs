//! An open connector: from its stored form to a source, and the reading of its schema.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use parking_lot::Mutex;

use super::health::Health;
use super::secret::{Keyring, option_place};
use super::state::{State, StoredConnector, StoredOption};
use super::{Catalog, View, address};
use crate::error::{Result, SqlError, SqlState};
use crate::pushdown::{Dialect, Rel};
use crate::source::{
    Check, CheckStatus, ConnectorType, OptionKind, OptionValues, PoolStatus, RemoteRequest, Secret, Source, SourceCatalog, TableInfo,
    distance,
};

/// Time for validation and introspection on top of `connect_timeout`, which the source itself keeps.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// `schema_ttl` and `connect_timeout` of types that do not have them.
const DEFAULT_TTL: Duration = Duration::from_secs(60);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An open connector.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: String,
    pub stored: StoredConnector,
    pub source: Arc<dyn Source>,
    /// Digest of the secrets that the source was opened with: another one means that a file or variable has changed.
    pub secrets: [u8; 32],
    /// Everything that may name a host.
    addresses: BTreeMap<String, String>,
    pub ttl: Duration,
    timeout: Duration,
    /// One introspection at a time.
    pub loading: tokio::sync::Mutex<()>,
    pub loaded: Mutex<Loaded>,
    pub health: Arc<Mutex<Health>>,
}

/// What is known of a source's schema.
#[derive(Debug)]
pub(super) struct Loaded {
    pub schema: Result<Arc<SourceCatalog>>,
    /// The last successful introspection.
    pub at: Option<Instant>,
    /// The last attempt.
    pub tried: Option<Instant>,
    /// When the last successful introspection began: it has seen every change up to then.
    pub begun: Option<Instant>,
}

impl Entry {
    /// The same open source under another description.
    pub fn describe(&self, stored: &StoredConnector) -> Entry {
        let l = self.loaded.lock();
        Entry {
            name: self.name.clone(),
            stored: stored.clone(),
            source: self.source.clone(),
            secrets: self.secrets,
            addresses: self.addresses.clone(),
            ttl: self.ttl,
            timeout: self.timeout,
            loading: tokio::sync::Mutex::default(),
            loaded: Mutex::new(Loaded { schema: l.schema.clone(), at: l.at, tried: None, begun: l.begun }),
            health: self.health.clone(),
        }
    }

    /// Reads the schema from the source.
    pub async fn introspect(&self, allow_link_local: bool) -> Result<SourceCatalog> {
        if !allow_link_local {
            address::check(&self.addresses).await?;
        }
        match tokio::time::timeout(self.timeout, self.source.introspect()).await {
            Ok(r) => r,
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Runs the source's own checks; the address check first.
    pub async fn validate(&self, allow_link_local: bool) -> Vec<Check> {
        if !allow_link_local && let Err(e) = address::check(&self.addresses).await {
            return vec![Check::failed("address", e)];
        }
        match tokio::time::timeout(self.timeout, self.source.validate()).await {
            Ok(all) => all,
            Err(_) => vec![Check::failed("connect", self.too_slow())],
        }
    }

    fn too_slow(&self) -> SqlError {
        SqlError::new(
            SqlState::CONNECTION_UNABLE,
            format!("connector \"{}\": no answer from {} within {} s", self.name, self.source.location(), self.timeout.as_secs()),
        )
        .hint("Check the address, and firewalls in between.")
    }
}

/// Makes the source of a stored connector. No I/O but reading secrets.
pub(super) fn open(
    name: &str,
    stored: &StoredConnector,
    state: &State,
    types: &[Arc<dyn ConnectorType>],
    keys: &Keyring,
    health: Arc<Mutex<Health>>,
    catalog: &Catalog,
) -> Result<Entry> {
    let kind = find_type(types, &stored.type_name)?;
    let mut given = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    for (key, option) in &stored.options {
        match option {
            StoredOption::Plain(v) => drop(given.insert(key.clone(), v.clone())),
            StoredOption::Secret(n) => {
                let secret = state.secrets.get(n).ok_or_else(|| unknown_secret(n, state))?;
                secrets.insert(key.clone(), keys.read(n, &secret.source)?);
            }
            StoredOption::Sealed(s) => drop(secrets.insert(key.clone(), keys.unseal(&option_place(&stored.id, key), s)?)),
        }
    }
    let mut addresses = given.clone();
    addresses.extend(secrets.iter().map(|(k, v): (&String, &Secret)| (k.clone(), v.expose().to_string())));
    addresses.retain(|k, _| matches!(k.as_str(), "host" | "hostaddr" | "url" | "endpoint" | "location"));
    let digest = digest(&secrets);
    let values = OptionValues::validate(kind.name(), kind.options(), &given, secrets)?;
    let ttl = values.duration("schema_ttl").unwrap_or(DEFAULT_TTL);
    let timeout = values.duration("connect_timeout").unwrap_or(DEFAULT_CONNECT_TIMEOUT) + READ_TIMEOUT;
    let inner = kind.open(name, values.with_link_local(catalog.allow_link_local))?;
    let source = Arc::new(Reporting { inner, name: name.into(), catalog: catalog.me.clone() });
    Ok(entry(name, stored, source, digest, addresses, ttl, timeout, health))
}

#[allow(clippy::too_many_arguments)]
fn entry(
    name: &str,
    stored: &StoredConnector,
    source: Arc<dyn Source>,
    secrets: [u8; 32],
    addresses: BTreeMap<String, String>,
    ttl: Duration,
    timeout: Duration,
    health: Arc<Mutex<Health>>,
) -> Entry {
    let schema =
        Err(SqlError::new(SqlState::CANNOT_CONNECT_NOW, format!("connector \"{name}\": the source's schema has not been read yet")));
    Entry {
        name: name.into(),
        stored: stored.clone(),
        source,
        secrets,
        addresses,
        ttl,
        timeout,
        loading: tokio::sync::Mutex::default(),
        loaded: Mutex::new(Loaded { schema, at: None, tried: None, begun: None }),
        health,
    }
}

/// An entry for a connector that cannot even be opened (a secret is gone, its type is not in this build): it is listed, and every use answers why.
pub(super) fn broken(name: &str, stored: &StoredConnector, error: SqlError, health: Arc<Mutex<Health>>) -> Entry {
    let source = Arc::new(Broken { error: error.clone() });
    let e = entry(name, stored, source, [0; 32], BTreeMap::new(), DEFAULT_TTL, READ_TIMEOUT, health);
    e.loaded.lock().schema = Err(error);
    e
}

/// A connector type by name.
pub(super) fn find_type<'a>(types: &'a [Arc<dyn ConnectorType>], name: &str) -> Result<&'a Arc<dyn ConnectorType>> {
    types.iter().find(|t| t.name() == name).ok_or_else(|| {
        let e = SqlError::new(SqlState::UNDEFINED_OBJECT, format!("connector type \"{name}\" does not exist"));
        match types.iter().map(|t| (distance(name, t.name()), t.name())).min() {
            Some((d, near)) if d <= 3 => e.hint(format!("Did you mean \"{near}\"?")),
            _ => e.hint(format!("Types: {}.", types.iter().map(|t| t.name()).collect::<Vec<_>>().join(", "))),
        }
    })
}

pub(super) fn unknown_secret(name: &str, state: &State) -> SqlError {
    let e = SqlError::new(SqlState::UNDEFINED_OBJECT, format!("secret \"{name}\" does not exist"));
    match state.secrets.keys().map(|n| (distance(name, n), n)).min() {
        Some((d, near)) if d <= 2 => e.hint(format!("Did you mean \"{near}\"?")),
        _ => e.hint(format!("Create it first: CREATE SECRET {name} FROM ENV 'VARIABLE'.")),
    }
}

/// Refuses a literal that holds a password in an option that would be stored and shown in plain text.
pub(super) fn check_plain(key: &str, kind: OptionKind, value: &str) -> Result<()> {
    let in_url = kind != OptionKind::Secret && url::Url::parse(value).is_ok_and(|u| u.password().is_some());
    if in_url {
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("option \"{key}\" holds a password in its URL"))
            .hint(format!("Write {key} SECRET name: CREATE SECRET name FROM ENV 'VARIABLE' keeps the whole URL.")));
    }
    Ok(())
}

/// The digest of resolved secrets, to notice that one has changed without keeping any.
pub(super) fn digest(secrets: &BTreeMap<String, Secret>) -> [u8; 32] {
    let mut ctx = ring::digest::Context::new(&ring::digest::SHA256);
    for (k, v) in secrets {
        for part in [k.as_str(), v.expose()] {
            ctx.update(&(part.len() as u64).to_le_bytes());
            ctx.update(part.as_bytes());
        }
    }
    ctx.finish().as_ref().try_into().unwrap_or_default()
}

/// The objects that a view reads.
pub(super) fn reads(view: &View) -> Vec<Vec<String>> {
    match crate::sql::parse_query(&view.definition).map(|s| s.kind) {
        Ok(crate::sql::StatementKind::Query(q)) => named(&q),
        _ => vec![],
    }
}

/// The objects that a query names, as dotted names; a connector of `remote_query('name', ...)` as a name of three parts.
pub(super) fn named(query: &sqlparser::ast::Statement) -> Vec<Vec<String>> {
    use std::ops::ControlFlow;

    use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, ObjectName, TableFactor, Value, Visit, Visitor};

    #[derive(Default)]
    struct Names(Vec<Vec<String>>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_relation(&mut self, n: &ObjectName) -> ControlFlow<()> {
            let part = |i: &sqlparser::ast::Ident| if i.quote_style.is_some() { i.value.clone() } else { i.value.to_ascii_lowercase() };
            self.0.push(n.0.iter().filter_map(|p| p.as_ident().map(part)).collect());
            ControlFlow::Continue(())
        }
        fn pre_visit_table_factor(&mut self, t: &TableFactor) -> ControlFlow<()> {
            let TableFactor::Table { args: Some(args), .. } = t else { return ControlFlow::Continue(()) };
            // live(a.b.c) and remote_query('a', ...): the argument names what is read.
            if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(e))) = args.args.first() {
                match e {
                    Expr::CompoundIdentifier(ids) => self.0.push(ids.iter().map(|i| i.value.clone()).collect()),
                    Expr::Identifier(i) => self.0.push(vec![i.value.clone()]),
                    Expr::Value(v) => {
                        if let Value::SingleQuotedString(s) = &v.value {
                            self.0.push(vec![s.clone(), String::new(), String::new()]);
                        }
                    }
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names::default();
    let _ = query.visit(&mut names);
    names.0
}

/// A source that tells the catalog how its queries fare: a query that finds the source gone is noticed as soon as an introspection would.
#[derive(Debug)]
struct Reporting {
    inner: Arc<dyn Source>,
    name: String,
    catalog: Weak<Catalog>,
}

impl Reporting {
    fn watched(&self, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let (catalog, name) = (self.catalog.clone(), self.name.clone());
        // Only the first batch says that the source is well; each error is looked at.
        let mut told = false;
        let schema = stream.schema();
        let watched = stream.inspect(move |item| match item {
            Ok(_) if told => {}
            Ok(_) => {
                told = true;
                if let Some(c) = catalog.upgrade() {
                    c.report_ok(&name);
                }
            }
            Err(e) => {
                if let (Some(c), Some(error)) = (catalog.upgrade(), SqlError::inside(e)) {
                    c.report_error(&name, error);
                }
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, watched))
    }
}

#[async_trait]
impl Source for Reporting {
    fn dialect(&self) -> Option<Arc<dyn Dialect>> {
        self.inner.dialect()
    }
    fn location(&self) -> String {
        self.inner.location()
    }
    async fn validate(&self) -> Vec<Check> {
        self.inner.validate().await
    }
    async fn introspect(&self) -> Result<SourceCatalog> {
        self.inner.introspect().await
    }
    fn execute(&self, request: RemoteRequest) -> Result<SendableRecordBatchStream> {
        Ok(self.watched(self.inner.execute(request)?))
    }
    fn readers(&self, rel: &Rel, table: &TableInfo, rows: Option<u64>, most: Option<usize>) -> usize {
        self.inner.readers(rel, table, rows, most)
    }
    fn execute_split(&self, request: RemoteRequest, readers: usize) -> Result<Vec<SendableRecordBatchStream>> {
        Ok(self.inner.execute_split(request, readers)?.into_iter().map(|s| self.watched(s)).collect())
    }
    async fn describe(&self, text: &str) -> Result<SchemaRef> {
        self.inner.describe(text).await
    }
    fn pool(&self) -> PoolStatus {
        self.inner.pool()
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

/// The source of a connector that cannot be opened.
#[derive(Debug)]
struct Broken {
    error: SqlError,
}

#[async_trait]
impl Source for Broken {
    fn dialect(&self) -> Option<Arc<dyn Dialect>> {
        None
    }
    fn location(&self) -> String {
        String::new()
    }
    async fn validate(&self) -> Vec<Check> {
        vec![Check { name: "options", status: CheckStatus::Failed, ..Check::failed("options", self.error.clone()) }]
    }
    async fn introspect(&self) -> Result<SourceCatalog> {
        Err(self.error.clone())
    }
    fn execute(&self, _: RemoteRequest) -> Result<SendableRecordBatchStream> {
        Err(self.error.clone())
    }
    async fn describe(&self, _: &str) -> Result<SchemaRef> {
        Err(self.error.clone())
    }
    fn pool(&self) -> PoolStatus {
        PoolStatus::default()
    }
    async fn close(&self) {}
}
