//! Local files below one folder, and nowhere else: what a path or a link leads to is looked at before anything is read.
//!
//! `..` and symbolic links are followed first, and the place that they lead to is what must lie below the root. The look and the reading are two steps:
//! who may change links below the root while Fjord reads must be trusted as the root's owner is.

use std::fmt;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use fjord_engine::{SqlError, SqlState};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};

/// The error for a place outside of the root.
pub(crate) fn outside(place: &str, root: &FilePath) -> SqlError {
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("\"{place}\" is not below {}", root.display()))
        .hint("Local files are read below one folder only: `root` under [files] in fjord.toml, or --file-root.")
}

/// A folder of files that all lie below the root.
#[derive(Debug)]
pub(crate) struct Rooted {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: LocalFileSystem,
    /// Without links.
    root: PathBuf,
}

impl Rooted {
    pub(crate) fn new(files: LocalFileSystem, root: PathBuf) -> Rooted {
        Rooted { inner: Arc::new(Inner { files, root }) }
    }
}

impl Inner {
    fn check(&self, location: &Path) -> Result<()> {
        let path = self.files.path_to_filesystem(location)?;
        match path.canonicalize() {
            Ok(real) if real.starts_with(&self.root) => Ok(()),
            Ok(_) => {
                let e = outside(location.as_ref(), &self.root);
                Err(Error::PermissionDenied { path: location.to_string(), source: Box::new(e) })
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::NotFound { path: location.to_string(), source: Box::new(e) }),
            Err(e) => Err(Error::Generic { store: "files", source: Box::new(e) }),
        }
    }
}

impl fmt::Display for Rooted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "files below {}", self.inner.root.display())
    }
}

fn read_only() -> Error {
    Error::NotSupported { source: "files are only read".into() }
}

#[async_trait]
impl ObjectStore for Rooted {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }
    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.check(location)?;
        self.inner.files.get_opts(location, options).await
    }
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.inner.check(location)?;
        self.inner.files.get_ranges(location, ranges).await
    }
    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(read_only()) }).boxed()
    }
    /// A file that leads out is an error, not a gap: fewer rows than there are would be a wrong answer.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = self.inner.clone();
        self.inner.files.list(prefix).and_then(move |meta| std::future::ready(inner.check(&meta.location).map(|()| meta))).boxed()
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let found = self.inner.files.list_with_delimiter(prefix).await?;
        for meta in &found.objects {
            self.inner.check(&meta.location)?;
        }
        Ok(found)
    }
    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}
