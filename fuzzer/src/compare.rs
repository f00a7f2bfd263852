//! When two answers are the same.

use std::collections::HashMap;

use crate::ast::Query;
use crate::types::{Kind, Ty};
use crate::wire::{Answer, Row};

/// What of two answers must agree.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Output columns that the rows are sorted by, outermost first.
    pub sorted_by: Vec<usize>,
    /// Which rows come is not defined: only their number is, and the keys.
    pub any_rows: bool,
    /// 0 and -0 are the same.
    pub loose_zero: bool,
    /// Columns that are trimmed before they are compared.
    pub types: Vec<Ty>,
    /// The other side is Postgres: numbers have trailing zeros there, char(n) is padded, and the order of some texts is another.
    pub postgres: bool,
}

impl Rules {
    /// What a query defines.
    pub fn of(query: &Query, types: &[Ty], loose_zero: bool, postgres: bool) -> Rules {
        let mut sorted_by = query.sorted_by();
        if postgres {
            let defined = |i: &usize| types.get(*i).is_some_and(|t| matches!(t.kind(), Kind::Plain | Kind::Default | Kind::C));
            sorted_by = sorted_by.into_iter().take_while(defined).collect();
        }
        let limited = query.limit.is_some() || query.offset.is_some();
        Rules { sorted_by, any_rows: limited && !query.is_total(), loose_zero, types: types.to_vec(), postgres }
    }

    /// In words, how two answers differ; `None` where they do not.
    pub fn difference(&self, a: &Answer, b: &Answer) -> Option<String> {
        if !self.postgres && a.columns != b.columns {
            return Some(format!("columns differ: {:?} and {:?}", a.columns, b.columns));
        }
        if a.rows.len() != b.rows.len() {
            return Some(format!("{} and {} rows{}", a.rows.len(), b.rows.len(), self.only(a, b)));
        }
        let (left, right) = (self.rows(a), self.rows(b));
        // Postgres's sort leaves 0 and -0 as they come.
        let key = |v: &Option<String>| v.clone().map(|v| if self.postgres && v == "-0" { "0".into() } else { v });
        let keys = |r: &Row| self.sorted_by.iter().map(|i| r.get(*i).and_then(key)).collect::<Vec<_>>();
        if let Some(at) = left.iter().zip(&right).position(|(x, y)| keys(x) != keys(y)) {
            return Some(format!("the sort keys differ at row {at}: {:?} and {:?}", keys(&left[at]), keys(&right[at])));
        }
        if self.any_rows {
            return None;
        }
        let only = self.only(a, b);
        (!only.is_empty()).then(|| format!("the rows differ{only}"))
    }

    /// Rows of `part` that `whole` does not have.
    pub fn not_among(&self, part: &Answer, whole: &Answer) -> Option<String> {
        let mut counts = counted(&self.rows(whole));
        for row in self.rows(part) {
            match counts.get_mut(&row) {
                Some(n) if *n > 0 => *n -= 1,
                _ => return Some(format!("row {row:?} is none of the rows without LIMIT")),
            }
        }
        None
    }

    fn only(&self, a: &Answer, b: &Answer) -> String {
        let (x, y) = (self.rows(a), self.rows(b));
        let (cx, cy) = (counted(&x), counted(&y));
        let mut text = String::new();
        for (name, own, other) in [("first", &cx, &cy), ("second", &cy, &cx)] {
            let mut more: Vec<String> = own
                .iter()
                .filter(|(r, n)| other.get(*r).copied().unwrap_or(0) < **n)
                .map(|(r, n)| format!("{n} x {r:?} (the other: {})", other.get(r).copied().unwrap_or(0)))
                .collect();
            more.sort();
            if !more.is_empty() {
                text.push_str(&format!("; more in the {name}: {}", more.iter().take(3).cloned().collect::<Vec<_>>().join(", ")));
            }
        }
        text
    }

    fn rows(&self, a: &Answer) -> Vec<Row> {
        a.rows.iter().map(|r| r.iter().enumerate().map(|(i, v)| v.as_ref().map(|v| self.value(i, v))).collect()).collect()
    }

    fn value(&self, i: usize, value: &str) -> String {
        if self.loose_zero && value == "-0" {
            return "0".into();
        }
        match self.types.get(i) {
            Some(Ty::Text(Kind::Bpchar)) if self.postgres => value.trim_end_matches(' ').into(),
            Some(t) if self.postgres && (t.is_decimal() || t.is_integer()) && value.contains('.') => {
                value.trim_end_matches('0').trim_end_matches('.').into()
            }
            _ => value.into(),
        }
    }
}

fn counted(rows: &[Row]) -> HashMap<Row, usize> {
    let mut counts = HashMap::new();
    for row in rows {
        *counts.entry(row.clone()).or_insert(0) += 1;
    }
    counts
}
