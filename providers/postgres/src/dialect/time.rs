//! date_trunc and extract, of days, wall-clock times, and instants seen in UTC.
//!
//! Another zone stays: the time zone rules compiled in here have no daylight saving after 2099, those of the server have.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::cast::{at_utc, in_utc};
use super::types::{describe, int, sound};

/// The renderer's form of `date_trunc(unit, x)`; what follows the colon is the unit.
pub(crate) const TRUNCATE: &str = "date_trunc:";
/// The renderer's form of `extract(field FROM x)::integer`.
pub(crate) const EXTRACT: &str = "extract:";

/// Units of date_trunc that both sides know. The first six never leave Postgres's range: its first instant is a midnight.
const UNITS: &[&str] = &["microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];
/// Fields that are whole numbers on both sides. `second` has a fraction there, `epoch` is a numeric there.
const FIELDS: &[&str] = &["year", "quarter", "month", "week", "day", "dow", "isodow", "doy", "hour", "minute"];

/// `date_trunc(unit, x)`.
pub(super) fn truncate(unit: &Typed, x: &Typed, result: &DataType) -> Result<Judgement, String> {
    let unit = one_of(unit, UNITS).ok_or("date_trunc to a unit that the two sides do not share")?;
    wall_clock(x)?;
    if x.ty.family == Family::Date || x.ty.arrow != *result {
        return Err(format!("date_trunc of {} as {result} is evaluated here", describe(&x.ty)));
    }
    Ok(made(format!("{TRUNCATE}{unit}"), x, x.ty.clone()))
}

/// `date_part(field, x)`, as which extract is planned.
pub(super) fn extract(field: &Typed, x: &Typed, result: &DataType) -> Result<Judgement, String> {
    let field = one_of(field, FIELDS).ok_or("extract of a field that has another type at the source")?;
    wall_clock(x)?;
    let ty = int(result, true).filter(|t| t.family == Family::Int(32)).ok_or_else(|| format!("extract as {result} is evaluated here"))?;
    if x.ty.family == Family::Date && matches!(field, "hour" | "minute") {
        return Err("extract of a time from a date raises at the source".into());
    }
    let wall = match x.ty.family {
        Family::TimestampTz => at_utc(x),
        _ => x.clone(),
    };
    Ok(made(format!("{EXTRACT}{field}"), &wall, ty))
}

fn made(form: String, x: &Typed, ty: RemoteType) -> Judgement {
    let scalar = Scalar::call(Op::Source(form), vec![x.scalar.clone()], ty.clone());
    Judgement::rewritten(scalar, ty, "guarded for infinity and the ends of Postgres's range")
}

fn wall_clock(x: &Typed) -> Result<(), String> {
    if !sound(&x.ty) || x.literal().is_some() {
        return Err(format!("a part of {} is taken here", describe(&x.ty)));
    }
    match x.ty.family {
        Family::Date | Family::Timestamp => Ok(()),
        Family::TimestampTz if in_utc(&x.ty.arrow) => Ok(()),
        Family::TimestampTz => {
            Err("the source has its own copy of the time zone rules, and those here end in 2099: only UTC is sent".into())
        }
        _ => Err(format!("a part of {} is taken here", describe(&x.ty))),
    }
}

fn one_of(word: &Typed, known: &'static [&'static str]) -> Option<&'static str> {
    let Some(Value::Text(word)) = word.literal() else { return None };
    known.iter().copied().find(|k| k.eq_ignore_ascii_case(word))
}
