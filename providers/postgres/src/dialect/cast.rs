//! Casts, by allow-list: only those that give the same value on both sides for every input and cannot raise.

use arrow::datatypes::{DataType, TimeUnit};
use fjord_engine::pushdown::{Family, Judgement, Op, RemoteType, Scalar, Typed};

use super::PostgresDialect;
use super::array;
use super::shift::MIDNIGHT;
use super::types::{AS_WIDE, WIDEN_16, WIDEN_32, arrow_bits, as_text, call, collate_c, describe, int, numeric, plain, sound, wider_there};

impl PostgresDialect {
    /// CAST(a AS target).
    pub(super) fn cast(&self, a: &Typed, target: &DataType) -> Judgement {
        if let Some(same) = array::widened(a, target) {
            return Judgement::exact(same.scalar, same.ty);
        }
        if !sound(&a.ty) {
            return Judgement::no(format!("a cast of {} is evaluated here", describe(&a.ty)));
        }
        if a.ty.arrow == *target {
            return Judgement::exact(a.scalar.clone(), a.ty.clone());
        }
        match (&a.ty.family, target) {
            (Family::Int(_), DataType::Int32 | DataType::Int64) if wider_there(&a.ty) => already_wide(a, target),
            (Family::Int(from), DataType::Int32 | DataType::Int64) if arrow_bits(target) > Some(*from) => widen(a, *from, target),
            (Family::Int(_), DataType::Int16 | DataType::Int32) => narrow(a, target),
            // oid to bigint keeps the unsigned value; to integer it would wrap.
            (Family::UInt(32), DataType::Int64) => sent(a, plain("bigint", Family::Int(64), target.clone(), a.ty.nullable)),
            (Family::Int(bits), DataType::Decimal128(..) | DataType::Decimal256(..)) => int_to_numeric(a, *bits, target),
            (Family::Decimal(_), DataType::Decimal128(..) | DataType::Decimal256(..)) => rescale(a, target),
            // Exactly, or (bigint) rounded to the nearest double, half to even, by both.
            (Family::Int(_), DataType::Float64) if !wider_there(&a.ty) => {
                sent(a, plain("double precision", Family::Float(64), target.clone(), a.ty.nullable))
            }
            // false is 0. Postgres has these two casts for integer alone.
            (Family::Bool, DataType::Int32) => sent(a, plain("integer", Family::Int(32), target.clone(), a.ty.nullable)),
            (Family::Int(32), DataType::Boolean) if !wider_there(&a.ty) => sent(a, RemoteType::boolean(a.ty.nullable)),
            (Family::Float(32), DataType::Float64) => sent(a, plain("double precision", Family::Float(64), target.clone(), a.ty.nullable)),
            // Digits, and true / false, are written the same way.
            (Family::Int(_) | Family::Bool, DataType::Utf8) => {
                let text = collate_c(&as_text(a));
                Judgement::exact(text.scalar, text.ty)
            }
            // The day of a wall-clock time, and of an instant in UTC: what the Arrow type says. Casting infinity is an error here and a date there,
            // which only removes an error.
            (Family::Timestamp, DataType::Date32) => sent(a, plain("date", Family::Date, target.clone(), a.ty.nullable)),
            (Family::TimestampTz, DataType::Date32) if in_utc(&a.ty.arrow) => {
                let utc = at_utc(a);
                let day = call(Op::Cast, vec![utc.scalar], plain("date", Family::Date, target.clone(), a.ty.nullable));
                Judgement::rewritten(day.scalar, day.ty, "the day of a timestamptz is taken in UTC on both sides")
            }
            // Days beyond what this side holds in microseconds, and infinite ones, raise here.
            (Family::Date, DataType::Timestamp(TimeUnit::Microsecond, None)) => {
                let midnight =
                    call(Op::Source(MIDNIGHT.into()), vec![a.scalar.clone()], plain("timestamp", Family::Timestamp, target.clone(), true));
                Judgement::rewritten(midnight.scalar, midnight.ty, "guarded for infinity and the end of the range")
            }
            // The number of an array's elements.
            (Family::UInt(64), DataType::Int64) => sent(a, plain("bigint", Family::Int(64), target.clone(), a.ty.nullable)),
            _ => Judgement::no(format!("a cast of {} to {target} is not proven equal on Postgres", describe(&a.ty))),
        }
    }
}

/// An instant as the wall-clock time in UTC.
pub(super) fn at_utc(a: &Typed) -> Typed {
    let wall = DataType::Timestamp(TimeUnit::Microsecond, None);
    call(Op::Source("at_utc".into()), vec![a.scalar.clone()], plain("timestamp", Family::Timestamp, wall, a.ty.nullable))
}

pub(super) fn in_utc(t: &DataType) -> bool {
    matches!(t, DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" || &**zone == "+00:00")
}

fn sent(a: &Typed, ty: RemoteType) -> Judgement {
    Judgement::exact(Scalar::call(Op::Cast, vec![a.scalar.clone()], ty.clone()), ty)
}

/// Widening loses nothing; narrowing raises 22003 where the value does not fit.
fn widen(a: &Typed, from: u8, target: &DataType) -> Judgement {
    let Some(ty) = int(target, a.ty.nullable) else {
        return Judgement::no("no integer type of that width");
    };
    let op = match (from, &ty.family) {
        (16, Family::Int(64)) => Op::Source(WIDEN_16.into()),
        (32, Family::Int(64)) => Op::Source(WIDEN_32.into()),
        (16, Family::Int(32)) => Op::Cast,
        _ => return Judgement::no(format!("a cast of {} to {} could raise at the source", a.ty.name, ty.name)),
    };
    let made = call(op, vec![a.scalar.clone()], ty);
    Judgement::exact(made.scalar, made.ty)
}

/// Narrowing raises 22003 for a value that does not fit. So nothing is cast at the source: the value travels and compares as wide as it is, and the reader
/// checks each one that arrives.
fn narrow(a: &Typed, target: &DataType) -> Judgement {
    let ty = RemoteType { arrow: target.clone(), ..a.ty.clone() };
    let wide = call(Op::Source(AS_WIDE.into()), vec![a.scalar.clone()], ty);
    Judgement::rewritten(
        wide.scalar,
        wide.ty,
        format!("{} stays so at the source, where a cast could raise; checked as it arrives", a.ty.name),
    )
}

/// What is a bigint at the source already only changes its promise.
fn already_wide(a: &Typed, target: &DataType) -> Judgement {
    match (arrow_bits(&a.ty.arrow), arrow_bits(target)) {
        (Some(from), Some(to)) if to >= from => Judgement::exact(a.scalar.clone(), RemoteType { arrow: target.clone(), ..a.ty.clone() }),
        _ => Judgement::no(format!("a cast of {} to {target} could raise at the source", a.ty.name)),
    }
}

/// An integer is a numeric exactly, if the decimal that it becomes here has room for every digit: else this side raises, that side does not.
fn int_to_numeric(a: &Typed, bits: u8, target: &DataType) -> Judgement {
    let digits = match bits {
        16 => 5,
        32 => 10,
        _ => 19,
    };
    match whole_digits(target) {
        Some((whole, scale)) if whole >= digits && scale >= 0 => sent(a, numeric(target, a.ty.nullable)),
        _ => Judgement::no(format!("not every {} fits into {target}", a.ty.name)),
    }
}

/// More room before and after the point changes nothing of the value: no cast is sent at all.
fn rescale(a: &Typed, target: &DataType) -> Judgement {
    match (whole_digits(&a.ty.arrow), whole_digits(target)) {
        (Some((from_whole, from_scale)), Some((to_whole, to_scale))) if to_whole >= from_whole && to_scale >= from_scale => {
            let ty = numeric(target, a.ty.nullable);
            let made = call(Op::Source("same_numeric".into()), vec![a.scalar.clone()], ty);
            Judgement::exact(made.scalar, made.ty)
        }
        _ => Judgement::no("a cast that rounds or cuts a numeric is evaluated here"),
    }
}

fn whole_digits(t: &DataType) -> Option<(i32, i32)> {
    match t {
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Some((i32::from(*p) - i32::from(*s), i32::from(*s))),
        _ => None,
    }
}
