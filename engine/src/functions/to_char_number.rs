//! `to_char(number, pattern)`: `9`, `0`, `.`, `,`, `D`, `G`, `FM`, `S` and `MI`, as `NUM_processor` of `formatting.c` (PostgreSQL 15) writes them, in the
//! C locale. Its other patterns are refused.

use arrow::datatypes::{ArrowNativeTypeOp, i256};
use datafusion::common::{Result, ScalarValue};

use super::rowwise::{text, wrong};
use crate::error::{SqlError, SqlState};

/// Digits of a pattern: beyond, every number is padded to no use.
const DIGITS_MAX: usize = 1_000;
/// Significant digits of a double (DBL_DIG).
const DOUBLE_DIGITS: usize = 15;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Nine,
    Zero,
    Point,
    Comma,
    Minus,
    /// Written with the digits.
    Quiet,
    Other(char),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    None,
    Before,
    After,
}

/// A pattern, read.
struct Pattern {
    pieces: Vec<Piece>,
    /// Digits before and after the point.
    before: usize,
    after: usize,
    point: bool,
    fill: bool,
    minus: bool,
    sign: Sign,
    /// Digits before the `S`.
    digits_before_sign: usize,
    /// Digits before the first `0` before the point.
    zero_start: Option<usize>,
    /// Digits up to the last `0`.
    zero_end: usize,
}

fn read(pattern: &str) -> Result<Pattern> {
    const REFUSED: &[&str] = &["EEEE", "PL", "PR", "RN", "SG", "SP", "TH", "B", "C", "L", "V"];
    let mut p = Pattern {
        pieces: vec![],
        before: 0,
        after: 0,
        point: false,
        fill: false,
        minus: false,
        sign: Sign::None,
        digits_before_sign: 0,
        zero_start: None,
        zero_end: 0,
    };
    let wrong = |m: &str| Err(SqlError::new(SqlState::SYNTAX_ERROR, m.to_string()).into());
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let starts = |w: &str| rest.starts_with(w) || rest.starts_with(w.to_ascii_lowercase().as_str());
        if let Some(word) = REFUSED.iter().find(|w| starts(w)) {
            return Err(SqlError::unsupported(format!("to_char: \"{word}\" in the pattern of a number is not supported"))
                .hint("Supported are 9, 0, ., D, the comma, G, FM, S and MI.")
                .into());
        }
        let (piece, length) = match first {
            '9' => (Piece::Nine, 1),
            '0' => (Piece::Zero, 1),
            '.' | 'D' | 'd' => (Piece::Point, 1),
            ',' | 'G' | 'g' => (Piece::Comma, 1),
            _ if starts("FM") => {
                p.fill = true;
                (Piece::Quiet, 2)
            }
            _ if starts("MI") => {
                if p.sign != Sign::None {
                    return wrong("cannot use \"S\" and \"MI\" together");
                }
                p.minus = true;
                (Piece::Minus, 2)
            }
            'S' | 's' => {
                if p.sign != Sign::None {
                    return wrong("cannot use \"S\" twice");
                }
                if p.minus {
                    return wrong("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together");
                }
                p.sign = if p.point { Sign::After } else { Sign::Before };
                p.digits_before_sign = p.before;
                (Piece::Quiet, 1)
            }
            '"' => {
                rest = quoted(rest, &mut p.pieces);
                continue;
            }
            '\\' if rest.starts_with("\\\"") => {
                p.pieces.push(Piece::Other('"'));
                rest = &rest[2..];
                continue;
            }
            c => (Piece::Other(c), c.len_utf8()),
        };
        match piece {
            Piece::Nine | Piece::Zero => {
                if piece == Piece::Zero && p.zero_start.is_none() && !p.point {
                    p.zero_start = Some(p.before);
                }
                *(if p.point { &mut p.after } else { &mut p.before }) += 1;
                if piece == Piece::Zero {
                    p.zero_end = p.before + p.after;
                }
            }
            Piece::Point if p.point => return wrong("multiple decimal points"),
            Piece::Point => p.point = true,
            _ => {}
        }
        p.pieces.push(piece);
        rest = &rest[length..];
    }
    if p.before + p.after > DIGITS_MAX {
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("a pattern has at most {DIGITS_MAX} digits")).into());
    }
    Ok(p)
}

/// The characters of a text in quotes, and what follows it.
fn quoted<'a>(rest: &'a str, pieces: &mut Vec<Piece>) -> &'a str {
    let mut chars = rest[1..].chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => pieces.push(Piece::Other(chars.next().unwrap_or('\\'))),
            c => pieces.push(Piece::Other(c)),
        }
    }
    chars.as_str()
}

pub(super) fn of_numeric(row: &[ScalarValue]) -> Result<ScalarValue> {
    let [ScalarValue::Decimal256(Some(v), _, scale), ScalarValue::Utf8(Some(pattern))] = row else { return wrong(row) };
    let pattern = read(pattern)?;
    let number = rounded(*v, i64::from(*scale), pattern.after)?;
    text(write(&pattern, v.is_negative() && number.bytes().any(|b| (b'1'..=b'9').contains(&b)), number))
}

pub(super) fn of_double(row: &[ScalarValue]) -> Result<ScalarValue> {
    let [ScalarValue::Float64(Some(v)), ScalarValue::Utf8(Some(pattern))] = row else { return wrong(row) };
    let mut pattern = read(pattern)?;
    if !v.is_finite() {
        return Err(SqlError::unsupported("to_char of NaN and the infinities is not supported").into());
    }
    // No more digits are written than a double has.
    let whole = format!("{:.0}", v.abs()).len();
    pattern.after = pattern.after.min(DOUBLE_DIGITS.saturating_sub(whole));
    let number = format!("{:.*}", pattern.after, v.abs());
    text(write(&pattern, v.is_sign_negative(), number))
}

/// The absolute value with so many digits after the point, rounded half away from zero.
fn rounded(v: i256, scale: i64, after: usize) -> Result<String> {
    let overflow = || SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow");
    let mut digits = v.wrapping_abs();
    let kept = i64::try_from(after).unwrap_or(i64::MAX).min(scale);
    let drop = u32::try_from(scale - kept).map_err(|_| overflow())?;
    if drop > 0 {
        let unit = i256::from_i128(10).pow_checked(drop)?;
        let rest = digits.wrapping_rem(unit);
        digits = digits.wrapping_div(unit);
        if rest >= unit.wrapping_sub(rest) {
            digits = digits.checked_add(i256::ONE).ok_or_else(overflow)?;
        }
    }
    let kept = usize::try_from(kept).unwrap_or(0);
    let mut number = format!("{:0>width$}", digits.to_string(), width = kept + 1);
    if after > 0 {
        number.insert(number.len() - kept, '.');
        number.extend(std::iter::repeat_n('0', after - kept));
    }
    Ok(number)
}

fn write(p: &Pattern, negative: bool, number: String) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let spaces = p.before.saturating_sub(whole);
    let number: Vec<u8> = if whole > p.before {
        // It does not fit: as many signs as there are places.
        let mut signs = vec![b'#'; p.before + p.after + 1];
        signs[p.before] = b'.';
        signs
    } else {
        number.into_bytes()
    };
    let mut w = Writer {
        p,
        negative,
        spaces,
        at: 0,
        place: 0,
        sign: if p.sign == Sign::Before && p.before == p.digits_before_sign { Sign::After } else { p.sign },
        sign_written: p.minus || (!negative && p.fill && p.sign == Sign::None),
        relevant: None,
        digits_begun: false,
        count: i64::try_from(p.before + p.after).unwrap_or(i64::MAX) - 1,
        number,
        out: String::new(),
        ended: None,
    };
    if p.fill && p.point {
        w.relevant = w.number.iter().position(|b| *b == b'.').map(|point| {
            let last = w.number.iter().rposition(|b| *b != b'0').unwrap_or(0).max(point);
            // Digits at a `0` are written.
            let zero = if p.zero_end > spaces { (w.number.len() - 1).min(p.zero_end - spaces) } else { 0 };
            last.max(zero)
        });
    }
    if !w.sign_written && spaces == 0 {
        w.count += 1;
    }
    for piece in &p.pieces {
        w.piece(*piece);
    }
    if let Some(end) = w.ended {
        w.out.truncate(end);
    }
    w.out
}

struct Writer<'a> {
    p: &'a Pattern,
    negative: bool,
    /// Places of the pattern before the number's first digit.
    spaces: usize,
    /// How far the number is written.
    at: usize,
    /// How many places of the pattern have been written.
    place: usize,
    sign: Sign,
    sign_written: bool,
    /// The last digit that FM leaves.
    relevant: Option<usize>,
    digits_begun: bool,
    count: i64,
    number: Vec<u8>,
    out: String,
    /// Postgres writes the NUL behind a number for a place beyond it (the point of `9.`), and that ends its answer.
    ended: Option<usize>,
}

impl Writer<'_> {
    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Nine | Piece::Zero | Piece::Point => self.digit(piece),
            Piece::Comma if self.digits_begun => self.out.push(','),
            Piece::Comma if !self.p.fill => self.out.push(' '),
            Piece::Minus if self.negative => self.out.push('-'),
            Piece::Minus if !self.p.fill => self.out.push(' '),
            Piece::Comma | Piece::Minus | Piece::Quiet => {}
            Piece::Other(c) => self.out.push(c),
        }
    }
    fn current(&self) -> u8 {
        self.number.get(self.at).copied().unwrap_or(0)
    }
    /// The zero of `0.5` under `9.9`, which is a blank.
    fn leading_zero(&self) -> bool {
        self.p.zero_start.is_none() && self.at == 0 && self.number.first() == Some(&b'0') && self.p.after != 0
    }
    fn relevant_is_point(&self) -> bool {
        self.relevant.is_some_and(|r| self.number.get(r) == Some(&b'.'))
    }
    fn digit(&mut self, piece: Piece) {
        self.digits_begun = false;
        let zero_here = |start: Option<usize>| start == Some(self.place);
        if !self.sign_written
            && (self.place >= self.spaces || zero_here(self.p.zero_start))
            && (!self.leading_zero() || self.relevant_is_point())
        {
            self.write_sign();
        }
        let zeros = self.p.zero_start.is_some_and(|z| z <= self.place);
        if self.place < self.spaces && !zeros {
            if !self.p.fill {
                self.out.push(' ');
            }
        } else if self.place < self.spaces {
            self.out.push('0');
            self.digits_begun = true;
        } else {
            self.number_place(piece);
        }
        let place = i64::try_from(self.place).unwrap_or(i64::MAX - 1);
        let mut end = self.count + i64::from(self.spaces > 0) + i64::from(self.p.point);
        if self.relevant == Some(self.at) {
            end = place;
        }
        if place + 1 == end && self.sign == Sign::After {
            self.out.push(if self.negative { '-' } else { '+' });
        }
        self.place += 1;
    }
    fn write_sign(&mut self) {
        match self.sign {
            Sign::Before => self.out.push(if self.negative { '-' } else { '+' }),
            // It comes at the end.
            Sign::After => return,
            Sign::None if self.negative => self.out.push('-'),
            Sign::None if !self.p.fill => self.out.push(' '),
            Sign::None => {}
        }
        self.sign_written = true;
    }
    fn number_place(&mut self, piece: Piece) {
        let c = self.current();
        if c == b'.' {
            if !self.relevant_is_point() || self.p.fill {
                self.out.push('.');
            }
        } else if self.relevant.is_none_or(|r| self.at <= r) || piece == Piece::Zero {
            self.written_digit(c);
        }
        if c != 0 {
            self.at += 1;
        }
    }
    fn written_digit(&mut self, c: u8) {
        if !self.leading_zero() {
            if c == 0 {
                self.ended.get_or_insert(self.out.len());
            } else {
                self.out.push(char::from(c));
            }
            self.digits_begun = true;
        } else if !self.p.fill {
            self.out.push(' ');
        } else if self.relevant_is_point() {
            self.out.push('0');
        }
    }
}
