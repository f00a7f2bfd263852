//! Runs the statements about what Fjord remembers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{AlterConnector, CommentTarget, CreateConnector, Ddl, Mode, ViewName};
use crate::catalog::{Catalog, Outcome, View};
use crate::error::{Result, SqlError, SqlState};
use crate::session::{Execution, Session};
use crate::source::{CheckStatus, Notice, QueryScope, Severity};
use crate::sql::ddl::rows;
use crate::sql::quote_ident;

/// The columns that a statement will return, without running it.
pub fn schema(ddl: &Ddl) -> Option<SchemaRef> {
    match ddl {
        Ddl::ShowSecrets => Some(rows::secrets_schema()),
        Ddl::ShowConnectors { .. } => Some(rows::connectors_schema()),
        Ddl::ShowConnectorTypes => Some(rows::types_schema()),
        Ddl::ShowCreateConnector(_) | Ddl::ShowCreateView(_) => Some(rows::text_schema(&["create_statement"])),
        Ddl::DescribeConnector(_) => Some(rows::text_schema(&["property", "value"])),
        Ddl::ValidateConnector(_) => Some(rows::text_schema(&["check", "status", "detail", "hint"])),
        _ => None,
    }
}

/// Runs a statement. Changes take effect at once for all sessions. Notices go through the scope.
pub async fn execute(session: &Session, ddl: &Ddl, scope: Arc<QueryScope>) -> Result<Execution> {
    // Boxed: in a debug build the futures of planning and of introspection would otherwise lie on the stack, one in the other.
    let work = Box::pin(run(session, ddl, &scope));
    // A cancelled statement may have taken effect, if its commit was on the way; what it would have answered is not known then.
    tokio::select! {
        () = scope.cancel.cancelled() => Err(SqlError::cancelled()),
        r = work => r,
    }
}

async fn run(session: &Session, ddl: &Ddl, scope: &Arc<QueryScope>) -> Result<Execution> {
    let catalog = &session.engine.catalog;
    let outcome = match ddl {
        Ddl::ShowSecrets => return answer(ddl, scope, rows::secrets(catalog)?),
        Ddl::ShowConnectors { like } => return answer(ddl, scope, rows::connectors(catalog, like.as_deref())?),
        Ddl::ShowConnectorTypes => return answer(ddl, scope, rows::types(catalog)?),
        Ddl::ShowCreateConnector(n) => {
            return answer(ddl, scope, rows::texts(&["create_statement"], vec![vec![Some(catalog.show_create(n)?)]])?);
        }
        Ddl::ShowCreateView(n) => {
            return answer(ddl, scope, rows::texts(&["create_statement"], vec![vec![Some(show_create_view(catalog, n)?)]])?);
        }
        Ddl::DescribeConnector(n) => return answer(ddl, scope, describe(catalog, n).await?),
        Ddl::ValidateConnector(n) => return answer(ddl, scope, validate(catalog, n).await?),
        Ddl::CreateSecret { or_replace, if_not_exists, name, source } => {
            catalog.create_secret(name, source, &session.info.user, *or_replace, *if_not_exists).await?
        }
        Ddl::DropSecret { if_exists, names } => catalog.drop_secrets(names, *if_exists).await?,
        Ddl::CreateConnector(new) => {
            no_sync(new)?;
            Box::pin(catalog.create_connector(new, &session.info.user)).await?
        }
        Ddl::AlterConnector { if_exists, name, action } => {
            if *if_exists {
                catalog.catch_up_fully().await?;
                if !catalog.snapshot().connectors.contains_key(name) {
                    scope.say(format!("connector \"{name}\" does not exist, skipping"));
                    return done(ddl, scope);
                }
            }
            Box::pin(alter(session, catalog, name, action)).await?
        }
        // KEEP SLOT: nothing that this version makes at a source could be left there.
        Ddl::DropConnector { if_exists, names, cascade, keep_slot: _ } => catalog.drop_connectors(names, *if_exists, *cascade).await?,
        Ddl::CreateView { or_replace, name, columns, query } => {
            let view = Box::pin(super::view::define(session, name, columns, query)).await?;
            catalog.create_view(&view, *or_replace).await?
        }
        Ddl::DropView { if_exists, names, cascade } => {
            let names: Vec<_> = names.iter().map(view_key).collect::<Result<_>>()?;
            catalog.drop_views(&names, *if_exists, *cascade).await?
        }
        Ddl::Comment { on, text } => match on {
            CommentTarget::Connector(n) => catalog.comment_connector(n, text.as_deref()).await?,
            CommentTarget::Secret(n) => catalog.comment_secret(n, text.as_deref()).await?,
            CommentTarget::View(n) => {
                let (schema, name) = view_key(n)?;
                catalog.comment_view(&schema, &name, text.as_deref()).await?
            }
        },
    };
    tell(scope, outcome);
    done(ddl, scope)
}

fn answer(ddl: &Ddl, scope: &Arc<QueryScope>, batch: RecordBatch) -> Result<Execution> {
    Execution::rows(batch.schema(), vec![batch], ddl.tag(), scope.clone())
}

fn done(ddl: &Ddl, scope: &Arc<QueryScope>) -> Result<Execution> {
    Ok(Execution::done(ddl.tag(), scope.clone()))
}

fn tell(scope: &QueryScope, outcome: Outcome) {
    for n in outcome.notices {
        scope.say(n);
    }
    for (message, hint) in outcome.warnings {
        scope.notice(Notice { severity: Severity::Warning, state: SqlState::WARNING, message, detail: None, hint });
    }
}

fn sync_unsupported(what: &str) -> SqlError {
    SqlError::unsupported(format!("{what} is not supported yet: this version has no synced copies"))
        .hint("Leave it out, or say MODE FEDERATION: queries then read the source itself.")
}

fn no_sync(new: &CreateConnector) -> Result<()> {
    match new.mode {
        Some(Mode::Sync) => return Err(sync_unsupported("MODE SYNC")),
        Some(Mode::Both) => return Err(sync_unsupported("MODE BOTH")),
        Some(Mode::Federation) | None => {}
    }
    if new.sync.is_some() { Err(sync_unsupported("SYNC")) } else { Ok(()) }
}

async fn alter(session: &Session, catalog: &Catalog, name: &str, action: &AlterConnector) -> Result<Outcome> {
    match action {
        AlterConnector::Set(options) => catalog.alter_options(name, options, &[]).await,
        AlterConnector::Reset(keys) => catalog.alter_options(name, &[], keys).await,
        AlterConnector::Pause(None | Some(Mode::Federation)) => catalog.set_paused(name, true).await,
        AlterConnector::Resume(None | Some(Mode::Federation)) => catalog.set_paused(name, false).await,
        AlterConnector::Pause(_) => Err(sync_unsupported("PAUSE SYNC")),
        AlterConnector::Resume(_) => Err(sync_unsupported("RESUME SYNC")),
        AlterConnector::RefreshSchema => {
            let c = catalog.refresh(name).await?;
            let notices = c.schema.as_ref().map(|s| s.notices.clone()).unwrap_or_default();
            Ok(Outcome { notices, warnings: vec![] })
        }
        AlterConnector::AddSyncTables(_) => Err(sync_unsupported("ADD SYNC TABLE")),
        AlterConnector::DropSyncTables(_) => Err(sync_unsupported("DROP SYNC TABLE")),
        AlterConnector::Resync(_) => Err(sync_unsupported("RESYNC")),
        AlterConnector::Owner(role) => {
            let role = if role.is_empty() { &session.info.user } else { role };
            catalog.set_owner(name, role).await
        }
        AlterConnector::Rename(to) => catalog.rename_connector(name, to).await,
    }
}

/// Views live in `public`: the other schemas of the default database are connectors' and the system's.
pub(super) fn view_key(n: &ViewName) -> Result<(String, String)> {
    match n.schema.as_deref() {
        None | Some("public") => Ok(("public".into(), n.name.clone())),
        Some(s) => Err(SqlError::new(SqlState::INVALID_SCHEMA_NAME, format!("there are no views in schema \"{s}\""))
            .hint("Views live in schema public; the other schemas are those of connectors and of the system.")),
    }
}

fn show_create_view(catalog: &Catalog, n: &ViewName) -> Result<String> {
    let key = view_key(n)?;
    let snapshot = catalog.snapshot();
    let view: &Arc<View> =
        snapshot.views.get(&key).ok_or_else(|| SqlError::new(SqlState::UNDEFINED_TABLE, format!("view \"{}\" does not exist", n.name)))?;
    Ok(format!("CREATE VIEW {}.{} AS {}", quote_ident(&view.schema), quote_ident(&view.name), view.definition))
}

async fn describe(catalog: &Catalog, name: &str) -> Result<RecordBatch> {
    // One that cannot be reached is described all the same; its health says why.
    let c = match catalog.connector(name).await {
        Ok(c) => c,
        Err(e) => catalog.snapshot().connectors.get(name).cloned().ok_or(e)?,
    };
    let mut all: Vec<(String, Option<String>)> = vec![
        ("name".into(), Some(c.name.clone())),
        ("type".into(), Some(c.type_name.clone())),
        ("mode".into(), Some("federation".into())),
        ("owner".into(), Some(c.owner.clone())),
        ("comment".into(), c.comment.clone()),
        ("location".into(), Some(c.source.location())),
    ];
    if let Some(h) = catalog.health(name) {
        all.push(("status".into(), Some(h.phase.as_str().into())));
        all.push(("last_error".into(), h.last_error));
    }
    if let Ok(s) = &c.schema {
        all.push(("server_version".into(), Some(s.server_version.clone())));
        all.push(("default_schema".into(), Some(s.default_schema.clone())));
        for schema in &s.schemas {
            all.push((
                format!("schema {}", quote_ident(&schema.name)),
                Some(match schema.tables.len() {
                    1 => "1 table".to_string(),
                    n => format!("{n} tables"),
                }),
            ));
        }
    }
    let pool = c.source.pool();
    all.push(("pool".into(), Some(format!("{} in use, {} idle, {} at most", pool.in_use, pool.idle, pool.max))));
    for (k, v) in &c.options {
        all.push((format!("option {k}"), Some(v.clone())));
    }
    rows::texts(&["property", "value"], all.into_iter().map(|(k, v)| vec![Some(k), v]).collect())
}

async fn validate(catalog: &Catalog, name: &str) -> Result<RecordBatch> {
    let checks = catalog.validate_connector(name).await?;
    let row = |c: crate::source::Check| {
        let status = match c.status {
            CheckStatus::Ok => "ok",
            CheckStatus::Warning => "warning",
            CheckStatus::Failed => "failed",
            CheckStatus::Skipped => "skipped",
        };
        vec![Some(c.name.to_string()), Some(status.to_string()), Some(c.detail), c.hint]
    };
    rows::texts(&["check", "status", "detail", "hint"], checks.into_iter().map(row).collect())
}
