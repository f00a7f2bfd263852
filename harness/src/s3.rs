//! A server that speaks S3: moto, whose conditional puts are atomic.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::process::{Process, Waited};
use crate::{Error, Result, Venv, ports, process};

const REQUIREMENTS: &str = include_str!("../requirements/s3.txt");
const PATIENCE: Duration = Duration::from_secs(60);

/// A running S3 server with no buckets. It believes every key.
pub struct S3Server {
    port: u16,
    _process: Process,
}

impl S3Server {
    /// Starts it; the first time on a machine this installs it.
    pub fn start() -> Result<S3Server> {
        let venv = Venv::with_requirements(REQUIREMENTS)?;
        for _ in 0..ports::START_ATTEMPTS_MAX {
            let port = ports::free()?;
            let mut command = process::bound_command(venv.program("python"), "KILL", None);
            command.arg("-u").arg(venv.program("moto_server")).args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            let process = Process::start("moto", command)?;
            match process.wait_for_line(0, PATIENCE, |l| l.contains("Running on http")) {
                Waited::Line(_) => return Ok(S3Server { port, _process: process }),
                Waited::Ended if process.log().contains("in use") => {}
                other => return Err(Error::new(format!("moto did not start ({other:?}); its log:\n{}", process.log()))),
            }
        }
        Err(Error::new("moto found no free port"))
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The region it answers for.
    pub fn region(&self) -> &'static str {
        "us-east-1"
    }

    /// An access key; any would do.
    pub fn access_key_id(&self) -> &'static str {
        "test-key"
    }

    /// Its secret; any would do.
    pub fn secret_access_key(&self) -> &'static str {
        "test-secret"
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, bucket: &str) -> Result<()> {
        self.http("PUT", &format!("/{bucket}"), b"").map(|_| ())
    }

    /// Writes an object. `key` must need no escaping in a URL.
    pub fn put(&self, bucket: &str, key: &str, content: &[u8]) -> Result<()> {
        self.http("PUT", &format!("/{bucket}/{key}"), content).map(|_| ())
    }

    /// Reads an object.
    pub fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>> {
        self.http("GET", &format!("/{bucket}/{key}"), b"")
    }

    fn http(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // moto finds the service and the key's owner in this header; it does not check the signature.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/20250101/{}/s3/aws4_request, SignedHeaders=host, Signature=00",
            self.access_key_id(),
            self.region()
        );
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\nAuthorization: {authorization}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| Error::new(format!("{method} {path}: no HTTP answer")))?;
        let status = String::from_utf8_lossy(&answer[..end]).split_whitespace().nth(1).unwrap_or_default().to_string();
        let content = answer.split_off(end + 4);
        if status.starts_with('2') {
            return Ok(content);
        }
        Err(Error::new(format!("{method} {path}: {status}: {}", String::from_utf8_lossy(&content))))
    }
}
