//! The DataFusion glue: catalogs over connectors, the scan operator, and guards around DataFusion's own rules.

pub mod barrier;
