//! Text: forms whose equality and order are those of the bytes, and when a column's own comparison may go before them.
//!
//! The byte form is `CAST(CONVERT(c USING utf8mb4) AS BINARY)`. Not a binary collation: `utf8mb4_bin` pads, and MariaDB sorts `''` and a NUL character as
//! equal under `utf8mb4_nopad_bin`.

use fjord_engine::pushdown::{Equality, Family, Order, RemoteType, Scalar, TextFacts, Typed, Value};

use super::types::{declared_length, describe, form, source, texty};
use crate::types::charset_of;

/// The "collation" of byte forms.
pub(crate) const BYTES_COLLATION: &str = "binary";

/// The type of a byte form of `ty`. It keeps the name, which holds the declared length.
fn bytes_type(ty: &RemoteType, nullable: bool) -> RemoteType {
    let facts = TextFacts { equality: Equality::Bytewise, order: Order::Bytes, pads: false, collation: BYTES_COLLATION.into() };
    RemoteType { family: Family::Text, nullable, text: Some(facts), ..ty.clone() }
}

/// An expression in the form that compares by bytes; or why there is none.
pub(super) fn bytes(a: &Typed) -> Result<Typed, String> {
    let facts = facts(a)?;
    if let Some(value) = a.literal() {
        let ty = bytes_type(&a.ty, *value == Value::Null);
        return Ok(Typed { scalar: Scalar::Literal(value.clone(), ty.clone()), ty });
    }
    let ty = bytes_type(&a.ty, a.ty.nullable);
    Ok(match facts {
        Some(f) if f.collation == BYTES_COLLATION => a.clone(),
        Some(f) if part_of_utf8(charset_of(&f.collation)) => source(form::BYTES, a, ty),
        _ => source(form::BYTES_CONVERTED, a, ty),
    })
}

/// An expression in a form in which LIKE tells all characters apart: `utf8mb4_bin`, whose padding LIKE does not follow.
pub(super) fn characters(a: &Typed) -> Result<Typed, String> {
    let ty = bytes_type(&a.ty, a.ty.nullable);
    Ok(match facts(a)? {
        Some(f) if charset_of(&f.collation) == "utf8mb4" => source(form::CHARACTERS, a, ty),
        _ => source(form::CHARACTERS_CONVERTED, a, ty),
    })
}

fn facts(a: &Typed) -> Result<Option<&TextFacts>, String> {
    if !texty(&a.ty) {
        return Err(format!("{} is not compared with a text at the source", describe(&a.ty)));
    }
    match &a.ty.text {
        _ if a.literal().is_some() => Ok(None),
        Some(f) if f.equality == Equality::Unknown => Err(format!("the collation of {} is not known", a.ty.name)),
        Some(f) => Ok(Some(f)),
        None => Err(format!("the collation of {} is not known", a.ty.name)),
    }
}

/// What the column's own comparison with a text is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// It is that of the bytes.
    Exact,
    /// It finds every row that is equal by bytes, and maybe more: it goes first, so that an index serves.
    Coarser,
    /// It may raise or miss: only bytes are compared.
    No,
}

/// How `column = text` may be written.
///
/// A text that the column's character set cannot hold raises an error there (1267 on MariaDB, 3854 on MySQL). Where a character has two forms in a
/// character set (sjis), the text's may be the other one.
pub(super) fn own(column: &RemoteType, text: &str) -> Own {
    let Some(f) = &column.text else { return Own::No };
    if f.collation == BYTES_COLLATION {
        return Own::Exact;
    }
    // A set compares as a number with what looks like one.
    if column.name.starts_with("set") || !holds(charset_of(&f.collation), text) {
        return Own::No;
    }
    // A char is read without its trailing blanks, whatever the collation.
    let char = column.name.starts_with("char");
    match f.equality {
        // A longer text than the column holds is cut off where it is looked up in an index.
        Equality::Bytewise if !f.pads && !char && column.family == Family::Text && !longer(column, text) => Own::Exact,
        Equality::Bytewise | Equality::Coarser => Own::Coarser,
        Equality::Unknown => Own::No,
    }
}

/// Whether a column's own order is that of the bytes.
pub(super) fn own_order(column: &RemoteType, text: &str) -> bool {
    own(column, text) == Own::Exact && column.text.as_ref().is_some_and(|f| f.order == Order::Bytes)
}

/// Whether two columns may be compared as they are: of one collation, of a character set in which every character has one form.
pub(super) fn own_pair(a: &RemoteType, b: &RemoteType) -> bool {
    match (&a.text, &b.text) {
        (Some(f), Some(g)) => {
            let plain = |t: &RemoteType| t.family == Family::Text && !t.name.starts_with("set");
            f.collation == g.collation && f.collation != BYTES_COLLATION && plain(a) && plain(b) && holds(charset_of(&f.collation), "")
        }
        _ => false,
    }
}

fn longer(column: &RemoteType, text: &str) -> bool {
    declared_length(column).is_some_and(|n| text.chars().count() > n)
}

/// The character set's bytes are those of UTF-8.
fn part_of_utf8(charset: &str) -> bool {
    matches!(charset, "utf8mb4" | "utf8mb3" | "utf8" | "ascii")
}

/// Whether the text goes into a character set and comes back as it was. Others than these are not trusted with anything.
fn holds(charset: &str, text: &str) -> bool {
    match charset {
        "utf8mb4" => true,
        "utf8mb3" | "utf8" => text.chars().all(|c| u32::from(c) < 0x1_0000),
        "ascii" => text.is_ascii(),
        // Windows' code page 1252: the control characters of Latin 1 are others there.
        "latin1" => text.chars().all(|c| matches!(u32::from(c), 0..=0x7f | 0xa0..=0xff)),
        _ => false,
    }
}
