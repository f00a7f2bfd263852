//! Set-up, checks, demo and benchmarks: `cargo xtask <command>`.
//!
//! In Rust and not in shell, so that it has types, tests and one error style. Knows nothing of the engine: it drives the programs as a user would.
// The one program here whose job is to talk on the terminal.
#![allow(clippy::print_stdout)]

mod bench;
mod cargo;
mod checks;
mod demo;
mod guards;
mod setup;

use fjord_harness::{Error, Result};

const HELP: &str = "\
cargo xtask <command>

  setup           install what tests and demo need (as root: by apt; Python environments; cargo-nextest)
  test [--full]   every check: fmt, clippy, build, all tests, the demo's answers. --full runs the long fuzzers, and the guards
  fuzz            the differential fuzzer: random queries pushed, local, and by Postgres itself
      --seed N    repeat a run; otherwise the clock's, printed
      --queries N how many, 10,000 unless told; --world N: one world of a seed; --workers N; --seconds N; --failures N
  guards [NAME]   that each guard against a wrong answer of DataFusion's has a test that fails without it; see xtask/guards
  demo            a throw-away Postgres, a sample shop and event files, Fjord, and a tour through psql; stays up until ctrl-C
      --check     run the tour, compare its answers with Postgres's own, and stop
      --release   build Fjord optimised first (takes longer, runs faster)
      --keep      with --check: stay up afterwards
  bench           compare with Postgres itself and with other systems, side by side; builds optimised
      --quick     little data and no optimised build: only to see that it works
      --write     put the tables into docs/benchmarks.md
      --read, --lookups, --join, --tpch   one part of it

Programs are built into $CARGO_TARGET_DIR, else $FJORD_TARGET_DIR, else fjord/target in the cache folder
($XDG_CACHE_HOME, else ~/.cache).";

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let (command, flags) = arguments.split_first().map_or(("help", &[][..]), |(c, f)| (c.as_str(), f));
    match command {
        "setup" => {
            take_flags(command, flags, [])?;
            setup::run()
        }
        "test" => {
            let [full] = take_flags(command, flags, ["--full"])?;
            checks::run(full)
        }
        "fuzz" => cargo::fuzz(flags),
        "guards" => guards::run(flags),
        "demo" => {
            let [check, release, keep] = take_flags(command, flags, ["--check", "--release", "--keep"])?;
            demo::run(demo::Options { check, release, stay: keep || !check })
        }
        "bench" => {
            let [quick, write, read, lookups, join, tpch] =
                take_flags(command, flags, ["--quick", "--write", "--read", "--lookups", "--join", "--tpch"])?;
            bench::run(&bench::Options { quick, write, only: bench::Parts { read, lookups, join, tpch } })
        }
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(Error::new(format!("no command {other:?}\n\n{HELP}"))),
    }
}

/// Which of the `known` flags are given; anything else is an error.
fn take_flags<const N: usize>(command: &str, given: &[String], known: [&str; N]) -> Result<[bool; N]> {
    if let Some(unknown) = given.iter().find(|g| !known.contains(&g.as_str())) {
        return Err(Error::new(format!("`cargo xtask {command}` does not know {unknown:?}\n\n{HELP}")));
    }
    Ok(known.map(|k| given.iter().any(|g| g == k)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_taken_and_unknown_ones_named() {
        let given = ["--check".to_string()];
        assert_eq!(take_flags("demo", &given, ["--check", "--release"]).ok(), Some([true, false]));
        let message = take_flags("test", &given, ["--full"]).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains("\"--check\""), "{message}");
    }
}
