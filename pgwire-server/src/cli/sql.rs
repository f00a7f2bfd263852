//! `fjord sql`: a client of a session in this process, over a pipe instead of a socket. So every statement means exactly what it means on the wire.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fjord_engine::{Result, SqlError, SqlState};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::print::{Column, Printer, Table};
use super::{Outcome, SqlArgs, open};
use crate::protocol::backend;
use crate::server::Server;

/// Bytes in flight between session and printer.
const PIPE_BYTES: usize = 64 * 1024;

/// Runs the statements and prints. Exit code 1 after an error.
pub async fn run(args: SqlArgs) -> Outcome {
    let text = text(&args)?;
    let config = open::config(&args.store)?;
    let server = open::server(&args.store, &config, false).await?;
    let result = async {
        if let Some(init) = open::init_sql(&args.store, &config)? {
            run_text(&server, &init, &mut super::print::Quiet).await?;
        }
        run_text(&server, &text, &mut Table::stdout()).await
    }
    .await;
    server.stop(std::time::Duration::ZERO).await;
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Already printed with its place among the results.
        Err(e) if e.state == SqlState::SUCCESS => Ok(ExitCode::FAILURE),
        Err(e) => Err(e),
    }
}

fn text(args: &SqlArgs) -> Result<String> {
    let unreadable = |e: std::io::Error| SqlError::new(SqlState::IO_ERROR, format!("the statements cannot be read: {e}"));
    match (&args.command, &args.file) {
        (Some(c), _) => Ok(c.clone()),
        (None, Some(f)) if f.as_os_str() != "-" => std::fs::read_to_string(f).map_err(unreadable),
        _ => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
            Ok(text)
        }
    }
}

/// Runs a text of statements in a session of its own. Stops at the first error, which `printer` may have taken (then the error here is empty).
pub async fn run_text(server: &Arc<Server>, text: &str, printer: &mut dyn Printer) -> Result<()> {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    server.attach(theirs);
    let mut client = Client { pipe: ours, input: BytesMut::new() };
    client.start().await?;
    // One statement after the other, each in its own transaction, as psql -f does.
    for statement in fjord_engine::sql::parse(text)? {
        client.query(&statement.text, printer).await?;
    }
    client.send(b'X', |_| {}).await
}

struct Client {
    pipe: DuplexStream,
    input: BytesMut,
}

impl Client {
    async fn start(&mut self) -> Result<()> {
        let mut packet = BytesMut::new();
        for text in ["user", "fjord", "application_name", "fjord sql"] {
            backend::text(&mut packet, text);
        }
        packet.put_u8(0);
        let mut out = BytesMut::new();
        out.put_u32(8 + u32::try_from(packet.len()).unwrap_or(0));
        out.put_u32(0x0003_0000);
        out.put_slice(&packet);
        self.pipe.write_all(&out).await.map_err(lost)?;
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                b'E' => return Err(error(body)),
                b'Z' => return Ok(()),
                _ => {}
            }
        }
    }

    async fn send(&mut self, tag: u8, body: impl FnOnce(&mut BytesMut)) -> Result<()> {
        let mut out = BytesMut::new();
        backend::message(&mut out, tag, body);
        self.pipe.write_all(&out).await.map_err(lost)
    }

    async fn query(&mut self, sql: &str, printer: &mut dyn Printer) -> Result<()> {
        self.send(b'Q', |b| backend::text(b, sql)).await?;
        let mut failed = None;
        loop {
            let (tag, mut body) = self.message().await?;
            match tag {
                b'T' => printer.columns(columns(&mut body)),
                b'D' => printer.row(row(&mut body)),
                b'd' => printer.raw(&body),
                b'C' => printer.complete(&cstr(&mut body)),
                b'N' => printer.notice(&notice(body)),
                b'E' => failed = Some(error(body)),
                b'Z' => break,
                _ => {}
            }
        }
        match failed {
            None => Ok(()),
            Some(e) => Err(printer.error(e)),
        }
    }

    async fn message(&mut self) -> Result<(u8, Bytes)> {
        loop {
            if self.input.len() >= 5 {
                let len = (&self.input[1..5]).get_u32() as usize;
                if self.input.len() > len {
                    let tag = self.input.get_u8();
                    self.input.advance(4);
                    return Ok((tag, self.input.split_to(len - 4).freeze()));
                }
            }
            if fill(&mut self.pipe, &mut self.input).await? == 0 {
                return Err(SqlError::internal("the session has ended"));
            }
        }
    }
}

async fn fill(pipe: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> Result<usize> {
    pipe.read_buf(input).await.map_err(lost)
}

fn lost(e: std::io::Error) -> SqlError {
    SqlError::internal(format!("the session is lost: {e}"))
}

// These read what our own server wrote; they do not panic on anything else either, but show less.

fn cstr(b: &mut Bytes) -> String {
    let end = b.iter().position(|c| *c == 0).unwrap_or(b.len());
    let text = String::from_utf8_lossy(&b.split_to(end)).into_owned();
    b.advance(usize::from(!b.is_empty()));
    text
}

fn columns(b: &mut Bytes) -> Vec<Column> {
    let n = b.try_get_u16().unwrap_or(0);
    let mut out = vec![];
    for _ in 0..n {
        let name = cstr(b);
        if b.len() < 18 {
            break;
        }
        let oid = (&b[6..10]).get_u32();
        b.advance(18);
        out.push(Column { name, oid });
    }
    out
}

fn row(b: &mut Bytes) -> Vec<Option<String>> {
    let n = b.try_get_u16().unwrap_or(0);
    let mut out = vec![];
    for _ in 0..n {
        let Ok(len) = b.try_get_i32() else { break };
        out.push(match usize::try_from(len) {
            Ok(len) if len <= b.len() => Some(String::from_utf8_lossy(&b.split_to(len)).into_owned()),
            _ => None,
        });
    }
    out
}

fn fields(mut b: Bytes) -> Vec<(u8, String)> {
    let mut out = vec![];
    while let Ok(code) = b.try_get_u8() {
        if code == 0 {
            break;
        }
        out.push((code, cstr(&mut b)));
    }
    out
}

fn get(fields: &[(u8, String)], code: u8) -> Option<String> {
    fields.iter().find(|(c, _)| *c == code).map(|(_, v)| v.clone())
}

fn error(b: Bytes) -> SqlError {
    let f = fields(b);
    let state = SqlState::from_code(&get(&f, b'C').unwrap_or_default());
    let mut e = SqlError::new(state, get(&f, b'M').unwrap_or_default());
    e.detail = get(&f, b'D');
    e.hint = get(&f, b'H');
    e.position = get(&f, b'P').and_then(|p| p.parse().ok());
    e
}

fn notice(b: Bytes) -> String {
    let f = fields(b);
    let mut text = format!("{}:  {}", get(&f, b'V').unwrap_or_default(), get(&f, b'M').unwrap_or_default());
    for (code, name) in [(b'D', "DETAIL"), (b'H', "HINT")] {
        if let Some(v) = get(&f, code) {
            text.push_str(&format!("\n{name}:  {v}"));
        }
    }
    text
}
