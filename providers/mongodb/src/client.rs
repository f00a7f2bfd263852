//! The client of one connector: made when it is first needed, a bounded number of queries, and a way to end one at the source.
//!
//! The driver finds servers, follows a new primary, logs in and pools connections. What is added here: at most `pool_size` queries at one time, each of
//! which waits at most `pool_timeout`; the addresses that may be connected to; and the end of a query that nobody reads any more: the driver kills its
//! cursor and closes the connection it was running on, and [`Running`] asks for what is left by the query's own comment and kills that.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{Document, doc};
use fjord_engine::source::PoolStatus;
use fjord_engine::{Result, SqlState};
use futures::StreamExt;
use mongodb::options::{AuthMechanism, ClientOptions, ReadPreference, SelectionCriteria, ServerAddress, Tls, TlsOptions};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tracing::debug;

use crate::error::Origin;
use crate::options::{MongoOptions, SslMode};

/// The longest that the end of a query is waited for.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// A query may be between two of the server's commands when it is looked for: again after this.
const KILL_AGAIN: Duration = Duration::from_millis(200);
/// An idle connection older than this is not used again: firewalls forget it silently.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// The client of one connector.
pub(crate) struct Client {
    origin: Origin,
    options: Arc<MongoOptions>,
    made: Mutex<Option<mongodb::Client>>,
    permits: Arc<Semaphore>,
    closed: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.options)
    }
}

/// The right to run one query.
pub(crate) struct Slot {
    /// The driver.
    pub client: mongodb::Client,
    _permit: OwnedSemaphorePermit,
}

impl Client {
    /// Without a connection.
    pub(crate) fn new(origin: Origin, options: Arc<MongoOptions>) -> Arc<Client> {
        let permits = Arc::new(Semaphore::new(options.pool_size as usize));
        Arc::new(Client { origin, options, made: Mutex::default(), permits, closed: AtomicBool::new(false) })
    }

    /// Waits until one more query may run.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<Slot> {
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
        Ok(Slot { client: self.get().await?, _permit: permit })
    }

    /// One more, if it need not be waited for.
    pub(crate) async fn try_acquire(self: &Arc<Self>) -> Option<Slot> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some(Slot { client: self.get().await.ok()?, _permit: permit })
    }

    /// How many queries there are.
    pub(crate) fn status(&self) -> PoolStatus {
        let max = self.options.pool_size;
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(max);
        PoolStatus { in_use: max.saturating_sub(free), idle: 0, max }
    }

    /// Refuses new queries and closes what is idle.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.permits.close();
        if let Some(client) = self.made.lock().await.take() {
            // Not waited for: running queries end by their own cancel.
            drop(tokio::spawn(async move {
                let _ = tokio::time::timeout(KILL_WAIT, client.shutdown()).await;
            }));
        }
    }

    fn closed_error(&self) -> fjord_engine::SqlError {
        self.origin.error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "it is being closed")
    }

    async fn get(&self) -> Result<mongodb::Client> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(self.closed_error());
        }
        let mut made = self.made.lock().await;
        if let Some(client) = made.as_ref() {
            return Ok(client.clone());
        }
        let options = self.driver_options().await?;
        self.check_addresses(&options.hosts).await?;
        let client = mongodb::Client::with_options(options).map_err(|e| self.origin.driver(&e))?;
        *made = Some(client.clone());
        Ok(client)
    }

    /// Each address that the hosts have now must be allowed. (The members that a replica set names later are its own word.)
    async fn check_addresses(&self, hosts: &[ServerAddress]) -> Result<()> {
        for host in hosts {
            let ServerAddress::Tcp { host, port } = host else { continue };
            if let Ok(ip) = host.parse::<IpAddr>() {
                self.options.addresses.check(host, ip)?;
                continue;
            }
            // A name that cannot be resolved is the driver's error.
            let Ok(found) = tokio::net::lookup_host((host.as_str(), port.unwrap_or(27017))).await else { continue };
            for address in found {
                self.options.addresses.check(host, address.ip())?;
            }
        }
        Ok(())
    }

    async fn driver_options(&self) -> Result<ClientOptions> {
        let o = &self.options;
        let mut d = match &o.url {
            Some(url) => {
                let parsed = tokio::time::timeout(o.connect_timeout, ClientOptions::parse(url.expose())).await;
                let late = || self.origin.error(SqlState::CONNECTION_UNABLE, format!("{} was not resolved in time", o.location()));
                parsed.map_err(|_| late())?.map_err(|e| self.origin.driver(&e))?
            }
            None => ClientOptions::default(),
        };
        if o.hosts_given || !o.srv {
            d.hosts = o.hosts.clone();
        }
        d.app_name = Some(o.application_name.clone());
        d.repl_set_name = o.replica_set.clone().or(d.repl_set_name);
        if o.url.is_none() {
            // One host without a set's name is talked to, whatever it says of others: it may stand for a tunnel.
            d.direct_connection = Some(o.hosts.len() == 1 && o.replica_set.is_none());
        }
        d.connect_timeout = Some(o.connect_timeout);
        d.server_selection_timeout = Some(o.connect_timeout);
        d.max_pool_size = Some(o.pool_size + 2);
        d.max_idle_time = Some(IDLE_MAX);
        d.tls = match o.sslmode {
            SslMode::OfUrl => d.tls,
            SslMode::Disable => Some(Tls::Disabled),
            SslMode::Require | SslMode::VerifyFull => Some(Tls::Enabled(TlsOptions::default())),
        };
        if let Some(Tls::Enabled(tls)) = &mut d.tls {
            if o.sslmode == SslMode::Require {
                tls.allow_invalid_certificates = Some(o.sslrootcert.is_none());
            }
            if o.sslrootcert.is_some() {
                tls.ca_file_path = o.sslrootcert.clone();
            }
            if o.sslcert.is_some() {
                tls.cert_key_file_path = o.sslcert.clone();
            }
        }
        self.credential(&mut d)?;
        if let Some(p) = &o.read_preference {
            d.selection_criteria = Some(SelectionCriteria::ReadPreference(preference(p)));
        }
        Ok(d)
    }

    fn credential(&self, d: &mut ClientOptions) -> Result<()> {
        let o = &self.options;
        let by_certificate =
            o.auth_mechanism.is_none() && o.sslcert.is_some() && o.password.is_none() && d.credential.is_none() && o.user.is_none();
        let mechanism = match o.auth_mechanism.as_deref() {
            Some("SCRAM-SHA-256") => Some(AuthMechanism::ScramSha256),
            Some("SCRAM-SHA-1") => Some(AuthMechanism::ScramSha1),
            Some("MONGODB-X509") => Some(AuthMechanism::MongoDbX509),
            Some("PLAIN") => Some(AuthMechanism::Plain),
            _ if by_certificate => Some(AuthMechanism::MongoDbX509),
            _ => None,
        };
        if o.user.is_none() && mechanism.is_none() && d.credential.is_none() {
            return Ok(());
        }
        let mut c = d.credential.take().unwrap_or_default();
        if o.user.is_some() {
            c.username = o.user.clone();
        }
        if let Some(p) = &o.password {
            c.password = Some(p.expose().to_string());
        }
        if o.auth_source.is_some() {
            c.source = o.auth_source.clone();
        }
        let external = matches!(mechanism, Some(AuthMechanism::MongoDbX509 | AuthMechanism::Plain));
        if c.source.is_none() && external {
            c.source = Some("$external".into());
        }
        if matches!(mechanism, Some(AuthMechanism::Plain)) && matches!(d.tls, None | Some(Tls::Disabled)) {
            return Err(self
                .origin
                .error(SqlState::INVALID_PARAMETER_VALUE, "PLAIN would send the password unencrypted")
                .hint("Set sslmode 'verify-full'."));
        }
        if mechanism.is_some() {
            c.mechanism = mechanism;
        }
        d.credential = Some(c);
        Ok(())
    }
}

fn preference(word: &str) -> ReadPreference {
    match word {
        "primaryPreferred" => ReadPreference::PrimaryPreferred { options: None },
        "secondary" => ReadPreference::Secondary { options: None },
        "secondaryPreferred" => ReadPreference::SecondaryPreferred { options: None },
        "nearest" => ReadPreference::Nearest { options: None },
        _ => ReadPreference::Primary,
    }
}

/// A query that runs at the source, known by its comment. Dropped before [`Running::ended`], it is looked for there and killed.
pub(crate) struct Running {
    slot: Option<Slot>,
    comment: String,
}

impl Running {
    /// One that is about to be sent.
    pub(crate) fn new(slot: Slot) -> Running {
        Running { slot: Some(slot), comment: format!("fjord {}", uuid::Uuid::new_v4()) }
    }
    /// What to put into the command.
    pub(crate) fn comment(&self) -> &str {
        &self.comment
    }
    /// The driver.
    pub(crate) fn client(&self) -> Result<mongodb::Client> {
        let slot = self.slot.as_ref().ok_or_else(|| fjord_engine::SqlError::internal("a query that has ended was used"))?;
        Ok(slot.client.clone())
    }
    /// It came to its end by itself.
    pub(crate) fn ended(mut self) {
        self.slot = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let comment = std::mem::take(&mut self.comment);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // The slot is held until the source has been told: else cancelled queries would pile up there beyond pool_size.
            drop(runtime.spawn(async move {
                let both = async {
                    kill(&slot.client, &comment).await;
                    tokio::time::sleep(KILL_AGAIN).await;
                    kill(&slot.client, &comment).await;
                };
                if tokio::time::timeout(KILL_WAIT, both).await.is_err() {
                    debug!("killOp did not reach the source in time");
                }
                drop(slot);
            }));
        }
    }
}

/// Kills what runs under a comment. A user may see and kill what is its own without further rights.
async fn kill(client: &mongodb::Client, comment: &str) {
    let admin = client.database("admin");
    let by_comment = doc! { "$or": [{ "command.comment": comment }, { "cursor.originatingCommand.comment": comment }] };
    let Ok(mut found) = admin
        .aggregate([
            doc! { "$currentOp": { "allUsers": false } },
            doc! { "$match": by_comment },
            // This very search has the comment in its own command.
            doc! { "$match": { "command.pipeline.0.$currentOp": { "$exists": false } } },
            doc! { "$project": { "opid": 1 } },
        ])
        .await
    else {
        return;
    };
    while let Some(Ok(op)) = found.next().await {
        let op: Document = op;
        if let Some(id) = op.get("opid") {
            // Not found: it has ended by itself.
            let _ = admin.run_command(doc! { "killOp": 1, "op": id.clone() }).await;
        }
    }
}
