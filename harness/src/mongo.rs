//! A throw-away MongoDB server: a replica set of one.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Process, Waited};
use crate::{Error, Result, TempFolder, Venv, mongo_programs, ports, tls};

/// How long a server may take to accept connections, or to stop. Long, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// The client library of Python, which is what talks to the server here.
const CLIENT: &str = include_str!("../requirements/mongo.txt");
/// Makes the set, waits until its one member is primary, and adds the administrator where logins are asked for.
const INITIATE: &str = "
import sys, time
from pymongo import MongoClient
c = MongoClient(sys.argv[1])
c.admin.command('replSetInitiate', {'_id': 'rs0', 'members': [{'_id': 0, 'host': sys.argv[2]}]})
while not c.admin.command('hello').get('isWritablePrimary'):
    time.sleep(0.02)
if len(sys.argv) > 3:
    c.admin.command('createUser', 'root', pwd=sys.argv[3], roles=['root'])
";

/// The administrator's password, where logins are asked for.
const ROOT_PASSWORD: &str = "root pa:ss/w@rd";

/// How the server is to be.
#[derive(Debug, Clone, Default)]
pub struct MongoOptions {
    /// Clients must log in: there is a user `root` with [`Mongo::root_password`].
    pub auth: bool,
    /// The server has a certificate of [`tls::Certificates`] and takes TLS connections only.
    pub tls: bool,
    /// With `tls`: the certificate is one for another host.
    pub tls_wrong_host: bool,
    /// A server of its own instead of a replica set.
    pub standalone: bool,
    /// Further arguments of the server.
    pub arguments: Vec<String>,
}

/// A running server on loopback only. Stopped, and its data removed, on drop.
pub struct Mongo {
    options: MongoOptions,
    port: u16,
    process: Option<Process>,
    folder: TempFolder,
}

impl Mongo {
    /// Starts a server without logins.
    pub fn start() -> Result<Mongo> {
        Mongo::with(MongoOptions::default())
    }

    /// Starts a server as described.
    pub fn with(options: MongoOptions) -> Result<Mongo> {
        let folder = TempFolder::new("mongo")?;
        std::fs::create_dir(folder.path().join("data"))?;
        // Members of a set that asks for logins know each other by a key.
        let key = folder.path().join("key");
        std::fs::write(&key, "a2V5IG9mIGEgdGVzdA==")?;
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o400))?;
        let mut server = Mongo { options, port: 0, process: None, folder };
        server.launch()?;
        if !server.options.standalone {
            server.initiate()?;
        }
        Ok(server)
    }

    /// The TCP port on 127.0.0.1. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the user `root`, where logins are asked for.
    pub fn root_password(&self) -> &'static str {
        ROOT_PASSWORD
    }

    /// A URL for this server alone, with the administrator's login where there are logins.
    pub fn url(&self) -> String {
        let login = if self.options.auth { "root:root%20pa%3Ass%2Fw%40rd@" } else { "" };
        format!("mongodb://{login}{}/?directConnection=true{}", self.address(), self.tls_parameters())
    }

    /// Runs Python code with pymongo: `c` is the client, `bson` and `datetime` are imported. What it prints comes back.
    pub fn python(&self, code: &str) -> Result<String> {
        self.python_with(code, &[])
    }

    /// The same with `sys.argv[2..]`.
    pub fn python_with(&self, code: &str, arguments: &[&str]) -> Result<String> {
        let head = "import sys, json, datetime, uuid, bson\nfrom bson import *\nfrom bson.json_util import *\nfrom pymongo import MongoClient\n\
                    c = MongoClient(sys.argv[1])\n";
        let mut all = vec![self.url()];
        all.extend(arguments.iter().map(ToString::to_string));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        client()?.run_code(&format!("{head}{code}"), &all)
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// A shutdown: clients are cut off, data is kept. [`Mongo::start_again`] brings it back on the same port.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.signal("TERM")?;
            process.wait(PATIENCE)?;
        }
        Ok(())
    }

    /// Starts a stopped or killed server again, on the same port and data, and waits until it is primary.
    pub fn start_again(&mut self) -> Result<()> {
        if self.process.is_none() {
            self.launch()?;
        }
        if self.options.standalone {
            return Ok(());
        }
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.python("print(c.admin.command('hello').get('isWritablePrimary'))").is_ok_and(|out| out.trim() == "True") {
                return Ok(());
            }
        }
        Err(Error::new(format!("mongod did not become primary again; its log:\n{}", self.log())))
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

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn tls_parameters(&self) -> String {
        if !self.options.tls {
            return String::new();
        }
        "&tls=true&tlsAllowInvalidCertificates=true".into()
    }

    fn initiate(&self) -> Result<()> {
        let url = format!("mongodb://{}/?directConnection=true{}", self.address(), self.tls_parameters());
        let address = self.address();
        let mut arguments = vec![url.as_str(), address.as_str()];
        if self.options.auth {
            arguments.push(ROOT_PASSWORD);
        }
        client()?.run_code(INITIATE, &arguments).map(|_| ())
    }

    fn launch(&mut self) -> Result<()> {
        let first = self.port == 0;
        for _ in 0..ports::START_ATTEMPTS_MAX {
            if first {
                self.port = ports::free()?;
            }
            let process = Process::start("mongod", self.command()?)?;
            match process.wait_for_line(0, PATIENCE, |l| l.contains("Waiting for connections")) {
                Waited::Line(_) => {
                    self.process = Some(process);
                    return Ok(());
                }
                // Only a first start may move: afterwards others know the port.
                Waited::Ended if first && process.log().contains("already in use") => {}
                other => return Err(Error::new(format!("mongod did not start ({other:?}); its log:\n{}", process.log()))),
            }
        }
        Err(Error::new(format!("mongod found no free port in {} attempts", ports::START_ATTEMPTS_MAX)))
    }

    fn command(&self) -> Result<Command> {
        let mut command = mongo_programs::server()?;
        command.arg("--dbpath").arg(self.folder.path().join("data"));
        command.args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--port"]);
        command.arg(self.port.to_string());
        if !self.options.standalone {
            command.args(["--replSet", "rs0"]);
        }
        if self.options.auth {
            command.arg("--keyFile").arg(self.folder.path().join("key"));
        }
        if self.options.tls {
            let certificates = tls::Certificates::get()?;
            let (cert, key) = if self.options.tls_wrong_host {
                (certificates.other_host_cert(), certificates.other_host_key())
            } else {
                (certificates.server_cert(), certificates.server_key())
            };
            command.args(["--tlsMode", "requireTLS", "--tlsAllowConnectionsWithoutCertificates", "--tlsCAFile"]).arg(certificates.ca());
            command.arg("--tlsCertificateKeyFile").arg(joined(&self.folder.path().join("server.pem"), &[cert, key])?);
        }
        command.args(&self.options.arguments);
        Ok(command)
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Certificate and key in one file, as MongoDB wants them.
pub fn joined(target: &std::path::Path, parts: &[PathBuf]) -> Result<PathBuf> {
    let mut all = String::new();
    for part in parts {
        all.push_str(&std::fs::read_to_string(part).map_err(Error::at(part.display()))?);
    }
    std::fs::write(target, all)?;
    Ok(target.to_path_buf())
}

fn client() -> Result<Venv> {
    Venv::with_requirements(CLIENT)
}
