//! Types of expressions: constructors, the check that a type arrives as pushdown believes, and what a literal is.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use fjord_engine::pushdown::{Equality, Family, Op, Order, RemoteType, Scalar, TextFacts, Typed, Value};

/// `x::bigint` of a smallint. The name keeps the source's range, which a later sum needs to prove that it cannot overflow.
pub(crate) const WIDEN_16: &str = "widen16";
/// `x::bigint` of an integer.
pub(crate) const WIDEN_32: &str = "widen32";

/// An integer that is cast to a narrower one here and stays as it is there: its range is still the wide one.
pub(crate) const AS_WIDE: &str = "as_wide";

/// First and last day that Postgres's `date` holds, as days since 1970: 4714-11-24 BC and 5874897-12-31 (`datatype/timestamp.h`).
const DATE_DAYS: (i32, i32) = (-2_440_588, 2_145_042_905);
/// First microsecond that Postgres's `timestamp` holds, since 1970. Its last is beyond what 64 bits of microseconds since 1970 hold.
const TIMESTAMP_MIN: i64 = -210_866_803_200_000_000;
/// `24:00:00`, the greatest `time`.
const TIME_MAX: i64 = 86_400_000_000;

/// A built-in type without collation.
pub(super) fn plain(name: &str, family: Family, arrow: DataType, nullable: bool) -> RemoteType {
    RemoteType { name: name.into(), family, arrow, nullable, text: None }
}

/// The signed integer type that arrives as `arrow`.
pub(super) fn int(arrow: &DataType, nullable: bool) -> Option<RemoteType> {
    let (name, bits) = match arrow {
        DataType::Int16 => ("smallint", 16),
        DataType::Int32 => ("integer", 32),
        DataType::Int64 => ("bigint", 64),
        _ => return None,
    };
    Some(plain(name, Family::Int(bits), arrow.clone(), nullable))
}

/// `numeric` that arrives as `arrow`, a decimal.
pub(super) fn numeric(arrow: &DataType, nullable: bool) -> RemoteType {
    let family = match arrow {
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Family::Decimal(Some((*p, *s))),
        _ => Family::Decimal(None),
    };
    plain("numeric", family, arrow.clone(), nullable)
}

/// A text whose equality and order are those of its bytes, because it says COLLATE "C".
pub(super) fn c_text(nullable: bool) -> RemoteType {
    RemoteType {
        name: "text".into(),
        family: Family::Text,
        arrow: DataType::Utf8,
        nullable,
        text: Some(TextFacts { equality: Equality::Bytewise, order: Order::Bytes, pads: false, collation: "C".into() }),
    }
}

/// A typed call.
pub(super) fn call(op: Op, args: Vec<Scalar>, ty: RemoteType) -> Typed {
    Typed { scalar: Scalar::call(op, args, ty.clone()), ty }
}

/// `x::text`. What collation it has is not followed: always put [`collate_c`] around it before it is compared.
pub(super) fn as_text(a: &Typed) -> Typed {
    let mut ty = c_text(a.ty.nullable);
    ty.text = None;
    call(Op::Source("as_text".into()), vec![a.scalar.clone()], ty)
}

/// `x COLLATE "C"`, once.
pub(super) fn collate_c(a: &Typed) -> Typed {
    if matches!(&a.scalar, Scalar::Call { op: Op::Source(name), .. } if name == "collate_c") {
        return a.clone();
    }
    call(Op::Source("collate_c".into()), vec![a.scalar.clone()], c_text(a.ty.nullable))
}

/// Whether values of the type arrive as the Arrow type that the family promises. A numeric read as text, for example, is compared as text here and
/// as a number there: nothing on it may be pushed.
pub(super) fn sound(ty: &RemoteType) -> bool {
    match &ty.family {
        Family::Bool => ty.arrow == DataType::Boolean,
        // Wider at the source than here: arithmetic that must not overflow there. The reader checks each value (22003).
        Family::Int(bits @ (16 | 32 | 64)) => arrow_bits(&ty.arrow).is_some_and(|here| here <= *bits),
        Family::UInt(32) => ty.arrow == DataType::UInt32,
        Family::UInt(64) => ty.arrow == DataType::UInt64,
        Family::Float(32) => ty.arrow == DataType::Float32,
        Family::Float(64) => ty.arrow == DataType::Float64,
        Family::Decimal(_) => matches!(ty.arrow, DataType::Decimal128(..) | DataType::Decimal256(..)),
        Family::Text | Family::Bpchar | Family::Citext | Family::Enum(_) | Family::Uuid | Family::Json | Family::Jsonb => {
            ty.arrow == DataType::Utf8
        }
        Family::Bytes => ty.arrow == DataType::Binary,
        Family::Date => ty.arrow == DataType::Date32,
        Family::Time => ty.arrow == DataType::Time64(TimeUnit::Microsecond),
        Family::Timestamp => ty.arrow == DataType::Timestamp(TimeUnit::Microsecond, None),
        Family::TimestampTz => matches!(ty.arrow, DataType::Timestamp(TimeUnit::Microsecond, Some(_))),
        Family::Interval => ty.arrow == DataType::Interval(IntervalUnit::MonthDayNano),
        Family::Int(_) | Family::UInt(_) | Family::Float(_) | Family::Array(_) | Family::Other => false,
    }
}

/// The bits of a signed integer.
pub(super) fn arrow_bits(t: &DataType) -> Option<u8> {
    match t {
        DataType::Int16 => Some(16),
        DataType::Int32 => Some(32),
        DataType::Int64 => Some(64),
        _ => None,
    }
}

/// An integer that is computed wider at the source than its type here.
pub(super) fn wider_there(ty: &RemoteType) -> bool {
    matches!((&ty.family, arrow_bits(&ty.arrow)), (Family::Int(there), Some(here)) if *there > here)
}

/// Read here as text, whatever it is there.
pub(super) fn texty(ty: &RemoteType) -> bool {
    matches!(ty.family, Family::Text | Family::Bpchar | Family::Citext | Family::Enum(_) | Family::Uuid | Family::Json | Family::Jsonb)
        && sound(ty)
}

/// For reasons: the type's name, with the collation where it has one.
pub(super) fn describe(ty: &RemoteType) -> String {
    match &ty.text {
        Some(facts) => format!("{} (collation \"{}\")", ty.name, facts.collation),
        None => ty.name.clone(),
    }
}

/// The type in which a literal meets Postgres, or why there is none.
pub(super) fn literal_type(value: &Value, arrow: &DataType) -> Result<RemoteType, String> {
    let nullable = matches!(value, Value::Null);
    let ty = match arrow {
        DataType::Null => plain("text", Family::Text, DataType::Utf8, true),
        DataType::Boolean => plain("boolean", Family::Bool, arrow.clone(), nullable),
        DataType::Int16 | DataType::Int32 | DataType::Int64 => int(arrow, nullable).ok_or("no integer")?,
        DataType::UInt32 => plain("oid", Family::UInt(32), arrow.clone(), nullable),
        // No type of Postgres is one; what meets it counts elements.
        DataType::UInt64 => plain("bigint", Family::UInt(64), arrow.clone(), nullable),
        DataType::Float32 => plain("real", Family::Float(32), arrow.clone(), nullable),
        DataType::Float64 => plain("double precision", Family::Float(64), arrow.clone(), nullable),
        DataType::Decimal128(..) | DataType::Decimal256(..) => numeric(arrow, nullable),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => plain("text", Family::Text, DataType::Utf8, nullable),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => plain("bytea", Family::Bytes, DataType::Binary, nullable),
        DataType::Date32 => plain("date", Family::Date, arrow.clone(), nullable),
        DataType::Time64(TimeUnit::Microsecond) => plain("time", Family::Time, arrow.clone(), nullable),
        DataType::Timestamp(TimeUnit::Microsecond, None) => plain("timestamp", Family::Timestamp, arrow.clone(), nullable),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => plain("timestamptz", Family::TimestampTz, arrow.clone(), nullable),
        DataType::Interval(IntervalUnit::MonthDayNano) => plain("interval", Family::Interval, arrow.clone(), nullable),
        DataType::List(item) => {
            if let Value::List(items) = value {
                items.iter().try_for_each(|v| literal_type(v, item.data_type()).map(|_| ()))?;
            }
            let element = literal_type(&Value::Null, item.data_type())?;
            plain(&format!("{}[]", element.name), Family::Array(Box::new(element)), arrow.clone(), nullable)
        }
        other => return Err(format!("a literal of type {other} has no exact counterpart in Postgres")),
    };
    if fits(value, &ty.family) { Ok(ty) } else { Err(format!("the literal is outside of what Postgres's {} holds", ty.name)) }
}

/// A literal that its column's type cannot hold would raise at the source: it is never sent.
fn fits(value: &Value, family: &Family) -> bool {
    match (value, family) {
        (Value::Null, _) | (Value::Bool(_), Family::Bool) | (Value::Text(_), Family::Text) | (Value::Bytes(_), Family::Bytes) => true,
        (Value::Int(v), Family::Int(16)) => i16::try_from(*v).is_ok(),
        (Value::Int(v), Family::Int(32) | Family::Date) => i32::try_from(*v).is_ok(),
        (Value::Int(_), Family::Int(64)) => true,
        (Value::UInt(v), Family::UInt(32)) => u32::try_from(*v).is_ok(),
        (Value::Int(v), Family::UInt(32)) => u32::try_from(*v).is_ok(),
        (Value::UInt(v), Family::Int(64) | Family::UInt(64)) => i64::try_from(*v).is_ok(),
        (Value::Float32(_), Family::Float(32)) | (Value::Float64(_), Family::Float(64)) => true,
        (Value::Decimal(digits), Family::Decimal(_)) => plain_digits(digits),
        (Value::Date(d), Family::Date) => matches!(*d, i32::MIN | i32::MAX) || (DATE_DAYS.0..=DATE_DAYS.1).contains(d),
        (Value::Time(t), Family::Time) => (0..=TIME_MAX).contains(t),
        (Value::Timestamp(t), Family::Timestamp) | (Value::TimestampTz(t), Family::TimestampTz) => *t == i64::MIN || *t >= TIMESTAMP_MIN,
        (Value::Interval(..), Family::Interval) | (Value::List(_), Family::Array(_)) => true,
        _ => false,
    }
}

/// `-12.50`: an optional sign, digits, at most one point, at least one digit.
pub(crate) fn plain_digits(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    !(whole.is_empty() && fraction.is_empty()) && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits() {
        for good in ["0", "-12.50", "0.1", ".5", "5."] {
            assert!(plain_digits(good), "{good}");
        }
        for bad in ["", "-", ".", "1e5", "NaN", "1.2.3", "--1", "1;"] {
            assert!(!plain_digits(bad), "{bad}");
        }
    }

    #[test]
    fn literals_outside_of_postgres_are_not_sent() {
        assert!(literal_type(&Value::Date(-2_440_589), &DataType::Date32).is_err());
        assert!(literal_type(&Value::Date(i32::MAX), &DataType::Date32).is_ok());
        assert!(literal_type(&Value::Timestamp(TIMESTAMP_MIN - 1), &DataType::Timestamp(TimeUnit::Microsecond, None)).is_err());
        assert!(literal_type(&Value::Int(-1), &DataType::UInt32).is_err());
        assert!(literal_type(&Value::Int(40_000), &DataType::Int16).is_err());
    }
}
