//! Pages of docs/ that are made from the code. `UPDATE_EXPECT=1` writes them.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;

use fjord_engine::SqlState;

const HEAD: &str = "# Errors

Every error carries a SQLSTATE, names its object, and says what to do in its HINT. Drivers branch on the SQLSTATE, so the codes are PostgreSQL's
own ([appendix A](https://www.postgresql.org/docs/15/errcodes-appendix.html)). Fjord itself raises the ones below. An error that a source raises keeps
the source's SQLSTATE where it is one of these, and is `HV000` otherwise; its message begins with the connector's name.

A syntax error has the 1-based character position of what could not be read. A statement that Fjord understands and refuses is `0A000` (not
supported) or `25006` (it would write); refused statements are listed in `sys.unsupported_queries`.

This page is made from `engine/src/error.rs`.

| SQLSTATE | name | meaning |
|---|---|---|
";

#[test]
fn errors_page_is_that_of_the_code() {
    let mut page = HEAD.to_string();
    let mut rows: Vec<_> = SqlState::ALL.iter().zip(SqlState::MEANINGS).collect();
    rows.sort_by_key(|((_, state), _)| state.0);
    for ((name, state), meaning) in rows {
        writeln!(page, "| `{}` | {} | {} |", state.0, name.to_ascii_lowercase(), meaning.trim()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "run the tests with UPDATE_EXPECT=1");
}

#[test]
fn states_are_distinct_and_well_formed() {
    let mut codes: Vec<_> = SqlState::ALL.iter().map(|(_, s)| s.0).collect();
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count);
    assert!(codes.iter().all(|c| c.len() == 5 && c.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())));
}
