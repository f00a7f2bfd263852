//! CASE, COALESCE, NULLIF and the columns of a UNION: values are passed on, so what matters is that all branches are of one type at the source too.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, Judgement, Op, RemoteType, Scalar, Typed, Value};

use super::compare::comparable;
use super::numbers::is_unsigned;
use super::text;
use super::types::{call, clean, describe, sound, texty};

/// CASE WHEN a THEN b ... [ELSE z].
pub(super) fn case(args: &[Typed], result: &DataType) -> Judgement {
    if args.len() < 2 {
        return Judgement::no("CASE without a branch");
    }
    let pairs = args.len() / 2;
    let is_condition = |i: usize| i < pairs * 2 && i.is_multiple_of(2);
    if (0..args.len()).any(|i| is_condition(i) && args[i].ty.family != Family::Bool) {
        return Judgement::no("CASE with a condition that is not boolean at the source");
    }
    let values: Vec<&Typed> = (0..args.len()).filter(|i| !is_condition(*i)).map(|i| &args[i]).collect();
    let (unified, ty, reason) = match unify(&values, result) {
        Ok(u) => u,
        Err(reason) => return Judgement::no(reason),
    };
    let mut unified = unified.into_iter();
    let mut sent = vec![];
    for (i, arg) in args.iter().enumerate() {
        let next = if is_condition(i) { Some(arg.scalar.clone()) } else { unified.next().map(|t| t.scalar) };
        sent.extend(next);
    }
    finish(Op::Case, sent, RemoteType { nullable: true, ..ty }, reason)
}

/// COALESCE(a, ...).
pub(super) fn coalesce(args: &[Typed], result: &DataType) -> Judgement {
    match unify(&args.iter().collect::<Vec<_>>(), result) {
        Ok((unified, ty, reason)) => {
            let nullable = unified.iter().all(|a| a.ty.nullable);
            finish(Op::Coalesce, unified.into_iter().map(|t| t.scalar).collect(), RemoteType { nullable, ..ty }, reason)
        }
        Err(reason) => Judgement::no(reason),
    }
}

/// NULLIF(a, b) as `CASE WHEN a = b THEN NULL ELSE a END`: the servers' own gives a number in the form of the other.
pub(super) fn null_if(a: &Typed, b: &Typed, result: &DataType) -> Judgement {
    if a.literal().is_some() || matches!(b.literal(), Some(Value::Null)) || matches!(a.ty.family, Family::Float(_)) {
        return Judgement::no("NULLIF of a literal or of floats is evaluated here");
    }
    let (x, y) = if texty(&a.ty) && texty(&b.ty) {
        match (text::bytes(a), text::bytes(b)) {
            (Ok(x), Ok(y)) => (x, y),
            (Err(reason), _) | (_, Err(reason)) => return Judgement::no(reason),
        }
    } else {
        match comparable(a, b) {
            Ok(()) if a.ty.family != Family::Bytes => (clean(a), clean(b)),
            Ok(()) => return Judgement::no("NULLIF of bytes is evaluated here"),
            Err(reason) => return Judgement::no(reason),
        }
    };
    if x.ty.arrow != *result {
        return Judgement::no("NULLIF of two types is evaluated here");
    }
    let equal = Scalar::call(Op::Eq, vec![x.scalar.clone(), y.scalar], RemoteType::boolean(true));
    let ty = RemoteType { nullable: true, ..x.ty.clone() };
    let null = Scalar::Literal(Value::Null, ty.clone());
    let made = call(Op::Case, vec![equal, null, x.scalar], ty);
    Judgement::rewritten(made.scalar, made.ty, "sent as CASE")
}

/// All values in one type: the values, the type, and what was rewritten.
pub(super) fn unify(values: &[&Typed], result: &DataType) -> Result<(Vec<Typed>, RemoteType, String), String> {
    let is_null = |t: &Typed| matches!(t.literal(), Some(Value::Null));
    let first = values.iter().find(|v| !is_null(v)).ok_or("only NULLs: evaluated here")?;
    if values.iter().any(|v| {
        !is_null(v)
            && (!sound(&v.ty)
                || v.ty.arrow != *result
                || wider_there(&v.ty)
                || matches!(v.ty.family, Family::Int(_) | Family::Decimal(_)) && is_unsigned(&v.ty))
    }) {
        return Err(format!("branches of {} and other types are evaluated here", describe(&first.ty)));
    }
    if texty(&first.ty) {
        let out = values.iter().map(|v| if is_null(v) { Ok((*v).clone()) } else { text::bytes(v) }).collect::<Result<Vec<_>, _>>()?;
        let known = out.iter().find(|v| !is_null(v)).ok_or("only NULLs: evaluated here")?;
        // How long it may be is not followed.
        let ty = RemoteType { name: "text".into(), nullable: true, ..known.ty.clone() };
        return Ok((out, ty, "texts of several collations meet as bytes".into()));
    }
    if matches!(first.ty.family, Family::Float(_) | Family::Time | Family::Bytes) {
        return Err(format!("{} is not passed through CASE or COALESCE at the source", describe(&first.ty)));
    }
    let kind = std::mem::discriminant(&first.ty.family);
    if values.iter().any(|v| !is_null(v) && std::mem::discriminant(&v.ty.family) != kind) {
        return Err("branches of different types are evaluated here".into());
    }
    let out: Vec<Typed> = values.iter().map(|v| clean(v)).collect();
    let changed = out.iter().zip(values).any(|(o, v)| o != *v);
    // Of a column, not of a literal: its name tells what is known of it.
    let ty = out.iter().find(|v| !is_null(v) && v.literal().is_none()).or(out.iter().find(|v| !is_null(v))).map(|v| v.ty.clone());
    let ty = ty.ok_or("only NULLs: evaluated here")?;
    let name = if matches!(ty.family, Family::Int(_)) { "bigint".into() } else { ty.name.clone() };
    let out = out.into_iter().map(|v| if is_null(&v) { null_of(&ty) } else { v }).collect();
    let family = if matches!(ty.family, Family::Int(_)) { Family::Int(64) } else { ty.family.clone() };
    let reason = if changed { "taken as it is read" } else { "" };
    Ok((out, RemoteType { name, family, ..ty }, reason.into()))
}

/// Arithmetic of ours, of which a value may not fit its type here.
fn wider_there(ty: &RemoteType) -> bool {
    matches!(ty.family, Family::Int(bits) if ty.arrow.primitive_width().is_some_and(|w| w * 8 < usize::from(bits)))
}

fn null_of(ty: &RemoteType) -> Typed {
    let ty = RemoteType { nullable: true, ..ty.clone() };
    Typed { scalar: Scalar::Literal(Value::Null, ty.clone()), ty }
}

fn finish(op: Op, args: Vec<Scalar>, ty: RemoteType, reason: String) -> Judgement {
    let scalar = Scalar::call(op, args, ty.clone());
    if reason.is_empty() { Judgement::exact(scalar, ty) } else { Judgement::rewritten(scalar, ty, reason) }
}
