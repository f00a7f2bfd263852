//! Scalar functions: the allow-list, by name and exact signature.
//!
//! Each was compared over the nasty table with what DataFusion computes and with Postgres's own answer. A function is here only if no value of its
//! arguments can make it raise at the source, or makes it raise here just the same and first.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Equality, Family, Judgement, Op, Order, RemoteType, Scalar, Typed, Value};

use super::types::{c_text, collate_c, describe, int, plain};
use super::{PostgresDialect, arithmetic, array, json, numeric, time};

/// Every function that a judgement may name: the renderer writes no other.
pub(crate) const WRITTEN: &[&str] = &[
    "abs",
    "array_length",
    "ascii",
    "btrim",
    "cardinality",
    "ceil",
    "char_length",
    "concat",
    "concat_ws",
    "floor",
    "GREATEST",
    "json_typeof",
    "jsonb_typeof",
    "LEAST",
    "left",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "sign",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "translate",
    "trunc",
    "upper",
];

/// Arguments a function of Postgres takes at most (`FUNC_MAX_ARGS`); more raise 54023.
const ARGUMENTS_MAX: usize = 100;
/// Characters that a padded text may have: more could pass the source's limit of 1 GB a value.
const PAD_MAX: i64 = 1_000_000;

/// An argument of a text function, in its place.
enum Piece<'a> {
    Text(&'a Typed),
    Number(Scalar),
}

type Answer = Result<Judgement, String>;

impl PostgresDialect {
    /// `name(args)`, by DataFusion's name.
    pub(super) fn function(&self, name: &str, args: &[Typed], result: &DataType) -> Judgement {
        use Piece::{Number, Text};
        let keeps_nulls = matches!(name, "concat" | "concat_ws" | "greatest" | "least");
        if !keeps_nulls && args.iter().any(|a| matches!(a.literal(), Some(Value::Null))) {
            return Judgement::no(format!("{name} of NULL is folded here"));
        }
        if !args.is_empty() && args.iter().all(|a| a.literal().is_some()) {
            return Judgement::no(format!("{name} of constants is evaluated here"));
        }
        let text = |name: &str, pieces: &[Piece<'_>]| self.text_function(name, pieces, result);
        let answer = match (name, args) {
            ("character_length", [a]) => text("char_length", &[Text(a)]),
            // The code point of the first character, on a UTF-8 server.
            ("octet_length" | "ascii", [a]) => text(name, &[Text(a)]),
            ("strpos" | "starts_with", [a, b]) => text(name, &[Text(a), Text(b)]),
            ("reverse", [a]) | ("btrim" | "ltrim" | "rtrim", [a]) => text(name, &[Text(a)]),
            ("btrim" | "ltrim" | "rtrim", [a, set]) => text(name, &[Text(a), Text(set)]),
            ("replace" | "translate", [a, from, to]) => text(name, &[Text(a), Text(from), Text(to)]),
            ("substr", [a, start]) => whole(start).and_then(|s| text(name, &[Text(a), Number(s)])),
            // A negative count raises 22011 on both sides, but perhaps for a row that a filter removes first.
            ("substr", [a, start, count]) if number(count).is_some_and(|n| n >= 0) => {
                whole(start).and_then(|s| text(name, &[Text(a), Number(s), Number(whole(count)?)]))
            }
            ("left" | "right", [a, n]) => whole(n).and_then(|n| text(name, &[Text(a), Number(n)])),
            ("lpad" | "rpad", [a, n, rest @ ..]) if rest.len() <= 1 && number(n).is_some_and(|n| n <= PAD_MAX) => whole(n).and_then(|n| {
                let mut pieces = vec![Text(a), Number(n)];
                pieces.extend(rest.iter().map(Text));
                text(name, &pieces)
            }),
            ("split_part", [a, delimiter, n]) => self.split_part(a, delimiter, n, result),
            ("concat", parts) => self.concat_function(None, parts),
            ("concat_ws", [separator, parts @ ..]) => self.concat_function(Some(separator), parts),
            ("greatest" | "least", parts) => self.extreme_of(name, parts, result),
            ("lower" | "upper" | "initcap", _) => {
                Err(format!("{name} folds letters outside of ASCII by the server's collation, not by Unicode"))
            }
            ("repeat" | "chr", _) => Err(format!("{name} can raise at the source for a row that a filter here removes first")),
            ("md5", _) => Err("md5 raises on a server whose cryptography is restricted (FIPS)".into()),
            ("to_char" | "regexp_replace" | "regexp_like" | "regexp_match" | "regexp_count", _) => {
                Err(format!("the patterns of {name} differ between Postgres and DataFusion"))
            }
            ("now" | "current_date" | "random" | "uuid", _) => Err(format!("{name} is evaluated here, once")),
            ("date_trunc", [unit, x]) => time::truncate(unit, x, result),
            ("date_part", [field, x]) => time::extract(field, x, result),
            ("fjord_avg", [sum, count]) => numeric::average(sum, count, result),
            ("abs", [a]) => return arithmetic::absolute(a, result),
            ("round" | "trunc" | "ceil" | "floor" | "sign", [a, digits @ ..]) => numeric::rounding(name, a, digits, result),
            _ => match array::function(self, name, args, result).or_else(|| json::function(self, name, args, result)) {
                Some(answer) => answer,
                None => Err(format!("function {name} is not among the functions proven equal on Postgres")),
            },
        };
        answer.unwrap_or_else(Judgement::no)
    }

    /// A strict function over texts (and integer literals) that gives a text, an integer or a boolean.
    fn text_function(&self, name: &str, pieces: &[Piece<'_>], result: &DataType) -> Answer {
        let texts: Vec<&Typed> = pieces.iter().filter_map(|p| if let Piece::Text(t) = p { Some(*t) } else { None }).collect();
        let (unified, text_type, reason) = self.one_collation(&texts)?;
        let nullable = texts.iter().any(|t| t.ty.nullable);
        let ty = match result {
            DataType::Utf8 => RemoteType { nullable, ..text_type },
            DataType::Boolean => RemoteType::boolean(nullable),
            DataType::Int32 => int(result, nullable).ok_or("no integer")?,
            other => return Err(format!("{name} that gives {other} is evaluated here")),
        };
        let mut unified = unified.into_iter();
        let mut args = vec![];
        for p in pieces {
            match p {
                Piece::Text(_) => args.extend(unified.next().map(|t| t.scalar)),
                Piece::Number(n) => args.push(n.clone()),
            }
        }
        Ok(made(name, args, ty, reason))
    }

    fn split_part(&self, a: &Typed, delimiter: &Typed, n: &Typed, result: &DataType) -> Answer {
        // Zero raises on both sides. A field counted from the end is known from 14 on.
        let field = number(n).filter(|n| *n > 0 || (*n < 0 && self.facts().server_version_num >= 140_000));
        match field {
            Some(_) => self.text_function("split_part", &[Piece::Text(a), Piece::Text(delimiter), Piece::Number(whole(n)?)], result),
            None => Err("split_part with a field that is zero or no literal is evaluated here".into()),
        }
    }

    /// concat skips NULLs, where `||` gives NULL. Other types have been cast to text before, each by the rules of casts.
    fn concat_function(&self, separator: Option<&Typed>, parts: &[Typed]) -> Answer {
        if separator.is_some_and(|s| matches!(s.literal(), Some(Value::Null))) {
            return Err("concat_ws with a NULL separator is folded here".into());
        }
        let parts: Vec<&Typed> = parts.iter().filter(|p| !matches!(p.literal(), Some(Value::Null))).collect();
        if parts.is_empty() || parts.len() >= ARGUMENTS_MAX {
            return Err(format!("concat of {} arguments is evaluated here", parts.len()));
        }
        let all: Vec<&Typed> = separator.into_iter().chain(parts).collect();
        let (unified, ty, reason) = self.one_collation(&all)?;
        let (name, nullable) = separator.map_or(("concat", false), |s| ("concat_ws", s.ty.nullable));
        Ok(made(name, unified.into_iter().map(|t| t.scalar).collect(), RemoteType { nullable, ..ty }, reason))
    }

    /// GREATEST and LEAST skip NULLs on both sides. Floats stay: which of -0.0 and 0.0 is taken differs.
    fn extreme_of(&self, name: &str, args: &[Typed], result: &DataType) -> Answer {
        let values: Vec<&Typed> = args.iter().filter(|a| !matches!(a.literal(), Some(Value::Null))).collect();
        let (values, ty, reason) = match values.first().map(|v| &v.ty.family) {
            None => return Err(format!("{name} of NULLs is folded here")),
            Some(Family::Float(_)) => return Err(format!("{name} of floats tells -0.0 from 0.0 in another way at the source")),
            Some(Family::Text | Family::Bpchar | Family::Citext | Family::Enum(_) | Family::Uuid | Family::Json | Family::Jsonb) => {
                self.byte_order(&values)?
            }
            Some(
                Family::Bool | Family::Int(_) | Family::Decimal(_) | Family::Date | Family::Time | Family::Timestamp | Family::TimestampTz,
            ) => {
                let (unified, ty, _) = self.unify(&values, result)?;
                (unified, ty, String::new())
            }
            Some(_) => return Err(format!("{name} of {} is evaluated here", describe(&values[0].ty))),
        };
        let nullable = values.iter().all(|v| v.ty.nullable);
        let written = if name == "greatest" { "GREATEST" } else { "LEAST" };
        Ok(made(written, values.into_iter().map(|t| t.scalar).collect(), RemoteType { nullable, ..ty }, reason))
    }

    /// Texts so that they can meet in one function: all of one deterministic collation, which the result then has too, or all under COLLATE "C". Two
    /// collations in one function raise 42P22, and a nondeterministic one is refused by every function that searches.
    pub(super) fn one_collation(&self, texts: &[&Typed]) -> Result<(Vec<Typed>, RemoteType, String), String> {
        let values = texts.iter().map(|t| self.text_value(t)).collect::<Result<Vec<_>, _>>()?;
        let cast = values.iter().zip(texts).any(|(v, t)| v != *t);
        let mut facts = values.iter().filter(|v| v.literal().is_none()).map(|v| v.ty.text.as_ref());
        let first = facts.next().flatten().filter(|f| f.equality == Equality::Bytewise && !f.pads).cloned();
        if let Some(first) = first.filter(|f| facts.all(|o| o.is_some_and(|o| o.collation == f.collation))) {
            let reason = if cast { "read as text" } else { "" };
            return Ok((values, RemoteType { text: Some(first), ..c_text(true) }, reason.into()));
        }
        let values = values.iter().map(|v| if v.literal().is_none() { collate_c(v) } else { v.clone() }).collect::<Vec<_>>();
        let values = if values.iter().all(|v| v.literal().is_some()) { values.iter().map(collate_c).collect() } else { values };
        Ok((values, c_text(true), "texts meet as text COLLATE \"C\"".into()))
    }

    fn byte_order(&self, texts: &[&Typed]) -> Result<(Vec<Typed>, RemoteType, String), String> {
        let (values, ty, reason) = self.one_collation(texts)?;
        if ty.text.as_ref().is_some_and(|f| f.order == Order::Bytes) {
            return Ok((values, ty, reason));
        }
        let values = values.iter().map(|v| if v.literal().is_none() { collate_c(v) } else { v.clone() }).collect();
        Ok((values, c_text(true), "the greatest and least by bytes: COLLATE \"C\"".into()))
    }
}

pub(super) fn made(name: &str, args: Vec<Scalar>, ty: RemoteType, reason: String) -> Judgement {
    let scalar = Scalar::call(Op::Function(name.into()), args, ty.clone());
    if reason.is_empty() { Judgement::exact(scalar, ty) } else { Judgement::rewritten(scalar, ty, reason) }
}

/// An integer literal's value.
pub(super) fn number(a: &Typed) -> Option<i64> {
    match a.literal() {
        Some(Value::Int(n)) => Some(*n),
        _ => None,
    }
}

/// An integer argument as Postgres's `integer`. A literal only: a bigint of a column may not fit, and the least integer has no positive counterpart
/// (`right(x, -2147483648)` is the whole text in Postgres).
pub(super) fn whole(a: &Typed) -> Result<Scalar, String> {
    match number(a) {
        Some(n) if n > i64::from(i32::MIN) && n <= i64::from(i32::MAX) => {
            Ok(Scalar::Literal(Value::Int(n), plain("integer", Family::Int(32), DataType::Int32, false)))
        }
        _ => Err("an integer argument that is no literal is evaluated here".into()),
    }
}
