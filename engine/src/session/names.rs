//! Output column names as Postgres gives them: `count`, `lower`, `int4`, `case`, `?column?`.
//!
//! DataFusion names an unaliased column by its whole expression (`count(*)`, `Int64(1) + Int64(1)`), and refuses two of one name. So unaliased
//! items of a SELECT list get an alias before planning, by the rules of Postgres's `FigureColname` (parse_target.c). A name that would meet
//! another of the same list carries a hidden mark behind it, which [`shown`] takes off for the client.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, Ident, Query, SelectItem, SetExpr, Statement, VisitMut, VisitorMut};

/// Between the shown name and what makes it unique; no client can type a name with it by accident.
const MARK: char = '\u{1}';

/// The name that a client sees.
pub fn shown(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// Names every unaliased item of every SELECT list in a statement.
pub fn name_columns(statement: &mut Statement) {
    let _ = statement.visit(&mut Namer);
}

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_body(&mut query.body);
        ControlFlow::Continue(())
    }
}

fn name_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_items(&mut select.projection),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left);
            name_body(right);
        }
        // Inner queries were visited themselves.
        _ => {}
    }
}

fn name_items(items: &mut [SelectItem]) {
    let has_wildcard = items.iter().any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut taken: HashSet<String> = items.iter().filter_map(given_name).collect();
    let mut seen_columns: HashSet<String> = HashSet::new();
    for (position, item) in items.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if let Some(column) = column_reference(expr) {
            // `SELECT id, id` is legal in Postgres; DataFusion wants different names.
            if seen_columns.insert(column.clone()) {
                continue;
            }
            let name = column_name(expr).unwrap_or(column);
            *item = aliased(expr, format!("{name}{MARK}{position}"));
            continue;
        }
        let name = column_name(expr).unwrap_or_else(|| "?column?".to_string());
        // Next to a wildcard any name may meet a column of the table.
        let unique = !has_wildcard && taken.insert(name.clone());
        *item = aliased(expr, if unique { name } else { format!("{name}{MARK}{position}") });
    }
}

fn aliased(expr: &Expr, name: String) -> SelectItem {
    SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) }
}

fn given_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(e) => column_reference(e).and_then(|_| column_name(e)),
        _ => None,
    }
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// The full text of a plain column reference.
fn column_reference(e: &Expr) -> Option<String> {
    match e {
        Expr::Identifier(i) => Some(folded(i)),
        Expr::CompoundIdentifier(parts) => Some(parts.iter().map(folded).collect::<Vec<_>>().join(".")),
        Expr::Nested(inner) => column_reference(inner),
        _ => None,
    }
}

/// `FigureColname`: `None` is `?column?`.
fn column_name(e: &Expr) -> Option<String> {
    figure(e).map(|(name, _)| name)
}

/// A name and its strength: 2 from a column or function, 1 from a type or CASE.
fn figure(e: &Expr) -> Option<(String, u8)> {
    let strong = |s: &str| Some((s.to_string(), 2));
    match e {
        Expr::Identifier(i) => Some((folded(i), 2)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|i| (folded(i), 2)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::CompoundFieldAccess { root, access_chain } => access_chain
            .iter()
            .rev()
            .find_map(|a| match a {
                ast::AccessExpr::Dot(field) => figure(field),
                ast::AccessExpr::Subscript(_) => None,
            })
            .or_else(|| figure(root)),
        Expr::Function(f) => f.name.0.last().and_then(|p| p.as_ident()).map(|i| (folded(i), 2)),
        Expr::Cast { expr, data_type, .. } => match figure(expr) {
            Some((name, 2)) => Some((name, 2)),
            _ => Some((type_name(data_type), 1)),
        },
        Expr::TypedString(t) => Some((type_name(&t.data_type), 1)),
        Expr::Interval(_) => Some(("interval".into(), 1)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, 2)) => Some((name, 2)),
            _ => Some(("case".into(), 1)),
        },
        Expr::Exists { .. } => strong("exists"),
        Expr::Subquery(q) => match q.body.as_ref() {
            SetExpr::Select(s) => match s.projection.first() {
                Some(SelectItem::ExprWithAlias { alias, .. }) => Some((shown(&folded(alias)).to_string(), 2)),
                Some(SelectItem::UnnamedExpr(e)) => figure(e),
                _ => None,
            },
            _ => None,
        },
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        _ => None,
    }
}

/// `pg_type.typname` of a type as written.
fn type_name(t: &ast::DataType) -> String {
    let text = t.to_string().to_ascii_lowercase();
    let bare = text.split('(').next().unwrap_or(&text).trim().to_string();
    let zoned = text.contains("with time zone") || text.ends_with("tz");
    match bare.as_str() {
        "int" | "integer" => "int4".into(),
        "bigint" => "int8".into(),
        "smallint" => "int2".into(),
        "boolean" => "bool".into(),
        "real" => "float4".into(),
        "double precision" | "double" | "float" => "float8".into(),
        "decimal" | "dec" => "numeric".into(),
        "character varying" | "char varying" => "varchar".into(),
        "char" | "character" => "bpchar".into(),
        "timestamp" | "timestamp with time zone" | "timestamp without time zone" if zoned => "timestamptz".into(),
        "timestamp without time zone" => "timestamp".into(),
        "time" | "time with time zone" if zoned => "timetz".into(),
        "time without time zone" => "time".into(),
        other => other.rsplit('.').next().unwrap_or(other).trim_matches('"').to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;

    fn names(sql: &str) -> Vec<String> {
        let mut s = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        name_columns(&mut s);
        let Statement::Query(q) = s else { return vec![] };
        fn first(body: &SetExpr) -> Vec<String> {
            match body {
                SetExpr::Select(s) => s
                    .projection
                    .iter()
                    .map(|i| match i {
                        SelectItem::ExprWithAlias { alias, .. } => shown(&alias.value).to_string(),
                        SelectItem::UnnamedExpr(e) => column_name(e).unwrap(),
                        other => other.to_string(),
                    })
                    .collect(),
                SetExpr::SetOperation { left, .. } => first(left),
                _ => vec![],
            }
        }
        first(&q.body)
    }

    /// Each expectation is what `psql` on PostgreSQL 15 shows as the heading.
    #[test]
    fn names_are_those_of_postgres() {
        for (sql, expected) in [
            ("select 1, 1+1, 'x', null, true", "?column? ?column? ?column? ?column? ?column?"),
            ("select count(*), count(*), sum(x), max(a.b) from a", "count count sum max"),
            ("select a, t.b, \"C d\", id as x from t", "a b C d x"),
            ("select x::int, 1::int, '1'::text, '2020-01-01'::timestamptz, cast(1 as numeric(10,2))", "x int4 text timestamptz numeric"),
            ("select case when a then 1 else 2 end, case when a then 1 else b end", "case b"),
            ("select coalesce(a, 1), nullif(a, 1), greatest(1, 2)", "coalesce nullif greatest"),
            ("select extract(year from d), substring(a from 1 for 2), trim(a), position('a' in b)", "extract substring btrim position"),
            ("select exists(select 1), (select max(id) from t), array[1,2]", "exists max array"),
            ("select date '2020-01-01', interval '1 day', current_date", "date interval current_date"),
            ("select *, upper(a) from t", "* upper"),
            ("select id, id from t", "id id"),
            ("select -x, not a, a is null, a = 1, a || b from t", "?column? ?column? ?column? ?column? ?column?"),
            ("select lower(a) from t union all select b from t", "lower"),
            ("select pg_catalog.version(), \"Sum\"(1)", "version Sum"),
        ] {
            assert_eq!(names(sql).join(" "), expected, "{sql}");
        }
    }

    #[test]
    fn inner_queries_are_named_too() {
        let mut s = Parser::parse_sql(&PostgreSqlDialect {}, "select count from (select count(*) from t) s").unwrap().remove(0);
        name_columns(&mut s);
        assert!(s.to_string().contains("count(*) AS \"count\""), "{s}");
    }

    #[test]
    fn equal_names_stay_apart_inside_and_equal_outside() {
        let mut s = Parser::parse_sql(&PostgreSqlDialect {}, "select 1, 2").unwrap().remove(0);
        name_columns(&mut s);
        assert_eq!(s.to_string(), "SELECT 1 AS \"?column?\", 2 AS \"?column?\u{1}1\"");
    }
}
