//! Trees that are too deep are refused before they are built.
//!
//! `a + b + c` parses without recursion, but into a tree as deep as it has operators; cloning and planning a tree recurses, and a stack that
//! overflows ends the process with all its sessions. sqlparser and DataFusion guard most of their own recursion, derived `Clone` is not guarded.
//! So the depth is bounded from the tokens, and long chains of AND and OR, the only ones that people and tools write, are made balanced.

use std::ops::ControlFlow;

use sqlparser::ast::{self, BinaryOperator, Expr, VisitMut, VisitorMut};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::super::source::{Cursor, string_of};
use super::distinct_from;
use crate::error::{Result, SqlError, SqlState};

/// How deep parentheses and subqueries may nest: each level takes several stack frames in the parser and in the planner.
pub(super) const NESTING_MAX: usize = 100;
/// How deep a query's tree may be, counted in operators that stand in each other, parentheses included; a UNION counts as three. Measured
/// (`deepest_trees_do_not_overflow`): a debug build clones such a tree on a thread of 2 MiB.
pub const DEPTH_MAX: usize = 200;
/// Arms of one chain of AND or OR, at most. DataFusion folds conjunctions to the left again.
pub const ARMS_MAX: usize = 2_000;

/// What is open at one level of parentheses: an upper bound of the depth of the tree that its tokens make.
#[derive(Default, Clone, Copy)]
struct Level {
    /// Operators since the expression began.
    operators: usize,
    /// ANDs and ORs.
    arms: usize,
    /// The deepest arm of the present expression that has ended.
    arm: usize,
    /// The deepest child (in parentheses) of the present arm.
    child: usize,
    /// The deepest expression that has ended.
    ended: usize,
    /// UNIONs of this level.
    unions: usize,
    /// BETWEENs whose AND has not come.
    betweens: usize,
}

impl Level {
    /// Of the expression that has not ended.
    fn present(&self) -> usize {
        let arms = if self.arms == 0 { 0 } else { self.arms.ilog2() as usize + 2 };
        (self.operators + self.child).max(self.arm) + arms + 3 * self.unions
    }
    fn depth(&self) -> usize {
        self.present().max(self.ended + 3 * self.unions)
    }
    /// A comma or a clause: what follows does not stand on what came before.
    fn end_expression(&mut self) {
        let unions = std::mem::take(&mut self.unions);
        // `present` counts no unions any more: they stand above all that has ended.
        *self = Level { ended: self.depth(), unions, ..Level::default() };
    }
    /// AND, OR: the arm has ended.
    fn end_arm(&mut self) {
        self.arms += 1;
        self.arm = self.arm.max(self.operators + self.child);
        self.operators = 0;
        self.child = 0;
    }
}

/// Refuses what would make a tree deeper than [`DEPTH_MAX`].
pub(super) fn guard(c: &Cursor) -> Result<()> {
    let mut levels = vec![Level::default()];
    // Depth of all levels but the last, kept while pushing and popping.
    let mut below = vec![0usize];
    let mut previous = &Token::Comma;
    for t in &c.src.toks[c.pos..c.end] {
        let token = &t.with_span.token;
        let word = match token {
            Token::Word(w) if w.quote_style.is_none() && *previous != Token::Period => w.keyword,
            _ => Keyword::NoKeyword,
        };
        let opens = matches!(token, Token::LParen | Token::LBracket | Token::LBrace) || word == Keyword::CASE;
        let closes = matches!(token, Token::RParen | Token::RBracket | Token::RBrace) || word == Keyword::END;
        if opens {
            let sum = below.last().copied().unwrap_or(0) + levels.last().map_or(0, Level::present) + 1;
            below.push(sum);
            levels.push(Level::default());
        } else if closes && levels.len() > 1 {
            below.pop();
            let inner = levels.pop().map_or(0, |l| l.depth()) + 1;
            if let Some(l) = levels.last_mut() {
                l.child = l.child.max(inner);
            }
        } else if let Some(l) = levels.last_mut() {
            count(l, token, word, previous);
            if l.arms > ARMS_MAX {
                return Err(too_complex(format!("more than {ARMS_MAX} conditions in a row"), t.at));
            }
        }
        if below.last().copied().unwrap_or(0) + levels.last().map_or(0, Level::depth) > DEPTH_MAX {
            return Err(too_complex(format!("operators nest deeper than {DEPTH_MAX}"), t.at));
        }
        previous = token;
    }
    Ok(())
}

fn too_complex(what: String, at: u32) -> SqlError {
    SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, format!("the statement is too complex: {what}"))
        .hint("Write x IN (a, b, ...) instead of x = a OR x = b; join with a table of values; split the query.")
        .at(at)
}

fn count(l: &mut Level, token: &Token, word: Keyword, previous: &Token) {
    match word {
        Keyword::AND if l.betweens > 0 => l.betweens -= 1,
        Keyword::AND | Keyword::OR => l.end_arm(),
        Keyword::BETWEEN => {
            l.betweens += 1;
            l.operators += 1;
        }
        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
            l.end_expression();
            l.unions += 1;
        }
        // IS DISTINCT FROM is an operator.
        Keyword::FROM if matches!(previous, Token::Word(w) if w.keyword == Keyword::DISTINCT) => {}
        Keyword::SELECT
        | Keyword::FROM
        | Keyword::WHERE
        | Keyword::GROUP
        | Keyword::HAVING
        | Keyword::ORDER
        | Keyword::LIMIT
        | Keyword::OFFSET
        | Keyword::JOIN
        | Keyword::ON
        | Keyword::WHEN
        | Keyword::THEN
        | Keyword::ELSE => l.end_expression(),
        Keyword::NoKeyword | Keyword::AS | Keyword::BY | Keyword::ASC | Keyword::DESC | Keyword::NULL | Keyword::DISTINCT => {
            match token {
                Token::Comma => l.end_expression(),
                Token::Word(w) if w.quote_style.is_none() && ["isnull", "notnull"].iter().any(|k| w.value.eq_ignore_ascii_case(k)) => {
                    l.operators += 1;
                }
                Token::Word(_) | Token::Number(..) | Token::Placeholder(_) | Token::Period => {}
                other if string_of(other).is_some() => {}
                // Every symbol is an operator, as far as this is concerned.
                _ => l.operators += 1,
            }
        }
        Keyword::NOT
        | Keyword::NOTNULL
        | Keyword::XOR
        | Keyword::IS
        | Keyword::IN
        | Keyword::LIKE
        | Keyword::ILIKE
        | Keyword::RLIKE
        | Keyword::REGEXP
        | Keyword::SIMILAR
        | Keyword::COLLATE
        | Keyword::AT
        | Keyword::DIV
        | Keyword::OPERATOR
        | Keyword::OVERLAPS
        | Keyword::MEMBER
        | Keyword::MINUS
        | Keyword::MATCH
        | Keyword::PIVOT
        | Keyword::UNPIVOT => l.operators += 1,
        // Other key words (names, types, functions) add no level by themselves.
        _ => {}
    }
}

/// Makes long left-deep chains of AND and of OR balanced, once they are what the user wrote ([`distinct_from`]). Both are associative, also with NULL, and short-circuiting is promised by nobody.
pub(super) fn balance(s: &mut ast::Statement) {
    struct Balance;
    impl VisitorMut for Balance {
        type Break = ();
        fn pre_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
            distinct_from::regroup(e);
            for op in [BinaryOperator::And, BinaryOperator::Or] {
                if spine(e, &op) > 16 {
                    let arms = take_arms(e, &op);
                    *e = join(arms, &op);
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _ = s.visit(&mut Balance);
}

fn spine(mut e: &Expr, op: &BinaryOperator) -> usize {
    let mut n = 0;
    while let Expr::BinaryOp { left, op: o, .. } = e
        && o == op
    {
        n += 1;
        e = left;
    }
    n
}

fn take_arms(e: &mut Expr, op: &BinaryOperator) -> Vec<Expr> {
    let mut arms = vec![];
    let mut rest = std::mem::replace(e, Expr::Identifier(ast::Ident::new("")));
    loop {
        match rest {
            Expr::BinaryOp { left, op: o, right } if o == *op => {
                arms.push(*right);
                rest = *left;
            }
            other => {
                arms.push(other);
                break;
            }
        }
    }
    arms.reverse();
    arms
}

fn join(mut arms: Vec<Expr>, op: &BinaryOperator) -> Expr {
    // Pairs of neighbours until one is left: the order of the arms stays.
    while arms.len() > 1 {
        let mut next = Vec::with_capacity(arms.len().div_ceil(2));
        let mut all = arms.into_iter();
        while let Some(left) = all.next() {
            next.push(match all.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) },
                None => left,
            });
        }
        arms = next;
    }
    arms.pop().unwrap_or_else(|| Expr::Identifier(ast::Ident::new("")))
}
