//! Parameters in binary.

use crate::pgtype::{self, PgType};
use crate::{Result, SqlError, SqlState};
use bytes::{Buf, BytesMut};
use datafusion::common::ScalarValue;

use super::super::datetime::{EPOCH_DAYS, EPOCH_USECS, USECS_PER_DAY, put_offset, put_time_text};
use super::super::decimal::{Numeric, UNCONSTRAINED};
use super::super::{json_in, net};
use super::text::{interval_scalar, json_error, jsonb};
use super::{array, utf8};

pub(crate) fn decode(pg: PgType, bytes: &[u8]) -> Result<ScalarValue> {
    if let Some(element) = pg.element() {
        return array::from_binary(pg, element, bytes);
    }
    let held_as_text = |t: Option<String>| t.map(|t| ScalarValue::Utf8(Some(t))).ok_or_else(|| invalid(pg));
    Ok(match pg {
        pgtype::BOOL => ScalarValue::Boolean(Some(fixed::<1>(pg, bytes)?[0] != 0)),
        pgtype::INT2 => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(pg, bytes)?))),
        pgtype::INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(pg, bytes)?))),
        pgtype::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(pg, bytes)?))),
        pgtype::OID | pgtype::REGCLASS | pgtype::REGTYPE | pgtype::REGPROC => {
            ScalarValue::UInt32(Some(u32::from_be_bytes(fixed(pg, bytes)?)))
        }
        pgtype::FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(pg, bytes)?))),
        pgtype::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(pg, bytes)?))),
        pgtype::NUMERIC => {
            let numeric = Numeric::from_binary(bytes).ok_or_else(|| invalid(pg))?;
            ScalarValue::Decimal256(Some(numeric.to_unconstrained()?), UNCONSTRAINED.0, UNCONSTRAINED.1)
        }
        pgtype::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        pgtype::DATE => ScalarValue::Date32(Some(match i32::from_be_bytes(fixed(pg, bytes)?) {
            special @ (i32::MAX | i32::MIN) => special,
            days => days.checked_add(EPOCH_DAYS).ok_or_else(|| out_of_range("date"))?,
        })),
        pgtype::TIME => ScalarValue::Time64Microsecond(Some(time_of_day(i64::from_be_bytes(fixed(pg, bytes)?))?)),
        pgtype::TIMESTAMP => ScalarValue::TimestampMicrosecond(Some(timestamp(pg, bytes)?), None),
        pgtype::TIMESTAMPTZ => ScalarValue::TimestampMicrosecond(Some(timestamp(pg, bytes)?), Some("UTC".into())),
        pgtype::INTERVAL => {
            let mut b = &fixed::<16>(pg, bytes)?[..];
            let (usecs, days, months) = (b.get_i64(), b.get_i32(), b.get_i32());
            interval_scalar(months, days, usecs)?
        }
        pgtype::TIMETZ => {
            let mut b = &fixed::<12>(pg, bytes)?[..];
            let (usecs, west) = (time_of_day(b.get_i64())?, b.get_i32());
            // Postgres's limit: less than 16 hours.
            if west.unsigned_abs() >= 16 * 3600 {
                return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "time zone displacement out of range"));
            }
            let mut out = BytesMut::new();
            put_time_text(usecs, &mut out);
            put_offset(-west, &mut out);
            held_as_text(Some(String::from_utf8_lossy(&out).into_owned()))?
        }
        pgtype::UUID => {
            let mut out = BytesMut::new();
            super::super::number::put_uuid_text(&fixed::<16>(pg, bytes)?, &mut out);
            held_as_text(Some(String::from_utf8_lossy(&out).into_owned()))?
        }
        pgtype::INET | pgtype::CIDR => held_as_text(net::Inet::from_binary(bytes, pg == pgtype::CIDR).map(net::Inet::to_text))?,
        pgtype::MACADDR => held_as_text(Some(net::mac_text(&fixed::<6>(pg, bytes)?)))?,
        pgtype::MACADDR8 => held_as_text(Some(net::mac_text(&fixed::<8>(pg, bytes)?)))?,
        pgtype::BIT | pgtype::VARBIT => held_as_text(net::bits_text(bytes))?,
        pgtype::JSON => {
            let text = utf8(bytes)?;
            json_in::check(text).map_err(|e| json_error(pg, text, &e))?;
            ScalarValue::Utf8(Some(text.to_string()))
        }
        pgtype::JSONB => match bytes.split_first() {
            Some((1, text)) => ScalarValue::Utf8(Some(jsonb(utf8(text)?)?)),
            Some((version, _)) => return Err(SqlError::internal(format!("unsupported jsonb version number {version}"))),
            None => return Err(too_short()),
        },
        pgtype::CHAR => {
            let byte = fixed::<1>(pg, bytes)?;
            let text = if byte[0] == 0 { "" } else { utf8(&byte)? };
            ScalarValue::Utf8(Some(text.to_string()))
        }
        pgtype::BPCHAR => ScalarValue::Utf8(Some(utf8(bytes)?.trim_end_matches(' ').to_string())),
        pgtype::MONEY
        | pgtype::INT4RANGE
        | pgtype::INT8RANGE
        | pgtype::NUMRANGE
        | pgtype::TSRANGE
        | pgtype::TSTZRANGE
        | pgtype::DATERANGE => {
            return Err(SqlError::unsupported(format!("binary parameters of type {} are not supported", pg.sql_name))
                .hint("Send the parameter in text format."));
        }
        _ => ScalarValue::Utf8(Some(utf8(bytes)?.to_string())),
    })
}

/// Exactly so many bytes: fewer are 08P01 and more 22P03, as in Postgres.
fn fixed<const N: usize>(pg: PgType, bytes: &[u8]) -> Result<[u8; N]> {
    if bytes.len() < N {
        return Err(too_short());
    }
    <[u8; N]>::try_from(bytes).map_err(|_| invalid(pg))
}

pub(crate) fn too_short() -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, "insufficient data left in message")
}

pub(crate) fn invalid(pg: PgType) -> SqlError {
    SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, format!("incorrect binary data format for type {}", pg.sql_name))
}

fn out_of_range(what: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

fn time_of_day(usecs: i64) -> Result<i64> {
    if (0..=USECS_PER_DAY).contains(&usecs) { Ok(usecs) } else { Err(out_of_range("time")) }
}

fn timestamp(pg: PgType, bytes: &[u8]) -> Result<i64> {
    Ok(match i64::from_be_bytes(fixed(pg, bytes)?) {
        special @ (i64::MAX | i64::MIN) => special,
        usecs => usecs.checked_add(EPOCH_USECS).filter(|u| *u != i64::MAX).ok_or_else(|| out_of_range("timestamp"))?,
    })
}
