//! Connections of one connector: a bounded number, a bounded wait, and none that is in an unknown state.
//!
//! Bounds: at most `pool_size` connections are open (idle ones, and those that are being cancelled, counted in); a query waits at most
//! `pool_timeout` for one. A connection goes back to the pool only when its query has ended by itself; any other end kills the query at the
//! server and closes the connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fjord_engine::source::PoolStatus;
use fjord_engine::{Result, SqlError, SqlState};
use parking_lot::{Mutex, RwLock};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

use crate::error::Origin;
use crate::options::{MySqlOptions, SslMode};
use crate::tls::MakeTls;
use crate::wire::{Bytes, Conn, Login, ServerFacts};

/// An idle connection older than this is not used again: firewalls forget it silently.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Connections beyond a query's first are only taken while so many of the pool's would stay free for others.
const SPARE_MIN: usize = 1;
/// The longest that a KILL is waited for.
const CANCEL_WAIT: Duration = Duration::from_secs(5);
/// The longest that a goodbye is waited for.
const QUIT_WAIT: Duration = Duration::from_millis(500);
/// A peer that vanished without a word is noticed within two minutes, one that does not acknowledge what we sent within half of one.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 6;
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// Bytes of a text that take part in a sort, set for each session: what is declared longer is not sorted there (`dialect/keys.rs`).
pub(crate) const SORT_BYTES: usize = 4_096;
/// How long the server waits for a reader that does not read, in seconds. By default it gives up after 60, in the middle of a result.
const WRITE_TIMEOUT_SECONDS: u32 = 1_800;

/// The pool of one connector.
pub(crate) struct Pool {
    origin: Origin,
    options: Arc<MySqlOptions>,
    tls: Option<MakeTls>,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    facts: RwLock<Option<ServerFacts>>,
    closed: AtomicBool,
}

struct Idle {
    conn: Conn,
    since: Instant,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?})", self.options)
    }
}

impl Pool {
    /// A pool without connections. Reads certificate files.
    pub(crate) fn new(origin: Origin, options: Arc<MySqlOptions>) -> Result<Arc<Pool>> {
        let tls = match options.sslmode {
            SslMode::Disable => None,
            _ => Some(MakeTls::new(&origin, &options)?),
        };
        let permits = Arc::new(Semaphore::new(options.pool_size as usize));
        let closed = AtomicBool::new(false);
        Ok(Arc::new(Pool { origin, options, tls, permits, idle: Mutex::default(), facts: RwLock::default(), closed }))
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
                let what = format!(
                    "no free connection to {} within {:?}: {} of {} in use",
                    self.origin.location, self.options.pool_timeout, status.in_use, status.max
                );
                return Err(self
                    .origin
                    .error(SqlState::TOO_MANY_CONNECTIONS, what)
                    .hint("Raise \"pool_size\" or \"pool_timeout\" of the connector, or run fewer queries at a time."));
            }
        };
        if self.closed.load(Ordering::SeqCst) {
            return Err(self.closed_error());
        }
        let (conn, reused) = match self.take_idle() {
            Some(conn) => (conn, true),
            None => (self.connect().await?, false),
        };
        Ok(Connection { conn: Some(conn), permit: Some(permit), reused, busy: false, pool: self.clone() })
    }

    /// A connection for more than one at a time: only one that is free now, and only while others find one too. `None` is no failure.
    pub(crate) async fn acquire_extra(self: &Arc<Self>) -> Option<Connection> {
        if self.permits.available_permits() <= SPARE_MIN {
            return None;
        }
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let (conn, reused) = match self.take_idle() {
            Some(conn) => (conn, true),
            None => (self.connect().await.ok()?, false),
        };
        Some(Connection { conn: Some(conn), permit: Some(permit), reused, busy: false, pool: self.clone() })
    }

    /// The same, but a connection that had been idle is asked first: for callers that do not send their statement twice.
    pub(crate) async fn acquire_alive(self: &Arc<Self>) -> Result<Connection> {
        let mut connection = self.acquire().await?;
        if !connection.reused {
            return Ok(connection);
        }
        let alive = tokio::time::timeout(self.options.connect_timeout, connection.conn()?.ping()).await;
        if matches!(alive, Ok(Ok(()))) {
            return Ok(connection);
        }
        self.forget_idle();
        drop(connection);
        self.acquire().await
    }

    /// Closes the idle connections: one of them turned out to be dead, so the others probably are (the server was restarted).
    pub(crate) fn forget_idle(&self) {
        self.idle.lock().clear();
    }

    /// Refuses new connections and closes idle ones.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.permits.close();
        for idle in std::mem::take(&mut *self.idle.lock()) {
            goodbye(idle.conn);
        }
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

    fn take_idle(&self) -> Option<Conn> {
        let mut idle = self.idle.lock();
        // The one used last is the most likely to be alive; whatever is too old is dropped on the way.
        idle.retain(|i| i.since.elapsed() < IDLE_MAX);
        idle.pop().map(|i| i.conn)
    }

    async fn connect(&self) -> Result<Conn> {
        let limit = self.options.connect_timeout.max(Duration::from_millis(1));
        match tokio::time::timeout(limit, self.connect_unbounded()).await {
            Ok(result) => result,
            Err(_) => Err(self
                .origin
                .error(SqlState::CONNECTION_UNABLE, format!("could not connect to {} within {limit:?}", self.origin.location))
                .hint("Check that the source runs and is reachable, or raise \"connect_timeout\".")),
        }
    }

    async fn connect_unbounded(&self) -> Result<Conn> {
        let mut conn = self.login().await?;
        let settings = self.settings(conn.facts.mariadb);
        conn.query(&settings).await.map_err(|e| self.origin.connecting(&e))?;
        // A statement of its own: the two servers name the variable differently. Reading only is what this session is for.
        conn.query("SET SESSION TRANSACTION READ ONLY").await.map_err(|e| self.origin.connecting(&e))?;
        *self.facts.write() = Some(conn.facts.clone());
        Ok(conn)
    }

    async fn login(&self) -> Result<Conn> {
        let o = &self.options;
        let login = Login {
            user: &o.user,
            password: o.password.as_ref().map(|p| p.expose()),
            database: o.database.as_deref(),
            program: &o.application_name,
            tls: self.tls.as_ref().map(|t| (t, o.host.as_str())),
            local: o.is_socket(),
        };
        Conn::login(self.socket().await?, &login).await.map_err(|e| self.origin.connecting(&e))
    }

    async fn socket(&self) -> Result<Box<dyn Bytes>> {
        let unreachable = |e: io::Error| self.origin.unreachable(&e.to_string());
        if self.options.is_socket() {
            return Ok(Box::new(UnixStream::connect(&self.options.host).await.map_err(unreachable)?));
        }
        let stream = TcpStream::connect(self.resolve().await?.as_slice()).await.and_then(prepared);
        Ok(Box::new(stream.map_err(unreachable)?))
    }

    /// The addresses of the host, each of them allowed. They are what is connected to: resolved again, a name could lead elsewhere.
    async fn resolve(&self) -> Result<Vec<SocketAddr>> {
        let host = self.options.host.as_str();
        let found = tokio::net::lookup_host((host, self.options.port)).await.map_err(|e| self.origin.unreachable(&e.to_string()))?;
        let mut all: Vec<SocketAddr> = vec![];
        for address in found {
            self.options.addresses.check(host, address.ip())?;
            if !all.contains(&address) {
                all.push(address);
            }
        }
        Ok(all)
    }

    /// What every session is pinned to, so that a server's or a user's own settings cannot change an answer.
    fn settings(&self, mariadb: bool) -> String {
        let mut text = format!(
            "SET NAMES utf8mb4 COLLATE utf8mb4_bin, \
             SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', \
             SESSION time_zone = '+00:00', \
             SESSION max_sort_length = {SORT_BYTES}, \
             SESSION sql_auto_is_null = 0, \
             SESSION sql_safe_updates = 0, \
             SESSION sql_select_limit = 18446744073709551615, \
             SESSION net_write_timeout = {WRITE_TIMEOUT_SECONDS}"
        );
        if mariadb {
            // It keeps a subquery's outcome by the value of a column, compared by the column's collation: `a ` gets what was found for `A`.
            text.push_str(", SESSION optimizer_switch = 'subquery_cache=off'");
        }
        if let Some(t) = self.options.statement_timeout {
            match mariadb {
                true => text.push_str(&format!(", SESSION max_statement_time = {:.3}", t.as_secs_f64())),
                false => text.push_str(&format!(", SESSION max_execution_time = {}", t.as_millis().clamp(1, u128::from(u32::MAX)))),
            }
        }
        text
    }

    /// Asks the server, on a connection beside the pool's, to stop what runs on another.
    async fn kill(&self, id: u32) -> Result<()> {
        let mut conn = self.login().await?;
        // Not found: it has ended by itself.
        let outcome = conn.query(&format!("KILL QUERY {id}")).await;
        conn.quit().await;
        outcome.map(|_| ()).map_err(|e| self.origin.running(&e))
    }
}

fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(stream)
}

/// A connection in use. Dropped without [`Connection::release`] it kills whatever runs and is closed.
pub(crate) struct Connection {
    conn: Option<Conn>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
    /// It was idle before, so it may have died unseen.
    pub reused: bool,
    /// Something runs on it.
    pub busy: bool,
}

impl Connection {
    /// The session. Gone only after release, which takes the connection away.
    pub(crate) fn conn(&mut self) -> Result<&mut Conn> {
        self.conn.as_mut().ok_or_else(|| SqlError::internal("a released connection was used"))
    }

    /// Its query has ended by itself: others may use it.
    pub(crate) fn release(mut self) {
        if self.busy {
            return;
        }
        let Some(conn) = self.conn.take() else { return };
        if !self.pool.closed.load(Ordering::SeqCst) {
            self.pool.idle.lock().push(Idle { conn, since: Instant::now() });
        }
        // The permit goes after the push: otherwise somebody could connect anew and exceed the bound.
        drop(self.permit.take());
    }

    /// The connection is gone, and with it what ran: no KILL, because a server that was started again may have given its number to somebody else.
    pub(crate) fn abandon(mut self) {
        self.conn = None;
    }

    /// Nothing runs, but nobody may use it again (its session's state is unknown).
    pub(crate) fn discard(mut self) {
        if let Some(conn) = self.conn.take() {
            goodbye(conn);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if !self.busy {
            goodbye(conn);
            return;
        }
        let (pool, permit) = (self.pool.clone(), self.permit.take());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // The permit is held until the server has been told: else cancelled queries would pile up there beyond pool_size.
            drop(runtime.spawn(async move {
                let id = conn.id;
                if !matches!(tokio::time::timeout(CANCEL_WAIT, pool.kill(id)).await, Ok(Ok(()))) {
                    debug!(connector = pool.origin.connector, "a KILL QUERY did not reach the source, or came too late");
                }
                drop(conn);
                drop(permit);
            }));
        }
    }
}

/// Tells the server that the session ends, without waiting for it.
fn goodbye(mut conn: Conn) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(async move {
            let _ = tokio::time::timeout(QUIT_WAIT, conn.quit()).await;
        }));
    }
}
