//! Where a numeric meets a double: both become doubles, as in Postgres; and `1.5` is a numeric, exactly.
//!
//! DataFusion 55 coerces the pair to Decimal(30, 15): infinity and 1e300 raise, and a literal `99999999.99`, read as a double first, finds nothing in a
//! numeric column. This rule runs before type coercion and leaves it nothing to mix.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, i256};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, TableReference};
use datafusion::logical_expr::expr::{InSubquery, SetComparison};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Subquery, Values, cast};
use datafusion::optimizer::analyzer::type_coercion::coerce_union_schema;

use super::{ONE_TYPE, average, siblings};

pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_nodes(plan, &|plan, schema| {
        let plan = super::map_named(plan, &|e| e.transform_up(|e| rewrite_one(e, schema)))?;
        // With them: what stands above an average meets a numeric, not the double that it was planned as.
        plan.transform_data(columns)?.transform_data(average::split)
    })
}

/// A whole number that fits is an integer, as in Postgres, where DataFusion reads a bigint: `1 + 1`, `CASE ... THEN 1`, `ARRAY[1, 2]`, `VALUES (1)`.
/// Beside a bigint it becomes one again. Not a rule of the analyzer: `'7'::bigint` is such a number, too, once it has been analyzed.
///
/// A recursive query stays: the type of its own table was taken from its first arm when it was planned.
pub(crate) fn small_literals(plan: LogicalPlan) -> Result<LogicalPlan> {
    let recursive = plan.exists(|p| Ok(matches!(p, LogicalPlan::RecursiveQuery(_))))?;
    if recursive {
        return Ok(plan);
    }
    super::rewrite_nodes(plan, &|plan, _| {
        match plan {
            // What DataFusion reads as a count of rows is a bigint.
            LogicalPlan::Limit(_) => return Ok(Transformed::no(plan)),
            LogicalPlan::Values(v) => return small_values(v),
            _ => {}
        }
        super::map_named(plan, &small_literals_of)
    })
}

/// Functions whose result has the type of their arguments. The others take bigints, and coercing one argument of theirs coerces the others, too.
const OF_ARGUMENTS: &[&str] = &["make_array", "array_append", "array_prepend", "abs", "mod", "pg_typeof", "to_hex", super::NOT_BITS];

fn small_literals_of(e: Expr) -> Result<Transformed<Expr>> {
    e.transform_down(|e| match e {
        Expr::ScalarFunction(mut f) if !ONE_TYPE.contains(&f.func.name()) && !OF_ARGUMENTS.contains(&f.func.name()) => {
            let mut changed = false;
            for arg in f.args.iter_mut().filter(|a| !matches!(a, Expr::Literal(..))) {
                let out = small_literals_of(std::mem::take(arg))?;
                changed |= out.transformed;
                *arg = out.data;
            }
            Ok(Transformed::new(Expr::ScalarFunction(f), changed, TreeNodeRecursion::Jump))
        }
        e => Ok(small_literal(e)),
    })
}

fn small_literal(e: Expr) -> Transformed<Expr> {
    match e {
        Expr::Literal(ScalarValue::Int64(Some(v)), m) => match i32::try_from(v) {
            Ok(v) => Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(v)), m)),
            Err(_) => Transformed::no(Expr::Literal(ScalarValue::Int64(Some(v)), m)),
        },
        // `count(1)` is how DataFusion writes `count(*)`, and offsets of window functions are bigints.
        Expr::AggregateFunction(f) if f.func.name() == "count" => {
            Transformed::new(Expr::AggregateFunction(f), false, TreeNodeRecursion::Jump)
        }
        Expr::WindowFunction(w) => Transformed::new(Expr::WindowFunction(w), false, TreeNodeRecursion::Jump),
        // The cast says the type.
        Expr::Cast(c) if matches!(c.expr.as_ref(), Expr::Literal(..)) => Transformed::new(Expr::Cast(c), false, TreeNodeRecursion::Jump),
        e => Transformed::no(e),
    }
}

/// A column of VALUES whose every row is a small number or NULL.
fn small_values(mut v: Values) -> Result<Transformed<LogicalPlan>> {
    let mut fields: Vec<(Option<TableReference>, FieldRef)> = v.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
    let mut changed = false;
    for (i, (_, field)) in fields.iter_mut().enumerate() {
        let mut column = v.values.iter().map(|row| row.get(i).map(|e| uncast(e, &DataType::Int64)));
        let small = |e: Option<&Expr>| match e {
            Some(Expr::Literal(ScalarValue::Int64(Some(v)), _)) => i32::try_from(*v).is_ok(),
            Some(Expr::Literal(v, _)) => v.is_null(),
            _ => false,
        };
        if field.data_type() != &DataType::Int64 || !column.all(small) {
            continue;
        }
        for e in v.values.iter_mut().filter_map(|row| row.get_mut(i)) {
            let value = match uncast(e, &DataType::Int64) {
                Expr::Literal(ScalarValue::Int64(Some(v)), _) => i32::try_from(*v).ok(),
                _ => None,
            };
            *e = Expr::Literal(ScalarValue::Int32(value), None);
        }
        *field = Arc::new(field.as_ref().clone().with_data_type(DataType::Int32));
        changed = true;
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Values(v)));
    }
    let schema = DFSchema::new_with_metadata(fields, v.schema.metadata().clone())?;
    Ok(Transformed::yes(LogicalPlan::Values(Values { schema: Arc::new(schema), values: v.values })))
}

fn rewrite_one(mut e: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut e {
        Expr::Literal(value, _) => whole(value),
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => one_type(&mut [left.as_mut(), right.as_mut()], schema),
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

/// `x IN (SELECT y ...)`: whichever side is numeric becomes a double if the other is one.
fn with_subquery(e: &mut Expr, subquery: &mut Subquery, schema: &DFSchema) -> Result<bool> {
    let Some(column) = subquery.subquery.schema().fields().first().map(|f| f.data_type().clone()) else { return Ok(false) };
    let Ok(ours) = e.get_type(schema) else { return Ok(false) };
    if is_decimal(&ours) && column.is_floating() {
        to_double(e);
        return Ok(true);
    }
    if !(ours.is_floating() && is_decimal(&column)) {
        return Ok(false);
    }
    match doubles(&subquery.subquery, |i| i == 0)? {
        Some(plan) => {
            subquery.subquery = plan;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Columns that several queries or rows make together, and the keys of a join with USING.
fn columns(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::Values(v) => values(v)?,
        LogicalPlan::Union(mut u) => {
            let types: Vec<Vec<DataType>> =
                u.inputs.iter().map(|i| i.schema().fields().iter().map(|f| f.data_type().clone()).collect()).collect();
            let mixed = |i: usize| types.iter().any(|t| t.get(i).is_some_and(DataType::is_floating));
            let mut changed = false;
            for input in &mut u.inputs {
                if let Some(plan) = doubles(input, mixed)? {
                    *input = plan;
                    changed = true;
                }
            }
            // A union is planned with the types of its first query: what stands above must see those that it will have.
            let schema = coerce_union_schema(&u.inputs)?;
            let same = schema.fields().iter().zip(u.schema.fields()).all(|(a, b)| a.data_type() == b.data_type());
            if !same {
                u.schema = Arc::new(schema);
            }
            if changed || !same { Transformed::yes(LogicalPlan::Union(u)) } else { Transformed::no(LogicalPlan::Union(u)) }
        }
        LogicalPlan::Join(mut j) => {
            let mut changed = false;
            for (l, r) in &mut j.on {
                let types = (l.get_type(j.left.schema()), r.get_type(j.right.schema()));
                match types {
                    (Ok(a), Ok(b)) if is_decimal(&a) && b.is_floating() => to_double(l),
                    (Ok(a), Ok(b)) if a.is_floating() && is_decimal(&b) => to_double(r),
                    _ => continue,
                }
                changed = true;
            }
            if changed { Transformed::yes(LogicalPlan::Join(j)) } else { Transformed::no(LogicalPlan::Join(j)) }
        }
        other => Transformed::no(other),
    })
}

/// A query whose numerics among the columns that `wanted` names are cast to doubles; `None` where there are none.
fn doubles(plan: &Arc<LogicalPlan>, wanted: impl Fn(usize) -> bool) -> Result<Option<Arc<LogicalPlan>>> {
    let schema = plan.schema();
    let is_wanted = |i: usize| wanted(i) && is_decimal(schema.field(i).data_type());
    if !(0..schema.fields().len()).any(is_wanted) {
        return Ok(None);
    }
    let outputs = (0..schema.fields().len()).map(|i| {
        let (relation, field) = schema.qualified_field(i);
        let column = Expr::Column(Column::from((relation, field)));
        if is_wanted(i) { cast(column, DataType::Float64).alias_qualified(relation.cloned(), field.name()) } else { column }
    });
    Ok(Some(Arc::new(LogicalPlanBuilder::from(plan.as_ref().clone()).project(outputs)?.build()?)))
}

/// VALUES gives a column its type when it is planned, and its rows a cast to that type: here the casts are looked through.
fn values(mut v: Values) -> Result<Transformed<LogicalPlan>> {
    let mut fields: Vec<(Option<TableReference>, FieldRef)> = v.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
    let mut changed = false;
    for (i, (_, field)) in fields.iter_mut().enumerate() {
        if !is_decimal(field.data_type()) {
            continue;
        }
        let type_of = |e: &Expr| uncast(e, field.data_type()).get_type(&DFSchema::empty()).ok();
        let types: Vec<DataType> = v.values.iter().filter_map(|row| row.get(i).and_then(type_of)).collect();
        if !(types.iter().any(DataType::is_floating) && types.iter().any(is_decimal)) {
            continue;
        }
        for row in &mut v.values {
            if let Some(e) = row.get_mut(i) {
                *e = uncast(e, field.data_type()).clone();
                if matches!(e, Expr::Literal(v, _) if v.is_null()) {
                    *e = Expr::Literal(ScalarValue::Float64(None), None);
                } else {
                    to_double(e);
                }
            }
        }
        *field = Arc::new(field.as_ref().clone().with_data_type(DataType::Float64));
        changed = true;
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Values(v)));
    }
    let schema = DFSchema::new_with_metadata(fields, v.schema.metadata().clone())?;
    Ok(Transformed::yes(LogicalPlan::Values(Values { schema: Arc::new(schema), values: v.values })))
}

fn uncast<'a>(e: &'a Expr, to: &DataType) -> &'a Expr {
    match e {
        Expr::Cast(c) if c.field.data_type() == to => &c.expr,
        e => e,
    }
}

/// Makes the numerics among `all` doubles if there is a float among them.
fn one_type(all: &mut [&mut Expr], schema: &DFSchema) -> bool {
    let types: Vec<Option<DataType>> = all.iter().map(|e| e.get_type(schema).ok()).collect();
    if !types.iter().flatten().any(DataType::is_floating) {
        return false;
    }
    let mut changed = false;
    for (e, t) in all.iter_mut().zip(&types) {
        if t.as_ref().is_some_and(is_decimal) {
            to_double(e);
            changed = true;
        }
    }
    changed
}

fn to_double(e: &mut Expr) {
    *e = match as_double(e) {
        Some(v) => Expr::Literal(ScalarValue::Float64(Some(v)), None),
        None => cast(std::mem::take(e), DataType::Float64),
    };
}

fn is_decimal(t: &DataType) -> bool {
    matches!(t, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// A literal's nearest double, by its digits: dividing by a power of ten would round twice.
fn as_double(e: &Expr) -> Option<f64> {
    let (digits, scale) = match e {
        Expr::Literal(ScalarValue::Decimal128(Some(v), _, s), _) => (v.to_string(), *s),
        Expr::Literal(ScalarValue::Decimal256(Some(v), _, s), _) => (v.to_string(), *s),
        _ => return None,
    };
    format!("{digits}e{}", -i32::from(scale)).parse().ok()
}

/// `1e20` is read as 1 with a scale of -20, which nothing else here expects: its zeros are written out, or it becomes a double.
fn whole(value: &mut ScalarValue) -> bool {
    let (digits, precision, scale) = match value {
        ScalarValue::Decimal128(Some(v), p, s) if *s < 0 => (i256::from_i128(*v), *p, *s),
        ScalarValue::Decimal256(Some(v), p, s) if *s < 0 => (*v, *p, *s),
        _ => return false,
    };
    let zeros = scale.unsigned_abs();
    let wide = i256::from_i128(10).checked_pow(u32::from(zeros)).and_then(|f| digits.checked_mul(f));
    let precision = precision.saturating_add(zeros);
    *value = match wide {
        Some(v) if precision <= 38 => ScalarValue::Decimal128(v.to_i128(), precision, 0),
        Some(v) if precision <= 76 => ScalarValue::Decimal256(Some(v), precision, 0),
        _ => ScalarValue::Float64(format!("{digits}e{zeros}").parse().ok()),
    };
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use datafusion::logical_expr::lit;

    #[test]
    fn literals_keep_their_digits() {
        let e = Expr::Literal(ScalarValue::Decimal128(Some(9_999_999_999), 10, 2), None);
        assert_eq!(as_double(&e), Some(99_999_999.99));
        assert_eq!(as_double(&lit(1.5)), None);
        let mut v = ScalarValue::Decimal128(Some(12), 2, -3);
        assert!(whole(&mut v));
        assert_eq!(v, ScalarValue::Decimal128(Some(12_000), 5, 0));
        let mut v = ScalarValue::Decimal128(Some(1), 1, -100);
        assert!(whole(&mut v));
        assert_eq!(v, ScalarValue::Float64(Some(1e100)));
    }
}
