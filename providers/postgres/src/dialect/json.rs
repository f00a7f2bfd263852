//! `->`, `->>`, `#>`, `#>>`, `@>`, `?` and their kin over json and jsonb, and `json_typeof`.
//!
//! A jsonb holds no escape that cannot be text, so nothing of this raises. A json is its text as it was written, and Postgres raises for `\u0000` or half a
//! surrogate anywhere in a document that it searches: its operators are sent for documents without `\u`, as a pre-filter.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use fjord_engine::pushdown::{Equality, Family, Judgement, Mostly, Op, Order, RemoteType, Scalar, TextFacts, Typed, Value};

use super::PostgresDialect;
use super::types::{call, describe, int, plain, sound};

/// The renderer's test of a json for escapes of characters.
pub(crate) const ESCAPED: &str = "json_escaped";
/// Operators that the renderer writes between their operands.
pub(crate) const OPERATORS: &[&str] = &["->", "->>", "#>", "#>>", "@>", "<@", "&&", "?", "?|", "?&"];
/// Bytes of a document that is looked for.
const LITERAL_MAX: usize = 10_000;

/// The function's answer if it is one of JSON.
pub(super) fn function(d: &PostgresDialect, name: &str, args: &[Typed], result: &DataType) -> Option<Result<Judgement, String>> {
    let search = searched(name)?;
    // Where one side of `@>` is a literal, the other says what it is.
    let document = args.iter().find(|a| a.literal().is_none())?;
    Some(match (&document.ty.family, search) {
        (Family::Jsonb, _) | (Family::Json, Search::TypeOf) => {
            operator(d, name, search, args, result).map(|t| Judgement::exact(t.scalar, t.ty))
        }
        (Family::Json, _) => Err("json is searched at the source only in documents without \\u: Postgres raises for \\u0000".into()),
        _ => Err(format!("{name} of {} is evaluated here", describe(&document.ty))),
    })
}

/// The same of a json that holds no `\u`.
pub(super) fn of_plain_documents(d: &PostgresDialect, name: &str, args: &[Typed], result: &DataType) -> Option<Mostly> {
    let search = searched(name).filter(|s| matches!(s, Search::Get(_) | Search::Path(_) | Search::Steps(_)))?;
    let document = args.first().filter(|a| a.ty.family == Family::Json)?;
    let value = operator(d, name, search, args, result).ok()?;
    let escaped = Scalar::call(Op::Source(ESCAPED.into()), vec![document.scalar.clone()], RemoteType::boolean(document.ty.nullable));
    let plain = Scalar::call(Op::Not, vec![escaped.clone()], RemoteType::boolean(document.ty.nullable));
    Some(Mostly {
        value: call(Op::Case, vec![plain, value.scalar], value.ty),
        except: escaped,
        reason: "a json with \\u in it may raise at the source: such rows are fetched and searched here".into(),
    })
}

/// What a function looks for, with the operator that does it.
#[derive(Clone, Copy)]
enum Search {
    Get(&'static str),
    Path(&'static str),
    /// A path as separate arguments.
    Steps(&'static str),
    Contains,
    Key,
    Keys(&'static str),
    TypeOf,
}

fn searched(name: &str) -> Option<Search> {
    Some(match name {
        "fjord_json_get" => Search::Get("->"),
        "fjord_json_get_text" => Search::Get("->>"),
        "fjord_json_get_path" => Search::Path("#>"),
        "fjord_json_get_path_text" => Search::Path("#>>"),
        "json_extract_path" | "jsonb_extract_path" => Search::Steps("#>"),
        "json_extract_path_text" | "jsonb_extract_path_text" => Search::Steps("#>>"),
        "fjord_jsonb_contains" => Search::Contains,
        "fjord_jsonb_exists" => Search::Key,
        "fjord_jsonb_exists_any" => Search::Keys("?|"),
        "fjord_jsonb_exists_all" => Search::Keys("?&"),
        "json_typeof" | "jsonb_typeof" => Search::TypeOf,
        _ => return None,
    })
}

fn operator(d: &PostgresDialect, name: &str, search: Search, args: &[Typed], result: &DataType) -> Result<Typed, String> {
    if !d.facts().encoding_utf8 {
        return Err("the server's encoding is not UTF8: its text has other bytes".into());
    }
    let ([document, others @ ..], Some(known)) = (args, args.iter().find(|a| a.literal().is_none())) else {
        return Err(format!("{name} without a document"));
    };
    if !sound(&known.ty) || (document.literal().is_some() && !matches!(search, Search::Contains)) {
        return Err("a JSON literal is searched here".into());
    }
    let named = |json: &str, jsonb: &str| if document.ty.family == Family::Jsonb { jsonb.to_string() } else { json.to_string() };
    if let (Search::TypeOf, [], DataType::Utf8) = (search, others, result) {
        let function = Op::Function(named("json_typeof", "jsonb_typeof"));
        return Ok(call(function, vec![document.scalar.clone()], text()));
    }
    let (sign, right) = match (search, others) {
        (Search::Get(sign), [k]) => (sign, key(d, k)?),
        (Search::Path(sign), [p]) => (sign, texts(d, path(p)?)?),
        (Search::Steps(sign), steps) => {
            (sign, texts(d, steps.iter().map(|s| s.literal().cloned()).collect::<Option<_>>().unwrap_or_default())?)
        }
        (Search::Key, [k]) if matches!(k.literal(), Some(Value::Text(_))) => ("?", key(d, k)?),
        (Search::Keys(sign), [k]) => (sign, texts(d, path(k)?)?),
        (Search::Contains, [other]) => {
            let ty = RemoteType::boolean(document.ty.nullable || other.ty.nullable);
            return Ok(call(Op::Source("@>".into()), vec![document_of(d, document)?, document_of(d, other)?], ty));
        }
        _ => return Err(format!("{name} with these arguments is evaluated here")),
    };
    let ty = match (sign, result) {
        ("->" | "#>", DataType::Utf8) => RemoteType { nullable: true, text: None, ..document.ty.clone() },
        ("->>" | "#>>", DataType::Utf8) => text(),
        (_, DataType::Boolean) => RemoteType::boolean(document.ty.nullable),
        _ => return Err(format!("{name} as {result} is evaluated here")),
    };
    Ok(call(Op::Source(sign.into()), vec![document.scalar.clone(), right], ty))
}

/// A text that an operator without a collation of its own gives has the database's, which is always deterministic. Left so, an index on the expression
/// serves.
fn text() -> RemoteType {
    let facts = TextFacts { equality: Equality::Bytewise, order: Order::Other, pads: false, collation: "the database's".into() };
    RemoteType { name: "text".into(), family: Family::Text, arrow: DataType::Utf8, nullable: true, text: Some(facts) }
}

/// A member's name or an element's position.
fn key(d: &PostgresDialect, a: &Typed) -> Result<Scalar, String> {
    match a.literal() {
        Some(value @ Value::Text(_)) => {
            d.sendable(value)?;
            Ok(Scalar::Literal(value.clone(), plain("text", Family::Text, DataType::Utf8, false)))
        }
        Some(Value::Int(n)) if i32::try_from(*n).is_ok() => {
            Ok(Scalar::Literal(Value::Int(*n), int(&DataType::Int32, false).ok_or("no integer")?))
        }
        _ => Err("a JSON key that is no literal is looked up here".into()),
    }
}

/// The words of a list of texts, or of an array literal that needs no quotes.
fn path(a: &Typed) -> Result<Vec<Value>, String> {
    match a.literal() {
        Some(Value::List(items)) => Ok(items.clone()),
        Some(Value::Text(s)) => {
            let inner = s.strip_prefix('{').and_then(|s| s.strip_suffix('}')).ok_or("a JSON path that is no plain array literal")?;
            let words: Vec<&str> = inner.split(',').collect();
            let is_plain = |w: &&str| {
                !w.is_empty() && !w.eq_ignore_ascii_case("null") && w.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            };
            if !words.iter().all(is_plain) {
                return Err("a JSON path that is no plain array literal is followed here".into());
            }
            Ok(words.into_iter().map(|w| Value::Text(w.into())).collect())
        }
        _ => Err("a JSON path that is no literal is followed here".into()),
    }
}

/// As a `text[]`. What may be an index is read by the C library there: no blanks in front of it.
fn texts(d: &PostgresDialect, words: Vec<Value>) -> Result<Scalar, String> {
    let is_plain = |w: &Value| matches!(w, Value::Text(s) if !s.starts_with(|c: char| c.is_whitespace() || c.is_control()));
    if words.is_empty() || !words.iter().all(is_plain) {
        return Err("a list of JSON keys that is empty, or holds NULL or leading blanks, is followed here".into());
    }
    words.iter().try_for_each(|s| d.sendable(s))?;
    let element = plain("text", Family::Text, DataType::Utf8, false);
    let item = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    Ok(Scalar::Literal(Value::List(words), plain("text[]", Family::Array(Box::new(element)), item, false)))
}

/// One side of `@>`: a jsonb, or a literal that Postgres reads for certain: valid, without escapes of characters, without exponents (1e999999 raises).
fn document_of(d: &PostgresDialect, a: &Typed) -> Result<Scalar, String> {
    match a.literal() {
        None if a.ty.family == Family::Jsonb && sound(&a.ty) => Ok(a.scalar.clone()),
        Some(value @ Value::Text(s)) => {
            let exponent = s.as_bytes().windows(2).any(|w| w[0].is_ascii_digit() && matches!(w[1], b'e' | b'E'));
            if s.len() > LITERAL_MAX || s.contains("\\u") || exponent || serde_json::from_str::<serde_json::Value>(s).is_err() {
                return Err("@> of a document that is not plainly valid is evaluated here".into());
            }
            d.sendable(value)?;
            Ok(Scalar::Literal(value.clone(), plain("jsonb", Family::Jsonb, DataType::Utf8, false)))
        }
        _ => Err(format!("@> with {} is evaluated here", describe(&a.ty))),
    }
}
