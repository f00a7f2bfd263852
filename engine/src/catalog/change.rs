//! What the statements change. Each checks against the newest state, inside the commit, so that two servers cannot both win.

use std::sync::Arc;
use std::time::Instant;

use super::connector::{self, Entry, check_plain, find_type, unknown_secret};
use super::secret::{check_variable, option_place, secret_place};
use super::state::{State, StoredConnector, StoredOption, StoredSecret, StoredSource, StoredView, now_micros};
use super::{Catalog, CatalogSnapshot, View, commit, secrets_of};
use crate::error::{Result, SqlError, SqlState};
use crate::source::{Check, CheckStatus, OptionKind, SourceCatalog};
use crate::sql::ddl::{CreateConnector, OptionValue, SecretSource};
use crate::sql::{quote_ident, quote_literal};

/// Connectors of one catalog, secrets, views: at most.
const OBJECTS_MAX: usize = 10_000;
/// Longest name, in bytes, as in Postgres (NAMEDATALEN - 1).
const NAME_BYTES_MAX: usize = 63;
/// Longest value of an option, a comment, a view's definition.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Pruning looks at the store once in so many commits.
const PRUNE_EVERY: u64 = 16;

/// What a change has done, for the notices.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Things the user should know.
    pub notices: Vec<String>,
    /// Warnings, each with what to do.
    pub warnings: Vec<(String, Option<String>)>,
}

impl Outcome {
    fn notice(text: String) -> Outcome {
        Outcome { notices: vec![text], warnings: vec![] }
    }
}

/// A secret as SHOW SECRETS shows it.
#[derive(Debug, Clone)]
pub struct SecretInfo {
    /// Its name.
    pub name: String,
    /// `env`, `file` or `literal`.
    pub source: &'static str,
    /// The variable or the path; nothing for a literal.
    pub reference: Option<String>,
    /// Its owner.
    pub owner: String,
    /// COMMENT.
    pub comment: Option<String>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// The connectors that use it.
    pub used_by: Vec<String>,
}

impl Catalog {
    /// Commits a change and applies it here.
    pub(super) async fn change<T>(&self, change: impl Fn(&mut State) -> Result<T>) -> Result<T> {
        self.change_with(None, change).await
    }

    async fn change_with<T>(&self, ready: Option<Entry>, change: impl Fn(&mut State) -> Result<T>) -> Result<T> {
        let _one = self.changing.lock().await;
        let (value, new) = commit::commit(&self.commits, change).await?;
        let seq = new.seq;
        self.apply(new, ready);
        if seq > commit::KEPT && seq.is_multiple_of(PRUNE_EVERY) {
            let commits = self.commits.clone();
            tokio::spawn(async move { commit::prune(&commits, seq).await });
        }
        Ok(value)
    }

    /// The newest state in the store.
    async fn newest(&self) -> Result<Arc<State>> {
        let newest = commit::newest(&self.commits).await?;
        let state = newest.state.clone();
        self.apply(newest, None);
        Ok(state)
    }

    // ---- secrets

    /// CREATE SECRET.
    pub async fn create_secret(
        &self,
        name: &str,
        source: &SecretSource,
        owner: &str,
        or_replace: bool,
        if_not_exists: bool,
    ) -> Result<Outcome> {
        check_name("secret", name)?;
        let stored = match source {
            SecretSource::Env(v) => {
                check_variable(v)?;
                StoredSource::Env(v.clone())
            }
            SecretSource::File(p) => StoredSource::File(p.clone()),
            SecretSource::Vault(_) => {
                return Err(SqlError::unsupported("secrets from Vault are not supported yet")
                    .hint("Use CREATE SECRET name FROM ENV '...' or FROM FILE '...'."));
            }
            SecretSource::Literal(v) => {
                check_text("a secret", v.expose())?;
                StoredSource::Sealed(self.keys.seal(&secret_place(name), v)?)
            }
        };
        let state = self.newest().await?;
        if if_not_exists && state.secrets.contains_key(name) {
            return Ok(Outcome::notice(format!("secret \"{name}\" already exists, skipping")));
        }
        // A secret that cannot be read is an error now, not at the first query.
        self.keys.read(name, &stored)?;
        let secret = StoredSecret { source: stored, owner: owner.into(), comment: None, created_at: now_micros() };
        self.change(|state| {
            if let Some(before) = state.secrets.get(name) {
                if if_not_exists {
                    return Ok(());
                }
                if !or_replace {
                    return Err(exists("secret", name).hint("CREATE OR REPLACE SECRET replaces it."));
                }
                let comment = before.comment.clone();
                state.secrets.insert(name.into(), StoredSecret { comment, ..secret.clone() });
                return Ok(());
            }
            room(state.secrets.len(), "secrets")?;
            state.secrets.insert(name.into(), secret.clone());
            Ok(())
        })
        .await?;
        Ok(Outcome::default())
    }

    /// DROP SECRET.
    pub async fn drop_secrets(&self, names: &[String], if_exists: bool) -> Result<Outcome> {
        let notices = self
            .change(|state| {
                let mut notices = vec![];
                for name in names {
                    if !state.secrets.contains_key(name) {
                        if !if_exists {
                            return Err(unknown_secret(name, state));
                        }
                        notices.push(format!("secret \"{name}\" does not exist, skipping"));
                        continue;
                    }
                    let users = users_of(state, name);
                    if !users.is_empty() {
                        return Err(SqlError::new(
                            SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                            format!("cannot drop secret \"{name}\" because connectors use it"),
                        )
                        .detail(format!("Used by: {}.", users.join(", ")))
                        .hint("ALTER CONNECTOR ... SET another secret, or drop the connectors, first."));
                    }
                    state.secrets.remove(name);
                }
                Ok(notices)
            })
            .await?;
        Ok(Outcome { notices, warnings: vec![] })
    }

    /// SHOW SECRETS.
    pub fn secrets(&self) -> Vec<SecretInfo> {
        let state = self.inner.lock().commit.state.clone();
        let info = |(name, s): (&String, &StoredSecret)| {
            let (source, reference) = match &s.source {
                StoredSource::Env(v) => ("env", Some(v.clone())),
                StoredSource::File(p) => ("file", Some(p.clone())),
                StoredSource::Sealed(_) => ("literal", None),
            };
            SecretInfo {
                name: name.clone(),
                source,
                reference,
                owner: s.owner.clone(),
                comment: s.comment.clone(),
                created_at: s.created_at,
                used_by: users_of(&state, name),
            }
        };
        state.secrets.iter().map(info).collect()
    }

    // ---- connectors

    /// CREATE CONNECTOR: opened, checked, introspected; only then persisted.
    pub async fn create_connector(&self, new: &CreateConnector, owner: &str) -> Result<Outcome> {
        self.check_connector_name(&new.name)?;
        let state = self.newest().await?;
        if state.connectors.contains_key(&new.name) {
            if new.if_not_exists {
                return Ok(Outcome::notice(format!("connector \"{}\" already exists, skipping", new.name)));
            }
            if !new.or_replace {
                return Err(exists("connector", &new.name).hint("CREATE OR REPLACE CONNECTOR replaces it."));
            }
        } else {
            check_twins(&state, &new.name)?;
        }
        let mut stored = StoredConnector {
            id: uuid::Uuid::new_v4().to_string(),
            type_name: new.type_name.clone(),
            options: Default::default(),
            comment: new.comment.clone(),
            owner: owner.into(),
            paused: false,
            created_at: now_micros(),
        };
        self.store_options(&mut stored, &new.options)?;
        let (entry, outcome) = self.prove(&new.name, &stored, &state).await?;
        let schema = entry.loaded.lock().schema.clone()?;
        self.change_with(Some(entry), |state| {
            if state.connectors.contains_key(&new.name) {
                if !new.or_replace {
                    return Err(exists("connector", &new.name));
                }
            } else {
                check_twins(state, &new.name)?;
                room(state.connectors.len(), "connectors")?;
            }
            check_secrets(state, &stored)?;
            state.connectors.insert(new.name.clone(), stored.clone());
            set_oids(state, &new.name, &schema);
            Ok(())
        })
        .await?;
        Ok(outcome)
    }

    /// ALTER CONNECTOR SET, RESET: validated like CREATE.
    pub async fn alter_options(&self, name: &str, set: &[(String, OptionValue)], reset: &[String]) -> Result<Outcome> {
        let state = self.newest().await?;
        let before = state.connectors.get(name).ok_or_else(|| self.unknown_connector(name))?;
        let mut stored = before.clone();
        let specs = find_type(&self.types, &stored.type_name)?.options();
        for key in reset {
            if stored.options.remove(key).is_none() && !specs.iter().any(|s| s.name == key) {
                // The error of an unknown option, with its hint.
                self.store_options(&mut stored, &[(key.clone(), OptionValue::Secret(String::new()))])?;
            }
        }
        self.store_options(&mut stored, set)?;
        let (entry, outcome) = self.prove(name, &stored, &state).await?;
        let schema = entry.loaded.lock().schema.clone()?;
        self.change_with(Some(entry), |state| {
            match state.connectors.get(name) {
                None => return Err(self.unknown_connector(name)),
                // Somebody else altered it meanwhile: what was validated is not what would be stored.
                Some(now) if now != before => return Err(changed_meanwhile(name)),
                Some(_) => {}
            }
            check_secrets(state, &stored)?;
            state.connectors.insert(name.into(), stored.clone());
            set_oids(state, name, &schema);
            Ok(())
        })
        .await?;
        Ok(outcome)
    }

    /// ALTER CONNECTOR PAUSE, RESUME.
    pub async fn set_paused(&self, name: &str, paused: bool) -> Result<Outcome> {
        self.alter(name, |c| c.paused = paused).await
    }

    /// ALTER CONNECTOR OWNER TO.
    pub async fn set_owner(&self, name: &str, owner: &str) -> Result<Outcome> {
        self.alter(name, |c| c.owner = owner.into()).await
    }

    /// COMMENT ON CONNECTOR.
    pub async fn comment_connector(&self, name: &str, text: Option<&str>) -> Result<Outcome> {
        check_text("a comment", text.unwrap_or_default())?;
        self.alter(name, |c| c.comment = text.map(str::to_string)).await
    }

    /// COMMENT ON SECRET.
    pub async fn comment_secret(&self, name: &str, text: Option<&str>) -> Result<Outcome> {
        check_text("a comment", text.unwrap_or_default())?;
        self.change(|state| {
            let Some(s) = state.secrets.get_mut(name) else { return Err(unknown_secret(name, state)) };
            s.comment = text.map(str::to_string);
            Ok(Outcome::default())
        })
        .await
    }

    async fn alter(&self, name: &str, f: impl Fn(&mut StoredConnector)) -> Result<Outcome> {
        self.change(|state| {
            let c = state.connectors.get_mut(name).ok_or_else(|| self.unknown_connector(name))?;
            f(c);
            Ok(Outcome::default())
        })
        .await
    }

    /// ALTER CONNECTOR RENAME TO. Views name their connectors by name, so a connector that views read from keeps its name.
    pub async fn rename_connector(&self, name: &str, to: &str) -> Result<Outcome> {
        self.check_connector_name(to)?;
        self.change(|state| {
            if !state.connectors.contains_key(name) {
                return Err(self.unknown_connector(name));
            }
            if state.connectors.contains_key(to) {
                return Err(exists("connector", to));
            }
            let views = views_of(state, &self.database).dependent_views(name);
            if !views.is_empty() {
                return Err(dependents("rename", "connector", name, &views, "Drop the views, rename, and create them again."));
            }
            let Some(c) = state.connectors.remove(name) else { return Ok(Outcome::default()) };
            check_twins(state, to)?;
            state.connectors.insert(to.into(), c);
            let old: Vec<_> = state.oids.keys().filter(|p| p.len() < 4 && p.first().is_some_and(|n| n == name)).cloned().collect();
            for path in old {
                if let Some(oid) = state.oids.remove(&path) {
                    let mut path = path;
                    path[0] = to.into();
                    state.oids.insert(path, oid);
                }
            }
            Ok(Outcome::default())
        })
        .await
    }

    /// DROP CONNECTOR.
    pub async fn drop_connectors(&self, names: &[String], if_exists: bool, cascade: bool) -> Result<Outcome> {
        let notices = self
            .change(|state| {
                let mut notices = vec![];
                for name in names {
                    if !state.connectors.contains_key(name) {
                        if !if_exists {
                            return Err(self.unknown_connector(name));
                        }
                        notices.push(format!("connector \"{name}\" does not exist, skipping"));
                        continue;
                    }
                    let views = views_of(state, &self.database).dependent_views(name);
                    if !views.is_empty() && !cascade {
                        let hint = "Use DROP ... CASCADE to drop the dependent views too.";
                        return Err(dependents("drop", "connector", name, &views, hint));
                    }
                    for (schema, view) in views {
                        remove_view(state, &schema, &view);
                        notices.push(format!("drop cascades to view {schema}.{view}"));
                    }
                    state.connectors.remove(name);
                    state.oids.retain(|path, _| path.first() != Some(name));
                }
                Ok(notices)
            })
            .await?;
        Ok(Outcome { notices, warnings: vec![] })
    }

    /// VALIDATE CONNECTOR.
    pub async fn validate_connector(&self, name: &str) -> Result<Vec<Check>> {
        let entry = self.entry(name)?;
        let checks = entry.validate(self.allow_link_local).await;
        let failed = checks.iter().find_map(|c| c.error.as_ref());
        match failed {
            Some(e) => self.report_error(name, e),
            None => self.report_ok(name),
        }
        Ok(checks)
    }

    /// SHOW CREATE CONNECTOR: one canonical form. A literal secret shows as `'***'`.
    pub fn show_create(&self, name: &str) -> Result<String> {
        let entry = self.entry(name)?;
        let mut text = format!("CREATE CONNECTOR {} TYPE {}", quote_ident(name), quote_ident(&entry.stored.type_name));
        let options: Vec<String> = entry
            .stored
            .options
            .iter()
            .map(|(k, v)| {
                let value = match v {
                    StoredOption::Plain(v) => quote_literal(v),
                    StoredOption::Secret(n) => format!("SECRET {}", quote_ident(n)),
                    StoredOption::Sealed(_) => "'***'".into(),
                };
                format!("{} {value}", quote_ident_or_word(k))
            })
            .collect();
        if !options.is_empty() {
            text.push_str(&format!(" OPTIONS (\n    {}\n)", options.join(",\n    ")));
        }
        if let Some(c) = &entry.stored.comment {
            text.push_str(&format!(" COMMENT {}", quote_literal(c)));
        }
        Ok(text)
    }

    /// Turns given options into stored ones: known names, secrets sealed, no password in plain text.
    fn store_options(&self, stored: &mut StoredConnector, given: &[(String, OptionValue)]) -> Result<()> {
        let kind = find_type(&self.types, &stored.type_name)?;
        for (key, value) in given {
            let Some(spec) = kind.options().iter().find(|s| s.name == key) else {
                // The options' own validation words this one.
                let unknown = std::collections::BTreeMap::from([(key.clone(), String::new())]);
                crate::source::OptionValues::validate(kind.name(), kind.options(), &unknown, Default::default())?;
                return Err(SqlError::new(SqlState::FDW_INVALID_OPTION_NAME, format!("option \"{key}\" does not exist")));
            };
            let option = match value {
                OptionValue::Secret(n) => StoredOption::Secret(n.clone()),
                OptionValue::Literal(v) if spec.kind == OptionKind::Secret => {
                    check_text("a secret", v.expose())?;
                    let sealed = self.keys.seal(&option_place(&stored.id, key), v).map_err(|e| SqlError {
                        message: format!("option \"{key}\": {}", e.message),
                        hint: Some(format!(
                            "CREATE SECRET name FROM ENV 'VARIABLE' and then {key} SECRET name; or start the server with a secret key (FJORD_SECRET_KEY)."
                        )),
                        ..e
                    })?;
                    StoredOption::Sealed(sealed)
                }
                OptionValue::Literal(v) => {
                    check_text("an option", v.expose())?;
                    check_plain(key, spec.kind, v.expose())?;
                    StoredOption::Plain(v.expose().to_string())
                }
            };
            stored.options.insert(key.clone(), option);
        }
        Ok(())
    }

    /// Opens, checks and introspects a connector that is not persisted yet.
    async fn prove(&self, name: &str, stored: &StoredConnector, state: &State) -> Result<(Entry, Outcome)> {
        let entry = connector::open(name, stored, state, &self.types, &self.keys, Arc::default(), self)?;
        let checked = self.check_and_read(&entry).await;
        let (schema, outcome) = match checked {
            Ok(found) => found,
            Err(e) => {
                entry.source.close().await;
                return Err(e);
            }
        };
        {
            let mut l = entry.loaded.lock();
            l.schema = Ok(Arc::new(schema));
            l.at = Some(Instant::now());
            l.tried = l.at;
        }
        Ok((entry, outcome))
    }

    async fn check_and_read(&self, entry: &Entry) -> Result<(SourceCatalog, Outcome)> {
        let mut outcome = Outcome::default();
        for check in entry.validate(self.allow_link_local).await {
            match check.status {
                CheckStatus::Failed => {
                    return Err(check.error.unwrap_or_else(|| {
                        SqlError::new(
                            SqlState::FDW_ERROR,
                            format!("connector \"{}\": check {} failed: {}", entry.name, check.name, check.detail),
                        )
                    }));
                }
                CheckStatus::Warning => outcome.warnings.push((format!("{}: {}", check.name, check.detail), check.hint)),
                CheckStatus::Ok | CheckStatus::Skipped => {}
            }
        }
        let schema = entry.introspect(self.allow_link_local).await?;
        outcome.notices.extend(schema.notices.iter().cloned());
        Ok((schema, outcome))
    }

    fn check_connector_name(&self, name: &str) -> Result<()> {
        check_name("connector", name)?;
        let reserved = ["sys", "pg_catalog", "information_schema", "public", "view"].contains(&name)
            || name == self.database
            || name.starts_with("pg_")
            || name.contains('.');
        if reserved {
            return Err(SqlError::new(SqlState::INVALID_NAME, format!("\"{name}\" cannot be the name of a connector"))
                .detail("A connector's name is a catalog and a schema: it must not be a system schema, the default database, or begin with pg_.")
                .hint("Choose another name."));
        }
        Ok(())
    }

    // ---- views

    /// CREATE VIEW. The definition has been planned already.
    pub async fn create_view(&self, view: &View, or_replace: bool) -> Result<Outcome> {
        check_name("view", &view.name)?;
        check_text("a view's definition", &view.definition)?;
        self.change(|state| {
            let count = state.views.values().map(std::collections::BTreeMap::len).sum();
            let all = state.views.entry(view.schema.clone()).or_default();
            let comment = match all.get(&view.name) {
                Some(_) if !or_replace => {
                    return Err(SqlError::new(SqlState::DUPLICATE_TABLE, format!("relation \"{}\" already exists", view.name))
                        .hint("CREATE OR REPLACE VIEW replaces it."));
                }
                Some(before) => before.comment.clone(),
                None => {
                    room(count, "views")?;
                    None
                }
            };
            let (definition, owner) = (view.definition.clone(), view.owner.clone());
            all.insert(view.name.clone(), StoredView { definition, owner, comment, created_at: now_micros() });
            if views_of(state, &self.database)
                .dependents_of_view(&view.schema, &view.name)
                .contains(&(view.schema.clone(), view.name.clone()))
            {
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("view \"{}\" would read from itself", view.name)));
            }
            state.oid(vec!["view".into(), view.schema.clone(), view.name.clone()]);
            Ok(Outcome::default())
        })
        .await
    }

    /// DROP VIEW, with (schema, name) pairs.
    pub async fn drop_views(&self, names: &[(String, String)], if_exists: bool, cascade: bool) -> Result<Outcome> {
        let notices = self
            .change(|state| {
                let mut notices = vec![];
                for (schema, name) in names {
                    if !state.views.get(schema).is_some_and(|all| all.contains_key(name)) {
                        if !if_exists {
                            return Err(unknown_view(name));
                        }
                        notices.push(format!("view \"{name}\" does not exist, skipping"));
                        continue;
                    }
                    let mut others = views_of(state, &self.database).dependents_of_view(schema, name);
                    others.retain(|v| !names.contains(v));
                    if !others.is_empty() && !cascade {
                        let hint = "Use DROP ... CASCADE to drop the dependent views too.";
                        return Err(dependents("drop", "view", name, &others, hint));
                    }
                    for (s, v) in others {
                        remove_view(state, &s, &v);
                        notices.push(format!("drop cascades to view {s}.{v}"));
                    }
                    remove_view(state, schema, name);
                }
                Ok(notices)
            })
            .await?;
        Ok(Outcome { notices, warnings: vec![] })
    }

    /// COMMENT ON VIEW.
    pub async fn comment_view(&self, schema: &str, name: &str, text: Option<&str>) -> Result<Outcome> {
        check_text("a comment", text.unwrap_or_default())?;
        self.change(|state| {
            let view = state.views.get_mut(schema).and_then(|all| all.get_mut(name)).ok_or_else(|| unknown_view(name))?;
            view.comment = text.map(str::to_string);
            Ok(Outcome::default())
        })
        .await
    }
}

// ---- OIDs

fn wanted(name: &str, schema: &SourceCatalog) -> Vec<Vec<String>> {
    let mut all = vec![];
    for s in &schema.schemas {
        all.push(vec![name.to_string(), s.name.clone()]);
        all.extend(s.tables.iter().map(|t| vec![name.to_string(), s.name.clone(), t.name.clone()]));
    }
    all
}

fn kept<'a>(state: &'a State, name: &'a str) -> impl Iterator<Item = &'a Vec<String>> {
    state.oids.keys().filter(move |p| p.first().is_some_and(|n| n == name))
}

/// Whether a schema has tables without OIDs, or the other way round.
pub(super) fn oids_differ(state: &State, name: &str, schema: &SourceCatalog) -> bool {
    let wanted = wanted(name, schema);
    wanted.len() != kept(state, name).count() || wanted.iter().any(|p| !state.oids.contains_key(p))
}

/// Gives every schema and table its OID and forgets those of objects that are gone: an object that comes back is another one.
pub(super) fn set_oids(state: &mut State, name: &str, schema: &SourceCatalog) {
    let wanted: std::collections::BTreeSet<_> = wanted(name, schema).into_iter().collect();
    let gone: Vec<_> = kept(state, name).filter(|p| !wanted.contains(*p)).cloned().collect();
    for path in gone {
        state.oids.remove(&path);
    }
    for path in wanted {
        state.oid(path);
    }
}

// ---- checks

fn exists(what: &str, name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_OBJECT, format!("{what} \"{name}\" already exists"))
}

pub(crate) fn unknown_view(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_TABLE, format!("view \"{name}\" does not exist"))
}

fn changed_meanwhile(name: &str) -> SqlError {
    SqlError::new(SqlState::SERIALIZATION_FAILURE, format!("connector \"{name}\" was altered by somebody else meanwhile"))
        .hint("Try again.")
}

fn dependents(verb: &str, what: &str, name: &str, views: &[(String, String)], hint: &str) -> SqlError {
    let list: Vec<_> = views.iter().map(|(s, v)| format!("view {s}.{v}")).collect();
    SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, format!("cannot {verb} {what} \"{name}\" because other objects depend on it"))
        .detail(format!("{} {} on it.", list.join(", "), if list.len() == 1 { "depends" } else { "depend" }))
        .hint(hint)
}

fn room(count: usize, what: &str) -> Result<()> {
    if count >= OBJECTS_MAX {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("there are {count} {what} already, the limit is {OBJECTS_MAX}"),
        ));
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(|c: char| c.is_control()) {
        return Err(SqlError::new(SqlState::INVALID_NAME, format!("\"{}\" cannot be the name of a {what}", name.escape_default()))
            .hint(format!("A name has 1 to {NAME_BYTES_MAX} bytes and no control characters.")));
    }
    Ok(())
}

fn check_text(what: &str, text: &str) -> Result<()> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("{what} is longer than {TEXT_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// In the default database a connector `a` has the schemas `a`, `a__x` and its twin `a_live`: no other connector may have such a name.
fn check_twins(state: &State, name: &str) -> Result<()> {
    let clash = state.connectors.keys().find(|other| {
        let of = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with("__") || rest == "_live");
        of(other, name) || of(name, other)
    });
    match clash {
        Some(other) => {
            Err(SqlError::new(SqlState::DUPLICATE_OBJECT, format!("a connector \"{name}\" would hide schemas of connector \"{other}\""))
                .detail("Connector \"x\" shows its schemas as \"x\", \"x__schema\" and \"x_live\" in the default database.")
                .hint("Choose another name."))
        }
        None => Ok(()),
    }
}

fn check_secrets(state: &State, stored: &StoredConnector) -> Result<()> {
    match secrets_of(stored).find(|s| !state.secrets.contains_key(*s)) {
        Some(s) => Err(unknown_secret(s, state)),
        None => Ok(()),
    }
}

fn users_of(state: &State, secret: &str) -> Vec<String> {
    state.connectors.iter().filter(|(_, c)| secrets_of(c).any(|s| s == secret)).map(|(n, _)| n.clone()).collect()
}

fn remove_view(state: &mut State, schema: &str, name: &str) {
    if let Some(all) = state.views.get_mut(schema) {
        all.remove(name);
        if all.is_empty() {
            state.views.remove(schema);
        }
    }
    state.oids.remove(&vec!["view".to_string(), schema.to_string(), name.to_string()]);
}

/// The views of a state, to ask who reads what.
fn views_of(state: &State, database: &str) -> CatalogSnapshot {
    let mut snapshot = CatalogSnapshot { database: database.to_string(), ..CatalogSnapshot::default() };
    for (schema, all) in &state.views {
        for (name, v) in all {
            let (definition, owner) = (v.definition.clone(), v.owner.clone());
            let view = View { schema: schema.clone(), name: name.clone(), definition, owner, comment: None };
            snapshot.views.insert((schema.clone(), name.clone()), Arc::new(view));
        }
    }
    snapshot
}

/// Options may be reserved words (`user`), which the parser takes as they are.
fn quote_ident_or_word(key: &str) -> String {
    if key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') { key.to_string() } else { quote_ident(key) }
}
