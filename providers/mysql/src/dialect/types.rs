//! Types of expressions: constructors, the check that a type arrives as pushdown believes, the form in which a column counts as a value, and what
//! a literal is.

use arrow::datatypes::{DataType, TimeUnit};
use fjord_engine::pushdown::{Family, Op, RemoteType, Scalar, Typed, Value};

use super::dates;
use crate::types::{DECIMAL_DIGITS_MAX, utc};

/// Operators that only this dialect makes; the renderer knows them by these names.
pub(crate) mod form {
    /// The bytes of a text whose character set is part of UTF-8.
    pub(crate) const BYTES: &str = "bytes";
    /// The bytes of a text after its conversion to UTF-8.
    pub(crate) const BYTES_CONVERTED: &str = "bytes_converted";
    /// A text under a collation that tells all characters apart, for LIKE.
    pub(crate) const CHARACTERS: &str = "characters";
    /// The same after its conversion to UTF-8.
    pub(crate) const CHARACTERS_CONVERTED: &str = "characters_converted";
    /// `x <> 0`.
    pub(crate) const TRUTH: &str = "truth";
    /// `CAST(x AS SIGNED)`.
    pub(crate) const SIGNED: &str = "signed";
    /// `CAST(x AS UNSIGNED)`.
    pub(crate) const UNSIGNED: &str = "unsigned";
    /// A date that is none as NULL.
    pub(crate) const REAL_DATE: &str = "real_date";
    /// Whether a date is one; NULL for NULL and for some that are none.
    pub(crate) const VALID: &str = "valid";
    /// A number of a wider type, which at the source is the number as it is.
    pub(crate) const WIDE: &str = "wide";
    /// `CAST(x AS DATETIME(6))`.
    pub(crate) const DATETIME: &str = "datetime";
    /// `EXTRACT(field FROM x)` and its like; what follows the colon is the field.
    pub(crate) const EXTRACT: &str = "extract:";
    /// The beginning of a span of time; what follows the colon is the unit.
    pub(crate) const TRUNCATE: &str = "truncate:";
}

/// Digits behind the point that the servers' decimals have at most.
const SCALE_MAX: usize = 30;
/// 1000-01-01 and 9999-12-31, between which the servers promise that a date works, as days since 1970.
const DAYS: (i32, i32) = (-354_285, 2_932_896);
const DAY_MICROS: i64 = 86_400_000_000;
/// The longest text or bytes that are sent as one literal.
const LITERAL_BYTES_MAX: usize = 1 << 20;

/// A typed call.
pub(super) fn call(op: Op, args: Vec<Scalar>, ty: RemoteType) -> Typed {
    Typed { scalar: Scalar::call(op, args, ty.clone()), ty }
}

/// One of [`form`] over an expression.
pub(super) fn source(name: &str, a: &Typed, ty: RemoteType) -> Typed {
    call(Op::Source(name.into()), vec![a.scalar.clone()], ty)
}

/// A type without collation.
pub(super) fn plain(name: &str, family: Family, arrow: DataType, nullable: bool) -> RemoteType {
    RemoteType { name: name.into(), family, arrow, nullable, text: None }
}

/// The expression as a value: what the reader makes of it. A zero date is NULL, a boolean is true or false, a year is the number of four digits.
///
/// Without it: `y = 24` finds the year 2024, `b = true` does not find the boolean 2, zero dates are counted and come first in a sort.
pub(super) fn clean(a: &Typed) -> Typed {
    if a.literal().is_some() {
        return a.clone();
    }
    match &a.ty.family {
        Family::Bool if a.ty.name != "boolean" => source(form::TRUTH, a, RemoteType::boolean(a.ty.nullable)),
        Family::Int(_) if a.ty.name.starts_with("year") => source(form::SIGNED, a, RemoteType { name: "smallint".into(), ..a.ty.clone() }),
        Family::UInt(_) if a.ty.name.starts_with("bit") => {
            source(form::UNSIGNED, a, RemoteType { name: "bigint unsigned".into(), ..a.ty.clone() })
        }
        Family::Date | Family::Timestamp | Family::TimestampTz => dates::real(a),
        _ => a.clone(),
    }
}

/// Whether values of the type arrive as the Arrow type that the family promises.
pub(super) fn sound(ty: &RemoteType) -> bool {
    match &ty.family {
        Family::Bool => ty.arrow == DataType::Boolean,
        // Wider at the source than here: arithmetic that must not overflow there. The reader checks each value.
        Family::Int(bits) => ty.arrow.is_signed_integer() && ty.arrow.primitive_width().is_some_and(|w| w * 8 <= usize::from(*bits)),
        Family::UInt(bits) => ty.arrow.is_unsigned_integer() && ty.arrow.primitive_width().is_some_and(|w| w * 8 == usize::from(*bits)),
        Family::Float(32) => ty.arrow == DataType::Float32,
        Family::Float(64) => ty.arrow == DataType::Float64,
        Family::Decimal(_) => matches!(ty.arrow, DataType::Decimal128(..) | DataType::Decimal256(..)),
        Family::Text | Family::Enum(_) => ty.arrow == DataType::Utf8,
        Family::Bytes => ty.arrow == DataType::Binary,
        Family::Date => ty.arrow == DataType::Date32,
        Family::Time => ty.arrow == DataType::Time64(TimeUnit::Microsecond),
        Family::Timestamp => ty.arrow == DataType::Timestamp(TimeUnit::Microsecond, None),
        Family::TimestampTz => ty.arrow == utc(),
        _ => false,
    }
}

/// Read here as text and compared as text there.
pub(super) fn texty(ty: &RemoteType) -> bool {
    matches!(ty.family, Family::Text | Family::Enum(_)) && sound(ty)
}

/// For reasons: the type's name, with the collation where it has one.
pub(super) fn describe(ty: &RemoteType) -> String {
    match &ty.text {
        Some(facts) => format!("{} ({})", ty.name, facts.collation),
        None => ty.name.clone(),
    }
}

/// The type in which a literal meets the source, or why it cannot be sent.
pub(super) fn literal_type(value: &Value, arrow: &DataType) -> Result<RemoteType, String> {
    let nullable = matches!(value, Value::Null);
    let bits = |t: &DataType| t.primitive_width().and_then(|w| u8::try_from(w * 8).ok()).unwrap_or(64);
    let (name, family, arrow) = match arrow {
        DataType::Null => ("text", Family::Text, DataType::Utf8),
        DataType::Boolean => ("boolean", Family::Bool, DataType::Boolean),
        t if t.is_signed_integer() => ("bigint", Family::Int(bits(t)), t.clone()),
        t if t.is_unsigned_integer() => ("bigint unsigned", Family::UInt(bits(t)), t.clone()),
        DataType::Float32 => return Err("a FLOAT is compared here: the source computes with it as DOUBLE".into()),
        DataType::Float64 => ("double", Family::Float(64), DataType::Float64),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => ("decimal", Family::Decimal(Some((*p, *s))), arrow.clone()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ("text", Family::Text, DataType::Utf8),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => ("blob", Family::Bytes, DataType::Binary),
        DataType::Date32 => ("date", Family::Date, DataType::Date32),
        DataType::Time64(TimeUnit::Microsecond) => ("time", Family::Time, arrow.clone()),
        DataType::Timestamp(TimeUnit::Microsecond, None) => ("datetime", Family::Timestamp, arrow.clone()),
        t if *t == utc() => ("timestamp", Family::TimestampTz, utc()),
        other => return Err(format!("a literal of type {other} is not sent")),
    };
    sendable(value)?;
    Ok(plain(name, family, arrow, nullable))
}

/// A literal that the source could not hold, or might read as another.
fn sendable(value: &Value) -> Result<(), String> {
    let dates = "a date outside of the years 1000 to 9999 is compared here";
    match value {
        Value::Float64(bits) if !f64::from_bits(*bits).is_finite() => Err("the source has no NaN and no infinity".into()),
        Value::Decimal(digits) => {
            let fraction = digits.split_once('.').map_or(0, |(_, f)| f.len());
            let count = digits.bytes().filter(u8::is_ascii_digit).count();
            let plain = digits.strip_prefix('-').unwrap_or(digits).bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let fits = count <= usize::from(DECIMAL_DIGITS_MAX) && fraction <= SCALE_MAX && plain;
            if fits { Ok(()) } else { Err("a decimal of more than 65 digits, or 30 behind the point, is compared here".into()) }
        }
        Value::Text(s) if s.len() > LITERAL_BYTES_MAX => Err("a text of more than 1 MiB is compared here".into()),
        Value::Bytes(b) if b.len() > LITERAL_BYTES_MAX => Err("bytes of more than 1 MiB are compared here".into()),
        Value::Date(d) if !(DAYS.0..=DAYS.1).contains(d) => Err(dates.into()),
        Value::Timestamp(t) | Value::TimestampTz(t) => {
            let day = t.div_euclid(DAY_MICROS);
            if (i64::from(DAYS.0)..=i64::from(DAYS.1)).contains(&day) { Ok(()) } else { Err(dates.into()) }
        }
        Value::Time(t) if !(0..=DAY_MICROS).contains(t) => Err("a time outside of a day is compared here".into()),
        Value::Interval(..) | Value::List(_) => Err("intervals and arrays are compared here".into()),
        _ => Ok(()),
    }
}

/// The number in `varchar(255)`, `binary(16)`.
pub(super) fn declared_length(ty: &RemoteType) -> Option<usize> {
    let (_, rest) = ty.name.split_once('(')?;
    rest.split_once(')')?.0.parse().ok()
}
