//! Who is connected: the registry behind CancelRequest, `pg_stat_activity` and the connection limit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::time::SystemTime;

use fjord_engine::{Result, SqlError, SqlState};
use parking_lot::{Mutex, RwLock};
use rand::Rng;
use tokio_util::sync::CancellationToken;

/// Characters of a statement's text that are shown, as Postgres's `track_activity_query_size`.
const QUERY_CHARS_MAX: usize = 1024;

/// All sessions of one server.
#[derive(Debug)]
pub struct SessionRegistry {
    sessions: RwLock<BTreeMap<i32, Arc<SessionEntry>>>,
    next_pid: AtomicI32,
    max: usize,
    /// Of one role.
    max_per_role: usize,
    started: SystemTime,
}

/// One session, from its startup packet to its end.
#[derive(Debug)]
pub struct SessionEntry {
    /// The process id shown to the client.
    pub pid: i32,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// `127.0.0.1:40000`, or empty in process.
    pub client: String,
    /// When it began.
    pub started: SystemTime,
    /// Encrypted.
    pub tls: bool,
    secret: Vec<u8>,
    activity: Mutex<Activity>,
    running: Mutex<Option<CancellationToken>>,
    stop: CancellationToken,
    why: AtomicU8,
}

/// What a session does.
#[derive(Debug, Clone)]
pub struct Activity {
    /// Its state.
    pub state: SessionState,
    /// The running statement, or the last one; secrets removed.
    pub query: String,
    /// The client's name for itself.
    pub application_name: String,
    /// When the statement began.
    pub query_start: Option<SystemTime>,
    /// When the transaction began.
    pub transaction_start: Option<SystemTime>,
    /// When `state` changed.
    pub state_change: SystemTime,
}

/// `pg_stat_activity.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Runs a statement.
    Active,
    /// Waits for one.
    Idle,
    /// Waits for one in a transaction block.
    IdleInTransaction,
    /// Waits for one in a failed transaction block.
    IdleInTransactionAborted,
}

impl SessionState {
    /// Postgres's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            SessionState::Active => "active",
            SessionState::Idle => "idle",
            SessionState::IdleInTransaction => "idle in transaction",
            SessionState::IdleInTransactionAborted => "idle in transaction (aborted)",
        }
    }
}

/// Why a running statement was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// CancelRequest, or pg_cancel_backend.
    User,
    /// statement_timeout.
    Timeout,
    /// The client has gone: there is nobody to tell.
    ClientGone,
    /// The server stops, or pg_terminate_backend.
    Shutdown,
}

impl CancelReason {
    /// What the client reads.
    pub fn error(self) -> SqlError {
        match self {
            CancelReason::User => SqlError::cancelled(),
            CancelReason::Timeout => SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"),
            CancelReason::ClientGone => SqlError::new(SqlState::CONNECTION_FAILURE, "connection to client lost"),
            CancelReason::Shutdown => SqlError::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command"),
        }
    }
}

impl SessionRegistry {
    /// A registry for at most `max` sessions.
    pub fn new(max: usize) -> Arc<SessionRegistry> {
        SessionRegistry::limited(max, max)
    }
    /// The same, of which one role may have at most `max_per_role`.
    pub fn limited(max: usize, max_per_role: usize) -> Arc<SessionRegistry> {
        // Process ids start at random, so that a client's stale key of a server that has restarted does not hit a new session's pid.
        let first = rand::rng().random_range(1_000..1_000_000);
        Arc::new(SessionRegistry {
            sessions: RwLock::default(),
            next_pid: AtomicI32::new(first),
            max,
            max_per_role,
            started: SystemTime::now(),
        })
    }
    /// When the server began.
    pub fn started(&self) -> SystemTime {
        self.started
    }
    /// Adds a session, or 53300 where the limit is met. `secret_len`: 4 in protocol 3.0, more in 3.2.
    pub fn open(self: &Arc<Self>, who: Who, secret_len: usize) -> Result<SessionGuard> {
        let mut secret = vec![0; secret_len];
        rand::rng().fill(&mut secret[..]);
        let mut sessions = self.sessions.write();
        if sessions.len() >= self.max {
            return Err(SqlError::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
                .detail(format!("{} of {} connections are in use.", sessions.len(), self.max))
                .hint("Close idle clients, or raise max_connections in fjord.toml."));
        }
        let of_role = sessions.values().filter(|s| s.user == who.user).count();
        if of_role >= self.max_per_role {
            return Err(SqlError::new(SqlState::TOO_MANY_CONNECTIONS, format!("too many connections for role \"{}\"", who.user))
                .detail(format!("{of_role} of {} connections of the role are in use.", self.max_per_role))
                .hint("Close idle clients, or raise max_connections_per_role in fjord.toml."));
        }
        let pid = loop {
            let pid = self.next_pid.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if pid > 0 && !sessions.contains_key(&pid) {
                break pid;
            }
        };
        let now = SystemTime::now();
        let entry = Arc::new(SessionEntry {
            pid,
            user: who.user,
            database: who.database,
            client: who.client,
            started: now,
            tls: who.tls,
            secret,
            activity: Mutex::new(Activity {
                state: SessionState::Idle,
                query: String::new(),
                application_name: who.application_name,
                query_start: None,
                transaction_start: None,
                state_change: now,
            }),
            running: Mutex::default(),
            stop: CancellationToken::new(),
            why: AtomicU8::new(0),
        });
        sessions.insert(pid, entry.clone());
        Ok(SessionGuard { registry: self.clone(), entry })
    }
    /// The most sessions there may be.
    pub fn max(&self) -> usize {
        self.max
    }
    /// All sessions, by process id.
    pub fn list(&self) -> Vec<Arc<SessionEntry>> {
        self.sessions.read().values().cloned().collect()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.read().len()
    }
    /// None.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// CancelRequest. A wrong key is ignored without a word, as in Postgres: an answer would help to guess.
    pub fn cancel_by_key(&self, pid: i32, secret: &[u8]) {
        let entry = self.sessions.read().get(&pid).cloned();
        if let Some(e) = entry
            && same(&e.secret, secret)
        {
            e.cancel(CancelReason::User);
        }
    }
    /// Cancels the running statement of a session (`pg_cancel_backend`); false where there is no such session.
    pub fn cancel(&self, pid: i32) -> bool {
        let entry = self.sessions.read().get(&pid).cloned();
        entry.is_some_and(|e| {
            e.cancel(CancelReason::User);
            true
        })
    }
    /// Ends a session (`pg_terminate_backend`); false where there is no such session.
    pub fn terminate(&self, pid: i32) -> bool {
        let entry = self.sessions.read().get(&pid).cloned();
        entry.is_some_and(|e| {
            e.terminate();
            true
        })
    }
}

/// Compares in a time that tells nothing about where two keys differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |odd, (x, y)| odd | (x ^ y)) == 0
}

/// Who opens a session.
#[derive(Debug, Clone)]
pub struct Who {
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The client's address.
    pub client: String,
    /// The client's name for itself.
    pub application_name: String,
    /// Encrypted.
    pub tls: bool,
}

impl SessionEntry {
    /// The key that CancelRequest must show.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
    /// What it does now.
    pub fn activity(&self) -> Activity {
        self.activity.lock().clone()
    }
    /// A statement begins. `query` must have no secrets in it.
    pub fn begin(&self, query: &str, token: CancellationToken) {
        self.why.store(0, Ordering::SeqCst);
        *self.running.lock() = Some(token);
        let mut a = self.activity.lock();
        let now = SystemTime::now();
        a.query.clear();
        a.query.extend(query.chars().take(QUERY_CHARS_MAX));
        a.query_start = Some(now);
        a.state_change = now;
        a.state = SessionState::Active;
        if a.transaction_start.is_none() {
            a.transaction_start = Some(now);
        }
    }
    /// The statement has ended: there is nothing to cancel any more.
    pub fn end(&self) {
        *self.running.lock() = None;
    }
    /// Waits for the client again.
    pub fn idle(&self, state: SessionState) {
        let mut a = self.activity.lock();
        a.state = state;
        a.state_change = SystemTime::now();
        if state == SessionState::Idle {
            a.transaction_start = None;
        }
    }
    /// SET application_name.
    pub fn rename(&self, application_name: &str) {
        self.activity.lock().application_name = application_name.to_string();
    }
    /// Cancels the running statement, if there is one. The first reason wins.
    pub fn cancel(&self, reason: CancelReason) {
        let running = self.running.lock();
        if let Some(token) = &*running {
            let code = reason as u8 + 1;
            let _ = self.why.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
            token.cancel();
        }
    }
    /// Why the running statement was cancelled.
    pub fn cancel_reason(&self) -> CancelReason {
        match self.why.load(Ordering::SeqCst) {
            2 => CancelReason::Timeout,
            3 => CancelReason::ClientGone,
            4 => CancelReason::Shutdown,
            _ => CancelReason::User,
        }
    }
    /// Cancels and ends the session.
    pub fn terminate(&self) {
        self.stop.cancel();
        self.cancel(CancelReason::Shutdown);
    }
    /// Cancelled when the session shall end.
    pub fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }
}

/// Holds a session's place; dropping it takes the session off the list, on whatever way it ends.
#[derive(Debug)]
pub struct SessionGuard {
    registry: Arc<SessionRegistry>,
    /// The session.
    pub entry: Arc<SessionEntry>,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.registry.sessions.write().remove(&self.entry.pid);
    }
}
