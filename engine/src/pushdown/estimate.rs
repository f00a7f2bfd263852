//! How many rows a remote query may give, and how many distinct values its columns: for the order of joins here, and for whether a join at the
//! source sends less than its sides would.
//!
//! All of it is a guess from the source's own statistics; no answer ever depends on it.

use super::ir::{JoinKind, Op, Scalar};
use super::remote::RemoteQuery;
use crate::source::TableInfo;

/// Bytes of a value of which nothing is known.
const WIDTH_UNKNOWN: u32 = 16;
/// Distinct values of a column of which nothing is known: Postgres's own guess.
const DISTINCT_UNKNOWN: u64 = 200;
/// An unknown number of rows is no reason against a join that certainly gives no more than this.
const SMALL_RESULT_ROWS: u64 = 1_000;
/// A result of so many bytes costs less than the second query that it saves.
const SMALL_RESULT_BYTES: u64 = 1 << 20;
/// Keys that are followed through a query; each join may add some.
const KEYS_MAX: usize = 8;

/// What is estimated of one output column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColumnEstimate {
    /// Distinct values.
    pub distinct: Option<u64>,
    /// Fraction of NULLs, 0 to 1.
    pub null_fraction: f64,
    /// Bytes a value.
    pub width: u32,
}

impl ColumnEstimate {
    /// Of a computed column.
    pub const UNKNOWN: ColumnEstimate = ColumnEstimate { distinct: None, null_fraction: 0.1, width: WIDTH_UNKNOWN };

    /// Of a table's column.
    pub fn of(table: &TableInfo, column: usize) -> ColumnEstimate {
        let Some(c) = table.columns.get(column) else { return ColumnEstimate::UNKNOWN };
        let unique = table.keys.iter().any(|k| k.columns == [column]);
        let plain_width = || c.remote.arrow.primitive_width().and_then(|w| u32::try_from(w).ok()).unwrap_or(32);
        ColumnEstimate {
            // A key by itself: each value once.
            distinct: if unique { table.rows } else { c.stats.and_then(|s| s.distinct) },
            null_fraction: c.stats.map_or(if c.remote.nullable { 0.1 } else { 0.0 }, |s| s.null_fraction),
            width: c.stats.map_or_else(plain_width, |s| s.average_width),
        }
    }
}

/// What the sides of a join would send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Rows; `None`: not known.
    pub rows: Option<u64>,
    /// The sides' keys rule out that the join has more rows than they.
    pub bounded: bool,
    /// Bytes, where rows are known.
    pub bytes: Option<u64>,
}

impl Budget {
    /// Of one side.
    pub(super) fn of(query: &RemoteQuery) -> Budget {
        match &query.tentative {
            Some(trial) => trial.budget,
            None => Budget { rows: query.estimated_rows(), bounded: true, bytes: query.estimated_bytes() },
        }
    }

    /// Of two sides.
    pub(super) fn and(self, other: Budget) -> Budget {
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.saturating_add(b));
        Budget { rows: sum(self.rows, other.rows), bounded: self.bounded && other.bounded, bytes: sum(self.bytes, other.bytes) }
    }
}

/// What a join makes of its sides' rows.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinEstimate {
    /// Rows of the result.
    pub rows: Option<u64>,
    /// A bound that is certain.
    pub rows_max: Option<u64>,
    /// The sides' keys do not rule out that the result has more rows than both sides together.
    pub multiplies: bool,
    /// Keys of the result, over left's columns then right's.
    pub keys: Vec<Vec<usize>>,
}

impl RemoteQuery {
    /// Rows left by a condition: from distinct counts and NULL fractions where the source has them, else the usual guesses.
    pub(super) fn estimate(&self, rows: u64, condition: &Scalar) -> u64 {
        scaled(rows, self.selectivity(condition)).max(1)
    }

    #[allow(clippy::cast_precision_loss)]
    fn selectivity(&self, s: &Scalar) -> f64 {
        let Scalar::Call { op, args, .. } = s else { return 0.5 };
        let column = args.first().and_then(|a| self.estimate_of(a));
        let equal = || match column.and_then(|c| c.distinct) {
            Some(d) => 1.0 / (d.max(1) as f64),
            None => 0.1,
        };
        let nulls = || column.map_or(0.1, |c| c.null_fraction);
        match op {
            Op::And => args.iter().map(|a| self.selectivity(a)).product(),
            Op::Or => args.iter().map(|a| self.selectivity(a)).sum::<f64>().min(1.0),
            Op::Not => 1.0 - args.first().map_or(0.5, |a| self.selectivity(a)),
            Op::Eq | Op::IsNotDistinctFrom => equal(),
            Op::In => equal() * (args.len().saturating_sub(1) as f64),
            Op::NotEq | Op::NotIn => 0.9,
            Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => 0.33,
            Op::IsNull => nulls(),
            Op::IsNotNull => 1.0 - nulls(),
            Op::Like | Op::ILike => 0.1,
            _ => 0.5,
        }
    }

    /// Of the column behind an expression that changes its form only.
    fn estimate_of(&self, s: &Scalar) -> Option<ColumnEstimate> {
        match s {
            Scalar::Column(i) => self.columns.get(*i).copied(),
            Scalar::Call { op: Op::Source(_) | Op::Cast, args, .. } => args.first().and_then(|a| self.estimate_of(a)),
            _ => None,
        }
    }

    /// Distinct values of an output column.
    pub fn distinct_of(&self, output: usize) -> Option<u64> {
        self.columns.get(output).and_then(|c| c.distinct)
    }

    /// Bytes of an output row.
    pub fn row_width(&self) -> usize {
        self.columns.iter().map(|c| c.width as usize).sum()
    }

    /// Rows to plan with.
    pub fn estimated_rows(&self) -> Option<u64> {
        match (self.rows, self.rows_max) {
            (Some(r), Some(m)) => Some(r.min(m)),
            (r, m) => r.or(m),
        }
    }

    /// Bytes to plan with.
    pub(super) fn estimated_bytes(&self) -> Option<u64> {
        self.estimated_rows().map(|rows| rows.saturating_mul(self.row_width() as u64))
    }

    /// Whether it may well send more than `budget`.
    pub(super) fn exceeds(&self, budget: Budget) -> bool {
        if self.rows_max.is_some_and(|m| m <= SMALL_RESULT_ROWS) {
            return false;
        }
        let rows = match (self.estimated_rows(), budget.rows) {
            _ if budget.bounded => false,
            (Some(rows), Some(budget)) => rows > budget,
            _ => true,
        };
        // Each row of a join repeats what is wide on the other side.
        let bytes = self.estimated_bytes().zip(budget.bytes).is_some_and(|(bytes, max)| bytes > max.max(SMALL_RESULT_BYTES));
        rows || bytes
    }

    /// The groups of these columns; `None` where a column is computed or not known.
    pub(super) fn groups(&self, columns: &[Option<usize>]) -> Option<u64> {
        let mut product: u64 = 1;
        for c in columns {
            product = product.saturating_mul(self.distinct_of((*c)?)?);
        }
        Some(product.max(1))
    }

    /// A join with `right` on equal pairs of expressions and the conditions `rest`, both over their own side's columns and both sides' columns.
    pub(super) fn joined(&self, right: &RemoteQuery, kind: JoinKind, pairs: &[(Scalar, Scalar)], rest: &[Scalar]) -> JoinEstimate {
        let width = self.types.len();
        let plain = |s: &Scalar| match s {
            Scalar::Column(i) => Some(*i),
            _ => None,
        };
        let covered = |q: &RemoteQuery, on: &[Option<usize>]| {
            q.rows_max == Some(1) || q.keys.iter().any(|k| !k.is_empty() && k.iter().all(|c| on.contains(&Some(*c))))
        };
        let (lefts, rights): (Vec<_>, Vec<_>) = pairs.iter().map(|(l, r)| (plain(l), plain(r))).unzip();
        let (left_once, right_once) = (covered(self, &lefts), covered(right, &rights));
        let (l, r) = (self.estimated_rows(), right.estimated_rows());
        let mut inner = l.zip(r).map(|(l, r)| {
            let all = l.saturating_mul(r);
            let equal = pairs.iter().map(|(a, b)| self.pair_selectivity(a, l, right, b, r)).product::<f64>();
            scaled(all, equal * rest.iter().map(|_| 0.5).product::<f64>()).max(1)
        });
        for (once, other) in [(right_once, l), (left_once, r)] {
            if let (true, Some(bound)) = (once, other) {
                inner = Some(inner.map_or(bound, |i| i.min(bound)));
            }
        }
        let at_least = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.max(b));
        let matched = l.zip(inner).map(|(l, i)| l.min(i));
        let rows = match kind {
            JoinKind::Inner => inner,
            JoinKind::Left if right_once => l,
            JoinKind::Left => at_least(inner, l),
            JoinKind::Right if left_once => r,
            JoinKind::Right => at_least(inner, r),
            JoinKind::Full => inner.zip(l.zip(r)).map(|(i, (l, r))| i.max(l.saturating_add(r).saturating_sub(i.min(l).min(r)))),
            JoinKind::Semi => matched,
            JoinKind::Anti => l.zip(matched).map(|(l, m)| (l - m).max(1)),
            JoinKind::Mark => l,
        };
        let keeps_left = matches!(kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark);
        let rows_max = match kind {
            _ if keeps_left => self.rows_max,
            JoinKind::Inner | JoinKind::Left if right_once => self.rows_max,
            JoinKind::Inner | JoinKind::Right if left_once => right.rows_max,
            JoinKind::Inner => self.rows_max.zip(right.rows_max).map(|(l, r)| l.saturating_mul(r)),
            _ => None,
        };
        let mut keys = vec![];
        if keeps_left || (right_once && matches!(kind, JoinKind::Inner | JoinKind::Left)) {
            keys.extend(self.keys.iter().cloned());
        }
        if left_once && matches!(kind, JoinKind::Inner | JoinKind::Right) {
            keys.extend(right.keys.iter().map(|k| k.iter().map(|c| c + width).collect()));
        }
        keys.truncate(KEYS_MAX);
        JoinEstimate { rows, rows_max, multiplies: !(keeps_left || left_once || right_once), keys }
    }

    /// The part of all pairs of rows that an equality keeps.
    #[allow(clippy::cast_precision_loss)]
    fn pair_selectivity(&self, a: &Scalar, rows: u64, right: &RemoteQuery, b: &Scalar, right_rows: u64) -> f64 {
        let (a, b) = (self.estimate_of(a), right.estimate_of(b));
        let distinct = |c: Option<ColumnEstimate>, rows: u64| c.and_then(|c| c.distinct).unwrap_or(DISTINCT_UNKNOWN).clamp(1, rows.max(1));
        let present = |c: Option<ColumnEstimate>| 1.0 - c.map_or(0.0, |c| c.null_fraction);
        present(a) * present(b) / (distinct(a, rows).max(distinct(b, right_rows)) as f64)
    }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn scaled(rows: u64, by: f64) -> u64 {
    (rows as f64 * by.clamp(0.0, 1.0)).ceil() as u64
}
