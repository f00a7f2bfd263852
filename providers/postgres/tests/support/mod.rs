//! What the tests of this crate share: a connector over a real server, and its batches as text.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Schema, SchemaRef, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use datafusion::execution::memory_pool::{MemoryPool, UnboundedMemoryPool};
use fjord_engine::pushdown::{Rel, ScanColumn};
use fjord_engine::source::{
    ConnectorType, OptionValues, QueryScope, RemoteInput, RemoteRequest, RemoteStats, Secret, Source, SourceCatalog, TableInfo,
};
use fjord_engine::{Result, SqlError};
use fjord_harness::Postgres;
use fjord_postgres::{OPTIONS, PostgresType};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

/// A connector `shop` with these options.
pub fn connector(options: &[(&str, &str)]) -> Result<Arc<dyn Source>> {
    let (secret, plain): (Vec<_>, Vec<_>) = options.iter().partition(|(k, _)| matches!(*k, "url" | "password"));
    let plain: BTreeMap<String, String> = plain.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let secret = secret.into_iter().map(|(k, v)| (k.to_string(), Secret::new(v.to_string()))).collect();
    PostgresType.open("shop", OptionValues::validate("postgres", OPTIONS, &plain, secret)?)
}

/// A connector over TCP without TLS to a server's own database; more options may be given.
pub fn over(pg: &Postgres, more: &[(&str, &str)]) -> Arc<dyn Source> {
    let port = pg.port().to_string();
    let mut options = vec![("host", "127.0.0.1"), ("port", port.as_str()), ("user", "postgres"), ("database", "postgres")];
    if !more.iter().any(|(k, _)| *k == "sslmode") {
        options.push(("sslmode", "disable"));
    }
    options.extend_from_slice(more);
    connector(&options).unwrap()
}

pub fn table(catalog: &SourceCatalog, name: &str) -> Arc<TableInfo> {
    catalog.table("public", name).unwrap_or_else(|| panic!("no table {name}")).clone()
}

/// A scan of all columns of a table.
pub fn scan(table: &TableInfo) -> (Rel, SchemaRef) {
    let columns = table.columns.iter().map(|c| ScanColumn { name: c.field.name().clone(), ty: c.remote.clone() }).collect();
    (Rel::Scan { schema: table.schema.clone(), table: table.name.clone(), columns }, table.arrow_schema())
}

pub struct Asked {
    pub cancel: CancellationToken,
    pub stats: Arc<RemoteStats>,
    pub request: RemoteRequest,
}

pub fn request(input: RemoteInput, schema: SchemaRef) -> Asked {
    request_with(input, schema, Arc::new(UnboundedMemoryPool::default()))
}

pub fn request_with(input: RemoteInput, schema: SchemaRef, memory: Arc<dyn MemoryPool>) -> Asked {
    let cancel = CancellationToken::new();
    let stats = RemoteStats::new("shop");
    let scope = QueryScope::new(1, cancel.clone());
    Asked {
        cancel,
        stats: stats.clone(),
        request: RemoteRequest { input, schema, scope, memory, batch_rows: 8192, stats, narrowing: None },
    }
}

/// Reads a whole table.
pub async fn read(source: &Arc<dyn Source>, table: &TableInfo) -> Result<Vec<RecordBatch>> {
    let (rel, schema) = scan(table);
    collect(source, RemoteInput::Query(rel), schema).await
}

/// Runs a text as remote_query does.
pub async fn run_text(source: &Arc<dyn Source>, text: &str) -> Result<Vec<RecordBatch>> {
    let schema = source.describe(text).await?;
    collect(source, RemoteInput::Text(text.into()), schema).await
}

pub async fn collect(source: &Arc<dyn Source>, input: RemoteInput, schema: SchemaRef) -> Result<Vec<RecordBatch>> {
    source.execute(request(input, schema).request)?.try_collect().await.map_err(SqlError::from)
}

/// Every value of a column, in a form that loses nothing: floats as bits, times as microseconds, decimals as unscaled integers.
pub fn exact(batches: &[RecordBatch], column: usize) -> Vec<String> {
    batches.iter().flat_map(|b| (0..b.num_rows()).map(move |i| value(b.column(column).as_ref(), i))).collect()
}

pub fn value(array: &dyn Array, i: usize) -> String {
    if array.is_null(i) {
        return "NULL".into();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(i).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(i).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(i).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(i).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(i).to_string(),
        DataType::Float32 => format!("{:08x}", array.as_primitive::<Float32Type>().value(i).to_bits()),
        DataType::Float64 => format!("{:016x}", array.as_primitive::<Float64Type>().value(i).to_bits()),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(i).to_string(),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value(i).to_string(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(i).to_string(),
        DataType::Time64(_) => array.as_primitive::<Time64MicrosecondType>().value(i).to_string(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(i).to_string(),
        DataType::Interval(_) => {
            let v = array.as_primitive::<IntervalMonthDayNanoType>().value(i);
            assert_eq!(v.nanoseconds % 1000, 0);
            format!("{} {} {}", v.months, v.days, v.nanoseconds / 1000)
        }
        DataType::Binary => array.as_binary::<i32>().value(i).iter().map(|b| format!("{b:02x}")).collect(),
        DataType::Utf8 => array.as_string::<i32>().value(i).to_string(),
        DataType::List(_) => {
            let list = array.as_list::<i32>().value(i);
            let items: Vec<String> = (0..list.len()).map(|j| value(list.as_ref(), j)).collect();
            format!("[{}]", items.join(","))
        }
        other => panic!("no exact form of {other}"),
    }
}

/// Waits for a condition, asked again and again; panics when it does not come.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain: {what}");
}

/// How many queries of the connector run at the server.
pub async fn running(client: &fjord_harness_client::Client) -> i64 {
    client
        .query_one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fjord' AND state = 'active'", &[])
        .await
        .unwrap()
        .get(0)
}

/// The driver's client under a name of its own.
pub mod fjord_harness_client {
    pub use tokio_postgres::Client;
}

/// An Arrow schema without metadata, for texts.
pub fn plain(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|f| format!("{}:{}", f.name(), f.data_type())).collect()
}
