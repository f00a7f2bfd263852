//! `fjord.toml`: documented in docs/configuration.md. Unknown keys are errors, so that a misspelt limit does not silently mean none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fjord_engine::source::Secret;
use fjord_engine::{Result, SqlError, SqlState};
use serde::Deserialize;

use crate::auth::{Verifier, read_password_file};

/// The file's content.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    #[serde(default)]
    pub server: ServerSection,
    /// `[tls]`
    pub tls: Option<TlsSection>,
    /// `[users.name]`
    #[serde(default)]
    pub users: BTreeMap<String, UserSection>,
    /// `[secrets]`
    #[serde(default)]
    pub secrets: SecretsSection,
    /// `[limits]`
    #[serde(default)]
    pub limits: LimitsSection,
    /// `[files]`
    #[serde(default)]
    pub files: FilesSection,
}

/// `[files]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesSection {
    /// The folder below which connectors of type files may read local files.
    pub root: Option<PathBuf>,
}

/// `[server]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSection {
    /// Where to listen.
    pub listen: Option<SocketAddr>,
    /// The folder of the state.
    pub data_dir: Option<PathBuf>,
    /// The object store of the state, instead of a folder.
    pub store: Option<String>,
    /// The name of the one database.
    pub database: Option<String>,
    /// Statements to run at each start.
    pub init_sql: Option<PathBuf>,
    /// Statements that take so long or longer are logged (`5s`).
    pub log_slow_statements: Option<String>,
}

/// `[tls]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// `[users.name]`: exactly one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSection {
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// A verifier as Postgres stores it.
    pub scram: Option<String>,
}

impl std::fmt::Debug for UserSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserSection(***)")
    }
}

/// `[secrets]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsSection {
    /// A file with the key that encrypts literal secrets at rest.
    pub key_file: Option<PathBuf>,
    /// The folder below which CREATE SECRET ... FROM FILE may read.
    pub root: Option<PathBuf>,
    /// Lets connectors reach link-local and metadata addresses.
    #[serde(default)]
    pub allow_link_local: bool,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// Sessions at a time.
    pub max_connections: Option<usize>,
    /// Sessions of one role at a time.
    pub max_connections_per_role: Option<usize>,
    /// Memory of all queries together (`2GB`).
    pub memory: Option<String>,
    /// Disk for rows that clients do not read, of all queries together (`16GB`).
    pub spill: Option<String>,
}

/// The environment variable that may hold the key for literal secrets, instead of a file.
pub const SECRET_KEY_ENV: &str = "FJORD_SECRET_KEY";

impl Config {
    /// Reads the file; relative paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|e| bad(format!("{} cannot be read: {e}", path.display())))?;
        let mut config: Config = toml::from_str(&text).map_err(|e| {
            // The error's full text quotes the line, which may hold a verifier: place and reason only.
            let line = e.span().map_or(0, |s| text.bytes().take(s.start).filter(|b| *b == b'\n').count() + 1);
            bad(format!("{} line {line}: {}", path.display(), e.message()))
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let absolute = |p: &mut PathBuf| *p = folder.join(&*p);
        config.server.data_dir.iter_mut().for_each(absolute);
        config.server.init_sql.iter_mut().for_each(absolute);
        config.secrets.key_file.iter_mut().for_each(absolute);
        config.secrets.root.iter_mut().for_each(absolute);
        config.files.root.iter_mut().for_each(absolute);
        config.users.values_mut().filter_map(|u| u.password_file.as_mut()).for_each(absolute);
        if let Some(tls) = &mut config.tls {
            absolute(&mut tls.cert);
            absolute(&mut tls.key);
        }
        Ok(config)
    }

    /// The users' verifiers.
    pub fn verifiers(&self) -> Result<BTreeMap<String, Verifier>> {
        let mut out = BTreeMap::new();
        for (name, user) in &self.users {
            let verifier = match (&user.password_file, &user.scram) {
                (Some(file), None) => read_password_file(name, file)?,
                (None, Some(text)) => Verifier::parse(text).ok_or_else(|| {
                    bad(format!("users.{name}.scram is no SCRAM-SHA-256 verifier"))
                        .hint("Copy it from Postgres: SELECT rolpassword FROM pg_authid WHERE rolname = '...'.")
                })?,
                _ => return Err(bad(format!("users.{name} needs exactly one of password_file and scram"))),
            };
            out.insert(name.clone(), verifier);
        }
        Ok(out)
    }

    /// The key for literal secrets, from file or environment.
    pub fn secret_key(&self) -> Result<Option<Secret>> {
        if let Some(path) = &self.secrets.key_file {
            let text =
                std::fs::read_to_string(path).map_err(|e| bad(format!("secrets.key_file {} cannot be read: {e}", path.display())))?;
            if text.trim().len() < 16 {
                return Err(bad(format!("secrets.key_file {} holds fewer than 16 characters", path.display()))
                    .hint("Make one: head -c 32 /dev/urandom | base64 > file"));
            }
            return Ok(Some(Secret::new(text.trim())));
        }
        match std::env::var(SECRET_KEY_ENV) {
            Ok(v) if v.trim().len() >= 16 => Ok(Some(Secret::new(v.trim()))),
            Ok(_) => Err(bad(format!("{SECRET_KEY_ENV} holds fewer than 16 characters"))),
            Err(_) => Ok(None),
        }
    }

    /// From which duration on statements are logged.
    pub fn log_slow_statements(&self) -> Result<Option<Duration>> {
        let Some(text) = &self.server.log_slow_statements else { return Ok(None) };
        let found = fjord_engine::source::parse_duration(text);
        found
            .map(Some)
            .ok_or_else(|| bad(format!("server.log_slow_statements \"{text}\" is no duration")).hint("Write it like 500ms or 5s."))
    }

    /// Memory for queries: as configured, or a quarter of a machine of unknown size: 1 GiB.
    pub fn memory(&self) -> Result<usize> {
        match &self.limits.memory {
            None => Ok(DEFAULT_MEMORY),
            Some(text) => size(text).ok_or_else(|| bad(format!("limits.memory \"{text}\" is no size")).hint("Write it like 512MB or 4GB.")),
        }
    }

    /// Disk for rows that clients do not read; `None` where nothing is said.
    pub fn spill(&self) -> Result<Option<u64>> {
        let Some(text) = &self.limits.spill else { return Ok(None) };
        let found = size(text).and_then(|s| u64::try_from(s).ok());
        found.map(Some).ok_or_else(|| bad(format!("limits.spill \"{text}\" is no size")).hint("Write it like 512MB or 16GB."))
    }
}

/// Memory of all queries together, where nothing else is said.
const DEFAULT_MEMORY: usize = 1 << 30;

fn size(text: &str) -> Option<usize> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match text[split..].trim().to_ascii_lowercase().as_str() {
        "kb" => 10,
        "mb" => 20,
        "gb" => 30,
        "tb" => 40,
        "" | "b" => 0,
        _ => return None,
    };
    text[..split].parse::<usize>().ok()?.checked_mul(1 << shift)
}

fn bad(message: String) -> SqlError {
    SqlError::new(SqlState::CONFIG_FILE_ERROR, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unknown_keys_are_errors_and_secrets_stay_out_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fjord.toml");
        std::fs::write(&path, "[users.a]\nscram = \"hunter2\"\n[limits]\nmax_conections = 1\n").unwrap();
        let e = Config::read(&path).unwrap_err();
        assert!(e.message.contains("max_conections") && e.message.contains("line 4"), "{e}");
        std::fs::write(&path, "[users.a]\nscram = \"hunter2\"\n").unwrap();
        let e = Config::read(&path).unwrap().verifiers().unwrap_err();
        assert!(!format!("{e:?}").contains("hunter2"));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fjord.toml");
        std::fs::write(&path, "[tls]\ncert = \"a.pem\"\nkey = \"/b.pem\"\n").unwrap();
        let tls = Config::read(&path).unwrap().tls.unwrap();
        assert_eq!(tls.cert, dir.path().join("a.pem"));
        assert_eq!(tls.key, Path::new("/b.pem"));
    }
}
