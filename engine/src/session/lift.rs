//! Texts that differ in their values only: literals of comparisons become parameters.
//!
//! A client without prepared statements sends `... WHERE id = 17`, then `... WHERE id = 18`. Lifted, both are `... WHERE id = $1`, whose plan is kept. A
//! literal is lifted only where it is the whole right side of a comparison: behind `=`, `<>`, `<`, `<=`, `>` or `>=`, and before AND, OR, a closing
//! parenthesis, GROUP, HAVING, ORDER, LIMIT, OFFSET or the end. So never in LIMIT, never `ORDER BY 1`, never `'x'::date`, `-5` or `5 + 1`. A parameter there
//! is the same grammar, so what is left to check is its type ([`values`]), and that it stands in a condition, which `kept` does.
//!
//! This reads no SQL: it knows where tokens begin and end, and gives up at what needs more (comments, `$`, backslashes, E'' and its kin, a second statement).

use datafusion::common::ScalarValue;

use crate::pgtype::{self, PgType};

/// Longest text that is looked at.
pub const TEXT_MAX: usize = 8 << 10;
/// Most literals that are lifted; a text with more is left alone.
const LITERALS_MAX: usize = 16;

/// A text with parameters, and what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifted {
    /// With `$1`, `$2`, ...
    pub text: String,
    /// The literals, in order.
    pub literals: Vec<Literal>,
}

/// A literal as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// Digits.
    Integer(i64),
    /// `'text'`, quotes undoubled.
    Text(String),
}

/// Lifts the literals of one SELECT; `None` where there are none to lift, or the text holds what this does not read.
pub fn lift(text: &str) -> Option<Lifted> {
    if text.len() > TEXT_MAX || text.contains('\\') || !begins_with_select(text) {
        return None;
    }
    let bytes = text.as_bytes();
    let (mut out, mut literals, mut copied) = (String::with_capacity(text.len()), vec![], 0);
    let mut compared = false;
    let mut at = 0;
    while let Some(b) = bytes.get(at) {
        let start = at;
        let mut literal = None;
        match b {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'\'' => {
                at = closing(bytes, at, b'\'')?;
                literal = Some(Literal::Text(text.get(start + 1..at - 1)?.replace("''", "'")));
            }
            b'"' => at = closing(bytes, at, b'"')?,
            b'0'..=b'9' => {
                at = run(bytes, at, |b| b.is_ascii_digit());
                // 1.5, 1e5, 0x1f, 1_000 and the like.
                if bytes.get(at).is_some_and(|b| *b == b'.' || word(*b)) {
                    at = run(bytes, at, |b| b == b'.' || word(b));
                } else {
                    literal = text.get(start..at)?.parse().ok().map(Literal::Integer);
                }
            }
            b if word(*b) => {
                at = run(bytes, at, word);
                // E'..', U&'..', B'..': strings that are read otherwise.
                if matches!(bytes.get(at), Some(b'\'' | b'&')) {
                    return None;
                }
            }
            b';' => {
                at += 1;
                if !text.get(at..)?.trim().is_empty() {
                    return None;
                }
            }
            b'(' | b')' | b',' | b'[' | b']' => at += 1,
            // A fraction without a digit in front, or a dot between names.
            b'.' => at = run(bytes, at + 1, |b| b.is_ascii_digit()),
            b if operator(*b) => {
                at = run(bytes, at, operator);
                let sign = text.get(start..at)?;
                if sign.contains("--") || sign.contains("/*") {
                    return None;
                }
                compared = matches!(sign, "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=");
                continue;
            }
            _ => return None,
        }
        if let (true, Some(literal)) = (compared, literal)
            && ends_operand(text.get(at..)?)
        {
            literals.push(literal);
            out.push_str(text.get(copied..start)?);
            out.push_str(&format!("${}", literals.len()));
            copied = at;
        }
        compared = false;
    }
    if literals.is_empty() || literals.len() > LITERALS_MAX {
        return None;
    }
    out.push_str(text.get(copied..)?);
    Some(Lifted { text: out, literals })
}

/// The literals as values of the types that the planner found for the parameters; `None` where a literal would be read in another way than a parameter.
pub fn values(types: &[PgType], literals: &[Literal]) -> Option<Vec<ScalarValue>> {
    if types.len() != literals.len() {
        return None;
    }
    let value = |(ty, literal): (&PgType, &Literal)| match (*ty, literal) {
        (pgtype::INT2, Literal::Integer(v)) => i16::try_from(*v).ok().map(|v| ScalarValue::Int16(Some(v))),
        (pgtype::INT4, Literal::Integer(v)) => i32::try_from(*v).ok().map(|v| ScalarValue::Int32(Some(v))),
        (pgtype::INT8, Literal::Integer(v)) => Some(ScalarValue::Int64(Some(*v))),
        // A uuid in another spelling is refused when it is bound.
        (pgtype::TEXT | pgtype::UUID, Literal::Text(s)) => Some(ScalarValue::Utf8(Some(s.clone()))),
        _ => None,
    };
    types.iter().zip(literals).map(value).collect()
}

fn begins_with_select(text: &str) -> bool {
    let text = text.trim_start();
    text.get(..6).is_some_and(|w| w.eq_ignore_ascii_case("select")) && text.as_bytes().get(6).is_some_and(u8::is_ascii_whitespace)
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

/// The characters of operators: <https://www.postgresql.org/docs/15/sql-syntax-lexical.html#SQL-SYNTAX-OPERATORS>, and the colon.
fn operator(b: u8) -> bool {
    matches!(b, b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|' | b'`' | b'?' | b':')
}

fn run(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    from + bytes.iter().skip(from).take_while(|b| belongs(**b)).count()
}

/// Behind the closing quote of what opens at `from`; a doubled quote is one inside.
fn closing(bytes: &[u8], from: usize, quote: u8) -> Option<usize> {
    let mut at = from + 1;
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == quote)? + 1;
        if bytes.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// Whether what follows ends the operand before it.
fn ends_operand(rest: &str) -> bool {
    let rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
    match rest.as_bytes().first() {
        None | Some(b')' | b';') => true,
        Some(_) => {
            let end = run(rest.as_bytes(), 0, word);
            let next = rest.get(..end).unwrap_or_default();
            ["and", "or", "group", "having", "order", "limit", "offset"].iter().any(|w| w.eq_ignore_ascii_case(next))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lifted(text: &str) -> String {
        lift(text).map_or("-".into(), |l| format!("{} {:?}", l.text, l.literals))
    }

    #[test]
    fn literals_of_comparisons_are_lifted() {
        for (text, expected) in [
            ("select * from t where id = 17", "select * from t where id = $1 [Integer(17)]"),
            ("SELECT a FROM t WHERE a='it''s' and (b>=3);", "SELECT a FROM t WHERE a=$1 and (b>=$2); [Text(\"it's\"), Integer(3)]"),
            ("select 1 from t where a <> 'x' order by 1 limit 5", "select 1 from t where a <> $1 order by 1 limit 5 [Text(\"x\")]"),
            (
                "select \"a = 1 and\" from t where \"o\"\"k\" = 2 OR b = 'é'",
                "select \"a = 1 and\" from t where \"o\"\"k\" = $1 OR b = $2 [Integer(2), Text(\"é\")]",
            ),
            ("select a from t where a = 5 and b = -5", "select a from t where a = $1 and b = -5 [Integer(5)]"),
            (
                "select a from t where a = 9223372036854775808 and b = 1",
                "select a from t where a = 9223372036854775808 and b = $1 [Integer(1)]",
            ),
            ("select a from t where b = '' and a = 1.5", "select a from t where b = $1 and a = 1.5 [Text(\"\")]"),
        ] {
            assert_eq!(lifted(text), expected);
        }
    }

    #[test]
    fn other_literals_stay() {
        for text in [
            "select 1",
            "select * from t limit 5",
            "select * from t where a = 5 + 1",
            "select * from t where a = 5::bigint",
            "select * from t where a = '5' 'x'",
            "select * from t where a = '5'\n'x'",
            "select * from t where a = 'x' collate \"C\"",
            "select * from t where a = date '2020-01-01'",
            "select * from t where a =-5",
            "select * from t where a in (1, 2)",
            "select * from t where a between 1 and 2",
            "select case when a = 1 then 2 else 3 end from t",
            "select f(a => 5)",
            "select * from t where a = 1e5",
            "select * from t where a = .5",
            "select * from t where a = 0x1f",
            "select * from t where a @= 5",
            // Not read at all.
            "select * from t where a = 5 -- ' and b = 'x",
            "select * from t /* where a = 5",
            "select * from t where a = E'x' and b = 5",
            "select * from t where a = U&'x' and b = 5",
            "select * from t where a = 'x\\' and b = 5",
            "select * from t where a = $1 and b = 5",
            "select $$ where a = 5 $$ from t where b = 5",
            "select * from t where a = 5; drop table t",
            "select * from t where a = 'open",
            "insert into t select * from t where a = 5",
            "selecta from t where a = 5",
            "",
        ] {
            assert_eq!(lifted(text), "-", "{text}");
        }
    }

    #[test]
    fn a_literal_has_the_type_of_its_parameter_or_is_refused() {
        let (five, text) = (Literal::Integer(5), Literal::Text("5".into()));
        assert_eq!(values(&[pgtype::INT4], std::slice::from_ref(&five)), Some(vec![ScalarValue::Int32(Some(5))]));
        assert_eq!(values(&[pgtype::TEXT], std::slice::from_ref(&text)), Some(vec![ScalarValue::Utf8(Some("5".into()))]));
        for (ty, literal) in
            [(pgtype::INT4, text), (pgtype::TEXT, five.clone()), (pgtype::NUMERIC, five), (pgtype::INT2, Literal::Integer(40_000))]
        {
            assert_eq!(values(&[ty], &[literal]), None);
        }
    }
}
