//! Expressions that are exact at the source for most values: a pre-filter keeps the rows with the others.
//!
//! `lower` and `upper` are exact for ASCII. A text that is cast to a number, a boolean or a date is sent for the plain spellings, which no server reads
//! otherwise and none refuses; whatever else stands in the row is fetched, and read (or refused) here.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Mostly, Op, RemoteType, Scalar, Typed, Value};

use super::types::{c_text, call, collate_c, int, numeric, plain, texty};
use super::{PostgresDialect, json, shift};

/// The renderer's test of a text against one of [`pattern`]'s.
pub(crate) const LOOKS_LIKE: &str = "looks_like:";

/// The regular expression of a plain spelling. Days up to the 28th exist in every month.
pub(crate) fn pattern(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "int4" => "^-?[0-9]{1,9}$",
        "int8" => "^-?[0-9]{1,18}$",
        "numeric" => r"^-?[0-9]{1,30}(\.[0-9]{1,30})?$",
        "float8" => r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$",
        "bool" => "^(true|false)$",
        "date" => "^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$",
        _ => return None,
    })
}

impl PostgresDialect {
    /// The form of what [`scalar`](fjord_engine::pushdown::Dialect::scalar) refuses, and the rows it is not exact for.
    pub(super) fn mostly(&self, op: &Op, args: &[Typed], result: &DataType) -> Option<Mostly> {
        match (op, args) {
            (Op::Function(name), [a]) if matches!(name.as_str(), "lower" | "upper") => self.folded_ascii(name, a),
            (Op::Function(name), [a]) if name.starts_with("fjord_") && name.ends_with("_in") => self.read(a, result),
            (Op::Cast, [a]) => self.read(a, result),
            (Op::Plus | Op::Minus, [a, b]) => shift::mostly(op, a, b, result),
            (Op::Function(name), args) => json::of_plain_documents(self, name, args, result),
            _ => None,
        }
    }

    /// With the C collation they change A to Z alone, which Unicode does to these letters too. What is not ASCII has more bytes than characters, in UTF-8.
    fn folded_ascii(&self, name: &str, a: &Typed) -> Option<Mostly> {
        if a.literal().is_some() {
            return None;
        }
        let value = collate_c(&self.text_value(a).ok()?);
        Some(Mostly {
            value: call(Op::Function(name.into()), vec![value.scalar.clone()], c_text(a.ty.nullable)),
            except: Scalar::call(Op::Source("not_ascii".into()), vec![value.scalar], RemoteType::boolean(a.ty.nullable)),
            reason: "letters outside of ASCII are folded by the source's collation, not by Unicode: rows with such values are fetched and compared here"
                .into(),
        })
    }

    /// A text read as a value of another type.
    fn read(&self, a: &Typed, result: &DataType) -> Option<Mostly> {
        if !texty(&a.ty) || a.literal().is_some() || matches!(a.ty.family, Family::Enum(_) | Family::Uuid | Family::Json | Family::Jsonb) {
            return None;
        }
        let text = collate_c(&self.text_value(a).ok()?);
        let (kind, ty) = match result {
            DataType::Int32 => ("int4", int(result, true)?),
            DataType::Int64 => ("int8", int(result, true)?),
            DataType::Float64 => ("float8", plain("double precision", Family::Float(64), result.clone(), true)),
            DataType::Decimal256(76, 38) => ("numeric", numeric(result, true)),
            DataType::Boolean => ("bool", RemoteType::boolean(true)),
            DataType::Date32 => ("date", plain("date", Family::Date, result.clone(), true)),
            _ => return None,
        };
        let plainly =
            Scalar::call(Op::Source(format!("{LOOKS_LIKE}{kind}")), vec![text.scalar.clone()], RemoteType::boolean(a.ty.nullable));
        let read = match kind {
            "bool" => {
                let yes = Scalar::Literal(Value::Text("true".into()), plain("text", Family::Text, DataType::Utf8, false));
                Scalar::call(Op::Eq, vec![text.scalar, yes], ty.clone())
            }
            _ => Scalar::call(Op::Cast, vec![text.scalar], ty.clone()),
        };
        Some(Mostly {
            value: call(Op::Case, vec![plainly.clone(), read], ty),
            except: Scalar::call(Op::Not, vec![plainly], RemoteType::boolean(a.ty.nullable)),
            reason: "a text is read at the source where it is plainly such a value: rows with other texts are fetched and read here".into(),
        })
    }
}
