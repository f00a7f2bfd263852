//! Grouping and sort keys.
//!
//! Only `max_sort_length` bytes of a text take part in a sort at the source, and a grouping may sort: a text that may be longer is sorted and grouped
//! here.

use fjord_engine::pushdown::{Family, Judgement, RemoteType, SortSpec, Typed};

use super::text;
use super::types::{clean, declared_length, describe, sound, texty};
use crate::pool::SORT_BYTES;

/// Bytes that the source itself adds to a sort key.
const SORT_MARGIN: usize = 96;
/// Bytes of a character in UTF-8.
const CHARACTER_BYTES: usize = 4;

/// A GROUP BY or DISTINCT key.
pub(super) fn group_key(key: &Typed) -> Judgement {
    judge(key, "grouped")
}

/// An ORDER BY key; the renderer puts NULLs where they belong.
pub(super) fn sort_key(key: &SortSpec) -> Judgement {
    judge(&key.expr, "sorted")
}

fn judge(key: &Typed, done: &str) -> Judgement {
    let ty = &key.ty;
    match &ty.family {
        _ if !sound(ty) => Judgement::no(format!("{} is not {done} at the source", describe(ty))),
        Family::Bool | Family::Int(_) | Family::UInt(_) | Family::Decimal(_) | Family::Time => as_read(key),
        Family::Date | Family::Timestamp | Family::TimestampTz => as_read(key),
        Family::Text | Family::Enum(_) if texty(ty) => match (sortable(ty), text::bytes(key)) {
            (true, Ok(form)) if form == *key => Judgement::exact(form.scalar, form.ty),
            (true, Ok(form)) => {
                let reason = format!("{} has an order and an equality of its own: {done} by bytes", describe(ty));
                Judgement::rewritten(form.scalar, form.ty, reason)
            }
            (_, Err(reason)) => Judgement::no(reason),
            (false, _) => Judgement::no(too_long(ty)),
        },
        Family::Bytes if sortable(ty) => Judgement::exact(key.scalar.clone(), ty.clone()),
        Family::Bytes => Judgement::no(too_long(ty)),
        // -0.0 and 0.0 are one value there; here the one comes before the other.
        Family::Float(_) => Judgement::no(format!("{} tells -0.0 from 0.0 here: {done} here", ty.name)),
        _ => Judgement::no(format!("{} is not {done} the same way at the source", describe(ty))),
    }
}

fn as_read(key: &Typed) -> Judgement {
    let form = clean(key);
    match form == *key {
        true => Judgement::exact(form.scalar, form.ty),
        false => {
            let reason = format!("{} is taken as it is read: {}", key.ty.name, why(&key.ty));
            Judgement::rewritten(form.scalar, form.ty, reason)
        }
    }
}

fn why(ty: &RemoteType) -> &'static str {
    match ty.family {
        Family::Date | Family::Timestamp | Family::TimestampTz => "zero and invalid dates are NULL",
        _ => "as a plain number",
    }
}

fn too_long(ty: &RemoteType) -> String {
    format!("{} may be longer than the {SORT_BYTES} bytes that take part in a sort at the source", describe(ty))
}

/// Whether all of a value takes part in a sort.
fn sortable(ty: &RemoteType) -> bool {
    let most = SORT_BYTES - SORT_MARGIN;
    let bytes = match &ty.family {
        Family::Enum(labels) => labels.iter().map(|l| l.len() * CHARACTER_BYTES).max(),
        Family::Text if ty.name.starts_with("varchar(") || ty.name.starts_with("char(") => declared_length(ty).map(|n| n * CHARACTER_BYTES),
        // An enum's byte form is a text of the enum's name: its labels have at most 255 characters.
        Family::Text if ty.name == "tinytext" || ty.name == "enum" => Some(255 * CHARACTER_BYTES),
        Family::Bytes if ty.name.starts_with("varbinary(") || ty.name.starts_with("binary(") => declared_length(ty),
        Family::Bytes if ty.name == "tinyblob" => Some(255),
        _ => None,
    };
    bytes.is_some_and(|b| b <= most)
}
