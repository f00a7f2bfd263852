//! The Postgres type of a UNION's columns.
//!
//! DataFusion's type coercion brings the arms to one Arrow type, and lets the last arm's Postgres type win: `int4 UNION int2` would be announced as
//! smallint and fail at the first larger value, and where coercion has nothing to do the logical and the physical plan disagree about it. So before it
//! all arms get the same Postgres type: the one that they share, else the default of the common Arrow type (varchar and char are text, int4 and int2
//! integer).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, RecursiveQuery, Union};

use crate::pgtype::{PG_TYPE, PG_TYPMOD, PgType, TEXT};

/// Gives the arms of every UNION and of every recursive query one Postgres type. Repeating it changes nothing.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut changed = false;
    let done = plan.transform_up_with_subqueries(|plan| {
        let new = match &plan {
            LogicalPlan::Union(u) => match aligned(&u.inputs)? {
                Some(inputs) => {
                    let inputs: Vec<Arc<LogicalPlan>> = inputs.into_iter().map(Arc::new).collect();
                    Some(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
                }
                None => None,
            },
            LogicalPlan::RecursiveQuery(r) => match aligned(&[r.static_term.clone(), r.recursive_term.clone()])?.as_deref() {
                Some([first, next]) => Some(LogicalPlan::RecursiveQuery(RecursiveQuery {
                    static_term: Arc::new(first.clone()),
                    recursive_term: Arc::new(next.clone()),
                    schema: first.schema().clone(),
                    ..r.clone()
                })),
                _ => None,
            },
            _ => None,
        };
        Ok(match new {
            Some(new) => {
                changed = true;
                Transformed::yes(new)
            }
            // What stands above sees the new types.
            None if changed => Transformed::yes(plan.recompute_schema()?),
            None => Transformed::no(plan),
        })
    })?;
    Ok(done.data)
}

/// The arms with the same types in their fields; `None` where they have them already.
fn aligned(arms: &[Arc<LogicalPlan>]) -> Result<Option<Vec<LogicalPlan>>> {
    let width = arms.iter().map(|a| a.schema().fields().len()).min().unwrap_or(0);
    let types: Vec<FieldMetadata> = (0..width).map(|i| common(arms, i)).collect();
    let wanted = |f: &FieldRef, t: &FieldMetadata| FieldMetadata::new_from_field(f) == *t;
    if arms.iter().all(|a| a.schema().fields().iter().zip(&types).all(|(f, t)| wanted(f, t))) {
        return Ok(None);
    }
    let arms = arms.iter().map(|arm| {
        let exprs = arm.schema().iter().zip(&types).map(|((qualifier, field), t)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match wanted(field, t) {
                true => column,
                false => column.alias_qualified_with_metadata(qualifier.cloned(), field.name(), Some(t.clone())),
            }
        });
        Ok(LogicalPlan::Projection(Projection::try_new(exprs.collect(), arm.clone())?))
    });
    arms.collect::<Result<Vec<_>>>().map(Some)
}

/// What the fields of column `i` of all arms are to say of themselves. An alias can only add to what a field says, so nothing that any arm says is left
/// out.
fn common(arms: &[Arc<LogicalPlan>], i: usize) -> FieldMetadata {
    let fields: Vec<&FieldRef> = arms.iter().filter_map(|a| a.schema().fields().get(i)).collect();
    let keys: BTreeSet<&String> = fields.iter().flat_map(|f| f.metadata().keys()).collect();
    let first = fields.first().map(|f| PgType::of(f));
    let arrow = || {
        let mut types = fields.iter().map(|f| f.data_type().clone());
        let first = types.next()?;
        types.try_fold(first, |a, b| type_union_coercion(&a, &b))
    };
    let shared = first.filter(|p| fields.iter().all(|f| PgType::of(f) == *p));
    // Types that do not go together are an error of the coercion's.
    let pg = shared.or_else(|| arrow().map(|t| PgType::of_arrow(&t))).unwrap_or(TEXT);
    let said = keys.into_iter().map(|key| {
        let mut values = fields.iter().map(|f| f.metadata().get(key));
        let value = match (key.as_str(), values.next().flatten()) {
            (PG_TYPE, _) => pg.name.to_string(),
            (_, Some(first)) if values.all(|v| v == Some(first)) => first.clone(),
            (PG_TYPMOD, _) => "-1".to_string(),
            _ => pg.name.to_string(),
        };
        (key.clone(), value)
    });
    said.collect::<BTreeMap<_, _>>().into()
}
