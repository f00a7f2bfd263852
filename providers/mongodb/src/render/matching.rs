//! Conditions in match language.
//!
//! Each is true or not: NULL is not. A condition on a field carries `{$not: {$type: "array"}}`, and so does every prefix of its path: of an array, the
//! source would test the elements.

use bson::{Bson, Document, doc};
use fjord_engine::pushdown::{Op, Scalar, Value};
use fjord_engine::{Result, SqlError};

use super::{Bind, Pipe};
use crate::render::bson;
use crate::types::Kind;

/// What no document matches.
pub(super) fn nothing() -> Document {
    doc! { "$nor": [{}] }
}

/// What every document matches.
fn everything() -> Document {
    Document::new()
}

impl Pipe {
    /// WHERE.
    pub(super) fn filter(&mut self, predicate: &Scalar) -> Result<()> {
        let conjuncts = match predicate {
            Scalar::Call { op: Op::And, args, .. } => args.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut all = vec![];
        for c in conjuncts {
            let d = self.condition(c)?;
            // `a AND b` in one document.
            match d.get_array("$and") {
                Ok(inner) if d.len() == 1 => all.extend(inner.iter().filter_map(|i| i.as_document().cloned())),
                _ => all.push(d),
            }
        }
        all.retain(|d| !d.is_empty());
        let mut seen: Vec<Document> = vec![];
        for d in all {
            if !seen.contains(&d) {
                seen.push(d);
            }
        }
        let stage = doc! { "$match": together("$and", seen) };
        // Fields that conditions needed have been made by stages before this one.
        self.stages.push(stage);
        Ok(())
    }

    fn condition(&mut self, s: &Scalar) -> Result<Document> {
        match s {
            Scalar::Column(_) => self.is_true(s),
            Scalar::Literal(Value::Bool(true), _) => Ok(everything()),
            Scalar::Literal(Value::Bool(false) | Value::Null, _) => Ok(nothing()),
            Scalar::Literal(..) => Err(SqlError::internal("a condition that is no boolean")),
            Scalar::Call { op: op @ (Op::And | Op::Or), args, .. } => {
                let all = args.iter().map(|a| self.condition(a)).collect::<Result<Vec<_>>>()?;
                Ok(together(if *op == Op::And { "$and" } else { "$or" }, all))
            }
            Scalar::Call { op: Op::Not, args, .. } => {
                // Of a boolean field or of a computed value: never of a condition, which knows no NULL.
                let bind = self.operand(first(args)?)?;
                Ok(test(&bind, doc! { "$eq": false }))
            }
            Scalar::Call { op, args, .. } => {
                let (operand, rest) = args.split_first().ok_or_else(|| SqlError::internal("a condition on nothing"))?;
                let bind = self.operand(operand)?;
                tested(op, &bind, rest)
            }
        }
    }

    fn is_true(&mut self, s: &Scalar) -> Result<Document> {
        let bind = self.operand(s)?;
        Ok(test(&bind, doc! { "$eq": true }))
    }
}

fn first(args: &[Scalar]) -> Result<&Scalar> {
    args.first().ok_or_else(|| SqlError::internal("an operator on nothing"))
}

/// `$and` or `$or` of several; one stands for itself.
fn together(op: &str, mut all: Vec<Document>) -> Document {
    match (all.len(), op) {
        (0, "$and") => everything(),
        (0, _) => nothing(),
        (1, _) => all.swap_remove(0),
        _ => {
            let mut d = Document::new();
            d.insert(op, all);
            d
        }
    }
}

/// `operator` on a field that is no array and in none.
fn test(bind: &Bind, operator: Document) -> Document {
    guarded(bind, vec![field_test(bind, operator)])
}

fn field_test(bind: &Bind, mut operator: Document) -> Document {
    if !bind.computed {
        operator.insert("$not", doc! { "$type": "array" });
    }
    on(bind.path().unwrap_or_default(), operator)
}

fn on(path: &str, operator: Document) -> Document {
    let mut d = Document::new();
    d.insert(path, operator);
    d
}

/// Conditions, and that no prefix of the path is an array.
fn guarded(bind: &Bind, mut all: Vec<Document>) -> Document {
    if !bind.computed {
        let path = bind.path().unwrap_or_default();
        for (at, _) in path.match_indices('.') {
            all.push(on(path.get(..at).unwrap_or_default(), doc! { "$not": { "$type": "array" } }));
        }
    }
    together("$and", all)
}

fn tested(op: &Op, bind: &Bind, rest: &[Scalar]) -> Result<Document> {
    let kind = Kind::of(&bind.ty).ok_or_else(|| SqlError::internal(format!("a condition on a column of type {}", bind.ty.name)))?;
    let literal = |s: &Scalar| match s {
        Scalar::Literal(v, _) => bson(v, &kind).ok_or_else(|| SqlError::internal(format!("a literal that is no {}", kind.name()))),
        _ => Err(SqlError::internal("a condition that compares with more than a literal")),
    };
    let values = rest.iter().map(literal).collect::<Result<Vec<_>>>()?;
    let one = || values.first().cloned().ok_or_else(|| SqlError::internal("a comparison with nothing"));
    Ok(match op {
        Op::Eq | Op::IsNotDistinctFrom => test(bind, doc! { "$eq": one()? }),
        Op::NotEq => test(bind, doc! { "$nin": [one()?, Bson::Null] }),
        Op::IsDistinctFrom => test(bind, doc! { "$ne": one()? }),
        Op::Lt => test(bind, doc! { "$lt": one()? }),
        Op::LtEq => test(bind, doc! { "$lte": one()? }),
        // NaN is above all numbers here, and beside them there.
        Op::Gt | Op::GtEq if kind == Kind::Double => {
            let op = if *op == Op::Gt { "$gt" } else { "$gte" };
            let mut above = Document::new();
            above.insert(op, one()?);
            let nan = doc! { "$eq": f64::NAN };
            guarded(bind, vec![doc! { "$or": [field_test(bind, above), field_test(bind, nan)] }])
        }
        Op::Gt => test(bind, doc! { "$gt": one()? }),
        Op::GtEq => test(bind, doc! { "$gte": one()? }),
        Op::In => test(bind, doc! { "$in": values }),
        Op::NotIn => {
            let mut all = values;
            all.push(Bson::Null);
            test(bind, doc! { "$nin": all })
        }
        Op::IsNull => match kind {
            // An undefined value is read as one.
            Kind::Json => {
                guarded(bind, vec![field_test(bind, doc! { "$eq": Bson::Null }), on_path(bind, doc! { "$not": { "$type": "undefined" } })])
            }
            _ => test(bind, doc! { "$eq": Bson::Null }),
        },
        Op::IsNotNull => match kind {
            Kind::Json => guarded(
                bind,
                vec![doc! { "$or": [
                    on_path(bind, doc! { "$ne": Bson::Null }),
                    on_path(bind, doc! { "$type": "array" }),
                    on_path(bind, doc! { "$type": "undefined" }),
                ] }],
            ),
            Kind::Array(_) => guarded(bind, vec![on_path(bind, doc! { "$type": "array" })]),
            _ => test(bind, doc! { "$ne": Bson::Null }),
        },
        Op::IsTrue => test(bind, doc! { "$eq": true }),
        Op::IsFalse => test(bind, doc! { "$eq": false }),
        Op::IsNotTrue => test(bind, doc! { "$ne": true }),
        Op::IsNotFalse => test(bind, doc! { "$ne": false }),
        Op::IsUnknown => test(bind, doc! { "$eq": Bson::Null }),
        Op::IsNotUnknown => test(bind, doc! { "$ne": Bson::Null }),
        op => return Err(SqlError::internal(format!("{op:?} has no match form"))),
    })
}

fn on_path(bind: &Bind, operator: Document) -> Document {
    on(bind.path().unwrap_or_default(), operator)
}
