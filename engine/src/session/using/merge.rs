//! The plan of joins by USING: merged columns above outer joins.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinConstraint, JoinType, Result as DfResult};
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, Join, LogicalPlan, Projection, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Sort,
    Volatility, when,
};

use super::OWN;
use crate::error::SqlError;
use crate::functions;
use crate::session::names::MARK;

/// Merges the key columns of outer joins by USING, and puts the columns of one side in the place of their marks.
pub(crate) fn merge(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let using = |p: &LogicalPlan| matches!(p, LogicalPlan::Join(j) if merges(j));
    let marked = |p: &LogicalPlan| p.expressions().iter().any(|e| e.exists(|e| Ok(is_mark(e))).unwrap_or(true));
    let mut found = false;
    plan.apply_with_subqueries(|p| {
        found |= using(p) || marked(p);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !found {
        return Ok(plan);
    }
    let keys = RefCell::new(HashSet::new());
    let plan = functions::rewrite_nodes(plan, &|p, _| match p {
        LogicalPlan::Join(j) if merges(&j) => merged(j, &mut keys.borrow_mut()).map(Transformed::yes),
        p => Ok(Transformed::no(p)),
    })?;
    let keys = keys.into_inner();
    let plan = functions::rewrite_nodes(plan, &|p, _| match p {
        LogicalPlan::Sort(sort) => carried(sort),
        p => Ok(Transformed::no(p)),
    })?;
    functions::rewrite_expressions(plan, &|e, schema| {
        let Expr::ScalarFunction(f) = &e else { return Ok(Transformed::no(e)) };
        if f.func.name() != OWN {
            return Ok(Transformed::no(e));
        }
        Ok(Transformed::yes(match f.args.first() {
            Some(Expr::Column(c)) if schema.has_column(&own(c)) => Expr::Column(own(c)),
            Some(Expr::OuterReferenceColumn(field, c)) if keys.contains(c) => Expr::OuterReferenceColumn(field.clone(), own(c)),
            Some(other) => other.clone(),
            None => return Err(SqlError::internal("fjord_own takes an argument").into()),
        }))
    })
}

/// A sort by a column of one side that its SELECT does not give out: the projection below, which DataFusion gave the column, hands on its own value too.
fn carried(mut sort: Sort) -> DfResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Projection(p) = sort.input.as_ref() else { return Ok(Transformed::no(LogicalPlan::Sort(sort))) };
    let mut missing = vec![];
    for key in &sort.expr {
        key.expr.apply(|e| {
            if let Expr::ScalarFunction(f) = e
                && let (OWN, Some(Expr::Column(c))) = (f.func.name(), f.args.first())
            {
                let column = Expr::Column(own(c));
                if !p.schema.has_column(&own(c)) && p.input.schema().has_column(&own(c)) && !missing.contains(&column) {
                    missing.push(column);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    if missing.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Sort(sort)));
    }
    let exprs = p.expr.iter().cloned().chain(missing).collect();
    sort.input = Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, p.input.clone())?));
    Ok(Transformed::yes(LogicalPlan::Sort(sort)))
}

fn merges(j: &Join) -> bool {
    j.join_constraint == JoinConstraint::Using && matches!(j.join_type, JoinType::Left | JoinType::Right | JoinType::Full)
}

fn is_mark(e: &Expr) -> bool {
    matches!(e, Expr::ScalarFunction(f) if f.func.name() == OWN)
}

/// The name under which a column keeps its own value.
fn own(c: &Column) -> Column {
    Column::new(c.relation.clone(), format!("{}{MARK}own", c.name))
}

fn merged(mut join: Join, keys: &mut HashSet<Column>) -> DfResult<LogicalPlan> {
    join.join_constraint = JoinConstraint::On;
    let (left, right) = (join.left.schema().clone(), join.right.schema().clone());
    let schema = join.schema.clone();
    let mut pairs: Vec<(Column, Column)> = vec![];
    for (a, b) in &join.on {
        // Either may stand first.
        match (a, b) {
            (Expr::Column(a), Expr::Column(b)) if left.has_column(a) && right.has_column(b) => pairs.push((a.clone(), b.clone())),
            (Expr::Column(a), Expr::Column(b)) => pairs.push((b.clone(), a.clone())),
            _ => {}
        }
    }
    // What joins below have merged is merged with it.
    let (below, above) = (together(&join.left)?, together(&join.right)?);
    let pair_of = |c: &Column| pairs.iter().find(|(l, r)| l == c || r == c || below(l, c) || above(r, c));
    let (kind, join) = (join.join_type, Arc::new(LogicalPlan::Join(join.clone())));
    let mut exprs = vec![];
    let mut owns = vec![];
    for (qualifier, field) in schema.iter() {
        let column = Column::new(qualifier.cloned(), field.name());
        let Some((l, r)) = pair_of(&column) else {
            exprs.push(Expr::Column(column));
            continue;
        };
        let (l, r) = (Expr::Column(l.clone()), Expr::Column(r.clone()));
        let one = match kind {
            JoinType::Left => l,
            JoinType::Right => r,
            _ => {
                let (lt, rt) = (l.get_type(&schema)?, r.get_type(&schema)?);
                let ty = type_union_coercion(&lt, &rt).unwrap_or_else(|| lt.clone());
                let cast = |e: Expr, from: &DataType| if *from == ty { e } else { Expr::Cast(Cast::new(Box::new(e), ty.clone())) };
                let (first, second) = (cast(l.clone(), &lt), cast(r, &rt));
                when(l.is_not_null(), first).otherwise(second)?
            }
        };
        exprs.push(match &one {
            Expr::Column(c) if *c == column => one,
            _ => one.alias_qualified(qualifier.cloned(), field.name()),
        });
        let kept = own(&column);
        if !schema.has_column(&kept) {
            owns.push(Expr::Column(column.clone()).alias_qualified(kept.relation, kept.name));
            keys.insert(column);
        }
    }
    exprs.extend(owns);
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, join)?))
}

/// Whether a join by USING in a plan has made one of two columns.
fn together(plan: &LogicalPlan) -> DfResult<impl Fn(&Column, &Column) -> bool> {
    let (sets, schema) = (plan.using_columns()?, plan.schema().clone());
    Ok(move |a: &Column, b: &Column| {
        let merged = |c| schema.has_column(&own(c));
        let known = schema.has_column(a) && schema.has_column(b) && a.name == b.name;
        known && (merged(a) && merged(b) || sets.iter().any(|s| s.contains(a) && s.contains(b)))
    })
}

/// The mark. It is gone before a plan runs.
pub(crate) fn own_function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Mark { signature: Signature::any(1, Volatility::Immutable) })));
    FUNCTION.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        OWN
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, args: &[DataType]) -> DfResult<DataType> {
        args.first().cloned().ok_or_else(|| SqlError::internal("fjord_own takes an argument").into())
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        args.args.into_iter().next().ok_or_else(|| SqlError::internal("fjord_own takes an argument").into())
    }
}
