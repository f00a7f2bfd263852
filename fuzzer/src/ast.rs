//! Queries as trees: what is generated, rendered for either server, and shrunk.
//!
//! An expression is a list of pieces (text, operands, subqueries), not one variant per operator: to render is to concatenate, and to shrink is to put an
//! operand, or a literal, in the place of the whole.

use crate::source::{DATABASE, OTHER_DATABASE, Source};
use crate::types::Ty;

/// An expression and the type that it has.
#[derive(Debug, Clone)]
pub struct Expr {
    /// Its type.
    pub ty: Ty,
    /// No value of it is larger than this; infinite where that is not known. Of numbers only.
    pub magnitude: f64,
    /// Its text, in order.
    pub pieces: Vec<Piece>,
}

/// A part of an expression.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// An operand.
    Expr(Expr),
    /// A literal, that may become a parameter.
    Literal {
        /// As SQL.
        sql: String,
        /// As the text form of a parameter.
        value: String,
        /// The parameter's type.
        oid: u32,
    },
    /// Operands between separators; one may be dropped as long as there is another.
    List(Vec<Expr>, &'static str),
    /// A subquery, in parentheses.
    Query(Box<Query>),
}

impl Expr {
    /// An expression of pieces.
    pub fn new(ty: Ty, pieces: Vec<Piece>) -> Expr {
        Expr { ty, magnitude: f64::INFINITY, pieces }
    }
    /// Text, such as a column's name.
    pub fn text(ty: Ty, text: impl Into<String>) -> Expr {
        Expr::new(ty, vec![Piece::Text(text.into())])
    }
    /// `template` with `{}` for each operand in turn.
    pub fn of(ty: Ty, template: &str, operands: Vec<Expr>) -> Expr {
        let mut pieces = vec![];
        let mut texts = template.split("{}");
        let mut operands = operands.into_iter();
        if let Some(first) = texts.next() {
            pieces.push(Piece::Text(first.to_string()));
        }
        for text in texts {
            pieces.extend(operands.next().map(Piece::Expr));
            pieces.push(Piece::Text(text.to_string()));
        }
        Expr::new(ty, pieces)
    }
    /// The same with a bound.
    #[must_use]
    pub fn bounded(mut self, magnitude: f64) -> Expr {
        self.magnitude = magnitude;
        self
    }
}

/// `WITH ... body ORDER BY ... LIMIT ... OFFSET ...`
#[derive(Debug, Clone)]
pub struct Query {
    /// Common table expressions: name and query.
    pub with: Vec<(String, Query)>,
    /// What it selects.
    pub body: Body,
    /// Sort keys.
    pub order: Vec<Order>,
    /// LIMIT.
    pub limit: Option<u64>,
    /// OFFSET.
    pub offset: Option<u64>,
}

/// A SELECT or two queries.
#[derive(Debug, Clone)]
pub enum Body {
    /// SELECT.
    Select(Box<Select>),
    /// UNION, INTERSECT, EXCEPT.
    Set(&'static str, Box<Query>, Box<Query>),
}

/// One SELECT.
#[derive(Debug, Clone, Default)]
pub struct Select {
    /// DISTINCT.
    pub distinct: bool,
    /// Expressions with their names.
    pub items: Vec<(Expr, Option<String>)>,
    /// FROM.
    pub from: Option<From>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// GROUP BY.
    pub group: Vec<Expr>,
    /// `ROLLUP`, `CUBE`, `GROUPING SETS` (each key alone, and none), or nothing.
    pub sets: &'static str,
    /// HAVING.
    pub having: Option<Expr>,
}

/// A relation.
#[derive(Debug, Clone)]
pub enum From {
    /// A table with an alias.
    Table {
        /// Its name, not quoted.
        name: String,
        /// It is a file.
        file: bool,
        /// Its alias.
        alias: Option<String>,
    },
    /// A common table expression with an alias.
    Cte(String, String),
    /// A subquery with an alias; LATERAL.
    Sub(Box<Query>, String),
    /// A join.
    Join {
        /// `JOIN`, `LEFT JOIN` ...
        kind: &'static str,
        /// The left side.
        left: Box<From>,
        /// The right side.
        right: Box<From>,
        /// ON.
        on: Option<Expr>,
        /// USING.
        using: Vec<String>,
    },
}

/// A sort key.
#[derive(Debug, Clone)]
pub struct Order {
    /// An ordinal of the output (from 1) or an expression.
    pub key: Key,
    /// `DESC`, `NULLS FIRST` ...
    pub direction: &'static str,
}

/// What is sorted by.
#[derive(Debug, Clone)]
pub enum Key {
    /// The output column, from 1.
    Ordinal(usize),
    /// An expression over what FROM gives.
    Expr(Expr),
}

impl Query {
    /// A query of one SELECT.
    pub fn of(select: Select) -> Query {
        Query { with: vec![], body: Body::Select(Box::new(select)), order: vec![], limit: None, offset: None }
    }
    /// How many columns it returns; 0 where that is not known (`*`).
    pub fn width(&self) -> usize {
        match &self.body {
            Body::Select(s) if s.items.iter().any(|(e, _)| matches!(&e.pieces[..], [Piece::Text(t)] if t.ends_with('*'))) => 0,
            Body::Select(s) => s.items.len(),
            Body::Set(_, left, _) => left.width(),
        }
    }
    /// The output columns (from 0) that it is sorted by, as far as they are ordinals.
    pub fn sorted_by(&self) -> Vec<usize> {
        self.order.iter().map_while(|o| if let Key::Ordinal(n) = o.key { Some(n - 1) } else { None }).collect()
    }
    /// Every output column is a sort key: equal rows are the same row.
    pub fn is_total(&self) -> bool {
        let sorted = self.sorted_by();
        self.width() > 0 && (0..self.width()).all(|i| sorted.contains(&i))
    }
}

/// What tables are called in a query to Fjord.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Where the tables are.
    pub source: Source,
    /// Its connector.
    pub connector: String,
    /// Its schema.
    pub schema: String,
    /// The schema of the tables that are beside the others.
    pub beside: String,
    /// The connector of the files.
    pub files: String,
}

impl Names {
    /// As in pinned cases.
    pub fn pinned(source: Source) -> Names {
        let (connector, files) = (source.connector().into(), "fl".into());
        match source {
            Source::Postgres => Names { source, connector, schema: SCHEMA.into(), beside: SCHEMA.into(), files },
            _ => Names { source, connector, schema: DATABASE.into(), beside: OTHER_DATABASE.into(), files },
        }
    }

    /// Of a worker.
    pub fn numbered(source: Source, number: usize) -> Names {
        let names = Names::pinned(source);
        let own = |n: String| format!("{n}{number}");
        let (connector, files) = (own(names.connector), own(names.files));
        match source {
            // Each has a database of its own.
            Source::Postgres => Names { connector, files, ..names },
            _ => Names { connector, files, schema: own(names.schema), beside: own(names.beside), source },
        }
    }

    /// A pinned query in these names.
    pub fn in_pinned(&self, query: &str) -> String {
        let pinned = Names::pinned(self.source);
        query
            .replace(&format!("{}.{}.", pinned.connector, pinned.schema), &format!("{}.{}.", self.connector, self.schema))
            .replace(&format!("{}.{}.", pinned.connector, pinned.beside), &format!("{}.{}.", self.connector, self.beside))
            .replace(&format!("{}.files.", pinned.files), &format!("{}.files.", self.files))
    }

    /// The schema that a table is in.
    pub fn schema_of(&self, table: &str) -> &str {
        if self.source.beside(table) { &self.beside } else { &self.schema }
    }
}

/// For whom a query is written.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Fjord.
    Fjord(&'a Names),
    /// The source itself.
    Postgres,
}

/// The keyword of grouping sets that are written out.
pub const SETS: &str = "GROUPING SETS";
/// The schema of the Postgres tables.
pub const SCHEMA: &str = "w";
/// The schema in which Postgres has the rows of the files.
pub const FILES_SCHEMA: &str = "f";

/// A query's text; with `parameters`, literals become `$1` and so on, and land there with their types.
pub fn render(query: &Query, target: Target<'_>, parameters: Option<&mut Vec<(String, u32)>>) -> String {
    let mut writer = Writer { out: String::new(), target, parameters };
    writer.query(query);
    writer.out
}

/// An identifier in quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

struct Writer<'a> {
    out: String,
    target: Target<'a>,
    parameters: Option<&'a mut Vec<(String, u32)>>,
}

impl Writer<'_> {
    fn query(&mut self, q: &Query) {
        for (i, (name, query)) in q.with.iter().enumerate() {
            self.out.push_str(if i == 0 { "WITH " } else { ", " });
            self.out.push_str(name);
            self.out.push_str(" AS (");
            self.query(query);
            self.out.push_str(if i + 1 == q.with.len() { ") " } else { ")" });
        }
        match &q.body {
            Body::Select(s) => self.select(s),
            Body::Set(op, left, right) => {
                self.out.push('(');
                self.query(left);
                self.out.push_str(&format!(") {op} ("));
                self.query(right);
                self.out.push(')');
            }
        }
        for (i, o) in q.order.iter().enumerate() {
            self.out.push_str(if i == 0 { " ORDER BY " } else { ", " });
            match &o.key {
                Key::Ordinal(n) => self.out.push_str(&n.to_string()),
                Key::Expr(e) => self.expr(e),
            }
            self.out.push_str(o.direction);
        }
        if let Some(n) = q.limit {
            self.out.push_str(&format!(" LIMIT {n}"));
        }
        if let Some(n) = q.offset {
            self.out.push_str(&format!(" OFFSET {n}"));
        }
    }

    fn select(&mut self, s: &Select) {
        self.out.push_str(if s.distinct { "SELECT DISTINCT " } else { "SELECT " });
        for (i, (e, name)) in s.items.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            self.expr(e);
            if let Some(name) = name {
                self.out.push_str(&format!(" AS {name}"));
            }
        }
        if let Some(from) = &s.from {
            self.out.push_str(" FROM ");
            self.from(from);
        }
        if let Some(e) = &s.filter {
            self.out.push_str(" WHERE ");
            self.expr(e);
        }
        let alone = s.sets == SETS;
        for (i, e) in s.group.iter().enumerate() {
            match i {
                0 if !s.sets.is_empty() => self.out.push_str(&format!(" GROUP BY {} (", s.sets)),
                0 => self.out.push_str(" GROUP BY "),
                _ => self.out.push_str(", "),
            }
            self.out.push_str(if alone { "(" } else { "" });
            self.expr(e);
            self.out.push_str(if alone { ")" } else { "" });
            if i + 1 == s.group.len() && !s.sets.is_empty() {
                self.out.push_str(if alone { ", ())" } else { ")" });
            }
        }
        if let Some(e) = &s.having {
            self.out.push_str(" HAVING ");
            self.expr(e);
        }
    }

    fn from(&mut self, from: &From) {
        match from {
            From::Table { name, file, alias } => {
                let quoted = quoted(name);
                self.out.push_str(&match (self.target, file) {
                    (Target::Fjord(names), false) => format!("{}.{}.{quoted}", names.connector, names.schema_of(name)),
                    (Target::Fjord(names), true) => format!("{}.files.{quoted}", names.files),
                    (Target::Postgres, false) => format!("{SCHEMA}.{quoted}"),
                    (Target::Postgres, true) => format!("{FILES_SCHEMA}.{quoted}"),
                });
                if let Some(alias) = alias {
                    self.out.push_str(&format!(" AS {alias}"));
                }
            }
            From::Cte(name, alias) => self.out.push_str(&format!("{name} AS {alias}")),
            From::Sub(query, alias) => {
                self.out.push('(');
                self.query(query);
                self.out.push_str(&format!(") AS {alias}"));
            }
            From::Join { kind, left, right, on, using } => {
                self.from(left);
                self.out.push_str(&format!(" {kind} "));
                let nested = matches!(**right, From::Join { .. });
                if nested {
                    self.out.push('(');
                }
                self.from(right);
                if nested {
                    self.out.push(')');
                }
                if let Some(e) = on {
                    self.out.push_str(" ON ");
                    self.expr(e);
                }
                if !using.is_empty() {
                    self.out.push_str(&format!(" USING ({})", using.join(", ")));
                }
            }
        }
    }

    fn expr(&mut self, e: &Expr) {
        for piece in &e.pieces {
            match piece {
                Piece::Text(t) => self.out.push_str(t),
                Piece::Expr(e) => self.expr(e),
                Piece::Literal { sql, value, oid } => match &mut self.parameters {
                    None => self.out.push_str(sql),
                    Some(parameters) => {
                        parameters.push((value.clone(), *oid));
                        let text = format!("${}", parameters.len());
                        self.out.push_str(&text);
                    }
                },
                Piece::List(list, separator) => {
                    for (i, e) in list.iter().enumerate() {
                        if i > 0 {
                            self.out.push_str(separator);
                        }
                        self.expr(e);
                    }
                }
                Piece::Query(q) => {
                    self.out.push('(');
                    self.query(q);
                    self.out.push(')');
                }
            }
        }
    }
}
