//! Fjord's engine: everything that is not about one particular source, wire or log.
//!
//! What lives here: the statements ([`sql`]), what Fjord remembers and its connectors ([`catalog`]), the traits a source implements ([`source`]),
//! the remote query IR and its safety classes ([`pushdown`]), the glue to DataFusion ([`federation`]), the `sys` tables ([`system`]), the
//! text and binary forms of values ([`values`]), and the session that plans and runs a statement ([`session`]). What does not: any dialect, driver or
//! file format (see `providers/`), and the wire (`pgwire-server/`).

pub mod catalog;
mod compute;
pub mod error;
pub mod federation;
pub mod functions;
pub mod pgtype;
pub mod pushdown;
pub mod session;
pub mod source;
pub mod sql;
pub mod system;
pub mod values;

mod engine;

pub use compute::STACK_BYTES;
pub use engine::{Engine, EngineConfig, SystemSchema};
pub use error::{Result, SqlError, SqlState};
