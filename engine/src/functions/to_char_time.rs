//! `to_char(timestamp, pattern)`: Postgres's patterns, as `DCH_to_char` of `formatting.c` (PostgreSQL 15) writes them, in the C locale.
//!
//! Zones (`TZ`, `OF` and their kin) are refused: the value is a wall-clock time by then.

use datafusion::common::{Result, ScalarValue};

use super::rowwise::{text, wrong};
use crate::error::SqlError;
use crate::values::{USECS_PER_DAY, USECS_PER_SEC, civil_of_days, days_of_civil};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
/// The words of a pattern, a longer one before those that it begins with.
const WORDS: &[&str] = &[
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "Day", "DDD", "DD", "DY", "Dy", "D", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6",
    "FX", "HH24", "HH12", "HH", "IDDD", "ID", "IW", "IYYY", "IYY", "IY", "I", "J", "MI", "MM", "MONTH", "Month", "MON", "Mon", "MS", "OF",
    "P.M.", "PM", "Q", "RM", "SSSSS", "SSSS", "SS", "TZH", "TZM", "TZ", "US", "WW", "W", "Y,YYY", "YYYY", "YYY", "YY", "Y", "a.d.", "a.m.",
    "ad", "am", "b.c.", "bc", "cc", "day", "ddd", "dd", "dy", "d", "ff1", "ff2", "ff3", "ff4", "ff5", "ff6", "fx", "hh24", "hh12", "hh",
    "iddd", "id", "iw", "iyyy", "iyy", "iy", "i", "j", "mi", "mm", "month", "mon", "ms", "of", "p.m.", "pm", "q", "rm", "sssss", "ssss",
    "ss", "tzh", "tzm", "tz", "us", "ww", "w", "y,yyy", "yyyy", "yyy", "yy", "y",
];

/// A wall-clock time, taken apart.
struct Moment {
    /// 1 BC is 0.
    year: i64,
    month: usize,
    day: i64,
    /// Since 1970-01-01.
    days: i64,
    /// Microseconds since midnight.
    clock: i64,
}

pub(super) fn to_char(row: &[ScalarValue]) -> Result<ScalarValue> {
    let [ScalarValue::TimestampMicrosecond(Some(t), _), ScalarValue::Utf8(Some(pattern))] = row else { return wrong(row) };
    if matches!(*t, i64::MIN | i64::MAX) || pattern.is_empty() {
        return Ok(ScalarValue::Utf8(None));
    }
    let days = t.div_euclid(USECS_PER_DAY);
    let (year, month, day) = civil_of_days(days);
    let month = usize::try_from(month).unwrap_or(1) - 1;
    text(write(&Moment { year, month, day: i64::from(day), days, clock: t.rem_euclid(USECS_PER_DAY) }, pattern)?)
}

/// Without blanks and zeros that fill up.
#[derive(Clone, Copy, Default)]
struct Prefix {
    fill: bool,
    local: bool,
}

fn write(m: &Moment, pattern: &str) -> Result<String> {
    let (mut out, mut rest) = (String::new(), pattern);
    while let Some(first) = rest.chars().next() {
        let mut prefix = Prefix::default();
        for (word, set) in [("FM", Prefix { fill: true, local: false }), ("TM", Prefix { fill: false, local: true })] {
            if let Some(after) = rest.strip_prefix(word).or_else(|| rest.strip_prefix(word.to_ascii_lowercase().as_str())) {
                (prefix, rest) = (set, after);
                break;
            }
        }
        if let Some(word) = WORDS.iter().find(|w| rest.starts_with(**w)) {
            rest = &rest[word.len()..];
            let mut written = field(m, word, prefix)?;
            for (suffix, upper) in [("TH", true), ("th", false), ("SP", false)] {
                if let Some(after) = rest.strip_prefix(suffix) {
                    rest = after;
                    if suffix != "SP" && written.ends_with(|c: char| c.is_ascii_digit()) && takes_ordinal(word) {
                        written.push_str(&ordinal(&written, upper));
                    }
                    break;
                }
            }
            out.push_str(&written);
            continue;
        }
        if prefix.fill || prefix.local {
            // What follows is no word: it is copied, or begins with the next prefix.
            let Some(next) = rest.chars().next() else { break };
            rest = copy(rest, next, &mut out);
            continue;
        }
        rest = copy(rest, first, &mut out);
    }
    Ok(out)
}

/// Copies one character, or a text in quotes, and gives what follows.
fn copy<'a>(rest: &'a str, first: char, out: &mut String) -> &'a str {
    if first != '"' {
        // A backslash is special before a quote only.
        let rest = if rest.starts_with("\\\"") { &rest[1..] } else { rest };
        let Some(c) = rest.chars().next() else { return rest };
        out.push(c);
        return &rest[c.len_utf8()..];
    }
    let mut chars = rest[1..].chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some(c) => out.push(c),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    chars.as_str()
}

fn takes_ordinal(word: &str) -> bool {
    !matches!(word.to_ascii_lowercase().as_str(), "month" | "mon" | "day" | "dy" | "rm" | "am" | "pm" | "ad" | "bc")
}

/// `st`, `nd`, `rd`, `th`.
fn ordinal(number: &str, upper: bool) -> String {
    let tail = |n: usize| number.get(number.len().saturating_sub(n)..).unwrap_or(number);
    let suffix = match (tail(2), tail(1)) {
        ("11" | "12" | "13", _) => "th",
        (_, "1") => "st",
        (_, "2") => "nd",
        (_, "3") => "rd",
        _ => "th",
    };
    if upper { suffix.to_ascii_uppercase() } else { suffix.to_string() }
}

fn field(m: &Moment, word: &str, prefix: Prefix) -> Result<String> {
    let number = |n: i64, width: usize| if prefix.fill { n.to_string() } else { format!("{n:0width$}") };
    let seconds = m.clock.div_euclid(USECS_PER_SEC);
    let (hour, minute, second, micros) = (seconds / 3600, seconds / 60 % 60, seconds % 60, m.clock % USECS_PER_SEC);
    // There is no year 0 before an AD 1.
    let shown = |y: i64| if y <= 0 { 1 - y } else { y };
    let name = |name: &str, width: usize| {
        let name = match word.chars().nth(1) {
            Some(c) if c.is_ascii_uppercase() => name.to_ascii_uppercase(),
            _ if word.starts_with(|c: char| c.is_ascii_uppercase()) => name.to_string(),
            _ => name.to_ascii_lowercase(),
        };
        if prefix.fill || prefix.local { name } else { format!("{name:width$}") }
    };
    let half = |dots: bool| {
        let text = match (hour >= 12, dots) {
            (false, false) => "am",
            (false, true) => "a.m.",
            (true, false) => "pm",
            (true, true) => "p.m.",
        };
        cased(text, word)
    };
    let era = |dots: bool| {
        let text = match (m.year <= 0, dots) {
            (true, false) => "bc",
            (true, true) => "b.c.",
            (false, false) => "ad",
            (false, true) => "a.d.",
        };
        cased(text, word)
    };
    let (week_year, week, week_day) = iso_week(m);
    let weekday = usize::try_from((m.days + 4).rem_euclid(7)).unwrap_or(0);
    let day_of_year = m.days - days_of_civil(m.year, 1, 1) + 1;
    Ok(match word.to_ascii_lowercase().as_str() {
        "a.m." | "p.m." => half(true),
        "am" | "pm" => half(false),
        "a.d." | "b.c." => era(true),
        "ad" | "bc" => era(false),
        "hh" | "hh12" => number(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
        "hh24" => number(hour, 2),
        "mi" => number(minute, 2),
        "ss" => number(second, 2),
        "ms" => format!("{:03}", micros / 1_000),
        "us" | "ff6" => format!("{micros:06}"),
        "ff1" => format!("{}", micros / 100_000),
        "ff2" => format!("{:02}", micros / 10_000),
        "ff3" => format!("{:03}", micros / 1_000),
        "ff4" => format!("{:04}", micros / 100),
        "ff5" => format!("{:05}", micros / 10),
        "ssss" | "sssss" => seconds.to_string(),
        "month" => name(MONTHS[m.month], 9),
        "mon" => name(&MONTHS[m.month][..3], 3),
        "mm" => number(m.month as i64 + 1, 2),
        "rm" => {
            let roman = if word == "RM" { ROMAN[m.month].to_string() } else { ROMAN[m.month].to_ascii_lowercase() };
            if prefix.fill { roman } else { format!("{roman:4}") }
        }
        "day" => name(DAYS[weekday], 9),
        "dy" => name(&DAYS[weekday][..3], 3),
        "ddd" => number(day_of_year, 3),
        "iddd" => number((week - 1) * 7 + week_day, 3),
        "dd" => number(m.day, 2),
        "d" => (weekday + 1).to_string(),
        "id" => week_day.to_string(),
        "w" => ((m.day - 1) / 7 + 1).to_string(),
        "ww" => number((day_of_year - 1) / 7 + 1, 2),
        "iw" => number(week, 2),
        "q" => (m.month / 3 + 1).to_string(),
        "j" => (m.days + 2_440_588).to_string(),
        "cc" => {
            let century = if m.year > 0 { (m.year - 1) / 100 + 1 } else { m.year / 100 - 1 };
            // Two digits after the sign.
            number(century, if century < 0 { 3 } else { 2 })
        }
        "y,yyy" => format!("{},{:03}", shown(m.year) / 1_000, shown(m.year) % 1_000),
        "yyyy" => number(shown(m.year), 4),
        "yyy" => number(shown(m.year) % 1_000, 3),
        "yy" => number(shown(m.year) % 100, 2),
        "y" => number(shown(m.year) % 10, 1),
        "iyyy" => number(shown(week_year), 4),
        "iyy" => number(shown(week_year) % 1_000, 3),
        "iy" => number(shown(week_year) % 100, 2),
        "i" => number(shown(week_year) % 10, 1),
        "fx" => String::new(),
        _ => {
            return Err(SqlError::unsupported(format!("to_char: \"{word}\" in a pattern is not supported"))
                .hint("SHOW timezone tells the zone in which the time is written.")
                .into());
        }
    })
}

fn cased(text: &str, word: &str) -> String {
    if word.starts_with(|c: char| c.is_ascii_uppercase()) { text.to_ascii_uppercase() } else { text.to_string() }
}

/// ISO 8601: the year of the week's Thursday, the week in it, the day from Monday on.
fn iso_week(m: &Moment) -> (i64, i64, i64) {
    let from_monday = (m.days + 3).rem_euclid(7);
    let thursday = m.days - from_monday + 3;
    let (year, ..) = civil_of_days(thursday);
    (year, (thursday - days_of_civil(year, 1, 1)) / 7 + 1, from_monday + 1)
}
