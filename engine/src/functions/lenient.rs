//! `coalesce` that takes a literal without a type beside a value of any.
//!
//! DataFusion 55 asks for one type when it plans the call, before the rule on [`literals`](super::literals) can read `'2024-01-01'` as the timestamp
//! that it stands beside; and makes a text of `coalesce(n, '0')`.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DFSchema, Result};
use datafusion::functions::core::coalesce::CoalesceFunc;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::error::{SqlError, SqlState};
use crate::pgtype::PgType;

/// `coalesce`, to be registered over DataFusion's.
pub(super) fn coalesce() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Coalesce { inner: CoalesceFunc::new() }))
}

/// A text that is no literal does not become another type.
///
/// # Errors
/// 42804, as Postgres says it.
pub(super) fn check(e: &Expr, schema: &DFSchema) -> Result<()> {
    let Expr::ScalarFunction(f) = e else { return Ok(()) };
    if f.func.name() != "coalesce" {
        return Ok(());
    }
    let fields: Vec<FieldRef> = f.args.iter().filter_map(|a| a.to_field(schema).ok().map(|(_, f)| f)).collect();
    let Some(other) = fields.iter().find(|f| !f.data_type().is_string() && !f.data_type().is_null()) else { return Ok(()) };
    let open = |e: &Expr| matches!(e, Expr::Literal(..) | Expr::Placeholder(_));
    let Some(text) = f.args.iter().zip(&fields).find(|(a, f)| f.data_type().is_string() && !open(a)) else { return Ok(()) };
    let (a, b) = (PgType::of(other).sql_name, PgType::of(text.1).sql_name);
    Err(SqlError::new(SqlState::DATATYPE_MISMATCH, format!("COALESCE types {a} and {b} cannot be matched"))
        .hint("Cast one of them.")
        .into())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Coalesce {
    inner: CoalesceFunc,
}

impl ScalarUDFImpl for Coalesce {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let typed: Vec<DataType> = types.iter().filter(|t| !t.is_string() && !t.is_null()).cloned().collect();
        if typed.is_empty() || !types.iter().any(DataType::is_string) {
            return self.inner.coerce_types(types);
        }
        let one = self.inner.coerce_types(&typed)?;
        Ok(vec![one.first().cloned().unwrap_or(DataType::Null); types.len()])
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }
    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }
}
