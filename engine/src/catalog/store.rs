//! Where commits live: one object per commit, `catalog/{seq:020}.json`, created only if it is not there.
//!
//! Put-if-absent works the same on a local disk and on S3 and is all that keeps two servers on one store apart. On a local disk it is done here
//! and not by object_store 0.13, whose local file system does not fsync: temporary file, `sync_all`, `hard_link`, fsync of the folder.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::{Result, SqlError, SqlState};

/// Longest wait for one operation of the store.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// A temporary file older than this belongs to a server that died.
const TEMPORARY_AGE: Duration = Duration::from_secs(3600);

/// What became of a put-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Created,
    Exists,
}

/// The commits of one catalog.
#[derive(Debug, Clone)]
pub(super) enum Commits {
    /// A folder of the local disk.
    Local(PathBuf),
    /// Any other store.
    Object(Arc<dyn ObjectStore>),
}

impl Commits {
    /// `data_dir`: the folder behind `store`, where it is a local one.
    pub async fn open(store: Arc<dyn ObjectStore>, data_dir: Option<&Path>) -> Result<Commits> {
        let commits = match data_dir {
            Some(root) => {
                let dir = root.join("catalog");
                let made = dir.clone();
                blocking(move || prepare_folder(&made)).await.map_err(|e| failed("prepare", &dir.display().to_string(), &e))?;
                Commits::Local(dir)
            }
            None => Commits::Object(store),
        };
        commits.probe().await?;
        Ok(commits)
    }

    /// A store in which a second Create of one name succeeds would lose commits: refused.
    async fn probe(&self) -> Result<()> {
        let name = format!("probe-{}", uuid::Uuid::new_v4());
        let first = self.put(&name, Bytes::from_static(b"first")).await?;
        let second = self.put(&name, Bytes::from_static(b"second")).await;
        self.remove(&name).await;
        match (first, second?) {
            (Put::Created, Put::Exists) => Ok(()),
            _ => Err(SqlError::new(SqlState::IO_ERROR, "the store cannot be used: it does not support put-if-absent")
                .detail("A second conditional create of one name did not fail.")
                .hint("Use a local folder, or an S3-compatible store with conditional writes (If-None-Match).")),
        }
    }

    /// The commits, ascending, with their age by the store's clock.
    pub async fn list(&self) -> Result<Vec<(u64, Duration)>> {
        let mut all = match self {
            Commits::Local(dir) => {
                let d = dir.clone();
                blocking(move || list_folder(&d)).await.map_err(|e| failed("list", &dir.display().to_string(), &e))?
            }
            Commits::Object(store) => {
                let prefix = object_store::path::Path::from("catalog");
                let metas: Vec<_> = limited(store.list(Some(&prefix)).try_collect()).await.map_err(|e| failed("list", "catalog", &e))?;
                let now = chrono::Utc::now();
                let age = |m: &object_store::ObjectMeta| (now - m.last_modified).to_std().unwrap_or_default();
                metas.iter().filter_map(|m| Some((seq_of(m.location.filename()?)?, age(m)))).collect()
            }
        };
        all.sort_unstable_by_key(|(seq, _)| *seq);
        Ok(all)
    }

    /// One commit; `None` if there is none.
    pub async fn read(&self, seq: u64) -> Result<Option<Bytes>> {
        let name = name_of(seq);
        match self {
            Commits::Local(dir) => {
                let path = dir.join(&name);
                match blocking(move || std::fs::read(path)).await {
                    Ok(b) => Ok(Some(b.into())),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(failed("read", &name, &e)),
                }
            }
            Commits::Object(store) => {
                let path = object_path(&name);
                let get = async { store.get(&path).await?.bytes().await };
                match limited(get).await {
                    Ok(b) => Ok(Some(b)),
                    Err(Failed::Store(object_store::Error::NotFound { .. })) => Ok(None),
                    Err(e) => Err(failed("read", &name, &e)),
                }
            }
        }
    }

    /// Put-if-absent. After an error nobody knows whether it is there: read it back.
    pub async fn create(&self, seq: u64, bytes: Bytes) -> Result<Put> {
        self.put(&name_of(seq), bytes).await
    }

    /// Deletes an old commit; that it is gone already is no error.
    pub async fn delete(&self, seq: u64) {
        self.remove(&name_of(seq)).await;
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<Put> {
        match self {
            Commits::Local(dir) => {
                let (d, n) = (dir.clone(), name.to_string());
                blocking(move || put_file(&d, &n, &bytes)).await.map_err(|e| failed("write", name, &e))
            }
            Commits::Object(store) => {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                match limited(store.put_opts(&object_path(name), PutPayload::from(bytes), options)).await {
                    Ok(_) => Ok(Put::Created),
                    // Some stores answer a failed If-None-Match with 412.
                    Err(Failed::Store(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })) => {
                        Ok(Put::Exists)
                    }
                    Err(e) => Err(failed("write", name, &e)),
                }
            }
        }
    }

    async fn remove(&self, name: &str) {
        match self {
            Commits::Local(dir) => {
                let path = dir.join(name);
                let _ = blocking(move || std::fs::remove_file(path)).await;
            }
            Commits::Object(store) => {
                let _ = limited(store.delete(&object_path(name))).await;
            }
        }
    }
}

fn name_of(seq: u64) -> String {
    format!("{seq:020}.json")
}

fn seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

fn object_path(name: &str) -> object_store::path::Path {
    object_store::path::Path::from(format!("catalog/{name}"))
}

fn failed(verb: &str, what: &str, e: &dyn std::fmt::Display) -> SqlError {
    SqlError::new(SqlState::IO_ERROR, format!("could not {verb} the catalog in the store: {what}")).detail(e.to_string())
}

/// Why an operation of an object store gave nothing.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Store(object_store::Error),
    #[error("no answer within {} s", OPERATION_TIMEOUT.as_secs())]
    Timeout,
}

async fn limited<T>(f: impl Future<Output = object_store::Result<T>>) -> std::result::Result<T, Failed> {
    match tokio::time::timeout(OPERATION_TIMEOUT, f).await {
        Ok(r) => r.map_err(Failed::Store),
        Err(_) => Err(Failed::Timeout),
    }
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(f).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

fn prepare_folder(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    if let Some(parent) = dir.parent() {
        sync_folder(parent)?;
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|n| n.starts_with(".tmp-") || n.starts_with("probe-"));
        let old = entry.metadata()?.modified()?.elapsed().is_ok_and(|a| a > TEMPORARY_AGE);
        if ours && old {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn list_folder(dir: &Path) -> io::Result<Vec<(u64, Duration)>> {
    let mut all = vec![];
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Some(seq) = entry.file_name().to_str().and_then(seq_of) else { continue };
        let age = match entry.metadata().and_then(|m| m.modified()) {
            Ok(at) => SystemTime::now().duration_since(at).unwrap_or_default(),
            // Pruned by another server in between.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        all.push((seq, age));
    }
    Ok(all)
}

fn put_file(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<Put> {
    let temporary = dir.join(format!(".tmp-{}", uuid::Uuid::new_v4()));
    let result = write_and_link(dir, &temporary, &dir.join(name), bytes);
    let _ = std::fs::remove_file(&temporary);
    result
}

fn write_and_link(dir: &Path, temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<Put> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match std::fs::hard_link(temporary, path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(Put::Exists),
        Err(e) => return Err(e),
    }
    // Without this a power cut could take the name away again, after the commit has been answered.
    sync_folder(dir)?;
    Ok(Put::Created)
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}
