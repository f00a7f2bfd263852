//! Dates that are none: `0000-00-00`, `2024-00-01`, `2024-02-30`. The reader gives NULL for them, so they must not meet a condition at the source.

use fjord_engine::pushdown::{Family, RemoteType, Typed};

use super::types::{form, source};

/// For reasons.
pub(super) const ZERO_DATES: &str = "zero and invalid dates are read as NULL: guarded";
/// The types of dates of which none is zero begin with this.
const REAL: &str = "real ";

/// Whether a date of a column is one, as a boolean that is NULL or false where it is none. `None`: the expression is no date that could be zero.
pub(super) fn valid(a: &Typed) -> Option<Typed> {
    let date = matches!(a.ty.family, Family::Date | Family::Timestamp | Family::TimestampTz);
    (date && a.literal().is_none() && !a.ty.name.starts_with(REAL)).then(|| source(form::VALID, a, RemoteType::boolean(true)))
}

/// The date, or NULL where it is none.
pub(super) fn real(a: &Typed) -> Typed {
    match valid(a) {
        None => a.clone(),
        Some(_) => {
            let ty = RemoteType { name: format!("{REAL}{}", a.ty.name), nullable: true, ..a.ty.clone() };
            source(form::REAL_DATE, a, ty)
        }
    }
}
