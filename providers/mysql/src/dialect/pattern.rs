//! LIKE.

use fjord_engine::pushdown::{Judgement, Op, RemoteType, Typed, Value};

use super::text;
use super::types::{call, describe, texty};

/// `a [NOT] LIKE pattern`, the escape is `\`.
///
/// A column's own LIKE follows its collation (`'ABC' LIKE 'abc'`): the characters are told apart by a second conjunct, and the first is kept where it is
/// known to find every row and an index may serve it.
pub(super) fn like(op: &Op, a: &Typed, pattern: &Typed) -> Judgement {
    let Some(Value::Text(text)) = pattern.literal() else {
        return Judgement::no("a LIKE pattern that is no literal is evaluated here");
    };
    if !texty(&a.ty) || a.literal().is_some() {
        return Judgement::no(format!("LIKE on {} is evaluated here", describe(&a.ty)));
    }
    if ends_in_escape(text) {
        return Judgement::no("a LIKE pattern that ends in its escape character means something else at the source");
    }
    let form = match text::characters(a) {
        Ok(form) => form,
        Err(reason) => return Judgement::no(reason),
    };
    let ty = RemoteType::boolean(a.ty.nullable);
    let exact = call(op.clone(), vec![form.scalar, pattern.scalar.clone()], ty.clone());
    if *op == Op::Like && indexable(&a.ty, text) {
        let own = call(Op::Like, vec![a.scalar.clone(), pattern.scalar.clone()], ty.clone());
        let both = call(Op::And, vec![own.scalar, exact.scalar], ty);
        return Judgement::rewritten(
            both.scalar,
            both.ty,
            format!("{} compares coarser than bytes: LIKE rewritten, index usable", describe(&a.ty)),
        );
    }
    Judgement::rewritten(exact.scalar, exact.ty, format!("{}: LIKE by characters, index not usable", describe(&a.ty)))
}

/// The pattern begins with letters or digits, all of it is ASCII, and the collation compares character by character.
fn indexable(ty: &RemoteType, pattern: &str) -> bool {
    let Some(facts) = &ty.text else { return false };
    let name = facts.collation.as_str();
    let simple = [
        "utf8mb4_general_ci",
        "utf8mb3_general_ci",
        "utf8mb4_0900_ai_ci",
        "utf8mb4_bin",
        "utf8mb3_bin",
        "utf8mb4_0900_bin",
        "latin1_swedish_ci",
        "latin1_bin",
    ];
    simple.contains(&name)
        && ty.name.starts_with("varchar")
        && pattern.is_ascii()
        && pattern.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// An odd number of backslashes at the end.
fn ends_in_escape(pattern: &str) -> bool {
    pattern.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_at_the_end() {
        assert!(ends_in_escape("a\\"));
        assert!(ends_in_escape("\\\\\\"));
        assert!(!ends_in_escape("a\\\\"));
        assert!(!ends_in_escape("\\%"));
        assert!(!ends_in_escape(""));
    }
}
