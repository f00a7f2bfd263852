//! What a statement can be.

use std::fmt;

use sqlparser::ast;

use super::ddl::Ddl;
use crate::error::SqlError;

/// One parsed statement. Debug shows the redacted text.
#[derive(Clone)]
pub struct Statement {
    /// Its slice of the source text, without the semicolon. May hold a secret: log [`redacted`](super::redacted) instead.
    pub text: String,
    /// What it is.
    pub kind: StatementKind,
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({:?})", super::redacted(self))
    }
}

/// What a statement is.
#[derive(Debug, Clone)]
pub enum StatementKind {
    /// SELECT, VALUES, WITH, TABLE: planned by DataFusion. The boxed statement is an `ast::Statement::Query`.
    Query(Box<ast::Statement>),
    /// Transactions, cursors, PREPARE, COPY ... TO STDOUT, DISCARD, LISTEN: run by whoever holds the session's protocol state.
    Session(SessionStatement),
    /// Secrets, connectors, views, comments, and the SHOW and DESCRIBE of these: run by [`ddl::execute`](super::ddl::execute).
    Ddl(Box<Ddl>),
    /// EXPLAIN of a query.
    Explain {
        /// How.
        options: ExplainOptions,
        /// The query; always a [`StatementKind::Query`].
        statement: Box<Statement>,
    },
    /// SET, SET LOCAL, SET TIME ZONE, SET TRANSACTION, SET ROLE...
    Set {
        /// SET LOCAL, and SET TRANSACTION: until the end of the transaction.
        local: bool,
        /// Lower-case names with their values; `None` is DEFAULT. SET TRANSACTION can set several.
        assignments: Vec<(String, Option<String>)>,
    },
    /// RESET; `None` is ALL.
    Reset(Option<String>),
    /// SHOW; `None` is ALL.
    Show(Option<String>),
    /// A statement that Fjord understands and refuses, with the error to raise when it is run (not when it is parsed: the statements before it in
    /// the same text count, and a failed transaction answers 25P02 first).
    Refused(Box<SqlError>),
}

/// Options of EXPLAIN. TIMING, SUMMARY, BUFFERS, WAL, SETTINGS and GENERIC_PLAN are accepted and have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExplainOptions {
    /// Run it.
    pub analyze: bool,
    /// More.
    pub verbose: bool,
    /// What was pushed into which source, as rows.
    pub pushdown: bool,
    /// COSTS off leaves estimates out.
    pub costs: bool,
    /// FORMAT.
    pub format: ExplainFormat,
}

/// FORMAT of EXPLAIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Default for ExplainOptions {
    fn default() -> Self {
        ExplainOptions { analyze: false, verbose: false, pushdown: false, costs: true, format: ExplainFormat::Text }
    }
}

/// Statements about the session's protocol state.
#[derive(Debug, Clone)]
pub enum SessionStatement {
    /// BEGIN, START TRANSACTION, with its modes as settings (`transaction_isolation`, ...), which hold until the transaction ends.
    Begin(Vec<(&'static str, String)>),
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
