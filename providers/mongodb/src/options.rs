//! The options of a `mongodb` connector: one table for validation and docs, and their parsed form.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fjord_engine::source::{AddressGuard, OptionKind, OptionSpec, OptionValues, Secret};
use fjord_engine::{Result, SqlError, SqlState};
use mongodb::options::{ConnectionString, HostInfo, ServerAddress};

use crate::schema::Declared;

/// Every option of `TYPE mongodb`.
pub const OPTIONS: &[OptionSpec] = &[
    spec(
        "url",
        OptionKind::Secret,
        None,
        "mongodb://user:password@host:port,.../database?... or mongodb+srv://...; other options override its parts",
    ),
    spec("host", OptionKind::List, None, "host names or IP addresses, each with :port where it is not that of \"port\"; default localhost"),
    spec("port", OptionKind::Integer(1, 65535), None, "TCP port; default 27017"),
    spec("user", OptionKind::Text, None, "user to log in as. It needs only the role read, and listDatabases without \"include_databases\""),
    spec("password", OptionKind::Secret, None, "password of the user"),
    spec("auth_source", OptionKind::Text, None, "the database that knows the user; default admin, $external for MONGODB-X509 and PLAIN"),
    spec(
        "auth_mechanism",
        OptionKind::OneOf(&["SCRAM-SHA-256", "SCRAM-SHA-1", "MONGODB-X509", "PLAIN"]),
        None,
        "how to log in; default: the strongest SCRAM that the source offers, MONGODB-X509 where there is \"sslcert\" but no password",
    ),
    spec(
        "replica_set",
        OptionKind::Text,
        None,
        "name of the replica set: its members are found and a new primary is followed. Without it one host is talked to directly",
    ),
    spec("database", OptionKind::Text, None, "the schema that a bare table name stands for; default test"),
    spec("include_databases", OptionKind::List, None, "only these databases; default: all but admin, config and local"),
    spec(
        "exclude_tables",
        OptionKind::List,
        None,
        "collections to leave out, as collection or database.collection; * stands for any characters",
    ),
    spec(
        "system_schemas",
        OptionKind::Boolean,
        Some("false"),
        "show the databases admin, config and local, and collections named system.*, too",
    ),
    spec(
        "columns",
        OptionKind::Text,
        None,
        "JSON: {\"database.collection\": {\"path.of.field\": \"type\"}}: exactly these columns, instead of a sample. Types: int, long, double, decimal, bool, string, objectId, uuid, binData, date, json, array<type>",
    ),
    spec(
        "sample_size",
        OptionKind::Integer(1, 100_000),
        Some("1000"),
        "documents of each collection, chosen at random, that its columns are made from",
    ),
    spec(
        "flatten_depth",
        OptionKind::Integer(1, 8),
        Some("2"),
        "names in the longest column name: 2 makes columns address.city of fields of objects; deeper objects are json. 1: none",
    ),
    spec(
        "decimal128_mode",
        OptionKind::OneOf(&["decimal", "text"]),
        Some("decimal"),
        "decimal = numeric with 38 digits before and after the point, a value that does not fit (or NaN) is error 22003; text = read as text",
    ),
    spec("raw_column", OptionKind::Boolean, Some("false"), "add a column _raw with the whole document as extended JSON"),
    spec(
        "read_preference",
        OptionKind::OneOf(&["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"]),
        None,
        "which members of a replica set are read; default primary, or what the url says",
    ),
    spec(
        "read_concern",
        OptionKind::OneOf(&["local", "available", "majority", "linearizable", "snapshot"]),
        None,
        "what a read may see; default: what the source has, and snapshot where several readers share a query",
    ),
    spec(
        "sslmode",
        OptionKind::OneOf(&["disable", "require", "verify-full"]),
        None,
        "default require: encrypted, certificate not checked unless sslrootcert is given; verify-full: chain and host name checked; disable: not encrypted. A url with tls=... says it too",
    ),
    spec("sslrootcert", OptionKind::Text, None, "PEM file with the certificate authorities to trust; default: Mozilla's list"),
    spec("sslcert", OptionKind::Text, None, "PEM file with the client certificate and its key, one after the other"),
    spec("application_name", OptionKind::Text, Some("fjord"), "name shown in currentOp and in the source's log as appName"),
    spec("connect_timeout", OptionKind::Duration, Some("10s"), "longest wait for a server that can be read, TLS and login included"),
    spec(
        "statement_timeout",
        OptionKind::Duration,
        None,
        "longest run of one remote query (maxTimeMS), enforced by the source; default: none",
    ),
    spec("pool_size", OptionKind::Integer(1, 1000), Some("8"), "most remote queries at one time, and most connections to each server"),
    spec("pool_timeout", OptionKind::Duration, Some("30s"), "longest wait until one more query may run, then error 53300"),
    spec(
        "max_parallel_reads",
        OptionKind::Integer(1, 64),
        Some("4"),
        "most readers that share a big collection by ranges of _id, in one snapshot; 1: never",
    ),
    spec(
        "scan_max_rows",
        OptionKind::Integer(1, i64::MAX),
        None,
        "most rows that one remote query may return, then error 54000; default: any",
    ),
    spec("scan_max_bytes", OptionKind::Size, None, "most bytes that one remote query may return, then error 54000; default: any"),
    spec("scan_max_time", OptionKind::Duration, None, "longest time that one remote query may be read, then error 54000; default: any"),
    spec("batch_rows", OptionKind::Integer(1, 1_000_000), Some("8192"), "most rows per Arrow batch; a batch also ends at 1 MiB"),
    spec("schema_ttl", OptionKind::Duration, Some("5min"), "age after which the collections are sampled again, in the background"),
];

const fn spec(name: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { name, kind, default, required: false, doc }
}

/// How far the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// Plain text.
    Disable,
    /// Encrypted. The certificate is checked only where `sslrootcert` is given.
    Require,
    /// The chain and the host name are checked.
    VerifyFull,
    /// What the URL says in detail.
    OfUrl,
}

/// What one remote query may bring at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScanLimits {
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    pub time: Option<Duration>,
}

/// How documents become columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    pub sample_size: u32,
    pub flatten_depth: usize,
    pub decimal_as_text: bool,
    pub raw_column: bool,
    /// By database and collection.
    pub columns: BTreeMap<(String, String), Declared>,
}

/// The parsed options of one connector. Debug shows no secret.
pub(crate) struct MongoOptions {
    /// Where the rest comes from, if it was given.
    pub url: Option<Secret>,
    pub hosts: Vec<ServerAddress>,
    pub srv: bool,
    /// `hosts` are the user's own, not the URL's.
    pub hosts_given: bool,
    pub addresses: AddressGuard,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub auth_source: Option<String>,
    pub auth_mechanism: Option<String>,
    pub replica_set: Option<String>,
    pub database: String,
    pub include_databases: Vec<String>,
    pub exclude_tables: Vec<String>,
    pub system_schemas: bool,
    pub reading: Reading,
    pub read_preference: Option<String>,
    pub read_concern: Option<String>,
    pub sslmode: SslMode,
    pub sslrootcert: Option<PathBuf>,
    pub sslcert: Option<PathBuf>,
    pub application_name: String,
    pub connect_timeout: Duration,
    pub statement_timeout: Option<Duration>,
    pub pool_size: u32,
    pub pool_timeout: Duration,
    pub max_parallel_reads: usize,
    pub limits: ScanLimits,
    pub batch_rows: usize,
}

impl fmt::Debug for MongoOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoOptions")
            .field("at", &self.location())
            .field("user", &self.user)
            .field("password", &self.password)
            .field("sslmode", &self.sslmode)
            .finish_non_exhaustive()
    }
}

impl MongoOptions {
    /// Checks the values against each other.
    pub(crate) fn parse(connector: &str, values: &OptionValues) -> Result<MongoOptions> {
        let bad = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("connector \"{connector}\": {message}"));
        let url = match values.secret("url") {
            // The driver's message may quote parts of the URL, and with them a password.
            Some(u) => Some(ConnectionString::parse(u.expose()).map_err(|_| {
                bad("option \"url\" is not a MongoDB URL".into()).hint(
                    "It looks like mongodb://user:password@host:27017/database?replicaSet=rs0, or mongodb+srv://...; in user and password each of : / ? # [ ] @ is percent-encoded.",
                )
            })?),
            None => None,
        };
        let text = |name: &str| values.text(name).map(str::to_string);
        let port = values.integer("port").and_then(|p| u16::try_from(p).ok());
        let given = values.list("host");
        let hosts_given = !given.is_empty() || port.is_some() || url.is_none();
        let hosts = match (&url, given.is_empty()) {
            (Some(u), true) => of_url(u, port),
            _ => {
                let given = if given.is_empty() { vec!["localhost".to_string()] } else { given };
                given.iter().map(|h| address(h, port)).collect::<Result<Vec<_>, String>>().map_err(bad)?
            }
        };
        let srv = !hosts_given && url.as_ref().is_some_and(|u| matches!(u.host_info, HostInfo::DnsRecord(_)));
        let sslmode = match text("sslmode").as_deref() {
            Some("disable") => SslMode::Disable,
            Some("verify-full") => SslMode::VerifyFull,
            Some(_) => SslMode::Require,
            // A URL that says nothing of TLS says it with SRV, where it is on.
            None if srv || url.as_ref().is_some_and(|u| u.tls.is_some()) => SslMode::OfUrl,
            None => SslMode::Require,
        };
        let of_url = |f: fn(&ConnectionString) -> Option<String>| url.as_ref().and_then(f);
        let database = text("database").or(of_url(|u| u.default_database.clone())).unwrap_or_else(|| "test".into());
        let columns = match text("columns") {
            Some(c) => crate::schema::declared(&c).map_err(|e| bad(format!("option \"columns\": {e}")))?,
            None => BTreeMap::new(),
        };
        let user = text("user");
        for (name, value) in [("user", user.as_ref()), ("database", Some(&database))] {
            if value.is_some_and(|v| v.is_empty() || v.contains('\0')) {
                return Err(bad(format!("option \"{name}\" is empty or holds a NUL")));
            }
        }
        let mechanism = text("auth_mechanism");
        if user.is_none() && values.secret("password").is_some() && mechanism.as_deref() != Some("MONGODB-X509") {
            return Err(bad("a password without a user".into()).hint("Give the option \"user\" too."));
        }
        let (sslrootcert, sslcert) = (text("sslrootcert").map(PathBuf::from), text("sslcert").map(PathBuf::from));
        for (name, path) in [("sslrootcert", &sslrootcert), ("sslcert", &sslcert)] {
            if let Some(p) = path {
                std::fs::read(p).map_err(|e| {
                    SqlError::new(
                        SqlState::CONFIG_FILE_ERROR,
                        format!("connector \"{connector}\": {name}: \"{}\" cannot be read: {e}", p.display()),
                    )
                    .hint("The file must be readable for the server process.")
                })?;
            }
        }
        if sslmode == SslMode::Disable && (sslcert.is_some() || mechanism.as_deref() == Some("MONGODB-X509")) {
            return Err(bad("a client certificate needs TLS".into()).hint("Set sslmode 'require' or 'verify-full'."));
        }
        Ok(MongoOptions {
            replica_set: text("replica_set").or(of_url(|u| u.replica_set.clone())),
            url: values.secret("url"),
            hosts,
            srv,
            hosts_given,
            addresses: values.address_guard(),
            user,
            password: values.secret("password"),
            auth_source: text("auth_source"),
            auth_mechanism: mechanism,
            database,
            include_databases: values.list("include_databases"),
            exclude_tables: values.list("exclude_tables"),
            system_schemas: values.boolean("system_schemas"),
            reading: Reading {
                sample_size: values.integer("sample_size").and_then(|v| u32::try_from(v).ok()).unwrap_or(1000).max(1),
                flatten_depth: values.integer("flatten_depth").and_then(|v| usize::try_from(v).ok()).unwrap_or(2).max(1),
                decimal_as_text: values.text("decimal128_mode") == Some("text"),
                raw_column: values.boolean("raw_column"),
                columns,
            },
            read_preference: text("read_preference"),
            read_concern: text("read_concern"),
            sslmode,
            sslrootcert,
            sslcert,
            application_name: text("application_name").unwrap_or_else(|| "fjord".into()),
            connect_timeout: values.duration("connect_timeout").unwrap_or(Duration::from_secs(10)).max(Duration::from_millis(1)),
            statement_timeout: values.duration("statement_timeout"),
            pool_size: values.integer("pool_size").and_then(|v| u32::try_from(v).ok()).unwrap_or(8).max(1),
            pool_timeout: values.duration("pool_timeout").unwrap_or(Duration::from_secs(30)),
            max_parallel_reads: values.integer("max_parallel_reads").and_then(|v| usize::try_from(v).ok()).unwrap_or(4).max(1),
            limits: ScanLimits {
                rows: values.integer("scan_max_rows").and_then(|v| u64::try_from(v).ok()),
                bytes: values.size("scan_max_bytes"),
                time: values.duration("scan_max_time"),
            },
            batch_rows: values.integer("batch_rows").and_then(|v| usize::try_from(v).ok()).unwrap_or(8192).max(1),
        })
    }

    /// `host:port[,...]`, for messages.
    pub(crate) fn location(&self) -> String {
        self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

fn of_url(url: &ConnectionString, port: Option<u16>) -> Vec<ServerAddress> {
    match &url.host_info {
        HostInfo::HostIdentifiers(all) => all
            .iter()
            .map(|a| match (a, port) {
                (ServerAddress::Tcp { host, .. }, Some(p)) => ServerAddress::Tcp { host: host.clone(), port: Some(p) },
                (a, _) => a.clone(),
            })
            .collect(),
        HostInfo::DnsRecord(name) => vec![ServerAddress::Tcp { host: name.clone(), port: None }],
        _ => vec![],
    }
}

fn address(host: &str, port: Option<u16>) -> Result<ServerAddress, String> {
    let parsed = ServerAddress::parse(host).map_err(|_| format!("option \"host\": \"{host}\" is no host"))?;
    Ok(match parsed {
        ServerAddress::Tcp { host, port: None } => ServerAddress::Tcp { host, port: Some(port.unwrap_or(27017)) },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn parse(given: &[(&str, &str)]) -> Result<MongoOptions> {
        let (secret, plain): (Vec<_>, Vec<_>) = given.iter().partition(|(k, _)| matches!(*k, "url" | "password"));
        let plain = plain.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let secret = secret.into_iter().map(|(k, v)| (k.to_string(), Secret::new(v.to_string()))).collect::<BTreeMap<_, _>>();
        MongoOptions::parse("docs", &OptionValues::validate("mongodb", OPTIONS, &plain, secret)?)
    }

    #[test]
    fn a_url_gives_the_parts_and_options_override_them() {
        let o = parse(&[("url", "mongodb://app:p%40ss@a.example,b.example:27018/shop?replicaSet=rs0&tls=true")]).unwrap();
        assert_eq!((o.location().as_str(), o.database.as_str()), ("a.example:27017,b.example:27018", "shop"));
        assert_eq!((o.replica_set.as_deref(), o.sslmode), (Some("rs0"), SslMode::OfUrl));
        assert!(!format!("{o:?}").contains("p@ss") && !format!("{o:?}").contains("p%40ss"));
        let o = parse(&[("url", "mongodb://a.example/shop"), ("port", "27020"), ("database", "other")]).unwrap();
        assert_eq!((o.location().as_str(), o.database.as_str()), ("a.example:27020", "other"));
        assert_eq!(parse(&[("host", "x, y:1"), ("port", "5")]).unwrap().location(), "x:5,y:1");
        assert!(parse(&[("url", "mongodb+srv://cluster.example/shop")]).unwrap().srv);
    }

    #[test]
    fn tls_is_required_unless_it_is_said_otherwise() {
        assert_eq!(parse(&[]).unwrap().sslmode, SslMode::Require);
        assert_eq!(parse(&[("url", "mongodb://h/d")]).unwrap().sslmode, SslMode::Require);
        assert_eq!(parse(&[("url", "mongodb://h/d?tls=false")]).unwrap().sslmode, SslMode::OfUrl);
        assert_eq!(parse(&[("sslmode", "disable")]).unwrap().sslmode, SslMode::Disable);
        assert!(parse(&[("sslmode", "verify-ca")]).is_err());
        assert!(parse(&[("sslmode", "disable"), ("auth_mechanism", "MONGODB-X509")]).is_err());
    }

    #[test]
    fn an_error_about_a_url_does_not_show_it() {
        for url in [
            "mongodb://u:hunter2@h:x/d",
            "postgres://u:hunter2@h/d",
            "mongodb://u:hunter2@@h/d",
            "hunter2",
            "mongodb://u:hunter2@h/?tls=maybe",
        ] {
            let e = parse(&[("url", url)]).unwrap_err();
            assert!(!format!("{e:?}").contains("hunter2"), "{e}");
        }
        assert!(parse(&[("password", "x")]).is_err());
    }

    #[test]
    fn columns_are_json() {
        let o = parse(&[("columns", r#"{"shop.orders": {"_id": "objectId", "a.b": "array<int>"}}"#)]).unwrap();
        let declared = &o.reading.columns[&("shop".to_string(), "orders".to_string())];
        assert_eq!(declared.iter().map(|(n, k)| format!("{n} {}", k.name())).collect::<Vec<_>>(), ["_id objectId", "a.b array<int>"]);
        for wrong in ["[]", "{\"orders\": {}}", "{\"a.b\": {\"c\": \"varchar\"}}", "{\"a.b\": {\"$c\": \"int\"}}", "{"] {
            assert!(parse(&[("columns", wrong)]).is_err(), "{wrong}");
        }
    }
}
