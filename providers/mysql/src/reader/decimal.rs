//! The text form of a decimal, as binary rows have it, to an unscaled integer.

use arrow::datatypes::i256;

/// Why a text is no decimal of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// No number.
    Malformed,
    /// Too many digits before the point.
    TooLarge,
    /// Digits behind the point that the scale cuts off.
    TooFine,
}

/// The digits of a number, without sign and point, and how far they must be moved to be of the wanted scale.
struct Digits<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    zeros: usize,
}

fn digits(text: &[u8], scale: i8) -> Result<Digits<'_>, Unfit> {
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let point = text.iter().position(|b| *b == b'.');
    let (whole, fraction) = match point {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(Unfit::Malformed);
    }
    let scale = usize::try_from(scale).map_err(|_| Unfit::Malformed)?;
    let (kept, cut) = fraction.split_at(fraction.len().min(scale));
    if cut.iter().any(|b| *b != b'0') {
        return Err(Unfit::TooFine);
    }
    Ok(Digits { negative, whole, fraction: kept, zeros: scale - kept.len() })
}

/// As 128 bits; `limit` is 10^precision.
#[inline]
pub(crate) fn to_i128(text: &[u8], scale: i8, limit: i128) -> Result<i128, Unfit> {
    let d = digits(text, scale)?;
    let mut value = 0i128;
    for b in d.whole.iter().chain(d.fraction) {
        value = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(b - b'0'))).ok_or(Unfit::TooLarge)?;
    }
    for _ in 0..d.zeros {
        value = value.checked_mul(10).ok_or(Unfit::TooLarge)?;
    }
    if value >= limit {
        return Err(Unfit::TooLarge);
    }
    Ok(if d.negative { -value } else { value })
}

/// As 256 bits; `limit` is 10^precision.
pub(crate) fn to_i256(text: &[u8], scale: i8, limit: i256) -> Result<i256, Unfit> {
    /// Digits that fit 128 bits whatever they are.
    const CHUNK: usize = 38;
    let d = digits(text, scale)?;
    let all: Vec<u8> =
        d.whole.iter().chain(d.fraction).copied().chain(std::iter::repeat_n(b'0', d.zeros)).skip_while(|b| *b == b'0').collect();
    // 77 digits: more than 256 bits have.
    if all.len() > 77 {
        return Err(Unfit::TooLarge);
    }
    let mut value = i256::ZERO;
    for chunk in all.chunks(CHUNK) {
        let (mut part, mut power) = (0i128, 1i128);
        for b in chunk {
            part = part * 10 + i128::from(b - b'0');
            power = power.checked_mul(10).ok_or(Unfit::TooLarge)?;
        }
        value = value.checked_mul(i256::from_i128(power)).and_then(|v| v.checked_add(i256::from_i128(part))).ok_or(Unfit::TooLarge)?;
    }
    if value >= limit {
        return Err(Unfit::TooLarge);
    }
    Ok(if d.negative { value.wrapping_neg() } else { value })
}

/// 10^n, if it has at most 256 bits.
pub(crate) fn power_of_ten(n: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_to_integers() {
        let small = |t: &str, s| to_i128(t.as_bytes(), s, 10i128.pow(20));
        assert_eq!(small("-123.450", 2), Ok(-12345));
        assert_eq!(small("7", 3), Ok(7000));
        assert_eq!(small("0.001", 3), Ok(1));
        assert_eq!(small("0.0011", 3), Err(Unfit::TooFine));
        assert_eq!(small("99999999999999999999", 0), Ok(10i128.pow(20) - 1));
        assert_eq!(small("100000000000000000000", 0), Err(Unfit::TooLarge));
        for bad in ["", "-", ".", "1e5", "1.2.3", " 1", "NaN"] {
            assert_eq!(small(bad, 2), Err(Unfit::Malformed), "{bad}");
        }
        let nines = "9".repeat(65);
        let limit = power_of_ten(65).unwrap_or(i256::MAX);
        assert_eq!(to_i256(nines.as_bytes(), 0, limit), Ok(limit - i256::ONE));
        assert_eq!(to_i256(format!("-{nines}").as_bytes(), 0, limit), Ok(i256::ONE - limit));
        assert_eq!(to_i256(format!("1{nines}").as_bytes(), 0, limit), Err(Unfit::TooLarge));
        assert_eq!(to_i256("9".repeat(100).as_bytes(), 0, limit), Err(Unfit::TooLarge));
    }
}
