//! One session: reads messages, runs them, answers. The loop is here; each protocol and each kind of statement has its own file.
//!
//! A session is one task. It reads its socket itself while a statement runs, so that a client that goes away ends its queries; it writes results
//! as they come, so that a client that reads slowly slows down only its own query (the socket's back-pressure reaches the source).

mod arguments;
mod copy;
mod extended;
mod guard;
mod io;
mod kept;
mod portal;
mod pump;
mod report;
mod session_statement;
mod simple;
mod startup;
mod transaction;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use fjord_engine::pgtype::PgType;
use fjord_engine::session::{Session, Settings};
use fjord_engine::source::{Notice, Severity};
use fjord_engine::sql::{SessionStatement, Statement, StatementKind};
use fjord_engine::{Result, SqlError, SqlState};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::protocol::backend::{self, ErrorLevel, TxStatus};
use crate::protocol::frontend::{Frame, Frontend};
use crate::sessions::{CancelReason, SessionGuard, SessionState};

use guard::Guard;
use io::{Io, ReadError};
use kept::KeptPlans;
use portal::{Action, Planned, Portal, PortalState};
use transaction::Transaction;

pub use io::Socket;
pub(crate) use startup::{Peer, packets, serve};

/// One session's state.
pub(crate) struct Connection<S> {
    io: Io<S>,
    session: Session,
    /// Holds the session's place in the registry.
    guard: SessionGuard,
    statements: HashMap<String, Arc<Planned>>,
    portals: HashMap<String, Portal>,
    /// Plans of texts that came before.
    kept: KeptPlans,
    next_portal: u64,
    tx: Transaction,
    /// The settings after COMMIT, where SET LOCAL has made them differ from the present ones.
    after_commit: Option<Settings>,
    /// After an error in the extended protocol: ignore messages until Sync.
    skip_until_sync: bool,
    /// The message at work is one of the simple protocol.
    simple: bool,
    /// What ParameterStatus has told the client.
    reported: HashMap<&'static str, String>,
    /// The settings that RESET and DISCARD ALL go back to: those of the startup packet.
    initial: Settings,
}

/// How the loop goes on after a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Continue,
    End,
}

impl<S: Socket> Connection<S> {
    fn new(io: Io<S>, session: Session, guard: SessionGuard) -> Self {
        let initial = session.settings.read().clone();
        Connection {
            io,
            session,
            guard,
            statements: HashMap::new(),
            portals: HashMap::new(),
            kept: KeptPlans::default(),
            next_portal: 0,
            tx: Transaction::default(),
            after_commit: None,
            skip_until_sync: false,
            simple: true,
            reported: HashMap::new(),
            initial,
        }
    }

    /// Serves messages until the client leaves or the server stops.
    async fn run(mut self) {
        self.ready();
        let stop = self.guard.entry.stop_token().clone();
        loop {
            // Answers are sent when there is nothing more to read: a pipeline of small messages gets one write, not one each.
            if (!self.io.has_frame() || self.io.is_full()) && self.io.flush().await.is_err() {
                return;
            }
            let idle = report::idle_timeout(&self.session.settings.read(), self.tx.in_block());
            let frame = tokio::select! {
                biased;
                () = stop.cancelled() => Err(ReadError::Broken(CancelReason::Shutdown.error())),
                frame = self.io.frame() => frame,
                e = report::idled(idle) => Err(ReadError::Broken(e)),
            };
            match frame {
                Ok(frame) => {
                    // A fault of ours must not take the session's client, let alone the server, with it.
                    let next = AssertUnwindSafe(self.message(frame)).catch_unwind().await;
                    match next {
                        Ok(Next::Continue) => {}
                        Ok(Next::End) => break,
                        Err(panic) => self.panicked(panic.as_ref()),
                    }
                }
                Err(ReadError::Gone) => return,
                Err(ReadError::Broken(e)) => {
                    backend::error(&mut self.io.out, ErrorLevel::Fatal, &e);
                    break;
                }
            }
            if stop.is_cancelled() {
                backend::error(&mut self.io.out, ErrorLevel::Fatal, &CancelReason::Shutdown.error());
                break;
            }
        }
        self.portals.clear();
        self.io.close().await;
    }

    /// The futures of planning and running are boxed: an async function holds those that it awaits, several times over in a debug build, and a
    /// thread has a stack of 2 MiB only.
    async fn message(&mut self, frame: Frame) -> Next {
        let simple = matches!(frame.tag, b'Q' | b'F');
        self.simple = simple;
        if self.skip_until_sync && !matches!(frame.tag, b'S' | b'X') {
            return Next::Continue;
        }
        let message = match Frontend::decode(frame) {
            Ok(m) => m,
            Err(e) => {
                self.failed(&e);
                self.after_error(simple);
                return Next::Continue;
            }
        };
        let result = match message {
            Frontend::Terminate => return Next::End,
            Frontend::Query(sql) => {
                if let Err(e) = Box::pin(self.simple_query(&sql)).await {
                    self.session.engine.unsupported.record(&self.session.info, &sql, &e);
                    self.failed(&e);
                }
                Box::pin(self.sync_point()).await;
                return Next::Continue;
            }
            Frontend::Sync => {
                self.skip_until_sync = false;
                Box::pin(self.sync_point()).await;
                return Next::Continue;
            }
            Frontend::Flush => {
                // A client that is gone is noticed at the next read.
                let _ = self.io.flush().await;
                return Next::Continue;
            }
            Frontend::Copy => return Next::Continue,
            Frontend::FunctionCall => {
                self.failed(&SqlError::unsupported("the function call protocol is not supported").hint("Use SELECT."));
                Box::pin(self.sync_point()).await;
                return Next::Continue;
            }
            Frontend::Password(_) => {
                let e = crate::protocol::frontend::violation("unexpected password message");
                backend::error(&mut self.io.out, ErrorLevel::Fatal, &e);
                return Next::End;
            }
            Frontend::Parse { name, query, types } => {
                let result = Box::pin(self.parse(name, &query, &types)).await;
                if let Err(e) = &result {
                    self.session.engine.unsupported.record(&self.session.info, &query, e);
                }
                result
            }
            Frontend::Bind { portal, statement, formats, values, results } => {
                Box::pin(self.bind(portal, &statement, &formats, values, results)).await
            }
            Frontend::Describe(target, name) => self.describe(target, &name),
            Frontend::Close(target, name) => {
                self.close(target, &name);
                Ok(())
            }
            Frontend::Execute(portal, max) => {
                let statement = self.portals.get(&portal).and_then(|p| p.planned.action.statement().cloned());
                let result = Box::pin(self.execute(&portal, max)).await;
                if let (Err(e), Some(s)) = (&result, statement) {
                    self.session.engine.unsupported.record(&self.session.info, &s.text, e);
                }
                result
            }
        };
        if let Err(e) = result {
            self.failed(&e);
            self.after_error(false);
        }
        self.guard.entry.end();
        Next::Continue
    }

    /// Tells an error and fails the transaction.
    fn failed(&mut self, e: &SqlError) {
        if e.state == SqlState::INTERNAL_ERROR {
            tracing::error!(pid = self.guard.entry.pid, error = %e, "internal error");
        } else {
            tracing::debug!(pid = self.guard.entry.pid, state = %e.state, error = %e.message, "statement failed");
        }
        let level = if e.state == SqlState::ADMIN_SHUTDOWN { ErrorLevel::Fatal } else { ErrorLevel::Error };
        if level == ErrorLevel::Error {
            backend::error(&mut self.io.out, level, e);
        }
        self.tx.fail();
        if !self.tx.in_block() {
            self.rollback();
        }
    }

    /// After an error in a single message: the simple protocol is ready again, the extended one skips until Sync.
    fn after_error(&mut self, simple: bool) {
        if simple {
            self.ready();
        } else {
            self.skip_until_sync = true;
        }
    }

    fn panicked(&mut self, panic: &(dyn std::any::Any + Send)) {
        let what = panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
        tracing::error!(pid = self.guard.entry.pid, panic = what.as_deref().unwrap_or("?"), "a statement panicked");
        self.guard.entry.end();
        let e = SqlError::internal("a fault in Fjord ended this statement")
            .hint("Please report it with the server's log. The session can go on.");
        self.failed(&e);
        let simple = self.simple;
        self.after_error(simple);
    }

    /// The end of a simple Query or Sync: an implicit transaction commits, settings are reported, and the client may go on.
    async fn sync_point(&mut self) {
        if !self.tx.in_block()
            && self.tx.is_open()
            && let Err(e) = self.commit().await
        {
            self.failed(&e);
        }
        self.guard.entry.end();
        self.ready();
    }

    fn ready(&mut self) {
        self.report_settings();
        let status = self.tx.status();
        self.guard.entry.idle(match status {
            TxStatus::Idle => SessionState::Idle,
            TxStatus::Block => SessionState::IdleInTransaction,
            TxStatus::Failed => SessionState::IdleInTransactionAborted,
        });
        backend::ready(&mut self.io.out, status);
    }

    /// Ends the transaction well: SET LOCAL ends, cursors close but for those WITH HOLD.
    async fn commit(&mut self) -> Result<()> {
        let pool = self.session.engine.runtime.memory_pool.clone();
        let held: Vec<String> = self.portals.iter().filter(|(_, p)| p.hold && !p.held).map(|(n, _)| n.clone()).collect();
        for name in held {
            let Some(mut portal) = self.portals.remove(&name) else { continue };
            if let PortalState::Rows(rows) = &mut portal.state {
                let guard = self.begin(&portal.planned.shown, rows.token.clone());
                guard.run(&mut self.io, rows.hold(&name, &pool)).await?;
            }
            portal.held = true;
            self.portals.insert(name, portal);
        }
        self.portals.retain(|_, p| p.held);
        self.tx.end();
        if let Some(settings) = self.after_commit.take() {
            *self.session.settings.write() = settings;
        }
        Ok(())
    }

    /// Ends the transaction badly: SETs are taken back, its cursors close. A cursor WITH HOLD of an earlier transaction lives on.
    fn rollback(&mut self) {
        self.portals.retain(|_, p| p.held);
        self.after_commit = None;
        if let Some(start) = self.tx.end() {
            *self.session.settings.write() = start.current;
        }
    }

    /// A part of a statement begins.
    fn begin(&self, shown: &str, token: CancellationToken) -> Guard {
        let timeout = report::statement_timeout(&self.session.settings.read());
        Guard::begin(&self.guard.entry, shown, token, timeout)
    }

    /// 25P02 for everything but the ends of a failed block.
    fn check_failed(&self, statement: Option<&Statement>) -> Result<()> {
        if !self.tx.is_failed() {
            return Ok(());
        }
        use SessionStatement::{Commit, Rollback, RollbackTo};
        match statement.map(|s| &s.kind) {
            None | Some(StatementKind::Session(Commit | Rollback | RollbackTo(_))) => Ok(()),
            _ => Err(SqlError::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            )),
        }
    }

    /// Plans a parsed statement (`None`: an empty text).
    async fn plan(&mut self, statement: Option<Statement>, declared: Vec<Option<PgType>>, guard: &Guard) -> Result<Planned> {
        let catalog_version = self.session.engine.catalog.snapshot().version;
        let Some(statement) = statement else {
            return Ok(Planned { shown: String::new(), action: Action::Empty, params: vec![], lifted: None, catalog_version });
        };
        let shown = report::shown(&statement);
        let session = &self.session;
        let (action, params) = match &statement.kind {
            StatementKind::Session(s) => {
                let inner = match s {
                    SessionStatement::Declare { query, .. } | SessionStatement::CopyOut { query, .. } => {
                        let mut inner = guard.run(&mut self.io, Box::pin(session.prepare(query, &declared))).await?;
                        // What describes it comes from the rows themselves: of FETCH, or the header of COPY.
                        inner.columns_told = false;
                        Some(inner)
                    }
                    _ => None,
                };
                let params = inner.as_ref().map(|p| p.params.clone()).unwrap_or_default();
                (Action::Session { statement: Arc::new(statement), inner }, params)
            }
            _ => {
                let prepared = guard.run(&mut self.io, Box::pin(session.prepare(&statement, &declared))).await?;
                let params = prepared.params.clone();
                (Action::Engine(prepared), params)
            }
        };
        Ok(Planned { shown, action, params, lifted: None, catalog_version })
    }

    fn notices(&mut self, notices: Vec<Notice>) {
        let least = report::least_severity(&self.session.settings.read());
        for n in notices.into_iter().filter(|n| least.is_some_and(|least| n.severity == Severity::Warning || least == Severity::Notice)) {
            backend::notice(&mut self.io.out, &n);
        }
    }

    fn new_portal(&mut self, planned: Arc<Planned>, values: Vec<datafusion::common::ScalarValue>, formats: Vec<i16>) -> Portal {
        self.next_portal += 1;
        Portal {
            planned,
            values,
            formats,
            state: PortalState::New,
            hold: false,
            held: false,
            binary: false,
            declared: false,
            serial: self.next_portal,
        }
    }
}

/// The deadline of the startup packet, and of everything up to the end of authentication.
pub(crate) const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);
/// See [`STARTUP_TIMEOUT`].
pub(crate) const AUTH_TIMEOUT: Duration = Duration::from_secs(60);
