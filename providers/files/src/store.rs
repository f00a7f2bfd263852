//! The files of one table as a read-only object store.
//!
//! DataFusion's readers see this store and nothing else, for three reasons. Its paths begin with a root that is unique to the table, because
//! DataFusion's caches of file metadata know a file by its path alone: two buckets with equal paths must not meet there. It lists exactly the files
//! that belong to the table, which a `ListingTable` could not be told. And folders that are no partitions are folded into the file's name, because a
//! `ListingTable` reads sub-folders or not by a setting of the session, silently.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use crate::layout::{Layout, Place, partition_keys};
use crate::location::Opened;
use crate::options::Reading;

/// Files that one table may have: a listing is held in memory.
pub(crate) const FILES_MAX: usize = 1_000_000;

/// One table's files.
#[derive(Debug, Clone)]
pub(crate) struct TableStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    opened: Opened,
    reading: Reading,
    place: Place,
    /// Below the store's own root: the location's base and the table's folder.
    base: Path,
    /// The first part of every path that this store shows.
    root: String,
    /// Partition keys, outermost first.
    partitions: Vec<String>,
}

impl TableStore {
    pub(crate) fn new(opened: &Opened, reading: &Reading, place: &Place, id: u64, partitions: Vec<String>) -> TableStore {
        let mut base: Vec<_> = opened.base.parts().collect();
        let folder = Path::parse(&place.folder).unwrap_or_default();
        base.extend(folder.parts());
        let base = Path::from_iter(base);
        TableStore(Arc::new(Inner {
            opened: opened.clone(),
            reading: reading.clone(),
            place: place.clone(),
            base,
            root: format!("t{id}"),
            partitions,
        }))
    }

    /// The path under which all files are shown.
    pub(crate) fn root(&self) -> &str {
        &self.0.root
    }

    /// The files now, in the order of their paths.
    pub(crate) async fn files(&self) -> Result<Vec<ObjectMeta>> {
        let mut files: Vec<ObjectMeta> = self.list(None).take(FILES_MAX + 1).try_collect().await?;
        if files.len() > FILES_MAX {
            return Err(generic(format!("table \"{}\" has more than {FILES_MAX} files", self.0.place.table)));
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(files)
    }

    /// The path of a shown file below the connector's location, for people.
    pub(crate) fn name(&self, shown: &Path) -> String {
        self.0.real(shown).map_or_else(|_| shown.to_string(), |p| below(&self.0.opened.base, &p).unwrap_or(p.as_ref()).to_string())
    }
}

impl Inner {
    /// A real path as it is shown; `None` where the file is not this table's.
    fn shown(&self, real: &Path) -> Option<Result<Path>> {
        let path = below(&self.opened.base, real)?;
        let place = self.opened.layout.place(path, &self.reading)?;
        if place != self.place {
            return None;
        }
        let inner = below(&self.base, real)?;
        let keys = partition_keys(inner);
        if !self.partitions.is_empty() && (keys.len() < self.partitions.len() || keys.iter().zip(&self.partitions).any(|(a, b)| a != b)) {
            let wanted = self.partitions.iter().map(|p| format!("{p}=...")).collect::<Vec<_>>().join("/");
            return Some(Err(generic(format!("file \"{path}\" does not lie in partition folders {wanted}"))));
        }
        let mut shown = self.root.clone();
        let mut rest = inner;
        for _ in &self.partitions {
            let (folder, more) = rest.split_once('/')?;
            shown = format!("{shown}/{folder}");
            rest = more;
        }
        Some(Path::parse(format!("{shown}/{}", fold(rest))).map_err(Error::from))
    }

    /// The real path of a shown one.
    fn real(&self, shown: &Path) -> Result<Path> {
        let not_ours = || generic(format!("\"{shown}\" is no file of table \"{}\"", self.place.table));
        let path = below_text(&self.root, shown.as_ref()).ok_or_else(not_ours)?;
        let (folders, name) = path.rsplit_once('/').map_or(("", path), |(f, n)| (f, n));
        let parts = [self.base.as_ref(), folders].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/");
        let name = unfold(name);
        Path::parse(if parts.is_empty() { name } else { format!("{parts}/{name}") }).map_err(Error::from)
    }
}

impl fmt::Display for TableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "files of {}", self.0.place.table)
    }
}

#[async_trait]
impl ObjectStore for TableStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }
    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let real = self.0.real(location)?;
        let mut result = self.0.opened.store.get_opts(&real, options).await?;
        result.meta.location = location.clone();
        Ok(result)
    }
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.0.opened.store.get_ranges(&self.0.real(location)?, ranges).await
    }
    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(read_only()) }).boxed()
    }
    /// `prefix`: the root, or some partition folders below it.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = self.0.clone();
        // One file is asked for by its name: that needs no right to list, and HTTP has no listing.
        if let Layout::File { name, .. } = &inner.opened.layout {
            let real = Path::from_iter(inner.base.parts().chain(Path::parse(name).unwrap_or_default().parts()));
            return stream::once(async move {
                let mut meta = inner.opened.store.head(&real).await?;
                let shown = inner.shown(&real).unwrap_or_else(|| Err(generic(format!("\"{real}\" is no file of the table"))))?;
                meta.location = shown;
                Ok(meta)
            })
            .boxed();
        }
        let folders = prefix.and_then(|p| below_text(&self.0.root, p.as_ref())).unwrap_or("");
        let from = Path::from_iter(inner.base.parts().chain(Path::parse(folders).unwrap_or_default().parts()));
        let from = Some(from).filter(|p| p.as_ref() != "");
        inner
            .opened
            .store
            .list(from.as_ref())
            .filter_map(move |found| {
                let inner = inner.clone();
                async move {
                    match found {
                        Err(e) => Some(Err(e)),
                        Ok(mut meta) => match inner.shown(&meta.location)? {
                            Err(e) => Some(Err(e)),
                            Ok(shown) => {
                                meta.location = shown;
                                Some(Ok(meta))
                            }
                        },
                    }
                }
            })
            .boxed()
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Ok(ListResult { common_prefixes: vec![], objects: self.list(prefix).try_collect().await? })
    }
    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}

/// A path below a folder.
fn below<'a>(folder: &Path, path: &'a Path) -> Option<&'a str> {
    below_text(folder.as_ref(), path.as_ref())
}

fn below_text<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    if folder.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

/// A relative path as one name, and back: `!` stands for itself as `!e`, a slash as `!s`.
fn fold(path: &str) -> String {
    path.replace('!', "!e").replace('/', "!s")
}

fn unfold(name: &str) -> String {
    name.replace("!s", "/").replace("!e", "!")
}

fn generic(message: String) -> Error {
    Error::Generic { store: "files", source: message.into() }
}

fn read_only() -> Error {
    Error::NotSupported { source: "files connectors only read".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_names() {
        for path in ["a", "a/b/c.csv", "a!s/b!", "!e!s", "!/!"] {
            assert_eq!(unfold(&fold(path)), path);
            assert!(!fold(path).contains('/'));
        }
    }
}
