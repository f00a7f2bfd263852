//! NOT IN over columns that may be NULL.
//!
//! `x NOT IN (SELECT y ...)` is true where no y equals x, no y is NULL, and x is not NULL; or where there is no y at all. So:
//! `NOT EXISTS (y IS NULL) AND (x IS NOT NULL OR NOT EXISTS (any y)) AND NOT EXISTS (y = x)`: the first two do not depend on the row and are
//! answered once, the third is an anti join that the source can hash. (`x NOT IN` itself is slow at Postgres where its memory is too small.)

use std::sync::Arc;

use datafusion::logical_expr::{Expr, Join};

use crate::pushdown::estimate::ColumnEstimate;
use crate::pushdown::ir::{JoinKind, Op, Rel, RemoteType, Scalar};
use crate::pushdown::node::RemoteNode;
use crate::pushdown::remote::RemoteQuery;

/// The sides of a plain anti join that is left once NULLs are dealt with; `None` where neither key may be NULL.
pub(super) fn without_nulls(j: &Join, left: &RemoteNode, right: &RemoteNode) -> Result<Option<(RemoteNode, RemoteNode)>, String> {
    let ([(le, re)], None) = (j.on.as_slice(), &j.filter) else {
        return Err("NOT IN of a correlated subquery over a column that may be NULL is evaluated here".into());
    };
    let key = |e: &Expr, side: &RemoteNode| side.query.converter(&side.schema).value(e).map(|(t, ..)| t);
    let (x, y) = (key(le, left)?, key(re, right)?);
    if !x.ty.nullable && !y.ty.nullable {
        return Ok(None);
    }
    // It is read more than once, and must be the same each time.
    if limited(&right.query.rel) {
        return Err("NOT IN over a subquery with a LIMIT and a column that may be NULL is evaluated here".into());
    }
    let mut query = left.query.as_ref().clone();
    let width = query.types.len();
    if y.ty.nullable {
        let is_null = Scalar::call(Op::IsNull, vec![y.scalar], RemoteType::boolean(false));
        let nulls = Rel::Filter { input: Box::new(right.query.rel.clone()), predicate: is_null };
        query.wrap(|input| Rel::Join { left: input, right: Box::new(nulls), kind: JoinKind::Anti, on: None });
    }
    if x.ty.nullable {
        let any = right.query.rel.clone();
        query.wrap(|input| Rel::Join { left: input, right: Box::new(any), kind: JoinKind::Mark, on: None });
        query.types.push(RemoteType::boolean(false));
        query.columns.push(ColumnEstimate::UNKNOWN);
        let present = Scalar::call(Op::IsNotNull, vec![x.scalar], RemoteType::boolean(false));
        let none = Scalar::call(Op::Not, vec![Scalar::Column(width)], RemoteType::boolean(false));
        query.add_condition(vec![Scalar::call(Op::Or, vec![present, none], RemoteType::boolean(false))]);
        query.pick(&(0..width).collect::<Vec<_>>());
    }
    let left = RemoteNode { query: Arc::new(RemoteQuery { one_row: false, ..query }), schema: left.schema.clone() };
    Ok(Some((left, right.clone())))
}

fn limited(rel: &Rel) -> bool {
    match rel {
        Rel::Limit { .. } => true,
        Rel::Scan { .. } => false,
        Rel::Filter { input, .. }
        | Rel::Project { input, .. }
        | Rel::Aggregate { input, .. }
        | Rel::GroupingSets { input, .. }
        | Rel::Distinct { input }
        | Rel::Sort { input, .. } => limited(input),
        Rel::Join { left, right, .. } => limited(left) || limited(right),
        Rel::Union { inputs } => inputs.iter().any(limited),
    }
}
