//! Comparisons of rows, `(a, b) = (1, 2)` and `(a, b) IN ((1, 2), (3, 4))`, as comparisons of their columns, which is how SQL defines them.
//!
//! DataFusion 55 compares them as structs: false instead of NULL where a column is NULL, and NULL as the least value. Written out they push down, too.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

/// Comparisons that one IN list of rows may become: more stays a list of structs.
const COMPARISONS_MAX: usize = 4_096;

/// Writes out the row comparisons of a plan.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, _| Ok(rewrite_one(e)))
}

fn rewrite_one(e: Expr) -> Transformed<Expr> {
    let made = match &e {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => columns(left).zip(columns(right)).and_then(|(a, b)| compare(*op, a, b)),
        Expr::InList(InList { expr, list, negated }) => columns(expr).and_then(|a| in_list(a, list, *negated)),
        _ => None,
    };
    made.map_or(Transformed::no(e), Transformed::yes)
}

fn columns(e: &Expr) -> Option<&[Expr]> {
    match e {
        Expr::ScalarFunction(f) if f.func.name() == "struct" && !f.args.is_empty() => Some(&f.args),
        _ => None,
    }
}

fn in_list(a: &[Expr], list: &[Expr], negated: bool) -> Option<Expr> {
    if list.len().saturating_mul(a.len()) > COMPARISONS_MAX {
        return None;
    }
    let op = if negated { Operator::NotEq } else { Operator::Eq };
    let rows = list.iter().map(|row| columns(row).and_then(|b| compare(op, a, b))).collect::<Option<Vec<_>>>()?;
    joined(if negated { Operator::And } else { Operator::Or }, rows)
}

fn compare(op: Operator, a: &[Expr], b: &[Expr]) -> Option<Expr> {
    if a.len() != b.len() {
        return None;
    }
    let pairs = |op: Operator| a.iter().zip(b).map(|(a, b)| binary(a, op, b)).collect::<Vec<_>>();
    match op {
        Operator::Eq | Operator::IsNotDistinctFrom => joined(Operator::And, pairs(op)),
        Operator::NotEq | Operator::IsDistinctFrom => joined(Operator::Or, pairs(op)),
        Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => ordered(op, a, b),
        _ => None,
    }
}

/// `a1 < b1 OR (a1 = b1 AND (a2, ...) < (b2, ...))`; only the last pair may be equal.
fn ordered(op: Operator, a: &[Expr], b: &[Expr]) -> Option<Expr> {
    let ([a1, a_rest @ ..], [b1, b_rest @ ..]) = (a, b) else { return None };
    if a_rest.is_empty() {
        return Some(binary(a1, op, b1));
    }
    let strict = match op {
        Operator::LtEq => Operator::Lt,
        Operator::GtEq => Operator::Gt,
        op => op,
    };
    let rest = Expr::and(binary(a1, Operator::Eq, b1), ordered(op, a_rest, b_rest)?);
    Some(Expr::or(binary(a1, strict, b1), rest))
}

fn binary(a: &Expr, op: Operator, b: &Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(a.clone()), op, Box::new(b.clone())))
}

/// A balanced tree: thousands of arms in a chain would nest too deep to be walked.
fn joined(op: Operator, mut parts: Vec<Expr>) -> Option<Expr> {
    while parts.len() > 1 {
        let mut next = Vec::with_capacity(parts.len().div_ceil(2));
        let mut all = parts.into_iter();
        while let Some(a) = all.next() {
            next.push(match all.next() {
                Some(b) => Expr::BinaryExpr(BinaryExpr::new(Box::new(a), op, Box::new(b))),
                None => a,
            });
        }
        parts = next;
    }
    parts.pop()
}
