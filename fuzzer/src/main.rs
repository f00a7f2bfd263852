//! `fuzzer [--source postgres|mysql|mariadb] [--seed N] [--world N] [--queries N] [--workers N] [--seconds N] [--failures N]`: runs, prints what was exercised and what failed.
//! `fuzzer --case FILE ...`: runs pinned cases and prints every way's answer.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use fjord_fuzzer::pinned::Pinned;
use fjord_fuzzer::run::{Config, Servers, run};
use fjord_fuzzer::source::Source;
use fjord_harness::{Error, Result};

fn main() -> ExitCode {
    match fuzz() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("fuzzer: {e}");
            ExitCode::FAILURE
        }
    }
}

fn cases(files: impl Iterator<Item = String>) -> Result<bool> {
    let mut fine = true;
    for file in files {
        let case = Pinned::parse(&std::fs::read_to_string(&file)?)?;
        let servers = Servers::start(case.world.source)?;
        let tried = servers.worker(0)?.try_case(&case)?;
        println!("{file}: {}", tried.difference().unwrap_or_else(|| "no difference".into()));
        for (way, outcome) in &tried.outcomes {
            match outcome {
                Ok(answer) => println!("  {way}: {:?}\n    {:?}", answer.columns, answer.rows),
                Err(e) => println!("  {way}: {} {}", e.code, e.message),
            }
        }
        fine &= tried.difference().is_none();
    }
    Ok(fine)
}

fn fuzz() -> Result<bool> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut config =
        Config { source: Source::Postgres, seed: now, queries: 10_000, first_world: 0, workers: 4, failures_max: 10, time_max: None };
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|a| a == "--case").is_some() {
        return cases(arguments);
    }
    while let Some(flag) = arguments.next() {
        if flag == "--source" {
            config.source = arguments.next().unwrap_or_default().parse()?;
            continue;
        }
        let value = arguments.next().and_then(|v| v.parse::<u64>().ok()).ok_or_else(|| Error::new(format!("{flag} needs a number")))?;
        let small = usize::try_from(value).map_err(Error::at(&flag))?;
        match flag.as_str() {
            "--seed" => config.seed = value,
            "--world" => (config.first_world, config.queries) = (value, 1),
            "--queries" => config.queries = value,
            "--workers" => config.workers = small,
            "--failures" => config.failures_max = small,
            "--seconds" => config.time_max = Some(Duration::from_secs(value)),
            _ => return Err(Error::new(format!("no option {flag}"))),
        }
    }
    println!("source {} seed {}", config.source.name(), config.seed);
    let report = run(&config)?;
    println!("{report}");
    Ok(report.failures.is_empty())
}
