//! Statements and portals of a session, and the rows that a portal has still to give.
//!
//! Cursors are portals (DECLARE makes one, FETCH reads one), as in Postgres: a driver may Execute a cursor that SQL declared.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use fjord_engine::pgtype::PgType;
use fjord_engine::session::Prepared;
use fjord_engine::source::QueryScope;
use fjord_engine::sql::{SessionStatement, Statement};
use fjord_engine::{Result, SqlError, SqlState};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::protocol::Format;
use crate::protocol::limits::HOLD_BYTES_MAX;

/// A parsed statement with its plan.
#[derive(Debug)]
pub struct Planned {
    /// Its text without secrets, for pg_stat_activity and logs.
    pub shown: String,
    /// What to run.
    pub action: Action,
    /// The types of its parameters.
    pub params: Vec<PgType>,
    /// Literals of its text that are parameters of its plan.
    pub lifted: Option<Literals>,
    /// The catalog that it was planned over: another version means planning again before the next run.
    pub catalog_version: u64,
}

impl Planned {
    /// The same where the client is told the columns before it runs, or is not.
    pub fn telling(&self, columns: bool) -> Planned {
        let mut action = self.action.clone();
        if let Action::Engine(p) = &mut action {
            p.columns_told = columns;
        }
        Planned { shown: self.shown.clone(), action, params: self.params.clone(), lifted: None, catalog_version: self.catalog_version }
    }
    /// The plan of a lifted text for the text as it was sent, whose literals are the values of the parameters.
    pub fn with_literals(&self, text: &str, values: Vec<ScalarValue>, columns_told: bool) -> Planned {
        let action = match &self.action {
            Action::Engine(p) => {
                let mut p = p.under(text);
                p.columns_told = columns_told;
                Action::Engine(p)
            }
            other => other.clone(),
        };
        let shown = fjord_engine::sql::redacted_text(text).into_owned();
        let lifted = Some(Literals { text: text.to_string(), values });
        Planned { shown, action, params: vec![], lifted, catalog_version: self.catalog_version }
    }
}

/// What was taken out of a text, so that its plan serves texts with other literals too.
#[derive(Debug)]
pub struct Literals {
    /// The text as it was sent.
    pub text: String,
    /// The values of the statement's parameters, of which the client knows nothing.
    pub values: Vec<ScalarValue>,
}

/// What a statement does.
#[derive(Debug, Clone)]
pub enum Action {
    /// An empty text.
    Empty,
    /// Planned and run by the engine.
    Engine(Prepared),
    /// Run here.
    Session {
        /// The statement.
        statement: Arc<Statement>,
        /// The plan of the query inside DECLARE, COPY or PREPARE.
        inner: Option<Prepared>,
    },
}

impl Action {
    /// The parsed statement, but for an empty one.
    pub fn statement(&self) -> Option<&Arc<Statement>> {
        match self {
            Action::Empty => None,
            Action::Engine(p) => Some(&p.statement),
            Action::Session { statement, .. } => Some(statement),
        }
    }
    /// The session statement, if it is one.
    pub fn session(&self) -> Option<&SessionStatement> {
        match &self.statement()?.kind {
            fjord_engine::sql::StatementKind::Session(s) => Some(s),
            _ => None,
        }
    }
}

/// A statement that is bound to values and runs, or waits to.
pub struct Portal {
    /// The statement.
    pub planned: Arc<Planned>,
    /// Its parameters.
    pub values: Vec<ScalarValue>,
    /// The format codes of the result as Bind gave them; expanded when the columns are known.
    pub formats: Vec<i16>,
    /// How far it is.
    pub state: PortalState,
    /// WITH HOLD: lives on after COMMIT.
    pub hold: bool,
    /// WITH HOLD, and its transaction has been committed.
    pub held: bool,
    /// DECLARE BINARY CURSOR.
    pub binary: bool,
    /// Made by DECLARE.
    pub declared: bool,
    /// Grows with each portal of the session.
    pub serial: u64,
}

/// How far a portal is.
pub enum PortalState {
    /// Not run yet.
    New,
    /// Has rows to give.
    Rows(Box<Rows>),
    /// FETCH through the extended protocol with a row limit: so many are left of its count, `None` is ALL.
    Fetching(Option<u64>),
    /// Has given all its rows.
    Ended,
    /// A statement without rows has been run: it cannot be run again.
    Done,
}

/// A running result.
pub struct Rows {
    /// The columns.
    pub schema: SchemaRef,
    /// The tag without a count.
    pub tag: String,
    /// Notices.
    pub scope: Arc<QueryScope>,
    /// Cancels it.
    pub token: CancellationToken,
    stream: Option<SendableRecordBatchStream>,
    ready: VecDeque<RecordBatch>,
    held: Option<MemoryReservation>,
}

impl Rows {
    /// Over a stream.
    pub fn new(
        schema: SchemaRef,
        stream: SendableRecordBatchStream,
        tag: String,
        scope: Arc<QueryScope>,
        token: CancellationToken,
    ) -> Rows {
        Rows { schema, tag, scope, token, stream: Some(stream), ready: VecDeque::new(), held: None }
    }
    /// The next rows, at most `max` of them; `None` at the end. Cancel-safe.
    pub async fn next(&mut self, max: usize) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                if batch.num_rows() > max {
                    self.ready.push_front(batch.slice(max, batch.num_rows() - max));
                    return Ok(Some(batch.slice(0, max)));
                }
                return Ok(Some(batch));
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            match stream.next().await {
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => self.ready.push_back(batch),
                Some(Err(e)) => {
                    self.stream = None;
                    return Err(SqlError::from(e));
                }
                None => self.stream = None,
            }
        }
    }
    /// Reads the rest into memory, for a cursor WITH HOLD whose transaction ends: its source connection is given back. Bounded by
    /// [`HOLD_BYTES_MAX`] and by the memory pool.
    pub async fn hold(&mut self, cursor: &str, pool: &Arc<dyn MemoryPool>) -> Result<()> {
        let reservation = MemoryConsumer::new(format!("cursor {cursor}")).register(pool);
        let mut all = VecDeque::new();
        while let Some(batch) = self.next(usize::MAX).await? {
            let bytes = batch.get_array_memory_size();
            if reservation.size() + bytes > HOLD_BYTES_MAX {
                return Err(SqlError::new(
                    SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                    format!("cursor \"{cursor}\" WITH HOLD has more than {} MiB of rows left at COMMIT", HOLD_BYTES_MAX >> 20),
                )
                .hint("Read the cursor before COMMIT, or declare it without WITH HOLD."));
            }
            reservation.try_grow(bytes).map_err(SqlError::from)?;
            all.push_back(batch);
        }
        self.ready = all;
        self.held = Some(reservation);
        Ok(())
    }
}

/// The formats of a portal's columns.
pub fn formats(codes: &[i16], binary_cursor: bool, columns: usize) -> Result<Vec<Format>> {
    if binary_cursor && codes.is_empty() {
        return Ok(vec![Format::Binary; columns]);
    }
    Format::results(codes, columns)
}
