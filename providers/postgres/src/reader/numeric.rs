//! The binary form of numeric, to exact decimals and to text.
//!
//! Layout (src/backend/utils/adt/numeric.c, numeric_send): digit count, weight, sign, display scale, each 16 bits, then the digits in base 10,000.

use arrow::datatypes::i256;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const PLUS_INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

/// Why a numeric is no decimal of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The bytes are no numeric.
    Malformed,
    /// NaN.
    Nan,
    /// Infinity or -Infinity.
    Infinite,
    /// Too many digits before the point.
    TooLarge,
    /// Digits behind the point that the scale cuts off.
    TooFine,
}

/// A parsed numeric; the digits stay where they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numeric<'a> {
    digits: &'a [u8],
    weight: i16,
    negative: bool,
    display_scale: u16,
}

/// Groups whose digits fit 64 bits whatever they are.
const SHORT_GROUPS: usize = 4;
/// 10^0 to 10^18.
const POWERS: [u64; 19] = {
    let mut powers = [1; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// The unscaled value of a numeric of up to 16 digits, which most are. `None` says nothing: [`Numeric`] decides then.
#[inline]
pub(crate) fn short(bytes: &[u8], scale: i8) -> Option<i128> {
    let (head, digits) = bytes.split_first_chunk::<8>()?;
    let [n0, n1, w0, w1, s0, s1, ..] = *head;
    let count = usize::from(u16::from_be_bytes([n0, n1]));
    if count > SHORT_GROUPS || digits.len() != 2 * count {
        return None;
    }
    let mut sum = 0u64;
    for group in digits.chunks_exact(2) {
        let group = u64::from(u16::from_be_bytes([group[0], group[1]]));
        if group > 9999 {
            return None;
        }
        sum = sum * 10_000 + group;
    }
    // The power of ten of the last group's last digit.
    let last = i32::try_from(count).ok()? - 1;
    let exponent = 4 * (i32::from(i16::from_be_bytes([w0, w1])) - last) + i32::from(scale);
    let power = *POWERS.get(usize::try_from(exponent.unsigned_abs()).ok()?)?;
    let value = if exponent >= 0 {
        i128::from(sum) * i128::from(power)
    } else if sum.is_multiple_of(power) {
        i128::from(sum / power)
    } else {
        return None;
    };
    match u16::from_be_bytes([s0, s1]) {
        POSITIVE => Some(value),
        NEGATIVE => Some(-value),
        _ => None,
    }
}

impl<'a> Numeric<'a> {
    /// Parses the header and checks every digit.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Numeric<'a>, Unfit> {
        let (head, digits) = bytes.split_first_chunk::<8>().ok_or(Unfit::Malformed)?;
        let [n0, n1, w0, w1, s0, s1, d0, d1] = *head;
        match u16::from_be_bytes([s0, s1]) {
            NAN => Err(Unfit::Nan),
            PLUS_INFINITY | MINUS_INFINITY => Err(Unfit::Infinite),
            sign @ (POSITIVE | NEGATIVE) => {
                if digits.len() != usize::from(u16::from_be_bytes([n0, n1])) * 2 {
                    return Err(Unfit::Malformed);
                }
                let numeric = Numeric {
                    digits,
                    weight: i16::from_be_bytes([w0, w1]),
                    negative: sign == NEGATIVE,
                    display_scale: u16::from_be_bytes([d0, d1]),
                };
                if numeric.groups().any(|g| g > 9999) || numeric.display_scale > 0x3fff { Err(Unfit::Malformed) } else { Ok(numeric) }
            }
            _ => Err(Unfit::Malformed),
        }
    }

    fn groups(&self) -> impl Iterator<Item = u16> + 'a {
        self.digits.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]]))
    }

    /// The unscaled value at `scale`, where it is exact and within 128 bits.
    pub(crate) fn to_i128(self, scale: i8) -> Result<i128, Unfit> {
        let (mantissa, exponent) = self.mantissa(scale)?;
        let Some(mantissa) = mantissa else {
            // More groups than 128 bits take while they are summed up, yet the result may fit: the last group may be mostly zeros.
            return self.to_i256(scale)?.to_i128().ok_or(Unfit::TooLarge);
        };
        if mantissa == 0 {
            return Ok(0);
        }
        10i128.checked_pow(exponent).and_then(|p| mantissa.checked_mul(p)).ok_or(Unfit::TooLarge)
    }

    /// The unscaled value at `scale`, where it is exact and within 256 bits.
    pub(crate) fn to_i256(self, scale: i8) -> Result<i256, Unfit> {
        let (mantissa, exponent) = self.mantissa(scale)?;
        let mantissa = match mantissa {
            Some(0) => return Ok(i256::ZERO),
            Some(m) => i256::from_i128(m),
            None => self.wide_mantissa(scale)?,
        };
        if exponent > 76 {
            return Err(Unfit::TooLarge);
        }
        power_of_ten(exponent).and_then(|p| mantissa.checked_mul(p)).ok_or(Unfit::TooLarge)
    }

    /// The digits as one integer, and the power of ten still to be multiplied. The integer is `None` where it does not fit 128 bits.
    fn mantissa(&self, scale: i8) -> Result<(Option<i128>, u32), Unfit> {
        let mut sum: Option<i128> = Some(0);
        let mut last = 0;
        for (factor, value, exponent) in self.steps(scale) {
            let (factor, value) = (factor?, value);
            sum = sum.and_then(|s| s.checked_mul(i128::from(factor))).and_then(|s| s.checked_add(i128::from(value)));
            last = exponent;
        }
        Ok((if self.negative { sum.map(|s| -s) } else { sum }, last))
    }

    fn wide_mantissa(&self, scale: i8) -> Result<i256, Unfit> {
        let mut sum = i256::ZERO;
        for (factor, value, _) in self.steps(scale) {
            let factor = i256::from_i128(i128::from(factor?));
            sum = sum.checked_mul(factor).and_then(|s| s.checked_add(i256::from_i128(i128::from(value)))).ok_or(Unfit::TooLarge)?;
        }
        Ok(if self.negative { sum.wrapping_neg() } else { sum })
    }

    /// For each group: what the sum so far is multiplied by, what is added, and the power of ten that is left after it. A group that the scale cuts
    /// through gives only its upper digits, and an error where its lower ones are not zero.
    fn steps(&self, scale: i8) -> impl Iterator<Item = (Result<u16, Unfit>, u16, u32)> + 'a {
        let (weight, scale) = (i32::from(self.weight), i32::from(scale));
        self.groups().enumerate().map(move |(i, group)| {
            let i = i32::try_from(i).unwrap_or(i32::MAX / 8);
            let exponent = 4 * (weight - i) + scale;
            if exponent >= 0 {
                return (Ok(10_000), group, exponent.unsigned_abs());
            }
            let cut = exponent.unsigned_abs();
            let divisor = if cut >= 4 { 10_000 } else { 10u16.pow(cut) };
            let keep = 10_000 / divisor;
            let factor = if group % divisor == 0 { Ok(keep) } else { Err(Unfit::TooFine) };
            (factor, if cut >= 4 { 0 } else { group / divisor }, 0)
        })
    }

    /// As Postgres prints it, with the display scale.
    pub(crate) fn to_text(self) -> String {
        let groups: Vec<u16> = self.groups().collect();
        let group = |i: i32| usize::try_from(i).ok().and_then(|i| groups.get(i)).copied().unwrap_or(0);
        let mut text = String::with_capacity(groups.len() * 4 + 8);
        if self.negative && groups.iter().any(|g| *g != 0) {
            text.push('-');
        }
        let weight = i32::from(self.weight);
        if weight < 0 {
            text.push('0');
        }
        for i in 0..=weight {
            let digits = if i == 0 { format!("{}", group(i)) } else { format!("{:04}", group(i)) };
            text.push_str(&digits);
        }
        let scale = usize::from(self.display_scale);
        if scale > 0 {
            text.push('.');
            let end = text.len() + scale;
            let mut i = weight + 1;
            while text.len() < end {
                text.push_str(&format!("{:04}", group(i)));
                i += 1;
            }
            text.truncate(end);
        }
        text
    }
}

/// 10^n for n up to 76, the most that 256 bits hold.
pub(crate) fn power_of_ten(n: u32) -> Option<i256> {
    let half = |n: u32| 10i128.checked_pow(n).map(i256::from_i128);
    match n {
        0..=38 => half(n),
        39..=76 => half(38)?.checked_mul(half(n - 38)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bytes(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
        let mut b = (digits.len() as u16).to_be_bytes().to_vec();
        b.extend(weight.to_be_bytes());
        b.extend(sign.to_be_bytes());
        b.extend(scale.to_be_bytes());
        digits.iter().for_each(|d| b.extend(d.to_be_bytes()));
        b
    }

    #[test]
    fn exact_at_a_scale() {
        let v = |w, s, d: &[u16], scale| {
            let bytes = bytes(w, s, 4, d);
            let exact = Numeric::parse(&bytes).unwrap().to_i128(scale);
            assert!(short(&bytes, scale).is_none_or(|n| Ok(n) == exact), "{d:?}");
            exact
        };
        assert_eq!(v(0, 0, &[12, 3400], 2), Ok(1234));
        assert_eq!(v(0, 0, &[12, 3400], 4), Ok(123_400));
        assert_eq!(v(0, NEGATIVE, &[12, 3400], 6), Ok(-12_340_000));
        assert_eq!(v(0, 0, &[12, 3400], 1), Err(Unfit::TooFine));
        assert_eq!(v(-1, 0, &[1], 4), Ok(1));
        assert_eq!(v(-3, 0, &[1], 4), Err(Unfit::TooFine));
        assert_eq!(v(2, 0, &[1], 0), Ok(100_000_000));
        assert_eq!(v(0, 0, &[], 10), Ok(0));
        assert_eq!(v(30, 0, &[1], 0), Err(Unfit::TooLarge));
        assert_eq!(v(i16::MAX, 0, &[1], 38), Err(Unfit::TooLarge));
        // 38 nines: ten groups, of which the last is cut by nothing.
        let mut nines = vec![99];
        nines.extend([9999; 9]);
        assert_eq!(v(9, 0, &nines, 0), Ok(10i128.pow(38) - 1));
        // 36 digits before the point and two after: the last group holds two zeros that 128 bits have no room for.
        let mut cut = vec![9999; 9];
        cut.push(9900);
        assert_eq!(v(8, NEGATIVE, &cut, 2), Ok(-(10i128.pow(38) - 1)));
    }

    #[test]
    fn the_short_way_gives_what_the_long_way_gives() {
        let mut taken = 0;
        for weight in -6..7 {
            for digits in [&[][..], &[1], &[9999], &[12, 3400], &[5, 0, 100], &[1, 2, 3, 4], &[9999; 4], &[9999; 5], &[10_000]] {
                for sign in [POSITIVE, NEGATIVE, NAN] {
                    for scale in [-4, 0, 1, 2, 6, 18, 38] {
                        let b = bytes(weight, sign, 4, digits);
                        if let Some(n) = short(&b, scale) {
                            assert_eq!(Numeric::parse(&b).unwrap().to_i128(scale), Ok(n), "{weight} {digits:?} {scale}");
                            taken += 1;
                        }
                    }
                }
            }
        }
        assert!(taken > 300, "{taken}");
        assert_eq!(short(&bytes(0, NEGATIVE, 4, &[12, 3400]), 2), Some(-1234));
    }

    #[test]
    fn wide() {
        let mut nines = vec![9999; 19];
        let n = bytes(18, 0, 0, &nines);
        assert_eq!(Numeric::parse(&n).unwrap().to_i256(0).unwrap(), power_of_ten(76).unwrap().wrapping_sub(i256::ONE));
        nines.push(1);
        let n = bytes(19, 0, 0, &nines);
        assert_eq!(Numeric::parse(&n).unwrap().to_i256(0), Err(Unfit::TooLarge));
        assert_eq!(Numeric::parse(&bytes(i16::MIN, 0, 0, &[1])).unwrap().to_i256(38), Err(Unfit::TooFine));
    }

    #[test]
    fn special_and_malformed() {
        assert_eq!(Numeric::parse(&bytes(0, NAN, 0, &[])).err(), Some(Unfit::Nan));
        assert_eq!(Numeric::parse(&bytes(0, MINUS_INFINITY, 0, &[])).err(), Some(Unfit::Infinite));
        assert_eq!(Numeric::parse(&bytes(0, 7, 0, &[])).err(), Some(Unfit::Malformed));
        assert_eq!(Numeric::parse(&bytes(0, 0, 0, &[10_000])).err(), Some(Unfit::Malformed));
        assert_eq!(Numeric::parse(&[0; 7]).err(), Some(Unfit::Malformed));
    }

    #[test]
    fn text_as_postgres_prints_it() {
        let t = |w, s, scale, d: &[u16]| Numeric::parse(&bytes(w, s, scale, d)).unwrap().to_text();
        assert_eq!(t(0, NEGATIVE, 2, &[12, 3400]), "-12.34");
        assert_eq!(t(0, 0, 4, &[12, 3400]), "12.3400");
        assert_eq!(t(1, 0, 0, &[1]), "10000");
        assert_eq!(t(-2, 0, 8, &[25]), "0.00000025");
        assert_eq!(t(0, 0, 3, &[]), "0.000");
    }
}
