//! What is durable, and its bytes.
//!
//! A commit is two lines of JSON: a header with the format's version, the sequence, the parent, a nonce and the body's SHA-256; and the body, the
//! whole state. A header of a newer format is recognised whatever else it holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::secret::Sealed;
use crate::error::{Result, SqlError, SqlState};

/// The newest format that this code reads, and the one that it writes.
pub(super) const FORMAT: u32 = 1;
/// The first OID of user objects, as in Postgres (FirstNormalObjectId).
pub(super) const FIRST_OID: u32 = 16384;

/// Everything that Fjord remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub next_oid: u32,
    pub connectors: BTreeMap<String, StoredConnector>,
    pub secrets: BTreeMap<String, StoredSecret>,
    /// By schema, then by name.
    pub views: BTreeMap<String, BTreeMap<String, StoredView>>,
    #[serde(with = "pairs")]
    pub oids: BTreeMap<Vec<String>, u32>,
}

impl Default for State {
    fn default() -> Self {
        State { next_oid: FIRST_OID, connectors: BTreeMap::new(), secrets: BTreeMap::new(), views: BTreeMap::new(), oids: BTreeMap::new() }
    }
}

impl State {
    /// The OID of a path, a new one if it has none.
    pub fn oid(&mut self, path: Vec<String>) -> u32 {
        let next = &mut self.next_oid;
        *self.oids.entry(path).or_insert_with(|| {
            let oid = *next;
            *next = next.saturating_add(1);
            oid
        })
    }
}

/// JSON has no objects with list keys: OIDs are kept as a list of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(map: &BTreeMap<Vec<String>, u32>, s: S) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(s)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<Vec<String>, u32>, D::Error> {
        Ok(Vec::<(Vec<String>, u32)>::deserialize(d)?.into_iter().collect())
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredConnector {
    /// Made at CREATE, never reused: sealed options are bound to it, a replaced connector has another.
    pub id: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub options: BTreeMap<String, StoredOption>,
    pub comment: Option<String>,
    pub owner: String,
    pub paused: bool,
    /// Microseconds since 1970.
    pub created_at: i64,
}

impl StoredConnector {
    /// The same source in the same way: only the description differs.
    pub fn same_source(&self, other: &StoredConnector) -> bool {
        self.id == other.id && self.type_name == other.type_name && self.options == other.options
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredOption {
    Plain(String),
    /// SECRET name.
    Secret(String),
    /// A literal of a secret option, encrypted.
    Sealed(Sealed),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredSecret {
    pub source: StoredSource,
    pub owner: String,
    pub comment: Option<String>,
    pub created_at: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredSource {
    Env(String),
    File(String),
    Sealed(Sealed),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredView {
    pub definition: String,
    pub owner: String,
    pub comment: Option<String>,
    pub created_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    fjord_catalog: u32,
    seq: u64,
    parent: Option<String>,
    nonce: String,
    written_at: i64,
    written_by: String,
    sha256: String,
}

/// A commit as it was read or written.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub seq: u64,
    pub nonce: String,
    pub parent: Option<String>,
    pub state: std::sync::Arc<State>,
}

impl Commit {
    pub fn encode(&self) -> Result<Bytes> {
        let broken = |e: serde_json::Error| SqlError::internal(format!("the catalog cannot be written: {e}"));
        let body = serde_json::to_string(self.state.as_ref()).map_err(broken)?;
        let header = Header {
            fjord_catalog: FORMAT,
            seq: self.seq,
            parent: self.parent.clone(),
            nonce: self.nonce.clone(),
            written_at: now_micros(),
            written_by: concat!("fjord ", env!("CARGO_PKG_VERSION")).into(),
            sha256: sha256(body.as_bytes()),
        };
        Ok(format!("{}\n{body}\n", serde_json::to_string(&header).map_err(broken)?).into())
    }

    pub fn decode(seq: u64, bytes: &[u8]) -> Result<Commit> {
        let damaged = |why: &str| {
            SqlError::new(SqlState::DATA_CORRUPTED, format!("catalog commit {seq} is damaged: {why}"))
                .hint("Restore the store from a backup.")
        };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is no UTF-8"))?;
        let (first, rest) = text.split_once('\n').ok_or_else(|| damaged("it is cut off"))?;
        let raw: serde_json::Value = serde_json::from_str(first).map_err(|e| damaged(&e.to_string()))?;
        let format = raw.get("fjord_catalog").and_then(serde_json::Value::as_u64).ok_or_else(|| damaged("it has no format"))?;
        if format > u64::from(FORMAT) {
            return Err(SqlError::unsupported(format!(
                "catalog commit {seq} has format {format}, which is newer than this version of Fjord reads ({FORMAT})"
            ))
            .hint("Run the version of Fjord that wrote it, or a newer one."));
        }
        let header: Header = serde_json::from_value(raw).map_err(|e| damaged(&e.to_string()))?;
        let body = rest.strip_suffix('\n').ok_or_else(|| damaged("it is cut off"))?;
        if header.seq != seq || header.sha256 != sha256(body.as_bytes()) {
            return Err(damaged("its checksum does not fit"));
        }
        let state = serde_json::from_str(body).map_err(|e| damaged(&e.to_string()))?;
        Ok(Commit { seq, nonce: header.nonce, parent: header.parent, state: std::sync::Arc::new(state) })
    }
}

/// Microseconds since 1970.
pub(super) fn now_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn commit() -> Commit {
        let mut state = State::default();
        assert_eq!(state.oid(vec!["a".into(), "b".into()]), 16384);
        assert_eq!(state.oid(vec!["a".into(), "c".into()]), 16385);
        assert_eq!(state.oid(vec!["a".into(), "b".into()]), 16384);
        Commit { seq: 7, nonce: "n".into(), parent: Some("p".into()), state: state.into() }
    }

    #[test]
    fn round_trip() {
        let c = commit();
        let back = Commit::decode(7, &c.encode().unwrap()).unwrap();
        assert_eq!((back.nonce, back.parent, back.state), (c.nonce, c.parent, c.state));
    }

    #[test]
    fn any_flipped_or_missing_byte_of_the_body_is_noticed() {
        let bytes = commit().encode().unwrap();
        let body = bytes.iter().position(|b| *b == b'\n').unwrap();
        for i in body..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[i] ^= 1;
            assert_eq!(Commit::decode(7, &bad).unwrap_err().state, SqlState::DATA_CORRUPTED, "byte {i}");
            assert!(Commit::decode(7, &bytes[..i]).is_err());
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let e = Commit::decode(3, b"{\"fjord_catalog\": 2, \"something\": [\"else\"]}\nwhatever\n").unwrap_err();
        assert_eq!(e.message, "catalog commit 3 has format 2, which is newer than this version of Fjord reads (1)");
    }
}
