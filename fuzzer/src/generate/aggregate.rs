//! Aggregates and windows.

use super::{Generator, Visible};
use crate::ast::Expr;
use crate::types::Ty;

impl Generator<'_> {
    /// An aggregate of some column in sight.
    pub(super) fn aggregate(&mut self, sc: &[Visible]) -> Expr {
        let e = self.plain_aggregate(sc);
        if self.rng.chance(15) {
            self.feature("FILTER");
            let condition = self.boolean(sc, 1, false);
            let (ty, magnitude) = (e.ty, e.magnitude);
            return Expr::of(ty, "{} FILTER (WHERE {})", vec![e, condition]).bounded(magnitude);
        }
        e
    }

    fn plain_aggregate(&mut self, sc: &[Visible]) -> Expr {
        let count = |e: Expr| e.bounded(1e6);
        if sc.is_empty() || self.rng.chance(20) {
            self.feature("count(*)");
            return count(Expr::text(Ty::I8, "count(*)"));
        }
        let c = self.rng.pick(sc).clone();
        let own = if self.rng.chance(80) || !c.ty.is_ordered() {
            Expr::text(c.ty, c.sql.clone()).bounded(c.magnitude)
        } else {
            self.value(c.ty, sc, 1)
        };
        let ty = own.ty;
        match self.rng.below(6) {
            0 => {
                self.feature("count(x)");
                count(Expr::of(Ty::I8, "count({})", vec![own]))
            }
            1 if ty.is_ordered() => {
                self.feature("count(DISTINCT x)");
                self.equality(ty, ty);
                count(Expr::of(Ty::I8, "count(DISTINCT {})", vec![own]))
            }
            _ if ty.is_integer() || ty.is_decimal() => match self.rng.below(8) {
                0..=2 => {
                    self.feature("sum");
                    let result = if matches!(ty, Ty::I2 | Ty::I4) { Ty::I8 } else { Ty::Numeric };
                    Expr::of(result, "sum({})", vec![own])
                }
                3 => {
                    self.feature("sum(DISTINCT x)");
                    let result = if matches!(ty, Ty::I2 | Ty::I4) { Ty::I8 } else { Ty::Numeric };
                    Expr::of(result, "sum(DISTINCT {})", vec![own])
                }
                4 => {
                    self.feature("avg");
                    self.ours("scale of an average");
                    Expr::of(Ty::Numeric, "avg({})", vec![own])
                }
                _ => self.extreme(own),
            },
            _ if ty == Ty::Bool => {
                self.feature("bool_and, bool_or");
                let name = *self.rng.pick(&["bool_and", "bool_or"]);
                Expr::of(Ty::Bool, &format!("{name}({{}})"), vec![own])
            }
            // min and max know fewer types than comparison does.
            _ if ty.is_ordered() && !matches!(ty, Ty::Uuid | Ty::Bytes | Ty::Bool | Ty::Oid) => self.extreme(own),
            _ => count(Expr::of(Ty::I8, "count({})", vec![own])),
        }
    }

    fn extreme(&mut self, own: Expr) -> Expr {
        self.feature("min, max");
        self.order(own.ty, own.ty);
        self.merges(own.ty);
        let (ty, magnitude) = (own.ty, own.magnitude);
        let name = *self.rng.pick(&["min", "max"]);
        Expr::of(ty, &format!("{name}({{}})"), vec![own]).bounded(magnitude)
    }

    /// A window function; `unique` orders the rows.
    pub(super) fn window(&mut self, sc: &[Visible], unique: &Visible) -> Expr {
        self.feature("window functions");
        let keys: Vec<&Visible> = sc.iter().filter(|c| c.ty.is_ordered() && !matches!(c.ty, Ty::F4 | Ty::F8)).collect();
        let mut over = String::new();
        if self.rng.chance(60) && !keys.is_empty() {
            let key = (*self.rng.pick(&keys)).clone();
            self.equality(key.ty, key.ty);
            over = format!("PARTITION BY {} ", key.sql);
        }
        let direction = *self.rng.pick(&["", " DESC"]);
        over.push_str(&format!("ORDER BY {}{direction}", unique.sql));
        let column = (*self.rng.pick(sc)).clone();
        let own = Expr::text(column.ty, column.sql.clone()).bounded(column.magnitude);
        let ty = column.ty;
        match self.rng.below(6) {
            0 => Expr::text(Ty::I8, format!("row_number() OVER ({over})")),
            1 => Expr::text(Ty::I8, format!("rank() OVER ({over})")),
            2 => Expr::of(Ty::I8, &format!("count({{}}) OVER ({over})"), vec![own]),
            3 => Expr::of(ty, &format!("lag({{}}) OVER ({over})"), vec![own]),
            4 if ty.is_integer() => Expr::of(Ty::I8, &format!("sum({{}}) OVER ({over})"), vec![own]),
            _ => Expr::of(ty, &format!("first_value({{}}) OVER ({over})"), vec![own]),
        }
    }

    /// A type that a query may group by, DISTINCT and UNION.
    pub(super) fn groups(ty: Ty) -> bool {
        ty.is_ordered()
    }
}
