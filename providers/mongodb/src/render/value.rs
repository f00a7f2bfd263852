//! Literals, and the boolean expressions that are computed at the source.

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, doc};
use fjord_engine::pushdown::{Op, RemoteType, Scalar, Value};
use fjord_engine::{Result, SqlError};

use super::{Bind, From};
use crate::dialect::number;
use crate::types::Kind;

/// A value as a field of a kind holds it; `None` where it has no such form.
pub(crate) fn bson(v: &Value, kind: &Kind) -> Option<Bson> {
    Some(match (kind, v) {
        (_, Value::Null) => Bson::Null,
        (_, Value::Bool(b)) => Bson::Boolean(*b),
        (Kind::ObjectId, Value::Text(s)) => Bson::ObjectId(ObjectId::parse_str(s).ok()?),
        (Kind::Uuid, Value::Text(s)) => {
            let bytes = bson::Uuid::parse_str(s).ok()?.bytes().to_vec();
            Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes })
        }
        (_, Value::Text(s)) => Bson::String(s.clone()),
        (_, Value::TimestampTz(micros)) if micros % 1_000 == 0 => Bson::DateTime(DateTime::from_millis(micros / 1_000)),
        (_, v) => number(v)?,
    })
}

/// A literal by its own type.
pub(super) fn literal(v: &Value, ty: &RemoteType) -> Result<Bson> {
    let kind = Kind::of(ty).unwrap_or(Kind::String);
    bson(v, &kind).ok_or_else(|| SqlError::internal(format!("a literal of type {} has no form in BSON", ty.name)))
}

/// AND, OR and NOT of boolean fields as values. What is none of true, false, null and missing comes out as a text, which the reader refuses.
pub(super) fn expression(e: &Scalar, columns: &[Bind]) -> Result<Bson> {
    const WRONG: &str = "a value that is no boolean";
    match e {
        Scalar::Column(i) => match columns.get(*i).map(|c| &c.from) {
            Some(From::Path(p)) => Ok(Bson::String(format!("${p}"))),
            Some(From::Const(v)) => Ok(doc! { "$literal": literal(v, &columns[*i].ty)? }.into()),
            None => Err(SqlError::internal(format!("a pipeline has no column {i}"))),
        },
        Scalar::Literal(v, ty) => Ok(doc! { "$literal": literal(v, ty)? }.into()),
        Scalar::Call { op: op @ (Op::And | Op::Or | Op::Not), args, .. } => {
            let args = args.iter().map(|a| expression(a, columns)).collect::<Result<Vec<_>>>()?;
            let is = |v: Bson| -> Vec<Bson> {
                args.iter().map(|a| doc! { "$eq": [doc! { "$ifNull": [a.clone(), Bson::Null] }, v.clone()] }.into()).collect()
            };
            let known: Vec<Bson> =
                args.iter().map(|a| doc! { "$in": [{ "$type": a.clone() }, ["bool", "null", "missing"]] }.into()).collect();
            let (any, all, decided) = match op {
                Op::And => (false, true, false),
                Op::Or => (true, false, true),
                _ => (true, false, false),
            };
            let mut branches = vec![doc! { "case": { "$not": [{ "$and": known }] }, "then": WRONG }];
            branches.push(doc! { "case": { "$or": is(Bson::Boolean(any)) }, "then": decided });
            branches.push(doc! { "case": { "$and": is(Bson::Boolean(all)) }, "then": all != (*op == Op::Not) });
            Ok(doc! { "$switch": { "branches": branches, "default": Bson::Null } }.into())
        }
        Scalar::Call { op, .. } => Err(SqlError::internal(format!("{op:?} has no expression"))),
    }
}
