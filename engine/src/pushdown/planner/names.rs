//! One name for one column, wherever joins run here.
//!
//! DataFusion 55 maps the filters that a join makes by column name, so a guard (`federation::barrier`) lets none pass where two columns share one: of
//! two tables that both have `id`, neither would hear of the keys of a third. Such columns of remote queries are renamed below the joins and get
//! their names back above them. Only names change; where anything does not fit, the plan stays as it was.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::{Expr, Filter, Join, Limit, LogicalPlan, Projection, Sort, SubqueryAlias};

use crate::pushdown::node::RemoteNode;

/// The plan with columns renamed inside; its own schema is the same.
pub(super) fn made_unique(plan: LogicalPlan) -> LogicalPlan {
    let mut renaming = Renaming { shared: HashSet::new(), next: 0 };
    if !renaming.collect(&plan).is_ok_and(|remote| remote) || renaming.shared.is_empty() {
        return plan;
    }
    match renaming.walk(&plan).and_then(|(inner, names)| restored(inner, &names, plan.schema())) {
        Ok(renamed) if renaming.next > 0 => renamed,
        _ => plan,
    }
}

/// New names of columns.
type Names = HashMap<Column, Column>;

struct Renaming {
    /// Names that two columns of a join have.
    shared: HashSet<String>,
    /// Number of the next new name.
    next: usize,
}

impl Renaming {
    /// Finds the shared names, and whether there is a remote query to hear of keys.
    fn collect(&mut self, plan: &LogicalPlan) -> DfResult<bool> {
        let mut remote = false;
        plan.apply(|p| {
            remote |= RemoteNode::of(p).is_some();
            if let LogicalPlan::Join(j) = p {
                let mut seen = HashSet::new();
                for side in [&j.left, &j.right] {
                    for f in side.schema().fields() {
                        if !seen.insert(f.name().as_str()) {
                            self.shared.insert(f.name().clone());
                        }
                    }
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(remote)
    }

    fn fresh(&mut self, name: &str) -> String {
        self.next += 1;
        format!("{name}#{}", self.next)
    }

    /// The plan with new names for its columns, and what they were.
    fn walk(&mut self, plan: &LogicalPlan) -> DfResult<(LogicalPlan, Names)> {
        Ok(match plan {
            LogicalPlan::Projection(p) => self.projection(p)?,
            LogicalPlan::SubqueryAlias(a) => self.alias(a)?,
            LogicalPlan::Join(j) => {
                let ((left, l), (right, r)) = (self.walk(&j.left)?, self.walk(&j.right)?);
                let both = || l.iter().chain(&r).map(|(k, v)| (k.clone(), v.clone())).collect::<Names>();
                let on = j.on.iter().map(|(a, b)| Ok((renamed(a, &l)?, renamed(b, &r)?))).collect::<DfResult<Vec<_>>>()?;
                let filter = j.filter.as_ref().map(|f| renamed(f, &both())).transpose()?;
                let (left, right) = (Arc::new(left), Arc::new(right));
                let joined = Join::try_new(left, right, on, filter, j.join_type, j.join_constraint, j.null_equality, j.null_aware)?;
                let names = both().into_iter().filter(|(_, new)| joined.schema.has_column(new)).collect();
                (checked(LogicalPlan::Join(joined))?, names)
            }
            LogicalPlan::Filter(f) => {
                let (input, names) = self.walk(&f.input)?;
                (checked(LogicalPlan::Filter(Filter::try_new(renamed(&f.predicate, &names)?, Arc::new(input))?))?, names)
            }
            LogicalPlan::Sort(s) => {
                let (input, names) = self.walk(&s.input)?;
                let key = |k: &datafusion::logical_expr::SortExpr| Ok(k.with_expr(renamed(&k.expr, &names)?));
                let expr = s.expr.iter().map(key).collect::<DfResult<Vec<_>>>()?;
                (checked(LogicalPlan::Sort(Sort { expr, input: Arc::new(input), fetch: s.fetch }))?, names)
            }
            LogicalPlan::Limit(l) => {
                let (input, names) = self.walk(&l.input)?;
                (LogicalPlan::Limit(Limit { input: Arc::new(input), ..l.clone() }), names)
            }
            plan => match RemoteNode::of(plan) {
                Some(node) => self.remote(node)?,
                None => (self.boundary(plan)?, Names::new()),
            },
        })
    }

    fn remote(&mut self, node: &RemoteNode) -> DfResult<(LogicalPlan, Names)> {
        let (schema, names) = self.fields(&node.schema)?;
        Ok((RemoteNode { schema, ..node.clone() }.into_plan(), names))
    }

    /// The schema with new names for the fields that share theirs.
    fn fields(&mut self, schema: &DFSchemaRef) -> DfResult<(DFSchemaRef, Names)> {
        let mut names = Names::new();
        let mut fields = vec![];
        for (q, f) in schema.iter() {
            if !self.shared.contains(f.name()) {
                fields.push((q.cloned(), f.clone()));
                continue;
            }
            let new = self.fresh(f.name());
            names.insert(Column::new(q.cloned(), f.name()), Column::new(q.cloned(), &new));
            fields.push((q.cloned(), Arc::new(f.as_ref().clone().with_name(new))));
        }
        Ok((Arc::new(DFSchema::new_with_metadata(fields, schema.metadata().clone())?), names))
    }

    fn projection(&mut self, p: &Projection) -> DfResult<(LogicalPlan, Names)> {
        let (input, below) = self.walk(&p.input)?;
        let (schema, names) = self.fields(&p.schema)?;
        let exprs = p.expr.iter().enumerate().map(|(i, e)| {
            let (q, f) = schema.qualified_field(i);
            let e = renamed(e, &below)?;
            Ok(match &e {
                Expr::Column(c) if c.relation.as_ref() == q && c.name == *f.name() => e,
                _ => e.unalias().alias_qualified(q.cloned(), f.name()),
            })
        });
        let exprs = exprs.collect::<DfResult<Vec<_>>>()?;
        let plan = LogicalPlan::Projection(Projection::try_new_with_schema(exprs, Arc::new(input), schema)?);
        Ok((checked(plan)?, names))
    }

    /// An alias gives every field its qualifier and leaves the name.
    fn alias(&mut self, a: &SubqueryAlias) -> DfResult<(LogicalPlan, Names)> {
        let (input, below) = self.walk(&a.input)?;
        let mut names = Names::new();
        for ((q, f), (inner_q, inner)) in a.schema.iter().zip(a.input.schema().iter()) {
            if let Some(new) = below.get(&Column::new(inner_q.cloned(), inner.name())) {
                names.insert(Column::new(q.cloned(), f.name()), Column::new(q.cloned(), &new.name));
            }
        }
        Ok((LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), a.alias.clone())?), names))
    }

    /// An operator that sees the old names.
    fn boundary(&mut self, plan: &LogicalPlan) -> DfResult<LogicalPlan> {
        if plan.inputs().is_empty() {
            return Ok(plan.clone());
        }
        let before = self.next;
        let mut inputs = vec![];
        for input in plan.inputs() {
            let (inner, names) = self.walk(input)?;
            inputs.push(restored(inner, &names, input.schema())?);
        }
        if self.next == before { Ok(plan.clone()) } else { plan.with_new_exprs(plan.expressions(), inputs) }
    }
}

/// The expression with columns by their new names.
fn renamed(e: &Expr, names: &Names) -> DfResult<Expr> {
    if names.is_empty() {
        return Ok(e.clone());
    }
    let column = |e: Expr| {
        Ok(match &e {
            Expr::Column(c) => names.get(c).map_or_else(|| Transformed::no(e.clone()), |new| Transformed::yes(Expr::Column(new.clone()))),
            _ => Transformed::no(e),
        })
    };
    Ok(e.clone().transform(column)?.data)
}

/// Under the old names again.
fn restored(plan: LogicalPlan, names: &Names, schema: &DFSchemaRef) -> DfResult<LogicalPlan> {
    if names.is_empty() {
        return Ok(plan);
    }
    let exprs = schema.columns().into_iter().map(|c| match names.get(&c) {
        Some(new) => Expr::Column(new.clone()).alias_qualified(c.relation, c.name),
        None => Expr::Column(c),
    });
    checked(LogicalPlan::Projection(Projection::try_new_with_schema(exprs.collect(), Arc::new(plan), schema.clone())?))
}

/// Every column that the operator names is there.
fn checked(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let known = |c: &&Column| plan.inputs().iter().any(|i| i.schema().has_column(c));
    let all = plan.expressions().iter().all(|e| e.column_refs().iter().all(known));
    if all { Ok(plan) } else { Err(DataFusionError::Plan("a column has lost its name".into())) }
}
