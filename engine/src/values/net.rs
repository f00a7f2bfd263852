//! Values that Fjord holds as text and Postgres sends as bytes: inet, cidr, macaddr, uuid, bit strings, timetz.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{Buf, BufMut, BytesMut};

/// Postgres's own numbers for the address families.
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 3;

/// An address with the length of its network part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inet {
    address: IpAddr,
    bits: u8,
    cidr: bool,
}

impl Inet {
    /// From text; `None` where it is none. For a cidr no bit may be set right of the mask.
    pub(crate) fn parse(text: &str, cidr: bool) -> Option<Inet> {
        let (address, bits) = match text.trim().split_once('/') {
            Some((a, b)) if !b.is_empty() && b.len() <= 3 && b.bytes().all(|c| c.is_ascii_digit()) => (a, Some(b.parse::<u16>().ok()?)),
            Some(_) => return None,
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().ok()?;
        Inet::of(address, bits, cidr)
    }

    /// From binary.
    pub(crate) fn from_binary(mut b: &[u8], cidr: bool) -> Option<Inet> {
        if b.len() < 4 {
            return None;
        }
        let (family, bits, _, len) = (b.get_u8(), b.get_u8(), b.get_u8(), b.get_u8());
        let address = match (family, len) {
            (FAMILY_V4, 4) => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(b).ok()?)),
            (FAMILY_V6, 16) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(b).ok()?)),
            _ => return None,
        };
        Inet::of(address, Some(u16::from(bits)), cidr)
    }

    fn of(address: IpAddr, bits: Option<u16>, cidr: bool) -> Option<Inet> {
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = u8::try_from(bits.unwrap_or(all)).ok().filter(|b| u16::from(*b) <= all)?;
        if cidr {
            let host_bits = u32::from(all) - u32::from(bits);
            let value = match address {
                IpAddr::V4(a) => u128::from(a.to_bits()),
                IpAddr::V6(a) => a.to_bits(),
            };
            if host_bits > 0 && value & (u128::MAX >> (128 - host_bits)) != 0 {
                return None;
            }
        }
        Some(Inet { address, bits, cidr })
    }

    pub(crate) fn put_binary(&self, out: &mut BytesMut) {
        let (family, len) = if self.address.is_ipv4() { (FAMILY_V4, 4) } else { (FAMILY_V6, 16) };
        out.put_slice(&[family, self.bits, u8::from(self.cidr), len]);
        match self.address {
            IpAddr::V4(a) => out.put_slice(&a.octets()),
            IpAddr::V6(a) => out.put_slice(&a.octets()),
        }
    }

    /// As Postgres prints it: an inet without its mask where that is the whole address.
    pub(crate) fn to_text(self) -> String {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        let address = match self.address {
            IpAddr::V4(a) => a.to_string(),
            IpAddr::V6(a) => {
                let s = a.segments();
                // Postgres writes the old IPv4-compatible addresses with dots; std only the mapped ones.
                if s[..6].iter().all(|w| *w == 0) && s[6] != 0 {
                    let o = a.octets();
                    format!("::{}.{}.{}.{}", o[12], o[13], o[14], o[15])
                } else {
                    a.to_string()
                }
            }
        };
        if self.bits == whole && !self.cidr { address } else { format!("{address}/{}", self.bits) }
    }
}

/// The six or eight bytes of a macaddr or macaddr8 in any of Postgres's spellings. A macaddr8 of six bytes gets `ff:fe` in the middle.
pub(crate) fn parse_mac(text: &str, eight: bool) -> Option<Vec<u8>> {
    let t = text.trim();
    let separator = t.chars().find(|c| matches!(c, ':' | '-' | '.'));
    let groups: Vec<&str> = match separator {
        Some(s) => t.split(s).collect(),
        None => vec![t],
    };
    let width = groups.first()?.len();
    if width % 2 != 0 || groups.iter().any(|g| g.len() != width) {
        return None;
    }
    let mut bytes = hex(&groups.concat())?;
    match (bytes.len(), eight) {
        (6, true) => {
            bytes.splice(3..3, [0xff, 0xfe]);
            Some(bytes)
        }
        (6, false) | (8, true) => Some(bytes),
        _ => None,
    }
}

/// Bytes as `08:00:2b:01:02:03`.
pub(crate) fn mac_text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// The 16 bytes of a UUID: hyphens after any group of four digits, braces around, any case, as uuid_in takes them.
pub(crate) fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let t = match text.strip_prefix(b"{") {
        Some(rest) => rest.strip_suffix(b"}")?,
        None => text,
    };
    let mut out = [0u8; 16];
    let mut at = 0;
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = nibble(*t.get(at)?)? << 4 | nibble(*t.get(at + 1)?)?;
        at += 2;
        if i % 2 == 1 && i < 15 && t.get(at) == Some(&b'-') {
            at += 1;
        }
    }
    (at == t.len()).then_some(out)
}

/// A string of `0` and `1` in binary: its length in bits, then the bits.
pub(crate) fn put_bits_binary(text: &[u8], out: &mut BytesMut) -> Option<()> {
    out.put_i32(i32::try_from(text.len()).ok()?);
    for eight in text.chunks(8) {
        let mut byte = 0;
        for (i, c) in eight.iter().enumerate() {
            byte |= match c {
                b'1' => 0x80 >> i,
                b'0' => 0,
                _ => return None,
            };
        }
        out.put_u8(byte);
    }
    Some(())
}

/// The text of a bit string in binary.
pub(crate) fn bits_text(mut b: &[u8]) -> Option<String> {
    if b.len() < 4 {
        return None;
    }
    let count = usize::try_from(b.get_i32()).ok()?;
    if b.len() != count.div_ceil(8) {
        return None;
    }
    Some((0..count).map(|i| if b[i / 8] & (0x80 >> (i % 8)) != 0 { '1' } else { '0' }).collect())
}

/// Bytes of an even number of hexadecimal digits.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let t = text.as_bytes();
    if !t.len().is_multiple_of(2) {
        return None;
    }
    t.chunks_exact(2).map(|p| Some(nibble(p[0])? << 4 | nibble(p[1])?)).collect()
}

pub(crate) fn nibble(c: u8) -> Option<u8> {
    char::from(c).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(Inet::parse("192.168.1.5/24", false).unwrap().to_text(), "192.168.1.5/24");
        assert_eq!(Inet::parse("::1", false).unwrap().to_text(), "::1");
        assert_eq!(Inet::parse("10.0.0.0/8", true).unwrap().to_text(), "10.0.0.0/8");
        assert!(Inet::parse("10.1.0.0/8", true).is_none(), "bits right of the mask");
        assert!(Inet::parse("10.0.0.0/33", false).is_none());
        assert!(Inet::parse("10.0.0.0/", false).is_none());
    }

    #[test]
    fn macs_uuids_bits() {
        for t in ["08:00:2b:01:02:03", "08-00-2b-01-02-03", "08002b:010203", "0800.2b01.0203", "08002B010203"] {
            assert_eq!(mac_text(&parse_mac(t, false).unwrap()), "08:00:2b:01:02:03", "{t}");
        }
        assert_eq!(mac_text(&parse_mac("08:00:2b:01:02:03", true).unwrap()), "08:00:2b:ff:fe:01:02:03");
        assert!(parse_uuid(b"{a0eebc999c0b4ef8-bb6d6bb9bd380a11}").is_some());
        assert!(parse_uuid(b"a0eebc999c0b4ef8bb6d6bb9bd380a1").is_none());
        let mut out = BytesMut::new();
        put_bits_binary(b"1010000011", &mut out).unwrap();
        assert_eq!(bits_text(&out).unwrap(), "1010000011");
    }
}
