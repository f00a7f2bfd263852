//! Faults that are known and not mended yet: counted, but no failure. The list only shrinks; each line says what it is.

/// A part of the failure's text, and the fault.
pub const KNOWN: &[(&str, &str)] = &[
    (
        "non-integer constant in GROUP BY",
        "DISTINCT or GROUP BY over a column that a projection made a constant (SELECT DISTINCT false FROM t) is sent as GROUP BY false",
    ),
    ("is not in select list", "the same with a number: GROUP BY 5 is a position"),
    (
        "Failed due to a difference in schemas",
        "the sum of a window's column that goes through two projections is retyped after the schema was fixed",
    ),
    ("Failed to coerce types Decimal", "BETWEEN over numerics whose precisions have no common type is an internal error, not 42804"),
    (
        "No suitable object store found for fjord-files",
        "a query over files that runs while the connector's schema is read again loses its store",
    ),
];

/// The fault that a failure is an instance of.
pub fn known(text: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(part, _)| text.contains(part)).map(|(_, fault)| *fault)
}
