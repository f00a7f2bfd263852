//! COPY (query) TO STDOUT.

use datafusion::common::ScalarValue;
use fjord_engine::session::Prepared;
use fjord_engine::sql::{CopyFormat, CopyOptions};
use fjord_engine::{Result, SqlError, SqlState};

use super::Connection;
use super::guard::Guard;
use super::io::Socket;
use super::portal::Rows;
use super::pump::{self, Sink};
use crate::codec::{self, CopyEncoder, EncodeSettings};
use crate::protocol::backend;

impl<S: Socket> Connection<S> {
    pub(super) async fn copy_out(
        &mut self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        options: &CopyOptions,
        guard: &Guard,
    ) -> Result<()> {
        let token = guard.token.clone();
        let execution = guard.run(&mut self.io, Box::pin(self.session.execute(prepared, values, token.clone()))).await?;
        let (Some(schema), Some(stream)) = (execution.schema, execution.stream) else {
            return Err(SqlError::syntax("COPY query must have a result"));
        };
        let settings = EncodeSettings::of(&self.session.settings.read())?;
        let encoder = CopyEncoder::new(&schema, &encoding(options)?, &settings)?;
        self.notices(execution.scope.take_notices());
        let mut rows = Rows::new(schema, stream, String::new(), execution.scope.clone(), token);
        backend::copy_out(&mut self.io.out, encoder.code(), encoder.columns());
        let header = |out: &mut bytes::BytesMut| encoder.put_header(out);
        data(&mut self.io.out, header);
        let mut sink = Sink::Copy(encoder);
        let count = pump::pump(&mut self.io, &mut rows, &mut sink, None, guard).await?;
        if let Sink::Copy(encoder) = &sink {
            data(&mut self.io.out, |out| encoder.put_trailer(out));
        }
        backend::bare(&mut self.io.out, b'c');
        self.notices(execution.scope.take_notices());
        backend::complete(&mut self.io.out, &format!("COPY {count}"));
        Ok(())
    }
}

/// CopyData, unless there is nothing to write.
fn data(out: &mut bytes::BytesMut, write: impl FnOnce(&mut bytes::BytesMut)) {
    let start = out.len();
    backend::message(out, b'd', write);
    if out.len() == start + 5 {
        out.truncate(start);
    }
}

/// The parser fills in the format's defaults; the encoder refuses options that do not go with a format, so only those that matter are passed on.
fn encoding(o: &CopyOptions) -> Result<codec::CopyOptions> {
    let one = |c: char, what: &str| {
        u8::try_from(c)
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("COPY {what} must be a single one-byte character")))
    };
    let mut e = codec::CopyOptions { header: o.header, ..codec::CopyOptions::default() };
    if o.format == CopyFormat::Binary {
        e.format = codec::CopyFormat::Binary;
        return Ok(e);
    }
    e.delimiter = Some(one(o.delimiter, "delimiter")?);
    e.null = Some(o.null.clone());
    if o.format == CopyFormat::Csv {
        e.format = codec::CopyFormat::Csv;
        e.quote = Some(one(o.quote, "quote")?);
        e.escape = Some(one(o.escape, "escape")?);
        e.force_quote_all = o.force_quote.iter().any(|c| c == "*");
        e.force_quote = o.force_quote.iter().filter(|c| *c != "*").cloned().collect();
    }
    Ok(e)
}
