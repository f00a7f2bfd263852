//! Every type at its edges: what is read is what the server itself shows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::*;
use fjord_engine::SqlState;
use fjord_engine::pushdown::{Rel, ScanColumn};
use fjord_engine::source::{QueryScope, RemoteInput, RemoteRequest, RemoteStats};
use fjord_harness::{Flavor, MySql};
use futures::TryStreamExt;
use std::sync::Arc;
use support::*;
use tokio_util::sync::CancellationToken;

/// Column, declaration, how the server is asked for what our value is compared with, and the values of the rows.
const COLUMNS: &[(&str, &str, &str, &[&str])] = &[
    ("i8", "tinyint", "i8", &["-128", "127", "0", "NULL"]),
    ("u8", "tinyint unsigned", "u8", &["0", "255", "1", "NULL"]),
    ("t1", "tinyint(1)", "t1", &["2", "-1", "0", "NULL"]),
    ("i16", "smallint", "i16", &["-32768", "32767", "0", "NULL"]),
    ("u16", "smallint unsigned", "u16", &["0", "65535", "1", "NULL"]),
    ("i24", "mediumint", "i24", &["-8388608", "8388607", "0", "NULL"]),
    ("u24", "mediumint unsigned", "u24", &["0", "16777215", "1", "NULL"]),
    ("i32", "int", "i32", &["-2147483648", "2147483647", "0", "NULL"]),
    ("u32", "int unsigned zerofill", "u32 + 0", &["0", "4294967295", "1", "NULL"]),
    ("i64", "bigint", "i64", &["-9223372036854775808", "9223372036854775807", "0", "NULL"]),
    ("u64", "bigint unsigned", "u64", &["0", "18446744073709551615", "9223372036854775808", "NULL"]),
    ("d5", "decimal(5,2)", "replace(d5, '.', '') + 0", &["-999.99", "999.99", "0.01", "NULL"]),
    ("d38", "decimal(38,0)", "d38", &["-99999999999999999999999999999999999999", "99999999999999999999999999999999999999", "0", "NULL"]),
    (
        "d65",
        "decimal(65,0)",
        "d65",
        &[
            "-99999999999999999999999999999999999999999999999999999999999999999",
            "99999999999999999999999999999999999999999999999999999999999999999",
            "1",
            "NULL",
        ],
    ),
    (
        "d30",
        "decimal(65,30)",
        "trim(leading '0' from replace(d30, '.', ''))",
        &[
            "12345678901234567890123456789012345.123456789012345678901234567890",
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "0.000000000000000000000000000001",
            "NULL",
        ],
    ),
    ("f", "float", "f + 0e0", &["-3.402823466E+38", "3.402823466E+38", "1.175494351E-38", "NULL"]),
    ("db", "double", "db", &["-1.7976931348623157E+308", "1.7976931348623157E+308", "0.1", "NULL"]),
    ("y", "year", "y + 0", &["1901", "2155", "0", "NULL"]),
    ("b1", "bit(1)", "b1 + 0", &["0", "1", "1", "NULL"]),
    ("b9", "bit(9)", "b9 + 0", &["0", "511", "256", "NULL"]),
    ("b64", "bit(64)", "b64 + 0", &["0", "18446744073709551615", "1", "NULL"]),
    ("dt", "date", "to_days(dt) - 719528", &["'1000-01-01'", "'9999-12-31'", "'1969-12-31'", "NULL"]),
    (
        "dtm",
        "datetime(6)",
        "timestampdiff(microsecond, '1970-01-01', dtm)",
        &["'1000-01-01 00:00:00'", "'9999-12-31 23:59:59.999999'", "'1969-12-31 23:59:59.999999'", "NULL"],
    ),
    (
        "dt0",
        "datetime",
        "timestampdiff(microsecond, '1970-01-01', dt0)",
        &["'2024-02-29 12:34:56'", "'2024-02-29'", "'1970-01-01'", "NULL"],
    ),
    (
        "ts",
        "timestamp(6) NULL",
        "timestampdiff(microsecond, '1970-01-01', ts)",
        &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'2024-03-31 02:30:00.5'", "NULL"],
    ),
    (
        "tm",
        "time(6)",
        "timestampdiff(microsecond, timestamp'2000-01-01 00:00:00', addtime(timestamp'2000-01-01 00:00:00', tm))",
        &["'00:00:00'", "'23:59:59.999999'", "'12:00:00.000001'", "NULL"],
    ),
    ("c", "char(5) CHARACTER SET utf8mb4", "hex(c)", &["'a  '", "'日本語😀é'", "''", "NULL"]),
    ("vc", "varchar(20) CHARACTER SET utf8mb4", "hex(vc)", &["'a  '", "'😀'", "''", "NULL"]),
    ("l1", "varchar(20) CHARACTER SET latin1", "hex(convert(l1 using utf8mb4))", &["'é'", "x'80819fff'", "''", "NULL"]),
    ("u3", "varchar(20) CHARACTER SET utf8mb3", "hex(u3)", &["'日本'", "x'00'", "' '", "NULL"]),
    ("u16t", "varchar(20) CHARACTER SET utf16", "hex(convert(u16t using utf8mb4))", &["'😀'", "'a'", "''", "NULL"]),
    ("tx", "longtext CHARACTER SET utf8mb4", "hex(tx)", &["repeat('é', 70000)", "''", "'\\\\'", "NULL"]),
    ("e", "enum('a','b''c','') CHARACTER SET utf8mb4", "hex(convert(e using utf8mb4))", &["'a'", "'b''c'", "''", "NULL"]),
    ("s", "set('x','y') CHARACTER SET utf8mb4", "hex(convert(s using utf8mb4))", &["'y,x'", "''", "'x'", "NULL"]),
    ("j", "json", "hex(convert(j using utf8mb4))", &["'{\"a\": [1, 2.5, null, \"é\"]}'", "'\"x\"'", "'null'", "NULL"]),
    ("bn", "binary(4)", "hex(bn)", &["'a'", "x'00ff00ff'", "''", "NULL"]),
    ("vb", "varbinary(10)", "hex(vb)", &["'a'", "x'00ff00'", "''", "NULL"]),
    ("bl", "longblob", "hex(bl)", &["repeat(x'00ff', 40000)", "''", "x'00'", "NULL"]),
    ("g", "geometry", "hex(st_aswkb(g))", &["point(1, -2)", "st_geomfromtext('LINESTRING(0 0, 1 1)')", "point(0, 0)", "NULL"]),
];

fn table() -> String {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, ty, ..)| format!("`{name}` {ty}")).collect();
    let rows: Vec<String> =
        (0..4).map(|i| format!("({i}, {})", COLUMNS.iter().map(|(.., v)| v[i]).collect::<Vec<_>>().join(", "))).collect();
    format!(
        "SET time_zone = '+00:00'; SET sql_mode = ''; CREATE DATABASE d; USE d; CREATE TABLE t (id int PRIMARY KEY, {}) ENGINE=InnoDB ROW_FORMAT=DYNAMIC; \
         INSERT INTO t VALUES {}",
        columns.join(", "),
        rows.join(", ")
    )
}

/// A value in a form that loses nothing: floats as they are, times as microseconds, decimals as unscaled integers, texts and bytes in hexadecimal.
fn value(array: &dyn Array, i: usize) -> String {
    if array.is_null(i) {
        return "NULL".into();
    }
    let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02X}")).collect::<String>();
    match array.data_type() {
        DataType::Boolean => u8::from(array.as_boolean().value(i)).to_string(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(i).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(i).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(i).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(i).to_string(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(i).to_string(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(i).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(i).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(i).to_string(),
        DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(i)).to_string(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(i).to_string(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(i).to_string(),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value(i).to_string(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(i).to_string(),
        DataType::Time64(_) => array.as_primitive::<Time64MicrosecondType>().value(i).to_string(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(i).to_string(),
        DataType::Interval(_) => (array.as_primitive::<IntervalMonthDayNanoType>().value(i).nanoseconds / 1000).to_string(),
        DataType::Binary => hex(array.as_binary::<i32>().value(i)),
        DataType::Utf8 => hex(array.as_string::<i32>().value(i).as_bytes()),
        other => panic!("no form of {other}"),
    }
}

async fn read(server: &MySql, options: &[(&str, &str)]) -> Result<(SchemaRef, Vec<RecordBatch>), fjord_engine::SqlError> {
    let port = server.port().to_string();
    let mut all = vec![("host", "127.0.0.1"), ("port", port.as_str()), ("user", "root"), ("sslmode", "disable"), ("database", "d")];
    all.extend_from_slice(options);
    let source = connector(&all).unwrap();
    let catalog = source.introspect().await?;
    let table = catalog.table("d", "t").unwrap().clone();
    let columns = table.columns.iter().map(|c| ScanColumn { name: c.field.name().clone(), ty: c.remote.clone() }).collect();
    let rel = Rel::Scan { schema: "d".into(), table: "t".into(), columns };
    let schema = table.arrow_schema();
    let request = RemoteRequest {
        input: RemoteInput::Query(rel),
        schema: schema.clone(),
        scope: QueryScope::new(1, CancellationToken::new()),
        memory: Arc::new(datafusion::execution::memory_pool::UnboundedMemoryPool::default()),
        batch_rows: 8192,
        stats: RemoteStats::new("crm"),
        narrowing: None,
    };
    let batches = source.execute(request)?.try_collect::<Vec<_>>().await.map_err(fjord_engine::SqlError::from)?;
    Ok((schema, batches))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_what_the_server_shows() {
    for flavor in Flavor::ALL {
        let server = MySql::start(flavor).unwrap();
        server.sql(&table()).unwrap();
        let (schema, batches) = read(&server, &[]).await.unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
        for (name, _, shown, _) in COLUMNS {
            let column = schema.index_of(name).unwrap();
            let ours: Vec<String> =
                batches.iter().flat_map(|b| (0..b.num_rows()).map(move |i| value(b.column(column).as_ref(), i))).collect();
            let theirs = server.sql(&format!("SET time_zone = '+00:00'; SELECT {shown} FROM d.t ORDER BY id")).unwrap();
            for (i, (mine, their)) in ours.iter().zip(theirs.lines()).enumerate() {
                let float = schema.field(column).data_type().is_floating();
                let same = if float && mine != "NULL" {
                    mine.parse::<f64>().unwrap().to_bits() == their.parse::<f64>().unwrap().to_bits()
                } else {
                    mine == their
                };
                assert!(same, "{} row {i} of {name}: we read {mine:.100}, the server shows {their:.100}", flavor.name());
            }
            assert_eq!(ours.len(), theirs.lines().count(), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_by_name_and_zero_dates_are_null() {
    for flavor in Flavor::ALL {
        let server = MySql::start(flavor).unwrap();
        server
            .sql(
                "CREATE DATABASE d; USE d; CREATE TABLE t (id int PRIMARY KEY, tm time(6), t1 tinyint(1)); \
                  INSERT INTO t VALUES (1, '-838:59:59', 2), (2, '838:59:59', 0), (3, '-00:00:00.000001', NULL)",
            )
            .unwrap();
        let e = read(&server, &[]).await.unwrap_err();
        assert_eq!(e.state, SqlState::DATETIME_FIELD_OVERFLOW);
        assert!(e.message.contains("\"tm\"") && e.hint.as_deref().unwrap().contains("time_spans"), "{e}");
        let (schema, batches) = read(&server, &[("time_spans", "interval"), ("tinyint1_is_bool", "true")]).await.unwrap();
        let of = |name: &str| {
            let column = schema.index_of(name).unwrap();
            (0..3).map(|i| value(batches[0].column(column).as_ref(), i)).collect::<Vec<_>>()
        };
        assert_eq!(of("tm"), ["-3020399000000", "3020399000000", "-1"]);
        assert_eq!(of("t1"), ["1", "0", "NULL"]);

        server
            .sql("SET sql_mode = 'ALLOW_INVALID_DATES'; USE d; DROP TABLE t; \
                  CREATE TABLE t (id int PRIMARY KEY, d date NOT NULL, dt datetime NOT NULL, ts timestamp(6) NOT NULL); \
                  INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00', '0000-00-00'), (2, '2024-00-01', '2024-01-00 10:00:00', '2024-01-01'), \
                  (3, '2024-02-30', '2024-02-31 00:00:00', '2024-01-01'), (4, '2024-02-29', '2024-02-29 00:00:00', '2024-02-29')")
            .unwrap();
        let (schema, batches) = read(&server, &[]).await.unwrap();
        assert!(schema.field_with_name("d").unwrap().is_nullable());
        let nulls: Vec<usize> = batches[0].columns().iter().map(|c| c.null_count()).collect();
        assert_eq!(nulls, [0, 3, 3, 1], "{}", flavor.name());
    }
}
