//! Text literals beside a typed value: read in that value's type, before DataFusion's coercion finds another.
//!
//! DataFusion 55 meets `ts > '9999-12-31'` in nanoseconds, which end in 2262, reads a text without an offset in the zone of the column's type (UTC)
//! instead of the session's, and makes `coalesce(ts, '2024-01-01')` a text. A uuid is held as its canonical text, so a literal in another spelling
//! would find nothing. In Postgres such a literal has no type of its own: it takes that of what it meets
//! (<https://www.postgresql.org/docs/15/typeconv.html>).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, Union};

use super::{lenient, siblings, text_in};
use crate::pgtype::{self, PgType};
use crate::values::EncodeSettings;

/// Types the literals of a plan's comparisons, CASE and COALESCE, and those that one query of a UNION has for a column.
pub(super) fn rewrite(plan: LogicalPlan, settings: &EncodeSettings) -> Result<LogicalPlan> {
    super::rewrite_nodes(plan, &|plan, schema| {
        let plan = super::map_named(plan, &|e| e.transform_up(|e| rewrite_one(e, schema, settings)))?;
        plan.transform_data(|plan| match plan {
            LogicalPlan::Union(u) => union(u, settings),
            other => Ok(Transformed::no(other)),
        })
    })
}

fn union(mut u: Union, settings: &EncodeSettings) -> Result<Transformed<LogicalPlan>> {
    let mut changed = false;
    for at in 0..u.schema.fields().len() {
        let typed = |plan: &Arc<LogicalPlan>| plan.schema().fields().get(at).filter(|f| decides(f)).cloned();
        let Some(field) = u.inputs.iter().filter(|plan| output(plan, at).is_none()).find_map(typed) else { continue };
        for plan in &mut u.inputs {
            let Some((projection, literal)) = output(plan, at) else { continue };
            let unknown = Field::new("", DataType::Utf8, false);
            let Some(read) = text_in::literal(literal, &unknown, &field, settings)? else { continue };
            let (relation, own) = projection.schema.qualified_field(at);
            let mut exprs = projection.expr.clone();
            exprs[at] = read.alias_qualified(relation.cloned(), own.name());
            *plan = Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, projection.input.clone())?));
            changed = true;
        }
    }
    Ok(match changed {
        true => Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(u.inputs)?)),
        false => Transformed::no(LogicalPlan::Union(u)),
    })
}

/// The untyped literal that a query gives for a column, and its SELECT list.
fn output(plan: &LogicalPlan, at: usize) -> Option<(&Projection, &str)> {
    let LogicalPlan::Projection(p) = plan else { return None };
    let mut e = p.expr.get(at)?;
    while let Expr::Alias(a) = e {
        e = &a.expr;
    }
    Some((p, text(e)?))
}

fn rewrite_one(mut e: Expr, schema: &DFSchema, settings: &EncodeSettings) -> Result<Transformed<Expr>> {
    lenient::check(&e, schema)?;
    let mut changed = false;
    for mut group in siblings(&mut e) {
        changed |= type_literals(&mut group, schema, settings)?;
    }
    Ok(if changed { Transformed::yes(e) } else { Transformed::no(e) })
}

fn type_literals(all: &mut [&mut Expr], schema: &DFSchema, settings: &EncodeSettings) -> Result<bool> {
    if !all.iter().any(|e| text(e).is_some()) {
        return Ok(false);
    }
    let Some(field) = all.iter().filter(|e| text(e).is_none()).find_map(|e| typed(e, schema)) else { return Ok(false) };
    let mut changed = false;
    for e in all.iter_mut() {
        let Some(literal) = text(e) else { continue };
        let unknown = Field::new("", DataType::Utf8, false);
        if let Some(read) = text_in::literal(literal, &unknown, &field, settings)? {
            **e = read;
            changed = true;
        }
    }
    Ok(changed)
}

/// A literal that has no type yet. One that a cast gave a type, a uuid, carries its name.
fn text(e: &Expr) -> Option<&str> {
    match e {
        Expr::Literal(ScalarValue::Utf8(Some(s)) | ScalarValue::Utf8View(Some(s)) | ScalarValue::LargeUtf8(Some(s)), metadata) => {
            metadata.as_ref().is_none_or(|m| !m.inner().contains_key(pgtype::PG_TYPE)).then_some(s)
        }
        _ => None,
    }
}

/// The field of an expression that decides how a literal beside it is read. Numbers are left to coercion.
fn typed(e: &Expr, schema: &DFSchema) -> Option<FieldRef> {
    let (_, f) = e.to_field(schema).ok()?;
    decides(&f).then_some(f)
}

fn decides(f: &Field) -> bool {
    use DataType as T;
    match f.data_type() {
        T::Timestamp(TimeUnit::Microsecond, _) | T::Date32 | T::Time64(TimeUnit::Microsecond) => true,
        T::Interval(IntervalUnit::MonthDayNano) | T::Binary | T::Boolean => true,
        T::Utf8 => PgType::of(f) == pgtype::UUID,
        T::List(_) => PgType::of(f).element().is_some(),
        _ => false,
    }
}
