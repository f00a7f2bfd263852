//! The listener: accepts connections, counts them, and stops them all in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fjord_engine::{Engine, Result, SqlError, SqlState};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Auth;
use crate::connection::{self, Peer, Socket};
use crate::sessions::{SessionRegistry, SessionState};
use crate::tls::Tls;

/// Connections that have not shown a startup packet yet, beyond the sessions' own limit. More wait in the kernel's queue.
const PENDING_MAX: usize = 200;
/// Connections that the kernel keeps until we accept them.
const BACKLOG: u32 = 1024;
/// What the kernel keeps for a client that has not read it yet (Linux takes twice of it for its own book-keeping).
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// How long running statements may go on after a stop was asked for.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// What all sessions share.
pub struct Server {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Who is connected.
    pub sessions: Arc<SessionRegistry>,
    /// Who may connect.
    pub auth: Auth,
    /// The certificate, where TLS is on.
    pub tls: Option<Tls>,
    /// The user said that neither encryption nor passwords are wanted.
    pub insecure: bool,
    /// A stop was asked for.
    pub stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// A server that does not listen yet.
    pub fn new(engine: Arc<Engine>, sessions: Arc<SessionRegistry>, auth: Auth, tls: Option<Tls>, insecure: bool) -> Arc<Server> {
        Arc::new(Server { engine, sessions, auth, tls, insecure, stopping: CancellationToken::new(), tasks: TaskTracker::new() })
    }

    /// Any address but loopback needs passwords and TLS, unless `insecure` was said.
    pub fn check_address(&self, address: SocketAddr) -> Result<()> {
        if !address.ip().to_canonical().is_loopback() && !self.insecure && (self.auth.is_trust() || self.tls.is_none()) {
            let missing = match (self.auth.is_trust(), self.tls.is_none()) {
                (true, true) => "no users and no TLS certificate are",
                (true, false) => "no users are",
                _ => "no TLS certificate is",
            };
            return Err(SqlError::new(SqlState::CONFIG_FILE_ERROR, format!("refusing to listen on {address}: {missing} configured"))
                .hint("Give [users] and [tls] in fjord.toml, listen on 127.0.0.1, or say --insecure."));
        }
        Ok(())
    }

    /// Listens on an address that [`Server::check_address`] allows.
    pub fn bind(&self, address: SocketAddr) -> Result<TcpListener> {
        self.check_address(address)?;
        let listen = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            // Inherited by accepted sockets: a client whose machine vanished is noticed in the end.
            socket.set_keepalive(true)?;
            // Inherited too. Left to itself the kernel would take in MiBs for a client that does not read.
            socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        listen().map_err(|e: std::io::Error| {
            SqlError::new(SqlState::IO_ERROR, format!("cannot listen on {address}: {e}")).hint("Choose another address with --listen.")
        })
    }

    /// Accepts until a stop is asked for.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener) {
        let pending = Arc::new(tokio::sync::Semaphore::new(self.sessions.max() + PENDING_MAX));
        loop {
            let slot = tokio::select! {
                () = self.stopping.cancelled() => return,
                slot = pending.clone().acquire_owned() => slot,
            };
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, address)) => {
                    let server = self.clone();
                    self.tasks.spawn(async move {
                        connection::serve(server, socket, address).await;
                        drop(slot);
                    });
                }
                Err(e) => {
                    // Out of file descriptors, mostly: it passes when sessions end. Waiting keeps the loop from spinning meanwhile.
                    tracing::warn!(error = %e, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Serves a connection that comes from this process (`fjord sql`): no password is asked for.
    pub fn attach<S: Socket>(self: &Arc<Self>, socket: S) {
        let server = self.clone();
        self.tasks.spawn(async move {
            let peer = Peer { address: None, tls: false };
            connection::packets(server, socket, peer, Instant::now() + Duration::from_secs(10), BytesMut::new()).await;
        });
    }

    /// Stops: no new connections, idle sessions end at once, running statements may go on for `grace`, then they are cancelled (57P01). When all
    /// is done, the connectors are closed.
    pub async fn stop(&self, grace: Duration) {
        self.stopping.cancel();
        self.tasks.close();
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            for s in self.sessions.list() {
                if s.activity().state != SessionState::Active {
                    s.terminate();
                }
            }
            if tokio::time::timeout(Duration::from_millis(50), self.tasks.wait()).await.is_ok() {
                break;
            }
        }
        for s in self.sessions.list() {
            s.terminate();
        }
        // What does not end now (a client that reads nothing) ends with the process.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await;
        self.engine.shutdown().await;
    }
}
