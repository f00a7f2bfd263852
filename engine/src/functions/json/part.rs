//! Parts of a JSON text, found by scanning: no tree is built.
//!
//! The texts are those of columns and casts, which were checked when they came in. On anything else the scan ends somewhere, without a panic.

use std::borrow::Cow;

use crate::values::json_in;

/// What a JSON text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

pub(super) fn kind(text: &str) -> Kind {
    match text.trim_start_matches(is_blank).as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// The value of a key; of equal keys in a json the last one, as in Postgres.
pub(super) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    if kind(text) != Kind::Object {
        return None;
    }
    let mut found = None;
    let mut scan = Scan::inside(text);
    while let Some(raw) = scan.value() {
        scan.separator();
        let value = scan.value()?;
        scan.separator();
        if string(raw).is_some_and(|k| k == key) {
            found = Some(value);
        }
    }
    found
}

/// The keys of an object, as they are meant.
pub(super) fn keys(text: &str) -> Vec<Cow<'_, str>> {
    let mut out = vec![];
    let mut scan = Scan::inside(text);
    while let Some(raw) = scan.value() {
        scan.separator();
        if scan.value().is_none() {
            break;
        }
        scan.separator();
        out.extend(string(raw));
    }
    out
}

/// The elements of an array.
pub(super) fn elements(text: &str) -> Vec<&str> {
    let mut out = vec![];
    let mut scan = Scan::inside(text);
    while let Some(value) = scan.value() {
        out.push(value);
        scan.separator();
    }
    out
}

/// An element of an array; a negative index counts from the end.
pub(super) fn element(text: &str, index: i64) -> Option<&str> {
    if kind(text) != Kind::Array {
        return None;
    }
    let all = elements(text);
    let at = if index < 0 { i64::try_from(all.len()).ok()?.checked_add(index)? } else { index };
    all.get(usize::try_from(at).ok()?).copied()
}

/// One step of a path: a key of an object, or the index of an array in text.
pub(super) fn step<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    match kind(text) {
        Kind::Object => field(text, name),
        Kind::Array => element(text, name.trim_start().parse::<i32>().ok()?.into()),
        _ => None,
    }
}

/// The text of a JSON string literal; `None` where it is none, or holds what no text can hold.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let raw = raw.trim_matches(is_blank);
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { json_in::string(raw).map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// A walk over the values inside of the outermost brackets.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn inside(text: &'a str) -> Scan<'a> {
        let at = text.find(['{', '[']).map_or(text.len(), |i| i + 1);
        Scan { text, at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Over a `,` or a `:`.
    fn separator(&mut self) {
        self.blanks();
        if matches!(self.peek(), Some(b',' | b':')) {
            self.at += 1;
        }
    }

    /// The next value whole; `None` at the closing bracket.
    fn value(&mut self) -> Option<&'a str> {
        self.blanks();
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' if depth == 0 => return None,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                _ if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                b',' | b':' => return None,
                _ => {
                    while matches!(self.peek(), Some(b) if !matches!(b, b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(b) = self.peek() {
            self.at += match b {
                b'\\' => 2,
                _ => 1,
            };
            if b == b'"' {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parts_are_verbatim() {
        let text = r#" {"a": [1, {"b" :  "x]\"}"}], "k\u0041": -1.5e3 , "a":{}, "":null} "#;
        assert_eq!(field(text, "a"), Some("{}"));
        assert_eq!(field(text, "kA"), Some("-1.5e3"));
        assert_eq!(field(text, ""), Some("null"));
        assert_eq!(field(text, "b"), None);
        assert_eq!(keys(text).len(), 4);
        let list = r#"[1, {"b" :  "x]\"}"}, [], "s"]"#;
        assert_eq!(elements(list), ["1", r#"{"b" :  "x]\"}"}"#, "[]", "\"s\""]);
        assert_eq!(element(list, -1), Some("\"s\""));
        assert_eq!(element(list, -5), None);
        assert_eq!(element(list, i64::MIN), None);
        assert_eq!(step(list, " 1"), Some(r#"{"b" :  "x]\"}"}"#));
        assert_eq!(step("5", "0"), None);
    }

    #[test]
    fn whatever_the_text_the_scan_ends() {
        for text in ["", "{", "[", "[\"", "{\"a\"", "{\"a\":", "[,,]", "{:}", "[}", "\\", "[\"\\", "{\"a\":1]", "[é", "{\"é\\"] {
            let _ = (field(text, "a"), element(text, 0), keys(text), elements(text), string(text), kind(text));
        }
    }
}
