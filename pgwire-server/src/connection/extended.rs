//! The extended protocol: Parse, Bind, Describe, Execute, Close.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use fjord_engine::pgtype::PgType;
use fjord_engine::sql::{self, SessionStatement};
use fjord_engine::{Result, SqlError, SqlState};
use tokio_util::sync::CancellationToken;

use super::Connection;
use super::guard::Guard;
use super::io::Socket;
use super::portal::{self, Action, Planned, Portal, PortalState, Rows};
use super::pump::{self, Sink};
use crate::codec::{self, EncodeSettings, RowEncoder};
use crate::protocol::backend;
use crate::protocol::frontend::{Target, violation};
use crate::protocol::limits::{PORTALS_MAX, STATEMENTS_MAX};

impl<S: Socket> Connection<S> {
    pub(super) async fn parse(&mut self, name: String, text: &str, types: &[u32]) -> Result<()> {
        let declared = types.iter().map(|oid| declared_type(*oid)).collect::<Result<Vec<_>>>()?;
        let known = if declared.is_empty() { self.repeated(text, true) } else { self.known(text, &declared, true) };
        if let Some(planned) = known {
            self.check_failed(planned.action.statement().map(AsRef::as_ref))?;
            self.tx.enter(&self.session.settings.read(), false);
            self.store_statement(name, planned)?;
            backend::bare(&mut self.io.out, b'1');
            return Ok(());
        }
        let mut statements = sql::parse(text)?;
        if statements.len() > 1 {
            return Err(SqlError::syntax("cannot insert multiple commands into a prepared statement"));
        }
        let statement = statements.pop();
        self.check_failed(statement.as_ref())?;
        self.tx.enter(&self.session.settings.read(), false);
        let shown = statement.as_ref().map(super::report::shown).unwrap_or_default();
        let guard = self.begin(&shown, CancellationToken::new());
        let lifted = match &statement {
            Some(s) if declared.is_empty() => self.plan_lifted(s, text, true, &guard).await,
            _ => None,
        };
        let planned = match lifted {
            Some(planned) => planned,
            None => {
                let planned = Arc::new(self.plan(statement, declared.clone(), &guard).await?);
                self.remember(text, &declared, &planned);
                planned
            }
        };
        self.store_statement(name, planned)?;
        backend::bare(&mut self.io.out, b'1');
        Ok(())
    }

    /// Keeps a prepared statement. The unnamed one replaces its predecessor, a named one must be new.
    pub(super) fn store_statement(&mut self, name: String, planned: Arc<Planned>) -> Result<()> {
        if !name.is_empty() {
            if self.statements.contains_key(&name) {
                return Err(SqlError::new(SqlState::DUPLICATE_PSTATEMENT, format!("prepared statement \"{name}\" already exists")));
            }
            let named = self.statements.len() - usize::from(self.statements.contains_key(""));
            if named >= STATEMENTS_MAX {
                return Err(SqlError::new(
                    SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                    format!("a session may have {STATEMENTS_MAX} prepared statements"),
                )
                .hint("Close or DEALLOCATE statements that are no longer needed."));
            }
        }
        self.statements.insert(name, planned);
        Ok(())
    }

    /// A prepared statement by name, planned again where the catalog has changed since.
    pub(super) async fn statement(&mut self, name: &str) -> Result<Arc<Planned>> {
        let Some(old) = self.statements.get(name).cloned() else {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_string()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            return Err(SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message));
        };
        let Some(statement) = old.action.statement() else { return Ok(old) };
        if old.catalog_version == self.session.engine.catalog.snapshot().version {
            return Ok(old);
        }
        let mut statement = statement.as_ref().clone();
        let guard = self.begin(&old.shown, CancellationToken::new());
        if let Some(lifted) = &old.lifted {
            // What the client sent, literals and all.
            statement = sql::parse(&lifted.text)?.pop().unwrap_or(statement);
        }
        // The parameters keep the types that the client was told.
        let declared = old.params.iter().copied().map(Some).collect();
        let new = self.plan(Some(statement), declared, &guard).await?;
        if shape(&self.columns(&new)?) != shape(&self.columns(&old)?) {
            return Err(SqlError::unsupported("cached plan must not change result type")
                .detail("The statement was prepared before a connector's schema changed.")
                .hint("Prepare it again."));
        }
        let new = Arc::new(new);
        self.statements.insert(name.to_string(), new.clone());
        Ok(new)
    }

    pub(super) async fn bind(
        &mut self,
        name: String,
        statement: &str,
        formats: &[i16],
        values: Vec<Option<Bytes>>,
        results: Vec<i16>,
    ) -> Result<()> {
        let planned = self.statement(statement).await?;
        self.check_failed(planned.action.statement().map(AsRef::as_ref))?;
        self.tx.enter(&self.session.settings.read(), false);
        if formats.len() > 1 && formats.len() != values.len() {
            return Err(violation(format!("bind message has {} parameter formats but {} parameters", formats.len(), values.len())));
        }
        if values.len() != planned.params.len() {
            return Err(violation(format!(
                "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                values.len(),
                planned.params.len()
            )));
        }
        let settings = EncodeSettings::of(&self.session.settings.read())?;
        let values = codec::decode_params(&planned.params, formats, &values, &settings)?;
        let columns = self.columns(&planned)?.map_or(0, |s| s.fields().len());
        // A statement without columns takes any result formats, as in Postgres.
        if columns > 0 {
            portal::formats(&results, false, columns)?;
        }
        let portal = self.new_portal(planned, values, results);
        self.store_portal(name, portal)?;
        backend::bare(&mut self.io.out, b'2');
        Ok(())
    }

    /// Keeps a portal. The unnamed one replaces its predecessor, a named one must be new.
    pub(super) fn store_portal(&mut self, name: String, portal: Portal) -> Result<()> {
        if !name.is_empty() {
            if self.portals.contains_key(&name) {
                let what = if portal.declared { "cursor" } else { "portal" };
                return Err(SqlError::new(SqlState::DUPLICATE_CURSOR, format!("{what} \"{name}\" already exists")));
            }
            if self.portals.len() >= PORTALS_MAX {
                return Err(SqlError::new(
                    SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                    format!("a session may have {PORTALS_MAX} portals and cursors"),
                )
                .hint("Close those that are no longer needed."));
            }
        }
        self.portals.insert(name, portal);
        Ok(())
    }

    pub(super) fn describe(&mut self, target: Target, name: &str) -> Result<()> {
        match target {
            Target::Statement => {
                let Some(planned) = self.statements.get(name).cloned() else {
                    return Err(SqlError::new(
                        SqlState::INVALID_SQL_STATEMENT_NAME,
                        format!("prepared statement \"{name}\" does not exist"),
                    ));
                };
                self.check_failed_rows(&planned)?;
                let oids: Vec<u32> = planned.params.iter().map(|p| p.oid).collect();
                let columns = self.columns(&planned)?;
                backend::parameter_description(&mut self.io.out, &oids);
                self.describe_columns(columns.as_deref(), &[], false)
            }
            Target::Portal => {
                let Some(portal) = self.portals.get(name) else { return Err(no_portal(name)) };
                let planned = portal.planned.clone();
                let (formats, binary) = (portal.formats.clone(), portal.binary);
                self.check_failed_rows(&planned)?;
                let columns = self.columns(&planned)?;
                self.describe_columns(columns.as_deref(), &formats, binary)
            }
        }
    }

    /// In a failed block, a statement that gives rows cannot be described.
    fn check_failed_rows(&self, planned: &Planned) -> Result<()> {
        if self.columns(planned)?.is_some() { self.check_failed(planned.action.statement().map(AsRef::as_ref)) } else { Ok(()) }
    }

    fn describe_columns(&mut self, columns: Option<&Schema>, formats: &[i16], binary: bool) -> Result<()> {
        match columns {
            None => backend::bare(&mut self.io.out, b'n'),
            Some(schema) => {
                let formats = portal::formats(formats, binary, schema.fields().len())?;
                backend::row_description(&mut self.io.out, &codec::describe(schema, &formats));
            }
        }
        Ok(())
    }

    /// The columns that a statement gives.
    pub(super) fn columns(&self, planned: &Planned) -> Result<Option<SchemaRef>> {
        match &planned.action {
            Action::Empty => Ok(None),
            Action::Engine(p) => Ok(p.schema.clone()),
            Action::Session { .. } => match planned.action.session() {
                Some(SessionStatement::Fetch { name, .. }) => {
                    let Some(p) = self.portals.get(name) else { return Err(no_cursor(name)) };
                    match &p.state {
                        PortalState::Rows(rows) => Ok(Some(rows.schema.clone())),
                        _ => self.columns(&p.planned),
                    }
                }
                Some(SessionStatement::Execute { name, .. }) => match self.statements.get(name) {
                    Some(p) if !matches!(p.action.session(), Some(SessionStatement::Execute { .. })) => self.columns(p),
                    _ => Ok(None),
                },
                _ => Ok(None),
            },
        }
    }

    pub(super) fn close(&mut self, target: Target, name: &str) {
        match target {
            Target::Statement => drop(self.statements.remove(name)),
            Target::Portal => drop(self.portals.remove(name)),
        }
        // Closing what does not exist is no error.
        backend::bare(&mut self.io.out, b'3');
    }

    pub(super) async fn execute(&mut self, name: &str, max: u32) -> Result<()> {
        let Some(portal) = self.portals.get(name) else { return Err(no_portal(name)) };
        self.check_failed(portal.planned.action.statement().map(AsRef::as_ref))?;
        self.tx.enter(&self.session.settings.read(), false);
        let token = match &portal.state {
            PortalState::Rows(rows) => rows.token.clone(),
            _ => CancellationToken::new(),
        };
        let guard = self.begin(&portal.planned.shown.clone(), token);
        // The portal is taken out while it runs: after an error, or a panic, it is gone, and its query is cancelled by the drop.
        let Some(mut portal) = self.portals.remove(name) else { return Err(no_portal(name)) };
        self.run_portal(&mut portal, (max > 0).then_some(u64::from(max)), false, &guard).await?;
        // COMMIT, ROLLBACK and DISCARD end portals, theirs too.
        if self.tx.is_open() {
            self.portals.insert(name.to_string(), portal);
        }
        Ok(())
    }

    /// Runs a portal for at most `max` rows and tells its end (or that it is suspended).
    pub(super) async fn run_portal(&mut self, portal: &mut Portal, max: Option<u64>, describe: bool, guard: &Guard) -> Result<()> {
        match &portal.planned.action {
            Action::Empty => {
                backend::bare(&mut self.io.out, b'I');
                return Ok(());
            }
            Action::Session { .. } => return Box::pin(self.session_statement(portal, max, describe, guard)).await,
            Action::Engine(_) => {}
        }
        match portal.state {
            PortalState::New => Box::pin(self.start(portal, guard)).await?,
            PortalState::Done => {
                return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "portal cannot be run anymore"));
            }
            _ => {}
        }
        if describe {
            let schema = match &portal.state {
                PortalState::Rows(rows) => Some(rows.schema.clone()),
                _ => None,
            };
            if let Some(schema) = schema {
                self.describe_columns(Some(&schema), &portal.formats, portal.binary)?;
            }
        }
        self.continue_rows(portal, max, guard).await
    }

    /// Starts an engine statement: afterwards the portal has rows to give, or its tag has been sent.
    pub(super) async fn start(&mut self, portal: &mut Portal, guard: &Guard) -> Result<()> {
        let Action::Engine(prepared) = &portal.planned.action else { return Err(SqlError::internal("not an engine statement")) };
        self.before_setting(&prepared.statement.kind);
        let kind = &prepared.statement.kind;
        let before = self.settings_before(kind);
        let token = guard.token.clone();
        let values = portal.planned.lifted.as_ref().map_or(&portal.values, |l| &l.values).clone();
        let execution = guard.run(&mut self.io, Box::pin(self.session.execute(prepared, values, token.clone()))).await?;
        self.after_setting(kind, before)?;
        let notices = execution.scope.take_notices();
        match (execution.schema, execution.stream) {
            (Some(schema), Some(stream)) => {
                let rows = Rows::new(schema, stream, execution.tag, execution.scope, token);
                portal.state = PortalState::Rows(Box::new(rows));
                self.notices(notices);
            }
            (_, stream) => {
                if let Some(stream) = stream {
                    // Rows without columns that anybody could read: run it to its end all the same.
                    let schema = stream.schema();
                    let mut rows = Rows::new(schema, stream, String::new(), execution.scope.clone(), token);
                    pump::pump(&mut self.io, &mut rows, &mut Sink::Count, None, guard).await?;
                }
                self.notices(notices);
                self.notices(execution.scope.take_notices());
                portal.state = PortalState::Done;
                backend::complete(&mut self.io.out, &execution.tag);
            }
        }
        Ok(())
    }

    /// Sends a started portal's next rows.
    async fn continue_rows(&mut self, portal: &mut Portal, max: Option<u64>, guard: &Guard) -> Result<()> {
        let tag = match &mut portal.state {
            PortalState::Rows(rows) => {
                let encoder = encoder(&self.session.settings.read(), &rows.schema, &portal.formats, portal.binary)?;
                let count = pump::pump(&mut self.io, rows, &mut Sink::Rows(encoder), max, guard).await?;
                let notices = rows.scope.take_notices();
                let tag = with_count(&rows.tag, count);
                self.notices(notices);
                if max == Some(count) {
                    backend::bare(&mut self.io.out, b's');
                    return Ok(());
                }
                tag
            }
            PortalState::Ended => "SELECT 0".to_string(),
            _ => return Ok(()),
        };
        portal.state = PortalState::Ended;
        backend::complete(&mut self.io.out, &tag);
        Ok(())
    }
}

/// The encoder of a result's rows.
pub(super) fn encoder(settings: &fjord_engine::session::Settings, schema: &Schema, codes: &[i16], binary: bool) -> Result<RowEncoder> {
    let formats = portal::formats(codes, binary, schema.fields().len())?;
    RowEncoder::new(schema, &formats, &EncodeSettings::of(settings)?)
}

/// Only SELECT carries its row count; FETCH and COPY are written where they are run.
fn with_count(tag: &str, count: u64) -> String {
    if tag == "SELECT" { format!("SELECT {count}") } else { tag.to_string() }
}

fn declared_type(oid: u32) -> Result<Option<PgType>> {
    match oid {
        // 705 is `unknown`: a type that the server shall infer, like 0.
        0 | 705 => Ok(None),
        oid => PgType::by_oid(oid).map(Some).ok_or_else(|| {
            SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type with OID {oid} does not exist"))
                .hint("Leave the parameter's type open (0), or declare a built-in type.")
        }),
    }
}

fn shape(columns: &Option<SchemaRef>) -> Option<Vec<(String, PgType)>> {
    columns.as_ref().map(|s| s.fields().iter().map(|f| (f.name().clone(), PgType::of(f))).collect())
}

pub(super) fn no_portal(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

pub(super) fn no_cursor(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}
