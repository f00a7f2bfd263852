//! Text and array functions that DataFusion has not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use fjord_engine::error::{Result, SqlError, SqlState};
use fjord_engine::pgtype::PG_TYPE;

use super::{Def, Env, Row, lax, strict};
use crate::pg_catalog::definitions::{quote_ident, quote_literal};
use crate::pg_catalog::table::Value;

pub(super) const FUNCTIONS: &[Def] = &[
    strict("quote_ident", "text", |_, r| Ok(r.text(0).map(|t| quote_ident(&t)).into())),
    strict("quote_literal", "text", |_, r| Ok(r.text(0).map(|t| quote_literal(&t)).into())),
    lax("quote_nullable", "text", |_, r| Ok(r.text(0).map_or_else(|| "NULL".to_string(), |t| quote_literal(&t)).into())),
    lax("format", "text", format),
    // Stands for a subquery that can give no row; its arguments are that subquery's parameters.
    lax("fjord_nothing", "text", |_, _| Ok(Value::Null)),
    // How many rows a scalar subquery found; NULL: none.
    strict("fjord_one_row", "bool", |_, r| match r.int(0) {
        Some(n) if n > 1 => {
            Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, "more than one row returned by a subquery used as an expression"))
        }
        _ => Ok(true.into()),
    }),
    lax("json_build_object", "json", json_object),
    // The options of a foreign server or table, as psql prints them: ARRAY(SELECT ... FROM pg_options_to_table(x)).
    strict("fjord_option_list", "_text", |_, r| {
        let options = r.texts(0).unwrap_or_default();
        let print = |o: &String| match o.split_once('=') {
            Some((name, value)) => format!("{} {}", quote_ident(name), quote_literal(value)),
            None => quote_ident(o),
        };
        Ok(Value::Texts(options.iter().map(print).collect()))
    }),
    strict("array_lower", "int4", |_, r| Ok(r.list_len(0).filter(|n| *n > 0).map(|_| first(r)).into())),
    strict("array_upper", "int4", |_, r| Ok(upper(r).into())),
    // generate_subscripts is unnest over these.
    strict("fjord_subscripts", "_int4", |_, r| {
        let Some(last) = upper(r).filter(|_| r.int(1).unwrap_or(1) == 1) else { return Ok(Value::Ints(vec![])) };
        Ok(Value::Ints((first(r)..=last).collect()))
    }),
    // LIKE with an escape character other than the backslash, which is the only one that DataFusion knows.
    strict("fjord_like_pattern", "text", |_, r| {
        let (Some(pattern), Some(escape)) = (r.text(0), r.text(1)) else { return Ok(Value::Null) };
        like_pattern(&pattern, &escape).map(Into::into)
    }),
];

/// The number of an array's first element: 0 in the vectors of pg_catalog, else 1.
fn first(r: &Row<'_>) -> i64 {
    let vector = r.field(0).and_then(|f| f.metadata().get(PG_TYPE)).is_some_and(|t| t.ends_with("vector"));
    i64::from(!vector)
}

fn upper(r: &Row<'_>) -> Option<i64> {
    let n = i64::try_from(r.list_len(0)?).ok()?;
    (n > 0).then(|| first(r) + n - 1)
}

fn like_pattern(pattern: &str, escape: &str) -> Result<String> {
    let mut chars = escape.chars();
    let e = match (chars.next(), chars.next()) {
        (e, None) => e,
        _ => {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "invalid escape string")
                .hint("Escape string must be empty or one character."));
        }
    };
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        if Some(c) == e {
            let Some(next) = rest.next() else {
                return Err(SqlError::new(SqlState::DATA_EXCEPTION, "LIKE pattern must not end with escape character"));
            };
            out.push('\\');
            out.push(next);
        } else if c == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(c);
        }
    }
    Ok(out)
}

/// `json_build_object(name, value, ...)` over scalars.
fn json_object(_: &Env, r: &Row<'_>) -> Result<Value<'static>> {
    if !r.len().is_multiple_of(2) {
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "argument list must have even number of elements"));
    }
    let mut out = String::from("{");
    for i in (0..r.len()).step_by(2) {
        let Some(name) = r.text(i) else {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "argument 1: key must not be null"));
        };
        let plain = r.field(i + 1).is_some_and(|f| f.data_type().is_numeric() || f.data_type() == &DataType::Boolean);
        let value = match r.text(i + 1) {
            None => "null".to_string(),
            Some(v) if plain => v,
            Some(v) => serde_json::Value::String(v).to_string(),
        };
        let comma = if i == 0 { "" } else { ", " };
        out.push_str(&format!("{comma}{} : {value}", serde_json::Value::String(name)));
    }
    out.push('}');
    Ok(out.into())
}

/// `format(text, ...)`: `%s`, `%I`, `%L`, `%%` and `%n$s`; no widths. <https://www.postgresql.org/docs/15/functions-string.html#FUNCTIONS-STRING-FORMAT>
fn format(_: &Env, r: &Row<'_>) -> Result<Value<'static>> {
    let Some(template) = r.text(0) else { return Ok(Value::Null) };
    let bad = |m: &str| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, m.to_string());
    let (mut out, mut next, mut chars) = (String::new(), 1, template.chars().peekable());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut digits = String::new();
        while let Some(d) = chars.next_if(char::is_ascii_digit) {
            digits.push(d);
        }
        if !digits.is_empty() {
            if chars.next() != Some('$') {
                return Err(SqlError::unsupported("format() with a width is not supported"));
            }
            next = digits.parse().map_err(|_| bad("number is out of range"))?;
        }
        let kind = chars.next().ok_or_else(|| bad("unterminated format() type specifier"))?;
        if kind == '%' {
            out.push('%');
            continue;
        }
        if next >= r.len() {
            return Err(bad("too few arguments for format()"));
        }
        let value = r.text(next);
        next += 1;
        match (kind, value) {
            ('s', v) => out.push_str(&v.unwrap_or_default()),
            ('I', Some(v)) => out.push_str(&quote_ident(&v)),
            ('I', None) => return Err(SqlError::new(SqlState::DATA_EXCEPTION, "null values cannot be formatted as an SQL identifier")),
            ('L', v) => out.push_str(&v.map_or_else(|| "NULL".to_string(), |v| quote_literal(&v))),
            (other, _) => return Err(bad(&format!("unrecognized format() type specifier \"{other}\""))),
        }
    }
    Ok(out.into())
}

/// `fjord_array_or_empty(array)`: an empty array for NULL. ARRAY(subquery) without rows is empty, `array_agg` NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ArrayOrEmpty {
    signature: Signature,
}

impl ArrayOrEmpty {
    pub(super) fn new() -> ArrayOrEmpty {
        ArrayOrEmpty { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ArrayOrEmpty {
    fn name(&self) -> &str {
        "fjord_array_or_empty"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let field = args.arg_fields.first().cloned();
        Ok(field.map_or_else(
            || Arc::new(arrow::datatypes::Field::new(self.name(), DataType::Null, true)),
            |f| Arc::new(f.as_ref().clone().with_name(self.name())),
        ))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let Some(column) = args.args.first() else { return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::Null)) };
        let column: ArrayRef = column.to_array(args.number_rows)?;
        let Some(list) = column.as_list_opt::<i32>() else { return Ok(ColumnarValue::Array(column)) };
        let DataType::List(item) = list.data_type() else { return Ok(ColumnarValue::Array(column.clone())) };
        // A NULL row may cover values in Arrow: take the valid ranges only.
        let lengths = (0..list.len()).map(|i| if list.is_null(i) { 0 } else { list.value_length(i) as usize });
        let offsets = OffsetBuffer::from_lengths(lengths);
        let parts: Vec<ArrayRef> = (0..list.len()).filter(|i| list.is_valid(*i)).map(|i| list.value(i)).collect();
        let refs: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let values = if refs.is_empty() { list.values().slice(0, 0) } else { arrow::compute::concat(&refs)? };
        Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(item.clone(), offsets, values, None)?)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn escapes_of_like_become_backslashes() {
        for (pattern, escape, out) in [("pg/_%", "/", "pg\\_%"), ("a\\b", "/", "a\\\\b"), ("a\\_", "\\", "a\\_"), ("a_", "", "a_")] {
            assert_eq!(like_pattern(pattern, escape).unwrap(), out);
        }
        assert_eq!(like_pattern("a/", "/").unwrap_err().state, SqlState::DATA_EXCEPTION);
    }
}
