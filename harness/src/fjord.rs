//! The real `fjord` binary, started as a user would start it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::{Error, Result, TempFolder, ports, postgres, process};

/// How long the server may take to accept connections, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the server is to be started.
#[derive(Debug, Clone, Default)]
pub struct FjordOptions {
    /// Further arguments of `fjord serve`.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// The content of a `fjord.toml`, given as `--config`.
    pub config: Option<String>,
    /// Statements given as `--init-sql`.
    pub init_sql: Option<String>,
    /// The data folder; otherwise a temp folder that is removed at the end. Two servers may share one.
    pub data_dir: Option<PathBuf>,
    /// The program; otherwise `$FJORD_BIN`, otherwise the one that Cargo built beside this test.
    pub program: Option<PathBuf>,
}

/// A running `fjord serve` on loopback. Killed, and its data removed, on drop.
pub struct FjordServer {
    options: FjordOptions,
    program: PathBuf,
    port: u16,
    process: Option<Process>,
    folder: TempFolder,
}

impl FjordServer {
    /// Starts a server with an empty data folder.
    pub fn start() -> Result<FjordServer> {
        FjordServer::with(FjordOptions::default())
    }

    /// Starts a server as described.
    pub fn with(options: FjordOptions) -> Result<FjordServer> {
        let program = options.program.clone().map_or_else(find_program, Ok)?;
        let folder = TempFolder::new("fjord")?;
        if let Some(config) = &options.config {
            folder.write("fjord.toml", config)?;
        }
        if let Some(sql) = &options.init_sql {
            folder.write("init.sql", sql)?;
        }
        let mut server = FjordServer { options, program, port: 0, process: None, folder };
        server.launch()?;
        Ok(server)
    }

    /// The port on 127.0.0.1. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.options.data_dir.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// A folder for files of the test's own, removed at the end.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What tokio-postgres and libpq take as a connection string.
    pub fn connection_string(&self) -> String {
        format!("host=127.0.0.1 port={} user=fjord dbname=fjord", self.port)
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("postgres://fjord@127.0.0.1:{}/fjord", self.port)
    }

    /// A connection.
    pub async fn client(&self) -> Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::connect(&self.connection_string(), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements through the real psql and returns what it prints: rows without headings, columns separated by `|`.
    pub fn psql(&self, sql: &str) -> Result<String> {
        let mut command = self.psql_command();
        command.args(["-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
        postgres::feed(&mut command, sql)
    }

    /// Runs a script through the real psql with these arguments and returns what it prints, as a user would see it.
    pub fn psql_script(&self, arguments: &[&str], sql: &str) -> Result<String> {
        let mut command = self.psql_command();
        command.args(["-v", "ON_ERROR_STOP=1", "-P", "pager=off"]).args(arguments);
        postgres::feed(&mut command, sql)
    }

    /// `psql -X` pointed at this server; arguments may be added.
    pub fn psql_command(&self) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "fjord", "-d", "fjord"]);
        command
    }

    /// What the server wrote to its standard output and error since its last start.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// SIGTERM: a clean shutdown, waited for.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal("TERM")?;
        let status = process.wait(PATIENCE)?;
        if status.success() { Ok(()) } else { Err(Error::new(format!("fjord ended with {status}; its log:\n{}", process.log()))) }
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Starts a stopped or killed server again, on the same port and data.
    pub fn start_again(&mut self) -> Result<()> {
        if self.process.is_none() { self.launch() } else { Ok(()) }
    }

    /// A clean stop and a start.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    fn launch(&mut self) -> Result<()> {
        let first = self.port == 0;
        for _ in 0..ports::START_ATTEMPTS_MAX {
            if first {
                self.port = ports::free()?;
            }
            let mut process = Process::start("fjord", self.command())?;
            if self.wait_until_it_accepts(&mut process)? {
                self.process = Some(process);
                return Ok(());
            }
            if !first {
                return Err(Error::new(format!("fjord could not take its port {} again; its log:\n{}", self.port, process.log())));
            }
        }
        Err(Error::new(format!("fjord found no free port in {} attempts", ports::START_ATTEMPTS_MAX)))
    }

    fn command(&self) -> Command {
        let mut command = process::bound_command(&self.program, "KILL", None);
        command.arg("serve").args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        if !self.options.args.iter().any(|a| a == "--store") {
            command.arg("--data-dir").arg(self.data_dir());
        }
        if self.options.config.is_some() {
            command.arg("--config").arg(self.folder.path().join("fjord.toml"));
        }
        if self.options.init_sql.is_some() {
            command.arg("--init-sql").arg(self.folder.path().join("init.sql"));
        }
        command.args(&self.options.args).envs(self.options.env.iter().map(|(k, v)| (k, v))).env("NO_COLOR", "1");
        command
    }

    /// True: it accepts. False: somebody else took the port.
    fn wait_until_it_accepts(&self, process: &mut Process) -> Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let accepts = TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
            // Asked in this order, so that another server on the port is not taken for ours.
            if let Some(status) = process.ended() {
                process.wait_for_line(usize::MAX, Duration::from_secs(1), |_| false); // the log's end
                let log = process.log();
                if log.to_lowercase().contains("address already in use") || log.contains("os error 98") {
                    return Ok(false);
                }
                return Err(Error::new(format!("fjord ended at its start ({status}); its log:\n{log}")));
            }
            if accepts {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Err(Error::new(format!("fjord does not accept connections after {PATIENCE:?}; its log:\n{}", process.log())));
            }
            std::thread::sleep(Duration::from_millis(5)); // a refused connection cannot be waited for
        }
    }
}

/// `$FJORD_BIN`, or the `fjord` that Cargo built into the folder of the current executable.
fn find_program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("FJORD_BIN").filter(|p| !p.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let me = std::env::current_exe()?;
    // Tests lie in target/debug/deps, programs one folder up.
    let found = me.ancestors().skip(1).take(2).map(|folder| folder.join("fjord")).find(|p| p.is_file());
    found.ok_or_else(|| Error::new(format!("no fjord program near {}: run `cargo build -p fjord-server`, or set FJORD_BIN", me.display())))
}
