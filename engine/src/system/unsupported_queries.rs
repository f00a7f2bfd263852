//! `sys.unsupported_queries`: what clients asked for and Fjord refused with 0A000: the list of what to build next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::SystemTable;
use crate::engine::Engine;
use crate::error::{Result, SqlError};
use crate::session::SessionInfo;
use crate::sql::ddl::rows::{self, Column, Kind};

/// Different texts that are remembered.
pub const UNSUPPORTED_MAX: usize = 1_000;
/// Bytes kept of one text.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// The last refused texts, each once, with a count. In memory.
#[derive(Debug, Default)]
pub struct UnsupportedQueries(Mutex<VecDeque<Refused>>);

#[derive(Debug, Clone)]
struct Refused {
    text: String,
    message: String,
    user: String,
    application: String,
    first: SystemTime,
    last: SystemTime,
    count: i64,
}

impl UnsupportedQueries {
    /// Remembers a text that was answered with an error, if the error is 0A000. The text is redacted here.
    pub fn record(&self, session: &SessionInfo, text: &str, error: &SqlError) {
        if error.state != crate::error::SqlState::FEATURE_NOT_SUPPORTED {
            return;
        }
        let mut text = crate::sql::redacted_text(text).into_owned();
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        let now = SystemTime::now();
        let mut all = self.0.lock();
        if let Some(i) = all.iter().position(|r| r.text == text && r.message == error.message)
            && let Some(mut known) = all.remove(i)
        {
            known.last = now;
            known.count += 1;
            all.push_back(known);
            return;
        }
        if all.len() == UNSUPPORTED_MAX {
            all.pop_front();
        }
        let (user, application) = (session.user.clone(), session.application_name.clone());
        all.push_back(Refused { text, message: error.message.clone(), user, application, first: now, last: now, count: 1 });
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Table;

impl SystemTable for Table {
    fn name(&self) -> &'static str {
        "unsupported_queries"
    }
    fn doc(&self) -> &'static str {
        "The last 1,000 different statements that were refused as not supported, with how often."
    }
    fn schema(&self) -> SchemaRef {
        rows::schema(&[
            ("query", Kind::Text),
            ("error", Kind::Text),
            ("count", Kind::Bigint),
            ("user", Kind::Text),
            ("application_name", Kind::Text),
            ("first_at", Kind::Time),
            ("last_at", Kind::Time),
        ])
    }
    fn rows(&self, engine: &Arc<Engine>, _session: &SessionInfo) -> Result<RecordBatch> {
        let all: Vec<Refused> = engine.unsupported.0.lock().iter().cloned().collect();
        rows::batch(
            self.schema(),
            vec![
                Column::Text(all.iter().map(|r| Some(r.text.clone())).collect()),
                Column::Text(all.iter().map(|r| Some(r.message.clone())).collect()),
                Column::Bigint(all.iter().map(|r| Some(r.count)).collect()),
                Column::Text(all.iter().map(|r| Some(r.user.clone())).collect()),
                Column::Text(all.iter().map(|r| Some(r.application.clone())).collect()),
                Column::Time(all.iter().map(|r| Some(rows::micros(r.first))).collect()),
                Column::Time(all.iter().map(|r| Some(rows::micros(r.last))).collect()),
            ],
        )
    }
}
