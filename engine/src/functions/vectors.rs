//! Subscripts of `int2vector` and `oidvector`, which count from 0 where arrays count from 1 (`indkey[0]`), whatever the column is called by now.

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, lit};

use crate::pgtype::{self, PgType};

/// Plans `vector[n]` as DataFusion's `vector[n + 1]`.
#[derive(Debug)]
pub(crate) struct VectorSubscripts;

impl ExprPlanner for VectorSubscripts {
    fn plan_field_access(&self, mut access: RawFieldAccessExpr, schema: &DFSchema) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let (_, field) = access.expr.to_field(schema)?;
        if pgtype::vector_element(PgType::of(&field)).is_some()
            && let GetFieldAccess::ListIndex { key } = &mut access.field_access
        {
            **key = Expr::clone(key) + lit(1i64);
        }
        Ok(PlannerResult::Original(access))
    }
}
