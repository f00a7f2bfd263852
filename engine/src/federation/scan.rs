//! The leaf operator that runs a remote query.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::compute::SortOptions;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, DFSchema, Statistics};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::{Note, Part, Report};
use crate::pushdown::{Class, Rel, dynamic};
use crate::session::registry::{QueryRecord, RemoteRecord};
use crate::source::{QueryScope, RemoteInput, RemoteRequest, RemoteStats};

/// A session's settings for dynamic filters, as an extension of its configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DynamicSettings {
    /// Take them.
    pub(crate) on: bool,
    /// Wait so long for one that will come.
    pub(crate) wait: Option<Duration>,
}

impl Default for DynamicSettings {
    fn default() -> Self {
        DynamicSettings { on: true, wait: Some(Duration::from_millis(200)) }
    }
}

/// Reads one remote query.
#[derive(Debug, Clone)]
pub struct RemoteScanExec {
    query: Arc<RemoteQuery>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    batch_rows: usize,
    /// Filters of joins above, still empty when the plan is made.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    /// Ids of those that a hash join completes.
    completing: Arc<HashSet<u64>>,
    /// `fjord.dynamic_filters`, `fjord.dynamic_filter_wait`.
    settings: DynamicSettings,
    /// What became of dynamic filters in the last execution.
    received: Arc<Mutex<Report>>,
    /// The counters of the last execution, for EXPLAIN ANALYZE.
    ran: Arc<Mutex<Option<Arc<RemoteStats>>>>,
}

impl RemoteScanExec {
    /// A scan that delivers `fields` (their names made unique), one for each column of the query; or the query's one column where there is none.
    pub fn try_new(query: Arc<RemoteQuery>, fields: &[FieldRef], config: &SessionConfig) -> DfResult<RemoteScanExec> {
        let mut names = HashSet::new();
        let mut out: Vec<FieldRef> = vec![];
        for (i, t) in query.types.iter().enumerate() {
            let field = match fields.get(i) {
                Some(f) => f.as_ref().clone(),
                None => arrow::datatypes::Field::new("c", t.arrow.clone(), true),
            };
            let mut name = field.name().clone();
            if !names.insert(name.clone()) {
                name = format!("{name}#{i}");
                names.insert(name.clone());
            }
            out.push(Arc::new(field.with_name(name)));
        }
        let schema = Arc::new(Schema::new(out));
        let ordering = query.order.iter().filter(|(c, ..)| *c < schema.fields().len()).map(|(c, descending, nulls_first)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(*c).name(), *c));
            PhysicalSortExpr::new(column, SortOptions { descending: *descending, nulls_first: *nulls_first })
        });
        let equivalence = match query.order.is_empty() {
            true => EquivalenceProperties::new(schema.clone()),
            false => EquivalenceProperties::new_with_orderings(schema.clone(), [ordering.collect::<Vec<_>>()]),
        };
        let properties =
            PlanProperties::new(equivalence, Partitioning::UnknownPartitioning(1), EmissionType::Incremental, Boundedness::Bounded)
                // The reader awaits a socket and so yields by itself.
                .with_scheduling_type(SchedulingType::Cooperative);
        Ok(RemoteScanExec {
            query,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            batch_rows: config.batch_size(),
            dynamic: vec![],
            completing: Arc::default(),
            settings: config.get_extension::<DynamicSettings>().map_or_else(DynamicSettings::default, |s| *s),
            received: Arc::default(),
            ran: Arc::default(),
        })
    }
    /// What it runs.
    pub fn query(&self) -> &Arc<RemoteQuery> {
        &self.query
    }
    /// The counters of its last execution.
    pub fn stats(&self) -> Option<Arc<RemoteStats>> {
        self.ran.lock().clone()
    }
    /// All decisions, those about dynamic filters too.
    pub fn notes(&self) -> Vec<Note> {
        let mut all = self.query.report.notes.clone();
        all.extend(self.received.lock().notes.clone());
        all
    }
    /// The same with the ids of filters that a hash join completes; `None` where it has no filters.
    pub(crate) fn tagged(&self, completing: &Arc<HashSet<u64>>) -> Option<RemoteScanExec> {
        (!self.dynamic.is_empty()).then(|| RemoteScanExec { completing: completing.clone(), ..self.clone() })
    }
    /// Waits for the filters that will come, as long as that pays: a table small enough is read sooner than a join's build side.
    async fn await_filters(&self) {
        const SMALL_TABLE_ROWS: u64 = 1_000;
        let Some(wait) = self.settings.wait else { return };
        if self.query.estimated_rows().is_some_and(|r| r < SMALL_TABLE_ROWS) {
            return;
        }
        let coming = self
            .dynamic
            .iter()
            .filter_map(|f| f.downcast_ref::<DynamicFilterPhysicalExpr>())
            .filter(|d| d.expression_id().is_some_and(|id| self.completing.contains(&id)));
        let all = futures::future::join_all(coming.map(DynamicFilterPhysicalExpr::wait_complete));
        // Out of time is no failure: the query is sent without what has not come.
        let _ = tokio::time::timeout(wait, all).await;
    }
    /// The query with what the dynamic filters say now.
    fn narrowed(&self) -> (Rel, Report) {
        let mut query = self.query.as_ref().clone();
        match DFSchema::try_from(self.schema.clone()) {
            Ok(schema) => {
                let report = dynamic::apply(&mut query, &schema, &self.dynamic);
                (query.rel, report)
            }
            Err(_) => (query.rel, Report::default()),
        }
    }
    /// The remote text: what was sent, or what would be.
    pub fn text(&self) -> String {
        if let Some(t) = self.stats().and_then(|s| s.text()) {
            return t;
        }
        match self.query.dialect.render(&self.query.rel) {
            Ok(t) => t.text,
            Err(e) => format!("<{}>", e.message),
        }
    }
}

fn list(notes: &[&Note]) -> String {
    notes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl DisplayAs for RemoteScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let report = &self.query.report;
        let pushed = report.of(Part::Filter, &[Class::Exact, Class::Rewritten]);
        let superset = report.of(Part::Filter, &[Class::Superset]);
        let residual = report.of(Part::Filter, &[Class::No]);
        let others: Vec<&Note> = report.notes.iter().filter(|n| n.part != Part::Filter && n.class == Class::No).collect();
        if matches!(t, DisplayFormatType::TreeRender) {
            writeln!(f, "connector={}", self.query.connector.name)?;
            return writeln!(f, "remote={}", self.text());
        }
        write!(f, "RemoteScanExec: connector={}, remote={}", self.query.connector.name, self.text())?;
        for (name, notes) in [("pushed_filters", &pushed), ("superset_filters", &superset), ("local_filters", &residual)] {
            if !notes.is_empty() {
                write!(f, ", {name}=[{}]", list(notes))?;
            }
        }
        let received = self.received.lock();
        if !received.notes.is_empty() {
            write!(f, ", dynamic_filters=[{}]", list(&received.notes.iter().collect::<Vec<_>>()))?;
        } else if !self.dynamic.is_empty() {
            write!(f, ", dynamic_filters={}", self.dynamic.len())?;
        }
        for n in others {
            write!(f, ", local_{}=[{n}]", n.part.as_str())?;
        }
        if let Some(s) = self.stats() {
            write!(f, ", rows={}, bytes={}", s.rows(), s.bytes())?;
            if let Some(d) = s.time_to_first_row() {
                write!(f, ", first_row={:.3}ms", d.as_secs_f64() * 1e3)?;
            }
            write!(f, ", total={:.3}ms", s.total().as_secs_f64() * 1e3)?;
        }
        Ok(())
    }
}

impl ExecutionPlan for RemoteScanExec {
    fn name(&self) -> &str {
        "RemoteScanExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }
    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>) -> DfResult<TreeNodeRecursion> {
        // A hash join looks for its filter here, and does not compute it where it is not found.
        for e in &self.dynamic {
            if f(e)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> DfResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let filters: Vec<_> = result.parent_filters.iter().map(|p| p.filter.clone()).collect();
        // Over a sorted query a condition would have to go below the sort: left alone.
        let refused = !self.settings.on || !self.query.pushdown || !self.query.order.is_empty();
        if phase == FilterPushdownPhase::Pre || filters.is_empty() || refused {
            return Ok(FilterPushdownPropagation::all_unsupported(result));
        }
        let mut scan = self.clone();
        scan.dynamic.extend(filters.iter().cloned());
        // Taken as advice; whoever made them checks every row all the same.
        let answer = vec![PushedDown::No; filters.len()];
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(answer).with_updated_node(Arc::new(scan)))
    }
    fn reset_state(self: Arc<Self>) -> DfResult<Arc<dyn ExecutionPlan>> {
        // A plan that runs again has new filters; those of the last run would drop its rows.
        let me = self.as_ref().clone();
        Ok(Arc::new(RemoteScanExec { dynamic: vec![], completing: Arc::default(), ran: Arc::default(), received: Arc::default(), ..me }))
    }
    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> DfResult<Arc<Statistics>> {
        // Never Exact: DataFusion answers COUNT from Exact row counts, and the source may have changed since it counted.
        let mut s = Statistics::new_unknown(&self.schema);
        if let Some(rows) = self.query.estimated_rows() {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            s.num_rows = Precision::Inexact(rows);
            s.total_byte_size = Precision::Inexact(rows.saturating_mul(self.query.row_width().max(1)));
            s.column_statistics = (0..self.schema.fields().len())
                .map(|i| {
                    let mut c = ColumnStatistics::new_unknown();
                    if let Some(d) = self.query.distinct_of(i) {
                        c.distinct_count = Precision::Inexact(usize::try_from(d).unwrap_or(usize::MAX).min(rows.max(1)));
                    }
                    c
                })
                .collect();
        }
        Ok(Arc::new(s))
    }
    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let config = context.session_config();
        let scope = config.get_extension::<QueryScope>().unwrap_or_else(|| QueryScope::new(0, CancellationToken::new()));
        let stats = RemoteStats::new(self.query.connector.name.clone());
        scope.add_remote(stats.clone());
        *self.ran.lock() = Some(stats.clone());
        let remote = RemoteRecord::new(&self.query, stats.clone());
        if let Some(record) = config.get_extension::<QueryRecord>() {
            record.add_remote(remote.clone());
        }
        let request = RemoteRequest {
            input: RemoteInput::Query(self.query.rel.clone()),
            schema: self.schema.clone(),
            scope: scope.clone(),
            memory: context.memory_pool().clone(),
            batch_rows: self.batch_rows,
            stats: stats.clone(),
        };
        let (source, name) = (self.query.connector.source.clone(), self.query.connector.name.clone());
        let rows: SendableRecordBatchStream = if self.dynamic.is_empty() {
            source.execute(request)?
        } else {
            let me = self.clone();
            let start = async move {
                me.await_filters().await;
                let (rel, report) = me.narrowed();
                *remote.dynamic.lock() = report.clone();
                *me.received.lock() = report;
                let started = source.execute(RemoteRequest { input: RemoteInput::Query(rel), ..request })?;
                Ok::<_, DataFusionError>(started)
            };
            Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::once(start).try_flatten()))
        };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("remote_bytes", partition);
        let mut counted = 0;
        let rows = rows.map(move |batch| {
            let total = usize::try_from(stats.bytes()).unwrap_or(usize::MAX);
            bytes.add(total.saturating_sub(counted));
            counted = total;
            match &batch {
                Ok(b) => baseline.record_output(b.num_rows()),
                Err(e) => scope.look_for_change(&name, e, true),
            }
            batch
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}
