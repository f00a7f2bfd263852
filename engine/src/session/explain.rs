//! EXPLAIN: the physical plan with the remote texts and the reasons; EXPLAIN (PUSHDOWN): what was pushed, as rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use futures::StreamExt;
use serde_json::json;

use super::Running;
use crate::error::Result;
use crate::federation::passthrough::PassthroughExec;
use crate::federation::scan::RemoteScanExec;
use crate::pgtype;
use crate::pushdown::report::Note;
use crate::source::RemoteStats;
use crate::sql::{ExplainFormat, ExplainOptions};

/// The columns of an EXPLAIN.
pub fn schema(options: &ExplainOptions) -> SchemaRef {
    let text = |n: &str| pgtype::field(n, DataType::Utf8, true, pgtype::TEXT);
    let number = |n: &str| pgtype::field(n, DataType::Int64, true, pgtype::INT8);
    Arc::new(match (options.format, options.pushdown) {
        (ExplainFormat::Json, _) => Schema::new(vec![pgtype::field("QUERY PLAN", DataType::Utf8, true, pgtype::JSON)]),
        (ExplainFormat::Text, false) => Schema::new(vec![text("QUERY PLAN")]),
        (ExplainFormat::Text, true) => Schema::new(vec![
            number("remote_query"),
            text("connector"),
            text("part"),
            text("expression"),
            text("class"),
            text("reason"),
            text("remote_text"),
            number("rows"),
            number("bytes"),
        ]),
    })
}

/// Explains a physical plan; runs it first where ANALYZE is said.
pub(crate) async fn explain(running: &Running, plan: Arc<dyn ExecutionPlan>, options: &ExplainOptions) -> Result<(SchemaRef, RecordBatch)> {
    let mut rows = None;
    if options.analyze {
        let mut stream = running.stream(plan.clone())?;
        let mut count = 0;
        while let Some(batch) = stream.next().await {
            count += batch?.num_rows();
        }
        running.record.add_rows(count);
        rows = Some(count);
    }
    let schema = schema(options);
    let columns: Vec<ArrayRef> = match (options.format, options.pushdown) {
        (ExplainFormat::Json, pushdown) => {
            let value = if pushdown { pushdown_json(&plan) } else { plan_json(&plan, options) };
            let text = serde_json::to_string_pretty(&json!([value])).unwrap_or_default();
            vec![Arc::new(StringArray::from(vec![text]))]
        }
        (ExplainFormat::Text, true) => pushdown_rows(&plan),
        (ExplainFormat::Text, false) => {
            let mut lines: Vec<String> = plan_text(&plan, options).lines().map(ToString::to_string).collect();
            if let Some(rows) = rows {
                lines.push(format!("Rows: {rows}"));
                lines.push(format!("Execution Time: {:.3} ms", running.scope.started.elapsed().as_secs_f64() * 1e3));
            }
            vec![Arc::new(StringArray::from(lines))]
        }
    };
    let batch = RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?;
    Ok((schema, batch))
}

fn plan_text(plan: &Arc<dyn ExecutionPlan>, options: &ExplainOptions) -> String {
    let shown = if options.analyze { DisplayableExecutionPlan::with_metrics(plan.as_ref()) } else { displayable(plan.as_ref()) };
    shown.indent(options.verbose).to_string()
}

fn plan_json(plan: &Arc<dyn ExecutionPlan>, options: &ExplainOptions) -> serde_json::Value {
    let line = DisplayableExecutionPlan::with_metrics(plan.as_ref());
    let text = if options.analyze { line.one_line().to_string() } else { displayable(plan.as_ref()).one_line().to_string() };
    json!({
        "Node Type": plan.name(),
        "Description": text.trim_end(),
        "Remote": plan.downcast_ref::<RemoteScanExec>().map(remote_json),
        "Plans": plan.children().into_iter().map(|c| plan_json(c, options)).collect::<Vec<_>>(),
    })
}

/// What a plan asks of sources.
enum Leaf {
    Scan(RemoteScanExec),
    /// `remote_query`.
    Text(PassthroughExec),
}

/// Why no decision is listed about a `remote_query`.
const OWN_TEXT: &str = "remote_query: the text goes as it is; nothing is pushed into it";

impl Leaf {
    fn connector(&self) -> &str {
        match self {
            Leaf::Scan(s) => &s.query().connector.name,
            Leaf::Text(t) => t.connector(),
        }
    }
    fn text(&self) -> String {
        match self {
            Leaf::Scan(s) => s.text(),
            Leaf::Text(t) => t.text().to_string(),
        }
    }
    fn notes(&self) -> Vec<Note> {
        match self {
            Leaf::Scan(s) => s.notes(),
            Leaf::Text(_) => vec![],
        }
    }
    fn stats(&self) -> Option<Arc<RemoteStats>> {
        match self {
            Leaf::Scan(s) => s.stats(),
            Leaf::Text(t) => t.stats(),
        }
    }
    fn json(&self) -> serde_json::Value {
        match self {
            Leaf::Scan(s) => remote_json(s),
            Leaf::Text(t) => json!({
                "connector": t.connector(),
                "remote_text": t.text(),
                "reason": OWN_TEXT,
                "rows": t.stats().map(|s| s.rows()),
                "bytes": t.stats().map(|s| s.bytes()),
            }),
        }
    }
}

/// The remote queries of a plan, in order.
fn leaves(plan: &Arc<dyn ExecutionPlan>) -> Vec<Leaf> {
    let mut found = vec![];
    // The closure never fails.
    let _ = plan.apply(|n| {
        if let Some(s) = n.downcast_ref::<RemoteScanExec>() {
            found.push(Leaf::Scan(s.clone()));
        } else if let Some(t) = n.downcast_ref::<PassthroughExec>() {
            found.push(Leaf::Text(t.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn remote_json(s: &RemoteScanExec) -> serde_json::Value {
    let notes = s.notes().iter().map(note_json).collect::<Vec<_>>();
    let stats = s.stats();
    json!({
        "connector": s.query().connector.name,
        "remote_text": s.text(),
        "tables": s.query().rel.tables().into_iter().map(|(a, b)| format!("{a}.{b}")).collect::<Vec<_>>(),
        "decisions": notes,
        "estimated_rows": s.query().estimated_rows(),
        "rows": stats.as_ref().map(|s| s.rows()),
        "bytes": stats.as_ref().map(|s| s.bytes()),
        "first_row_ms": stats.as_ref().and_then(|s| s.time_to_first_row()).map(|d| d.as_secs_f64() * 1e3),
        "total_ms": stats.as_ref().map(|s| s.total().as_secs_f64() * 1e3),
    })
}

fn note_json(n: &Note) -> serde_json::Value {
    json!({ "part": n.part.as_str(), "expression": n.text, "class": n.class.as_str(), "pushed": n.class.is_exact(), "reason": n.reason })
}

fn pushdown_json(plan: &Arc<dyn ExecutionPlan>) -> serde_json::Value {
    json!({ "remote_queries": leaves(plan).iter().map(Leaf::json).collect::<Vec<_>>() })
}

/// One row per decision, at least one per remote query.
fn pushdown_rows(plan: &Arc<dyn ExecutionPlan>) -> Vec<ArrayRef> {
    let mut numbers = vec![];
    let mut texts: [Vec<Option<String>>; 6] = Default::default();
    let (mut rows, mut bytes) = (vec![], vec![]);
    for (i, leaf) in leaves(plan).iter().enumerate() {
        let notes = leaf.notes();
        let (part, reason) = match leaf {
            Leaf::Scan(_) => ("scan", None),
            Leaf::Text(_) => ("remote_query", Some(OWN_TEXT.to_string())),
        };
        let shown: Vec<Option<&Note>> = if notes.is_empty() { vec![None] } else { notes.iter().map(Some).collect() };
        for note in shown {
            numbers.push(i64::try_from(i + 1).ok());
            let cells = [
                Some(leaf.connector().to_string()),
                Some(note.map_or(part, |n| n.part.as_str()).to_string()),
                note.map(|n| n.text.clone()),
                note.map(|n| n.class.to_string()),
                note.map(|n| n.reason.clone()).filter(|r| !r.is_empty()).or_else(|| reason.clone()),
                Some(leaf.text()),
            ];
            for (column, cell) in texts.iter_mut().zip(cells) {
                column.push(cell);
            }
            let stats = leaf.stats();
            rows.push(stats.as_ref().and_then(|s| i64::try_from(s.rows()).ok()));
            bytes.push(stats.as_ref().and_then(|s| i64::try_from(s.bytes()).ok()));
        }
    }
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(numbers))];
    columns.extend(texts.into_iter().map(|t| Arc::new(StringArray::from(t)) as ArrayRef));
    columns.push(Arc::new(Int64Array::from(rows)));
    columns.push(Arc::new(Int64Array::from(bytes)));
    columns
}
