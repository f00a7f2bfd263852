//! A copy of the work tree with every guard behind its switch, and cargo on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fjord_harness::{Error, Result};

use super::SWITCH;
use super::entry::{Entry, Test};
use crate::cargo;

/// The copy, beside what cargo builds. It stays, so that the next run compiles what has changed since.
pub struct Tree {
    folder: PathBuf,
}

impl Tree {
    /// The work tree as it is, what is not committed too, with the guards of `all` switchable.
    pub fn prepared(all: &[Entry]) -> Result<Tree> {
        let folder = cargo::target_folder()?.join("guards");
        let tree = folder.join("tree");
        let files = listed()?;
        let mut changed: BTreeMap<PathBuf, String> = BTreeMap::new();
        for entry in all {
            let switch = format!("::std::env::var_os(\"{SWITCH}\").is_some_and(|g| g == \"{}\")", entry.name);
            for edit in &entry.edits {
                let text = match changed.remove(&edit.file) {
                    Some(t) => t,
                    None => std::fs::read_to_string(cargo::root().join(&edit.file)).map_err(Error::at(edit.file.display()))?,
                };
                let new = edit.applied(&text, &switch).map_err(Error::at(format!("guard {}", entry.name)))?;
                changed.insert(edit.file.clone(), new);
            }
        }
        // A version of its own: both trees build into one folder, and neither takes the other's crates for its own.
        let manifest = std::fs::read_to_string(cargo::root().join("Cargo.toml"))?;
        let version = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
        if manifest.matches(&version).count() != 1 {
            return Err(Error::new(format!("Cargo.toml: {version} is not there once")));
        }
        changed
            .insert("Cargo.toml".into(), manifest.replacen(&version, concat!("version = \"", env!("CARGO_PKG_VERSION"), "-guards\""), 1));
        for file in &files {
            let new = match changed.get(file) {
                Some(text) => text.clone().into_bytes(),
                None => std::fs::read(cargo::root().join(file)).map_err(Error::at(file.display()))?,
            };
            write(&tree.join(file), &new)?;
        }
        remove_others(&tree, &tree, &files)?;
        Ok(Tree { folder })
    }

    /// Builds `fjord` and the programs of the tests. Gives back where `fjord` is.
    pub fn build(&self, tests: &BTreeSet<&Test>) -> Result<PathBuf> {
        let built = cargo::target_folder()?.join("debug/fjord");
        // Cargo puts it where the user's own is; that one comes back afterwards.
        let _own = Aside::put(&built)?;
        self.succeeds(&["build".into(), "--package".into(), "fjord-server".into(), "--bin".into(), "fjord".into()])?;
        let fjord = self.folder.join("fjord");
        std::fs::copy(&built, &fjord)?;
        // One selection at a time, as they are run: together they could resolve other features.
        for selection in tests.iter().map(|t| t.selection()).collect::<BTreeSet<_>>() {
            let command: Vec<String> = ["nextest".into(), "run".into(), "--no-run".into()].into_iter().chain(selection).collect();
            self.succeeds(&command)?;
        }
        Ok(fjord)
    }

    fn succeeds(&self, arguments: &[String]) -> Result<()> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match self.cargo(&arguments)?.stdin(Stdio::null()).status()?.success() {
            true => Ok(()),
            false => Err(Error::new(format!("the tree with its guards behind switches does not build: cargo {}", arguments.join(" ")))),
        }
    }

    /// Cargo in the copy.
    pub fn cargo(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = cargo::command(arguments)?;
        command.current_dir(self.folder.join("tree"));
        Ok(command)
    }
}

/// The files of the work tree that git knows, or would.
fn listed() -> Result<BTreeSet<PathBuf>> {
    let output =
        Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(cargo::root()).output()?;
    if !output.status.success() {
        return Err(Error::new(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    // A file that was deleted and not committed is still named.
    Ok(names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).filter(|f| cargo::root().join(f).is_file()).collect())
}

/// Writes a file unless it is so already: cargo goes by the time of the last change.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, content).map_err(Error::at(path.display()))
}

/// Files that the work tree no longer has. `Cargo.lock` is cargo's own there.
fn remove_others(tree: &Path, folder: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(tree, &path, files)?;
        } else if !path.strip_prefix(tree).is_ok_and(|p| files.contains(p)) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A file under another name until this is dropped.
struct Aside {
    place: PathBuf,
    aside: PathBuf,
}

impl Aside {
    fn put(place: &Path) -> Result<Option<Aside>> {
        if !place.is_file() {
            return Ok(None);
        }
        let aside = place.with_extension("own");
        std::fs::rename(place, &aside)?;
        Ok(Some(Aside { place: place.to_path_buf(), aside }))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(e) = std::fs::rename(&self.aside, &self.place) {
            eprintln!("{} could not be put back as {}: {e}", self.aside.display(), self.place.display());
        }
    }
}
