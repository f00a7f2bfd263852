//! The functions.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::part::{self, Kind};
use crate::error::{SqlError, SqlState};
use crate::functions::text_in::texts;
use crate::pgtype::{self, PgType};
use crate::values::{EncodeSettings, decode, json_in};

/// What is asked of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// A member or an element.
    Get {
        text: bool,
    },
    /// Along a `text[]`.
    Path {
        text: bool,
    },
    /// Along the arguments.
    ExtractPath {
        text: bool,
    },
    Contains,
    Exists,
    ExistsAny,
    ExistsAll,
    TypeOf,
    ArrayLength,
}

/// One function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Json {
    name: &'static str,
    ask: Ask,
    /// What an argument without a type of its own is read as.
    default: PgType,
    signature: Signature,
}

const ALL: &[(&str, Ask, PgType)] = &[
    ("fjord_json_get", Ask::Get { text: false }, pgtype::JSON),
    ("fjord_json_get_text", Ask::Get { text: true }, pgtype::JSON),
    ("fjord_json_get_path", Ask::Path { text: false }, pgtype::JSON),
    ("fjord_json_get_path_text", Ask::Path { text: true }, pgtype::JSON),
    ("fjord_jsonb_contains", Ask::Contains, pgtype::JSONB),
    ("fjord_jsonb_exists", Ask::Exists, pgtype::JSONB),
    ("fjord_jsonb_exists_any", Ask::ExistsAny, pgtype::JSONB),
    ("fjord_jsonb_exists_all", Ask::ExistsAll, pgtype::JSONB),
    ("json_typeof", Ask::TypeOf, pgtype::JSON),
    ("jsonb_typeof", Ask::TypeOf, pgtype::JSONB),
    ("json_array_length", Ask::ArrayLength, pgtype::JSON),
    ("jsonb_array_length", Ask::ArrayLength, pgtype::JSONB),
    ("json_extract_path", Ask::ExtractPath { text: false }, pgtype::JSON),
    ("jsonb_extract_path", Ask::ExtractPath { text: false }, pgtype::JSONB),
    ("json_extract_path_text", Ask::ExtractPath { text: true }, pgtype::JSON),
    ("jsonb_extract_path_text", Ask::ExtractPath { text: true }, pgtype::JSONB),
];

/// All of them, to be registered.
pub(crate) fn functions() -> &'static [Arc<ScalarUDF>] {
    static FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
        let make = |(name, ask, default): &(&'static str, Ask, PgType)| {
            let signature = match ask {
                Ask::TypeOf | Ask::ArrayLength => Signature::any(1, Volatility::Immutable),
                Ask::ExtractPath { .. } => Signature::variadic_any(Volatility::Immutable),
                _ => Signature::any(2, Volatility::Immutable),
            };
            Arc::new(ScalarUDF::new_from_impl(Json { name, ask: *ask, default: *default, signature }))
        };
        ALL.iter().map(make).collect()
    });
    &FUNCTIONS
}

/// The function behind an operator.
pub(super) fn of(ask: Ask) -> Result<Arc<ScalarUDF>> {
    let found = ALL.iter().position(|(_, a, _)| *a == ask).and_then(|i| functions().get(i)).cloned();
    found.ok_or_else(|| SqlError::internal(format!("no JSON function for {ask:?}")).into())
}

impl ScalarUDFImpl for Json {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(match self.ask {
            Ask::Contains | Ask::Exists | Ask::ExistsAny | Ask::ExistsAll => DataType::Boolean,
            Ask::ArrayLength => DataType::Int32,
            _ => DataType::Utf8,
        })
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let ty = self.return_type(&[])?;
        Ok(Arc::new(match self.ask {
            Ask::Get { text: false } | Ask::Path { text: false } | Ask::ExtractPath { text: false } => {
                let pg = args.arg_fields.first().map_or(self.default, |f| self.type_of(f));
                pgtype::field(self.name, ty, true, pg)
            }
            _ => Field::new(self.name, ty, true),
        }))
    }
    fn is_strict(&self) -> bool {
        true
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<_>>()?;
        let ([document, others @ ..], [field, other_fields @ ..]) = (arrays.as_slice(), args.arg_fields.as_slice()) else {
            return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {}() does not exist", self.name)).into());
        };
        let documents: Vec<Option<Cow<'_, str>>> = self.documents(document, field)?;
        let out = match self.ask {
            Ask::Get { text } => get(&documents, others, text, self.type_of(field) == pgtype::JSONB)?,
            Ask::Path { text } => paths(&documents, &lists(others, rows)?, text)?,
            Ask::ExtractPath { text } => {
                let columns = others.iter().map(|a| Ok(texts(a)?.collect())).collect::<Result<Vec<Vec<Option<&str>>>>>()?;
                let steps = (0..rows)
                    .map(|i| columns.iter().map(|c| c.get(i).copied().flatten().map(str::to_string)).collect::<Option<Vec<String>>>());
                paths(&documents, &steps.collect::<Vec<_>>(), text)?
            }
            Ask::Contains => {
                let Some((other, field)) = others.first().zip(other_fields.first()) else { return Err(self.arity()) };
                let contained = self.documents(other, field)?;
                let pair = |(a, b): (&Option<Cow<'_, str>>, &Option<Cow<'_, str>>)| {
                    a.as_ref().zip(b.as_ref()).map(|(a, b)| json_in::contains(a, b)).transpose()
                };
                let found: std::result::Result<BooleanArray, _> = documents.iter().zip(&contained).map(pair).collect();
                Arc::new(found.map_err(|e| decode::text::json_error(pgtype::JSON, "", &e))?)
            }
            Ask::Exists => {
                let Some(keys) = others.first() else { return Err(self.arity()) };
                let keys = texts(keys)?;
                Arc::new(documents.iter().zip(keys).map(|(d, k)| Some(exists(d.as_ref()?, k?))).collect::<BooleanArray>())
            }
            Ask::ExistsAny | Ask::ExistsAll => {
                let all = self.ask == Ask::ExistsAll;
                let keys = key_lists(others, rows)?;
                let one =
                    |d: &str, keys: &[String]| if all { keys.iter().all(|k| exists(d, k)) } else { keys.iter().any(|k| exists(d, k)) };
                Arc::new(documents.iter().zip(&keys).map(|(d, k)| Some(one(d.as_ref()?, k.as_ref()?))).collect::<BooleanArray>())
            }
            Ask::TypeOf => {
                let mut out = StringBuilder::new();
                documents.iter().for_each(|d| out.append_option(d.as_ref().map(|d| type_name(d))));
                Arc::new(out.finish())
            }
            Ask::ArrayLength => {
                let lengths = documents.iter().map(|d| d.as_ref().map(|d| array_length(d)).transpose());
                Arc::new(lengths.collect::<Result<Int32Array>>()?) as ArrayRef
            }
        };
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}

impl Json {
    fn arity(&self) -> datafusion::error::DataFusionError {
        SqlError::internal(format!("{} without its second argument", self.name)).into()
    }

    fn type_of(&self, field: &Field) -> PgType {
        match PgType::of(field) {
            t if t == pgtype::JSON || t == pgtype::JSONB => t,
            _ => self.default,
        }
    }

    /// The texts of a column of documents; a text without a JSON type is read as one.
    fn documents<'a>(&self, a: &'a ArrayRef, field: &Field) -> Result<Vec<Option<Cow<'a, str>>>> {
        if a.data_type() == &DataType::Null {
            return Ok(vec![None; a.len()]);
        }
        let typed = [pgtype::JSON, pgtype::JSONB].contains(&PgType::of(field));
        let read = |t: &'a str| -> Result<Cow<'a, str>> {
            if typed {
                return Ok(Cow::Borrowed(t));
            }
            let value = decode::from_text(self.default, t, &EncodeSettings::default())?;
            Ok(Cow::Owned(value.try_as_str().flatten().unwrap_or_default().to_string()))
        };
        texts(a)?.map(|t| t.map(read).transpose()).collect()
    }
}

/// A jsonb that is no more than a scalar is held by Postgres as an array of one: `'1'::jsonb -> 0` is 1 (every version; a json says NULL).
fn scalar_at(document: &str, index: i64) -> Option<&str> {
    let scalar = !matches!(part::kind(document), Kind::Object | Kind::Array);
    (scalar && matches!(index, 0 | -1)).then_some(document)
}

fn get(documents: &[Option<Cow<'_, str>>], others: &[ArrayRef], text: bool, jsonb: bool) -> Result<ArrayRef> {
    let Some(keys) = others.first() else { return Err(SqlError::internal("a JSON operator without its right side").into()) };
    let mut out = StringBuilder::new();
    if keys.data_type().is_integer() {
        let indexes = cast(keys, &DataType::Int64)?;
        for (d, i) in documents.iter().zip(indexes.as_primitive::<Int64Type>()) {
            let found = d.as_deref().zip(i).and_then(|(d, i)| part::element(d, i).or_else(|| scalar_at(d, i).filter(|_| jsonb)));
            append(found, text, &mut out)?;
        }
    } else if keys.data_type() == &DataType::Null {
        documents.iter().for_each(|_| out.append_null());
    } else {
        for (d, k) in documents.iter().zip(texts(keys)?) {
            append(d.as_deref().zip(k).and_then(|(d, k)| part::field(d, k)), text, &mut out)?;
        }
    }
    Ok(Arc::new(out.finish()))
}

fn paths(documents: &[Option<Cow<'_, str>>], paths: &[Option<Vec<String>>], text: bool) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    for (d, path) in documents.iter().zip(paths) {
        let found = d.as_deref().zip(path.as_ref()).and_then(|(d, path)| path.iter().try_fold(d, |d, name| part::step(d, name)));
        append(found, text, &mut out)?;
    }
    Ok(Arc::new(out.finish()))
}

/// A part as JSON, or as text: a string without its quotes, null as NULL.
fn append(found: Option<&str>, text: bool, out: &mut StringBuilder) -> Result<()> {
    let Some(found) = found else {
        out.append_null();
        return Ok(());
    };
    match part::kind(found) {
        _ if !text => out.append_value(found),
        Kind::Null => out.append_null(),
        Kind::String => match part::string(found) {
            Some(s) => out.append_value(s),
            None => {
                let e = SqlError::new(SqlState::UNTRANSLATABLE_CHARACTER, "unsupported Unicode escape sequence");
                return Err(e.detail("\\u0000 cannot be converted to text.").into());
            }
        },
        _ => out.append_value(found),
    }
    Ok(())
}

/// Paths: `text[]`, or an array literal. A path with a NULL in it leads nowhere.
fn lists(others: &[ArrayRef], rows: usize) -> Result<Vec<Option<Vec<String>>>> {
    Ok(optional_lists(others, rows)?.into_iter().map(|l| l.and_then(|l| l.into_iter().collect())).collect())
}

/// Keys that are looked for; NULLs among them are not.
fn key_lists(others: &[ArrayRef], rows: usize) -> Result<Vec<Option<Vec<String>>>> {
    Ok(optional_lists(others, rows)?.into_iter().map(|l| l.map(|l| l.into_iter().flatten().collect())).collect())
}

type OptionalTexts = Option<Vec<Option<String>>>;

fn optional_lists(others: &[ArrayRef], rows: usize) -> Result<Vec<OptionalTexts>> {
    let Some(a) = others.first() else { return Err(SqlError::internal("a JSON operator without its right side").into()) };
    let owned = |a: &ArrayRef| -> Result<Vec<Option<String>>> { Ok(texts(a)?.map(|t| t.map(str::to_string)).collect()) };
    match a.data_type() {
        DataType::Null => Ok(vec![None; rows]),
        DataType::List(_) => a.as_list::<i32>().iter().map(|l| l.map(|l| owned(&l)).transpose()).collect(),
        _ => texts(a)?
            .map(|t| {
                let Some(t) = t else { return Ok(None) };
                let Some(array) = pgtype::TEXT.array() else { return Err(SqlError::internal("text has no array type").into()) };
                match decode::from_text(array, t, &EncodeSettings::default())? {
                    ScalarValue::List(l) => Ok(Some(owned(l.values())?)),
                    other => Err(SqlError::internal(format!("a path of type {}", other.data_type())).into()),
                }
            })
            .collect(),
    }
}

/// A key of an object, a string of an array, or the string itself.
fn exists(document: &str, key: &str) -> bool {
    let is_key = |raw: &str| part::kind(raw) == Kind::String && part::string(raw).is_some_and(|s| s == key);
    match part::kind(document) {
        Kind::Object => part::keys(document).iter().any(|k| k == key),
        Kind::Array => part::elements(document).into_iter().any(is_key),
        _ => is_key(document),
    }
}

fn type_name(document: &str) -> &'static str {
    match part::kind(document) {
        Kind::Object => "object",
        Kind::Array => "array",
        Kind::String => "string",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
        Kind::Null => "null",
    }
}

fn array_length(document: &str) -> Result<i32> {
    let what = match part::kind(document) {
        Kind::Array => return Ok(i32::try_from(part::elements(document).len()).unwrap_or(i32::MAX)),
        Kind::Object => "non-array",
        _ => "scalar",
    };
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot get array length of a {what}")).into())
}
