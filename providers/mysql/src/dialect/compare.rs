//! Comparisons and IN lists.

use fjord_engine::pushdown::{Class, Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::dates::{self, ZERO_DATES};
use super::numbers::{fine_enough, holds};
use super::text::{self, Own};
use super::types::{call, clean, declared_length, describe, sound, texty};

/// More elements than this are not sent in one list, nor more bytes of texts: a statement must fit max_allowed_packet, 16 MiB by default.
const IN_LIST_MAX: usize = 20_000;
const IN_BYTES_MAX: usize = 1 << 20;
/// The days between which a `timestamp` lies: 1970-01-02 to 2038-01-18, as microseconds. Beyond, MariaDB compares in another way than MySQL.
const INSTANTS: (i64, i64) = (86_400_000_000, 2_147_385_600_000_000);

/// `a op b` for the six comparisons and IS [NOT] DISTINCT FROM.
pub(super) fn compare(op: &Op, a: &Typed, b: &Typed) -> Judgement {
    if a.literal().is_some() && b.literal().is_some() {
        return Judgement::no("two literals are compared here");
    }
    if matches!(a.literal(), Some(Value::Null)) || matches!(b.literal(), Some(Value::Null)) {
        return Judgement::no("a comparison with NULL is folded here");
    }
    if a.literal().is_some() {
        return compare(&mirrored(op), b, a);
    }
    if texty(&a.ty) && texty(&b.ty) {
        return compare_text(op, a, b).unwrap_or_else(Judgement::no);
    }
    if let Err(reason) = comparable(a, b).and_then(|()| fits(a, b)) {
        return Judgement::no(reason);
    }
    if matches!(a.ty.family, Family::Date | Family::Timestamp | Family::TimestampTz) {
        return compare_dates(op, a, b);
    }
    if a.ty.family == Family::Bytes {
        return compare_bytes(op, a, b);
    }
    let (x, y) = (clean(a), clean(b));
    let made = comparison(op, &x, &y);
    if x == *a && y == *b { Judgement::exact(made.scalar, made.ty) } else { Judgement::rewritten(made.scalar, made.ty, AS_READ) }
}

const AS_READ: &str = "compared as the number that is read";

/// Whether two types that are not text compare the same way on both sides. A number never meets a text (`'5abc' = 5` is true there), a double no
/// other number, and a FLOAT nothing: the servers compute with it as DOUBLE, and 0.1 is not found.
pub(super) fn comparable(a: &Typed, b: &Typed) -> Result<(), String> {
    let (x, y) = (&a.ty, &b.ty);
    if !sound(x) || !sound(y) {
        return Err(format!("{} and {} are not compared at the source", describe(x), describe(y)));
    }
    let number = |f: &Family| matches!(f, Family::Int(_) | Family::UInt(_) | Family::Decimal(_));
    let fits = match (&x.family, &y.family) {
        (f, g) if number(f) && number(g) => true,
        (Family::Float(64), Family::Float(64)) => true,
        (Family::Float(_), _) | (_, Family::Float(_)) => {
            return Err("a FLOAT, or a DOUBLE with another number, compares by rules of its own at the source".into());
        }
        (Family::Bool, Family::Bool)
        | (Family::Bytes, Family::Bytes)
        | (Family::Date, Family::Date)
        | (Family::Time, Family::Time)
        | (Family::Timestamp, Family::Timestamp) => true,
        (Family::TimestampTz, Family::TimestampTz) => {
            let far = |t: &Typed| matches!(t.literal(), Some(Value::TimestampTz(v)) if !(INSTANTS.0..=INSTANTS.1).contains(v));
            if far(a) || far(b) {
                return Err("an instant outside of 1970 to 2038 is compared here: a timestamp of the source has no such value".into());
            }
            true
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("{} and {} are not compared the same way at the source", describe(x), describe(y))) }
}

/// Whether a literal is one that a column of the other side's type could hold.
fn fits(column: &Typed, literal: &Typed) -> Result<(), String> {
    match literal.literal() {
        None => Ok(()),
        Some(Value::Timestamp(t) | Value::TimestampTz(t) | Value::Time(t)) => fine_enough(&column.ty, *t),
        Some(v) => holds(&column.ty, v),
    }
}

/// A zero date is less than every date there and NULL here: a comparison that it could meet is guarded. What is guarded is exact only as a condition.
fn compare_dates(op: &Op, a: &Typed, b: &Typed) -> Judgement {
    let (Some(valid), known) = (dates::valid(a), b.literal().is_some()) else {
        let (x, y) = (dates::real(a), dates::real(b));
        let made = comparison(op, &x, &y);
        return Judgement::rewritten(made.scalar, made.ty, ZERO_DATES);
    };
    match op {
        // No zero date equals a date that is one.
        Op::Eq if known => {
            let made = comparison(op, a, b);
            Judgement::exact(made.scalar, made.ty).as_filter_only()
        }
        Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq if known || *op == Op::Eq => {
            let made = comparison(op, a, b);
            let both = call(Op::And, vec![made.scalar, valid.scalar], RemoteType::boolean(true));
            Judgement::rewritten(both.scalar, both.ty, ZERO_DATES).as_filter_only()
        }
        _ => {
            let made = comparison(op, &dates::real(a), &dates::real(b));
            Judgement::rewritten(made.scalar, made.ty, ZERO_DATES)
        }
    }
}

/// Bytes compare by bytes. A `binary(n)` is filled up with zero bytes, and so may be what it is compared with.
fn compare_bytes(op: &Op, a: &Typed, b: &Typed) -> Judgement {
    let made = comparison(op, a, b);
    let fixed = |t: &RemoteType| t.name.starts_with("binary");
    if let (Some(Value::Bytes(v)), Some(n)) = (b.literal(), declared_length(&a.ty))
        && v.len() > n
    {
        return never(op, a, format!("no value of {} is so long", a.ty.name));
    }
    if !fixed(&a.ty) && !fixed(&b.ty) {
        return Judgement::exact(made.scalar, made.ty);
    }
    match (op, b.literal(), declared_length(&a.ty)) {
        (Op::Eq | Op::NotEq, Some(Value::Bytes(v)), Some(n)) if v.len() == n => Judgement::exact(made.scalar, made.ty),
        (Op::Eq | Op::NotEq, Some(Value::Bytes(_)), Some(_)) => never(op, a, format!("every value of {} has its full length", a.ty.name)),
        _ => Judgement::no(format!("{} is filled up with zero bytes at the source: compared here", describe(&a.ty))),
    }
}

fn compare_text(op: &Op, a: &Typed, b: &Typed) -> Result<Judgement, String> {
    let (left, right) = (text::bytes(a)?, text::bytes(b)?);
    let exact = comparison(op, &left, &right);
    let Some(Value::Text(s)) = b.literal() else {
        if *op == Op::Eq && text::own_pair(&a.ty, &b.ty) {
            let both = call(Op::And, vec![comparison(op, a, b).scalar, exact.scalar], exact.ty);
            return Ok(Judgement::rewritten(both.scalar, both.ty, equality_reason(a, true)));
        }
        return Ok(match left == *a && right == *b {
            true => Judgement::exact(exact.scalar, exact.ty),
            false => Judgement::rewritten(exact.scalar, exact.ty, by_bytes(a)),
        });
    };
    if let Family::Enum(labels) = &a.ty.family {
        // An enum takes the text of a number for the number of a label. '' is what it holds where a wrong label was written.
        let known = labels.iter().any(|l| l == s);
        if !known && !s.is_empty() && matches!(op, Op::Eq | Op::NotEq) {
            return Ok(never(op, a, "the enum has no such label".into()));
        }
        if !known || s.is_empty() {
            return Ok(Judgement::rewritten(exact.scalar, exact.ty, by_bytes(a)));
        }
    }
    let own = text::own(&a.ty, s);
    match op {
        Op::Eq | Op::NotEq if own == Own::Exact => {
            let made = comparison(op, a, b);
            Ok(Judgement::exact(made.scalar, made.ty))
        }
        Op::Lt | Op::LtEq | Op::Gt | Op::GtEq if text::own_order(&a.ty, s) => {
            let made = comparison(op, a, b);
            Ok(Judgement::exact(made.scalar, made.ty))
        }
        // `c = 'x' AND bytes(c) = bytes('x')`: the first conjunct keeps the index, the second makes it exact. Bytes that are equal are equal under every
        // collation, so the pair is the second conjunct, NULLs included.
        Op::Eq if own == Own::Coarser => {
            let first = comparison(op, a, b);
            let both = call(Op::And, vec![first.scalar, exact.scalar], exact.ty);
            Ok(Judgement::rewritten(both.scalar, both.ty, equality_reason(a, true)))
        }
        Op::Eq => Ok(Judgement::rewritten(exact.scalar, exact.ty, equality_reason(a, false))),
        _ => Ok(Judgement::rewritten(exact.scalar, exact.ty, by_bytes(a))),
    }
}

/// `name is utf8mb4_0900_ai_ci: equality rewritten, index usable`.
fn equality_reason(a: &Typed, index: bool) -> String {
    let usable = if index { "index usable" } else { "index not usable" };
    format!("{} compares coarser than bytes: equality rewritten, {usable}", describe(&a.ty))
}

fn by_bytes(a: &Typed) -> String {
    format!("{} has an order and an equality of its own: compared by bytes, index not usable", describe(&a.ty))
}

/// `a [NOT] IN (list)`, NULLs in the list included.
pub(super) fn in_list(a: &Typed, list: &[Typed], negated: bool) -> Judgement {
    if list.len() > IN_LIST_MAX {
        return Judgement::no(format!("an IN list of {} elements is evaluated here", list.len()));
    }
    if a.literal().is_some() || list.iter().any(|l| l.literal().is_none()) {
        return Judgement::no("an IN list of expressions is evaluated here");
    }
    let bytes: usize = list
        .iter()
        .map(|l| match l.literal() {
            Some(Value::Text(s)) => s.len(),
            Some(Value::Bytes(b)) => b.len(),
            _ => 0,
        })
        .sum();
    if bytes > IN_BYTES_MAX {
        return Judgement::no("an IN list of more than 1 MiB is evaluated here");
    }
    if texty(&a.ty) {
        return in_text(a, list, negated).unwrap_or_else(Judgement::no);
    }
    for element in list.iter().filter(|l| !matches!(l.literal(), Some(Value::Null))) {
        // DataFusion compares floats of an IN list by their bits: 0.0 does not find -0.0 there, while it does at the source.
        if matches!(element.literal(), Some(Value::Float64(bits)) if f64::from_bits(*bits) == 0.0) {
            return Judgement::no("an IN list with a zero among floats is compared by bits here");
        }
        if let Err(reason) = comparable(a, element).and_then(|()| fits(a, element)) {
            return Judgement::no(reason);
        }
    }
    let too_long = |l: &Typed| matches!((l.literal(), declared_length(&a.ty)), (Some(Value::Bytes(v)), Some(n)) if v.len() > n);
    if a.ty.family == Family::Bytes && (a.ty.name.starts_with("binary") || list.iter().any(too_long)) {
        return Judgement::no(format!("{} is filled up or cut off at the source: compared here", describe(&a.ty)));
    }
    let op = if negated { Op::NotIn } else { Op::In };
    if let Some(valid) = dates::valid(a) {
        let made = list_call(&op, a, list);
        if !negated {
            return Judgement::exact(made.scalar, made.ty).as_filter_only();
        }
        let both = call(Op::And, vec![made.scalar, valid.scalar], RemoteType::boolean(true));
        return Judgement::rewritten(both.scalar, both.ty, ZERO_DATES).as_filter_only();
    }
    let form = clean(a);
    let made = list_call(&op, &form, list);
    if form == *a { Judgement::exact(made.scalar, made.ty) } else { Judgement::rewritten(made.scalar, made.ty, AS_READ) }
}

fn in_text(a: &Typed, list: &[Typed], negated: bool) -> Result<Judgement, String> {
    let mut kept: Vec<&Typed> = vec![];
    let mut worst = Own::Exact;
    for element in list {
        match element.literal() {
            Some(Value::Text(s)) => {
                if let Family::Enum(labels) = &a.ty.family {
                    let known = labels.iter().any(|l| l == s);
                    if !known && !s.is_empty() {
                        continue;
                    }
                    if !known || s.is_empty() {
                        worst = Own::No;
                    }
                }
                worst = match (worst, text::own(&a.ty, s)) {
                    (Own::No, _) | (_, Own::No) => Own::No,
                    (Own::Coarser, _) | (_, Own::Coarser) => Own::Coarser,
                    _ => Own::Exact,
                };
                kept.push(element);
            }
            Some(Value::Null) => kept.push(element),
            _ => return Err("an IN list of mixed types is evaluated here".into()),
        }
    }
    if kept.is_empty() {
        return Ok(never(if negated { &Op::NotEq } else { &Op::Eq }, a, "the enum has none of these labels".into()));
    }
    let op = if negated { Op::NotIn } else { Op::In };
    let own = list_call(&op, a, &kept.iter().map(|t| (*t).clone()).collect::<Vec<_>>());
    if worst == Own::Exact && kept.len() == list.len() {
        return Ok(Judgement::exact(own.scalar, own.ty));
    }
    let as_bytes = kept.iter().map(|t| text::bytes(t)).collect::<Result<Vec<_>, _>>()?;
    let exact = list_call(&op, &text::bytes(a)?, &as_bytes);
    // NOT IN has only the byte-exact form: the coarser one rejects rows that are right.
    if negated || worst == Own::No {
        return Ok(Judgement::rewritten(exact.scalar, exact.ty, by_bytes(a)));
    }
    let both = call(Op::And, vec![own.scalar, exact.scalar], RemoteType::boolean(true));
    Ok(Judgement::rewritten(both.scalar, both.ty, equality_reason(a, true)))
}

pub(super) fn comparison(op: &Op, a: &Typed, b: &Typed) -> Typed {
    let nullable = !matches!(op, Op::IsDistinctFrom | Op::IsNotDistinctFrom) && (a.ty.nullable || b.ty.nullable);
    call(op.clone(), vec![a.scalar.clone(), b.scalar.clone()], RemoteType::boolean(nullable))
}

fn list_call(op: &Op, a: &Typed, list: &[Typed]) -> Typed {
    let mut args = vec![a.scalar.clone()];
    args.extend(list.iter().map(|l| l.scalar.clone()));
    let nullable = a.ty.nullable || list.iter().any(|l| l.ty.nullable);
    call(op.clone(), args, RemoteType::boolean(nullable))
}

/// What is false for every value, and NULL for NULL: a bare `false` would return the NULL rows too once a NOT stands above.
fn never(op: &Op, a: &Typed, reason: String) -> Judgement {
    let value = match op {
        Op::Eq => false,
        Op::NotEq => true,
        _ => return Judgement::no(reason),
    };
    let ty = RemoteType::boolean(true);
    let present = Scalar::call(Op::IsNotNull, vec![a.scalar.clone()], RemoteType::boolean(false));
    let outcome = Scalar::Literal(Value::Bool(value), RemoteType::boolean(false));
    let made = Judgement::rewritten(Scalar::call(Op::Case, vec![present, outcome], ty.clone()), ty, reason);
    Judgement { class: Class::Rewritten, ..made }
}

/// `a op b` with the sides exchanged.
fn mirrored(op: &Op) -> Op {
    match op {
        Op::Lt => Op::Gt,
        Op::LtEq => Op::GtEq,
        Op::Gt => Op::Lt,
        Op::GtEq => Op::LtEq,
        other => other.clone(),
    }
}
