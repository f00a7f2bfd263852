//! From a socket to a session: greeting, TLS, login.

use mysql_common::constants::CapabilityFlags;

use super::auth::{self, Credentials, Plugin};
use super::framing::{Bytes, Framing};
use super::input::{put_bytes, put_length};
use super::{Conn, Fault, Input, Malformed, ServerError};
use crate::tls::MakeTls;

/// `utf8mb4_general_ci`, which every server has; the session's own collation is set after the login.
const COLLATION: u8 = 45;
/// Exchanges before we give up on a server that goes on asking.
const ROUNDS_MAX: usize = 8;

/// What the server said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ServerFacts {
    /// As `version()` shows it.
    pub version: String,
    /// MariaDB, not MySQL.
    pub mariadb: bool,
    /// Its version's first three numbers.
    pub number: (u16, u16, u16),
}

impl ServerFacts {
    /// MySQL 8.0, MariaDB 10.5.
    pub(crate) fn is_supported(&self) -> bool {
        if self.mariadb { self.number >= (10, 5, 0) } else { self.number >= (8, 0, 0) }
    }

    /// `MySQL 9.7.4`.
    pub(crate) fn product(&self) -> String {
        format!("{} {}", if self.mariadb { "MariaDB" } else { "MySQL" }, self.version)
    }

    fn parse(greeting: &str) -> ServerFacts {
        // MariaDB says 5.5.5- first, for replicas of MySQL that would stumble over a 10.
        let version = greeting.strip_prefix("5.5.5-").unwrap_or(greeting);
        let mut numbers = version.split(['.', '-']).map(|n| n.chars().take_while(char::is_ascii_digit).collect::<String>());
        let mut next = || numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        ServerFacts {
            mariadb: version.to_ascii_lowercase().contains("mariadb") || greeting.starts_with("5.5.5-"),
            number: (next(), next(), next()),
            version: version.to_string(),
        }
    }
}

/// How to log in.
pub(crate) struct Login<'a> {
    pub user: &'a str,
    pub password: Option<&'a str>,
    pub database: Option<&'a str>,
    pub program: &'a str,
    /// TLS, with the host's name.
    pub tls: Option<(&'a MakeTls, &'a str)>,
    /// A Unix socket: nobody listens.
    pub local: bool,
}

struct Greeting {
    facts: ServerFacts,
    id: u32,
    challenge: Vec<u8>,
    capabilities: CapabilityFlags,
    plugin: Vec<u8>,
}

impl Conn {
    /// Logs in over an open stream.
    pub(crate) async fn login(stream: Box<dyn Bytes>, login: &Login<'_>) -> Result<Conn, Fault> {
        let mut framing = Framing::new(stream);
        let greeting = greeting(framing.next().await?)?;
        let capabilities = wanted(login, &greeting)?;
        if let Some((tls, host)) = login.tls {
            framing.send(&head(capabilities)).await?;
            let stream = tls.connect(host, framing.take_io()?).await?;
            framing.put_io(Box::new(stream));
        }
        let who = Credentials { password: login.password.unwrap_or_default().as_bytes(), confidential: login.tls.is_some() || login.local };
        // A server whose default method is none of ours may still have one of ours for this user: it says so after our answer.
        let plugin = Plugin::by_name(&greeting.plugin).unwrap_or(Plugin::CachingSha2);
        let first = if Plugin::by_name(&greeting.plugin).is_ok() { plugin.respond(&who, &greeting.challenge)? } else { vec![] };
        framing.send(&response(capabilities, login, plugin, &first)).await?;
        authenticate(&mut framing, &who, plugin, greeting.challenge).await?;
        Ok(Conn { framing, facts: greeting.facts, id: greeting.id, statements: vec![] })
    }
}

fn greeting(packet: &[u8]) -> Result<Greeting, Fault> {
    let mut input = Input(packet);
    match input.u8()? {
        10 => {}
        0xff => return Err(error_packet(packet, false)?.into()),
        _ => return Err(Fault::Refused("it does not speak MySQL's protocol 10".into(), "Check \"host\" and \"port\".")),
    }
    let facts = ServerFacts::parse(&String::from_utf8_lossy(input.until_nul()?));
    let id = input.u32()?;
    let mut challenge = input.take(8)?.to_vec();
    input.take(1)?;
    let low = input.u16()?;
    input.take(3)?;
    let high = input.u16()?;
    let capabilities = CapabilityFlags::from_bits_truncate(u32::from(low) | u32::from(high) << 16);
    let length = usize::from(input.u8()?);
    input.take(10)?;
    challenge.extend(input.take(length.saturating_sub(8).max(13).min(input.0.len()))?);
    // Twenty bytes and a NUL.
    challenge.truncate(20);
    let plugin = match capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) {
        true => input.until_nul().unwrap_or(input.0).to_vec(),
        false => b"mysql_native_password".to_vec(),
    };
    Ok(Greeting { facts, id, challenge, capabilities, plugin })
}

/// The capabilities that both sides have and we use.
fn wanted(login: &Login<'_>, greeting: &Greeting) -> Result<CapabilityFlags, Fault> {
    let optional = CapabilityFlags::CLIENT_LONG_PASSWORD | CapabilityFlags::CLIENT_MULTI_RESULTS;
    let needed = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_DEPRECATE_EOF;
    let mut flags = optional | needed;
    if !greeting.capabilities.contains(needed) {
        return Err(Fault::Refused(
            format!("{} is too old, or something between us speaks an old protocol", greeting.facts.product()),
            "Fjord reads MySQL 8.0 and later and MariaDB 10.5 and later.",
        ));
    }
    if login.tls.is_some() {
        if !greeting.capabilities.contains(CapabilityFlags::CLIENT_SSL) {
            return Err(Fault::Refused(
                "the server does not support TLS, but TLS was required".into(),
                "Turn TLS on at the source, or accept an unencrypted connection with sslmode 'disable'.",
            ));
        }
        flags |= CapabilityFlags::CLIENT_SSL;
    }
    if login.database.is_some() {
        flags |= CapabilityFlags::CLIENT_CONNECT_WITH_DB;
    }
    if greeting.capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS) {
        flags |= CapabilityFlags::CLIENT_CONNECT_ATTRS;
    }
    Ok(flags)
}

/// What the request for TLS and the login begin with.
fn head(capabilities: CapabilityFlags) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend(capabilities.bits().to_le_bytes());
    out.extend((super::PACKET_MAX as u32).to_le_bytes());
    out.push(COLLATION);
    out.extend([0; 23]);
    out
}

fn response(capabilities: CapabilityFlags, login: &Login<'_>, plugin: Plugin, first: &[u8]) -> Vec<u8> {
    let mut out = head(capabilities);
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend(text.as_bytes());
        out.push(0);
    };
    text(&mut out, login.user);
    // An answer has at most 64 bytes.
    out.push(first.len() as u8);
    out.extend(first);
    if let Some(database) = login.database {
        text(&mut out, database);
    }
    text(&mut out, plugin.name());
    if capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS) {
        let mut attributes = vec![];
        for (key, value) in [("_client_name", "fjord"), ("program_name", login.program)] {
            put_bytes(&mut attributes, key.as_bytes());
            put_bytes(&mut attributes, value.as_bytes());
        }
        put_length(&mut out, attributes.len());
        out.extend(attributes);
    }
    out
}

async fn authenticate(framing: &mut Framing, who: &Credentials<'_>, mut plugin: Plugin, mut challenge: Vec<u8>) -> Result<(), Fault> {
    for _ in 0..ROUNDS_MAX {
        let packet = framing.next().await?;
        let mut input = Input(packet);
        match input.u8()? {
            0x00 => return Ok(()),
            0xff => return Err(error_packet(packet, true)?.into()),
            0xfe => {
                if input.0.is_empty() {
                    return Err(Fault::Refused(
                        "the source asks for the password form of MySQL 4.0".into(),
                        "Set the user's password anew.",
                    ));
                }
                plugin = Plugin::by_name(input.until_nul()?)?;
                challenge = input.0.to_vec();
                let answer = plugin.respond(who, &challenge)?;
                framing.send(&answer).await?;
            }
            0x01 if plugin == Plugin::CachingSha2 => match input.0 {
                // The server has the password's hash in its cache: an OK follows.
                [3] => {}
                [4] if who.confidential => framing.send(&auth::clear(who)).await?,
                // It wants the password itself, and anybody can listen: encrypted with its key, which we ask for.
                [4] => framing.send(&[2]).await?,
                key => {
                    let sealed = auth::encrypted(who, &challenge, key)?;
                    framing.send(&sealed).await?;
                }
            },
            _ => return Err(Malformed("an answer to the login that is none").into()),
        }
    }
    Err(Malformed("a login without an end").into())
}

/// An ERR packet. Before the login it has no SQLSTATE.
pub(super) fn error_packet(packet: &[u8], with_state: bool) -> Result<ServerError, Malformed> {
    let mut input = Input(packet);
    input.u8()?;
    let code = input.u16()?;
    let state = match (with_state, input.0.first()) {
        (_, Some(b'#')) => {
            input.take(1)?;
            String::from_utf8_lossy(input.take(5)?).into_owned()
        }
        _ => "HY000".into(),
    };
    let message = String::from_utf8_lossy(input.0);
    Ok(ServerError { code, state, message: message.trim_end_matches('\0').to_string() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn versions() {
        let f = ServerFacts::parse("5.5.5-10.11.19-MariaDB-0+deb12u1-log");
        assert!(f.mariadb && f.number == (10, 11, 19) && f.is_supported());
        let f = ServerFacts::parse("9.7.4-2");
        assert!(!f.mariadb && f.number == (9, 7, 4) && f.is_supported());
        assert!(!ServerFacts::parse("5.7.44").is_supported());
        assert!(!ServerFacts::parse("10.4.2-MariaDB").is_supported());
        assert!(ServerFacts::parse("11.4.2-MariaDB-ubu2404").is_supported());
        assert_eq!(ServerFacts::parse("").number, (0, 0, 0));
    }

    #[test]
    fn an_error_before_the_greeting() {
        let e = error_packet(b"\xff\x10\x04Too many connections", false).unwrap();
        assert_eq!((e.code, e.state.as_str(), e.message.as_str()), (1040, "HY000", "Too many connections"));
        let e = error_packet(b"\xff\x15\x04#28000Access denied", true).unwrap();
        assert_eq!((e.code, e.state.as_str(), e.message.as_str()), (1045, "28000", "Access denied"));
    }

    #[test]
    fn greetings_that_are_cut_off_are_errors() {
        let mut whole = vec![10];
        whole.extend(b"9.7.4\0\x01\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15");
        whole.extend([0; 10]);
        whole.extend(b"ijklmnopqrst\0caching_sha2_password\0");
        let g = greeting(&whole).unwrap();
        assert_eq!(
            (g.challenge.as_slice(), g.plugin.as_slice()),
            (b"abcdefghijklmnopqrst".as_slice(), b"caching_sha2_password".as_slice())
        );
        for cut in 0..whole.len() {
            let _ = greeting(&whole[..cut]);
        }
    }
}
