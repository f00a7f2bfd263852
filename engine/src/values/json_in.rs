//! JSON in: checked, and for jsonb brought into the form in which Postgres prints it.
//!
//! A jsonb column reaches Fjord as Postgres's own canonical text, so a parameter must have it too: else `doc = $1` would compare two spellings.

use super::decimal::Numeric;
use super::json_out::put_json_string;
use bytes::{BufMut, BytesMut};

/// Arrays and objects inside one another, at most: recursion must not exhaust the stack.
const DEPTH_MAX: usize = 512;

/// A parsed JSON value; numbers and strings as jsonb keeps them.
#[derive(Debug)]
enum Json {
    Plain(&'static str),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Where a text stops being JSON: the byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotJson {
    pub(crate) at: usize,
    pub(crate) too_deep: bool,
}

/// Checks a JSON text.
pub(crate) fn check(text: &str) -> Result<(), NotJson> {
    parse(text).map(|_| ())
}

/// A text as jsonb prints it: keys by length and bytes, the last of equal keys, one blank after `:` and `,`, numbers without exponent.
pub(crate) fn canonical(text: &str) -> Result<String, NotJson> {
    let value = parse(text)?;
    let mut out = BytesMut::with_capacity(text.len() + 16);
    put(&value, &mut out);
    String::from_utf8(out.to_vec()).map_err(|_| NotJson { at: 0, too_deep: false })
}

/// The text that a JSON string stands for; `None` where it is none that a text can hold.
pub(crate) fn string(literal: &str) -> Option<String> {
    match parse(literal) {
        Ok(Json::String(s)) => Some(s),
        _ => None,
    }
}

/// `jsonb @> jsonb`: every part of the second is in the first (JsonbDeepContains). An array also contains a scalar that is one of its elements.
pub(crate) fn contains(whole: &str, part: &str) -> Result<bool, NotJson> {
    let (whole, part) = (parse(whole)?, parse(part)?);
    Ok(match (&whole, &part) {
        (Json::Array(items), scalar) if !part.is_container() => items.iter().any(|i| i.equals(scalar)),
        _ => whole.contains(&part),
    })
}

impl Json {
    fn is_container(&self) -> bool {
        matches!(self, Json::Array(_) | Json::Object(_))
    }

    fn contains(&self, part: &Json) -> bool {
        match (self, part) {
            (Json::Object(all), Json::Object(wanted)) => {
                wanted.iter().all(|(key, value)| all.iter().find(|(k, _)| k == key).is_some_and(|(_, have)| have.contains(value)))
            }
            (Json::Array(all), Json::Array(wanted)) => wanted.iter().all(|w| all.iter().any(|have| have.contains(w))),
            (have, wanted) => have.equals(wanted),
        }
    }

    /// Equal scalars; numbers by their value: 1.0 is 1.
    fn equals(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Plain(a), Json::Plain(b)) => a == b,
            (Json::String(a), Json::String(b)) => a == b,
            (Json::Number(a), Json::Number(b)) => {
                let value =
                    |n: &str| if n.contains('.') { n.trim_end_matches('0').trim_end_matches('.').to_string() } else { n.to_string() };
                value(a) == value(b)
            }
            _ => false,
        }
    }
}

fn put(value: &Json, out: &mut BytesMut) {
    match value {
        Json::Plain(word) => out.put_slice(word.as_bytes()),
        Json::Number(n) => out.put_slice(n.as_bytes()),
        Json::String(s) => put_json_string(s, out),
        Json::Array(items) => {
            out.put_u8(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.put_slice(b", ");
                }
                put(item, out);
            }
            out.put_u8(b']');
        }
        Json::Object(pairs) => {
            out.put_u8(b'{');
            for (i, (key, item)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.put_slice(b", ");
                }
                put_json_string(key, out);
                out.put_slice(b": ");
                put(item, out);
            }
            out.put_u8(b'}');
        }
    }
}

fn parse(text: &str) -> Result<Json, NotJson> {
    let mut p = Parser { text, at: 0 };
    let value = p.value(0)?;
    p.blanks();
    if p.at < text.len() { Err(p.wrong()) } else { Ok(value) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn wrong(&self) -> NotJson {
        NotJson { at: self.at, too_deep: false }
    }
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, NotJson> {
        if depth > DEPTH_MAX {
            return Err(NotJson { at: self.at, too_deep: true });
        }
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => ["null", "true", "false"]
                .into_iter()
                .find(|w| self.text[self.at..].starts_with(w))
                .map(|w| {
                    self.at += w.len();
                    Json::Plain(w)
                })
                .ok_or_else(|| self.wrong()),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, NotJson> {
        self.at += 1;
        let mut items = vec![];
        self.blanks();
        if self.eat(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.eat(b']') {
                return Ok(Json::Array(items));
            }
            if !self.eat(b',') {
                return Err(self.wrong());
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, NotJson> {
        self.at += 1;
        let mut pairs: Vec<(String, Json)> = vec![];
        self.blanks();
        if !self.eat(b'}') {
            loop {
                self.blanks();
                if self.peek() != Some(b'"') {
                    return Err(self.wrong());
                }
                let key = self.string()?;
                self.blanks();
                if !self.eat(b':') {
                    return Err(self.wrong());
                }
                pairs.push((key, self.value(depth + 1)?));
                self.blanks();
                if self.eat(b'}') {
                    break;
                }
                if !self.eat(b',') {
                    return Err(self.wrong());
                }
            }
        }
        // A stable sort: of equal keys the last one stays last, and wins.
        pairs.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes())));
        let mut kept: Vec<(String, Json)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match kept.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => kept.push(pair),
            }
        }
        Ok(Json::Object(kept))
    }

    fn number(&mut self) -> Result<Json, NotJson> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        if matches!(self.peek(), Some(c) if c.is_ascii_alphanumeric()) {
            return Err(self.wrong());
        }
        let numeric = Numeric::parse(&self.text[start..self.at]).ok_or_else(|| self.wrong())?;
        let mut out = BytesMut::new();
        numeric.put(super::Format::Text, &mut out);
        Ok(Json::Number(String::from_utf8_lossy(&out).into_owned()))
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong()) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, NotJson> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            out.push_str(&self.text[start..self.at]);
            if self.eat(b'"') {
                return Ok(out);
            }
            if !self.eat(b'\\') {
                return Err(self.wrong());
            }
            let escape = self.peek().ok_or_else(|| self.wrong())?;
            out.push(match escape {
                b'"' | b'\\' | b'/' => char::from(escape),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    self.at += 1;
                    out.push(self.unicode()?);
                    continue;
                }
                _ => return Err(self.wrong()),
            });
            self.at += 1;
        }
    }

    /// The four digits after `\u`, and a second escape after the first half of a surrogate pair. `\u0000` is no text in Postgres.
    fn unicode(&mut self) -> Result<char, NotJson> {
        let high = self.four()?;
        let code = if (0xd800..0xdc00).contains(&high) {
            if !(self.eat(b'\\') && self.eat(b'u')) {
                return Err(self.wrong());
            }
            let low = self.four()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.wrong());
            }
            0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        } else {
            high
        };
        char::from_u32(code).filter(|c| *c != '\0').ok_or_else(|| self.wrong())
    }

    fn four(&mut self) -> Result<u32, NotJson> {
        let mut n = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|c| char::from(c).to_digit(16)).ok_or_else(|| self.wrong())?;
            n = n << 4 | digit;
            self.at += 1;
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn jsonb_form() {
        assert_eq!(canonical(r#" {"bb":1,"a":[1e2, 1.50,{}],"a":"x\u0041\n"} "#).unwrap(), "{\"a\": \"xA\\n\", \"bb\": 1}");
        assert_eq!(canonical("[true,null,-0]").unwrap(), "[true, null, 0]");
    }

    #[test]
    fn containment() {
        for (whole, part, want) in [
            ("[1, 2, [1, 3]]", "[1]", true),
            ("[1, 2, [1, 3]]", "1", true),
            ("[1, 2, [1, 3]]", "[[1]]", true),
            ("[1, 2, [1, 3]]", "[3]", false),
            ("1", "[1]", false),
            ("{\"a\": 1.0, \"b\": {\"c\": [1, 2]}}", "{\"a\": 1, \"b\": {\"c\": [2]}}", true),
            ("{\"a\": 1}", "{\"a\": {}}", false),
            ("[10]", "[1]", false),
            ("{}", "{}", true),
            ("[]", "{}", false),
            ("[\"1\"]", "[1]", false),
        ] {
            assert_eq!(contains(whole, part), Ok(want), "{whole} @> {part}");
        }
    }

    #[test]
    fn refused() {
        for bad in ["", "{", "[1,]", "{\"a\"}", "01", "1.", "nul", "\"\\x\"", "\"\\u0000\"", "\"\\ud800\"", "1 2", "'a'", "\"a\nb\""] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"[".repeat(100_000)).unwrap_err().too_deep);
    }
}
