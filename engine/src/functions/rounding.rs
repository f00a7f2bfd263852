//! round, trunc, ceil, floor and sign with Postgres's types and digits, and mod.
//!
//! DataFusion 55 raises for `floor(99999999.99::numeric(10,2))` (the result gets the argument's precision) and for `round(x, 1)` of a numeric column,
//! keeps the scale that trunc cut, rounds a double half away from zero, and has no sign, ceiling or mod. Here a numeric rounds half away from zero into a
//! type that has room for the carry, and a double half to even, as `numeric.c` and `float.c` of PostgreSQL 15 do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::kernels::numeric::rem;
use arrow::datatypes::{ArrowNativeTypeOp, DataType, Decimal128Type, Decimal256Type, DecimalType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

use crate::error::{SqlError, SqlState};

/// How the digits that go decide about those that stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Mode {
    Round,
    Truncate,
    Ceiling,
    Floor,
    Sign,
}

const MODES: [Mode; 5] = [Mode::Round, Mode::Truncate, Mode::Ceiling, Mode::Floor, Mode::Sign];

/// The functions, to be registered over DataFusion's.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    MODES.into_iter().map(|mode| Arc::new(ScalarUDF::new_from_impl(Rounding::new(mode)))).chain([modulo()]).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rounding {
    mode: Mode,
    aliases: Vec<String>,
    signature: Signature,
}

impl Rounding {
    fn new(mode: Mode) -> Rounding {
        let aliases = if mode == Mode::Ceiling { vec!["ceiling".to_string()] } else { vec![] };
        Rounding { mode, aliases, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn takes_digits(&self) -> bool {
        matches!(self.mode, Mode::Round | Mode::Truncate)
    }
}

impl ScalarUDFImpl for Rounding {
    fn name(&self) -> &str {
        match self.mode {
            Mode::Round => "round",
            Mode::Truncate => "trunc",
            Mode::Ceiling => "ceil",
            Mode::Floor => "floor",
            Mode::Sign => "sign",
        }
    }
    fn aliases(&self) -> &[String] {
        &self.aliases
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    /// A numeric stays; an integer is a double, or with digits a numeric; a text literal and NULL are doubles.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let value = |digits: bool| -> Result<DataType> {
            Ok(match &types[0] {
                t @ (DataType::Decimal128(..) | DataType::Decimal256(..)) => t.clone(),
                DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
                t if t.is_integer() && digits => DataType::Decimal128(20, 0),
                t if t.is_numeric() || matches!(t, DataType::Null | DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => {
                    DataType::Float64
                }
                other => return Err(no_function(self.name(), &other.to_string()).into()),
            })
        };
        match types.len() {
            1 => Ok(vec![value(false)?]),
            // A literal must stay one: the type of the result depends on its value.
            2 if self.takes_digits() && types[1] == DataType::Int32 => Ok(vec![value(true)?, DataType::Int32]),
            2 if self.takes_digits() && (types[1].is_integer() || types[1] == DataType::Null) => Ok(vec![value(true)?, DataType::Int64]),
            n => Err(no_function(self.name(), &format!("{n} such arguments")).into()),
        }
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(SqlError::internal("the type of a rounding depends on its digits").into())
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [value, ..] = args.arg_fields else { return Err(SqlError::internal("a rounding of nothing").into()) };
        let digits = match args.scalar_arguments.get(1) {
            None => Some(0),
            Some(literal) => literal.and_then(literal_digits),
        };
        let ty = match value.data_type() {
            DataType::Decimal128(p, s) => self.shape(*p, *s, digits).narrow(),
            DataType::Decimal256(p, s) => self.shape(*p, *s, digits).wide(),
            _ => DataType::Float64,
        };
        Ok(Arc::new(Field::new(self.name(), ty, true)))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let target = args.return_type().clone();
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let digits = arrays.get(1).map(|d| arrow::compute::cast(d, &DataType::Int64)).transpose()?;
        let digits = digits.as_ref().map(|d| d.as_primitive::<Int64Type>());
        let value = arrays.first().ok_or_else(|| SqlError::internal("a rounding of nothing"))?;
        let out: ArrayRef = match (value.data_type(), &target) {
            (DataType::Float64, _) => Arc::new(self.doubles(value.as_primitive::<Float64Type>(), digits)),
            (DataType::Decimal128(_, s), DataType::Decimal128(p, t)) => {
                Arc::new(self.decimals::<Decimal128Type>(value.as_primitive(), digits, *s, *p, *t)?)
            }
            (DataType::Decimal128(_, s), DataType::Decimal256(p, t)) => {
                let wide = arrow::compute::cast(value, &DataType::Decimal256(76, *s))?;
                Arc::new(self.decimals::<Decimal256Type>(wide.as_primitive(), digits, *s, *p, *t)?)
            }
            (DataType::Decimal256(_, s), DataType::Decimal256(p, t)) => {
                Arc::new(self.decimals::<Decimal256Type>(value.as_primitive(), digits, *s, *p, *t)?)
            }
            (from, to) => return Err(SqlError::internal(format!("{} of {from} as {to}", self.name())).into()),
        };
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}

/// Precision and scale of a result.
struct Shape {
    precision: u8,
    scale: i8,
}

impl Shape {
    fn narrow(&self) -> DataType {
        if self.precision <= 38 { DataType::Decimal128(self.precision, self.scale) } else { self.wide() }
    }
    fn wide(&self) -> DataType {
        DataType::Decimal256(self.precision, self.scale)
    }
}

impl Rounding {
    /// The type of a result: as many digits after the point as asked for, and one more before it for the carry. `None`: not known while planning.
    fn shape(&self, precision: u8, scale: i8, digits: Option<i64>) -> Shape {
        if self.mode == Mode::Sign {
            return Shape { precision: 1, scale: 0 };
        }
        let whole = (i16::from(precision) - i16::from(scale)).max(0) + 1;
        let room = (76 - whole).max(0);
        let wanted = digits.map_or(i64::from(scale), |d| d.max(0));
        let scale = i16::try_from(wanted).unwrap_or(room).min(room.max(i16::from(scale))).min(76);
        let precision = (whole + scale).min(76);
        Shape { precision: u8::try_from(precision).unwrap_or(76), scale: i8::try_from(scale).unwrap_or(76) }
    }

    fn doubles(&self, values: &PrimitiveArray<Float64Type>, digits: Option<&PrimitiveArray<Int64Type>>) -> PrimitiveArray<Float64Type> {
        let whole = |v: f64| match self.mode {
            Mode::Round => v.round_ties_even(),
            Mode::Truncate => v.trunc(),
            Mode::Ceiling => v.ceil(),
            Mode::Floor => v.floor(),
            // NaN is neither.
            Mode::Sign => f64::from(i8::from(v > 0.0) - i8::from(v < 0.0)),
        };
        match digits {
            None => values.unary(whole),
            // Not in Postgres, which wants a numeric; kept because DataFusion has it.
            Some(digits) => {
                let at = |v: f64, d: i64| {
                    let factor = 10f64.powi(i32::try_from(d.clamp(-400, 400)).unwrap_or(0));
                    let moved = v * factor;
                    let rounded = if self.mode == Mode::Round { moved.round() } else { moved.trunc() };
                    if moved.is_finite() && factor > 0.0 { rounded / factor } else { v }
                };
                values.iter().zip(digits).map(|(v, d)| Some(at(v?, d?))).collect()
            }
        }
    }

    fn decimals<T: DecimalType + ArrowPrimitiveType>(
        &self,
        values: &PrimitiveArray<T>,
        digits: Option<&PrimitiveArray<Int64Type>>,
        scale: i8,
        precision: u8,
        target: i8,
    ) -> Result<PrimitiveArray<T>>
    where
        T::Native: ArrowNativeTypeOp,
    {
        let one = |v: T::Native, d: i64| -> Result<T::Native> {
            let out = self.decimal::<T>(v, i64::from(scale), d, i64::from(target));
            out.filter(|v| T::is_valid_decimal_precision(*v, precision))
                .ok_or_else(|| SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").into())
        };
        let out: PrimitiveArray<T> = match digits {
            None => values.try_unary(|v| one(v, 0))?,
            Some(digits) => values.iter().zip(digits).map(|(v, d)| v.zip(d).map(|(v, d)| one(v, d)).transpose()).collect::<Result<_>>()?,
        };
        Ok(out.with_precision_and_scale(precision, target)?)
    }

    /// One value of `scale` digits after the point, rounded to `digits`, with `target` digits after the point. `None`: no room.
    fn decimal<T: ArrowPrimitiveType>(&self, v: T::Native, scale: i64, digits: i64, target: i64) -> Option<T::Native>
    where
        T::Native: ArrowNativeTypeOp,
    {
        let (zero, one) = (T::Native::ZERO, T::Native::ONE);
        let ten = one.add_wrapping(one).add_wrapping(one).add_wrapping(one).add_wrapping(one).mul_wrapping(one.add_wrapping(one));
        let power = |n: i64| u32::try_from(n).ok().and_then(|n| ten.pow_checked(n).ok());
        let negative = v.is_lt(zero);
        if self.mode == Mode::Sign {
            return Some(if v.is_zero() {
                zero
            } else if negative {
                zero.sub_wrapping(one)
            } else {
                one
            });
        }
        // Digits beyond those that the result keeps cannot be asked for; the scale of the result says how many it keeps.
        let digits = digits.min(target.max(0));
        if digits >= scale {
            return v.mul_checked(power(target - scale)?).ok();
        }
        // A power that does not exist is greater than twice any value: everything is rounded away.
        let (mut q, r, f) = match power(scale - digits) {
            Some(f) => (v.div_wrapping(f), v.mod_wrapping(f), Some(f)),
            None => (zero, v, None),
        };
        let away = match (self.mode, f) {
            (Mode::Round, Some(f)) => {
                let r = if negative { r.neg_wrapping() } else { r };
                // |r| < f, so f - |r| does not overflow where 2|r| could.
                r.is_ge(f.sub_wrapping(r))
            }
            (Mode::Floor, _) => negative && !r.is_zero(),
            (Mode::Ceiling, _) => !negative && !r.is_zero(),
            _ => false,
        };
        if away {
            q = if negative { q.sub_wrapping(one) } else { q.add_wrapping(one) };
        }
        if q.is_zero() {
            return Some(zero);
        }
        q.mul_checked(power(target - digits)?).ok()
    }
}

fn literal_digits(v: &ScalarValue) -> Option<i64> {
    match v.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(d)) => d,
        _ => None,
    }
}

fn no_function(name: &str, of: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} of {of} does not exist"))
        .hint("Cast the argument to numeric or double precision.".to_string())
}

fn modulo() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Modulo { signature: Signature::user_defined(Volatility::Immutable) }))
}

/// `mod(a, b)`: `a % b`, into which it turns itself.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Modulo {
    signature: Signature,
}

impl ScalarUDFImpl for Modulo {
    fn name(&self) -> &str {
        "mod"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [a, b] = types else { return Err(no_function("mod", &format!("{} arguments", types.len())).into()) };
        let (a, b) = BinaryTypeCoercer::new(a, &Operator::Modulo, b).get_input_types()?;
        Ok(vec![a, b])
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [a, b] = types else { return Err(no_function("mod", &format!("{} arguments", types.len())).into()) };
        BinaryTypeCoercer::new(a, &Operator::Modulo, b).get_result_type()
    }
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match <[Expr; 2]>::try_from(args) {
            Ok([a, b]) => ExprSimplifyResult::Simplified(Expr::BinaryExpr(BinaryExpr::new(Box::new(a), Operator::Modulo, Box::new(b)))),
            Err(args) => ExprSimplifyResult::Original(args),
        })
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [a, b] => apply(a, b, rem),
            other => Err(SqlError::internal(format!("mod with {} arguments", other.len())).into()),
        }
    }
}
