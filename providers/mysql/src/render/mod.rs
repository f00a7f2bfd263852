//! Remote queries to SQL text: flat and readable, one SELECT wherever the operators allow it. What is written means the same on MySQL and MariaDB.
//!
//! [`Block`] is one SELECT under construction. Each operator of the IR is put into the block of its input if the clause that it needs is still
//! free and comes late enough; else the input becomes a subselect with columns `c0`, `c1`, ... Nothing of a user gets into the text but values
//! through [`literal`] and names from introspection through [`identifier`](literal::identifier).

mod aggregate;
mod bound;
mod join;
mod literal;
mod scalar;

use std::collections::HashSet;

use fjord_engine::pushdown::{Op, Rel, RemoteText, RemoteType, Scalar, ScanColumn, SortKey};
use fjord_engine::{Result, SqlError};

pub(crate) use bound::{Bound, render_bound};
use literal::identifier;
use scalar::{Text, scalar};

/// Writes a whole query. Its columns come in order; nothing is left to bind.
pub(crate) fn render(rel: &Rel) -> Result<RemoteText> {
    let mut names = Names { next: 0, aliased: join::has_join(rel) };
    let block = Block::of(rel, &mut names)?;
    if rel.types().len() != block.columns.len() {
        return Err(SqlError::internal("a remote query names a column that its input lacks"));
    }
    let list: Vec<String> = block.columns.iter().map(|text| text.sql.clone()).collect();
    Ok(RemoteText { text: block.select(&list), params: vec![] })
}

/// A text literal.
pub(crate) fn text_literal(text: &str) -> Result<String> {
    Ok(literal::quoted(text))
}

/// A table's full name.
pub(crate) fn table_name(schema: &str, table: &str) -> Result<String> {
    Ok(format!("{}.{}", identifier(schema)?, identifier(table)?))
}

/// A column's name.
pub(crate) fn column_name(name: &str) -> Result<String> {
    identifier(name)
}

/// Numbers for table aliases.
struct Names {
    next: u32,
    /// Tables have aliases too: there is a join, and columns of one name meet.
    aliased: bool,
}

impl Names {
    fn alias(&mut self) -> String {
        self.next += 1;
        format!("q{}", self.next)
    }
}

/// One SELECT under construction.
struct Block {
    /// After FROM.
    from: String,
    /// It is a join, which needs parentheses as the right side of another.
    is_join: bool,
    /// The output columns so far.
    columns: Vec<Text>,
    /// Which of them a projection made a constant: as a key it would be taken for a position.
    constants: HashSet<usize>,
    /// WHERE, joined by AND.
    filters: Vec<String>,
    /// GROUP BY; `Some(empty)`: one row.
    group: Option<Vec<String>>,
    /// HAVING, joined by AND.
    having: Vec<String>,
    /// SELECT DISTINCT.
    distinct: bool,
    /// ORDER BY.
    order: Vec<String>,
    /// OFFSET.
    skip: u64,
    /// LIMIT.
    fetch: Option<u64>,
}

impl Block {
    fn over(from: String, columns: Vec<Text>) -> Block {
        Block {
            from,
            is_join: false,
            columns,
            constants: HashSet::new(),
            filters: vec![],
            group: None,
            having: vec![],
            distinct: false,
            order: vec![],
            skip: 0,
            fetch: None,
        }
    }

    fn of(rel: &Rel, names: &mut Names) -> Result<Block> {
        match rel {
            Rel::Scan { schema, table, columns } => {
                let from = format!("{}.{}", identifier(schema)?, identifier(table)?);
                let (from, prefix) = match names.aliased {
                    true => {
                        let alias = names.alias();
                        (format!("{from} AS {alias}"), alias)
                    }
                    false => (from, identifier(table)?),
                };
                let bare = !names.aliased;
                let one = |c: &ScanColumn| {
                    let name = identifier(&c.name)?;
                    let qualified = format!("{prefix}.{name}");
                    Ok(if bare { Text::named(name, qualified) } else { Text::column(qualified) })
                };
                Ok(Block::over(from, columns.iter().map(one).collect::<Result<Vec<_>>>()?))
            }
            Rel::Filter { input, predicate } => Block::of(input, names)?.filter(predicate, names),
            Rel::Project { input, exprs } => Block::of(input, names)?.project(exprs, names),
            Rel::Aggregate { input, keys, aggregates } => Block::of(input, names)?.aggregate(keys, aggregates, names),
            Rel::GroupingSets { .. } => Err(SqlError::internal("GROUPING SETS were never judged safe on MySQL")),
            Rel::Distinct { input } => {
                let mut block = Block::of(input, names)?;
                if block.limited() || block.columns.is_empty() {
                    block = block.nest(names);
                }
                block.distinct = true;
                // The order of a DISTINCT's input says nothing of its output.
                block.order.clear();
                Ok(block)
            }
            Rel::Sort { input, keys } => Block::of(input, names)?.sort(keys, &input.types(), names),
            Rel::Limit { input, skip, fetch } => Ok(Block::of(input, names)?.limit(*skip, *fetch)),
            Rel::Join { left, right, kind, on } => Block::join(left, right, *kind, on.as_ref(), names),
            Rel::Union { inputs } => Block::union(inputs, names),
        }
    }

    fn limited(&self) -> bool {
        self.skip > 0 || self.fetch.is_some()
    }

    fn filter(self, predicate: &Scalar, names: &mut Names) -> Result<Block> {
        // HAVING sees a select list's names before the columns: a condition over groups stands outside of them.
        let mut block = if self.limited() || self.distinct || self.group.is_some() { self.nest(names) } else { self };
        let conjuncts = match predicate {
            Scalar::Call { op: Op::And, args, .. } => args.as_slice(),
            one => std::slice::from_ref(one),
        };
        for conjunct in conjuncts {
            block.filters.push(condition(conjunct, &block.columns)?);
        }
        Ok(block)
    }

    fn project(self, exprs: &[Scalar], names: &mut Names) -> Result<Block> {
        // DISTINCT is over the columns that it has.
        let mut block = if self.distinct { self.nest(names) } else { self };
        let constants = (0..exprs.len()).filter(|i| block.is_constant(&exprs[*i])).collect();
        block.columns = exprs.iter().map(|e| scalar(e, &block.columns)).collect::<Result<Vec<_>>>()?;
        block.constants = constants;
        Ok(block)
    }

    fn is_constant(&self, s: &Scalar) -> bool {
        matches!(s, Scalar::Literal(..)) || matches!(s, Scalar::Column(i) if self.constants.contains(i))
    }

    fn sort(self, keys: &[SortKey], types: &[RemoteType], names: &mut Names) -> Result<Block> {
        let mut block = if self.limited() || self.distinct { self.nest(names) } else { self };
        block.order.clear();
        for key in keys {
            // A constant orders nothing, and an integer would be taken for a column's position.
            if block.is_constant(&key.expr) {
                continue;
            }
            let text = scalar(&key.expr, &block.columns)?;
            // An unqualified name is an output column's first.
            let expr = text.qualified.clone().unwrap_or_else(|| text.operand());
            let direction = if key.descending { " DESC" } else { "" };
            // NULL is less than every value there: first in an ascending order, last in a descending one.
            let nullable = key.expr.ty(types).is_none_or(|t| t.nullable);
            if nullable && key.nulls_first == key.descending {
                block.order.push(format!("{expr} IS NULL{}", if key.nulls_first { " DESC" } else { "" }));
            }
            block.order.push(format!("{expr}{direction}"));
        }
        Ok(block)
    }

    fn limit(mut self, skip: u64, fetch: Option<u64>) -> Block {
        let left = self.fetch.map(|f| f.saturating_sub(skip));
        self.fetch = match (left, fetch) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.skip = self.skip.saturating_add(skip);
        self
    }

    /// The block as a subselect, and a new block over it.
    fn nest(self, names: &mut Names) -> Block {
        let alias = names.alias();
        let list: Vec<String> = self.columns.iter().enumerate().map(|(i, t)| format!("{} AS c{i}", t.sql)).collect();
        let columns = (0..self.columns.len()).map(|i| Text::column(format!("{alias}.c{i}"))).collect();
        Block::over(format!("({}) AS {alias}", self.select(&list)), columns)
    }

    fn union(inputs: &[Rel], names: &mut Names) -> Result<Block> {
        let alias = names.alias();
        let mut parts = vec![];
        let mut width = 0;
        for input in inputs {
            let block = Block::of(input, names)?;
            width = block.columns.len();
            let list: Vec<String> = block.columns.iter().enumerate().map(|(i, t)| format!("{} AS c{i}", t.sql)).collect();
            parts.push(format!("({})", block.select(&list)));
        }
        if parts.is_empty() {
            return Err(SqlError::internal("a union of nothing"));
        }
        let columns = (0..width).map(|i| Text::column(format!("{alias}.c{i}"))).collect();
        Ok(Block::over(format!("({}) AS {alias}", parts.join(" UNION ALL ")), columns))
    }

    /// The SELECT with this list.
    fn select(&self, list: &[String]) -> String {
        let mut sql = String::from(if self.distinct { "SELECT DISTINCT " } else { "SELECT " });
        // A list may not be empty there.
        sql.push_str(&if list.is_empty() { "1".to_string() } else { list.join(", ") });
        sql.push_str(" FROM ");
        sql.push_str(&self.from);
        let mut clause = |word: &str, parts: &[String], sign: &str| {
            if !parts.is_empty() {
                sql.push_str(word);
                sql.push_str(&parts.join(sign));
            }
        };
        clause(" WHERE ", &self.filters, " AND ");
        clause(" GROUP BY ", self.group.as_deref().unwrap_or_default(), ", ");
        clause(" HAVING ", &self.having, " AND ");
        clause(" ORDER BY ", &self.order, ", ");
        if self.limited() {
            // There is no OFFSET without a LIMIT.
            sql.push_str(&format!(" LIMIT {}", self.fetch.unwrap_or(u64::MAX)));
        }
        if self.skip > 0 {
            sql.push_str(&format!(" OFFSET {}", self.skip));
        }
        sql
    }
}

/// A condition beside others.
fn condition(s: &Scalar, columns: &[Text]) -> Result<String> {
    let text = scalar(s, columns)?;
    let needs_parens = matches!(s, Scalar::Call { op: Op::Or | Op::And, .. });
    Ok(if needs_parens { text.operand() } else { text.sql })
}
