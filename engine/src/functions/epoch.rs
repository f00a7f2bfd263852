//! `to_timestamp(seconds)` as `float8_timestamptz` of PostgreSQL 15 has it: an instant.
//!
//! DataFusion 55 gives a timestamp without a zone, in nanoseconds, which end in 2262. Its second argument is a pattern of strftime: that form is not
//! there, rather than another.

use std::sync::Arc;

use datafusion::common::{Result, ScalarValue};

use super::rowwise::{Def, Kind, Overload, wrong};
use crate::error::{SqlError, SqlState};

/// The function.
pub(super) static TO_TIMESTAMP: Def =
    Def { name: "to_timestamp", overloads: &[Overload { takes: &[Kind::Float8], gives: Kind::Instant, eval: to_timestamp }] };

/// 2000-01-01, from where Postgres counts and rounds.
const EPOCH_SECONDS: f64 = 946_684_800.0;
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
const MICROSECONDS: f64 = 1e6;
/// 4714-11-24 BC, the first instant.
const FIRST_SECOND: f64 = -210_866_803_200.0;
/// 294277-01-01, after the last one of Postgres's; some earlier ones are beyond what is counted here from 1970.
const END_SECOND: f64 = 9_224_318_016_000.0;

fn to_timestamp(row: &[ScalarValue]) -> Result<ScalarValue> {
    let [ScalarValue::Float64(Some(seconds))] = row else { return wrong(row) };
    let raise = |message: String| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message);
    let microseconds = match *seconds {
        s if s.is_nan() => return Err(raise("timestamp cannot be NaN".into()).into()),
        f64::INFINITY => Some(i64::MAX),
        f64::NEG_INFINITY => Some(i64::MIN),
        s if (FIRST_SECOND..END_SECOND).contains(&s) => {
            let since_2000 = ((s - EPOCH_SECONDS) * MICROSECONDS).round_ties_even() as i64;
            since_2000.checked_add(EPOCH_MICROSECONDS).filter(|m| *m != i64::MAX)
        }
        _ => None,
    };
    let microseconds = microseconds.ok_or_else(|| raise(format!("timestamp out of range: \"{seconds}\"")))?;
    Ok(ScalarValue::TimestampMicrosecond(Some(microseconds), Some(Arc::from("UTC"))))
}
