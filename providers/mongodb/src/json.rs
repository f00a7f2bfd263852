//! BSON as relaxed extended JSON, version 2: the form in which columns of mixed types are read.
//!
//! <https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md>. Fields stay in the order of the document, and a field
//! that occurs twice is written twice. Layout: no blanks, as `json` of Postgres would keep what it was given.

use std::fmt::Write;

use bson::RawDocument;
use bson::raw::RawBsonRef;

/// Nesting deeper than this is refused; the server's own limit is 100 for what is stored, 200 for what it computes.
const DEPTH_MAX: usize = 300;

/// Why a value cannot be written.
pub(crate) type Unwritable = String;

/// Appends a document.
pub(crate) fn document(out: &mut String, doc: &RawDocument) -> Result<(), Unwritable> {
    object(out, doc, 0)
}

/// Appends a value.
pub(crate) fn value(out: &mut String, v: RawBsonRef<'_>) -> Result<(), Unwritable> {
    one(out, v, 0)
}

fn object(out: &mut String, doc: &RawDocument, depth: usize) -> Result<(), Unwritable> {
    if depth > DEPTH_MAX {
        return Err(format!("a document nests deeper than {DEPTH_MAX}"));
    }
    out.push('{');
    for (i, element) in doc.iter_elements().enumerate() {
        let element = element.map_err(|e| e.to_string())?;
        if i > 0 {
            out.push(',');
        }
        string(out, element.key().as_str());
        out.push(':');
        one(out, element.value().map_err(|e| e.to_string())?, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

fn one(out: &mut String, v: RawBsonRef<'_>, depth: usize) -> Result<(), Unwritable> {
    match v {
        RawBsonRef::Null => out.push_str("null"),
        RawBsonRef::Boolean(b) => out.push_str(if b { "true" } else { "false" }),
        RawBsonRef::Int32(n) => put(out, format_args!("{n}")),
        RawBsonRef::Int64(n) => put(out, format_args!("{n}")),
        RawBsonRef::Double(d) => double(out, d),
        RawBsonRef::String(s) => string(out, s),
        RawBsonRef::Document(d) => object(out, d, depth)?,
        RawBsonRef::Array(a) => {
            if depth > DEPTH_MAX {
                return Err(format!("an array nests deeper than {DEPTH_MAX}"));
            }
            out.push('[');
            for (i, element) in a.iter_elements().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                let item = element.and_then(|e| e.value()).map_err(|e| e.to_string())?;
                one(out, item, depth + 1)?;
            }
            out.push(']');
        }
        RawBsonRef::ObjectId(id) => put(out, format_args!("{{\"$oid\":\"{}\"}}", id.to_hex())),
        RawBsonRef::DateTime(d) => date(out, d.timestamp_millis()),
        RawBsonRef::Decimal128(d) => put(out, format_args!("{{\"$numberDecimal\":\"{d}\"}}")),
        RawBsonRef::Binary(b) => {
            out.push_str("{\"$binary\":{\"base64\":\"");
            base64(out, b.bytes);
            put(out, format_args!("\",\"subType\":\"{:02x}\"}}}}", u8::from(b.subtype)));
        }
        RawBsonRef::RegularExpression(r) => {
            out.push_str("{\"$regularExpression\":{\"pattern\":");
            string(out, r.pattern.as_str());
            out.push_str(",\"options\":");
            string(out, r.options.as_str());
            out.push_str("}}");
        }
        RawBsonRef::Timestamp(t) => put(out, format_args!("{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}", t.time, t.increment)),
        RawBsonRef::JavaScriptCode(c) => {
            out.push_str("{\"$code\":");
            string(out, c);
            out.push('}');
        }
        RawBsonRef::JavaScriptCodeWithScope(c) => {
            out.push_str("{\"$code\":");
            string(out, c.code);
            out.push_str(",\"$scope\":");
            object(out, c.scope, depth + 1)?;
            out.push('}');
        }
        RawBsonRef::Symbol(s) => {
            out.push_str("{\"$symbol\":");
            string(out, s);
            out.push('}');
        }
        RawBsonRef::Undefined => out.push_str("{\"$undefined\":true}"),
        RawBsonRef::MinKey => out.push_str("{\"$minKey\":1}"),
        RawBsonRef::MaxKey => out.push_str("{\"$maxKey\":1}"),
        // Deprecated for a decade, and its parts are not given out: shown by the library's own form.
        RawBsonRef::DbPointer(_) => return Err("a DBPointer (deprecated) has no form here".into()),
    }
    Ok(())
}

/// Writing to a String cannot fail.
fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(args);
}

/// The shortest digits that read back as the same double, with a point where they would read as an integer.
fn double(out: &mut String, d: f64) {
    let special = match d {
        d if d.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => {
            let start = out.len();
            let magnitude = d.abs();
            if magnitude != 0.0 && !(1e-5..1e16).contains(&magnitude) {
                put(out, format_args!("{d:e}"));
            } else {
                put(out, format_args!("{d:?}"));
            }
            if !out[start..].contains(['.', 'e']) {
                out.push_str(".0");
            }
            return;
        }
    };
    put(out, format_args!("{{\"$numberDouble\":\"{special}\"}}"));
}

/// ISO 8601 between the years 1970 and 9999, else milliseconds.
fn date(out: &mut String, millis: i64) {
    const YEAR_10000: i64 = 253_402_300_800_000;
    if !(0..YEAR_10000).contains(&millis) {
        return put(out, format_args!("{{\"$date\":{{\"$numberLong\":\"{millis}\"}}}}"));
    }
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (y, m, d) = civil(days);
    let (h, min, s, ms) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60, of_day % 1_000);
    put(out, format_args!("{{\"$date\":\"{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{s:02}"));
    if ms != 0 {
        put(out, format_args!(".{ms:03}"));
    }
    out.push_str("Z\"}");
}

/// Year, month and day of days since 1970 (of the proleptic Gregorian calendar), by counting eras of 400 years from March.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The canonical form of a UUID.
pub(crate) fn uuid(out: &mut String, bytes: &[u8]) {
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        put(out, format_args!("{b:02x}"));
    }
}

fn base64(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
}

/// A JSON string.
pub(crate) fn string(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => put(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bson::{Bson, RawDocumentBuf, doc};

    use super::*;

    fn shown(v: impl Into<Bson>) -> String {
        let raw = RawDocumentBuf::try_from(&doc! { "v": v.into() }).unwrap();
        let mut out = String::new();
        value(&mut out, raw.get("v").unwrap().unwrap()).unwrap();
        out
    }

    #[test]
    fn numbers_dates_and_texts() {
        for (v, want) in [
            (Bson::Int64(i64::MIN), "-9223372036854775808"),
            (Bson::Double(1.0), "1.0"),
            (Bson::Double(-0.0), "-0.0"),
            (Bson::Double(1e300), "1e300"),
            (Bson::Double(0.1), "0.1"),
            (Bson::Double(f64::NAN), "{\"$numberDouble\":\"NaN\"}"),
            (Bson::DateTime(bson::DateTime::from_millis(0)), "{\"$date\":\"1970-01-01T00:00:00Z\"}"),
            (Bson::DateTime(bson::DateTime::from_millis(1_709_164_799_999)), "{\"$date\":\"2024-02-28T23:59:59.999Z\"}"),
            (Bson::DateTime(bson::DateTime::from_millis(253_402_300_799_999)), "{\"$date\":\"9999-12-31T23:59:59.999Z\"}"),
            (Bson::DateTime(bson::DateTime::from_millis(-1)), "{\"$date\":{\"$numberLong\":\"-1\"}}"),
            (Bson::String("a\"\\\n\u{1}é".into()), "\"a\\\"\\\\\\n\\u0001é\""),
            (Bson::Array(vec![Bson::Null, Bson::Boolean(true)]), "[null,true]"),
            (Bson::Undefined, "{\"$undefined\":true}"),
        ] {
            assert_eq!(shown(v), want);
        }
        for (bytes, want) in [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")] {
            let mut out = String::new();
            base64(&mut out, bytes);
            assert_eq!(out, want);
        }
    }
}
