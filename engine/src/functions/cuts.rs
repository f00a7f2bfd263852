//! `x::varchar(2)` and `x::char(2)`: an explicit cast cuts what is longer, without an error.
//!
//! DataFusion 55 ignores the length. It becomes `left`, which a source takes over; the blanks that pad a `char(n)` are not held here.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::functions::string::rtrim;
use datafusion::functions::unicode::left;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, cast, lit};
use std::sync::Arc;

use arrow::datatypes::DataType;

use crate::pgtype::{self, PG_TYPE, PG_TYPMOD};

/// Bytes of a length's header, which an `atttypmod` counts too.
pub(crate) const HEADER: i64 = 4;

/// Before type coercion: every such cast. Its result has no length any more, so that a second analysis leaves it alone.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, schema| {
        let Expr::Cast(Cast { expr, field }) = &e else { return Ok(Transformed::no(e)) };
        let named = |t: pgtype::PgType| field.metadata().get(PG_TYPE).is_some_and(|n| n == t.name);
        let length = field.metadata().get(PG_TYPMOD).and_then(|m| m.parse::<i64>().ok()).map(|m| m - HEADER);
        let (Some(length), true) = (length, named(pgtype::VARCHAR) || named(pgtype::BPCHAR)) else { return Ok(Transformed::no(e)) };
        let text = match expr.get_type(schema) {
            Ok(t) if t.is_string() => expr.as_ref().clone(),
            _ => cast(expr.as_ref().clone(), DataType::Utf8),
        };
        let mut cut = Expr::ScalarFunction(ScalarFunction::new_udf(left(), vec![text, lit(length)]));
        if named(pgtype::BPCHAR) {
            cut = Expr::ScalarFunction(ScalarFunction::new_udf(rtrim(), vec![cut]));
        }
        let mut bare = field.as_ref().clone();
        let mut metadata = bare.metadata().clone();
        metadata.remove(PG_TYPMOD);
        bare.set_metadata(metadata);
        Ok(Transformed::yes(Expr::Cast(Cast { expr: Box::new(cut), field: Arc::new(bare) })))
    })
}
