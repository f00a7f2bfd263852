//! `cargo xtask bench`: the same work done in several ways, side by side on this machine.
//!
//! Each way runs several times after a warm-up and its best time counts: what else the machine does only ever adds. Numbers of different machines, or of different moments of a busy one,
//! say nothing; a report is only ever of one run.

mod join;
mod lookups;
mod peers;
mod read;
mod read_mysql;
mod report;
mod timing;
mod tpch;

use std::path::PathBuf;

use fjord_harness::{FjordOptions, FjordServer, Postgres, Result, Venv};

use crate::{cargo, setup};
use report::Report;

const REQUIREMENTS: &str = include_str!("../../../benches/peers/requirements.txt");

/// Which parts are asked for; none means all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Many rows.
    pub read: bool,
    /// Short queries.
    pub lookups: bool,
    /// A selective join over two sources.
    pub join: bool,
    /// TPC-H.
    pub tpch: bool,
}

/// What is to be measured.
#[derive(Debug, Default)]
pub struct Options {
    /// An unoptimised build and little data, to see that it works; its numbers mean nothing.
    pub quick: bool,
    /// Put the tables into docs/benchmarks.md.
    pub write: bool,
    /// Some parts instead of all.
    pub only: Parts,
}

/// What every section needs.
struct Bench {
    venv: Venv,
    program: PathBuf,
    quick: bool,
}

impl Bench {
    fn postgres(&self) -> Result<Postgres> {
        Postgres::with_settings(
            "shared_buffers = '1GB'\nmax_parallel_workers_per_gather = 2\nwork_mem = '64MB'\nmax_wal_size = '8GB'\ncheckpoint_timeout = '1h'",
        )
    }

    /// Fjord without connectors.
    fn fjord_alone(&self) -> Result<FjordServer> {
        FjordServer::with(FjordOptions { program: Some(self.program.clone()), ..FjordOptions::default() })
    }

    /// Fjord with a connector `pg` to that server.
    fn fjord(&self, postgres: &Postgres) -> Result<FjordServer> {
        let fjord = self.fjord_alone()?;
        fjord.psql(&format!(
            "CREATE CONNECTOR pg TYPE postgres OPTIONS (host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable')",
            postgres.port()
        ))?;
        Ok(fjord)
    }
}

/// Runs the comparisons, prints them and, with `write`, records them.
pub fn run(options: &Options) -> Result<()> {
    setup::packages()?;
    let program = cargo::build_fjord(!options.quick)?;
    println!("bench: preparing the peers' Python environment");
    let bench = Bench { venv: Venv::with_requirements(REQUIREMENTS)?, program, quick: options.quick };
    if options.quick {
        println!("bench: QUICK: unoptimised, the numbers mean nothing");
    }
    let mut report = Report::default();
    let all = options.only == Parts::default();
    type Part = fn(&Bench, &mut Report) -> Result<()>;
    let parts: [(bool, Part); 5] = [
        (options.only.read, read::run),
        (options.only.read, read_mysql::run),
        (options.only.lookups, lookups::run),
        (options.only.join, join::run),
        (options.only.tpch, tpch::run),
    ];
    for (asked, part) in parts {
        if asked || all {
            part(&bench, &mut report)?;
        }
    }
    if options.write {
        report.record(&cargo::root().join("docs/benchmarks.md"))?;
    }
    Ok(())
}
