//! From a fresh connection to a session: TLS, startup packet, authentication; or a CancelRequest.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use fjord_engine::session::SessionInfo;
use fjord_engine::{Result, SqlError, SqlState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::io::{Io, ReadError, Socket};
use super::{AUTH_TIMEOUT, Connection, STARTUP_TIMEOUT};
use crate::auth;
use crate::protocol::backend::{self, ErrorLevel};
use crate::protocol::frontend::{Frontend, violation};
use crate::protocol::limits::{MESSAGE_BEFORE_AUTH_MAX, MESSAGE_MAX, STARTUP_PACKET_MAX};
use crate::protocol::startup::{Packet, Startup, split_options};
use crate::server::Server;
use crate::sessions::{SessionGuard, Who};

/// The other end.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its address; `None` in process.
    pub address: Option<SocketAddr>,
    /// Encrypted.
    pub tls: bool,
}

impl Peer {
    fn name(&self) -> String {
        self.address.map(|a| a.to_string()).unwrap_or_default()
    }
    fn is_local(&self) -> bool {
        self.address.is_none_or(|a| a.ip().to_canonical().is_loopback())
    }
}

/// Serves one TCP connection from its first byte to its end.
pub(crate) async fn serve(server: Arc<Server>, mut socket: TcpStream, address: SocketAddr) {
    // Results are gathered before they are written: there is nothing for Nagle's algorithm to gain.
    let _ = socket.set_nodelay(true);
    let deadline = Instant::now() + STARTUP_TIMEOUT;
    let mut peer = Peer { address: Some(address), tls: false };
    // A TLS ClientHello at once: libpq's sslnegotiation=direct.
    let mut first = [0u8; 1];
    match timeout_at(deadline, socket.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return,
    }
    if first[0] == 0x16 {
        if let Some(tls) = &server.tls {
            peer.tls = true;
            if let Ok(Ok(stream)) = timeout_at(deadline, tls.acceptor.accept(socket)).await {
                // Without ALPN this could be another protocol's client that was led here (ALPACA).
                if stream.get_ref().1.alpn_protocol() == Some(b"postgresql") {
                    packets(server, stream, peer, deadline, BytesMut::new()).await;
                }
            }
        }
        return;
    }
    // Exactly one request is read at a time: a plain byte that someone in between put behind it goes into the TLS handshake, which fails
    // (CVE-2021-23214). Requests for encryption come before the startup packet; each at most once.
    let (mut ssl_asked, mut gss_asked) = (false, false);
    loop {
        let mut head = [0u8; 8];
        match timeout_at(deadline, socket.read_exact(&mut head)).await {
            Ok(Ok(_)) => {}
            _ => return,
        }
        let is_request = head[..4] == 8u32.to_be_bytes();
        match is_request.then(|| Packet::decode(Bytes::copy_from_slice(&head[4..]))) {
            Some(Ok(Packet::Ssl)) if !ssl_asked => {
                ssl_asked = true;
                let Some(tls) = &server.tls else {
                    if socket.write_all(b"N").await.is_err() {
                        return;
                    }
                    continue;
                };
                if socket.write_all(b"S").await.is_err() {
                    return;
                }
                peer.tls = true;
                match timeout_at(deadline, tls.acceptor.accept(socket)).await {
                    Ok(Ok(stream)) => packets(server, stream, peer, deadline, BytesMut::new()).await,
                    Ok(Err(e)) => tracing::debug!(client = %address, error = %e, "TLS handshake failed"),
                    Err(_) => {}
                }
                return;
            }
            Some(Ok(Packet::Gss)) if !gss_asked => {
                gss_asked = true;
                if socket.write_all(b"N").await.is_err() {
                    return;
                }
            }
            _ => return packets(server, socket, peer, deadline, BytesMut::from(&head[..])).await,
        }
    }
}

/// Serves from the startup packet on; `read` is what was read of it already.
pub(crate) async fn packets<S: Socket>(server: Arc<Server>, socket: S, peer: Peer, deadline: Instant, read: BytesMut) {
    let mut io = Io::new(socket, read, MESSAGE_BEFORE_AUTH_MAX);
    let packet = match timeout_at(deadline, io.packet(STARTUP_PACKET_MAX)).await {
        Ok(Ok(body)) => Packet::decode(body),
        Ok(Err(ReadError::Broken(e))) => Err(e),
        Ok(Err(ReadError::Gone)) | Err(_) => return,
    };
    let result = match packet {
        Ok(Packet::Startup(startup)) => {
            let limit = Instant::now() + AUTH_TIMEOUT;
            match timeout_at(limit, open(&server, &mut io, &peer, startup)).await {
                Ok(r) => r,
                Err(_) => Err(Refused::Because(SqlError::new(SqlState::QUERY_CANCELED, "canceling authentication due to timeout"))),
            }
        }
        Ok(Packet::Cancel { pid, secret }) => {
            server.sessions.cancel_by_key(pid, &secret);
            return io.close().await;
        }
        Ok(Packet::Ssl | Packet::Gss) => Err(Refused::Because(violation("encryption was negotiated already"))),
        Err(e) => Err(Refused::Because(e)),
    };
    match result {
        Ok((session, guard)) => {
            io.message_max = MESSAGE_MAX;
            let entry = guard.entry.clone();
            tracing::info!(pid = entry.pid, user = entry.user, client = entry.client, tls = entry.tls, "session begins");
            let connection = Connection::new(io, session, guard);
            Box::pin(connection.run()).await;
            tracing::info!(pid = entry.pid, "session ends");
        }
        Err(Refused::Gone) => {}
        Err(Refused::Because(e)) => {
            tracing::info!(client = peer.name(), state = %e.state, error = %e.message, "connection refused");
            backend::error(&mut io.out, ErrorLevel::Fatal, &e);
            io.close().await;
        }
    }
}

/// Why no session was opened.
enum Refused {
    Gone,
    Because(SqlError),
}

impl From<SqlError> for Refused {
    fn from(e: SqlError) -> Refused {
        Refused::Because(e)
    }
}

impl From<ReadError> for Refused {
    fn from(e: ReadError) -> Refused {
        match e {
            ReadError::Gone => Refused::Gone,
            ReadError::Broken(e) => Refused::Because(e),
        }
    }
}

async fn open<S: Socket>(
    server: &Arc<Server>,
    io: &mut Io<S>,
    peer: &Peer,
    startup: Startup,
) -> Result<(fjord_engine::session::Session, SessionGuard), Refused> {
    let user = startup.params.get("user").filter(|u| !u.is_empty()).cloned();
    let user = user.ok_or_else(|| SqlError::new(SqlState::INVALID_AUTHORIZATION, "no PostgreSQL user name specified in startup packet"))?;
    if let Some(unknown) = &startup.negotiate {
        backend::negotiate(&mut io.out, startup.protocol, unknown);
    }
    if server.stopping.is_cancelled() {
        return Err(SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the database system is shutting down").into());
    }
    if !peer.tls && !peer.is_local() && !server.insecure {
        return Err(SqlError::new(SqlState::INVALID_AUTHORIZATION, "connections from other machines must be encrypted")
            .hint("Connect with sslmode=require or better.")
            .into());
    }
    if startup.params.get("replication").is_some_and(|v| !matches!(v.as_str(), "false" | "off" | "no" | "0")) {
        return Err(SqlError::unsupported("Fjord has no replication stream to give").into());
    }
    authenticate(server, io, peer, &user).await?;
    let database = startup.params.get("database").filter(|d| !d.is_empty()).cloned().unwrap_or_else(|| user.clone());
    check_database(server, &database, startup.params.contains_key("database"))?;
    let application_name = startup.params.get("application_name").cloned().unwrap_or_default();
    let who = Who {
        user: user.clone(),
        database: server.engine.database.clone(),
        client: peer.name(),
        application_name: application_name.clone(),
        tls: peer.tls,
    };
    // Protocol 3.0 has room for 4 bytes; 3.2 lets the key be long enough not to be guessed.
    let secret_len = if startup.protocol == 0x0003_0000 { 4 } else { 32 };
    let guard = server.sessions.open(who, secret_len)?;
    let info = SessionInfo { user, database: server.engine.database.clone(), application_name, client: peer.name(), pid: guard.entry.pid };
    let session = server.engine.session(info);
    apply(&session, &startup)?;
    backend::auth_ok(&mut io.out);
    backend::key_data(&mut io.out, guard.entry.pid, guard.entry.secret());
    Ok((session, guard))
}

/// There is one database. A client that names none gets it (libpq then sends the user's name).
fn check_database(server: &Server, database: &str, named: bool) -> Result<()> {
    // `postgres` is what many tools connect to before they know any other name.
    let known = database == server.engine.database || database == "postgres" || !named;
    if known {
        return Ok(());
    }
    Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{database}\" does not exist"))
        .hint(format!("Connect to database \"{}\": every connector is a schema in it.", server.engine.database)))
}

/// Startup parameters that are settings; an unknown one is an error, as in Postgres.
fn apply(session: &fjord_engine::session::Session, startup: &Startup) -> Result<()> {
    let mut given: Vec<(String, String)> = vec![];
    for (name, value) in &startup.params {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => given.extend(split_options(value)?),
            name => given.push((name.to_ascii_lowercase(), value.clone())),
        }
    }
    let mut settings = session.settings.write();
    for (name, value) in given {
        if name == "client_encoding" {
            check_encoding(&value)?;
        }
        settings.set(&name, &value)?;
    }
    Ok(())
}

/// Texts are UTF-8 and are not converted.
fn check_encoding(value: &str) -> Result<()> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    if matches!(plain.as_str(), "utf8" | "unicode" | "sqlascii") {
        return Ok(());
    }
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("client_encoding \"{value}\" is not supported"))
        .hint("Set client_encoding to UTF8."))
}

async fn authenticate<S: Socket>(server: &Server, io: &mut Io<S>, peer: &Peer, user: &str) -> Result<(), Refused> {
    if peer.address.is_none() {
        return Ok(());
    }
    if server.auth.is_trust() {
        if peer.is_local() || server.insecure {
            return Ok(());
        }
        return Err(SqlError::new(SqlState::INVALID_AUTHORIZATION, "no users are configured: only this machine may connect").into());
    }
    backend::auth_sasl(&mut io.out, server.auth.mechanisms(peer.tls));
    let mut first = password(io).await?;
    let end = first.iter().position(|b| *b == 0).ok_or_else(auth::malformed)?;
    let mechanism = first.split_to(end);
    first.advance(1);
    if !server.auth.mechanisms(peer.tls).iter().any(|m| m.as_bytes() == mechanism) {
        return Err(violation("client selected an invalid SASL authentication mechanism").into());
    }
    if first.len() < 4 || first.get_u32() as usize != first.len() {
        return Err(auth::malformed().into());
    }
    // Channel binding is promised only by the -PLUS mechanism; the other one must not carry a "p" flag.
    if (mechanism == "SCRAM-SHA-256-PLUS".as_bytes()) != first.starts_with(b"p=") {
        return Err(auth::malformed().into());
    }
    let (answer, check) = server.auth.first(user, peer.tls, &first)?;
    backend::auth_sasl_continue(&mut io.out, &answer);
    let last = password(io).await?;
    let answer = check.last(&last)?;
    backend::auth_sasl_final(&mut io.out, &answer);
    Ok(())
}

/// Sends what is gathered and waits for a password message.
async fn password<S: Socket>(io: &mut Io<S>) -> Result<Bytes, Refused> {
    io.flush().await.map_err(|_| Refused::Gone)?;
    match Frontend::decode(io.frame().await?)? {
        Frontend::Password(body) => Ok(body),
        Frontend::Terminate => Err(Refused::Gone),
        _ => Err(violation("expected a password message").into()),
    }
}
