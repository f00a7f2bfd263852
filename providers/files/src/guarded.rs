//! HTTP that reaches no address that hands out a machine's own credentials.
//!
//! What a name resolves to is looked at when a connection is made, and that address is connected to: looked at before, a name could lead elsewhere by
//! then (DNS rebinding). The same holds for where a server redirects to. Through a proxy of the environment (`HTTPS_PROXY`) it is the proxy that
//! resolves names; the operator who set it decides there.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fjord_engine::source::AddressGuard;
use fjord_engine::{Result, SqlError, SqlState};
use futures::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use url::{Host, Url};

use crate::options::Access;

/// Redirects that one request follows.
const REDIRECTS_MAX: usize = 10;
/// Names of metadata services: those are denied even where a proxy would resolve them.
const METADATA: [&str; 3] = ["metadata", "metadata.google.internal", "instance-data"];

/// How names become addresses.
pub(crate) trait Names: Debug + Send + Sync {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The operating system's.
#[derive(Debug)]
struct System;

impl Names for System {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.collect()) })
    }
}

/// Which hosts may be reached.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    guard: AddressGuard,
    names: Arc<dyn Names>,
}

impl Reach {
    pub(crate) fn new(guard: AddressGuard) -> Reach {
        Reach { guard, names: Arc::new(System) }
    }

    /// 42501 for a URL that says a denied address or the name of a metadata service. Other names are looked at when they are resolved.
    pub(crate) fn check(&self, url: &Url) -> Result<()> {
        match url.host() {
            Some(Host::Ipv4(a)) => self.guard.check(&a.to_string(), a.into()),
            Some(Host::Ipv6(a)) => self.guard.check(&a.to_string(), a.into()),
            // As the address that these names have.
            Some(Host::Domain(d)) if METADATA.contains(&d.trim_end_matches('.')) => self.guard.check(d, IpAddr::from([169, 254, 169, 254])),
            _ => Ok(()),
        }
    }

    async fn addresses(self, host: String) -> Result<Vec<SocketAddr>> {
        let found = self.names.lookup(host.clone()).await;
        let found = found.map_err(|e| SqlError::new(SqlState::CONNECTION_UNABLE, format!("host \"{host}\" was not found: {e}")))?;
        found.iter().try_for_each(|a| self.guard.check(&host, a.ip()))?;
        Ok(found)
    }

    fn redirect(&self, attempt: Attempt<'_>) -> reqwest::redirect::Action {
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error(SqlError::new(SqlState::CONNECTION_UNABLE, format!("more than {REDIRECTS_MAX} redirects")));
        }
        // An address in the URL is not resolved by anybody.
        match self.check(attempt.url()) {
            Ok(()) => attempt.follow(),
            Err(e) => attempt.error(e),
        }
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.clone().addresses(name.as_str().to_string());
        Box::pin(async move { Ok(Box::new(addresses.await?.into_iter()) as Addrs) })
    }
}

/// The HTTP client of a connector, for object_store. Timeouts and the rest are those of `Access`, whatever object_store's own options say.
#[derive(Debug)]
pub(crate) struct Guarded(reqwest::Client);

impl Guarded {
    pub(crate) fn new(access: &Access) -> object_store::Result<Guarded> {
        let redirects = access.reach.clone();
        let client = reqwest::Client::builder()
            .user_agent(concat!("fjord/", env!("CARGO_PKG_VERSION")))
            .https_only(!access.allow_http)
            .connect_timeout(access.connect_timeout)
            .timeout(access.request_timeout)
            .dns_resolver(Arc::new(access.reach.clone()))
            .redirect(Policy::custom(move |attempt| redirects.redirect(attempt)))
            .build();
        client.map(Guarded).map_err(|e| object_store::Error::Generic { store: "HTTP", source: Box::new(e) })
    }
}

impl HttpConnector for Guarded {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use fjord_engine::source::OptionValues;
    use object_store::ObjectStoreExt;
    use object_store::path::Path;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::error::store_error;
    use crate::options::{FilesOptions, OPTIONS};

    const METADATA_SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)), 0);

    /// One answer after the other; the last one again and again.
    #[derive(Debug)]
    struct Rebinding {
        answers: Vec<Vec<SocketAddr>>,
        asked: AtomicUsize,
    }

    impl Names for Rebinding {
        fn lookup(&self, _: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let n = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
            let answer = self.answers[n].clone();
            Box::pin(async move { Ok(answer) })
        }
    }

    /// Where `/away/N` redirects to; `{port}` is the server's.
    const AWAY: [&str; 6] = [
        "http://other.test:{port}/b",
        "http://169.254.169.254/latest",
        "http://2852039166/latest",
        "http://[fe80::1]/",
        "http://metadata.google.internal/",
        "http://other.test/b",
    ];

    /// A server that answers `hello` to each request, on a connection of its own.
    async fn server() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (mut request, mut piece) = (vec![], [0; 1024]);
                while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                    let n = socket.read(&mut piece).await.unwrap_or(0);
                    if n == 0 {
                        break;
                    }
                    request.extend_from_slice(&piece[..n]);
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default();
                let answer = match path.split_once("/away/") {
                    Some((_, n)) => {
                        let url = AWAY[n.parse::<usize>().unwrap()].replace("{port}", &port.to_string());
                        format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    }
                    None => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nETag: \"1\"\r\n\
                             Connection: close\r\n\r\nhello"
                        .to_string(),
                };
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    fn options(given: &[(&str, &str)], guard: Option<bool>) -> Result<FilesOptions> {
        let given: BTreeMap<String, String> = given.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let values = OptionValues::validate("files", OPTIONS, &given, BTreeMap::new())?;
        FilesOptions::parse(&values.with_link_local(guard == Some(true)))
    }

    /// Reads a file; names are what `answers` says, one after the other.
    fn reading(given: &[(&str, &str)], answers: Vec<Vec<SocketAddr>>) -> impl AsyncFn(&str) -> Result<String> {
        let mut options = options(given, None).unwrap();
        options.access.reach.names = Arc::new(Rebinding { answers, asked: AtomicUsize::new(0) });
        let (store, _) = options.location.remote_store(&options.access).unwrap();
        async move |path: &str| {
            let read = async { store.get(&Path::from(path)).await?.bytes().await };
            let bytes = read.await.map_err(|e| store_error("read", path, &e))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_by_the_time_of_the_connection_is_refused() {
        let port = server().await;
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let (url, endpoint) = (format!("http://files.test:{port}/a.csv"), format!("http://s3.test:{port}"));
        for given in [
            vec![("location", url.as_str()), ("allow_http", "true")],
            vec![("location", "s3://lake/a/"), ("endpoint", endpoint.as_str()), ("allow_http", "true")],
            vec![("location", "gs://lake/a/"), ("endpoint", endpoint.as_str()), ("allow_http", "true")],
            vec![("location", "az://lake/a/"), ("endpoint", endpoint.as_str()), ("account_name", "x"), ("allow_http", "true")],
        ] {
            let read = reading(&given, vec![vec![here], vec![here], vec![METADATA_SERVICE]]);
            assert_eq!(read("a.csv").await.unwrap(), "hello", "{given:?}");
            assert_eq!(read("a.csv").await.unwrap(), "hello", "{given:?}");
            let e = read("a.csv").await.unwrap_err();
            assert_eq!(e.state, SqlState::INSUFFICIENT_PRIVILEGE, "{given:?}: {e}");
            assert!(e.message.contains(".test\" is a link-local or cloud metadata address"), "{e}");
            // One address of several is enough.
            let read = reading(&given, vec![vec![here, METADATA_SERVICE]]);
            assert_eq!(read("a.csv").await.unwrap_err().state, SqlState::INSUFFICIENT_PRIVILEGE, "{given:?}");
        }
    }

    #[tokio::test]
    async fn a_redirect_leads_to_no_such_address_either() {
        let port = server().await;
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let url = format!("http://127.0.0.1:{port}/a.csv");
        let given = [("location", url.as_str()), ("allow_http", "true")];
        let read = reading(&given, vec![vec![here]]);
        assert_eq!(read("away/0").await.unwrap(), "hello");
        for (n, away) in AWAY.iter().enumerate().take(5).skip(1) {
            let e = read(&format!("away/{n}")).await.unwrap_err();
            assert_eq!(e.state, SqlState::INSUFFICIENT_PRIVILEGE, "{away}: {e}");
        }
        let read = reading(&given, vec![vec![METADATA_SERVICE]]);
        assert_eq!(read("away/5").await.unwrap_err().state, SqlState::INSUFFICIENT_PRIVILEGE);
    }

    #[test]
    fn addresses_in_urls() {
        let with = |url: &str, guard| options(&[("location", url), ("allow_http", "true")], guard).map(|_| ()).map_err(|e| e.state);
        for host in
            ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "metadata.google.internal.", "[::ffff:169.254.169.254]", "0xa9fea9fe"]
        {
            let url = format!("http://{host}/x.csv");
            assert_eq!(with(&url, None), Err(SqlState::INSUFFICIENT_PRIVILEGE), "{host}");
            assert_eq!(with(&url, Some(true)), Ok(()), "{host}");
        }
        assert_eq!(with("http://127.0.0.1/x.csv", None), Ok(()));
        assert_eq!(with("http://example.com/x.csv", None), Ok(()));
    }
}
