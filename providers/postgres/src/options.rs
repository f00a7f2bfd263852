//! The options of a `postgres` connector: one table for validation and docs, and their parsed form.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fjord_engine::source::{AddressGuard, OptionKind, OptionSpec, OptionValues, Secret};
use fjord_engine::{Result, SqlError, SqlState};
use url::Url;

/// Every option of `TYPE postgres`.
pub const OPTIONS: &[OptionSpec] = &[
    spec("url", OptionKind::Secret, None, "postgres://user:password@host:port/database?sslmode=...; other options override its parts"),
    spec("host", OptionKind::Text, None, "host name, IP address, or a folder that starts with / for a Unix socket; default localhost"),
    spec("port", OptionKind::Integer(1, 65535), None, "TCP port; default 5432"),
    spec("database", OptionKind::Text, None, "database; default: the user's name"),
    spec("user", OptionKind::Text, None, "role to log in as; default postgres. It needs only CONNECT, USAGE and SELECT"),
    spec("password", OptionKind::Secret, None, "password of the role"),
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
    spec(
        "channel_binding",
        OptionKind::OneOf(&["disable", "prefer", "require"]),
        Some("prefer"),
        "tie the proof of a SCRAM password to the source's certificate: prefer = where both can; require = nothing else is a login; disable = never",
    ),
    spec("application_name", OptionKind::Text, Some("fjord"), "name shown in the source's pg_stat_activity"),
    spec("connect_timeout", OptionKind::Duration, Some("10s"), "longest wait for one connection to be made, TLS and login included"),
    spec(
        "statement_timeout",
        OptionKind::Duration,
        None,
        "longest run of one remote query, enforced by the source; default: what the role has",
    ),
    spec("pool_size", OptionKind::Integer(1, 1000), Some("8"), "most connections to the source at one time"),
    spec("pool_timeout", OptionKind::Duration, Some("30s"), "longest wait for a free connection of the pool, then error 53300"),
    spec("include_schemas", OptionKind::List, None, "only these schemas; default: all but system schemas"),
    spec("exclude_tables", OptionKind::List, None, "tables to leave out, as table or schema.table; * stands for any characters"),
    spec(
        "pooler",
        OptionKind::OneOf(&["none", "transaction"]),
        Some("none"),
        "transaction = PgBouncer (or its like) in transaction mode stands between: settings go with each transaction, nothing is kept in a session, tables are read on one connection",
    ),
    spec(
        "max_parallel_reads",
        OptionKind::Integer(1, 64),
        None,
        "most connections that read one big table together, in one snapshot; 1 = never split; default: one per core, at most 4",
    ),
    spec(
        "snapshot",
        OptionKind::OneOf(&["off", "query"]),
        Some("off"),
        "query = all remote queries of one statement see one state of the database; costs a connection and a round trip where there are several",
    ),
    spec(
        "scan_max_rows",
        OptionKind::Integer(1, i64::MAX),
        None,
        "most rows that one remote query may return, then error 54000; default: any",
    ),
    spec("scan_max_bytes", OptionKind::Size, None, "most bytes that one remote query may return, then error 54000; default: any"),
    spec("scan_max_time", OptionKind::Duration, None, "longest time that one remote query may be read, then error 54000; default: any"),
    spec("batch_rows", OptionKind::Integer(1, 1_000_000), Some("8192"), "most rows per Arrow batch; a batch also ends at 8 MiB"),
    spec(
        "unconstrained_numeric",
        OptionKind::OneOf(&["error", "text"]),
        Some("error"),
        "numeric without precision: error = decimal(76,38), a value that does not fit (or NaN) is error 22003; text = read as text",
    ),
    spec("system_schemas", OptionKind::Boolean, Some("false"), "show pg_catalog and information_schema of the source too"),
    spec("schema_ttl", OptionKind::Duration, Some("30s"), "age after which what is known of the source's schema is read again"),
];

const fn spec(name: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { name, kind, default, required: false, doc }
}

/// How far the connection is protected. The names and meanings are libpq's; `allow` and `prefer` are not offered, because a man in the middle
/// turns both into plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// Plain text.
    Disable,
    /// Encrypted. The certificate is checked only where `sslrootcert` is given (as libpq does): protects against listeners, not against
    /// somebody who answers in the server's place.
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

/// Whether the proof of a password is tied to the source's certificate. The names and meanings are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the source offers it.
    Prefer,
    /// Any other way to log in is an error.
    Require,
}

/// What to do with numeric without precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnconstrainedNumeric {
    /// `Decimal256(76, 38)`, 22003 for what does not fit.
    Error,
    /// Text.
    Text,
}

/// What stands between us and the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooler {
    /// Nothing that shares sessions.
    None,
    /// Each transaction may run in another session.
    Transaction,
}

/// What one remote query may bring at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScanLimits {
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    pub time: Option<Duration>,
}

/// Connections that read one table together, where the option does not say.
const PARALLEL_READS: usize = 4;

/// The parsed options of one connector. Debug shows no secret.
#[derive(Clone)]
pub(crate) struct PostgresOptions {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<Secret>,
    pub sslmode: SslMode,
    pub sslrootcert: Option<PathBuf>,
    pub sslcert: Option<PathBuf>,
    pub sslkey: Option<PathBuf>,
    pub channel_binding: ChannelBinding,
    pub application_name: String,
    pub connect_timeout: Duration,
    pub statement_timeout: Option<Duration>,
    pub pool_size: u32,
    pub pool_timeout: Duration,
    pub include_schemas: Vec<String>,
    pub exclude_tables: Vec<String>,
    pub pooler: Pooler,
    pub max_parallel_reads: usize,
    pub snapshot: bool,
    pub limits: ScanLimits,
    pub batch_rows: usize,
    pub unconstrained_numeric: UnconstrainedNumeric,
    pub system_schemas: bool,
    pub schema_ttl: Duration,
    pub addresses: AddressGuard,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresOptions({} as {}, sslmode {})", self.location(), self.user, self.sslmode.as_str())
    }
}

impl PostgresOptions {
    /// Checks the values against each other.
    pub(crate) fn parse(connector: &str, values: &OptionValues) -> Result<PostgresOptions> {
        let bad = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("connector \"{connector}\": {message}"));
        let url = match values.secret("url") {
            Some(u) => UrlParts::parse(u.expose()).map_err(bad)?,
            None => UrlParts::default(),
        };
        let text = |name: &str| values.text(name).map(str::to_string);
        let host = text("host").or(url.host).unwrap_or_else(|| "localhost".into());
        let user = text("user").or(url.user).unwrap_or_else(|| "postgres".into());
        let database = text("database").or(url.database).unwrap_or_else(|| user.clone());
        let port = match values.integer("port") {
            Some(p) => u16::try_from(p).map_err(|_| bad(format!("port {p} is not between 1 and 65535")))?,
            None => url.port.unwrap_or(5432),
        };
        let sslmode = match text("sslmode").or(url.sslmode) {
            Some(m) => SslMode::parse(&m).ok_or_else(|| {
                bad(format!("sslmode '{m}' is not supported")).hint("sslmode is disable, require, verify-ca or verify-full.")
            })?,
            None => SslMode::Require,
        };
        // Over a Unix socket the operating system is the protection; libpq ignores sslmode there, so do we.
        let sslmode = if host.starts_with('/') { SslMode::Disable } else { sslmode };
        let sslcert = text("sslcert").map(PathBuf::from);
        let sslkey = text("sslkey").map(PathBuf::from);
        if sslcert.is_some() != sslkey.is_some() {
            return Err(bad("sslcert and sslkey go together".into()).hint("Give both, or neither."));
        }
        let channel_binding = match values.text("channel_binding") {
            Some("require") => ChannelBinding::Require,
            Some("disable") => ChannelBinding::Disable,
            _ => ChannelBinding::Prefer,
        };
        if channel_binding == ChannelBinding::Require && sslmode == SslMode::Disable {
            return Err(bad("channel_binding 'require' needs an encrypted connection".into())
                .hint("It binds the login to the source's TLS certificate: sslmode is require, verify-ca or verify-full, and the host no Unix socket."));
        }
        for (name, value) in [("host", &host), ("user", &user), ("database", &database)] {
            if value.is_empty() || value.contains('\0') {
                return Err(bad(format!("option \"{name}\" is empty or holds a NUL")));
            }
        }
        Ok(PostgresOptions {
            port,
            addresses: values.address_guard(),
            database,
            password: values.secret("password").or(url.password),
            sslmode,
            host,
            user,
            sslrootcert: text("sslrootcert").or(url.sslrootcert).map(PathBuf::from),
            sslcert,
            sslkey,
            channel_binding,
            application_name: text("application_name").unwrap_or_else(|| "fjord".into()),
            connect_timeout: values.duration("connect_timeout").unwrap_or(Duration::from_secs(10)),
            statement_timeout: values.duration("statement_timeout"),
            pool_size: values.integer("pool_size").and_then(|v| u32::try_from(v).ok()).unwrap_or(8).max(1),
            pool_timeout: values.duration("pool_timeout").unwrap_or(Duration::from_secs(30)),
            include_schemas: values.list("include_schemas"),
            exclude_tables: values.list("exclude_tables"),
            pooler: if values.text("pooler") == Some("transaction") { Pooler::Transaction } else { Pooler::None },
            max_parallel_reads: match values.integer("max_parallel_reads") {
                Some(n) => usize::try_from(n).unwrap_or(1),
                None => std::thread::available_parallelism().map_or(1, usize::from).min(PARALLEL_READS),
            },
            snapshot: values.text("snapshot") == Some("query"),
            limits: ScanLimits {
                rows: values.integer("scan_max_rows").and_then(|v| u64::try_from(v).ok()),
                bytes: values.size("scan_max_bytes"),
                time: values.duration("scan_max_time"),
            },
            batch_rows: values.integer("batch_rows").and_then(|v| usize::try_from(v).ok()).unwrap_or(8192).max(1),
            unconstrained_numeric: match values.text("unconstrained_numeric") {
                Some("text") => UnconstrainedNumeric::Text,
                _ => UnconstrainedNumeric::Error,
            },
            system_schemas: values.boolean("system_schemas"),
            schema_ttl: values.duration("schema_ttl").unwrap_or(Duration::from_secs(30)),
        })
    }

    /// `host:port/database`, for messages.
    pub(crate) fn location(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}/{}", self.host, self.port, self.database)
        } else {
            format!("{}:{}/{}", self.host, self.port, self.database)
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
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("option \"url\" does not begin with postgres:// or postgresql://".into());
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
                "host" => parts.host = Some(value.into_owned()),
                "user" => parts.user = Some(value.into_owned()),
                "password" => parts.password = Some(Secret::new(value.into_owned())),
                "dbname" => parts.database = Some(value.into_owned()),
                "port" => parts.port = Some(value.parse().map_err(|_| "option \"url\": its port is not a number".to_string())?),
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

    fn parse(given: &[(&str, &str)]) -> Result<PostgresOptions> {
        let (secret, plain): (Vec<_>, Vec<_>) = given.iter().partition(|(k, _)| matches!(*k, "url" | "password"));
        let plain = plain.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let secret = secret.into_iter().map(|(k, v)| (k.to_string(), Secret::new(v.to_string()))).collect::<BTreeMap<_, _>>();
        PostgresOptions::parse("shop", &OptionValues::validate("postgres", OPTIONS, &plain, secret)?)
    }

    #[test]
    fn a_url_gives_the_parts_and_options_override_them() {
        let o = parse(&[("url", "postgres://app:p%40ss@db.example:6543/shop?sslmode=verify-full"), ("port", "6544")]).unwrap();
        assert_eq!(o.location(), "db.example:6544/shop");
        assert_eq!((o.user.as_str(), o.password.as_ref().unwrap().expose()), ("app", "p@ss"));
        assert_eq!(o.sslmode, SslMode::VerifyFull);
        assert!(!format!("{o:?}").contains("p@ss"));
    }

    #[test]
    fn tls_is_required_unless_it_is_said_otherwise() {
        assert_eq!(parse(&[]).unwrap().sslmode, SslMode::Require);
        assert_eq!(parse(&[("sslmode", "disable")]).unwrap().sslmode, SslMode::Disable);
        assert!(parse(&[("sslmode", "prefer")]).is_err());
        assert!(parse(&[("url", "postgres://h/d?sslmode=prefer")]).is_err());
        assert_eq!(parse(&[("host", "/run/postgresql")]).unwrap().sslmode, SslMode::Disable);
    }

    #[test]
    fn an_error_about_a_url_does_not_show_it() {
        for url in ["postgres://u:hunter2@h:x/d", "mysql://u:hunter2@h/d", "postgres://u:hunter2@h/d?password=hunter2&what=1", "hunter2"] {
            let e = parse(&[("url", url)]).unwrap_err();
            assert!(!e.to_string().contains("hunter2"), "{e}");
        }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(parse(&[("sslcert", "/a.crt")]).is_err());
    }
}
