//! What a session tells about its settings: ParameterStatus, and what the loop itself needs of them.

use std::time::Duration;

use fjord_engine::session::Settings;
use fjord_engine::source::Severity;
use fjord_engine::sql::{Statement, StatementKind};
use fjord_engine::{Result, SqlError, SqlState};

use super::Connection;
use super::io::Socket;
use super::transaction::warning;
use crate::protocol::backend;

/// The settings that Postgres 15 reports to clients (GUC_REPORT), with the values that Fjord has where a session sets nothing else.
/// <https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-ASYNC>
const REPORTED: &[(&str, &str)] = &[
    ("application_name", ""),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("default_transaction_read_only", "off"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("IntervalStyle", "postgres"),
    ("is_superuser", "on"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("session_authorization", ""),
    ("standard_conforming_strings", "on"),
    ("TimeZone", "UTC"),
];

/// Drivers read the number in front: the version whose protocol and catalog we follow.
pub const SERVER_VERSION: &str = concat!("15.0 (Fjord ", env!("CARGO_PKG_VERSION"), ")");

impl<S: Socket> Connection<S> {
    /// Sends ParameterStatus for each reported setting whose value the client does not know yet.
    pub(super) fn report_settings(&mut self) {
        let settings = self.session.settings.read();
        for (name, default) in REPORTED {
            let value = match *name {
                "session_authorization" => self.session.info.user.as_str(),
                // Fixed: what a client sets here changes nothing about how we write.
                "server_version" | "server_encoding" | "client_encoding" | "integer_datetimes" => default,
                _ => settings.get(&name.to_ascii_lowercase()).unwrap_or(default),
            };
            if self.reported.get(name).map(String::as_str) != Some(value) {
                backend::parameter_status(&mut self.io.out, name, value);
                if *name == "application_name" {
                    self.guard.entry.rename(value);
                }
                self.reported.insert(name, value.to_string());
            }
        }
    }

    /// What Postgres warns about before SET LOCAL and SET TRANSACTION run outside a block.
    pub(super) fn before_setting(&mut self, kind: &StatementKind) {
        if let StatementKind::Set { local: true, assignments } = kind
            && self.tx.require_block("").is_err()
        {
            let what = if assignments.iter().all(|(n, _)| n.starts_with("transaction_")) { "SET TRANSACTION" } else { "SET LOCAL" };
            let n = warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, &format!("{what} can only be used in transaction blocks"));
            self.notices(vec![n]);
        }
    }

    /// The settings before a SET LOCAL.
    pub(super) fn settings_before(&self, kind: &StatementKind) -> Option<Settings> {
        matches!(kind, StatementKind::Set { local: true, .. }).then(|| self.session.settings.read().clone())
    }

    /// Keeps what the settings will be after COMMIT, and what RESET goes back to: the values of the startup packet.
    pub(super) fn after_setting(&mut self, kind: &StatementKind, before: Option<Settings>) -> Result<()> {
        let mut now = self.session.settings.write();
        match kind {
            StatementKind::Set { local: true, .. } => self.after_commit = self.after_commit.take().or(before),
            StatementKind::Set { local: false, assignments } => {
                if let Some(after) = &mut self.after_commit {
                    for (name, _) in assignments {
                        if let Some(value) = now.get(name) {
                            let value = value.to_string();
                            after.set(name, &value)?;
                        }
                    }
                }
            }
            StatementKind::Reset(None) => {
                *now = self.initial.clone();
                self.after_commit = None;
            }
            StatementKind::Reset(Some(name)) => {
                if let Some(value) = self.initial.get(name) {
                    let value = value.to_string();
                    now.set(name, &value)?;
                    if let Some(after) = &mut self.after_commit {
                        after.set(name, &value)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// How long the client may say nothing, and whether in a transaction block.
pub(super) fn idle_timeout(settings: &Settings, in_block: bool) -> Option<(Duration, bool)> {
    let name = if in_block { "idle_in_transaction_session_timeout" } else { "idle_session_timeout" };
    Some((milliseconds(settings.get(name)?)?, in_block))
}

/// Resolves when the client has said nothing for too long.
pub(super) async fn idled(limit: Option<(Duration, bool)>) -> SqlError {
    let Some((limit, in_block)) = limit else { return std::future::pending().await };
    tokio::time::sleep(limit).await;
    if in_block {
        SqlError::new(SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT, "terminating connection due to idle-in-transaction timeout")
    } else {
        SqlError::new(SqlState::IDLE_SESSION_TIMEOUT, "terminating connection due to idle-session timeout")
    }
}

/// The least severe notice that the client wants (`client_min_messages`); `None`: none at all.
pub(super) fn least_severity(settings: &Settings) -> Option<Severity> {
    match settings.get("client_min_messages").unwrap_or("notice") {
        "error" | "fatal" | "panic" => None,
        "warning" => Some(Severity::Warning),
        _ => Some(Severity::Notice),
    }
}

/// statement_timeout: milliseconds, or a number with a unit; 0 and absent are none.
pub(super) fn statement_timeout(settings: &Settings) -> Option<Duration> {
    milliseconds(settings.get("statement_timeout")?)
}

fn milliseconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().ok()?;
    let millis = match text[split..].trim() {
        "" | "ms" => number,
        "us" => number.div_ceil(1000),
        "s" => number.checked_mul(1000)?,
        "min" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        "d" => number.checked_mul(86_400_000)?,
        _ => return None,
    };
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// A statement's text for pg_stat_activity and logs: without secrets.
pub(super) fn shown(statement: &Statement) -> String {
    fjord_engine::sql::redacted(statement)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn timeouts() {
        for (text, want) in [("0", None), ("100", Some(100)), ("5s", Some(5000)), ("1min", Some(60_000))] {
            let mut s = Settings::default();
            s.set("statement_timeout", text).unwrap();
            assert_eq!(statement_timeout(&s), want.map(Duration::from_millis), "{text}");
        }
    }
}
