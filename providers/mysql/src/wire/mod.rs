//! The client side of the MySQL protocol, as far as reading needs it: login, a query for its text rows, a prepared statement for its binary rows.
//!
//! Packets are read from bytes that a server sent: everything is bounds-checked ([`Input`]), nothing is believed. Authentication's arithmetic is
//! mysql_common's. Sources: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>, <https://mariadb.com/kb/en/clientserver-protocol/>.

mod auth;
mod command;
mod framing;
mod handshake;
mod input;
#[cfg(test)]
mod mutations;

use thiserror::Error;

pub(crate) use command::{ColumnDef, Prepared, TextRow};
pub(crate) use framing::{Bytes, PACKET_MAX};
pub(crate) use handshake::{Login, ServerFacts};
pub(crate) use input::{Input, Malformed};

use framing::Framing;

/// An error that the server reports.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message} (error {code})")]
pub(crate) struct ServerError {
    /// Its number (`ER_...`).
    pub code: u16,
    /// The server's SQLSTATE.
    pub state: String,
    /// Its text.
    pub message: String,
}

/// Why talking to the server failed.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    /// The socket.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server said no.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Bytes that are no such packet.
    #[error("an unexpected packet: {0}")]
    Malformed(&'static str),
    /// A packet above the limit.
    #[error("a packet of more than {0} bytes")]
    TooLarge(usize),
    /// What we do not do: what, and the remedy.
    #[error("{0}")]
    Refused(String, &'static str),
}

impl From<Malformed> for Fault {
    fn from(m: Malformed) -> Fault {
        Fault::Malformed(m.0)
    }
}

/// One connection, logged in.
pub(crate) struct Conn {
    framing: Framing,
    /// What the server said of itself.
    pub facts: ServerFacts,
    /// Its number at the server, for KILL.
    pub id: u32,
    /// Statements that come again, by their texts, the one used last at the end.
    statements: Vec<(String, Prepared)>,
}
