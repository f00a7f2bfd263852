//! Integers and bytea out.

use crate::pgtype::{self, PgType};
use crate::{Result, SqlError, SqlState};
use bytes::{BufMut, BytesMut};

use super::{ByteaOutput, Format};

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A whole number in decimal.
pub(crate) fn put_u64_text(mut v: u64, out: &mut BytesMut) {
    let mut buffer = [0u8; 20];
    let mut at = buffer.len();
    while v >= 100 {
        let pair = (v % 100) as usize * 2;
        v /= 100;
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if v >= 10 {
        let pair = v as usize * 2;
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        buffer[at] = b'0' + v as u8;
    }
    out.put_slice(&buffer[at..]);
}

/// A signed whole number in decimal.
pub(crate) fn put_i64_text(v: i64, out: &mut BytesMut) {
    if v < 0 {
        out.put_u8(b'-');
    }
    put_u64_text(v.unsigned_abs(), out);
}

/// An integer as one of the integer types: the range is checked, because a field may carry a narrower Postgres type than its Arrow type (an `oid`
/// held in 64 bits).
pub(crate) fn put_int(v: i128, pg: PgType, format: Format, out: &mut BytesMut) -> Result<()> {
    let (low, high) = match pg {
        pgtype::INT2 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        pgtype::INT4 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        pgtype::INT8 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        _ => (0, i128::from(u32::MAX)),
    };
    if v < low || v > high {
        return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{v}\" is out of range for type {}", pg.sql_name)));
    }
    match (format, pg) {
        (Format::Text, _) => put_i64_text(v as i64, out),
        (Format::Binary, pgtype::INT2) => out.put_i16(v as i16),
        (Format::Binary, pgtype::INT4) => out.put_i32(v as i32),
        (Format::Binary, pgtype::INT8) => out.put_i64(v as i64),
        (Format::Binary, _) => out.put_u32(v as u32),
    }
    Ok(())
}

/// Bytes as text.
pub(crate) fn put_bytea_text(bytes: &[u8], style: ByteaOutput, out: &mut BytesMut) {
    match style {
        ByteaOutput::Hex => {
            out.reserve(bytes.len() * 2 + 2);
            out.put_slice(b"\\x");
            for b in bytes {
                out.put_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
            }
        }
        ByteaOutput::Escape => {
            for b in bytes {
                match b {
                    b'\\' => out.put_slice(b"\\\\"),
                    0x20..=0x7e => out.put_u8(*b),
                    _ => out.put_slice(&[b'\\', b'0' + (b >> 6), b'0' + (b >> 3 & 7), b'0' + (b & 7)]),
                }
            }
        }
    }
}

/// Sixteen bytes as a UUID.
pub(crate) fn put_uuid_text(bytes: &[u8], out: &mut BytesMut) {
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.put_u8(b'-');
        }
        out.put_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn integers_as_std_prints_them() {
        let mut out = BytesMut::new();
        for v in [0, 1, 9, 10, 99, 100, 101, 12_345, i64::MAX, i64::MIN, -1, -100] {
            out.clear();
            put_i64_text(v, &mut out);
            assert_eq!(out, v.to_string().as_bytes());
        }
        out.clear();
        put_u64_text(u64::MAX, &mut out);
        assert_eq!(out, u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn ranges() {
        let mut out = BytesMut::new();
        assert!(put_int(1 << 32, pgtype::OID, Format::Binary, &mut out).is_err());
        assert!(put_int(-1, pgtype::OID, Format::Text, &mut out).is_err());
        assert!(put_int(32_768, pgtype::INT2, Format::Binary, &mut out).is_err());
    }
}
