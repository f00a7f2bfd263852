//! Intervals in text: Postgres's own style (`1 year 2 mons -3 days 04:05:06.7`, `@ 1 min ago`), SQL's (`1-2 3 4:05:06`) and ISO 8601's (`P1Y2M3DT4H`).

use crate::{Result, SqlError, SqlState};

use super::fields::fraction_usecs;
use super::shorten;
use super::text::trim;

const DAYS_PER_MONTH: f64 = 30.0;
const USECS_PER_DAY: f64 = 86_400_000_000.0;

/// (months, days, microseconds).
pub(crate) fn parse(text: &str) -> Result<(i32, i32, i64)> {
    let t = trim(text).to_ascii_lowercase();
    let mut sum = Sum::default();
    let read = match t.strip_prefix('p') {
        Some(iso) if !t.starts_with("pm") => sum.iso(iso),
        _ => sum.words(t.strip_prefix('@').unwrap_or(&t)),
    };
    match read {
        Ok(()) => Ok((sum.months, sum.days, sum.usecs)),
        Err(Fault::Syntax) => {
            let message = format!("invalid input syntax for type interval: \"{}\"", shorten(text));
            Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message))
        }
        Err(Fault::Range) => {
            let message = format!("interval field value out of range: \"{}\"", shorten(text));
            Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message))
        }
    }
}

enum Fault {
    Syntax,
    Range,
}

#[derive(Default)]
struct Sum {
    months: i32,
    days: i32,
    usecs: i64,
}

/// A number with its sign: whole part and fraction apart, so that whole parts stay exact.
#[derive(Clone, Copy)]
struct Number {
    whole: i64,
    fraction: f64,
}

#[derive(Clone, Copy)]
enum Unit {
    Months(i64),
    Days(i64),
    Usecs(i64),
}

impl Sum {
    fn words(&mut self, mut rest: &str) -> Result<(), Fault> {
        let mut pending: Option<Number> = None;
        let mut any = false;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
            let Some(c) = rest.chars().next() else { break };
            any = true;
            if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') {
                let end = rest[1..].find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.' | '-'))).map_or(rest.len(), |i| i + 1);
                let (token, after) = rest.split_at(end);
                rest = after;
                let body = token.trim_start_matches(['+', '-']);
                if body.contains(':') {
                    // A number without unit before a time of day counts days.
                    if let Some(days) = pending.take() {
                        self.add(days, Unit::Days(1))?;
                    }
                    self.clock(token)?;
                } else if body.contains('-') {
                    self.year_month(token)?;
                } else if pending.replace(number(token)?).is_some() {
                    return Err(Fault::Syntax);
                }
            } else if c.is_ascii_alphabetic() {
                let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                rest = after;
                if word == "ago" && rest.trim().is_empty() && pending.is_none() {
                    self.negate()?;
                } else {
                    self.add(pending.take().ok_or(Fault::Syntax)?, unit(word).ok_or(Fault::Syntax)?)?;
                }
            } else {
                return Err(Fault::Syntax);
            }
        }
        if let Some(seconds) = pending {
            self.add(seconds, Unit::Usecs(1_000_000))?;
        }
        if any { Ok(()) } else { Err(Fault::Syntax) }
    }

    /// What follows the `P`: designators, or the alternative form `YYYY-MM-DDTHH:MM:SS`.
    fn iso(&mut self, text: &str) -> Result<(), Fault> {
        let (date, time) = text.split_once('t').map_or((text, None), |(d, t)| (d, Some(t)));
        if date.is_empty() && time.is_none() {
            return Err(Fault::Syntax);
        }
        let alternative = |t: &str| !t.is_empty() && !t.contains(|c: char| c.is_ascii_alphabetic());
        if alternative(date) {
            let mut parts = date.split('-');
            for u in [Unit::Months(12), Unit::Months(1), Unit::Days(1)] {
                if let Some(p) = parts.next() {
                    self.add(number(p)?, u)?;
                }
            }
            if parts.next().is_some() {
                return Err(Fault::Syntax);
            }
        } else {
            self.designators(date, false)?;
        }
        match time {
            Some("") => Ok(()),
            Some(t) if alternative(t) => self.clock(t),
            Some(t) => self.designators(t, true),
            None => Ok(()),
        }
    }

    fn designators(&mut self, mut rest: &str, time: bool) -> Result<(), Fault> {
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or(Fault::Syntax)?;
            let n = number(&rest[..end])?;
            let u = match (time, rest.as_bytes()[end]) {
                (false, b'y') => Unit::Months(12),
                (false, b'm') => Unit::Months(1),
                (false, b'w') => Unit::Days(7),
                (false, b'd') => Unit::Days(1),
                (true, b'h') => Unit::Usecs(3_600_000_000),
                (true, b'm') => Unit::Usecs(60_000_000),
                (true, b's') => Unit::Usecs(1_000_000),
                _ => return Err(Fault::Syntax),
            };
            self.add(n, u)?;
            rest = &rest[end + 1..];
        }
        Ok(())
    }

    /// `1-2`: years and months, under one sign.
    fn year_month(&mut self, token: &str) -> Result<(), Fault> {
        let (negative, body) = sign(token);
        let (years, months) = body.split_once('-').ok_or(Fault::Syntax)?;
        let (y, m) = (number(years)?, number(months)?);
        if y.fraction != 0.0 || m.fraction != 0.0 || !(0..12).contains(&m.whole) {
            return Err(Fault::Range);
        }
        let total = y.whole.checked_mul(12).and_then(|v| v.checked_add(m.whole)).ok_or(Fault::Range)?;
        self.add(Number { whole: if negative { -total } else { total }, fraction: 0.0 }, Unit::Months(1))
    }

    /// `[-]HH:MM[:SS[.fraction]]`, or `MM:SS.fraction`; hours without limit.
    fn clock(&mut self, token: &str) -> Result<(), Fault> {
        let (negative, body) = sign(token);
        let mut parts: Vec<&str> = body.split(':').collect();
        if parts.len() == 2 && parts[1].contains('.') {
            parts.insert(0, "0");
        }
        if parts.len() == 2 {
            parts.push("0");
        }
        let &[h, m, s] = parts.as_slice() else { return Err(Fault::Syntax) };
        let (s, fraction) = s.split_once('.').unwrap_or((s, ""));
        let n = |t: &str| if t.is_empty() { Err(Fault::Syntax) } else { digits(t) };
        let (h, m, s) = (n(h)?, n(m)?, n(s)?);
        if m > 59 || s > 60 {
            return Err(Fault::Range);
        }
        let usecs = h
            .checked_mul(3_600_000_000)
            .and_then(|v| v.checked_add(m * 60_000_000 + s * 1_000_000 + fraction_usecs(fraction)?))
            .ok_or(Fault::Range)?;
        self.usecs = self.usecs.checked_add(if negative { -usecs } else { usecs }).ok_or(Fault::Range)?;
        Ok(())
    }

    /// Adds `n` of a unit. Fractions go down: of years to months, of months to days of 1/30 and on to microseconds, of days to microseconds.
    fn add(&mut self, n: Number, unit: Unit) -> Result<(), Fault> {
        match unit {
            Unit::Months(per) => {
                let whole = n.whole.checked_mul(per).ok_or(Fault::Range)?;
                if per == 1 {
                    self.add_months(whole)?;
                    self.add_days_fraction(n.fraction * DAYS_PER_MONTH)
                } else {
                    let months = (n.fraction * per as f64).round_ties_even();
                    self.add_months(whole.checked_add(months as i64).ok_or(Fault::Range)?)
                }
            }
            Unit::Days(per) => {
                let whole = n.whole.checked_mul(per).ok_or(Fault::Range)?;
                self.add_days(whole)?;
                self.add_days_fraction(n.fraction * per as f64)
            }
            Unit::Usecs(per) => {
                let part = (n.fraction * per as f64).round_ties_even() as i64;
                let usecs = n.whole.checked_mul(per).and_then(|v| v.checked_add(part)).ok_or(Fault::Range)?;
                self.usecs = self.usecs.checked_add(usecs).ok_or(Fault::Range)?;
                Ok(())
            }
        }
    }
    fn add_months(&mut self, n: i64) -> Result<(), Fault> {
        self.months = i32::try_from(n).ok().and_then(|n| self.months.checked_add(n)).ok_or(Fault::Range)?;
        Ok(())
    }
    fn add_days(&mut self, n: i64) -> Result<(), Fault> {
        self.days = i32::try_from(n).ok().and_then(|n| self.days.checked_add(n)).ok_or(Fault::Range)?;
        Ok(())
    }
    fn add_days_fraction(&mut self, days: f64) -> Result<(), Fault> {
        self.add_days(days.trunc() as i64)?;
        let usecs = (days.fract() * USECS_PER_DAY).round_ties_even() as i64;
        self.usecs = self.usecs.checked_add(usecs).ok_or(Fault::Range)?;
        Ok(())
    }
    fn negate(&mut self) -> Result<(), Fault> {
        self.months = self.months.checked_neg().ok_or(Fault::Range)?;
        self.days = self.days.checked_neg().ok_or(Fault::Range)?;
        self.usecs = self.usecs.checked_neg().ok_or(Fault::Range)?;
        Ok(())
    }
}

fn sign(token: &str) -> (bool, &str) {
    match token.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, token.strip_prefix('+').unwrap_or(token)),
    }
}

fn digits(t: &str) -> Result<i64, Fault> {
    if !t.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    if t.is_empty() {
        return Ok(0);
    }
    t.parse().map_err(|_| Fault::Range)
}

fn number(token: &str) -> Result<Number, Fault> {
    let (negative, body) = sign(token.trim());
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(Fault::Syntax);
    }
    let whole = digits(whole)?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    let fraction: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().map_err(|_| Fault::Syntax)? };
    Ok(if negative { Number { whole: -whole, fraction: -fraction } } else { Number { whole, fraction } })
}

fn unit(word: &str) -> Option<Unit> {
    Some(match word {
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" | "microsecon" => Unit::Usecs(1),
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" | "millisecon" => Unit::Usecs(1_000),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Usecs(1_000_000),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Usecs(60_000_000),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Usecs(3_600_000_000),
        "d" | "day" | "days" => Unit::Days(1),
        "w" | "week" | "weeks" => Unit::Days(7),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        "dec" | "decs" | "decade" | "decades" => Unit::Months(120),
        "c" | "cent" | "century" | "centuries" => Unit::Months(1_200),
        "mil" | "mils" | "millennium" | "millennia" => Unit::Months(12_000),
        _ => return None,
    })
}
