//! Which files make which table. A pure function of a file's path below the location, so that a file that comes later finds its table too.
//!
//! - A location that is one file or a glob is one table.
//! - In a folder each sub-folder is a table with all that lies below it, and files lying in the folder itself are grouped by the stem of their names:
//!   what stands before the first part that begins with a digit. Files without a telling stem (`part-0001.parquet`) make one table that is named after
//!   the folder, and so do sub-folders `key=value` (hive partitions).

use crate::format::Kind;
use crate::glob::Glob;
use crate::options::Reading;

/// Stems that only say "a piece".
const PIECES: &[&str] = &["part", "parts", "data", "file", "chunk", "split", "batch"];

/// How files below a location become tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One file.
    File { table: String, name: String },
    /// All that match.
    Glob { table: String, glob: Glob },
    /// A folder.
    Folder { table: String },
}

/// Where a file belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The table.
    pub(crate) table: String,
    /// The table's folder below the location; empty for the location itself.
    pub(crate) folder: String,
}

impl Layout {
    /// The place of a file; `None` for one that belongs to no table: hidden files, files of no known format, files that a glob leaves out.
    pub(crate) fn place(&self, path: &str, reading: &Reading) -> Option<Place> {
        let here = |table: &str| Some(Place { table: table.to_string(), folder: String::new() });
        match self {
            Layout::File { table, name } => (path == name).then(|| here(table))?,
            Layout::Glob { table, glob } => (glob.matches(path) && !is_hidden(path)).then(|| here(table))?,
            Layout::Folder { table } => {
                if is_hidden(path) || Kind::of(path).with(reading).format.is_none() {
                    return None;
                }
                match path.split_once('/') {
                    Some((first, _)) if !first.contains('=') => Some(Place { table: first.to_string(), folder: first.to_string() }),
                    Some(_) => here(table),
                    None => here(&stem_table(path).unwrap_or_else(|| table.clone())),
                }
            }
        }
    }
}

/// The name of a table for one file: its name without extensions.
pub(crate) fn file_table(name: &str) -> String {
    name.trim_start_matches(['.', '_']).split('.').next().filter(|s| !s.is_empty()).unwrap_or("files").to_string()
}

/// The name of a table for a glob: what the last part of the pattern begins with, if that is a word, else the folder.
pub(crate) fn glob_table(pattern: &str, folder: &str) -> String {
    let last = pattern.rsplit('/').next().unwrap_or("");
    let fixed = &last[..last.find(['*', '?', '[', '{']).unwrap_or(last.len())];
    stem_table(fixed).unwrap_or_else(|| folder.to_string())
}

/// The telling part of a file's name.
fn stem_table(name: &str) -> Option<String> {
    let plain = name.split('.').next().unwrap_or("");
    let mut end = 0;
    let mut at = 0;
    for part in plain.split(['-', '_', ' ']) {
        if part.starts_with(|c: char| c.is_ascii_digit()) || part.is_empty() {
            break;
        }
        end = at + part.len();
        at = end + 1;
    }
    let stem = &plain[..end];
    (!stem.is_empty() && !PIECES.contains(&stem.to_ascii_lowercase().as_str())).then(|| stem.to_string())
}

/// Some part of the path begins with `.` or `_`: what writers leave behind (`_SUCCESS`, `.crc`). A partition may (`_key=1`).
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|s| s.starts_with('.') || (s.starts_with('_') && !s.contains('=')))
}

/// The keys of the partition folders that a path (below its table's folder) begins with.
pub(crate) fn partition_keys(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    parts.into_iter().map_while(|p| p.split_once('=').map(|(key, _)| key)).filter(|k| !k.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::options::FilesOptions;
    use fjord_engine::source::OptionValues;
    use std::collections::BTreeMap;

    fn reading() -> Reading {
        let given = BTreeMap::from([("location".to_string(), "x".to_string())]);
        let values = OptionValues::validate("files", crate::OPTIONS, &given, BTreeMap::new()).unwrap();
        FilesOptions::parse(&values).unwrap().reading
    }

    #[test]
    fn tables_of_a_folder() {
        let folder = Layout::Folder { table: "lake".into() };
        let table = |p: &str| folder.place(p, &reading()).map(|p| p.table);
        assert_eq!(table("orders.csv").as_deref(), Some("orders"));
        assert_eq!(table("orders_2024-01.csv.gz").as_deref(), Some("orders"));
        assert_eq!(table("order_items.parquet").as_deref(), Some("order_items"));
        assert_eq!(table("part-0001.parquet").as_deref(), Some("lake"));
        assert_eq!(table("0001.parquet").as_deref(), Some("lake"));
        assert_eq!(table("year=2024/a.parquet").as_deref(), Some("lake"));
        assert_eq!(table("events/2024/a.parquet").as_deref(), Some("events"));
        assert_eq!(table("_SUCCESS"), None);
        assert_eq!(table("events/.a.parquet.crc"), None);
        assert_eq!(table("README.md"), None);
    }

    #[test]
    fn names() {
        assert_eq!(file_table("orders.2024.csv.gz"), "orders");
        assert_eq!(glob_table("*.parquet", "events"), "events");
        assert_eq!(glob_table("clicks-*.parquet", "events"), "clicks");
        assert_eq!(glob_table("year=*/*.parquet", "events"), "events");
        assert_eq!(partition_keys("year=2024/month=1/a.parquet"), ["year", "month"]);
        assert_eq!(partition_keys("x/year=2024/a.parquet"), Vec::<&str>::new());
    }
}
