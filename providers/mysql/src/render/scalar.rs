//! Scalar expressions to text. Every operand that is not a name, a literal or a function call stands in parentheses.

use fjord_engine::pushdown::{Op, Scalar};
use fjord_engine::{Result, SqlError};

use super::bound::PARAMETER;
use super::literal::literal;
use crate::dialect::form;

/// The text of an expression.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// The SQL.
    pub(super) sql: String,
    /// Needs no parentheses as an operand.
    atom: bool,
    /// A bare column, with the name by which its table is called: ORDER BY and GROUP BY take an unqualified name for an output column.
    pub(super) qualified: Option<String>,
}

impl Text {
    /// A column with the alias of its relation.
    pub(super) fn column(sql: String) -> Text {
        Text { qualified: Some(sql.clone()), sql, atom: true }
    }
    /// A column by its bare name.
    pub(super) fn named(sql: String, qualified: String) -> Text {
        Text { sql, atom: true, qualified: Some(qualified) }
    }
    /// An expression that needs no parentheses.
    pub(super) fn expression(sql: String) -> Text {
        Text { sql, atom: true, qualified: None }
    }
    fn compound(sql: String) -> Text {
        Text { sql, atom: false, qualified: None }
    }
    /// As an operand.
    pub(super) fn operand(&self) -> String {
        if self.atom { self.sql.clone() } else { format!("({})", self.sql) }
    }
}

/// Writes `scalar` over input columns that are written as `columns`.
pub(super) fn scalar(scalar_: &Scalar, columns: &[Text]) -> Result<Text> {
    let (op, args) = match scalar_ {
        Scalar::Column(i) => {
            return columns
                .get(*i)
                .cloned()
                .ok_or_else(|| SqlError::internal(format!("remote query names column {i}, which its input lacks")));
        }
        Scalar::Literal(value, ty) => return Ok(Text::expression(literal(value, ty)?)),
        Scalar::Call { op, args, .. } => (op, args),
    };
    let arg = |i: usize| match args.get(i) {
        Some(a) => scalar(a, columns),
        None => Err(SqlError::internal(format!("{op:?} lacks an argument"))),
    };
    let infix = |sign: &str| Ok(Text::compound(format!("{} {sign} {}", arg(0)?.operand(), arg(1)?.operand())));
    let suffix = |words: &str| Ok(Text::compound(format!("{} {words}", arg(0)?.operand())));
    let joined = |sign: &str| -> Result<Text> {
        let parts = args.iter().map(|a| Ok(scalar(a, columns)?.operand())).collect::<Result<Vec<_>>>()?;
        Ok(Text::compound(parts.join(sign)))
    };
    match op {
        Op::Eq => infix("="),
        Op::NotEq => infix("<>"),
        Op::Lt => infix("<"),
        Op::LtEq => infix("<="),
        Op::Gt => infix(">"),
        Op::GtEq => infix(">="),
        Op::IsNotDistinctFrom => infix("<=>"),
        Op::IsDistinctFrom => Ok(Text::compound(format!("NOT ({} <=> {})", arg(0)?.operand(), arg(1)?.operand()))),
        Op::Like => infix("LIKE"),
        Op::NotLike => infix("NOT LIKE"),
        Op::Plus => infix("+"),
        Op::Minus => infix("-"),
        Op::Multiply => infix("*"),
        Op::Divide => infix("DIV"),
        Op::Modulo => infix("%"),
        Op::Negate => Ok(Text::compound(format!("- {}", arg(0)?.operand()))),
        Op::And => joined(" AND "),
        Op::Or => joined(" OR "),
        Op::Not => Ok(Text::compound(format!("NOT {}", parenthesised(&arg(0)?)))),
        Op::IsNull => suffix("IS NULL"),
        Op::IsNotNull => suffix("IS NOT NULL"),
        Op::IsTrue => suffix("IS TRUE"),
        Op::IsFalse => suffix("IS FALSE"),
        Op::IsUnknown => suffix("IS UNKNOWN"),
        Op::IsNotTrue => suffix("IS NOT TRUE"),
        Op::IsNotFalse => suffix("IS NOT FALSE"),
        Op::IsNotUnknown => suffix("IS NOT UNKNOWN"),
        Op::In => list("IN", args, columns),
        Op::NotIn => list("NOT IN", args, columns),
        Op::Case => case(args, columns),
        Op::Coalesce => function("COALESCE", args, columns),
        Op::Function(name) => match name.as_str() {
            "char_length" => function("CHAR_LENGTH", args, columns),
            "octet_length" => function("OCTET_LENGTH", args, columns),
            other => Err(SqlError::internal(format!("function {other} was never judged safe on MySQL"))),
        },
        Op::Source(name) => source(name, &arg(0)?),
        other => Err(SqlError::internal(format!("{other:?} was never judged safe on MySQL"))),
    }
}

/// NOT binds weaker than a comparison on one sql_mode and stronger on another.
fn parenthesised(text: &Text) -> String {
    if text.sql.starts_with('(') && !text.atom { text.sql.clone() } else { format!("({})", text.sql) }
}

/// The dialect's own operators.
fn source(name: &str, a: &Text) -> Result<Text> {
    let x = &a.sql;
    Ok(match name {
        form::BYTES => Text::expression(format!("CAST({x} AS BINARY)")),
        form::BYTES_CONVERTED => Text::expression(format!("CAST(CONVERT({x} USING utf8mb4) AS BINARY)")),
        form::CHARACTERS => Text::compound(format!("{} COLLATE utf8mb4_bin", a.operand())),
        form::CHARACTERS_CONVERTED => Text::compound(format!("CONVERT({x} USING utf8mb4) COLLATE utf8mb4_bin")),
        form::TRUTH => Text::compound(format!("{} <> 0", a.operand())),
        form::SIGNED => Text::expression(format!("CAST({x} AS SIGNED)")),
        form::UNSIGNED => Text::expression(format!("CAST({x} AS UNSIGNED)")),
        form::DATETIME => Text::expression(format!("CAST({x} AS DATETIME(6))")),
        form::WIDE => a.clone(),
        PARAMETER => Text::expression("?".into()),
        form::VALID => Text::compound(valid(x)),
        form::REAL_DATE => Text::expression(format!("CASE WHEN {} THEN {x} END", valid(x))),
        other => match (other.strip_prefix(form::EXTRACT), other.strip_prefix(form::TRUNCATE)) {
            (Some(field), _) => Text::expression(extract(field, x)?),
            (None, Some(unit)) => Text::expression(format!("CAST({} AS DATETIME(6))", truncated(unit, x)?)),
            (None, None) => return Err(SqlError::internal(format!("the MySQL renderer does not know {other}"))),
        },
    })
}

/// Whether a date is one: neither `0000-00-00` nor `2024-00-01` nor `2024-02-30`. LAST_DAY is NULL for the first two.
fn valid(x: &str) -> String {
    format!("YEAR({x}) > 0 AND DAYOFMONTH({x}) BETWEEN 1 AND DAYOFMONTH(LAST_DAY({x}))")
}

/// The beginning of a second, an hour, a month: never before the first day of year 1, which is a Monday.
fn truncated(unit: &str, x: &str) -> Result<String> {
    let day = format!("DATE({x})");
    // By the columns' own parts: a number of seconds has a fraction on MariaDB.
    let seconds = |parts: &str| format!("TIMESTAMP({day}) + INTERVAL ({parts}) SECOND");
    Ok(match unit {
        "second" => seconds(&format!("HOUR({x}) * 3600 + MINUTE({x}) * 60 + SECOND({x})")),
        "minute" => seconds(&format!("HOUR({x}) * 3600 + MINUTE({x}) * 60")),
        "hour" => seconds(&format!("HOUR({x}) * 3600")),
        "day" => day,
        "week" => format!("{day} - INTERVAL WEEKDAY({x}) DAY"),
        "month" => format!("{day} - INTERVAL (DAYOFMONTH({x}) - 1) DAY"),
        "quarter" => format!("{day} - INTERVAL (DAYOFMONTH({x}) - 1) DAY - INTERVAL ((MONTH({x}) - 1) % 3) MONTH"),
        "year" => format!("{day} - INTERVAL (DAYOFYEAR({x}) - 1) DAY"),
        other => return Err(SqlError::internal(format!("the MySQL renderer does not know the unit {other}"))),
    })
}

fn extract(field: &str, x: &str) -> Result<String> {
    Ok(match field {
        "year" | "quarter" | "month" | "day" | "hour" | "minute" => format!("EXTRACT({field} FROM {x})"),
        // Mode 3: ISO 8601.
        "week" => format!("WEEK({x}, 3)"),
        "dow" => format!("(DAYOFWEEK({x}) - 1)"),
        "isodow" => format!("(WEEKDAY({x}) + 1)"),
        "doy" => format!("DAYOFYEAR({x})"),
        other => return Err(SqlError::internal(format!("the MySQL renderer does not know the field {other}"))),
    })
}

fn list(word: &str, args: &[Scalar], columns: &[Text]) -> Result<Text> {
    let (first, rest) = args.split_first().filter(|(_, r)| !r.is_empty()).ok_or_else(|| SqlError::internal("an empty IN list"))?;
    let items = rest.iter().map(|a| Ok(scalar(a, columns)?.sql)).collect::<Result<Vec<_>>>()?;
    Ok(Text::compound(format!("{} {word} ({})", scalar(first, columns)?.operand(), items.join(", "))))
}

fn function(name: &str, args: &[Scalar], columns: &[Text]) -> Result<Text> {
    let parts = args.iter().map(|a| Ok(scalar(a, columns)?.sql)).collect::<Result<Vec<_>>>()?;
    Ok(Text::expression(format!("{name}({})", parts.join(", "))))
}

fn case(args: &[Scalar], columns: &[Text]) -> Result<Text> {
    let mut sql = String::from("CASE");
    let mut parts = args.chunks_exact(2);
    for pair in &mut parts {
        let (when, then) = (scalar(&pair[0], columns)?, scalar(&pair[1], columns)?);
        sql.push_str(&format!(" WHEN {} THEN {}", when.sql, then.sql));
    }
    if let [otherwise] = parts.remainder() {
        sql.push_str(&format!(" ELSE {}", scalar(otherwise, columns)?.sql));
    }
    sql.push_str(" END");
    Ok(Text::expression(sql))
}
