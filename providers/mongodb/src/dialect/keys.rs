//! Grouping and sort keys.

use fjord_engine::pushdown::{Judgement, SortSpec, Typed};

use super::column;
use crate::types::Kind;

/// What `$group` takes for equal, and hands on one of: numbers of one value, whatever their type, so a group's key arrives as any of them. `null` and the
/// missing are made one.
pub(super) fn group_key(key: &Typed) -> Judgement {
    match column(key) {
        Err(reason) => Judgement::no(reason),
        Ok(Kind::Int | Kind::Long | Kind::Bool | Kind::String | Kind::ObjectId | Kind::Uuid | Kind::Date | Kind::Decimal) => {
            Judgement::rewritten(
                key.scalar.clone(),
                key.ty.clone(),
                "null and missing are one group; other types in the field are counted and refused",
            )
        }
        Ok(Kind::Double) => Judgement::no("doubles are grouped here, where NaN and both zeros are one group each"),
        Ok(Kind::Binary) => Judgement::no("binary data is grouped here, whatever its subtype"),
        Ok(kind) => Judgement::no(format!("{} is grouped here", kind.name())),
    }
}

/// One type, whose order is the same on both sides: that of the value, or of the bytes.
pub(super) fn sort_key(key: &SortSpec) -> Judgement {
    let e = &key.expr;
    match column(e) {
        Err(reason) => Judgement::no(reason),
        Ok(Kind::Int | Kind::Long | Kind::Bool | Kind::String | Kind::ObjectId | Kind::Uuid | Kind::Date | Kind::Decimal) => {
            // Nulls and the missing are lowest there.
            if !e.ty.nullable || key.nulls_first != key.descending {
                Judgement::exact(e.scalar.clone(), e.ty.clone())
            } else {
                let place = if key.nulls_first { "first" } else { "last" };
                Judgement::rewritten(
                    e.scalar.clone(),
                    e.ty.clone(),
                    format!("nulls {place} by a computed key: index not usable for the order"),
                )
            }
        }
        Ok(Kind::Double) => Judgement::no("NaN is below all numbers there, and -0.0 is no other than 0.0"),
        Ok(kind) => Judgement::no(format!("{} is sorted here", kind.name())),
    }
}
