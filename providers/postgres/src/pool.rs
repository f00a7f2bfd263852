//! Connections of one connector: a bounded number, a bounded wait, and none that is in an unknown state.
//!
//! Bounds: at most `pool_size` connections are open (idle ones, and those that are being cancelled, counted in); a query waits at most
//! `pool_timeout` for one. A connection goes back to the pool only when its query has ended by itself; any other end cancels the query at the
//! server and closes the connection.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fjord_engine::source::PoolStatus;
use fjord_engine::{Result, SqlError, SqlState};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, Config, NoTls};
use tracing::debug;

use crate::error::Origin;
use crate::options::{PostgresOptions, SslMode};
use crate::reader::Statements;
use crate::tls::MakeTls;

/// An idle connection older than this is not used again: firewalls forget it silently.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// The longest that a cancel request, and then the end of the cancelled connection, is waited for.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

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
            None => (self.connect().await?, false),
        };
        Ok(Connection { open: Some(open), permit: Some(permit), reused, pool: self.clone() })
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

    async fn connect(&self) -> Result<Open> {
        let limit = self.options.connect_timeout.max(Duration::from_millis(1));
        match tokio::time::timeout(limit, self.connect_unbounded()).await {
            Ok(result) => result,
            Err(_) => Err(self
                .origin
                .error(SqlState::CONNECTION_UNABLE, format!("could not connect to {} within {limit:?}", self.origin.location))
                .hint("Check that the source runs and is reachable, or raise \"connect_timeout\".")),
        }
    }

    async fn connect_unbounded(&self) -> Result<Open> {
        let config = self.config(&self.resolve().await?);
        let open = match &self.tls {
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(|e| self.origin.connecting(&e))?;
                self.learn(|name| connection.parameter(name).map(str::to_string));
                Open { client, task: tokio::spawn(drive(connection, self.origin.connector.clone())), statements: Statements::default() }
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await.map_err(|e| self.origin.connecting(&e))?;
                self.learn(|name| connection.parameter(name).map(str::to_string));
                Open { client, task: tokio::spawn(drive(connection, self.origin.connector.clone())), statements: Statements::default() }
            }
        };
        let settings = self.settings();
        // One round trip for both. The second is a courtesy that some platforms do not have: its failure is none.
        let (set, _) =
            tokio::join!(open.client.batch_execute(&settings), open.client.batch_execute("SET client_connection_check_interval = '5s'"));
        set.map_err(|e| self.origin.connecting(&e))?;
        Ok(open)
    }

    /// The addresses of the host, each of them allowed. They are what is connected to: resolved again, a name could lead elsewhere.
    async fn resolve(&self) -> Result<Vec<IpAddr>> {
        let host = self.options.host.as_str();
        if host.starts_with('/') {
            return Ok(vec![]);
        }
        let found = tokio::net::lookup_host((host, self.options.port)).await.map_err(|e| {
            self.origin
                .error(SqlState::CONNECTION_UNABLE, format!("could not connect to {}: {e}", self.origin.location))
                .hint("Check \"host\" and \"port\", that the source runs, and that a firewall lets it through.")
        })?;
        let mut all: Vec<IpAddr> = vec![];
        for address in found.map(|a| a.ip()) {
            self.options.addresses.check(host, address)?;
            if !all.contains(&address) {
                all.push(address);
            }
        }
        Ok(all)
    }

    fn config(&self, addresses: &[IpAddr]) -> Config {
        let o = &self.options;
        let mut config = Config::new();
        if o.host.starts_with('/') {
            config.host_path(&o.host);
        }
        for address in addresses {
            // The name is what a certificate is checked against.
            config.host(&o.host).hostaddr(*address);
        }
        config.port(o.port).user(&o.user).dbname(&o.database).application_name(&o.application_name);
        config.connect_timeout(o.connect_timeout.max(Duration::from_millis(1)));
        // A peer that vanished without a word is noticed within two minutes, one that does not acknowledge what we sent within half of one.
        config.keepalives_idle(Duration::from_secs(60)).keepalives_interval(Duration::from_secs(10)).keepalives_retries(6);
        config.tcp_user_timeout(Duration::from_secs(30));
        if let Some(p) = &o.password {
            config.password(p.expose());
        }
        config.ssl_mode(match o.sslmode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            _ => tokio_postgres::config::SslMode::Require,
        });
        config
    }

    /// What every session is pinned to, so that a role's own settings cannot change an answer. An empty search_path keeps operators and types of
    /// other schemas from standing in for those that the remote text means.
    fn settings(&self) -> String {
        let mut text = String::from(
            "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 3; \
             SET bytea_output = 'hex'; SET standard_conforming_strings = on; SET search_path = ''; SET default_transaction_read_only = on",
        );
        if let Some(t) = self.options.statement_timeout {
            text.push_str(&format!("; SET statement_timeout = {}", t.as_millis().min(i32::MAX as u128)));
        }
        text
    }

    fn learn(&self, parameter: impl Fn(&str) -> Option<String>) {
        let version = parameter("server_version").unwrap_or_default();
        let facts =
            ServerFacts { version_num: version_number(&version), version, encoding: parameter("server_encoding").unwrap_or_default() };
        *self.facts.write() = Some(facts);
    }
}

async fn drive<C>(connection: C, connector: String)
where
    C: std::future::Future<Output = Result<(), tokio_postgres::Error>>,
{
    if let Err(e) = connection.await {
        debug!(connector, error = %e, "a connection to the source ended");
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
}

impl Connection {
    /// The driver's client. `None` only after release, which takes the connection away.
    pub(crate) fn client(&self) -> Result<&Client> {
        self.open.as_ref().map(|o| &o.client).ok_or_else(|| SqlError::internal("a released connection was used"))
    }

    /// The prepared statements of its session.
    pub(crate) fn statements(&mut self) -> Result<&mut Statements> {
        self.open.as_mut().map(|o| &mut o.statements).ok_or_else(|| SqlError::internal("a released connection was used"))
    }

    /// Its query has ended by itself: others may use it.
    pub(crate) fn release(mut self) {
        let Some(open) = self.open.take() else { return };
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
        let permit = self.permit.take();
        let token = open.client.cancel_token();
        let tls = self.pool.tls.clone();
        match tokio::runtime::Handle::try_current() {
            // The permit is held until the server has let go: else cancelled queries would pile up there beyond pool_size.
            Ok(runtime) => drop(runtime.spawn(cancel(open, token, tls, permit))),
            Err(_) => open.task.abort(),
        }
    }
}

async fn cancel(open: Open, token: CancelToken, tls: Option<MakeTls>, permit: Option<OwnedSemaphorePermit>) {
    let request = async {
        match tls {
            None => token.cancel_query(NoTls).await,
            Some(tls) => token.cancel_query(tls).await,
        }
    };
    if !matches!(tokio::time::timeout(CANCEL_WAIT, request).await, Ok(Ok(()))) {
        debug!("a cancel request did not reach the source");
    }
    let Open { client, mut task, statements } = open;
    // Without a client the connection's task reads what is still under way, says goodbye and ends.
    drop((statements, client));
    if tokio::time::timeout(CANCEL_WAIT, &mut task).await.is_err() {
        task.abort();
    }
    drop(permit);
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
