//! The options of a `files` connector: one table for validation and docs, and their parsed form.

use std::path::PathBuf;
use std::time::Duration;

use fjord_engine::source::{OptionKind, OptionSpec, OptionValues, Secret};
use fjord_engine::{Result, SqlError, SqlState};

use crate::format::{Compression, Format};
use crate::guarded::Reach;
use crate::location::Location;

/// Every option of `TYPE files`.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "location",
        kind: OptionKind::Text,
        default: None,
        required: true,
        doc: "a file, folder or glob: a path of the server, or a URL s3://, gs://, az://, https://",
    },
    spec(
        "format",
        OptionKind::OneOf(&["parquet", "csv", "json", "json_array", "arrow"]),
        None,
        "default: by the files' extensions; json is one object a line, json_array one array a file",
    ),
    spec(
        "compression",
        OptionKind::OneOf(&["none", "gzip", "bzip2", "xz", "zstd"]),
        None,
        "of csv and json files; default: by the extension (.gz, .bz2, .xz, .zst)",
    ),
    spec(
        "partition_columns",
        OptionKind::List,
        None,
        "folders key=value, outermost first; default: taken from the folders' names. '-' for none",
    ),
    spec("has_header", OptionKind::Boolean, Some("true"), "csv: the first line holds the columns' names"),
    spec("delimiter", OptionKind::Text, None, "csv: one ASCII character, or tab; default a comma, for .tsv a tab"),
    spec("quote", OptionKind::Text, Some("\""), "csv: the quoting character"),
    spec("escape", OptionKind::Text, None, "csv: the escaping character; default: quotes are doubled"),
    spec(
        "newlines_in_values",
        OptionKind::Boolean,
        Some("true"),
        "csv: quoted values may hold line breaks. false lets one file be read in parallel, and is wrong where they do",
    ),
    spec("infer_rows", OptionKind::Integer(1, 1_000_000), Some("1000"), "csv, json: rows of each file that are looked at for the types"),
    spec("region", OptionKind::Text, None, "s3: region; default us-east-1"),
    spec("endpoint", OptionKind::Text, None, "s3, gs, az: URL of another server that speaks the protocol"),
    spec(
        "access_key_id",
        OptionKind::Text,
        None,
        "s3: access key; without one requests are not signed. The server's own credentials are never used",
    ),
    spec("secret_access_key", OptionKind::Secret, None, "s3: secret of the access key"),
    spec("session_token", OptionKind::Secret, None, "s3: token of temporary credentials"),
    spec("service_account_key", OptionKind::Secret, None, "gs: service account key, as JSON; without one requests are not signed"),
    spec("account_name", OptionKind::Text, None, "az: storage account"),
    spec("account_key", OptionKind::Secret, None, "az: key of the storage account; without one requests are not signed"),
    spec("allow_http", OptionKind::Boolean, Some("false"), "allow connections that are not encrypted"),
    spec("connect_timeout", OptionKind::Duration, Some("10s"), "longest wait for a connection to a remote store"),
    spec("request_timeout", OptionKind::Duration, Some("60s"), "longest wait for one answer of a remote store"),
];

const fn spec(name: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { name, kind, default, required: false, doc }
}

/// The parsed options of one connector. Debug shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct FilesOptions {
    pub(crate) location: Location,
    pub(crate) reading: Reading,
    pub(crate) access: Access,
    /// Below which local files must lie.
    pub(crate) root: Option<PathBuf>,
}

/// How files are read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) format: Option<Format>,
    pub(crate) compression: Option<Compression>,
    /// `None`: inferred.
    pub(crate) partition_columns: Option<Vec<String>>,
    pub(crate) has_header: bool,
    pub(crate) delimiter: Option<u8>,
    pub(crate) quote: u8,
    pub(crate) escape: Option<u8>,
    pub(crate) newlines_in_values: bool,
    pub(crate) infer_rows: usize,
}

/// How a remote store is reached.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) access_key_id: Option<String>,
    pub(crate) secret_access_key: Option<Secret>,
    pub(crate) session_token: Option<Secret>,
    pub(crate) service_account_key: Option<Secret>,
    pub(crate) account_name: Option<String>,
    pub(crate) account_key: Option<Secret>,
    pub(crate) allow_http: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    /// Which hosts.
    pub(crate) reach: Reach,
}

impl FilesOptions {
    pub(crate) fn parse(v: &OptionValues) -> Result<FilesOptions> {
        let text = |name: &str| v.text(name).map(str::trim).filter(|t| !t.is_empty()).map(str::to_string);
        let location = Location::parse(&text("location").ok_or_else(|| invalid("option \"location\" is empty"))?)?;
        let partition_columns = text("partition_columns").map(|t| if t == "-" { vec![] } else { v.list("partition_columns") });
        let access = Access {
            region: text("region"),
            endpoint: text("endpoint"),
            access_key_id: text("access_key_id"),
            secret_access_key: v.secret("secret_access_key"),
            session_token: v.secret("session_token"),
            service_account_key: v.secret("service_account_key"),
            account_name: text("account_name"),
            account_key: v.secret("account_key"),
            allow_http: v.boolean("allow_http"),
            connect_timeout: v.duration("connect_timeout").unwrap_or(Duration::from_secs(10)),
            request_timeout: v.duration("request_timeout").unwrap_or(Duration::from_secs(60)),
            reach: Reach::new(v.address_guard()),
        };
        if access.access_key_id.is_some() != access.secret_access_key.is_some() {
            return Err(invalid("options \"access_key_id\" and \"secret_access_key\" belong together")
                .hint("Give both, or neither for requests that are not signed."));
        }
        let reading = Reading {
            format: text("format").and_then(|f| Format::parse(&f)),
            compression: text("compression").and_then(|c| Compression::parse(&c)),
            partition_columns,
            has_header: v.boolean("has_header"),
            delimiter: v.text("delimiter").map(|t| character("delimiter", t)).transpose()?,
            quote: v.text("quote").map_or(Ok(b'"'), |t| character("quote", t))?,
            escape: v.text("escape").map(|t| character("escape", t)).transpose()?,
            newlines_in_values: v.boolean("newlines_in_values"),
            infer_rows: v.integer("infer_rows").and_then(|n| usize::try_from(n).ok()).unwrap_or(1000),
        };
        location.check(&access)?;
        Ok(FilesOptions { location, reading, access, root: None })
    }
}

pub(crate) fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn character(option: &str, text: &str) -> Result<u8> {
    match text.as_bytes() {
        _ if text.eq_ignore_ascii_case("tab") || text == "\\t" => Ok(b'\t'),
        [one] if one.is_ascii() => Ok(*one),
        _ => Err(invalid(format!("option \"{option}\" must be one ASCII character, not '{text}'"))),
    }
}
