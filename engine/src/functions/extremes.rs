//! `min` and `max` of floats as Postgres orders them: NaN is greater than every number.
//!
//! DataFusion 55 compares with `<`, under which NaN is neither: what comes out depends on the order of the rows. Among equal zeros -0 is the lesser
//! here, so that the answer does not depend on that order either.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, ExprSchemable, LogicalPlan, ReversedUDAF, Signature, Volatility,
};

use crate::error::SqlError;

/// Replaces min and max over floats in a plan.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    static MIN: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::function(Ordering::Less));
    static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::function(Ordering::Greater));
    super::rewrite_expressions(plan, &|mut e, schema| {
        // Not in windows: a sliding frame needs an accumulator that can take values back (COMPAT.md).
        let Expr::AggregateFunction(a) = &mut e else { return Ok(Transformed::no(e)) };
        let argument = a.params.args.first().and_then(|a| a.get_type(schema).ok());
        let ours = match a.func.name() {
            "min" => &*MIN,
            "max" => &*MAX,
            _ => return Ok(Transformed::no(e)),
        };
        if a.func == *ours || !matches!(argument, Some(DataType::Float32 | DataType::Float64)) {
            return Ok(Transformed::no(e));
        }
        a.func = ours.clone();
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
        if let Some(a) = values.as_primitive_opt::<Float64Type>() {
            a.iter().flatten().for_each(|v| self.take(v));
        } else if let Some(a) = values.as_primitive_opt::<Float32Type>() {
            a.iter().flatten().for_each(|v| self.take(f64::from(v)));
        } else {
            return Err(SqlError::internal(format!("min or max of floats over {}", values.data_type())).into());
        }
        Ok(())
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
