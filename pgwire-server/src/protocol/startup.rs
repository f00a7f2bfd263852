//! The packets that come before any message has a type byte.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use fjord_engine::{Result, SqlError, SqlState};

use super::frontend::violation;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// The newest protocol that we speak.
pub const PROTOCOL_LATEST: u32 = 0x0003_0002;

/// A packet at the start of a connection.
#[derive(Debug)]
pub enum Packet {
    /// Asks for TLS.
    Ssl,
    /// Asks for GSSAPI encryption.
    Gss,
    /// Cancels another session's query. The secret is 4 bytes in protocol 3.0 and up to 256 in 3.2.
    Cancel {
        /// The session.
        pid: i32,
        /// Its key.
        secret: Bytes,
    },
    /// The start of a session.
    Startup(Startup),
}

/// What a session is started with.
#[derive(Debug, Clone)]
pub struct Startup {
    /// The protocol to speak: 3.0 or 3.2.
    pub protocol: u32,
    /// Set where the client asked for something that we do not have: answer NegotiateProtocolVersion with these unknown options.
    pub negotiate: Option<Vec<String>>,
    /// Parameters but for the `_pq_.` ones.
    pub params: BTreeMap<String, String>,
}

impl Packet {
    /// Decodes a packet's body (without its length).
    pub fn decode(mut body: Bytes) -> Result<Packet> {
        if body.len() < 4 {
            return Err(violation("invalid length of startup packet"));
        }
        match body.get_u32() {
            SSL_REQUEST => Ok(Packet::Ssl),
            GSSENC_REQUEST => Ok(Packet::Gss),
            CANCEL_REQUEST => {
                if body.len() < 8 || body.len() > 260 {
                    return Err(violation("invalid length of cancel request packet"));
                }
                Ok(Packet::Cancel { pid: body.get_i32(), secret: body })
            }
            version if version >> 16 == 3 => startup(version, body).map(Packet::Startup),
            version => Err(SqlError::unsupported(format!(
                "unsupported frontend protocol {}.{}: server supports 3.0 to 3.2",
                version >> 16,
                version & 0xffff
            ))),
        }
    }
}

fn startup(version: u32, mut body: Bytes) -> Result<Startup> {
    let layout = || violation("invalid startup packet layout: expected terminator as last byte");
    let mut params = BTreeMap::new();
    let mut unknown = vec![];
    let next = |body: &mut Bytes| -> Result<String> {
        let end = body.iter().position(|b| *b == 0).ok_or_else(layout)?;
        let text = body.split_to(end);
        body.advance(1);
        String::from_utf8(text.to_vec())
            .map_err(|_| SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "startup packet is not valid UTF-8"))
    };
    loop {
        let name = next(&mut body)?;
        if name.is_empty() {
            break;
        }
        let value = next(&mut body)?;
        if name.starts_with("_pq_.") {
            unknown.push(name);
        } else {
            params.insert(name, value);
        }
    }
    if !body.is_empty() {
        return Err(layout());
    }
    // 3.1 was never released; a client that asks for it, or for anything newer than 3.2, is told what it gets instead.
    let (protocol, odd) = match version {
        0x0003_0000 => (0x0003_0000, false),
        0x0003_0001 => (0x0003_0000, true),
        PROTOCOL_LATEST => (PROTOCOL_LATEST, false),
        _ => (PROTOCOL_LATEST, true),
    };
    let negotiate = (odd || !unknown.is_empty()).then_some(unknown);
    Ok(Startup { protocol, negotiate, params })
}

/// Splits the `options` parameter (`-c name=value --name=value`) as Postgres does: blanks separate, a backslash takes the next character as it is.
pub fn split_options(options: &str) -> Result<Vec<(String, String)>> {
    let mut words = vec![];
    let mut word = String::new();
    let mut any = false;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                word.extend(chars.next());
                any = true;
            }
            c if c.is_ascii_whitespace() => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    let bad = |w: &str| SqlError::new(SqlState::SYNTAX_ERROR, format!("invalid command-line argument for server process: {w}"));
    let mut settings = vec![];
    let mut words = words.into_iter();
    while let Some(w) = words.next() {
        let pair = if w == "-c" {
            words.next().ok_or_else(|| bad(&w))?
        } else if let Some(rest) = w.strip_prefix("-c").or_else(|| w.strip_prefix("--")) {
            rest.to_string()
        } else {
            return Err(bad(&w));
        };
        let (name, value) = pair.split_once('=').ok_or_else(|| bad(&pair))?;
        settings.push((name.replace('-', "_").to_ascii_lowercase(), value.to_string()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn options_are_split_as_postgres_does() {
        let got = split_options(r"-c search_path=a,\ b  --statement-timeout=5s -cdatestyle=ISO").unwrap();
        let want = [("search_path", "a, b"), ("statement_timeout", "5s"), ("datestyle", "ISO")];
        assert_eq!(got, want.map(|(a, b)| (a.to_string(), b.to_string())));
        assert!(split_options("-x").is_err());
        assert!(split_options("-c").is_err());
    }

    #[test]
    fn grease_is_negotiated_down() {
        let Packet::Startup(s) = Packet::decode(Bytes::from_static(b"\0\x03\x27\x0fuser\0a\0_pq_.x\0y\0\0")).unwrap() else { panic!() };
        assert_eq!(s.protocol, PROTOCOL_LATEST);
        assert_eq!(s.negotiate, Some(vec!["_pq_.x".to_string()]));
    }

    #[test]
    fn random_packets_never_panic() {
        use rand::{Rng, SeedableRng};
        let mut rng = rand::rngs::StdRng::seed_from_u64(9);
        for _ in 0..50_000 {
            let mut body: Vec<u8> = vec![0, 3, 0, rng.random_range(0..3)];
            if rng.random_bool(0.2) {
                body = (0..rng.random_range(0..12)).map(|_| rng.random()).collect();
            }
            body.extend((0..rng.random_range(0..30)).map(|_| if rng.random_bool(0.3) { 0 } else { rng.random_range(32u8..200) }));
            let _ = Packet::decode(Bytes::from(body));
        }
    }
}
