//! LIKE and ILIKE.

use fjord_engine::pushdown::{Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::PostgresDialect;
use super::types::{as_text, call, collate_c, describe, texty};

impl PostgresDialect {
    /// `a [NOT] [I]LIKE pattern`, the escape is `\`.
    pub(super) fn like(&self, op: &Op, a: &Typed, pattern: &Typed) -> Judgement {
        // A pattern of a column can end in the escape character, which raises 22025 at the source.
        let Some(Value::Text(text)) = pattern.literal() else {
            return Judgement::no("a LIKE pattern that is no literal is evaluated here");
        };
        if !texty(&a.ty) || a.literal().is_some() {
            return Judgement::no(format!("LIKE on {} is evaluated here", describe(&a.ty)));
        }
        if ends_in_escape(text) {
            return Judgement::no("a LIKE pattern that ends in its escape character is an error at the source");
        }
        if let Err(reason) = self.sendable(&Value::Text(text.clone())) {
            return Judgement::no(reason);
        }
        let form = match self.equality_form(a) {
            Ok(form) => form,
            Err(reason) => return Judgement::no(reason),
        };
        if matches!(op, Op::ILike | Op::NotILike) {
            return ilike(op, a, pattern, text);
        }
        // LIKE on a nondeterministic collation raises 0A000, on citext it ignores case, on bpchar it sees the blanks that the reader strips.
        let made = call(op.clone(), vec![form.expr.scalar.clone(), pattern.scalar.clone()], RemoteType::boolean(a.ty.nullable));
        if form.changed() { Judgement::rewritten(made.scalar, made.ty, form.reason) } else { Judgement::exact(made.scalar, made.ty) }
    }
}

/// ILIKE folds case by the column's characters and two different Unicode tables, so it is never exact. Where a value is ASCII, both sides fold
/// A to Z alone; every value that is not (more bytes than characters, in UTF-8) is kept for the local ILIKE.
fn ilike(op: &Op, a: &Typed, pattern: &Typed, text: &str) -> Judgement {
    if !text.is_ascii() {
        return Judgement::no("ILIKE with letters outside of ASCII folds case differently at the source");
    }
    let value = match a.ty.family {
        Family::Text => collate_c(a),
        _ => collate_c(&as_text(a)),
    };
    let boolean = RemoteType::boolean(a.ty.nullable);
    let lower = call(Op::Function("lower".into()), vec![value.scalar.clone()], value.ty.clone());
    let folded = Scalar::Literal(Value::Text(text.to_ascii_lowercase()), pattern.ty.clone());
    let like = if *op == Op::ILike { Op::Like } else { Op::NotLike };
    let ascii = call(like, vec![lower.scalar, folded], boolean.clone());
    let other = call(Op::Source("not_ascii".into()), vec![value.scalar], boolean.clone());
    let both = call(Op::Or, vec![ascii.scalar, other.scalar], boolean);
    Judgement::superset(both.scalar, both.ty, "ILIKE is exact for ASCII values only: other values are fetched and compared here")
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
