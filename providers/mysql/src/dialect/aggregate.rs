//! Aggregates.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{AggregateCall, AggregateFunction, Family, Judgement, RemoteType, Scalar, Typed};

use super::keys;
use super::text;
use super::types::{clean, describe, plain, sound, texty};
use crate::types::DECIMAL_DIGITS_MAX;

/// The digits by which SUM widens a decimal at the source.
const SUM_DIGITS: u8 = 22;

type Answer = Result<(Judgement, Vec<Scalar>), String>;

/// The judgement (whose type is that of the result as it arrives) and the arguments as they are sent.
pub(super) fn aggregate(c: &AggregateCall) -> (Judgement, Vec<Scalar>) {
    let answer = match (&c.function, c.args.as_slice()) {
        (AggregateFunction::CountStar, []) => counted(c, vec![]),
        (AggregateFunction::Count, [arg]) => count(c, arg),
        (AggregateFunction::Sum, [arg]) => sum(c, arg),
        (AggregateFunction::Min | AggregateFunction::Max, [arg]) => extreme(c, arg),
        (AggregateFunction::BoolAnd | AggregateFunction::BoolOr, [arg]) if arg.ty.family == Family::Bool => {
            let form = clean(arg);
            let ty = RemoteType::boolean(true);
            Ok((Judgement::rewritten(form.scalar.clone(), ty, "sent as MIN and MAX of 0 and 1"), vec![form.scalar]))
        }
        (AggregateFunction::Avg, _) => Err("the scale of an average differs at the source: finished here from SUM and COUNT".into()),
        (AggregateFunction::Other(name), _) => Err(format!("aggregate {name} is not among those proven equal")),
        (function, _) => Err(format!("{function:?} with these arguments is evaluated here")),
    };
    answer.unwrap_or_else(|reason| (Judgement::no(reason), vec![]))
}

/// COUNT. A zero date is NULL here and not counted.
fn count(c: &AggregateCall, arg: &Typed) -> Answer {
    if !c.distinct {
        return counted(c, vec![clean(arg).scalar]);
    }
    let key = keys::group_key(arg);
    let Some(expr) = key.expr.filter(|_| key.class.is_exact()) else { return Err(key.reason) };
    let (mut judgement, _) = counted(c, vec![])?;
    judgement.class = key.class;
    judgement.reason = key.reason;
    Ok((judgement, vec![expr.scalar]))
}

fn counted(c: &AggregateCall, args: Vec<Scalar>) -> Answer {
    if c.result != DataType::Int64 {
        return Err(format!("a count that arrives as {} is evaluated here", c.result));
    }
    let scalar = args.first().cloned().unwrap_or(Scalar::Column(0));
    Ok((Judgement::exact(scalar, plain("bigint", Family::Int(64), DataType::Int64, false)), args))
}

/// SUM of integers and decimals is an exact decimal at the source; the reader checks that the total fits what was promised (22003).
fn sum(c: &AggregateCall, arg: &Typed) -> Answer {
    if !sound(&arg.ty) {
        return Err(format!("SUM of {} is evaluated here", describe(&arg.ty)));
    }
    let form = clean(arg);
    let ty = match (&form.ty.family, &c.result) {
        (Family::Int(_) | Family::UInt(_), DataType::Int64) => plain("bigint", Family::Int(64), DataType::Int64, true),
        (Family::Int(_) | Family::UInt(_), DataType::Decimal128(p, 0)) => {
            plain("decimal", Family::Decimal(Some((*p, 0))), c.result.clone(), true)
        }
        (Family::Decimal(_), DataType::Decimal128(p, to) | DataType::Decimal256(p, to)) => match &form.ty.arrow {
            // Above 65 digits the source cuts the total off.
            DataType::Decimal128(q, from) | DataType::Decimal256(q, from)
                if from == to && q.saturating_add(SUM_DIGITS) <= DECIMAL_DIGITS_MAX =>
            {
                plain("decimal", Family::Decimal(Some((*p, *to))), c.result.clone(), true)
            }
            _ => return Err("SUM of a decimal of more than 43 digits, or in another scale, is evaluated here".into()),
        },
        (Family::Float(_), _) => return Err("SUM of floats depends on the order of addition".into()),
        _ => return Err(format!("SUM of {} as {} is evaluated here", describe(&arg.ty), c.result)),
    };
    Ok((Judgement::exact(form.scalar.clone(), ty), vec![form.scalar]))
}

fn extreme(c: &AggregateCall, arg: &Typed) -> Answer {
    if !sound(&arg.ty) || c.result != arg.ty.arrow {
        return Err(format!("MIN and MAX of {} are evaluated here", describe(&arg.ty)));
    }
    let form = match &arg.ty.family {
        Family::Bool | Family::Int(_) | Family::UInt(_) | Family::Decimal(_) | Family::Date | Family::Timestamp | Family::TimestampTz => {
            clean(arg)
        }
        Family::Time => arg.clone(),
        // An enum is compared by its text there, other than in a sort.
        _ if texty(&arg.ty) => text::bytes(arg)?,
        Family::Float(_) => return Err("MIN and MAX of floats tell -0.0 from 0.0 here".into()),
        _ => return Err(format!("MIN and MAX of {} are evaluated here", describe(&arg.ty))),
    };
    let ty = RemoteType { nullable: true, ..form.ty.clone() };
    let judgement = match form == *arg {
        true => Judgement::exact(form.scalar.clone(), ty),
        false => Judgement::rewritten(form.scalar.clone(), ty, format!("{} is compared as it is read", describe(&arg.ty))),
    };
    Ok((judgement, vec![form.scalar]))
}
