//! `sys.queries`: running queries, and the last 1,000 that finished.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::{SystemTable, batch, micros};
use crate::engine::Engine;
use crate::error::Result;
use crate::pgtype::{FLOAT8, INT4, INT8, TEXT, TIMESTAMPTZ, field};
use crate::session::SessionInfo;
use crate::session::registry::QueryState;

/// The table.
#[derive(Debug)]
pub(super) struct Queries;

impl SystemTable for Queries {
    fn name(&self) -> &'static str {
        "queries"
    }
    fn doc(&self) -> &'static str {
        "Running queries, and the last 1,000 that finished."
    }
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            field("id", DataType::Int64, false, INT8),
            field("pid", DataType::Int32, false, INT4),
            field("user_name", DataType::Utf8, false, TEXT),
            field("application_name", DataType::Utf8, false, TEXT),
            field("state", DataType::Utf8, false, TEXT),
            field("query", DataType::Utf8, false, TEXT),
            field("started_at", TIMESTAMPTZ.to_arrow(), false, TIMESTAMPTZ),
            field("elapsed_ms", DataType::Float64, false, FLOAT8),
            field("rows", DataType::Int64, false, INT8),
            field("remote_queries", DataType::Int64, false, INT8),
            field("sqlstate", DataType::Utf8, true, TEXT),
            field("error", DataType::Utf8, true, TEXT),
            field("plan", DataType::Utf8, true, TEXT),
            field("spilled_bytes", DataType::Int64, false, INT8),
        ]))
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        let all = engine.queries.all();
        let states: Vec<QueryState> = all.iter().map(|q| q.state()).collect();
        let state = states.iter().map(|s| match s {
            QueryState::Running => "running",
            QueryState::Finished => "finished",
            QueryState::Cancelled => "cancelled",
            QueryState::Failed(..) => "failed",
        });
        let failure = |pick: fn(&String, &String) -> String| -> StringArray {
            states
                .iter()
                .map(|s| match s {
                    QueryState::Failed(state, message) => Some(pick(state, message)),
                    _ => None,
                })
                .collect()
        };
        let number = |f: &dyn Fn(&crate::session::registry::QueryRecord) -> u64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(all.iter().map(|q| i64::try_from(f(q)).unwrap_or(i64::MAX))))
        };
        batch(
            self,
            vec![
                number(&|q| q.id),
                Arc::new(Int32Array::from_iter_values(all.iter().map(|q| q.pid))),
                Arc::new(StringArray::from_iter_values(all.iter().map(|q| &q.user))),
                Arc::new(StringArray::from_iter_values(all.iter().map(|q| &q.application_name))),
                Arc::new(StringArray::from_iter_values(state)),
                Arc::new(StringArray::from_iter_values(all.iter().map(|q| &q.text))),
                Arc::new(TimestampMicrosecondArray::from_iter_values(all.iter().map(|q| micros(q.started_at))).with_timezone("UTC")),
                Arc::new(Float64Array::from_iter_values(all.iter().map(|q| q.elapsed().as_secs_f64() * 1e3))),
                number(&|q| q.rows()),
                number(&|q| q.remotes().len() as u64),
                Arc::new(failure(|s, _| s.clone())),
                Arc::new(failure(|_, m| m.clone())),
                Arc::new(StringArray::from_iter(all.iter().map(|q| q.plan()))),
                number(&|q| q.spilled()),
            ],
        )
    }
}
