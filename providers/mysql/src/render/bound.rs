//! Comparisons with parameters in place of integers: lookups that differ in their keys only are one statement at the source, prepared once for each
//! connection.
//!
//! Only integers that an integer column is compared with by `=` or IN become parameters: they mean there what the literal means. A text as a parameter
//! would take the session's collation, a decimal or a date be converted by rules of the statement's own.

use fjord_engine::Result;
use fjord_engine::pushdown::{Family, Op, Rel, RemoteType, Scalar, Value};

/// Parameters of one statement; a query with more values is not one that repeats.
const PARAMS_MAX: usize = 64;
/// A text longer than this is not kept.
const TEXT_BYTES_MAX: usize = 4_096;
/// The dialect's operator that is written as `?`.
pub(super) const PARAMETER: &str = "parameter";

/// A statement and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    /// With `?`.
    pub text: String,
    /// The values.
    pub values: Vec<Value>,
}

/// The query as a statement with parameters; `None` where it has none.
pub(crate) fn render_bound(rel: &Rel) -> Result<Option<Bound>> {
    let mut values = vec![];
    let Some(rel) = bind(rel, &mut values) else { return Ok(None) };
    if values.is_empty() || values.len() > PARAMS_MAX {
        return Ok(None);
    }
    let text = super::render(&rel)?.text;
    // Each value stands once, in the order in which it was taken.
    let whole = text.matches('?').count() == values.len() && text.len() <= TEXT_BYTES_MAX;
    Ok(whole.then_some(Bound { text, values }))
}

/// Only where there is one condition, over the table itself, so that the values are written in the order in which they are taken.
fn bind(rel: &Rel, values: &mut Vec<Value>) -> Option<Rel> {
    let mut inner = |input: &Rel| bind(input, values).map(Box::new);
    Some(match rel {
        Rel::Filter { input, predicate } if matches!(**input, Rel::Scan { .. }) => {
            Rel::Filter { input: input.clone(), predicate: condition(predicate, &input.types(), values) }
        }
        Rel::Project { input, exprs } => Rel::Project { input: inner(input)?, exprs: exprs.clone() },
        Rel::Sort { input, keys } => Rel::Sort { input: inner(input)?, keys: keys.clone() },
        Rel::Limit { input, skip, fetch } => Rel::Limit { input: inner(input)?, skip: *skip, fetch: *fetch },
        _ => return None,
    })
}

fn condition(s: &Scalar, columns: &[RemoteType], values: &mut Vec<Value>) -> Scalar {
    let Scalar::Call { op, args, ty } = s else { return s.clone() };
    let args = match (op, args.as_slice()) {
        (Op::And | Op::Or, args) => args.iter().map(|a| condition(a, columns, values)).collect(),
        (Op::Eq | Op::In, [column @ Scalar::Column(i), list @ ..])
            if columns.get(*i).is_some_and(is_integer) && list.iter().all(is_number) =>
        {
            std::iter::once(column.clone()).chain(list.iter().map(|l| parameter(l, values))).collect()
        }
        _ => return s.clone(),
    };
    Scalar::Call { op: op.clone(), args, ty: ty.clone() }
}

/// A year and bits are numbers by other rules.
fn is_integer(ty: &RemoteType) -> bool {
    matches!(ty.family, Family::Int(_) | Family::UInt(_)) && ty.name.contains("int")
}

fn is_number(s: &Scalar) -> bool {
    matches!(s, Scalar::Literal(Value::Int(_) | Value::UInt(_), _))
}

fn parameter(literal: &Scalar, values: &mut Vec<Value>) -> Scalar {
    let Scalar::Literal(value, ty) = literal else { return literal.clone() };
    values.push(value.clone());
    Scalar::Call { op: Op::Source(PARAMETER.into()), args: vec![literal.clone()], ty: ty.clone() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::datatypes::DataType;
    use fjord_engine::pushdown::ScanColumn;

    use super::*;

    #[test]
    fn only_integers_that_a_column_equals_become_parameters() {
        let ty = |name: &str, family, arrow| RemoteType { name: name.into(), family, arrow, nullable: true, text: None };
        let (int, year) = (ty("int", Family::Int(32), DataType::Int32), ty("year", Family::Int(16), DataType::Int16));
        let column = |name: &str, ty: &RemoteType| ScanColumn { name: name.into(), ty: ty.clone() };
        let columns = vec![column("id?", &int), column("id", &int), column("y", &year)];
        let scan = |columns: &[ScanColumn]| Box::new(Rel::Scan { schema: "d".into(), table: "t".into(), columns: columns.to_vec() });
        let number = |v| Scalar::Literal(Value::Int(v), int.clone());
        let test = |op, args| Scalar::call(op, args, RemoteType::boolean(true));
        let equal = |i, v| test(Op::Eq, vec![Scalar::Column(i), number(v)]);
        let both = test(Op::And, vec![equal(1, 7), test(Op::In, vec![Scalar::Column(1), number(7), number(-8)]), equal(2, 24)]);
        let filter = |columns: &[ScanColumn], predicate: &Scalar| Rel::Filter { input: scan(columns), predicate: predicate.clone() };
        let bound =
            render_bound(&Rel::Limit { input: Box::new(filter(&columns[1..], &equal(0, 7))), skip: 0, fetch: Some(2) }).unwrap().unwrap();
        assert_eq!((bound.text.as_str(), bound.values), ("SELECT `id`, `y` FROM `d`.`t` WHERE `id` = ? LIMIT 2", vec![Value::Int(7)]));
        // A question mark in a name: nobody could tell it from a parameter.
        assert_eq!(render_bound(&filter(&columns, &both)).unwrap(), None);
        let columns = [column("x", &int), column("id", &int), column("y", &year)];
        let bound = render_bound(&filter(&columns, &both)).unwrap().unwrap();
        assert_eq!(bound.text, "SELECT `x`, `id`, `y` FROM `d`.`t` WHERE `id` = ? AND `id` IN (?, ?) AND `y` = 24");
        assert_eq!(bound.values, [Value::Int(7), Value::Int(7), Value::Int(-8)]);
        assert_eq!(render_bound(&filter(&columns, &test(Op::Lt, vec![Scalar::Column(1), number(1)]))).unwrap(), None);
    }
}
