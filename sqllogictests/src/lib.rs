//! Behaviour tests through SQL: `.slt` files run against the real `fjord` binary, over a real Postgres, each file through the simple and through the extended
//! protocol.
//!
//! - `slt/<feature>/*.slt`: the files; `slt/include/` holds what several of them share.
//! - `sources/*.sql`: what is in Postgres, one database a file, named after it.
//! - [`runner`]: starts the servers, runs a feature's files, and rewrites their expected results with `UPDATE_EXPECT=1`.
//! - [`client`]: one connection, by either protocol; [`binary`] shows the extended protocol's binary values as Postgres's text, so that both runs share one
//!   expected answer.
//!
//! - [`world`]: what the fault tests (`tests/faults_*.rs`) share.
//!
//! No engine code: what is tested here is what a user sees.

pub mod binary;
pub mod client;
pub mod runner;
pub mod world;
