//! Decimals of BSON: 34 digits with an exponent of their own (IEEE 754 decimal128, binary integer coding), as integers of a fixed scale.

use arrow::datatypes::i256;

/// Why a decimal has no fixed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// NaN or an infinity.
    NotFinite,
    /// More digits in front of the point.
    Large,
    /// More digits behind the point.
    Fine,
}

/// The greatest coefficient: a greater one is not canonical, and means zero.
const COEFFICIENT_MAX: u128 = 10u128.pow(34) - 1;
const BIAS: i64 = 6176;

/// Coefficient and exponent of ten.
fn parts(bytes: [u8; 16]) -> Result<(i128, i64), Unfit> {
    let bits = u128::from_le_bytes(bytes);
    let negative = bits >> 127 == 1;
    if bits >> 123 & 0xf == 0xf {
        return Err(Unfit::NotFinite);
    }
    // Two bits of one in front: the exponent lies two bits lower, and the coefficient is beyond what is canonical.
    let (exponent, coefficient) = match bits >> 125 & 3 {
        3 => (bits >> 111 & 0x3fff, 0),
        _ => (bits >> 113 & 0x3fff, bits & ((1 << 113) - 1)),
    };
    let coefficient = if coefficient > COEFFICIENT_MAX { 0 } else { coefficient };
    let signed = i128::try_from(coefficient).map_err(|_| Unfit::Large)?;
    let exponent = i64::try_from(exponent).map_err(|_| Unfit::Large)? - BIAS;
    Ok((if negative { -signed } else { signed }, exponent))
}

/// 10 to the n, as far as 256 bits hold it.
pub(super) fn power_of_ten(n: u32) -> Option<i256> {
    (n <= 76).then(|| (0..n).fold(i256::ONE, |p, _| p.wrapping_mul(i256::from_i128(10))))
}

/// A BSON decimal in a fixed scale; `limit` is ten to the number of digits.
pub(super) fn scaled(bytes: [u8; 16], scale: i8, limit: i256) -> Result<i256, Unfit> {
    let (coefficient, exponent) = parts(bytes)?;
    fixed(coefficient, exponent + i64::from(scale), limit)
}

/// An integer in a fixed scale.
pub(super) fn integer(v: i64, scale: i8, limit: i256) -> Result<i256, Unfit> {
    fixed(i128::from(v), i64::from(scale), limit)
}

/// `coefficient` times ten to `shift`, exactly.
fn fixed(coefficient: i128, shift: i64, limit: i256) -> Result<i256, Unfit> {
    if coefficient == 0 {
        return Ok(i256::ZERO);
    }
    let v = if shift >= 0 {
        let power = u32::try_from(shift).ok().and_then(power_of_ten).ok_or(Unfit::Large)?;
        i256::from_i128(coefficient).checked_mul(power).ok_or(Unfit::Large)?
    } else {
        // At most 34 digits can be cut off.
        let digits = u32::try_from(-shift).ok().filter(|d| *d <= 38).ok_or(Unfit::Fine)?;
        let power = 10i128.checked_pow(digits).ok_or(Unfit::Fine)?;
        if coefficient % power != 0 {
            return Err(Unfit::Fine);
        }
        i256::from_i128(coefficient / power)
    };
    if v >= limit || v <= limit.wrapping_neg() { Err(Unfit::Large) } else { Ok(v) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str, scale: i8) -> Result<String, Unfit> {
        let d: bson::Decimal128 = text.parse().unwrap();
        scaled(d.bytes(), scale, power_of_ten(76).unwrap()).map(|v| v.to_string())
    }

    #[test]
    fn decimals_of_all_exponents() {
        assert_eq!(at("12.50", 2).unwrap(), "1250");
        assert_eq!(at("-0", 38).unwrap(), "0");
        assert_eq!(at("1E+3", 0).unwrap(), "1000");
        assert_eq!(at("1.500", 1).unwrap(), "15");
        assert_eq!(at("9.999999999999999999999999999999999E+37", 38).unwrap(), format!("{}{}", "9".repeat(34), "0".repeat(42)));
        assert_eq!(at("1E-38", 38).unwrap(), "1");
        assert_eq!(at("1E-39", 38), Err(Unfit::Fine));
        assert_eq!(at("1E+38", 38), Err(Unfit::Large));
        assert_eq!(at("0E+6000", 38).unwrap(), "0");
        for special in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(at(special, 2), Err(Unfit::NotFinite));
        }
    }
}
