//! `cargo xtask test`: every check there is, one after the other, with a single closing line.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fjord_harness::{Error, Result, process};

use crate::{cargo, demo, guards, setup};

struct Step {
    name: &'static str,
    passed: bool,
    took: Duration,
}

/// How many tests ran, by the runners' own closing lines.
#[derive(Default, Debug, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

/// Runs them all. `full` runs the long fuzzers and the proof of the guards too: tests see it as `FJORD_TEST_FULL=1`.
pub fn run(full: bool) -> Result<()> {
    let started = Instant::now();
    setup::run()?;
    let mut steps = Vec::new();
    let mut counts = Counts::default();

    let mut step = |name: &'static str, work: &mut dyn FnMut() -> Result<bool>| -> bool {
        println!("\n=== {name}");
        let since = Instant::now();
        let passed = work().unwrap_or_else(|e| {
            eprintln!("{e}");
            false
        });
        let took = since.elapsed();
        println!("--- {name}: {} in {}", if passed { "passed" } else { "FAILED" }, shown(took));
        steps.push(Step { name, passed, took });
        passed
    };

    step("fmt", &mut || succeeds(cargo::command(&["fmt", "--all", "--check"])?));
    step("clippy", &mut || succeeds(cargo::command(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?));
    let built = step("build", &mut || succeeds(cargo::command(&["build", "--workspace", "--all-targets"])?));
    if built {
        step("tests", &mut || {
            let mut command = cargo::command(&["nextest", "run", "--workspace", "--no-fail-fast"])?;
            if full {
                command.env("FJORD_TEST_FULL", "1");
            }
            counted(command, &mut counts)
        });
        step("documentation tests", &mut || counted(cargo::command(&["test", "--workspace", "--doc", "--quiet"])?, &mut counts));
        step("documentation", &mut || {
            let mut command = cargo::command(&["doc", "--workspace", "--no-deps", "--quiet"])?;
            // Links to private items help whoever reads the code with --document-private-items.
            command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
            succeeds(command)
        });
        step("demo --check, then ctrl-C", &mut demo_check);
        if full {
            step("guards", &mut || guards::run(&[]).map(|()| true));
        }
    }

    println!();
    for s in &steps {
        println!("{:>10}  {:<20} {}", shown(s.took), s.name, if s.passed { "passed" } else { "FAILED" });
    }
    let failed = steps.iter().filter(|s| !s.passed).count();
    let summary = format!(
        "xtask test: {} passed, {} failed; steps: {} passed, {failed} failed; {}",
        counts.passed,
        counts.failed,
        steps.len() - failed,
        shown(started.elapsed())
    );
    println!("{summary}");
    if failed == 0 && counts.failed == 0 { Ok(()) } else { Err(Error::new("some checks failed")) }
}

/// The demo as a process of its own, ended as a user ends it: how it stops is part of the check.
fn demo_check() -> Result<bool> {
    // This very program, even where the build step has put another in its place since.
    let mut command = Command::new("/proc/self/exe");
    // The program that the step before built and tested: building it by itself could resolve other features, and build all of it again.
    command.args(["demo", "--check", "--keep"]).current_dir(cargo::root()).env("FJORD_BIN", cargo::target_folder()?.join("debug/fjord"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut interrupted = false;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(|l| l.ok()) {
            println!("{line}");
            if line.contains(demo::READY_LINE) {
                process::signal(child.id(), "INT")?;
                interrupted = true;
            }
        }
    }
    Ok(child.wait()?.success() && interrupted)
}

fn succeeds(mut command: Command) -> Result<bool> {
    Ok(command.stdin(Stdio::null()).status()?.success())
}

/// Runs a test runner, passes its output on, and adds up its closing lines.
fn counted(mut command: Command, counts: &mut Counts) -> Result<bool> {
    // nextest writes to stderr, libtest to stdout: one pipe for both would need unsafe code, so each has a reader.
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().map(|s| std::thread::spawn(move || pass_on(s)));
    let stderr = child.stderr.take().map(|s| std::thread::spawn(move || pass_on(s)));
    let status = child.wait()?;
    for reader in [stdout, stderr].into_iter().flatten() {
        if let Ok(seen) = reader.join() {
            counts.passed += seen.passed;
            counts.failed += seen.failed;
        }
    }
    Ok(status.success())
}

fn pass_on(stream: impl std::io::Read) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(stream).split(b'\n').map_while(|l| l.ok()) {
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(c) = closing_line(&line) {
            counts.passed += c.passed;
            counts.failed += c.failed;
        }
    }
    counts
}

/// `Summary [   1.2s] 9 tests run: 7 passed, 1 failed, 1 timed out, 0 skipped` of nextest, `test result: ok. 2 passed; 0 failed; ...` of libtest.
fn closing_line(line: &str) -> Option<Counts> {
    // nextest indents its own line by five; what it repeats of a failed test's output (a `test result:` too) by four.
    let tail = match line.trim_start().strip_prefix("Summary [") {
        Some(rest) => rest.split_once(" run: ")?.1,
        None => line.strip_prefix("test result: ")?.split_once(". ")?.1,
    };
    let mut counts = Counts::default();
    for part in tail.split([',', ';']) {
        let mut words = part.split_whitespace();
        let (Some(Ok(n)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else { continue };
        match what {
            "passed" => counts.passed += n,
            "failed" | "timed" | "exec" => counts.failed += n,
            _ => {}
        }
    }
    Some(counts)
}

fn shown(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds >= 60 { format!("{} min {} s", seconds / 60, seconds % 60) } else { format!("{:.1} s", took.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_counted() {
        let nextest = "     Summary [   1.688s] 9 tests run: 6 passed (1 slow), 2 failed, 1 timed out, 3 skipped";
        assert_eq!(closing_line(nextest), Some(Counts { passed: 6, failed: 3 }));
        let libtest = "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(closing_line(libtest), Some(Counts { passed: 4, failed: 1 }));
        assert_eq!(closing_line("        PASS [   0.186s] (5/6) a test"), None);
    }
}
