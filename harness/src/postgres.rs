//! A throw-away PostgreSQL server.
//!
//! An initialised data folder is made once per server version and copied for each server. Durability is off: nothing here outlives a test.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Process, Waited};
use crate::{Error, Result, TempFolder, cache, ports, process, tls};

/// How long a server may take to accept connections, or to stop. Long, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Part of the template's name: change it when the template's making changes.
const TEMPLATE_EPOCH: u32 = 1;

const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = logical
max_wal_size = 256MB
shared_buffers = 64MB
max_connections = 100
max_wal_senders = 10
max_replication_slots = 10
max_prepared_transactions = 10
log_line_prefix = '%p %a '
lc_messages = 'C'
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
";

/// How TCP connections must say who they are. Over the Unix socket everyone is trusted: that is how the harness itself gets in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// Nothing is asked.
    #[default]
    Trust,
    /// SCRAM-SHA-256. The password is that of the user `postgres`; tests create other roles as they need them.
    Password(String),
}

/// How the server is to be.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Lines of postgresql.conf, appended to ours.
    pub settings: String,
    /// How TCP connections must say who they are.
    pub auth: Auth,
    /// The server has a certificate of [`tls::Certificates`].
    pub tls: bool,
    /// With `tls`: refuse TCP connections without it.
    pub tls_only: bool,
    /// With `tls`: the certificate is one for another host.
    pub tls_wrong_host: bool,
    /// The folder of the server's programs, such as `/usr/lib/postgresql/15/bin`; otherwise the newest one of the distribution.
    pub programs: Option<PathBuf>,
}

/// A running server with the database `postgres` and the superuser `postgres`. Stopped, and its data removed, on drop.
pub struct Postgres {
    options: PostgresOptions,
    programs: PathBuf,
    port: u16,
    process: Option<Process>,
    folder: TempFolder,
}

impl Postgres {
    /// Starts a server that trusts everyone on loopback.
    pub fn start() -> Result<Postgres> {
        Postgres::with(PostgresOptions::default())
    }

    /// Starts a server with extra lines of postgresql.conf.
    pub fn with_settings(settings: &str) -> Result<Postgres> {
        Postgres::with(PostgresOptions { settings: settings.to_string(), ..PostgresOptions::default() })
    }

    /// Starts a server as described.
    pub fn with(options: PostgresOptions) -> Result<Postgres> {
        let programs = options.programs.clone().map_or_else(find_programs, Ok)?;
        let template = template(&programs)?;
        let folder = TempFolder::new("pg")?;
        process::run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(template.join("data")).arg(folder.path().join("data")))?;
        // The socket lies in the temp folder itself.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
        let mut server = Postgres { options, programs, port: 0, process: None, folder };
        server.configure()?;
        server.launch()?;
        if let Auth::Password(password) = server.options.auth.clone() {
            server.psql(&format!("ALTER ROLE postgres PASSWORD '{}'", password.replace('\'', "''")))?;
        }
        Ok(server)
    }

    /// The TCP port on 127.0.0.1. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the postmaster, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The folder of the Unix socket; usable as `host`. Trusts everyone.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the server's programs (psql, pg_dump, pgbench ...).
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// A URL of the database `postgres` as the user `postgres` over TCP, with the password if there is one.
    pub fn url(&self) -> String {
        let password = match &self.options.auth {
            Auth::Trust => String::new(),
            Auth::Password(p) => format!(":{p}"),
        };
        format!("postgres://postgres{password}@127.0.0.1:{}/postgres", self.port)
    }

    /// A connection of the superuser to the database `postgres`.
    pub async fn client(&self) -> Result<tokio_postgres::Client> {
        self.client_of("postgres", "postgres").await
    }

    /// A connection to any database as any user, by the Unix socket, whatever the server asks over TCP.
    pub async fn client_of(&self, database: &str, user: &str) -> Result<tokio_postgres::Client> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.socket_folder()).port(self.port).user(user).dbname(database).application_name("fjord-harness");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements in the database `postgres` through the real psql and returns what it prints: rows without headings, columns separated by `|`.
    pub fn psql(&self, sql: &str) -> Result<String> {
        self.psql_in("postgres", sql)
    }

    /// The same in another database.
    pub fn psql_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database]);
        command.arg("-h").arg(self.socket_folder()).args(["-p", &self.port.to_string()]);
        feed(&mut command, sql)
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// How many lines the log has: a mark for [`Postgres::wait_for_log`].
    pub fn log_mark(&self) -> usize {
        self.process.as_ref().map_or(0, Process::log_mark)
    }

    /// Waits for a log line after `mark` that contains `text`.
    pub fn wait_for_log(&self, mark: usize, text: &str, timeout: Duration) -> Result<String> {
        let process = self.process.as_ref().ok_or_else(|| Error::new("the server is stopped"))?;
        match process.wait_for_line(mark, timeout, |l| l.contains(text)) {
            Waited::Line(line) => Ok(line),
            other => Err(Error::new(format!("no log line with {text:?} within {timeout:?} ({other:?}); the log:\n{}", process.log()))),
        }
    }

    /// A fast shutdown: clients are cut off (57P01), data is kept. [`Postgres::start_again`] brings it back on the same port.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.signal("INT")?;
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

    /// SIGKILL to the postmaster and all its backends, as a machine that loses power would.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            let backends = process::children_of(process.id());
            process.kill9();
            // The shared memory is only free when the last backend is gone.
            for pid in &backends {
                let _ = process::signal(*pid, "KILL");
            }
            process::wait_until_gone(&backends, PATIENCE);
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn configure(&self) -> Result<()> {
        let mut settings = String::from(SETTINGS);
        settings.push_str(&format!("unix_socket_directories = '{}'\n", self.folder.path().display()));
        if self.options.tls {
            let certificates = tls::Certificates::get()?;
            let (cert, key) = if self.options.tls_wrong_host {
                (certificates.other_host_cert(), certificates.other_host_key())
            } else {
                (certificates.server_cert(), certificates.server_key())
            };
            for (from, to) in [(cert, "server.crt"), (key, "server.key"), (certificates.ca(), "ca.crt")] {
                let to = self.data().join(to);
                fs::copy(from, &to)?;
                fs::set_permissions(&to, fs::Permissions::from_mode(0o600))?;
                give_to_server_user(&to)?;
            }
            settings.push_str("ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\nssl_ca_file = 'ca.crt'\n");
        }
        settings.push_str(&self.options.settings);
        settings.push('\n');
        let mut file = fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf"))?;
        file.write_all(settings.as_bytes())?;

        let method = if self.options.auth == Auth::Trust { "trust" } else { "scram-sha-256" };
        let host = if self.options.tls_only { "hostssl" } else { "host" };
        let rules = format!(
            "local all all trust\nlocal replication all trust\n{host} all all 127.0.0.1/32 {method}\n{host} replication all 127.0.0.1/32 {method}\n"
        );
        fs::write(self.data().join("pg_hba.conf"), rules)?;
        Ok(())
    }

    fn launch(&mut self) -> Result<()> {
        let first = self.port == 0;
        for _ in 0..ports::START_ATTEMPTS_MAX {
            if first {
                self.port = ports::free()?;
            }
            // SIGQUIT is an immediate shutdown: also the death signal, since nobody will want the data.
            let mut command = process::bound_command(self.programs.join("postgres"), "QUIT", server_user());
            command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
            command.current_dir(self.folder.path());
            let process = Process::start("postgres", command)?;
            match process.wait_for_line(0, PATIENCE, |l| l.contains("database system is ready to accept connections")) {
                Waited::Line(_) => {
                    self.process = Some(process);
                    return Ok(());
                }
                // Only a first start may move: afterwards others know the port.
                Waited::Ended if first && process.log().contains("Address already in use") => {}
                other => return Err(Error::new(format!("postgres did not start ({other:?}); its log:\n{}", process.log()))),
            }
        }
        Err(Error::new(format!("postgres found no free port in {} attempts", ports::START_ATTEMPTS_MAX)))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Immediate: no checkpoint for data that is about to be removed.
            let _ = process.signal("QUIT");
            let _ = process.wait(Duration::from_secs(15));
        }
    }
}

/// The program folder of the newest PostgreSQL of the distribution.
fn find_programs() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let version = entry.file_name().to_str().and_then(|n| n.parse().ok());
        if let Some(version) = version.filter(|_| entry.path().join("bin/initdb").exists()) {
            found.push((version, entry.path().join("bin")));
        }
    }
    found.into_iter().max().map(|(_, path)| path).ok_or_else(|| {
        Error::new("no PostgreSQL server programs in /usr/lib/postgresql/*/bin: run `cargo xtask setup`, or `apt-get install postgresql`")
    })
}

/// Postgres refuses to run as root.
fn server_user() -> Option<&'static str> {
    process::is_root().then_some("postgres")
}

fn give_to_server_user(path: &Path) -> Result<()> {
    match server_user() {
        Some(user) => process::run(Command::new("chown").arg("-R").arg(format!("{user}:{user}")).arg(path)).map(|_| ()),
        None => Ok(()),
    }
}

/// An initialised data folder of this version, made once.
fn template(programs: &Path) -> Result<PathBuf> {
    let version = process::run(Command::new(programs.join("postgres")).arg("--version"))?;
    let user = server_user().unwrap_or("self");
    let name = format!("pg-{}", cache::fingerprint(&[version.trim(), user, &TEMPLATE_EPOCH.to_string()]));
    cache::get_or_make(&name, |target| {
        // The server's user cannot enter root's home: init in the temp folder, then move.
        let folder = TempFolder::new("initdb")?;
        give_to_server_user(folder.path())?;
        let data = folder.path().join("data");
        let mut command = process::bound_command(programs.join("initdb"), "KILL", server_user());
        command.args(["-A", "trust", "--no-sync", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"]).arg(&data);
        process::run(command.current_dir(folder.path()))?;
        process::run(Command::new("cp").arg("-a").arg(&data).arg(target.join("data"))).map(|_| ())
    })
}

/// Runs psql with `sql` on its standard input.
pub(crate) fn feed(command: &mut Command, sql: &str) -> Result<String> {
    let shown = "psql";
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(Error::at("starting psql"))?;
    // From a thread of its own: a long script and a long answer would otherwise block each other.
    let input = child.stdin.take();
    let sql = sql.to_string();
    let writer = std::thread::spawn(move || {
        if let Some(mut input) = input {
            let _ = input.write_all(sql.as_bytes()); // psql may stop reading at the first error
        }
    });
    let out = child.wait_with_output()?;
    let _ = writer.join();
    process::succeeded(shown, out)
}
