//! Who we are, by the method that the server names.

use mysql_common::auth::plugins::caching_sha2_password::scramble_sha256;
use mysql_common::auth::plugins::client_ed25519::ClientEd25519;
use mysql_common::auth::plugins::mysql_native_password::scramble_native;
use mysql_common::auth::plugins::{ChallengeResponsePlugin, Context, Response};

use super::{Fault, Malformed};

/// A password and how safe the way to the server is.
pub(super) struct Credentials<'a> {
    pub password: &'a [u8],
    /// TLS, or a Unix socket: a password may be sent as it is.
    pub confidential: bool,
}

/// A PEM of a key of 16,384 bits has 2.8 kB.
const KEY_BYTES_MAX: usize = 8 << 10;

/// How we answer, by the plugin's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugin {
    Native,
    CachingSha2,
    Ed25519,
}

impl Plugin {
    pub(super) fn by_name(name: &[u8]) -> Result<Plugin, Fault> {
        Ok(match name {
            b"mysql_native_password" => Plugin::Native,
            b"caching_sha2_password" => Plugin::CachingSha2,
            b"client_ed25519" => Plugin::Ed25519,
            // A password in clear text, or in a form that is as good as clear text, is not given to whoever asks.
            other => {
                return Err(Fault::Refused(
                    format!("the source asks for authentication by \"{}\", which is not supported", String::from_utf8_lossy(other)),
                    "Give the user a password by caching_sha2_password, ed25519 or mysql_native_password.",
                ));
            }
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Plugin::Native => "mysql_native_password",
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::Ed25519 => "client_ed25519",
        }
    }

    /// The random bytes of a challenge, after which a NUL may stand. By their count: that of ed25519 may end in a zero of its own.
    fn nonce(self, challenge: &[u8]) -> Result<&[u8], Fault> {
        let count = match self {
            Plugin::Native | Plugin::CachingSha2 => 20,
            Plugin::Ed25519 => 32,
        };
        match challenge.split_at_checked(count) {
            Some((nonce, [] | [0])) => Ok(nonce),
            _ => Err(Malformed("a challenge of a wrong length").into()),
        }
    }

    /// The first answer to the server's challenge.
    pub(super) fn respond(self, who: &Credentials<'_>, challenge: &[u8]) -> Result<Vec<u8>, Fault> {
        if who.password.is_empty() {
            return Ok(vec![]);
        }
        let challenge = self.nonce(challenge)?;
        match self {
            Plugin::Native => Ok(scramble_native(challenge, who.password).map(Vec::from).unwrap_or_default()),
            Plugin::CachingSha2 => {
                let nonce: &[u8; 20] = challenge.try_into().map_err(|_| Malformed("a challenge of a wrong length"))?;
                Ok(scramble_sha256(nonce, who.password).map(Vec::from).unwrap_or_default())
            }
            Plugin::Ed25519 => match ClientEd25519::default().run(Ed25519(who.password), challenge) {
                Ok(Response::Last { packet } | Response::Next { packet }) => Ok(packet.unwrap_or_default()),
                Err(_) => Err(Malformed("a challenge of a wrong length").into()),
            },
        }
    }
}

/// The password with a NUL behind it, as caching_sha2_password's full authentication sends it over a confidential way.
pub(super) fn clear(who: &Credentials<'_>) -> Vec<u8> {
    [who.password, &[0]].concat()
}

/// The same, encrypted with the server's public key (RSA, OAEP), after the challenge was laid over it.
pub(super) fn encrypted(who: &Credentials<'_>, challenge: &[u8], key: &[u8]) -> Result<Vec<u8>, Fault> {
    let challenge = Plugin::CachingSha2.nonce(challenge)?;
    let mixed: Vec<u8> = clear(who).iter().zip(challenge.iter().cycle()).map(|(p, c)| p ^ c).collect();
    if key.len() > KEY_BYTES_MAX {
        return Err(Malformed("a public key that is too long").into());
    }
    // mysql_common's parser of keys indexes what it has not checked, and the key comes from the server.
    let sealed = std::panic::catch_unwind(|| mysql_common::crypto::encrypt(&mixed, key));
    match sealed {
        Ok(Ok(bytes)) => Ok(bytes),
        _ => Err(Malformed("a public key that cannot be used").into()),
    }
}

struct Ed25519<'a>(&'a [u8]);

impl Context for Ed25519<'_> {
    fn pass(&self) -> &[u8] {
        self.0
    }
    fn is_ipc_transport(&self) -> bool {
        false
    }
    fn is_tls_transport(&self) -> bool {
        false
    }
    fn scramble(&self) -> &[u8] {
        &[]
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_may_end_in_a_zero_of_its_own() {
        let mut bytes = [7u8; 33];
        bytes[31] = 0;
        bytes[32] = 0;
        assert_eq!(Plugin::Ed25519.nonce(&bytes[..32]).unwrap(), &bytes[..32]);
        assert_eq!(Plugin::Ed25519.nonce(&bytes).unwrap(), &bytes[..32]);
        assert_eq!(Plugin::Native.nonce(&[[7u8; 20].as_slice(), &[0]].concat()).unwrap(), &[7u8; 20]);
        for wrong in [0, 19, 22, 32] {
            assert!(Plugin::CachingSha2.nonce(&vec![7; wrong]).is_err(), "{wrong}");
        }
    }
}
