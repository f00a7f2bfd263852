//! `cargo xtask guards`: every guard against a wrong answer of DataFusion's has a test that fails without it.
//!
//! A file of `xtask/guards` says how to take one guard out ([`entry`]). All of them are built into one copy of the tree, each behind a switch: one build
//! instead of one for each guard. Each named test must pass as things are, and fail when its guard is out. The user's tree is never written to.

mod entry;
mod tree;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fjord_harness::{Error, Result};

use crate::cargo;
use entry::{Entry, Test};
use tree::Tree;

/// The variable that names the guard to be left out.
const SWITCH: &str = "FJORD_GUARD_OUT";
/// nextest's exit code where tests ran and some failed. Others are its own troubles: no such test, no build.
const TESTS_FAILED: i32 = 100;

/// Proves the guards with these names, or all.
///
/// # Errors
/// A file whose text is no longer found in the tree, a name that is no guard, a test that fails as things are, or passes without its guard.
pub fn run(names: &[String]) -> Result<()> {
    let all = entry::read(&cargo::root().join("xtask/guards"))?;
    if let Some(unknown) = names.iter().find(|n| all.iter().all(|e| e.name != **n)) {
        return Err(Error::new(format!("no guard {unknown:?}; there are {}", listed(all.iter().map(|e| e.name.as_str())))));
    }
    // The whole list goes into the tree whichever are asked for: what is built stays the same.
    let tree = Tree::prepared(&all)?;
    let asked: Vec<&Entry> = all.iter().filter(|e| names.is_empty() || names.contains(&e.name)).collect();
    let tests: BTreeSet<&Test> = asked.iter().flat_map(|e| &e.tests).collect();
    println!("building {} guards with their switches", all.len());
    let fjord = tree.build(&all.iter().flat_map(|e| &e.tests).collect())?;

    let mut broken = vec![];
    for test in &tests {
        if let Outcome::Failed(said) = outcome(&tree, &fjord, test, None)? {
            broken.push(format!("{test}: {said}"));
        }
    }
    if !broken.is_empty() {
        return Err(Error::new(format!("tests that do not pass as things are:\n{}", broken.join("\n"))));
    }
    println!("{} tests pass as things are", tests.len());
    let mut table = vec![];
    for entry in &asked {
        for test in &entry.tests {
            let since = Instant::now();
            let outcome = outcome(&tree, &fjord, test, Some(&entry.name))?;
            println!("{:<28} {test}: {}", entry.name, outcome.shown());
            table.push((*entry, test, matches!(outcome, Outcome::Failed(_)), since.elapsed()));
        }
    }
    report(&table)
}

fn report(table: &[(&Entry, &Test, bool, Duration)]) -> Result<()> {
    println!("\n{:<28} {:<8} {:>6}  {:<70} test that fails without it", "guard", "proven", "took", "what it is for");
    for (entry, test, proven, took) in table {
        let proven = if *proven { "yes" } else { "NO" };
        println!("{:<28} {proven:<8} {:>4.1} s  {:<70} {test}", entry.name, took.as_secs_f64(), entry.about);
    }
    let missing: Vec<&str> = table.iter().filter(|(.., proven, _)| !proven).map(|(e, ..)| e.name.as_str()).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format!("no test fails without {}", listed(missing.into_iter())))),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

enum Outcome {
    Passed,
    /// With what the test said.
    Failed(String),
}

impl Outcome {
    fn shown(&self) -> String {
        match self {
            Outcome::Passed => "passes".to_string(),
            Outcome::Failed(said) => format!("fails: {said}"),
        }
    }
}

/// Runs one test of the tree, with a guard left out or with all in place.
fn outcome(tree: &Tree, fjord: &Path, test: &Test, without: Option<&str>) -> Result<Outcome> {
    let mut command: Command = tree.cargo(&["nextest", "run"])?;
    command.args(test.selection()).args(["-E", &test.filter(), "--no-fail-fast", "--status-level", "none"]);
    command.env("FJORD_BIN", fjord).env_remove(SWITCH).stdin(Stdio::null());
    if let Some(guard) = without {
        command.env(SWITCH, guard);
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(Outcome::Passed),
        Some(TESTS_FAILED) => Ok(Outcome::Failed(complaint(&said))),
        _ => Err(Error::new(format!("{test} does not run:\n{said}"))),
    }
}

/// What a test said when it failed: the lines of its first panic, on one.
fn complaint(said: &str) -> String {
    const LONGEST: usize = 160;
    let mut lines = said.lines().map(str::trim).skip_while(|l| !l.contains("panicked at")).skip(1);
    let words: Vec<&str> = lines.by_ref().take_while(|l| !l.is_empty() && !l.starts_with("note: ") && !l.starts_with("stack ")).collect();
    let all = words.join(" ");
    match all.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &all[..end]),
        None if all.is_empty() => "without a word".to_string(),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_test_is_quoted_on_one_line() {
        let said = "noise\n    thread 'x' panicked at a.rs:1:2:\n    assertion failed\n      left: 1\n     right: 2\n    note: run with\n";
        assert_eq!(complaint(said), "assertion failed left: 1 right: 2");
        assert_eq!(complaint("killed"), "without a word");
    }
}
