//! GROUP BY and aggregate calls.

use fjord_engine::pushdown::ir::Aggregate;
use fjord_engine::pushdown::{AggregateFunction, Family, RemoteType, Scalar};
use fjord_engine::{Result, SqlError};

use super::literal::{Place, type_name};
use super::scalar::{Text, scalar};
use super::{Block, Names};

impl Block {
    /// Keys, then aggregates.
    pub(super) fn aggregate(self, keys: &[Scalar], aggregates: &[Aggregate], types: &[RemoteType], names: &mut Names) -> Result<Block> {
        let mut block = if self.limited() || self.distinct || self.group.is_some() { self.nest(names) } else { self };
        // An aggregate over sorted rows is an aggregate over rows: nothing that is pushed depends on their order.
        block.order.clear();
        let mut columns = vec![];
        let mut group = vec![];
        for key in keys {
            let text = scalar(key, &block.columns, Place::Alone)?;
            // A constant key makes no groups of its own, and `GROUP BY 1` would be a position.
            if !block.is_constant(key) {
                group.push(text.operand());
            }
            columns.push(text);
        }
        if !keys.is_empty() && group.is_empty() {
            // All keys constant: no row for an empty input, other than an aggregate without GROUP BY.
            group.push("()".into());
            block.having.push("count(*) > 0".into());
        }
        for aggregate in aggregates {
            columns.push(call(aggregate, &block.columns, types)?);
        }
        block.constants = (0..keys.len()).filter(|i| block.is_constant(&keys[*i])).collect();
        block.columns = columns;
        block.group = Some(group);
        Ok(block)
    }

    /// Keys, GROUPING(keys), then aggregates. Always a subselect of its own: above it a key is a column that may be NULL, not the expression grouped by.
    pub(super) fn grouping_sets(
        self,
        keys: &[Scalar],
        sets: &[Vec<usize>],
        aggregates: &[Aggregate],
        types: &[RemoteType],
        names: &mut Names,
    ) -> Result<Block> {
        let constant = keys.iter().any(|k| self.is_constant(k));
        let mut block = if constant || self.limited() || self.distinct || self.group.is_some() { self.nest(names) } else { self };
        block.order.clear();
        let mut columns = keys.iter().map(|k| scalar(k, &block.columns, Place::Alone)).collect::<Result<Vec<_>>>()?;
        let written: Vec<String> = columns.iter().map(Text::operand).collect();
        let set = |set: &Vec<usize>| -> Option<String> {
            let keys = set.iter().map(|k| written.get(*k).map(String::as_str)).collect::<Option<Vec<_>>>()?;
            Some(format!("({})", keys.join(", ")))
        };
        let sets = sets.iter().map(set).collect::<Option<Vec<_>>>();
        let sets = sets.ok_or_else(|| SqlError::internal("a grouping set names a key that is not there"))?;
        let id = if written.is_empty() { "0".into() } else { format!("GROUPING({})", written.join(", ")) };
        columns.push(Text { sql: id, atom: true, qualified: None });
        for aggregate in aggregates {
            columns.push(call(aggregate, &block.columns, types)?);
        }
        block.columns = columns;
        block.constants.clear();
        block.group = Some(vec![format!("GROUPING SETS ({})", sets.join(", "))]);
        Ok(block.nest(names))
    }
}

fn call(a: &Aggregate, input: &[Text], types: &[RemoteType]) -> Result<Text> {
    let args = a.args.iter().map(|x| Ok(scalar(x, input, Place::Alone)?.sql)).collect::<Result<Vec<_>>>()?;
    let of_bool = a.ty.family == Family::Bool;
    let name = match (&a.function, of_bool) {
        (AggregateFunction::CountStar | AggregateFunction::Count, _) => "count",
        (AggregateFunction::Sum, _) => "sum",
        // Postgres has no min(boolean).
        (AggregateFunction::Min, true) | (AggregateFunction::BoolAnd, _) => "bool_and",
        (AggregateFunction::Max, true) | (AggregateFunction::BoolOr, _) => "bool_or",
        (AggregateFunction::Min, false) => "min",
        (AggregateFunction::Max, false) => "max",
        (other, _) => return Err(SqlError::internal(format!("{other:?} was never judged safe on Postgres"))),
    };
    let list = match a.function {
        AggregateFunction::CountStar => "*".to_string(),
        _ => format!("{}{}", if a.distinct { "DISTINCT " } else { "" }, args.join(", ")),
    };
    let filter = match &a.filter {
        Some(f) => format!(" FILTER (WHERE {})", scalar(f, input, Place::Alone)?.sql),
        None => String::new(),
    };
    let sql = format!("{name}({list}){filter}");
    let atom = a.filter.is_none();
    // The sum of bigints is a numeric, that of integers a bigint: it must arrive as promised.
    let of = a.args.first().and_then(|x| x.ty(types)).map(|t| t.family);
    let own_type = match (of, &a.ty.family) {
        (Some(Family::Decimal(_)), Family::Decimal(_)) => true,
        (Some(Family::Int(16 | 32)), Family::Int(64)) => true,
        (Some(Family::Int(64)), Family::Decimal(_)) => true,
        _ => a.function != AggregateFunction::Sum,
    };
    let text = Text { sql, atom, qualified: None };
    if own_type {
        return Ok(text);
    }
    Ok(Text { sql: format!("{}::{}", text.operand(), type_name(&a.ty)?), atom: true, qualified: None })
}
