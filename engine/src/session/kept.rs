//! Plans that are kept from one execution to the next.
//!
//! DataFusion optimizes a plan whose parameters are still placeholders, once. An execution then only puts its values in and runs our own pass again:
//! each value is judged exactly as the literal would be (a text with a NUL, a blank at the end of a `char(5)`, an unknown enum label), so that a value
//! never travels under another value's class. Where all of the plan has become one remote query, nothing is left to plan at all.
//!
//! What may be kept is an allow-list; everything else is planned anew each time, as it always was:
//! - every relation is a connector's table. `sys` and `pg_catalog` show the moment; files are listed when they are planned;
//! - every function is immutable: the optimizer folds `now()` into the plan;
//! - a parameter stands beside a column of its own type in a condition of WHERE or ON, or is a LIMIT or OFFSET. There no analyzer rule looks at values,
//!   and the optimizer finds nothing in a literal that it does not find in a placeholder (but for the cast of a narrower integer, see `narrowed`).
//!
//! The session checks before that the catalog and the settings are those of the plan.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Volatility};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::params;
use super::registry::QueryRecord;
use crate::error::Result;
use crate::federation::catalogs::PlanEnv;
use crate::federation::scan::RemoteScanExec;
use crate::federation::table::FjordTable;
use crate::pgtype::{self, PgType};
use crate::pushdown::node::RemoteNode;
use crate::pushdown::planner;
use crate::source::QueryScope;

/// Types of parameters whose values mean the same beside a column of that type, whichever value it is.
const PLAIN: [PgType; 11] = [
    pgtype::BOOL,
    pgtype::INT2,
    pgtype::INT4,
    pgtype::INT8,
    pgtype::FLOAT4,
    pgtype::FLOAT8,
    pgtype::TEXT,
    pgtype::UUID,
    pgtype::DATE,
    pgtype::TIMESTAMP,
    pgtype::TIMESTAMPTZ,
];

/// An optimized plan. Without parameters our own pass has run over it too.
#[derive(Debug)]
pub(super) struct Kept {
    plan: LogicalPlan,
    uses: Uses,
}

/// What a plan does with its parameters.
#[derive(Debug, Default)]
struct Uses {
    /// Parameters in conditions and limits: 0-based number and type.
    params: Vec<(usize, PgType)>,
    /// One of them is a LIMIT or OFFSET.
    limits: bool,
    /// One of them stands beside a narrower integer column.
    casts: bool,
}

impl Kept {
    /// The plan to keep of an analyzed one; `None` where it must be planned each time.
    pub(super) fn of(plan: &LogicalPlan, state: &SessionState) -> Option<Kept> {
        let uses = repeatable(plan).ok().flatten()?;
        // An error is not lost: planning the usual way meets it again.
        let optimized = state.optimizer().optimize(plan.clone(), state, |_, _| {}).ok()?;
        if uses.params.is_empty() {
            return Some(Kept { plan: planner::federate(optimized).ok()?, uses });
        }
        placed(&optimized).ok()?.then_some(Kept { plan: optimized, uses })
    }

    /// The plan with these values, after our own pass; `None` where a value asks for planning anew.
    pub(super) fn bind(&self, values: &[ScalarValue]) -> Option<LogicalPlan> {
        if self.uses.params.is_empty() {
            return Some(self.plan.clone());
        }
        for (n, ty) in &self.uses.params {
            if !usable(values.get(*n)?, *ty) {
                return None;
            }
        }
        let bound = substitute(self.plan.clone(), values, self.uses.casts).ok().flatten()?;
        let plan = planner::federate(bound).ok()?;
        // A limit that the optimizer did not know is known too late for a sort that runs here.
        (!self.uses.limits || whole(&plan).is_some()).then_some(plan)
    }
}

/// A plan that is one remote query, and which of its columns are wanted.
pub(super) struct Whole<'a> {
    node: &'a RemoteNode,
    columns: Option<Vec<usize>>,
}

/// The remote query that a plan is, where nothing is left above it but a choice of columns.
pub(super) fn whole(plan: &LogicalPlan) -> Option<Whole<'_>> {
    // A relation without columns reads one all the same, which only a projection takes away.
    let of = |plan| RemoteNode::of(plan).filter(|n| !n.schema.fields().is_empty());
    match plan {
        LogicalPlan::Projection(p) if !p.expr.is_empty() => {
            let node = of(&p.input)?;
            let columns = p.expr.iter().map(|e| match unaliased(e) {
                Expr::Column(c) => node.schema.maybe_index_of_column(c),
                _ => None,
            });
            Some(Whole { node, columns: Some(columns.collect::<Option<_>>()?) })
        }
        plan => Some(Whole { node: of(plan)?, columns: None }),
    }
}

fn unaliased(e: &Expr) -> &Expr {
    match e {
        Expr::Alias(a) => unaliased(&a.expr),
        e => e,
    }
}

impl Whole<'_> {
    /// Runs it.
    pub(super) fn stream(self, env: &PlanEnv, scope: &Arc<QueryScope>, record: &Arc<QueryRecord>) -> Result<SendableRecordBatchStream> {
        let config = env.config().with_extension(scope.clone()).with_extension(record.clone());
        let fields: Vec<_> = self.node.schema.as_arrow().fields().iter().cloned().collect();
        let leaf = RemoteScanExec::try_new(self.node.query.clone(), &fields, &config)?;
        // No functions: the leaf evaluates nothing.
        let (none, runtime) = (HashMap::new(), env.engine.runtime.clone());
        let context = TaskContext::new(None, String::new(), config, none, HashMap::new(), HashMap::new(), HashMap::new(), runtime);
        // A big table is read in several partitions.
        let leaf: Arc<dyn ExecutionPlan> = Arc::new(leaf);
        let rows = datafusion::physical_plan::execute_stream(leaf, Arc::new(context))?;
        let Some(columns) = self.columns else { return Ok(rows) };
        let schema = Arc::new(rows.schema().project(&columns).map_err(DataFusionError::from)?);
        let rows = rows.map(move |batch| Ok(batch?.project(&columns)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// What an analyzed plan does with its parameters, if it may be kept.
fn repeatable(plan: &LogicalPlan) -> DfResult<Option<Uses>> {
    use LogicalPlan as L;
    let (mut uses, mut tables, mut seen, mut fine) = (Uses::default(), 0, 0, true);
    plan.apply_with_subqueries(|node| {
        let conditions: Vec<&Expr> = match node {
            L::TableScan(scan) => {
                let ours = source_as_provider(&scan.source).is_ok_and(|p| p.downcast_ref::<FjordTable>().is_some());
                fine &= ours && scan.filters.is_empty();
                tables += 1;
                vec![]
            }
            L::Filter(f) => vec![&f.predicate],
            L::Join(j) => j.filter.iter().collect(),
            L::Limit(l) => {
                for e in [&l.skip, &l.fetch].into_iter().flatten() {
                    if let Expr::Placeholder(p) = e.as_ref() {
                        uses.params.push((params::number(p)? - 1, pgtype::INT8));
                        uses.limits = true;
                    }
                }
                vec![]
            }
            // Not a union: optimized once more, it forgets which Postgres type its arms share.
            L::Projection(_) | L::Aggregate(_) | L::Sort(_) | L::Window(_) | L::Distinct(_) => vec![],
            L::SubqueryAlias(_) | L::Subquery(_) | L::EmptyRelation(_) | L::Values(_) => vec![],
            _ => {
                fine = false;
                vec![]
            }
        };
        if !conditions.is_empty() {
            let schema = merge_schema(&node.inputs());
            for c in conditions {
                c.apply(|e| {
                    beside_columns(e, &schema, &mut uses)?;
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        node.apply_expressions(|e| {
            e.apply(|e| {
                seen += usize::from(matches!(e, Expr::Placeholder(_)));
                fine &= immutable(e);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if fine { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    // Each placeholder was met in one of the places that are allowed.
    Ok((fine && tables > 0 && seen == uses.params.len()).then_some(uses))
}

fn immutable(e: &Expr) -> bool {
    let fixed = |v: Volatility| v == Volatility::Immutable;
    match e {
        Expr::ScalarFunction(f) => fixed(f.func.signature().volatility),
        Expr::AggregateFunction(f) => fixed(f.func.signature().volatility),
        Expr::WindowFunction(f) => fixed(f.fun.signature().volatility),
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::Literal(..)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::ScalarSubquery(_)
        | Expr::GroupingSet(_)
        | Expr::Placeholder(_)
        | Expr::OuterReferenceColumn(..) => true,
        _ => false,
    }
}

/// Notes the parameters that `e` compares with a column of their own type.
fn beside_columns(e: &Expr, schema: &DFSchema, uses: &mut Uses) -> DfResult<()> {
    let mut pair = |column: &Expr, p: &Expr, cast_too: bool| {
        let Expr::Placeholder(p) = p else { return Ok(()) };
        if let Some((ty, cast)) = same_type(column, p, schema, cast_too) {
            uses.params.push((params::number(p)? - 1, ty));
            uses.casts |= cast;
        }
        DfResult::Ok(())
    };
    match e {
        Expr::BinaryExpr(b) if compares(b.op) => {
            pair(&b.left, &b.right, true)?;
            pair(&b.right, &b.left, true)
        }
        Expr::InList(l) => l.list.iter().try_for_each(|item| pair(&l.expr, item, false)),
        Expr::Between(b) => {
            pair(&b.expr, &b.low, false)?;
            pair(&b.expr, &b.high, false)
        }
        Expr::Like(l) => pair(&l.expr, &l.pattern, false),
        _ => Ok(()),
    }
}

/// The parameter's type, where the column has it too; and whether the column is a narrower integer under a cast.
fn same_type(column: &Expr, p: &Placeholder, schema: &DFSchema, cast_too: bool) -> Option<(PgType, bool)> {
    let of = |f: &Field| match PgType::of(f) {
        pgtype::VARCHAR => pgtype::TEXT,
        t => t,
    };
    let given = p.field.as_deref()?;
    let ty = of(given);
    if !PLAIN.contains(&ty) {
        return None;
    }
    match column {
        Expr::Column(_) => {
            let (_, f) = column.to_field(schema).ok()?;
            (of(&f) == ty && f.data_type() == given.data_type()).then_some((ty, false))
        }
        Expr::Cast(c) if cast_too && matches!(c.expr.as_ref(), Expr::Column(_)) => {
            let from = c.expr.get_type(schema).ok()?;
            let narrower = matches!(from, DataType::Int16 | DataType::Int32);
            (narrower && ty == pgtype::INT8 && c.field.data_type() == &DataType::Int64).then_some((ty, true))
        }
        _ => None,
    }
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// After the optimizer: no placeholder stands where its value would change the name or type of a column.
fn placed(plan: &LogicalPlan) -> DfResult<bool> {
    use LogicalPlan as L;
    let mut fine = true;
    plan.apply_with_subqueries(|node| {
        let anywhere = matches!(node, L::TableScan(_) | L::Filter(_) | L::Join(_) | L::Limit(_));
        node.apply_expressions(|e| {
            fine &= anywhere || matches!(e, Expr::Alias(_)) || !has_placeholder(e);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(fine)
}

fn has_placeholder(e: &Expr) -> bool {
    e.exists(|e| Ok(matches!(e, Expr::Placeholder(_)))).unwrap_or(true)
}

/// Whether a value is one of the parameter's type that needs no look at what it is. NULL changes what the optimizer would make of the plan.
fn usable(value: &ScalarValue, ty: PgType) -> bool {
    if value.is_null() || value.data_type() != ty.to_arrow() {
        return false;
    }
    match value {
        // Another spelling is brought to this one by a rule of the analyzer.
        ScalarValue::Utf8(Some(s)) if ty == pgtype::UUID => uuid::Uuid::try_parse(s).is_ok_and(|u| u.to_string() == *s),
        ScalarValue::Utf8(_) => ty == pgtype::TEXT,
        _ => true,
    }
}

/// The plan with values for placeholders; `None` where one does not fit the column that it meets.
fn substitute(plan: LogicalPlan, values: &[ScalarValue], casts: bool) -> DfResult<Option<LogicalPlan>> {
    let mut fits = true;
    let plan = plan
        .transform_up_with_subqueries(|node| {
            let schema = casts.then(|| input_schema(&node)).transpose()?;
            node.map_expressions(|e| {
                if !has_placeholder(&e) {
                    return Ok(Transformed::no(e));
                }
                e.transform_up(|e| {
                    Ok(match (e, &schema) {
                        (Expr::Placeholder(p), _) => match values.get(params::number(&p)? - 1) {
                            Some(v) => Transformed::yes(Expr::Literal(v.clone(), None)),
                            None => {
                                fits = false;
                                Transformed::no(Expr::Placeholder(p))
                            }
                        },
                        (Expr::BinaryExpr(b), Some(schema)) if compares(b.op) => {
                            let (e, fit) = narrowed(b, schema);
                            fits &= fit;
                            Transformed::yes(e)
                        }
                        (e, _) => Transformed::no(e),
                    })
                })
            })
        })?
        .data;
    let negative = |plan: &LogicalPlan| {
        let LogicalPlan::Limit(l) = plan else { return false };
        [&l.skip, &l.fetch].into_iter().flatten().any(|e| matches!(e.as_ref(), Expr::Literal(ScalarValue::Int64(Some(n)), _) if *n < 0))
    };
    let refused = plan.exists(|p| Ok(negative(p)))?;
    Ok((fits && !refused).then_some(plan))
}

fn input_schema(node: &LogicalPlan) -> DfResult<DFSchema> {
    let mut schema = merge_schema(&node.inputs());
    if let LogicalPlan::TableScan(ts) = node {
        schema.merge(&DFSchema::try_from_qualified_schema(ts.table_name.clone(), &ts.source.schema())?);
    }
    Ok(schema)
}

/// `CAST(id AS bigint) = 5` as `id = 5`, which the optimizer does for literals: the cast would cost the source's index. False where 5 does not fit.
fn narrowed(b: BinaryExpr, schema: &DFSchema) -> (Expr, bool) {
    let narrow = |column: &Expr, literal: &Expr| {
        let (Expr::Cast(c), Expr::Literal(ScalarValue::Int64(Some(v)), _)) = (column, literal) else { return None };
        if !matches!(c.expr.as_ref(), Expr::Column(_)) {
            return None;
        }
        let value = match c.expr.get_type(schema).ok()? {
            DataType::Int32 => i32::try_from(*v).ok().map(|v| ScalarValue::Int32(Some(v))),
            DataType::Int16 => i16::try_from(*v).ok().map(|v| ScalarValue::Int16(Some(v))),
            _ => return None,
        };
        Some(value.map(|v| (c.expr.clone(), Box::new(Expr::Literal(v, None)))))
    };
    match (narrow(&b.left, &b.right), narrow(&b.right, &b.left)) {
        (Some(Some((column, value))), _) => (Expr::BinaryExpr(BinaryExpr::new(column, b.op, value)), true),
        (_, Some(Some((column, value)))) => (Expr::BinaryExpr(BinaryExpr::new(value, b.op, column)), true),
        (None, None) => (Expr::BinaryExpr(b), true),
        _ => (Expr::BinaryExpr(b), false),
    }
}
