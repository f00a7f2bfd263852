//! Parameters in: from text and binary, by Postgres's input and receive functions, with Postgres's messages and SQLSTATEs.

mod array;
mod binary;
mod datetime;
mod fields;
pub(crate) mod interval;
pub(crate) mod text;

use crate::pgtype::{self, PgType};
use crate::{Result, SqlError, SqlState};
use bytes::Bytes;
use datafusion::common::ScalarValue;

use super::{EncodeSettings, Format};

pub(crate) use fields::parse_timetz;

/// A parameter as a value of [`PgType::to_arrow`]; `None` is NULL of that type. `settings` give the zone of a timestamptz without one, and the order
/// of an ambiguous date.
pub fn decode_param(pg: PgType, format: Format, bytes: Option<&[u8]>, settings: &EncodeSettings) -> Result<ScalarValue> {
    let Some(bytes) = bytes else {
        return ScalarValue::try_from(&pg.to_arrow()).map_err(SqlError::from);
    };
    match format {
        Format::Text => text::decode(pg, utf8(bytes)?, settings),
        Format::Binary => binary::decode(pg, bytes),
    }
}

/// A value of [`PgType::to_arrow`] from its text, as the type's input function reads it.
pub(crate) fn from_text(pg: PgType, text: &str, settings: &EncodeSettings) -> Result<ScalarValue> {
    text::decode(pg, text, settings)
}

/// All parameters of a Bind message. An error says which one it was.
pub fn decode_params(types: &[PgType], formats: &[i16], values: &[Option<Bytes>], settings: &EncodeSettings) -> Result<Vec<ScalarValue>> {
    if types.len() != values.len() {
        return Err(SqlError::new(
            SqlState::PROTOCOL_VIOLATION,
            format!("bind message supplies {} parameters, but prepared statement requires {}", values.len(), types.len()),
        ));
    }
    let formats = Format::parameters(formats, values.len())?;
    let mut out = Vec::with_capacity(values.len());
    for (i, ((pg, format), value)) in types.iter().zip(formats).zip(values).enumerate() {
        let decoded = decode_param(*pg, format, value.as_deref(), settings).map_err(|e| {
            let place = format!("Parameter ${} of type {}.", i + 1, pg.sql_name);
            let detail = e.detail.as_deref().map_or_else(|| place.clone(), |d| format!("{d} {place}"));
            e.detail(detail)
        })?;
        out.push(decoded);
    }
    Ok(out)
}

/// Text from a client: UTF-8, and without the zero byte that no Postgres text has.
fn utf8(bytes: &[u8]) -> Result<&str> {
    let bad = |sequence: &[u8]| {
        let hex: Vec<String> = sequence.iter().map(|b| format!("0x{b:02x}")).collect();
        SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, format!("invalid byte sequence for encoding \"UTF8\": {}", hex.join(" ")))
    };
    if bytes.contains(&0) {
        return Err(bad(&[0]));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        let rest = &bytes[e.valid_up_to()..];
        bad(&rest[..e.error_len().unwrap_or(rest.len()).min(4)])
    })
}

/// 22P02 with Postgres's message.
fn invalid(pg: PgType, text: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {}: \"{}\"", pg.sql_name, shorten(text)))
}

/// A parameter may be megabytes; a message should not be.
fn shorten(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

fn out_of_range(pg: PgType, text: &str) -> SqlError {
    let message = match pg {
        pgtype::FLOAT4 | pgtype::FLOAT8 => format!("\"{}\" is out of range for type {}", shorten(text), pg.sql_name),
        _ => format!("value \"{}\" is out of range for type {}", shorten(text), pg.sql_name),
    };
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}
