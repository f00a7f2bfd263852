//! Definitions as SQL text: what `pg_get_constraintdef` and its kin print.

use fjord_engine::session::NAME_MARK;

use super::model::{ConstraintKind, ConstraintRow, Model, RelationRow};

/// An identifier as Postgres prints it: quoted only where it must be.
pub fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A string as a literal; backslashes make it an E'' string, as in Postgres.
pub fn quote_literal(text: &str) -> String {
    let body = text.replace('\'', "''");
    if body.contains('\\') { format!("E'{}'", body.replace('\\', "\\\\")) } else { format!("'{body}'") }
}

/// Words that need quotes as names: the reserved ones of <https://www.postgresql.org/docs/15/sql-keywords-appendix.html>, with those that may not be
/// column names.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization", "between", "bigint", "binary", "bit",
    "boolean", "both", "case", "cast", "char", "character", "check", "coalesce", "collate", "collation", "column", "concurrently",
    "constraint", "create", "cross", "current_catalog", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "dec", "decimal", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except",
    "exists", "extract", "false", "fetch", "float", "for", "foreign", "freeze", "from", "full", "grant", "greatest", "group", "grouping",
    "having", "ilike", "in", "initially", "inner", "inout", "int", "integer", "intersect", "interval", "into", "is", "isnull", "join",
    "lateral", "leading", "least", "left", "like", "limit", "localtime", "localtimestamp", "national", "natural", "nchar", "none",
    "normalize", "not", "notnull", "null", "nullif", "numeric", "offset", "on", "only", "or", "order", "out", "outer", "overlaps",
    "overlay", "placing", "position", "precision", "primary", "real", "references", "returning", "right", "row", "select", "session_user",
    "setof", "similar", "smallint", "some", "substring", "symmetric", "table", "tablesample", "then", "time", "timestamp", "to",
    "trailing", "treat", "trim", "true", "union", "unique", "user", "using", "values", "varchar", "variadic", "verbose", "when", "where",
    "window", "with", "xmlattributes", "xmlconcat", "xmlelement", "xmlexists", "xmlforest", "xmlnamespaces", "xmlparse", "xmlpi",
    "xmlroot", "xmlserialize", "xmltable",
];

/// A relation's name as Postgres prints it: with its schema unless a bare name finds it.
pub fn relation_name(m: &Model, r: &RelationRow, path: &[String]) -> String {
    let schema = m.schema_of(r).map_or("", |s| s.name.as_str());
    if is_visible(m, r, path) { quote_ident(&r.name) } else { format!("{}.{}", quote_ident(schema), quote_ident(&r.name)) }
}

/// Whether a bare name finds this relation: its schema is the first of the path that has the name. `pg_catalog` comes first unless named.
pub fn is_visible(m: &Model, r: &RelationRow, path: &[String]) -> bool {
    let Some(own) = m.schema_of(r) else { return false };
    let implicit = (!path.iter().any(|p| p == "pg_catalog")).then_some("pg_catalog");
    implicit
        .into_iter()
        .chain(path.iter().map(String::as_str))
        .find(|schema| m.relation_named(schema, &r.name).is_some())
        .is_some_and(|first| first == own.name)
}

/// `pg_get_constraintdef`.
pub fn constraint(m: &Model, c: &ConstraintRow, path: &[String], pretty: bool) -> Option<String> {
    let relation = m.relations.get(c.relation)?;
    let names = |columns: &[usize]| -> String {
        let names = columns.iter().filter_map(|i| relation.columns.get(*i)).map(|c| quote_ident(&c.name));
        names.collect::<Vec<_>>().join(", ")
    };
    Some(match &c.kind {
        ConstraintKind::Check(k) => if pretty { &k.pretty } else { &k.definition }.clone(),
        ConstraintKind::Key(k) if !k.definition.is_empty() => k.definition.clone(),
        ConstraintKind::Key(k) => {
            let word = if k.primary { "PRIMARY KEY" } else { "UNIQUE" };
            let deferrable = if k.deferrable { " DEFERRABLE" } else { "" };
            format!("{word} ({}){deferrable}", names(&k.columns))
        }
        ConstraintKind::Foreign(fk, to) => {
            let target = match to.and_then(|t| m.relations.get(t)) {
                Some(r) => relation_name(m, r, path),
                None => format!("{}.{}", quote_ident(&fk.to_schema), quote_ident(&fk.to_table)),
            };
            let to_columns = fk.to_columns.iter().map(|c| quote_ident(c)).collect::<Vec<_>>().join(", ");
            format!("FOREIGN KEY ({}) REFERENCES {target}({to_columns}){}", names(&fk.columns), actions(&fk.definition))
        }
    })
}

/// What follows the referenced columns in a foreign key's definition: ` ON DELETE CASCADE`. The source's own name for the referenced table is left
/// out, because its schema has another name here.
pub fn actions(definition: &str) -> &str {
    let Some(from) = definition.find(" REFERENCES ") else { return "" };
    let (mut quoted, mut depth) = (false, 0);
    for (i, c) in definition.char_indices().skip_while(|(i, _)| *i < from) {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return definition.get(i + 1..).unwrap_or("");
                }
            }
            _ => {}
        }
    }
    ""
}

/// One action of a foreign key as `pg_constraint` codes it, from its definition.
pub fn action_code(definition: &str, event: &str) -> char {
    let tail = actions(definition);
    let Some(at) = tail.find(event) else { return 'a' };
    let rest = tail.get(at + event.len()..).unwrap_or("").trim_start();
    [("CASCADE", 'c'), ("SET NULL", 'n'), ("SET DEFAULT", 'd'), ("RESTRICT", 'r')]
        .iter()
        .find(|(word, _)| rest.starts_with(word))
        .map_or('a', |(_, code)| *code)
}

/// What stands for Postgres's `pg_node_tree`: a text, and behind it the text that `pg_get_expr` gives where it is asked for a pretty one.
pub fn tree(text: &str, pretty: Option<&str>) -> String {
    match pretty.filter(|p| *p != text) {
        Some(p) => format!("{text}{NAME_MARK}{p}"),
        None => text.to_string(),
    }
}

/// `pg_get_expr`.
pub fn expression(tree: &str, pretty: bool) -> &str {
    match tree.split_once(NAME_MARK) {
        Some((_, p)) if pretty => p,
        Some((text, _)) => text,
        None => tree,
    }
}

/// The columns and expressions of an index, from its definition's text.
pub fn index_columns(definition: &str) -> Vec<String> {
    let Some(using) = definition.find(" USING ") else { return vec![] };
    let Some(open) = definition.get(using..).and_then(|d| d.find('(')).map(|i| using + i) else { return vec![] };
    let (mut depth, mut quote, mut start, mut out) = (0, None, open + 1, vec![]);
    for (i, c) in definition.char_indices().skip_while(|(i, _)| *i < open) {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth -= 1;
                if depth == 0 {
                    out.push(definition.get(start..i).unwrap_or("").trim().to_string());
                    break;
                }
            }
            (None, ',') if depth == 1 => {
                out.push(definition.get(start..i).unwrap_or("").trim().to_string());
                start = i + 1;
            }
            _ => {}
        }
    }
    out
}

/// `pg_get_indexdef`: the whole definition, or one column (from 1). `path`: names are as short as this search path allows.
pub fn index(m: &Model, oid: u32, column: i64, path: Option<&[String]>) -> Option<String> {
    let i = m.index(oid)?;
    let relation = m.relations.get(i.relation)?;
    if column == 0 {
        let unique = if i.info.unique { "UNIQUE " } else { "" };
        let schema = m.schema_of(relation)?;
        let definition = if path.is_some() { &i.info.pretty } else { &i.info.definition };
        let tail = definition.find(" USING ").and_then(|at| definition.get(at..)).unwrap_or("");
        let on = match path {
            Some(path) => relation_name(m, relation, path),
            None => format!("{}.{}", quote_ident(&schema.name), quote_ident(&relation.name)),
        };
        let on = if relation.kind == 'p' { format!("ONLY {on}") } else { on };
        return Some(format!("CREATE {unique}INDEX {} ON {on}{tail}", quote_ident(&i.info.name)));
    }
    let place = usize::try_from(column - 1).ok()?;
    match i.info.columns.get(place) {
        Some(Some(c)) => relation.columns.get(*c).map(|c| quote_ident(&c.name)),
        Some(None) => index_columns(if path.is_some() { &i.info.pretty } else { &i.info.definition })
            .into_iter()
            .nth(place)
            .map(|c| without_order(&c).to_string()),
        None => relation.columns.get(*i.info.included.get(place - i.info.columns.len())?).map(|c| quote_ident(&c.name)),
    }
}

/// An index's expression without what follows it: DESC, NULLS FIRST.
fn without_order(mut column: &str) -> &str {
    for word in [" NULLS LAST", " NULLS FIRST", " DESC", " ASC"] {
        column = column.strip_suffix(word).unwrap_or(column);
    }
    column
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn quotes_as_postgres_does() {
        for (name, text) in [
            ("users", "users"),
            ("Users", "\"Users\""),
            ("a b", "\"a b\""),
            ("q\"q", "\"q\"\"q\""),
            ("select", "\"select\""),
            ("1a", "\"1a\""),
        ] {
            assert_eq!(quote_ident(name), text);
        }
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), "E'a\\\\b'");
    }

    #[test]
    fn reads_foreign_key_actions() {
        let d = "FOREIGN KEY (a) REFERENCES public.\"x (y)\"(id) ON UPDATE RESTRICT ON DELETE SET NULL (a) DEFERRABLE";
        assert_eq!(actions(d), " ON UPDATE RESTRICT ON DELETE SET NULL (a) DEFERRABLE");
        assert_eq!((action_code(d, "ON UPDATE"), action_code(d, "ON DELETE")), ('r', 'n'));
        assert_eq!(action_code("FOREIGN KEY (a) REFERENCES b(c)", "ON DELETE"), 'a');
    }

    #[test]
    fn splits_index_columns() {
        let d = "CREATE INDEX i ON public.t USING btree (lower((name)::text), \"a,b\", coalesce(x, 1) DESC)";
        assert_eq!(index_columns(d), ["lower((name)::text)", "\"a,b\"", "coalesce(x, 1) DESC"]);
    }
}
