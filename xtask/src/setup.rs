//! What tests and demo need on a machine: Debian packages, MySQL's programs, Python environments, cargo-nextest. Only what is missing is installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fjord_harness::{Error, Result, Venv, java, mongo_programs, mysql_programs, process};

use crate::cargo;

/// `cargo xtask setup`.
pub fn run() -> Result<()> {
    packages()?;
    println!("setup: MySQL of Debian unstable, in the cache folder");
    mysql_programs::fetch_mysql()?;
    println!("setup: MongoDB's server, in the cache folder");
    mongo_programs::fetch_mongod()?;
    python_environments()?;
    nextest()?;
    println!("setup: everything is there");
    Ok(())
}

/// Debian packages that are missing. As root they are installed, otherwise named.
pub fn packages() -> Result<()> {
    let missing = missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !process::is_root() {
        return Err(Error::new(format!("these packages are missing; as root: apt-get install {list}")));
    }
    if !works(Command::new("apt-get").arg("--version")) {
        return Err(Error::new(format!("there is no apt-get here; install what corresponds to Debian's {list}")));
    }
    println!("setup: installing {list}");
    apt(&["update"])?;
    if missing.contains(&"postgresql") {
        // Debian would start a server of its own on port 5432 and on each boot. We only want the programs.
        apt(&["install", "postgresql-common"])?;
        keep_main_cluster_away(Path::new("/etc/postgresql-common/createcluster.conf"))?;
    }
    let mut arguments = vec!["install"];
    arguments.extend(&missing);
    apt(&arguments)?;
    if missing.contains(&"mariadb-server") {
        // Debian starts a server of its own, now and on each boot. We only want the programs.
        stop_system_mariadb();
    }
    match missing_packages().as_slice() {
        [] => Ok(()),
        still => Err(Error::new(format!("still missing after their installation: {}", still.join(" ")))),
    }
}

fn missing_packages() -> Vec<&'static str> {
    let mut missing = Vec::new();
    let server = postgres_folders().iter().any(|f| f.join("bin/initdb").exists());
    if !server {
        missing.push("postgresql");
    }
    // Since Debian 10 the server's own package holds contrib; elsewhere it may not.
    if server && !has_citext() {
        missing.push("postgresql-contrib");
    }
    if !works(Command::new("psql").arg("--version")) {
        missing.push("postgresql-client");
    }
    if !works(Command::new("pgbouncer").arg("--version")) {
        missing.push("pgbouncer");
    }
    if !works(Command::new("mariadbd").arg("--version")) || !works(Command::new("mariadb").arg("--version")) {
        missing.push("mariadb-server");
    }
    if !works(Command::new("openssl").arg("version")) {
        missing.push("openssl");
    }
    // A JDK, not a JRE: the client test is a source file, which `java` compiles as it runs it.
    if !works(Command::new("javac").arg("-version")) {
        missing.push("default-jdk-headless");
    }
    if !Path::new(java::JDBC).exists() {
        missing.push("libpostgresql-jdbc-java");
    }
    if !works(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        missing.push("python3-venv");
    }
    missing
}

/// Best effort: a machine without systemd has started none.
fn stop_system_mariadb() {
    for arguments in [["stop", "mariadb"], ["disable", "mariadb"]] {
        works(Command::new("systemctl").args(arguments));
    }
}

fn postgres_folders() -> Vec<PathBuf> {
    std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path()).collect()
}

fn has_citext() -> bool {
    let versions = std::fs::read_dir("/usr/share/postgresql").into_iter().flatten().flatten();
    versions.into_iter().any(|e| e.path().join("extension/citext.control").exists())
}

fn keep_main_cluster_away(config: &Path) -> Result<()> {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let is_setting = |line: &&str| line.trim_start().trim_start_matches('#').trim_start().starts_with("create_main_cluster");
    let mut lines: Vec<&str> = text.lines().filter(|l| !is_setting(l)).collect();
    lines.push("create_main_cluster = false");
    std::fs::write(config, lines.join("\n") + "\n").map_err(Error::at(format!("writing {}", config.display())))
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-y", "-q"]).args(arguments);
    if arguments.first() == Some(&"install") {
        command.arg("--no-install-recommends");
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    process::run(&mut command).map(|_| ())
}

/// The Python environments of all requirement lists of the project, made or found in the cache.
fn python_environments() -> Result<()> {
    for list in requirement_lists(&cargo::root()) {
        let shown = list.strip_prefix(cargo::root()).unwrap_or(&list).display().to_string();
        println!("setup: Python environment of {shown}");
        let text = std::fs::read_to_string(&list)?;
        Venv::with_requirements(&text).map_err(Error::at(shown))?;
    }
    Ok(())
}

/// Every `*.txt` in a folder called `requirements`.
fn requirement_lists(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !path.is_dir() || name.starts_with('.') || name == "target" {
            continue;
        }
        if name == "requirements" {
            found.extend(
                std::fs::read_dir(&path)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|e| e.path())
                    .filter(|p| p.extension().is_some_and(|e| e == "txt")),
            );
        } else {
            found.extend(requirement_lists(&path));
        }
    }
    found.sort();
    found
}

/// cargo-nextest, the test runner.
pub fn nextest() -> Result<()> {
    if works(&mut cargo::command(&["nextest", "--version"])?) {
        return Ok(());
    }
    println!("setup: installing cargo-nextest, the test runner, from source (a few minutes, once)");
    // Not into our target folder: its profile and features have nothing to do with ours.
    let status = cargo::command(&["install", "cargo-nextest", "--locked"])?.env_remove("CARGO_TARGET_DIR").status()?;
    if status.success() { Ok(()) } else { Err(Error::new("cargo-nextest could not be installed")) }
}

fn works(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
