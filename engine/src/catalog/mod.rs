//! What Fjord itself must remember: connectors, secrets, views, stable OIDs; and the open connectors.
//!
//! Durable state is one object per commit in the store (put-if-absent); readers see one immutable [`CatalogSnapshot`] per version. A snapshot joins
//! the durable state with what introspection has brought back. Here: opening, looking, and keeping up with other servers on the same store;
//! `change` has what the statements do, `commit` and `store` how it becomes durable, `connector` and `health` the life of a connector.

mod address;
mod change;
mod commit;
mod connector;
mod health;
mod secret;
mod state;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::engine::EngineConfig;
use crate::error::{Result, SqlError, SqlState};
use crate::source::{ConnectorType, Source, SourceCatalog, distance};
use connector::Entry;
use health::Events;
use secret::Keyring;
use state::{Commit, StoredOption, StoredSource};
use store::Commits;

pub use address::{denied as address_denied, refused as address_refused};
pub use change::{Outcome, SecretInfo};
pub use health::{EVENTS_MAX, Event, Health, Phase};

/// How often the store is asked whether another server has committed.
const POLL: Duration = Duration::from_secs(3);
/// Each so many polls the commits are listed.
const POLLS_PER_LIST: u32 = 100;
/// Introspections at one time while the server starts.
const OPENING_MAX: usize = 8;
/// A source that has just failed is not asked again by each of a crowd of queries.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The longest that a query with an unknown name waits before the source is asked for it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The catalog of one engine.
#[derive(Debug)]
pub struct Catalog {
    /// For tasks in the background.
    me: Weak<Catalog>,
    types: Vec<Arc<dyn ConnectorType>>,
    database: String,
    keys: Keyring,
    allow_link_local: bool,
    commits: Commits,
    /// One change at a time in this process.
    changing: tokio::sync::Mutex<()>,
    inner: Mutex<Inner>,
    snapshot: RwLock<Arc<CatalogSnapshot>>,
    events: Mutex<Events>,
    opening: Arc<tokio::sync::Semaphore>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    commit: Commit,
    entries: BTreeMap<String, Arc<Entry>>,
    version: u64,
}

/// All that is known at one version. Immutable: take it once per query.
#[derive(Debug, Clone, Default)]
pub struct CatalogSnapshot {
    /// Grows with every change.
    pub version: u64,
    /// The default database's name.
    pub database: String,
    /// By name.
    pub connectors: BTreeMap<String, Arc<Connector>>,
    /// Views, by (schema, name).
    pub views: BTreeMap<(String, String), Arc<View>>,
    /// Stable OIDs by object path: `["connector", schema]`, `["connector", schema, table]`, `["view", schema, name]`. From 16384 upwards.
    pub oids: BTreeMap<Vec<String>, u32>,
}

/// A connector as queries see it.
#[derive(Debug)]
pub struct Connector {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// COMMENT.
    pub comment: Option<String>,
    /// Its owner.
    pub owner: String,
    /// The options as given, secrets as `SECRET name` or `***`.
    pub options: BTreeMap<String, String>,
    /// PAUSEd: queries get 55000.
    pub paused: bool,
    /// The open source.
    pub source: Arc<dyn Source>,
    /// The last introspection; `None` when the source has not been reached since the start: then the error says why.
    pub schema: Result<Arc<SourceCatalog>>,
}

/// A view.
#[derive(Debug, Clone)]
pub struct View {
    /// Its schema in the default database.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The defining query.
    pub definition: String,
    /// Who made it.
    pub owner: String,
    /// COMMENT ON VIEW.
    pub comment: Option<String>,
}

impl Catalog {
    /// Opens the store, reads the newest state, opens the connectors. Sources are reached in the background: one that does not answer keeps
    /// nothing else waiting.
    pub async fn open(config: EngineConfig, types: Vec<Arc<dyn ConnectorType>>) -> Result<Arc<Catalog>> {
        let commits = Commits::open(config.store.clone(), config.data_dir.as_deref()).await?;
        let first = commit::newest(&commits).await?;
        let empty = Commit { seq: 0, nonce: String::new(), parent: None, state: Arc::default() };
        let catalog = Arc::new_cyclic(|me| Catalog {
            me: me.clone(),
            types,
            database: config.database,
            keys: Keyring { key: config.secret_key, root: config.secret_root },
            allow_link_local: config.allow_link_local,
            commits,
            changing: tokio::sync::Mutex::default(),
            inner: Mutex::new(Inner { commit: empty, entries: BTreeMap::new(), version: 0 }),
            snapshot: RwLock::default(),
            events: Mutex::default(),
            opening: Arc::new(tokio::sync::Semaphore::new(OPENING_MAX)),
            stop: CancellationToken::new(),
        });
        catalog.apply(first, None);
        tokio::spawn(keep_up(catalog.me.clone(), catalog.stop.clone()));
        Ok(catalog)
    }

    /// The connector types.
    pub fn types(&self) -> &[Arc<dyn ConnectorType>] {
        &self.types
    }

    /// The present state.
    pub fn snapshot(&self) -> Arc<CatalogSnapshot> {
        self.snapshot.read().clone()
    }

    /// The default database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// A connector whose schema is known: a source that has not been reached yet is tried once, bounded by its `connect_timeout`; a schema older than
    /// its `schema_ttl` is served, and read again in the background. After this, [`Catalog::snapshot`] has the schema too.
    pub async fn connector(&self, name: &str) -> Result<Arc<Connector>> {
        let entry = self.entry(name)?;
        if !entry.stored.paused {
            let (known, age, tried) = {
                let l = entry.loaded.lock();
                (l.schema.as_ref().err().cloned(), l.at.map(|a| a.elapsed()), l.tried.map(|t| t.elapsed()))
            };
            match known {
                Some(e) if tried.is_some_and(|t| t < RETRY_AFTER) => return Err(e),
                Some(_) => self.load(&entry, false).await?,
                None if age.is_some_and(|a| a > entry.ttl) => self.load_in_background(entry.clone()),
                None => {}
            }
        }
        self.snapshot().connectors.get(name).cloned().ok_or_else(|| self.unknown_connector(name))
    }

    /// Before a query is planned: reads the schemas of those of its connectors that have not been reached yet, and lets old ones be read again in the
    /// background. What cannot be reached is no error here: resolving the name says so. `path`: the schemas of bare names.
    pub async fn ready_for(&self, query: &sqlparser::ast::Statement, path: &[String]) {
        let waiting: Vec<Arc<Entry>> = {
            let inner = self.inner.lock();
            let needs = |e: &Entry| {
                let l = e.loaded.lock();
                !e.stored.paused && (l.schema.is_err() || l.at.is_some_and(|at| at.elapsed() > e.ttl))
            };
            inner.entries.values().filter(|e| needs(e)).cloned().collect()
        };
        // Nearly always: nothing to do, and the query is not looked at.
        if waiting.is_empty() {
            return;
        }
        let meant = self.meant(waiting, query, path);
        futures::future::join_all(meant.iter().map(|e| self.connector(&e.name))).await;
    }

    /// Reads the schemas of a query's connectors again, because it names a relation or a column that is not known: it may be younger than what is. A
    /// source is kept busy with this for no more than a tenth of the time, or is asked once a second where its schema takes longer to read: until then
    /// the query waits, and all that wait share one reading. False where nothing could be read.
    pub(crate) async fn look_again(&self, query: &sqlparser::ast::Statement, path: &[String]) -> bool {
        let known: Vec<Arc<Entry>> = {
            let inner = self.inner.lock();
            inner.entries.values().filter(|e| !e.stored.paused && e.loaded.lock().schema.is_ok()).cloned().collect()
        };
        let meant = self.meant(known, query, path);
        let all = meant.iter().map(|e| async {
            let pause = {
                let l = e.loaded.lock();
                l.at.zip(l.begun).map(|(at, begun)| (at.duration_since(begun) * 10).min(LOOK_AGAIN_AFTER).saturating_sub(at.elapsed()))
            };
            if let Some(pause) = pause.filter(|p| !p.is_zero()) {
                tokio::time::sleep(pause).await;
            }
            self.load(e, true).await.is_ok()
        });
        futures::future::join_all(all).await.contains(&true)
    }

    /// Those of some connectors that a query can mean by its names, through views too.
    fn meant(&self, of: Vec<Arc<Entry>>, query: &sqlparser::ast::Statement, path: &[String]) -> Vec<Arc<Entry>> {
        let names = self.snapshot().names_behind(connector::named(query));
        let exposes =
            |c: &str, schema: &str| schema.strip_prefix(c).is_some_and(|rest| rest.is_empty() || rest == "_live" || rest.starts_with("__"));
        let meant = |c: &str| {
            names.iter().any(|n| match n.as_slice() {
                [a, _, _] => a == c || *a == self.database && exposes(c, &n[1]),
                [schema, _] => exposes(c, schema),
                [_] => path.iter().any(|schema| exposes(c, schema)),
                _ => false,
            })
        };
        of.into_iter().filter(|e| meant(&e.name)).collect()
    }

    /// Reads the schema of a source again, now.
    pub async fn refresh(&self, name: &str) -> Result<Arc<Connector>> {
        let entry = self.entry(name)?;
        self.load(&entry, true).await?;
        self.snapshot().connectors.get(name).cloned().ok_or_else(|| self.unknown_connector(name))
    }

    /// Reads the schemas of these connectors again, because a query has found them changed. False where that did not work.
    pub(crate) async fn read_again(&self, names: impl IntoIterator<Item = String>) -> bool {
        let all = names.into_iter().map(|n| async move { self.refresh(&n).await.is_ok() });
        futures::future::join_all(all).await.into_iter().all(|ok| ok)
    }

    /// A remote query of a connector has begun to answer: its source is well.
    pub fn report_ok(&self, connector: &str) {
        if let Ok(entry) = self.entry(connector) {
            let event = entry.health.lock().ok(connector);
            self.remember(event);
        }
    }

    /// A remote query of a connector failed. Only errors that say that the source is not usable change its state.
    pub fn report_error(&self, connector: &str, error: &SqlError) {
        if let Ok(entry) = self.entry(connector) {
            let event = entry.health.lock().failed(connector, error, health::stalls(error));
            self.remember(event);
        }
    }

    /// How a connector fares.
    pub fn health(&self, connector: &str) -> Option<Health> {
        let inner = self.inner.lock();
        inner.entries.get(connector).map(|e| e.health.lock().clone())
    }

    /// The last [`EVENTS_MAX`] transitions of all connectors, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().all()
    }

    /// When a connector was created, in microseconds since 1970.
    pub fn created_at(&self, connector: &str) -> Option<i64> {
        self.inner.lock().commit.state.connectors.get(connector).map(|c| c.created_at)
    }

    /// The sequence of the newest commit that is applied here.
    pub fn sequence(&self) -> u64 {
        self.inner.lock().commit.seq
    }

    /// Closes every source and stops keeping up.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let all: Vec<_> = self.inner.lock().entries.values().cloned().collect();
        for e in all {
            e.source.close().await;
        }
    }

    /// Reads the newest commit of the store, by a list: right however far behind this server is.
    pub async fn catch_up_fully(&self) -> Result<()> {
        let newest = commit::newest(&self.commits).await?;
        self.apply(newest, None);
        Ok(())
    }

    /// Looks whether another server has committed, and applies what it did. One cheap read where nobody has. It misses commits only when more than
    /// 100 have come since, and none of the last hour: [`Catalog::catch_up_fully`] does not.
    pub async fn catch_up(&self) -> Result<()> {
        let mut seq = self.sequence();
        let mut found = None;
        while let Some(c) = commit::next(&self.commits, seq).await? {
            seq = c.seq;
            found = Some(c);
        }
        if let Some(c) = found {
            self.apply(c, None);
        }
        Ok(())
    }

    fn entry(&self, name: &str) -> Result<Arc<Entry>> {
        self.inner.lock().entries.get(name).cloned().ok_or_else(|| self.unknown_connector(name))
    }

    pub(crate) fn unknown_connector(&self, name: &str) -> SqlError {
        let e = SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("connector \"{name}\" does not exist"));
        let snapshot = self.snapshot();
        match snapshot.connectors.keys().map(|n| (distance(name, n), n)).min() {
            Some((d, near)) if d <= 2 => e.hint(format!("Did you mean \"{near}\"?")),
            _ => e.hint("SHOW CONNECTORS lists them."),
        }
    }

    fn remember(&self, event: Option<Event>) {
        let Some(event) = event else { return };
        tracing::info!(
            connector = event.connector,
            from = event.from.map(Phase::as_str),
            to = event.to.map(Phase::as_str),
            detail = event.detail,
            "connector state"
        );
        self.events.lock().push(event);
    }

    /// Makes a commit the present state: opens what is new or changed, closes what is gone. An older commit than the present one is ignored.
    /// `ready`: an entry that is open already (the one that CREATE has validated).
    fn apply(&self, commit: Commit, ready: Option<Entry>) {
        let mut events = vec![];
        let mut close = vec![];
        let mut start = vec![];
        {
            let mut inner = self.inner.lock();
            // A commit never changes, so the same number is the same state.
            if commit.seq < inner.commit.seq || (commit.seq == inner.commit.seq && ready.is_none()) {
                return;
            }
            let mut ready = ready;
            let mut old = std::mem::take(&mut inner.entries);
            for (name, stored) in &commit.state.connectors {
                let before = old.remove(name);
                // Secrets are looked at too: a replaced one reopens the connectors that use it.
                let same_secrets = secrets_of(stored).all(|s| inner.commit.state.secrets.get(s) == commit.state.secrets.get(s));
                if let Some(b) = before.as_ref().filter(|b| b.stored == *stored && same_secrets) {
                    inner.entries.insert(name.clone(), b.clone());
                    continue;
                }
                let health = before.as_ref().filter(|b| b.stored.id == stored.id).map(|b| b.health.clone()).unwrap_or_default();
                if before.is_none() {
                    events.push(Event::new(name, None, Some(Phase::Starting), "opened"));
                }
                let entry = match (ready.take_if(|r| r.name == *name && r.stored.id == stored.id), &before) {
                    (Some(mut prepared), _) => {
                        prepared.health = health;
                        close.extend(before);
                        prepared
                    }
                    // Only the description has changed (comment, owner, paused): the source stays open.
                    (None, Some(b)) if b.stored.same_source(stored) && same_secrets => b.describe(stored),
                    (None, _) => {
                        close.extend(before);
                        connector::open(name, stored, &commit.state, &self.types, &self.keys, health.clone(), self).unwrap_or_else(|e| {
                            events.extend(health.lock().failed(name, &e, true));
                            connector::broken(name, stored, e, health.clone())
                        })
                    }
                };
                events.extend(phase_of(name, &entry));
                let entry = Arc::new(entry);
                if !stored.paused && entry.loaded.lock().at.is_none() {
                    start.push(entry.clone());
                }
                inner.entries.insert(name.clone(), entry);
            }
            for (name, gone) in old {
                let from = Some(gone.health.lock().phase);
                events.push(Event::new(&name, from, None, "dropped or renamed"));
                close.push(gone);
            }
            inner.commit = commit;
            self.publish(&mut inner);
        }
        for e in events {
            self.remember(Some(e));
        }
        for e in close {
            tokio::spawn(async move { e.source.close().await });
        }
        for e in start {
            self.load_in_background(e);
        }
    }

    /// Makes the snapshot of the next version.
    fn publish(&self, inner: &mut Inner) {
        inner.version += 1;
        let connectors = inner.entries.iter().map(|(n, e)| (n.clone(), Arc::new(as_connector(e)))).collect();
        let mut views = BTreeMap::new();
        for (schema, all) in &inner.commit.state.views {
            for (name, v) in all {
                let view = View {
                    schema: schema.clone(),
                    name: name.clone(),
                    definition: v.definition.clone(),
                    owner: v.owner.clone(),
                    comment: v.comment.clone(),
                };
                views.insert((schema.clone(), name.clone()), Arc::new(view));
            }
        }
        let snapshot = CatalogSnapshot {
            version: inner.version,
            database: self.database.clone(),
            connectors,
            views,
            oids: inner.commit.state.oids.clone(),
        };
        *self.snapshot.write() = Arc::new(snapshot);
    }

    fn load_in_background(&self, entry: Arc<Entry>) {
        let (me, stop, opening) = (self.me.clone(), self.stop.clone(), self.opening.clone());
        tokio::spawn(async move {
            let work = async {
                let Ok(_permit) = opening.acquire().await else { return };
                let Some(catalog) = me.upgrade() else { return };
                if let Err(e) = catalog.load(&entry, false).await {
                    tracing::warn!(connector = entry.name, error = %e.message, "the source's schema could not be read");
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Introspects, one at a time per connector. `force`: with what the source is like from now on, whatever another has just read.
    async fn load(&self, entry: &Arc<Entry>, force: bool) -> Result<()> {
        let asked = Instant::now();
        let _one = entry.loading.lock().await;
        {
            let l = entry.loaded.lock();
            // Another has tried while this one waited; under `force` that counts only if it began after this one asked.
            if (!force && l.tried.is_some_and(|t| t >= asked)) || l.begun.is_some_and(|b| b >= asked) {
                return l.schema.as_ref().map(|_| ()).map_err(Clone::clone);
            }
        }
        let begun = Instant::now();
        let result = entry.introspect(self.allow_link_local).await;
        let event = {
            let mut health = entry.health.lock();
            match &result {
                Ok(_) => {
                    health.introspections += 1;
                    health.ok(&entry.name)
                }
                Err(e) => health.failed(&entry.name, e, true),
            }
        };
        self.remember(event);
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        {
            let mut l = entry.loaded.lock();
            l.tried = Some(Instant::now());
            match result {
                Ok(schema) => {
                    l.schema = Ok(Arc::new(schema));
                    l.at = l.tried;
                    l.begun = Some(begun);
                }
                // What was known stays known: a query then fails with the source's own error, not with "unknown table".
                Err(e) if l.schema.is_err() => l.schema = Err(e),
                Err(_) => {}
            }
        }
        if outcome.is_ok() {
            self.assign_oids(entry).await;
        }
        let mut inner = self.inner.lock();
        if inner.entries.get(&entry.name).is_some_and(|e| Arc::ptr_eq(e, entry)) {
            self.publish(&mut inner);
        }
        outcome
    }

    /// Gives new tables their OIDs and forgets those of tables that are gone. A store that cannot be written keeps nobody from querying.
    async fn assign_oids(&self, entry: &Entry) {
        let Ok(schema) = entry.loaded.lock().schema.clone() else { return };
        let (name, id) = (&entry.name, &entry.stored.id);
        let current = self.inner.lock().commit.clone();
        if !change::oids_differ(&current.state, name, &schema) {
            return;
        }
        let result = self
            .change(|state| {
                if state.connectors.get(name).is_some_and(|c| c.id == *id) {
                    change::set_oids(state, name, &schema);
                }
                Ok(())
            })
            .await;
        if let Err(e) = result {
            tracing::warn!(connector = name, error = %e.message, "OIDs could not be stored");
        }
    }

    /// Reopens connectors whose secrets have changed outside (a variable cannot, a file can).
    fn rotate_secrets(&self) {
        let mut fresh = vec![];
        {
            let mut inner = self.inner.lock();
            let state = inner.commit.state.clone();
            let used: Vec<Arc<Entry>> = inner.entries.values().filter(|e| reads_files(e, &state)).cloned().collect();
            for e in used {
                let Ok(new) = connector::open(&e.name, &e.stored, &state, &self.types, &self.keys, e.health.clone(), self) else {
                    continue;
                };
                if new.secrets == e.secrets {
                    continue;
                }
                {
                    let l = e.loaded.lock();
                    *new.loaded.lock() = connector::Loaded { schema: l.schema.clone(), at: l.at, tried: None, begun: l.begun };
                }
                let new = Arc::new(new);
                inner.entries.insert(e.name.clone(), new.clone());
                fresh.push((new, e));
            }
            if !fresh.is_empty() {
                self.publish(&mut inner);
            }
        }
        for (new, old) in fresh {
            tracing::info!(connector = new.name, "a secret has changed: the connector is opened anew");
            self.load_in_background(new);
            tokio::spawn(async move { old.source.close().await });
        }
    }
}

/// The state that a connector begins in after a change.
fn phase_of(name: &str, entry: &Entry) -> Option<Event> {
    let mut health = entry.health.lock();
    match (entry.stored.paused, health.phase) {
        (true, _) => health.to(name, Phase::Paused, "ALTER CONNECTOR ... PAUSE"),
        (false, Phase::Paused) => health.to(name, Phase::Starting, "ALTER CONNECTOR ... RESUME"),
        (false, _) if entry.loaded.lock().at.is_some() => health.ok(name),
        _ => None,
    }
}

fn secrets_of(stored: &state::StoredConnector) -> impl Iterator<Item = &String> {
    stored.options.values().filter_map(|o| match o {
        StoredOption::Secret(n) => Some(n),
        _ => None,
    })
}

fn reads_files(e: &Entry, state: &state::State) -> bool {
    secrets_of(&e.stored).any(|s| matches!(state.secrets.get(s).map(|s| &s.source), Some(StoredSource::File(_))))
}

fn as_connector(e: &Entry) -> Connector {
    let options = e.stored.options.iter().map(|(k, o)| {
        let shown = match o {
            StoredOption::Plain(v) => v.clone(),
            StoredOption::Secret(n) => format!("SECRET {}", crate::sql::quote_ident(n)),
            StoredOption::Sealed(_) => "***".into(),
        };
        (k.clone(), shown)
    });
    Connector {
        name: e.name.clone(),
        type_name: e.stored.type_name.clone(),
        comment: e.stored.comment.clone(),
        owner: e.stored.owner.clone(),
        options: options.collect(),
        paused: e.stored.paused,
        source: e.source.clone(),
        schema: e.loaded.lock().schema.clone(),
    }
}

/// The task that keeps up with other servers on the same store, and with secrets in files.
async fn keep_up(catalog: Weak<Catalog>, stop: CancellationToken) {
    let mut failing = false;
    let mut round = 0u32;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(POLL) => {}
        }
        let Some(c) = catalog.upgrade() else { return };
        round = round.wrapping_add(1);
        let result = if failing || round.is_multiple_of(POLLS_PER_LIST) { c.catch_up_fully().await } else { c.catch_up().await };
        if let Err(e) = &result
            && !failing
        {
            tracing::error!(error = %e, "the catalog in the store cannot be read; the last known state is served");
        }
        failing = result.is_err();
        let _ = tokio::task::spawn_blocking(move || c.rotate_secrets()).await;
    }
}

impl CatalogSnapshot {
    /// The schemas under which a connector's own schemas appear in the default database, because clients cannot browse three-part names: the
    /// source's default schema as `connector`, each other as `connector__schema`. Pairs of (exposed name, source schema).
    pub fn exposed_schemas(connector: &Connector) -> Vec<(String, String)> {
        let Ok(schema) = &connector.schema else { return vec![] };
        schema
            .schemas
            .iter()
            .map(|s| {
                let exposed =
                    if s.name == schema.default_schema { connector.name.clone() } else { format!("{}__{}", connector.name, s.name) };
                (exposed, s.name.clone())
            })
            .collect()
    }

    /// The views that read from a connector, directly or through other views: (schema, name) pairs in the order in which they can be dropped.
    pub fn dependent_views(&self, connector: &str) -> Vec<(String, String)> {
        let twin = format!("{connector}_live");
        let prefix = format!("{connector}__");
        let of_connector = |n: &[String]| match n {
            [c, _, _] => c == connector,
            [s, _] => *s == connector || *s == twin || s.starts_with(&prefix),
            _ => false,
        };
        self.views_over(of_connector)
    }

    /// The views that read from one view, directly or through others.
    pub fn dependents_of_view(&self, schema: &str, name: &str) -> Vec<(String, String)> {
        self.views_over(|n| self.names_view(n, schema, name))
    }

    /// Names, and the names that views among them read, and so on.
    fn names_behind(&self, mut names: Vec<Vec<String>>) -> Vec<Vec<String>> {
        let mut seen: std::collections::BTreeSet<&(String, String)> = Default::default();
        let mut i = 0;
        while i < names.len() {
            let view = self.views.keys().find(|(s, v)| self.names_view(&names[i], s, v));
            if let Some(key) = view.filter(|k| seen.insert(k)) {
                names.extend(connector::reads(&self.views[key]));
            }
            i += 1;
        }
        names
    }

    /// Whether a name in a query can mean a view. A bare name resolves in `public` by default; `connector.schema.table` is no view, whatever its schema.
    fn names_view(&self, n: &[String], schema: &str, name: &str) -> bool {
        match n {
            [v] => v == name && schema == "public",
            [s, v] => v == name && s == schema,
            [d, s, v] => v == name && s == schema && *d == self.database,
            _ => false,
        }
    }

    fn views_over(&self, first: impl Fn(&[String]) -> bool) -> Vec<(String, String)> {
        let reads: BTreeMap<&(String, String), Vec<Vec<String>>> = self.views.iter().map(|(k, v)| (k, connector::reads(v))).collect();
        let mut found: Vec<(String, String)> = vec![];
        loop {
            let more: Vec<_> = reads
                .iter()
                .filter(|(k, names)| {
                    !found.contains(k) && names.iter().any(|n| first(n) || found.iter().any(|(s, v)| self.names_view(n, s, v)))
                })
                .map(|(k, _)| (*k).clone())
                .collect();
            if more.is_empty() {
                found.reverse();
                return found;
            }
            found.extend(more);
        }
    }
}
