//! `remote_query('connector', $$...$$)`: the user's own text, run by the source as it is, in a read-only transaction.
//!
//! Its columns come from the source's Describe when the statement is planned. Nothing is pushed into it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::TableType;
use datafusion::error::Result as DfResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::TryStreamExt;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::catalog::Connector;
use crate::error::Result;
use crate::pushdown::report::Report;
use crate::session::registry::{QueryRecord, RemoteRecord};
use crate::source::{QueryScope, RemoteInput, RemoteRequest, RemoteStats};

/// The table that a passthrough text is.
#[derive(Debug)]
pub(crate) struct PassthroughTable {
    connector: Arc<Connector>,
    text: Arc<str>,
    schema: SchemaRef,
}

impl PassthroughTable {
    /// Asks the source for the columns; runs nothing.
    pub(crate) async fn describe(connector: Arc<Connector>, text: &str) -> Result<PassthroughTable> {
        let schema = connector.source.describe(text).await?;
        Ok(PassthroughTable { connector, text: text.into(), schema })
    }
}

#[async_trait]
impl TableProvider for PassthroughTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(self.schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let scan: Arc<dyn ExecutionPlan> = Arc::new(PassthroughExec {
            connector: self.connector.clone(),
            text: self.text.clone(),
            schema: self.schema.clone(),
            properties: Arc::new(properties),
            batch_rows: session.config().batch_size(),
            ran: Arc::default(),
        });
        let Some(columns) = projection else { return Ok(scan) };
        let exprs: Vec<ProjectionExpr> = columns
            .iter()
            .map(|i| {
                let name = self.schema.field(*i).name();
                ProjectionExpr { expr: Arc::new(Column::new(name, *i)), alias: name.clone() }
            })
            .collect();
        Ok(Arc::new(ProjectionExec::try_new(exprs, scan)?))
    }
}

/// Runs the text.
#[derive(Debug, Clone)]
pub(crate) struct PassthroughExec {
    connector: Arc<Connector>,
    text: Arc<str>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    batch_rows: usize,
    /// Of the last run, for EXPLAIN ANALYZE.
    ran: Arc<Mutex<Option<Arc<RemoteStats>>>>,
}

impl PassthroughExec {
    /// The connector's name.
    pub(crate) fn connector(&self) -> &str {
        &self.connector.name
    }
    /// The user's text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
    /// What the last run counted; `None` before it.
    pub(crate) fn stats(&self) -> Option<Arc<RemoteStats>> {
        self.ran.lock().clone()
    }
}

impl DisplayAs for PassthroughExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match t {
            DisplayFormatType::TreeRender => write!(f, "connector={}", self.connector.name),
            _ => write!(f, "PassthroughExec: connector={}, remote={}", self.connector.name, self.text.replace('\n', " ")),
        }
    }
}

impl ExecutionPlan for PassthroughExec {
    fn name(&self) -> &str {
        "PassthroughExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }
    fn apply_expressions(&self, _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let config = context.session_config();
        let scope = config.get_extension::<QueryScope>().unwrap_or_else(|| QueryScope::new(0, CancellationToken::new()));
        let stats = RemoteStats::new(self.connector.name.clone());
        scope.add_remote(stats.clone());
        *self.ran.lock() = Some(stats.clone());
        if let Some(record) = config.get_extension::<QueryRecord>() {
            record.add_remote(RemoteRecord::passthrough(
                &self.connector.name,
                self.schema.fields().len(),
                Report::default(),
                stats.clone(),
            ));
        }
        let rows = self.connector.source.execute(RemoteRequest {
            input: RemoteInput::Text(self.text.to_string()),
            schema: self.schema.clone(),
            scope: scope.clone(),
            memory: context.memory_pool().clone(),
            batch_rows: self.batch_rows,
            stats,
            narrowing: None,
        })?;
        let name = self.connector.name.clone();
        let watched = rows.inspect_err(move |e| scope.look_for_change(&name, e, false));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), watched)))
    }
}
