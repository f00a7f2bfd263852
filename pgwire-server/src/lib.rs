//! Fjord's server: the Postgres wire, sessions, authentication, TLS, and the `fjord` command.
//!
//! Where to start reading: [`server`] accepts connections, `connection/` is one session. [`protocol`] is bytes and messages, [`codec`] is values.
//! What does not live here: planning and running queries (`fjord_engine`), sources (`providers/`).
// The future of a session holds statements: the compiler follows the whole syntax tree of SQL to see that it may be sent to another thread.
#![recursion_limit = "256"]

pub mod auth;
pub mod cli;
pub mod codec;
pub mod config;
pub mod connectors;
pub mod pg_catalog;
pub mod protocol;
pub mod server;
pub mod sessions;
pub mod tls;

mod connection;
