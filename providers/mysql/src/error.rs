//! From the server's errors to ours: SQLSTATE decided here, connector named, no secret passed on.

use fjord_engine::{SqlError, SqlState};

use crate::wire::{Fault, ServerError};

/// Which connector speaks, and where its source is.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The connector's name.
    pub connector: String,
    /// `host:port`.
    pub location: String,
}

impl Origin {
    /// An error that begins with the connector's name.
    pub(crate) fn error(&self, state: SqlState, message: impl std::fmt::Display) -> SqlError {
        SqlError::new(state, format!("connector \"{}\": {message}", self.connector))
    }

    /// An error while a connection was being made.
    pub(crate) fn connecting(&self, fault: &Fault) -> SqlError {
        let e = match fault {
            Fault::Server(e) => e,
            Fault::Refused(what, hint) => return self.error(SqlState::CONNECTION_UNABLE, self.could_not(what)).hint(*hint),
            other => return self.unreachable(&other.to_string()),
        };
        let (state, hint) = match e.code {
            // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
            1045 | 1698 => (
                SqlState::INVALID_PASSWORD,
                "Check the options \"user\" and \"password\", and from which hosts the source lets the user in.",
            ),
            // ER_DBACCESS_DENIED_ERROR
            1044 => (SqlState::INSUFFICIENT_PRIVILEGE, "The user has no right on the option \"database\"."),
            1049 => (SqlState::INVALID_CATALOG_NAME, "Check the option \"database\"."),
            // ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED
            1040 | 1203 | 1226 => (SqlState::TOO_MANY_CONNECTIONS, "Lower \"pool_size\", or raise max_connections of the source."),
            // ER_HOST_IS_BLOCKED, ER_HOST_NOT_PRIVILEGED
            1129 | 1130 => (SqlState::INVALID_AUTHORIZATION, "The source does not let this machine in."),
            // ER_MUST_CHANGE_PASSWORD_LOGIN, ER_ACCOUNT_HAS_BEEN_LOCKED
            1862 | 3118 | 4151 => (SqlState::INVALID_AUTHORIZATION, "The account is locked or its password has expired."),
            // ER_SECURE_TRANSPORT_REQUIRED
            3159 => (SqlState::CONNECTION_UNABLE, "The source wants TLS: use sslmode 'require' or better."),
            _ => (SqlState::CONNECTION_UNABLE, "The source answers but does not accept connections now."),
        };
        self.error(state, self.could_not(&e.message)).hint(hint)
    }

    fn could_not(&self, cause: &str) -> String {
        format!("could not connect to {}: {cause}", self.location)
    }

    /// A connection that could not be made, for a reason that the server did not give.
    pub(crate) fn unreachable(&self, cause: &str) -> SqlError {
        let error = self.error(SqlState::CONNECTION_UNABLE, self.could_not(cause));
        if cause.to_ascii_lowercase().contains("certificate") {
            error.hint("The source's certificate was not accepted: check \"sslrootcert\" and \"sslmode\".")
        } else {
            error.hint("Check \"host\" and \"port\", that the source runs, and that a firewall lets it through.")
        }
    }

    /// An error of a connection that was up.
    pub(crate) fn running(&self, fault: &Fault) -> SqlError {
        match fault {
            Fault::Server(e) => self.database(e),
            Fault::Malformed(what) => {
                self.error(SqlState::PROTOCOL_VIOLATION, format!("the server at {} broke its protocol: {what}", self.location))
            }
            Fault::TooLarge(bytes) => self
                .error(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a message of more than {bytes} bytes came from {}", self.location))
                .hint("Leave the column with the large values out of the query."),
            other => self
                .error(SqlState::CONNECTION_FAILURE, format!("the connection to {} broke: {other}", self.location))
                .hint("The next query connects again."),
        }
    }

    fn database(&self, e: &ServerError) -> SqlError {
        let state = state(e);
        let mut error = self.error(state, &e.message);
        error.detail = Some(format!("Error {} (SQLSTATE {}) at the source.", e.code, e.state));
        match state {
            SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN => {
                error.hint("If the source's schema has changed: REFRESH SCHEMA of the connector.")
            }
            SqlState::QUERY_CANCELED if matches!(e.code, 3024 | 1969) => {
                error.hint("The source ended it after its time limit: see \"statement_timeout\".")
            }
            _ => error,
        }
    }
}

/// The state of an error of the server. Its own SQLSTATEs are too coarse (most are HY000 or 42000): the number decides.
fn state(e: &ServerError) -> SqlState {
    match e.code {
        1317 | 3024 | 1969 | 1028 => SqlState::QUERY_CANCELED,
        1205 | 1213 | 1020 => SqlState::SERIALIZATION_FAILURE,
        1142 | 1143 | 1044 | 1227 | 1370 | 1410 => SqlState::INSUFFICIENT_PRIVILEGE,
        1146 | 1051 | 1109 => SqlState::UNDEFINED_TABLE,
        1054 => SqlState::UNDEFINED_COLUMN,
        1049 => SqlState::INVALID_SCHEMA_NAME,
        1305 | 1128 => SqlState::UNDEFINED_FUNCTION,
        1064 | 1149 => SqlState::SYNTAX_ERROR,
        1690 | 1264 => SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        1365 => SqlState::DIVISION_BY_ZERO,
        1792 | 1290 | 1836 => SqlState::READ_ONLY_SQL_TRANSACTION,
        1040 | 1203 | 1226 => SqlState::TOO_MANY_CONNECTIONS,
        1037 | 1038 | 1041 => SqlState::OUT_OF_MEMORY,
        1021 | 1114 => SqlState::DISK_FULL,
        1153 => SqlState::PROGRAM_LIMIT_EXCEEDED,
        code if is_gone(code) => SqlState::CONNECTION_FAILURE,
        _ => match SqlState::from_code(&e.state) {
            SqlState::SUCCESS => SqlState::FDW_ERROR,
            known => known,
        },
    }
}

/// The server ends the connection with these: shut down, killed, idle for too long.
fn is_gone(code: u16) -> bool {
    matches!(code, 1053 | 1077 | 1152 | 1159 | 1160 | 1161 | 1184 | 1927 | 2006 | 2013 | 4031)
}

/// Whether an error means that the connection is gone, not that the query was wrong.
pub(crate) fn is_broken(fault: &Fault) -> bool {
    match fault {
        Fault::Server(e) => is_gone(e.code),
        _ => true,
    }
}
