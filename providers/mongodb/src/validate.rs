//! VALIDATE CONNECTOR: one row per check.

use bson::doc;
use fjord_engine::SqlState;
use fjord_engine::source::{Check, CheckStatus};

use crate::options::SslMode;
use crate::schema::introspect;
use crate::source::Inner;

/// The oldest server that has what pipelines of ours use.
const MAJOR_MIN: u32 = 6;

/// Makes the checks in order; after a failed one the rest is skipped.
pub(crate) async fn validate(inner: &Inner) -> Vec<Check> {
    let mut checks = Checks { done: vec![], failed: false };
    let connected = match inner.client.acquire().await {
        Ok(slot) => {
            // `buildInfo` needs no right, so this is the network, TLS and the login.
            let found = slot.client.database("admin").run_command(doc! { "buildInfo": 1 }).await;
            found.map(|b| (slot, b)).map_err(|e| inner.origin.driver(&e))
        }
        Err(e) => Err(e),
    };
    match &connected {
        Ok(_) => checks.add(Check::ok("connect", format!("connected to {}", inner.origin.location))),
        Err(e) => checks.add(Check::failed("connect", e.clone())),
    }
    checks.then("tls", || tls(inner));
    let version = connected.as_ref().ok().and_then(|(_, b)| b.get_str("version").ok()).unwrap_or("of unknown version").to_string();
    let major = version.split('.').next().and_then(|m| m.parse::<u32>().ok()).unwrap_or(0);
    checks.then("version", || match major >= MAJOR_MIN {
        true => Check::ok("version", format!("MongoDB {version}")),
        false => Check::failed(
            "version",
            inner
                .origin
                .error(SqlState::FEATURE_NOT_SUPPORTED, format!("MongoDB {version} is too old"))
                .hint("Fjord reads MongoDB 6.0 and later."),
        ),
    });
    let slot = match connected {
        Ok((slot, _)) if !checks.failed => slot,
        _ => {
            checks.then("read_catalog", || Check::ok("read_catalog", ""));
            checks.then("tables", || Check::ok("tables", ""));
            return checks.done;
        }
    };
    match introspect(&slot.client, &inner.origin, &inner.options, &inner.known).await {
        Ok(found) => {
            let all = found.catalog.schemas.iter().map(|s| s.tables.len()).sum::<usize>();
            let unreadable = found.catalog.schemas.iter().flat_map(|s| &s.tables).filter(|t| t.unreadable.is_some()).count();
            checks.add(Check::ok("read_catalog", format!("{} databases, {all} collections", found.catalog.schemas.len())));
            checks.add(match (all, unreadable) {
                // The server names only what the user has a right on.
                (0, _) => Check::warning(
                    "tables",
                    "there are no collections",
                    "At the source: grant the user the role read on the database. Check \"include_databases\" and \"exclude_tables\" too.",
                ),
                (n, 0) => Check::ok("tables", format!("{n} can be read")),
                (n, u) => Check::warning(
                    "tables",
                    format!("{u} of {n} collections cannot be read"),
                    "Grant the user the role read on their databases.",
                ),
            });
        }
        Err(e) => {
            checks.add(Check::failed("read_catalog", e));
            checks.then("tables", || Check::ok("tables", ""));
        }
    }
    let drifts = inner.known.drifts();
    if let Some(first) = drifts.first() {
        let more = if drifts.len() > 1 { format!(" (and {} more)", drifts.len() - 1) } else { String::new() };
        checks.add(Check::warning(
            "drift",
            format!("documents did not fit their columns: {first}{more}"),
            "The columns are wider since. A larger \"sample_size\" finds such documents sooner.",
        ));
    }
    checks.done
}

fn tls(inner: &Inner) -> Check {
    match inner.options.sslmode {
        SslMode::Disable => {
            Check::warning("tls", "sslmode disable: passwords and rows travel unencrypted", "Use sslmode 'verify-full' over a network.")
        }
        SslMode::Require if inner.options.sslrootcert.is_none() => Check::warning(
            "tls",
            "sslmode require: encrypted, but the certificate is not checked",
            "Use sslmode 'verify-full' with \"sslrootcert\" to be sure whom you talk to.",
        ),
        SslMode::Require | SslMode::VerifyFull => Check::ok("tls", "encrypted, certificate and host name checked"),
        SslMode::OfUrl => Check::ok("tls", "as the url says"),
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
