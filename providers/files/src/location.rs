//! Where files are: a local path or a URL, with or without a glob, and the store behind it.

use std::path::PathBuf;
use std::sync::Arc;

use fjord_engine::source::Secret;
use fjord_engine::{Result, SqlError, SqlState};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::error::store_error;
use crate::glob::Glob;
use crate::guarded::Guarded;
use crate::layout::{Layout, file_table, glob_table};
use crate::options::{Access, invalid};
use crate::rooted::{Rooted, outside};

/// Tries of one request to a remote store, after the first.
const RETRIES_MAX: usize = 3;

/// The option `location`, taken apart without looking at the disk or the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// As the user wrote it.
    pub(crate) text: String,
    place: Place,
    /// The fixed part of the path, without a slash at its ends (local: as it is).
    fixed: String,
    glob: Option<String>,
    /// Ends with a slash: a folder for certain.
    folder: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Local,
    S3(String),
    Gcs(String),
    Azure(String),
    /// Scheme, host and port.
    Http(String),
}

/// A location that was opened.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// All paths are below it.
    pub(crate) base: Path,
    pub(crate) layout: Layout,
}

impl Location {
    pub(crate) fn parse(text: &str) -> Result<Location> {
        let (place, path) = match text.split_once("://") {
            None => (Place::Local, text.to_string()),
            Some(("file", path)) if path.starts_with('/') => (Place::Local, path.to_string()),
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                if authority.contains('@') {
                    return Err(invalid("option \"location\" must not hold credentials")
                        .hint("Use the options access_key_id, secret_access_key, account_key, service_account_key."));
                }
                if authority.is_empty() {
                    return Err(invalid(format!("location \"{text}\" names no bucket or host")));
                }
                let place = match scheme.to_ascii_lowercase().as_str() {
                    "s3" | "s3a" => Place::S3(authority.to_string()),
                    "gs" | "gcs" => Place::Gcs(authority.to_string()),
                    "az" | "azure" => Place::Azure(authority.to_string()),
                    s @ ("http" | "https") => Place::Http(format!("{s}://{authority}")),
                    other => {
                        return Err(invalid(format!("location \"{text}\": the scheme \"{other}\" is not known"))
                            .hint("Known are local paths, s3://, gs://, az://, http:// and https://."));
                    }
                };
                (place, path.to_string())
            }
        };
        // A question mark belongs to the query of an HTTP URL.
        let is_http = matches!(place, Place::Http(_));
        if is_http && (path.contains('*') || path.ends_with('/') || path.is_empty()) {
            return Err(
                SqlError::unsupported(format!("location \"{text}\": HTTP has no way to list files")).hint("Name one file by its URL.")
            );
        }
        let first = if is_http { None } else { path.split('/').position(Glob::is_glob) };
        let parts: Vec<&str> = path.split('/').collect();
        let (fixed, glob) = match first {
            Some(i) => (parts[..i].join("/"), Some(parts[i..].join("/"))),
            None => (path.clone(), None),
        };
        if let Some(g) = &glob
            && Glob::new(g).is_none()
        {
            return Err(invalid(format!("location \"{text}\": the pattern \"{g}\" is not well formed")));
        }
        let absolute_root = place == Place::Local && glob.is_some() && fixed.is_empty() && path.starts_with('/');
        let folder = path.ends_with('/') && glob.is_none();
        let fixed = match &place {
            Place::Local if absolute_root => "/".to_string(),
            Place::Local => fixed,
            _ => fixed.trim_matches('/').to_string(),
        };
        Ok(Location { text: text.to_string(), place, fixed, glob, folder })
    }

    /// What does not go with the options, or must not be reached.
    pub(crate) fn check(&self, access: &Access) -> Result<()> {
        let url = match (&self.place, &access.endpoint) {
            (Place::Http(url), _) => Some(url),
            (_, endpoint) => endpoint.as_ref(),
        };
        let Some(text) = url else { return Ok(()) };
        let url = Url::parse(text).map_err(|e| invalid(format!("\"{text}\" is no URL: {e}")))?;
        if url.scheme() == "http" && !access.allow_http {
            return Err(invalid(format!("\"{text}\" is not encrypted")).hint("Use https, or set the option allow_http true."));
        }
        access.reach.check(&url)
    }

    /// Opens the store. For a local path this looks whether it is a file or a folder; a remote path without glob is asked about.
    /// A local path outside of `root` is refused, wherever its links lead.
    pub(crate) async fn open(&self, access: &Access, root: Option<&std::path::Path>) -> Result<Opened> {
        match &self.place {
            Place::Local => self.open_local(root),
            _ => self.open_remote(access).await,
        }
    }

    fn open_local(&self, root: Option<&std::path::Path>) -> Result<Opened> {
        let absolute = std::path::absolute(if self.fixed.is_empty() { "." } else { &self.fixed })
            .map_err(|e| SqlError::new(SqlState::UNDEFINED_FILE, format!("location \"{}\": {e}", self.text)))?;
        let root = root.map(real_root).transpose()?;
        if let Some(root) = &root {
            // What is not there tells nothing of what else is: the path as it is written decides.
            let inside = absolute.canonicalize().map_or_else(|_| plainly_below(&absolute, root), |real| real.starts_with(root));
            if !inside {
                return Err(outside(&self.text, root));
            }
        }
        let meta = std::fs::metadata(&absolute).map_err(|e| {
            let state = match e.kind() {
                std::io::ErrorKind::PermissionDenied => SqlState::INSUFFICIENT_PRIVILEGE,
                _ => SqlState::UNDEFINED_FILE,
            };
            SqlError::new(state, format!("could not read \"{}\": {e}", absolute.display()))
                .hint("The path is one of the server's machine; a relative one starts at the server's working directory.")
        })?;
        let folder_name = |p: &PathBuf| p.file_name().map_or_else(|| "files".to_string(), |n| n.to_string_lossy().into_owned());
        let (folder, layout) = match &self.glob {
            Some(glob) => (absolute.clone(), self.glob_layout(glob, &folder_name(&absolute))?),
            None if meta.is_dir() => (absolute.clone(), Layout::Folder { table: folder_name(&absolute) }),
            None => {
                let name = folder_name(&absolute);
                let parent = absolute.parent().map_or_else(|| PathBuf::from("/"), std::path::Path::to_path_buf);
                (parent, Layout::File { table: file_table(&name), name: Path::from(name).to_string() })
            }
        };
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(|e| store_error("open", &self.text, &e))?;
        let store: Arc<dyn ObjectStore> = match root {
            Some(root) => Arc::new(Rooted::new(store, root)),
            None => Arc::new(store),
        };
        Ok(Opened { store, base: Path::default(), layout })
    }

    async fn open_remote(&self, access: &Access) -> Result<Opened> {
        let (store, bucket) = self.remote_store(access).map_err(|e| store_error("open", &self.text, &e))?;
        let whole = if matches!(self.place, Place::Http(_)) { Path::from_url_path(&self.fixed) } else { Path::parse(&self.fixed) }
            .map_err(|e| invalid(format!("location \"{}\": {e}", self.text)))?;
        let last = whole.filename().unwrap_or(&bucket).to_string();
        if let Some(glob) = &self.glob {
            return Ok(Opened { layout: self.glob_layout(glob, &last)?, store, base: whole });
        }
        let is_http = matches!(self.place, Place::Http(_));
        let is_file = !self.folder
            && whole.filename().is_some()
            && (is_http
                || match object_store::ObjectStoreExt::head(&store, &whole).await {
                    Ok(_) => true,
                    Err(object_store::Error::NotFound { .. }) => false,
                    Err(e) => return Err(store_error("read", &self.text, &e)),
                });
        if !is_file {
            return Ok(Opened { store, base: whole, layout: Layout::Folder { table: last } });
        }
        let mut parts: Vec<_> = whole.parts().collect();
        parts.pop();
        Ok(Opened { store, base: Path::from_iter(parts), layout: Layout::File { table: file_table(&last), name: last } })
    }

    fn glob_layout(&self, pattern: &str, folder: &str) -> Result<Layout> {
        let glob = Glob::new(pattern).ok_or_else(|| invalid(format!("the pattern \"{pattern}\" is not well formed")))?;
        Ok(Layout::Glob { table: glob_table(pattern, folder), glob })
    }

    pub(crate) fn remote_store(&self, access: &Access) -> object_store::Result<(Arc<dyn ObjectStore>, String)> {
        let client = ClientOptions::new().with_allow_http(access.allow_http);
        let http = Guarded::new(access)?;
        let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: access.request_timeout, ..RetryConfig::default() };
        let secret = |s: &Option<Secret>| s.as_ref().map(|s| s.expose().to_string());
        match &self.place {
            Place::Local => Ok((Arc::new(LocalFileSystem::new()), String::new())),
            Place::S3(bucket) => {
                // Never from the environment, never from the machine's metadata: a connector has its own credentials or none.
                let mut b = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_region(access.region.as_deref().unwrap_or("us-east-1"))
                    .with_client_options(client)
                    .with_http_connector(http)
                    .with_retry(retry);
                if let Some(endpoint) = &access.endpoint {
                    b = b.with_endpoint(endpoint).with_allow_http(access.allow_http);
                }
                b = match (&access.access_key_id, secret(&access.secret_access_key)) {
                    (Some(id), Some(key)) => b.with_access_key_id(id).with_secret_access_key(key),
                    _ => b.with_skip_signature(true),
                };
                if let Some(token) = secret(&access.session_token) {
                    b = b.with_token(token);
                }
                Ok((Arc::new(b.build()?), bucket.clone()))
            }
            Place::Gcs(bucket) => {
                let mut b = GoogleCloudStorageBuilder::new()
                    .with_bucket_name(bucket)
                    .with_client_options(client)
                    .with_http_connector(http)
                    .with_retry(retry);
                if let Some(endpoint) = &access.endpoint {
                    b = b.with_base_url(endpoint);
                }
                b = match secret(&access.service_account_key) {
                    Some(key) => b.with_service_account_key(key),
                    None => b.with_skip_signature(true),
                };
                Ok((Arc::new(b.build()?), bucket.clone()))
            }
            Place::Azure(container) => {
                let mut b = MicrosoftAzureBuilder::new()
                    .with_container_name(container)
                    .with_client_options(client)
                    .with_http_connector(http)
                    .with_retry(retry)
                    .with_allow_http(access.allow_http);
                if let Some(account) = &access.account_name {
                    b = b.with_account(account);
                }
                if let Some(endpoint) = &access.endpoint {
                    b = b.with_endpoint(endpoint.clone());
                }
                b = match secret(&access.account_key) {
                    Some(key) => b.with_access_key(key),
                    None => b.with_skip_signature(true),
                };
                Ok((Arc::new(b.build()?), container.clone()))
            }
            Place::Http(url) => {
                let store =
                    HttpBuilder::new().with_url(url).with_client_options(client).with_http_connector(http).with_retry(retry).build()?;
                Ok((Arc::new(store), "files".to_string()))
            }
        }
    }
}

/// The root without links.
fn real_root(root: &std::path::Path) -> Result<PathBuf> {
    root.canonicalize().map_err(|e| {
        SqlError::new(SqlState::CONFIG_FILE_ERROR, format!("the root of local files {} cannot be used: {e}", root.display()))
            .hint("It is `root` under [files] in fjord.toml, or --file-root: an existing folder.")
    })
}

/// Below by its text alone, without a step upwards.
fn plainly_below(path: &std::path::Path, root: &std::path::Path) -> bool {
    path.starts_with(root) && !path.components().any(|c| c == std::path::Component::ParentDir)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn taken_apart() {
        let l = Location::parse("data/events/*.parquet").unwrap();
        assert_eq!((l.fixed.as_str(), l.glob.as_deref()), ("data/events", Some("*.parquet")));
        let l = Location::parse("s3://lake/a/b/").unwrap();
        assert_eq!((l.place, l.fixed.as_str(), l.folder), (Place::S3("lake".into()), "a/b", true));
        let l = Location::parse("/*.csv").unwrap();
        assert_eq!(l.fixed, "/");
        assert_eq!(Location::parse("ftp://x/y").unwrap_err().state, SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(Location::parse("https://h/a/*.csv").unwrap_err().state, SqlState::FEATURE_NOT_SUPPORTED);
        assert!(Location::parse("s3://key:secret@bucket/x").is_err());
    }
}
