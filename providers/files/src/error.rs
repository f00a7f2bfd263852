//! Errors of file stores in the user's terms.

use fjord_engine::{SqlError, SqlState};
use object_store::Error;

/// A store's error, with what was being done and where. The store's own message names the object and holds no credentials.
pub(crate) fn store_error(doing: &str, place: &str, e: &Error) -> SqlError {
    // Our own, from within the HTTP client.
    if let Some(refused) = SqlError::within(e) {
        return refused;
    }
    let state = match e {
        Error::NotFound { .. } => SqlState::UNDEFINED_FILE,
        Error::PermissionDenied { .. } => SqlState::INSUFFICIENT_PRIVILEGE,
        Error::Unauthenticated { .. } => SqlState::INVALID_AUTHORIZATION,
        Error::InvalidPath { .. } => SqlState::INVALID_PARAMETER_VALUE,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => SqlState::FEATURE_NOT_SUPPORTED,
        _ => SqlState::CONNECTION_UNABLE,
    };
    let error = SqlError::new(state, format!("could not {doing} \"{place}\"")).detail(chain(e));
    match e {
        Error::NotFound { .. } => error.hint("Check the option \"location\". A relative path starts at the server's working directory."),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            error.hint("The connector's credentials need the right to list and to read there.")
        }
        _ => error,
    }
}

/// The error and its causes in one line, each once.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(c) = cause {
        let next = c.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = c.source();
    }
    const CHARACTERS_MAX: usize = 600;
    text.chars().take(CHARACTERS_MAX).collect()
}
