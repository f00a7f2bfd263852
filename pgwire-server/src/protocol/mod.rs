//! The bytes of the Postgres protocol, version 3.0 and 3.2: decoding what clients send, encoding what they get.
//!
//! Decoding is our own and checks every length: a message that claims more than it holds is `08P01`, never a panic (pgwire's decoders read past
//! the end of a short body). Layouts: <https://www.postgresql.org/docs/18/protocol-message-formats.html>.

pub mod backend;
pub mod frontend;
pub mod startup;

/// The limits of the protocol layer; docs/limits.md lists them.
pub mod limits {
    /// A startup packet, in bytes. Postgres's own `MAX_STARTUP_PACKET_LENGTH`.
    pub const STARTUP_PACKET_MAX: usize = 10_000;
    /// A message before authentication is done, in bytes.
    pub const MESSAGE_BEFORE_AUTH_MAX: usize = 64 * 1024;
    /// A message of an authenticated client, in bytes.
    pub const MESSAGE_MAX: usize = 64 * 1024 * 1024;
    /// Read ahead of a client that pipelines while a query runs, in bytes; beyond it we stop reading until the query is done.
    pub const READ_AHEAD_MAX: usize = 64 * 1024;
    /// Bytes of results gathered before they are written to the socket.
    pub const FLUSH_AT: usize = 64 * 1024;
    /// Prepared statements of one session.
    pub const STATEMENTS_MAX: usize = 10_000;
    /// Portals and cursors of one session.
    pub const PORTALS_MAX: usize = 1_000;
    /// Savepoints of one transaction.
    pub const SAVEPOINTS_MAX: usize = 1_000;
    /// What one cursor WITH HOLD may keep in memory after COMMIT, in bytes.
    pub const HOLD_BYTES_MAX: usize = 64 * 1024 * 1024;
}

/// Text or binary, as a format code in Bind, RowDescription and COPY.
pub use crate::codec::Format;
