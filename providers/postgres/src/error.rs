//! From the driver's errors to ours: SQLSTATE kept, connector named, no secret passed on.

use fjord_engine::{SqlError, SqlState};
use tokio_postgres::error::DbError;

/// Which connector speaks, and where its source is.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The connector's name.
    pub connector: String,
    /// `host:port/database`.
    pub location: String,
}

impl Origin {
    /// An error that begins with the connector's name.
    pub(crate) fn error(&self, state: SqlState, message: impl std::fmt::Display) -> SqlError {
        SqlError::new(state, format!("connector \"{}\": {message}", self.connector))
    }

    /// An error while a connection was being made.
    pub(crate) fn connecting(&self, e: &tokio_postgres::Error) -> SqlError {
        if let Some(db) = e.as_db_error() {
            let state = SqlState::from_code(db.code().code());
            let (state, hint) = match state {
                SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION => {
                    (state, "Check the options \"user\" and \"password\", and the source's pg_hba.conf.")
                }
                SqlState::INVALID_CATALOG_NAME => (state, "Check the option \"database\"."),
                SqlState::TOO_MANY_CONNECTIONS => (state, "Lower \"pool_size\", or raise max_connections of the source."),
                // Starting up, shutting down, or anything else that a server says before it lets one in.
                _ => (SqlState::CONNECTION_UNABLE, "The source answers but does not accept connections now."),
            };
            return self.error(state, format!("could not connect to {}: {}", self.location, db.message())).hint(hint);
        }
        self.unreachable(&root_cause(e))
    }

    /// A connection that could not be made, for a reason that the server did not give.
    pub(crate) fn unreachable(&self, cause: &str) -> SqlError {
        let mut error = self.error(SqlState::CONNECTION_UNABLE, format!("could not connect to {}: {cause}", self.location));
        if cause.contains("does not support TLS") {
            error = error.hint("The source has no TLS. Turn it on there, or accept an unencrypted connection with sslmode 'disable'.");
        } else if cause.contains("did not use channel binding") {
            // The login itself would have been taken.
            error.state = SqlState::INVALID_AUTHORIZATION;
            error = error.hint(
                "channel_binding 'require' wants a password with scram-sha-256 over TLS at the source itself, not at a pooler or proxy.",
            );
        } else if cause.contains("password missing") {
            error.state = SqlState::INVALID_PASSWORD;
            error = error.hint("The source asks for a password: give the option \"password\".");
        } else if cause.to_ascii_lowercase().contains("certificate") {
            error = error.hint("The source's certificate was not accepted: check \"sslrootcert\" and \"sslmode\".");
        } else {
            error = error.hint("Check \"host\" and \"port\", that the source runs, and that a firewall lets it through.");
        }
        error
    }

    /// An error of a connection that was up.
    pub(crate) fn running(&self, e: &tokio_postgres::Error) -> SqlError {
        match e.as_db_error() {
            Some(db) => self.database(db),
            None => self
                .error(SqlState::CONNECTION_FAILURE, format!("the connection to {} broke: {}", self.location, root_cause(e)))
                .hint("The next query connects again."),
        }
    }

    fn database(&self, db: &DbError) -> SqlError {
        let code = db.code().code();
        let state = SqlState::from_code(code);
        let mut error = self.error(state, db.message());
        // A code that we do not know ourselves must not get lost: it is what the source's documentation explains.
        error.detail = match (db.detail(), state == SqlState::FDW_ERROR && code != SqlState::FDW_ERROR.0) {
            (Some(d), true) => Some(format!("{d} (SQLSTATE {code} at the source)")),
            (Some(d), false) => Some(d.to_string()),
            (None, true) => Some(format!("SQLSTATE {code} at the source.")),
            (None, false) => None,
        };
        error.hint = db.hint().map(str::to_string);
        if error.hint.is_none() && matches!(state, SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN) {
            error = error.hint("If the source's schema has changed: REFRESH SCHEMA of the connector.");
        }
        error
    }
}

/// Whether an error means that the connection is gone, not that the query was wrong: the server was restarted or an administrator ended it.
pub(crate) fn is_broken(e: &tokio_postgres::Error) -> bool {
    match e.as_db_error() {
        Some(db) => matches!(db.code().code(), "57P01" | "57P02" | "57P03" | "57P05"),
        None => true,
    }
}

/// The innermost cause: what the driver wraps around it (`error connecting to server`) says nothing more.
fn root_cause(e: &tokio_postgres::Error) -> String {
    let mut cause: &dyn std::error::Error = e;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
