//! Scalar expressions to text. Every operand that is not a name, a literal or a function call stands in parentheses.

use fjord_engine::pushdown::{Op, RemoteType, Scalar, Value};
use fjord_engine::{Result, SqlError};

use super::literal::{Place, array, identifier, literal, quoted, type_name};
use super::time;
use crate::dialect::{
    AFTER_CHRIST, AS_WIDE, AVERAGE, BACK, DAYS_BETWEEN, ESCAPED, EXTRACT, FINITE, FORWARD, LOOKS_LIKE, MIDNIGHT, OPERATORS, TRUNCATE,
    WIDEN_16, WIDEN_32, WRITTEN, pattern,
};
use crate::reader::split::{CTID_FROM, CTID_TO, LEAVES};

/// The text of an expression.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// The SQL.
    pub(super) sql: String,
    /// Needs no parentheses as an operand.
    pub(super) atom: bool,
    /// A bare column, with the name by which its table is called: ORDER BY takes an unqualified name for an output column first.
    pub(super) qualified: Option<String>,
}

impl Text {
    /// A column with the alias of its relation.
    pub(super) fn column(sql: String) -> Text {
        Text { qualified: Some(sql.clone()), sql, atom: true }
    }
    fn atom(sql: String) -> Text {
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
pub(super) fn scalar(scalar_: &Scalar, columns: &[Text], place: Place) -> Result<Text> {
    match scalar_ {
        Scalar::Column(i) => {
            columns.get(*i).cloned().ok_or_else(|| SqlError::internal(format!("remote query names column {i}, which its input lacks")))
        }
        Scalar::Literal(value, ty) => {
            let sql = literal(value, ty, place)?;
            Ok(Text::atom(sql))
        }
        Scalar::Call { op, args, ty } => {
            let arg = |i: usize, place: Place| match args.get(i) {
                Some(a) => scalar(a, columns, place),
                None => Err(SqlError::internal(format!("{op:?} lacks an argument"))),
            };
            let infix =
                |sign: &str, place: Place| Ok(Text::compound(format!("{} {sign} {}", arg(0, place)?.operand(), arg(1, place)?.operand())));
            let suffix = |words: &str| Ok(Text::compound(format!("{} {words}", arg(0, Place::Alone)?.operand())));
            let joined = |sign: &str| -> Result<Text> {
                let parts = args.iter().map(|a| Ok(scalar(a, columns, Place::Alone)?.operand())).collect::<Result<Vec<_>>>()?;
                Ok(Text::compound(parts.join(sign)))
            };
            let cast = |name: &str| Ok(Text::atom(format!("{}::{name}", arg(0, Place::Alone)?.operand())));
            match op {
                Op::Eq => infix("=", Place::Beside),
                Op::NotEq => infix("<>", Place::Beside),
                Op::Lt => infix("<", Place::Beside),
                Op::LtEq => infix("<=", Place::Beside),
                Op::Gt => infix(">", Place::Beside),
                Op::GtEq => infix(">=", Place::Beside),
                Op::IsDistinctFrom => infix("IS DISTINCT FROM", Place::Beside),
                Op::IsNotDistinctFrom => infix("IS NOT DISTINCT FROM", Place::Beside),
                Op::Like => infix("LIKE", Place::Beside),
                Op::NotLike => infix("NOT LIKE", Place::Beside),
                Op::Plus => infix("+", Place::Alone),
                Op::Minus => infix("-", Place::Alone),
                Op::Multiply => infix("*", Place::Alone),
                Op::Divide => infix("/", Place::Alone),
                Op::Modulo => infix("%", Place::Alone),
                Op::Negate => Ok(Text::compound(format!("- {}", arg(0, Place::Alone)?.operand()))),
                Op::BitAnd => infix("&", Place::Alone),
                Op::BitOr => infix("|", Place::Alone),
                Op::BitXor => infix("#", Place::Alone),
                Op::And => joined(" AND "),
                Op::Or => joined(" OR "),
                Op::Concat => joined(" || "),
                Op::Not => Ok(Text::compound(format!("NOT {}", arg(0, Place::Alone)?.operand()))),
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
                Op::Cast => cast(&type_name(ty)?),
                Op::Case => case(args, columns),
                Op::Coalesce => function("COALESCE", args, columns, Place::Alone),
                Op::NullIf => function("NULLIF", args, columns, Place::Beside),
                Op::Source(name) => match name.as_str() {
                    "collate_c" => Ok(Text::compound(format!("{} COLLATE \"C\"", arg(0, Place::Alone)?.operand()))),
                    "as_text" => cast("text"),
                    WIDEN_16 | WIDEN_32 => cast("bigint"),
                    "same_numeric" | "float_order" | AS_WIDE => arg(0, Place::Alone),
                    CTID_FROM => page(">=", args),
                    CTID_TO => page("<", args),
                    LEAVES => leaves(args),
                    "not_ascii" => {
                        let a = arg(0, Place::Alone)?.sql;
                        Ok(Text::compound(format!("octet_length({a}) <> char_length({a})")))
                    }
                    "any" => Ok(Text::compound(format!("{} = ANY ({})", arg(0, Place::Alone)?.operand(), arg(1, Place::Alone)?.sql))),
                    sign if OPERATORS.contains(&sign) => infix(sign, Place::Alone),
                    ESCAPED => Ok(Text::compound(format!("strpos({}::text, E'\\\\u') > 0", arg(0, Place::Alone)?.operand()))),
                    "element" => {
                        let (a, offset) = (arg(0, Place::Alone)?.operand(), arg(1, Place::Alone)?.sql);
                        Ok(Text::atom(format!("({a})[array_lower({a}, 1) + {offset}]")))
                    }
                    FORWARD | BACK => {
                        Ok(Text::atom(time::shifted(name == FORWARD, &arg(0, Place::Alone)?.operand(), &arg(1, Place::Alone)?.sql)))
                    }
                    AFTER_CHRIST => Ok(Text::compound(time::after_christ(&arg(0, Place::Alone)?.operand()))),
                    DAYS_BETWEEN | FINITE => {
                        let (a, b) = (arg(0, Place::Alone)?.operand(), arg(1, Place::Alone)?.operand());
                        Ok(if name == FINITE { Text::compound(time::finite(&a, &b)) } else { Text::atom(time::days_between(&a, &b)) })
                    }
                    // round() gives the sum the digits that it is known to have here: they count in the quotient's.
                    AVERAGE => {
                        let (sum, count, digits) = (arg(0, Place::Alone)?.operand(), arg(1, Place::Alone)?.sql, arg(2, Place::Beside)?.sql);
                        Ok(Text::compound(format!("round({sum}::numeric, {digits}) / NULLIF({count}, 0)")))
                    }
                    MIDNIGHT => Ok(Text::atom(time::midnight(&arg(0, Place::Alone)?.operand()))),
                    "at_utc" => Ok(Text::compound(format!("{} AT TIME ZONE 'UTC'", arg(0, Place::Alone)?.operand()))),
                    "plus_zero" => Ok(Text::compound(format!("{} + '0'::{}", arg(0, Place::Alone)?.operand(), type_name(ty)?))),
                    other if other.starts_with(LOOKS_LIKE) => match pattern(&other[LOOKS_LIKE.len()..]) {
                        Some(pattern) => infix_literal(&arg(0, Place::Alone)?, "~", pattern),
                        None => Err(SqlError::internal(format!("the Postgres renderer does not know {other}"))),
                    },
                    other if other.starts_with(TRUNCATE) => {
                        Ok(Text::atom(time::truncate(&other[TRUNCATE.len()..], &arg(0, Place::Alone)?.operand(), ty)))
                    }
                    other if other.starts_with(EXTRACT) => {
                        Ok(Text::atom(time::extract(&other[EXTRACT.len()..], &arg(0, Place::Alone)?.operand())))
                    }
                    other => match (other.strip_prefix("citext_eq:"), super::bound::parameter(other)) {
                        (_, Some(parameter)) => Ok(Text::atom(parameter)),
                        (Some(schema), None) => infix(&format!("OPERATOR({}.=)", identifier(schema)?), Place::Beside).map(Ok)?,
                        (None, None) => Err(SqlError::internal(format!("the Postgres renderer does not know {other}"))),
                    },
                },
                Op::Function(name) if WRITTEN.contains(&name.as_str()) => function(name, args, columns, Place::Alone),
                Op::ILike | Op::NotILike | Op::Function(_) => Err(SqlError::internal(format!("{op:?} was never judged safe on Postgres"))),
            }
        }
    }
}

fn infix_literal(left: &Text, sign: &str, right: &str) -> Result<Text> {
    Ok(Text::compound(format!("{} {sign} {}", left.operand(), quoted(right)?)))
}

/// A bound of a range of a table's pages.
fn page(sign: &str, args: &[Scalar]) -> Result<Text> {
    match args {
        [Scalar::Literal(Value::UInt(page), _)] => Ok(Text::compound(format!("ctid {sign} '({page},0)'::tid"))),
        _ => Err(SqlError::internal("a range of pages without a page")),
    }
}

/// The leaves of a partitioned table.
fn leaves(args: &[Scalar]) -> Result<Text> {
    let oid = |s: &Scalar| match s {
        Scalar::Literal(Value::UInt(oid), _) => Ok(oid.to_string()),
        _ => Err(SqlError::internal("a leaf without an OID")),
    };
    let oids = args.iter().map(oid).collect::<Result<Vec<_>>>()?;
    Ok(Text::compound(format!("tableoid = ANY ('{{{}}}'::oid[])", oids.join(","))))
}

fn list(word: &str, args: &[Scalar], columns: &[Text]) -> Result<Text> {
    let (first, rest) = args.split_first().filter(|(_, r)| !r.is_empty()).ok_or_else(|| SqlError::internal("an empty IN list"))?;
    if let Some(values) = long_list(rest)? {
        let sign = if word == "IN" { "= ANY" } else { "<> ALL" };
        return Ok(Text::compound(format!("{} {sign} ({values})", scalar(first, columns, Place::Alone)?.operand())));
    }
    let items = rest.iter().map(|a| Ok(scalar(a, columns, Place::Beside)?.sql)).collect::<Result<Vec<_>>>()?;
    Ok(Text::compound(format!("{} {word} ({})", scalar(first, columns, Place::Alone)?.operand(), items.join(", "))))
}

/// Values of a list from which on they are written as one array: one constant to parse instead of thousands.
const LONG_LIST: usize = 32;

/// The values as one array constant; `None` where they are few, or not literals of one type that an array says exactly.
fn long_list(items: &[Scalar]) -> Result<Option<String>> {
    if items.len() < LONG_LIST {
        return Ok(None);
    }
    let mut ty: Option<&RemoteType> = None;
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let Scalar::Literal(value, t) = item else { return Ok(None) };
        if *value != Value::Null && ty.is_some_and(|o| o.family != t.family) {
            return Ok(None);
        }
        if *value != Value::Null {
            ty = Some(t);
        }
        values.push(value);
    }
    match ty {
        Some(ty) => array(&values, ty),
        None => Ok(None),
    }
}

fn function(name: &str, args: &[Scalar], columns: &[Text], place: Place) -> Result<Text> {
    let parts = args.iter().map(|a| Ok(scalar(a, columns, place)?.sql)).collect::<Result<Vec<_>>>()?;
    Ok(Text::atom(format!("{name}({})", parts.join(", "))))
}

fn case(args: &[Scalar], columns: &[Text]) -> Result<Text> {
    let mut sql = String::from("CASE");
    let mut parts = args.chunks_exact(2);
    for pair in &mut parts {
        let (when, then) = (scalar(&pair[0], columns, Place::Alone)?, scalar(&pair[1], columns, Place::Alone)?);
        sql.push_str(&format!(" WHEN {} THEN {}", when.sql, then.sql));
    }
    if let [otherwise] = parts.remainder() {
        sql.push_str(&format!(" ELSE {}", scalar(otherwise, columns, Place::Alone)?.sql));
    }
    sql.push_str(" END");
    Ok(Text::atom(sql))
}
