//! Statement texts as logs, the audit trail, `pg_stat_activity` and Debug may show them.

use std::borrow::Cow;

use sqlparser::tokenizer::Token;

use super::source::{Source, string_of};
use super::statement::Statement;

/// Options whose literal may be shown: an allow-list, because a connector type may come with secrets of any name.
const HARMLESS: &[&str] = &[
    "host",
    "port",
    "database",
    "user",
    "sslmode",
    "sslrootcert",
    "application_name",
    "connect_timeout",
    "statement_timeout",
    "pool_size",
    "pool_timeout",
    "include_schemas",
    "exclude_tables",
    "splits",
    "batch_rows",
    "unconstrained_numeric",
    "system_schemas",
    "schema_ttl",
    "tinyint1_is_bool",
    "auth_source",
    "replica_set",
    "include_databases",
    "flatten_depth",
    "sample_size",
    "decimal128_mode",
    "read_preference",
    "read_concern",
    "format",
    "compression",
    "partition_columns",
    "has_header",
    "delimiter",
    "region",
    "allow_http",
    "pooler",
    "max_scan_rows",
    "max_scan_bytes",
    "slot",
    "publication",
];

/// The statement's text without secrets: literals of CREATE SECRET, and of connector options that are not known to be harmless, become `'***'`.
pub fn redacted(statement: &Statement) -> String {
    redacted_text(&statement.text).into_owned()
}

/// The same for a text of any number of statements, also one that does not parse.
pub fn redacted_text(text: &str) -> Cow<'_, str> {
    if !mentions(text) {
        return Cow::Borrowed(text);
    }
    let Ok(src) = Source::new(text) else {
        // Not even tokens: what looks like a quoted literal cannot be told from what does not.
        return Cow::Owned("*** (text with a secret that does not parse)".into());
    };
    let word = |i: usize, w: &str| matches!(src.toks.get(i).map(|t| &t.with_span.token), Some(Token::Word(x)) if x.quote_style.is_none() && x.value.eq_ignore_ascii_case(w));
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    // Inside a statement that has the word SECRET or CONNECTOR near its start.
    let (mut begin, mut secretive) = (0, false);
    for (i, t) in src.toks.iter().enumerate() {
        if t.with_span.token == Token::SemiColon {
            begin = i + 1;
            secretive = false;
            continue;
        }
        // CREATE [OR REPLACE] SECRET..., also inside PREPARE or behind rubbish: the word anywhere starts it.
        if (word(i, "SECRET") || word(i, "CONNECTOR")) && i > begin {
            secretive = true;
        }
        if !secretive {
            continue;
        }
        let key = option_key(&src, i);
        let hide = match (&t.with_span.token, key) {
            (_, Some(k)) if HARMLESS.contains(&k.as_str()) => false,
            (token, _) if string_of(token).is_some() => true,
            // A bare word or number as the value of an option.
            (Token::Number(..) | Token::Word(_), Some(_)) => !word(i, "SECRET") && !word(i.wrapping_sub(1), "SECRET"),
            // Other ways to write a literal ('x' with a prefix).
            (Token::Word(_) | Token::Comma | Token::LParen | Token::RParen | Token::Eq, None) => false,
            (token, None) => token.to_string().contains('\''),
            _ => false,
        };
        if hide {
            out.push_str(&text[copied..t.start]);
            out.push_str("'***'");
            copied = t.end;
        }
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The option whose value token `i` is: `(k v`, `, k = v`.
fn option_key(src: &Source, i: usize) -> Option<String> {
    let token = |n: usize| src.toks.get(n).map(|t| &t.with_span.token);
    let mut at = i.checked_sub(1)?;
    if token(at) == Some(&Token::Eq) {
        at = at.checked_sub(1)?;
    }
    let Some(Token::Word(w)) = token(at) else { return None };
    let before = token(at.checked_sub(1)?);
    matches!(before, Some(Token::LParen | Token::Comma)).then(|| w.value.to_ascii_lowercase())
}

/// A cheap look before tokens are made.
fn mentions(text: &str) -> bool {
    let has = |w: &str| text.as_bytes().windows(w.len()).any(|x| x.eq_ignore_ascii_case(w.as_bytes()));
    has("secret") || has("connector")
}
