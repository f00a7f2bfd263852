//! The rows of SHOW, DESCRIBE and VALIDATE; the `sys` tables share them.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::catalog::Catalog;
use crate::error::Result;
use crate::source::OptionKind;

/// One column while it is filled.
pub(crate) enum Column {
    Text(Vec<Option<String>>),
    Bigint(Vec<Option<i64>>),
    Boolean(Vec<Option<bool>>),
    /// Microseconds since 1970, UTC.
    Time(Vec<Option<i64>>),
}

/// The kind of a column, for schemas.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Bigint,
    Boolean,
    Time,
}

impl Kind {
    fn arrow(self) -> DataType {
        match self {
            Kind::Text => DataType::Utf8,
            Kind::Bigint => DataType::Int64,
            Kind::Boolean => DataType::Boolean,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// A schema of nullable columns.
pub(crate) fn schema(columns: &[(&str, Kind)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(n, k)| Field::new(*n, k.arrow(), true)).collect::<Vec<_>>()))
}

/// A batch of a schema.
pub(crate) fn batch(schema: SchemaRef, columns: Vec<Column>) -> Result<RecordBatch> {
    let arrays: Vec<ArrayRef> = columns
        .into_iter()
        .map(|c| -> ArrayRef {
            match c {
                Column::Text(v) => Arc::new(StringArray::from(v)),
                Column::Bigint(v) => Arc::new(Int64Array::from(v)),
                Column::Boolean(v) => Arc::new(BooleanArray::from(v)),
                Column::Time(v) => Arc::new(TimestampMicrosecondArray::from(v).with_timezone("UTC")),
            }
        })
        .collect();
    RecordBatch::try_new(schema, arrays)
        .map_err(|e| crate::error::SqlError::internal(format!("a system table does not fit its schema: {e}")))
}

/// A clock reading as a column holds it.
pub(crate) fn micros(t: SystemTime) -> i64 {
    t.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or_default()
}

/// All columns text.
pub(crate) fn text_schema(names: &[&str]) -> SchemaRef {
    schema(&names.iter().map(|n| (*n, Kind::Text)).collect::<Vec<_>>())
}

/// Rows of texts.
pub(crate) fn texts(names: &[&str], rows: Vec<Vec<Option<String>>>) -> Result<RecordBatch> {
    let mut columns: Vec<Vec<Option<String>>> = names.iter().map(|_| vec![]).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    batch(text_schema(names), columns.into_iter().map(Column::Text).collect())
}

pub(crate) fn connectors_schema() -> SchemaRef {
    schema(&[
        ("name", Kind::Text),
        ("type", Kind::Text),
        ("mode", Kind::Text),
        ("status", Kind::Text),
        ("location", Kind::Text),
        ("tables", Kind::Bigint),
        ("owner", Kind::Text),
        ("comment", Kind::Text),
        ("created_at", Kind::Time),
    ])
}

/// SHOW CONNECTORS and `sys.connectors`.
pub(crate) fn connectors(catalog: &Catalog, like: Option<&str>) -> Result<RecordBatch> {
    let snapshot = catalog.snapshot();
    let all: Vec<_> = snapshot.connectors.values().filter(|c| like.is_none_or(|p| matches_like(&c.name, p))).collect();
    let tables = |c: &crate::catalog::Connector| {
        let s = c.schema.as_ref().ok()?;
        i64::try_from(s.schemas.iter().map(|s| s.tables.len()).sum::<usize>()).ok()
    };
    batch(
        connectors_schema(),
        vec![
            Column::Text(all.iter().map(|c| Some(c.name.clone())).collect()),
            Column::Text(all.iter().map(|c| Some(c.type_name.clone())).collect()),
            Column::Text(all.iter().map(|_| Some("federation".into())).collect()),
            Column::Text(all.iter().map(|c| catalog.health(&c.name).map(|h| h.phase.as_str().into())).collect()),
            Column::Text(all.iter().map(|c| Some(c.source.location())).collect()),
            Column::Bigint(all.iter().map(|c| tables(c)).collect()),
            Column::Text(all.iter().map(|c| Some(c.owner.clone())).collect()),
            Column::Text(all.iter().map(|c| c.comment.clone()).collect()),
            Column::Time(all.iter().map(|c| catalog.created_at(&c.name)).collect()),
        ],
    )
}

pub(crate) fn types_schema() -> SchemaRef {
    schema(&[("name", Kind::Text), ("description", Kind::Text), ("options", Kind::Text), ("required_options", Kind::Text)])
}

/// SHOW CONNECTOR TYPES and `sys.connector_types`.
pub(crate) fn types(catalog: &Catalog) -> Result<RecordBatch> {
    let types = catalog.types();
    let options = |t: &Arc<dyn crate::source::ConnectorType>, required: bool| {
        let names: Vec<_> = t.options().iter().filter(|o| !required || o.required).map(|o| o.name).collect();
        Some(names.join(", "))
    };
    batch(
        types_schema(),
        vec![
            Column::Text(types.iter().map(|t| Some(t.name().into())).collect()),
            Column::Text(types.iter().map(|t| Some(t.doc().into())).collect()),
            Column::Text(types.iter().map(|t| options(t, false)).collect()),
            Column::Text(types.iter().map(|t| options(t, true)).collect()),
        ],
    )
}

pub(crate) fn options_schema() -> SchemaRef {
    schema(&[
        ("type", Kind::Text),
        ("name", Kind::Text),
        ("kind", Kind::Text),
        ("default", Kind::Text),
        ("required", Kind::Boolean),
        ("secret", Kind::Boolean),
        ("description", Kind::Text),
    ])
}

/// `sys.connector_options`.
pub(crate) fn options(catalog: &Catalog) -> Result<RecordBatch> {
    let all: Vec<_> = catalog.types().iter().flat_map(|t| t.options().iter().map(move |o| (t.name(), o))).collect();
    batch(
        options_schema(),
        vec![
            Column::Text(all.iter().map(|(t, _)| Some((*t).into())).collect()),
            Column::Text(all.iter().map(|(_, o)| Some(o.name.into())).collect()),
            Column::Text(all.iter().map(|(_, o)| Some(o.kind.to_string())).collect()),
            Column::Text(all.iter().map(|(_, o)| o.default.map(Into::into)).collect()),
            Column::Boolean(all.iter().map(|(_, o)| Some(o.required)).collect()),
            Column::Boolean(all.iter().map(|(_, o)| Some(o.kind == OptionKind::Secret)).collect()),
            Column::Text(all.iter().map(|(_, o)| Some(o.doc.into())).collect()),
        ],
    )
}

pub(crate) fn secrets_schema() -> SchemaRef {
    schema(&[
        ("name", Kind::Text),
        ("source", Kind::Text),
        ("reference", Kind::Text),
        ("used_by", Kind::Text),
        ("owner", Kind::Text),
        ("comment", Kind::Text),
        ("created_at", Kind::Time),
    ])
}

/// SHOW SECRETS and `sys.secrets`: where each comes from, never what it is.
pub(crate) fn secrets(catalog: &Catalog) -> Result<RecordBatch> {
    let all = catalog.secrets();
    batch(
        secrets_schema(),
        vec![
            Column::Text(all.iter().map(|s| Some(s.name.clone())).collect()),
            Column::Text(all.iter().map(|s| Some(s.source.into())).collect()),
            Column::Text(all.iter().map(|s| s.reference.clone()).collect()),
            Column::Text(all.iter().map(|s| Some(s.used_by.join(", "))).collect()),
            Column::Text(all.iter().map(|s| Some(s.owner.clone())).collect()),
            Column::Text(all.iter().map(|s| s.comment.clone()).collect()),
            Column::Time(all.iter().map(|s| Some(s.created_at)).collect()),
        ],
    )
}

pub(crate) fn health_schema() -> SchemaRef {
    schema(&[
        ("id", Kind::Bigint),
        ("name", Kind::Text),
        ("type", Kind::Text),
        ("mode", Kind::Text),
        ("phase", Kind::Text),
        ("phase_since", Kind::Time),
        ("lag_seconds", Kind::Bigint),
        ("events_per_sec", Kind::Bigint),
        ("pool_in_use", Kind::Bigint),
        ("pool_idle", Kind::Bigint),
        ("pool_max", Kind::Bigint),
        ("introspections", Kind::Bigint),
        ("failures", Kind::Bigint),
        ("last_error", Kind::Text),
        ("last_error_at", Kind::Time),
        ("last_ok_at", Kind::Time),
        ("last_event_at", Kind::Time),
        ("timestamp", Kind::Time),
    ])
}

/// `sys.connector_health`. Lag and events per second are NULL without a synced copy.
pub(crate) fn health(catalog: &Catalog) -> Result<RecordBatch> {
    let snapshot = catalog.snapshot();
    let all: Vec<_> = snapshot.connectors.values().filter_map(|c| Some((c, catalog.health(&c.name)?, c.source.pool()))).collect();
    let last_event = |name: &str| catalog.events().iter().rev().find(|e| e.connector == name).map(|e| micros(e.at));
    let count = |n: u64| i64::try_from(n).ok();
    let now = micros(SystemTime::now());
    batch(
        health_schema(),
        vec![
            Column::Bigint((1..).take(all.len()).map(Some).collect()),
            Column::Text(all.iter().map(|(c, ..)| Some(c.name.clone())).collect()),
            Column::Text(all.iter().map(|(c, ..)| Some(c.type_name.clone())).collect()),
            Column::Text(all.iter().map(|_| Some("federation".into())).collect()),
            Column::Text(all.iter().map(|(_, h, _)| Some(h.phase.as_str().into())).collect()),
            Column::Time(all.iter().map(|(_, h, _)| Some(micros(h.since))).collect()),
            Column::Bigint(all.iter().map(|_| None).collect()),
            Column::Bigint(all.iter().map(|_| None).collect()),
            Column::Bigint(all.iter().map(|(.., p)| Some(p.in_use.into())).collect()),
            Column::Bigint(all.iter().map(|(.., p)| Some(p.idle.into())).collect()),
            Column::Bigint(all.iter().map(|(.., p)| Some(p.max.into())).collect()),
            Column::Bigint(all.iter().map(|(_, h, _)| count(h.introspections)).collect()),
            Column::Bigint(all.iter().map(|(_, h, _)| count(h.failures)).collect()),
            Column::Text(all.iter().map(|(_, h, _)| h.last_error.clone()).collect()),
            Column::Time(all.iter().map(|(_, h, _)| h.last_error_at.map(micros)).collect()),
            Column::Time(all.iter().map(|(_, h, _)| h.last_ok_at.map(micros)).collect()),
            Column::Time(all.iter().map(|(c, ..)| last_event(&c.name)).collect()),
            Column::Time(all.iter().map(|_| Some(now)).collect()),
        ],
    )
}

pub(crate) fn events_schema() -> SchemaRef {
    schema(&[
        ("at", Kind::Time),
        ("connector", Kind::Text),
        ("from_phase", Kind::Text),
        ("to_phase", Kind::Text),
        ("sqlstate", Kind::Text),
        ("detail", Kind::Text),
    ])
}

/// `sys.connector_events`.
pub(crate) fn events(catalog: &Catalog) -> Result<RecordBatch> {
    let all = catalog.events();
    batch(
        events_schema(),
        vec![
            Column::Time(all.iter().map(|e| Some(micros(e.at))).collect()),
            Column::Text(all.iter().map(|e| Some(e.connector.clone())).collect()),
            Column::Text(all.iter().map(|e| e.from.map(|p| p.as_str().into())).collect()),
            Column::Text(all.iter().map(|e| e.to.map(|p| p.as_str().into())).collect()),
            Column::Text(all.iter().map(|e| e.state.map(|s| s.0.into())).collect()),
            Column::Text(all.iter().map(|e| Some(e.detail.clone())).collect()),
        ],
    )
}

/// LIKE over a name: `%`, `_`, and `\` before one of them. Time is bounded by name x pattern.
pub(crate) fn matches_like(name: &str, pattern: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    // Which prefixes of the name match the pattern so far.
    let mut now = vec![false; name.len() + 1];
    now[0] = true;
    let mut chars = pattern.chars();
    while let Some(p) = chars.next() {
        let mut next = vec![false; name.len() + 1];
        match p {
            '%' => {
                let mut any = false;
                for i in 0..=name.len() {
                    any |= now[i];
                    next[i] = any;
                }
            }
            _ => {
                let literal = if p == '\\' { chars.next().unwrap_or('\\') } else { p };
                let one = p == '_';
                for i in 0..name.len() {
                    next[i + 1] = now[i] && (one || name[i] == literal);
                }
            }
        }
        now = next;
    }
    now[name.len()]
}

#[cfg(test)]
mod tests {
    use super::matches_like;

    #[test]
    fn like() {
        for (name, pattern, yes) in [
            ("shop", "s%", true),
            ("shop", "_hop", true),
            ("shop", "%", true),
            ("", "%", true),
            ("shop", "hop", false),
            ("a_b", "a\\_b", true),
            ("axb", "a\\_b", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaab", "%a%a%a%a%a%a%a%a%c", false),
        ] {
            assert_eq!(matches_like(name, pattern), yes, "{name} {pattern}");
        }
    }
}
