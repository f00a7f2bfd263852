//! Remote queries to SQL text: flat and readable, one SELECT wherever the operators allow it.
//!
//! [`Block`] is one SELECT under construction. Each operator of the IR is put into the block of its input if the clause that it needs is still
//! free and comes late enough; else the input becomes a subselect with columns `c0`, `c1`, ... Nothing of a user gets into the text but values
//! through [`literal`] and names from introspection through [`identifier`](literal::identifier).

mod aggregate;
mod bound;
mod join;
mod literal;
mod scalar;
mod time;

use std::collections::HashSet;

use fjord_engine::pushdown::{Op, Rel, RemoteText, RemoteType, Scalar, ScanColumn, SortKey, Value};
use fjord_engine::{Result, SqlError};

pub(crate) use bound::{Bound, render_bound};
pub(crate) use literal::VARCHARS;
use literal::{Place, identifier};
use scalar::{Text, scalar};

use crate::types::wire_cast;

/// Writes a whole query. Its columns come in order; nothing is left to bind.
pub(crate) fn render(rel: &Rel) -> Result<RemoteText> {
    let mut names = Names { next: 0, aliased: join::has_join(rel) };
    let block = Block::of(rel, &mut names)?;
    let types = rel.types();
    if types.len() != block.columns.len() {
        return Err(SqlError::internal("a remote query names a column that its input lacks"));
    }
    let list: Vec<String> = block.columns.iter().zip(&types).map(|(text, ty)| arriving(text, ty)).collect();
    Ok(RemoteText { text: block.select(&list), params: vec![] })
}

/// A table by its full name.
pub(crate) fn table_name(schema: &str, table: &str) -> Result<String> {
    Ok(format!("{}.{}", identifier(schema)?, identifier(table)?))
}

/// A text literal.
pub(crate) fn text_literal(text: &str) -> Result<String> {
    literal::quoted(text)
}

/// The column as it must arrive: types that the reader knows by their text only are sent as text.
fn arriving(text: &Text, ty: &RemoteType) -> String {
    match wire_cast(ty) {
        Some(cast) => format!("{}::{cast}", text.operand()),
        None => text.sql.clone(),
    }
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
    /// Which of them a projection made a constant: Postgres refuses them as a key, or takes a number for a position.
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
                if names.aliased {
                    let alias = names.alias();
                    let one = |c: &ScanColumn| Ok(Text::column(format!("{alias}.{}", identifier(&c.name)?)));
                    let columns = columns.iter().map(one).collect::<Result<Vec<_>>>()?;
                    return Ok(Block::over(format!("{from} AS {alias}"), columns));
                }
                let columns = columns.iter().map(|c| column(&identifier(table)?, &identifier(&c.name)?)).collect::<Result<Vec<_>>>()?;
                Ok(Block::over(from, columns))
            }
            Rel::Filter { input, predicate } => Block::of(input, names)?.filter(predicate, names),
            Rel::Project { input, exprs } => Block::of(input, names)?.project(exprs, names),
            Rel::Aggregate { input, keys, aggregates } => {
                let block = Block::of(input, names)?;
                block.aggregate(keys, aggregates, &input.types(), names)
            }
            Rel::GroupingSets { input, keys, sets, aggregates, .. } => {
                Block::of(input, names)?.grouping_sets(keys, sets, aggregates, &input.types(), names)
            }
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
            Rel::Sort { input, keys } => Block::of(input, names)?.sort(keys, names),
            Rel::Limit { input, skip, fetch } => Ok(Block::of(input, names)?.limit(*skip, *fetch)),
            Rel::Join { left, right, kind, on } => Block::join(left, right, *kind, on.as_ref(), names),
            Rel::Union { inputs } => Block::union(inputs, names),
        }
    }

    fn limited(&self) -> bool {
        self.skip > 0 || self.fetch.is_some()
    }

    fn filter(self, predicate: &Scalar, names: &mut Names) -> Result<Block> {
        let mut block = if self.limited() || self.distinct { self.nest(names) } else { self };
        // A filter that is false throughout arrives as a literal; PostgreSQL takes `WHERE false`.
        let conjuncts = match predicate {
            Scalar::Call { op: Op::And, args, .. } => args.as_slice(),
            one => std::slice::from_ref(one),
        };
        for conjunct in conjuncts {
            let text = scalar(conjunct, &block.columns, Place::Alone)?;
            let needs_parens = matches!(conjunct, Scalar::Call { op: Op::Or | Op::And, .. });
            let sql = if needs_parens { text.operand() } else { text.sql };
            if block.group.is_some() {
                block.having.push(sql);
            } else {
                block.filters.push(sql);
            }
        }
        Ok(block)
    }

    fn project(self, exprs: &[Scalar], names: &mut Names) -> Result<Block> {
        // DISTINCT is over the columns that it has.
        let mut block = if self.distinct { self.nest(names) } else { self };
        let constants = (0..exprs.len()).filter(|i| block.is_constant(&exprs[*i])).collect();
        block.columns = exprs.iter().map(|e| scalar(e, &block.columns, Place::Alone)).collect::<Result<Vec<_>>>()?;
        block.constants = constants;
        Ok(block)
    }

    fn is_constant(&self, s: &Scalar) -> bool {
        constant(s) || matches!(s, Scalar::Column(i) if self.constants.contains(i))
    }

    fn sort(self, keys: &[SortKey], names: &mut Names) -> Result<Block> {
        let mut block = if self.limited() || self.distinct { self.nest(names) } else { self };
        block.order.clear();
        for key in keys {
            // A constant orders nothing, and Postgres would take an integer for a column's position.
            if matches!(key.expr, Scalar::Literal(..)) || block.is_constant(&key.expr) {
                continue;
            }
            let text = scalar(&key.expr, &block.columns, Place::Alone)?;
            let expr = text.qualified.clone().unwrap_or_else(|| text.operand());
            let direction = if key.descending { "DESC" } else { "ASC" };
            let nulls = if key.nulls_first { "NULLS FIRST" } else { "NULLS LAST" };
            block.order.push(format!("{expr} {direction} {nulls}"));
            if matches!(&key.expr, Scalar::Call { op: Op::Source(name), .. } if name == "float_order") {
                // Among zeros: -0.0 is less. Every other value ties with itself, and is not written out as text to see it.
                let x = text.operand();
                block.order.push(format!("({x} <> 0 OR {x}::text <> '-0') {direction} {nulls}"));
            }
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
        let mut sql = String::from(if self.distinct { "SELECT DISTINCT" } else { "SELECT" });
        if !list.is_empty() {
            sql.push(' ');
            sql.push_str(&list.join(", "));
        }
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
        if let Some(fetch) = self.fetch {
            // LIMIT is a bigint at the source.
            sql.push_str(&format!(" LIMIT {}", fetch.min(i64::MAX as u64)));
        }
        if self.skip > 0 {
            sql.push_str(&format!(" OFFSET {}", self.skip.min(i64::MAX as u64)));
        }
        sql
    }
}

fn column(table: &str, name: &str) -> Result<Text> {
    Ok(Text { sql: name.to_string(), atom: true, qualified: Some(format!("{table}.{name}")) })
}

/// Whether an expression is a constant, which GROUP BY takes for a position.
fn constant(scalar: &Scalar) -> bool {
    match scalar {
        Scalar::Literal(value, _) => !matches!(value, Value::List(_)),
        _ => false,
    }
}
