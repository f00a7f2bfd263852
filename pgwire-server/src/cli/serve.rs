//! `fjord serve`.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use fjord_engine::{SqlError, SqlState};
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, ServeArgs, open, print, sql};
use crate::server::SHUTDOWN_GRACE;

/// The port: near Postgres's own, taken by nobody.
const DEFAULT_PORT: u16 = 5437;

/// Serves until a signal.
pub async fn run(args: ServeArgs) -> Outcome {
    let config = open::config(&args.store)?;
    let address = args.listen.or(config.server.listen).unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)));
    let no_signals = |e: std::io::Error| SqlError::new(SqlState::IO_ERROR, format!("signals cannot be caught: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let server = open::server(&args.store, &config, args.insecure).await?;
    server.check_address(address)?;
    if let Some(text) = open::init_sql(&args.store, &config)? {
        // Before the first client: what it makes is there from the first query on. Its results are of no interest, its errors end the start.
        sql::run_text(&server, &text, &mut print::Quiet).await?;
    }
    let listener = server.bind(address)?;
    let local = listener.local_addr().map_err(no_signals)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %local,
        tls = server.tls.is_some(),
        users = config.users.len(),
        "fjord is ready: psql -h {} -p {} -d {}", local.ip(), local.port(), server.engine.database
    );
    if args.insecure && !local.ip().is_loopback() {
        tracing::warn!("--insecure: anybody who can reach {local} may connect, or read along");
    }
    let accepting = tokio::spawn({
        let server = server.clone();
        async move { server.serve(listener).await }
    });
    let which = tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    };
    tracing::info!(signal = which, sessions = server.sessions.len(), "stopping; a second signal stops at once");
    let stopping = server.stop(SHUTDOWN_GRACE);
    tokio::select! {
        () = stopping => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    accepting.abort();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
