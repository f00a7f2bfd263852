//! What is slow to make is made once: `$FJORD_CACHE_DIR`, else `$XDG_CACHE_HOME/fjord`, else `~/.cache/fjord`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The cache folder; created if missing.
pub fn folder() -> Result<PathBuf> {
    let path = if let Some(p) = non_empty("FJORD_CACHE_DIR") {
        PathBuf::from(p)
    } else if let Some(p) = non_empty("XDG_CACHE_HOME") {
        PathBuf::from(p).join("fjord")
    } else if let Some(p) = non_empty("HOME") {
        PathBuf::from(p).join(".cache/fjord")
    } else {
        return Err(Error::new("no cache folder: set HOME, XDG_CACHE_HOME or FJORD_CACHE_DIR"));
    };
    fs::create_dir_all(&path).map_err(Error::at(format!("creating {}", path.display())))?;
    Ok(path)
}

/// The folder `name` of the cache. If it is not there, `make` fills it: once, however many processes ask at the same time, and never half: it is filled
/// under another name and renamed when complete.
pub fn get_or_make(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = folder()?;
    let target = root.join(name);
    if target.exists() {
        return Ok(target);
    }
    let lock_path = root.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(Error::at(format!("creating {}", lock_path.display())))?;
    // Released when `lock` is dropped, also by a process that dies.
    lock.lock().map_err(Error::at(format!("locking {}", lock_path.display())))?;
    if target.exists() {
        return Ok(target);
    }
    let half = root.join(format!("{name}.making"));
    let _ = fs::remove_dir_all(&half);
    fs::create_dir_all(&half).map_err(Error::at(format!("creating {}", half.display())))?;
    if let Err(e) = make(&half) {
        let _ = fs::remove_dir_all(&half);
        return Err(e);
    }
    fs::rename(&half, &target).map_err(Error::at(format!("renaming {} to {}", half.display(), target.display())))?;
    Ok(target)
}

/// A name part that changes when any of `inputs` does.
pub fn fingerprint(inputs: &[&str]) -> String {
    // FNV-1a: stable over Rust versions, which std's hasher does not promise.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in inputs.iter().flat_map(|s| s.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

fn non_empty(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|v| !v.is_empty())
}
