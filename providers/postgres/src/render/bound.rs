//! Comparisons with parameters in place of literals: queries that differ in their values only are one statement at the source.
//!
//! A parameter means exactly what the literal means. It travels as text. Where the literal is written bare in quotes (`name = 'x'`) the parameter has
//! no type, and the server's parser resolves both by the other side; where the literal has a type, so has the parameter. Only what a comparison or an
//! IN list compares with becomes one: a LIKE pattern as a parameter loses its index, and any other literal's type may be part of the answer. An IN list
//! of several values is one parameter, an array, so that lists of all lengths are one statement.

use fjord_engine::Result;
use fjord_engine::pushdown::{Family, Op, Rel, RemoteType, Scalar, Value};

use super::literal::{Place, array_text, literal, type_name};
use crate::dialect::plain_digits;

/// Parameters of one statement; a query with more values is not one that repeats.
const PARAMS_MAX: usize = 64;
/// Bytes of an array that is a parameter.
const ARRAY_BYTES_MAX: usize = 1 << 16;
/// How the renderer knows a parameter: this, its number, `:`, its type or nothing.
const MARK: &str = "param:";

/// A statement and the text forms of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bound {
    /// With `$1`, `$2`, ...
    pub text: String,
    /// The values.
    pub values: Vec<String>,
}

/// The query as a statement with parameters; `None` where it has operators or values that are not made for it.
pub(crate) fn render_bound(rel: &Rel) -> Result<Option<Bound>> {
    let mut values = vec![];
    let Some(rel) = bind(rel, &mut values) else { return Ok(None) };
    if values.len() > PARAMS_MAX {
        return Ok(None);
    }
    Ok(Some(Bound { text: super::render(&rel)?.text, values }))
}

/// The text of a parameter made here: `$3`, `$3::bigint`.
pub(super) fn parameter(source: &str) -> Option<String> {
    let (number, ty) = source.strip_prefix(MARK)?.split_once(':')?;
    Some(if ty.is_empty() { format!("${number}") } else { format!("${number}::{ty}") })
}

fn bind(rel: &Rel, values: &mut Vec<String>) -> Option<Rel> {
    let mut inner = |input: &Rel| bind(input, values).map(Box::new);
    Some(match rel {
        Rel::Scan { .. } => rel.clone(),
        Rel::Filter { input, predicate } => {
            let input = inner(input)?;
            Rel::Filter { input, predicate: condition(predicate, values) }
        }
        Rel::Project { input, exprs } => Rel::Project { input: inner(input)?, exprs: exprs.clone() },
        Rel::Aggregate { input, keys, aggregates } => {
            Rel::Aggregate { input: inner(input)?, keys: keys.clone(), aggregates: aggregates.clone() }
        }
        Rel::Distinct { input } => Rel::Distinct { input: inner(input)? },
        Rel::Sort { input, keys } => Rel::Sort { input: inner(input)?, keys: keys.clone() },
        Rel::Limit { input, skip, fetch } => Rel::Limit { input: inner(input)?, skip: *skip, fetch: *fetch },
        Rel::Join { left, right, kind, on } => {
            let (left, right) = (inner(left)?, inner(right)?);
            Rel::Join { left, right, kind: *kind, on: on.as_ref().map(|on| condition(on, values)) }
        }
        Rel::GroupingSets { .. } | Rel::Union { .. } => return None,
    })
}

fn condition(s: &Scalar, values: &mut Vec<String>) -> Scalar {
    let Scalar::Call { op, args, ty } = s else { return s.clone() };
    if let (Op::In, [value, items @ ..]) = (op, args.as_slice())
        && let Some((text, type_name, list)) = several(items)
    {
        values.push(text);
        let parameter = Scalar::Call { op: Op::Source(format!("{MARK}{}:{type_name}", values.len())), args: vec![], ty: list };
        return Scalar::Call { op: Op::Source("any".into()), args: vec![value.clone(), parameter], ty: ty.clone() };
    }
    let compared = match op {
        Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::IsDistinctFrom | Op::IsNotDistinctFrom | Op::In | Op::NotIn => {
            true
        }
        Op::Source(name) => name.starts_with("citext_eq:"),
        _ => false,
    };
    let through = matches!(op, Op::And | Op::Or | Op::Not);
    let args = args
        .iter()
        .map(|a| match a {
            Scalar::Literal(value, ty) if compared => match carried(value, ty) {
                Some((text, type_name)) => {
                    values.push(text);
                    Scalar::Call { op: Op::Source(format!("{MARK}{}:{type_name}", values.len())), args: vec![], ty: ty.clone() }
                }
                None => a.clone(),
            },
            a if through => condition(a, values),
            a => a.clone(),
        })
        .collect();
    Scalar::Call { op: op.clone(), args, ty: ty.clone() }
}

/// The literals of an IN list as one array: its text, its type's name, its type. `None` for one, and for those that an array does not say exactly.
fn several(items: &[Scalar]) -> Option<(String, String, RemoteType)> {
    if items.len() < 2 {
        return None;
    }
    let (mut values, mut ty) = (vec![], None::<&RemoteType>);
    for item in items {
        let Scalar::Literal(value, t) = item else { return None };
        if *value != Value::Null {
            if ty.is_some_and(|o| o.family != t.family || o.name != t.name) {
                return None;
            }
            ty = Some(t);
        }
        values.push(value);
    }
    let ty = ty?;
    let text = array_text(&values, ty).filter(|t| t.len() <= ARRAY_BYTES_MAX && !t.contains('\0'))?;
    let name = format!("{}[]", type_name(ty).ok()?);
    let list = RemoteType { name: name.clone(), family: Family::Array(Box::new(ty.clone())), text: None, ..ty.clone() };
    Some((text, name, list))
}

/// The text form of a value, and the type that its literal would be written with (empty: none).
fn carried(value: &Value, ty: &RemoteType) -> Option<(String, String)> {
    match value {
        Value::Text(s) if !s.contains('\0') => Some((s.clone(), String::new())),
        Value::Int(v) if matches!(ty.family, Family::Int(16 | 32 | 64)) => Some((v.to_string(), type_name(ty).ok()?)),
        Value::Decimal(digits) if plain_digits(digits) => Some((digits.clone(), "numeric".into())),
        Value::Float32(_) | Value::Float64(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) | Value::TimestampTz(_) => {
            // `'2024-02-29'::date`: what stands in the quotes is what the type reads.
            let written = literal(value, ty, Place::Alone).ok()?;
            let (text, name) = written.strip_prefix('\'')?.split_once("'::")?;
            (!text.contains(['\'', '\\'])).then(|| (text.to_string(), name.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::datatypes::DataType;
    use fjord_engine::pushdown::ScanColumn;

    use super::*;

    fn ty(name: &str, family: Family, arrow: DataType) -> RemoteType {
        RemoteType { name: name.into(), family, arrow, nullable: true, text: None }
    }

    fn bound(conditions: Vec<Scalar>) -> Bound {
        let columns = vec![
            ScanColumn { name: "id".into(), ty: ty("bigint", Family::Int(64), DataType::Int64) },
            ScanColumn { name: "c".into(), ty: ty("text", Family::Text, DataType::Utf8) },
        ];
        let input = Box::new(Rel::Scan { schema: "public".into(), table: "t".into(), columns });
        let predicate = Scalar::call(Op::And, conditions, RemoteType::boolean(true));
        render_bound(&Rel::Filter { input, predicate }).unwrap().unwrap()
    }

    fn compare(column: usize, op: Op, values: &[(Value, RemoteType)]) -> Scalar {
        let args = std::iter::once(Scalar::Column(column)).chain(values.iter().map(|(v, t)| Scalar::Literal(v.clone(), t.clone())));
        Scalar::call(op, args.collect(), RemoteType::boolean(true))
    }

    #[test]
    fn literals_of_comparisons_become_parameters() {
        let (text, int) = (ty("text", Family::Text, DataType::Utf8), ty("integer", Family::Int(32), DataType::Int32));
        let date = ty("date", Family::Date, DataType::Date32);
        let b = bound(vec![
            compare(0, Op::Eq, &[(Value::Int(-5), int)]),
            compare(1, Op::In, &[(Value::Text("it's".into()), text.clone()), (Value::Null, text.clone())]),
            compare(1, Op::Like, &[(Value::Text("a%".into()), text)]),
            compare(0, Op::Lt, &[(Value::Date(0), date)]),
        ]);
        assert_eq!(
            b.text,
            "SELECT \"id\", \"c\" FROM \"public\".\"t\" WHERE \"id\" = $1::integer AND \"c\" = ANY ($2::text[]) AND \"c\" LIKE 'a%' AND \"id\" < $3::date"
        );
        assert_eq!(b.values, ["-5", "{\"it's\",NULL}", "1970-01-01"]);
    }

    #[test]
    fn a_text_that_the_protocol_cannot_carry_stays_where_it_was() {
        let text = ty("text", Family::Text, DataType::Utf8);
        let input = Box::new(Rel::Scan { schema: "s".into(), table: "t".into(), columns: vec![] });
        let predicate = compare(0, Op::Eq, &[(Value::Text("a\0b".into()), text)]);
        // The renderer refuses it; no parameter was made of it.
        assert!(render_bound(&Rel::Filter { input, predicate }).is_err());
    }
}
