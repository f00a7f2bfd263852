//! Joins. Sides that are no more than tables, conditions and joins stand in one FROM; anything else is a subselect.

use fjord_engine::Result;
use fjord_engine::pushdown::{JoinKind, Op, Rel, Scalar};

use super::literal::Place;
use super::scalar::{Text, scalar};
use super::{Block, Names};

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

impl Block {
    pub(super) fn join(left: &Rel, right: &Rel, kind: JoinKind, on: Option<&Scalar>, names: &mut Names) -> Result<Block> {
        let (padded_left, padded_right) = match kind {
            JoinKind::Left => (false, true),
            JoinKind::Right => (true, false),
            JoinKind::Full => (true, true),
            JoinKind::Inner | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => (false, false),
        };
        let full = kind == JoinKind::Full;
        let mut left = Block::of(left, names)?.into_side(padded_left, full, names);
        let right = Block::of(right, names)?.into_side(padded_right, full, names);
        let both: Vec<Text> = left.columns.iter().chain(&right.columns).cloned().collect();
        let constants = left.constants.iter().copied().chain(right.constants.iter().map(|i| left.columns.len() + i)).collect();
        let mut conditions = vec![];
        match on {
            Some(Scalar::Call { op: Op::And, args, .. }) => {
                for a in args {
                    conditions.push(condition(a, &both)?);
                }
            }
            Some(one) => conditions.push(condition(one, &both)?),
            None => {}
        }
        let word = match kind {
            JoinKind::Inner => "JOIN",
            JoinKind::Left => "LEFT JOIN",
            JoinKind::Right => "RIGHT JOIN",
            JoinKind::Full => "FULL JOIN",
            JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => {
                let all = [right.filters, conditions].concat();
                let clause = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
                let exists = format!("EXISTS (SELECT FROM {}{clause})", right.from);
                match kind {
                    JoinKind::Semi => left.filters.push(exists),
                    JoinKind::Anti => left.filters.push(format!("NOT {exists}")),
                    _ => left.columns.push(Text { sql: exists, atom: true, qualified: None }),
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
            conditions.push("true".into());
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
    /// `padded`: its columns become NULL where nothing matches, which an expression written above the join would not (`COALESCE(x, 0)`). `full`: a
    /// FULL JOIN takes no condition of one side alone.
    fn into_side(mut self, padded: bool, full: bool, names: &mut Names) -> Block {
        if !self.limited() {
            self.order.clear();
        }
        let closed = self.group.is_some() || !self.having.is_empty() || self.distinct || self.limited();
        let computed = padded && self.columns.iter().any(|c| c.qualified.is_none());
        if closed || computed || (full && !self.filters.is_empty()) { self.nest(names) } else { self }
    }
}

fn condition(s: &Scalar, columns: &[Text]) -> Result<String> {
    let text = scalar(s, columns, Place::Alone)?;
    let needs_parens = matches!(s, Scalar::Call { op: Op::Or | Op::And, .. });
    Ok(if needs_parens { text.operand() } else { text.sql })
}
