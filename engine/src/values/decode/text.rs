//! Parameters in text.

use crate::pgtype::{self, PgType};
use crate::{Result, SqlError, SqlState};
use arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;

use super::super::decimal::{Numeric, UNCONSTRAINED};
use super::super::{EncodeSettings, json_in, net};
use super::{array, datetime, interval, invalid, out_of_range, shorten};

/// Longest name, as NAMEDATALEN - 1: longer ones are cut, as Postgres does.
const NAME_BYTES_MAX: usize = 63;

pub(crate) fn decode(pg: PgType, text: &str, settings: &EncodeSettings) -> Result<ScalarValue> {
    if let Some(element) = pg.element() {
        return array::from_text(pg, element, text, settings);
    }
    let held_as_text = |t: Option<String>| t.map(|t| ScalarValue::Utf8(Some(t))).ok_or_else(|| invalid(pg, text));
    Ok(match pg {
        pgtype::BOOL => ScalarValue::Boolean(Some(boolean(text).ok_or_else(|| invalid(pg, text))?)),
        pgtype::INT2 => ScalarValue::Int16(Some(i16::try_from(integer(pg, text)?).map_err(|_| out_of_range(pg, text))?)),
        pgtype::INT4 => ScalarValue::Int32(Some(i32::try_from(integer(pg, text)?).map_err(|_| out_of_range(pg, text))?)),
        pgtype::INT8 => ScalarValue::Int64(Some(i64::try_from(integer(pg, text)?).map_err(|_| out_of_range(pg, text))?)),
        pgtype::OID => ScalarValue::UInt32(Some(oid(pg, text)?)),
        pgtype::REGCLASS | pgtype::REGTYPE | pgtype::REGPROC => {
            let by_number = || {
                SqlError::unsupported(format!("a parameter of type {} must be given as a number", pg.sql_name))
                    .hint(format!("Declare the parameter as text and cast it: $1::text::{}.", pg.sql_name))
            };
            if !text.trim().bytes().all(|b| b.is_ascii_digit()) || text.trim().is_empty() {
                return Err(by_number());
            }
            ScalarValue::UInt32(Some(oid(pg, text)?))
        }
        pgtype::FLOAT4 => ScalarValue::Float32(Some(float4(text)?)),
        pgtype::FLOAT8 => ScalarValue::Float64(Some(float8(text)?)),
        pgtype::NUMERIC => {
            let numeric = Numeric::parse(text).ok_or_else(|| invalid(pg, text))?;
            ScalarValue::Decimal256(Some(numeric.to_unconstrained()?), UNCONSTRAINED.0, UNCONSTRAINED.1)
        }
        pgtype::BYTEA => ScalarValue::Binary(Some(bytea(text)?)),
        pgtype::DATE => ScalarValue::Date32(Some(datetime::date(text, settings)?)),
        pgtype::TIME => ScalarValue::Time64Microsecond(Some(datetime::time(text, settings)?)),
        pgtype::TIMESTAMP => ScalarValue::TimestampMicrosecond(Some(datetime::timestamp(text, false, settings)?), None),
        pgtype::TIMESTAMPTZ => ScalarValue::TimestampMicrosecond(Some(datetime::timestamp(text, true, settings)?), Some("UTC".into())),
        pgtype::INTERVAL => {
            let (months, days, usecs) = interval::parse(text)?;
            interval_scalar(months, days, usecs)?
        }
        pgtype::TIMETZ => held_as_text(datetime::timetz_canonical(text, settings))?,
        pgtype::UUID => held_as_text(net::parse_uuid(text.trim_end_matches('\0').as_bytes()).map(|b| {
            let mut out = bytes::BytesMut::new();
            super::super::number::put_uuid_text(&b, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        }))?,
        pgtype::INET => held_as_text(net::Inet::parse(text, false).map(net::Inet::to_text))?,
        pgtype::CIDR => match (net::Inet::parse(text, true), net::Inet::parse(text, false)) {
            (Some(cidr), _) => ScalarValue::Utf8(Some(cidr.to_text())),
            (None, Some(_)) => {
                return Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid cidr value: \"{}\"", shorten(text)))
                    .detail("Value has bits set to right of mask."));
            }
            (None, None) => return Err(invalid(pg, text)),
        },
        pgtype::MACADDR => held_as_text(net::parse_mac(text, false).map(|b| net::mac_text(&b)))?,
        pgtype::MACADDR8 => held_as_text(net::parse_mac(text, true).map(|b| net::mac_text(&b)))?,
        pgtype::BIT | pgtype::VARBIT => ScalarValue::Utf8(Some(bits(pg, text)?)),
        pgtype::JSON => {
            json_in::check(text).map_err(|e| json_error(pg, text, &e))?;
            ScalarValue::Utf8(Some(text.to_string()))
        }
        pgtype::JSONB => ScalarValue::Utf8(Some(jsonb(text)?)),
        pgtype::NAME => ScalarValue::Utf8(Some(cut(text, NAME_BYTES_MAX).to_string())),
        pgtype::CHAR => ScalarValue::Utf8(Some(text.chars().next().map(String::from).unwrap_or_default())),
        // Trailing blanks of a bpchar mean nothing; Fjord holds it without them.
        pgtype::BPCHAR => ScalarValue::Utf8(Some(text.trim_end_matches(' ').to_string())),
        _ => ScalarValue::Utf8(Some(text.to_string())),
    })
}

/// An interval as Arrow holds it; beyond what 64 bits of nanoseconds can, 22008.
pub(crate) fn interval_scalar(months: i32, days: i32, usecs: i64) -> Result<ScalarValue> {
    let nanoseconds = usecs.checked_mul(1_000).ok_or_else(|| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"))?;
    Ok(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanoseconds))))
}

/// The canonical text of a jsonb.
pub(crate) fn jsonb(text: &str) -> Result<String> {
    json_in::canonical(text).map_err(|e| json_error(pgtype::JSON, text, &e))
}

pub(crate) fn json_error(pg: PgType, text: &str, e: &json_in::NotJson) -> SqlError {
    if e.too_deep {
        return SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "JSON is nested too deeply").hint("At most 512 levels are read.");
    }
    let token: String = text.get(e.at..).unwrap_or("").chars().take(20).collect();
    let detail =
        if token.is_empty() { "The input string ended unexpectedly.".to_string() } else { format!("Unexpected input near \"{token}\".") };
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {}", pg.sql_name)).detail(detail)
}

/// As C's isspace in the C locale, which is what Postgres's input functions skip.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b')
}

fn boolean(text: &str) -> Option<bool> {
    let t = trim(text).to_ascii_lowercase();
    let prefix = |word: &str, least: usize| t.len() >= least && word.starts_with(t.as_str());
    match t.as_str() {
        "1" | "on" => Some(true),
        "0" => Some(false),
        _ if prefix("true", 1) || prefix("yes", 1) => Some(true),
        _ if prefix("false", 1) || prefix("no", 1) || prefix("off", 2) => Some(false),
        _ => None,
    }
}

fn integer(pg: PgType, text: &str) -> Result<i128> {
    let t = trim(text);
    let digits = t.strip_prefix(['+', '-']).unwrap_or(t);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(pg, text));
    }
    t.parse().map_err(|_| out_of_range(pg, text))
}

fn oid(pg: PgType, text: &str) -> Result<u32> {
    let v = integer(pg, text)?;
    // oidin takes -1 as 4294967295, and so on.
    u32::try_from(v).or_else(|_| i32::try_from(v).map(|n| n as u32)).map_err(|_| out_of_range(pg, text))
}

fn float8(text: &str) -> Result<f64> {
    let t = float_text(pgtype::FLOAT8, text)?;
    let v: f64 = t.parse().map_err(|_| invalid(pgtype::FLOAT8, text))?;
    let named = t.contains(['n', 'N']);
    let vanished = v == 0.0 && mantissa_is_not_zero(t);
    if (v.is_infinite() && !named) || vanished { Err(out_of_range(pgtype::FLOAT8, text)) } else { Ok(v) }
}

fn float4(text: &str) -> Result<f32> {
    let t = float_text(pgtype::FLOAT4, text)?;
    let v: f32 = t.parse().map_err(|_| invalid(pgtype::FLOAT4, text))?;
    let named = t.contains(['n', 'N']);
    let vanished = v == 0.0 && mantissa_is_not_zero(t);
    if (v.is_infinite() && !named) || vanished { Err(out_of_range(pgtype::FLOAT4, text)) } else { Ok(v) }
}

fn mantissa_is_not_zero(t: &str) -> bool {
    t.split(['e', 'E']).next().is_some_and(|m| m.bytes().any(|b| (b'1'..=b'9').contains(&b)))
}

/// What Postgres and std both read as a float.
fn float_text(pg: PgType, text: &str) -> Result<&str> {
    let t = trim(text);
    let body = t.strip_prefix(['+', '-']).unwrap_or(t);
    let word = ["nan", "inf", "infinity"].iter().any(|w| body.eq_ignore_ascii_case(w));
    let number = body.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if word || number { Ok(t) } else { Err(invalid(pg, text)) }
}

fn bytea(text: &str) -> Result<Vec<u8>> {
    let wrong = || SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea");
    if let Some(hex) = text.strip_prefix("\\x") {
        let digits: String = hex.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')).collect();
        if let Some(c) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid hexadecimal digit: \"{c}\"")));
        }
        return net::hex(&digits)
            .ok_or_else(|| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "invalid hexadecimal data: odd number of digits"));
    }
    // The old escape format: `\\` is a backslash, `\ooo` a byte.
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((b, after)) = rest.split_first() {
        rest = after;
        if *b != b'\\' {
            out.push(*b);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                out.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => return Err(wrong()),
        }
    }
    Ok(out)
}

fn bits(pg: PgType, text: &str) -> Result<String> {
    let t = trim(text);
    let (hex, digits) = match t.as_bytes().first() {
        Some(b'x' | b'X') => (true, &t[1..]),
        Some(b'b' | b'B') => (false, &t[1..]),
        _ => (false, t),
    };
    let wrong = |c: char| {
        let kind = if hex { "hexadecimal" } else { "binary" };
        SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("\"{c}\" is not a valid {kind} digit"))
            .detail(format!("The type is {}.", pg.sql_name))
    };
    let mut out = String::with_capacity(digits.len());
    for c in digits.chars() {
        match (hex, c) {
            (false, '0' | '1') => out.push(c),
            (true, _) => {
                let n = c.to_digit(16).ok_or_else(|| wrong(c))?;
                out.extend((0..4).rev().map(|bit| if n >> bit & 1 == 1 { '1' } else { '0' }));
            }
            _ => return Err(wrong(c)),
        }
    }
    Ok(out)
}

/// Cut to so many bytes at a character's boundary.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
