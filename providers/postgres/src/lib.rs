//! (under construction)

pub mod dialect;
mod render;
