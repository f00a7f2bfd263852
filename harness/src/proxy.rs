//! A TCP proxy that misbehaves on request: between Fjord and a source, or between a client and Fjord.
//!
//! It runs on threads of its own, so that a test may block its runtime and the proxy goes on.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, Result, lock};

/// Bytes read at once: also how finely throttling works.
const CHUNK_BYTES: usize = 16 * 1024;

/// Which way bytes flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From whoever connected to the proxy towards the server behind it.
    ToServer,
    /// Back.
    ToClient,
}

/// The proxy. All connections are cut on drop.
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closing: bool,
    refusing: bool,
    listening: bool,
    faults: [Faults; 2],
    latency: Duration,
    accepted: usize,
    connections: Vec<Connection>,
}

#[derive(Clone, Copy, Default)]
struct Faults {
    /// For each connection made from now on: cut both ways once so many bytes have passed.
    cut_after: Option<u64>,
    stalled: bool,
    bytes_per_second: Option<u64>,
    /// Bytes that passed on all connections together.
    passed: u64,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    open_pumps: usize,
    id: usize,
}

impl FaultProxy {
    /// A proxy before a server on 127.0.0.1. Faultless until told otherwise.
    pub fn start(upstream_port: u16) -> Result<FaultProxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::at("binding a proxy"))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, upstream_port)),
            state: Mutex::new(State { listening: true, ..State::default() }),
            changed: Condvar::new(),
        });
        let thread = Arc::clone(&shared);
        std::thread::spawn(move || thread.accept_loop(listener, port));
        Ok(FaultProxy { port, shared })
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections made from now on are cut, both ways, once `bytes` have passed in this direction. None: not any more.
    pub fn cut_after(&self, direction: Direction, bytes: Option<u64>) {
        self.shared.update(|s| s.faults[direction as usize].cut_after = bytes);
    }

    /// Cuts every connection now. Returns how many there were.
    pub fn cut_all(&self) -> usize {
        let state = lock(&self.shared.state);
        for c in &state.connections {
            c.cut();
        }
        state.connections.len()
    }

    /// Ends one direction of every connection: that reader sees the end of the stream, the other direction lives on.
    pub fn half_close(&self, direction: Direction) {
        let state = lock(&self.shared.state);
        for c in &state.connections {
            let target = if direction == Direction::ToServer { &c.server } else { &c.client };
            let _ = target.shutdown(Shutdown::Write);
        }
    }

    /// Holds all bytes of this direction back (connections stay open), or lets them go again.
    pub fn stall(&self, direction: Direction, stalled: bool) {
        self.shared.update(|s| s.faults[direction as usize].stalled = stalled);
    }

    /// Delays each piece, both ways.
    pub fn latency(&self, delay: Duration) {
        self.shared.update(|s| s.latency = delay);
    }

    /// Limits the bytes a second of each connection in this direction.
    pub fn throttle(&self, direction: Direction, bytes_per_second: Option<u64>) {
        self.shared.update(|s| s.faults[direction as usize].bytes_per_second = bytes_per_second.map(|b| b.max(1)));
    }

    /// Refuses new connections as a dead server does (the port is closed), or accepts them again. Open ones live on. Returns when it is so.
    pub fn refuse(&self, refusing: bool) {
        self.shared.update(|s| s.refusing = refusing);
        if refusing {
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)); // wakes accept()
        }
        self.shared.wait_until(Duration::from_secs(10), |s| s.listening != refusing);
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        lock(&self.shared.state).accepted
    }

    /// How many connections are open now.
    pub fn open(&self) -> usize {
        lock(&self.shared.state).connections.len()
    }

    /// How many bytes passed in this direction so far, on all connections.
    pub fn passed(&self, direction: Direction) -> u64 {
        lock(&self.shared.state).faults[direction as usize].passed
    }

    /// Waits until so many bytes have passed in this direction.
    pub fn wait_until_passed(&self, direction: Direction, bytes: u64, timeout: Duration) -> Result<()> {
        if self.shared.wait_until(timeout, |s| s.faults[direction as usize].passed >= bytes) {
            return Ok(());
        }
        Err(Error::new(format!("only {} of {bytes} bytes passed {direction:?} within {timeout:?}", self.passed(direction))))
    }

    /// Waits until exactly so many connections are open.
    pub fn wait_until_open(&self, connections: usize, timeout: Duration) -> Result<()> {
        if self.shared.wait_until(timeout, |s| s.connections.len() == connections) {
            return Ok(());
        }
        Err(Error::new(format!("{} connections are open, not {connections}, after {timeout:?}", self.open())))
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.update(|s| s.closing = true);
        self.cut_all();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)); // wakes accept()
    }
}

impl Connection {
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }

    fn wait_until(&self, timeout: Duration, wanted: impl Fn(&State) -> bool) -> bool {
        let state = lock(&self.state);
        let (state, _) = self.changed.wait_timeout_while(state, timeout, |s| !wanted(s)).unwrap_or_else(PoisonError::into_inner);
        wanted(&state)
    }

    fn accept_loop(self: Arc<Self>, mut listener: TcpListener, port: u16) {
        loop {
            let accepted = listener.accept();
            let (closing, refusing) = {
                let state = lock(&self.state);
                (state.closing, state.refusing)
            };
            if closing {
                return;
            }
            if refusing {
                drop(accepted);
                match self.wait_while_refusing(listener, port) {
                    Some(again) => listener = again,
                    None => return,
                }
                continue;
            }
            if let Ok((client, _)) = accepted {
                let shared = Arc::clone(&self);
                std::thread::spawn(move || shared.connect(client));
            }
        }
    }

    /// Closes the port until it is wanted again.
    fn wait_while_refusing(&self, listener: TcpListener, port: u16) -> Option<TcpListener> {
        drop(listener);
        self.update(|s| s.listening = false);
        let mut state = lock(&self.state);
        while state.refusing && !state.closing {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closing {
            return None;
        }
        drop(state);
        let again = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        self.update(|s| s.listening = true);
        Some(again)
    }

    fn connect(self: Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(self.upstream) else { return };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let clones = || -> std::io::Result<[TcpStream; 6]> {
            let (c, s) = (|| client.try_clone(), || server.try_clone());
            Ok([c()?, s()?, s()?, c()?, c()?, s()?])
        };
        let Ok([up_in, up_out, down_in, down_out, kept_client, kept_server]) = clones() else { return };
        let (id, limits) = {
            let mut state = lock(&self.state);
            if state.closing {
                return;
            }
            state.accepted += 1;
            let id = state.accepted;
            state.connections.push(Connection { client: kept_client, server: kept_server, open_pumps: 2, id });
            (id, [state.faults[0].cut_after, state.faults[1].cut_after])
        };
        self.changed.notify_all();
        for (direction, from, to) in [(Direction::ToServer, up_in, up_out), (Direction::ToClient, down_in, down_out)] {
            let shared = Arc::clone(&self);
            let limit = limits[direction as usize];
            std::thread::spawn(move || {
                let cut = shared.pump(direction, from, to, limit);
                shared.pump_ended(id, cut);
            });
        }
    }

    /// Forwards until an end. True: both directions are to be cut.
    fn pump(&self, direction: Direction, mut from: TcpStream, mut to: TcpStream, limit: Option<u64>) -> bool {
        let mut buffer = vec![0u8; CHUNK_BYTES];
        let mut left = limit;
        loop {
            let size = left.map_or(CHUNK_BYTES, |l| l.min(CHUNK_BYTES as u64) as usize);
            if size == 0 {
                return true;
            }
            let Ok(read) = from.read(&mut buffer[..size]) else { return true };
            if read == 0 {
                let _ = to.shutdown(Shutdown::Write);
                return false;
            }
            let rate = match self.hold_back(direction) {
                Some(rate) => rate,
                None => return true,
            };
            let started = Instant::now();
            if to.write_all(&buffer[..read]).is_err() {
                return true;
            }
            if let Some(rate) = rate {
                // Here sleeping is the point.
                std::thread::sleep(Duration::from_secs_f64(read as f64 / rate as f64).saturating_sub(started.elapsed()));
            }
            left = left.map(|l| l - read as u64);
            self.update(|s| s.faults[direction as usize].passed += read as u64);
        }
    }

    /// Waits out stalls and latency. Some: the rate to keep. None: the proxy closes.
    fn hold_back(&self, direction: Direction) -> Option<Option<u64>> {
        let latency = lock(&self.state).latency;
        if !latency.is_zero() {
            std::thread::sleep(latency);
        }
        let mut state = lock(&self.state);
        while state.faults[direction as usize].stalled && !state.closing {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closing { None } else { Some(state.faults[direction as usize].bytes_per_second) }
    }

    fn pump_ended(&self, id: usize, cut: bool) {
        self.update(|s| {
            if let Some(i) = s.connections.iter().position(|c| c.id == id) {
                let c = &mut s.connections[i];
                c.open_pumps -= 1;
                if cut {
                    c.cut();
                }
                if c.open_pumps == 0 {
                    s.connections.remove(i);
                }
            }
        });
    }
}
