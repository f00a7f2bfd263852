//! Where two types meet for which DataFusion's common type is too narrow.
//!
//! DataFusion 55 meets a timestamp and a date in nanoseconds, which end in 2262; numeric(30,10) and numeric(20,20) in 38 digits, where 40 may be needed (an
//! error at the first large value); and of some pairs of numerics it knows no common type at all. So before type coercion the dates become
//! timestamps of microseconds, and the numerics get room: 76 digits, of which a numeric without precision has 38 after the point.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{InSubquery, SetComparison};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, Union, cast};
use datafusion::optimizer::analyzer::type_coercion::coerce_union_schema;

use super::siblings;

/// Gives the values of a plan that meet one another a type with room for each of them. Repeating it changes nothing.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_nodes(plan, &|plan, schema| {
        let plan = super::map_named(plan, &|e| e.transform_up(|e| rewrite_one(e, schema)))?;
        plan.transform_data(columns)
    })
}

fn rewrite_one(mut e: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut e {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_arithmetic(*op) => roomy(left, *op, right, schema),
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => with_subquery(expr, subquery, schema)?,
        Expr::SetComparison(SetComparison { expr, subquery, .. }) => with_subquery(expr, subquery, schema)?,
        e => {
            let mut changed = false;
            for mut group in siblings(e) {
                changed |= one_type(&mut group, schema);
            }
            changed
        }
    };
    Ok(if changed { Transformed::yes(e) } else { Transformed::no(e) })
}

/// The type that all of these are to be cast to, but for what coercion casts to it by itself; `None` where coercion does well.
fn common(types: &[Option<DataType>]) -> Option<DataType> {
    let known = || types.iter().flatten();
    if known().any(|t| *t == DataType::Date32) {
        return known().find(|t| matches!(t, DataType::Timestamp(TimeUnit::Microsecond, _))).cloned();
    }
    let wide = known().any(|t| matches!(t, DataType::Decimal256(..)));
    let narrow = known().any(|t| matches!(t, DataType::Decimal128(..)));
    let digits: Vec<(i16, i16)> = known().filter_map(digits).collect();
    let (before, after) = (digits.iter().map(|d| d.0).max()?, digits.iter().map(|d| d.1).max()?);
    let needed = before + after;
    let max = i16::from(if wide { DECIMAL256_MAX_PRECISION } else { DECIMAL128_MAX_PRECISION });
    if !narrow || needed <= max {
        return None;
    }
    let precision = u8::try_from(needed.min(i16::from(DECIMAL256_MAX_PRECISION))).ok()?;
    Some(DataType::Decimal256(precision, i8::try_from(after).ok()?))
}

/// Digits before and after the point of an exact number. Integers have as many as coercion gives them.
fn digits(t: &DataType) -> Option<(i16, i16)> {
    Some(match t {
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => (i16::from(*p) - i16::from(*s), i16::from(*s)),
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 | DataType::UInt64 => (20, 0),
        _ => return None,
    })
}

/// Whether a value of type `from` is one that [`common`] found the type `to` for.
fn meant(from: &DataType, to: &DataType) -> bool {
    match to {
        DataType::Timestamp(..) => *from == DataType::Date32,
        _ => from != to && matches!(from, DataType::Decimal128(..) | DataType::Decimal256(..)),
    }
}

fn one_type(all: &mut [&mut Expr], schema: &DFSchema) -> bool {
    let types: Vec<Option<DataType>> = all.iter().map(|e| e.get_type(schema).ok()).collect();
    let Some(to) = common(&types) else { return false };
    for (e, _) in all.iter_mut().zip(&types).filter(|(_, t)| t.as_ref().is_some_and(|t| meant(t, &to))) {
        **e = cast(std::mem::take(*e), to.clone());
    }
    true
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Modulo)
}

/// Operands of 128 bits whose result, or what it is computed through, may need more.
fn roomy(left: &mut Expr, op: Operator, right: &mut Expr, schema: &DFSchema) -> bool {
    let types = [left.get_type(schema).ok(), right.get_type(schema).ok()];
    let [Some(a), Some(b)] = &types else { return false };
    let (Some((ai, a_s)), Some((bi, bs))) = (digits(a), digits(b)) else { return false };
    let needed = match op {
        Operator::Multiply => ai + a_s + bi + bs + 1,
        Operator::Modulo => ai.max(bi) + a_s.max(bs),
        _ => ai.max(bi) + a_s.max(bs) + 1,
    };
    let wide = [a, b].into_iter().any(|t| matches!(t, DataType::Decimal256(..)));
    let mut changed = false;
    for (e, t) in [left, right].into_iter().zip([a, b]) {
        if let DataType::Decimal128(p, s) = t
            && (wide || needed > i16::from(DECIMAL128_MAX_PRECISION))
        {
            *e = cast(std::mem::take(e), DataType::Decimal256(*p, *s));
            changed = true;
        }
    }
    changed
}

/// `x IN (SELECT y ...)`.
fn with_subquery(e: &mut Expr, subquery: &mut Subquery, schema: &DFSchema) -> Result<bool> {
    let types = [e.get_type(schema).ok(), subquery.subquery.schema().fields().first().map(|f| f.data_type().clone())];
    let Some(to) = common(&types) else { return Ok(false) };
    if types[0].as_ref().is_some_and(|t| meant(t, &to)) {
        *e = cast(std::mem::take(e), to.clone());
    }
    if let Some(plan) = cast_columns(&subquery.subquery, |i| (i == 0).then(|| to.clone()))? {
        subquery.subquery = plan;
    }
    Ok(true)
}

/// The columns that several queries make together, and the keys of a join.
fn columns(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::Union(u) => union(u)?,
        LogicalPlan::Join(j) => join(j),
        other => Transformed::no(other),
    })
}

fn union(mut u: Union) -> Result<Transformed<LogicalPlan>> {
    let width = u.inputs.iter().map(|i| i.schema().fields().len()).min().unwrap_or(0);
    let column = |i: usize| -> Vec<Option<DataType>> { u.inputs.iter().map(|p| Some(p.schema().field(i).data_type().clone())).collect() };
    let wanted: Vec<Option<DataType>> = (0..width).map(|i| common(&column(i))).collect();
    if wanted.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Union(u)));
    }
    for input in &mut u.inputs {
        if let Some(plan) = cast_columns(input, |i| wanted.get(i).cloned().flatten())? {
            *input = plan;
        }
    }
    // A union is planned with the types of its first query: what stands above must see those that it will have.
    u.schema = Arc::new(coerce_union_schema(&u.inputs)?);
    Ok(Transformed::yes(LogicalPlan::Union(u)))
}

fn join(mut j: Join) -> Transformed<LogicalPlan> {
    let mut changed = false;
    for (l, r) in &mut j.on {
        let types = [l.get_type(j.left.schema()).ok(), r.get_type(j.right.schema()).ok()];
        let Some(to) = common(&types) else { continue };
        for (e, t) in [l, r].into_iter().zip(&types) {
            if t.as_ref().is_some_and(|t| meant(t, &to)) {
                *e = cast(std::mem::take(e), to.clone());
                changed = true;
            }
        }
    }
    if changed { Transformed::yes(LogicalPlan::Join(j)) } else { Transformed::no(LogicalPlan::Join(j)) }
}

/// A query with some of its columns cast; `None` where none needs it.
fn cast_columns(plan: &Arc<LogicalPlan>, wanted: impl Fn(usize) -> Option<DataType>) -> Result<Option<Arc<LogicalPlan>>> {
    let schema = plan.schema();
    let target = |i: usize| wanted(i).filter(|to| meant(schema.field(i).data_type(), to));
    if !(0..schema.fields().len()).any(|i| target(i).is_some()) {
        return Ok(None);
    }
    let outputs = (0..schema.fields().len()).map(|i| {
        let (relation, field) = schema.qualified_field(i);
        let column = Expr::Column(Column::from((relation, field)));
        match target(i) {
            Some(to) => cast(column, to).alias_qualified(relation.cloned(), field.name()),
            None => column,
        }
    });
    Ok(Some(Arc::new(LogicalPlanBuilder::from(plan.as_ref().clone()).project(outputs)?.build()?)))
}
