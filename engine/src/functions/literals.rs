//! Text literals beside a typed value: read in that value's type, before DataFusion's coercion finds another.
//!
//! DataFusion 55 meets `ts > '9999-12-31'` in nanoseconds, which end in 2262, reads a text without an offset in the zone of the column's type (UTC)
//! instead of the session's, and makes `coalesce(ts, '2024-01-01')` a text. A uuid is held as its canonical text, so a literal in another spelling
//! would find nothing. In Postgres such a literal has no type of its own: it takes that of what it meets
//! (<https://www.postgresql.org/docs/15/typeconv.html>).

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::{lenient, siblings, text_in};
use crate::pgtype::{self, PgType};
use crate::values::EncodeSettings;

/// Types the literals of a plan's comparisons, CASE and COALESCE.
pub(super) fn rewrite(plan: LogicalPlan, settings: &EncodeSettings) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, schema| rewrite_one(e, schema, settings))
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
    use DataType as T;
    let (_, f) = e.to_field(schema).ok()?;
    let decides = match f.data_type() {
        T::Timestamp(TimeUnit::Microsecond, _) | T::Date32 | T::Time64(TimeUnit::Microsecond) => true,
        T::Interval(IntervalUnit::MonthDayNano) | T::Binary | T::Boolean => true,
        T::Utf8 => PgType::of(&f) == pgtype::UUID,
        T::List(_) => PgType::of(&f).element().is_some(),
        _ => false,
    };
    decides.then_some(f)
}
