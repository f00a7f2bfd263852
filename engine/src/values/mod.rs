//! The text and binary forms of values, byte for byte as PostgreSQL 15 reads and writes them.
//!
//! What lives here: how each type is written and read. The wire's rows and parameters, casts to and from text and `||` all go through this one
//! place. What does not: messages of the protocol, and any decision about *which* Postgres type a column has ([`crate::pgtype`]).
//!
//! Formats: <https://www.postgresql.org/docs/15/protocol-overview.html#PROTOCOL-FORMAT-CODES>. Text forms are those of the `*in` and `*out` functions
//! in `src/backend/utils/adt` of PostgreSQL 15, binary layouts those of `*send` and `*recv`.

mod array;
mod cell;
mod config;
mod datetime;
mod decimal;
pub(crate) mod decode;
mod float;
pub(crate) mod json_in;
pub(crate) mod json_out;
mod net;
mod number;
mod wire_type;
mod zone;

use crate::session::Settings;
use crate::{Result, SqlError, SqlState};

pub use cell::{Cell, CellBox, Shape, cell, put_with_length, reg_value};
pub use config::ValueOptions;
pub(crate) use datetime::{USECS_PER_DAY, USECS_PER_SEC, civil_of_days, days_and_rest, days_of_civil};
pub(crate) use decode::interval::parse as interval;
pub use decode::{decode_param, decode_params};
pub use wire_type::{typmod, wire_type};
pub use zone::Zone;

/// The format of one column or parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Format code 0.
    #[default]
    Text,
    /// Format code 1.
    Binary,
}

impl Format {
    /// The format of a code; others than 0 and 1 are 08P01, as in Postgres.
    pub fn of_code(code: i16) -> Result<Format> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {other}"))),
        }
    }
    /// The code.
    pub fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
    /// The result formats of a Bind message for so many columns: none means text, one means all, else one each; any other count is 08P01.
    pub fn results(codes: &[i16], columns: usize) -> Result<Vec<Format>> {
        let wrong = || format!("bind message has {} result formats but query has {columns} columns", codes.len());
        Format::expand(codes, columns, wrong)
    }
    /// The parameter formats of a Bind message; as [`Format::results`].
    pub fn parameters(codes: &[i16], parameters: usize) -> Result<Vec<Format>> {
        let wrong = || format!("bind message has {} parameter formats but {parameters} parameters", codes.len());
        Format::expand(codes, parameters, wrong)
    }
    fn expand(codes: &[i16], count: usize, wrong: impl Fn() -> String) -> Result<Vec<Format>> {
        match codes {
            [] => Ok(vec![Format::Text; count]),
            [one] => Ok(vec![Format::of_code(*one)?; count]),
            all if all.len() == count => all.iter().map(|c| Format::of_code(*c)).collect(),
            _ => Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, wrong())),
        }
    }
}

/// How bytea is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ByteaOutput {
    /// `\x6869`.
    #[default]
    Hex,
    /// `hi\\000`.
    Escape,
}

/// How an ambiguous date (`1/2/2003`) is read: the second half of DateStyle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DateOrder {
    /// Month, day, year.
    #[default]
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

/// The session's settings that shape values. Dates are always written in ISO style and intervals in `postgres` style, the defaults of PostgreSQL 15
/// and the only ones that every driver reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EncodeSettings {
    /// `TimeZone`: timestamptz is written in it, and read in it where the text names no zone.
    pub time_zone: Zone,
    /// The second half of `DateStyle`, for input.
    pub date_order: DateOrder,
    /// `bytea_output`.
    pub bytea_output: ByteaOutput,
    /// `extra_float_digits`, -15 to 3; above 0 floats are written in the fewest digits that read back the same.
    pub extra_float_digits: i8,
}

impl Default for EncodeSettings {
    fn default() -> Self {
        EncodeSettings {
            time_zone: Zone::Utc,
            date_order: DateOrder::default(),
            bytea_output: ByteaOutput::default(),
            extra_float_digits: 1,
        }
    }
}

impl EncodeSettings {
    /// Reads them from a session's settings; absent ones have Postgres's defaults (and the zone UTC).
    pub fn of(settings: &Settings) -> Result<EncodeSettings> {
        let mut out = EncodeSettings::default();
        if let Some(zone) = settings.get("timezone") {
            out.time_zone = Zone::parse(zone)?;
        }
        if let Some(style) = settings.get("datestyle") {
            let style = style.to_ascii_lowercase();
            out.date_order = if style.contains("dmy") || style.contains("euro") {
                DateOrder::Dmy
            } else if style.contains("ymd") {
                DateOrder::Ymd
            } else {
                DateOrder::Mdy
            };
        }
        if settings.get("bytea_output").is_some_and(|v| v.eq_ignore_ascii_case("escape")) {
            out.bytea_output = ByteaOutput::Escape;
        }
        if let Some(digits) = settings.get("extra_float_digits").and_then(|v| v.trim().parse::<i8>().ok()) {
            out.extra_float_digits = digits.clamp(-15, 3);
        }
        Ok(out)
    }
}
