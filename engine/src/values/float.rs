//! Floats out, as PostgreSQL 12 and later write them: the fewest digits that read back the same, never a decimal that lies exactly between two
//! floats (`src/common/d2s.c`, `f2s.c`), or `%.*g` where `extra_float_digits` is 0 or less.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};

/// What differs between float4 and float8.
struct Shape {
    /// 10^this and above are written with an exponent.
    plain_below: i32,
    /// Digits of `%g` at `extra_float_digits` 0.
    digits: i32,
    /// Digits that always suffice to read the same value back.
    digits_max: usize,
}

impl Shape {
    fn is_plain(&self, exponent: i32) -> bool {
        (-4..self.plain_below).contains(&exponent)
    }
}

const SINGLE: Shape = Shape { plain_below: 6, digits: 6, digits_max: 9 };
const DOUBLE: Shape = Shape { plain_below: 15, digits: 15, digits_max: 17 };

/// A float8 as text.
pub(crate) fn put_f64_text(v: f64, extra_digits: i8, out: &mut BytesMut) {
    if put_special(v, out) {
        return;
    }
    // Whole numbers of few digits are what most columns hold.
    if v.fract() == 0.0 && v.abs() < 1e15 && (v != 0.0 || v.is_sign_positive()) && extra_digits >= 0 {
        return super::number::put_i64_text(v as i64, out);
    }
    if extra_digits <= 0 {
        return put_g(v, (DOUBLE.digits + i32::from(extra_digits)).max(1), out);
    }
    let bits = v.to_bits();
    let (mantissa, exponent) = parts(bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32, 52, 1075);
    put_shortest(&DOUBLE, v, mantissa, exponent, mantissa == 1 << 52, |text| text.parse::<f64>().is_ok_and(|back| back == v), out);
}

/// A float4 as text.
pub(crate) fn put_f32_text(v: f32, extra_digits: i8, out: &mut BytesMut) {
    if put_special(f64::from(v), out) {
        return;
    }
    if extra_digits <= 0 {
        return put_g(v, (SINGLE.digits + i32::from(extra_digits)).max(1), out);
    }
    let bits = v.to_bits();
    let (mantissa, exponent) = parts(u64::from(bits & ((1 << 23) - 1)), (bits >> 23 & 0xff) as i32, 23, 150);
    put_shortest(&SINGLE, v, mantissa, exponent, mantissa == 1 << 23, |text| text.parse::<f32>().is_ok_and(|back| back == v), out);
}

fn put_special(v: f64, out: &mut BytesMut) -> bool {
    if v.is_nan() {
        out.put_slice(b"NaN");
    } else if v.is_infinite() {
        out.put_slice(if v > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if v == 0.0 {
        out.put_slice(if v.is_sign_negative() { b"-0" } else { b"0" });
    } else {
        return false;
    }
    true
}

/// The magnitude as `mantissa * 2^exponent`.
fn parts(fraction: u64, biased: i32, bits: u32, bias: i32) -> (u64, i32) {
    if biased == 0 { (fraction, 1 - bias) } else { (fraction | 1 << bits, biased - bias) }
}

fn put_shortest<F: std::fmt::LowerExp>(
    shape: &Shape,
    v: F,
    mantissa: u64,
    exponent: i32,
    closer_below: bool,
    reads_back: impl Fn(&str) -> bool,
    out: &mut BytesMut,
) {
    let mut text = Text::default();
    let _ = write!(text, "{v:e}");
    let mut sci = text.scientific();
    // std accepts a decimal exactly half way between two floats where it would round to this one; Postgres does not, because not every reader
    // rounds correctly. Then one more digit is needed.
    if is_midpoint(sci.number, sci.exponent - sci.count as i32 + 1, mantissa, exponent, closer_below) {
        for fraction in sci.count..shape.digits_max {
            text = Text::default();
            let _ = write!(text, "{v:.fraction$e}");
            sci = text.scientific();
            if reads_back(text.as_str()) && !is_midpoint(sci.number, sci.exponent - sci.count as i32 + 1, mantissa, exponent, closer_below)
            {
                break;
            }
        }
    }
    // Where the value lies exactly half way between two decimals of that length, Postgres takes the even one (if it reads back), std the larger.
    let power = sci.exponent - sci.count as i32 + 1;
    if sci.number % 2 == 1
        && decimal(sci.number.wrapping_mul(10).wrapping_sub(5), power - 1) == Some(reduced(u128::from(mantissa), exponent))
    {
        let mut even = Text::default();
        let _ = write!(even, "{}{}e{power}", if sci.negative { "-" } else { "" }, sci.number - 1);
        if reads_back(even.as_str()) && !is_midpoint(sci.number - 1, power, mantissa, exponent, closer_below) {
            let all = even.mantissa();
            let (first, rest) = all.split_first().map_or((b'0', &all[..0]), |(f, r)| (*f, r));
            return put_digits(sci.negative, (first, rest), sci.exponent, shape.is_plain(sci.exponent), out);
        }
    }
    put_digits(sci.negative, text.digits(), sci.exponent, shape.is_plain(sci.exponent), out);
}

/// `number * 10^power` lies exactly half way to a neighbour of `mantissa * 2^exponent`.
fn is_midpoint(number: u64, power: i32, mantissa: u64, exponent: i32, closer_below: bool) -> bool {
    let Some(decimal) = decimal(number, power) else { return false };
    let m = u128::from(mantissa);
    let above = reduced(2 * m + 1, exponent - 1);
    let below = if closer_below { reduced(4 * m - 1, exponent - 2) } else { reduced(2 * m - 1, exponent - 1) };
    decimal == above || decimal == below
}

/// `number * 10^power` as an odd number times a power of two, if it is one. Powers of five beyond 25 need more bits than a float or a midpoint has.
fn decimal(number: u64, power: i32) -> Option<(u128, i32)> {
    let five = 5u128.checked_pow(power.unsigned_abs()).filter(|_| power.abs() <= 25)?;
    let number = u128::from(number);
    if power >= 0 { Some(reduced(number * five, power)) } else { number.is_multiple_of(five).then(|| reduced(number / five, power)) }
}

fn reduced(m: u128, exponent: i32) -> (u128, i32) {
    let twos = m.trailing_zeros().min(127);
    (m >> twos, exponent + twos as i32)
}

/// C's `%.*g`.
fn put_g<F: std::fmt::LowerExp>(v: F, digits: i32, out: &mut BytesMut) {
    let mut text = Text::default();
    let fraction = (digits - 1) as usize;
    let _ = write!(text, "{v:.fraction$e}");
    let sci = text.scientific();
    put_digits(sci.negative, text.digits(), sci.exponent, sci.exponent >= -4 && sci.exponent < digits, out);
}

/// Digits (the first before the point) with a decimal exponent; trailing zeros are cut.
fn put_digits(negative: bool, digits: (u8, &[u8]), exponent: i32, plain: bool, out: &mut BytesMut) {
    let (first, rest) = digits;
    let zeros = rest.iter().rev().take_while(|d| **d == b'0').count();
    let rest = &rest[..rest.len() - zeros];
    if negative {
        out.put_u8(b'-');
    }
    if !plain {
        out.put_u8(first);
        if !rest.is_empty() {
            out.put_u8(b'.');
            out.put_slice(rest);
        }
        out.put_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.put_u8(b'0');
        }
        super::number::put_u64_text(u64::from(exponent.unsigned_abs()), out);
    } else if exponent < 0 {
        out.put_slice(b"0.");
        out.put_bytes(b'0', exponent.unsigned_abs() as usize - 1);
        out.put_u8(first);
        out.put_slice(rest);
    } else {
        let whole = exponent as usize;
        out.put_u8(first);
        out.put_slice(&rest[..whole.min(rest.len())]);
        out.put_bytes(b'0', whole.saturating_sub(rest.len()));
        if rest.len() > whole {
            out.put_u8(b'.');
            out.put_slice(&rest[whole..]);
        }
    }
}

/// What std's `{:e}` wrote, on the stack: at most a sign, 17 digits, a point and an exponent.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    len: usize,
}

struct Scientific {
    negative: bool,
    /// The digits as one number, how many they are, and the power of ten of the first.
    number: u64,
    count: usize,
    exponent: i32,
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let end = self.len + s.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl Text {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
    fn mantissa(&self) -> &[u8] {
        let all = &self.bytes[..self.len];
        let all = all.strip_prefix(b"-").unwrap_or(all);
        &all[..all.iter().position(|b| *b == b'e').unwrap_or(all.len())]
    }
    fn digits(&self) -> (u8, &[u8]) {
        let m = self.mantissa();
        (m.first().copied().unwrap_or(b'0'), m.get(2..).unwrap_or(&[]))
    }
    fn scientific(&self) -> Scientific {
        let (first, rest) = self.digits();
        let digits = std::iter::once(first).chain(rest.iter().copied());
        Scientific {
            negative: self.bytes[0] == b'-',
            number: digits.fold(0u64, |n, d| n.wrapping_mul(10).wrapping_add(u64::from(d.wrapping_sub(b'0')))),
            count: rest.len() + 1,
            exponent: self.as_str().rsplit('e').next().and_then(|e| e.parse().ok()).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(v: f64) -> String {
        let mut out = BytesMut::new();
        put_f64_text(v, 1, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn where_the_exponent_begins() {
        assert_eq!(double(1e14), "100000000000000");
        assert_eq!(double(1e15), "1e+15");
        assert_eq!(double(0.0001), "0.0001");
        assert_eq!(double(0.00001), "1e-05");
        assert_eq!(double(-0.0), "-0");
        assert_eq!(double(123_456.789), "123456.789");
        assert_eq!(double(f64::MIN_POSITIVE), "2.2250738585072014e-308");
        assert_eq!(double(5e-324), "5e-324");
    }
}
