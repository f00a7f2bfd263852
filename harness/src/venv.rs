//! Python environments for clients and tools that exist only there. Made once per list of requirements.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result, cache, process};

/// A Python environment.
#[derive(Debug, Clone)]
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// The environment with the pinned requirements of `text` (the content of a requirements file); made if it is not in the cache.
    pub fn with_requirements(text: &str) -> Result<Venv> {
        let python =
            process::run(Command::new("python3").arg("--version")).map_err(Error::at("python3 is needed (run `cargo xtask setup`)"))?;
        let name = format!("venv-{}", cache::fingerprint(&[python.trim(), text]));
        // An environment has its own path written into its scripts, so it cannot be made elsewhere and renamed: a folder `done` inside the cache entry marks it complete.
        let root = cache::folder()?.join(&name);
        let done = cache::get_or_make(&format!("{name}.done"), |_| {
            let _ = std::fs::remove_dir_all(&root);
            process::run(Command::new("python3").args(["-m", "venv"]).arg(&root))
                .map_err(Error::at("making a Python environment (is python3-venv installed? `cargo xtask setup` does it)"))?;
            let list = root.join("requirements.txt");
            std::fs::write(&list, text)?;
            process::run(Command::new(root.join("bin/python")).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&list))
                .map(|_| ())
        })?;
        if !root.join("bin/python").exists() {
            return Err(Error::new(format!("{} is damaged: remove it and {}", root.display(), done.display())));
        }
        Ok(Venv { folder: root })
    }

    /// A program of the environment, such as `python`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Runs a script to its end and returns what it printed.
    pub fn run_script(&self, script: &Path, arguments: &[&str]) -> Result<String> {
        process::run(Command::new(self.program("python")).arg(script).args(arguments))
    }

    /// Runs Python code to its end and returns what it printed.
    pub fn run_code(&self, code: &str, arguments: &[&str]) -> Result<String> {
        process::run(Command::new(self.program("python")).args(["-c", code]).args(arguments))
    }
}
