//! Binary values of the protocol as Postgres's own text (DateStyle ISO, IntervalStyle postgres, zone UTC).
//!
//! Written apart from the server's encoders on purpose: a mistake there does not cancel out here. The layouts are those of PostgreSQL's `*send` functions.

use std::error::Error;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio_postgres::types::{FromSql, Kind, Type};

use crate::client::SqlFailure;

/// The bytes of a value of any type.
pub struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw<'a>, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The value's text; None is NULL.
pub fn text(t: &Type, value: Option<Raw<'_>>) -> Result<Option<String>, SqlFailure> {
    let Some(Raw(bytes)) = value else { return Ok(None) };
    let mut reader = Reader { bytes, t };
    let text = reader.value(t)?;
    if !reader.bytes.is_empty() {
        return Err(SqlFailure::new(format!("a binary {t} is {} bytes too long", reader.bytes.len())));
    }
    Ok(Some(text))
}

struct Reader<'a> {
    bytes: &'a [u8],
    t: &'a Type,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], SqlFailure> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or_else(|| SqlFailure::new(format!("a binary {} is too short", self.t)))?;
        self.bytes = tail;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], SqlFailure> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }
    fn i16(&mut self) -> Result<i16, SqlFailure> {
        self.array().map(i16::from_be_bytes)
    }
    fn i32(&mut self) -> Result<i32, SqlFailure> {
        self.array().map(i32::from_be_bytes)
    }
    fn i64(&mut self) -> Result<i64, SqlFailure> {
        self.array().map(i64::from_be_bytes)
    }
    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    fn value(&mut self, t: &Type) -> Result<String, SqlFailure> {
        if let Kind::Array(element) = t.kind() {
            return self.list(element);
        }
        Ok(match *t {
            Type::BOOL => if self.array::<1>()?[0] != 0 { "t" } else { "f" }.to_string(),
            Type::INT2 => self.i16()?.to_string(),
            Type::INT4 => self.i32()?.to_string(),
            Type::INT8 => self.i64()?.to_string(),
            Type::OID => self.array().map(u32::from_be_bytes)?.to_string(),
            Type::FLOAT4 => {
                let v = f32::from_be_bytes(self.array()?);
                float(f64::from(v), &format!("{v:e}"), 6)
            }
            Type::FLOAT8 => {
                let v = f64::from_be_bytes(self.array()?);
                float(v, &format!("{v:e}"), 15)
            }
            Type::NUMERIC => self.numeric()?,
            Type::DATE => date(self.i32()?),
            Type::TIME => time(self.i64()?),
            Type::TIMESTAMP => timestamp(self.i64()?, ""),
            Type::TIMESTAMPTZ => timestamp(self.i64()?, "+00"),
            Type::INTERVAL => {
                let (micros, days, months) = (self.i64()?, self.i32()?, self.i32()?);
                interval(micros, days, months)
            }
            Type::UUID => self.uuid()?,
            Type::INET | Type::CIDR => self.network()?,
            Type::BYTEA => self.rest().iter().fold(String::from("\\x"), |mut s, b| {
                let _ = write!(s, "{b:02x}");
                s
            }),
            Type::JSONB => {
                if self.array::<1>()? != [1] {
                    return Err(SqlFailure::new("a binary jsonb is not of version 1"));
                }
                self.utf8()?
            }
            _ => self.utf8()?,
        })
    }

    fn utf8(&mut self) -> Result<String, SqlFailure> {
        let t = self.t;
        String::from_utf8(self.rest().to_vec()).map_err(|e| SqlFailure::new(format!("a binary {t} is not UTF-8: {e}")))
    }

    /// int16 number of digits, weight, sign, dscale; then digits of base 10,000.
    fn numeric(&mut self) -> Result<String, SqlFailure> {
        let (count, weight, sign, scale) = (self.i16()?, self.i16()?, self.i16()? as u16, self.i16()?);
        match sign {
            0xC000 => return Ok("NaN".into()),
            0xD000 => return Ok("Infinity".into()),
            0xF000 => return Ok("-Infinity".into()),
            _ => {}
        }
        let digits = (0..count).map(|_| self.i16()).collect::<Result<Vec<_>, _>>()?;
        let digit = |position: i32| usize::try_from(position).ok().and_then(|p| digits.get(p)).copied().unwrap_or(0);
        let mut out = String::from(if sign == 0x4000 { "-" } else { "" });
        let weight = i32::from(weight);
        let whole: String = (0..=weight.max(0)).map(|p| format!("{:04}", if weight < 0 { 0 } else { digit(p) })).collect();
        let whole = whole.trim_start_matches('0');
        out.push_str(if whole.is_empty() { "0" } else { whole });
        if scale > 0 {
            let groups = i32::from(scale + 3) / 4;
            let fraction: String = (1..=groups).map(|g| format!("{:04}", digit(weight + g))).collect();
            out.push('.');
            out.push_str(&fraction[..usize::try_from(scale).unwrap_or(0)]);
        }
        Ok(out)
    }

    fn uuid(&mut self) -> Result<String, SqlFailure> {
        let mut out = String::new();
        for (i, b) in self.array::<16>()?.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                out.push('-');
            }
            let _ = write!(out, "{b:02x}");
        }
        Ok(out)
    }

    /// Family (2 or 3), bits of the mask, is-cidr, length, address. An inet of a whole address is written without its mask.
    fn network(&mut self) -> Result<String, SqlFailure> {
        let [family, bits, is_cidr, length] = self.array()?;
        let (address, whole) = match (family, length) {
            (2, 4) => (Ipv4Addr::from(self.array::<4>()?).to_string(), 32),
            (3, 16) => (Ipv6Addr::from(self.array::<16>()?).to_string(), 128),
            _ => return Err(SqlFailure::new(format!("a binary {} of family {family} and length {length}", self.t))),
        };
        Ok(if bits == whole && is_cidr == 0 { address } else { format!("{address}/{bits}") })
    }

    /// int32 dimensions, has-null flag, element type; a length and a lower bound a dimension; then values with their lengths.
    fn list(&mut self, element: &Type) -> Result<String, SqlFailure> {
        let (dimensions, _, _) = (self.i32()?, self.i32()?, self.i32()?);
        let mut lengths = Vec::new();
        for _ in 0..dimensions {
            lengths.push(self.i32()?);
            self.i32()?;
        }
        if lengths.is_empty() {
            return Ok("{}".into());
        }
        self.dimension(element, &lengths)
    }

    fn dimension(&mut self, element: &Type, lengths: &[i32]) -> Result<String, SqlFailure> {
        let Some((length, inner)) = lengths.split_first() else {
            let length = self.i32()?;
            let Ok(length) = usize::try_from(length) else { return Ok("NULL".into()) };
            let mut value = Reader { bytes: self.take(length)?, t: element };
            return Ok(quoted(&value.value(element)?));
        };
        let parts = (0..*length).map(|_| self.dimension(element, inner)).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("{{{}}}", parts.join(",")))
    }
}

/// An array element as array_out writes it.
fn quoted(v: &str) -> String {
    let special = |c: char| c.is_ascii_whitespace() || c == '\x0b' || "{},\"\\".contains(c);
    if v.is_empty() || v.eq_ignore_ascii_case("null") || v.contains(special) {
        return format!("\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\""));
    }
    v.to_string()
}

/// The shortest digits that read back, in Postgres's choice of notation: scientific below 1e-4 and from `limit` digits on.
fn float(v: f64, scientific: &str, limit: i32) -> String {
    if v.is_nan() {
        return "NaN".into();
    }
    if v.is_infinite() {
        return if v > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= limit {
        return format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |d| ("-", d));
    let digits = digits.replace('.', "");
    let point = exponent + 1;
    match usize::try_from(point) {
        Ok(p) if p >= digits.len() => format!("{sign}{digits:0<p$}"),
        Ok(p) if p > 0 => format!("{sign}{}.{}", &digits[..p], &digits[p..]),
        _ => format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or(0))),
    }
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days since 2000-01-01.
fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".into(),
        i32::MIN => "-infinity".into(),
        _ => {
            let (text, bc) = civil(i64::from(days));
            format!("{text}{bc}")
        }
    }
}

fn time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    push_fraction(&mut out, micros % 1_000_000);
    out
}

fn timestamp(micros: i64, zone: &str) -> String {
    match micros {
        i64::MAX => "infinity".into(),
        i64::MIN => "-infinity".into(),
        _ => {
            let (day, bc) = civil(micros.div_euclid(MICROS_PER_DAY));
            format!("{day} {}{zone}{bc}", time(micros.rem_euclid(MICROS_PER_DAY)))
        }
    }
}

fn push_fraction(out: &mut String, micros: i64) {
    if micros != 0 {
        out.push_str(format!(".{micros:06}").trim_end_matches('0'));
    }
}

/// Year-month-day of the proleptic Gregorian calendar, and ` BC` where that is so. Eras of 400 years from 1 March of year 0.
fn civil(days_since_2000: i64) -> (String, &'static str) {
    let z = days_since_2000 + 730_425;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (year, bc) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), bc)
}

fn interval(micros: i64, days: i32, months: i32) -> String {
    let mut parts = Vec::new();
    let mut negative_before = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let plus = if negative_before && value > 0 { "+" } else { "" };
            parts.push(format!("{plus}{value} {unit}{}", if value == 1 { "" } else { "s" }));
            negative_before = value < 0;
        }
    }
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 {
            "-"
        } else if negative_before {
            "+"
        } else {
            ""
        };
        let absolute = micros.unsigned_abs();
        let seconds = absolute / 1_000_000;
        let mut clock = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        push_fraction(&mut clock, i64::try_from(absolute % 1_000_000).unwrap_or(0));
        parts.push(clock);
    }
    parts.join(" ")
}
