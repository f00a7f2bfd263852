//! Arrays: `= ANY(column)`, `@>`, `<@`, `&&` and subscripts, over elements whose equality is the same on both sides.
//!
//! An array column of several dimensions or with other lower bounds is read by position; what is sent says so, where it matters.

use std::sync::Arc;

use arrow::datatypes::DataType;
use fjord_engine::functions::OVERLAP;
use fjord_engine::pushdown::{Equality, Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::PostgresDialect;
use super::compare::{canonical_uuid, plain_comparable};
use super::function::number;
use super::types::{call, describe, int, plain, sound};
use crate::render::VARCHARS;

/// The function's answer if it is one of arrays.
pub(super) fn function(dialect: &PostgresDialect, name: &str, args: &[Typed], result: &DataType) -> Option<Result<Judgement, String>> {
    match (name, args) {
        ("array_has", [array, value]) => Some(any(dialect, array, value)),
        ("array_has_all", [array, part]) if part.literal().is_some() => Some(contains("@>", array, part)),
        ("array_has_all", [whole, array]) if whole.literal().is_some() => Some(contains("<@", array, whole)),
        ("array_has_any", [array, part]) | ("array_has_any", [part, array]) if part.literal().is_some() => {
            Some(contains("&&", array, part))
        }
        ("cardinality", [array]) => Some(cardinality(array, result)),
        (OVERLAP, [a, b]) => Some(overlap(a, b)),
        ("array_length", [array]) => Some(length(array, result)),
        // Arrays of more dimensions are not read here at all.
        ("array_length", [array, n]) if number(n) == Some(1) => Some(length(array, result)),
        ("array_length", _) => Some(Err("array_length of another dimension than the first is evaluated here".into())),
        ("array_element", [array, n]) => Some(element(array, n, result)),
        _ => None,
    }
}

/// `int4[]` as `bigint[]`: DataFusion widens the column to meet a bigint literal. The column is sent as it is, and only its promise changes: what
/// takes an array here takes its literals one by one.
pub(super) fn widened(a: &Typed, target: &DataType) -> Option<Typed> {
    let (Family::Array(element), DataType::List(to)) = (&a.ty.family, target) else { return None };
    let (from, to) = (int(&element.arrow, true)?, int(to.data_type(), true)?);
    let wider = matches!((&from.family, &to.family), (Family::Int(f), Family::Int(t)) if t >= f);
    (wider && sound(element)).then(|| Typed { scalar: a.scalar.clone(), ty: RemoteType { arrow: target.clone(), ..a.ty.clone() } })
}

fn element_of(a: &Typed) -> Result<&RemoteType, String> {
    match &a.ty.family {
        Family::Array(e) if sound(e) && a.literal().is_none() => Ok(e),
        _ => Err(format!("{} is not an array whose elements are compared at the source", describe(&a.ty))),
    }
}

/// `value = ANY(array)`. Where no element matches and one is NULL, Postgres says NULL and DataFusion false: alike only in a condition.
fn any(dialect: &PostgresDialect, array: &Typed, value: &Typed) -> Result<Judgement, String> {
    let element = element_of(array)?;
    if matches!(element.family, Family::Float(_)) {
        return Err("an array of floats tells -0.0 from 0.0 here".into());
    }
    let value = match value.literal() {
        Some(v) => {
            dialect.sendable(v)?;
            Typed { scalar: Scalar::Literal(v.clone(), fitting(v, element)?), ty: element.clone() }
        }
        None => {
            plain_comparable(element, &value.ty)?;
            value.clone()
        }
    };
    let made = call(Op::Source("any".into()), vec![value.scalar, array.scalar.clone()], RemoteType::boolean(true));
    Ok(Judgement::exact(made.scalar, made.ty).as_filter_only())
}

/// `array @> literal` and its kin. NULL elements match nothing in Postgres and each other here, and DataFusion takes a NULL array for one that contains
/// nothing: so the literal has elements, and none is NULL.
fn contains(sign: &str, array: &Typed, literal: &Typed) -> Result<Judgement, String> {
    let element = element_of(array)?;
    let Some(Value::List(items)) = literal.literal() else {
        return Err(format!("{sign} with an array that is no literal is evaluated here"));
    };
    if items.is_empty() || items.contains(&Value::Null) {
        return Err(format!("{sign} with an array that is empty or holds NULL is evaluated here"));
    }
    let literal = list(items, element)?;
    let made = call(Op::Source(sign.into()), vec![array.scalar.clone(), literal], RemoteType::boolean(array.ty.nullable));
    Ok(Judgement::exact(made.scalar, made.ty))
}

/// `array && array`, with Postgres's meaning on both sides: NULLs and empty arrays too.
fn overlap(a: &Typed, b: &Typed) -> Result<Judgement, String> {
    let (array, other) = if a.literal().is_some() { (b, a) } else { (a, b) };
    let element = element_of(array)?;
    let right = match other.literal() {
        Some(Value::List(items)) => list(items, element)?,
        Some(_) => return Err("&& with NULL is folded here".into()),
        None => {
            let met = element_of(other)?;
            let alike = match &element.family {
                Family::Int(_) | Family::Bool | Family::Uuid | Family::Float(_) => element.family == met.family,
                Family::Text => element.name != "name" && element.name == met.name && one_collation(element, met),
                _ => false,
            };
            if !alike {
                return Err(format!("&& of {} and {} is evaluated here", describe(&array.ty), describe(&other.ty)));
            }
            other.scalar.clone()
        }
    };
    let ty = RemoteType::boolean(a.ty.nullable || b.ty.nullable);
    let made = call(Op::Source("&&".into()), vec![array.scalar.clone(), right], ty);
    Ok(Judgement::exact(made.scalar, made.ty))
}

fn one_collation(a: &RemoteType, b: &RemoteType) -> bool {
    match (&a.text, &b.text) {
        (Some(a), Some(b)) => a.equality == Equality::Bytewise && !a.pads && a.collation == b.collation,
        _ => false,
    }
}

/// An array constant of elements that meet those of a column.
fn list(items: &[Value], element: &RemoteType) -> Result<Scalar, String> {
    let mut ty = None;
    for item in items.iter().filter(|i| **i != Value::Null) {
        ty = Some(fitting(item, element)?);
    }
    let ty = match (ty, &element.family) {
        (Some(ty), _) => ty,
        (None, Family::Int(_) | Family::Bool | Family::Uuid) => element.clone(),
        (None, _) => return Err("an array without values is evaluated here".into()),
    };
    let arrow = DataType::List(Arc::new(arrow::datatypes::Field::new("item", ty.arrow.clone(), true)));
    let name = if element.name == "varchar" { VARCHARS.to_string() } else { format!("{}[]", ty.name) };
    let list = RemoteType { name, arrow, nullable: false, text: None, family: Family::Array(Box::new(ty)) };
    Ok(Scalar::Literal(Value::List(items.to_vec()), list))
}

/// NULL of an empty array, on both sides.
fn length(array: &Typed, result: &DataType) -> Result<Judgement, String> {
    if !matches!(array.ty.family, Family::Array(_)) || array.literal().is_some() || *result != DataType::Int32 {
        return Err(format!("array_length of {} as {result} is evaluated here", describe(&array.ty)));
    }
    let int4 = |nullable| plain("integer", Family::Int(32), DataType::Int32, nullable);
    let first = Scalar::Literal(Value::Int(1), int4(false));
    let made = call(Op::Function("array_length".into()), vec![array.scalar.clone(), first], int4(true));
    Ok(Judgement::exact(made.scalar, made.ty))
}

/// The number of elements. An array of several dimensions is not read here at all.
fn cardinality(array: &Typed, result: &DataType) -> Result<Judgement, String> {
    if !matches!(array.ty.family, Family::Array(_)) || array.literal().is_some() || *result != DataType::Int32 {
        return Err(format!("cardinality of {} as {result} is evaluated here", describe(&array.ty)));
    }
    let made = call(
        Op::Function("cardinality".into()),
        vec![array.scalar.clone()],
        plain("integer", Family::Int(32), result.clone(), array.ty.nullable),
    );
    Ok(Judgement::exact(made.scalar, made.ty))
}

/// The type as which a literal meets elements of a type, or why it does not.
fn fitting(value: &Value, element: &RemoteType) -> Result<RemoteType, String> {
    let fits = match (value, &element.family) {
        (Value::Int(v), Family::Int(16)) => i16::try_from(*v).is_ok(),
        (Value::Int(v), Family::Int(32)) => i32::try_from(*v).is_ok(),
        (Value::Int(_), Family::Int(64)) | (Value::Bool(_), Family::Bool) => true,
        (Value::Text(_), Family::Text) => {
            element.name != "name" && element.text.as_ref().is_some_and(|f| f.equality == Equality::Bytewise && !f.pads)
        }
        (Value::Text(s), Family::Uuid) => canonical_uuid(s),
        _ => false,
    };
    if !fits {
        return Err(format!("an element of {} does not meet this value at the source", describe(element)));
    }
    let name = if element.family == Family::Text { "text".to_string() } else { element.name.clone() };
    Ok(RemoteType { nullable: false, name, ..element.clone() })
}

/// `array[n]` counted from its first element, wherever that stands. Negative and zero subscripts stay: DataFusion counts them from the end.
fn element(array: &Typed, n: &Typed, result: &DataType) -> Result<Judgement, String> {
    let element = element_of(array)?;
    if element.arrow != *result {
        return Err("an array's element of another type is evaluated here".into());
    }
    match n.literal() {
        Some(Value::Int(at)) if (1..=1_000_000).contains(at) => {
            let offset = Scalar::Literal(Value::Int(at - 1), plain("integer", Family::Int(32), DataType::Int32, false));
            let ty = RemoteType { nullable: true, ..element.clone() };
            let made = call(Op::Source("element".into()), vec![array.scalar.clone(), offset], ty);
            Ok(Judgement::rewritten(made.scalar, made.ty, "an array is subscripted from its first element"))
        }
        _ => Err("an array's element by a subscript that is no positive literal is evaluated here".into()),
    }
}
