//! Who may connect: SCRAM-SHA-256 with stored verifiers, or trust on loopback where no users are configured.
//!
//! The exchange itself is pgwire's (RFC 5802, RFC 7677), with channel binding over TLS. A password never stays in memory: a `password_file` is
//! turned into a verifier when the server starts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use fjord_engine::{Result, SqlError, SqlState};
use pgwire::api::auth::sasl::scram::{ScramSecret, ScramServerAuth, gen_salted_password};
use rand::Rng;
use ring::hmac;

/// Rounds of the key derivation; Postgres 15's number.
const ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 16;

/// What the server keeps of a password: the salt and two keys derived from it (RFC 5803).
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

impl Verifier {
    /// Derives it from a password, with a random salt.
    pub fn of_password(password: &str) -> Verifier {
        let mut salt = vec![0; SALT_BYTES];
        rand::rng().fill(&mut salt[..]);
        let salted = gen_salted_password(password, &salt, ITERATIONS as usize);
        Verifier::of_salted(salt, &salted)
    }
    fn of_salted(salt: Vec<u8>, salted: &[u8]) -> Verifier {
        let key = hmac::Key::new(hmac::HMAC_SHA256, salted);
        let client_key = hmac::sign(&key, b"Client Key");
        Verifier {
            iterations: ITERATIONS,
            salt,
            stored_key: ring::digest::digest(&ring::digest::SHA256, client_key.as_ref()).as_ref().to_vec(),
            server_key: hmac::sign(&key, b"Server Key").as_ref().to_vec(),
        }
    }
    /// Reads Postgres's own spelling: `SCRAM-SHA-256$4096:salt$stored:server`, as in `pg_authid.rolpassword`.
    pub fn parse(text: &str) -> Option<Verifier> {
        let rest = text.trim().strip_prefix("SCRAM-SHA-256$")?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let v = Verifier {
            iterations: iterations.parse().ok().filter(|i| (1..=10_000_000).contains(i))?,
            salt: base64(salt)?,
            stored_key: base64(stored)?,
            server_key: base64(server)?,
        };
        (!v.salt.is_empty() && v.stored_key.len() == 32 && v.server_key.len() == 32).then_some(v)
    }
    fn secret(&self) -> ScramSecret {
        ScramSecret::Verifier {
            salt: self.salt.clone(),
            iterations: self.iterations as usize,
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
        }
    }
}

/// Standard base64 with padding (RFC 4648), strictly.
fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || !bytes.len().is_multiple_of(4) {
        return None;
    }
    let pad = bytes.iter().rev().take_while(|b| **b == b'=').count();
    if pad > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    for four in bytes.chunks(4) {
        let mut word = 0u32;
        for b in four {
            let digit = match b {
                b'A'..=b'Z' => b - b'A',
                b'a'..=b'z' => b - b'a' + 26,
                b'0'..=b'9' => b - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => 0,
                _ => return None,
            };
            word = word << 6 | u32::from(digit);
        }
        out.extend_from_slice(&word.to_be_bytes()[1..]);
    }
    out.truncate(out.len() - pad);
    (!bytes[..bytes.len() - pad].contains(&b'=')).then_some(out)
}

/// Who may connect, and how that is checked.
#[derive(Debug)]
pub struct Auth {
    users: BTreeMap<String, Verifier>,
    /// Makes the salts of users that do not exist: the same at each attempt, so that an attacker cannot tell them from real ones.
    decoy_key: hmac::Key,
    scram: ScramServerAuth,
    binding: bool,
}

impl Auth {
    /// With users; `certificate` (PEM) allows channel binding over TLS.
    pub fn new(users: BTreeMap<String, Verifier>, certificate: Option<&[u8]>) -> Auth {
        let mut key = [0; 32];
        rand::rng().fill(&mut key);
        let mut scram = ScramServerAuth::new();
        // A certificate whose signature algorithm has no channel binding (Ed25519) is still good for TLS.
        let binding = certificate.is_some_and(|pem| scram.configure_certificate(pem).is_ok());
        Auth { users, decoy_key: hmac::Key::new(hmac::HMAC_SHA256, &key), scram, binding }
    }
    /// Nobody is configured: everybody on loopback is trusted.
    pub fn is_trust(&self) -> bool {
        self.users.is_empty()
    }
    /// The mechanisms to offer.
    pub fn mechanisms(&self, tls: bool) -> &'static [&'static str] {
        if tls && self.binding { &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"] } else { &["SCRAM-SHA-256"] }
    }
    /// Begins the exchange with the client's first message; gives our answer and what checks the client's second one.
    pub fn first(&self, user: &str, tls: bool, client_first: &[u8]) -> Result<(String, Check)> {
        let known = self.users.get(user);
        let secret = match known {
            Some(v) => v.secret(),
            None => self.decoy(user).secret(),
        };
        let plain = ScramServerAuth::new();
        let scram = if tls && self.binding { &self.scram } else { &plain };
        let (answer, wait) = scram.on_client_first_message_with_secret(client_first, secret).map_err(|_| malformed())?;
        Ok((answer, Check { wait, user: user.to_string(), known: known.is_some() }))
    }
    fn decoy(&self, user: &str) -> Verifier {
        let salt = hmac::sign(&self.decoy_key, user.as_bytes());
        let mut random = [0u8; 32];
        rand::rng().fill(&mut random);
        Verifier {
            iterations: ITERATIONS,
            salt: salt.as_ref()[..SALT_BYTES].to_vec(),
            stored_key: random.to_vec(),
            server_key: random.to_vec(),
        }
    }
}

/// Waits for the client's proof.
pub struct Check {
    wait: pgwire::api::auth::sasl::scram::ScramServerAuthWaitingForClientFinal,
    user: String,
    known: bool,
}

impl Check {
    /// Checks it; gives our own proof. An unknown user and a wrong password read the same.
    pub fn last(self, client_final: &[u8]) -> Result<String> {
        match self.wait.on_client_final_message(client_final) {
            Ok(answer) if self.known => Ok(answer),
            _ => Err(SqlError::new(SqlState::INVALID_PASSWORD, format!("password authentication failed for user \"{}\"", self.user))),
        }
    }
}

/// A SASL message that makes no sense.
pub fn malformed() -> SqlError {
    crate::protocol::frontend::violation("malformed SCRAM message")
}

/// Reads a password file: its first line, without the line's end.
pub fn read_password_file(user: &str, path: &Path) -> Result<Verifier> {
    let bad = |what: String| {
        SqlError::new(SqlState::CONFIG_FILE_ERROR, format!("password_file {} of user \"{user}\" {what}", path.display()))
            .hint("It is a file whose first line is the password, readable by the server only.")
    };
    let text = std::fs::read_to_string(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(bad("has an empty first line".into()));
    }
    Ok(Verifier::of_password(password))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn postgres_own_verifier() {
        // Made by PostgreSQL 15: SET password_encryption = 'scram-sha-256'; CREATE ROLE x PASSWORD 'pencil'; SELECT rolpassword ...
        // with the salt of RFC 7677's example.
        let salt = base64("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let ours = Verifier::of_salted(salt.clone(), &gen_salted_password("pencil", &salt, 4096));
        let theirs = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        assert_eq!(Verifier::parse(theirs), Some(ours));
    }

    #[test]
    fn nonsense_is_no_verifier() {
        for text in ["", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:QQ==$QQ==:QQ==", "SCRAM-SHA-256$4096:QQ==$QQ==:QQ==", "md5abc"] {
            assert_eq!(Verifier::parse(text), None, "{text}");
        }
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(base64("aGk=").unwrap(), b"hi");
        for text in ["aGk", "a===", "aG=k", "a Gk", "===="] {
            assert_eq!(base64(text), None, "{text}");
        }
    }
}
