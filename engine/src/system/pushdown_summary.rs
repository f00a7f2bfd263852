//! `sys.pushdown_summary`: for each remote query, what was pushed, what was not, and why.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::{SystemTable, batch};
use crate::engine::Engine;
use crate::error::Result;
use crate::pgtype::{BOOL, FLOAT8, INT8, TEXT, field};
use crate::pushdown::Class;
use crate::pushdown::report::{Note, Part};
use crate::session::SessionInfo;
use crate::session::registry::RemoteRecord;

/// The table.
#[derive(Debug)]
pub(super) struct PushdownSummary;

impl SystemTable for PushdownSummary {
    fn name(&self) -> &'static str {
        "pushdown_summary"
    }
    fn doc(&self) -> &'static str {
        "For each remote query: what was pushed, what stayed local and why, and what came back."
    }
    fn schema(&self) -> SchemaRef {
        let text = |n: &str| field(n, DataType::Utf8, true, TEXT);
        let number = |n: &str| field(n, DataType::Int64, true, INT8);
        Arc::new(Schema::new(vec![
            number("query_id"),
            text("query"),
            text("connector"),
            text("tables"),
            text("remote_text"),
            text("filters_pushed"),
            text("filters_superset"),
            text("filters_local"),
            number("columns"),
            text("projection"),
            text("joins"),
            text("unions"),
            text("aggregate"),
            text("sort"),
            text("limit"),
            text("dynamic_filters"),
            number("splits"),
            number("rows"),
            number("bytes"),
            field("first_row_ms", DataType::Float64, true, FLOAT8),
            field("total_ms", DataType::Float64, true, FLOAT8),
            field("cancelled", DataType::Boolean, true, BOOL),
        ]))
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        let all: Vec<_> =
            engine.queries.all().into_iter().flat_map(|q| q.remotes().into_iter().map(move |r| (q.id, q.text.clone(), r))).collect();
        let number = |f: &dyn Fn(&RemoteRecord) -> u64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(all.iter().map(|(.., r)| i64::try_from(f(r)).unwrap_or(i64::MAX))))
        };
        let text =
            |f: &dyn Fn(&RemoteRecord) -> Option<String>| -> ArrayRef { Arc::new(all.iter().map(|(.., r)| f(r)).collect::<StringArray>()) };
        let filters = |classes: &'static [Class]| text(&move |r| list(&r.report.of(Part::Filter, classes)));
        let part = |part: Part| text(&move |r| list(&r.report.notes.iter().filter(|n| n.part == part).collect::<Vec<_>>()));
        let ms = |f: &dyn Fn(&RemoteRecord) -> Option<std::time::Duration>| -> ArrayRef {
            Arc::new(all.iter().map(|(.., r)| f(r).map(|d| d.as_secs_f64() * 1e3)).collect::<Float64Array>())
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(all.iter().map(|(id, ..)| i64::try_from(*id).unwrap_or(i64::MAX)))),
            Arc::new(StringArray::from_iter_values(all.iter().map(|(_, q, _)| q))),
            text(&|r| Some(r.connector.clone())),
            text(&|r| Some(r.tables.join(", "))),
            text(&|r| r.stats.text()),
            filters(&[Class::Exact, Class::Rewritten]),
            filters(&[Class::Superset]),
            filters(&[Class::No]),
            number(&|r| r.columns as u64),
            part(Part::Projection),
            part(Part::Join),
            part(Part::Union),
            part(Part::Aggregate),
            part(Part::Sort),
            part(Part::Limit),
            text(&|r| list(&r.dynamic.lock().notes.iter().collect::<Vec<_>>())),
            number(&|r| r.stats.splits()),
            number(&|r| r.stats.rows()),
            number(&|r| r.stats.bytes()),
            ms(&|r| r.stats.time_to_first_row()),
            ms(&|r| Some(r.stats.total())),
            Arc::new(all.iter().map(|(.., r)| Some(r.stats.was_cancelled())).collect::<BooleanArray>()),
        ];
        batch(self, columns)
    }
}

/// `expression: pushed`, `expression: local (reason)`; NULL where there is nothing to say.
fn list(notes: &[&Note]) -> Option<String> {
    let one = |n: &&Note| {
        let place = match n.class {
            Class::Exact | Class::Rewritten => "pushed",
            Class::Superset => "pre-filter",
            Class::No => "local",
        };
        if n.reason.is_empty() { format!("{}: {place}", n.text) } else { format!("{}: {place} ({})", n.text, n.reason) }
    };
    (!notes.is_empty()).then(|| notes.iter().map(one).collect::<Vec<_>>().join("; "))
}
