//! The tables of a run: printed as they come, and written into docs/benchmarks.md.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use fjord_harness::{Error, Result};

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench --write` -->";
const END: &str = "<!-- end of figures -->";

/// All tables of a run, as Markdown.
#[derive(Debug, Default)]
pub struct Report {
    text: String,
}

impl Report {
    /// Begins a section.
    pub fn section(&mut self, title: &str, note: &str) {
        self.say(&format!("\n### {title}\n"));
        if !note.is_empty() {
            self.say(&format!("{note}\n"));
        }
    }

    /// A table's head.
    pub fn head(&mut self, columns: &[&str]) {
        self.row(&columns.iter().map(ToString::to_string).collect::<Vec<_>>());
        self.say(&format!("|{}", "---|".repeat(columns.len())));
    }

    /// A table's row.
    pub fn row(&mut self, cells: &[String]) {
        self.say(&format!("| {} |", cells.join(" | ")));
    }

    fn say(&mut self, line: &str) {
        println!("{line}");
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    /// Puts the tables between the marks of a Markdown file.
    pub fn record(&self, file: &Path) -> Result<()> {
        let old = fs::read_to_string(file).map_err(Error::at(file.display().to_string()))?;
        let (Some(begin), Some(end)) = (old.find(BEGIN), old.find(END)) else {
            return Err(Error::new(format!("{} lacks the line {BEGIN} or {END}", file.display())));
        };
        let new = format!("{}{BEGIN}\n{}\n{}", &old[..begin], self.text, &old[end..]);
        fs::write(file, new).map_err(Error::at(file.display().to_string()))
    }
}

/// Seconds, or why there are none.
pub fn seconds(time: &std::result::Result<f64, String>) -> String {
    match time {
        Ok(s) => format!("{s:.3}"),
        Err(reason) => format!("failed: {}", reason.lines().next().unwrap_or("").replace('|', "/").chars().take(120).collect::<String>()),
    }
}

/// `ours` as a multiple of `theirs`.
pub fn ratio(ours: &std::result::Result<f64, String>, theirs: &std::result::Result<f64, String>) -> String {
    match (ours, theirs) {
        (Ok(o), Ok(t)) if *t > 0.0 => format!("{:.2}", o / t),
        _ => "-".into(),
    }
}
