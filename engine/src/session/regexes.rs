//! Regular expressions as Postgres means them, where DataFusion takes the pattern for another.
//!
//! DataFusion 55 runs `x SIMILAR TO 'a%'` as the regular expression `a%` found anywhere. And its regular expressions stop `.` at a line break, which
//! Postgres's do not. Only patterns that are literals are known here; SIMILAR TO another one is refused.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Statement, Value, ValueWithSpan, VisitMut, VisitorMut};

use crate::error::{Result, SqlError, SqlState};

/// Makes SIMILAR TO a regular expression, and lets `.` be any character.
///
/// # Errors
/// 0A000 for SIMILAR TO a pattern that is no literal, or that takes parts out of a text (`\"`); 22025 for a wrong ESCAPE.
pub fn read(statement: &mut Statement) -> Result<()> {
    match statement.visit(&mut Patterns) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(e) => Err(*e),
    }
}

struct Patterns;

impl VisitorMut for Patterns {
    type Break = Box<SqlError>;

    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<Self::Break> {
        match e {
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let matches = match pattern_of(pattern, escape_char.as_ref()) {
                    Ok(p) => p,
                    Err(e) => return ControlFlow::Break(Box::new(e)),
                };
                let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
                let right = Box::new(Expr::value(Value::SingleQuotedString(matches)));
                let compared = Expr::BinaryOp { left: Box::new(Expr::Nested(expr.clone())), op, right };
                *e = Expr::Nested(Box::new(compared));
            }
            Expr::BinaryOp { op, right, .. } if is_match(op) => {
                if let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(pattern), .. }) = right.as_mut()
                    && pattern.contains('.')
                    // Options of its own, or another syntax.
                    && !pattern.starts_with("(?")
                    && !pattern.starts_with("***")
                {
                    pattern.insert_str(0, ANY_CHARACTER);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `.` is a line break too: an option of both Postgres's and our regular expressions.
const ANY_CHARACTER: &str = "(?s)";

fn is_match(op: &BinaryOperator) -> bool {
    use BinaryOperator::{PGRegexIMatch, PGRegexMatch, PGRegexNotIMatch, PGRegexNotMatch};
    matches!(op, PGRegexMatch | PGRegexIMatch | PGRegexNotMatch | PGRegexNotIMatch)
}

fn pattern_of(pattern: &Expr, escape: Option<&ValueWithSpan>) -> Result<String> {
    let text = |v: &Value| match v {
        Value::SingleQuotedString(s) | Value::EscapedStringLiteral(s) | Value::UnicodeStringLiteral(s) => Some(s.clone()),
        Value::DollarQuotedString(s) => Some(s.value.clone()),
        _ => None,
    };
    let Expr::Value(ValueWithSpan { value, .. }) = pattern else { return Err(not_literal()) };
    let pattern = text(value).ok_or_else(not_literal)?;
    let escape = match escape {
        None => Some('\\'),
        Some(v) => {
            let given = text(&v.value).ok_or_else(not_literal)?;
            let mut all = given.chars();
            match (all.next(), all.next()) {
                (first, None) => first,
                _ => {
                    return Err(SqlError::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
                        .hint("Escape string must be empty or one character."));
                }
            }
        }
    };
    translated(&pattern, escape)
}

fn not_literal() -> SqlError {
    SqlError::unsupported("SIMILAR TO a pattern that is no literal").hint("x ~ pattern takes any regular expression.")
}

/// A pattern of SIMILAR TO as a regular expression, as PostgreSQL's `similar_to_escape` makes it.
fn translated(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = format!("{ANY_CHARACTER}^(?:");
    let mut in_class = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some('"') if !in_class => return Err(SqlError::unsupported("SIMILAR TO with parts (an escaped double quote)")),
                // Classes like \d are told so.
                Some(c) => out.extend(['\\', c]),
                None => out.push_str("\\\\"),
            }
        } else if in_class {
            match c {
                // What has a meaning in classes of ours only. `[:alpha:]` has one in both.
                '[' if chars.peek() == Some(&':') => {
                    out.push(c);
                    for c in chars.by_ref() {
                        out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                }
                '[' | '&' | '~' | '\\' => out.extend(['\\', c]),
                ']' => {
                    out.push(c);
                    in_class = false;
                }
                c => out.push(c),
            }
        } else {
            match c {
                '[' => {
                    out.push(c);
                    in_class = true;
                }
                '%' => out.push_str(".*"),
                '_' => out.push('.'),
                '(' => out.push_str("(?:"),
                '\\' | '.' | '^' | '$' => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
    }
    out.push_str(")$");
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_are_those_of_postgres() {
        for (pattern, escape, expected) in [
            ("A%", Some('\\'), "(?s)^(?:A.*)$"),
            ("a|b_", Some('\\'), "(?s)^(?:a|b.)$"),
            ("%(b|d)%", Some('\\'), "(?s)^(?:.*(?:b|d).*)$"),
            ("a.c^$", Some('\\'), "(?s)^(?:a\\.c\\^\\$)$"),
            ("a\\%\\d#", Some('\\'), "(?s)^(?:a\\%\\d#)$"),
            ("a#%\\", Some('#'), "(?s)^(?:a\\%\\\\)$"),
            ("a\\", None, "(?s)^(?:a\\\\)$"),
            ("[%_.[&]x", Some('\\'), "(?s)^(?:[%_.\\[\\&]x)$"),
            ("[[:alpha:]_]+", Some('\\'), "(?s)^(?:[[:alpha:]_]+)$"),
        ] {
            assert_eq!(translated(pattern, escape).unwrap(), expected, "{pattern}");
        }
        assert_eq!(translated("a\\\"b\\\"", Some('\\')).unwrap_err().state, SqlState::FEATURE_NOT_SUPPORTED);
    }
}
