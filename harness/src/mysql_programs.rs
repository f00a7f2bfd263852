//! Where the programs of MariaDB and MySQL are, and how they start.
//!
//! MariaDB is the distribution's. MySQL is in no Debian release, only in its unstable branch: its packages are fetched and unpacked, not installed, into
//! a folder of the cache, with the libraries they want, and started by the loader that they brought. Unstable moves, so the version is whatever it was on
//! the day of the fetch; tests print it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mysql::Flavor;
use crate::{Error, Result, cache, process};

/// Part of the folder's name in the cache: change it to fetch anew.
const FETCH_EPOCH: u32 = 1;
const PACKAGES: [&str; 2] = ["mysql-server-core", "mysql-client-core"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A command that starts the server and dies with us: without arguments but those that say where its files are.
pub fn server(flavor: Flavor) -> Result<Command> {
    // SIGKILL: nobody wants the data of a server whose owner has gone.
    let mut command = match flavor {
        Flavor::MariaDb => {
            let mut command = process::bound_command(mariadbd()?, "KILL", None);
            command.arg("--no-defaults");
            command
        }
        Flavor::MySql => {
            let root = mysql_root()?;
            let mut command = loaded(&root, "usr/sbin/mysqld");
            command.arg("--no-defaults").arg(format!("--basedir={}", root.join("usr").display()));
            command.arg(format!("--lc-messages-dir={}", root.join("usr/share/mysql").display()));
            command.args(["--mysqlx=OFF", "--log-error-verbosity=2"]);
            command
        }
    };
    // Both refuse to be root unless they are told so.
    if process::is_root() {
        command.arg("--user=root");
    }
    Ok(command)
}

/// The server's own client.
pub fn client(flavor: Flavor) -> Result<Command> {
    match flavor {
        Flavor::MariaDb => Ok(process::bound_command("mariadb", "KILL", None)),
        Flavor::MySql => Ok(loaded(&mysql_root()?, "usr/bin/mysql")),
    }
}

/// The distribution's server program.
fn mariadbd() -> Result<PathBuf> {
    ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/bin/mariadbd"]
        .iter()
        .map(PathBuf::from)
        .find(|p| p.exists())
        .ok_or_else(|| Error::new("no MariaDB server program: run `cargo xtask setup`, or `apt-get install mariadb-server`"))
}

/// A program of the private folder, by its own loader and libraries.
fn loaded(root: &Path, program: &str) -> Command {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut command = process::bound_command(libraries.join("ld-linux-x86-64.so.2"), "KILL", None);
    command.arg("--library-path").arg(format!("{}:{}", libraries.display(), root.join("usr/lib/mysql/private").display()));
    command.arg(root.join(program));
    command
}

fn folder_name() -> String {
    format!("mysql-programs-{FETCH_EPOCH}")
}

/// The private folder, if it was fetched.
fn mysql_root() -> Result<PathBuf> {
    let root = cache::folder()?.join(folder_name());
    if root.join("usr/sbin/mysqld").exists() {
        return Ok(root);
    }
    Err(Error::new("MySQL's programs are not in the cache folder: run `cargo xtask setup`, which fetches them from Debian unstable"))
}

/// Fetches MySQL into the cache, once. It needs apt, dpkg-deb and a mirror, but not root.
pub fn fetch_mysql() -> Result<PathBuf> {
    cache::get_or_make(&folder_name(), |target| {
        let apt = target.join("apt");
        for folder in ["lists/partial", "cache/archives/partial", "state"] {
            fs::create_dir_all(apt.join(folder))?;
        }
        // Nothing of the machine's own packages counts as there: all libraries come along.
        fs::write(apt.join("status"), "")?;
        fs::write(apt.join("sources.list"), format!("deb [signed-by={KEYRING}] http://deb.debian.org/debian sid main\n"))?;
        let at = apt.display();
        let settings = format!(
            "Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::State \"{at}/state\";\nDir::State::lists \"{at}/lists\";\nDir::State::status \"{at}/status\";\nDir::Cache \"{at}/cache\";\n\
             APT::Architecture \"amd64\";\nAPT::Install-Recommends \"false\";\nAPT::Sandbox::User \"\";\nDebug::NoLocking \"true\";\n"
        );
        fs::write(apt.join("apt.conf"), settings)?;
        let apt_get = |arguments: &[&str]| process::run(Command::new("apt-get").env("APT_CONFIG", apt.join("apt.conf")).args(arguments));
        apt_get(&["update", "-q"])?;
        let mut install = vec!["install", "-y", "-q", "--download-only"];
        install.extend(PACKAGES);
        apt_get(&install)?;
        for package in fs::read_dir(apt.join("cache/archives"))? {
            let package = package?.path();
            if package.extension().is_some_and(|e| e == "deb") {
                process::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(target))?;
            }
        }
        fs::remove_dir_all(&apt)?;
        let version = process::run(loaded(target, "usr/sbin/mysqld").arg("--version"))?;
        fs::write(target.join("VERSION"), version.rsplit_once("Ver ").map_or(version.as_str(), |(_, v)| v))?;
        Ok(())
    })
}
