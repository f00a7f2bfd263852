//! VALIDATE CONNECTOR: each thing that must be right, in the order in which it can go wrong.

use fjord_engine::SqlState;
use fjord_engine::source::{Check, CheckStatus};

use tokio_postgres::SimpleQueryMessage;

use crate::introspect::introspect;
use crate::options::SslMode;
use crate::source::Inner;

/// The oldest server whose catalogs are read.
const VERSION_MIN: u32 = 140_000;

const READ_ONLY: &str = "SELECT pg_catalog.current_setting('transaction_read_only')";

/// Runs the checks. After a failed one, the others are skipped by name.
pub(crate) async fn validate(inner: &Inner) -> Vec<Check> {
    let mut checks = Checks { done: vec![], failed: false };
    let connected = match inner.pool.acquire_alive().await {
        Ok(c) => {
            checks.add(Check::ok("connect", format!("connected to {} as {}", inner.origin.location, inner.options.user)));
            Some(c)
        }
        Err(e) => {
            checks.add(Check::failed("connect", e));
            None
        }
    };
    checks.then("tls", || tls(inner));
    let facts = inner.pool.facts();
    checks.then("version", || match &facts {
        Some(f) if f.version_num >= VERSION_MIN => Check::ok("version", format!("PostgreSQL {}", f.version)),
        Some(f) => Check::failed(
            "version",
            inner
                .origin
                .error(SqlState::FEATURE_NOT_SUPPORTED, format!("PostgreSQL {} is too old", f.version))
                .hint("PostgreSQL 14 and later are supported."),
        ),
        None => Check::failed("version", inner.origin.error(SqlState::INTERNAL_ERROR, "the server did not tell its version")),
    });
    checks.then("encoding", || match facts.as_ref().map(|f| f.encoding.as_str()) {
        Some("UTF8") => Check::ok("encoding", "UTF8"),
        other => Check::warning(
            "encoding",
            format!("the database's encoding is {}", other.unwrap_or("unknown")),
            "Text is converted on reading; comparisons of text stay local.",
        ),
    });
    if let Some(connection) = connected {
        let read_only = match connection.client() {
            // Behind a pooler each transaction says for itself that it only reads.
            Ok(client) if inner.pool.pooled() => client.simple_query(&format!("{}; {READ_ONLY}; COMMIT", inner.pool.begin(""))).await,
            Ok(client) => client.simple_query(READ_ONLY).await,
            Err(e) => {
                checks.add(Check::failed("read_only", e));
                return checks.done;
            }
        };
        let on = |m: &SimpleQueryMessage| matches!(m, SimpleQueryMessage::Row(r) if matches!(r.try_get(0), Ok(Some("on"))));
        checks.then("read_only", || match &read_only {
            Ok(answers) if answers.iter().any(on) => Check::ok("read_only", "sessions are read-only"),
            Ok(_) => Check::warning(
                "read_only",
                "sessions are not read-only",
                "Something between us and the source changes settings (a pooler?).",
            ),
            Err(e) => Check::failed("read_only", inner.origin.running(e)),
        });
        connection.release();
    }
    if checks.failed {
        if !checks.done.iter().any(|c| c.name == "read_only") {
            checks.then("read_only", || Check::ok("read_only", ""));
        }
        checks.then("read_catalog", || Check::ok("read_catalog", ""));
        checks.then("tables", || Check::ok("tables", ""));
        return checks.done;
    }
    match introspect(&inner.pool, &inner.origin, &inner.options).await {
        Ok(found) => {
            let tables = || found.catalog.schemas.iter().flat_map(|s| &s.tables);
            let (all, readable) = (tables().count(), tables().filter(|t| t.unreadable.is_none()).count());
            checks.add(Check::ok("read_catalog", format!("{} schemas, {all} tables", found.catalog.schemas.len())));
            checks.add(match (all, readable) {
                (0, _) => {
                    Check::warning("tables", "there are no tables", "Check \"database\", \"include_schemas\" and \"exclude_tables\".")
                }
                (a, r) if a == r => Check::ok("tables", format!("all {a} can be read")),
                (a, r) => Check::warning(
                    "tables",
                    format!("{r} of {a} can be read"),
                    format!("At the source: GRANT USAGE ON SCHEMA and GRANT SELECT ON its tables TO {}.", inner.options.user),
                ),
            });
        }
        Err(e) => {
            checks.add(Check::failed("read_catalog", e));
            checks.then("tables", || Check::ok("tables", ""));
        }
    }
    checks.done
}

fn tls(inner: &Inner) -> Check {
    let socket = inner.options.host.starts_with('/');
    match inner.options.sslmode {
        SslMode::Disable if socket => Check::ok("tls", "a Unix socket: not needed"),
        SslMode::Disable => {
            Check::warning("tls", "sslmode disable: passwords and rows travel unencrypted", "Use sslmode 'verify-full' over a network.")
        }
        SslMode::Require if inner.options.sslrootcert.is_none() => Check::warning(
            "tls",
            "sslmode require: encrypted, but the certificate is not checked",
            "Use sslmode 'verify-full' with \"sslrootcert\" to be sure whom you talk to.",
        ),
        mode => Check::ok("tls", format!("sslmode {}", mode.as_str())),
    }
}

struct Checks {
    done: Vec<Check>,
    failed: bool,
}

impl Checks {
    fn add(&mut self, check: Check) {
        self.failed |= check.status == CheckStatus::Failed;
        self.done.push(check);
    }

    fn then(&mut self, name: &'static str, check: impl FnOnce() -> Check) {
        if self.failed {
            self.done.push(Check { name, status: CheckStatus::Skipped, detail: "an earlier check failed".into(), hint: None, error: None });
        } else {
            self.add(check());
        }
    }
}
