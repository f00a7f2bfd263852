//! Joins of two remote queries of one connector.
//!
//! Keys and conditions are judged as filters are; a condition that is not exact keeps an outer join here, and becomes a filter above an inner one.
//! A join goes only if it does not send more rows than its sides would: a unique key on one side rules that out, else the estimates decide.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DFSchemaRef, JoinType, NullEquality};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, Filter, Join, LogicalPlan, Projection, build_join_schema};

use super::lift::Lifted;
use super::notes::annotate;
use super::{null_aware, pushing, regroup, same_connector, tentative};
use crate::pushdown::class::{Class, Typed};
use crate::pushdown::convert::Converter;
use crate::pushdown::estimate::Budget;
use crate::pushdown::ir::{JoinKind, Op, Rel, RemoteType, Scalar};
use crate::pushdown::node::RemoteNode;
use crate::pushdown::remote::{RemoteQuery, Tentative};
use crate::pushdown::report::{Part, Report};

/// Pairs of rows that may be compared one by one at the source: `IS NOT DISTINCT FROM` uses no index and no hash there.
const COMPARED_ONE_BY_ONE: u64 = 1_000_000;

pub(super) fn absorb(j: &Join) -> DfResult<Option<LogicalPlan>> {
    let (Some(left), Some(right)) = (Lifted::of(&j.left), Lifted::of(&j.right)) else { return elsewhere(j) };
    let movable = (left.above.is_empty() || left_commutes(j.join_type)) && (right.above.is_empty() || j.join_type == JoinType::Inner);
    if !movable {
        return elsewhere(j);
    }
    if !pushing(&left.node) || !pushing(&right.node) {
        return Ok(None);
    }
    if !left.above.is_empty() || !right.above.is_empty() {
        return match lifted(j, left, right)? {
            Ok(joined) => Ok(Some(joined)),
            Err(reason) => refused(j, &reason).map(Some),
        };
    }
    let (left, right) = (left.node, right.node);
    if left.query.tentative.is_some() && right.query.tentative.is_some() {
        let right = tentative::settled(&j.right)?;
        let again = LogicalPlan::Join(Join { right: Arc::new(right), ..j.clone() });
        return Ok(Some(super::absorb(&again)?.unwrap_or(again)));
    }
    match join(j, &left, &right) {
        Ok(joined) => joined.into_plan().map(Some),
        Err(reason) => refused(j, &reason).map(Some),
    }
}

/// A join of sides with conditions that are finished here: they are finished above it, over columns that they alone may need, which then go.
fn lifted(j: &Join, left: Lifted, right: Lifted) -> DfResult<Result<LogicalPlan, String>> {
    let above: Vec<Expr> = left.above.into_iter().chain(right.above).collect();
    // Columns of one name on both sides, of which one is in the way only here.
    let Ok(schema) = build_join_schema(&left.node.schema, &right.node.schema, &j.join_type) else {
        return Ok(Err("a condition that is finished locally needs a column whose name is taken".into()));
    };
    let (l, r) = (Arc::new(left.node.clone().into_plan()), Arc::new(right.node.clone().into_plan()));
    let wider = Join { left: l, right: r, schema: Arc::new(schema), ..j.clone() };
    let mut joined = match join(&wider, &left.node, &right.node) {
        Ok(joined) => joined,
        Err(reason) => return Ok(Err(reason)),
    };
    // Above a condition nothing more is absorbed that could make good what the join multiplies.
    if let Some(trial) = &joined.node.query.tentative {
        if joined.node.query.exceeds(trial.budget) {
            return Ok(Err(sends_more(&joined.node.query, trial.budget)));
        }
        let query = RemoteQuery { tentative: None, ..joined.node.query.as_ref().clone() };
        joined.node = RemoteNode { query: Arc::new(query), schema: joined.node.schema };
    }
    joined.residual.splice(0..0, above);
    let plan = joined.into_plan()?;
    let columns = j.schema.columns();
    if plan.schema().columns() == columns {
        return Ok(Ok(plan));
    }
    if !columns.iter().all(|c| plan.schema().has_column(c)) {
        return Ok(Err("its columns have other names above a condition that is finished locally".into()));
    }
    let columns = columns.into_iter().map(Expr::Column).collect();
    Ok(Ok(LogicalPlan::Projection(Projection::try_new_with_schema(columns, Arc::new(plan), j.schema.clone())?)))
}

/// A condition on the left side alone is the same above the join.
fn left_commutes(kind: JoinType) -> bool {
    matches!(kind, JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark)
}

/// One side at least is not a remote query.
fn elsewhere(j: &Join) -> DfResult<Option<LogicalPlan>> {
    if let Some(regrouped) = regroup::regroup(j)? {
        return Ok(Some(regrouped));
    }
    let remote = |p: &LogicalPlan| RemoteNode::of(p).is_some_and(pushing);
    let reason = |other: &LogicalPlan| match filtered(other) {
        true => "the other side has a filter that is finished locally",
        false => "the other side is not one remote query",
    };
    let note = |side: &LogicalPlan, other: &LogicalPlan| match (remote(side), filtered(side)) {
        (true, _) => Some(local(side.clone(), j, reason(other))),
        (_, true) => Some(local(side.clone(), j, "it stands over a filter that is finished locally")),
        _ => None,
    };
    let (left, right) = (note(&j.left, &j.right), note(&j.right, &j.left));
    if left.is_none() && right.is_none() {
        return Ok(None);
    }
    let side = |noted: Option<LogicalPlan>, old: &Arc<LogicalPlan>| noted.map_or_else(|| old.clone(), Arc::new);
    Ok(Some(LogicalPlan::Join(Join { left: side(left, &j.left), right: side(right, &j.right), ..j.clone() })))
}

/// A remote query under a condition that is finished here.
fn filtered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Filter(f) => RemoteNode::of(&f.input).is_some_and(pushing),
        LogicalPlan::Projection(p) => filtered(&p.input),
        LogicalPlan::SubqueryAlias(a) => filtered(&a.input),
        _ => false,
    }
}

/// The join as it is, with the reason on both sides.
fn refused(j: &Join, reason: &str) -> DfResult<LogicalPlan> {
    let side = |p: &LogicalPlan| Arc::new(local(p.clone(), j, reason));
    Ok(LogicalPlan::Join(Join { left: side(&j.left), right: side(&j.right), ..j.clone() }))
}

fn local(plan: LogicalPlan, j: &Join, reason: &str) -> LogicalPlan {
    annotate(plan, |r: &mut Report| r.add(Part::Join, text(j), Class::No, reason))
}

/// `LEFT JOIN ON a.x = b.x AND ...`.
fn text(j: &Join) -> String {
    let conditions: Vec<String> = j.on.iter().map(|(l, r)| format!("{l} = {r}")).chain(j.filter.iter().map(ToString::to_string)).collect();
    let kind = match j.join_type {
        JoinType::Inner => "JOIN",
        JoinType::Left => "LEFT JOIN",
        JoinType::Right => "RIGHT JOIN",
        JoinType::Full => "FULL JOIN",
        JoinType::LeftSemi | JoinType::RightSemi => "SEMI JOIN",
        JoinType::LeftAnti | JoinType::RightAnti if j.null_aware => "NOT IN",
        JoinType::LeftAnti | JoinType::RightAnti => "ANTI JOIN",
        JoinType::LeftMark | JoinType::RightMark => "MARK JOIN",
    };
    match conditions.is_empty() {
        true => kind.into(),
        false => format!("{kind} ON {}", conditions.join(" AND ")),
    }
}

/// A join that may go.
pub(super) struct Joined {
    pub(super) node: RemoteNode,
    /// Conditions of an inner join that are finished here.
    pub(super) residual: Vec<Expr>,
}

impl Joined {
    fn into_plan(self) -> DfResult<LogicalPlan> {
        let plan = self.node.into_plan();
        Ok(match conjunction(self.residual) {
            None => plan,
            Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?),
        })
    }
}

/// The sides in the order in which they are sent: a right semi join is a left one of the sides exchanged.
struct Sides<'a> {
    kind: JoinKind,
    left: &'a RemoteNode,
    right: &'a RemoteNode,
    pairs: Vec<(&'a Expr, &'a Expr)>,
}

impl<'a> Sides<'a> {
    fn of(j: &'a Join, left: &'a RemoteNode, right: &'a RemoteNode) -> Sides<'a> {
        let (kind, swapped) = match j.join_type {
            JoinType::Inner => (JoinKind::Inner, false),
            JoinType::Left => (JoinKind::Left, false),
            JoinType::Right => (JoinKind::Right, false),
            JoinType::Full => (JoinKind::Full, false),
            JoinType::LeftSemi => (JoinKind::Semi, false),
            JoinType::RightSemi => (JoinKind::Semi, true),
            JoinType::LeftAnti => (JoinKind::Anti, false),
            JoinType::RightAnti => (JoinKind::Anti, true),
            JoinType::LeftMark => (JoinKind::Mark, false),
            JoinType::RightMark => (JoinKind::Mark, true),
        };
        if swapped {
            Sides { kind, left: right, right: left, pairs: j.on.iter().map(|(l, r)| (r, l)).collect() }
        } else {
            Sides { kind, left, right, pairs: j.on.iter().map(|(l, r)| (l, r)).collect() }
        }
    }

    /// The relation that the conditions see, and its types.
    fn both(&self) -> Result<(DFSchema, Vec<RemoteType>), String> {
        let fields = |n: &RemoteNode| n.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect::<Vec<_>>();
        let all = [fields(self.left), fields(self.right)].concat();
        let schema = DFSchema::new_with_metadata(all, Default::default()).map_err(|e| e.strip_backtrace())?;
        // A side without columns has one all the same.
        let types = |n: &RemoteNode| n.query.types.iter().take(n.schema.fields().len()).cloned().collect::<Vec<_>>();
        Ok((schema, [types(self.left), types(self.right)].concat()))
    }

    /// An expression over `both` over the columns of the two queries.
    fn placed(&self, s: &Scalar) -> Scalar {
        let (fields, columns) = (self.left.schema.fields().len(), self.left.query.types.len());
        s.map_columns(&mut |i| Scalar::Column(if i < fields { i } else { i - fields + columns }))
    }
}

/// Judges a join; an error is the reason why it stays.
pub(super) fn join(j: &Join, left: &RemoteNode, right: &RemoteNode) -> Result<Joined, String> {
    if !same_connector(&left.query, &right.query) {
        return Err(format!(
            "the other side is read from another connector ({} and {})",
            left.query.connector.name, right.query.connector.name
        ));
    }
    let mut sides = Sides::of(j, left, right);
    if let Some(reason) = left.query.dialect.refuses_join(sides.kind) {
        return Err(reason);
    }
    let mut report = Report::default();
    let mut prepared = None;
    if j.null_aware && sides.kind != JoinKind::Anti {
        return Err("NULLs of the subquery decide here".into());
    }
    if j.null_aware {
        prepared = null_aware::without_nulls(j, left, right)?;
    }
    if let Some((l, r)) = &prepared {
        (sides.left, sides.right) = (l, r);
    }
    let (pairs, mut conditions, reasons) = keys(j, &sides)?;
    let (rest, residual) = conditions_of(j, &sides, &mut report)?;
    if sides.kind == JoinKind::Full && !conditions.iter().any(hashable) {
        return Err("a FULL JOIN without an equality of columns fails at the source".into());
    }
    let estimate = sides.left.query.joined(&sides.right.query, sides.kind, &pairs, &rest);
    conditions.extend(rest);
    let mut query = combined(&sides, conditions);
    query.rows = estimate.rows;
    query.rows_max = estimate.rows_max;
    query.keys = estimate.keys;
    finish_columns(&mut query, &sides);
    for (t, f) in query.types.iter().zip(j.schema.fields()) {
        if t.arrow != *f.data_type() {
            return Err(format!("{} would arrive as {} instead of {}", f.name(), t.arrow, f.data_type()));
        }
    }
    let mut budget = Budget::of(&left.query).and(Budget::of(&right.query));
    budget.bounded &= !estimate.multiplies;
    let on_trial = left.query.tentative.as_ref().or(right.query.tentative.as_ref());
    match on_trial {
        Some(t) if !estimate.multiplies => {
            query.tentative = Some(Arc::new(Tentative { budget, local: t.local.clone(), above: vec![] }));
        }
        on_trial => {
            let trial = query.exceeds(budget);
            if trial && pairs.is_empty() && estimate.multiplies {
                return Err(sends_more(&query, budget));
            }
            if trial || on_trial.is_some() {
                let local = refused(j, &sends_more(&query, budget)).map_err(|e| e.strip_backtrace())?;
                query.tentative = Some(Arc::new(Tentative { budget, local, above: vec![] }));
            }
        }
    }
    let class = if reasons.is_empty() { Class::Exact } else { Class::Rewritten };
    query.report.notes.extend(report.notes);
    query.report.add(Part::Join, text(j), class, reasons.join("; "));
    Ok(Joined { node: RemoteNode { query: Arc::new(query), schema: j.schema.clone() }, residual })
}

fn sends_more(query: &RemoteQuery, budget: Budget) -> String {
    match (query.estimated_rows(), budget.rows, query.estimated_bytes(), budget.bytes) {
        (Some(rows), Some(sides), ..) if rows > sides => format!("the join would send about {rows} rows, its sides {sides}"),
        (.., Some(bytes), Some(sides)) => format!("the join would send about {} kB, its sides {} kB", bytes / 1024, sides / 1024),
        _ => "neither side has a key on the join's columns, and the source has no row counts: ANALYZE there gives them".into(),
    }
}

/// The key pairs over their own side's columns, and the conditions over both, with what had to be rewritten.
type Keys = (Vec<(Scalar, Scalar)>, Vec<Scalar>, Vec<String>);

fn keys(j: &Join, sides: &Sides<'_>) -> Result<Keys, String> {
    let width = sides.left.query.types.len();
    let (mut pairs, mut conditions, mut reasons) = (vec![], vec![], vec![]);
    for (le, re) in &sides.pairs {
        let (l, lreason) = key(le, sides.left)?;
        let (r, rreason) = key(re, sides.right)?;
        let shifted = Typed { scalar: r.scalar.map_columns(&mut |i| Scalar::Column(i + width)), ty: r.ty.clone() };
        // NULL meets NULL only where both may be NULL.
        let nulls = j.null_equality == NullEquality::NullEqualsNull && l.ty.nullable && r.ty.nullable;
        if nulls {
            let rows = sides.left.query.estimated_rows().zip(sides.right.query.estimated_rows()).map(|(l, r)| l.saturating_mul(r));
            if sides.kind == JoinKind::Full || rows.is_none_or(|n| n > COMPARED_ONE_BY_ONE) {
                return Err(format!("{le} IS NOT DISTINCT FROM {re} has neither an index nor a hash at the source"));
            }
        }
        let op = if nulls { Op::IsNotDistinctFrom } else { Op::Eq };
        let judged = sides.left.query.dialect.scalar(&op, &[l.clone(), shifted], &DataType::Boolean);
        let (class, reason) = (judged.class, judged.reason.clone());
        let condition = match judged.expr {
            Some(e) if class.is_exact() => e.scalar,
            _ => return Err(format!("{le} = {re}: {reason}")),
        };
        for reason in [lreason, rreason, if class == Class::Exact { String::new() } else { reason }] {
            if !reason.is_empty() && !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        pairs.push((l.scalar, r.scalar));
        conditions.push(condition);
    }
    Ok((pairs, conditions, reasons))
}

/// A key of one side. A cast that only widens an integer is left out: the source compares integers of two widths, and keeps its index.
fn key(e: &Expr, side: &RemoteNode) -> Result<(Typed, String), String> {
    let converter = side.query.converter(&side.schema);
    if let Expr::Cast(Cast { expr, field }) = e
        && let (Ok(from), to) = (expr.get_type(side.schema.as_ref()), field.data_type())
        && from.is_signed_integer()
        && to.is_signed_integer()
        && from.primitive_width() <= to.primitive_width()
        && let Ok((t, _, reason)) = converter.value(expr)
    {
        return Ok((t, reason));
    }
    converter.value(e).map(|(t, _, reason)| (t, reason))
}

/// The conditions beyond the keys: what is sent, over the columns of both queries, and what is finished here (inner joins only).
fn conditions_of(j: &Join, sides: &Sides<'_>, report: &mut Report) -> Result<(Vec<Scalar>, Vec<Expr>), String> {
    let Some(filter) = &j.filter else { return Ok((vec![], vec![])) };
    let (schema, types) = sides.both()?;
    let converter = Converter::new(sides.left.query.dialect.as_ref(), &schema, &types);
    let (mut sent, mut residual) = (vec![], vec![]);
    for conjunct in split_conjunction(filter) {
        let judged = converter.filter(conjunct);
        if !judged.class.is_exact() {
            if sides.kind != JoinKind::Inner {
                return Err(format!("its condition {conjunct} is not exact at the source: {}", judged.reason));
            }
            residual.push(conjunct.clone());
        }
        report.add(Part::Filter, conjunct, judged.class, judged.reason.clone());
        if let Some(e) = judged.expr {
            sent.push(sides.placed(&e.scalar));
        }
    }
    Ok((sent, residual))
}

/// An equality of one side's columns with the other's: what a FULL JOIN needs.
fn hashable(condition: &Scalar) -> bool {
    matches!(condition, Scalar::Call { op: Op::Eq, args, .. } if args.iter().all(has_column))
}

fn has_column(s: &Scalar) -> bool {
    match s {
        Scalar::Column(_) => true,
        Scalar::Literal(..) => false,
        Scalar::Call { args, .. } => args.iter().any(has_column),
    }
}

fn combined(sides: &Sides<'_>, mut conditions: Vec<Scalar>) -> RemoteQuery {
    let (l, r, kind) = (&sides.left.query, &sides.right.query, sides.kind);
    let on = match conditions.len() {
        0 => None,
        1 => conditions.pop(),
        _ => Some(Scalar::call(Op::And, conditions, RemoteType::boolean(true))),
    };
    let (mut types, mut columns) = (l.types.clone(), l.columns.clone());
    match kind {
        JoinKind::Semi | JoinKind::Anti => {}
        JoinKind::Mark => {
            types.push(RemoteType::boolean(false));
            columns.push(crate::pushdown::estimate::ColumnEstimate::UNKNOWN);
        }
        _ => {
            types.extend(r.types.iter().cloned());
            columns.extend(r.columns.iter().copied());
        }
    }
    for (i, t) in types.iter_mut().enumerate() {
        let of_left = i < l.types.len();
        t.nullable |= match kind {
            JoinKind::Left => !of_left,
            JoinKind::Right => of_left,
            JoinKind::Full => true,
            _ => false,
        };
    }
    let mut report = l.report.clone();
    for n in &r.report.notes {
        report.add(n.part, &n.text, n.class, n.reason.clone());
    }
    let one_row = match kind {
        JoinKind::Inner => on.is_none() && l.one_row && r.one_row,
        JoinKind::Mark => l.one_row,
        _ => false,
    };
    RemoteQuery {
        connector: l.connector.clone(),
        dialect: l.dialect.clone(),
        tables: l.tables.iter().chain(&r.tables).cloned().collect(),
        rel: Rel::Join { left: Box::new(l.rel.clone()), right: Box::new(r.rel.clone()), kind, on },
        types,
        columns,
        keys: vec![],
        rows: None,
        rows_max: None,
        one_row,
        report,
        pushdown: true,
        order: vec![],
        tentative: None,
    }
}

/// A side that the plan sees without columns has one at the source: it goes.
fn finish_columns(query: &mut RemoteQuery, sides: &Sides<'_>) {
    let fields = |n: &RemoteNode| n.schema.fields().len();
    let (l, r) = (sides.left.query.types.len(), sides.right.query.types.len());
    let tail = match sides.kind {
        JoinKind::Semi | JoinKind::Anti => 0,
        JoinKind::Mark => 1,
        _ => r,
    };
    let kept_tail = if sides.kind == JoinKind::Mark { tail } else { tail.min(fields(sides.right)) };
    let keep: Vec<usize> = (0..fields(sides.left).min(l)).chain(l..l + kept_tail).collect();
    if keep.len() != query.types.len() {
        query.pick(&keep);
    }
}

/// The join of two remote queries without a condition: each row with each.
pub(super) fn product(left: &RemoteNode, right: &RemoteNode, schema: DFSchemaRef) -> RemoteNode {
    let sides = Sides { kind: JoinKind::Inner, left, right, pairs: vec![] };
    let estimate = left.query.joined(&right.query, JoinKind::Inner, &[], &[]);
    let query = RemoteQuery { rows: estimate.rows, rows_max: estimate.rows_max, keys: estimate.keys, ..combined(&sides, vec![]) };
    RemoteNode { query: Arc::new(query), schema }
}
