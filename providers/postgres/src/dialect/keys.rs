//! Grouping keys, sort keys and aggregates.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{AggregateCall, AggregateFunction, Family, Judgement, Op, RemoteType, Scalar, SortSpec, Typed};

use super::PostgresDialect;
use super::types::{WIDEN_16, WIDEN_32, call, describe, numeric, plain, sound, texty};

impl PostgresDialect {
    /// A GROUP BY or DISTINCT key.
    pub(super) fn key(&self, key: &Typed) -> Judgement {
        let same = || Judgement::exact(key.scalar.clone(), key.ty.clone());
        match &key.ty.family {
            _ if !sound(&key.ty) => Judgement::no(format!("{} is not grouped at the source", describe(&key.ty))),
            Family::Bool | Family::Int(_) | Family::UInt(_) | Family::Decimal(_) | Family::Bytes | Family::Date | Family::Time => same(),
            Family::Timestamp | Family::TimestampTz | Family::Uuid => same(),
            // Labels of one enum are equal exactly when their texts are.
            Family::Enum(_) => same(),
            // Padding is not significant there and stripped here.
            Family::Bpchar => match self.bpchar_bytewise(&key.ty) {
                Ok(true) => same(),
                Ok(false) => self.byte_key(key),
                Err(reason) => Judgement::no(reason),
            },
            Family::Text => match self.equality_form(key) {
                Ok(form) if form.changed() => Judgement::rewritten(form.expr.scalar, form.expr.ty, form.reason),
                Ok(_) => same(),
                Err(reason) => Judgement::no(reason),
            },
            Family::Citext | Family::Json | Family::Jsonb => self.byte_key(key),
            // -0.0 and 0.0 are one group on both sides, but Postgres shows whichever it met first; adding zero makes it 0.0, as DataFusion does.
            Family::Float(_) => {
                let sum = call(Op::Source("plus_zero".into()), vec![key.scalar.clone()], key.ty.clone());
                Judgement::rewritten(sum.scalar, sum.ty, "-0.0 is grouped as 0.0")
            }
            // '1 month' and '30 days' are one group in Postgres and two here.
            Family::Interval => Judgement::no("Postgres takes a month as 30 days when it groups intervals"),
            _ => Judgement::no(format!("{} is not grouped at the source", describe(&key.ty))),
        }
    }

    fn byte_key(&self, key: &Typed) -> Judgement {
        match self.byte_form(key) {
            Ok(form) => Judgement::rewritten(form.expr.scalar, form.expr.ty, form.reason),
            Err(reason) => Judgement::no(reason),
        }
    }

    /// An ORDER BY key; the renderer always writes NULLS FIRST or LAST.
    pub(super) fn order(&self, key: &SortSpec) -> Judgement {
        let expr = &key.expr;
        match &expr.ty.family {
            _ if !sound(&expr.ty) => Judgement::no(format!("{} is not sorted at the source", describe(&expr.ty))),
            Family::Bool | Family::Int(_) | Family::UInt(_) | Family::Decimal(_) | Family::Bytes | Family::Date | Family::Time => {
                Judgement::exact(expr.scalar.clone(), expr.ty.clone())
            }
            // A uuid sorts by its bytes, which is the order of its canonical text.
            Family::Timestamp | Family::TimestampTz | Family::Uuid => Judgement::exact(expr.scalar.clone(), expr.ty.clone()),
            // DataFusion sorts -0.0 before 0.0; to Postgres they are one value, and a LIMIT may take the other rows.
            Family::Float(_) => {
                let order = call(Op::Source("float_order".into()), vec![expr.scalar.clone()], expr.ty.clone());
                Judgement::rewritten(order.scalar, order.ty, "-0.0 sorts before 0.0: made so by a second sort key")
            }
            _ if texty(&expr.ty) => match self.byte_form(expr) {
                Ok(form) if form.changed() => Judgement::rewritten(form.expr.scalar, form.expr.ty, form.reason),
                Ok(form) => Judgement::exact(form.expr.scalar, form.expr.ty),
                Err(reason) => Judgement::no(reason),
            },
            _ => Judgement::no(format!("{} is not sorted the same way at the source", describe(&expr.ty))),
        }
    }

    /// An aggregate: the judgement (whose type is that of the result as it arrives) and the arguments as they are sent.
    pub(super) fn aggregate_call(&self, c: &AggregateCall) -> (Judgement, Vec<Scalar>) {
        let answer = match (&c.function, c.args.as_slice()) {
            (AggregateFunction::CountStar, []) => counted(c, vec![]),
            (AggregateFunction::Count, [arg]) => self.count(c, arg),
            (AggregateFunction::Sum, [arg]) => sum(c, arg),
            (AggregateFunction::Min | AggregateFunction::Max, [arg]) => self.extreme(c, arg),
            (AggregateFunction::BoolAnd | AggregateFunction::BoolOr, [arg]) if arg.ty.family == Family::Bool => {
                Ok((Judgement::exact(arg.scalar.clone(), RemoteType::boolean(true)), vec![arg.scalar.clone()]))
            }
            (AggregateFunction::Avg, _) => Err("the scale of an average differs at the source: finished here from SUM and COUNT".into()),
            (AggregateFunction::Other(name), _) => Err(format!("aggregate {name} is not among those proven equal on Postgres")),
            (function, _) => Err(format!("{function:?} with these arguments is evaluated here")),
        };
        answer.unwrap_or_else(|reason| (Judgement::no(reason), vec![]))
    }

    fn count(&self, c: &AggregateCall, arg: &Typed) -> Answer {
        if !c.distinct {
            return counted(c, vec![arg.scalar.clone()]);
        }
        // COUNT DISTINCT tells -0.0 from 0.0 here, though GROUP BY does not.
        if matches!(arg.ty.family, Family::Float(_)) {
            return Err("COUNT(DISTINCT) of floats tells -0.0 from 0.0 here".into());
        }
        let key = self.key(arg);
        let Some(expr) = key.expr.filter(|_| key.class.is_exact()) else { return Err(key.reason) };
        let (mut judgement, _) = counted(c, vec![])?;
        judgement.class = key.class;
        judgement.reason = key.reason;
        Ok((judgement, vec![expr.scalar]))
    }

    fn extreme(&self, c: &AggregateCall, arg: &Typed) -> Answer {
        if !sound(&arg.ty) || c.result != arg.ty.arrow {
            return Err(format!("MIN and MAX of {} are evaluated here", describe(&arg.ty)));
        }
        let nullable = RemoteType { nullable: true, ..arg.ty.clone() };
        match &arg.ty.family {
            Family::Int(_) | Family::Decimal(_) | Family::Date | Family::Time | Family::Timestamp | Family::TimestampTz => {
                Ok((Judgement::exact(arg.scalar.clone(), nullable), vec![arg.scalar.clone()]))
            }
            // Postgres has no min(oid) in every version we speak to, but bigint holds every oid.
            Family::UInt(_) => Err("MIN and MAX of oid are evaluated here".into()),
            // false < true: the least is bool_and, the greatest bool_or. The renderer writes them so.
            Family::Bool => Ok((
                Judgement::rewritten(arg.scalar.clone(), nullable, "MIN and MAX of booleans are sent as bool_and and bool_or"),
                vec![arg.scalar.clone()],
            )),
            // A NaN among the values makes a grouped MIN or MAX here depend on the order of the rows; Postgres has one answer.
            Family::Float(_) => Err("MIN and MAX of floats treat NaN and -0.0 in their own way here".into()),
            // min(bytea) came with PostgreSQL 18.
            Family::Bytes => Err("Postgres has no MIN or MAX of bytea".into()),
            _ if texty(&arg.ty) => {
                let form = self.byte_form(arg)?;
                let ty = RemoteType { nullable: true, ..form.expr.ty.clone() };
                let judgement = if form.changed() {
                    Judgement::rewritten(form.expr.scalar.clone(), ty, form.reason.clone())
                } else {
                    Judgement::exact(form.expr.scalar.clone(), ty)
                };
                Ok((judgement, vec![form.expr.scalar]))
            }
            _ => Err(format!("MIN and MAX of {} are evaluated here", describe(&arg.ty))),
        }
    }
}

type Answer = Result<(Judgement, Vec<Scalar>), String>;

fn counted(c: &AggregateCall, args: Vec<Scalar>) -> Answer {
    if c.result != DataType::Int64 {
        return Err(format!("a count that arrives as {} is evaluated here", c.result));
    }
    let ty = plain("bigint", Family::Int(64), DataType::Int64, false);
    let scalar = args.first().cloned().unwrap_or(Scalar::Column(0));
    Ok((Judgement::exact(scalar, ty), args))
}

/// SUM. Of integers up to 32 bits Postgres gives bigint and cannot overflow in practice (2^32 rows of the greatest value); of bigint it gives
/// numeric, which the promised type decides about: a bigint is cast, so that a total that does not fit is 22003, as the checked sum here says.
fn sum(c: &AggregateCall, arg: &Typed) -> Answer {
    if !sound(&arg.ty) {
        return Err(format!("SUM of {} is evaluated here", describe(&arg.ty)));
    }
    match (&arg.ty.family, &c.result) {
        (Family::Int(_), DataType::Int64) => {
            let ty = plain("bigint", Family::Int(64), DataType::Int64, true);
            let narrow = if arg.ty.family == Family::Int(64) { unwidened(&arg.scalar) } else { Some(arg.scalar.clone()) };
            match narrow {
                // sum(i::bigint) is a numeric at the source, slower and for nothing.
                Some(narrow) => Ok((Judgement::exact(narrow.clone(), ty), vec![narrow])),
                None => Ok((
                    Judgement::rewritten(arg.scalar.clone(), ty, "SUM of bigint is numeric at the source: cast back, checked"),
                    vec![arg.scalar.clone()],
                )),
            }
        }
        // 19 digits a value, and 19 more for the number of rows.
        (Family::Int(_), DataType::Decimal128(p, s) | DataType::Decimal256(p, s)) if i32::from(*p) - i32::from(*s) >= 38 && *s >= 0 => {
            let sent = unwidened(&arg.scalar).unwrap_or_else(|| arg.scalar.clone());
            Ok((Judgement::exact(sent.clone(), numeric(&c.result, true)), vec![sent]))
        }
        (Family::Decimal(_), DataType::Decimal128(_, to) | DataType::Decimal256(_, to)) => match &arg.ty.arrow {
            DataType::Decimal128(_, from) | DataType::Decimal256(_, from) if from == to => {
                let sent = integer_of(&arg.scalar).unwrap_or_else(|| arg.scalar.clone());
                Ok((Judgement::exact(sent.clone(), numeric(&c.result, true)), vec![sent]))
            }
            _ => Err("SUM of numeric with another scale is evaluated here".into()),
        },
        (Family::Float(_), _) => Err("SUM of floats depends on the order of addition".into()),
        _ => Err(format!("SUM of {} as {} is evaluated here", describe(&arg.ty), c.result)),
    }
}

/// `x` of `x::bigint`, where x is narrower.
fn unwidened(scalar: &Scalar) -> Option<Scalar> {
    match scalar {
        Scalar::Call { op: Op::Source(name), args, .. } if name == WIDEN_16 || name == WIDEN_32 => args.first().cloned(),
        _ => None,
    }
}

/// `x` of `x::numeric`, where x is an integer: Postgres sums bigint as numeric of its own, and faster. (Only casts of integers are written so.)
fn integer_of(scalar: &Scalar) -> Option<Scalar> {
    match scalar {
        Scalar::Call { op: Op::Cast, args, ty } if matches!(ty.family, Family::Decimal(_)) => args.first().cloned(),
        _ => None,
    }
}
