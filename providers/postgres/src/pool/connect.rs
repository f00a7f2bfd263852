//! Making a connection, and cancelling what runs on one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fjord_engine::{Result, SqlState};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::{Config, NoTls};
use tracing::debug;

use super::tap::{Tap, TappedTls, wire};
use super::{Open, Pool};
use crate::options::{ChannelBinding, SslMode};
use crate::reader::Statements;

/// The longest that a cancel request, and then the end of the cancelled connection, is waited for.
const CANCEL_WAIT: Duration = Duration::from_secs(5);
/// A peer that vanished without a word is noticed within two minutes, one that does not acknowledge what we sent within half of one.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 6;
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// What both kinds of sockets are.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// TCP or a Unix socket.
struct Socket(Box<dyn Bytes>);

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A socket that carries a cancel request. To shut it down is to wait until the other side has closed it, as libpq does: then the request has been
/// dealt with. A pooler forgets the request of one who does not wait.
struct CancelSocket(Socket);

impl AsyncRead for CancelSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for CancelSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_flush(cx))?;
        let mut bytes = [0; 64];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                // However it ended, it has ended.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Pool {
    pub(super) async fn connect(&self) -> Result<Open> {
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
        let config = self.config();
        let socket = self.socket().await?;
        let (wire, outlet) = wire();
        let connector = self.origin.connector.clone();
        let (client, task) = match &self.tls {
            None => {
                let (client, connection) =
                    config.connect_raw(Tap::new(socket, outlet), NoTls).await.map_err(|e| self.origin.connecting(&e))?;
                self.learn(|name| connection.parameter(name).map(str::to_string));
                (client, tokio::spawn(drive(connection, connector)))
            }
            Some(tls) => {
                let connect = tls.connect_to(&self.options.host).map_err(|e| self.origin.unreachable(&e.to_string()))?;
                let connecting = config.connect_raw(socket, TappedTls { connect, outlet });
                let (client, connection) = connecting.await.map_err(|e| self.origin.connecting(&e))?;
                self.learn(|name| connection.parameter(name).map(str::to_string));
                (client, tokio::spawn(drive(connection, connector)))
            }
        };
        if !self.pooled() {
            let settings = self.settings("SET");
            // One round trip for both. The second is a courtesy that some platforms do not have: its failure is none.
            let (set, _) =
                tokio::join!(client.batch_execute(&settings), client.batch_execute("SET client_connection_check_interval = '5s'"));
            set.map_err(|e| self.origin.connecting(&e))?;
        }
        Ok(Open { client, task, wire, statements: Statements::default() })
    }

    async fn socket(&self) -> Result<Socket> {
        let o = &self.options;
        if o.host.starts_with('/') {
            let path = format!("{}/.s.PGSQL.{}", o.host.trim_end_matches('/'), o.port);
            let stream = UnixStream::connect(path).await.map_err(|e| self.origin.unreachable(&e.to_string()))?;
            return Ok(Socket(Box::new(stream)));
        }
        let stream = TcpStream::connect(self.resolve().await?.as_slice()).await.and_then(prepared);
        Ok(Socket(Box::new(stream.map_err(|e| self.origin.unreachable(&e.to_string()))?)))
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

    fn config(&self) -> Config {
        let o = &self.options;
        let mut config = Config::new();
        config.user(&o.user).dbname(&o.database).application_name(&o.application_name);
        if let Some(p) = &o.password {
            config.password(p.expose());
        }
        config.ssl_mode(match o.sslmode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            _ => tokio_postgres::config::SslMode::Require,
        });
        config.channel_binding(match o.channel_binding {
            ChannelBinding::Disable => tokio_postgres::config::ChannelBinding::Disable,
            ChannelBinding::Prefer => tokio_postgres::config::ChannelBinding::Prefer,
            ChannelBinding::Require => tokio_postgres::config::ChannelBinding::Require,
        });
        config
    }

    /// What every session is pinned to, so that a role's own settings cannot change an answer. An empty search_path keeps operators and types of
    /// other schemas from standing in for those that the remote text means. `set`: `SET` or `SET LOCAL`.
    fn settings(&self, set: &str) -> String {
        let mut settings = vec![
            "TimeZone = 'UTC'",
            "DateStyle = 'ISO, YMD'",
            "IntervalStyle = 'postgres'",
            "extra_float_digits = 3",
            "bytea_output = 'hex'",
            "standard_conforming_strings = on",
            "search_path = ''",
        ];
        if set == "SET" {
            settings.push("default_transaction_read_only = on");
        }
        let mut text = settings.iter().map(|s| format!("{set} {s}")).collect::<Vec<_>>().join("; ");
        if let Some(t) = self.options.statement_timeout {
            text.push_str(&format!("; {set} statement_timeout = {}", t.as_millis().min(i32::MAX as u128)));
        }
        text
    }

    /// Begins a transaction that reads only. Behind a pooler the session may be anybody's, so the settings go with each transaction.
    pub(crate) fn begin(&self, isolation: &str) -> String {
        match self.pooled() {
            true => format!("BEGIN {isolation} READ ONLY; {}", self.settings("SET LOCAL")),
            false => format!("BEGIN {isolation} READ ONLY"),
        }
    }

    /// The same for a text of the user's: names without a schema mean in it what they mean to the role.
    pub(crate) fn begin_untrusted(&self) -> String {
        format!("{}; {OWN_PATH}", self.begin(""))
    }
}

/// In a transaction: the role's own search_path instead of the empty one.
pub(crate) const OWN_PATH: &str = "SET LOCAL search_path TO DEFAULT";

fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(stream)
}

async fn drive<C>(connection: C, connector: String)
where
    C: std::future::Future<Output = Result<(), tokio_postgres::Error>>,
{
    if let Err(e) = connection.await {
        debug!(connector, error = %e, "a connection to the source ended");
    }
}

/// Asks the server to stop what runs, then lets the connection end. The permit is free when the server has let go.
pub(super) async fn cancel(pool: Arc<Pool>, open: Open, permit: Option<OwnedSemaphorePermit>) {
    let token = open.client.cancel_token();
    let request = async {
        let socket = CancelSocket(pool.socket().await.ok()?);
        match &pool.tls {
            None => token.cancel_query_raw(socket, NoTls).await.ok(),
            Some(tls) => token.cancel_query_raw(socket, tls.connect_to(&pool.options.host).ok()?).await.ok(),
        }
    };
    if !matches!(tokio::time::timeout(CANCEL_WAIT, request).await, Ok(Some(()))) {
        debug!("a cancel request did not reach the source");
    }
    let Open { client, mut task, wire, statements } = open;
    // Without a client the connection's task reads what is still under way, says goodbye and ends; without a reader its rows are dropped.
    drop((statements, client, wire));
    if tokio::time::timeout(CANCEL_WAIT, &mut task).await.is_err() {
        task.abort();
    }
    drop(permit);
}
