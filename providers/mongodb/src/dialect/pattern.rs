//! LIKE.
//!
//! Never as a regular expression: its matcher gives up on long texts, as if they did not match. A pattern whose only wildcard is a `%` at its end is a
//! range of the texts' bytes, which an index serves; of any other pattern that range is a pre-filter.

use fjord_engine::pushdown::{Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::{condition, field};
use crate::types::Kind;

/// `a LIKE p`.
pub(super) fn like(a: &Typed, p: &Typed) -> Judgement {
    let (Some(Kind::String), Some(Value::Text(pattern))) = (field(a), p.literal()) else {
        return Judgement::no("LIKE is sent for a text field and a literal pattern");
    };
    let (prefix, rest) = match split(pattern) {
        Ok(parts) => parts,
        Err(reason) => return Judgement::no(reason),
    };
    let literal = |s: String| Scalar::Literal(Value::Text(s), a.ty.clone());
    let compared = |op: Op, s: String| Scalar::call(op, vec![a.scalar.clone(), literal(s)], RemoteType::boolean(true));
    if rest.is_empty() {
        return condition(Op::Eq, vec![a.scalar.clone(), literal(prefix)], "a pattern without wildcards: equality, index usable");
    }
    if prefix.is_empty() {
        return Judgement::no("a pattern that begins with a wildcard is matched here");
    }
    let mut bounds = vec![compared(Op::GtEq, prefix.clone())];
    if let Some(end) = next(&prefix) {
        bounds.push(compared(Op::Lt, end));
    }
    let ty = RemoteType::boolean(true);
    let scalar = match <[Scalar; 1]>::try_from(bounds) {
        Ok([one]) => one,
        Err(both) => Scalar::call(Op::And, both, ty.clone()),
    };
    match rest.as_str() {
        "%" => Judgement::rewritten(scalar, ty, "a range of the texts that begin so, index usable").as_filter_only(),
        _ => Judgement::superset(scalar, ty, "the texts that begin so are asked for, and matched here"),
    }
}

/// What a pattern begins with, and the rest from its first wildcard on.
fn split(pattern: &str) -> Result<(String, String), String> {
    let mut prefix = String::new();
    let mut chars = pattern.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '%' | '_' => return Ok((prefix, pattern.get(at..).unwrap_or_default().to_string())),
            '\\' => match chars.next() {
                Some((_, c)) => prefix.push(c),
                None => return Err("a pattern that ends with a backslash is an error of ours".into()),
            },
            c => prefix.push(c),
        }
    }
    Ok((prefix, String::new()))
}

/// The least text above all that begin so; `None`: there is none.
fn next(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let after = match u32::from(last) {
            // Surrogates are no characters.
            0xd7ff => Some('\u{e000}'),
            n => char::from_u32(n + 1),
        };
        if let Some(c) = after {
            chars.push(c);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{next, split};

    #[test]
    fn ranges_of_prefixes() {
        assert_eq!(split("ab%").unwrap(), ("ab".into(), "%".into()));
        assert_eq!(split("a\\%b_c").unwrap(), ("a%b".into(), "_c".into()));
        assert_eq!(split("abc").unwrap(), ("abc".into(), String::new()));
        assert!(split("a\\").is_err());
        assert_eq!(next("ab").as_deref(), Some("ac"));
        assert_eq!(next("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(next("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(next("\u{10ffff}"), None);
        assert!("ab\u{10ffff}" < next("ab").unwrap().as_str());
    }
}
