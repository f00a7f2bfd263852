//! Runs the files of one feature: each by both protocols, each time on a Fjord of its own, all over one Postgres.
//!
//! In the files, `${NAME}` stands for what only the run knows: `PG_PORT`, `FJORD_PORT`, `FILES` (the folder `files/`), `TMP` (an empty folder), `S3_ENDPOINT`,
//! `MYSQL_PORT`, `MARIADB_PORT`. A server that no file of the feature names is not started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fjord_harness::{Error, FjordOptions, FjordServer, Flavor, MySql, Postgres, Result, S3Server, TempFolder};
use sqllogictest::{DefaultColumnType, Record, Runner};

use crate::client::{Connection, Protocol};

/// The password of the role `app`, which the sources' files create. Fjord finds it in its environment as `APP_PASSWORD`.
pub const APP_PASSWORD: &str = "app's password";

/// How many failures of a file are shown.
const FAILURES_SHOWN_MAX: usize = 20;
/// How many lines of the server's log are shown with them.
const LOG_LINES_SHOWN_MAX: usize = 30;

/// Runs `slt/<feature>/*.slt`. With `UPDATE_EXPECT=1` their expected results are first rewritten to what the simple protocol answers: read the difference before you
/// commit it.
pub async fn feature(name: &str) -> Result<()> {
    let files = slt_files(&here().join("slt").join(name))?;
    if files.is_empty() {
        return Err(Error::new(format!("no .slt files for {name}")));
    }
    let servers = Servers::start(&files)?;
    let update = std::env::var("UPDATE_EXPECT").is_ok_and(|v| v == "1");
    let mut failures = Vec::new();
    for file in &files {
        if update {
            servers.update(file).await?;
        }
        for protocol in [Protocol::Simple, Protocol::Extended] {
            if let Err(e) = servers.run(file, protocol).await {
                failures.push(format!("--- {} ({} protocol)\n{e}", file.display(), protocol.name()));
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Error::new(failures.join("\n"))) }
}

/// The features there are: the folders of `slt/`.
pub fn features() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(here().join("slt"))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.retain(|n| n != "include");
    names.sort();
    Ok(names)
}

struct Servers {
    postgres: Postgres,
    /// Those of the other kinds that the files name, by their variables.
    others: Vec<(&'static str, MySql)>,
}

impl Servers {
    fn start(files: &[PathBuf]) -> Result<Servers> {
        let postgres = Postgres::start()?;
        let password = APP_PASSWORD.replace('\'', "''");
        postgres.psql(&format!("CREATE ROLE app LOGIN PASSWORD '{password}'"))?;
        for path in sorted(&here().join("sources"), "sql")? {
            let database = stem(&path);
            postgres.psql(&format!("CREATE DATABASE {database}"))?;
            postgres.psql_in(&database, &fs::read_to_string(&path)?).map_err(Error::at(path.display()))?;
        }
        let mut texts = String::new();
        for file in files {
            texts.push_str(&fs::read_to_string(file).map_err(Error::at(file.display()))?);
        }
        let mut others = Vec::new();
        for (variable, flavor) in [("MYSQL_PORT", Flavor::MySql), ("MARIADB_PORT", Flavor::MariaDb)] {
            if texts.contains(&format!("${{{variable}}}")) {
                let server = MySql::start(flavor)?;
                for path in sorted(&here().join("sources/mysql"), "sql")? {
                    let (name, sql) = (stem(&path), fs::read_to_string(&path)?);
                    server
                        .sql(&format!("SET NAMES utf8mb4; CREATE DATABASE {name}; USE {name};\n{sql}"))
                        .map_err(Error::at(path.display()))?;
                }
                others.push((variable, server));
            }
        }
        Ok(Servers { postgres, others })
    }

    async fn run(&self, file: &Path, protocol: Protocol) -> Result<()> {
        let stage = Stage::prepare(self, file)?;
        // A file about the session's queries counts them.
        let twice = !fs::read_to_string(&stage.file)?.contains("FROM sys.");
        let mut runner = stage.runner(protocol, twice);
        let records = sqllogictest::parse_file(&stage.file).map_err(Error::at(file.display()))?;
        let mut failures = Vec::new();
        for record in records {
            if matches!(record, Record::Halt { .. }) {
                break;
            }
            if let Err(e) = runner.run_async(record).await {
                failures.push(e.display(false).to_string());
                // What follows a failed set-up fails too: enough is enough.
                if failures.len() == FAILURES_SHOWN_MAX {
                    break;
                }
            }
        }
        if failures.is_empty() {
            return Ok(());
        }
        Err(Error::new(format!("{}\nFjord's log:\n{}", failures.join("\n"), tail(&stage.fjord.log()))))
    }

    async fn update(&self, file: &Path) -> Result<()> {
        let stage = Stage::prepare(self, file)?;
        let mut runner = stage.runner(Protocol::Simple, false);
        runner
            .update_test_file(&stage.file, " ", sqllogictest::default_validator, sqllogictest::default_normalizer, same_types)
            .await
            .map_err(Error::at(file.display()))?;
        let mut text = fs::read_to_string(&stage.file)?;
        for (name, value) in &stage.variables {
            text = text.replace(value.as_str(), &format!("${{{name}}}"));
        }
        fs::write(file, text).map_err(Error::at(file.display()))
    }
}

/// One run of one file: a fresh Fjord, and a copy of the file with its variables filled in.
struct Stage {
    fjord: FjordServer,
    file: PathBuf,
    variables: BTreeMap<&'static str, String>,
    _folder: TempFolder,
    _s3: Option<S3Server>,
}

impl Stage {
    fn prepare(servers: &Servers, file: &Path) -> Result<Stage> {
        let fjord = FjordServer::with(FjordOptions {
            // The key lets files use literal secrets.
            env: vec![("APP_PASSWORD".into(), APP_PASSWORD.into()), ("FJORD_SECRET_KEY".into(), "a key for tests only".into())],
            ..FjordOptions::default()
        })?;
        let folder = TempFolder::new("slt")?;
        let scratch = folder.path().join("tmp");
        fs::create_dir_all(&scratch)?;
        let text = fs::read_to_string(file)?;
        let s3 = if text.contains("${S3_ENDPOINT}") { Some(s3_with_files()?) } else { None };
        let mut variables = BTreeMap::from([
            ("PG_PORT", servers.postgres.port().to_string()),
            ("FJORD_PORT", fjord.port().to_string()),
            ("FILES", here().join("files").display().to_string()),
            ("TMP", scratch.display().to_string()),
        ]);
        for (variable, server) in &servers.others {
            variables.insert(variable, server.port().to_string());
        }
        if let Some(s3) = &s3 {
            variables.insert("S3_ENDPOINT", s3.endpoint());
        }
        let filled = |text: String| variables.iter().fold(text, |t, (name, value)| t.replace(&format!("${{{name}}}"), value));
        // `include` is relative to the file that says it.
        for shared in sorted(&here().join("slt/include"), "slt")? {
            folder.write(&format!("include/{}", file_name(&shared)), filled(fs::read_to_string(&shared)?))?;
        }
        let copy = folder.write(&format!("feature/{}", file_name(file)), filled(text))?;
        Ok(Stage { fjord, file: copy, variables, _folder: folder, _s3: s3 })
    }

    fn runner(&self, protocol: Protocol, twice: bool) -> Runner<Connection, impl sqllogictest::MakeConnection<Conn = Connection> + use<>> {
        let config = self.fjord.connection_string();
        let mut runner = Runner::new(move || {
            let config = config.clone();
            async move { Connection::open(&config, protocol, twice).await }
        });
        runner.add_label(protocol.name());
        runner.with_column_validator(same_types);
        runner
    }
}

/// An S3 server with the bucket `files`: the content of `files/`.
fn s3_with_files() -> Result<S3Server> {
    let s3 = S3Server::start()?;
    s3.create_bucket("files")?;
    let root = here().join("files");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let key = path.strip_prefix(&root).map_err(|e| Error::new(e.to_string()))?;
                s3.put("files", &key.display().to_string(), &fs::read(&path)?)?;
            }
        }
    }
    Ok(s3)
}

/// The simple protocol does not say types, and a `?` in a file stands for any.
// The crate's own signature asks for references to vectors.
#[allow(clippy::ptr_arg)]
fn same_types(actual: &Vec<DefaultColumnType>, expected: &Vec<DefaultColumnType>) -> bool {
    let any = |t: &DefaultColumnType| *t == DefaultColumnType::Any;
    actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, e)| a == e || any(a) || any(e))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN_MAX)..].join("\n")
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn slt_files(folder: &Path) -> Result<Vec<PathBuf>> {
    // One file of a feature, while working on it.
    let only = std::env::var("SLT").ok();
    Ok(sorted(folder, "slt")?.into_iter().filter(|p| only.as_ref().is_none_or(|o| file_name(p).contains(o.as_str()))).collect())
}

fn sorted(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::at(folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
