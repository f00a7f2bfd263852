//! Postgres's operators that DataFusion cannot plan, as what means the same: `BETWEEN SYMMETRIC`, `~x`, `age(x)`.
//!
//! The parser does not know SYMMETRIC: it leaves an operator of its own in the word's place ([`SYMMETRIC`]).

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, Statement, TimezoneInfo, UnaryOperator, VisitMut, VisitorMut,
};

use crate::functions::NOT_BITS;

/// `a BETWEEN SYMMETRIC b AND c` is parsed as `a BETWEEN "this" @> b AND c`: the operator binds less than any other that may stand in `b`. No client can
/// send the name.
pub(crate) const SYMMETRIC: &str = "\u{1}symmetric";

/// Writes them out.
pub(crate) fn plain(statement: &mut Statement) {
    let _ = statement.visit(&mut Spellings);
}

struct Spellings;

impl VisitorMut for Spellings {
    type Break = ();

    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
        match e {
            Expr::Between { .. } => symmetric(e),
            Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr } => *e = call(NOT_BITS, vec![expr.as_ref().clone()]),
            Expr::Function(f) => age(f),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `(a BETWEEN b AND c) OR (a BETWEEN c AND b)`, which is how Postgres defines it.
fn symmetric(e: &mut Expr) {
    let Expr::Between { expr, negated, low, high } = e else { return };
    if !unmark(low) {
        return;
    }
    let between = |low: &Expr, high: &Expr| {
        let between = Expr::Between { expr: expr.clone(), negated: false, low: Box::new(low.clone()), high: Box::new(high.clone()) };
        Box::new(Expr::Nested(Box::new(between)))
    };
    let either = Expr::BinaryOp { left: between(low, high), op: BinaryOperator::Or, right: between(high, low) };
    let either = Expr::Nested(Box::new(either));
    *e = if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(either) } } else { either };
}

/// Takes the mark out, which is the leftmost operand. False where there is none.
fn unmark(e: &mut Expr) -> bool {
    let Expr::BinaryOp { left, op, right } = e else { return false };
    if matches!(left.as_ref(), Expr::Identifier(i) if i.value == SYMMETRIC) && *op == BinaryOperator::AtArrow {
        *e = right.as_ref().clone();
        return true;
    }
    unmark(left)
}

/// `age(x)` is the time from x to the midnight that today began with.
fn age(f: &mut Function) {
    let is_age = match f.name.0.as_slice() {
        [ObjectNamePart::Identifier(i)] => i.value.eq_ignore_ascii_case("age"),
        [ObjectNamePart::Identifier(s), ObjectNamePart::Identifier(i)] => s.value == "pg_catalog" && i.value.eq_ignore_ascii_case("age"),
        _ => false,
    };
    let FunctionArguments::List(list) = &mut f.args else { return };
    if is_age && list.args.len() == 1 {
        let today = Expr::Cast {
            kind: CastKind::DoubleColon,
            expr: Box::new(call("current_date", vec![])),
            data_type: DataType::Timestamp(None, TimezoneInfo::None),
            array: false,
            format: None,
        };
        list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(today)));
    }
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sql::{StatementKind, parse};

    fn written(sql: &str) -> String {
        let StatementKind::Query(mut q) = parse(sql).unwrap().remove(0).kind else { return "no query".into() };
        plain(&mut q);
        q.to_string()
    }

    #[test]
    fn symmetric_is_either_way_around() {
        for (sql, want) in [
            ("x BETWEEN SYMMETRIC 3 AND 1", "((x BETWEEN 3 AND 1) OR (x BETWEEN 1 AND 3))"),
            (
                "x NOT BETWEEN symmetric a -> b || c AND -1 AND y",
                "NOT ((x BETWEEN a -> b || c AND -1) OR (x BETWEEN -1 AND a -> b || c)) AND y",
            ),
            ("x BETWEEN SYMMETRIC 1 + 2 * 3 AND z = w", "((x BETWEEN 1 + 2 * 3 AND z) OR (x BETWEEN z AND 1 + 2 * 3)) = w"),
            ("x BETWEEN 3 AND 1", "x BETWEEN 3 AND 1"),
        ] {
            assert_eq!(written(&format!("SELECT {sql}")), format!("SELECT {want}"));
        }
    }
}
