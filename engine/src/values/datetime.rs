//! Dates, times, timestamps and intervals out: ISO text and binary.
//!
//! Inside, a date is days since 1970-01-01 and a timestamp microseconds since then, in the proleptic Gregorian calendar, as in Arrow; binary counts
//! from 2000-01-01. `i32::MAX` / `MIN` days and `i64::MAX` / `MIN` are `infinity` / `-infinity`.

use crate::{Result, SqlError, SqlState};
use bytes::{BufMut, BytesMut};

use super::number::put_u64_text;
use super::zone::Zone;

pub(crate) const USECS_PER_SEC: i64 = 1_000_000;
pub(crate) const USECS_PER_DAY: i64 = 86_400 * USECS_PER_SEC;

/// A time as whole days and what is left, both of one sign: how Postgres tells the difference of two timestamps.
pub(crate) fn days_and_rest(usecs: i64) -> (i32, i64) {
    // 292,277 years of microseconds are some 100 million days.
    (i32::try_from(usecs / USECS_PER_DAY).unwrap_or_default(), usecs % USECS_PER_DAY)
}
/// 2000-01-01 in days since 1970-01-01.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
/// 2000-01-01 in microseconds since 1970-01-01.
pub(crate) const EPOCH_USECS: i64 = EPOCH_DAYS as i64 * USECS_PER_DAY;

/// Days since 1970-01-01 of a date; year 0 is 1 BC.
pub(crate) fn days_of_civil(year: i64, month: u32, day: u32) -> i64 {
    // Years are counted from March, so that the leap day is a year's last.
    let m = i64::from(month);
    let y = if m <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((m + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468
}

/// The date of days since 1970-01-01: (year, month, day).
pub(crate) fn civil_of_days(days: i64) -> (i64, u32, u32) {
    let d = days.saturating_add(719_468);
    let cycle = d.div_euclid(146_097);
    let day_of_cycle = d.rem_euclid(146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (cycle * 400 + year_of_cycle + i64::from(month <= 2), month as u32, day as u32)
}

/// A date as text.
pub(crate) fn put_date_text(days: i32, out: &mut BytesMut) {
    match days {
        i32::MAX => out.put_slice(b"infinity"),
        i32::MIN => out.put_slice(b"-infinity"),
        _ => {
            let bc = put_ymd(i64::from(days), out);
            if bc {
                out.put_slice(b" BC");
            }
        }
    }
}

/// A date in binary: days since 2000-01-01.
pub(crate) fn put_date_binary(days: i32, out: &mut BytesMut) -> Result<()> {
    out.put_i32(match days {
        i32::MAX | i32::MIN => days,
        _ => days.checked_sub(EPOCH_DAYS).ok_or_else(|| out_of_range("date"))?,
    });
    Ok(())
}

/// A time of day as text.
pub(crate) fn put_time_text(usecs: i64, out: &mut BytesMut) {
    put_clock(usecs, out);
}

/// A timestamp as text; with a zone, in that zone and with its offset.
pub(crate) fn put_timestamp_text(usecs: i64, zone: Option<Zone>, out: &mut BytesMut) {
    match usecs {
        i64::MAX => return out.put_slice(b"infinity"),
        i64::MIN => return out.put_slice(b"-infinity"),
        _ => {}
    }
    let offset = zone.map(|z| z.offset_at(usecs.div_euclid(USECS_PER_SEC)));
    // Only an instant within a day of the end of i64 could overflow: it is then some 292,000 years off, and no Postgres value.
    let local = usecs.saturating_add(i64::from(offset.unwrap_or(0)) * USECS_PER_SEC);
    let bc = put_ymd(local.div_euclid(USECS_PER_DAY), out);
    out.put_u8(b' ');
    put_clock(local.rem_euclid(USECS_PER_DAY), out);
    if let Some(seconds) = offset {
        put_offset(seconds, out);
    }
    if bc {
        out.put_slice(b" BC");
    }
}

/// A timestamp with or without zone in binary: microseconds since 2000-01-01.
pub(crate) fn put_timestamp_binary(usecs: i64, out: &mut BytesMut) -> Result<()> {
    out.put_i64(match usecs {
        i64::MAX | i64::MIN => usecs,
        _ => usecs.checked_sub(EPOCH_USECS).ok_or_else(|| out_of_range("timestamp"))?,
    });
    Ok(())
}

/// An offset as timestamptz and timetz print it: `+00`, `+05:30`, `-04:56:02`.
pub(crate) fn put_offset(seconds: i32, out: &mut BytesMut) {
    out.put_u8(if seconds < 0 { b'-' } else { b'+' });
    let s = seconds.unsigned_abs();
    put_padded(u64::from(s / 3600), 2, out);
    if !s.is_multiple_of(3600) {
        out.put_u8(b':');
        put_2(s / 60 % 60, out);
        if !s.is_multiple_of(60) {
            out.put_u8(b':');
            put_2(s % 60, out);
        }
    }
}

/// A value of a timestamp unit in microseconds; the infinities stay what they are. Finer than a microsecond is cut off (towards the past): Postgres
/// has no finer timestamps.
pub(crate) fn usecs_of(value: i64, unit: arrow::datatypes::TimeUnit) -> Result<i64> {
    use arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    if value == i64::MAX || value == i64::MIN {
        return Ok(value);
    }
    match unit {
        Second => value.checked_mul(USECS_PER_SEC),
        Millisecond => value.checked_mul(1_000),
        Microsecond => Some(value),
        Nanosecond => Some(value.div_euclid(1_000)),
    }
    .ok_or_else(|| out_of_range("timestamp"))
}

/// An interval as text in the style `postgres` (EncodeInterval, INTSTYLE_POSTGRES).
pub(crate) fn put_interval_text(months: i32, days: i32, usecs: i64, out: &mut BytesMut) {
    let mut first = true;
    let mut before_negative = false;
    for (value, unit) in [(months / 12, " year"), (months % 12, " mon"), (days, " day")] {
        if value == 0 {
            continue;
        }
        if !first {
            out.put_u8(b' ');
        }
        // After a negative part a positive one says so: `-1 days +02:00:00`.
        if before_negative && value > 0 {
            out.put_u8(b'+');
        }
        super::number::put_i64_text(i64::from(value), out);
        out.put_slice(unit.as_bytes());
        if value != 1 {
            out.put_u8(b's');
        }
        before_negative = value < 0;
        first = false;
    }
    if first || usecs != 0 {
        if !first {
            out.put_u8(b' ');
        }
        if usecs < 0 {
            out.put_u8(b'-');
        } else if before_negative {
            out.put_u8(b'+');
        }
        let total = usecs.unsigned_abs();
        put_padded(total / 3_600_000_000, 2, out);
        out.put_u8(b':');
        put_2((total / 60_000_000 % 60) as u32, out);
        out.put_u8(b':');
        put_seconds(total % 60_000_000, out);
    }
}

/// An interval in binary: microseconds, days, months.
pub(crate) fn put_interval_binary(months: i32, days: i32, usecs: i64, out: &mut BytesMut) {
    out.put_i64(usecs);
    out.put_i32(days);
    out.put_i32(months);
}

/// `YYYY-MM-DD`; true if the year is before Christ and ` BC` has to follow.
fn put_ymd(days: i64, out: &mut BytesMut) -> bool {
    let (year, month, day) = civil_of_days(days);
    let bc = year <= 0;
    put_padded(if bc { (1 - year).unsigned_abs() } else { year.unsigned_abs() }, 4, out);
    out.put_u8(b'-');
    put_2(month, out);
    out.put_u8(b'-');
    put_2(day, out);
    bc
}

/// `HH:MM:SS[.ffffff]`; 24:00:00 is a time of day too.
fn put_clock(usecs: i64, out: &mut BytesMut) {
    let total = usecs.unsigned_abs();
    put_padded(total / 3_600_000_000, 2, out);
    out.put_u8(b':');
    put_2((total / 60_000_000 % 60) as u32, out);
    out.put_u8(b':');
    put_seconds(total % 60_000_000, out);
}

/// Seconds with the fraction's trailing zeros cut.
fn put_seconds(usecs: u64, out: &mut BytesMut) {
    put_2((usecs / 1_000_000) as u32, out);
    let mut fraction = usecs % 1_000_000;
    if fraction != 0 {
        let mut digits = 6;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        out.put_u8(b'.');
        put_padded(fraction, digits, out);
    }
}

fn put_2(v: u32, out: &mut BytesMut) {
    out.put_slice(&[b'0' + (v / 10 % 10) as u8, b'0' + (v % 10) as u8]);
}

fn put_padded(v: u64, width: u32, out: &mut BytesMut) {
    let mut limit = 10u64.pow(width - 1);
    while v < limit && limit > 1 {
        out.put_u8(b'0');
        limit /= 10;
    }
    put_u64_text(v, out);
}

fn out_of_range(what: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_there_and_back() {
        for days in (-2_500_000i64..110_000_000).step_by(997) {
            let (y, m, d) = civil_of_days(days);
            assert_eq!(days_of_civil(y, m, d), days);
        }
        assert_eq!(civil_of_days(0), (1970, 1, 1));
        assert_eq!(civil_of_days(11_016), (2000, 2, 29));
        assert_eq!(days_of_civil(2000, 1, 1), i64::from(EPOCH_DAYS));
        let _ = civil_of_days(i64::MAX);
        let _ = civil_of_days(i64::MIN);
    }
}
