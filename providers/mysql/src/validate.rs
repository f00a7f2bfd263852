//! VALIDATE CONNECTOR: one row per check.

use fjord_engine::SqlState;
use fjord_engine::source::{Check, CheckStatus};

use crate::introspect::introspect;
use crate::options::SslMode;
use crate::source::Inner;

/// Makes the checks in order; after a failed one the rest is skipped.
pub(crate) async fn validate(inner: &Inner) -> Vec<Check> {
    let mut checks = Checks { done: vec![], failed: false };
    let connected = inner.pool.acquire_alive().await;
    match &connected {
        Ok(_) => checks.add(Check::ok("connect", format!("connected to {}", inner.origin.location))),
        Err(e) => checks.add(Check::failed("connect", e.clone())),
    }
    checks.then("tls", || tls(inner));
    let facts = inner.pool.facts().unwrap_or_default();
    checks.then("version", || match facts.is_supported() {
        true => Check::ok("version", facts.product()),
        false => Check::failed(
            "version",
            inner
                .origin
                .error(SqlState::FEATURE_NOT_SUPPORTED, format!("{} is too old", facts.product()))
                .hint("Fjord reads MySQL 8.0 and later and MariaDB 10.5 and later."),
        ),
    });
    if let Ok(connection) = connected {
        connection.release();
    }
    if checks.failed {
        checks.then("read_catalog", || Check::ok("read_catalog", ""));
        checks.then("tables", || Check::ok("tables", ""));
        return checks.done;
    }
    match introspect(&inner.pool, &inner.origin, &inner.options).await {
        Ok(found) => {
            let all = found.catalog.schemas.iter().map(|s| s.tables.len()).sum::<usize>();
            checks.add(Check::ok("read_catalog", format!("{} databases, {all} tables", found.catalog.schemas.len())));
            checks.add(match all {
                // The server shows only what the user has a right on.
                0 => Check::warning(
                    "tables",
                    "there are no tables",
                    format!(
                        "At the source: GRANT SELECT ON database.* TO {}. Check \"include_schemas\" and \"exclude_tables\" too.",
                        inner.options.user
                    ),
                ),
                n => Check::ok("tables", format!("{n} can be seen")),
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
    match inner.options.sslmode {
        SslMode::Disable if inner.options.is_socket() => Check::ok("tls", "a Unix socket: not needed"),
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
