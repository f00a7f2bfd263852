//! Names of output columns as Postgres gives them: `count`, `?column?`, the name of a function or of a cast's operand.
//!
//! On the syntax tree, in every SELECT: an unnamed expression gets Postgres's name as its alias (so that an outer query can use it). DataFusion wants
//! the names of one SELECT to differ where Postgres does not: a repeated one gets a suffix behind [`MARK`], which is cut off when rows go out.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use sqlparser::ast::{self, Expr, Ident, Query, Select, SelectItem, SetExpr, VisitMut, VisitorMut};

/// Before what keeps an output name apart from another (a number behind a repeated one): a character no client can send. It and what follows are cut
/// off when rows go out.
pub const MARK: char = '\u{1}';

/// Names the output of every SELECT in a statement.
pub(crate) fn assign(statement: &mut ast::Statement) {
    let _ = statement.visit(&mut Namer);
}

/// The schema as the client sees it.
pub(crate) fn shown(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|f| {
            let name = f.name().split_once(MARK).map_or(f.name().as_str(), |(name, _)| name);
            // Nullable always: clients do not see it, and a batch is checked against it.
            f.as_ref().clone().with_name(name).with_nullable(true)
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_body(&mut query.body);
        ControlFlow::Continue(())
    }
}

fn name_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(s) => name_select(s),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left);
            name_body(right);
        }
        // A nested query is visited by itself.
        _ => {}
    }
}

fn name_select(select: &mut Select) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    // `t.x` beside `x`, `1 AS x` or `u.x::text`: to DataFusion the one with a table is ambiguous beside the one without.
    let bare: HashSet<String> = select.projection.iter().filter_map(bare_column).collect();
    for (i, item) in select.projection.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(e) => {
                let plain = match e {
                    Expr::Identifier(i) => Some(normalized(i)),
                    Expr::CompoundIdentifier(parts) => parts.last().map(normalized),
                    _ => None,
                };
                // A plain column keeps its qualifier (`a.id, b.id` are two columns for DataFusion too) unless the same one comes twice.
                let key = if plain.is_some() { e.to_string() } else { column_name(e).unwrap_or_else(|| "?column?".into()) };
                let count = bump(&mut seen, &key);
                match plain {
                    Some(name) if count == 0 && matches!(e, Expr::CompoundIdentifier(_)) && bare.contains(&name) => {
                        alias_as(item, format!("{name}{MARK}t{i}"));
                    }
                    Some(_) if count == 0 => {}
                    Some(name) => alias(item, &name, count),
                    None => alias(item, &key, count),
                }
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = normalized(alias);
                let count = bump(&mut seen, &name);
                if count > 0 {
                    *alias = Ident::with_quote('"', format!("{name}{MARK}{count}"));
                }
            }
            _ => {}
        }
    }
}

fn bump(seen: &mut HashMap<String, usize>, name: &str) -> usize {
    let n = seen.entry(name.to_string()).or_default();
    *n += 1;
    *n - 1
}

/// The name of an item, unless its table's name goes with it.
fn bare_column(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(_)) => None,
        SelectItem::UnnamedExpr(e) => column_name(e),
        SelectItem::ExprWithAlias { alias, .. } => Some(normalized(alias)),
        _ => None,
    }
}

fn alias(item: &mut SelectItem, name: &str, count: usize) {
    alias_as(item, if count == 0 { name.to_string() } else { format!("{name}{MARK}{count}") });
}

fn alias_as(item: &mut SelectItem, name: String) {
    if let SelectItem::UnnamedExpr(e) = item {
        *item = SelectItem::ExprWithAlias { expr: e.clone(), alias: Ident::with_quote('"', name) };
    }
}

fn normalized(i: &Ident) -> String {
    if i.quote_style.is_some() { i.value.clone() } else { i.value.to_lowercase() }
}

/// FigureColname of Postgres's parse_target.c.
fn column_name(e: &Expr) -> Option<String> {
    match e {
        Expr::Identifier(i) => Some(normalized(i)),
        Expr::CompoundIdentifier(parts) => parts.last().map(normalized),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => column_name(inner),
        Expr::Function(f) => f.name.0.last().and_then(|p| p.as_ident()).map(normalized),
        // A name that itself comes from a cast, a typed literal or CASE gives way to the outer cast's.
        Expr::Cast { expr, data_type, .. } => column_name(expr).filter(|_| !is_weak(expr)).or_else(|| Some(type_name(data_type))),
        Expr::TypedString(t) => Some(type_name(&t.data_type)),
        Expr::Interval(_) => Some("interval".into()),
        Expr::Case { else_result, .. } => {
            else_result.as_ref().filter(|e| !is_weak(e)).and_then(|e| column_name(e)).or_else(|| Some("case".into()))
        }
        Expr::Exists { .. } => Some("exists".into()),
        Expr::Array(_) => Some("array".into()),
        Expr::Extract { .. } => Some("extract".into()),
        Expr::Substring { .. } => Some("substring".into()),
        Expr::Position { .. } => Some("position".into()),
        Expr::Trim { trim_where, .. } => Some(
            match trim_where {
                Some(ast::TrimWhereField::Leading) => "ltrim",
                Some(ast::TrimWhereField::Trailing) => "rtrim",
                _ => "btrim",
            }
            .into(),
        ),
        Expr::Overlay { .. } => Some("overlay".into()),
        Expr::Ceil { .. } => Some("ceil".into()),
        Expr::Floor { .. } => Some("floor".into()),
        Expr::AtTimeZone { .. } => Some("timezone".into()),
        Expr::Value(v) if matches!(v.value, ast::Value::Boolean(_)) => Some("bool".into()),
        Expr::Subquery(q) => match q.body.as_ref() {
            SetExpr::Select(s) => match s.projection.first() {
                Some(SelectItem::ExprWithAlias { alias, .. }) => Some(normalized(alias)),
                Some(SelectItem::UnnamedExpr(e)) => column_name(e),
                _ => None,
            },
            _ => None,
        },
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|a| match a {
                ast::AccessExpr::Dot(Expr::Identifier(i)) => Some(normalized(i)),
                _ => None,
            });
            field.or_else(|| column_name(root))
        }
        _ => None,
    }
}

/// FigureColnameInternal's strength 1: names that are taken only where there is nothing better.
fn is_weak(e: &Expr) -> bool {
    match e {
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => is_weak(inner),
        Expr::Cast { expr, .. } => column_name(expr).is_none() || is_weak(expr),
        Expr::TypedString(_) | Expr::Interval(_) => true,
        Expr::Value(v) => matches!(v.value, ast::Value::Boolean(_)),
        Expr::Case { else_result, .. } => else_result.as_ref().is_none_or(|e| column_name(e).is_none() || is_weak(e)),
        _ => false,
    }
}

fn type_name(t: &ast::DataType) -> String {
    use ast::DataType as T;
    match t {
        T::Int(_) | T::Integer(_) | T::Int4(_) => "int4".into(),
        T::BigInt(_) | T::Int8(_) => "int8".into(),
        T::SmallInt(_) | T::Int2(_) => "int2".into(),
        T::Text => "text".into(),
        T::Varchar(_) | T::CharacterVarying(_) | T::CharVarying(_) => "varchar".into(),
        T::Char(_) | T::Character(_) => "bpchar".into(),
        T::Boolean | T::Bool => "bool".into(),
        T::Real | T::Float4 => "float4".into(),
        T::Double(_) | T::DoublePrecision | T::Float8 | T::Float(_) => "float8".into(),
        T::Numeric(_) | T::Decimal(_) | T::Dec(_) => "numeric".into(),
        T::Date => "date".into(),
        other => match super::types::pg_type(other) {
            Some((pg, _)) => pg.name.to_string(),
            None => other.to_string().to_lowercase(),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn named(sql: &str) -> String {
        let mut s = sqlparser::parser::Parser::parse_sql(&sqlparser::dialect::PostgreSqlDialect {}, sql).unwrap().remove(0);
        assign(&mut s);
        s.to_string().replace(MARK, "~")
    }

    #[test]
    fn names_are_those_of_postgres() {
        for (sql, want) in [
            ("SELECT count(*), count(a) FROM t", "SELECT count(*) AS \"count\", count(a) AS \"count~1\" FROM t"),
            ("SELECT 1, a + 1, -a FROM t", "SELECT 1 AS \"?column?\", a + 1 AS \"?column?~1\", -a AS \"?column?~2\" FROM t"),
            ("SELECT t.id, u.id FROM t, u", "SELECT t.id, u.id FROM t, u"),
            ("SELECT id, t.id, u.id FROM t, u", "SELECT id, t.id AS \"id~t1\", u.id AS \"id~t2\" FROM t, u"),
            ("SELECT t.k, u.k::text FROM t, u", "SELECT t.k AS \"k~t0\", u.k::TEXT AS \"k\" FROM t, u"),
            ("SELECT t.k, 1 AS k FROM t", "SELECT t.k AS \"k~t0\", 1 AS k FROM t"),
            ("SELECT id, id FROM t", "SELECT id, id AS \"id~1\" FROM t"),
            ("SELECT x::text, '1'::int, true FROM t", "SELECT x::TEXT AS \"x\", '1'::INT AS \"int4\", true AS \"bool\" FROM t"),
            ("SELECT 1 AS x, 2 AS X FROM t", "SELECT 1 AS x, 2 AS \"x~1\" FROM t"),
            ("SELECT count FROM (SELECT count(*) FROM t) s", "SELECT count FROM (SELECT count(*) AS \"count\" FROM t) s"),
            ("SELECT (SELECT max(a) FROM t)", "SELECT (SELECT max(a) AS \"max\" FROM t) AS \"max\""),
            ("SELECT '1'::int::text, a::int::text FROM t", "SELECT '1'::INT::TEXT AS \"text\", a::INT::TEXT AS \"a\" FROM t"),
            ("SELECT CASE WHEN a THEN 1 ELSE '2'::int END FROM t", "SELECT CASE WHEN a THEN 1 ELSE '2'::INT END AS \"case\" FROM t"),
            ("SELECT CASE WHEN a THEN 1 END FROM t", "SELECT CASE WHEN a THEN 1 END AS \"case\" FROM t"),
        ] {
            assert_eq!(named(sql), want);
        }
    }
}
