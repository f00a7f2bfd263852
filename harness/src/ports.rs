//! Free ports. Nobody can reserve a port for another process: it is held until just before the start, and whoever starts a server retries on a clash.

use std::net::{Ipv4Addr, TcpListener};

use crate::{Error, Result};

/// How often a start is tried again on another port.
pub const START_ATTEMPTS_MAX: usize = 5;

/// A port on 127.0.0.1 that was free a moment ago.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::at("looking for a free port"))?;
    Ok(listener.local_addr()?.port())
}
