//! Glue to DataFusion: names, tables, the operator that reads a remote query, and the guards that keep DataFusion 55's answers right.
//!
//! [`catalogs`] resolves names against one catalog snapshot, [`table`] is the provider of a remote table, [`scan`] the leaf operator that runs a
//! remote query. What may be pushed is decided in [`crate::pushdown`]; nothing here knows a particular source.

pub mod barrier;
pub mod catalogs;
pub mod floats;
mod nan;
pub mod nanos;
mod near;
pub(crate) mod passthrough;
pub(crate) mod relations;
pub mod scan;
pub mod soft_limits;
pub mod table;
pub mod tag;
mod tighten;

pub(crate) use near::near;
