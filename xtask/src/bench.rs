//! `cargo xtask bench`: reading the same rows in several ways, side by side on this machine.

use fjord_harness::Result;

/// Runs the comparisons and prints them.
pub fn run() -> Result<()> {
    Ok(())
}
