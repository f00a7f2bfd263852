//! `min` and `max` of floats as Postgres orders them: NaN is greater than every number.
//!
//! DataFusion 55 compares with `<`, under which NaN is neither: what comes out depends on the order of the rows. Among equal zeros -0 is the lesser
//! here, so that the answer does not depend on that order either.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, ExprSchemable, LogicalPlan, ReversedUDAF, Signature, Volatility,
    WindowFunctionDefinition,
};

use crate::error::SqlError;

/// Replaces min and max over floats in a plan.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    static MIN: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::function(Ordering::Less));
    static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::function(Ordering::Greater));
    super::rewrite_expressions(plan, &|mut e, schema| {
        let (function, args) = match &mut e {
            Expr::AggregateFunction(a) => (&mut a.func, &a.params.args),
            Expr::WindowFunction(w) => match &mut w.fun {
                WindowFunctionDefinition::AggregateUDF(f) => (f, &w.params.args),
                WindowFunctionDefinition::WindowUDF(_) => return Ok(Transformed::no(e)),
            },
            _ => return Ok(Transformed::no(e)),
        };
        let argument = args.first().and_then(|a| a.get_type(schema).ok());
        let ours = match function.name() {
            "min" => &*MIN,
            "max" => &*MAX,
            _ => return Ok(Transformed::no(e)),
        };
        if *function == *ours || !matches!(argument, Some(DataType::Float32 | DataType::Float64)) {
            return Ok(Transformed::no(e));
        }
        *function = ours.clone();
        Ok(Transformed::yes(e))
    })
}

/// min (keeps what is `Less`) or max (`Greater`).
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    keeps: Ordering,
    signature: Signature,
}

impl Extreme {
    fn function(keeps: Ordering) -> Arc<AggregateUDF> {
        let signature = Signature::uniform(1, vec![DataType::Float32, DataType::Float64], Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(Extreme { keeps, signature }))
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        if self.keeps == Ordering::Less { "min" } else { "max" }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        args.first().cloned().ok_or_else(|| SqlError::internal("min and max take an argument").into())
    }
    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(State { keeps: self.keeps, best: None, ty: args.return_field.data_type().clone() }))
    }
    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sliding { keeps: self.keeps, counts: BTreeMap::new(), ty: args.return_field.data_type().clone() }))
    }
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// A float4 is held as the float8 of the same value.
#[derive(Debug)]
struct State {
    keeps: Ordering,
    best: Option<f64>,
    ty: DataType,
}

impl State {
    fn take(&mut self, v: f64) {
        let order = |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => a.total_cmp(&b),
        };
        if self.best.is_none_or(|best| order(v, best) == self.keeps) {
            self.best = Some(v);
        }
    }
}

impl Accumulator for State {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        each(values, |v| self.take(v))
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        // One NaN for all: its bits are not part of its value.
        let best = self.best.map(|v| if v.is_nan() { f64::NAN } else { v });
        ScalarValue::Float64(best).cast_to(&self.ty)
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }
    fn size(&self) -> usize {
        size_of::<State>()
    }
}

fn each(values: &ArrayRef, mut f: impl FnMut(f64)) -> Result<()> {
    if let Some(a) = values.as_primitive_opt::<Float64Type>() {
        a.iter().flatten().for_each(f);
    } else if let Some(a) = values.as_primitive_opt::<Float32Type>() {
        a.iter().flatten().for_each(|v| f(f64::from(v)));
    } else {
        return Err(SqlError::internal(format!("min or max of floats over {}", values.data_type())).into());
    }
    Ok(())
}

/// For a window's moving frame: the values in it, so that one can leave. As large as the frame has distinct values.
#[derive(Debug)]
struct Sliding {
    keeps: Ordering,
    /// How often each value is there, by [`rank`].
    counts: BTreeMap<u64, usize>,
    ty: DataType,
}

/// Bits that order as the floats do, NaN last.
fn rank(v: f64) -> u64 {
    let bits = if v.is_nan() { f64::NAN.to_bits() & !SIGN } else { v.to_bits() };
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

const SIGN: u64 = 1 << 63;

fn unrank(rank: u64) -> f64 {
    f64::from_bits(if rank & SIGN == 0 { !rank } else { rank & !SIGN })
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        each(values, |v| *self.counts.entry(rank(v)).or_default() += 1)
    }
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        each(values, |v| {
            if let Entry::Occupied(mut o) = self.counts.entry(rank(v)) {
                match o.get() {
                    0 | 1 => drop(o.remove()),
                    n => *o.get_mut() = n - 1,
                }
            }
        })
    }
    fn supports_retract_batch(&self) -> bool {
        true
    }
    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        Err(SqlError::internal("min and max of a window's frame are not merged").into())
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let found = if self.keeps == Ordering::Less { self.counts.first_key_value() } else { self.counts.last_key_value() };
        ScalarValue::Float64(found.map(|(rank, _)| unrank(*rank))).cast_to(&self.ty)
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }
    fn size(&self) -> usize {
        size_of::<Sliding>() + self.counts.len() * 3 * size_of::<u64>()
    }
}
