//! Text literals beside a timestamp or a uuid: read in the column's own type, before DataFusion's coercion finds another.
//!
//! DataFusion 55 meets `ts > '9999-12-31'` in nanoseconds, which end in 2262, and reads a text without an offset in the zone of the column's type
//! (UTC) instead of the session's. A uuid is held as its canonical text, so a literal in another spelling would find nothing.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, cast};

use crate::error::{SqlError, SqlState};
use crate::pgtype::{self, PgType};

/// Types the literals of a plan's comparisons.
pub(super) fn rewrite(plan: LogicalPlan, zone: Option<&str>) -> Result<LogicalPlan> {
    let zone: Arc<str> = zone.unwrap_or("UTC").into();
    super::rewrite_expressions(plan, &|e, schema| rewrite_one(e, schema, &zone))
}

fn rewrite_one(mut e: Expr, schema: &DFSchema, zone: &Arc<str>) -> Result<Transformed<Expr>> {
    let changed = match &mut e {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            type_literals(&mut [left.as_mut(), right.as_mut()], schema, zone)?
        }
        Expr::Between(b) => type_literals(&mut [b.expr.as_mut(), b.low.as_mut(), b.high.as_mut()], schema, zone)?,
        Expr::InList(l) => {
            let mut all: Vec<&mut Expr> = vec![l.expr.as_mut()];
            all.extend(l.list.iter_mut());
            type_literals(&mut all, schema, zone)?
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(e) } else { Transformed::no(e) })
}

fn type_literals(all: &mut [&mut Expr], schema: &DFSchema, zone: &Arc<str>) -> Result<bool> {
    let Some(field) = all.iter().filter(|e| text(e).is_none()).find_map(|e| typed(e, schema)) else { return Ok(false) };
    let mut changed = false;
    for e in all.iter_mut() {
        let Some(literal) = text(e) else { continue };
        if let Some(read) = read(literal, &field, zone)? {
            **e = read;
            changed = true;
        }
    }
    Ok(changed)
}

fn text(e: &Expr) -> Option<&str> {
    match e {
        Expr::Literal(ScalarValue::Utf8(Some(s)) | ScalarValue::Utf8View(Some(s)) | ScalarValue::LargeUtf8(Some(s)), _) => Some(s),
        _ => None,
    }
}

/// The field of an expression that decides how a literal beside it is read.
fn typed(e: &Expr, schema: &DFSchema) -> Option<FieldRef> {
    let (_, f) = e.to_field(schema).ok()?;
    let decides = matches!(f.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) || is_uuid(&f);
    decides.then_some(f)
}

fn is_uuid(f: &Field) -> bool {
    PgType::of(f) == pgtype::UUID && f.data_type() == &DataType::Utf8
}

fn read(literal: &str, field: &Field, zone: &Arc<str>) -> Result<Option<Expr>> {
    let value = |v| Ok(Some(Expr::Literal(v, None)));
    if is_uuid(field) {
        return match canonical_uuid(literal) {
            Some(u) => value(ScalarValue::Utf8(Some(u))),
            None => {
                Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type uuid: \"{literal}\""))
                    .into())
            }
        };
    }
    let DataType::Timestamp(unit, own_zone) = field.data_type() else { return Ok(None) };
    // Finer than a microsecond: compared exactly, in nanoseconds (federation/nanos.rs).
    let fraction = literal.split_once('.').map_or(0, |(_, f)| f.bytes().take_while(u8::is_ascii_digit).count());
    if fraction > 6 {
        return Ok(None);
    }
    // Postgres's infinities are the ends of the range here (docs/connectors/postgres.md).
    match literal.trim().to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => return value(ScalarValue::TimestampMicrosecond(Some(i64::MAX), own_zone.clone())),
        "-infinity" => return value(ScalarValue::TimestampMicrosecond(Some(i64::MIN), own_zone.clone())),
        _ => {}
    }
    let literal = Expr::Literal(ScalarValue::Utf8(Some(literal.to_string())), None);
    Ok(Some(match own_zone {
        None => cast(literal, field.data_type().clone()),
        Some(_) => cast(cast(literal, DataType::Timestamp(*unit, Some(zone.clone()))), field.data_type().clone()),
    }))
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Postgres's spellings of a uuid: any case, in braces or not, hyphens optional (<https://www.postgresql.org/docs/15/datatype-uuid.html>).
fn canonical_uuid(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('{').map_or(Some(text), |t| t.strip_suffix('}'))?;
    let digits: String = bare.chars().filter(|c| *c != '-').collect();
    uuid::Uuid::try_parse(&digits).ok().filter(|_| digits.len() == 32).map(|u| u.to_string())
}
