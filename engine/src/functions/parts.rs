//! `extract` and `date_part`: seconds with their fraction, years without a year 0, decades, centuries and millennia.
//!
//! DataFusion 55 gives whole seconds and counts years as astronomers do. In Postgres `extract` is numeric and `date_part` a double; here that holds of
//! the fields that may have a fraction (second, milliseconds, epoch) and of microseconds, and the others are integers, as which a source takes them over.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Builder, Float64Builder, Int32Array, IntervalMonthDayNanoArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Field, FieldRef, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::datetime::date_part::DatePartFunc;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use crate::error::{SqlError, SqlState};
use crate::values::{USECS_PER_DAY, USECS_PER_SEC, Zone, days_and_rest};

/// The name of `extract` where it is not `date_part`.
pub(crate) const EXTRACT: &str = "fjord_extract";

/// The functions, to be registered over DataFusion's.
pub(super) fn all() -> [Arc<ScalarUDF>; 2] {
    static ALL: LazyLock<[Arc<ScalarUDF>; 2]> =
        LazyLock::new(|| [true, false].map(|exact| Arc::new(ScalarUDF::new_from_impl(Part { exact, inner: DatePartFunc::new() }))));
    ALL.clone()
}

/// Plans `extract(field FROM x)`.
#[derive(Debug)]
pub(crate) struct Extracts;

impl ExprPlanner for Extracts {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let exact = match args.first() {
            Some(Expr::Literal(field, _)) => matches!(field.try_as_str().flatten().map(Unit::of), Some(Unit::Fraction(_))),
            _ => false,
        };
        let [extract, date_part] = all();
        let function = if exact { extract } else { date_part };
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))))
    }
}

/// A field that may have a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fraction {
    Second,
    Milliseconds,
    Microseconds,
    Epoch,
}

impl Fraction {
    /// Digits after the point: so many that a value counts microseconds.
    fn scale(self) -> i8 {
        match self {
            Fraction::Second | Fraction::Epoch => 6,
            Fraction::Milliseconds => 3,
            Fraction::Microseconds => 0,
        }
    }
}

/// Years of which so many make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    Year,
    Decade,
    Century,
    Millennium,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Fraction(Fraction),
    Era(Era),
    /// As DataFusion has it.
    Whole,
}

impl Unit {
    /// By Postgres's names (`deltatktbl` of datetime.c).
    fn of(name: &str) -> Unit {
        match name.trim().to_ascii_lowercase().as_str() {
            "second" | "seconds" | "sec" | "secs" | "s" => Unit::Fraction(Fraction::Second),
            "millisecond" | "milliseconds" | "msecond" | "mseconds" | "msec" | "msecs" | "ms" => Unit::Fraction(Fraction::Milliseconds),
            "microsecond" | "microseconds" | "usecond" | "useconds" | "usec" | "usecs" | "us" => Unit::Fraction(Fraction::Microseconds),
            "epoch" => Unit::Fraction(Fraction::Epoch),
            "year" | "years" | "y" | "yr" | "yrs" => Unit::Era(Era::Year),
            "decade" | "decades" | "dec" | "decs" => Unit::Era(Era::Decade),
            "century" | "centuries" | "cent" | "c" => Unit::Era(Era::Century),
            "millennium" | "millennia" | "mil" | "mils" => Unit::Era(Era::Millennium),
            _ => Unit::Whole,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Part {
    /// A numeric where a fraction is possible, else a double.
    exact: bool,
    inner: DatePartFunc,
}

fn unit_of(field: Option<&ScalarValue>) -> Unit {
    field.and_then(|f| f.try_as_str().flatten()).map_or(Unit::Whole, Unit::of)
}

impl ScalarUDFImpl for Part {
    fn name(&self) -> &str {
        if self.exact { EXTRACT } else { "date_part" }
    }
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(SqlError::internal("the type of a part depends on its field").into())
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let ty = match unit_of(args.scalar_arguments.first().copied().flatten()) {
            Unit::Fraction(Fraction::Epoch) if self.exact && args.arg_fields.get(1).is_some_and(|f| is_day(f.data_type())) => DAYS_EPOCH,
            Unit::Fraction(f) if self.exact => DataType::Decimal128(38, f.scale()),
            Unit::Fraction(_) => DataType::Float64,
            Unit::Era(_) => DataType::Int32,
            Unit::Whole => return self.inner.return_field_from_args(args),
        };
        Ok(Arc::new(Field::new(self.name(), ty, true)))
    }
    fn preimage(&self, args: &[Expr], literal: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        // `year = 2024` is a range of days; the calendar's years are those of DataFusion from the first on.
        let after_christ = matches!(literal, Expr::Literal(ScalarValue::Int32(Some(1..)), _));
        if after_christ { self.inner.preimage(args, literal, info) } else { Ok(PreimageResult::None) }
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let field = match args.args.first() {
            Some(ColumnarValue::Scalar(s)) => s.clone(),
            _ => return self.inner.invoke_with_args(args),
        };
        match unit_of(Some(&field)) {
            Unit::Whole => self.inner.invoke_with_args(args),
            Unit::Era(era) => self.era(era, args),
            Unit::Fraction(fraction) => self.fraction(fraction, &field, &args),
        }
    }
}

impl Part {
    fn era(&self, era: Era, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(first) = args.args.first_mut() {
            *first = ColumnarValue::Scalar(ScalarValue::from("year"));
        }
        let interval = args.args.get(1).is_some_and(|a| matches!(a.data_type(), DataType::Interval(_)));
        let rows = args.number_rows;
        let years = self.inner.invoke_with_args(args)?;
        let one = matches!(years, ColumnarValue::Scalar(_));
        let years = years.to_array(if one { 1 } else { rows })?;
        // The year before 1 is 1 BC, which is -1. Of an interval, years are years.
        let of = |y: i32| match era {
            Era::Year if interval || y > 0 => y,
            Era::Year => y - 1,
            Era::Decade if interval => y / 10,
            Era::Century if interval => y / 100,
            Era::Millennium if interval => y / 1_000,
            Era::Decade if y >= 0 => y / 10,
            Era::Decade => -((8 - (y - 1)) / 10),
            Era::Century if y > 0 => (y + 99) / 100,
            Era::Century => -((99 - (y - 1)) / 100),
            Era::Millennium if y > 0 => (y + 999) / 1_000,
            Era::Millennium => -((999 - (y - 1)) / 1_000),
        };
        let out: Int32Array = years.as_primitive::<Int32Type>().unary(of);
        given(Arc::new(out), one)
    }

    fn fraction(&self, fraction: Fraction, field: &ScalarValue, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.get(1) else { return Err(SqlError::internal(format!("{} of nothing", self.name())).into()) };
        let one = matches!(value, ColumnarValue::Scalar(_));
        let values = value.to_array(if one { 1 } else { args.number_rows })?;
        let values = held(&values)?;
        let micros = (0..values.len()).map(|i| if values.is_null(i) { Ok(None) } else { micros(fraction, field, &values, i) });
        let micros = micros.collect::<Result<Vec<Option<i128>>>>()?;
        if !self.exact {
            let mut out = Float64Builder::with_capacity(micros.len());
            let unit = 10f64.powi(i32::from(fraction.scale()));
            micros.iter().for_each(|m| out.append_option(m.map(|m| m as f64 / unit)));
            return given(Arc::new(out.finish()), one);
        }
        // Days have whole seconds.
        let days = fraction == Fraction::Epoch && is_day(values.data_type());
        let (scale, unit) = if days { (0, i128::from(USECS_PER_SEC)) } else { (fraction.scale(), 1) };
        let mut out = Decimal128Builder::with_capacity(micros.len()).with_precision_and_scale(38, scale)?;
        micros.iter().for_each(|m| out.append_option(m.map(|m| m / unit)));
        given(Arc::new(out.finish()), one)
    }
}

/// The type of a day's epoch.
const DAYS_EPOCH: DataType = DataType::Decimal128(38, 0);

fn is_day(t: &DataType) -> bool {
    matches!(t, DataType::Date32 | DataType::Date64)
}

fn given(out: ArrayRef, one: bool) -> Result<ColumnarValue> {
    Ok(if one { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
}

/// In microseconds, as Fjord holds what has a clock.
fn held(values: &ArrayRef) -> Result<ArrayRef> {
    use arrow::datatypes::TimeUnit::Microsecond;
    let to = match values.data_type() {
        DataType::Timestamp(unit, zone) if *unit != Microsecond => DataType::Timestamp(Microsecond, zone.clone()),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(Microsecond),
        DataType::Date64 => DataType::Date32,
        // The time between two timestamps is told in days and what is left.
        DataType::Duration(_) => {
            let usecs = arrow::compute::cast(values, &DataType::Duration(Microsecond))?;
            let spans = usecs.as_primitive::<DurationMicrosecondType>().iter().map(|v| {
                let (days, rest) = days_and_rest(v?);
                Some(IntervalMonthDayNano::new(0, days, rest * 1_000))
            });
            return Ok(Arc::new(spans.collect::<IntervalMonthDayNanoArray>()));
        }
        DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        other => other.clone(),
    };
    Ok(arrow::compute::cast(values, &to)?)
}

/// The field's value in microseconds of its unit; `None`: an infinity has no such field.
fn micros(fraction: Fraction, field: &ScalarValue, values: &ArrayRef, i: usize) -> Result<Option<i128>> {
    let infinite = |v: bool| match (v, fraction) {
        (false, _) => Ok(false),
        (true, Fraction::Epoch) => {
            let e =
                SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "the epoch of an infinity is infinity, which Fjord's numeric has not");
            Err(e.hint("Leave infinities out: WHERE isfinite(x)."))
        }
        (true, _) => Ok(true),
    };
    let minute = i128::from(60 * USECS_PER_SEC);
    let (clock, epoch) = match values.data_type() {
        DataType::Timestamp(_, zone) => {
            let utc = values.as_primitive::<TimestampMicrosecondType>().value(i);
            if infinite(matches!(utc, i64::MIN | i64::MAX))? {
                return Ok(None);
            }
            // Offsets before the railways have seconds.
            let zone = zone.as_deref().and_then(Zone::lookup).unwrap_or(Zone::Utc);
            let offset = i128::from(zone.offset_at(utc.div_euclid(USECS_PER_SEC))) * i128::from(USECS_PER_SEC);
            (i128::from(utc) + offset, i128::from(utc))
        }
        DataType::Date32 => {
            let days = values.as_primitive::<Date32Type>().value(i);
            if fraction != Fraction::Epoch {
                let field = field.try_as_str().flatten().unwrap_or_default();
                return Err(SqlError::unsupported(format!("unit \"{field}\" not supported for type date")).into());
            }
            infinite(matches!(days, i32::MIN | i32::MAX))?;
            (0, i128::from(days) * i128::from(USECS_PER_DAY))
        }
        DataType::Time64(_) => {
            let time = i128::from(values.as_primitive::<Time64MicrosecondType>().value(i));
            (time, time)
        }
        DataType::Interval(_) => {
            let v = values.as_primitive::<IntervalMonthDayNanoType>().value(i);
            let time = i128::from(v.nanoseconds.div_euclid(1_000));
            let (years, months) = (i128::from(v.months / 12), i128::from(v.months % 12));
            // A year of 365.25 days, a month of 30 (interval_part_common of timestamp.c).
            let seconds = years * 31_557_600 + months * 2_592_000 + i128::from(v.days) * 86_400;
            return Ok(Some(match fraction {
                Fraction::Epoch => seconds * i128::from(USECS_PER_SEC) + time,
                _ => time % minute,
            }));
        }
        other => return Err(SqlError::internal(format!("a part of {other}")).into()),
    };
    Ok(Some(if fraction == Fraction::Epoch { epoch } else { clock.rem_euclid(minute) }))
}
