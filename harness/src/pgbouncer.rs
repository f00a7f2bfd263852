//! PgBouncer in front of a Postgres server, in transaction mode: each transaction of a client may run in another session of the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::process::{Process, Waited};
use crate::{Error, Postgres, Result, TempFolder, ports, process};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running PgBouncer. It believes the user `postgres`.
pub struct PgBouncer {
    port: u16,
    _process: Process,
    _folder: TempFolder,
}

impl PgBouncer {
    /// Starts one that keeps at most `sessions` sessions at the server, for any number of clients.
    pub fn start(server: &Postgres, sessions: u32) -> Result<PgBouncer> {
        let folder = TempFolder::new("pgbouncer")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let users = folder.path().join("users.txt");
        fs::write(&users, "\"postgres\" \"\"\n")?;
        let config = folder.path().join("pgbouncer.ini");
        for _ in 0..ports::START_ATTEMPTS_MAX {
            let port = ports::free()?;
            let text = format!(
                "[databases]\n* = host=127.0.0.1 port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {sessions}\nmax_client_conn = 500\n",
                server.port(),
                users.display()
            );
            fs::write(&config, text)?;
            // It refuses to run as root.
            let user = process::is_root().then_some("postgres");
            let mut command = process::bound_command("pgbouncer", "KILL", user);
            command.arg(&config);
            let process = Process::start("pgbouncer", command)?;
            match process.wait_for_line(0, PATIENCE, |l| l.contains("process up")) {
                Waited::Line(_) => return Ok(PgBouncer { port, _process: process, _folder: folder }),
                Waited::Ended if process.log().contains("in use") => {}
                other => return Err(Error::new(format!("pgbouncer did not start ({other:?}); its log:\n{}", process.log()))),
            }
        }
        Err(Error::new("pgbouncer found no free port"))
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
