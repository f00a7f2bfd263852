//! Array parameters: one dimension, in text (`{1,NULL,"a b"}`) and binary.

use std::sync::Arc;

use crate::pgtype::PgType;
use crate::{Result, SqlError, SqlState};
use arrow::array::{ArrayRef, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use bytes::Buf;
use datafusion::common::ScalarValue;

use super::super::EncodeSettings;
use super::binary::{invalid, too_short};
use super::{shorten, text};

/// Postgres's MAXDIM.
const DIMENSIONS_MAX: i32 = 6;

pub(crate) fn from_text(pg: PgType, element: PgType, input: &str, settings: &EncodeSettings) -> Result<ScalarValue> {
    let items = Literal { rest: input, whole: input }.items()?;
    let values = items
        .into_iter()
        .map(|item| match item {
            Some(item) => text::decode(element, &item, settings),
            None => ScalarValue::try_from(&element.to_arrow()).map_err(SqlError::from),
        })
        .collect::<Result<Vec<_>>>()?;
    list(pg, element, values)
}

pub(crate) fn from_binary(pg: PgType, element: PgType, mut b: &[u8]) -> Result<ScalarValue> {
    if b.len() < 12 {
        return Err(too_short());
    }
    let (dimensions, flags, oid) = (b.get_i32(), b.get_i32(), b.get_u32());
    if !(0..=DIMENSIONS_MAX).contains(&dimensions) || !(0..=1).contains(&flags) {
        return Err(invalid(pg));
    }
    if oid != element.oid {
        let name = PgType::by_oid(oid).map_or_else(|| format!("OID {oid}"), |t| t.sql_name.to_string());
        return Err(SqlError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("binary data has array element type {name} instead of expected {}", element.sql_name),
        ));
    }
    if dimensions == 0 {
        return if b.is_empty() { list(pg, element, vec![]) } else { Err(invalid(pg)) };
    }
    if dimensions > 1 {
        return Err(many_dimensions());
    }
    if b.len() < 8 {
        return Err(too_short());
    }
    let count = usize::try_from(b.get_i32()).map_err(|_| invalid(pg))?;
    let _lower_bound = b.get_i32();
    // Every element has at least a length: a count beyond that is a lie, and must not become an allocation.
    if count > b.len() / 4 {
        return Err(too_short());
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        if b.len() < 4 {
            return Err(too_short());
        }
        let length = b.get_i32();
        if length == -1 {
            values.push(ScalarValue::try_from(&element.to_arrow()).map_err(SqlError::from)?);
            continue;
        }
        let length = usize::try_from(length).map_err(|_| invalid(pg))?;
        let (item, rest) = b.split_at_checked(length).ok_or_else(too_short)?;
        values.push(super::binary::decode(element, item)?);
        b = rest;
    }
    if b.is_empty() { list(pg, element, values) } else { Err(invalid(pg)) }
}

fn list(pg: PgType, element: PgType, values: Vec<ScalarValue>) -> Result<ScalarValue> {
    let DataType::List(field) = pg.to_arrow() else {
        return Err(SqlError::internal(format!("{} is no array type", pg.sql_name)));
    };
    let length = values.len();
    let items: ArrayRef = if values.is_empty() { new_empty_array(&element.to_arrow()) } else { ScalarValue::iter_to_array(values)? };
    let array = ListArray::try_new(field, OffsetBuffer::from_lengths([length]), items, None)
        .map_err(|e| SqlError::internal(format!("array parameter: {e}")))?;
    Ok(ScalarValue::List(Arc::new(array)))
}

fn many_dimensions() -> SqlError {
    SqlError::unsupported("array parameters of more than one dimension are not supported")
}

/// An array literal being read.
struct Literal<'a> {
    rest: &'a str,
    whole: &'a str,
}

impl Literal<'_> {
    fn malformed(&self, detail: &str) -> SqlError {
        SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{}\"", shorten(self.whole))).detail(detail)
    }
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }
    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn items(mut self) -> Result<Vec<Option<String>>> {
        let mut items = vec![];
        self.blanks();
        if self.rest.starts_with('[') {
            return Err(SqlError::unsupported("array parameters with explicit bounds are not supported"));
        }
        if !self.eat('{') {
            return Err(self.malformed("Array value must start with \"{\" or dimension information."));
        }
        self.blanks();
        if !self.eat('}') {
            loop {
                items.push(self.item()?);
                self.blanks();
                if self.eat('}') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.malformed("Unexpected array element."));
                }
            }
        }
        self.blanks();
        if self.rest.is_empty() { Ok(items) } else { Err(self.malformed("Junk after closing right brace.")) }
    }

    fn item(&mut self) -> Result<Option<String>> {
        self.blanks();
        if self.rest.starts_with('{') {
            return Err(many_dimensions());
        }
        let mut out = String::new();
        if self.eat('"') {
            loop {
                let mut chars = self.rest.chars();
                let c = chars.next().ok_or_else(|| self.malformed("Unexpected end of input."))?;
                self.rest = chars.as_str();
                match c {
                    '"' => return Ok(Some(out)),
                    '\\' => self.escaped(&mut out)?,
                    c => out.push(c),
                }
            }
        }
        // Unquoted: up to a comma or brace; blanks at the end do not count, unless they are escaped.
        let mut solid = 0;
        let mut escaped = false;
        while let Some(c) = self.rest.chars().next() {
            match c {
                ',' | '}' => break,
                '{' | '"' => return Err(self.malformed(&format!("Unexpected \"{c}\" character."))),
                _ => {}
            }
            self.rest = &self.rest[c.len_utf8()..];
            if c == '\\' {
                escaped = true;
                self.escaped(&mut out)?;
                solid = out.len();
            } else {
                out.push(c);
                if !is_blank(c) {
                    solid = out.len();
                }
            }
        }
        out.truncate(solid);
        if out.is_empty() && !escaped {
            return Err(self.malformed("Unexpected array element."));
        }
        Ok(if out.eq_ignore_ascii_case("null") && !escaped { None } else { Some(out) })
    }

    fn escaped(&mut self, out: &mut String) -> Result<()> {
        let c = self.rest.chars().next().ok_or_else(|| self.malformed("Unexpected end of input."))?;
        self.rest = &self.rest[c.len_utf8()..];
        out.push(c);
        Ok(())
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}
