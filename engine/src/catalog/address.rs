//! Addresses that no connector may reach: link-local ones, among them the metadata services of clouds, which hand out credentials to whoever asks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::error::{Result, SqlError, SqlState};

/// Longest wait for a name to be resolved; one that does not resolve in time is left to the connection, which fails better.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether an address is denied.
pub fn denied(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => match a.to_ipv4_mapped() {
            Some(v4) => v4.is_link_local(),
            // fe80::/10, and the IPv6 metadata address of AWS.
            None => (a.segments()[0] & 0xffc0) == 0xfe80 || a == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        },
    }
}

/// The error for a host that has a denied address.
pub fn refused(host: &str) -> SqlError {
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("host \"{host}\" is a link-local or cloud metadata address"))
        .hint("Such addresses are denied to connectors; allow_link_local = true under [secrets] in fjord.toml permits them.")
}

/// Refuses options that point to a denied address, by number or by a name that resolves to one. A name can resolve to another address later:
/// connectors check each address that they connect to ([`crate::source::AddressGuard`]); this only tells the user sooner.
pub(super) async fn check(options: &BTreeMap<String, String>) -> Result<()> {
    for host in hosts(options) {
        let found = match host.parse::<IpAddr>() {
            Ok(a) => vec![a],
            Err(_) => match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host.as_str(), 0))).await {
                Ok(Ok(all)) => all.map(|a| a.ip()).collect(),
                _ => vec![],
            },
        };
        if found.into_iter().any(denied) {
            return Err(refused(&host));
        }
    }
    Ok(())
}

/// The hosts that options name.
fn hosts(options: &BTreeMap<String, String>) -> Vec<String> {
    let mut all = vec![];
    for (key, value) in options {
        match key.as_str() {
            // libpq's lists of hosts; a path is a Unix socket.
            "host" | "hostaddr" => {
                all.extend(value.split(',').map(str::trim).filter(|h| !h.is_empty() && !h.starts_with('/')).map(unbracket))
            }
            "url" | "endpoint" | "location" => {
                if let Ok(u) = url::Url::parse(value) {
                    let bucket = matches!(u.scheme(), "s3" | "gs" | "az" | "abfs" | "abfss" | "file");
                    all.extend(u.host_str().filter(|_| !bucket).map(unbracket));
                }
            }
            _ => {}
        }
    }
    all
}

fn unbracket(h: &str) -> String {
    h.trim_start_matches('[').trim_end_matches(']').to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn metadata_addresses_are_denied() {
        for (key, value, bad) in [
            ("host", "169.254.169.254", true),
            ("host", "10.0.0.1,169.254.1.1", true),
            ("host", "[fe80::1]", true),
            ("host", "::ffff:169.254.169.254", true),
            ("host", "fd00:ec2::254", true),
            // inet_aton's spelling of 169.254.169.254, which getaddrinfo takes.
            ("host", "2852039166", true),
            ("url", "http://169.254.169.254/latest", true),
            ("endpoint", "http://[::ffff:a9fe:a9fe]:80", true),
            ("host", "127.0.0.1", false),
            ("host", "/var/run/postgresql", false),
            ("location", "s3://bucket/169.254.169.254", false),
            ("user", "169.254.169.254", false),
        ] {
            let options = BTreeMap::from([(key.to_string(), value.to_string())]);
            assert_eq!(check(&options).await.is_err(), bad, "{key} {value}");
        }
    }
}
