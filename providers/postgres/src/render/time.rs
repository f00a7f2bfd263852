//! date_trunc, extract, and arithmetic of days and times to text, with their guards.

use fjord_engine::pushdown::{Family, RemoteType};

/// The first instant that may be cut to its year without leaving Postgres's range, which begins in November 4714 BC.
const FIRST: &str = "'4713-01-01 00:00:00 BC'";
/// Years end here in the calendar of this side; the parts of what comes after are NULL.
const END: &str = "'262143-01-01 00:00:00'";

/// `date_trunc(unit, x)`. What is before the first whole year, and -infinity, stays as it is.
pub(super) fn truncate(unit: &str, x: &str, ty: &RemoteType) -> String {
    let (zone, name) = match ty.family {
        Family::TimestampTz => (", 'UTC'", "timestamptz"),
        _ => ("", "timestamp"),
    };
    let cut = format!("date_trunc('{unit}', {x}{zone})");
    match unit {
        "week" | "month" | "quarter" | "year" => {
            let first = if zone.is_empty() { format!("{FIRST}::{name}") } else { format!("({FIRST}::timestamp AT TIME ZONE 'UTC')") };
            format!("CASE WHEN {x} >= {first} THEN {cut} ELSE {x} END")
        }
        _ => cut,
    }
}

/// `extract(field FROM x)` as an integer, NULL for the infinities.
pub(super) fn extract(field: &str, x: &str) -> String {
    let part = format!("extract({field} FROM {x})::integer");
    format!("CASE WHEN {x} > '-infinity' AND {x} < {END} THEN {part} END")
}

/// `x + by`, under the guard of its direction.
pub(super) fn shifted(forward: bool, x: &str, by: &str) -> String {
    let guard = if forward { format!("{x} > '-infinity' AND {x} < {END}") } else { after_christ(x) };
    format!("CASE WHEN {guard} THEN {x} + {by} END")
}

pub(super) fn after_christ(x: &str) -> String {
    format!("{x} >= '0001-01-01 00:00:00' AND {x} < {END}")
}

/// `a - b` of days, as a bigint.
pub(super) fn days_between(a: &str, b: &str) -> String {
    format!("CASE WHEN {} THEN ({a} - {b})::bigint END", finite(a, b))
}

pub(super) fn finite(a: &str, b: &str) -> String {
    format!("{a} > '-infinity' AND {a} < 'infinity' AND {b} > '-infinity' AND {b} < 'infinity'")
}

/// The last day whose midnight is a number of microseconds since 1970 in 64 bits is 294247-01-10.
pub(super) fn midnight(d: &str) -> String {
    format!("CASE WHEN {d} > '-infinity' AND {d} <= '294247-01-10' THEN {d}::timestamp END")
}
