//! Dates, times and timestamps in text, made of their fields.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::pgtype::{self, PgType};
use crate::{Result, SqlError, SqlState};
use bytes::BytesMut;

use super::super::EncodeSettings;
use super::super::datetime::{USECS_PER_DAY, USECS_PER_SEC, days_of_civil, put_offset, put_time_text};
use super::fields::{Fault, Fields, Word, parse};
use super::shorten;

/// 4713-11-24 BC, the first day that Postgres's date knows, in days since 1970.
const FIRST_DAY: i64 = -2_440_588;
/// 5874898-01-01, the first day beyond date.
const DATE_END: i64 = 2_145_042_906;
/// Beyond this no microsecond of a day fits into 64 bits. Postgres's own end is 294276-12-31; Arrow, which counts from 1970, ends on 294247-01-10, and
/// its last value stands for infinity.
const TIMESTAMP_END: i64 = i64::MAX / USECS_PER_DAY + 1;

/// Days since 1970-01-01.
pub(crate) fn date(text: &str, settings: &EncodeSettings) -> Result<i32> {
    let pg = pgtype::DATE;
    let fields = read(pg, text, settings)?;
    let days = match (fields.word, fields.date) {
        (Some(Word::Infinity), None) => return Ok(i32::MAX),
        (Some(Word::MinusInfinity), None) => return Ok(i32::MIN),
        (Some(Word::Epoch), None) => 0,
        (Some(word), None) => local_now(settings).div_euclid(USECS_PER_DAY) + shift(word),
        (None, Some((y, m, d))) => days_of_civil(y, m, d),
        _ => return Err(syntax(pg, text)),
    };
    if !(FIRST_DAY..DATE_END).contains(&days) {
        return Err(overflow(format!("date out of range: \"{}\"", shorten(text))));
    }
    i32::try_from(days).map_err(|_| overflow(format!("date out of range: \"{}\"", shorten(text))))
}

/// Microseconds since midnight.
pub(crate) fn time(text: &str, settings: &EncodeSettings) -> Result<i64> {
    let fields = read(pgtype::TIME, text, settings)?;
    match (fields.time, fields.word) {
        (Some(time), None) => Ok(time),
        (None, Some(Word::Now)) => Ok(local_now(settings).rem_euclid(USECS_PER_DAY)),
        _ => Err(syntax(pgtype::TIME, text)),
    }
}

/// A timetz in the text that Postgres prints, if it is one.
pub(crate) fn timetz_canonical(text: &str, settings: &EncodeSettings) -> Option<String> {
    let fields = parse(text, settings.date_order).ok()?;
    let time = fields.time?;
    let zone = fields.zone.unwrap_or(settings.time_zone);
    let offset = match fields.date {
        Some((y, m, d)) => zone.offset_of_local((days_of_civil(y, m, d) * USECS_PER_DAY + time).div_euclid(USECS_PER_SEC)),
        None => zone.offset_at(now().div_euclid(USECS_PER_SEC)),
    };
    let mut out = BytesMut::new();
    put_time_text(time, &mut out);
    put_offset(offset, &mut out);
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// Microseconds since 1970: of the local clock, or with a zone of UTC.
pub(crate) fn timestamp(text: &str, with_zone: bool, settings: &EncodeSettings) -> Result<i64> {
    let pg = if with_zone { pgtype::TIMESTAMPTZ } else { pgtype::TIMESTAMP };
    let fields = read(pg, text, settings)?;
    let out_of_range = || overflow(format!("timestamp out of range: \"{}\"", shorten(text)));
    let local = match (fields.word, fields.date) {
        (Some(Word::Infinity), None) => return Ok(i64::MAX),
        (Some(Word::MinusInfinity), None) => return Ok(i64::MIN),
        (Some(Word::Epoch), None) => return Ok(0),
        (Some(Word::Now), None) => return Ok(if with_zone { now() } else { local_now(settings) }),
        (Some(word), None) => (local_now(settings).div_euclid(USECS_PER_DAY) + shift(word)) * USECS_PER_DAY + fields.time.unwrap_or(0),
        (None, Some((y, m, d))) => {
            let days = days_of_civil(y, m, d);
            if !(FIRST_DAY..TIMESTAMP_END).contains(&days) {
                return Err(out_of_range());
            }
            let usecs = days.checked_mul(USECS_PER_DAY).and_then(|u| u.checked_add(fields.time.unwrap_or(0)));
            usecs.filter(|u| *u != i64::MAX).ok_or_else(out_of_range)?
        }
        _ => return Err(syntax(pg, text)),
    };
    if !with_zone {
        // A zone in the text of a timestamp without one is read and not used, as in Postgres.
        return Ok(local);
    }
    let zone = fields.zone.unwrap_or(settings.time_zone);
    let offset = zone.offset_of_local(local.div_euclid(USECS_PER_SEC));
    local.checked_sub(i64::from(offset) * USECS_PER_SEC).filter(|u| *u != i64::MAX).ok_or_else(out_of_range)
}

fn read(pg: PgType, text: &str, settings: &EncodeSettings) -> Result<Fields> {
    parse(text, settings.date_order).map_err(|fault| match fault {
        Fault::Syntax => syntax(pg, text),
        Fault::Range => overflow(format!("date/time field value out of range: \"{}\"", shorten(text)))
            .hint("Perhaps you need a different \"datestyle\" setting."),
        Fault::Displacement => overflow(format!("time zone displacement out of range: \"{}\"", shorten(text))),
        Fault::Zone(name) => SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{}\" not recognized", shorten(&name))),
    })
}

fn shift(word: Word) -> i64 {
    match word {
        Word::Tomorrow => 1,
        Word::Yesterday => -1,
        _ => 0,
    }
}

/// Microseconds since 1970 UTC.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or(0)
}

fn local_now(settings: &EncodeSettings) -> i64 {
    let utc = now();
    utc + i64::from(settings.time_zone.offset_at(utc.div_euclid(USECS_PER_SEC))) * USECS_PER_SEC
}

fn syntax(pg: PgType, text: &str) -> SqlError {
    // The names that Postgres's messages use, shorter than the types' own.
    let name = match pg {
        pgtype::TIME => "time",
        pgtype::TIMESTAMP => "timestamp",
        _ => pg.sql_name,
    };
    SqlError::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {name}: \"{}\"", shorten(text)))
}

fn overflow(message: String) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
}
