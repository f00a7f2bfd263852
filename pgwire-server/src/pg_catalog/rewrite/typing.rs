//! The Postgres type of an output expression over the catalog, where DataFusion forgets it.
//!
//! CASE, subqueries and aggregates keep the Arrow type of their operands, but not the name of the Postgres type: a `name`, an `oid`, a json document
//! would be announced as text and bigint. [`mark`] reads the types off the statement as the client wrote it, and puts `fjord_typed(x, 'name')` around what would
//! lose them. A UNION has the types of its first branch.

use sqlparser::ast::{
    DataType, Expr, Function, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, Value,
};

use super::build::{arguments, bare, call, folded, last, text};
use super::expressions::part;
use super::scope::system_relation;
use crate::pg_catalog::columns::Relation;

/// Types that look like another one in Arrow.
const RESTORED: &[&str] = &["name", "oid", "char", "json", "_name", "_oid"];

/// What is known of an expression's type.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    /// A literal that takes the type of its place.
    Open,
    /// By `typname`.
    Type(String),
    Nothing,
}

/// What a FROM clause offers.
struct Table {
    alias: String,
    columns: Columns,
}

enum Columns {
    System(&'static Relation),
    Derived(Vec<(String, Known)>),
    Foreign,
}

/// The types of a query's output, column by column; empty where it cannot be said (a wildcard).
fn outputs(query: &Query) -> Vec<Option<String>> {
    let columns = columns_of(&query.body, &[]).unwrap_or_default();
    let named = |(_, k)| match k {
        Known::Type(t) => Some(t),
        _ => None,
    };
    columns.into_iter().map(named).collect()
}

/// The type of the one column of a subquery, by `typname`.
pub fn of_subquery(query: &Query) -> Option<String> {
    match columns_of(&query.body, &[])?.pop()? {
        (_, Known::Type(t)) => Some(t),
        _ => None,
    }
}

/// Marks the output of a query, and that of the queries in its FROM clauses, with these types.
pub fn mark(query: &mut Query) {
    let types = outputs(query);
    let union = matches!(*query.body, SetExpr::SetOperation { .. });
    each_branch(&mut query.body, &mut |select| {
        let tables = tables(&select.from, &[]);
        select.from.iter_mut().for_each(mark_from);
        // What reads users' tables stays as it is written: it may go to a source as a whole.
        if tables.iter().any(|t| matches!(t.columns, Columns::Foreign)) {
            return;
        }
        for (item, wanted) in select.projection.iter_mut().zip(&types) {
            let Some(wanted) = wanted.as_deref().filter(|t| RESTORED.contains(t) || union && *t == "text") else { continue };
            let (SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. }) = &*item else { continue };
            // A column and a cast have their type already, unless another branch of a UNION gives them a new one.
            let own = known(e, &[&tables, &[]]);
            let has_it = own == Known::Type(wanted.to_string());
            let computed = !matches!(bare(e), Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Cast { .. });
            let other_text = matches!(&own, Known::Type(t) if matches!(t.as_str(), "name" | "text" | "char") && !has_it);
            if !(if union { other_text || computed && has_it } else { computed && has_it }) {
                continue;
            }
            let typed = call("fjord_typed", vec![e.clone(), text(wanted)]);
            match item {
                SelectItem::ExprWithAlias { expr, .. } => *expr = typed,
                // Columns keep their name; everything else has been given one before.
                SelectItem::UnnamedExpr(Expr::Identifier(i)) => *item = SelectItem::ExprWithAlias { alias: i.clone(), expr: typed },
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(p)) => {
                    if let Some(alias) = p.last().cloned() {
                        *item = SelectItem::ExprWithAlias { alias, expr: typed };
                    }
                }
                _ => {}
            }
        }
    });
}

fn mark_from(from: &mut TableWithJoins) {
    let factors = std::iter::once(&mut from.relation).chain(from.joins.iter_mut().map(|j| &mut j.relation));
    for factor in factors {
        match factor {
            TableFactor::Derived { subquery, .. } => mark(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => mark_from(table_with_joins),
            _ => {}
        }
    }
}

/// A type as a cast names it.
pub fn data_type(typname: &str) -> DataType {
    let custom = |n: &str| DataType::Custom(ObjectName(vec![part(n)]), vec![]);
    match typname.strip_prefix('_') {
        Some(element) => DataType::Array(sqlparser::ast::ArrayElemTypeDef::SquareBracket(Box::new(data_type(element)), None)),
        None if typname == "text" => DataType::Text,
        None => custom(typname),
    }
}

fn each_branch(body: &mut SetExpr, f: &mut dyn FnMut(&mut Select)) {
    match body {
        SetExpr::Select(s) => f(s),
        SetExpr::SetOperation { left, right, .. } => {
            each_branch(left, f);
            each_branch(right, f);
        }
        SetExpr::Query(q) => each_branch(&mut q.body, f),
        _ => {}
    }
}

/// Names and types of a body's output; `None` where it has a wildcard.
fn columns_of(body: &SetExpr, outer: &[Table]) -> Option<Vec<(String, Known)>> {
    match body {
        SetExpr::Select(s) => {
            let here = tables(&s.from, outer);
            let column = |item: &SelectItem| match item {
                SelectItem::UnnamedExpr(e) => Some((name_of(e), known(e, &[&here, outer]))),
                SelectItem::ExprWithAlias { expr, alias } => Some((folded(alias), known(expr, &[&here, outer]))),
                _ => None,
            };
            s.projection.iter().map(column).collect()
        }
        SetExpr::SetOperation { left, .. } => columns_of(left, outer),
        SetExpr::Query(q) => columns_of(&q.body, outer),
        _ => None,
    }
}

fn name_of(e: &Expr) -> String {
    match bare(e) {
        Expr::Identifier(i) => folded(i),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded).unwrap_or_default(),
        Expr::Function(f) => last(&f.name).unwrap_or_default(),
        _ => String::new(),
    }
}

fn tables(from: &[TableWithJoins], outer: &[Table]) -> Vec<Table> {
    let mut out = vec![];
    for t in from {
        table(&t.relation, outer, &mut out);
        t.joins.iter().for_each(|j| table(&j.relation, outer, &mut out));
    }
    out
}

fn table(factor: &TableFactor, outer: &[Table], out: &mut Vec<Table>) {
    match factor {
        TableFactor::NestedJoin { table_with_joins, alias: None } => out.extend(tables(std::slice::from_ref(table_with_joins), outer)),
        TableFactor::Table { name, alias, args: None, .. } if alias.as_ref().is_none_or(|a| a.columns.is_empty()) => {
            let own = name.0.last().and_then(|p| p.as_ident()).map(folded).unwrap_or_default();
            let columns = system_relation(name).map_or(Columns::Foreign, Columns::System);
            out.push(Table { alias: alias.as_ref().map_or(own, |a| folded(&a.name)), columns });
        }
        TableFactor::Derived { subquery, alias: Some(alias), .. } if alias.columns.is_empty() => {
            let columns = columns_of(&subquery.body, outer).map_or(Columns::Foreign, Columns::Derived);
            out.push(Table { alias: folded(&alias.name), columns });
        }
        _ => out.push(Table { alias: String::new(), columns: Columns::Foreign }),
    }
}

fn find(e: &Expr, tables: &[&Table]) -> Option<Known> {
    let (qualifier, column): (Option<&Ident>, &Ident) = match e {
        Expr::Identifier(i) => (None, i),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., q, c] => (Some(q), c),
            [c] => (None, c),
            [] => return None,
        },
        _ => return None,
    };
    let name = folded(column);
    let wanted = |t: &&&Table| qualifier.is_none_or(|q| folded(q) == t.alias);
    tables.iter().filter(wanted).find_map(|t| match &t.columns {
        Columns::System(r) => r.column(&name).and_then(|i| r.columns.get(i)).map(|c| Known::Type(c.type_name.to_string())),
        Columns::Derived(all) => all.iter().find(|(n, _)| *n == name).map(|(_, k)| k.clone()),
        Columns::Foreign => None,
    })
}

/// `levels`: the tables of this query, then those of the ones around it.
fn known(e: &Expr, levels: &[&[Table]; 2]) -> Known {
    let of_query = |q: &Query| {
        // Both levels are around the subquery: its own tables come first.
        let around: Vec<Table> = levels.iter().flat_map(|l| l.iter()).map(Table::again).collect();
        columns_of(&q.body, &around).and_then(|mut c| c.pop()).map_or(Known::Nothing, |c| c.1)
    };
    match bare(e) {
        Expr::Value(v) if matches!(v.value, Value::Null | Value::SingleQuotedString(_)) => Known::Open,
        e @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => {
            let all: Vec<&Table> = levels.iter().flat_map(|l| l.iter()).collect();
            find(e, &all).unwrap_or(Known::Nothing)
        }
        Expr::Cast { data_type, .. } => of_data_type(data_type),
        Expr::Case { conditions, else_result, .. } => {
            let results = conditions.iter().map(|c| &c.result).chain(else_result.as_deref());
            common(results.map(|r| known(r, levels)))
        }
        Expr::Subquery(q) => of_query(q),
        Expr::Function(f) => of_function(f, levels, &of_query),
        _ => Known::Nothing,
    }
}

impl Table {
    fn again(&self) -> Table {
        let columns = match &self.columns {
            Columns::System(r) => Columns::System(r),
            Columns::Derived(c) => Columns::Derived(c.clone()),
            Columns::Foreign => Columns::Foreign,
        };
        Table { alias: self.alias.clone(), columns }
    }
}

fn of_function(f: &Function, levels: &[&[Table]; 2], of_query: &dyn Fn(&Query) -> Known) -> Known {
    let array = |k: Known| match k {
        Known::Type(t) => Known::Type(format!("_{t}")),
        other => other,
    };
    let Some(name) = last(&f.name) else { return Known::Nothing };
    if let (FunctionArguments::Subquery(q), "array") = (&f.args, name.as_str()) {
        return array(of_query(q));
    }
    let args = arguments(f).unwrap_or_default();
    match name.as_str() {
        "json_build_object" => Known::Type("json".into()),
        "array_agg" => args.first().map_or(Known::Nothing, |a| array(known(a, levels))),
        "coalesce" => common(args.into_iter().map(|a| known(a, levels))),
        "nullif" | "max" | "min" => args.first().map_or(Known::Nothing, |a| known(a, levels)),
        _ => Known::Nothing,
    }
}

fn of_data_type(t: &DataType) -> Known {
    match t {
        DataType::Text => Known::Type("text".into()),
        DataType::Custom(name, _) => last(name).map_or(Known::Nothing, Known::Type),
        DataType::Array(sqlparser::ast::ArrayElemTypeDef::SquareBracket(inner, _)) => match of_data_type(inner) {
            Known::Type(t) => Known::Type(format!("_{t}")),
            other => other,
        },
        _ => Known::Nothing,
    }
}

/// The one type of several branches.
fn common(branches: impl Iterator<Item = Known>) -> Known {
    let mut found = Known::Open;
    for b in branches {
        match (&found, b) {
            (_, Known::Nothing) => return Known::Nothing,
            (_, Known::Open) => {}
            (Known::Open, t) => found = t,
            (Known::Type(a), Known::Type(b)) if *a == b => {}
            _ => return Known::Nothing,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sqlparser::ast::Statement;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;

    use super::*;

    fn types(sql: &str) -> Vec<String> {
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        let Statement::Query(q) = statement else { panic!("no query") };
        outputs(&q).into_iter().map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn finds_types_that_arrow_does_not_tell() {
        for (sql, wanted) in [
            ("SELECT relname, c.oid FROM pg_class c", vec!["name", "oid"]),
            ("SELECT CASE WHEN true THEN 'x' ELSE relname END FROM pg_class", vec!["name"]),
            ("SELECT CASE WHEN true THEN relname ELSE 'a' || 'b' END FROM pg_class", vec![""]),
            ("SELECT (SELECT nspname FROM pg_namespace n WHERE n.oid = c.relnamespace) FROM pg_class c", vec!["name"]),
            ("SELECT (SELECT c.relname FROM pg_namespace n WHERE n.oid = c.relnamespace) FROM pg_class c", vec!["name"]),
            ("SELECT ARRAY(SELECT nspname FROM pg_namespace), array_agg(oid) FROM pg_class", vec!["_name", "_oid"]),
            ("SELECT s.n FROM (SELECT array_agg(relname) AS n FROM pg_class) s", vec!["_name"]),
            ("SELECT relname FROM pg_class UNION SELECT NULL::text", vec!["name"]),
            ("SELECT relname FROM users", vec![""]),
            ("SELECT array_agg(attname::text) FROM pg_attribute", vec!["_text"]),
        ] {
            assert_eq!(types(sql), wanted, "{sql}");
        }
    }
}
