//! The differential fuzzer: random queries over random tables, each run pushed, with `SET fjord.pushdown = off`, and, where the meaning is the same, by Postgres
//! itself (of a world in MySQL or MariaDB only the first two). All must agree; an error that only pushing has, and an error of class XX, are failures too.
//!
//! - [`generate`]: worlds (tables, files) and queries, the same for the same seed; [`rng`], [`types`], [`source`], [`world`], [`ast`] are what it is made of.
//! - [`check`] runs one query every way, by [`wire`]; [`compare`] says what "the same" is.
//! - [`shrink`] makes a failing query small, [`run`] does all of it with several workers, [`pinned`] keeps what was found as files, [`retry`] runs them for ever after,
//!   [`known`] has what is not mended yet.
//!
//! ```text
//! cargo xtask fuzz --seed 7 --queries 100000
//! ```

pub mod ast;
pub mod check;
pub mod compare;
pub mod generate;
pub mod known;
pub mod pinned;
pub mod retry;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod source;
pub mod types;
pub mod wire;
pub mod world;
