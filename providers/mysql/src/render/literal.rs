//! The literal writer: values to SQL text that both servers read back as the same value, under any sql_mode.

use fjord_engine::pushdown::{RemoteType, Value};
use fjord_engine::{Result, SqlError, SqlState};

use crate::dialect::BYTES_COLLATION;

/// A literal.
pub(super) fn literal(value: &Value, ty: &RemoteType) -> Result<String> {
    Ok(match value {
        Value::Null => "NULL".into(),
        Value::Bool(b) => if *b { "TRUE" } else { "FALSE" }.into(),
        Value::Text(s) if ty.text.as_ref().is_some_and(|f| f.collation == BYTES_COLLATION) => bytes_of(s),
        Value::Text(s) => quoted(s),
        Value::Int(v) if *v < 0 => format!("({v})"),
        Value::Int(v) => v.to_string(),
        Value::UInt(v) => v.to_string(),
        Value::Decimal(digits) => {
            let plain = digits.strip_prefix('-').unwrap_or(digits);
            if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                return Err(SqlError::internal("a decimal literal that is no number"));
            }
            if digits.starts_with('-') { format!("({digits})") } else { digits.clone() }
        }
        // An exponent makes it a DOUBLE; Rust's shortest text reads back as the same bits.
        Value::Float64(bits) => {
            let v = f64::from_bits(*bits);
            if v < 0.0 { format!("({v:e})") } else { format!("{v:e}") }
        }
        Value::Bytes(bytes) => format!("x'{}'", hex(bytes)),
        Value::Date(days) => format!("DATE'{}'", date(i64::from(*days))),
        Value::Time(micros) => format!("TIME'{}'", clock(*micros)),
        Value::Timestamp(micros) | Value::TimestampTz(micros) => {
            format!("TIMESTAMP'{} {}'", date(micros.div_euclid(DAY)), clock(micros.rem_euclid(DAY)))
        }
        Value::Float32(_) | Value::Interval(..) | Value::List(_) => {
            return Err(SqlError::internal(format!("{value:?} was never judged safe on MySQL")));
        }
    })
}

const DAY: i64 = 86_400_000_000;

/// A backslash escapes under one sql_mode and not under another, and a NUL may end a text: such texts are written in hexadecimal.
fn plain(text: &str) -> bool {
    !text.contains(['\\', '\0', '\u{1a}', '\n', '\r'])
}

/// A text in the character set of the session.
pub(super) fn quoted(text: &str) -> String {
    match plain(text) {
        true => format!("'{}'", text.replace('\'', "''")),
        false => format!("_utf8mb4 x'{}'", hex(text.as_bytes())),
    }
}

/// The bytes of a text.
fn bytes_of(text: &str) -> String {
    match plain(text) {
        true => format!("_binary'{}'", text.replace('\'', "''")),
        false => format!("x'{}'", hex(text.as_bytes())),
    }
}

/// An identifier, always quoted.
pub(super) fn identifier(name: &str) -> Result<String> {
    if name.contains('\0') || name.is_empty() {
        return Err(SqlError::new(SqlState::INVALID_NAME, "an identifier is not empty and has no NUL character"));
    }
    Ok(format!("`{}`", name.replace('`', "``")))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

/// `2024-02-29`, of days since 1970-01-01; the judge lets only years of four digits pass.
fn date(days: i64) -> String {
    // Eras of 400 years from 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let whole = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match micros % 1_000_000 {
        0 => whole,
        fraction => format!("{whole}.{fraction:06}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quotes_and_backslashes() {
        assert_eq!(quoted("O'Brien"), "'O''Brien'");
        assert_eq!(quoted("\\' OR 1=1 -- "), "_utf8mb4 x'5c27204f5220313d31202d2d20'");
        assert_eq!(quoted("a\0b"), "_utf8mb4 x'610062'");
        assert_eq!(bytes_of("é"), "_binary'é'");
        assert_eq!(bytes_of("\\"), "x'5c'");
        assert_eq!(identifier("a`b").unwrap(), "`a``b`");
        assert!(identifier("a\0").is_err() && identifier("").is_err());
    }

    #[test]
    fn numbers_and_dates() {
        let ty = RemoteType::boolean(false);
        let of = |v: Value| literal(&v, &ty).unwrap();
        assert_eq!(of(Value::Float64(0.1f64.to_bits())), "1e-1");
        assert_eq!(of(Value::Float64((-0.0f64).to_bits())), "-0e0");
        assert_eq!(of(Value::Int(i64::MIN)), "(-9223372036854775808)");
        assert_eq!(of(Value::UInt(u64::MAX)), "18446744073709551615");
        assert_eq!(of(Value::Timestamp(-1)), "TIMESTAMP'1969-12-31 23:59:59.999999'");
        assert_eq!(of(Value::Date(2_932_896)), "DATE'9999-12-31'");
        assert_eq!(of(Value::Date(-354_285)), "DATE'1000-01-01'");
        assert!(literal(&Value::Decimal("1; DROP".into()), &ty).is_err());
    }
}
