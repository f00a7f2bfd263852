//! Pushing work into sources, safely.
//!
//! [`ir`] is the remote query as values, [`class`] the four safety classes and the [`Dialect`] that judges and renders, `convert` turns DataFusion
//! expressions into judged IR, `planner` finds the largest subtrees. Nothing here knows a particular source.

pub mod class;
pub mod convert;
pub mod dynamic;
pub mod estimate;
pub mod ir;
pub mod literal;
pub mod node;
pub mod planner;
pub mod remote;
pub mod report;
pub mod withhold;

pub use class::{AggregateCall, Class, Dialect, Judgement, Mostly, RemoteText, SortSpec, Typed};
pub use ir::{AggregateFunction, Equality, Family, JoinKind, Op, Order, Rel, RemoteType, Scalar, ScanColumn, SortKey, TextFacts, Value};
