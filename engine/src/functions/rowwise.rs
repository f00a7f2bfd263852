//! Functions of one row's values, each in as many overloads as Postgres has: [`Def`] says the types and the computation, this file the rest.
//!
//! All are strict (NULL for a NULL) and immutable, and all are computed here: a source is asked for none of them.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::error::{SqlError, SqlState};
use crate::pgtype::{self, PgType};

/// The type of an argument or a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int4,
    /// An `integer` that is given as a whole number of any width.
    Count,
    Int8,
    Float8,
    Numeric,
    Text,
    Bytea,
    Date,
    Timestamp,
    Instant,
    Interval,
}

impl Kind {
    pub(super) fn arrow(self) -> DataType {
        self.pg().to_arrow()
    }
    fn pg(self) -> PgType {
        match self {
            Kind::Bool => pgtype::BOOL,
            Kind::Int4 | Kind::Count => pgtype::INT4,
            Kind::Int8 => pgtype::INT8,
            Kind::Float8 => pgtype::FLOAT8,
            Kind::Numeric => pgtype::NUMERIC,
            Kind::Text => pgtype::TEXT,
            Kind::Bytea => pgtype::BYTEA,
            Kind::Date => pgtype::DATE,
            Kind::Timestamp => pgtype::TIMESTAMP,
            Kind::Instant => pgtype::TIMESTAMPTZ,
            Kind::Interval => pgtype::INTERVAL,
        }
    }
    /// Whether a value of a type is taken: as it is, or by a cast that Postgres makes by itself. A text is perhaps a literal that has no type yet.
    fn takes(self, t: &DataType) -> bool {
        use DataType as T;
        let decimal = matches!(t, T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..));
        match (self, t) {
            (_, T::Null) => true,
            (Kind::Text, t) => t.is_string(),
            (_, t) if t.is_string() => true,
            (Kind::Bool, T::Boolean) | (Kind::Bytea, T::Binary | T::LargeBinary | T::BinaryView) | (Kind::Date, T::Date32) => true,
            (Kind::Int4, T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16) => true,
            (Kind::Int8 | Kind::Count, t) => t.is_integer(),
            (Kind::Float8, t) => t.is_floating() || t.is_integer() || decimal,
            (Kind::Numeric, t) => decimal || t.is_integer(),
            // An instant becomes the wall-clock time of the session's zone (`zone`).
            (Kind::Timestamp, T::Timestamp(..) | T::Date32) => true,
            (Kind::Instant, T::Timestamp(_, Some(_))) | (Kind::Interval, T::Interval(_)) => true,
            _ => false,
        }
    }
}

/// One way to call a function.
pub(super) struct Overload {
    pub(super) takes: &'static [Kind],
    pub(super) gives: Kind,
    /// No argument is NULL, and each has the type that `takes` says.
    pub(super) eval: fn(&[ScalarValue]) -> Result<ScalarValue>,
}

/// One function.
pub(super) struct Def {
    pub(super) name: &'static str,
    /// The first that takes the arguments is it.
    pub(super) overloads: &'static [Overload],
}

/// A [`Def`] as DataFusion's function.
pub(super) fn function(def: &'static Def) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Rowwise { def, signature: Signature::user_defined(Volatility::Immutable) }))
}

struct Rowwise {
    def: &'static Def,
    signature: Signature,
}

impl std::fmt::Debug for Rowwise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.def.name)
    }
}
impl PartialEq for Rowwise {
    fn eq(&self, other: &Self) -> bool {
        self.def.name == other.def.name
    }
}
impl Eq for Rowwise {}
impl Hash for Rowwise {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.def.name.hash(state);
    }
}

impl Rowwise {
    fn overload(&self, types: &[DataType]) -> Result<&'static Overload> {
        let fits = |o: &&Overload| o.takes.len() == types.len() && o.takes.iter().zip(types).all(|(k, t)| k.takes(t));
        self.def.overloads.iter().find(fits).ok_or_else(|| {
            let types: Vec<&str> = types.iter().map(|t| PgType::of_arrow(t).sql_name).collect();
            SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {}({}) does not exist", self.def.name, types.join(", ")))
                .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
                .into()
        })
    }
}

impl ScalarUDFImpl for Rowwise {
    fn name(&self) -> &str {
        self.def.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.overload(types)?.takes.iter().map(|k| k.arrow()).collect())
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(self.overload(types)?.gives.arrow())
    }
    fn is_strict(&self) -> bool {
        true
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let overload = self.overload(&types)?;
        let gives = overload.gives.arrow();
        let one = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if one { 1 } else { args.number_rows };
        let columns: Vec<ArrayRef> = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<_>>()?;
        let mut values = Vec::with_capacity(rows);
        let mut row = Vec::with_capacity(columns.len());
        for i in 0..rows {
            row.clear();
            for c in &columns {
                row.push(ScalarValue::try_from_array(c, i)?);
            }
            values.push(if row.iter().any(ScalarValue::is_null) { ScalarValue::try_from(&gives)? } else { (overload.eval)(&row)? });
        }
        Ok(match (one, values.pop()) {
            (true, Some(value)) => ColumnarValue::Scalar(value),
            (false, Some(last)) => {
                values.push(last);
                ColumnarValue::Array(ScalarValue::iter_to_array(values)?)
            }
            (_, None) => ColumnarValue::Array(arrow::array::new_empty_array(&gives)),
        })
    }
}

/// The arguments were of other types than the overload says: a fault of ours.
pub(super) fn wrong<T>(row: &[ScalarValue]) -> Result<T> {
    Err(SqlError::internal(format!("a function was given {row:?}")).into())
}

pub(super) fn text(s: impl Into<String>) -> Result<ScalarValue> {
    Ok(ScalarValue::Utf8(Some(s.into())))
}
