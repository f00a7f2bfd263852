//! Postgres's spellings as plain ones.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Query, SetExpr, Statement, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator, Value, VisitorMut,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::build::{arguments, bare, call, folded, in_catalog, last, text};
use crate::pg_catalog::columns::RELATIONS;

/// The visitor.
pub struct Expressions;

impl VisitorMut for Expressions {
    type Break = ();

    fn pre_visit_statement(&mut self, _: &mut Statement) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        rewrite(expr);
        ControlFlow::Continue(())
    }
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        table_function(factor);
        ControlFlow::Continue(())
    }
}

fn rewrite(expr: &mut Expr) {
    match expr {
        Expr::BinaryOp { op, .. } | Expr::AnyOp { compare_op: op, .. } | Expr::AllOp { compare_op: op, .. } => operator(op),
        Expr::Collate { expr: inner, collation } if bytewise(collation) => {
            let inner = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()));
            *expr = inner;
        }
        Expr::Cast { .. } => cast(expr),
        Expr::Function(_) => function(expr),
        Expr::Identifier(name) => keyword(name.clone(), expr),
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if let Some(Value::SingleQuotedString(e)) = escape_char.as_ref().map(|e| &e.value) {
                let e = e.clone();
                *escape_char = None;
                if e != "\\" {
                    let inner = std::mem::replace(pattern.as_mut(), Expr::Value(Value::Null.into()));
                    *pattern.as_mut() = call("fjord_like_pattern", vec![inner, text(&e)]);
                }
            }
        }
        Expr::CompoundFieldAccess { .. } => composite_field(expr),
        _ => {}
    }
    if let Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right } = expr {
        array_comparison(left, right);
        array_comparison(right, left);
    }
    if let Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } = expr
        && let Expr::Value(v) = bare(right)
        && let Value::SingleQuotedString(s) = &v.value
        && let Some(items) = array_literal(s)
    {
        *right.as_mut() = items;
    }
}

/// `OPERATOR(pg_catalog.~)` as `~`.
fn operator(op: &mut BinaryOperator) {
    use BinaryOperator as O;
    let O::PGCustomBinaryOperator(names) = &*op else { return };
    let [schema, name] = names.as_slice() else { return };
    if schema != "pg_catalog" {
        return;
    }
    *op = match name.as_str() {
        "~" => O::PGRegexMatch,
        "~*" => O::PGRegexIMatch,
        "!~" => O::PGRegexNotMatch,
        "!~*" => O::PGRegexNotIMatch,
        "~~" => O::PGLikeMatch,
        "~~*" => O::PGILikeMatch,
        "!~~" => O::PGNotLikeMatch,
        "!~~*" => O::PGNotILikeMatch,
        "=" => O::Eq,
        "<>" => O::NotEq,
        "<" => O::Lt,
        "<=" => O::LtEq,
        ">" => O::Gt,
        ">=" => O::GtEq,
        "+" => O::Plus,
        "-" => O::Minus,
        "*" => O::Multiply,
        "/" => O::Divide,
        "||" => O::StringConcat,
        _ => return,
    };
}

/// Collations under which Fjord compares anyway.
fn bytewise(collation: &ObjectName) -> bool {
    in_catalog(collation) && last(collation).is_some_and(|c| matches!(c.as_str(), "default" | "C" | "POSIX" | "ucs_basic"))
}

/// The object that a `reg...` type names.
fn reg_type(t: &DataType) -> Option<&'static str> {
    let DataType::Custom(name, _) = t else {
        return matches!(t, DataType::Regclass).then_some("fjord_regclass");
    };
    if !in_catalog(name) {
        return None;
    }
    Some(match last(name)?.as_str() {
        "regclass" => "fjord_regclass",
        "regtype" => "fjord_regtype",
        "regnamespace" => "fjord_regnamespace",
        "regrole" => "fjord_regrole",
        "regproc" | "regprocedure" => "fjord_regproc",
        _ => return None,
    })
}

/// What prints a `reg...` value's name.
pub fn printing(name: &str) -> Option<&'static str> {
    Some(match name {
        "fjord_regclass" | "to_regclass" => "fjord_regclass_text",
        "fjord_regtype" | "to_regtype" => "fjord_regtype_text",
        "fjord_regnamespace" | "to_regnamespace" => "fjord_regnamespace_text",
        "fjord_regrole" | "to_regrole" => "fjord_regrole_text",
        "fjord_regproc" | "to_regproc" => "fjord_regproc_text",
        _ => return None,
    })
}

/// What shows a `reg...` value to a client: its name in text, its OID in binary.
pub fn showing(name: &str) -> Option<&'static str> {
    Some(match name {
        "fjord_regclass" | "to_regclass" => "fjord_regclass_out",
        "fjord_regtype" | "to_regtype" => "fjord_regtype_out",
        "fjord_regnamespace" | "to_regnamespace" => "fjord_regnamespace_out",
        "fjord_regrole" | "to_regrole" => "fjord_regrole_out",
        "fjord_regproc" | "to_regproc" => "fjord_regproc_out",
        _ => return None,
    })
}

fn is_text(t: &DataType) -> bool {
    match t {
        DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_) => true,
        DataType::Custom(name, _) => in_catalog(name) && last(name).is_some_and(|n| matches!(n.as_str(), "text" | "name" | "varchar")),
        _ => false,
    }
}

/// `x::regclass` is a call that gives the OID; `x::regclass::text` one that gives the name; `'{a,b}'::text[]` an array.
fn cast(expr: &mut Expr) {
    let Expr::Cast { expr: inner, data_type, .. } = expr else { return };
    if let Some(name) = reg_type(data_type) {
        let inner = std::mem::replace(inner.as_mut(), Expr::Value(Value::Null.into()));
        *expr = call(name, vec![inner]);
        return;
    }
    if is_text(data_type)
        && let Expr::Function(f) = bare(inner)
        && let Some(print) = last(&f.name).and_then(|n| printing(&n))
        && let Some(args) = arguments(f)
    {
        *expr = call(print, args.into_iter().cloned().collect());
        return;
    }
    // `"char"` is a byte; pg_catalog's are text here. The quoted name is not CHAR(1).
    if let DataType::Custom(name, _) = data_type
        && in_catalog(name)
        && last(name).as_deref() == Some("char")
    {
        *data_type = DataType::Text;
        return;
    }
    if let DataType::Array(_) = data_type
        && let Expr::Value(v) = bare(inner)
        && let Value::SingleQuotedString(s) = &v.value
        && let Some(items) = array_literal(s)
    {
        *inner.as_mut() = items;
    }
}

/// `polroles = '{0}'`: the literal beside an array column of the catalog is an array.
fn array_comparison(column: &Expr, literal: &mut Expr) {
    static ARRAYS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let columns = RELATIONS.iter().flat_map(|r| &r.columns);
        columns.filter(|c| c.type_name.starts_with('_') || c.type_name.ends_with("vector")).map(|c| c.name).collect()
    });
    let name = match bare(column) {
        Expr::Identifier(i) => folded(i),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded).unwrap_or_default(),
        _ => return,
    };
    if ARRAYS.contains(name.as_str())
        && let Expr::Value(v) = &*literal
        && let Value::SingleQuotedString(s) = &v.value
        && let Some(items) = array_literal(s)
    {
        *literal = items;
    }
}

/// `{a,"b c",NULL}` as ARRAY['a', 'b c', NULL]; numbers stay numbers. `None` where it is not one-dimensional.
fn array_literal(s: &str) -> Option<Expr> {
    let body = s.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut elem = vec![];
    if !body.trim().is_empty() {
        let (mut chars, mut item, mut quoted) = (body.chars(), String::new(), false);
        loop {
            match chars.next() {
                Some('{' | '}') => return None,
                Some('"') => {
                    quoted = true;
                    loop {
                        match chars.next()? {
                            '\\' => item.push(chars.next()?),
                            '"' => break,
                            c => item.push(c),
                        }
                    }
                }
                Some('\\') => item.push(chars.next()?),
                c @ (Some(',') | None) => {
                    elem.push(array_item(&item, quoted));
                    item.clear();
                    quoted = false;
                    if c.is_none() {
                        break;
                    }
                }
                Some(c) => item.push(c),
            }
        }
    }
    Some(Expr::Array(Array { elem, named: true }))
}

fn array_item(item: &str, quoted: bool) -> Expr {
    let bare = item.trim();
    if quoted {
        return text(item);
    }
    if bare.eq_ignore_ascii_case("null") {
        return Expr::Value(Value::Null.into());
    }
    if bare.parse::<i64>().is_ok() {
        return super::build::number(bare);
    }
    text(bare)
}

/// Functions without parentheses that the parser reads as columns.
fn keyword(name: Ident, expr: &mut Expr) {
    if name.quote_style.is_none() && matches!(folded(&name).as_str(), "current_schema" | "current_role" | "current_catalog") {
        *expr = call(&folded(&name), vec![]);
    }
}

/// Functions whose name has a schema that is ours.
fn strip_schema(name: &mut ObjectName) {
    if let [schema, _] = name.0.as_slice()
        && schema.as_ident().is_some_and(|s| matches!(folded(s).as_str(), "pg_catalog" | "information_schema"))
    {
        name.0.remove(0);
    }
}

fn function(expr: &mut Expr) {
    let Expr::Function(f) = expr else { return };
    strip_schema(&mut f.name);
    let Some(name) = last(&f.name) else { return };
    match name.as_str() {
        "current_user" | "session_user" | "user" | "current_catalog" | "current_schema" | "current_role"
            if f.args == FunctionArguments::None =>
        {
            *expr = call(&name, vec![]);
        }
        "pg_partition_ancestors" => {
            if let Some(args) = arguments(f) {
                *expr = call("unnest", vec![call("fjord_partition_ancestors", args.into_iter().cloned().collect())]);
            }
        }
        // A set of composites `(x, n)`: each element with its number.
        "_pg_expandarray" => {
            if let Some(args) = arguments(f) {
                *expr = call("unnest", vec![call("fjord_expandarray", args.into_iter().cloned().collect())]);
            }
        }
        "generate_subscripts" => {
            if let Some(args) = arguments(f) {
                // The dimension stays an argument, for it may be a parameter.
                *expr = call("unnest", vec![call("fjord_subscripts", args.into_iter().cloned().collect())]);
            }
        }
        _ => {}
    }
}

/// `(x).n`: the field of a composite.
fn composite_field(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return };
    if let (Expr::Nested(composite), [AccessExpr::Dot(Expr::Identifier(field))]) = (root.as_ref(), access_chain.as_slice()) {
        *expr = call("get_field", vec![composite.as_ref().clone(), text(&folded(field))]);
    }
}

/// A call's argument as a bigint, where a call of a function of the catalog made it.
fn as_bigint(argument: &mut FunctionArg) {
    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) = argument
        && matches!(bare(e), Expr::Function(f) if last(&f.name).as_deref() == Some("array_upper"))
    {
        let inner = std::mem::replace(e, Expr::Value(Value::Null.into()));
        *e = super::build::cast(inner, DataType::BigInt(None));
    }
}

/// `pg_catalog.generate_series(...)` and `pg_catalog.unnest(...)` in FROM.
fn table_function(factor: &mut TableFactor) {
    match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            strip_schema(name);
            if last(name).as_deref() == Some("generate_series") {
                // DataFusion takes bigints only, and `array_upper` gives an integer.
                args.args.iter_mut().for_each(as_bigint);
                if !*with_ordinality {
                    return series(factor);
                }
            }
            let ancestors = last(name).as_deref() == Some("pg_partition_ancestors");
            if ancestors {
                // A set of OIDs; its one column is named `relid`.
                let own = TableAlias { explicit: true, name: Ident::new("pg_partition_ancestors"), columns: vec![], at: None };
                let alias = alias.get_or_insert(own);
                if alias.columns.is_empty() {
                    alias.columns = vec![TableAliasColumnDef { name: Ident::new("relid"), data_type: None }];
                }
            }
            if ancestors || last(name).as_deref() == Some("unnest") {
                let array_exprs: Vec<Expr> = args
                    .args
                    .iter()
                    .filter_map(|a| match a {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
                        _ => None,
                    })
                    .collect();
                let array_exprs = if ancestors { vec![call("fjord_partition_ancestors", array_exprs)] } else { array_exprs };
                *factor = TableFactor::UNNEST {
                    alias: alias.clone(),
                    array_exprs,
                    with_offset: false,
                    with_offset_alias: None,
                    with_ordinality: *with_ordinality,
                };
            }
        }
        TableFactor::Function { name, .. } => strip_schema(name),
        _ => {}
    }
}

/// `generate_series(1, 3) AS g`: its column is called `g`, or like the function, and is an integer where its bounds are.
fn series(factor: &mut TableFactor) {
    let TableFactor::Table { args: Some(args), alias, .. } = factor else { return };
    let own = || TableAlias { explicit: true, name: Ident::new("generate_series"), columns: vec![], at: None };
    let mut named = alias.take().unwrap_or_else(own);
    if named.columns.is_empty() {
        named.columns = vec![TableAliasColumnDef { name: named.name.clone(), data_type: None }];
    }
    let small = |a: &FunctionArg| match a {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => is_small(e),
        _ => false,
    };
    if !args.args.iter().all(small) {
        *alias = Some(named);
        return;
    }
    static NARROWED: LazyLock<Option<Box<Query>>> = LazyLock::new(|| {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, "SELECT value::integer AS value FROM series").ok()?;
        match parsed.pop() {
            Some(Statement::Query(q)) => Some(q),
            _ => None,
        }
    });
    let Some(mut subquery) = NARROWED.clone() else { return };
    if let SetExpr::Select(s) = subquery.body.as_mut() {
        s.from = vec![TableWithJoins { relation: factor.clone(), joins: vec![] }];
    }
    *factor = TableFactor::Derived { lateral: false, subquery, alias: Some(named), sample: None };
}

/// A number that is an integer, perhaps with a sign.
fn is_small(e: &Expr) -> bool {
    match bare(e) {
        Expr::Value(v) => matches!(&v.value, Value::Number(n, false) if n.parse::<i32>().is_ok()),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_small(expr),
        _ => false,
    }
}

/// A bare identifier's name part; used by the scope.
pub fn part(name: &str) -> ObjectNamePart {
    ObjectNamePart::Identifier(Ident::new(name))
}
