//! COPY. Only towards the client: Fjord writes neither to sources nor to files of the server.

use sqlparser::tokenizer::Token;

use super::super::source::{Cursor, quote_ident};
use super::super::statement::{CopyFormat, CopyOptions, SessionStatement, Statement, StatementKind};
use super::{query, read_only, refused};
use crate::error::{Result, SqlError, SqlState};

pub(super) fn copy(c: &mut Cursor) -> Result<StatementKind> {
    c.expect("COPY")?;
    let mut given = Given::default();
    let query = if *c.token(0) == Token::LParen {
        let (from, to) = c.parenthesised()?;
        match query::nested(&mut Cursor::new(c.src, from, to))? {
            Ok(q) => q,
            Err(k) => return Ok(k),
        }
    } else {
        // COPY BINARY t: before PostgreSQL 7.3, still accepted by it.
        if c.is("BINARY") && matches!(c.token(1), Token::Word(_)) && !c.is_at(1, "TO") && !c.is_at(1, "FROM") {
            c.pos += 1;
            given.format = Some(CopyFormat::Binary);
        }
        match table(c)? {
            Ok(q) => q,
            Err(k) => return Ok(k),
        }
    };
    c.expect("TO")?;
    if !c.eat("STDOUT") {
        return Ok(refused(
            SqlError::unsupported("COPY to a file or a program on the server is not supported")
                .hint("COPY ... TO STDOUT sends the rows to the client; psql's \\copy writes them to a file there."),
        ));
    }
    options(c, &mut given)?;
    Ok(StatementKind::Session(SessionStatement::CopyOut { query: Box::new(query), options: given.finish()? }))
}

/// `t [(columns)]` up to TO, as a query.
fn table(c: &mut Cursor) -> Result<Result<Statement, StatementKind>> {
    let from = c.pos;
    c.dotted("a table or a query in parentheses")?;
    let name = c.slice(from, c.pos);
    let mut columns = "*".to_string();
    if c.eat_token(&Token::LParen) {
        columns = c.list(|c| c.ident("a column"))?.iter().map(|n| quote_ident(n)).collect::<Vec<_>>().join(", ");
        c.expect_token(&Token::RParen)?;
    }
    if c.is("FROM") {
        return Ok(Err(refused(read_only("COPY FROM"))));
    }
    let text = format!("SELECT {columns} FROM {name}");
    super::parse_query(&text).map(Ok)
}

/// Options as given, before defaults.
#[derive(Default)]
struct Given {
    format: Option<CopyFormat>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<bool>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<Vec<String>>,
}

fn options(c: &mut Cursor, g: &mut Given) -> Result<()> {
    c.eat("WITH");
    if c.eat_token(&Token::LParen) {
        c.list(|c| new_option(c, g))?;
        return c.expect_token(&Token::RParen);
    }
    while !c.done() {
        old_option(c, g)?;
    }
    Ok(())
}

fn new_option(c: &mut Cursor, g: &mut Given) -> Result<()> {
    // NULL is reserved and an option all the same.
    let name = if c.eat("NULL") { "null".to_string() } else { c.ident("an option")? };
    match name.as_str() {
        "format" => {
            let f = word_or_string(c)?;
            g.format = Some(match f.as_str() {
                "text" => CopyFormat::Text,
                "csv" => CopyFormat::Csv,
                "binary" => CopyFormat::Binary,
                _ => return Err(bad(format!("COPY format \"{f}\" not recognized"))),
            });
        }
        "delimiter" => g.delimiter = Some(word_or_string(c)?),
        "null" => g.null = Some(word_or_string(c)?),
        "quote" => g.quote = Some(word_or_string(c)?),
        "escape" => g.escape = Some(word_or_string(c)?),
        "header" => {
            let given = !matches!(c.token(0), Token::Comma | Token::RParen);
            g.header = Some(!given || boolean(c)?);
        }
        "freeze" => {
            if !matches!(c.token(0), Token::Comma | Token::RParen) {
                boolean(c)?;
            }
        }
        "encoding" => encoding(&c.string("an encoding")?)?,
        "force_quote" => g.force_quote = Some(force_quote(c, true)?),
        "force_not_null" | "force_null" => return Err(bad(format!("COPY {name} is only available using COPY FROM"))),
        _ => return Err(SqlError::syntax(format!("option \"{name}\" not recognized"))),
    }
    Ok(())
}

fn old_option(c: &mut Cursor, g: &mut Given) -> Result<()> {
    let value = |c: &mut Cursor| {
        c.eat("AS");
        c.string("a text")
    };
    if c.eat("BINARY") {
        g.format = Some(CopyFormat::Binary);
    } else if c.eat("CSV") {
        g.format = Some(CopyFormat::Csv);
    } else if c.eat("HEADER") {
        g.header = Some(true);
    } else if c.eat("DELIMITER") || c.eat("DELIMITERS") {
        g.delimiter = Some(value(c)?);
    } else if c.eat("NULL") {
        g.null = Some(value(c)?);
    } else if c.eat("QUOTE") {
        g.quote = Some(value(c)?);
    } else if c.eat("ESCAPE") {
        g.escape = Some(value(c)?);
    } else if c.eat_all(&["FORCE", "QUOTE"]) {
        g.force_quote = Some(force_quote(c, false)?);
    } else if c.eat("ENCODING") {
        encoding(&c.string("an encoding")?)?;
    } else {
        return Err(c.error());
    }
    Ok(())
}

fn force_quote(c: &mut Cursor, parens: bool) -> Result<Vec<String>> {
    if c.eat_token(&Token::Mul) {
        return Ok(vec!["*".into()]);
    }
    if parens {
        c.expect_token(&Token::LParen)?;
    }
    let all = c.list(|c| c.ident("a column"))?;
    if parens {
        c.expect_token(&Token::RParen)?;
    }
    Ok(all)
}

fn word_or_string(c: &mut Cursor) -> Result<String> {
    match c.maybe_string() {
        Some(s) => Ok(s),
        None => c.ident("a value"),
    }
}

fn boolean(c: &mut Cursor) -> Result<bool> {
    let v = match c.token(0) {
        Token::Number(n, _) => n.clone(),
        Token::Word(w) => w.value.clone(),
        t => super::super::source::string_of(t).map(str::to_string).ok_or_else(|| c.unexpected("a boolean"))?,
    };
    let b = match v.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => true,
        "false" | "off" | "0" => false,
        _ => return Err(c.unexpected("a boolean")),
    };
    c.pos += 1;
    Ok(b)
}

fn encoding(name: &str) -> Result<()> {
    match name.to_ascii_lowercase().as_str() {
        "utf8" | "utf-8" | "unicode" => Ok(()),
        _ => Err(SqlError::unsupported(format!("encoding \"{name}\" is not supported")).hint("Fjord speaks UTF8.")),
    }
}

fn bad(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// One character of one byte, as in Postgres.
fn single(what: &str, v: &str) -> Result<char> {
    let mut chars = v.chars();
    match (chars.next(), chars.next()) {
        (Some(ch), None) if ch.is_ascii() => Ok(ch),
        _ => Err(SqlError::unsupported(format!("COPY {what} must be a single one-byte character"))),
    }
}

impl Given {
    /// Defaults and the checks of PostgreSQL 15's `ProcessCopyOptions`.
    fn finish(self) -> Result<CopyOptions> {
        let format = self.format.unwrap_or(CopyFormat::Text);
        let csv = format == CopyFormat::Csv;
        let mode = |what: &str| SqlError::syntax(format!("cannot specify {what} in BINARY mode"));
        if format == CopyFormat::Binary {
            if self.delimiter.is_some() {
                return Err(mode("DELIMITER"));
            }
            if self.null.is_some() {
                return Err(mode("NULL"));
            }
            if self.header == Some(true) {
                return Err(SqlError::unsupported("cannot specify HEADER in BINARY mode"));
            }
        }
        for (what, given) in
            [("quote", self.quote.is_some()), ("escape", self.escape.is_some()), ("force quote", self.force_quote.is_some())]
        {
            if given && !csv {
                return Err(SqlError::unsupported(format!("COPY {what} available only in CSV mode")));
            }
        }
        let delimiter = self.delimiter.as_deref().map_or(Ok(if csv { ',' } else { '\t' }), |d| single("delimiter", d))?;
        let quote = self.quote.as_deref().map_or(Ok('"'), |q| single("quote", q))?;
        let escape = self.escape.as_deref().map_or(Ok(quote), |q| single("escape", q))?;
        let null = self.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".into() });
        if matches!(delimiter, '\n' | '\r') {
            return Err(bad("COPY delimiter cannot be newline or carriage return".into()));
        }
        if null.contains(['\n', '\r']) {
            return Err(bad("COPY null representation cannot use newline or carriage return".into()));
        }
        if !csv && "\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(delimiter) {
            return Err(bad(format!("COPY delimiter cannot be \"{delimiter}\"")));
        }
        if csv && delimiter == quote {
            return Err(bad("COPY delimiter and quote must be different".into()));
        }
        if format != CopyFormat::Binary && null.contains(delimiter) {
            return Err(SqlError::unsupported("COPY delimiter must not appear in the NULL specification"));
        }
        if csv && null.contains(quote) {
            return Err(SqlError::unsupported("CSV quote character must not appear in the NULL specification"));
        }
        Ok(CopyOptions {
            format,
            delimiter,
            null,
            header: self.header.unwrap_or(false),
            quote,
            escape,
            force_quote: self.force_quote.unwrap_or_default(),
        })
    }
}
