//! The options of a `mysql` connector: one table for validation and docs, and their parsed form.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fjord_engine::source::{AddressGuard, OptionKind, OptionSpec, OptionValues, Secret};
use fjord_engine::{Result, SqlError, SqlState};
use url::Url;

/// Every option of `TYPE mysql`.
pub const OPTIONS: &[OptionSpec] = &[
    spec("url", OptionKind::Secret, None, "mysql://user:password@host:port/database?sslmode=...; other options override its parts"),
    spec("host", OptionKind::Text, None, "host name, IP address, or the path of a Unix socket (starts with /); default localhost"),
    spec("port", OptionKind::Integer(1, 65535), None, "TCP port; default 3306"),
    spec(
        "database",
        OptionKind::Text,
        None,
        "the schema that a bare table name stands for; every database that the user may see is a schema",
    ),
    spec("user", OptionKind::Text, None, "user to log in as; default root. It needs only SELECT"),
    spec("password", OptionKind::Secret, None, "password of the user"),
    spec(
        "sslmode",
        OptionKind::OneOf(&["disable", "require", "verify-ca", "verify-full"]),
        None,
        "default require: encrypted, certificate not checked unless sslrootcert is given; verify-ca: chain checked; verify-full: host name too; disable: not encrypted",
    ),
    spec(
        "sslrootcert",
        OptionKind::Text,
        None,
        "PEM file with the certificate authorities to trust; default: those of the operating system",
    ),
    spec("sslcert", OptionKind::Text, None, "PEM file with the client certificate"),
    spec("sslkey", OptionKind::Text, None, "PEM file with the key of the client certificate"),
    spec("application_name", OptionKind::Text, Some("fjord"), "name shown in performance_schema.session_connect_attrs as program_name"),
    spec("connect_timeout", OptionKind::Duration, Some("10s"), "longest wait for one connection to be made, TLS and login included"),
    spec(
        "statement_timeout",
        OptionKind::Duration,
        None,
        "longest run of one remote query, enforced by the source; default: what the source has",
    ),
    spec("pool_size", OptionKind::Integer(1, 1000), Some("8"), "most connections to the source at one time"),
    spec("pool_timeout", OptionKind::Duration, Some("30s"), "longest wait for a free connection of the pool, then error 53300"),
    spec("include_schemas", OptionKind::List, None, "only these databases; default: all but system databases"),
    spec("exclude_tables", OptionKind::List, None, "tables to leave out, as table or database.table; * stands for any characters"),
    spec(
        "max_parallel_reads",
        OptionKind::Integer(1, 64),
        Some("1"),
        "most connections that read one big table together, in one snapshot; more than 1 locks the table against writing for the moment in which the snapshots are opened, and needs the right LOCK TABLES",
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
    spec("tinyint1_is_bool", OptionKind::Boolean, Some("false"), "read tinyint(1) as boolean: every number but 0 is true"),
    spec(
        "time_spans",
        OptionKind::OneOf(&["error", "interval"]),
        Some("error"),
        "time: error = a time of day, a value outside of 00:00 to 24:00 is error 22008; interval = read as interval, which holds every span",
    ),
    spec(
        "system_schemas",
        OptionKind::Boolean,
        Some("false"),
        "show information_schema, mysql, performance_schema and sys of the source too",
    ),
    spec("schema_ttl", OptionKind::Duration, Some("30s"), "age after which what is known of the source's schema is read again"),
];

const fn spec(name: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { name, kind, default, required: false, doc }
}

/// How far the connection is protected. The names and meanings are libpq's, as for every connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// Plain text.
    Disable,
    /// Encrypted. The certificate is checked only where `sslrootcert` is given.
    Require,
    /// The certificate's chain is checked.
    VerifyCa,
    /// The chain and the host name are checked.
    VerifyFull,
}

impl SslMode {
    fn parse(v: &str) -> Option<SslMode> {
        Some(match v {
            "disable" => SslMode::Disable,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return None,
        })
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

/// What one remote query may bring at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScanLimits {
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    pub time: Option<Duration>,
}

/// How columns of some types are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// `tinyint(1)` is a boolean.
    pub tinyint1_is_bool: bool,
    /// `time` is an interval.
    pub time_as_interval: bool,
}

/// The parsed options of one connector. Debug shows no secret.
#[derive(Clone)]
pub(crate) struct MySqlOptions {
    pub host: String,
    pub port: u16,
    pub database: Option<String>,
    pub user: String,
    pub password: Option<Secret>,
    pub sslmode: SslMode,
    pub sslrootcert: Option<PathBuf>,
    pub sslcert: Option<PathBuf>,
    pub sslkey: Option<PathBuf>,
    pub application_name: String,
    pub connect_timeout: Duration,
    pub statement_timeout: Option<Duration>,
    pub pool_size: u32,
    pub pool_timeout: Duration,
    pub include_schemas: Vec<String>,
    pub exclude_tables: Vec<String>,
    pub max_parallel_reads: usize,
    pub limits: ScanLimits,
    pub batch_rows: usize,
    pub reading: Reading,
    pub system_schemas: bool,
    pub schema_ttl: Duration,
    pub addresses: AddressGuard,
}

impl fmt::Debug for MySqlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MySqlOptions({} as {}, sslmode {})", self.location(), self.user, self.sslmode.as_str())
    }
}

impl MySqlOptions {
    /// Checks the values against each other.
    pub(crate) fn parse(connector: &str, values: &OptionValues) -> Result<MySqlOptions> {
        let bad = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("connector \"{connector}\": {message}"));
        let url = match values.secret("url") {
            Some(u) => UrlParts::parse(u.expose()).map_err(bad)?,
            None => UrlParts::default(),
        };
        let text = |name: &str| values.text(name).map(str::to_string);
        let host = text("host").or(url.host).unwrap_or_else(|| "localhost".into());
        let user = text("user").or(url.user).unwrap_or_else(|| "root".into());
        let database = text("database").or(url.database);
        let port = match values.integer("port") {
            Some(p) => u16::try_from(p).map_err(|_| bad(format!("port {p} is not between 1 and 65535")))?,
            None => url.port.unwrap_or(3306),
        };
        let sslmode = match text("sslmode").or(url.sslmode) {
            Some(m) => SslMode::parse(&m).ok_or_else(|| {
                bad(format!("sslmode '{m}' is not supported")).hint("sslmode is disable, require, verify-ca or verify-full.")
            })?,
            None => SslMode::Require,
        };
        let sslcert = text("sslcert").map(PathBuf::from);
        let sslkey = text("sslkey").map(PathBuf::from);
        if sslcert.is_some() != sslkey.is_some() {
            return Err(bad("sslcert and sslkey go together".into()).hint("Give both, or neither."));
        }
        let named = [("host", Some(&host)), ("user", Some(&user)), ("database", database.as_ref())];
        for (name, value) in named.into_iter().filter_map(|(n, v)| v.map(|v| (n, v))) {
            if value.is_empty() || value.contains('\0') {
                return Err(bad(format!("option \"{name}\" is empty or holds a NUL")));
            }
        }
        Ok(MySqlOptions {
            port,
            addresses: values.address_guard(),
            database,
            password: values.secret("password").or(url.password),
            // Over a Unix socket the operating system is the protection.
            sslmode: if host.starts_with('/') { SslMode::Disable } else { sslmode },
            host,
            user,
            sslrootcert: text("sslrootcert").or(url.sslrootcert).map(PathBuf::from),
            sslcert,
            sslkey,
            application_name: text("application_name").unwrap_or_else(|| "fjord".into()),
            connect_timeout: values.duration("connect_timeout").unwrap_or(Duration::from_secs(10)),
            statement_timeout: values.duration("statement_timeout"),
            pool_size: values.integer("pool_size").and_then(|v| u32::try_from(v).ok()).unwrap_or(8).max(1),
            pool_timeout: values.duration("pool_timeout").unwrap_or(Duration::from_secs(30)),
            include_schemas: values.list("include_schemas"),
            exclude_tables: values.list("exclude_tables"),
            max_parallel_reads: values.integer("max_parallel_reads").and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
            limits: ScanLimits {
                rows: values.integer("scan_max_rows").and_then(|v| u64::try_from(v).ok()),
                bytes: values.size("scan_max_bytes"),
                time: values.duration("scan_max_time"),
            },
            batch_rows: values.integer("batch_rows").and_then(|v| usize::try_from(v).ok()).unwrap_or(8192).max(1),
            reading: Reading {
                tinyint1_is_bool: values.boolean("tinyint1_is_bool"),
                time_as_interval: values.text("time_spans") == Some("interval"),
            },
            system_schemas: values.boolean("system_schemas"),
            schema_ttl: values.duration("schema_ttl").unwrap_or(Duration::from_secs(30)),
        })
    }

    /// It is reached through a Unix socket.
    pub(crate) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// `host:port`, for messages.
    pub(crate) fn location(&self) -> String {
        match (self.is_socket(), self.host.contains(':')) {
            (true, _) => self.host.clone(),
            (_, true) => format!("[{}]:{}", self.host, self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

#[derive(Default)]
struct UrlParts {
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl UrlParts {
    /// The error never quotes the URL: it may hold a password.
    fn parse(url: &str) -> Result<UrlParts, String> {
        let url = Url::parse(url).map_err(|e| format!("option \"url\" is not a URL: {e}"))?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err("option \"url\" does not begin with mysql:// or mariadb://".into());
        }
        let mut parts = UrlParts { port: url.port(), ..UrlParts::default() };
        if let Some(h) = url.host_str().filter(|h| !h.is_empty()) {
            parts.host = Some(percent_decode(h.trim_start_matches('[').trim_end_matches(']'))?);
        }
        if !url.username().is_empty() {
            parts.user = Some(percent_decode(url.username())?);
        }
        if let Some(p) = url.password() {
            parts.password = Some(Secret::new(percent_decode(p)?));
        }
        let path = url.path().trim_start_matches('/');
        if !path.is_empty() {
            parts.database = Some(percent_decode(path)?);
        }
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "sslmode" => parts.sslmode = Some(value.into_owned()),
                "sslrootcert" => parts.sslrootcert = Some(value.into_owned()),
                other => return Err(format!("option \"url\": its parameter \"{other}\" is not known; give it as an option of its own")),
            }
        }
        Ok(parts)
    }
}

fn percent_decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        if b == b'%' {
            let code = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
            bytes.push(code.ok_or("option \"url\" holds a % that is not followed by two hexadecimal digits")?);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(b);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_err(|_| "option \"url\" is not UTF-8 after decoding".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::collections::BTreeMap;

    use super::*;

    fn parse(given: &[(&str, &str)]) -> Result<MySqlOptions> {
        let (secret, plain): (Vec<_>, Vec<_>) = given.iter().partition(|(k, _)| matches!(*k, "url" | "password"));
        let plain = plain.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let secret = secret.into_iter().map(|(k, v)| (k.to_string(), Secret::new(v.to_string()))).collect::<BTreeMap<_, _>>();
        MySqlOptions::parse("crm", &OptionValues::validate("mysql", OPTIONS, &plain, secret)?)
    }

    #[test]
    fn a_url_gives_the_parts_and_options_override_them() {
        let o = parse(&[("url", "mysql://app:p%40ss@db.example:3307/shop?sslmode=verify-full"), ("port", "3308")]).unwrap();
        assert_eq!((o.location().as_str(), o.database.as_deref()), ("db.example:3308", Some("shop")));
        assert_eq!((o.user.as_str(), o.password.as_ref().unwrap().expose()), ("app", "p@ss"));
        assert_eq!(o.sslmode, SslMode::VerifyFull);
        assert!(!format!("{o:?}").contains("p@ss"));
    }

    #[test]
    fn tls_is_required_unless_it_is_said_otherwise() {
        assert_eq!(parse(&[]).unwrap().sslmode, SslMode::Require);
        assert_eq!(parse(&[("sslmode", "disable")]).unwrap().sslmode, SslMode::Disable);
        assert!(parse(&[("sslmode", "prefer")]).is_err());
        assert_eq!(parse(&[("host", "/run/mysqld/mysqld.sock")]).unwrap().sslmode, SslMode::Disable);
    }

    #[test]
    fn an_error_about_a_url_does_not_show_it() {
        for url in ["mysql://u:hunter2@h:x/d", "postgres://u:hunter2@h/d", "mysql://u:hunter2@h/d?password=hunter2", "hunter2"] {
            let e = parse(&[("url", url)]).unwrap_err();
            assert!(!e.to_string().contains("hunter2"), "{e}");
        }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(parse(&[("sslcert", "/a.crt")]).is_err());
    }
}
