//! The operators, as the SQL planner meets them.

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use sqlparser::ast::BinaryOperator;

use super::function::{Ask, of};
use crate::error::{SqlError, SqlState};
use crate::pgtype::{self, PgType};

/// Plans `->` and its kin.
#[derive(Debug)]
pub(crate) struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(&self, mut e: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        // sqlparser reads `j->-1` as an operator `->-`.
        let negative = match &e.op {
            BinaryOperator::Custom(name) if name == "->-" => Some(BinaryOperator::Arrow),
            BinaryOperator::Custom(name) if name == "->>-" => Some(BinaryOperator::LongArrow),
            _ => None,
        };
        if let Some(op) = negative {
            (e.op, e.right) = (op, Expr::Negative(Box::new(e.right)));
        }
        let types = [type_of(&e.left, schema), type_of(&e.right, schema)];
        let [left, right] = types;
        let is_json = |t: Option<PgType>| t == Some(pgtype::JSON) || t == Some(pgtype::JSONB);
        let is_jsonb = |t: Option<PgType>| t == Some(pgtype::JSONB);
        let planned = |ask: Ask, args: Vec<Expr>| Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(of(ask)?, args))));
        let undefined = || {
            let name = |t: Option<PgType>| t.map_or("unknown", |t| t.sql_name);
            SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {} {} {}", name(left), e.op, name(right))).hint(
                "No operator matches the given name and argument types. You might need to add explicit type casts: to jsonb, for one.",
            )
        };
        let extraction = match e.op {
            BinaryOperator::Arrow => Some(Ask::Get { text: false }),
            BinaryOperator::LongArrow => Some(Ask::Get { text: true }),
            BinaryOperator::HashArrow => Some(Ask::Path { text: false }),
            BinaryOperator::HashLongArrow => Some(Ask::Path { text: true }),
            _ => None,
        };
        if let Some(ask) = extraction {
            return if is_json(left) { planned(ask, vec![e.left, e.right]) } else { Err(undefined().into()) };
        }
        match e.op {
            BinaryOperator::AtArrow if is_jsonb(left) => planned(Ask::Contains, vec![e.left, e.right]),
            BinaryOperator::ArrowAt if is_jsonb(right) || is_jsonb(left) => planned(Ask::Contains, vec![e.right, e.left]),
            BinaryOperator::AtArrow if is_jsonb(right) && left.is_none() => planned(Ask::Contains, vec![e.left, e.right]),
            BinaryOperator::Question if is_jsonb(left) => planned(Ask::Exists, vec![e.left, e.right]),
            BinaryOperator::QuestionPipe if is_jsonb(left) => planned(Ask::ExistsAny, vec![e.left, e.right]),
            BinaryOperator::QuestionAnd if is_jsonb(left) => planned(Ask::ExistsAll, vec![e.left, e.right]),
            BinaryOperator::Question | BinaryOperator::QuestionPipe | BinaryOperator::QuestionAnd => Err(undefined().into()),
            BinaryOperator::AtArrow | BinaryOperator::ArrowAt if is_json(left) => Err(undefined().into()),
            // It joins two documents; their texts joined would be none.
            BinaryOperator::StringConcat if is_jsonb(left) && (is_jsonb(right) || right.is_none()) => {
                Err(SqlError::unsupported("the operator jsonb || jsonb is not there yet").hint("Use remote_query().").into())
            }
            _ => Ok(PlannerResult::Original(e)),
        }
    }
}

/// The Postgres type of an operand; `None` for a literal or parameter that has none of its own.
fn type_of(e: &Expr, schema: &DFSchema) -> Option<PgType> {
    let (_, field) = e.to_field(schema).ok()?;
    let pg = PgType::of(&field);
    let unknown = matches!(e, Expr::Literal(v, m) if v.data_type().is_string() && m.is_none() || v.is_null());
    (!unknown).then_some(pg)
}
