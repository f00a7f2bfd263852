//! The simple protocol: a text of statements, run one after the other in one implicit transaction; an error stops the rest.

use std::sync::Arc;

use fjord_engine::sql::{self, Statement};
use fjord_engine::{Result, SqlError, SqlState};
use tokio_util::sync::CancellationToken;

use super::io::Socket;
use super::portal::{Action, PortalState};
use super::{Connection, session_statement};
use crate::protocol::backend;

impl<S: Socket> Connection<S> {
    /// Runs a text of statements. ReadyForQuery is the caller's.
    pub(super) async fn simple_query(&mut self, text: &str) -> Result<()> {
        // The simple protocol replaces the unnamed statement and portal.
        self.statements.remove("");
        self.portals.remove("");
        // What came before, perhaps with other values, is neither parsed nor planned.
        if let Some(planned) = self.repeated(text, false) {
            self.check_failed(planned.action.statement().map(AsRef::as_ref))?;
            self.tx.enter(&self.session.settings.read(), false);
            let guard = self.begin(&planned.shown, CancellationToken::new());
            let mut portal = self.new_portal(planned, vec![], vec![]);
            return self.run_portal(&mut portal, None, true, &guard).await;
        }
        let statements = sql::parse(text)?;
        if statements.is_empty() {
            backend::bare(&mut self.io.out, b'I');
            return Ok(());
        }
        let several = statements.len() > 1;
        for statement in statements {
            self.simple_statement(statement, (!several).then_some(text)).await?;
        }
        Ok(())
    }

    /// `text`: where it is the only statement of the message, all of it.
    async fn simple_statement(&mut self, statement: Statement, text: Option<&str>) -> Result<()> {
        self.check_failed(Some(&statement))?;
        self.tx.enter(&self.session.settings.read(), text.is_none());
        let shown = super::report::shown(&statement);
        let guard = self.begin(&shown, CancellationToken::new());
        if let Some(text) = text
            && let Some(planned) = self.plan_lifted(&statement, text, false, &guard).await
        {
            let mut portal = self.new_portal(planned, vec![], vec![]);
            return self.run_portal(&mut portal, None, true, &guard).await;
        }
        let mut planned = self.plan(Some(statement), vec![], &guard).await?;
        if !planned.params.is_empty() {
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1")
                .hint("Parameters need the extended protocol, or PREPARE and EXECUTE."));
        }
        planned.shown = shown;
        if let Action::Engine(prepared) = &mut planned.action {
            // The columns are told when the first rows are there.
            prepared.columns_told = false;
        }
        let planned = Arc::new(planned);
        if let Some(text) = text {
            self.remember(text, &[], &planned);
        }
        let mut portal = self.new_portal(planned, vec![], vec![]);
        if session_statement::reads_binary_cursor(&self.portals, &portal.planned) {
            portal.formats = vec![1];
        }
        self.run_portal(&mut portal, None, true, &guard).await?;
        debug_assert!(!matches!(portal.state, PortalState::New));
        Ok(())
    }
}
