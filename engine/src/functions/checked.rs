//! Checked integer arithmetic: overflow is 22003, never a wrapped value. And `-x` of a float, whose NaN keeps no sign: by its bits it would sort lowest.

use std::any::type_name;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::kernels::numeric::{add, mul, neg, sub};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::physical_expr_common::datum::apply;

use crate::error::{SqlError, SqlState};

/// An arithmetic operator that can overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `a + b`
    Add,
    /// `a - b`
    Subtract,
    /// `a * b`
    Multiply,
    /// `-a`
    Negate,
}

impl Arithmetic {
    /// All of them.
    pub const ALL: [Arithmetic; 4] = [Arithmetic::Add, Arithmetic::Subtract, Arithmetic::Multiply, Arithmetic::Negate];

    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::Add => "fjord_add",
            Arithmetic::Subtract => "fjord_subtract",
            Arithmetic::Multiply => "fjord_multiply",
            Arithmetic::Negate => "fjord_negate",
        }
    }
    /// The operator behind a function of ours.
    pub fn by_name(name: &str) -> Option<Arithmetic> {
        Arithmetic::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// The function of an operator.
pub fn checked(op: Arithmetic) -> Arc<ScalarUDF> {
    static ALL: LazyLock<[Arc<ScalarUDF>; 4]> =
        LazyLock::new(|| Arithmetic::ALL.map(|op| Arc::new(ScalarUDF::new_from_impl(Checked::new(op)))));
    ALL[match op {
        Arithmetic::Add => 0,
        Arithmetic::Subtract => 1,
        Arithmetic::Multiply => 2,
        Arithmetic::Negate => 3,
    }]
    .clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    op: Arithmetic,
    signature: Signature,
}

impl Checked {
    fn new(op: Arithmetic) -> Checked {
        // The rewrite comes after type coercion: the arguments have one integer type already.
        let arity = if op == Arithmetic::Negate { 1 } else { 2 };
        Checked { op, signature: Signature::any(arity, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.op.name()
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        args.first().cloned().ok_or_else(|| SqlError::internal(format!("{} without arguments", type_name::<Checked>())).into())
    }
    fn is_strict(&self) -> bool {
        true
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let target = args.return_type().clone();
        let result = match (self.op, args.args.as_slice()) {
            (Arithmetic::Add, [a, b]) => apply(a, b, add),
            (Arithmetic::Subtract, [a, b]) => apply(a, b, sub),
            (Arithmetic::Multiply, [a, b]) => apply(a, b, mul),
            (Arithmetic::Negate, [a]) => negate(a),
            _ => return Err(SqlError::internal(format!("{} with {} arguments", self.name(), args.args.len())).into()),
        };
        result.map_err(|e| match e.find_root() {
            datafusion::error::DataFusionError::ArrowError(a, _)
                if matches!(a.as_ref(), arrow::error::ArrowError::ArithmeticOverflow(_)) =>
            {
                out_of_range(&target).into()
            }
            _ => e,
        })
    }
}

fn negate(value: &ColumnarValue) -> Result<ColumnarValue> {
    let negated = |a: &ArrayRef| -> Result<ArrayRef> {
        let a = neg(a)?;
        Ok(match (a.as_primitive_opt::<Float32Type>(), a.as_primitive_opt::<Float64Type>()) {
            (Some(f), _) => Arc::new(f.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v })),
            (_, Some(f)) => Arc::new(f.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v })),
            _ => a,
        })
    };
    match value {
        ColumnarValue::Array(a) => Ok(ColumnarValue::Array(negated(a)?)),
        ColumnarValue::Scalar(s) => {
            let a = negated(&s.to_array()?)?;
            Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&a, 0)?))
        }
    }
}

/// Postgres's own wording.
fn out_of_range(t: &DataType) -> SqlError {
    let name = match t {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        _ => "bigint",
    };
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
        .hint("Cast to numeric for a wider range.".to_string())
}

/// Replaces every integer operation of a plan, and every negated float.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rewrite_expressions(plan, &|e, schema| Ok(rewrite_one(e, schema)))
}

fn rewrite_one(e: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let (op, args) = match &e {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let op = match op {
                Operator::Plus => Arithmetic::Add,
                Operator::Minus => Arithmetic::Subtract,
                Operator::Multiply => Arithmetic::Multiply,
                _ => return Transformed::no(e),
            };
            (op, vec![left.as_ref().clone(), right.as_ref().clone()])
        }
        Expr::Negative(inner) => match inner.as_ref() {
            // A negative literal is a value, not an operation.
            Expr::Literal(..) => return Transformed::no(e),
            inner => (Arithmetic::Negate, vec![inner.clone()]),
        },
        _ => return Transformed::no(e),
    };
    let floats_too = op == Arithmetic::Negate;
    let ours = args.iter().all(|a| a.get_type(schema).is_ok_and(|t| t.is_integer() || floats_too && t.is_floating()));
    if !ours {
        return Transformed::no(e);
    }
    Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(checked(op), args)))
}
