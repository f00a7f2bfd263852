//! Starting cargo on this workspace, always with the same target folder.

use std::path::PathBuf;
use std::process::Command;

use fjord_harness::{Error, Result, cache};

/// The workspace's root.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// Where programs are built. Outside of the work tree unless told otherwise: the cache of a CI machine keeps it, and `git clean` does not cost an hour.
pub fn target_folder() -> Result<PathBuf> {
    for variable in ["CARGO_TARGET_DIR", "FJORD_TARGET_DIR"] {
        if let Some(path) = std::env::var_os(variable).filter(|p| !p.is_empty()) {
            return Ok(PathBuf::from(path));
        }
    }
    Ok(cache::folder()?.join("target"))
}

/// `cargo <arguments>` in the workspace's root.
pub fn command(arguments: &[&str]) -> Result<Command> {
    // The cargo that runs us, so that a `+toolchain` is kept.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).env("CARGO_TARGET_DIR", target_folder()?);
    // Cargo sets these for the programs that it runs: they describe xtask, not the crates to build.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_") || n == "CARGO_CRATE_NAME") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Builds the `fjord` program and returns its path. `FJORD_BIN` names one that is built already.
pub fn build_fjord(release: bool) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("FJORD_BIN").filter(|p| !p.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let mut arguments = vec!["build", "--package", "fjord-server", "--bin", "fjord"];
    if release {
        arguments.push("--release");
    }
    let status = command(&arguments)?.status()?;
    if !status.success() {
        return Err(Error::new("fjord does not build"));
    }
    Ok(target_folder()?.join(if release { "release" } else { "debug" }).join("fjord"))
}

/// Builds the fuzzer and the `fjord` beside it, and runs it with these arguments.
pub fn fuzz(arguments: &[String]) -> Result<()> {
    let fjord = build_fjord(false)?;
    if !command(&["build", "--package", "fjord-fuzzer"])?.status()?.success() {
        return Err(Error::new("the fuzzer does not build"));
    }
    let mut fuzzer = Command::new(target_folder()?.join("debug/fjord-fuzzer"));
    let status = fuzzer.args(arguments).env("FJORD_BIN", fjord).status()?;
    if status.success() { Ok(()) } else { Err(Error::new("the fuzzer found differences, or could not run")) }
}
