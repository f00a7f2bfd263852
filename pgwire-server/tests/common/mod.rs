//! A server in this process on a free port, and a client that speaks bytes.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)] // each test uses its part; a test that cannot go on panics

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fjord_engine::{Engine, EngineConfig};
use fjord_server::auth::{Auth, Verifier};
use fjord_server::server::Server;
use fjord_server::sessions::SessionRegistry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; stopped on drop of its runtime.
pub struct Running {
    pub server: Arc<Server>,
    pub address: SocketAddr,
    _dir: tempfile::TempDir,
}

/// How to start it.
#[derive(Default)]
pub struct Options {
    pub users: BTreeMap<String, Verifier>,
    pub tls: Option<(std::path::PathBuf, std::path::PathBuf)>,
    pub max_connections: Option<usize>,
    pub max_per_role: Option<usize>,
}

impl Running {
    pub async fn start() -> Running {
        Running::with(Options::default()).await
    }
    pub async fn with(options: Options) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(object_store::local::LocalFileSystem::new_with_prefix(dir.path()).unwrap());
        let config = EngineConfig {
            store,
            data_dir: Some(dir.path().to_path_buf()),
            secret_key: None,
            memory_limit: 256 << 20,
            database: "fjord".into(),
            secret_root: None,
            allow_link_local: false,
        };
        let engine = Engine::open(config, fjord_server::connectors::connector_types(None)).await.unwrap();
        let max = options.max_connections.unwrap_or(100);
        let sessions = SessionRegistry::limited(max, options.max_per_role.unwrap_or(max));
        fjord_server::connectors::add_system_schemas(&engine, &sessions);
        let tls = options.tls.map(|(c, k)| fjord_server::tls::load(&c, &k).unwrap());
        let auth = Auth::new(options.users, tls.as_ref().map(|t| t.certificate.as_slice()));
        let server = Server::new(engine, sessions, auth, tls, false);
        let listener = server.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = server.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        Running { server, address, _dir: dir }
    }
    pub fn dsn(&self) -> String {
        format!("host=127.0.0.1 port={} user=fjord dbname=fjord", self.address.port())
    }
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.dsn(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
    pub async fn raw(&self) -> Raw {
        let mut raw = Raw::connect(self.address).await;
        raw.startup(0x0003_0000, &[("user", "fjord")]).await;
        raw.until_ready().await;
        raw
    }
    /// Waits until a condition holds.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&Server) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds(&self.server) {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(2)).await; // a state in another task: there is nothing to be woken by
            }
        });
        assert!(waited.await.is_ok(), "waited in vain: {what}");
    }
}

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Bytes,
}

impl Message {
    /// A field of ErrorResponse or NoticeResponse.
    pub fn field(&self, code: u8) -> String {
        let mut b = self.body.clone();
        while b.has_remaining() {
            let c = b.get_u8();
            if c == 0 {
                break;
            }
            let end = b.iter().position(|x| *x == 0).unwrap();
            let text = String::from_utf8(b.split_to(end).to_vec()).unwrap();
            b.advance(1);
            if c == code {
                return text;
            }
        }
        String::new()
    }
    pub fn state(&self) -> String {
        self.field(b'C')
    }
    /// The tag of CommandComplete.
    pub fn text(&self) -> String {
        String::from_utf8(self.body[..self.body.len() - 1].to_vec()).unwrap()
    }
    /// The values of a DataRow.
    pub fn values(&self) -> Vec<Option<Vec<u8>>> {
        let mut b = self.body.clone();
        let n = b.get_u16();
        (0..n)
            .map(|_| {
                let len = b.get_i32();
                (len >= 0).then(|| b.split_to(len as usize).to_vec())
            })
            .collect()
    }
}

/// A client of bytes.
pub struct Raw {
    pub socket: TcpStream,
    input: BytesMut,
    pub out: BytesMut,
    pub pid: i32,
    pub secret: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        Raw { socket: TcpStream::connect(address).await.unwrap(), input: BytesMut::new(), out: BytesMut::new(), pid: 0, secret: vec![] }
    }
    pub async fn startup(&mut self, version: u32, params: &[(&str, &str)]) {
        let mut body = BytesMut::new();
        body.put_u32(version);
        for (k, v) in params {
            cstr(&mut body, k);
            cstr(&mut body, v);
        }
        body.put_u8(0);
        let mut packet = BytesMut::new();
        packet.put_u32(body.len() as u32 + 4);
        packet.put_slice(&body);
        self.socket.write_all(&packet).await.unwrap();
    }
    /// Gathers a message.
    pub fn put(&mut self, tag: u8, body: impl FnOnce(&mut BytesMut)) -> &mut Self {
        let mut b = BytesMut::new();
        body(&mut b);
        self.out.put_u8(tag);
        self.out.put_u32(b.len() as u32 + 4);
        self.out.put_slice(&b);
        self
    }
    pub fn query(&mut self, sql: &str) -> &mut Self {
        self.put(b'Q', |b| cstr(b, sql))
    }
    pub fn parse(&mut self, name: &str, sql: &str, types: &[u32]) -> &mut Self {
        self.put(b'P', |b| {
            cstr(b, name);
            cstr(b, sql);
            b.put_u16(types.len() as u16);
            types.iter().for_each(|t| b.put_u32(*t));
        })
    }
    pub fn bind(&mut self, portal: &str, statement: &str, formats: &[i16], values: &[Option<&[u8]>], results: &[i16]) -> &mut Self {
        self.put(b'B', |b| {
            cstr(b, portal);
            cstr(b, statement);
            b.put_u16(formats.len() as u16);
            formats.iter().for_each(|f| b.put_i16(*f));
            b.put_u16(values.len() as u16);
            for v in values {
                match v {
                    None => b.put_i32(-1),
                    Some(v) => {
                        b.put_i32(v.len() as i32);
                        b.put_slice(v);
                    }
                }
            }
            b.put_u16(results.len() as u16);
            results.iter().for_each(|f| b.put_i16(*f));
        })
    }
    pub fn describe(&mut self, what: u8, name: &str) -> &mut Self {
        self.put(b'D', |b| {
            b.put_u8(what);
            cstr(b, name);
        })
    }
    pub fn close(&mut self, what: u8, name: &str) -> &mut Self {
        self.put(b'C', |b| {
            b.put_u8(what);
            cstr(b, name);
        })
    }
    pub fn execute(&mut self, portal: &str, max: i32) -> &mut Self {
        self.put(b'E', |b| {
            cstr(b, portal);
            b.put_i32(max);
        })
    }
    pub fn sync(&mut self) -> &mut Self {
        self.put(b'S', |_| {})
    }
    pub fn flush(&mut self) -> &mut Self {
        self.put(b'H', |_| {})
    }
    pub async fn send(&mut self) {
        let out = self.out.split();
        self.socket.write_all(&out).await.unwrap();
    }
    /// The next message; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Message> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if self.input.len() >= 5 {
                    let len = (&self.input[1..5]).get_u32() as usize;
                    if self.input.len() > len {
                        let tag = self.input.get_u8();
                        self.input.advance(4);
                        return Some(Message { tag, body: self.input.split_to(len - 4).freeze() });
                    }
                }
                if self.socket.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        })
        .await
        .expect("no message came")
    }
    /// Messages up to ReadyForQuery, that included; ParameterStatus and the key are taken out.
    pub async fn until_ready(&mut self) -> Vec<Message> {
        let mut all = vec![];
        loop {
            let m = self.next().await.expect("the connection has ended");
            match m.tag {
                b'K' => {
                    let mut b = m.body.clone();
                    self.pid = b.get_i32();
                    self.secret = b.to_vec();
                }
                b'S' => {}
                b'Z' => {
                    all.push(m);
                    return all;
                }
                _ => all.push(m),
            }
        }
    }
    /// Sends what is gathered and gives the answer.
    pub async fn round(&mut self) -> Vec<Message> {
        self.send().await;
        self.until_ready().await
    }
    /// Runs statements in the simple protocol and writes the answer down: tags, values, error states.
    pub async fn run(&mut self, sql: &str) -> String {
        self.query(sql);
        let all = self.round().await;
        script(&all)
    }
    /// Sends a CancelRequest for this session.
    pub async fn cancel(&self, address: SocketAddr) {
        let mut packet = BytesMut::new();
        packet.put_u32(12 + self.secret.len() as u32);
        packet.put_u32(80_877_102);
        packet.put_i32(self.pid);
        packet.put_slice(&self.secret);
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&packet).await.unwrap();
        let _ = socket.read_u8().await; // the server closes it when it is done
    }
}

/// An answer in one line: `T D(1,x) C(SELECT 1) E(25P02) N(25001) Z(I)`.
pub fn script(all: &[Message]) -> String {
    let parts: Vec<String> = all
        .iter()
        .map(|m| match m.tag {
            b'D' => {
                let cells: Vec<String> =
                    m.values().into_iter().map(|v| v.map_or("NULL".into(), |v| String::from_utf8_lossy(&v).into_owned())).collect();
                format!("D({})", cells.join(","))
            }
            b'C' => format!("C({})", m.text()),
            b'E' | b'N' => format!("{}({})", char::from(m.tag), m.state()),
            b'Z' => format!("Z({})", char::from(m.body[0])),
            b'd' => format!("d({})", String::from_utf8_lossy(&m.body)),
            other => char::from(other).to_string(),
        })
        .collect();
    parts.join(" ")
}

pub fn cstr(b: &mut BytesMut, s: &str) {
    b.put_slice(s.as_bytes());
    b.put_u8(0);
}
