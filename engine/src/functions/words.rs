//! `to_hex`, `encode` and `to_char` as Postgres writes them.
//!
//! DataFusion 55 gives a negative integer 16 digits whatever its width, base64 without `=` and line breaks, and reads the patterns of strftime.

use std::fmt::Write;

use datafusion::common::{Result, ScalarValue};

use super::rowwise::{Def, Kind, Overload, text, wrong};
use super::{to_char_number, to_char_time};
use crate::error::{SqlError, SqlState};

/// Characters of base64 in a line.
const LINE: usize = 76;

/// The functions.
pub(super) static ALL: &[Def] = &[
    Def {
        name: "to_hex",
        overloads: &[
            Overload { takes: &[Kind::Int4], gives: Kind::Text, eval: hex_of },
            Overload { takes: &[Kind::Int8], gives: Kind::Text, eval: hex_of },
        ],
    },
    Def {
        name: "to_char",
        overloads: &[
            Overload { takes: &[Kind::Timestamp, Kind::Text], gives: Kind::Text, eval: to_char_time::to_char },
            Overload { takes: &[Kind::Numeric, Kind::Text], gives: Kind::Text, eval: to_char_number::of_numeric },
            Overload { takes: &[Kind::Float8, Kind::Text], gives: Kind::Text, eval: to_char_number::of_double },
        ],
    },
    Def { name: "encode", overloads: &[Overload { takes: &[Kind::Bytea, Kind::Text], gives: Kind::Text, eval: encode }] },
];

fn hex_of(row: &[ScalarValue]) -> Result<ScalarValue> {
    match row {
        [ScalarValue::Int32(Some(v))] => text(format!("{v:x}")),
        [ScalarValue::Int64(Some(v))] => text(format!("{v:x}")),
        _ => wrong(row),
    }
}

fn encode(row: &[ScalarValue]) -> Result<ScalarValue> {
    let [ScalarValue::Binary(Some(bytes)), ScalarValue::Utf8(Some(format))] = row else { return wrong(row) };
    text(match format.to_ascii_lowercase().as_str() {
        "hex" => bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
            let _ = write!(out, "{b:02x}");
            out
        }),
        "base64" => base64(bytes),
        "escape" => escaped(bytes),
        _ => {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{format}\""))
                .hint("The encodings are hex, base64 and escape.")
                .into());
        }
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len() / 3 * 4 + bytes.len() / 57 + 5);
    for (i, three) in bytes.chunks(3).enumerate() {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let all = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * n) & 63) as usize];
            out.push(if n <= three.len() { char::from(digit) } else { '=' });
        }
        // A line is ended where it is full, also the last one.
        if three.len() == 3 && (i + 1) % (LINE / 4) == 0 {
            out.push('\n');
        }
    }
    out
}

/// Zero and bytes beyond ASCII in octal, a backslash doubled.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for b in bytes {
        match b {
            b'\\' => out.push_str("\\\\"),
            0 | 0x80.. => {
                let _ = write!(out, "\\{b:03o}");
            }
            b => out.push(char::from(*b)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded_and_broken_into_lines() {
        for (bytes, want) in [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes), want);
        }
        assert_eq!(base64(&[0; 57]).len(), LINE + 1);
        assert_eq!(base64(&[0; 58]).find('\n'), Some(LINE));
    }
}
