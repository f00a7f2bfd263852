//! Numeric: decimals out as text and binary, and numerics in.
//!
//! Everything goes through a string of decimal digits: it is what text needs, and base 10,000 (`src/backend/utils/adt/numeric.c`) is four of them at a
//! time. Postgres's display scale (`dscale`) travels in binary, so 1.50 stays 1.50.

use crate::{Result, SqlError, SqlState};
use arrow::datatypes::i256;
use bytes::{Buf, BufMut, BytesMut};

use super::Format;

/// 78 digits of an i256 and as many zeros as the most negative scale asks for.
const DIGITS_MAX: usize = 78 + 128;
/// Digits before the point that Postgres's numeric can have; beyond, input is refused before memory is taken.
const WHOLE_DIGITS_MAX: i64 = 131_072;
/// Digits after the point that Postgres's numeric can have.
const SCALE_MAX: i64 = 16_383;
const NAN: u16 = 0xC000;
const POSITIVE_INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;
const NEGATIVE: u16 = 0x4000;

/// The precision and scale in which a numeric without its own is held.
pub(crate) const UNCONSTRAINED: (u8, i8) = (76, 38);

/// A decimal of up to 128 bits.
pub(crate) fn put_i128(v: i128, scale: i8, trim: bool, format: Format, out: &mut BytesMut) {
    let m = v.unsigned_abs();
    put_limbs(v < 0, [m as u64, (m >> 64) as u64, 0, 0], scale, trim, format, out);
}

/// A decimal of 256 bits.
pub(crate) fn put_i256(v: i256, scale: i8, trim: bool, format: Format, out: &mut BytesMut) {
    // The absolute value of i256::MIN is its own bit pattern read as unsigned.
    let (low, high) = v.wrapping_abs().to_parts();
    let high = high as u128;
    put_limbs(v < i256::ZERO, [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64], scale, trim, format, out);
}

fn put_limbs(negative: bool, mut limbs: [u64; 4], scale: i8, trim: bool, format: Format, out: &mut BytesMut) {
    const CHUNK: u64 = 10_000_000_000_000_000_000;
    let mut buffer = [b'0'; DIGITS_MAX];
    // A negative scale means zeros that are not stored.
    let zeros = usize::from((-i16::from(scale)).max(0) as u16);
    let end = DIGITS_MAX - zeros;
    let mut at = end;
    let mut used = 4;
    loop {
        while used > 0 && limbs[used - 1] == 0 {
            used -= 1;
        }
        if used == 0 {
            break;
        }
        let mut rest: u64 = 0;
        for limb in limbs[..used].iter_mut().rev() {
            let wide = u128::from(rest) << 64 | u128::from(*limb);
            *limb = (wide / u128::from(CHUNK)) as u64;
            rest = (wide % u128::from(CHUNK)) as u64;
        }
        let last = limbs[..used].iter().all(|l| *l == 0);
        let mut width = 0;
        while (last && rest > 0) || (!last && width < 19) {
            at -= 1;
            buffer[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            width += 1;
        }
    }
    let digits = if at == end { &buffer[..0] } else { &buffer[at..] };
    put_decimal(negative, digits, u32::from(scale.max(0).unsigned_abs()), trim, format, out);
}

fn put_decimal(negative: bool, digits: &[u8], mut scale: u32, trim: bool, format: Format, out: &mut BytesMut) {
    let mut digits = digits;
    if trim {
        while scale > 0 && digits.last().is_none_or(|d| *d == b'0') {
            digits = &digits[..digits.len().saturating_sub(1)];
            scale -= 1;
        }
    }
    match format {
        Format::Text => put_text(negative, digits, scale as usize, out),
        Format::Binary => put_binary(negative, digits, scale, out),
    }
}

/// `digits` without leading zeros; the last `scale` of them stand after the point.
fn put_text(negative: bool, digits: &[u8], scale: usize, out: &mut BytesMut) {
    if negative && !digits.is_empty() {
        out.put_u8(b'-');
    }
    let whole = digits.len().saturating_sub(scale);
    if whole == 0 {
        out.put_u8(b'0');
    }
    out.put_slice(&digits[..whole]);
    if scale > 0 {
        out.put_u8(b'.');
        out.put_bytes(b'0', scale - (digits.len() - whole));
        out.put_slice(&digits[whole..]);
    }
}

fn put_binary(negative: bool, digits: &[u8], scale: u32, out: &mut BytesMut) {
    // Digits before the point; negative where zeros follow the point.
    let whole = digits.len() as i64 - i64::from(scale);
    let weight = (whole - 1).div_euclid(4);
    let pad = ((weight + 1) * 4 - whole) as usize;
    let head = out.len();
    out.put_i16(0);
    out.put_i16(0);
    out.put_u16(0);
    out.put_u16(scale as u16);
    let first = out.len();
    let mut significant = first;
    let mut at = 0;
    while at < digits.len() {
        // The first group is filled with zeros on its left, the last on its right.
        let lead = if at == 0 { pad } else { 0 };
        let take = (4 - lead).min(digits.len() - at);
        let group = digits[at..at + take].iter().fold(0u16, |n, d| n * 10 + u16::from(d - b'0'));
        out.put_u16(group * 10u16.pow((4 - lead - take) as u32));
        if group != 0 {
            significant = out.len();
        }
        at += take;
    }
    out.truncate(significant);
    let count = (significant - first) / 2;
    out[head..head + 2].copy_from_slice(&(count as i16).to_be_bytes());
    if count > 0 {
        out[head + 2..head + 4].copy_from_slice(&(weight as i16).to_be_bytes());
        out[head + 4..head + 6].copy_from_slice(&(if negative { NEGATIVE } else { 0 }).to_be_bytes());
    }
}

/// A numeric that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Numeric {
    /// Digits without leading zeros, `scale` of them after the point (zeros implied on the left).
    Finite { negative: bool, digits: Vec<u8>, scale: u32 },
    /// Not a number.
    NaN,
    /// Infinity, negative or not.
    Infinity { negative: bool },
}

impl Numeric {
    /// From text, by Postgres's rules; `None` where it is no numeric or beyond numeric's range.
    pub(crate) fn parse(text: &str) -> Option<Numeric> {
        let t = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        let (negative, body) = match t.as_bytes().first()? {
            b'-' => (true, &t[1..]),
            b'+' => (false, &t[1..]),
            _ => (false, t),
        };
        if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") {
            return Some(Numeric::Infinity { negative });
        }
        if t.eq_ignore_ascii_case("nan") {
            return Some(Numeric::NaN);
        }
        let (mantissa, exponent) = match body.find(['e', 'E']) {
            Some(i) => (&body[..i], exponent(&body[i + 1..])?),
            None => (body, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let mut scale = fraction.len() as i64 - exponent;
        let lead = digits.iter().take_while(|d| **d == b'0').count();
        digits.drain(..lead);
        if scale < 0 {
            if !digits.is_empty() {
                if digits.len() as i64 - scale > WHOLE_DIGITS_MAX {
                    return None;
                }
                digits.resize(digits.len() + scale.unsigned_abs() as usize, b'0');
            }
            scale = 0;
        }
        if scale > SCALE_MAX || digits.len() as i64 - scale > WHOLE_DIGITS_MAX {
            return None;
        }
        Some(Numeric::Finite { negative: negative && !digits.is_empty(), digits, scale: scale as u32 })
    }

    /// From binary; `None` where the bytes are no numeric.
    pub(crate) fn from_binary(mut bytes: &[u8]) -> Option<Numeric> {
        if bytes.len() < 8 {
            return None;
        }
        let count = usize::try_from(bytes.get_i16()).ok()?;
        let weight = i64::from(bytes.get_i16());
        let sign = bytes.get_u16();
        let scale = bytes.get_u16();
        if bytes.len() != count * 2 || i64::from(scale) > SCALE_MAX {
            return None;
        }
        match sign {
            NAN => return Some(Numeric::NaN),
            POSITIVE_INFINITY => return Some(Numeric::Infinity { negative: false }),
            NEGATIVE_INFINITY => return Some(Numeric::Infinity { negative: true }),
            0 | NEGATIVE => {}
            _ => return None,
        }
        // Digits down to the display scale; what lies beyond it is cut, as numeric_recv does.
        let mut digits = Vec::with_capacity(count * 4 + 8);
        for _ in 0..count {
            let group = bytes.get_u16();
            if group > 9_999 {
                return None;
            }
            digits.extend([1_000, 100, 10, 1].map(|p| b'0' + (group / p % 10) as u8));
        }
        let wanted = (weight + 1) * 4 + i64::from(scale);
        if wanted > WHOLE_DIGITS_MAX + SCALE_MAX {
            return None;
        }
        digits.resize(usize::try_from(wanted.max(0)).ok()?, b'0');
        let lead = digits.iter().take_while(|d| **d == b'0').count();
        digits.drain(..lead);
        Some(Numeric::Finite { negative: sign == NEGATIVE && !digits.is_empty(), digits, scale: u32::from(scale) })
    }

    /// As text or binary.
    pub(crate) fn put(&self, format: Format, out: &mut BytesMut) {
        let special = |text: &[u8], sign: u16, out: &mut BytesMut| match format {
            Format::Text => out.put_slice(text),
            Format::Binary => {
                out.put_u32(0);
                out.put_u16(sign);
                // What PostgreSQL 15 sends as the display scale of an infinity; readers ignore it.
                out.put_u16(if sign == NAN { 0 } else { 0x20 });
            }
        };
        match self {
            Numeric::Finite { negative, digits, scale } => put_decimal(*negative, digits, *scale, false, format, out),
            Numeric::NaN => special(b"NaN", NAN, out),
            Numeric::Infinity { negative: false } => special(b"Infinity", POSITIVE_INFINITY, out),
            Numeric::Infinity { negative: true } => special(b"-Infinity", NEGATIVE_INFINITY, out),
        }
    }

    /// As `Decimal256(76, 38)`; 22003 where it does not fit without loss.
    pub(crate) fn to_unconstrained(&self) -> Result<i256> {
        let refused = |why: &str| {
            Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("numeric parameter {why}"))
                .detail("A numeric without precision is held in 76 digits, 38 of them after the decimal point.")
                .hint("Pass the value as text and cast it where it is used."))
        };
        let Numeric::Finite { negative, digits, scale } = self else {
            return refused("is NaN or infinite");
        };
        let target = u32::from(UNCONSTRAINED.1.unsigned_abs());
        let mut digits = digits.clone();
        let mut scale = *scale;
        while scale > target && digits.last().is_none_or(|d| *d == b'0') {
            digits.pop();
            scale -= 1;
        }
        if scale > target {
            return refused("has more than 38 digits after the decimal point");
        }
        if digits.is_empty() {
            return Ok(i256::ZERO);
        }
        digits.resize(digits.len() + (target - scale) as usize, b'0');
        if digits.len() > usize::from(UNCONSTRAINED.0) {
            return refused("has more than 38 digits before the decimal point");
        }
        let ten = i256::from_i128(10);
        let magnitude = digits.iter().fold(i256::ZERO, |n, d| n.wrapping_mul(ten).wrapping_add(i256::from_i128(i128::from(d - b'0'))));
        Ok(if *negative { magnitude.wrapping_neg() } else { magnitude })
    }
}

/// The number after `e`; absurd ones saturate, and are then out of range.
fn exponent(t: &str) -> Option<i64> {
    let digits = t.strip_prefix(['+', '-']).unwrap_or(t);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n = digits.bytes().fold(0i64, |n, d| (n * 10 + i64::from(d - b'0')).min(1_000_000));
    Some(if t.starts_with('-') { -n } else { n })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(v: i256, scale: i8, trim: bool) -> String {
        let mut out = BytesMut::new();
        put_i256(v, scale, trim, Format::Text, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn scales() {
        let v = |n: i128| i256::from_i128(n);
        assert_eq!(text(v(1250), 2, false), "12.50");
        assert_eq!(text(v(1250), 2, true), "12.5");
        assert_eq!(text(v(-5), 3, false), "-0.005");
        assert_eq!(text(v(0), 3, false), "0.000");
        assert_eq!(text(v(0), 3, true), "0");
        assert_eq!(text(v(12), -3, false), "12000");
        assert_eq!(text(v(0), -3, false), "0");
        assert_eq!(text(v(10_000_000_000_000_000_000), 0, false), "10000000000000000000");
        assert_eq!(text(i256::MAX, 0, false), i256::MAX.to_string());
        assert_eq!(text(i256::MIN, 0, false), i256::MIN.to_string());
        assert_eq!(text(v(i128::MIN), 0, false), i128::MIN.to_string());
    }

    #[test]
    fn there_and_back_in_binary() {
        for n in [
            "0",
            "1",
            "-1",
            "0.0001",
            "0.00001",
            "12345.6789",
            "10000",
            "100000000",
            "-99999999.99999999",
            "0.10",
            "1e20",
            "1e-30",
            "000.50",
        ] {
            let numeric = Numeric::parse(n).unwrap();
            let mut out = BytesMut::new();
            numeric.put(Format::Binary, &mut out);
            assert_eq!(Numeric::from_binary(&out).unwrap(), numeric, "{n}");
        }
        assert!(Numeric::parse("1e999999999").is_none());
        assert!(Numeric::parse("1e").is_none());
        assert!(Numeric::parse(".").is_none());
    }
}
