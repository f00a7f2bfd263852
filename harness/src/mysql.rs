//! A throw-away MariaDB or MySQL server.
//!
//! An initialised data folder is made once per server version and copied for each server. Durability is off: nothing here outlives a test. Servers share
//! nothing with one another: a MariaDB that starts removes every `#sql*` of its temp folder, those of its neighbours too, so each has a folder of its own.
//! They are small: several run beside one another, and a machine without memory kills one of them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Process, Waited};
use crate::{Error, Result, TempFolder, cache, mysql_programs, ports, process, tls};

/// How long a server may take to accept connections, or to stop. Long, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a server waits for a client that has connected, in seconds: by default it gives up after 10, which a busy machine may need.
const HANDSHAKE_SECONDS: u32 = 90;
/// Between two attempts of the client to connect.
const CONNECT_AGAIN: Duration = Duration::from_millis(50);

/// Part of the template's name: change it when the template's making changes.
const TEMPLATE_EPOCH: u32 = 1;

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MariaDB of the distribution.
    MariaDb,
    /// MySQL in a private folder of the cache (see [`mysql_programs`]).
    MySql,
}

impl Flavor {
    /// Both.
    pub const ALL: [Flavor; 2] = [Flavor::MariaDb, Flavor::MySql];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Flavor::MariaDb => "mariadb",
            Flavor::MySql => "mysql",
        }
    }
}

/// How the server is to be.
#[derive(Debug, Clone, Default)]
pub struct MySqlOptions {
    /// Further arguments of the server (`--require-secure-transport=ON`).
    pub arguments: Vec<String>,
    /// The server has a certificate of [`tls::Certificates`]. MySQL has one of its own making without it.
    pub tls: bool,
    /// With `tls`: the certificate is one for another host.
    pub tls_wrong_host: bool,
}

/// A running server with the user `root` without a password, on loopback only. Stopped, and its data removed, on drop.
pub struct MySql {
    flavor: Flavor,
    options: MySqlOptions,
    port: u16,
    process: Option<Process>,
    folder: TempFolder,
}

impl MySql {
    /// Starts a server.
    pub fn start(flavor: Flavor) -> Result<MySql> {
        MySql::with(flavor, MySqlOptions::default())
    }

    /// Starts a server as described.
    pub fn with(flavor: Flavor, options: MySqlOptions) -> Result<MySql> {
        let template = template(flavor)?;
        let folder = TempFolder::new(flavor.name())?;
        process::run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(template.join("data")).arg(folder.path().join("data")))?;
        fs::create_dir(folder.path().join("tmp"))?;
        let mut server = MySql { flavor, options, port: 0, process: None, folder };
        server.launch()?;
        Ok(server)
    }

    /// Whose server it is.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// The TCP port on 127.0.0.1. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// A URL of the server as root, without TLS.
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/?sslmode=disable", self.port)
    }

    /// Runs statements as root through the server's own client and returns what it prints: rows without headings, columns separated by tabs, special
    /// characters as they are. An error has the server's log.
    pub fn sql(&self, sql: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let out = self.client(sql)?;
            let refused = !out.status.success() && never_connected(&String::from_utf8_lossy(&out.stderr));
            let alive = self.process.as_ref().is_some_and(|p| !process::is_gone(p.id()));
            if refused && alive && Instant::now() < deadline {
                std::thread::sleep(CONNECT_AGAIN);
                continue;
            }
            let state = if alive { "runs" } else { "does not run" };
            return process::succeeded(&format!("the client of {}", self.flavor.name()), out)
                .map_err(|e| Error::new(format!("{e}\nThe server {state}; its log:\n{}", self.log())));
        }
    }

    fn client(&self, sql: &str) -> Result<Output> {
        let mut command = mysql_programs::client(self.flavor)?;
        command.args(["--no-defaults", "--default-character-set=utf8mb4", "--batch", "--raw", "--skip-column-names", "--user=root"]);
        command.arg(format!("--socket={}", self.socket().display()));
        let shown = format!("{} client", self.flavor.name());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(Error::at(&shown))?;
        let mut input = child.stdin.take().ok_or_else(|| Error::new("no pipe to the client"))?;
        let text = sql.to_string();
        // On a thread of its own: a client that prints much while we still write would block us both.
        let writer = std::thread::spawn(move || {
            let _ = input.write_all(text.as_bytes());
        });
        let out = child.wait_with_output()?;
        let _ = writer.join();
        Ok(out)
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// A shutdown: clients are cut off, data is kept. [`MySql::start_again`] brings it back on the same port.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.signal("TERM")?;
            process.wait(PATIENCE)?;
        }
        Ok(())
    }

    /// Starts a stopped or killed server again, on the same port and data.
    pub fn start_again(&mut self) -> Result<()> {
        if self.process.is_none() { self.launch() } else { Ok(()) }
    }

    /// Stop and start.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// SIGKILL, as a machine that loses power would.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s.sock")
    }

    fn launch(&mut self) -> Result<()> {
        let first = self.port == 0;
        // A killed MySQL leaves a lock with its process id, and a later one does not start while that number is somebody else's.
        let _ = fs::remove_file(self.folder.path().join("s.sock.lock"));
        for _ in 0..ports::START_ATTEMPTS_MAX {
            if first {
                self.port = ports::free()?;
            }
            let process = Process::start(self.flavor.name(), self.command()?)?;
            match process.wait_for_line(0, PATIENCE, |l| l.contains("ready for connections")) {
                Waited::Line(_) => {
                    self.process = Some(process);
                    // The line says that it listens; an answer, that it serves.
                    return self.sql("DO 1").map(|_| ());
                }
                // Only a first start may move: afterwards others know the port.
                Waited::Ended if first && process.log().contains("already in use") => {}
                other => return Err(Error::new(format!("{} did not start ({other:?}); its log:\n{}", self.flavor.name(), process.log()))),
            }
        }
        Err(Error::new(format!("{} found no free port in {} attempts", self.flavor.name(), ports::START_ATTEMPTS_MAX)))
    }

    fn command(&self) -> Result<Command> {
        let mut command = mysql_programs::server(self.flavor)?;
        command.arg(format!("--datadir={}", self.folder.path().join("data").display()));
        command.arg(format!("--socket={}", self.socket().display()));
        command.arg(format!("--pid-file={}", self.folder.path().join("pid").display()));
        command.arg(format!("--port={}", self.port));
        command.arg(format!("--tmpdir={}", self.folder.path().join("tmp").display()));
        command.args(["--bind-address=127.0.0.1", "--skip-log-bin", "--max-connections=200", "--secure-file-priv="]);
        command.arg(format!("--connect-timeout={HANDSHAKE_SECONDS}")).arg(format!("--net-read-timeout={HANDSHAKE_SECONDS}"));
        // No waiting for the disk, and nothing of which the machine has only so much for all (asynchronous I/O).
        command.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-use-native-aio=0"]);
        command.args([
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-buffer-size=4M",
            "--table-open-cache=200",
            "--table-definition-cache=400",
        ]);
        command.args([
            "--innodb-buffer-pool-load-at-startup=0",
            "--innodb-read-io-threads=1",
            "--innodb-write-io-threads=1",
            "--innodb-purge-threads=1",
        ]);
        if self.options.tls {
            let certificates = tls::Certificates::get()?;
            let (cert, key) = if self.options.tls_wrong_host {
                (certificates.other_host_cert(), certificates.other_host_key())
            } else {
                (certificates.server_cert(), certificates.server_key())
            };
            command.arg(format!("--ssl-ca={}", certificates.ca().display()));
            command.arg(format!("--ssl-cert={}", cert.display()));
            command.arg(format!("--ssl-key={}", key.display()));
        }
        command.args(&self.options.arguments).current_dir(self.folder.path());
        Ok(command)
    }
}

impl Drop for MySql {
    fn drop(&mut self) {
        // SIGKILL: nobody wants the data, and a clean shutdown takes seconds.
        self.kill9();
    }
}

/// Whether the client says that no statement of it got to the server: an error of a statement names its line.
fn never_connected(stderr: &str) -> bool {
    const CONNECTING: [&str; 6] = ["ERROR 2002", "ERROR 2003", "ERROR 2013", "ERROR 1040", "ERROR 1135", "ERROR 1203"];
    stderr.lines().any(|l| CONNECTING.iter().any(|e| l.starts_with(e)) && !l.contains(" at line "))
}

/// An initialised data folder of this version, made once.
fn template(flavor: Flavor) -> Result<PathBuf> {
    let version = process::run(mysql_programs::server(flavor)?.arg("--version"))?;
    let name = format!("{}-{}", flavor.name(), cache::fingerprint(&[version.trim(), &TEMPLATE_EPOCH.to_string()]));
    cache::get_or_make(&name, |target| {
        let data = target.join("data");
        initialise(flavor, &data)?;
        // Each copy makes an identity of its own.
        match fs::remove_file(data.join("auto.cnf")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    })
}

fn initialise(flavor: Flavor, data: &Path) -> Result<()> {
    match flavor {
        Flavor::MariaDb => {
            let mut command = process::bound_command("mariadb-install-db", "KILL", None);
            command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
            if process::is_root() {
                command.arg("--user=root");
            }
            process::run(command.arg(format!("--datadir={}", data.display()))).map(|_| ())
        }
        Flavor::MySql => {
            let mut command = mysql_programs::server(flavor)?;
            process::run(command.arg("--initialize-insecure").arg(format!("--datadir={}", data.display()))).map(|_| ())
        }
    }
}
