//! Casts, by allow-list: those that change nothing at the source, and a date to a time stamp.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Judgement, RemoteType, Typed};

use super::dates::{self, ZERO_DATES};
use super::types::{clean, describe, form, plain, sound, source, texty};

/// CAST(a AS result).
pub(super) fn cast(a: &Typed, result: &DataType) -> Judgement {
    if !sound(&a.ty) || a.literal().is_some() {
        return Judgement::no(format!("a cast of {} is evaluated here", describe(&a.ty)));
    }
    if a.ty.arrow == *result {
        return Judgement::exact(a.scalar.clone(), a.ty.clone());
    }
    match (&a.ty.family, result) {
        (Family::Int(_) | Family::UInt(_) | Family::Decimal(_), to) => match widened(&a.ty, to) {
            Some(family) => {
                let form = clean(a);
                let name = match form.ty.name.starts_with(WIDE_FROM) {
                    true => form.ty.name.clone(),
                    false => format!("{WIDE_FROM}{}", form.ty.name),
                };
                let made = source(form::WIDE, &form, RemoteType { name, family, arrow: to.clone(), nullable: a.ty.nullable, text: None });
                Judgement::exact(made.scalar, made.ty)
            }
            None => Judgement::no(format!("a cast of {} to {to} is evaluated here", describe(&a.ty))),
        },
        (Family::Text | Family::Enum(_), DataType::Utf8) if texty(&a.ty) => Judgement::exact(a.scalar.clone(), a.ty.clone()),
        (Family::Date, DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)) => {
            let real = dates::real(a);
            let made = source(form::DATETIME, &real, plain("real datetime", Family::Timestamp, result.clone(), true));
            Judgement::rewritten(made.scalar, made.ty, ZERO_DATES)
        }
        (_, to) => Judgement::no(format!("a cast of {} to {to} is evaluated here", describe(&a.ty))),
    }
}

/// Begins the name of a number's type that was widened, before the name that it had: at the source it is that number still.
pub(super) const WIDE_FROM: &str = "wide from ";

/// The family of a number in a type that holds every value of its own; at the source it stays as it is.
fn widened(ty: &RemoteType, to: &DataType) -> Option<Family> {
    let digits = |t: &DataType| match t {
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Some((i32::from(*p), i32::from(*s))),
        _ => None,
    };
    let bits = |t: &DataType| t.primitive_width().and_then(|w| u8::try_from(w * 8).ok());
    let (here, there) = (bits(&ty.arrow)?, bits(to).unwrap_or(0));
    match &ty.family {
        Family::Int(b) if to.is_signed_integer() && there >= here => Some(Family::Int(there.max(*b))),
        // Arithmetic of ours may be wider at the source than its type here.
        Family::Int(b) | Family::UInt(b) if *b != here => None,
        Family::UInt(_) if to.is_unsigned_integer() && there >= here => Some(Family::UInt(there)),
        Family::UInt(_) if to.is_signed_integer() && there > here => Some(Family::Int(there)),
        Family::Int(_) | Family::UInt(_) => {
            let (p, s) = digits(to)?;
            let needed = match here {
                8 => 3,
                16 => 5,
                32 => 10,
                _ => 20,
            };
            (p - s >= needed && s >= 0).then(|| Family::Decimal(u8::try_from(p).ok().zip(i8::try_from(s).ok())))
        }
        Family::Decimal(_) => {
            let ((p, s), (q, t)) = (digits(&ty.arrow)?, digits(to)?);
            (t >= s && q - t >= p - s).then(|| Family::Decimal(u8::try_from(q).ok().zip(i8::try_from(t).ok())))
        }
        _ => None,
    }
}
