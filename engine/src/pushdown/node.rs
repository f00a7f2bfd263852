//! The logical node of a remote query, and its way into a physical plan.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DFSchemaRef;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::remote::RemoteQuery;
use crate::federation::scan::RemoteScanExec;

/// A leaf of the logical plan: a remote query seen as a relation with the names of the subtree it stands for.
#[derive(Debug, Clone)]
pub struct RemoteNode {
    /// The query. It has a column for each field of `schema`, or one column where `schema` has none.
    pub query: Arc<RemoteQuery>,
    /// The fields, with qualifiers.
    pub schema: DFSchemaRef,
}

impl RemoteNode {
    /// As a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
    /// The node of a plan, if it is one.
    pub fn of(plan: &LogicalPlan) -> Option<&RemoteNode> {
        match plan {
            LogicalPlan::Extension(e) => e.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl PartialEq for RemoteNode {
    fn eq(&self, other: &Self) -> bool {
        self.query.connector.name == other.query.connector.name && self.query.rel == other.query.rel && self.schema == other.schema
    }
}
impl Eq for RemoteNode {}
impl PartialOrd for RemoteNode {
    fn partial_cmp(&self, _other: &Self) -> Option<Ordering> {
        None
    }
}
impl Hash for RemoteNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.query.connector.name.hash(state);
        self.schema.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for RemoteNode {
    fn name(&self) -> &str {
        "RemoteQuery"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "RemoteQuery: connector={}", self.query.connector.name)?;
        match self.query.dialect.render(&self.query.rel) {
            Ok(t) => write!(f, ", {}", t.text),
            Err(e) => write!(f, ", cannot be written: {}", e.message),
        }
    }
    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, _inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        Ok(self.clone())
    }
}

/// Plans [`RemoteNode`]s.
#[derive(Debug)]
pub struct RemoteNodePlanner;

#[async_trait]
impl ExtensionPlanner for RemoteNodePlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<RemoteNode>() else { return Ok(None) };
        let fields = node.schema.as_arrow().fields().iter().cloned().collect::<Vec<_>>();
        let leaf = RemoteScanExec::try_new(node.query.clone(), &fields, session.config())?;
        // The leaf has unique names (two columns of one name confuse DataFusion 55's filter pushdown); the projection gives the plan's own names
        // back, and drops the column of a relation without any.
        let leaf_schema = leaf.schema();
        let exprs: Vec<ProjectionExpr> = fields
            .iter()
            .enumerate()
            .map(|(i, f)| ProjectionExpr { expr: Arc::new(Column::new(leaf_schema.field(i).name(), i)), alias: f.name().clone() })
            .collect();
        Ok(Some(Arc::new(ProjectionExec::try_new(exprs, Arc::new(leaf))?)))
    }
}
