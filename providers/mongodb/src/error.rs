//! From the driver's errors to ours: SQLSTATE decided here, connector named, no secret passed on.

use fjord_engine::{SqlError, SqlState};
use mongodb::error::{CommandError, Error, ErrorKind};

/// Which connector speaks, and where its source is.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The connector's name.
    pub connector: String,
    /// `host:port`.
    pub location: String,
}

/// Longest message of the driver that is passed on: a description of all servers of a cluster comes with some.
const MESSAGE_MAX: usize = 600;

impl Origin {
    /// An error that begins with the connector's name.
    pub(crate) fn error(&self, state: SqlState, message: impl std::fmt::Display) -> SqlError {
        SqlError::new(state, format!("connector \"{}\": {message}", self.connector))
    }

    /// The schema is another than the plan took it for.
    pub(crate) fn changed(&self, message: impl std::fmt::Display) -> SqlError {
        self.error(SqlState::FDW_INCONSISTENT_DESCRIPTOR, message)
    }

    fn unable(&self, cause: &str) -> SqlError {
        let cause: String = cause.chars().take(MESSAGE_MAX).collect();
        self.error(SqlState::CONNECTION_UNABLE, format!("could not connect to {}: {cause}", self.location))
    }

    /// An error of the driver.
    pub(crate) fn driver(&self, e: &Error) -> SqlError {
        match e.kind.as_ref() {
            ErrorKind::Authentication { message, .. } => self
                .error(SqlState::INVALID_PASSWORD, format!("could not log in to {}: {message}", self.location))
                .hint("Check the options \"user\", \"password\", \"auth_source\" and \"auth_mechanism\"."),
            ErrorKind::ServerSelection { message, .. } => self.unreachable(message),
            ErrorKind::DnsResolve { message, .. } => {
                self.unable(message).hint("Check \"host\" or the host of \"url\", and that this machine can resolve it.")
            }
            ErrorKind::InvalidTlsConfig { message, .. } => {
                self.error(SqlState::CONFIG_FILE_ERROR, message).hint("Check \"sslrootcert\" and \"sslcert\", which are PEM files.")
            }
            ErrorKind::InvalidArgument { message, .. } => self.error(SqlState::INVALID_PARAMETER_VALUE, message),
            ErrorKind::Command(c) => self.command(c),
            ErrorKind::Io(io) => self
                .error(SqlState::CONNECTION_FAILURE, format!("the connection to {} broke: {io}", self.location))
                .hint("The next query connects again."),
            ErrorKind::ConnectionPoolCleared { message, .. } => self
                .error(SqlState::CONNECTION_FAILURE, format!("the connection to {} broke: {message}", self.location))
                .hint("The next query connects again."),
            ErrorKind::InvalidResponse { message, .. } => {
                self.error(SqlState::PROTOCOL_VIOLATION, format!("the server at {} broke its protocol: {message}", self.location))
            }
            ErrorKind::IncompatibleServer { message, .. } => self.error(SqlState::FEATURE_NOT_SUPPORTED, message),
            ErrorKind::Shutdown => self.error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "it is being closed"),
            // What is left comes from the bytes of a reply.
            _ => self.error(SqlState::FDW_ERROR, e.to_string().chars().take(MESSAGE_MAX).collect::<String>()),
        }
    }

    /// No server that can be read. Why, only the driver's description of the servers tells.
    fn unreachable(&self, message: &str) -> SqlError {
        let lower = message.to_ascii_lowercase();
        let e = self.unable(message);
        if lower.contains("certificate") || lower.contains("invalidcertificate") {
            e.hint("The source's certificate was not accepted: check \"sslrootcert\" and \"sslmode\".")
        } else if lower.contains("unexpected eof") || lower.contains("unexpected end of file") || lower.contains("tls") {
            e.hint("The source may want no TLS, or only TLS: check \"sslmode\".")
        } else {
            e.hint("Check \"host\" and \"port\", that the source runs, and that a firewall lets it through; with \"replica_set\", that its members' own names can be reached.")
        }
    }

    /// The server's own error.
    pub(crate) fn command(&self, c: &CommandError) -> SqlError {
        let state = state(c.code);
        let mut e = self.error(state, c.message.chars().take(MESSAGE_MAX).collect::<String>());
        e.detail = Some(format!("Error {} ({}) at the source.", c.code, c.code_name));
        match c.code {
            13 => e.hint("The user needs the role read on the database."),
            18 => e.hint("Check the options \"user\", \"password\" and \"auth_source\"."),
            50 | 262 => e.hint("The source ended it after its time limit: see \"statement_timeout\"."),
            43 | 237 => e.hint("The source has dropped the cursor: it was killed there, or not read for too long."),
            239 => e.hint("The source no longer keeps the snapshot: read less at once, or raise minSnapshotHistoryWindowInSeconds there."),
            _ => e,
        }
    }
}

/// Codes: <https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml>.
fn state(code: i32) -> SqlState {
    match code {
        13 => SqlState::INSUFFICIENT_PRIVILEGE,
        18 => SqlState::INVALID_PASSWORD,
        26 => SqlState::UNDEFINED_TABLE,
        // MaxTimeMSExpired, ExceededTimeLimit, Interrupted, CursorKilled, ClientDisconnect
        50 | 262 | 11601 | 237 | 279 => SqlState::QUERY_CANCELED,
        112 | 251 | 239 => SqlState::SERIALIZATION_FAILURE,
        // Not primary, shutting down, and the like.
        6 | 7 | 89 | 91 | 189 | 9001 | 10058 | 10107 | 11600 | 11602 | 13435 | 13436 => SqlState::CONNECTION_FAILURE,
        43 => SqlState::CONNECTION_FAILURE,
        // FailedToParse, BadValue, TypeMismatch and pipelines with a mistake
        2 | 9 | 14 | 40323 | 40324 | 16436 | 17276 => SqlState::SYNTAX_ERROR,
        59 => SqlState::UNDEFINED_FUNCTION,
        146 | 292 => SqlState::OUT_OF_MEMORY,
        10334 | 17419 => SqlState::PROGRAM_LIMIT_EXCEEDED,
        _ => SqlState::FDW_ERROR,
    }
}

/// Whether an error means that the connection is gone, not that the query was wrong.
pub(crate) fn is_broken(e: &Error) -> bool {
    match e.kind.as_ref() {
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => true,
        ErrorKind::Command(c) => state(c.code) == SqlState::CONNECTION_FAILURE && c.code != 43,
        _ => false,
    }
}
