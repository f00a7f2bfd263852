//! GROUP BY and aggregate calls.

use fjord_engine::pushdown::ir::Aggregate;
use fjord_engine::pushdown::{AggregateFunction, Scalar};
use fjord_engine::{Result, SqlError};

use super::scalar::{Text, scalar};
use super::{Block, Names};

impl Block {
    /// Keys, then aggregates.
    pub(super) fn aggregate(self, keys: &[Scalar], aggregates: &[Aggregate], names: &mut Names) -> Result<Block> {
        let mut block = if self.limited() || self.distinct || self.group.is_some() { self.nest(names) } else { self };
        // An aggregate over sorted rows is an aggregate over rows: nothing that is pushed depends on their order.
        block.order.clear();
        let mut columns = vec![];
        let mut group = vec![];
        for key in keys {
            let text = scalar(key, &block.columns)?;
            // A constant key makes no groups of its own, and `GROUP BY 1` would be a position.
            if !block.is_constant(key) {
                // The column, not what the select list calls so.
                group.push(text.qualified.clone().unwrap_or_else(|| text.operand()));
            }
            columns.push(text);
        }
        if !keys.is_empty() && group.is_empty() {
            // All keys constant: no row for an empty input, other than an aggregate without GROUP BY.
            block.having.push("COUNT(*) > 0".into());
        }
        for aggregate in aggregates {
            columns.push(call(aggregate, &block.columns)?);
        }
        block.constants = (0..keys.len()).filter(|i| block.is_constant(&keys[*i])).collect();
        block.columns = columns;
        block.group = Some(group);
        Ok(block)
    }
}

fn call(a: &Aggregate, input: &[Text]) -> Result<Text> {
    let args = a.args.iter().map(|x| Ok(scalar(x, input)?.sql)).collect::<Result<Vec<_>>>()?;
    let name = match &a.function {
        AggregateFunction::CountStar | AggregateFunction::Count => "COUNT",
        AggregateFunction::Sum => "SUM",
        // Booleans are 0 and 1 there.
        AggregateFunction::Min | AggregateFunction::BoolAnd => "MIN",
        AggregateFunction::Max | AggregateFunction::BoolOr => "MAX",
        other => return Err(SqlError::internal(format!("{other:?} was never judged safe on MySQL"))),
    };
    let distinct = if a.distinct { "DISTINCT " } else { "" };
    let list = match (&a.filter, &a.function) {
        // There is no FILTER: what it leaves out is NULL, which no aggregate takes.
        (Some(f), AggregateFunction::CountStar) => format!("CASE WHEN {} THEN 1 END", scalar(f, input)?.sql),
        (Some(f), _) => format!("CASE WHEN {} THEN {} END", scalar(f, input)?.sql, args.join(", ")),
        (None, AggregateFunction::CountStar) => "*".into(),
        (None, _) => args.join(", "),
    };
    Ok(Text::expression(format!("{name}({distinct}{list})")))
}
