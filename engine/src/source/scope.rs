//! What travels with one query to every place that works for it: its id, its cancel token, its notices, and counters.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use datafusion::error::DataFusionError;

use crate::error::{SqlError, SqlState};

/// Notices kept per query; further ones are dropped (a table of a million odd values must not fill memory).
pub const NOTICES_MAX: usize = 100;

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// NOTICE.
    Notice,
    /// WARNING.
    Warning,
}

/// A message beside the result.
#[derive(Debug, Clone)]
pub struct Notice {
    /// NOTICE or WARNING.
    pub severity: Severity,
    /// Its state.
    pub state: SqlState,
    /// The text.
    pub message: String,
    /// More.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// One query. It is put into DataFusion's session config as an extension (`Arc<QueryScope>`), so that leaves find it at execution.
pub struct QueryScope {
    /// Unique while the server runs.
    pub query_id: u64,
    /// Cancelled by the user, by statement_timeout, or when the client goes away.
    pub cancel: CancellationToken,
    /// When it began.
    pub started: Instant,
    notices: Mutex<Vec<Notice>>,
    remotes: Mutex<Vec<Arc<RemoteStats>>>,
    /// Connectors whose source has turned out to be other than the plan takes it for.
    changed: Mutex<BTreeSet<String>>,
    /// Connectors that are asked several times, and what the session wants of their snapshots.
    snapshots: Mutex<HashMap<String, Option<bool>>>,
    /// What sources keep for the query, by connector.
    shared: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
}

impl fmt::Debug for QueryScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryScope").field("query_id", &self.query_id).finish_non_exhaustive()
    }
}

impl QueryScope {
    /// A new query.
    pub fn new(query_id: u64, cancel: CancellationToken) -> Arc<QueryScope> {
        Arc::new(QueryScope {
            query_id,
            cancel,
            started: Instant::now(),
            notices: Mutex::default(),
            remotes: Mutex::default(),
            changed: Mutex::default(),
            snapshots: Mutex::default(),
            shared: Mutex::default(),
        })
    }
    /// Adds a notice.
    pub fn notice(&self, notice: Notice) {
        let mut all = self.notices.lock();
        if all.len() < NOTICES_MAX {
            all.push(notice);
        }
    }
    /// Adds a plain NOTICE.
    pub fn say(&self, message: impl Into<String>) {
        self.notice(Notice { severity: Severity::Notice, state: SqlState::SUCCESS, message: message.into(), detail: None, hint: None });
    }
    /// Several remote queries of the statement ask this connector. `wanted`: whether they share a snapshot, where the session has said so.
    pub fn share_snapshot(&self, connector: &str, wanted: Option<bool>) {
        self.snapshots.lock().insert(connector.to_string(), wanted);
    }
    /// Whether the remote queries of this connector share a snapshot; `default` is the connector's own option.
    pub fn shares_snapshot(&self, connector: &str, default: bool) -> bool {
        self.snapshots.lock().get(connector).is_some_and(|wanted| wanted.unwrap_or(default))
    }
    /// What a source keeps for this query: made at the first call, dropped with the query.
    pub fn shared<T: Any + Send + Sync + Default>(&self, connector: &str) -> Arc<T> {
        let mut all = self.shared.lock();
        let kept = all.entry(connector.to_string()).or_insert_with(|| Arc::new(T::default())).clone();
        // One type a connector: another would be a mistake of the source, and gets one that nobody shares.
        kept.downcast().unwrap_or_default()
    }
    /// A source works for the query still, or keeps something for it.
    pub fn keeps_sources_busy(&self) -> bool {
        self.remotes.lock().iter().any(|r| !r.is_done()) || !self.shared.lock().is_empty()
    }
    /// All rows have been read: what sources keep for the query may go, although it lives on.
    pub fn leave_sources(&self) {
        let kept = std::mem::take(&mut *self.shared.lock());
        drop(kept);
    }
    /// Takes what has come since the last call.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock())
    }
    /// Registers a remote query's counters.
    pub fn add_remote(&self, stats: Arc<RemoteStats>) {
        self.remotes.lock().push(stats);
    }
    /// A remote query of a connector failed: does the error say that the plan rests on a schema that is no more? `own_text`: the text was made
    /// from the plan, so that names and types in it that do not exist are the plan's fault; in a user's own text they are the user's.
    pub fn look_for_change(&self, connector: &str, error: &DataFusionError, own_text: bool) {
        let Some(e) = SqlError::inside(error) else { return };
        let code = e.state.0;
        let of_plan = e.state != SqlState::INSUFFICIENT_PRIVILEGE
            && (code.starts_with("42") || matches!(e.state, SqlState::INVALID_SCHEMA_NAME | SqlState::INVALID_TEXT_REPRESENTATION));
        if e.state == SqlState::FDW_INCONSISTENT_DESCRIPTOR || (own_text && of_plan) {
            self.changed.lock().insert(connector.to_string());
        }
    }
    /// The connectors whose schema is to be read again, since the last call.
    pub fn take_changed(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.changed.lock())
    }
    /// The remote queries so far.
    pub fn remotes(&self) -> Vec<Arc<RemoteStats>> {
        self.remotes.lock().clone()
    }
}

/// Counters of one remote query, filled by the reader, read by the summary, EXPLAIN ANALYZE and `sys.remote_queries`.
#[derive(Debug)]
pub struct RemoteStats {
    /// The connector.
    pub connector: String,
    /// The text that was sent; set at the first poll, when dynamic filters are known.
    text: Mutex<Option<String>>,
    started: Mutex<Option<Instant>>,
    rows: AtomicU64,
    bytes: AtomicU64,
    splits: AtomicU64,
    first_row_us: AtomicU64,
    total_us: AtomicU64,
    done: AtomicBool,
    cancelled: AtomicBool,
    error: Mutex<Option<String>>,
}

impl RemoteStats {
    /// Counters at zero.
    pub fn new(connector: impl Into<String>) -> Arc<RemoteStats> {
        Arc::new(RemoteStats {
            connector: connector.into(),
            text: Mutex::default(),
            started: Mutex::default(),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            splits: AtomicU64::new(1),
            first_row_us: AtomicU64::new(u64::MAX),
            total_us: AtomicU64::new(0),
            done: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            error: Mutex::default(),
        })
    }
    /// The query is sent now.
    pub fn sent(&self, text: impl Into<String>) {
        *self.text.lock() = Some(text.into());
        *self.started.lock() = Some(Instant::now());
    }
    /// It is read in so many parts.
    pub fn split(&self, parts: usize) {
        self.splits.store(parts as u64, Ordering::Relaxed);
    }
    /// The parts in which it is read; 1: as a whole.
    pub fn splits(&self) -> u64 {
        self.splits.load(Ordering::Relaxed)
    }
    /// A batch came.
    pub fn batch(&self, rows: usize, bytes: usize) {
        if rows > 0 && self.first_row_us.load(Ordering::Relaxed) == u64::MAX {
            self.first_row_us.store(self.elapsed_us(), Ordering::Relaxed);
        }
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    /// It has ended well.
    pub fn finished(&self) {
        self.end(false, None);
    }
    /// It was cancelled (or its reader was dropped early).
    pub fn cancelled(&self) {
        self.end(true, None);
    }
    /// It failed.
    pub fn failed(&self, error: impl Into<String>) {
        self.end(false, Some(error.into()));
    }
    fn end(&self, cancelled: bool, error: Option<String>) {
        if !self.done.swap(true, Ordering::SeqCst) {
            self.total_us.store(self.elapsed_us(), Ordering::Relaxed);
            self.cancelled.store(cancelled, Ordering::Relaxed);
            *self.error.lock() = error;
        }
    }
    fn elapsed_us(&self) -> u64 {
        self.started.lock().map_or(0, |s| u64::try_from(s.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
    /// What was sent.
    pub fn text(&self) -> Option<String> {
        self.text.lock().clone()
    }
    /// Rows read.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
    /// Bytes read from the wire.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
    /// From sending to the first row.
    pub fn time_to_first_row(&self) -> Option<Duration> {
        Some(self.first_row_us.load(Ordering::Relaxed)).filter(|v| *v != u64::MAX).map(Duration::from_micros)
    }
    /// From sending to the end, or until now.
    pub fn total(&self) -> Duration {
        Duration::from_micros(if self.is_done() { self.total_us.load(Ordering::Relaxed) } else { self.elapsed_us() })
    }
    /// It has ended.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
    /// It ended by a cancel.
    pub fn was_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
    /// Its error.
    pub fn error(&self) -> Option<String> {
        self.error.lock().clone()
    }
}
