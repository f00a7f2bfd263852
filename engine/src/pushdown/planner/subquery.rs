//! Comparisons with an uncorrelated scalar subquery of the same connector.
//!
//! `x = (SELECT max(y) FROM t)` would read all rows here to compare them. A subquery that gives exactly one row whatever its tables hold (an
//! aggregate without groups) is a join with that row. Others stay: of two rows DataFusion makes an error, and of none a NULL.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};

use super::projection::as_remote;
use super::{absorb, join, pushing, same_connector};
use crate::pushdown::ir::JoinKind;
use crate::pushdown::node::RemoteNode;

/// The filter over a remote query with its subqueries joined to that; `None` where there are none, or the condition stays here all the same.
pub(super) fn compared(filter: &Filter, node: &RemoteNode) -> DfResult<Option<LogicalPlan>> {
    if node.query.dialect.refuses_join(JoinKind::Inner).is_some() {
        return Ok(None);
    }
    let mut joined = node.clone();
    let mut found = 0;
    let replaced = filter.predicate.clone().transform_up(|e| {
        let Expr::ScalarSubquery(s) = &e else { return Ok(Transformed::no(e)) };
        let remote = as_remote(&s.subquery).filter(|r| {
            s.outer_ref_columns.is_empty()
                && pushing(r)
                && r.query.one_row
                && r.schema.fields().len() == 1
                && same_connector(&r.query, &node.query)
        });
        let Some(remote) = remote else { return Ok(Transformed::no(e)) };
        let qualifier = TableReference::bare(format!("(subquery {})", found + 1));
        let field = (Some(qualifier.clone()), remote.schema.field(0).clone());
        let one = RemoteNode { schema: Arc::new(DFSchema::new_with_metadata(vec![field.clone()], Default::default())?), ..remote };
        let fields = joined.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).chain([field.clone()]).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        joined = join::product(&joined, &one, schema);
        found += 1;
        Ok(Transformed::yes(Expr::Column(Column::new(Some(qualifier), field.1.name()))))
    })?;
    if found == 0 || node.schema.fields().is_empty() {
        return Ok(None);
    }
    let mut query = joined.query.as_ref().clone();
    if !query.push_filter(&replaced.data, &joined.schema).is_empty() {
        return Ok(None);
    }
    let plan = RemoteNode { query: Arc::new(query), schema: joined.schema }.into_plan();
    let columns = node.schema.columns().into_iter().map(Expr::Column).collect();
    let back = LogicalPlan::Projection(Projection::try_new_with_schema(columns, Arc::new(plan), node.schema.clone())?);
    absorb(&back)
}
