//! The `fjord` command: `serve` and `sql`.

mod open;
mod print;
mod serve;
mod sql;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fjord_engine::SqlError;

/// One SQL front door to live operational databases.
#[derive(Debug, Parser)]
#[command(name = "fjord", version, about, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the Postgres protocol until SIGTERM or SIGINT.
    Serve(ServeArgs),
    /// Runs statements in this process and prints their results.
    Sql(SqlArgs),
}

/// Where the state lives, and what to read first.
#[derive(Debug, Args)]
struct StoreArgs {
    /// The folder that holds all state [default: ./fjord-data].
    #[arg(long, value_name = "DIR", env = "FJORD_DATA_DIR", conflicts_with = "store")]
    data_dir: Option<PathBuf>,
    /// An object store that holds all state, instead of a folder: s3://bucket/path, gs://..., az://... Credentials come from the environment
    /// (AWS_ACCESS_KEY_ID and so on).
    #[arg(long, value_name = "URL", env = "FJORD_STORE")]
    store: Option<String>,
    /// The configuration file (docs/configuration.md).
    #[arg(long, value_name = "FILE", env = "FJORD_CONFIG")]
    config: Option<PathBuf>,
    /// The folder below which CREATE SECRET ... FROM FILE may read.
    #[arg(long, value_name = "DIR", env = "FJORD_SECRET_ROOT")]
    secret_root: Option<PathBuf>,
    /// The folder below which connectors of type files may read local files [default: anywhere].
    #[arg(long, value_name = "DIR", env = "FJORD_FILE_ROOT")]
    file_root: Option<PathBuf>,
    /// Statements to run before anything else, at each start (use CREATE ... IF NOT EXISTS).
    #[arg(long, value_name = "FILE")]
    init_sql: Option<PathBuf>,
    /// How to write the log, which goes to standard error. RUST_LOG sets its level.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The address to listen on [default: 127.0.0.1:5437]. Any but loopback needs [users] and [tls] in fjord.toml.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Listen without passwords or without TLS, on whatever address.
    #[arg(long)]
    insecure: bool,
}

#[derive(Debug, Args)]
struct SqlArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The statements.
    #[arg(short = 'c', long = "command", value_name = "SQL", conflicts_with = "file")]
    command: Option<String>,
    /// A file of statements; `-` is standard input, which is also read where neither -c nor -f is given.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Parses the command line and runs it. Exit codes: 0 well done, 1 an error, 2 a wrong command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Planning is work for the processor inside an async task: more threads than cores keep the sockets answering meanwhile.
    let threads = std::thread::available_parallelism().map_or(4, |n| (n.get() * 2).max(4));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.worker_threads(threads).thread_stack_size(fjord_engine::STACK_BYTES).enable_all().build() {
        Ok(r) => r,
        Err(e) => {
            eprintln!("fjord: cannot start: {e}");
            return ExitCode::FAILURE;
        }
    };
    let result = match cli.command {
        Command::Serve(args) => {
            log(args.store.log_format, "info");
            runtime.block_on(serve::run(args))
        }
        Command::Sql(args) => {
            // Results go to standard output; the log stays quiet unless asked for.
            log(args.store.log_format, "error");
            runtime.block_on(sql::run(args))
        }
    };
    // What a source still does when its query was cut is not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(code) => code,
        Err(e) => {
            eprintln!("fjord: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The command's result: an exit code, or an error to print.
type Outcome = Result<ExitCode, SqlError>;

fn log(format: LogFormat, level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
    if let Err(e) = done {
        eprintln!("fjord: no log: {e}");
    }
    // A panic is told where all else is told. It ends one statement, not the server.
    std::panic::set_hook(Box::new(|info| {
        tracing::error!(place = %info.location().map(ToString::to_string).unwrap_or_default(), "panic: {}", panic_text(info.payload()));
    }));
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("?")
}
