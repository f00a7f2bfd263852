//! Messages to clients. DataRow is not here: the codec writes it.

use bytes::{BufMut, BytesMut};
use fjord_engine::SqlError;
use fjord_engine::source::{Notice, Severity};

/// How bad an error is for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorLevel {
    /// The statement has failed.
    Error,
    /// The session ends.
    Fatal,
}

/// The state in ReadyForQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxStatus {
    /// Not in a transaction block.
    Idle,
    /// In a block.
    Block,
    /// In a failed block.
    Failed,
}

/// Writes one message: type byte, length, body.
pub fn message(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let at = out.len();
    out.put_u32(0);
    body(out);
    // A message is bounded by MESSAGE_MAX and by the size of an Arrow array, so that its length fits; saturate all the same.
    let len = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// A text with its final zero. A zero inside would end it early, so it is dropped.
pub fn text(out: &mut BytesMut, s: &str) {
    if s.bytes().any(|b| b == 0) {
        out.extend(s.bytes().filter(|b| *b != 0));
    } else {
        out.put_slice(s.as_bytes());
    }
    out.put_u8(0);
}

/// AuthenticationOk.
pub fn auth_ok(out: &mut BytesMut) {
    message(out, b'R', |b| b.put_u32(0));
}

/// AuthenticationSASL with its mechanisms.
pub fn auth_sasl(out: &mut BytesMut, mechanisms: &[&str]) {
    message(out, b'R', |b| {
        b.put_u32(10);
        mechanisms.iter().for_each(|m| text(b, m));
        b.put_u8(0);
    });
}

/// AuthenticationSASLContinue.
pub fn auth_sasl_continue(out: &mut BytesMut, data: &str) {
    message(out, b'R', |b| {
        b.put_u32(11);
        b.put_slice(data.as_bytes());
    });
}

/// AuthenticationSASLFinal.
pub fn auth_sasl_final(out: &mut BytesMut, data: &str) {
    message(out, b'R', |b| {
        b.put_u32(12);
        b.put_slice(data.as_bytes());
    });
}

/// NegotiateProtocolVersion.
pub fn negotiate(out: &mut BytesMut, protocol: u32, unknown: &[String]) {
    message(out, b'v', |b| {
        b.put_u32(protocol);
        b.put_u32(u32::try_from(unknown.len()).unwrap_or(0));
        unknown.iter().for_each(|o| text(b, o));
    });
}

/// BackendKeyData.
pub fn key_data(out: &mut BytesMut, pid: i32, secret: &[u8]) {
    message(out, b'K', |b| {
        b.put_i32(pid);
        b.put_slice(secret);
    });
}

/// ParameterStatus.
pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    message(out, b'S', |b| {
        text(b, name);
        text(b, value);
    });
}

/// ReadyForQuery.
pub fn ready(out: &mut BytesMut, status: TxStatus) {
    message(out, b'Z', |b| {
        b.put_u8(match status {
            TxStatus::Idle => b'I',
            TxStatus::Block => b'T',
            TxStatus::Failed => b'E',
        });
    });
}

/// CommandComplete.
pub fn complete(out: &mut BytesMut, tag: &str) {
    message(out, b'C', |b| text(b, tag));
}

/// A message without a body: ParseComplete `1`, BindComplete `2`, CloseComplete `3`, NoData `n`, EmptyQueryResponse `I`, PortalSuspended `s`,
/// CopyDone `c`.
pub fn bare(out: &mut BytesMut, tag: u8) {
    message(out, tag, |_| {});
}

/// ParameterDescription.
pub fn parameter_description(out: &mut BytesMut, oids: &[u32]) {
    message(out, b't', |b| {
        b.put_u16(u16::try_from(oids.len()).unwrap_or(u16::MAX));
        oids.iter().for_each(|o| b.put_u32(*o));
    });
}

/// CopyOutResponse.
pub fn copy_out(out: &mut BytesMut, code: i16, columns: usize) {
    message(out, b'H', |b| {
        b.put_u8(u8::from(code != 0));
        b.put_u16(u16::try_from(columns).unwrap_or(u16::MAX));
        (0..columns).for_each(|_| b.put_i16(code));
    });
}

/// ErrorResponse.
pub fn error(out: &mut BytesMut, level: ErrorLevel, e: &SqlError) {
    let severity = if level == ErrorLevel::Fatal { "FATAL" } else { "ERROR" };
    report(out, b'E', severity, e.state.0, &e.message, e.detail.as_deref(), e.hint.as_deref(), e.position);
}

/// NoticeResponse.
pub fn notice(out: &mut BytesMut, n: &Notice) {
    let severity = match n.severity {
        Severity::Notice => "NOTICE",
        Severity::Warning => "WARNING",
    };
    report(out, b'N', severity, n.state.0, &n.message, n.detail.as_deref(), n.hint.as_deref(), None);
}

#[allow(clippy::too_many_arguments)] // the fields of one message, written in one place
fn report(
    out: &mut BytesMut,
    tag: u8,
    severity: &str,
    state: &str,
    msg: &str,
    detail: Option<&str>,
    hint: Option<&str>,
    position: Option<u32>,
) {
    message(out, tag, |b| {
        let mut field = |code: u8, value: &str| {
            b.put_u8(code);
            text(b, value);
        };
        // S is for people and may be translated, V never is: drivers read V.
        field(b'S', severity);
        field(b'V', severity);
        field(b'C', state);
        field(b'M', msg);
        if let Some(d) = detail {
            field(b'D', d);
        }
        if let Some(h) = hint {
            field(b'H', h);
        }
        if let Some(p) = position {
            field(b'P', &p.to_string());
        }
        b.put_u8(0);
    });
}

/// RowDescription.
pub fn row_description(out: &mut BytesMut, fields: &[pgwire::messages::data::FieldDescription]) {
    message(out, b'T', |b| {
        b.put_u16(u16::try_from(fields.len()).unwrap_or(u16::MAX));
        for f in fields {
            text(b, &f.name);
            b.put_i32(f.table_id);
            b.put_i16(f.column_id);
            b.put_u32(f.type_id);
            b.put_i16(f.type_size);
            b.put_i32(f.type_modifier);
            b.put_i16(f.format_code);
        }
    });
}
