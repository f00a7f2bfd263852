//! date_trunc and extract to text, with their guards.

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

/// `extract(field FROM x)` as an integer, NULL for the infinities. A year before Christ is counted from a year 0 here, which Postgres does not have.
pub(super) fn extract(field: &str, x: &str) -> String {
    let part = format!("extract({field} FROM {x})::integer");
    let part = if field == "year" { format!("{part} + ({x} < '0001-01-01 00:00:00'::timestamp)::integer") } else { part };
    format!("CASE WHEN {x} > '-infinity' AND {x} < {END} THEN {part} END")
}
