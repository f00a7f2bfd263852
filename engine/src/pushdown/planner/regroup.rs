//! Joins in another order, so that inputs of one connector meet first.
//!
//! DataFusion flattens inner joins left-deep in the order of the query, across sources: with a file between two tables of one connector these
//! would not meet. The chain is taken apart, inputs of one connector that a key links are joined, also by a key that follows from two others
//! (`a = f AND f = b`), and the rest is put together again; a projection gives the columns back in their old order.

use std::sync::Arc;

use datafusion::common::{JoinConstraint, JoinType, NullEquality};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, ExprSchemable, Filter, Join, LogicalPlan, Projection};

use super::{absorb, correlated, join, pushing, same_connector};
use crate::pushdown::node::RemoteNode;

/// Inputs of a chain that are looked at; the work grows with their square.
const INPUTS_MAX: usize = 64;

/// A chain of inner joins, flat.
struct Chain {
    inputs: Vec<LogicalPlan>,
    on: Vec<(Expr, Expr)>,
    filters: Vec<Expr>,
}

/// The chain that ends in `j` with its inputs of one connector joined; `None` where there is nothing to join.
pub(super) fn regroup(j: &Join) -> DfResult<Option<LogicalPlan>> {
    if !inner(j) {
        return Ok(None);
    }
    let mut chain = Chain { inputs: vec![], on: vec![], filters: vec![] };
    chain.add_join(j)?;
    if chain.inputs.len() < 3 || chain.inputs.len() > INPUTS_MAX || !chain.join_remotes()? {
        return Ok(None);
    }
    let joined = chain.assemble()?;
    let columns = j.schema.columns().into_iter().map(Expr::Column).collect();
    let back = LogicalPlan::Projection(Projection::try_new_with_schema(columns, Arc::new(joined), j.schema.clone())?);
    Ok(Some(absorb(&back)?.unwrap_or(back)))
}

fn inner(j: &Join) -> bool {
    j.join_type == JoinType::Inner && j.null_equality == NullEquality::NullEqualsNothing
}

/// All columns of the expression are there.
fn has(plan: &LogicalPlan, e: &Expr) -> bool {
    e.column_refs().iter().all(|c| plan.schema().has_column(c))
}

/// The pair says something of both, in the order (left, right).
fn oriented(pair: &(Expr, Expr), left: &LogicalPlan, right: &LogicalPlan) -> Option<(Expr, Expr)> {
    let (a, b) = pair;
    let uses_columns = |e: &Expr| !e.column_refs().is_empty();
    match uses_columns(a) && uses_columns(b) {
        true if has(left, a) && has(right, b) => Some((a.clone(), b.clone())),
        true if has(left, b) && has(right, a) => Some((b.clone(), a.clone())),
        _ => None,
    }
}

impl Chain {
    fn add_join(&mut self, j: &Join) -> DfResult<()> {
        self.on.extend(j.on.iter().cloned());
        self.filters.extend(j.filter.iter().flat_map(|f| split_conjunction(f)).cloned());
        self.add(&j.left)?;
        self.add(&j.right)
    }

    fn add(&mut self, plan: &LogicalPlan) -> DfResult<()> {
        match plan {
            LogicalPlan::Join(j) if inner(j) => return self.add_join(j),
            // Between joins the optimizer narrows to the columns that are needed.
            LogicalPlan::Projection(p) if p.expr.iter().all(|e| matches!(e, Expr::Column(_))) => {
                if let LogicalPlan::Join(j) = p.input.as_ref()
                    && inner(j)
                {
                    return self.add_join(j);
                }
            }
            LogicalPlan::Filter(f) => {
                if let LogicalPlan::Join(j) = f.input.as_ref()
                    && inner(j)
                    && !correlated(&f.predicate)?
                {
                    self.filters.extend(split_conjunction(&f.predicate).into_iter().cloned());
                    return self.add_join(j);
                }
            }
            _ => {}
        }
        self.inputs.push(plan.clone());
        Ok(())
    }

    /// Joins what is linked and of one connector, until nothing more is.
    fn join_remotes(&mut self) -> DfResult<bool> {
        let mut changed = false;
        let mut refused: Vec<(LogicalPlan, LogicalPlan)> = vec![];
        'again: loop {
            for i in 0..self.inputs.len() {
                for k in i + 1..self.inputs.len() {
                    let (a, b) = (&self.inputs[i], &self.inputs[k]);
                    let (Some(l), Some(r)) = (RemoteNode::of(a), RemoteNode::of(b)) else { continue };
                    if !pushing(l) || !pushing(r) || !same_connector(&l.query, &r.query) {
                        continue;
                    }
                    if refused.iter().any(|(x, y)| x == a && y == b) {
                        continue;
                    }
                    match self.join_pair(i, k)? {
                        true => {
                            changed = true;
                            continue 'again;
                        }
                        false => refused.push((self.inputs[i].clone(), self.inputs[k].clone())),
                    }
                }
            }
            return Ok(changed);
        }
    }

    /// Joins two inputs, if they are linked and it may go.
    fn join_pair(&mut self, i: usize, k: usize) -> DfResult<bool> {
        let (a, b) = (&self.inputs[i], &self.inputs[k]);
        let (Some(l), Some(r)) = (RemoteNode::of(a), RemoteNode::of(b)) else { return Ok(false) };
        let mut on: Vec<(Expr, Expr)> = self.on.iter().filter_map(|p| oriented(p, a, b)).collect();
        let implied = if on.is_empty() { self.implied(a, b) } else { vec![] };
        on.extend(implied.iter().cloned());
        if on.is_empty() {
            return Ok(false);
        }
        let pair = inner_join(a.clone(), b.clone(), on)?;
        let whole = LogicalPlan::Join(pair.clone());
        let within: Vec<Expr> = self.filters.iter().filter(|f| has(&whole, f)).cloned().collect();
        let pair = Join { filter: conjunction(within), ..pair };
        let Ok(joined) = join::join(&pair, l, r) else { return Ok(false) };
        // Nothing above can make good here what the join multiplies.
        if joined.node.query.tentative.is_some() {
            return Ok(false);
        }
        self.on.retain(|p| oriented(p, a, b).is_none());
        // `a = b` holds in the pair now: of `a = f` and `f = b` one says all.
        for (a, b) in &implied {
            let other = |p: &(Expr, Expr), e: &Expr| if p.0 == *e { Some(p.1.clone()) } else { (p.1 == *e).then(|| p.0.clone()) };
            let with_a: Vec<Expr> = self.on.iter().filter_map(|p| other(p, a)).collect();
            self.on.retain(|p| !other(p, b).is_some_and(|o| with_a.contains(&o)));
        }
        self.filters.retain(|f| !has(&whole, f));
        self.filters.extend(joined.residual);
        self.inputs.remove(k);
        self.inputs[i] = joined.node.into_plan();
        Ok(true)
    }

    /// Equalities between two inputs that follow from those with others: `a = f` and `f = b`, all of one type.
    fn implied(&self, left: &LogicalPlan, right: &LogicalPlan) -> Vec<(Expr, Expr)> {
        let mut classes: Vec<Vec<&Expr>> = vec![];
        for (a, b) in &self.on {
            let of = |e: &Expr| classes.iter().position(|c| c.contains(&e));
            match (of(a), of(b)) {
                (None, None) => classes.push(vec![a, b]),
                (Some(c), None) => classes[c].push(b),
                (None, Some(c)) => classes[c].push(a),
                (Some(c), Some(d)) if c != d => {
                    let (low, high) = (c.min(d), c.max(d));
                    let moved = classes.remove(high);
                    classes[low].extend(moved);
                }
                _ => {}
            }
        }
        let in_plan = |e: &Expr, plan: &LogicalPlan| !e.column_refs().is_empty() && has(plan, e);
        let pair = |class: &Vec<&Expr>| {
            let l = class.iter().find(|e| in_plan(e, left))?;
            let r = class.iter().find(|e| in_plan(e, right))?;
            let types = (l.get_type(left.schema().as_ref()).ok()?, r.get_type(right.schema().as_ref()).ok()?);
            // Equality of floats and of what is read as text is transitive too, but let the type be the same throughout.
            (types.0 == types.1).then(|| ((*l).clone(), (*r).clone()))
        };
        classes.iter().filter_map(pair).collect()
    }

    /// The inputs left-deep again, each next one that is linked to those before.
    fn assemble(mut self) -> DfResult<LogicalPlan> {
        let mut now = self.filtered(0)?;
        self.inputs.remove(0);
        while !self.inputs.is_empty() {
            let linked = |p: &LogicalPlan| self.on.iter().any(|pair| oriented(pair, &now, p).is_some());
            let next = self.inputs.iter().position(linked).unwrap_or(0);
            let right = self.filtered(next)?;
            self.inputs.remove(next);
            let on: Vec<(Expr, Expr)> = self.on.iter().filter_map(|p| oriented(p, &now, &right)).collect();
            self.on.retain(|p| oriented(p, &now, &right).is_none());
            let joined = inner_join(now, right, on)?;
            let whole = LogicalPlan::Join(joined.clone());
            let (mut within, later): (Vec<Expr>, Vec<Expr>) = self.filters.into_iter().partition(|f| has(&whole, f));
            self.filters = later;
            // Pairs of which both sides are here by now.
            let (whole_pairs, rest): (Vec<_>, Vec<_>) = self.on.into_iter().partition(|(a, b)| has(&whole, a) && has(&whole, b));
            self.on = rest;
            within.extend(whole_pairs.into_iter().map(|(a, b)| a.eq(b)));
            // A subquery is no condition that a physical join can hold.
            let (above, inside): (Vec<Expr>, Vec<Expr>) = within.into_iter().partition(has_subquery);
            now = LogicalPlan::Join(Join { filter: conjunction(inside), ..joined });
            if let Some(predicate) = conjunction(above) {
                now = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(now))?);
            }
        }
        match conjunction(self.filters) {
            Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(now))?)),
            None => Ok(now),
        }
    }

    /// An input under the conditions that are its own.
    fn filtered(&mut self, i: usize) -> DfResult<LogicalPlan> {
        let input = self.inputs[i].clone();
        let (own, others): (Vec<Expr>, Vec<Expr>) = std::mem::take(&mut self.filters).into_iter().partition(|f| has(&input, f));
        self.filters = others;
        Ok(match conjunction(own) {
            Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?),
            None => input,
        })
    }
}

fn has_subquery(e: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    e.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_)))).unwrap_or(true)
}

/// The inner join of two plans over these equalities.
fn inner_join(left: LogicalPlan, right: LogicalPlan, on: Vec<(Expr, Expr)>) -> DfResult<Join> {
    let (left, right) = (Arc::new(left), Arc::new(right));
    Join::try_new(left, right, on, None, JoinType::Inner, JoinConstraint::On, NullEquality::NullEqualsNothing, false)
}
