//! Expressions.

use super::functions::{self, Function};
use super::{Generator, Visible};
use crate::ast::{Expr, Piece};
use crate::types::{Family, Kind, PATTERNS, Ty};

/// What a function takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arg {
    /// A text.
    Text,
    /// A text literal.
    Plain,
    /// A whole number from -3 to 6.
    Small,
    /// A whole number from 0 to 6.
    Count,
    /// An integer or a numeric.
    Exact,
    /// The same, of the result's type.
    Number,
    /// A double.
    Float,
    /// A date of our times.
    Date,
    /// A timestamp of our times.
    Ts,
    /// An instant of our times.
    Tz,
    /// A column of json.
    Json,
    /// A column of jsonb.
    Jsonb,
    /// A column of integer[].
    Ints,
    /// A column of text[].
    Texts,
}

/// Arithmetic stays below: all but a few expressions fit into every type.
const SAFE: f64 = 30_000.0;

impl Generator<'_> {
    /// A literal of a type.
    pub(super) fn literal(&mut self, ty: Ty) -> Expr {
        // A type may have values that a comparison must cope with although no row can have them.
        let value = match ty {
            Ty::Text(Kind::Enum) if self.rng.chance(30) => "nope".to_string(),
            Ty::I2 | Ty::I4 | Ty::I8 if self.rng.chance(60) => (self.rng.below(12).cast_signed() - 2).to_string(),
            Ty::Num(..) | Ty::Numeric if self.rng.chance(20) => {
                (*self.rng.pick(&["0.001", "1.499999", "-0.5", "99999999", "0.1", "42.0"])).to_string()
            }
            Ty::Ts if self.rng.chance(10) => {
                self.feature("literal finer than a microsecond");
                self.ours("literals finer than a microsecond");
                "1970-01-01 00:00:00.0000005".to_string()
            }
            _ => loop {
                let value = ty.value(&mut self.rng);
                if !value.contains("infinity") && value != "24:00:00" {
                    break value;
                }
            },
        };
        if ty == Ty::Bytes {
            self.ours("bytea literals");
            return Expr::text(ty, ty.literal(&value));
        }
        if matches!(ty, Ty::F4 | Ty::F8) && value == "-0" {
            self.feature("literal -0.0");
        }
        let magnitude = ty.magnitude(&value);
        let sql = match ty {
            // The bare forms that people write.
            Ty::Date | Ty::Ts | Ty::Tz | Ty::Uuid if self.rng.chance(40) && value.len() > 9 => crate::types::text_literal(&value),
            Ty::F8 if self.rng.chance(30) && value.parse::<f64>().is_ok_and(|v| v.is_finite() && v.abs() < 1e6 && v.abs() > 1e-6) => {
                format!("({value})")
            }
            _ => ty.literal(&value),
        };
        let ty_of = if let Ty::Text(_) = ty { Ty::Text(Kind::Plain) } else { ty };
        Expr::new(ty_of, vec![Piece::Literal { sql, value, oid: ty.oid() }]).bounded(magnitude)
    }

    fn column(&mut self, sc: &[Visible], fits: impl Fn(&Visible) -> bool) -> Option<Expr> {
        let fitting: Vec<&Visible> = sc.iter().filter(|c| fits(c)).collect();
        if fitting.is_empty() {
            return None;
        }
        let c = self.rng.pick(&fitting);
        Some(Expr::text(c.ty, c.sql.clone()).bounded(c.magnitude))
    }

    /// A value of this type or of one in its family.
    pub(super) fn value(&mut self, ty: Ty, sc: &[Visible], depth: usize) -> Expr {
        let family = ty.family();
        if depth == 0 || self.rng.chance(45) {
            return match self.rng.chance(80).then(|| self.column(sc, |c| c.ty.family() == family)).flatten() {
                Some(e) => e,
                None => self.literal(ty),
            };
        }
        if self.rng.chance(18) {
            return self.conditional(ty, sc, depth - 1);
        }
        let made = match ty {
            Ty::Bool => return self.boolean(sc, depth, false),
            Ty::Text(_) => self.function(functions::TEXTS, ty, sc, depth - 1),
            Ty::I2 | Ty::I4 | Ty::I8 | Ty::Num(..) | Ty::Numeric => self.number(ty, sc, depth - 1),
            Ty::F8 => self.function(functions::FLOATS, ty, sc, depth - 1),
            Ty::Ts => self.function(functions::TIMESTAMPS, ty, sc, depth - 1),
            Ty::Tz => self.function(functions::INSTANTS, ty, sc, depth - 1),
            Ty::Date => self.function(functions::DATES, ty, sc, depth - 1),
            _ => None,
        };
        match made {
            Some(e) => e,
            None => self.value(ty, sc, 0),
        }
    }

    fn function(&mut self, list: &'static [Function], ty: Ty, sc: &[Visible], depth: usize) -> Option<Expr> {
        let function = self.rng.pick(list);
        let mut kind = Kind::Plain;
        let mut magnitude = 1.0_f64;
        let mut operands = vec![];
        for arg in function.args {
            let e = match arg {
                Arg::Text => {
                    let e = self.value(Ty::Text(Kind::Plain), sc, depth);
                    kind = kind.with(e.ty.kind());
                    e
                }
                Arg::Plain => self.literal(Ty::Text(Kind::Plain)),
                Arg::Small | Arg::Count => {
                    let low = if matches!(arg, Arg::Small) { -3 } else { 0 };
                    let n = self.rng.below(if low < 0 { 10 } else { 7 }).cast_signed() + low;
                    Expr::text(Ty::I4, if n < 0 { format!("({n})") } else { n.to_string() }).bounded(6.0)
                }
                Arg::Exact => {
                    let ty = *self.rng.pick(&[Ty::I4, Ty::I8, Ty::Num(10, 2)]);
                    self.value(ty, sc, depth)
                }
                Arg::Number => self.value(ty, sc, depth),
                Arg::Float => self.column(sc, |c| c.ty == Ty::F8 && c.raw)?,
                Arg::Date => self.column(sc, |c| c.ty == Ty::Date && c.magnitude.is_finite())?,
                Arg::Ts => self.column(sc, |c| c.ty == Ty::Ts && c.magnitude.is_finite())?,
                Arg::Tz => self.column(sc, |c| c.ty == Ty::Tz && c.magnitude.is_finite())?,
                Arg::Json => self.column(sc, |c| c.ty == Ty::Json)?,
                Arg::Jsonb => self.column(sc, |c| c.ty == Ty::Jsonb)?,
                Arg::Ints => self.column(sc, |c| c.ty == Ty::Ints)?,
                Arg::Texts => self.column(sc, |c| c.ty == Ty::Texts)?,
            };
            magnitude = if matches!(arg, Arg::Text | Arg::Plain) { magnitude.max(1000.0) } else { magnitude.max(e.magnitude + 1.0) };
            operands.push(e);
        }
        if matches!(kind, Kind::Citext | Kind::Bpchar | Kind::Enum | Kind::Nondeterministic | Kind::Mixed) {
            self.ours("functions of that collation or type");
        }
        if let Some(reason) = function.ours {
            self.ours(reason);
        }
        self.feature("scalar functions");
        let ty = match ty {
            Ty::Text(_) => Ty::Text(kind),
            Ty::Num(..) | Ty::I2 => operands.first().map_or(ty, |e| e.ty),
            other => other,
        };
        let magnitude = if matches!(ty, Ty::Date | Ty::Ts | Ty::Tz) { 0.0 } else { magnitude };
        Some(Expr::of(ty, function.template, operands).bounded(magnitude))
    }

    /// Integers and numerics.
    fn number(&mut self, ty: Ty, sc: &[Visible], depth: usize) -> Option<Expr> {
        match self.rng.weighted(&[40, 15, 25, 10]) {
            0 => {
                let (a, b) = (self.value(ty, sc, depth), self.value(ty, sc, depth));
                let op = *self.rng.pick(&["+", "-", "*"]);
                let magnitude = if op == "*" { a.magnitude * b.magnitude } else { a.magnitude + b.magnitude };
                // Overflow is an error here and there, but the share of errors must stay small.
                if !(magnitude < SAFE || self.rng.chance(2)) {
                    return None;
                }
                self.feature("arithmetic");
                Some(Expr::of(a.ty, &format!("({{}} {op} {{}})"), vec![a, b]).bounded(magnitude))
            }
            1 => {
                let a = self.value(ty, sc, depth);
                let divisor = *self.rng.pick(&["2", "3", "-3", "7"]);
                let op = *self.rng.pick(&["/", "%"]);
                if ty.is_decimal() || a.ty.is_decimal() {
                    self.ours("scale of a quotient");
                }
                if a.magnitude > SAFE {
                    return None;
                }
                self.feature("arithmetic");
                let m = a.magnitude.max(7.0);
                Some(Expr::of(a.ty, &format!("({{}} {op} ({divisor}))"), vec![a]).bounded(m))
            }
            2 => self.function(functions::INTEGERS, Ty::I8, sc, depth),
            _ => self.function(functions::NUMBERS, ty, sc, depth),
        }
    }

    /// CASE, COALESCE, NULLIF.
    fn conditional(&mut self, ty: Ty, sc: &[Visible], depth: usize) -> Expr {
        let (a, b) = (self.value(ty, sc, depth), self.value(ty, sc, depth));
        let kind = a.ty.kind().with(b.ty.kind());
        if matches!(ty, Ty::Text(_)) && matches!(kind, Kind::Mixed | Kind::Citext | Kind::Bpchar | Kind::Enum | Kind::Nondeterministic) {
            self.ours("one result of several text types");
        }
        let magnitude = a.magnitude.max(b.magnitude);
        let result = if let Ty::Text(_) = ty { Ty::Text(kind) } else { a.ty };
        let e = match self.rng.below(5) {
            0 | 1 => {
                self.feature("CASE WHEN");
                let condition = self.boolean(sc, depth, false);
                let otherwise = if self.rng.chance(70) { "ELSE {} " } else { "" };
                let mut operands = vec![condition, a];
                if !otherwise.is_empty() {
                    operands.push(b);
                }
                Expr::of(result, &format!("CASE WHEN {{}} THEN {{}} {otherwise}END"), operands)
            }
            2 => {
                self.feature("CASE x WHEN");
                let subject = *self.rng.pick(&[Ty::I4, Ty::Text(Kind::Default), Ty::F8]);
                let (s, w) = (self.value(subject, sc, 0), self.literal(subject));
                self.equality(s.ty, w.ty);
                Expr::of(result, "CASE {} WHEN {} THEN {} ELSE {} END", vec![s, w, a, b])
            }
            3 => {
                self.feature("COALESCE");
                Expr::of(result, "COALESCE({}, {})", vec![a, b])
            }
            _ => {
                if !ty.is_ordered() {
                    return Expr::of(result, "COALESCE({}, {})", vec![a, b]).bounded(magnitude);
                }
                self.feature("NULLIF");
                self.equality(a.ty, b.ty);
                let result = a.ty;
                if a.ty != b.ty && ty.family() == Family::Float {
                    self.ours("the type of NULLIF over real and double precision");
                }
                Expr::of(result, "NULLIF({}, {})", vec![a, b])
            }
        };
        e.bounded(magnitude)
    }

    /// A condition. `top`: it is a conjunct of WHERE, where subqueries are.
    pub(super) fn boolean(&mut self, sc: &[Visible], depth: usize, top: bool) -> Expr {
        if depth > 0 {
            match self.rng.weighted(&[52, 14, 14, 9, 5, if top { 14 } else { 0 }]) {
                1 => {
                    let n = self.rng.between(2, 3);
                    let list = (0..n).map(|_| self.boolean(sc, depth - 1, top)).collect();
                    self.feature("AND");
                    return Expr::new(Ty::Bool, vec![Piece::Text("(".into()), Piece::List(list, " AND "), Piece::Text(")".into())]);
                }
                2 => {
                    let n = self.rng.between(2, 3);
                    // A subquery there becomes a mark join.
                    let marks = top && self.rng.chance(25);
                    let list = (0..n).map(|_| self.boolean(sc, depth - 1, marks)).collect();
                    self.feature("OR");
                    return Expr::new(Ty::Bool, vec![Piece::Text("(".into()), Piece::List(list, " OR "), Piece::Text(")".into())]);
                }
                3 => {
                    let e = self.boolean(sc, depth - 1, false);
                    self.feature("NOT");
                    return Expr::of(Ty::Bool, "(NOT {})", vec![e]);
                }
                4 => {
                    let e = self.boolean(sc, depth - 1, false);
                    self.feature("IS TRUE and its kin");
                    let test = *self.rng.pick(&["TRUE", "NOT TRUE", "FALSE", "NOT FALSE", "UNKNOWN", "NOT UNKNOWN"]);
                    return Expr::of(Ty::Bool, &format!("({{}} IS {test})"), vec![e]);
                }
                5 => {
                    if let Some(e) = self.subquery_condition(sc) {
                        return e;
                    }
                }
                _ => {}
            }
        }
        self.predicate(sc, depth.saturating_sub(1))
    }

    fn predicate(&mut self, sc: &[Visible], depth: usize) -> Expr {
        if sc.is_empty() {
            return Expr::text(Ty::Bool, "true");
        }
        let subject = self.rng.pick(sc).clone();
        let ty = subject.ty;
        let own = Expr::text(ty, subject.sql.clone()).bounded(subject.magnitude);
        let parts = match ty {
            Ty::Json | Ty::Jsonb => functions::DOCUMENTS,
            Ty::Ints | Ty::Texts => functions::ARRAYS,
            _ => &[],
        };
        if !parts.is_empty()
            && self.rng.chance(80)
            && let Some(e) = self.function(parts, Ty::Bool, sc, depth)
        {
            self.feature("JSON operators and arrays");
            return e;
        }
        if !ty.is_ordered() || self.rng.chance(7) {
            self.feature("IS NULL");
            let not = if self.rng.chance(50) { "NOT " } else { "" };
            return Expr::of(Ty::Bool, &format!("({{}} IS {not}NULL)"), vec![own]);
        }
        if ty == Ty::Bool {
            return if self.rng.chance(60) { own } else { Expr::of(Ty::Bool, "({} = {})", vec![own, Expr::text(Ty::Bool, "true")]) };
        }
        let left = if self.rng.chance(70) { own } else { self.value(ty, sc, depth) };
        match self.rng.weighted(&[
            42,
            12,
            8,
            10,
            if matches!(ty, Ty::Text(_)) { 18 } else { 0 },
            if matches!(ty, Ty::Text(_)) { 6 } else { 0 },
            if matches!(ty, Ty::Date | Ty::Ts | Ty::Tz) { 8 } else { 0 },
        ]) {
            6 => match self.function(functions::MOMENTS, Ty::Bool, sc, depth) {
                Some(e) => {
                    self.feature("days beside moments");
                    e
                }
                None => Expr::of(Ty::Bool, "({} IS NOT NULL)", vec![left]),
            },
            1 => self.in_list(left, ty),
            2 => {
                let (low, high) = (self.literal(ty), self.literal(ty));
                self.order(left.ty, low.ty);
                self.feature("BETWEEN");
                let not = if self.rng.chance(30) { "NOT " } else { "" };
                Expr::of(Ty::Bool, &format!("({{}} {not}BETWEEN {{}} AND {{}})"), vec![left, low, high])
            }
            3 => {
                let right = if self.rng.chance(50) { self.literal(ty) } else { self.value(ty, sc, 0) };
                self.equality(left.ty, right.ty);
                self.feature("IS DISTINCT FROM");
                let not = if self.rng.chance(50) { "NOT " } else { "" };
                Expr::of(Ty::Bool, &format!("({{}} IS {not}DISTINCT FROM {{}})"), vec![left, right])
            }
            4 => {
                let pattern = (*self.rng.pick(PATTERNS)).to_string();
                if matches!(left.ty.kind(), Kind::Nondeterministic | Kind::Citext | Kind::Bpchar | Kind::Enum | Kind::Mixed) {
                    self.ours("LIKE of that collation or type");
                }
                self.feature("LIKE");
                let not = if self.rng.chance(30) { "NOT " } else { "" };
                let pattern = Expr::new(
                    Ty::Text(Kind::Plain),
                    vec![Piece::Literal { sql: crate::types::text_literal(&pattern), value: pattern, oid: 25 }],
                );
                Expr::of(Ty::Bool, &format!("({{}} {not}LIKE {{}})"), vec![left, pattern])
            }
            5 => self.function(functions::BOOLEANS, Ty::Bool, sc, depth).unwrap_or_else(|| Expr::text(Ty::Bool, "true")),
            _ => {
                let right = match self.rng.weighted(&[60, 20, 20]) {
                    0 => self.literal(ty),
                    1 => self.value(ty, sc, 0),
                    _ => self.value(ty, sc, depth),
                };
                let op = *self.rng.pick(&["=", "=", "=", "<>", "<", "<=", ">", ">="]);
                if matches!(op, "=" | "<>") {
                    self.equality(left.ty, right.ty);
                } else {
                    self.order(left.ty, right.ty);
                }
                self.feature("comparison");
                Expr::of(Ty::Bool, &format!("({{}} {op} {{}})"), vec![left, right])
            }
        }
    }

    fn in_list(&mut self, left: Expr, ty: Ty) -> Expr {
        let n = if self.rng.chance(10) { 30 } else { self.rng.between(1, 5) };
        let mut list: Vec<Expr> = (0..n).map(|_| self.literal(ty)).collect();
        if self.rng.chance(15) {
            list.push(Expr::text(ty, "NULL"));
        }
        self.equality(left.ty, Ty::Text(Kind::Plain));
        let not = if self.rng.chance(35) { "NOT " } else { "" };
        // A numeric beside an array of integers: COMPAT.md.
        let fits = matches!(ty, Ty::I2 | Ty::I4 | Ty::Text(Kind::Default | Kind::C)) && !left.ty.is_decimal();
        if fits && self.rng.chance(20) {
            self.feature("= ANY(ARRAY[...])");
            let op = if not.is_empty() { "= ANY" } else { "<> ALL" };
            let pieces = vec![
                Piece::Text("(".into()),
                Piece::Expr(left),
                Piece::Text(format!(" {op} (ARRAY[")),
                Piece::List(list, ", "),
                Piece::Text("]))".into()),
            ];
            // An element that is NULL: COMPAT.md.
            self.ours("beside an element that is NULL no match is false, not NULL");
            return Expr::new(Ty::Bool, pieces);
        }
        self.feature(if not.is_empty() { "IN list" } else { "NOT IN list" });
        if ty.family() == Family::Float {
            self.feature("IN list of floats");
        }
        let pieces = vec![
            Piece::Text("(".into()),
            Piece::Expr(left),
            Piece::Text(format!(" {not}IN (")),
            Piece::List(list, ", "),
            Piece::Text("))".into()),
        ];
        Expr::new(Ty::Bool, pieces)
    }
}
