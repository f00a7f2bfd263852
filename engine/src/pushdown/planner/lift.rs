//! A side of a join whose conditions are finished here: the remote query without them, and the conditions, to be finished above the join.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::projection::as_remote;
use super::{correlated, plain_column};
use crate::pushdown::node::RemoteNode;

/// A plan as a remote query under conditions.
pub(super) struct Lifted {
    /// The plan's columns, then those that the conditions alone need.
    pub(super) node: RemoteNode,
    /// The conditions, over the columns of `node`.
    pub(super) above: Vec<Expr>,
}

impl Lifted {
    /// Looks through aliases and through projections that only choose columns; `None` where something else stands between.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Lifted> {
        if let Some(node) = as_remote(plan) {
            return Some(Lifted { node, above: vec![] });
        }
        match plan {
            LogicalPlan::Filter(f) if !f.predicate.is_volatile() && !correlated(&f.predicate).unwrap_or(true) => {
                let mut inner = Lifted::of(&f.input)?;
                inner.above.extend(split_conjunction(&f.predicate).into_iter().cloned());
                Some(inner)
            }
            LogicalPlan::SubqueryAlias(a) => {
                let inner = Lifted::of(&a.input)?;
                let own = a.schema.fields().len();
                let mut fields: Vec<_> = a.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
                let more = inner.node.schema.iter().skip(own).map(|(_, f)| (Some(a.alias.clone()), f.clone()));
                fields.extend(more);
                inner.renamed(fields)
            }
            LogicalPlan::Projection(p) => {
                let inner = Lifted::of(&p.input)?;
                let mut keep = p.expr.iter().map(|e| plain_column(e, &inner.node.schema)).collect::<Option<Vec<_>>>()?;
                let mut fields: Vec<_> = p.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
                for c in inner.above.iter().flat_map(Expr::column_refs) {
                    let at = inner.node.schema.maybe_index_of_column(c)?;
                    if !keep.contains(&at) {
                        keep.push(at);
                        let (q, f) = inner.node.schema.qualified_field(at);
                        fields.push((q.cloned(), f.clone()));
                    }
                }
                // A column may be chosen twice: a condition means the first.
                let to = |old: usize| keep.iter().position(|k| *k == old);
                let schema = schema_of(fields)?;
                let above = inner.moved(&schema, &to)?;
                let mut query = inner.node.query.as_ref().clone();
                query.pick(&keep);
                Some(Lifted { node: RemoteNode { query: Arc::new(query), schema }, above })
            }
            _ => None,
        }
    }

    /// The same columns under other names.
    fn renamed(self, fields: Fields) -> Option<Lifted> {
        let schema = schema_of(fields)?;
        let above = self.moved(&schema, &Some)?;
        Some(Lifted { node: RemoteNode { query: self.node.query, schema }, above })
    }

    /// The conditions over another schema, in which column i of this one is column `to(i)`.
    fn moved(&self, schema: &DFSchemaRef, to: &dyn Fn(usize) -> Option<usize>) -> Option<Vec<Expr>> {
        let one = |e: &Expr| {
            let mut all = true;
            let moved = e.clone().transform(|e| {
                let Expr::Column(c) = &e else { return Ok(Transformed::no(e)) };
                let at = self.node.schema.maybe_index_of_column(c).and_then(to);
                all &= at.is_some();
                Ok(at.map_or(Transformed::no(e), |at| Transformed::yes(Expr::Column(Column::from(schema.qualified_field(at))))))
            });
            moved.ok().map(|m| m.data).filter(|_| all)
        };
        self.above.iter().map(one).collect()
    }
}

type Fields = Vec<(Option<datafusion::common::TableReference>, arrow::datatypes::FieldRef)>;

/// `None` where two fields have one name.
fn schema_of(fields: Fields) -> Option<DFSchemaRef> {
    DFSchema::new_with_metadata(fields, Default::default()).ok().map(Arc::new)
}
