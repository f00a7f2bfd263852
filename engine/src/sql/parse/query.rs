//! Queries, and everything else that sqlparser parses for us (expressions).

use std::ops::ControlFlow;

use sqlparser::ast::{self, SetExpr, Visit, Visitor};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

use super::super::source::Cursor;
use super::super::statement::{Statement, StatementKind};
use super::dialect::Postgres;
use super::{depth, read_only, refused};
use crate::error::{Result, SqlError, SqlState};
use crate::session::operators;

/// A query: the rest of the cursor.
pub(super) fn query(c: &mut Cursor) -> Result<StatementKind> {
    depth::guard(c)?;
    let mut toks: Vec<TokenWithSpan> = c.src.toks[c.pos..c.end].iter().map(|t| t.with_span.clone()).collect();
    // `TABLE t` is `SELECT * FROM t`; sqlparser has it in some places only.
    if c.is("TABLE") {
        let span = toks[0].span;
        let word = |w: &str, k| TokenWithSpan::new(Token::Word(Word { value: w.into(), quote_style: None, keyword: k }), span);
        let star = TokenWithSpan::new(Token::Mul, span);
        toks.splice(0..1, [word("SELECT", Keyword::SELECT), star, word("FROM", Keyword::FROM)]);
    }
    symmetric(&mut toks);
    let dialect = Postgres;
    let mut p = parser(&dialect, toks);
    let q = p.parse_query().map_err(|e| convert(c, e))?;
    let rest = p.peek_token();
    if rest.token != Token::EOF {
        return Err(at_token(c, &rest));
    }
    if let ControlFlow::Break(span) = q.visit(&mut ReservedTable) {
        let i = c.src.toks[c.pos..c.end].iter().position(|t| t.with_span.span.start == span.start);
        return Err(error_at(c, i.map_or(c.end, |i| c.pos + i)));
    }
    c.pos = c.end;
    let mut statement = ast::Statement::Query(q);
    depth::balance(&mut statement);
    if let Some(e) = writes(&statement) {
        return Ok(refused(e));
    }
    Ok(StatementKind::Query(Box::new(statement)))
}

/// `BETWEEN SYMMETRIC`: an operator in place of the word, which sqlparser does not know there; see [`operators`].
fn symmetric(toks: &mut Vec<TokenWithSpan>) {
    let is = |t: &TokenWithSpan, k: Keyword| matches!(&t.token, Token::Word(w) if w.keyword == k && w.quote_style.is_none());
    let mut at = 1;
    while at < toks.len() {
        if is(&toks[at], Keyword::SYMMETRIC) && is(&toks[at - 1], Keyword::BETWEEN) {
            let span = toks[at].span;
            let mark = Word { value: operators::SYMMETRIC.into(), quote_style: Some('"'), keyword: Keyword::NoKeyword };
            toks.splice(at..=at, [TokenWithSpan::new(Token::Word(mark), span), TokenWithSpan::new(Token::AtArrow, span)]);
        }
        at += 1;
    }
}

/// A query as a statement of its own, inside another one (DECLARE, COPY, EXPLAIN, PREPARE, CREATE VIEW). A refused one stays refused.
pub(super) fn nested(c: &mut Cursor) -> Result<Result<Statement, StatementKind>> {
    let starts = *c.token(0) == Token::LParen || ["SELECT", "VALUES", "WITH", "TABLE"].iter().any(|w| c.is(w));
    if !starts {
        return Err(c.unexpected("a query"));
    }
    let text = c.slice_from(c.pos).to_string();
    Ok(match query(c)? {
        k @ StatementKind::Refused(_) => Err(k),
        kind => Ok(Statement { text, kind }),
    })
}

/// Comma-separated expressions: exactly the tokens from..to.
pub(super) fn expressions(c: &Cursor, from: usize, to: usize) -> Result<Vec<ast::Expr>> {
    let sub = Cursor::new(c.src, from, to);
    depth::guard(&sub)?;
    let dialect = Postgres;
    let toks = c.src.toks[from..to].iter().map(|t| t.with_span.clone()).collect();
    let mut p = parser(&dialect, toks);
    let all = p.parse_comma_separated(Parser::parse_expr).map_err(|e| convert(&sub, e))?;
    let rest = p.peek_token();
    if rest.token != Token::EOF {
        return Err(at_token(&sub, &rest));
    }
    Ok(all)
}

fn parser(dialect: &Postgres, toks: Vec<TokenWithSpan>) -> Parser<'_> {
    Parser::new(dialect).with_recursion_limit(depth::NESTING_MAX).with_tokens_with_locations(toks)
}

/// sqlparser's error in Postgres's words, at its place.
fn convert(c: &Cursor, e: ParserError) -> SqlError {
    let message = match e {
        ParserError::RecursionLimitExceeded => {
            return SqlError::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                format!("the statement nests deeper than {} levels", depth::NESTING_MAX),
            );
        }
        ParserError::ParserError(m) | ParserError::TokenizerError(m) => m,
    };
    let (text, place) = match message.rsplit_once(" at Line: ") {
        Some((text, place)) => (text, place.split_once(", Column: ")),
        None => (message.as_str(), None),
    };
    let place = place.and_then(|(l, col)| Some((l.trim().parse::<u64>().ok()?, col.trim().parse::<u64>().ok()?)));
    let tok = place.and_then(|(line, column)| {
        c.src.toks[c.pos..c.end].iter().position(|t| t.with_span.span.start.line == line && t.with_span.span.start.column == column)
    });
    match (text.split_once(", found: "), tok) {
        (Some((expected, found)), None) if found.starts_with("EOF") => with_expected(end_of(c), expected),
        (Some((expected, _)), Some(i)) => with_expected(error_at(c, c.pos + i), expected),
        (None, Some(i)) => error_at(c, c.pos + i).detail(text.to_string()),
        _ => SqlError::syntax(text.to_string()),
    }
}

fn with_expected(e: SqlError, expected: &str) -> SqlError {
    let expected = expected.strip_prefix("Expected: ").unwrap_or(expected);
    e.detail(format!("Expected {expected}."))
}

fn end_of(c: &Cursor) -> SqlError {
    error_at(c, c.end)
}

fn error_at(c: &Cursor, pos: usize) -> SqlError {
    let mut at = Cursor::new(c.src, pos, c.end);
    at.secretive = c.secretive;
    at.error()
}

/// The error for a token that should not be there.
fn at_token(c: &Cursor, t: &TokenWithSpan) -> SqlError {
    let i = c.src.toks[c.pos..c.end].iter().position(|x| x.with_span.span.start == t.span.start);
    error_at(c, i.map_or(c.end, |i| c.pos + i))
}

/// Words that Postgres reserves for the clauses of a query. sqlparser takes them for a table's name: `SELECT 1 FROM WHERE`.
const RESERVED: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "FOR",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "INTO",
    "ON",
    "USING",
    "WITH",
    "WINDOW",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "TRUE",
    "FALSE",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "AS",
    "ASC",
    "DESC",
    "IN",
    "ALL",
    "ANY",
    "DISTINCT",
    "CREATE",
    "TABLE",
];

/// Finds a table whose name is a reserved word, unquoted.
struct ReservedTable;

impl Visitor for ReservedTable {
    type Break = Span;
    fn pre_visit_table_factor(&mut self, t: &ast::TableFactor) -> ControlFlow<Span> {
        if let ast::TableFactor::Table { name, args: None, .. } = t
            && let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
            && ident.quote_style.is_none()
            && RESERVED.iter().any(|w| w.eq_ignore_ascii_case(&ident.value))
        {
            return ControlFlow::Break(ident.span);
        }
        ControlFlow::Continue(())
    }
}

/// What of a query would write or lock, if anything does.
fn writes(s: &ast::Statement) -> Option<SqlError> {
    struct Writes;
    impl Visitor for Writes {
        type Break = SqlError;
        fn pre_visit_query(&mut self, q: &ast::Query) -> ControlFlow<SqlError> {
            if let Some(lock) = q.locks.first() {
                let kind = match lock.lock_type {
                    ast::LockType::Share => "SELECT FOR SHARE",
                    ast::LockType::Update => "SELECT FOR UPDATE",
                };
                return ControlFlow::Break(read_only(kind));
            }
            let mut body = vec![q.body.as_ref()];
            while let Some(b) = body.pop() {
                match b {
                    SetExpr::Insert(_) => return ControlFlow::Break(read_only("INSERT")),
                    SetExpr::Update(_) => return ControlFlow::Break(read_only("UPDATE")),
                    SetExpr::Delete(_) => return ControlFlow::Break(read_only("DELETE")),
                    SetExpr::Merge(_) => return ControlFlow::Break(read_only("MERGE")),
                    SetExpr::Select(s) if s.into.is_some() => return ControlFlow::Break(read_only("SELECT INTO")),
                    SetExpr::SetOperation { left, right, .. } => body.extend([left.as_ref(), right.as_ref()]),
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        }
    }
    match s.visit(&mut Writes) {
        ControlFlow::Break(e) => Some(e),
        ControlFlow::Continue(()) => None,
    }
}
