//! Statements: our own in front of DataFusion's parser. One parser for the wire, the command line and files.

use sqlparser::ast;

use crate::error::Result;

/// One parsed statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Its slice of the source text, without the semicolon.
    pub text: String,
    /// What it is.
    pub kind: StatementKind,
}

/// What a statement is.
#[derive(Debug, Clone)]
pub enum StatementKind {
    /// SELECT, VALUES, WITH, TABLE: planned by DataFusion.
    Query(Box<ast::Statement>),
    /// Transactions, cursors, PREPARE, COPY ... TO STDOUT, DISCARD, LISTEN: run by whoever holds the session's protocol state.
    Session(SessionStatement),
    /// Anything else that is ours lands here as the parser grows (DDL, EXPLAIN, SET, SHOW).
    Other(Box<ast::Statement>),
}

/// Statements about the session's protocol state.
#[derive(Debug, Clone)]
pub enum SessionStatement {
    /// BEGIN, START TRANSACTION; the isolation level's text and READ ONLY are accepted.
    Begin,
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT n.
    Savepoint(String),
    /// RELEASE n.
    Release(String),
    /// ROLLBACK TO n.
    RollbackTo(String),
    /// DECLARE n CURSOR [WITH HOLD] FOR query.
    Declare {
        /// The cursor.
        name: String,
        /// Lives on after COMMIT.
        hold: bool,
        /// BINARY.
        binary: bool,
        /// The query.
        query: Box<Statement>,
    },
    /// FETCH: rows from here on; `None` is ALL.
    Fetch {
        /// The cursor.
        name: String,
        /// Rows.
        count: Option<u64>,
    },
    /// MOVE.
    Move {
        /// The cursor.
        name: String,
        /// Rows; `None` is ALL.
        count: Option<u64>,
    },
    /// CLOSE n; `None` is ALL.
    Close(Option<String>),
    /// PREPARE n [(types)] AS statement.
    Prepare {
        /// The name.
        name: String,
        /// Declared types, as written.
        types: Vec<String>,
        /// The statement.
        statement: Box<Statement>,
    },
    /// EXECUTE n (values).
    Execute {
        /// The name.
        name: String,
        /// Argument expressions.
        args: Vec<ast::Expr>,
    },
    /// DEALLOCATE n; `None` is ALL.
    Deallocate(Option<String>),
    /// DISCARD ALL, PLANS, TEMP, SEQUENCES.
    Discard(String),
    /// LISTEN, UNLISTEN, NOTIFY: accepted, nothing is ever sent. The command tag.
    Listen(&'static str),
    /// COPY (query) TO STDOUT; `COPY t TO STDOUT` becomes the query `SELECT * FROM t`.
    CopyOut {
        /// The query.
        query: Box<Statement>,
        /// How to write it.
        options: CopyOptions,
    },
}

/// Options of COPY TO STDOUT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// text, csv or binary.
    pub format: CopyFormat,
    /// Between columns; tab for text, comma for csv.
    pub delimiter: char,
    /// How NULL is written; `\N` for text, empty for csv.
    pub null: String,
    /// A first line of names.
    pub header: bool,
    /// csv only.
    pub quote: char,
    /// csv only.
    pub escape: char,
    /// csv only: columns always quoted; `*` is all.
    pub force_quote: Vec<String>,
}

/// Format of COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Tab-separated with backslash escapes.
    Text,
    /// CSV.
    Csv,
    /// PGCOPY binary.
    Binary,
}

/// Parses a text of statements separated by `;`.
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    let parsed = sqlparser::parser::Parser::parse_sql(&sqlparser::dialect::PostgreSqlDialect {}, sql)
        .map_err(|e| crate::error::SqlError::syntax(e.to_string()))?;
    Ok(parsed
        .into_iter()
        .map(|s| Statement {
            text: s.to_string(),
            kind: match s {
                ast::Statement::Query(_) => StatementKind::Query(Box::new(s)),
                s => StatementKind::Other(Box::new(s)),
            },
        })
        .collect())
}
