//! One readable message: whoever reads it sits before a failed test.

use std::fmt;

/// What went wrong, in words.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    message: String,
}

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Error {
        Error { message: message.into() }
    }

    /// For `map_err`: says what was being done when `cause` came.
    pub fn at<E: fmt::Display>(doing: impl fmt::Display) -> impl FnOnce(E) -> Error {
        move |cause| Error { message: format!("{doing}: {cause}") }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// Tests unwrap: the message must not come out escaped on one line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Error {
        Error::new(e.to_string())
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(e: tokio_postgres::Error) -> Error {
        match e.as_db_error() {
            Some(db) => Error::new(format!("{}: {}", db.code().code(), db.message())),
            None => Error::new(e.to_string()),
        }
    }
}
