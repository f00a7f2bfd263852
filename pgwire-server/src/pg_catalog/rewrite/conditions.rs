//! The WHERE of a correlated subquery, taken apart: what stays inside, what joins it to the outer row, and how the rows for one outer row are counted.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Visit, Visitor, WindowSpec, WindowType};

use super::build::{bare, call, folded, number};
use super::scope::{Source, owner};

/// The condition of a subquery, by what it is about.
pub(super) struct Conditions {
    /// The subquery's own columns only: it stays inside.
    pub(super) inner: Option<Expr>,
    /// What names outer columns, or none at all.
    pub(super) correlated: Option<Expr>,
    /// What the subquery's side of each `=` with the outer side is; `None` where they meet in another way.
    keys: Option<Vec<Expr>>,
    /// One of the keys decides the row.
    unique: bool,
}

impl Conditions {
    pub(super) fn of(condition: &Expr, inner: &[Source]) -> Conditions {
        let mut found = Conditions { inner: None, correlated: None, keys: Some(vec![]), unique: false };
        found.add(condition, inner);
        found
    }

    fn add(&mut self, e: &Expr, inner: &[Source]) {
        let names = |e: &Expr| names(e, inner);
        match bare(e) {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.add(left, inner);
                return self.add(right, inner);
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match (names(left), names(right)) {
                ((true, false), (false, true)) => self.key(left, inner),
                ((false, true), (true, false)) => self.key(right, inner),
                ((true, _), (_, true)) | ((_, true), (true, _)) => self.keys = None,
                _ => {}
            },
            other => {
                if names(other) == (true, true) {
                    self.keys = None;
                }
            }
        }
        let place = if names(e) == (true, false) { &mut self.inner } else { &mut self.correlated };
        *place = Some(match place.take() {
            Some(others) => Expr::BinaryOp { left: Box::new(others), op: BinaryOperator::And, right: Box::new(e.clone()) },
            None => e.clone(),
        });
    }

    fn key(&mut self, e: &Expr, inner: &[Source]) {
        // Most relations of the catalog have an `oid`, which no two rows share.
        let parts = match bare(e) {
            Expr::Identifier(i) => std::slice::from_ref(i),
            Expr::CompoundIdentifier(parts) => parts,
            _ => &[],
        };
        self.unique |= inner.len() == 1 && parts.last().is_some_and(|p| folded(p) == "oid");
        if let Some(keys) = &mut self.keys {
            keys.push(e.clone());
        }
    }

    /// How many rows there are for one outer row; `None` where that need not, or cannot, be counted.
    pub(super) fn rows(&self) -> Option<Expr> {
        let partition_by = self.keys.clone().filter(|_| !self.unique)?;
        let mut count = call("count", vec![number(1)]);
        if let Expr::Function(f) = &mut count {
            f.over = Some(WindowType::WindowSpec(WindowSpec { window_name: None, partition_by, order_by: vec![], window_frame: None }));
        }
        Some(count)
    }
}

/// Whether an expression names columns of the subquery, and others.
fn names(e: &Expr, inner: &[Source]) -> (bool, bool) {
    struct Find<'a>(&'a [Source], (bool, bool));
    impl Visitor for Find<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
            let parts = match e {
                Expr::Identifier(i) => std::slice::from_ref(i),
                Expr::CompoundIdentifier(parts) => parts,
                _ => return ControlFlow::Continue(()),
            };
            match owner(self.0, parts) {
                Some(_) => self.1.0 = true,
                // An outer one, or a name that nobody knows: that is refused later.
                None => self.1.1 = true,
            }
            ControlFlow::Continue(())
        }
    }
    let mut find = Find(inner, (false, false));
    let _ = Visit::visit(e, &mut find);
    find.1
}
