//! `sum` as Postgres defines its types: bigint sums to numeric (it cannot overflow), smaller integers to bigint.
//!
//! <https://www.postgresql.org/docs/15/functions-aggregate.html>. The accumulators are DataFusion's own.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, ExprSchemable, GroupsAccumulator, LogicalPlan, ReversedUDAF,
    SetMonotonicity, Signature, Volatility, WindowFunctionDefinition,
};

use crate::error::{SqlError, SqlState};

/// Decimal128 sums are kept in 38 digits. Above this precision a sum of 10^10 rows could leave them: such sums run in 256 bits.
const DECIMAL128_SUM_PRECISION_MAX: u8 = 28;

pub(super) fn pg_sum() -> Arc<AggregateUDF> {
    static SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| PgSum::function(false));
    SUM.clone()
}

/// Marks the sums over integers of at most 32 bits. Coercion makes their argument a bigint, so a second analysis (a prepared plan is analyzed again)
/// could not tell them from sums over a bigint any more.
pub(super) fn small(plan: LogicalPlan) -> Result<LogicalPlan> {
    static SMALL: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| PgSum::function(true));
    super::rewrite_expressions(plan, &|mut e, schema| {
        let (function, args) = match &mut e {
            Expr::AggregateFunction(a) => (&mut a.func, &a.params.args),
            Expr::WindowFunction(w) => match &mut w.fun {
                WindowFunctionDefinition::AggregateUDF(f) => (f, &w.params.args),
                WindowFunctionDefinition::WindowUDF(_) => return Ok(Transformed::no(e)),
            },
            _ => return Ok(Transformed::no(e)),
        };
        let is_small = args
            .first()
            .and_then(|a| a.get_type(schema).ok())
            .is_some_and(|t| t.is_integer() && t.primitive_width().is_some_and(|w| w <= 4) && t != DataType::UInt32);
        if !is_small || *function != pg_sum() {
            return Ok(Transformed::no(e));
        }
        *function = SMALL.clone();
        Ok(Transformed::yes(e))
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PgSum {
    inner: Sum,
    /// Over integers of at most 32 bits: the sum is a bigint.
    small: bool,
    signature: Signature,
}

impl PgSum {
    fn function(small: bool) -> Arc<AggregateUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(PgSum { inner: Sum::new(), small, signature }))
    }
}

impl AggregateUDFImpl for PgSum {
    fn name(&self) -> &str {
        "sum"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        let [arg] = args else {
            return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("sum takes one argument, not {}", args.len())).into());
        };
        fn coerced(t: &DataType) -> Option<DataType> {
            Some(match t {
                DataType::Null => DataType::Int64,
                DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
                DataType::UInt8 | DataType::UInt16 => DataType::Int64,
                DataType::Int64 | DataType::UInt32 | DataType::UInt64 => DataType::Decimal128(20, 0),
                DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
                DataType::Decimal128(p, s) if *p > DECIMAL128_SUM_PRECISION_MAX => DataType::Decimal256(*p, *s),
                DataType::Decimal128(..) | DataType::Decimal256(..) => t.clone(),
                DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
                DataType::Interval(_) | DataType::Duration(_) => t.clone(),
                DataType::Dictionary(_, v) => return coerced(v),
                _ => return None,
            })
        }
        match if self.small && arg.is_integer() { Some(DataType::Int64) } else { coerced(arg) } {
            Some(t) => Ok(vec![t]),
            None => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function sum({arg}) does not exist"))
                .hint("You might need to add explicit type casts.")
                .into()),
        }
    }
    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        self.inner.return_type(args)
    }
    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }
    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }
    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }
    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }
    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_expr()
    }
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }
    fn set_monotonicity(&self, t: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(t)
    }
    fn default_value(&self, t: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(t)
    }
    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
