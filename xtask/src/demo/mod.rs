//! `cargo xtask demo`: a shop in a throw-away Postgres, event files, Fjord before both, and a tour through psql.

mod shop;
mod tour;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use fjord_harness::{Error, FjordOptions, FjordServer, Result};

use crate::{cargo, setup};
use shop::Shop;

/// The beginning of the last line before the demo waits.
pub const READY_LINE: &str = "ctrl-C stops both";

/// How the demo is to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Compare each answer with Postgres's own.
    pub check: bool,
    /// Build optimised.
    pub release: bool,
    /// Stay up until ctrl-C.
    pub stay: bool,
}

/// Set when the user pressed ctrl-C, or SIGTERM came.
#[derive(Clone, Default)]
pub struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    /// An error if it was.
    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::new("stopped on request")) } else { Ok(()) }
    }
}

/// Runs it.
pub fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let interrupted = Interrupted::default();
    runtime.block_on(async {
        let (ask, asked) = (interrupted.clone(), tokio::sync::Notify::new());
        let asked = Arc::new(asked);
        let wake = Arc::clone(&asked);
        // The tour runs on a thread, so that ctrl-C is seen at any time. It owns the servers: when it ends, for whatever reason, they are stopped.
        let mut tour = tokio::task::spawn_blocking(move || play(options, &ask, &asked));
        let early = tokio::select! {
            ended = &mut tour => Some(ended),
            signal = stop_signal() => { signal?; None }
        };
        let ended = match early {
            Some(ended) => ended,
            None => {
                interrupted.0.store(true, Ordering::Relaxed);
                wake.notify_one();
                tour.await
            }
        };
        match ended.map_err(Error::at("the demo"))? {
            Err(_) if interrupted.0.load(Ordering::Relaxed) => {
                println!("\nStopped; nothing is left behind.");
                Ok(())
            }
            other => other,
        }
    })
}

async fn stop_signal() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
        _ = terminate.recv() => Ok(()),
    }
}

fn play(options: Options, interrupted: &Interrupted, asked_to_stop: &tokio::sync::Notify) -> Result<()> {
    setup::packages()?;
    println!("demo: building Fjord ...");
    let program = cargo::build_fjord(options.release)?;
    interrupted.check()?;
    let since = Instant::now();
    println!("demo: starting a throw-away Postgres and filling the shop (1,000,000 orders) ...");
    let shop = Shop::open()?;
    interrupted.check()?;
    println!("demo: writing the event files (400,000 rows of Parquet) ...");
    shop.write_event_files()?;
    interrupted.check()?;
    println!("demo: starting Fjord ... (all ready after {:.1} s)", since.elapsed().as_secs_f64());
    let mut fjord = FjordServer::with(FjordOptions {
        program: Some(program),
        env: vec![("SHOP_PASSWORD".into(), shop::PASSWORD.into())],
        ..FjordOptions::default()
    })?;

    let failed = tour::run(&shop, &fjord, options.check, interrupted)?;
    if !failed.is_empty() {
        return Err(Error::new(format!("demo: {} step(s) gave a wrong answer: {}\n{}", failed.len(), failed.join(", "), fjord.log())));
    }
    if options.stay {
        println!("\nFjord is up. From another terminal:\n\n    psql -h 127.0.0.1 -p {} -U fjord fjord\n", fjord.port());
        println!(
            "The shop itself (password: {}):\n\n    psql -h 127.0.0.1 -p {} -U postgres postgres\n",
            shop::SUPERUSER_PASSWORD,
            shop.postgres.port()
        );
        println!("{READY_LINE} and removes their data.");
        // Bounded by the user's patience only: that is what it is for.
        tokio::runtime::Handle::current().block_on(asked_to_stop.notified());
    }
    // ctrl-C in a terminal reaches all of us at once, so it may be gone already.
    let stopped = fjord.stop();
    if options.check {
        stopped?;
        println!("demo: every answer is right");
    }
    interrupted.check()
}
