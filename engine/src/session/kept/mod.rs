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
//!   and the optimizer finds nothing in a literal that it does not find in a placeholder (but for the cast of a narrower integer, see `narrowed`). What is
//!   computed from parameters alone (`$1 - $2`, a time and an interval) is as good: its value is computed first. An array in `column = ANY ($1)` becomes
//!   the IN list that the optimizer makes of a constant one.
//!
//! The session checks before that the catalog and the settings are those of the plan.

mod values;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as DfResult, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, Volatility};
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
use values::{substitute, usable};

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

/// Types of parameters that may stand in what is computed from parameters alone, besides.
const COMPUTED: [PgType; 3] = [pgtype::INTERVAL, pgtype::TIME, pgtype::NUMERIC];

/// Types of the elements of an array that a column is compared with. Not floats: a zero in an IN list is two values.
const ELEMENTS: [PgType; 6] = [pgtype::INT2, pgtype::INT4, pgtype::INT8, pgtype::TEXT, pgtype::UUID, pgtype::DATE];

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
    /// One of them stands beside a narrower integer column, or in something that is computed.
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
        let Expr::Placeholder(p) = p else { return if cast_too { computed(column, p, schema, uses) } else { Ok(()) } };
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
        Expr::ScalarFunction(f) => {
            if let Some((p, ty)) = one_of(f, schema) {
                uses.params.push((params::number(p)? - 1, ty));
                uses.casts = true;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `column = ANY ($1)`: the parameter and its type.
fn one_of<'a>(f: &'a ScalarFunction, schema: &DFSchema) -> Option<(&'a Placeholder, PgType)> {
    let [Expr::Placeholder(p), column @ Expr::Column(_)] = f.args.as_slice() else { return None };
    let ty = PgType::of(p.field.as_deref()?);
    let (element, (_, field)) = (ty.element()?, column.to_field(schema).ok()?);
    let of_column = match PgType::of(&field) {
        pgtype::VARCHAR => pgtype::TEXT,
        t => t,
    };
    let same = of_column == element && field.data_type() == &element.to_arrow();
    (f.func.name() == "array_has" && same && ELEMENTS.contains(&element)).then_some((p, ty))
}

/// Notes the parameters of something that is computed from parameters and constants alone and compared with a column of its type.
fn computed(column: &Expr, e: &Expr, schema: &DFSchema, uses: &mut Uses) -> DfResult<()> {
    let of = |f: &Field| Some(PgType::of(f)).filter(|t| PLAIN.contains(t));
    if !matches!(column, Expr::Column(_)) || !has_placeholder(e) || !from_parameters(e) {
        return Ok(());
    }
    let ((_, of_column), (_, value)) = (column.to_field(schema)?, e.to_field(schema)?);
    if of(&of_column).is_none() || of(&of_column) != of(&value) || of_column.data_type() != value.data_type() {
        return Ok(());
    }
    e.apply(|e| {
        if let Expr::Placeholder(p) = e {
            match p.field.as_deref().map(PgType::of) {
                Some(ty) if PLAIN.contains(&ty) || COMPUTED.contains(&ty) => uses.params.push((params::number(p)? - 1, ty)),
                _ => return Ok(TreeNodeRecursion::Stop),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    uses.casts = true;
    Ok(())
}

fn from_parameters(e: &Expr) -> bool {
    let other = |e: &Expr| {
        !matches!(
            e,
            Expr::Placeholder(_) | Expr::Literal(..) | Expr::BinaryExpr(_) | Expr::Cast(_) | Expr::Negative(_) | Expr::ScalarFunction(_)
        )
    };
    !e.exists(|e| Ok(other(e))).unwrap_or(true)
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
