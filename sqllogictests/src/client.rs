//! A connection as the sqllogictest crate wants it, by the simple or by the extended protocol.

use std::fmt;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use sqllogictest::{DBOutput, DefaultColumnType};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::binary::{self, Raw};

/// Which of the two protocols carries the statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Query messages, values as text.
    Simple,
    /// Parse, Describe, Bind, Execute; values in binary.
    Extended,
}

impl Protocol {
    /// Its name, as `onlyif` and `skipif` in the files say it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
        }
    }
}

/// One connection.
pub struct Connection {
    client: Client,
    protocol: Protocol,
    twice: bool,
}

impl Connection {
    /// Connects by a connection string of libpq's kind.
    /// `twice`: each query is run a second time.
    pub async fn open(config: &str, protocol: Protocol, twice: bool) -> Result<Connection, SqlFailure> {
        let (client, connection) = tokio_postgres::connect(config, NoTls).await?;
        tokio::spawn(connection);
        Ok(Connection { client, protocol, twice })
    }

    async fn once(&self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlFailure> {
        match self.protocol {
            Protocol::Simple => self.simple(sql).await,
            Protocol::Extended => self.extended(sql).await,
        }
    }

    async fn simple(&self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlFailure> {
        let mut rows = Vec::new();
        let (mut columns, mut count) = (None, 0);
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(c) => columns = Some(c.len()),
                SimpleQueryMessage::Row(row) => rows.push((0..row.len()).map(|i| shown(row.get(i).map(str::to_string))).collect()),
                SimpleQueryMessage::CommandComplete(n) => count = n,
                _ => {}
            }
        }
        Ok(match columns {
            // The simple protocol's types are checked by the extended run.
            Some(n) => DBOutput::Rows { types: vec![DefaultColumnType::Any; n], rows },
            None => DBOutput::StatementComplete(count),
        })
    }

    async fn extended(&self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlFailure> {
        let statement = self.client.prepare(sql).await?;
        if statement.columns().is_empty() {
            return Ok(DBOutput::StatementComplete(self.client.execute(&statement, &[]).await?));
        }
        let types: Vec<Type> = statement.columns().iter().map(|c| c.type_().clone()).collect();
        let stream = self.client.query_raw(&statement, Vec::<i32>::new()).await?;
        let rows = stream
            .map(|row| {
                let row = row?;
                types
                    .iter()
                    .enumerate()
                    .map(|(i, t)| Ok(shown(binary::text(t, row.try_get::<_, Option<Raw>>(i)?)?)))
                    .collect::<Result<_, SqlFailure>>()
            })
            .try_collect()
            .await?;
        Ok(DBOutput::Rows { types: types.iter().map(column_type).collect(), rows })
    }
}

#[async_trait::async_trait]
impl sqllogictest::AsyncDB for Connection {
    type Error = SqlFailure;
    type ColumnType = DefaultColumnType;

    /// A query that succeeds is run again, and what the second run gives is checked: it finds the plan that the first one left. What tells of the session's own
    /// queries runs once, and so does what it tells of.
    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlFailure> {
        let first = self.once(sql).await?;
        let select = sql.trim_start().get(..6).is_some_and(|w| w.eq_ignore_ascii_case("select"));
        if select && self.twice && !sql.contains("sys.") { self.once(sql).await } else { Ok(first) }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        self.protocol.name()
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(failure: &SqlFailure) -> Option<String> {
        failure.code.clone()
    }
}

/// What sqllogictest files write for NULL and for the empty text.
fn shown(value: Option<String>) -> String {
    match value {
        None => "NULL".into(),
        Some(v) if v.is_empty() => "(empty)".into(),
        Some(v) => v,
    }
}

fn column_type(t: &Type) -> DefaultColumnType {
    match *t {
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => DefaultColumnType::Integer,
        Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

/// An error as a test wants to see it: code, message, detail, hint.
#[derive(Clone)]
pub struct SqlFailure {
    code: Option<String>,
    text: String,
}

impl SqlFailure {
    /// An error of the test client itself.
    pub fn new(text: impl Into<String>) -> SqlFailure {
        SqlFailure { code: None, text: text.into() }
    }
}

impl From<tokio_postgres::Error> for SqlFailure {
    fn from(e: tokio_postgres::Error) -> SqlFailure {
        let Some(db) = e.as_db_error() else {
            return SqlFailure::new(std::error::Error::source(&e).map_or_else(|| e.to_string(), |cause| format!("{e}: {cause}")));
        };
        let mut text = format!("{}: {}", db.code().code(), db.message());
        for (label, part) in [("DETAIL", db.detail()), ("HINT", db.hint())] {
            if let Some(part) = part {
                text.push_str(&format!(" {label}: {part}"));
            }
        }
        SqlFailure { code: Some(db.code().code().to_string()), text }
    }
}

impl fmt::Display for SqlFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SqlFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for SqlFailure {}
