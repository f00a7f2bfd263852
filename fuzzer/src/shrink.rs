//! From a failing query to a small one that fails in the same way: parts are dropped or simplified as long as it still fails.

use crate::ast::{Body, Expr, From, Piece, Query, Select};
use crate::types::Ty;

/// Every query that is one step smaller, the largest steps first.
pub fn smaller(query: &Query) -> Vec<Query> {
    let mut out = vec![];
    for i in 0..query.with.len() {
        let mut q = query.clone();
        q.with.remove(i);
        out.push(q);
    }
    if let Body::Set(_, left, right) = &query.body {
        for arm in [left, right] {
            let mut q = (**arm).clone();
            q.with.extend(query.with.iter().cloned());
            out.push(q);
        }
    }
    if query.limit.is_some() || query.offset.is_some() {
        out.push(Query { limit: None, offset: None, ..query.clone() });
    }
    if query.offset.is_some() {
        out.push(Query { offset: None, ..query.clone() });
    }
    if !query.order.is_empty() {
        out.push(Query { order: vec![], ..query.clone() });
        for i in 0..query.order.len() {
            let mut q = query.clone();
            q.order.remove(i);
            out.push(q);
        }
    }
    for (i, (_, inner)) in query.with.iter().enumerate() {
        for s in smaller(inner) {
            let mut q = query.clone();
            q.with[i].1 = s;
            out.push(q);
        }
    }
    match &query.body {
        Body::Select(s) => out.extend(selects(s).into_iter().map(|s| Query { body: Body::Select(Box::new(s)), ..query.clone() })),
        Body::Set(op, left, right) => {
            let with = |l: &Query, r: &Query| Query { body: Body::Set(op, Box::new(l.clone()), Box::new(r.clone())), ..query.clone() };
            out.extend(smaller(left).iter().map(|l| with(l, right)));
            out.extend(smaller(right).iter().map(|r| with(left, r)));
        }
    }
    out
}

fn selects(s: &Select) -> Vec<Select> {
    let mut out = vec![];
    if s.filter.is_some() {
        out.push(Select { filter: None, ..s.clone() });
    }
    if s.having.is_some() {
        out.push(Select { having: None, ..s.clone() });
    }
    if s.distinct {
        out.push(Select { distinct: false, ..s.clone() });
    }
    if s.items.len() > 1 {
        for i in (0..s.items.len()).rev() {
            let mut t = s.clone();
            let (removed, _) = t.items.remove(i);
            // A key that is selected no more may go too.
            let mut u = t.clone();
            u.group.retain(|g| format!("{g:?}") != format!("{removed:?}"));
            if u.group.len() < t.group.len() {
                out.push(u);
            }
            out.push(t);
        }
    }
    if !s.sets.is_empty() {
        out.push(Select { sets: "", ..s.clone() });
    }
    for i in 0..s.group.len() {
        let mut t = s.clone();
        t.group.remove(i);
        out.push(t);
    }
    if let Some(from) = &s.from {
        out.extend(froms(from).into_iter().map(|f| Select { from: Some(f), ..s.clone() }));
    }
    if let Some(filter) = &s.filter {
        out.extend(exprs(filter).into_iter().map(|e| Select { filter: Some(e), ..s.clone() }));
    }
    if let Some(having) = &s.having {
        out.extend(exprs(having).into_iter().map(|e| Select { having: Some(e), ..s.clone() }));
    }
    for i in 0..s.items.len() {
        for e in exprs(&s.items[i].0) {
            let mut t = s.clone();
            let before = format!("{:?}", t.items[i].0);
            for g in &mut t.group {
                if format!("{g:?}") == before {
                    *g = e.clone();
                }
            }
            t.items[i].0 = e;
            out.push(t);
        }
    }
    out
}

fn froms(from: &From) -> Vec<From> {
    let mut out = vec![];
    match from {
        From::Join { kind, left, right, on, using } => {
            out.push((**left).clone());
            out.push((**right).clone());
            let join = |l: &From, r: &From, on: &Option<Expr>| From::Join {
                kind,
                left: Box::new(l.clone()),
                right: Box::new(r.clone()),
                on: on.clone(),
                using: using.clone(),
            };
            out.extend(froms(left).iter().map(|l| join(l, right, on)));
            out.extend(froms(right).iter().map(|r| join(left, r, on)));
            if let Some(on) = on {
                out.extend(exprs(on).into_iter().map(|e| join(left, right, &Some(e))));
                if *kind != "JOIN" {
                    out.push(From::Join { kind: "JOIN", left: left.clone(), right: right.clone(), on: Some(on.clone()), using: vec![] });
                }
            }
        }
        From::Sub(query, alias) => {
            out.extend(smaller(query).into_iter().map(|q| From::Sub(Box::new(q), alias.clone())));
            if let Body::Select(s) = &query.body
                && let Some(From::Table { name, file, .. }) = &s.from
            {
                out.push(From::Table { name: name.clone(), file: *file, alias: Some(alias.clone()) });
            }
        }
        From::Table { .. } | From::Cte(..) => {}
    }
    out
}

fn exprs(e: &Expr) -> Vec<Expr> {
    let mut out = vec![];
    for (i, piece) in e.pieces.iter().enumerate() {
        match piece {
            Piece::Expr(operand) => {
                if operand.ty.family() == e.ty.family() {
                    out.push(operand.clone());
                }
                out.extend(exprs(operand).into_iter().map(|o| with_piece(e, i, Piece::Expr(o))));
            }
            Piece::List(list, separator) => {
                for at in 0..list.len() {
                    if list[at].ty.family() == e.ty.family() && *separator != ", " {
                        out.push(list[at].clone());
                    }
                    if list.len() > 1 {
                        let mut fewer = list.clone();
                        fewer.remove(at);
                        out.push(with_piece(e, i, Piece::List(fewer, separator)));
                    }
                    for o in exprs(&list[at]) {
                        let mut other = list.clone();
                        other[at] = o;
                        out.push(with_piece(e, i, Piece::List(other, separator)));
                    }
                }
            }
            Piece::Query(q) => out.extend(smaller(q).into_iter().map(|q| with_piece(e, i, Piece::Query(Box::new(q))))),
            Piece::Text(_) | Piece::Literal { .. } => {}
        }
    }
    if e.ty == Ty::Bool && e.pieces.len() > 1 {
        out.push(Expr::text(Ty::Bool, "true"));
    }
    out
}

fn with_piece(e: &Expr, i: usize, piece: Piece) -> Expr {
    let mut e = e.clone();
    e.pieces[i] = piece;
    e
}
