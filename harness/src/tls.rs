//! Certificates for tests, made once by the openssl command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, cache, process};

/// A set of certificates: one authority, a server's certificate for `localhost` and `127.0.0.1`, one that the same authority gave to another host, a client's, and an authority that
/// signed nothing here.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them, or takes them from the cache.
    pub fn get() -> Result<Certificates> {
        Ok(Certificates { folder: cache::get_or_make("tls-1", make)? })
    }
    /// The authority (PEM).
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }
    /// Another authority, which signed none of these.
    pub fn wrong_ca(&self) -> PathBuf {
        self.folder.join("wrong-ca.crt")
    }
    /// The server's certificate (PEM).
    pub fn server_cert(&self) -> PathBuf {
        self.folder.join("server.crt")
    }
    /// The server's key (PEM, PKCS#8).
    pub fn server_key(&self) -> PathBuf {
        self.folder.join("server.key")
    }
    /// A certificate for `elsewhere.example`.
    pub fn other_host_cert(&self) -> PathBuf {
        self.folder.join("other.crt")
    }
    /// Its key.
    pub fn other_host_key(&self) -> PathBuf {
        self.folder.join("other.key")
    }
    /// A client's certificate, of the user `postgres`.
    pub fn client_cert(&self) -> PathBuf {
        self.folder.join("client.crt")
    }
    /// Its key.
    pub fn client_key(&self) -> PathBuf {
        self.folder.join("client.key")
    }
}

fn make(folder: &Path) -> Result<()> {
    for (name, subject) in [("ca", "/CN=Fjord test authority"), ("wrong-ca", "/CN=Another authority")] {
        openssl(
            folder,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj|{subject}|-keyout {name}.key -out {name}.crt \
                 -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
            ),
        )?;
    }
    for (name, subject, extension) in [
        ("server", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
        ("other", "/CN=elsewhere.example", "subjectAltName=DNS:elsewhere.example\nextendedKeyUsage=serverAuth\n"),
        ("client", "/CN=postgres", "extendedKeyUsage=clientAuth\n"),
    ] {
        std::fs::write(folder.join(format!("{name}.ext")), extension)?;
        openssl(
            folder,
            &format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj|{subject}|-keyout {name}.key -out {name}.csr"),
        )?;
        openssl(
            folder,
            &format!("x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile {name}.ext -out {name}.crt"),
        )?;
    }
    Ok(())
}

/// Arguments are separated by blanks, but for what stands between two bars.
fn openssl(folder: &Path, arguments: &str) -> Result<()> {
    let mut command = Command::new("openssl");
    command.current_dir(folder);
    for (i, part) in arguments.split('|').enumerate() {
        if i == 1 {
            command.arg(part);
        } else {
            command.args(part.split_whitespace());
        }
    }
    process::run(&mut command).map(|_| ())
}
