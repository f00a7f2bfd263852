//! `sys.remote_queries`: what was sent to which source, running and remembered.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::{SystemTable, batch};
use crate::engine::Engine;
use crate::error::Result;
use crate::pgtype::{BOOL, FLOAT8, INT8, TEXT, field};
use crate::session::SessionInfo;

/// The table.
#[derive(Debug)]
pub(super) struct RemoteQueries;

impl SystemTable for RemoteQueries {
    fn name(&self) -> &'static str {
        "remote_queries"
    }
    fn doc(&self) -> &'static str {
        "Every remote query of the queries in sys.queries: its text, rows, bytes and times."
    }
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            field("query_id", DataType::Int64, false, INT8),
            field("connector", DataType::Utf8, false, TEXT),
            field("tables", DataType::Utf8, false, TEXT),
            field("remote_text", DataType::Utf8, true, TEXT),
            field("rows", DataType::Int64, false, INT8),
            field("bytes", DataType::Int64, false, INT8),
            field("first_row_ms", DataType::Float64, true, FLOAT8),
            field("total_ms", DataType::Float64, false, FLOAT8),
            field("done", DataType::Boolean, false, BOOL),
            field("cancelled", DataType::Boolean, false, BOOL),
            field("error", DataType::Utf8, true, TEXT),
        ]))
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        let all: Vec<_> = engine.queries.all().into_iter().flat_map(|q| q.remotes().into_iter().map(move |r| (q.id, r))).collect();
        let number = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(all.iter().map(|(id, _)| number(*id)))),
            Arc::new(StringArray::from_iter_values(all.iter().map(|(_, r)| &r.connector))),
            Arc::new(StringArray::from_iter_values(all.iter().map(|(_, r)| r.tables.join(", ")))),
            Arc::new(all.iter().map(|(_, r)| r.stats.text()).collect::<StringArray>()),
            Arc::new(Int64Array::from_iter_values(all.iter().map(|(_, r)| number(r.stats.rows())))),
            Arc::new(Int64Array::from_iter_values(all.iter().map(|(_, r)| number(r.stats.bytes())))),
            Arc::new(all.iter().map(|(_, r)| r.stats.time_to_first_row().map(|d| d.as_secs_f64() * 1e3)).collect::<Float64Array>()),
            Arc::new(Float64Array::from_iter_values(all.iter().map(|(_, r)| r.stats.total().as_secs_f64() * 1e3))),
            Arc::new(all.iter().map(|(_, r)| Some(r.stats.is_done())).collect::<BooleanArray>()),
            Arc::new(all.iter().map(|(_, r)| Some(r.stats.was_cancelled())).collect::<BooleanArray>()),
            Arc::new(all.iter().map(|(_, r)| r.stats.error()).collect::<StringArray>()),
        ];
        batch(self, columns)
    }
}
