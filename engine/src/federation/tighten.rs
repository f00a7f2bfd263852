//! Dynamic filters while a remote query runs.
//!
//! A hash join's filter is complete before the probe side is read. One of TopK (ORDER BY ... LIMIT over something that stays here) or of an aggregate is
//! never complete, it only tightens; nobody waits for it. What all of them say when the query begins goes with it. After that they are looked at
//! again before each further piece of a table that is read in pieces ([`Narrowing`]), and the rows of each batch that a tightening one
//! rules out are dropped here, below the joins that they would go through ([`Dropping`]).
//!
//! Bounds on floats are left out: a sort tells -0.0 from 0.0, a comparison does not.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as DfResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, Literal};
use datafusion::physical_expr::utils::{collect_columns, conjunction};
use datafusion::physical_plan::filter::batch_filter;
use parking_lot::Mutex;

use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::{Part, Report};
use crate::pushdown::{Class, Rel, dynamic};
use crate::session::registry::RemoteRecord;
use crate::source::Narrowing;

type Filters = Vec<Arc<dyn PhysicalExpr>>;

/// The filters of one execution of a remote query.
pub(super) struct Tightening {
    query: Arc<RemoteQuery>,
    schema: SchemaRef,
    /// Those that are sent: of joins, and those that tighten.
    sent: Filters,
    /// Those that tighten.
    tightening: Filters,
    record: Arc<RemoteRecord>,
    /// The same report for EXPLAIN ANALYZE.
    received: Arc<Mutex<Report>>,
    /// What was sent last.
    last: Mutex<Option<(u64, Rel)>>,
}

impl fmt::Debug for Tightening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tightening({} filters)", self.sent.len())
    }
}

impl Tightening {
    /// `completing`: the ids of filters that a hash join completes.
    pub(super) fn new(
        query: &Arc<RemoteQuery>,
        schema: &SchemaRef,
        filters: &Filters,
        completing: &HashSet<u64>,
        record: &Arc<RemoteRecord>,
        received: &Arc<Mutex<Report>>,
    ) -> Tightening {
        let tightens = |f: &&Arc<dyn PhysicalExpr>| {
            let made = f.downcast_ref::<DynamicFilterPhysicalExpr>();
            made.is_some_and(|d| d.expression_id().is_none_or(|id| !completing.contains(&id)))
        };
        let of_floats = |f: &Arc<dyn PhysicalExpr>| {
            collect_columns(f).iter().any(|c| schema.fields().get(c.index()).is_none_or(|f| f.data_type().is_floating()))
        };
        let (tightening, complete): (Filters, Filters) = filters.iter().cloned().partition(|f| tightens(&f));
        let tightening: Filters = tightening.into_iter().filter(|f| !of_floats(f)).collect();
        let sent = complete.into_iter().chain(tightening.iter().cloned()).collect();
        Tightening {
            query: query.clone(),
            schema: schema.clone(),
            sent,
            tightening,
            record: record.clone(),
            received: received.clone(),
            last: Mutex::default(),
        }
    }

    /// What drops rows of one stream; `None` where no filter tightens.
    pub(super) fn dropping(self: &Arc<Tightening>, readers: usize) -> Option<Dropping> {
        (!self.tightening.is_empty()).then(|| Dropping { all: self.clone(), tell: readers == 1, seen: None, predicate: None })
    }

    fn report(&self, report: Report) {
        *self.record.dynamic.lock() = report.clone();
        *self.received.lock() = report;
    }
}

impl Narrowing for Tightening {
    fn now(&self) -> Rel {
        let generation = generation(&self.sent);
        let mut last = self.last.lock();
        if let Some((_, rel)) = last.as_ref().filter(|(seen, _)| *seen == generation) {
            return rel.clone();
        }
        let mut query = self.query.as_ref().clone();
        if let Ok(schema) = DFSchema::try_from(self.schema.clone()) {
            self.report(dynamic::apply(&mut query, &schema, &self.sent));
        }
        *last = Some((generation, query.rel.clone()));
        query.rel
    }
}

/// A number that grows with each change of any of them.
fn generation(filters: &Filters) -> u64 {
    filters.iter().map(|f| f.snapshot_generation()).sum()
}

/// Drops the rows of one stream that the filters rule out by now.
pub(super) struct Dropping {
    all: Arc<Tightening>,
    /// Nothing is sent again, so that what is done here is all that comes of the filters.
    tell: bool,
    seen: Option<u64>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
}

impl Dropping {
    /// The rows that are left; `None`: no further row can be.
    pub(super) fn apply(&mut self, batch: RecordBatch) -> DfResult<Option<RecordBatch>> {
        let now = generation(&self.all.tightening);
        if self.seen != Some(now) {
            self.seen = Some(now);
            self.look_again()?;
        }
        match &self.predicate {
            None => Ok(Some(batch)),
            Some(p) if is(p, false) => Ok(None),
            Some(p) => batch_filter(&batch, p).map(Some),
        }
    }

    fn look_again(&mut self) -> DfResult<()> {
        let mut parts = vec![];
        for f in &self.all.tightening {
            let current = f.downcast_ref::<DynamicFilterPhysicalExpr>().map(DynamicFilterPhysicalExpr::current).transpose()?;
            parts.extend(current.filter(|e| !is(e, true)));
        }
        self.predicate = match parts.iter().any(|e| is(e, false)) {
            true => parts.into_iter().find(|e| is(e, false)),
            false => (!parts.is_empty()).then(|| conjunction(parts)),
        };
        if let (true, Some(p)) = (self.tell, &self.predicate) {
            // The parts that went with the query stay told.
            let mut report = Report::default();
            for n in self.all.record.dynamic.lock().notes.iter().filter(|n| n.class != Class::No) {
                report.add(n.part, &n.text, n.class, n.reason.clone());
            }
            report.add(Part::DynamicFilter, p, Class::No, "it tightened while rows came: those that it rules out are dropped here");
            self.all.report(report);
        }
        Ok(())
    }
}

fn is(e: &Arc<dyn PhysicalExpr>, value: bool) -> bool {
    e.downcast_ref::<Literal>().is_some_and(|l| *l.value() == ScalarValue::Boolean(Some(value)))
}
