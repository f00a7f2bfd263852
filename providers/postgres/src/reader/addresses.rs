//! inet, cidr and macaddr: binary form to the text that Postgres prints.
//!
//! Layout (src/backend/utils/adt/network.c, inet_send): family (2 for IPv4, 3 for IPv6), bits of the mask, is-cidr, address length, address.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An inet or cidr; `None` where the bytes are none. A value that was cast to text at the source passes, in inet's own spelling.
pub(crate) fn inet(bytes: &[u8], always_mask: bool) -> Option<String> {
    // Not even a header: `::1` as text.
    let Some((head, address)) = bytes.split_first_chunk::<4>() else { return cast_inet(bytes, always_mask) };
    let [family, bits, _, length] = *head;
    let (text, full) = match (family, length) {
        (2, 4) => (Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).to_string(), 32),
        (3, 16) => (ipv6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)), 128),
        _ => return cast_inet(bytes, always_mask),
    };
    if bits > full {
        return None;
    }
    Some(if bits == full && !always_mask { text } else { format!("{text}/{bits}") })
}

/// `inet::text` always shows the mask, inet itself only where it is not the whole address.
fn cast_inet(bytes: &[u8], always_mask: bool) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (address, _) = text.split_once('/').unwrap_or((text, ""));
    let full = match address.parse::<std::net::IpAddr>().ok()? {
        std::net::IpAddr::V4(_) => "/32",
        std::net::IpAddr::V6(_) => "/128",
    };
    let shown = if always_mask { text } else { text.strip_suffix(full).unwrap_or(text) };
    Some(shown.to_string())
}

/// Postgres prints an embedded IPv4 part for `::ffff:a.b.c.d` and for `::a.b.c.d`; Rust only for the first.
fn ipv6(address: Ipv6Addr) -> String {
    let s = address.segments();
    if s[..6] == [0; 6] && s[6] != 0 {
        let [.., a, b, c, d] = address.octets();
        return format!("::{a}.{b}.{c}.{d}");
    }
    address.to_string()
}

/// A macaddr (6 bytes) or macaddr8 (8 bytes), or its text.
pub(crate) fn mac(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        6 | 8 => {
            let mut text = String::with_capacity(23);
            for (i, b) in bytes.iter().enumerate() {
                if i > 0 {
                    text.push(':');
                }
                text.push(char::from(HEX[usize::from(b >> 4)]));
                text.push(char::from(HEX[usize::from(b & 15)]));
            }
            Some(text)
        }
        17 | 23 => std::str::from_utf8(bytes).ok().map(str::to_string),
        _ => None,
    }
}

/// Hexadecimal digits as Postgres writes them.
pub(crate) const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(inet(&[2, 32, 0, 4, 10, 0, 0, 1], false).unwrap(), "10.0.0.1");
        assert_eq!(inet(&[2, 8, 0, 4, 10, 0, 0, 1], false).unwrap(), "10.0.0.1/8");
        assert_eq!(inet(&[2, 32, 1, 4, 10, 0, 0, 1], true).unwrap(), "10.0.0.1/32");
        assert_eq!(inet(b"10.0.0.1/32", false).unwrap(), "10.0.0.1");
        assert_eq!(inet(b"::1", false).unwrap(), "::1");
        assert_eq!(inet(b"10.0.0.0/8", false).unwrap(), "10.0.0.0/8");
        assert_eq!(inet(&[2, 33, 0, 4, 10, 0, 0, 1], false), None);
        assert_eq!(inet(&[9, 32, 0, 4, 10, 0, 0, 1], false), None);
        assert_eq!(mac(&[8, 0, 0x2b, 1, 2, 3]).unwrap(), "08:00:2b:01:02:03");
        assert_eq!(mac(&[1, 2]), None);
    }
}
