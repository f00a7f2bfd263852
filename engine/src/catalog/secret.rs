//! Secrets: where their values come from, and how literals are kept.
//!
//! ENV and FILE are references, read in the moment of connecting. A literal is sealed with AES-256-GCM under a key derived (HKDF-SHA-256) from
//! the server's secret key; what it belongs to is authenticated with it, so that a sealed value cannot be moved to another name in the store.

use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use super::state::{StoredSource, hex};
use crate::error::{Result, SqlError, SqlState};
use crate::source::Secret;

/// Longest secret in a file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// The environment variable that holds the server's own key is no secret of a connector's.
const OWN_KEY: &str = "FJORD_SECRET_KEY";

/// An encrypted literal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sealed {
    nonce: String,
    data: String,
}

/// What secrets are read with.
#[derive(Debug)]
pub(super) struct Keyring {
    pub key: Option<Secret>,
    pub root: Option<PathBuf>,
}

impl Keyring {
    fn cipher(&self) -> Result<Option<LessSafeKey>> {
        let Some(key) = &self.key else { return Ok(None) };
        let broken = |_| SqlError::internal("no key could be derived");
        let prk = Salt::new(HKDF_SHA256, b"fjord catalog secrets 1").extract(key.expose().as_bytes());
        let okm = prk.expand(&[b"aes-256-gcm"], &AES_256_GCM).map_err(broken)?;
        Ok(Some(LessSafeKey::new(UnboundKey::from(okm))))
    }

    /// Encrypts a literal for one place (`secret/name`, `connector/id/option`).
    pub fn seal(&self, place: &str, value: &Secret) -> Result<Sealed> {
        let Some(cipher) = self.cipher()? else {
            return Err(SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "a secret given as a literal cannot be stored: the server has no key to encrypt it with",
            )
            .hint("Start the server with a secret key (FJORD_SECRET_KEY, or key_file under [secrets] in fjord.toml), or use CREATE SECRET name FROM ENV '...' or FROM FILE '...'."));
        };
        let mut nonce = [0u8; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SqlError::internal("no random numbers"))?;
        let mut data = value.expose().as_bytes().to_vec();
        cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.as_bytes()), &mut data)
            .map_err(|_| SqlError::internal("the secret could not be encrypted"))?;
        Ok(Sealed { nonce: hex(&nonce), data: hex(&data) })
    }

    /// Decrypts what was sealed for the same place with the same key.
    pub fn unseal(&self, place: &str, sealed: &Sealed) -> Result<Secret> {
        let what = place.split('/').next_back().unwrap_or(place);
        let Some(cipher) = self.cipher()? else {
            return Err(SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("secret \"{what}\" is stored encrypted and the server has no key"),
            )
            .hint("Start the server with the secret key that it was created with."));
        };
        let wrong = || {
            SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("secret \"{what}\" cannot be decrypted"))
                .hint("The server's secret key is not the one that it was created with: start with that key, or create the secret again.")
        };
        let nonce: [u8; NONCE_LEN] = unhex(&sealed.nonce).and_then(|n| n.try_into().ok()).ok_or_else(wrong)?;
        let mut data = unhex(&sealed.data).ok_or_else(wrong)?;
        let plain =
            cipher.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(place.as_bytes()), &mut data).map_err(|_| wrong())?;
        String::from_utf8(plain.to_vec()).map(Secret::new).map_err(|_| wrong())
    }

    /// A named secret's value, now.
    pub fn read(&self, name: &str, source: &StoredSource) -> Result<Secret> {
        match source {
            StoredSource::Env(variable) => {
                check_variable(variable)?;
                std::env::var(variable).map(Secret::new).map_err(|_| {
                    SqlError::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!("secret \"{name}\" cannot be read: the server has no environment variable \"{variable}\""),
                    )
                    .hint(format!("Start the server with {variable} set."))
                })
            }
            StoredSource::File(path) => {
                let wrap = |e: SqlError| SqlError { message: format!("secret \"{name}\" cannot be read: {}", e.message), ..e };
                self.read_file(path).map_err(wrap)
            }
            StoredSource::Sealed(s) => self.unseal(&secret_place(name), s),
        }
    }

    /// A file below the root. Links are followed and must stay below it too. One newline at the end is no part of the secret.
    fn read_file(&self, given: &str) -> Result<Secret> {
        let missing = |e: std::io::Error| SqlError::new(SqlState::UNDEFINED_FILE, format!("file \"{given}\": {e}"));
        let Some(root) = &self.root else {
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "the server reads no secrets from files")
                .hint("Start it with --secret-root DIR; files below that folder can be named."));
        };
        let root = root.canonicalize().map_err(missing)?;
        let outside = || {
            SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("file \"{given}\" is not below the server's secret root"))
                .hint("Name a file below the folder of --secret-root, or a path relative to it.")
        };
        // Checked before the file is looked for, so that nobody learns what else is on the disk.
        if Path::new(given).components().any(|c| matches!(c, std::path::Component::ParentDir)) {
            return Err(outside());
        }
        let wanted = root.join(given);
        if !wanted.starts_with(&root) {
            return Err(outside());
        }
        let path = wanted.canonicalize().map_err(missing)?;
        if !path.starts_with(&root) {
            return Err(outside());
        }
        let meta = path.metadata().map_err(missing)?;
        // Anything but a file (a pipe, a device) could block or never end.
        if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("file \"{given}\" is no plain file of at most {FILE_BYTES_MAX} bytes"),
            ));
        }
        let text = std::fs::read_to_string(&path).map_err(missing)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
    }
}

/// Refuses the variable that would send the server's own key to a source.
pub(super) fn check_variable(variable: &str) -> Result<()> {
    if variable.eq_ignore_ascii_case(OWN_KEY) {
        return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("environment variable \"{variable}\" is the server's own")));
    }
    if variable.is_empty() || variable.contains(['=', '\0']) {
        return Err(SqlError::new(SqlState::INVALID_NAME, format!("\"{variable}\" is no name of an environment variable")));
    }
    Ok(())
}

/// What a named literal is sealed for.
pub(super) fn secret_place(name: &str) -> String {
    format!("secret/{name}")
}

/// What a literal option is sealed for: the connector's id, not its name, so that RENAME keeps it.
pub(super) fn option_place(id: &str, option: &str) -> String {
    format!("connector/{id}/{option}")
}

fn unhex(s: &str) -> Option<Vec<u8>> {
    if !s.len().is_multiple_of(2) || !s.is_ascii() {
        return None;
    }
    (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ring(key: &str) -> Keyring {
        Keyring { key: Some(Secret::new(key)), root: None }
    }

    #[test]
    fn sealed_opens_only_with_its_key_in_its_place() {
        let sealed = ring("k1").seal("secret/a", &Secret::new("hunter2")).unwrap();
        assert_eq!(ring("k1").unseal("secret/a", &sealed).unwrap().expose(), "hunter2");
        assert!(ring("k2").unseal("secret/a", &sealed).is_err());
        assert!(ring("k1").unseal("secret/b", &sealed).is_err());
        assert!(!serde_json::to_string(&sealed).unwrap().contains("hunter2"));
        assert_ne!(sealed, ring("k1").seal("secret/a", &Secret::new("hunter2")).unwrap());
        let none = Keyring { key: None, root: None };
        assert!(none.seal("x", &Secret::new("y")).unwrap_err().hint.unwrap().contains("FROM ENV"));
    }

    #[test]
    fn files_only_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/pw"), "hunter2\n").unwrap();
        std::fs::write(dir.path().join("outside"), "no").unwrap();
        std::os::unix::fs::symlink(dir.path().join("outside"), root.join("link")).unwrap();
        let ring = Keyring { key: None, root: Some(root.clone()) };
        let read = |p: &str| ring.read("s", &StoredSource::File(p.into()));
        assert_eq!(read("sub/pw").unwrap().expose(), "hunter2");
        assert_eq!(read(root.join("sub/pw").to_str().unwrap()).unwrap().expose(), "hunter2");
        for bad in ["../outside", "/etc/passwd", "/etc/does-not-exist", "link", "sub/../../outside"] {
            assert_eq!(read(bad).unwrap_err().state, SqlState::INSUFFICIENT_PRIVILEGE, "{bad}");
        }
        assert_eq!(read("sub").unwrap_err().state, SqlState::WRONG_OBJECT_TYPE);
        assert_eq!(read("gone").unwrap_err().state, SqlState::UNDEFINED_FILE);
        let none = Keyring { key: None, root: None };
        assert!(none.read("s", &StoredSource::File("pw".into())).unwrap_err().hint.unwrap().contains("--secret-root"));
        assert!(none.read("s", &StoredSource::Env("FJORD_SECRET_KEY".into())).is_err());
    }
}
