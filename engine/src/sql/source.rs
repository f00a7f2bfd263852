//! The text of a message as tokens with their places in it, and a cursor over them.
//!
//! Tokens are sqlparser's (Postgres dialect), without white space and comments. Places are kept as byte offsets (to slice statements out of the
//! text as the user wrote them) and as 1-based character positions (what the P field of a Postgres error is counted in).

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::{Result, SqlError, SqlState};

/// Longest text of one message that is parsed, in bytes: 16 MiB.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// Most tokens (white space counted) of one text. A token takes about 90 bytes while it is parsed: this bounds the parser's memory near 90 MB.
pub const TOKENS_MAX: usize = 1_000_000;

/// A token with its place.
#[derive(Debug, Clone)]
pub(super) struct Tok {
    pub with_span: TokenWithSpan,
    /// Bytes of the source.
    pub start: usize,
    pub end: usize,
    /// 1-based character position.
    pub at: u32,
}

/// A text and its tokens.
pub(super) struct Source<'a> {
    pub text: &'a str,
    pub toks: Vec<Tok>,
    /// Position just behind the text.
    pub end_at: u32,
}

impl<'a> Source<'a> {
    pub fn new(text: &'a str) -> Result<Source<'a>> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("the statement text has {} bytes, the limit is {TEXT_BYTES_MAX}", text.len()),
            )
            .hint("Join with a table instead of listing the values."));
        }
        if tokens_estimate(text) > TOKENS_MAX {
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, format!("the statement text has more than {TOKENS_MAX} tokens"))
                .hint("Join with a table instead of listing the values."));
        }
        let dialect = PostgreSqlDialect {};
        let mut raw = vec![];
        if let Err(e) = Tokenizer::new(&dialect, text).tokenize_with_location_into_buf(&mut raw) {
            let at = Places::new(text).find(e.location).1;
            return Err(SqlError::syntax(lower_first(&e.message)).at(at));
        }
        let mut places = Places::new(text);
        let mut toks = Vec::with_capacity(raw.len() / 2);
        for with_span in raw {
            if matches!(with_span.token, Token::Whitespace(_)) {
                continue;
            }
            let (start, at) = places.find(with_span.span.start);
            let (end, _) = places.find(with_span.span.end);
            toks.push(Tok { with_span, start, end, at });
        }
        let end_at = places.find(Location::new(u64::MAX, 1)).1;
        Ok(Source { text, toks, end_at })
    }
}

/// sqlparser's messages start in upper case, Postgres's do not.
fn lower_first(m: &str) -> String {
    let mut c = m.chars();
    c.next().map(|f| f.to_lowercase().chain(c).collect()).unwrap_or_default()
}

/// About how many tokens a text has, by a pass that allocates nothing: every change of character class outside quotes. Dollar quotes are not
/// known here, so that their content counts: only a text with a million words in one could be refused wrongly.
fn tokens_estimate(text: &str) -> usize {
    let (mut n, mut quote, mut last) = (0usize, 0u8, 0u8);
    for b in text.bytes() {
        if quote != 0 {
            if b == quote {
                quote = 0;
            }
            continue;
        }
        let class = match b {
            b'\'' | b'"' => {
                quote = b;
                n += 1;
                last = 0;
                continue;
            }
            b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => 1,
            _ => 0,
        };
        if class == 0 || last == 0 {
            n += 1;
        }
        last = class;
    }
    n
}

/// Turns the tokenizer's (line, column) into offsets, in one forward pass over the text.
struct Places<'a> {
    chars: std::iter::Peekable<std::str::CharIndices<'a>>,
    line: u64,
    column: u64,
    at: u32,
    len: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Places<'a> {
        Places { chars: text.char_indices().peekable(), line: 1, column: 1, at: 1, len: text.len() }
    }
    /// Byte offset and 1-based character position. Locations must not go backwards.
    fn find(&mut self, l: Location) -> (usize, u32) {
        loop {
            let Some(&(offset, c)) = self.chars.peek() else { return (self.len, self.at) };
            if (self.line, self.column) >= (l.line, l.column) {
                return (offset, self.at);
            }
            self.chars.next();
            self.at = self.at.saturating_add(1);
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
    }
}

/// Words that cannot be a name without quotes (the reserved key words of PostgreSQL 15, appendix C).
const RESERVED: &[&str] = &[
    "ALL",
    "ANALYSE",
    "ANALYZE",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "ASC",
    "ASYMMETRIC",
    "BOTH",
    "CASE",
    "CAST",
    "CHECK",
    "COLLATE",
    "COLUMN",
    "CONSTRAINT",
    "CREATE",
    "CURRENT_CATALOG",
    "CURRENT_DATE",
    "CURRENT_ROLE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "DEFAULT",
    "DEFERRABLE",
    "DESC",
    "DISTINCT",
    "DO",
    "ELSE",
    "END",
    "EXCEPT",
    "FALSE",
    "FETCH",
    "FOR",
    "FOREIGN",
    "FROM",
    "GRANT",
    "GROUP",
    "HAVING",
    "IN",
    "INITIALLY",
    "INTERSECT",
    "INTO",
    "LATERAL",
    "LEADING",
    "LIMIT",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "ONLY",
    "OR",
    "ORDER",
    "PLACING",
    "PRIMARY",
    "REFERENCES",
    "RETURNING",
    "SELECT",
    "SESSION_USER",
    "SOME",
    "SYMMETRIC",
    "TABLE",
    "THEN",
    "TO",
    "TRAILING",
    "TRUE",
    "UNION",
    "UNIQUE",
    "USER",
    "USING",
    "VARIADIC",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Whether a name needs quotes to be read back as it is.
pub fn needs_quotes(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    !first
        || !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'$')
        || RESERVED.contains(&name.to_ascii_uppercase().as_str())
}

/// A name as it must be written in SQL.
pub fn quote_ident(name: &str) -> String {
    if needs_quotes(name) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_string() }
}

/// A text literal.
pub fn quote_literal(text: &str) -> String {
    // An E'' string where there is a backslash: right whatever standard_conforming_strings says.
    let doubled = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// A place in a statement's tokens.
pub(super) struct Cursor<'s, 'a> {
    pub src: &'s Source<'a>,
    pub pos: usize,
    pub end: usize,
    /// Literals of this statement may be secrets: errors do not quote them.
    pub secretive: bool,
}

impl<'s, 'a> Cursor<'s, 'a> {
    pub fn new(src: &'s Source<'a>, pos: usize, end: usize) -> Self {
        Cursor { src, pos, end, secretive: false }
    }
    pub fn tok(&self, n: usize) -> Option<&'s Tok> {
        self.src.toks[..self.end].get(self.pos + n)
    }
    pub fn token(&self, n: usize) -> &'s Token {
        self.tok(n).map_or(&Token::EOF, |t| &t.with_span.token)
    }
    pub fn done(&self) -> bool {
        self.pos >= self.end
    }
    /// The unquoted word at `n` is this one (upper case).
    pub fn is_at(&self, n: usize, word: &str) -> bool {
        matches!(self.token(n), Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }
    pub fn is(&self, word: &str) -> bool {
        self.is_at(0, word)
    }
    /// The next words are these.
    pub fn are(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, w)| self.is_at(i, w))
    }
    pub fn eat(&mut self, word: &str) -> bool {
        let yes = self.is(word);
        self.pos += usize::from(yes);
        yes
    }
    pub fn eat_all(&mut self, words: &[&str]) -> bool {
        let yes = self.are(words);
        self.pos += if yes { words.len() } else { 0 };
        yes
    }
    pub fn eat_any(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|w| self.eat(w))
    }
    pub fn eat_token(&mut self, t: &Token) -> bool {
        let yes = self.token(0) == t;
        self.pos += usize::from(yes);
        yes
    }
    pub fn expect(&mut self, word: &str) -> Result<()> {
        if self.eat(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }
    pub fn expect_token(&mut self, t: &Token) -> Result<()> {
        if self.eat_token(t) { Ok(()) } else { Err(self.unexpected(&t.to_string())) }
    }
    pub fn expect_end(&self) -> Result<()> {
        if self.done() { Ok(()) } else { Err(self.error()) }
    }
    /// `syntax error at or near "x"`, as Postgres words it.
    pub fn error(&self) -> SqlError {
        match self.tok(0) {
            None => SqlError::syntax("syntax error at end of input").at(self.src.toks.get(self.end).map_or(self.src.end_at, |t| t.at)),
            Some(t) => {
                let text = &self.src.text[t.start..t.end];
                let literal = !matches!(t.with_span.token, Token::Word(_)) && text.len() > 2;
                let shown = if self.secretive && literal { "'***'" } else { text };
                SqlError::syntax(format!("syntax error at or near \"{shown}\"")).at(t.at)
            }
        }
    }
    /// The same, with what would have been right.
    pub fn unexpected(&self, expected: &str) -> SqlError {
        self.error().detail(format!("Expected {expected}."))
    }
    /// A name: lower case unless quoted.
    pub fn ident(&mut self, what: &str) -> Result<String> {
        let Token::Word(w) = self.token(0) else { return Err(self.unexpected(what)) };
        let name = match w.quote_style {
            Some(_) if w.value.is_empty() => {
                return Err(SqlError::syntax("zero-length delimited identifier").at(self.tok(0).map_or(1, |t| t.at)));
            }
            Some(_) => w.value.clone(),
            None if RESERVED.contains(&w.value.to_ascii_uppercase().as_str()) => return Err(self.unexpected(what)),
            None => w.value.to_ascii_lowercase(),
        };
        self.pos += 1;
        Ok(name)
    }
    /// A comma-separated list.
    pub fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.eat_token(&Token::Comma) {
            all.push(one(self)?);
        }
        Ok(all)
    }
    /// A dotted name.
    pub fn dotted(&mut self, what: &str) -> Result<Vec<String>> {
        let mut all = vec![self.ident(what)?];
        while self.eat_token(&Token::Period) {
            all.push(self.ident(what)?);
        }
        Ok(all)
    }
    /// A text literal, if one is next.
    pub fn maybe_string(&mut self) -> Option<String> {
        let s = string_of(self.token(0))?.to_string();
        self.pos += 1;
        Some(s)
    }
    pub fn string(&mut self, what: &str) -> Result<String> {
        self.maybe_string().ok_or_else(|| self.unexpected(what))
    }
    pub fn if_exists(&mut self) -> bool {
        self.eat_all(&["IF", "EXISTS"])
    }
    pub fn if_not_exists(&mut self) -> bool {
        self.eat_all(&["IF", "NOT", "EXISTS"])
    }
    /// The source from token `from` to the end of the statement.
    pub fn slice_from(&self, from: usize) -> &'a str {
        self.slice(from, self.end)
    }
    pub fn slice(&self, from: usize, to: usize) -> &'a str {
        if from >= to {
            return "";
        }
        &self.src.text[self.src.toks[from].start..self.src.toks[to - 1].end]
    }
    /// Skips a balanced `( ... )`, giving the tokens between.
    pub fn parenthesised(&mut self) -> Result<(usize, usize)> {
        self.expect_token(&Token::LParen)?;
        let from = self.pos;
        let mut depth = 1usize;
        while let Some(t) = self.tok(0) {
            match t.with_span.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.pos += 1;
            if depth == 0 {
                return Ok((from, self.pos - 1));
            }
        }
        Err(self.error())
    }
}

/// The value of a text literal token.
pub(super) fn string_of(t: &Token) -> Option<&str> {
    match t {
        Token::SingleQuotedString(s)
        | Token::EscapedStringLiteral(s)
        | Token::UnicodeStringLiteral(s)
        | Token::NationalStringLiteral(s) => Some(s),
        Token::DollarQuotedString(d) => Some(&d.value),
        _ => None,
    }
}
