//! The literal writer: values to SQL text that Postgres reads back as the same value.
//!
//! COPY takes no bind parameters, so values go into the text. Each is written from its typed value; a text is quoted, with `E''` and doubled
//! backslashes where it holds a backslash, so that it does not depend on `standard_conforming_strings`.

use fjord_engine::pushdown::{Family, RemoteType, Value};
use fjord_engine::{Result, SqlError, SqlState};

use crate::dialect::plain_digits;

/// Where a literal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Beside an expression of a known type, which the parser resolves it to: texts and numbers are written bare.
    Beside,
    /// Where its type is part of the answer (select list, CASE, arithmetic): always with its type.
    Alone,
}

/// A literal.
pub(super) fn literal(value: &Value, ty: &RemoteType, place: Place) -> Result<String> {
    let text = match value {
        Value::Null if place == Place::Beside => return Ok("NULL".into()),
        Value::Null => return Ok(format!("NULL::{}", type_name(ty)?)),
        Value::Bool(b) => return Ok(if *b { "true" } else { "false" }.into()),
        Value::Text(s) if place == Place::Beside => return quoted(s),
        Value::Text(s) => quoted(s)?,
        Value::Int(v) if place == Place::Beside && ty.family != Family::Date => return Ok(integer(*v)),
        Value::Int(v) if *v == i64::MIN || ty.family == Family::Date => format!("'{v}'"),
        Value::Int(v) => integer(*v),
        Value::UInt(v) => format!("'{v}'"),
        Value::Decimal(digits) if !plain_digits(digits) => return Err(SqlError::internal("a decimal literal that is no number")),
        Value::Decimal(digits) => {
            let number = if digits.starts_with('-') { format!("({digits})") } else { digits.clone() };
            if place == Place::Beside {
                return Ok(number);
            }
            number
        }
        Value::Float32(bits) => format!("'{}'", float(f64::from(f32::from_bits(*bits)), format!("{:e}", f32::from_bits(*bits)))),
        Value::Float64(bits) => format!("'{}'", float(f64::from_bits(*bits), format!("{:e}", f64::from_bits(*bits)))),
        Value::Bytes(bytes) => format!("E'\\\\x{}'", hex(bytes)),
        Value::Date(i32::MAX) | Value::Timestamp(i64::MAX) | Value::TimestampTz(i64::MAX) => "'infinity'".into(),
        Value::Date(i32::MIN) | Value::Timestamp(i64::MIN) | Value::TimestampTz(i64::MIN) => "'-infinity'".into(),
        Value::Date(days) => {
            let (date, era) = date(i64::from(*days));
            format!("'{date}{era}'")
        }
        Value::Time(micros) => format!("'{}'", clock(*micros)),
        Value::Timestamp(micros) => {
            let (day, time) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
            let (date, era) = date(day);
            format!("'{date} {}{era}'", clock(time))
        }
        Value::TimestampTz(micros) => {
            let (day, time) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
            let (date, era) = date(day);
            format!("'{date} {}+00{era}'", clock(time))
        }
        Value::Interval(months, days, micros) => {
            let sign = if *micros < 0 { "-" } else { "" };
            let magnitude = micros.unsigned_abs();
            let (hours, rest) = (magnitude / 3_600_000_000, magnitude % 3_600_000_000);
            format!(
                "'{months} mons {days} days {sign}{hours}:{:02}:{:02}.{:06}'",
                rest / 60_000_000,
                rest / 1_000_000 % 60,
                rest % 1_000_000
            )
        }
        Value::List(items) => return list(items, ty),
    };
    Ok(format!("{text}::{}", type_name(ty)?))
}

const DAY: i64 = 86_400_000_000;

/// A text in quotes. Quotes are doubled; a text with a backslash is written as `E''` with the backslash doubled: safe under every setting.
pub(super) fn quoted(text: &str) -> Result<String> {
    if text.contains('\0') {
        return Err(SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "a text with a NUL character cannot be sent to Postgres"));
    }
    let mut out = String::with_capacity(text.len() + 3);
    let escape = text.contains('\\');
    out.push_str(if escape { "E'" } else { "'" });
    for c in text.chars() {
        if c == '\'' || c == '\\' {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    Ok(out)
}

/// An identifier, always quoted.
pub(super) fn identifier(name: &str) -> Result<String> {
    if name.contains('\0') || name.is_empty() {
        return Err(SqlError::new(SqlState::INVALID_NAME, "an identifier of Postgres is not empty and has no NUL character"));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// The built-in type that a family is written as. Names from the source are never written: they are data.
pub(super) fn type_name(ty: &RemoteType) -> Result<String> {
    Ok(match &ty.family {
        Family::Bool => "boolean",
        Family::Int(16) => "smallint",
        Family::Int(32) => "integer",
        Family::Int(64) => "bigint",
        Family::UInt(32) => "oid",
        Family::UInt(64) => "bigint",
        Family::Float(32) => "real",
        Family::Float(64) => "double precision",
        Family::Decimal(_) => "numeric",
        Family::Text | Family::Bpchar | Family::Citext | Family::Enum(_) | Family::Other => "text",
        Family::Bytes => "bytea",
        Family::Date => "date",
        Family::Time => "time",
        Family::Timestamp => "timestamp",
        Family::TimestampTz => "timestamptz",
        Family::Interval => "interval",
        Family::Uuid => "uuid",
        Family::Json => "json",
        Family::Jsonb => "jsonb",
        Family::Array(element) => return Ok(format!("{}[]", type_name(element)?)),
        Family::Int(_) | Family::UInt(_) | Family::Float(_) => {
            return Err(SqlError::internal(format!("Postgres has no type for {:?}", ty.family)));
        }
    }
    .into())
}

fn integer(v: i64) -> String {
    match v {
        // The parser reads the digits first, which are no bigint.
        i64::MIN => "'-9223372036854775808'::bigint".into(),
        v if v < 0 => format!("({v})"),
        v => v.to_string(),
    }
}

/// `exponent` is Rust's shortest text that reads back as the same bits.
fn float(v: f64, exponent: String) -> String {
    if v.is_nan() {
        "NaN".into()
    } else if v.is_infinite() {
        if v > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        let plain = exponent.strip_suffix("e0").map(str::to_string);
        plain.unwrap_or(exponent)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

/// `2024-02-29` and ` BC` or nothing, of days since 1970-01-01 in the proleptic Gregorian calendar.
fn date(days: i64) -> (String, &'static str) {
    // Eras of 400 years from 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // There is no year 0: astronomical 0 is 1 BC.
    let (shown, suffix) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{shown:04}-{month:02}-{day:02}"), suffix)
}

fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let whole = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match micros % 1_000_000 {
        0 => whole,
        fraction => format!("{whole}.{fraction:06}"),
    }
}

/// `'{1,NULL,3}'::integer[]`: the values as one constant. `None` for types whose comparison depends on how the literal is resolved (a `name` beside
/// its literal, a bpchar, an enum's label), or whose array form is not plain.
pub(super) fn array(values: &[&Value], element: &RemoteType) -> Result<Option<String>> {
    let Some(text) = array_text(values, element) else { return Ok(None) };
    Ok(Some(format!("{}::{}[]", quoted(&text)?, type_name(element)?)))
}

/// What stands in the quotes of such a constant.
pub(super) fn array_text(values: &[&Value], element: &RemoteType) -> Option<String> {
    match &element.family {
        Family::Int(_) | Family::Decimal(_) | Family::Uuid => {}
        Family::Text if element.name != "name" => {}
        _ => return None,
    }
    let mut text = String::with_capacity(values.len() * 8);
    for value in values {
        text.push(if text.is_empty() { '{' } else { ',' });
        match value {
            Value::Null => text.push_str("NULL"),
            Value::Int(v) => text.push_str(&v.to_string()),
            Value::Decimal(digits) if plain_digits(digits) => text.push_str(digits),
            Value::Text(s) => {
                text.push('"');
                for c in s.chars() {
                    if c == '"' || c == '\\' {
                        text.push('\\');
                    }
                    text.push(c);
                }
                text.push('"');
            }
            _ => return None,
        }
    }
    text.push('}');
    Some(text)
}

/// The type of an array of varchars.
pub(crate) const VARCHARS: &str = "character varying[]";

fn list(items: &[Value], ty: &RemoteType) -> Result<String> {
    let Family::Array(element) = &ty.family else {
        return Err(SqlError::internal("a list literal whose type is no array"));
    };
    let parts = items.iter().map(|v| literal(v, element, Place::Alone)).collect::<Result<Vec<_>>>()?;
    // Operators of arrays want one type on both sides: a varchar[] meets no text[], as a varchar meets a text.
    let name = if ty.name == VARCHARS { VARCHARS.to_string() } else { type_name(ty)? };
    Ok(format!("ARRAY[{}]::{name}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quotes_and_backslashes() {
        assert_eq!(quoted("O'Brien").unwrap(), "'O''Brien'");
        assert_eq!(quoted("\\' OR 1=1 --").unwrap(), "E'\\\\'' OR 1=1 --'");
        assert_eq!(quoted("").unwrap(), "''");
        assert!(quoted("a\0b").is_err());
        assert_eq!(identifier("a\"b").unwrap(), "\"a\"\"b\"");
        assert!(identifier("a\0").is_err());
    }

    #[test]
    fn arrays_of_values() {
        let of = |family: Family, values: &[Value]| {
            let ty = RemoteType { name: "text".into(), family, arrow: arrow::datatypes::DataType::Utf8, nullable: false, text: None };
            array(&values.iter().collect::<Vec<_>>(), &ty).unwrap()
        };
        assert_eq!(of(Family::Int(32), &[Value::Int(1), Value::Null, Value::Int(-3)]).unwrap(), "'{1,NULL,-3}'::integer[]");
        let nasty = ["a", "", "NULL", "{,}", "O'x", "\\", "\""].map(|t| Value::Text(t.into()));
        assert_eq!(of(Family::Text, &nasty).unwrap(), r#"E'{"a","","NULL","{,}","O''x","\\\\","\\""}'::text[]"#);
        assert!(array(&[&Value::Text("a\0".into())], &RemoteType::boolean(false)).unwrap().is_none());
        assert!(of(Family::Text, &[Value::Bool(true)]).is_none());
    }

    #[test]
    fn calendar() {
        assert_eq!(date(0), ("1970-01-01".into(), ""));
        assert_eq!(date(-1), ("1969-12-31".into(), ""));
        assert_eq!(date(19_782), ("2024-02-29".into(), ""));
        assert_eq!(date(-719_528), ("0001-01-01".into(), " BC"));
        assert_eq!(date(-2_440_588), ("4714-11-24".into(), " BC"));
        assert_eq!(date(2_145_042_905), ("5874897-12-31".into(), ""));
    }

    #[test]
    fn numbers() {
        assert_eq!(integer(-5), "(-5)");
        assert_eq!(integer(i64::MIN), "'-9223372036854775808'::bigint");
        assert_eq!(float(-0.0, format!("{:e}", -0.0f64)), "-0");
        assert_eq!(float(1e300, format!("{:e}", 1e300)), "1e300");
        assert_eq!(float(0.1, format!("{:e}", 0.1)), "1e-1");
    }
}
