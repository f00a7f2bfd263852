//! LIMIT and OFFSET.

use std::sync::Arc;

use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{FetchType, Limit, LogicalPlan, SkipType, Sort};

use super::notes::annotate_input;
use super::pushing;
use crate::pushdown::class::Class;
use crate::pushdown::ir::Rel;
use crate::pushdown::node::RemoteNode;
use crate::pushdown::remote::RemoteQuery;
use crate::pushdown::report::Part;

pub(super) fn absorb(l: &Limit) -> DfResult<Option<LogicalPlan>> {
    let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (l.get_skip_type()?, l.get_fetch_type()?) else { return Ok(None) };
    let text = match (skip, fetch) {
        (0, Some(n)) => format!("LIMIT {n}"),
        (s, Some(n)) => format!("LIMIT {n} OFFSET {s}"),
        (s, None) => format!("OFFSET {s}"),
    };
    // Over a sort that was pushed: the limit goes under the local sort, which has no work then.
    if let LogicalPlan::Sort(s) = l.input.as_ref()
        && s.fetch.is_none()
        && let Some(node) = RemoteNode::of(&s.input)
        && !node.query.order.is_empty()
        && node.query.order.len() == s.expr.len()
    {
        let query = limited(node, skip, fetch, &text);
        let input = RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan();
        return Ok(Some(LogicalPlan::Sort(Sort { input: Arc::new(input), ..s.clone() })));
    }
    let Some(node) = RemoteNode::of(&l.input) else {
        return Ok(
            annotate_input(&l.input, Part::Limit, &text)?.map(|input| LogicalPlan::Limit(Limit { input: Arc::new(input), ..l.clone() }))
        );
    };
    // `LIMIT 0` is answered without asking anybody.
    if !pushing(node) || fetch == Some(0) {
        return Ok(None);
    }
    let query = limited(node, skip, fetch, &text);
    Ok(Some(RemoteNode { query: Arc::new(query), schema: node.schema.clone() }.into_plan()))
}

fn limited(node: &RemoteNode, skip: usize, fetch: Option<usize>, text: &str) -> RemoteQuery {
    let mut query = node.query.as_ref().clone();
    let (skip, mut fetch) = (skip as u64, fetch.map(|n| n as u64));
    let mut outer_skip = skip;
    // The optimizer leaves LIMIT n OFFSET s over a fetch of s + n: one limit says both.
    if let Rel::Limit { input, skip: 0, fetch: Some(inner) } = &query.rel {
        fetch = Some(fetch.map_or(inner.saturating_sub(skip), |f| f.min(inner.saturating_sub(skip))));
        outer_skip = skip;
        // Its note goes with it; those of limits further down stay.
        let note = format!("LIMIT {inner}");
        if let Some(at) = query.report.notes.iter().rposition(|n| n.part == Part::Limit && n.text == note) {
            query.report.notes.remove(at);
        }
        query.rel = input.as_ref().clone();
    }
    query.report.add(Part::Limit, text, Class::Exact, "");
    query.wrap(|input| Rel::Limit { input, skip: outer_skip, fetch });
    query.rows = query.rows.map(|r| r.saturating_sub(skip));
    query.one_row &= skip == 0 && fetch != Some(0);
    query.rows_max = match (query.rows_max, fetch) {
        (Some(m), Some(f)) => Some(m.min(f)),
        (m, f) => f.or(m),
    };
    query
}
