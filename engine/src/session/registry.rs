//! Running queries, and the last ones that finished: what `sys.queries`, `sys.remote_queries` and `sys.pushdown_summary` show.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::Report;
use crate::session::SessionInfo;
use crate::session::spill::Waiting;
use crate::source::RemoteStats;

/// Finished queries that are remembered.
pub const FINISHED_MAX: usize = 1_000;
/// Remote queries that are remembered for one query.
const REMOTES_MAX: usize = 256;
/// Characters of a statement that are kept.
const TEXT_MAX: usize = 10_000;

/// How a query stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryState {
    /// Planning or sending rows.
    Running,
    /// All rows were sent.
    Finished,
    /// Cancelled, timed out, or its client stopped reading.
    Cancelled,
    /// Failed: SQLSTATE and message.
    Failed(String, String),
}

/// One query.
#[derive(Debug)]
pub struct QueryRecord {
    /// As in [`crate::source::QueryScope`].
    pub id: u64,
    /// The session's process id.
    pub pid: i32,
    /// The role.
    pub user: String,
    /// The client's name for itself.
    pub application_name: String,
    /// The statement, cut at 10,000 characters.
    pub text: String,
    /// When it began.
    pub started_at: SystemTime,
    started: Instant,
    plan: OnceLock<&'static str>,
    rows: AtomicU64,
    spilled: AtomicU64,
    waiting: OnceLock<Weak<Waiting>>,
    end: Mutex<Option<(QueryState, Duration)>>,
    remotes: Mutex<Vec<Arc<RemoteRecord>>>,
}

/// One remote query of a query.
#[derive(Debug)]
pub struct RemoteRecord {
    /// The connector.
    pub connector: String,
    /// The tables read, `schema.table`, or `remote_query`.
    pub tables: Vec<String>,
    /// What was pushed and why not.
    pub report: Report,
    /// Columns read.
    pub columns: usize,
    /// Dynamic filters: received and used, by their text; filled at the first poll.
    pub dynamic: Mutex<Report>,
    /// Its counters.
    pub stats: Arc<RemoteStats>,
}

impl RemoteRecord {
    /// The record of a planned remote query.
    pub fn new(query: &RemoteQuery, stats: Arc<RemoteStats>) -> Arc<RemoteRecord> {
        Arc::new(RemoteRecord {
            connector: query.connector.name.clone(),
            tables: query.rel.tables().into_iter().map(|(s, t)| format!("{s}.{t}")).collect(),
            report: query.report.clone(),
            columns: query.types.len(),
            dynamic: Mutex::default(),
            stats,
        })
    }
    /// The record of a `remote_query`.
    pub fn passthrough(connector: &str, columns: usize, report: Report, stats: Arc<RemoteStats>) -> Arc<RemoteRecord> {
        let tables = vec!["remote_query".to_string()];
        Arc::new(RemoteRecord { connector: connector.to_string(), tables, report, columns, dynamic: Mutex::default(), stats })
    }
}

impl QueryRecord {
    pub(crate) fn new(id: u64, info: &SessionInfo, application_name: &str, text: &str) -> Arc<QueryRecord> {
        Arc::new(QueryRecord {
            id,
            pid: info.pid,
            user: info.user.clone(),
            application_name: application_name.to_string(),
            text: text.chars().take(TEXT_MAX).collect(),
            started_at: SystemTime::now(),
            started: Instant::now(),
            plan: OnceLock::new(),
            rows: AtomicU64::new(0),
            spilled: AtomicU64::new(0),
            waiting: OnceLock::new(),
            end: Mutex::default(),
            remotes: Mutex::default(),
        })
    }
    /// Remembers a remote query.
    pub fn add_remote(&self, remote: Arc<RemoteRecord>) {
        let mut all = self.remotes.lock();
        if all.len() < REMOTES_MAX {
            all.push(remote);
        }
    }
    /// Its remote queries so far.
    pub fn remotes(&self) -> Vec<Arc<RemoteRecord>> {
        self.remotes.lock().clone()
    }
    pub(crate) fn planned(&self, how: &'static str) {
        self.plan.get_or_init(|| how);
    }
    /// Where its plan came from: `planned` for this run, `cached` (only the physical plan was made), `template` (a remote query with other values); `None`
    /// before there is one.
    pub fn plan(&self) -> Option<&'static str> {
        self.plan.get().copied()
    }
    pub(crate) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }
    /// Rows sent.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
    pub(crate) fn add_spilled(&self, bytes: u64) {
        self.spilled.fetch_add(bytes, Ordering::Relaxed);
    }
    /// Bytes of rows that were put on disk because the client did not take them.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }
    /// The rows that wait for the client.
    pub(crate) fn rows_wait(&self, rows: Weak<Waiting>) {
        let _ = self.waiting.set(rows);
    }
    pub(crate) fn waiting_rows(&self) -> Option<Arc<Waiting>> {
        self.waiting.get()?.upgrade()
    }
    /// How it stands.
    pub fn state(&self) -> QueryState {
        self.end.lock().as_ref().map_or(QueryState::Running, |(s, _)| s.clone())
    }
    /// How long it took, or has taken.
    pub fn elapsed(&self) -> Duration {
        self.end.lock().as_ref().map_or_else(|| self.started.elapsed(), |(_, d)| *d)
    }
}

/// The queries of one engine.
#[derive(Debug, Default)]
pub struct QueryRegistry {
    running: Mutex<BTreeMap<u64, Arc<QueryRecord>>>,
    finished: Mutex<VecDeque<Arc<QueryRecord>>>,
    slow: OnceLock<Duration>,
}

impl QueryRegistry {
    /// Logs every query that takes so long or longer, when it has ended; its text without secrets. The first call counts.
    pub fn log_slower_than(&self, least: Duration) {
        let _ = self.slow.set(least);
    }
    fn log_if_slow(&self, record: &QueryRecord) {
        let took = record.elapsed();
        if self.slow.get().is_none_or(|least| took < *least) {
            return;
        }
        let state = match record.state() {
            QueryState::Running | QueryState::Finished => "finished".to_string(),
            QueryState::Cancelled => "cancelled".to_string(),
            QueryState::Failed(code, _) => format!("failed {code}"),
        };
        tracing::warn!(
            query_id = record.id,
            pid = record.pid,
            user = record.user,
            application_name = record.application_name,
            ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            rows = record.rows(),
            remote_queries = record.remotes().len(),
            state,
            statement = record.text,
            "slow statement"
        );
    }
    pub(crate) fn begin(&self, record: Arc<QueryRecord>) {
        self.running.lock().insert(record.id, record);
    }
    /// Ends a query; a second end is ignored.
    pub(crate) fn end(&self, record: &Arc<QueryRecord>, state: QueryState) {
        {
            let mut end = record.end.lock();
            if end.is_some() {
                return;
            }
            *end = Some((state, record.started.elapsed()));
        }
        self.running.lock().remove(&record.id);
        self.log_if_slow(record);
        let mut finished = self.finished.lock();
        if finished.len() >= FINISHED_MAX {
            finished.pop_front();
        }
        finished.push_back(record.clone());
    }
    /// Running queries, then finished ones, by id.
    pub fn all(&self) -> Vec<Arc<QueryRecord>> {
        let mut all: Vec<_> = self.finished.lock().iter().cloned().collect();
        all.extend(self.running.lock().values().cloned());
        all.sort_by_key(|r| r.id);
        all
    }
    /// Running queries.
    pub fn running(&self) -> Vec<Arc<QueryRecord>> {
        self.running.lock().values().cloned().collect()
    }
}
