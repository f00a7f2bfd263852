//! Statements about the session's own state: transactions, cursors, PREPARE and EXECUTE, DISCARD, COPY TO STDOUT.

use std::collections::HashMap;
use std::sync::Arc;

use fjord_engine::sql::{SessionStatement, Statement, StatementKind};
use fjord_engine::{Result, SqlError, SqlState};
use tokio_util::sync::CancellationToken;

use super::Connection;
use super::extended::{encoder, no_cursor};
use super::guard::Guard;
use super::io::Socket;
use super::portal::{Action, Planned, Portal, PortalState};
use super::pump::{self, Sink};
use super::transaction::Snapshot;
use crate::protocol::backend;

/// FETCH from a BINARY cursor: the simple protocol sends it in binary too.
pub(super) fn reads_binary_cursor(portals: &HashMap<String, Portal>, planned: &Planned) -> bool {
    matches!(planned.action.session(), Some(SessionStatement::Fetch { name, .. }) if portals.get(name).is_some_and(|p| p.binary))
}

impl<S: Socket> Connection<S> {
    /// Runs a portal that holds a session statement.
    pub(super) async fn session_statement(&mut self, portal: &mut Portal, max: Option<u64>, describe: bool, guard: &Guard) -> Result<()> {
        let planned = portal.planned.clone();
        let (Action::Session { statement, inner }, Some(what)) = (&planned.action, planned.action.session()) else {
            return Err(SqlError::internal("not a session statement"));
        };
        match what {
            SessionStatement::Fetch { name, count } => return self.fetch(portal, name, *count, max, describe).await,
            SessionStatement::Execute { name, args } => return self.execute_named(portal, name, args, max, describe, guard).await,
            _ if matches!(portal.state, PortalState::Done) => {
                return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "portal cannot be run anymore"));
            }
            SessionStatement::CopyOut { options, .. } => {
                let Some(prepared) = inner else { return Err(SqlError::internal("COPY without a plan")) };
                self.copy_out(prepared, portal.values.clone(), options, guard).await?;
            }
            SessionStatement::Declare { name, hold, binary, .. } => {
                let Some(prepared) = inner else { return Err(SqlError::internal("DECLARE without a plan")) };
                if !hold {
                    self.tx.require_block("DECLARE CURSOR")?;
                }
                let action = Action::Engine(prepared.clone());
                let query = Planned {
                    shown: planned.shown.clone(),
                    action,
                    params: vec![],
                    lifted: None,
                    catalog_version: planned.catalog_version,
                };
                let mut cursor = self.new_portal(Arc::new(query), portal.values.clone(), vec![]);
                (cursor.hold, cursor.binary, cursor.declared) = (*hold, *binary, true);
                if self.portals.contains_key(name) {
                    return Err(SqlError::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
                }
                Box::pin(self.start(&mut cursor, guard)).await?;
                self.store_portal(name.clone(), cursor)?;
                self.complete("DECLARE CURSOR");
            }
            SessionStatement::Move { name, count } => self.move_cursor(name, *count, &planned.shown).await?,
            SessionStatement::Prepare { name, types, statement } => self.prepare_named(name, types, statement, guard).await?,
            SessionStatement::Begin(modes) => {
                let warning = self.tx.begin(&self.session.settings.read());
                if warning.is_none() {
                    self.transaction_modes(modes)?;
                }
                self.notices(warning.into_iter().collect());
                let start = statement.text.trim_start().get(..5).is_some_and(|w| w.eq_ignore_ascii_case("start"));
                self.complete(if start { "START TRANSACTION" } else { "BEGIN" });
            }
            SessionStatement::Commit => self.commit_statement().await?,
            SessionStatement::Rollback => {
                let warning = self.tx.warn_if_none();
                self.notices(warning.into_iter().collect());
                self.rollback();
                self.complete("ROLLBACK");
            }
            other => self.plain(other)?,
        }
        portal.state = PortalState::Done;
        Ok(())
    }

    /// The modes of a transaction that begins, as SET TRANSACTION would set them; its isolation is the session's default where none is said.
    fn transaction_modes(&mut self, modes: &[(&'static str, String)]) -> Result<()> {
        let mut settings = self.session.settings.write();
        let before = settings.clone();
        let default = settings.get("default_transaction_isolation").unwrap_or_default().to_string();
        settings.set("transaction_isolation", &default)?;
        for (name, value) in modes {
            settings.set(name, value)?;
        }
        if *settings != before {
            self.after_commit = self.after_commit.take().or(Some(before));
        }
        Ok(())
    }

    /// Those that need no waiting.
    fn plain(&mut self, what: &SessionStatement) -> Result<()> {
        match what {
            SessionStatement::Savepoint(name) => {
                let at = Snapshot { current: self.session.settings.read().clone(), session: self.after_commit.clone() };
                self.tx.savepoint(name, at, self.next_portal + 1)?;
                self.complete("SAVEPOINT");
            }
            SessionStatement::Release(name) => {
                self.tx.release(name)?;
                self.complete("RELEASE");
            }
            SessionStatement::RollbackTo(name) => {
                let back = self.tx.rollback_to(name)?;
                *self.session.settings.write() = back.settings.current;
                self.after_commit = back.settings.session;
                self.portals.retain(|_, p| p.serial < back.portal_serial);
                self.complete("ROLLBACK");
            }
            SessionStatement::Close(Some(name)) => {
                if self.portals.remove(name).is_none() {
                    return Err(no_cursor(name));
                }
                self.complete("CLOSE CURSOR");
            }
            SessionStatement::Close(None) => {
                self.portals.clear();
                self.complete("CLOSE CURSOR ALL");
            }
            SessionStatement::Deallocate(Some(name)) => {
                if self.statements.remove(name).is_none() {
                    return Err(SqlError::new(
                        SqlState::INVALID_SQL_STATEMENT_NAME,
                        format!("prepared statement \"{name}\" does not exist"),
                    ));
                }
                self.complete("DEALLOCATE");
            }
            SessionStatement::Deallocate(None) => {
                self.statements.clear();
                self.complete("DEALLOCATE ALL");
            }
            SessionStatement::Discard(what) => {
                if what.eq_ignore_ascii_case("all") || what.eq_ignore_ascii_case("plans") {
                    self.kept.clear();
                }
                if what.eq_ignore_ascii_case("all") {
                    self.tx.forbid_block("DISCARD ALL")?;
                    self.portals.clear();
                    self.statements.clear();
                    self.tx.end();
                    self.after_commit = None;
                    *self.session.settings.write() = self.initial.clone();
                }
                self.complete(&format!("DISCARD {}", what.to_ascii_uppercase()));
            }
            SessionStatement::Listen(tag) => self.complete(tag),
            _ => return Err(SqlError::internal("a session statement without an action")),
        }
        Ok(())
    }

    fn complete(&mut self, tag: &str) {
        backend::complete(&mut self.io.out, tag);
    }

    async fn commit_statement(&mut self) -> Result<()> {
        let warning = self.tx.warn_if_none();
        self.notices(warning.into_iter().collect());
        if self.tx.is_failed() {
            self.rollback();
            self.complete("ROLLBACK");
            return Ok(());
        }
        if let Err(e) = self.commit().await {
            self.rollback();
            return Err(e);
        }
        self.complete("COMMIT");
        Ok(())
    }

    /// A cursor that has been started, taken out of the map while it is read.
    async fn take_cursor(&mut self, name: &str, shown: &str) -> Result<(Portal, Guard)> {
        let Some(mut cursor) = self.portals.remove(name) else { return Err(no_cursor(name)) };
        let token = match &cursor.state {
            PortalState::Rows(rows) => rows.token.clone(),
            _ => CancellationToken::new(),
        };
        let guard = self.begin(shown, token);
        if matches!((&cursor.state, &cursor.planned.action), (PortalState::New, Action::Engine(_))) {
            Box::pin(self.start(&mut cursor, &guard)).await?;
        }
        Ok((cursor, guard))
    }

    async fn fetch(&mut self, portal: &mut Portal, name: &str, count: Option<u64>, max: Option<u64>, describe: bool) -> Result<()> {
        let left = match portal.state {
            PortalState::New => count,
            PortalState::Fetching(left) => left,
            _ => Some(0),
        };
        let shown = portal.planned.shown.clone();
        let (mut cursor, guard) = self.take_cursor(name, &shown).await?;
        let binary = cursor.binary;
        let mut got = 0;
        if let PortalState::Rows(rows) = &mut cursor.state {
            let settings = self.session.settings.read().clone();
            let encoder = encoder(&settings, &rows.schema, &portal.formats, binary)?;
            if describe {
                let formats = super::portal::formats(&portal.formats, binary, rows.schema.fields().len())?;
                backend::row_description(&mut self.io.out, &crate::codec::describe(&rows.schema, &formats));
            }
            let limit = [left, max].into_iter().flatten().min();
            got = pump::pump(&mut self.io, rows, &mut Sink::Rows(encoder), limit, &guard).await?;
            let notices = rows.scope.take_notices();
            self.notices(notices);
        }
        self.portals.insert(name.to_string(), cursor);
        let left = left.map(|l| l - got);
        if max == Some(got) && left != Some(0) {
            portal.state = PortalState::Fetching(left);
            backend::bare(&mut self.io.out, b's');
        } else {
            portal.state = PortalState::Ended;
            self.complete(&format!("FETCH {got}"));
        }
        Ok(())
    }

    async fn move_cursor(&mut self, name: &str, count: Option<u64>, shown: &str) -> Result<()> {
        let (mut cursor, guard) = self.take_cursor(name, shown).await?;
        let mut got = 0;
        if let PortalState::Rows(rows) = &mut cursor.state {
            got = pump::pump(&mut self.io, rows, &mut Sink::Count, count, &guard).await?;
        }
        self.portals.insert(name.to_string(), cursor);
        self.complete(&format!("MOVE {got}"));
        Ok(())
    }

    async fn prepare_named(&mut self, name: &str, types: &[String], statement: &Statement, guard: &Guard) -> Result<()> {
        if matches!(statement.kind, StatementKind::Session(_)) {
            return Err(SqlError::syntax("PREPARE takes a query").hint("PREPARE name AS SELECT ..."));
        }
        let declared = types.iter().map(|t| super::arguments::type_by_name(t)).collect::<Result<Vec<_>>>()?;
        let planned = self.plan(Some(statement.clone()), declared, guard).await?;
        self.store_statement(name.to_string(), Arc::new(planned))?;
        self.complete("PREPARE");
        Ok(())
    }

    /// EXECUTE: the portal becomes one of the prepared statement.
    async fn execute_named(
        &mut self,
        portal: &mut Portal,
        name: &str,
        args: &[sqlparser::ast::Expr],
        max: Option<u64>,
        describe: bool,
        guard: &Guard,
    ) -> Result<()> {
        let planned = self.statement(name).await?;
        if matches!(planned.action.session(), Some(SessionStatement::Execute { .. })) {
            return Err(SqlError::unsupported("EXECUTE of a statement that is itself an EXECUTE"));
        }
        if args.len() != planned.params.len() {
            return Err(SqlError::syntax(format!("wrong number of parameters for prepared statement \"{name}\"")).detail(format!(
                "Expected {} parameters but got {}.",
                planned.params.len(),
                args.len()
            )));
        }
        portal.values = self.arguments(args, &planned.params, guard).await?;
        portal.planned = planned;
        // Boxed: run_portal calls us.
        Box::pin(self.run_portal(portal, max, describe, guard)).await
    }
}
