//! From the remote query to an aggregation pipeline.
//!
//! [`matching`] writes conditions in match language, [`group`] `$group` and what makes its answers SQL's, [`value`] literals and the few expressions that are
//! computed. Everything is built as BSON values: there is no text that user data could get into. The text that is shown is the command as relaxed
//! extended JSON, which `remote_query` takes too.

mod group;
mod matching;
mod value;

use bson::{Bson, Document, RawDocumentBuf, doc};
use fjord_engine::pushdown::{Rel, RemoteType, Scalar, SortKey, Value};
use fjord_engine::{Result, SqlError};

use crate::json;
use crate::types::Kind;
pub(crate) use value::bson;

/// The prefix of fields that a pipeline makes for itself.
const OWN: &str = "__fjord_";

/// A pipeline and how its documents become rows.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub database: String,
    pub collection: String,
    pub stages: Vec<Document>,
    pub out: Vec<Out>,
    /// The field that counts values of wrong types, where documents were grouped.
    pub wrong: Option<String>,
    /// Fields whose types were counted: path and the types that are right.
    pub checked: Vec<(String, &'static [&'static str])>,
}

/// Where an output column comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Out {
    /// The field at a path; an empty one is the whole document.
    Path(String, Kind),
    /// The same in all rows.
    Const(Value, RemoteType),
}

/// A column of the relation so far.
#[derive(Debug, Clone)]
struct Bind {
    from: From,
    ty: RemoteType,
    /// Computed by the pipeline: of exactly its type, and in no array.
    computed: bool,
}

#[derive(Debug, Clone)]
enum From {
    Path(String),
    Const(Value),
}

impl Bind {
    fn path(&self) -> Option<&str> {
        match &self.from {
            From::Path(p) => Some(p),
            From::Const(_) => None,
        }
    }
}

/// A pipeline while it grows.
struct Pipe {
    database: String,
    collection: String,
    stages: Vec<Document>,
    columns: Vec<Bind>,
    /// The documents are those of the collection, perhaps with fields of ours.
    original: bool,
    wrong: bool,
    checked: Vec<(String, &'static [&'static str])>,
    own: usize,
}

/// The pipeline of a query.
pub(crate) fn query(rel: &Rel) -> Result<Query> {
    let mut pipe = pipe(rel)?;
    let mut out = vec![];
    for c in pipe.columns.clone() {
        out.push(match &c.from {
            From::Const(v) => Out::Const(v.clone(), c.ty.clone()),
            From::Path(p) => Out::Path(p.clone(), Kind::of(&c.ty).ok_or_else(|| unknown(&c.ty))?),
        });
    }
    if pipe.original {
        pipe.stages.extend(projection(&out, pipe.own));
    }
    let wrong = pipe.wrong.then(|| group::WRONG.to_string());
    Ok(Query { database: pipe.database, collection: pipe.collection, stages: pipe.stages, out, wrong, checked: pipe.checked })
}

/// The command as it is shown, without what belongs to one execution.
pub(crate) fn text(rel: &Rel) -> Result<String> {
    let q = query(rel)?;
    let command = doc! {
        "aggregate": q.collection, "pipeline": q.stages, "cursor": {}, "collation": { "locale": "simple" }, "$db": q.database,
    };
    shown(&command)
}

/// A command as relaxed extended JSON.
pub(crate) fn shown(command: &Document) -> Result<String> {
    let raw = RawDocumentBuf::try_from(command).map_err(|e| SqlError::internal(format!("a command cannot be written: {e}")))?;
    let mut out = String::new();
    json::document(&mut out, &raw).map_err(SqlError::internal)?;
    Ok(out)
}

fn unknown(ty: &RemoteType) -> SqlError {
    SqlError::internal(format!("a column of type {} in a pipeline", ty.name))
}

fn pipe(rel: &Rel) -> Result<Pipe> {
    match rel {
        Rel::Scan { schema, table, columns } => Ok(Pipe {
            database: schema.clone(),
            collection: table.clone(),
            stages: vec![],
            columns: columns
                .iter()
                .map(|c| {
                    let path = if c.ty.name == Kind::Raw.name() { String::new() } else { c.name.clone() };
                    Bind { from: From::Path(path), ty: c.ty.clone(), computed: false }
                })
                .collect(),
            original: true,
            wrong: false,
            checked: vec![],
            own: 0,
        }),
        Rel::Filter { input, predicate } => {
            let mut p = pipe(input)?;
            p.filter(predicate)?;
            Ok(p)
        }
        Rel::Project { input, exprs } => {
            let mut p = pipe(input)?;
            let columns = exprs.iter().map(|e| p.bind(e)).collect::<Result<Vec<_>>>()?;
            p.columns = columns;
            Ok(p)
        }
        Rel::Sort { input, keys } => {
            let mut p = pipe(input)?;
            p.sort(keys)?;
            Ok(p)
        }
        Rel::Limit { input, skip, fetch } => {
            let mut p = pipe(input)?;
            if *skip > 0 {
                p.stages.push(doc! { "$skip": whole(*skip) });
            }
            match fetch {
                None => {}
                // `$limit: 0` is an error there.
                Some(0) => p.stages.push(doc! { "$match": matching::nothing() }),
                Some(n) => p.stages.push(doc! { "$limit": whole(*n) }),
            }
            Ok(p)
        }
        Rel::Aggregate { input, keys, aggregates } => {
            let mut p = pipe(input)?;
            p.group(keys, aggregates)?;
            Ok(p)
        }
        Rel::Distinct { input } => {
            let mut p = pipe(input)?;
            let keys: Vec<Scalar> = (0..p.columns.len()).map(Scalar::Column).collect();
            p.group(&keys, &[])?;
            Ok(p)
        }
        Rel::Join { .. } | Rel::Union { .. } | Rel::GroupingSets { .. } => {
            Err(SqlError::internal("joins, unions and grouping sets have no pipeline"))
        }
    }
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Pipe {
    fn column(&self, i: usize) -> Result<&Bind> {
        self.columns.get(i).ok_or_else(|| SqlError::internal(format!("a pipeline has no column {i}")))
    }

    fn own_name(&mut self) -> String {
        self.own += 1;
        format!("{OWN}{}", self.own - 1)
    }

    /// A column for an expression, computed by a stage of its own where it is more than a field.
    fn bind(&mut self, e: &Scalar) -> Result<Bind> {
        match e {
            Scalar::Column(i) => self.column(*i).cloned(),
            Scalar::Literal(v, ty) => Ok(Bind { from: From::Const(v.clone()), ty: ty.clone(), computed: true }),
            Scalar::Call { op: fjord_engine::pushdown::Op::Cast, args, ty } => {
                let inner = self.bind(args.first().ok_or_else(|| SqlError::internal("a cast of nothing"))?)?;
                Ok(Bind { ty: ty.clone(), ..inner })
            }
            Scalar::Call { ty, .. } => {
                let computed = value::expression(e, &self.columns)?;
                self.set(computed, ty.clone())
            }
        }
    }

    fn set(&mut self, expression: Bson, ty: RemoteType) -> Result<Bind> {
        let name = self.own_name();
        let mut fields = Document::new();
        fields.insert(name.clone(), expression);
        self.stages.push(doc! { "$set": fields });
        // The kind tells how it is read: a boolean.
        let ty = if ty.name == RemoteType::boolean(true).name { RemoteType { name: Kind::Bool.name(), ..ty } } else { ty };
        Ok(Bind { from: From::Path(name), ty, computed: true })
    }

    /// The path of an operand, which is made a field where it is none.
    fn operand(&mut self, e: &Scalar) -> Result<Bind> {
        let bind = self.bind(e)?;
        match &bind.from {
            From::Path(_) => Ok(bind),
            From::Const(v) => {
                let literal = value::literal(v, &bind.ty)?;
                self.set(doc! { "$literal": literal }.into(), bind.ty.clone())
            }
        }
    }

    fn sort(&mut self, keys: &[SortKey]) -> Result<()> {
        let mut order = Document::new();
        let mut ranks = Document::new();
        for key in keys {
            let bind = self.bind(&key.expr)?;
            // A constant orders nothing.
            let Some(path) = bind.path().map(str::to_string) else { continue };
            if order.contains_key(&path) {
                continue;
            }
            // Nulls are lowest there.
            if bind.ty.nullable && key.nulls_first == key.descending {
                let name = self.own_name();
                let is_null = doc! { "$in": [{ "$type": format!("${path}") }, ["missing", "null", "undefined"]] };
                ranks.insert(name.clone(), doc! { "$cond": [is_null, 1, 0] });
                order.insert(name, if key.nulls_first { -1 } else { 1 });
            }
            order.insert(path, if key.descending { -1 } else { 1 });
        }
        if !ranks.is_empty() {
            self.stages.push(doc! { "$set": ranks });
        }
        if !order.is_empty() {
            self.stages.push(doc! { "$sort": order });
        }
        Ok(())
    }
}

/// Only what is read is sent.
fn projection(out: &[Out], own: usize) -> Option<Document> {
    let mut paths: Vec<&str> = out
        .iter()
        .filter_map(|o| match o {
            Out::Path(p, _) => Some(p.as_str()),
            Out::Const(..) => None,
        })
        .collect();
    if paths.iter().any(|p| p.is_empty()) {
        // The whole document, without what was added to it.
        let names: Vec<String> = (0..own).map(|i| format!("{OWN}{i}")).collect();
        return (own > 0).then(|| doc! { "$unset": names });
    }
    paths.sort_unstable();
    paths.dedup();
    let mut fields = Document::new();
    let mut id = false;
    for p in &paths {
        // A field and one inside of it collide: the outer brings both.
        let inside = paths.iter().any(|o| p.strip_prefix(o).is_some_and(|rest| rest.starts_with('.')));
        if !inside {
            id |= *p == "_id" || p.starts_with("_id.");
            fields.insert(*p, 1);
        }
    }
    match (id, fields.is_empty()) {
        (true, _) => {}
        (false, false) => {
            fields.insert("_id", 0);
        }
        // Rows of nothing are counted: something is sent.
        (false, true) => {
            fields.insert("_id", 1);
        }
    }
    Some(doc! { "$project": fields })
}
