//! Types of a statement's parameters, where DataFusion's own inference gives none.
//!
//! DataFusion 55 types a placeholder beside a comparison, IN, BETWEEN, LIKE or arithmetic. It leaves LIMIT and OFFSET, `$1::type`, `= ANY($1)`,
//! function arguments, COALESCE, CASE, `-$1` and a bare `SELECT $1` untyped. Clients (JDBC, asyncpg, tokio-postgres) ask for the types before they
//! send a value, so each must have one: what the client declared, else what the place asks for, else text, as in Postgres
//! (<https://www.postgresql.org/docs/15/typeconv.html>).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::logical_expr::expr::{Case, Placeholder, ScalarFunction};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan};

use crate::error::{Result, SqlError, SqlState};
use crate::pgtype::{self, PG_TYPE, PgType};

/// Parameters of one statement at most: the protocol counts them in 16 bits.
pub const PARAMS_MAX: usize = 65_535;

/// The type of every parameter `$1`..`$n` of an unoptimized plan. `declared` (by the client or by PREPARE) wins.
///
/// # Errors
/// 42P02 for a placeholder that is not `$n`, 42P18 where numbers are missing (`$2` without `$1` and without a declared type).
pub fn infer(plan: &LogicalPlan, declared: &[Option<PgType>]) -> Result<Vec<PgType>> {
    let mut found: BTreeMap<usize, Option<PgType>> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        let schema = node_schema(node)?;
        if let LogicalPlan::Limit(l) = node {
            for e in [&l.skip, &l.fetch].into_iter().flatten() {
                e.apply(|e| {
                    if let Expr::Placeholder(p) = e {
                        note(&mut found, p, Some(pgtype::INT8))?;
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        if let LogicalPlan::Filter(f) = node
            && let Expr::Placeholder(p) = &f.predicate
        {
            note(&mut found, p, Some(pgtype::BOOL))?;
        }
        node.apply_expressions(|e| {
            e.apply(|e| {
                for (p, t) in typed_children(e, &schema) {
                    note(&mut found, p, t)?;
                }
                if let Expr::Placeholder(p) = e {
                    note(&mut found, p, p.field.as_deref().map(wire_type))?;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let count = found.keys().next_back().copied().unwrap_or(0).max(declared.len());
    if count > PARAMS_MAX {
        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a statement has at most {PARAMS_MAX} parameters")));
    }
    (1..=count)
        .map(|n| match (declared.get(n - 1).copied().flatten(), found.get(&n)) {
            (Some(t), _) => Ok(t),
            (None, Some(Some(t))) => Ok(*t),
            // Used where nothing tells its type: text, as Postgres resolves `unknown`.
            (None, Some(None)) => Ok(pgtype::TEXT),
            (None, None) => {
                Err(SqlError::new(SqlState::INDETERMINATE_DATATYPE, format!("could not determine data type of parameter ${n}"))
                    .hint(format!("Use ${n} in the statement, or declare its type.")))
            }
        })
        .collect()
}

/// Gives every placeholder of a plan its type, so that schemas and type coercion are those of the final statement.
pub fn annotate(plan: LogicalPlan, types: &[PgType]) -> Result<LogicalPlan> {
    let plan = plan
        .transform_up_with_subqueries(|node| {
            let node = node
                .map_expressions(|e| {
                    e.transform_up(|e| {
                        let Expr::Placeholder(p) = &e else { return Ok(Transformed::no(e)) };
                        let Some(t) = number(p).ok().and_then(|n| types.get(n - 1)) else { return Ok(Transformed::no(e)) };
                        let field = parameter_field(&p.id, *t);
                        Ok(Transformed::yes(Expr::Placeholder(Placeholder { id: p.id.clone(), field: Some(field) })))
                    })
                })
                .data()?;
            Ok(Transformed::yes(node.recompute_schema()?))
        })
        .data()?;
    Ok(plan)
}

fn parameter_field(name: &str, t: PgType) -> FieldRef {
    Arc::new(Field::new(name, t.to_arrow(), true).with_metadata([(PG_TYPE.to_string(), t.name.to_string())].into()))
}

/// 1-based.
pub(super) fn number(p: &Placeholder) -> Result<usize> {
    p.id.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).filter(|n| (1..=PARAMS_MAX).contains(n)).ok_or_else(|| {
        SqlError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {}", p.id))
            .hint("Parameters are $1, $2, and so on.".to_string())
    })
}

/// The first place that tells a type decides, as in Postgres.
fn note(found: &mut BTreeMap<usize, Option<PgType>>, p: &Placeholder, t: Option<PgType>) -> DfResult<()> {
    let slot = found.entry(number(p)?).or_default();
    if slot.is_none() {
        *slot = t;
    }
    Ok(())
}

fn node_schema(node: &LogicalPlan) -> DfResult<DFSchema> {
    let mut schema = merge_schema(&node.inputs());
    if let LogicalPlan::TableScan(ts) = node {
        schema.merge(&DFSchema::try_from_qualified_schema(ts.table_name.clone(), &ts.source.schema())?);
    }
    Ok(schema)
}

/// The parameter type for a column's type: varchar has no operators of its own, its values are compared as text.
fn wire_type(f: &Field) -> PgType {
    match PgType::of(f) {
        pgtype::VARCHAR => pgtype::TEXT,
        t => t,
    }
}

fn type_of(e: &Expr, schema: &DFSchema) -> Option<PgType> {
    if is_placeholder(e) {
        return None;
    }
    let (_, f) = e.to_field(schema).ok()?;
    if f.data_type() == &DataType::Null { None } else { Some(wire_type(&f)) }
}

fn is_placeholder(e: &Expr) -> bool {
    matches!(e, Expr::Placeholder(_))
}

/// The placeholders that are direct children of `e`, with the type that `e` asks of them.
fn typed_children<'a>(e: &'a Expr, schema: &DFSchema) -> Vec<(&'a Placeholder, Option<PgType>)> {
    let mut out = vec![];
    let mut give = |child: &'a Expr, t: Option<PgType>| {
        if let Expr::Placeholder(p) = child {
            out.push((p, t));
        }
    };
    let first_type = |all: &[&Expr]| all.iter().find_map(|e| type_of(e, schema));
    match e {
        Expr::Cast(c) => give(&c.expr, Some(wire_type(&c.field))),
        Expr::TryCast(c) => give(&c.expr, Some(wire_type(&c.field))),
        Expr::Negative(inner) => give(inner, Some(pgtype::FLOAT8)),
        Expr::Not(inner) | Expr::IsTrue(inner) | Expr::IsFalse(inner) | Expr::IsUnknown(inner) => give(inner, Some(pgtype::BOOL)),
        Expr::IsNotTrue(inner) | Expr::IsNotFalse(inner) | Expr::IsNotUnknown(inner) => give(inner, Some(pgtype::BOOL)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if op.is_logic_operator() {
                give(left, Some(pgtype::BOOL));
                give(right, Some(pgtype::BOOL));
            } else if let (Expr::Negative(inner), t) | (t, Expr::Negative(inner)) = (left.as_ref(), right.as_ref()) {
                // `f = -$1`: the sign takes the type of the other side.
                give(inner, type_of(t, schema));
            }
        }
        Expr::Like(l) | Expr::SimilarTo(l) => {
            give(&l.expr, Some(pgtype::TEXT));
            give(&l.pattern, Some(pgtype::TEXT));
        }
        Expr::InList(l) => {
            let all: Vec<&Expr> = std::iter::once(l.expr.as_ref()).chain(&l.list).collect();
            let t = first_type(&all);
            for e in all {
                give(e, t);
            }
        }
        Expr::Between(b) => {
            let all = [b.expr.as_ref(), b.low.as_ref(), b.high.as_ref()];
            let t = first_type(&all);
            for e in all {
                give(e, t);
            }
        }
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let whens: Vec<&Expr> = expr.iter().map(AsRef::as_ref).chain(when_then_expr.iter().map(|(w, _)| w.as_ref())).collect();
            let when_type = if expr.is_some() { first_type(&whens) } else { Some(pgtype::BOOL) };
            for e in whens {
                give(e, when_type);
            }
            let thens: Vec<&Expr> = when_then_expr.iter().map(|(_, t)| t.as_ref()).chain(else_expr.iter().map(AsRef::as_ref)).collect();
            let then_type = first_type(&thens);
            for e in thens {
                give(e, then_type);
            }
        }
        Expr::ScalarFunction(f) => {
            for (child, t) in f.args.iter().zip(argument_types(f, schema)) {
                give(child, t);
            }
        }
        _ => {}
    }
    out
}

/// What a function asks of its untyped arguments: functions over "anything alike" take their siblings' type, `array_has(list, x)` (DataFusion's
/// `x = ANY(list)`) an array of x, others the first type that their signature accepts, text first as in Postgres.
fn argument_types(f: &ScalarFunction, schema: &DFSchema) -> Vec<Option<PgType>> {
    let known: Vec<Option<PgType>> = f.args.iter().map(|a| type_of(a, schema)).collect();
    if !f.args.iter().any(is_placeholder) {
        return known;
    }
    match (f.func.name(), known.as_slice()) {
        ("coalesce" | "nullif" | "greatest" | "least" | "make_array", _) => {
            let t = known.iter().flatten().next().copied();
            known.iter().map(|k| k.or(t)).collect()
        }
        ("array_has" | "array_contains", [None, Some(x)]) => vec![x.array(), Some(*x)],
        ("array_has" | "array_contains", [Some(list), None]) => vec![Some(*list), list.element()],
        ("date_trunc" | "date_part" | "fjord_extract", [None, ts]) => vec![Some(pgtype::TEXT), ts.or(Some(pgtype::TIMESTAMPTZ))],
        ("date_trunc" | "date_part" | "fjord_extract", [part, None]) => vec![*part, Some(pgtype::TIMESTAMPTZ)],
        _ => {
            const CANDIDATES: [PgType; 6] = [pgtype::TEXT, pgtype::INT8, pgtype::FLOAT8, pgtype::TIMESTAMPTZ, pgtype::BOOL, pgtype::DATE];
            for candidate in CANDIDATES {
                let fields: Option<Vec<FieldRef>> = f
                    .args
                    .iter()
                    .map(
                        |a| if is_placeholder(a) { Some(parameter_field("p", candidate)) } else { a.to_field(schema).ok().map(|(_, f)| f) },
                    )
                    .collect();
                let Some(fields) = fields else { break };
                if let Ok(coerced) = fields_with_udf(&fields, f.func.as_ref()) {
                    // The signature may want another type than the candidate (a position is an integer): believe it.
                    return known
                        .iter()
                        .zip(&coerced)
                        .map(|(k, c)| {
                            k.or_else(|| {
                                Some(if c.data_type() == &candidate.to_arrow() { candidate } else { PgType::of_arrow(c.data_type()) })
                            })
                        })
                        .collect();
                }
            }
            known
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::datatypes::{Schema, TimeUnit};
    use datafusion::datasource::MemTable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    fn context() -> SessionContext {
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        config.options_mut().execution.time_zone = Some("UTC".into());
        config.options_mut().sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
        let ctx = SessionContext::new_with_config(config);
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int32, false),
            pgtype::field("name", DataType::Utf8, true, pgtype::VARCHAR),
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("f", DataType::Float64, true),
            Field::new("b", DataType::Boolean, true),
            pgtype::field("u", DataType::Utf8, true, pgtype::UUID),
        ]));
        ctx.register_table("t", Arc::new(MemTable::try_new(schema, vec![vec![]]).unwrap())).unwrap();
        ctx
    }

    async fn types(sql: &str) -> String {
        let plan = match context().state().create_logical_plan(sql).await {
            Ok(p) => p,
            Err(e) => return format!("PLAN {}", e.strip_backtrace()),
        };
        match infer(&plan, &[]) {
            Ok(types) => {
                let shown = types.iter().map(|t| t.name).collect::<Vec<_>>().join(" ");
                annotate(plan, &types).map_or_else(|e| format!("ANNOTATE {e}"), |_| shown)
            }
            Err(e) => format!("{} {}", e.state, e.message),
        }
    }

    #[tokio::test]
    async fn every_place_tells_a_type() {
        for (sql, expected) in [
            ("select * from t where id = $1", "int4"),
            ("select * from t where name = $1", "text"),
            ("select * from t where u = $1", "uuid"),
            ("select $1", "text"),
            ("select $1::int", "int4"),
            ("select $1::timestamptz", "timestamptz"),
            ("select * from t limit $1 offset $2", "int8 int8"),
            ("select * from t where name = any($1)", "_text"),
            ("select * from t where id = any($1)", "_int4"),
            ("select upper($1)", "text"),
            ("select coalesce(name, $1) from t", "text"),
            ("select coalesce($1, ts) from t", "timestamptz"),
            ("select case when id = 1 then $1 else name end from t", "text"),
            ("select * from t where id in ($1, $2)", "int4 int4"),
            ("select * from t where f = -$1", "float8"),
            ("select * from t where $1", "bool"),
            ("select * from t where not $1 and id = $2", "bool int4"),
            ("select date_trunc('day', $1)", "timestamptz"),
            ("select * from t where $1 is null or id = $1", "int4"),
            ("select * from t where id = $2 and name = $1", "text int4"),
            ("select * from t where name like '%' || $1 || '%'", "text"),
            ("select * from t where id = (select max(id) from t where name = $1)", "text"),
            ("select * from t where ts between $1 and $2", "timestamptz timestamptz"),
            ("select substr(name, $1) from t", "int8"),
            ("select id from t where b and $1 > f", "float8"),
        ] {
            assert_eq!(types(sql).await, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_gap_in_the_numbers_is_an_error_unless_declared() {
        let plan = context().state().create_logical_plan("select * from t where id = $2").await.unwrap();
        assert_eq!(infer(&plan, &[]).unwrap_err().state, SqlState::INDETERMINATE_DATATYPE);
        assert_eq!(infer(&plan, &[Some(pgtype::DATE)]).unwrap(), vec![pgtype::DATE, pgtype::INT4]);
        assert_eq!(infer(&plan, &[Some(pgtype::DATE), Some(pgtype::INT8)]).unwrap(), vec![pgtype::DATE, pgtype::INT8]);
    }
}
