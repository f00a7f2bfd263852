//! The demo's sources: Postgres with the shop, and a folder of Parquet files.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use fjord_harness::{Auth, Error, Postgres, PostgresOptions, Result, TempFolder, Venv, process};

/// The password of `fjord_reader`, as shop.sql sets it. No secret: it guards made-up rows on loopback.
pub const PASSWORD: &str = "demo-password";
/// The password of the superuser.
pub const SUPERUSER_PASSWORD: &str = "demo";

const SHOP_SQL: &str = include_str!("shop.sql");
const EVENTS_PY: &str = include_str!("events.py");
const REQUIREMENTS: &str = include_str!("../../requirements/demo.txt");

/// The sources, alive until dropped.
pub struct Shop {
    /// The database.
    pub postgres: Postgres,
    files: TempFolder,
}

impl Shop {
    /// Starts Postgres and fills it.
    pub fn open() -> Result<Shop> {
        let postgres = Postgres::with(PostgresOptions {
            auth: Auth::Password(SUPERUSER_PASSWORD.into()),
            settings: "max_wal_size = '2GB'\nmaintenance_work_mem = '256MB'\n".into(),
            ..PostgresOptions::default()
        })?;
        postgres.psql(SHOP_SQL).map_err(Error::at("filling the shop"))?;
        Ok(Shop { postgres, files: TempFolder::new("demo")? })
    }

    /// The folder of the event files.
    pub fn events(&self) -> PathBuf {
        self.files.path().join("events")
    }

    /// Writes the rows of `outside.events` as Parquet files.
    pub fn write_event_files(&self) -> Result<()> {
        let venv = Venv::with_requirements(REQUIREMENTS)?;
        let script = self.files.write("events.py", EVENTS_PY)?;
        let mut export = Command::new(self.postgres.programs().join("psql"))
            .args(["-X", "-q", "-U", "postgres", "-d", "postgres", "-p", &self.postgres.port().to_string(), "-h"])
            .arg(self.postgres.socket_folder())
            .args(["-c", "COPY outside.events TO STDOUT (FORMAT csv, HEADER)"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let rows = export.stdout.take().ok_or_else(|| Error::new("psql has no output"))?;
        let written = Command::new(venv.program("python"))
            .arg(&script)
            .arg(self.events())
            .arg("4")
            .stdin(rows)
            .output()
            .map_err(Error::at("events.py"))?;
        process::succeeded("events.py", written)?;
        if export.wait()?.success() { Ok(()) } else { Err(Error::new("psql could not export the events")) }
    }
}
