//! Connections of one connector: a bounded number, a bounded wait, and none that is in an unknown state.
//!
//! Bounds: at most `pool_size` connections are open (idle ones, and those that are being cancelled, counted in); a query waits at most
//! `pool_timeout` for one. A connection goes back to the pool only when its query has ended by itself; any other end cancels the query at the
//! server and closes the connection.

mod connect;
mod tap;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fjord_engine::source::PoolStatus;
use fjord_engine::{Result, SqlError, SqlState};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::Client;

use crate::error::Origin;
use crate::options::{Pooler, PostgresOptions, SslMode};
use crate::reader::Statements;
use crate::tls::MakeTls;
pub(crate) use connect::OWN_PATH;
pub(crate) use tap::{Piece, READ_AHEAD_BYTES, Wire};

/// An idle connection older than this is not used again: firewalls forget it silently.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Connections beyond a query's first are only taken while so many of the pool's would stay free for others.
const SPARE_MIN: usize = 1;

/// What the server said of itself when a connection was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerFacts {
    /// As `server_version` shows it (`15.18 (Debian 15.18-1)`).
    pub version: String,
    /// `150018`.
    pub version_num: u32,
    /// `UTF8`.
    pub encoding: String,
}

/// The pool of one connector.
pub(crate) struct Pool {
    origin: Origin,
    options: Arc<PostgresOptions>,
    tls: Option<MakeTls>,
    permits: Arc<Semaphore>,
    /// Where connections live: on the runtime on which the connector was opened, the wire's. A query that computes elsewhere must not keep a
    /// connection of its own waiting, nor one that others use after it. `None` outside of any.
    home: Option<Handle>,
    idle: Mutex<Vec<Idle>>,
    facts: RwLock<Option<ServerFacts>>,
    closed: AtomicBool,
}

struct Idle {
    open: Open,
    since: Instant,
}

struct Open {
    client: Client,
    task: JoinHandle<()>,
    wire: Wire,
    /// Prepared statements of lookups.
    statements: Statements,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?})", self.options)
    }
}

impl Pool {
    /// A pool without connections. Reads certificate files.
    pub(crate) fn new(origin: Origin, options: Arc<PostgresOptions>) -> Result<Arc<Pool>> {
        let tls = match options.sslmode {
            SslMode::Disable => None,
            _ => Some(MakeTls::new(&origin, &options)?),
        };
        let permits = Arc::new(Semaphore::new(options.pool_size as usize));
        Ok(Arc::new(Pool {
            origin,
            options,
            tls,
            permits,
            home: Handle::try_current().ok(),
            idle: Mutex::default(),
            facts: RwLock::default(),
            closed: AtomicBool::new(false),
        }))
    }

    /// What is known of the server since the last connection was made.
    pub(crate) fn facts(&self) -> Option<ServerFacts> {
        self.facts.read().clone()
    }

    /// Takes an idle connection or makes one.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<Connection> {
        let permit = match tokio::time::timeout(self.options.pool_timeout, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(self.closed_error()),
            Err(_) => {
                let status = self.status();
                return Err(self
                    .origin
                    .error(
                        SqlState::TOO_MANY_CONNECTIONS,
                        format!(
                            "no free connection to {} within {:?}: {} of {} in use",
                            self.origin.location, self.options.pool_timeout, status.in_use, status.max
                        ),
                    )
                    .hint("Raise \"pool_size\" or \"pool_timeout\" of the connector, or run fewer queries at a time."));
            }
        };
        if self.closed.load(Ordering::SeqCst) {
            return Err(self.closed_error());
        }
        let (open, reused) = match self.take_idle() {
            Some(open) => (open, true),
            None => (self.connect_at_home().await?, false),
        };
        Ok(Connection { open: Some(open), permit: Some(permit), reused, busy: false, pool: self.clone() })
    }

    /// Makes a connection, whose socket and task belong to `home`.
    async fn connect_at_home(self: &Arc<Self>) -> Result<Open> {
        let elsewhere = self.home.as_ref().filter(|home| Handle::try_current().is_ok_and(|here| here.id() != home.id()));
        let Some(home) = elsewhere else { return self.connect().await };
        let pool = self.clone();
        // Dropped, it is ended: nobody waits for the connection any more.
        let mut task = JoinSet::new();
        task.spawn_on(async move { pool.connect().await }, home);
        match task.join_next().await {
            Some(Ok(made)) => made,
            _ => Err(SqlError::internal("connecting ended without a result")),
        }
    }

    /// Does what is to outlive a query.
    pub(crate) fn detach(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        match self.home.clone().or_else(|| Handle::try_current().ok()) {
            Some(home) => {
                drop(home.spawn(work));
                true
            }
            None => false,
        }
    }

    /// A connection for more than one at a time: only one that is free now, and only while others find one too. `None` is no failure.
    pub(crate) async fn acquire_extra(self: &Arc<Self>) -> Option<Connection> {
        if self.permits.available_permits() <= SPARE_MIN {
            return None;
        }
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let (open, reused) = match self.take_idle() {
            Some(open) => (open, true),
            None => (self.connect_at_home().await.ok()?, false),
        };
        Some(Connection { open: Some(open), permit: Some(permit), reused, busy: false, pool: self.clone() })
    }

    /// The option `snapshot`.
    pub(crate) fn shares_snapshots(&self) -> bool {
        self.options.snapshot
    }

    /// Whether sessions are shared with others by a pooler in between.
    pub(crate) fn pooled(&self) -> bool {
        self.options.pooler == Pooler::Transaction
    }

    /// The same, but a connection that had been idle is asked first: for callers that do not send their statement twice.
    pub(crate) async fn acquire_alive(self: &Arc<Self>) -> Result<Connection> {
        let connection = self.acquire().await?;
        if !connection.reused {
            return Ok(connection);
        }
        let alive = tokio::time::timeout(self.options.connect_timeout, connection.client()?.check_connection()).await;
        if matches!(alive, Ok(Ok(()))) {
            return Ok(connection);
        }
        self.forget_idle();
        drop(connection);
        self.acquire().await
    }

    /// Closes the idle connections: one of them turned out to be dead, so the others probably are (the server was restarted).
    pub(crate) fn forget_idle(&self) {
        let dropped = std::mem::take(&mut *self.idle.lock());
        for idle in dropped {
            idle.open.task.abort();
        }
    }

    /// Refuses new connections and closes idle ones.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.permits.close();
        self.idle.lock().clear();
    }

    /// How many connections there are.
    pub(crate) fn status(&self) -> PoolStatus {
        let max = self.options.pool_size;
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(max);
        let idle = u32::try_from(self.idle.lock().len()).unwrap_or(max);
        PoolStatus { in_use: max.saturating_sub(free), idle, max }
    }

    fn closed_error(&self) -> SqlError {
        self.origin.error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "it is being closed")
    }

    fn take_idle(&self) -> Option<Open> {
        let mut idle = self.idle.lock();
        // The one used last is the most likely to be alive; whatever is too old or dead is dropped on the way.
        idle.retain(|i| i.since.elapsed() < IDLE_MAX && !i.open.client.is_closed());
        idle.pop().map(|i| i.open)
    }

    fn learn(&self, parameter: impl Fn(&str) -> Option<String>) {
        let version = parameter("server_version").unwrap_or_default();
        let facts =
            ServerFacts { version_num: version_number(&version), version, encoding: parameter("server_encoding").unwrap_or_default() };
        *self.facts.write() = Some(facts);
    }
}

/// `15.18 (Debian ...)` is 150018, `16beta1` is 160000.
fn version_number(version: &str) -> u32 {
    let digits = |s: &str| s.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().ok();
    let mut parts = version.split('.');
    let major = parts.next().and_then(digits).unwrap_or(0);
    let minor = parts.next().and_then(digits).unwrap_or(0);
    major.saturating_mul(10_000).saturating_add(minor)
}

/// A connection in use. Dropped without [`Connection::release`] it cancels whatever runs and is closed.
pub(crate) struct Connection {
    open: Option<Open>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
    /// It was idle before, so it may have died unseen.
    pub reused: bool,
    /// Something still runs on it: it is not for others.
    pub busy: bool,
}

impl Connection {
    /// The pool that it is of.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The driver's client. `None` only after release, which takes the connection away.
    pub(crate) fn client(&self) -> Result<&Client> {
        self.open.as_ref().map(|o| &o.client).ok_or_else(|| SqlError::internal("a released connection was used"))
    }

    /// The prepared statements of its session.
    pub(crate) fn statements(&mut self) -> Result<&mut Statements> {
        self.open.as_mut().map(|o| &mut o.statements).ok_or_else(|| SqlError::internal("a released connection was used"))
    }

    /// The driver's client, what a COPY on it sends, and whether something runs on it.
    pub(crate) fn parts(&mut self) -> Result<(&Client, &mut Wire, &mut bool)> {
        match self.open.as_mut() {
            Some(o) => Ok((&o.client, &mut o.wire, &mut self.busy)),
            None => Err(SqlError::internal("a released connection was used")),
        }
    }

    /// Its query has ended by itself: others may use it.
    pub(crate) fn release(mut self) {
        if self.busy {
            return;
        }
        let Some(mut open) = self.open.take() else { return };
        open.wire.describe(false);
        // Rows of a query whose statement has ended in an error: nobody wants them.
        while open.wire.take().is_some() {}
        if !open.client.is_closed() && !self.pool.closed.load(Ordering::SeqCst) {
            self.pool.idle.lock().push(Idle { open, since: Instant::now() });
        }
        // The permit goes after the push: otherwise somebody could connect anew and exceed the bound.
        drop(self.permit.take());
    }

    /// Nothing runs, but nobody may use it again (its session's state is unknown).
    pub(crate) fn discard(mut self) {
        drop(self.open.take());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open.client.is_closed() {
            return;
        }
        let (permit, task) = (self.permit.take(), open.task.abort_handle());
        // The permit is held until the server has let go: else cancelled queries would pile up there beyond pool_size.
        if !self.pool.detach(connect::cancel(self.pool.clone(), open, permit)) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn version_numbers() {
        assert_eq!(version_number("15.18 (Debian 15.18-1)"), 150_018);
        assert_eq!(version_number("16beta1"), 160_000);
        assert_eq!(version_number("14.2"), 140_002);
        assert_eq!(version_number(""), 0);
    }
}
