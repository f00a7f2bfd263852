//! Time zones: names of the IANA database, fixed offsets, and the POSIX spellings that `SET TIME ZONE 3` leaves behind.

use std::str::FromStr;

use crate::{Result, SqlError, SqlState};
use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::datetime::{civil_of_days, days_of_civil};

const DAY: i64 = 86_400;
/// Years from here on are looked up in an equivalent year, because chrono-tz's table ends in 2099.
const TABLE_END: i64 = 2090;
/// 28 years in the Gregorian calendar without a missing leap year hold every pair of (weekday of 1 January, leap year).
const EQUIVALENT_FROM: i64 = 2060;
/// The farthest offset that Postgres takes: 167 hours in `SET TIME ZONE`.
const OFFSET_SECONDS_MAX: i64 = 167 * 3600;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zone {
    /// UTC: the fast path.
    Utc,
    /// Seconds east of Greenwich.
    Fixed(i32),
    /// A zone of the IANA database.
    Named(Tz),
}

impl Zone {
    /// The value of `SET TIME ZONE`: an IANA name (in any case), hours east (`3`, `-3.5`), or POSIX (`<+03>-03`, `XYZ5:30`: hours *west*).
    pub fn parse(text: &str) -> Result<Zone> {
        Zone::lookup(text).ok_or_else(|| {
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"TimeZone\": \"{text}\""))
                .hint("Use a name of the IANA database such as 'Europe/Berlin', or an offset in hours such as '+02'.")
        })
    }

    /// As [`Zone::parse`], or nothing.
    pub fn lookup(text: &str) -> Option<Zone> {
        let t = text.trim();
        if ["utc", "gmt", "z", "zulu", "etc/utc", "uct", "universal"].iter().any(|u| t.eq_ignore_ascii_case(u)) {
            return Some(Zone::Utc);
        }
        if let Ok(hours) = t.parse::<f64>() {
            let seconds = hours * 3600.0;
            return (seconds.abs() <= OFFSET_SECONDS_MAX as f64).then_some(Zone::Fixed(seconds.round() as i32));
        }
        if let Some(seconds) = iso_offset(t) {
            return Some(Zone::Fixed(seconds));
        }
        if let Ok(tz) = Tz::from_str(t) {
            return Some(Zone::Named(tz));
        }
        TZ_VARIANTS.iter().find(|z| z.name().eq_ignore_ascii_case(t)).map(|z| Zone::Named(*z)).or_else(|| posix(t))
    }

    /// Seconds east of Greenwich at an instant, given in seconds since 1970 UTC.
    pub fn offset_at(self, utc: i64) -> i32 {
        match self {
            Zone::Utc => 0,
            Zone::Fixed(seconds) => seconds,
            Zone::Named(tz) => named_offset(tz, utc),
        }
    }

    /// Seconds east of Greenwich for a local time (seconds since 1970 on the local clock). As Postgres's DetermineTimeZoneOffset: of a time that
    /// happens twice the later (standard time); a time that does not happen is read on the clock before the jump.
    pub fn offset_of_local(self, local: i64) -> i32 {
        let Zone::Named(tz) = self else { return self.offset_at(local) };
        let before = named_offset(tz, local.saturating_sub(DAY));
        let after = named_offset(tz, local.saturating_add(DAY));
        let valid = |offset: i32| named_offset(tz, local.saturating_sub(i64::from(offset))) == offset;
        match (valid(before), valid(after)) {
            (true, true) => before.min(after),
            (false, true) => after,
            _ => before,
        }
    }
}

fn named_offset(tz: Tz, utc: i64) -> i32 {
    let (year, month, day) = civil_of_days(utc.div_euclid(DAY));
    let seconds = if year >= TABLE_END {
        let first = days_of_civil(year, 1, 1);
        let same = (EQUIVALENT_FROM..EQUIVALENT_FROM + 28)
            .find(|y| is_leap(*y) == is_leap(year) && (days_of_civil(*y, 1, 1) - first).rem_euclid(7) == 0)
            .unwrap_or(EQUIVALENT_FROM);
        days_of_civil(same, month, day) * DAY + utc.rem_euclid(DAY)
    } else if year < 1000 {
        // Long before any transition: local mean time. (chrono's calendar is shorter than Postgres's.)
        days_of_civil(1000, 1, 1) * DAY
    } else {
        utc
    };
    DateTime::from_timestamp(seconds, 0).map_or(0, |t| tz.offset_from_utc_datetime(&t.naive_utc()).fix().local_minus_utc())
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// `+02`, `-0330`, `+05:30`, `-04:56:02`: seconds east. The sign is required.
pub(crate) fn iso_offset(t: &str) -> Option<i32> {
    let (sign, rest) = match t.as_bytes().first()? {
        b'+' => (1, &t[1..]),
        b'-' => (-1, &t[1..]),
        _ => return None,
    };
    Some(sign * clock(rest)?)
}

/// `HH`, `HHMM`, `HHMMSS`, `HH:MM`, `HH:MM:SS` in seconds; at most 15:59:59 as in Postgres's zone field.
fn clock(t: &str) -> Option<i32> {
    if !t.is_ascii() {
        return None;
    }
    let parts: Vec<&str> = if t.contains(':') {
        t.split(':').collect()
    } else {
        match t.len() {
            1 | 2 => vec![t],
            3 | 4 => vec![&t[..t.len() - 2], &t[t.len() - 2..]],
            6 => vec![&t[..2], &t[2..4], &t[4..]],
            _ => return None,
        }
    };
    if parts.len() > 3 || parts.iter().any(|p| p.is_empty() || p.len() > 2 || !p.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let n: Vec<i32> = parts.iter().filter_map(|p| p.parse().ok()).collect();
    let (h, m, s) = (*n.first()?, n.get(1).copied().unwrap_or(0), n.get(2).copied().unwrap_or(0));
    (h <= 15 && m < 60 && s < 60).then_some(h * 3600 + m * 60 + s)
}

/// A POSIX zone without daylight saving: `<name>offset` or `NAMEoffset`, the offset counted west.
fn posix(t: &str) -> Option<Zone> {
    let rest = match t.strip_prefix('<') {
        Some(r) => r.split_once('>').filter(|(name, _)| name.len() >= 2)?.1,
        None => {
            let end = t.find(|c: char| !c.is_ascii_alphabetic()).filter(|e| *e >= 3)?;
            &t[end..]
        }
    };
    let (west, digits) = match rest.as_bytes().first()? {
        b'-' => (-1, &rest[1..]),
        b'+' => (1, &rest[1..]),
        _ => (1, rest),
    };
    Some(Zone::Fixed(-west * clock(digits)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_offsets_and_posix() {
        assert_eq!(Zone::parse("utc").unwrap(), Zone::Utc);
        assert_eq!(Zone::parse("europe/berlin").unwrap(), Zone::Named(Tz::Europe__Berlin));
        assert_eq!(Zone::parse("3").unwrap(), Zone::Fixed(10_800));
        assert_eq!(Zone::parse("-3.5").unwrap(), Zone::Fixed(-12_600));
        assert_eq!(Zone::parse("<+03>-03").unwrap(), Zone::Fixed(10_800));
        assert_eq!(Zone::parse("XYZ5:30").unwrap(), Zone::Fixed(-19_800));
        let e = Zone::parse("Nowhere/Land").unwrap_err();
        assert_eq!(e.state, SqlState::INVALID_PARAMETER_VALUE);
        for odd in ["", "+", "é+", "<>", "<a", "+é", "+1é", "+é1"] {
            assert!(Zone::lookup(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn twice_and_never() {
        let ny = Zone::parse("America/New_York").unwrap();
        let at = |y, m, d, h: i64| days_of_civil(y, m, d) * DAY + h * 3600;
        assert_eq!(ny.offset_of_local(at(2024, 11, 3, 1)), -18_000, "happens twice: standard time");
        assert_eq!(ny.offset_of_local(at(2024, 3, 10, 2)), -18_000, "never happens: the clock before");
        assert_eq!(ny.offset_of_local(at(2024, 7, 1, 0)), -14_400);
        assert_eq!(ny.offset_at(at(9999, 7, 1, 0)), -14_400, "rules go on after the table's end");
        assert_eq!(ny.offset_at(at(-4000, 7, 1, 0)), -17_762, "local mean time");
    }
}
