//! `a IS [NOT] DISTINCT FROM b AND c`: sqlparser takes all of `b AND c` for the right side.
//!
//! PostgreSQL's IS binds closer than AND and OR (<https://www.postgresql.org/docs/15/sql-syntax-lexical.html#SQL-PRECEDENCE>), so what the right side has taken
//! too much is put back behind it. Parentheses are nodes of their own, so no grouping of the user's is touched.

use sqlparser::ast::{self, BinaryOperator, Expr, UnaryOperator};

/// Regroups a condition, if that is needed: called for each node, from the top. The parser bounds how deep right sides nest; to the left it is a loop.
pub(super) fn regroup(e: &mut Expr) {
    if misread(e) {
        let mut rest = vec![];
        let first = apart(std::mem::replace(e, Expr::Identifier(ast::Ident::new(""))), &mut rest);
        *e = by_precedence(first, rest);
    }
}

fn connective(e: &Expr) -> bool {
    matches!(e, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// Whether an operand of the chain of ANDs and ORs that this is has swallowed what follows it.
fn misread(mut e: &Expr) -> bool {
    loop {
        match e {
            Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
                if misread(right) {
                    return true;
                }
                e = left;
            }
            Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => return connective(right),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => e = expr,
            _ => return false,
        }
    }
}

/// The first operand of a chain of ANDs and ORs; the others go to `rest`, each with the operator before it.
fn apart(mut e: Expr, rest: &mut Vec<(BinaryOperator, Expr)>) -> Expr {
    let mut spine = vec![];
    while connective(&e)
        && let Expr::BinaryOp { left, op, right } = e
    {
        spine.push((op, *right));
        e = *left;
    }
    let first = match e {
        Expr::IsDistinctFrom(left, right) => Expr::IsDistinctFrom(left, Box::new(apart(*right, rest))),
        Expr::IsNotDistinctFrom(left, right) => Expr::IsNotDistinctFrom(left, Box::new(apart(*right, rest))),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(apart(*expr, rest)) },
        e => e,
    };
    for (op, right) in spine.into_iter().rev() {
        let mut more = vec![];
        let next = apart(right, &mut more);
        rest.push((op, next));
        rest.extend(more);
    }
    first
}

/// ORs of ANDs.
fn by_precedence(first: Expr, rest: Vec<(BinaryOperator, Expr)>) -> Expr {
    let join = |left: Expr, op: BinaryOperator, right: Expr| Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
    let (mut done, mut ands): (Option<Expr>, Expr) = (None, first);
    for (op, next) in rest {
        if op == BinaryOperator::And {
            ands = join(ands, op, next);
            continue;
        }
        let left = std::mem::replace(&mut ands, next);
        done = Some(match done {
            Some(d) => join(d, BinaryOperator::Or, left),
            None => left,
        });
    }
    match done {
        Some(d) => join(d, BinaryOperator::Or, ands),
        None => ands,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::sql::{StatementKind, parse};

    fn parsed(condition: &str) -> String {
        let statement = parse(&format!("SELECT {condition}")).unwrap().pop().unwrap();
        let StatementKind::Query(q) = statement.kind else { panic!("{condition}") };
        let sqlparser::ast::Statement::Query(q) = *q else { panic!("{condition}") };
        let sqlparser::ast::SetExpr::Select(s) = *q.body else { panic!("{condition}") };
        let sqlparser::ast::SelectItem::UnnamedExpr(e) = &s.projection[0] else { panic!("{condition}") };
        grouped(e)
    }

    fn grouped(e: &sqlparser::ast::Expr) -> String {
        use sqlparser::ast::Expr as E;
        match e {
            E::BinaryOp { left, op, right } => format!("({} {op} {})", grouped(left), grouped(right)),
            E::IsDistinctFrom(l, r) => format!("({} DF {})", grouped(l), grouped(r)),
            E::IsNotDistinctFrom(l, r) => format!("({} NDF {})", grouped(l), grouped(r)),
            E::UnaryOp { op, expr } => format!("({op} {})", grouped(expr)),
            E::Nested(e) => format!("[{}]", grouped(e)),
            e => e.to_string(),
        }
    }

    #[test]
    fn is_distinct_from_binds_closer_than_and_and_or() {
        for (text, expected) in [
            ("a IS DISTINCT FROM b AND c", "((a DF b) AND c)"),
            ("a IS NOT DISTINCT FROM b OR c AND d", "((a NDF b) OR (c AND d))"),
            ("x AND a IS DISTINCT FROM b AND c OR d", "(((x AND (a DF b)) AND c) OR d)"),
            ("x OR a IS DISTINCT FROM b AND c OR d AND e", "((x OR ((a DF b) AND c)) OR (d AND e))"),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a DF b)) AND c)"),
            ("a IS DISTINCT FROM b AND c IS NOT DISTINCT FROM d AND e", "(((a DF b) AND (c NDF d)) AND e)"),
            ("a IS DISTINCT FROM (b AND c)", "(a DF [(b AND c)])"),
            ("a IS DISTINCT FROM b + 1 AND (x OR y)", "((a DF (b + 1)) AND [(x OR y)])"),
            ("NOT (a AND b)", "(NOT [(a AND b)])"),
            ("a OR b AND c", "(a OR (b AND c))"),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }
}
