//! The leaf operator that runs a remote query.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::compute::SortOptions;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::tighten::Tightening;
use crate::error::{SqlError, SqlState};
use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::{Note, Part, Report};
use crate::pushdown::{Class, dynamic};
use crate::session::registry::{QueryRecord, RemoteRecord};
use crate::source::{Narrowing, QueryScope, RemoteInput, RemoteRequest, RemoteStats};

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

/// A session's settings for reading, as an extension of its configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReadSettings {
    /// `fjord.max_parallel_reads`, where it is set.
    pub(crate) most: Option<usize>,
    /// `fjord.snapshot`, where the session has a will of its own.
    pub(crate) snapshot: Option<bool>,
}

/// Reads one remote query.
#[derive(Debug, Clone)]
pub struct RemoteScanExec {
    query: Arc<RemoteQuery>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    batch_rows: usize,
    /// Filters of joins above, still empty when the plan is made, and conditions that wait for the value of a subquery.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    /// Ids of those that a hash join completes.
    completing: Arc<HashSet<u64>>,
    /// `fjord.dynamic_filters`, `fjord.dynamic_filter_wait`.
    settings: DynamicSettings,
    reads: ReadSettings,
    /// Other scans of the plan ask the same connector.
    several: bool,
    /// The execution whose partitions are being asked for.
    run: Arc<Mutex<Option<Arc<Run>>>>,
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
        let reads = config.get_extension::<ReadSettings>().map_or_else(ReadSettings::default, |r| *r);
        let readers = match query.tables.as_slice() {
            [table] => query.connector.source.readers(&query.rel, table, query.estimated_rows(), reads.most).max(1),
            _ => 1,
        };
        let properties =
            PlanProperties::new(equivalence, Partitioning::UnknownPartitioning(readers), EmissionType::Incremental, Boundedness::Bounded)
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
            reads,
            several: false,
            run: Arc::default(),
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
    /// The same with the ids of filters that a hash join completes, and whether others ask the connector too.
    pub(crate) fn tagged(&self, completing: &Arc<HashSet<u64>>, several: bool) -> RemoteScanExec {
        RemoteScanExec { completing: completing.clone(), several, run: Arc::default(), ..self.clone() }
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
        if self.readers() > 1 {
            write!(f, ", readers={}", self.readers())?;
        }
        if let Some(s) = self.stats() {
            if s.splits() > 1 {
                write!(f, ", splits={}", s.splits())?;
            }
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
        // What a FilterExec offers before the joins do was judged when the plan was made; only the value of a subquery was not known then.
        let news = |f: &Arc<dyn PhysicalExpr>| phase != FilterPushdownPhase::Pre || dynamic::has_subquery(f);
        let filters: Vec<_> = result.parent_filters.iter().map(|p| p.filter.clone()).filter(news).collect();
        // Over a sorted query a condition would have to go below the sort: left alone.
        let refused = !self.settings.on || !self.query.pushdown || !self.query.order.is_empty();
        if filters.is_empty() || refused {
            return Ok(FilterPushdownPropagation::all_unsupported(result));
        }
        let mut scan = RemoteScanExec { run: Arc::default(), ..self.clone() };
        scan.dynamic.extend(filters);
        // Taken as advice; whoever made them checks every row all the same.
        let answer = vec![PushedDown::No; result.parent_filters.len()];
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(answer).with_updated_node(Arc::new(scan)))
    }
    fn reset_state(self: Arc<Self>) -> DfResult<Arc<dyn ExecutionPlan>> {
        // A plan that runs again has new filters; those of the last run would drop its rows. A subquery is run again too, and keeps its place.
        let me = self.as_ref().clone();
        Ok(Arc::new(RemoteScanExec {
            dynamic: self.dynamic.iter().filter(|f| dynamic::has_subquery(f)).cloned().collect(),
            completing: Arc::default(),
            run: Arc::default(),
            ran: Arc::default(),
            received: Arc::default(),
            ..me
        }))
    }
    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> DfResult<Arc<Statistics>> {
        // Never Exact: DataFusion answers COUNT from Exact row counts, and the source may have changed since it counted.
        let mut s = Statistics::new_unknown(&self.schema);
        if let Some(rows) = self.query.estimated_rows() {
            let share = if args.partition().is_some() { self.readers() } else { 1 };
            let rows = usize::try_from(rows).unwrap_or(usize::MAX) / share;
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
        let run = self.run_of(partition, &context);
        let (me, mine) = (self.clone(), run.clone());
        let start = async move {
            let mut streams = mine.streams.get_or_try_init(|| me.start(&mine)).await?.lock();
            // Fewer than were planned: the others have nothing to do.
            let empty = || Box::pin(EmptyRecordBatchStream::new(me.schema.clone())) as SendableRecordBatchStream;
            Ok::<_, DataFusionError>(streams.get_mut(partition).and_then(Option::take).unwrap_or_else(empty))
        };
        let rows = futures::stream::once(start).try_flatten();
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("remote_bytes", partition);
        let query = self.query.clone();
        let mut dropping = run.tightening.as_ref().and_then(|t| t.dropping(self.readers()));
        let rows = rows.map(move |batch| {
            // The partitions share the counters: each adds what nobody has added yet.
            let total = usize::try_from(run.request.stats.bytes()).unwrap_or(usize::MAX);
            bytes.add(total.saturating_sub(run.counted.fetch_max(total, Ordering::Relaxed)));
            match batch {
                Ok(b) => {
                    let left = match &mut dropping {
                        None => Some(b),
                        Some(d) => d.apply(b)?,
                    };
                    baseline.record_output(left.as_ref().map_or(0, |b| b.num_rows()));
                    Ok(left)
                }
                Err(e) => {
                    run.request.scope.look_for_change(&query.connector.name, &e, true);
                    Err(explained(e, &query))
                }
            }
        });
        // Where no further row can count, the stream goes, and with it the remote query.
        let rows = futures::stream::try_unfold(Some(Box::pin(rows)), |rows| async move {
            let Some(mut rows) = rows else { return Ok(None) };
            Ok::<_, DataFusionError>(rows.try_next().await?.flatten().map(|batch| (batch, Some(rows))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}

/// One execution: its partitions share the remote query.
struct Run {
    request: RemoteRequest,
    /// Made by the partition that is polled first.
    streams: OnceCell<Mutex<Vec<Option<SendableRecordBatchStream>>>>,
    /// Which partitions were asked for.
    asked: Mutex<HashSet<usize>>,
    /// Bytes in the metrics.
    counted: AtomicUsize,
    /// Its dynamic filters, where there are any.
    tightening: Option<Arc<Tightening>>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({:?})", self.request)
    }
}

impl RemoteScanExec {
    fn readers(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    /// The execution that a partition belongs to: a new one, where this partition has been asked for before.
    fn run_of(&self, partition: usize, context: &Arc<TaskContext>) -> Arc<Run> {
        let mut current = self.run.lock();
        let run = match current.take().filter(|r| !r.asked.lock().contains(&partition)) {
            Some(run) => run,
            None => Arc::new(self.new_run(context)),
        };
        let mut asked = run.asked.lock();
        asked.insert(partition);
        // Kept until all have come, and no longer: the last stream ends it.
        if asked.len() < self.readers() {
            *current = Some(run.clone());
        }
        drop(asked);
        run
    }

    fn new_run(&self, context: &Arc<TaskContext>) -> Run {
        let config = context.session_config();
        let scope = config.get_extension::<QueryScope>().unwrap_or_else(|| QueryScope::new(0, CancellationToken::new()));
        let connector = &self.query.connector.name;
        if self.several {
            scope.share_snapshot(connector, self.reads.snapshot);
        }
        let stats = RemoteStats::new(connector.clone());
        scope.add_remote(stats.clone());
        *self.ran.lock() = Some(stats.clone());
        let record = RemoteRecord::new(&self.query, stats.clone());
        if let Some(query) = config.get_extension::<QueryRecord>() {
            query.add_remote(record.clone());
        }
        let request = RemoteRequest {
            input: RemoteInput::Query(self.query.rel.clone()),
            schema: self.schema.clone(),
            scope,
            memory: context.memory_pool().clone(),
            batch_rows: self.batch_rows,
            stats,
            narrowing: None,
        };
        let tightening = (!self.dynamic.is_empty())
            .then(|| Arc::new(Tightening::new(&self.query, &self.schema, &self.dynamic, &self.completing, &record, &self.received)));
        Run { request, streams: OnceCell::new(), asked: Mutex::default(), counted: AtomicUsize::new(0), tightening }
    }

    /// Starts the remote query, with what dynamic filters say by then.
    async fn start(&self, run: &Run) -> DfResult<Mutex<Vec<Option<SendableRecordBatchStream>>>> {
        let mut request = run.request.clone();
        if let Some(tightening) = &run.tightening {
            self.await_filters().await;
            request.input = RemoteInput::Query(tightening.now());
            request.narrowing = Some(tightening.clone());
        }
        let source = &self.query.connector.source;
        let streams = match self.readers() {
            1 => vec![source.execute(request)?],
            n => source.execute_split(request, n)?,
        };
        Ok(Mutex::new(streams.into_iter().map(Some).collect()))
    }
}

/// An error about too much being read says what was not pushed: there the remedy is.
fn explained(e: DataFusionError, query: &RemoteQuery) -> DataFusionError {
    let ours = match e.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref::<SqlError>().cloned(),
        _ => None,
    };
    let local: Vec<&Note> = query.report.notes.iter().filter(|n| n.class == Class::No).collect();
    let Some(ours) = ours.filter(|e| e.state == SqlState::PROGRAM_LIMIT_EXCEEDED && !local.is_empty()) else { return e };
    let hint = format!("{} Not pushed: {}.", ours.hint.as_deref().unwrap_or_default(), list(&local));
    ours.hint(hint.trim()).into()
}
