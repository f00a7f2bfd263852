//! Statements: our own in front of DataFusion's parser. One parser for the wire, the command line and files.
//!
//! [`parse`] splits a text at its semicolons and parses each statement: queries with sqlparser's Postgres grammar, everything else here, because
//! sqlparser's `Statement` is closed and knows neither our statements nor Postgres's exact ones. [`ddl`] runs the statements about what Fjord
//! remembers. What does not live here: planning (see [`session`](crate::session)) and the protocol's state (see `pgwire-server/`).

pub mod ddl;
mod parse;
mod redact;
mod source;
mod statement;

pub use parse::{ARMS_MAX, DEPTH_MAX, parse, parse_query};
pub use redact::{redacted, redacted_text};
pub use source::{TEXT_BYTES_MAX, TOKENS_MAX, quote_ident, quote_literal};
pub use statement::{CopyFormat, CopyOptions, ExplainFormat, ExplainOptions, SessionStatement, Statement, StatementKind};
