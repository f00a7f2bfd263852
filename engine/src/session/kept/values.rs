//! The values of a kept plan: which of them it may take, and how they come into it.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_expr::create_physical_expr;

use super::{compares, from_parameters, has_placeholder};
use crate::pgtype::{self, PgType};
use crate::session::params;

/// Elements of an array at most, with which a column is compared; a longer one is planned for.
const ELEMENTS_MAX: usize = 10_000;

/// The plan with values for placeholders; `None` where one does not fit the column that it meets.
pub(super) fn substitute(plan: LogicalPlan, values: &[ScalarValue], casts: bool) -> DfResult<Option<LogicalPlan>> {
    let mut fits = true;
    let plan = plan
        .transform_up_with_subqueries(|node| {
            let schema = casts.then(|| input_schema(&node)).transpose()?;
            node.map_expressions(|e| {
                if !has_placeholder(&e) {
                    return Ok(Transformed::no(e));
                }
                e.transform_up(|e| {
                    Ok(match (e, &schema) {
                        (Expr::Placeholder(p), _) => match values.get(params::number(&p)? - 1) {
                            Some(v) => Transformed::yes(Expr::Literal(v.clone(), None)),
                            None => {
                                fits = false;
                                Transformed::no(Expr::Placeholder(p))
                            }
                        },
                        (Expr::BinaryExpr(mut b), Some(schema)) if compares(b.op) => {
                            for side in [&mut b.left, &mut b.right] {
                                fits &= compute(side, schema);
                            }
                            let (e, fit) = narrowed(b, schema);
                            fits &= fit;
                            Transformed::yes(e)
                        }
                        (Expr::ScalarFunction(f), Some(_)) => match listed(&f) {
                            Some(e) => Transformed::yes(e),
                            None => Transformed::no(Expr::ScalarFunction(f)),
                        },
                        (e, _) => Transformed::no(e),
                    })
                })
            })
        })?
        .data;
    let negative = |plan: &LogicalPlan| {
        let LogicalPlan::Limit(l) = plan else { return false };
        [&l.skip, &l.fetch].into_iter().flatten().any(|e| matches!(e.as_ref(), Expr::Literal(ScalarValue::Int64(Some(n)), _) if *n < 0))
    };
    let refused = plan.exists(|p| Ok(negative(p)))?;
    Ok((fits && !refused).then_some(plan))
}

/// Puts the value of a constant expression in its place. False where it has none that a column can be compared with.
fn compute(e: &mut Expr, schema: &DFSchema) -> bool {
    if matches!(e, Expr::Literal(..)) || !from_parameters(e) {
        return true;
    }
    let value = || -> DfResult<ScalarValue> {
        let compiled = create_physical_expr(e, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        let no_columns = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &no_columns)?;
        match compiled.evaluate(&row)? {
            ColumnarValue::Scalar(v) => Ok(v),
            ColumnarValue::Array(a) => ScalarValue::try_from_array(&a, 0),
        }
    };
    match value() {
        Ok(v) if !v.is_null() => {
            *e = Expr::Literal(v, None);
            true
        }
        // Planned anew, an error is met again.
        _ => false,
    }
}

/// `column = ANY (constant)` as an IN list.
fn listed(f: &ScalarFunction) -> Option<Expr> {
    let [Expr::Literal(ScalarValue::List(list), _), column @ Expr::Column(_)] = f.args.as_slice() else { return None };
    if f.func.name() != "array_has" {
        return None;
    }
    let items = (0..list.values().len()).map(|i| ScalarValue::try_from_array(list.values(), i).ok().map(|v| Expr::Literal(v, None)));
    Some(Expr::InList(InList::new(Box::new(column.clone()), items.collect::<Option<_>>()?, false)))
}

fn input_schema(node: &LogicalPlan) -> DfResult<DFSchema> {
    let mut schema = merge_schema(&node.inputs());
    if let LogicalPlan::TableScan(ts) = node {
        schema.merge(&DFSchema::try_from_qualified_schema(ts.table_name.clone(), &ts.source.schema())?);
    }
    Ok(schema)
}

/// `CAST(id AS bigint) = 5` as `id = 5`, which the optimizer does for literals: the cast would cost the source's index. False where 5 does not fit.
fn narrowed(b: BinaryExpr, schema: &DFSchema) -> (Expr, bool) {
    let narrow = |column: &Expr, literal: &Expr| {
        let (Expr::Cast(c), Expr::Literal(ScalarValue::Int64(Some(v)), _)) = (column, literal) else { return None };
        if !matches!(c.expr.as_ref(), Expr::Column(_)) {
            return None;
        }
        let value = match c.expr.get_type(schema).ok()? {
            DataType::Int32 => i32::try_from(*v).ok().map(|v| ScalarValue::Int32(Some(v))),
            DataType::Int16 => i16::try_from(*v).ok().map(|v| ScalarValue::Int16(Some(v))),
            _ => return None,
        };
        Some(value.map(|v| (c.expr.clone(), Box::new(Expr::Literal(v, None)))))
    };
    match (narrow(&b.left, &b.right), narrow(&b.right, &b.left)) {
        (Some(Some((column, value))), _) => (Expr::BinaryExpr(BinaryExpr::new(column, b.op, value)), true),
        (_, Some(Some((column, value)))) => (Expr::BinaryExpr(BinaryExpr::new(value, b.op, column)), true),
        (None, None) => (Expr::BinaryExpr(b), true),
        _ => (Expr::BinaryExpr(b), false),
    }
}

/// Whether a value is one of the parameter's type that needs no look at what it is. NULL changes what the optimizer would make of the plan.
pub(super) fn usable(value: &ScalarValue, ty: PgType) -> bool {
    if let (ScalarValue::List(list), Some(element)) = (value, ty.element()) {
        let items = (0..list.values().len()).map(|i| ScalarValue::try_from_array(list.values(), i));
        return list.len() == 1
            && list.is_valid(0)
            && (1..=ELEMENTS_MAX).contains(&list.values().len())
            && list.values().len() == list.value(0).len()
            && items.into_iter().all(|v| v.is_ok_and(|v| usable(&v, element)));
    }
    if value.is_null() || value.data_type() != ty.to_arrow() {
        return false;
    }
    match value {
        // Another spelling is brought to this one by a rule of the analyzer.
        ScalarValue::Utf8(Some(s)) if ty == pgtype::UUID => uuid::Uuid::try_parse(s).is_ok_and(|u| u.to_string() == *s),
        ScalarValue::Utf8(_) => ty == pgtype::TEXT,
        _ => true,
    }
}
