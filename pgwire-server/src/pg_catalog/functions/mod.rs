//! Functions of `pg_catalog`. Each is a plain Rust function over one row; tables by subject list them, and [`udfs`] makes DataFusion's of them.

mod casts;
mod catalog;
mod expand;
mod privileges;
mod session;
pub(super) use session::address;
mod sizes;
mod text;
mod typed;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use fjord_engine::error::Result;
use fjord_engine::session::{SessionInfo, Settings};
use parking_lot::RwLock;

use super::Shared;
use super::model::Model;
use super::table::{self, ColumnBuilder, Value};

/// What a function can ask.
pub struct Env {
    pub(super) shared: Arc<Shared>,
    pub(super) engine: Arc<fjord_engine::Engine>,
    pub(super) session: SessionInfo,
    pub(super) settings: Arc<RwLock<Settings>>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Env({})", self.session.user)
    }
}

impl Env {
    /// The catalog as it is now.
    pub fn model(&self) -> Arc<Model> {
        self.shared.model(&self.engine)
    }
    /// The schemas in which a bare name is looked up.
    pub fn search_path(&self) -> Vec<String> {
        let settings = self.settings.read();
        let path = settings.get("search_path").unwrap_or("\"$user\", public");
        super::split_names(path).into_iter().map(|n| if n == "$user" { self.session.user.clone() } else { n }).collect()
    }
}

/// One row of arguments.
pub struct Row<'a> {
    columns: &'a [ArrayRef],
    fields: &'a [FieldRef],
    row: usize,
}

impl Row<'_> {
    /// How many arguments there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.columns.len()
    }
    /// The Arrow field of an argument.
    pub fn field(&self, i: usize) -> Option<&FieldRef> {
        self.fields.get(i)
    }
    /// Whether an argument is there and not NULL.
    pub fn present(&self, i: usize) -> bool {
        self.columns.get(i).is_some_and(|c| !c.is_null(self.row) && c.data_type() != &DataType::Null)
    }
    /// An argument as text; numbers are printed.
    pub fn text(&self, i: usize) -> Option<String> {
        if !self.present(i) {
            return None;
        }
        let c = self.columns.get(i)?;
        Some(match c.data_type() {
            DataType::Utf8 => c.as_string::<i32>().value(self.row).to_string(),
            DataType::LargeUtf8 => c.as_string::<i64>().value(self.row).to_string(),
            DataType::Utf8View => c.as_string_view().value(self.row).to_string(),
            DataType::Boolean => c.as_boolean().value(self.row).to_string(),
            _ => arrow::util::display::array_value_to_string(c, self.row).ok()?,
        })
    }
    /// An argument as a whole number; text is parsed, as Postgres types an unknown literal by its place.
    pub fn int(&self, i: usize) -> Option<i64> {
        if !self.present(i) {
            return None;
        }
        let c = self.columns.get(i)?;
        match c.data_type() {
            DataType::Int8 => Some(c.as_primitive::<Int8Type>().value(self.row).into()),
            DataType::Int16 => Some(c.as_primitive::<Int16Type>().value(self.row).into()),
            DataType::Int32 => Some(c.as_primitive::<Int32Type>().value(self.row).into()),
            DataType::Int64 => Some(c.as_primitive::<Int64Type>().value(self.row)),
            DataType::UInt8 => Some(c.as_primitive::<UInt8Type>().value(self.row).into()),
            DataType::UInt16 => Some(c.as_primitive::<UInt16Type>().value(self.row).into()),
            DataType::UInt32 => Some(c.as_primitive::<UInt32Type>().value(self.row).into()),
            DataType::UInt64 => i64::try_from(c.as_primitive::<UInt64Type>().value(self.row)).ok(),
            _ => self.text(i)?.trim().parse().ok(),
        }
    }
    /// An argument as an OID.
    pub fn oid(&self, i: usize) -> Option<u32> {
        u32::try_from(self.int(i)?).ok()
    }
    /// An argument as a boolean.
    pub fn bool(&self, i: usize) -> Option<bool> {
        let c = self.columns.get(i)?;
        match c.data_type() {
            DataType::Boolean if self.present(i) => Some(c.as_boolean().value(self.row)),
            _ => self.text(i).map(|t| matches!(t.to_ascii_lowercase().as_str(), "t" | "true" | "on" | "yes" | "1")),
        }
    }
    /// An array argument of texts; NULL elements are left out.
    pub fn texts(&self, i: usize) -> Option<Vec<String>> {
        if !self.present(i) {
            return None;
        }
        let values = self.columns.get(i)?.as_list_opt::<i32>()?.value(self.row);
        Some(values.as_string_opt::<i32>()?.iter().flatten().map(str::to_string).collect())
    }
    /// The length of an array argument.
    pub fn list_len(&self, i: usize) -> Option<usize> {
        if !self.present(i) {
            return None;
        }
        Some(self.columns.get(i)?.as_list_opt::<i32>()?.value(self.row).len())
    }
}

/// Computes one value.
pub type Eval = fn(&Env, &Row<'_>) -> Result<Value<'static>>;

/// One function: its name, its result's `typname`, when it is computed, and how.
#[derive(Clone, Copy)]
pub struct Def {
    name: &'static str,
    returns: &'static str,
    /// NULL for a NULL argument, without a call.
    strict: bool,
    volatile: bool,
    eval: Eval,
}

/// A function that gives NULL for NULL.
const fn strict(name: &'static str, returns: &'static str, eval: Eval) -> Def {
    Def { name, returns, strict: true, volatile: false, eval }
}

/// A function that looks at NULLs itself.
const fn lax(name: &'static str, returns: &'static str, eval: Eval) -> Def {
    Def { name, returns, strict: false, volatile: false, eval }
}

/// A function with an effect: never folded.
const fn effect(name: &'static str, returns: &'static str, eval: Eval) -> Def {
    Def { name, returns, strict: true, volatile: true, eval }
}

/// All functions, as one session sees them.
pub fn udfs(env: &Arc<Env>) -> Vec<Arc<ScalarUDF>> {
    let tables = [catalog::FUNCTIONS, casts::FUNCTIONS, privileges::FUNCTIONS, session::FUNCTIONS, sizes::FUNCTIONS, text::FUNCTIONS];
    let defs = tables.into_iter().flatten();
    let mut all: Vec<Arc<ScalarUDF>> = defs.map(|d| Arc::new(ScalarUDF::new_from_impl(Function::new(*d, env.clone())))).collect();
    all.push(Arc::new(ScalarUDF::new_from_impl(text::ArrayOrEmpty::new())));
    all.push(Arc::new(ScalarUDF::new_from_impl(typed::Typed::new())));
    all.push(Arc::new(ScalarUDF::new_from_impl(expand::ExpandArray::new())));
    all
}

/// The names of all functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    [catalog::FUNCTIONS, casts::FUNCTIONS, privileges::FUNCTIONS, session::FUNCTIONS, sizes::FUNCTIONS, text::FUNCTIONS]
        .into_iter()
        .flatten()
        .map(|d| d.name)
}

/// A [`Def`] as DataFusion's function.
struct Function {
    def: Def,
    env: Arc<Env>,
    signature: Signature,
}

impl Function {
    fn new(def: Def, env: Arc<Env>) -> Function {
        let volatility = if def.volatile { Volatility::Volatile } else { Volatility::Stable };
        Function { def, env, signature: Signature::user_defined(volatility) }
    }
    fn field(&self) -> FieldRef {
        let field = table::field(self.def.name, self.def.returns, true);
        // A value for the wire carries its name and its OID in one text.
        Arc::new(if self.def.returns.starts_with("reg") { field.with_data_type(DataType::Utf8) } else { field })
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.def.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.def.name == other.def.name && Arc::ptr_eq(&self.env, &other.env)
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.def.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.def.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    /// Any types: the rows' accessors read what comes. A parameter of unknown type is text.
    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(types.iter().map(|t| if t == &DataType::Null { DataType::Utf8 } else { t.clone() }).collect())
    }
    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(self.field().data_type().clone())
    }
    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        Ok(self.field())
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let one = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        // A function with an effect is called once a row even where its arguments are constants.
        let one = one && !(self.def.volatile && args.number_rows > 1);
        let rows = if one { 1 } else { args.number_rows };
        let columns: Vec<ArrayRef> = args.args.iter().map(|a| a.to_array(rows)).collect::<DfResult<_>>()?;
        let mut out = ColumnBuilder::new(self.field(), false);
        for row in 0..rows {
            let row = Row { columns: &columns, fields: &args.arg_fields, row };
            let null = self.def.strict && (0..row.len()).any(|i| !row.present(i));
            out.push(&if null { Value::Null } else { (self.def.eval)(&self.env, &row)? });
        }
        let out = out.finish();
        Ok(if one { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}
