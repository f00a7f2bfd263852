//! Opens the engine that both commands run.

use std::path::PathBuf;
use std::sync::Arc;

use fjord_engine::{Engine, EngineConfig, Result, SqlError, SqlState};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;

use super::StoreArgs;
use crate::auth::Auth;
use crate::config::Config;
use crate::connectors::connector_types;
use crate::server::Server;
use crate::sessions::SessionRegistry;
use crate::tls;

/// Sessions at a time, where nothing else is said.
pub const MAX_CONNECTIONS: usize = 200;
/// The database's name, where nothing else is said.
pub const DATABASE: &str = "fjord";

/// The configuration file, or an empty one.
pub fn config(args: &StoreArgs) -> Result<Config> {
    args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)
}

/// A server over an opened engine. It does not listen yet.
pub async fn server(args: &StoreArgs, config: &Config, insecure: bool) -> Result<Arc<Server>> {
    let tls = config.tls.as_ref().map(|t| tls::load(&t.cert, &t.key)).transpose()?;
    let auth = Auth::new(config.verifiers()?, tls.as_ref().map(|t| t.certificate.as_slice()));
    let (store, data_dir) = store(args, config)?;
    let engine_config = EngineConfig {
        store,
        data_dir,
        secret_key: config.secret_key()?,
        memory_limit: config.memory()?,
        database: config.server.database.clone().unwrap_or_else(|| DATABASE.to_string()),
        secret_root: args.secret_root.clone().or_else(|| config.secrets.root.clone()),
        allow_link_local: config.secrets.allow_link_local,
    };
    let engine = Engine::open(engine_config, connector_types(args.file_root.clone().or_else(|| config.files.root.clone()))).await?;
    if let Some(least) = config.log_slow_statements()? {
        engine.queries.log_slower_than(least);
    }
    if let Some(bytes) = config.spill()? {
        engine.spill_at_most(bytes);
    }
    let max = config.limits.max_connections.unwrap_or(MAX_CONNECTIONS).max(1);
    let sessions = SessionRegistry::limited(max, config.limits.max_connections_per_role.unwrap_or(max).max(1));
    crate::connectors::add_system_schemas(&engine, &sessions);
    Ok(Server::new(engine, sessions, auth, tls, insecure))
}

/// The store, and its folder where it is a local one. The command line wins over the file.
fn store(args: &StoreArgs, config: &Config) -> Result<(Arc<dyn ObjectStore>, Option<PathBuf>)> {
    let url = match (&args.store, &args.data_dir) {
        (Some(url), _) => Some(url),
        (None, Some(_)) => None,
        (None, None) => config.server.store.as_ref(),
    };
    if let Some(url) = url {
        let bad = |e: String| SqlError::new(SqlState::CONFIG_FILE_ERROR, format!("store \"{url}\" cannot be used: {e}"));
        let parsed = url::Url::parse(url).map_err(|e| bad(e.to_string()))?;
        if parsed.scheme() == "file" {
            let path = parsed.to_file_path().map_err(|()| bad("it is no path of this machine".into()))?;
            return local(path);
        }
        // The builders know their own names among these and ignore the rest.
        let environment = std::env::vars().filter(|(k, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|p| k.starts_with(p)));
        let options = environment.map(|(k, v)| (k.to_ascii_lowercase(), v));
        let (store, prefix) = object_store::parse_url_opts(&parsed, options).map_err(|e| bad(e.to_string()))?;
        return Ok((Arc::new(PrefixStore::new(store, prefix)), None));
    }
    let dir = args.data_dir.clone().or_else(|| config.server.data_dir.clone()).unwrap_or_else(|| PathBuf::from("fjord-data"));
    local(dir)
}

fn local(dir: PathBuf) -> Result<(Arc<dyn ObjectStore>, Option<PathBuf>)> {
    let bad = |e: String| {
        SqlError::new(SqlState::IO_ERROR, format!("data folder {} cannot be used: {e}", dir.display()))
            .hint("Choose another with --data-dir.")
    };
    std::fs::create_dir_all(&dir).map_err(|e| bad(e.to_string()))?;
    let dir = dir.canonicalize().map_err(|e| bad(e.to_string()))?;
    let store = LocalFileSystem::new_with_prefix(&dir).map_err(|e| bad(e.to_string()))?;
    Ok((Arc::new(store), Some(dir)))
}

/// The statements of --init-sql or of the file's `init_sql`.
pub fn init_sql(args: &StoreArgs, config: &Config) -> Result<Option<String>> {
    let Some(path) = args.init_sql.as_ref().or(config.server.init_sql.as_ref()) else { return Ok(None) };
    std::fs::read_to_string(path)
        .map(Some)
        .map_err(|e| SqlError::new(SqlState::CONFIG_FILE_ERROR, format!("init SQL {} cannot be read: {e}", path.display())))
}
