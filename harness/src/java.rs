//! Java programs for clients that exist only there: pgjdbc, as Debian packages it.

use std::path::Path;
use std::process::Command;

use crate::{Error, Result, process};

/// Where Debian's `libpostgresql-jdbc-java` puts the driver.
pub const JDBC: &str = "/usr/share/java/postgresql.jar";

/// Runs a Java source file to its end, with the JDBC driver at hand, and returns what it printed.
pub fn run_source(file: &Path, arguments: &[&str]) -> Result<String> {
    if !Path::new(JDBC).exists() {
        return Err(Error::new(format!("{JDBC} is missing: `cargo xtask setup` installs it")));
    }
    process::run(Command::new("java").args(["-cp", JDBC]).arg(file).args(arguments))
        .map_err(Error::at("running Java (is a JDK installed? `cargo xtask setup` does it)"))
}
