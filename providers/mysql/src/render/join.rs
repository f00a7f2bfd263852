//! Joins. Sides that are no more than tables, conditions and joins stand in one FROM; anything else is a subselect.

use fjord_engine::pushdown::{JoinKind, Op, Rel, Scalar};
use fjord_engine::{Result, SqlError};

use super::scalar::Text;
use super::{Block, Names, condition};
use crate::dialect::form;

/// The query joins, so that its tables need aliases.
pub(super) fn has_join(rel: &Rel) -> bool {
    match rel {
        Rel::Join { .. } => true,
        Rel::Scan { .. } => false,
        Rel::Filter { input, .. }
        | Rel::Project { input, .. }
        | Rel::Aggregate { input, .. }
        | Rel::GroupingSets { input, .. }
        | Rel::Distinct { input }
        | Rel::Sort { input, .. }
        | Rel::Limit { input, .. } => has_join(input),
        Rel::Union { inputs } => inputs.iter().any(has_join),
    }
}

/// What an AND holds, however deep it nests.
fn conjuncts(s: &Scalar) -> Vec<&Scalar> {
    match s {
        Scalar::Call { op: Op::And, args, .. } => args.iter().flat_map(conjuncts).collect(),
        one => vec![one],
    }
}

/// Of `a = b AND bytes(a) = bytes(b)` keeps the second, which says it all.
///
/// Inside of EXISTS a comparison by a column's collation is not only a condition: the servers may make a table of the values that it takes for
/// different, and of 'a' and 'A' keep one.
fn only_bytes(parts: &mut Vec<&Scalar>) {
    let sides = |s: &Scalar| match s {
        Scalar::Call { op: Op::Eq, args, .. } => match args.as_slice() {
            [a, b] => Some((a.clone(), b.clone())),
            _ => None,
        },
        _ => None,
    };
    let inner = |s: &Scalar| match s {
        Scalar::Call { op: Op::Source(name), args, .. } if matches!(name.as_str(), form::BYTES | form::BYTES_CONVERTED) => {
            args.first().cloned()
        }
        _ => None,
    };
    let by_bytes: Vec<(Scalar, Scalar)> = parts.iter().filter_map(|p| sides(p)).filter_map(|(a, b)| inner(&a).zip(inner(&b))).collect();
    parts.retain(|p| sides(p).is_none_or(|pair| !by_bytes.contains(&pair)));
}

impl Block {
    pub(super) fn join(left: &Rel, right: &Rel, kind: JoinKind, on: Option<&Scalar>, names: &mut Names) -> Result<Block> {
        let (padded_left, padded_right) = match kind {
            JoinKind::Left => (false, true),
            JoinKind::Right => (true, false),
            JoinKind::Full => return Err(SqlError::internal("a FULL JOIN was never judged safe on MySQL")),
            JoinKind::Inner | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => (false, false),
        };
        let mut left = Block::of(left, names)?.into_side(padded_left, names);
        let right = Block::of(right, names)?.into_side(padded_right, names);
        let both: Vec<Text> = left.columns.iter().chain(&right.columns).cloned().collect();
        let constants = left.constants.iter().copied().chain(right.constants.iter().map(|i| left.columns.len() + i)).collect();
        let mut parts = on.map(conjuncts).unwrap_or_default();
        if matches!(kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark) {
            only_bytes(&mut parts);
        }
        let mut conditions = parts.into_iter().map(|p| condition(p, &both)).collect::<Result<Vec<_>>>()?;
        let word = match kind {
            JoinKind::Inner | JoinKind::Full => "JOIN",
            JoinKind::Left => "LEFT JOIN",
            JoinKind::Right => "RIGHT JOIN",
            JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => {
                let all = [right.filters, conditions].concat();
                let clause = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
                let exists = format!("EXISTS (SELECT 1 FROM {}{clause})", right.from);
                match kind {
                    JoinKind::Semi => left.filters.push(exists),
                    JoinKind::Anti => left.filters.push(format!("NOT {exists}")),
                    _ => left.columns.push(Text::expression(exists)),
                }
                return Ok(left);
            }
        };
        // A condition on the side that is padded with NULLs decides what joins; one on the other side what there is to join.
        let mut filters = vec![];
        for (side, padded) in [(left.filters, padded_left), (right.filters, padded_right)] {
            if padded {
                conditions.extend(side);
            } else {
                filters.extend(side);
            }
        }
        if conditions.is_empty() {
            conditions.push("TRUE".into());
        }
        let right_from = if right.is_join { format!("({})", right.from) } else { right.from };
        let mut block = Block::over(format!("{} {word} {right_from} ON {}", left.from, conditions.join(" AND ")), both);
        block.is_join = true;
        block.constants = constants;
        block.filters = filters;
        Ok(block)
    }

    /// The block as one side of a join: its FROM and its conditions may become those of the join, or it is made a subselect.
    ///
    /// `padded`: its columns become NULL where nothing matches, which an expression written above the join would not (`COALESCE(x, 0)`).
    fn into_side(mut self, padded: bool, names: &mut Names) -> Block {
        if !self.limited() {
            self.order.clear();
        }
        let closed = self.group.is_some() || !self.having.is_empty() || self.distinct || self.limited();
        let computed = padded && self.columns.iter().any(|c| c.qualified.is_none());
        if closed || computed { self.nest(names) } else { self }
    }
}
