//! The present as a `timestamptz`: `now()` and its kin.
//!
//! DataFusion's has the zone of the configuration that it was made under, which is none: a `timestamp` in UTC, which would be read in the session's
//! zone where it meets an instant.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::error::SqlError;

/// All of them.
pub(super) fn all() -> [Arc<ScalarUDF>; 2] {
    // The moment of the transaction in PostgreSQL; here that of the statement.
    let now = Now { name: "now", aliases: names(&["current_timestamp", "transaction_timestamp", "statement_timestamp"]), stable: true };
    let clock = Now { name: "clock_timestamp", aliases: vec![], stable: false };
    [now, clock].map(|f| Arc::new(ScalarUDF::from(f)))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_string()).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    name: &'static str,
    aliases: Vec<String>,
    /// The same all over a statement.
    stable: bool,
}

fn instant(at: chrono::DateTime<chrono::Utc>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), Some("UTC".into()))
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        self.name
    }
    fn aliases(&self) -> &[String] {
        &self.aliases
    }
    fn signature(&self) -> &Signature {
        static STABLE: std::sync::LazyLock<Signature> = std::sync::LazyLock::new(|| Signature::nullary(Volatility::Stable));
        static VOLATILE: std::sync::LazyLock<Signature> = std::sync::LazyLock::new(|| Signature::nullary(Volatility::Volatile));
        if self.stable { &STABLE } else { &VOLATILE }
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
    }
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match info.query_execution_start_time().filter(|_| self.stable) {
            Some(at) => Ok(ExprSimplifyResult::Simplified(Expr::Literal(instant(at), None))),
            None => Ok(ExprSimplifyResult::Original(args)),
        }
    }
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.stable {
            return Err(SqlError::internal("the moment of a statement is decided when it is planned").into());
        }
        Ok(ColumnarValue::Scalar(instant(chrono::Utc::now())))
    }
}
