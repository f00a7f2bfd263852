//! Functions, by allow-list.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Judgement, Op, RemoteType, Typed, Value};

use super::dates;
use super::text;
use super::types::{call, describe, form, plain, sound, texty};

/// Fields of extract that are whole numbers of the same meaning on both sides.
const FIELDS: &[&str] = &["year", "quarter", "month", "week", "day", "dow", "isodow", "doy", "hour", "minute"];

/// Units of date_trunc whose beginning every date of the source has.
const UNITS: &[&str] = &["second", "minute", "hour", "day", "week", "month", "quarter", "year"];

/// Function `name`, by DataFusion's name.
pub(super) fn function(name: &str, args: &[Typed], result: &DataType) -> Judgement {
    let answer = match (name, args) {
        ("character_length" | "char_length" | "length", [a]) => length("char_length", a, result),
        ("octet_length", [a]) => length("octet_length", a, result),
        ("date_part", [field, x]) => extract(field, x, result),
        ("date_trunc", [unit, x]) => truncate(unit, x, result),
        ("lower" | "upper" | "initcap", _) => Err(format!("{name} folds letters by the column's collation, not by Unicode")),
        ("now" | "current_date" | "random" | "uuid", _) => Err(format!("{name} is evaluated here, once")),
        _ => Err(format!("function {name} is not among the functions proven equal on MySQL and MariaDB")),
    };
    answer.unwrap_or_else(Judgement::no)
}

/// Characters or bytes of a text in UTF-8.
fn length(function: &str, a: &Typed, result: &DataType) -> Result<Judgement, String> {
    if !texty(&a.ty) || a.literal().is_some() || *result != DataType::Int32 {
        return Err(format!("{function} of {} as {result} is evaluated here", describe(&a.ty)));
    }
    let inner = if function == "char_length" { text::characters(a)? } else { text::bytes(a)? };
    let ty = plain("int", Family::Int(32), DataType::Int32, a.ty.nullable);
    let made = call(Op::Function(function.into()), vec![inner.scalar], ty);
    Ok(Judgement::rewritten(made.scalar, made.ty, "of the text in UTF-8"))
}

/// `date_trunc(unit, x)`; a session's zone is UTC there, and in another zone than UTC the type of an instant is another here.
fn truncate(unit: &Typed, x: &Typed, result: &DataType) -> Result<Judgement, String> {
    let Some(Value::Text(word)) = unit.literal() else { return Err("date_trunc to a unit that is no literal is evaluated here".into()) };
    let unit = UNITS.iter().find(|k| k.eq_ignore_ascii_case(word)).ok_or("date_trunc to a unit that the source has no words for")?;
    let moment = matches!(x.ty.family, Family::Timestamp | Family::TimestampTz);
    if !moment || !sound(&x.ty) || x.literal().is_some() || x.ty.arrow != *result {
        return Err(format!("date_trunc of {} as {result} is evaluated here", describe(&x.ty)));
    }
    let ty = plain("real datetime(6)", x.ty.family.clone(), result.clone(), true);
    let made = call(Op::Source(format!("{}{unit}", form::TRUNCATE)), vec![dates::real(x).scalar], ty);
    Ok(Judgement::rewritten(made.scalar, made.ty, dates::ZERO_DATES))
}

/// `date_part(field, x)`, as which extract is planned. A session's zone is UTC there.
fn extract(field: &Typed, x: &Typed, result: &DataType) -> Result<Judgement, String> {
    let Some(Value::Text(word)) = field.literal() else { return Err("extract of a field that is no literal is evaluated here".into()) };
    let field = FIELDS.iter().find(|k| k.eq_ignore_ascii_case(word)).ok_or("extract of a field that has another meaning at the source")?;
    let date = matches!(x.ty.family, Family::Date | Family::Timestamp | Family::TimestampTz);
    if !date || !sound(&x.ty) || x.literal().is_some() || *result != DataType::Int32 {
        return Err(format!("a part of {} as {result} is taken here", describe(&x.ty)));
    }
    if x.ty.family == Family::Date && matches!(*field, "hour" | "minute") {
        return Err("a time of a date is taken here".into());
    }
    let ty = RemoteType { nullable: true, ..plain("int", Family::Int(32), DataType::Int32, true) };
    let made = call(Op::Source(format!("{}{field}", form::EXTRACT)), vec![dates::real(x).scalar], ty);
    Ok(Judgement::rewritten(made.scalar, made.ty, dates::ZERO_DATES))
}
