//! Aggregates.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{AggregateCall, AggregateFunction, Judgement, RemoteType, Scalar, Typed};

use super::{column, field};
use crate::types::Kind;

type Answer = Result<(Judgement, Vec<Scalar>), String>;

/// The judgement and the arguments as they are sent.
pub(super) fn aggregate(c: &AggregateCall) -> (Judgement, Vec<Scalar>) {
    judged(c).unwrap_or_else(|reason| (Judgement::no(reason), vec![]))
}

fn judged(c: &AggregateCall) -> Answer {
    if c.filter.is_some() {
        return Err("FILTER is evaluated here: a condition cannot be said inside of $group".into());
    }
    if c.distinct && !matches!(c.function, AggregateFunction::Min | AggregateFunction::Max) {
        return Err("DISTINCT inside of an aggregate is evaluated here: its set would have to fit one document".into());
    }
    match (&c.function, c.args.as_slice()) {
        (AggregateFunction::CountStar, []) => counted(c, vec![]),
        (AggregateFunction::Count, [a]) => {
            column(a).and_then(|k| if k == Kind::Raw { Err("the document is counted here".into()) } else { Ok(()) })?;
            counted(c, vec![a.scalar.clone()])
        }
        (AggregateFunction::Sum, [a]) => sum(c, a),
        (AggregateFunction::Min | AggregateFunction::Max, [a]) => extreme(c, a),
        (AggregateFunction::Avg, _) => Err("AVG is SUM and COUNT, divided here".into()),
        (f, _) => Err(format!("{f:?} is evaluated here")),
    }
}

fn counted(c: &AggregateCall, args: Vec<Scalar>) -> Answer {
    if c.result != DataType::Int64 {
        return Err(format!("a count that arrives as {} is evaluated here", c.result));
    }
    let ty = Kind::Long.remote(false);
    Ok((Judgement::exact(args.first().cloned().unwrap_or(Scalar::Column(0)), ty), args))
}

/// A sum of 32-bit integers is a 64-bit one; that of longs becomes a double where it is too large, and that of doubles and decimals is rounded.
fn sum(c: &AggregateCall, a: &Typed) -> Answer {
    // The argument comes as a bigint, by a cast that changes no value.
    let kind = field(a).ok_or("only a field is summed at the source")?;
    match (kind, &c.result) {
        (Kind::Int, DataType::Int64) => {
            let ty = Kind::Long.remote(true);
            Ok((Judgement::rewritten(a.scalar.clone(), ty, "a sum of nothing is NULL, there it is 0"), vec![a.scalar.clone()]))
        }
        (Kind::Long, _) => Err("SUM of longs is computed here: there it becomes a double where it is large".into()),
        (Kind::Double, _) => Err("SUM of doubles depends on the order of addition".into()),
        (Kind::Decimal, _) => Err("SUM of decimals is computed here: there it is rounded to 34 digits".into()),
        (kind, result) => Err(format!("SUM of {} as {result} is computed here", kind.name())),
    }
}

/// The least and the greatest of one type; nulls and the missing do not count.
fn extreme(c: &AggregateCall, a: &Typed) -> Answer {
    if c.result != a.ty.arrow {
        return Err(format!("MIN and MAX as {} are computed here", c.result));
    }
    match column(a)? {
        Kind::Int | Kind::Long | Kind::String | Kind::ObjectId | Kind::Uuid | Kind::Date | Kind::Decimal => {
            let ty = RemoteType { nullable: true, ..a.ty.clone() };
            Ok((Judgement::exact(a.scalar.clone(), ty), vec![a.scalar.clone()]))
        }
        Kind::Double => Err("MIN and MAX of doubles are computed here: NaN is the greatest here and the least there".into()),
        kind => Err(format!("MIN and MAX of {} are computed here", kind.name())),
    }
}
