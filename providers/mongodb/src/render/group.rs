//! `$group`, and what makes its answers SQL's.
//!
//! Differences that are made good here: `null` and a missing field are two groups there; a sum of nothing is 0; over no document at all there is no group,
//! where SQL has one row; and values of other types than the column's are passed over in silence, so they are counted in each group, and the reader
//! refuses a count above zero.

use bson::{Bson, Document, doc};
use fjord_engine::pushdown::ir::Aggregate;
use fjord_engine::pushdown::{AggregateFunction, RemoteType, Scalar};
use fjord_engine::{Result, SqlError};

use super::{Bind, From, Pipe, value};
use crate::types::Kind;

/// The field that counts values of wrong types.
pub(crate) const WRONG: &str = "wrong";
/// Marks the row of an aggregate over nothing.
const NOTHING: &str = "nothing";

impl Pipe {
    /// GROUP BY: output is the keys, then the aggregates.
    pub(super) fn group(&mut self, keys: &[Scalar], aggregates: &[Aggregate]) -> Result<()> {
        let mut checks: Vec<(String, &'static [&'static str])> = vec![];
        let mut id = Document::new();
        let mut columns = vec![];
        for (i, key) in keys.iter().enumerate() {
            let bind = self.bind(key)?;
            note(&bind, &mut checks);
            let name = format!("k{i}");
            let expression: Bson = match &bind.from {
                From::Path(p) => doc! { "$ifNull": [format!("${p}"), Bson::Null] }.into(),
                From::Const(v) => doc! { "$literal": value::literal(v, &bind.ty)? }.into(),
            };
            id.insert(name.clone(), expression);
            columns.push(Bind { from: From::Path(format!("_id.{name}")), ty: bind.ty, computed: true });
        }
        let mut fields = Document::new();
        fields.insert("_id", if keys.is_empty() { Bson::Null } else { id.into() });
        let mut made_null = Document::new();
        let mut unset = vec![];
        let mut over_nothing = doc! { "_id": Bson::Null };
        for (i, a) in aggregates.iter().enumerate() {
            let name = format!("a{i}");
            let bind = a.args.first().map(|s| self.bind(s)).transpose()?;
            if let Some(b) = &bind {
                note(b, &mut checks);
            }
            let path = || match &bind {
                Some(b) => match &b.from {
                    From::Path(p) => Ok(Bson::String(format!("${p}"))),
                    From::Const(v) => Ok(doc! { "$literal": value::literal(v, &b.ty)? }.into()),
                },
                None => Err(SqlError::internal("an aggregate without an argument")),
            };
            let there = |v: Bson| doc! { "$sum": { "$cond": [{ "$in": [{ "$type": v }, ["missing", "null"]] }, 0, 1] } };
            let (accumulated, of_nothing) = match a.function {
                AggregateFunction::CountStar => (doc! { "$sum": 1 }, Bson::Int32(0)),
                AggregateFunction::Count => (there(path()?), Bson::Int32(0)),
                AggregateFunction::Sum => {
                    let counted = format!("n{i}");
                    fields.insert(counted.clone(), there(path()?));
                    made_null
                        .insert(name.clone(), doc! { "$cond": [{ "$eq": [format!("${counted}"), 0] }, Bson::Null, format!("${name}")] });
                    unset.push(counted);
                    (doc! { "$sum": path()? }, Bson::Null)
                }
                AggregateFunction::Min => (doc! { "$min": path()? }, Bson::Null),
                AggregateFunction::Max => (doc! { "$max": path()? }, Bson::Null),
                ref f => return Err(SqlError::internal(format!("{f:?} has no accumulator"))),
            };
            fields.insert(name.clone(), accumulated);
            over_nothing.insert(name.clone(), of_nothing);
            let ty = RemoteType { name: Kind::of(&a.ty).ok_or_else(|| super::unknown(&a.ty))?.name(), ..a.ty.clone() };
            columns.push(Bind { from: From::Path(name), ty, computed: true });
        }
        let wrong = self.wrong_in(&checks);
        if let Some(w) = &wrong {
            fields.insert(WRONG, doc! { "$sum": w.clone() });
            over_nothing.insert(WRONG, 0);
        }
        self.stages.push(doc! { "$group": fields });
        if !made_null.is_empty() {
            self.stages.push(doc! { "$set": made_null });
            self.stages.push(doc! { "$unset": unset });
        }
        if keys.is_empty() {
            over_nothing.insert(NOTHING, true);
            self.stages.push(doc! { "$unionWith": { "pipeline": [{ "$documents": [over_nothing] }] } });
            // Without the mark it is missing, which is lowest: the group comes first, where there is one.
            self.stages.push(doc! { "$sort": { NOTHING: 1 } });
            self.stages.push(doc! { "$limit": 1 });
        }
        self.columns = columns;
        self.original = false;
        self.wrong |= wrong.is_some();
        self.checked.extend(checks);
        Ok(())
    }

    /// 1 for a document in which a value has a wrong type, and what was counted below.
    fn wrong_in(&self, checks: &[(String, &'static [&'static str])]) -> Option<Bson> {
        let fine: Vec<Bson> = checks
            .iter()
            .map(|(path, types)| {
                let right: Vec<&str> = types.iter().copied().chain(["missing", "null"]).collect();
                doc! { "$in": [{ "$type": format!("${path}") }, right] }.into()
            })
            .collect();
        let own: Option<Bson> = match fine.len() {
            0 => None,
            1 => fine.into_iter().next().map(|f| doc! { "$cond": [f, 0, 1] }.into()),
            _ => Some(doc! { "$cond": [{ "$and": fine }, 0, 1] }.into()),
        };
        let below = self.wrong.then(|| Bson::String(format!("${WRONG}")));
        match (own, below) {
            (Some(a), Some(b)) => Some(doc! { "$add": [a, b] }.into()),
            (a, b) => a.or(b),
        }
    }
}

/// Its types are to be counted.
fn note(bind: &Bind, checks: &mut Vec<(String, &'static [&'static str])>) {
    let (Some(path), false) = (bind.path(), bind.computed) else { return };
    let Some(types) = Kind::of(&bind.ty).and_then(|k| k.bson_types()) else { return };
    if !checks.iter().any(|(p, _)| p == path) {
        checks.push((path.to_string(), types));
    }
}
