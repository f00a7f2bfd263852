//! Random worlds and random queries over them: typed, so that most queries are valid.
//!
//! `tables` makes worlds; `expr` expressions, with the `functions` that they call; `aggregate` aggregates and windows; `query` relations, subqueries and
//! whole queries.

mod aggregate;
mod expr;
mod functions;
mod query;
pub mod tables;

use std::collections::BTreeSet;

use crate::ast::Query;
use crate::rng::Rng;
use crate::types::{Kind, Ty};
use crate::world::World;

/// A query and what is known of it.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The query.
    pub query: Query,
    /// The types of its columns (empty for `*`).
    pub types: Vec<Ty>,
    /// What it exercises.
    pub features: BTreeSet<&'static str>,
    /// Why Postgres's own answer is not compared; empty: it is.
    pub not_postgres: BTreeSet<&'static str>,
    /// 0.0 and -0.0 stand for one another: which of two equal values a group keeps is not defined.
    pub loose_zero: bool,
}

/// A column in sight.
#[derive(Debug, Clone)]
struct Visible {
    sql: String,
    ty: Ty,
    magnitude: f64,
    /// A value as it lies in a table: what a group kept may be either of two equal values.
    raw: bool,
    /// No two rows in sight have the same value.
    unique: bool,
}

/// Makes queries over a world.
#[derive(Debug)]
pub struct Generator<'a> {
    rng: Rng,
    world: &'a World,
    features: BTreeSet<&'static str>,
    not_postgres: BTreeSet<&'static str>,
    loose_zero: bool,
    names: usize,
    /// Common table expressions in sight: name, columns.
    ctes: Vec<(String, Vec<Visible>)>,
}

impl<'a> Generator<'a> {
    /// A generator for one query.
    pub fn new(seed: u64, world: &'a World) -> Generator<'a> {
        Generator {
            rng: Rng::new(seed),
            world,
            features: BTreeSet::new(),
            not_postgres: BTreeSet::new(),
            loose_zero: false,
            names: 0,
            ctes: vec![],
        }
    }

    /// One query.
    pub fn generate(mut self) -> Generated {
        let (query, types) = self.top();
        Generated { query, types, features: self.features, not_postgres: self.not_postgres, loose_zero: self.loose_zero }
    }

    fn feature(&mut self, name: &'static str) {
        self.features.insert(name);
    }

    fn ours(&mut self, reason: &'static str) {
        self.not_postgres.insert(reason);
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// Two values are compared for equality (`=`, IN, GROUP BY, DISTINCT).
    fn equality(&mut self, a: Ty, b: Ty) {
        match a.kind().with(b.kind()) {
            Kind::Plain | Kind::Default | Kind::C | Kind::Icu => {}
            Kind::Mixed => self.ours("texts of two collations"),
            _ => self.ours("equality of that collation or type"),
        }
        if matches!(a, Ty::Interval | Ty::Json | Ty::Jsonb | Ty::Ints | Ty::Texts | Ty::Inet) {
            self.ours("equality of a type that is text or compared by fields here");
        }
    }

    /// Two values are compared by order (`<`, min, ORDER BY).
    fn order(&mut self, a: Ty, b: Ty) {
        self.equality(a, b);
        if matches!(a.kind().with(b.kind()), Kind::Icu) {
            self.ours("order of that collation");
        }
    }

    /// Equal values of it become one.
    fn merges(&mut self, ty: Ty) {
        self.equality(ty, ty);
        if matches!(ty, Ty::F4 | Ty::F8) {
            self.loose_zero = true;
        }
    }
}

impl Kind {
    /// What two texts together compare by.
    pub fn with(self, other: Kind) -> Kind {
        match (self, other) {
            (Kind::Plain, k) | (k, Kind::Plain) => k,
            (a, b) if a == b => a,
            _ => Kind::Mixed,
        }
    }
}
