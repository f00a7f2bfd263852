//! Comparisons with timestamps finer than a microsecond.
//!
//! DataFusion 55 compares a column of microseconds with a literal of nanoseconds by truncating the literal: `ts < 1500 ns` loses the row with 1 µs.
//! An analyzer rule, before the optimizer can do that, turns the comparison into one in microseconds that is exact: `<` against the ceiling, `>`
//! against the floor, `=` only where the literal is whole. It pushes, uses the column's index, and does not overflow for years that nanoseconds
//! cannot hold.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, when,
};
use datafusion::optimizer::AnalyzerRule;

use crate::functions::{is_comparison, rewrite_expressions};

/// The rule.
#[derive(Debug)]
pub struct WholeMicroseconds;

impl AnalyzerRule for WholeMicroseconds {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> DfResult<LogicalPlan> {
        rewrite_expressions(plan, &rewrite)
    }
    fn name(&self) -> &str {
        "fjord_whole_microseconds"
    }
}

fn rewrite(e: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    match e {
        Expr::BinaryExpr(b) => {
            if let Some(x) = coarser(&b.left, schema) {
                if let Some(done) = compare(x, b.op, b.right.as_ref().clone(), schema)? {
                    return Ok(Transformed::yes(done));
                }
            } else if let Some(x) = coarser(&b.right, schema)
                && let Some(op) = b.op.swap()
                && let Some(done) = compare(x, op, b.left.as_ref().clone(), schema)?
            {
                return Ok(Transformed::yes(done));
            }
            Ok(Transformed::no(Expr::BinaryExpr(b)))
        }
        Expr::InList(l) => {
            let Some(x) = coarser(&l.expr, schema) else { return Ok(Transformed::no(Expr::InList(l))) };
            let InList { list, negated, .. } = l;
            let mut all: Option<Expr> = None;
            for item in list {
                let Some(one) = compare(x.clone(), Operator::Eq, item, schema)? else { continue };
                all = Some(all.map_or(one.clone(), |a| a.or(one)));
            }
            let Some(all) = all else { return Err(DataFusionError::Plan("an IN list is empty".into())) };
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(all)) } else { all }))
        }
        e => Ok(Transformed::no(e)),
    }
}

/// The operand of a cast from a coarser timestamp to nanoseconds, with its type.
fn coarser(e: &Expr, schema: &DFSchema) -> Option<(Expr, DataType)> {
    let Expr::Cast(c) = e else { return None };
    let DataType::Timestamp(TimeUnit::Nanosecond, to_zone) = c.field.data_type() else { return None };
    let from = c.expr.get_type(schema).ok()?;
    let DataType::Timestamp(unit, from_zone) = &from else { return None };
    // A cast that adds or drops the zone shifts the value: not ours to undo.
    let literal = matches!(c.expr.as_ref(), Expr::Literal(..));
    (*unit == TimeUnit::Microsecond && to_zone.is_some() == from_zone.is_some() && !literal)
        .then(|| (c.expr.as_ref().clone(), from.clone()))
}

fn compare((x, ty): (Expr, DataType), op: Operator, y: Expr, schema: &DFSchema) -> DfResult<Option<Expr>> {
    let call = |round: Round, y: Expr| {
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(Whole::new(round, ty.clone()))), vec![y]))
    };
    let binary = |op: Operator, y: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(x.clone()), op, Box::new(y)));
    // No finer itself, only cast beside others that are (`ts IN ('0001-01-01', <nanoseconds>)`): that cast has no room for most years.
    if let Expr::Cast(c) = &y
        && is_comparison(op)
        && c.expr.get_type(schema).is_ok_and(|t| t == ty)
    {
        return Ok(Some(binary(op, c.expr.as_ref().clone())));
    }
    Ok(Some(match op {
        Operator::Lt | Operator::GtEq => binary(op, call(Round::Ceiling, y)),
        Operator::Gt | Operator::LtEq => binary(op, call(Round::Floor, y)),
        Operator::Eq | Operator::NotEq => {
            let whole = Expr::ScalarFunction(ScalarFunction::new_udf(IS_WHOLE.clone(), vec![y.clone()]));
            // Never equal; but NULL stays NULL, or NOT would return its rows.
            let known = x.clone().is_not_null().and(y.clone().is_not_null());
            let never = when(known, Expr::Literal(ScalarValue::Boolean(Some(op == Operator::NotEq)), None)).end()?;
            when(whole, binary(op, call(Round::Floor, y))).otherwise(never)?
        }
        _ => return Ok(None),
    }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Round {
    Floor,
    Ceiling,
}

/// Nanoseconds to whole microseconds of the column's type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Whole {
    round: Round,
    to: DataType,
    signature: Signature,
}

impl Whole {
    fn new(round: Round, to: DataType) -> Whole {
        Whole { round, to, signature: Signature::any(1, Volatility::Immutable) }
    }
}

fn nanos(args: &ScalarFunctionArgs) -> DfResult<(ArrayRef, bool)> {
    let [arg] = args.args.as_slice() else { return Err(DataFusionError::Internal("one argument is expected".into())) };
    let scalar = matches!(arg, ColumnarValue::Scalar(_));
    let array = arg.to_array(if scalar { 1 } else { args.number_rows })?;
    Ok((cast(&array, &DataType::Int64)?, scalar))
}

fn answer(array: ArrayRef, scalar: bool) -> DfResult<ColumnarValue> {
    Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?) } else { ColumnarValue::Array(array) })
}

impl ScalarUDFImpl for Whole {
    fn name(&self) -> &str {
        match self.round {
            Round::Floor => "fjord_floor_microseconds",
            Round::Ceiling => "fjord_ceil_microseconds",
        }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _args: &[DataType]) -> DfResult<DataType> {
        Ok(self.to.clone())
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let (array, scalar) = nanos(&args)?;
        let up = i64::from(self.round == Round::Ceiling);
        let micros = array.as_primitive::<Int64Type>().unary::<_, Int64Type>(|n| {
            let floor = n.div_euclid(1_000);
            if n.rem_euclid(1_000) == 0 { floor } else { floor + up }
        });
        answer(cast(&micros, &self.to)?, scalar)
    }
}

static IS_WHOLE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(IsWhole { signature: Signature::any(1, Volatility::Immutable) })));

/// Whether a timestamp of nanoseconds is a whole number of microseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IsWhole {
    signature: Signature,
}

impl ScalarUDFImpl for IsWhole {
    fn name(&self) -> &str {
        "fjord_is_whole_microseconds"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _args: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Boolean)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let (array, scalar) = nanos(&args)?;
        let whole: BooleanArray = array.as_primitive::<Int64Type>().iter().map(|n| n.map(|n| n % 1_000 == 0)).collect();
        answer(Arc::new(whole), scalar)
    }
}
