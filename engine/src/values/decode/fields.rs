//! The fields of a date and time in text: what `ParseDateTime` and `DecodeDateTime` of Postgres take, as far as people and drivers write it: ISO 8601
//! with and without separators, month names, slashes and dots by DateStyle's order, AM/PM, BC, offsets, zone names and abbreviations, and the words
//! `now`, `today`, `tomorrow`, `yesterday`, `epoch`, `infinity`. Not: Julian days and day-of-year dates.

use super::super::DateOrder;
use super::super::zone::{Zone, iso_offset};

/// What a text says, field by field.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// Year (1 BC is 0), month, day.
    pub(crate) date: Option<(i64, u32, u32)>,
    /// Microseconds since midnight; 24:00:00 is allowed.
    pub(crate) time: Option<i64>,
    /// The zone.
    pub(crate) zone: Option<Zone>,
    /// A word that stands for a date or time.
    pub(crate) word: Option<Word>,
}

/// Words instead of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Now,
    Today,
    Tomorrow,
    Yesterday,
    Epoch,
    Infinity,
    MinusInfinity,
}

/// Why a text is no date or time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 22007.
    Syntax,
    /// 22008: a field is out of range.
    Range,
    /// 22009 in Postgres: an offset beyond what zones have.
    Displacement,
    /// 22023: an unknown zone.
    Zone(String),
}

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// Abbreviations of zones with their offsets in quarters of an hour (the common part of Postgres's `Default` set): they win over zone names.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("est", -20),
    ("edt", -16),
    ("cst", -24),
    ("cdt", -20),
    ("mst", -28),
    ("mdt", -24),
    ("pst", -32),
    ("pdt", -28),
    ("akst", -36),
    ("akdt", -32),
    ("hst", -40),
    ("ast", -16),
    ("adt", -12),
    ("nst", -14),
    ("ndt", -10),
    ("wet", 0),
    ("west", 4),
    ("cet", 4),
    ("cest", 8),
    ("met", 4),
    ("mest", 8),
    ("eet", 8),
    ("eest", 12),
    ("bst", 4),
    ("ist", 8),
    ("msk", 12),
    ("jst", 36),
    ("kst", 36),
    ("aest", 40),
    ("aedt", 44),
    ("awst", 32),
    ("nzst", 48),
    ("nzdt", 52),
    ("sgt", 32),
    ("hkt", 32),
];

/// The time and offset (seconds east) of the text of a timetz as Postgres prints it.
pub(crate) fn parse_timetz(text: &str) -> Option<(i64, i32)> {
    let at = text.find(['+', '-'])?;
    Some((clock(&text[..at])?, iso_offset(&text[at..])?))
}

/// Reads the fields.
pub(crate) fn parse(text: &str, order: DateOrder) -> Result<Fields, Fault> {
    let lower = text.to_ascii_lowercase();
    let mut reader = Reader { rest: &lower, order, fields: Fields::default(), month: None, numbers: vec![], half: None, era: None };
    reader.read()?;
    reader.finish()
}

struct Reader<'a> {
    rest: &'a str,
    order: DateOrder,
    fields: Fields,
    /// A month that stood as a word on its own, and the numbers around it.
    month: Option<u32>,
    numbers: Vec<&'a str>,
    /// PM.
    half: Option<bool>,
    /// BC.
    era: Option<bool>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), Fault> {
        loop {
            let before = self.rest.len();
            self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',' || c == '\x0b');
            // An offset may follow a date without a time; but `2025-11-01-05` is no date.
            let after_date = self.fields.date.is_some() && (self.rest.starts_with('+') || self.rest.len() < before);
            let Some(first) = self.rest.chars().next() else { return Ok(()) };
            match first {
                '0'..='9' => self.number()?,
                '+' | '-' if self.fields.time.is_some() || after_date => {
                    let offset = self.take(|c| c.is_ascii_digit() || matches!(c, ':' | '+' | '-'));
                    let digits = offset[1..].bytes().all(|b| b.is_ascii_digit() || b == b':') && offset.len() > 1;
                    let wrong = if digits { Fault::Displacement } else { Fault::Syntax };
                    let zone = Zone::Fixed(iso_offset(offset).ok_or(wrong)?);
                    self.set_zone(zone)?;
                }
                '-' | '+' if self.rest[1..].starts_with("inf") => {
                    self.rest = &self.rest[1..];
                    let word = self.take(|c| c.is_ascii_alphabetic());
                    if !matches!(word, "infinity" | "inf") {
                        return Err(Fault::Syntax);
                    }
                    self.set_word(if first == '-' { Word::MinusInfinity } else { Word::Infinity })?;
                }
                c if c.is_ascii_alphabetic() => self.word()?,
                _ => return Err(Fault::Syntax),
            }
        }
    }

    fn take(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn number(&mut self) -> Result<(), Fault> {
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        match self.rest[digits..].chars().next() {
            Some(':') => {
                let time = self.take(|c| c.is_ascii_digit() || matches!(c, ':' | '.'));
                self.set_time(time)
            }
            Some('-' | '/') => self.date_token(),
            // `8.1.1999` is a date, `040506.789` a time.
            Some('.') if self.rest[digits + 1..].contains('.') && digits <= 4 && self.fields.date.is_none() => self.date_token(),
            _ => {
                let token = self.take(|c| c.is_ascii_digit() || c == '.');
                self.run_together(token)
            }
        }
    }

    /// Digits without separators: `19990108`, `990108`, `040506[.789]`, `0405`; or a day or year beside a month's name.
    fn run_together(&mut self, token: &'a str) -> Result<(), Fault> {
        let whole = token.split('.').next().unwrap_or("");
        let dated = self.fields.date.is_some() || self.month.is_some() && self.numbers.len() >= 2;
        let pair = |at: usize| whole.get(at..at + 2).unwrap_or("");
        match (dated, whole.len(), token.len() == whole.len()) {
            (false, 8, true) if self.month.is_none() => self.set_date(&whole[..4], pair(4), pair(6)),
            (false, 6, true) if self.month.is_none() => self.set_date(pair(0), pair(2), pair(4)),
            (true, 6, _) => {
                let time = format!("{}:{}:{}{}", pair(0), pair(2), pair(4), &token[6..]);
                self.set_time(&time)
            }
            (true, 4, true) => {
                let time = format!("{}:{}", pair(0), pair(2));
                self.set_time(&time)
            }
            // The hour of `4 PM`.
            (true, 1 | 2, true) if self.fields.time.is_none() => {
                let time = format!("{whole}:00");
                self.set_time(&time)
            }
            (false, _, true) if self.numbers.len() < 2 => {
                self.numbers.push(token);
                Ok(())
            }
            _ => Err(Fault::Syntax),
        }
    }

    /// Three parts with `-`, `/` or `.` between, one of which may be a month's name.
    fn date_token(&mut self) -> Result<(), Fault> {
        let separator = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).map_or(' ', |i| char::from(self.rest.as_bytes()[i]));
        let mut parts = [""; 3];
        for (i, part) in parts.iter_mut().enumerate() {
            let digits = self.rest.starts_with(|c: char| c.is_ascii_digit());
            *part = self.take(|c| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() });
            if part.is_empty() || (i < 2 && !self.rest.starts_with(separator)) {
                return Err(Fault::Syntax);
            }
            if i < 2 {
                self.rest = &self.rest[1..];
            }
        }
        let [a, b, c] = parts;
        let named = |p: &str| month_of(p).map(|m| m.to_string());
        if let Some(m) = named(b) {
            return if a.len() >= 3 || self.order == DateOrder::Ymd { self.set_date(a, &m, c) } else { self.set_date(c, &m, a) };
        }
        if let Some(m) = named(a) {
            return self.set_date(c, &m, b);
        }
        match self.order {
            _ if a.len() >= 3 => self.set_date(a, b, c),
            DateOrder::Ymd => self.set_date(a, b, c),
            DateOrder::Mdy => self.set_date(c, a, b),
            DateOrder::Dmy => self.set_date(c, b, a),
        }
    }

    fn word(&mut self) -> Result<(), Fault> {
        // `T` between date and time.
        if self.rest.starts_with('t') && self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) && self.fields.date.is_some() {
            self.rest = &self.rest[1..];
            return Ok(());
        }
        // `Jan-08-1999`.
        let end = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        if month_of(&self.rest[..end]).is_some() && self.rest[end..].starts_with(['-', '/']) {
            return self.date_token();
        }
        // Zone names have slashes, underscores, digits and signs; a word that is followed by a number does not swallow it.
        let word = self.take(|c| c.is_ascii_alphabetic());
        let mut set = |w| self.set_word(w);
        match word {
            "now" => return set(Word::Now),
            "today" => return set(Word::Today),
            "tomorrow" => return set(Word::Tomorrow),
            "yesterday" => return set(Word::Yesterday),
            "epoch" => return set(Word::Epoch),
            "infinity" | "inf" => return set(Word::Infinity),
            "allballs" => return self.set_time("00:00:00"),
            "am" | "pm" if self.half.is_none() => {
                self.half = Some(word == "pm");
                return Ok(());
            }
            "bc" | "ad" | "b" | "a" if self.era.is_none() && word.len() == 2 => {
                self.era = Some(word == "bc");
                return Ok(());
            }
            "at" | "on" => return Ok(()),
            _ => {}
        }
        if WEEKDAYS.iter().any(|d| word.len() >= 3 && d.starts_with(word)) {
            return Ok(());
        }
        if let (Some(month), None, None) = (month_of(word), self.month, self.fields.date) {
            self.month = Some(month);
            return Ok(());
        }
        let more = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-' | ':'));
        let name = format!("{word}{more}");
        let abbreviation = ABBREVIATIONS.iter().find(|(a, _)| *a == name).map(|(_, quarters)| Zone::Fixed(quarters * 900));
        let zone = abbreviation.or_else(|| Zone::lookup(&name));
        match zone {
            Some(zone) => self.set_zone(zone),
            None if self.fields.time.is_some() || self.fields.date.is_some() => {
                if name.contains('/') {
                    Err(Fault::Zone(name))
                } else {
                    Err(Fault::Syntax)
                }
            }
            None => Err(Fault::Syntax),
        }
    }

    fn set_word(&mut self, word: Word) -> Result<(), Fault> {
        if self.fields.word.replace(word).is_some() { Err(Fault::Syntax) } else { Ok(()) }
    }
    fn set_zone(&mut self, zone: Zone) -> Result<(), Fault> {
        if self.fields.zone.replace(zone).is_some() { Err(Fault::Syntax) } else { Ok(()) }
    }
    fn set_time(&mut self, text: &str) -> Result<(), Fault> {
        let well_formed = text.split(':').all(|p| !p.is_empty()) && (2..=3).contains(&text.split(':').count());
        if !well_formed {
            return Err(Fault::Syntax);
        }
        let time = clock(text).ok_or(Fault::Range)?;
        if self.fields.time.replace(time).is_some() { Err(Fault::Syntax) } else { Ok(()) }
    }
    fn set_date(&mut self, year: &str, month: &str, day: &str) -> Result<(), Fault> {
        let number = |t: &str| t.parse::<i64>().ok().filter(|n| *n <= 10_000_000).ok_or(Fault::Range);
        let (mut y, m, d) = (number(year)?, number(month)?, number(day)?);
        if year.len() <= 2 && self.era != Some(true) {
            y += if y < 70 { 2000 } else { 1900 };
        }
        let month = u32::try_from(m).ok().filter(|m| (1..=12).contains(m)).ok_or(Fault::Range)?;
        let day = u32::try_from(d).ok().filter(|d| (1..=31).contains(d)).ok_or(Fault::Range)?;
        if self.fields.date.replace((y, month, day)).is_some() { Err(Fault::Syntax) } else { Ok(()) }
    }

    fn finish(mut self) -> Result<Fields, Fault> {
        if let Some(month) = self.month {
            let (year, day) = match self.numbers.as_slice() {
                [a, b] if a.len() >= 3 => (*a, *b),
                [a, b] => (*b, *a),
                _ => return Err(Fault::Syntax),
            };
            self.set_date(year, &month.to_string(), day)?;
        } else if !self.numbers.is_empty() {
            return Err(Fault::Syntax);
        }
        if let Some((year, month, day)) = self.fields.date {
            // There is no year 0: 1 BC is followed by AD 1.
            if year == 0 {
                return Err(Fault::Range);
            }
            let year = if self.era == Some(true) { 1 - year } else { year };
            if day > days_in(year, month) {
                return Err(Fault::Range);
            }
            self.fields.date = Some((year, month, day));
        } else if self.era.is_some() {
            return Err(Fault::Syntax);
        }
        if let Some(pm) = self.half {
            const HOUR: i64 = 3_600_000_000;
            let time = self.fields.time.ok_or(Fault::Syntax)?;
            if time >= 13 * HOUR {
                return Err(Fault::Range);
            }
            let noon_based = if time >= 12 * HOUR { time - 12 * HOUR } else { time };
            self.fields.time = Some(noon_based + if pm { 12 * HOUR } else { 0 });
        }
        let said = self.fields.date.is_some() || self.fields.time.is_some() || self.fields.word.is_some();
        if said { Ok(self.fields) } else { Err(Fault::Syntax) }
    }
}

fn month_of(word: &str) -> Option<u32> {
    (word.len() >= 3)
        .then(|| MONTHS.iter().position(|m| m.starts_with(word) || (word == "sept" && *m == "september")))?
        .map(|i| i as u32 + 1)
}

pub(crate) fn days_in(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// `HH:MM[:SS[.fraction]]` in microseconds; at most 24:00:00. A second of 60 is the next minute.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let number = |t: &str, max: i64| {
        (!t.is_empty() && t.len() <= 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<i64>().ok())?.filter(|n| *n <= max)
    };
    let hours = number(parts.next()?, 24)?;
    let minutes = number(parts.next()?, 59)?;
    let (seconds, fraction) = match parts.next() {
        None => (0, 0),
        Some(s) => {
            let (whole, fraction) = s.split_once('.').unwrap_or((s, ""));
            (number(whole, 60)?, fraction_usecs(fraction)?)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    let usecs = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction;
    (usecs <= 86_400_000_000).then_some(usecs)
}

/// A fraction of a second in microseconds, rounded.
pub(crate) fn fraction_usecs(digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: f64 = format!("0.{digits}").parse().ok()?;
    Some((seconds * 1_000_000.0).round_ties_even() as i64)
}
