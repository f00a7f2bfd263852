//! Random values against a real Postgres, in both directions: what the server prints must be what we print.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod golden;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Float64Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray};
use arrow::datatypes::{IntervalMonthDayNano, Schema};
use arrow::record_batch::RecordBatch;
use bytes::BytesMut;
use fjord_engine::pgtype::{self, PgType};
use fjord_harness::Postgres;
use fjord_server::codec::{CopyEncoder, CopyFormat, CopyOptions, EncodeSettings, Zone};
use futures::TryStreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Rows printed as COPY does, one line each.
fn lines(array: ArrayRef, pg: PgType, settings: &EncodeSettings) -> Vec<String> {
    let schema = Arc::new(Schema::new(vec![pgtype::field("c", array.data_type().clone(), true, pg)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
    let encoder = CopyEncoder::new(&schema, &CopyOptions::default(), settings).unwrap();
    let bound = encoder.bind(&batch).unwrap();
    let mut out = BytesMut::new();
    for i in 0..bound.rows() {
        encoder.put_row(&bound, i, &mut out).unwrap();
    }
    String::from_utf8(out.to_vec()).unwrap().lines().map(str::to_string).collect()
}

/// What the server prints for values that it gets in text.
async fn server(client: &tokio_postgres::Client, values: &[String], type_name: &str) -> Vec<String> {
    let mut out = vec![];
    for chunk in values.chunks(5_000) {
        let list: Vec<String> = chunk.iter().map(|v| format!("('{v}'::{type_name})")).collect();
        let copy = client.copy_out(&format!("COPY (VALUES {}) TO STDOUT", list.join(","))).await.unwrap();
        let bytes: Vec<u8> = copy
            .try_fold(vec![], |mut all, b| async move {
                all.extend_from_slice(&b);
                Ok(all)
            })
            .await
            .unwrap();
        out.extend(String::from_utf8(bytes).unwrap().lines().map(str::to_string));
    }
    out
}

fn compare(ours: &[String], theirs: &[String]) {
    assert_eq!(ours.len(), theirs.len());
    let wrong: Vec<_> = ours.iter().zip(theirs).filter(|(a, b)| a != b).take(20).collect();
    assert!(wrong.is_empty(), "(ours, Postgres's): {wrong:#?}");
}

#[tokio::test]
async fn floats_print_as_postgres_prints_them() {
    let server_ = Postgres::start().unwrap();
    let client = server_.client().await.unwrap();
    let mut rng = StdRng::seed_from_u64(7);
    // Random bits, every power of two with its neighbours (where shortest digits are hard), and decimal fractions.
    let mut doubles: Vec<f64> = (0..6_000).map(|_| f64::from_bits(rng.random())).filter(|v| v.is_finite()).collect();
    for e in -1074..1024 {
        let v = 2f64.powi(e);
        doubles.extend([v, f64::from_bits(v.to_bits() + 1), f64::from_bits(v.to_bits().saturating_sub(1))]);
    }
    doubles.extend((0..3_000).map(|_| f64::from(rng.random_range(-1_000_000..1_000_000)) / 10f64.powi(rng.random_range(0..12))));
    doubles.extend((0..2_000).map(|_| (rng.random::<u64>() >> rng.random_range(0..63)) as f64));
    let mut singles: Vec<f32> = (0..6_000).map(|_| f32::from_bits(rng.random())).filter(|v| v.is_finite()).collect();
    for e in -149..128 {
        let v = 2f32.powi(e);
        singles.extend([v, f32::from_bits(v.to_bits() + 1), f32::from_bits(v.to_bits().saturating_sub(1))]);
    }
    singles.extend((0..2_000).map(|_| (rng.random::<u32>() >> rng.random_range(0..31)) as f32));
    for digits in [1, 0, -3, -15] {
        client.batch_execute(&format!("SET extra_float_digits = {digits}")).await.unwrap();
        let settings = EncodeSettings { extra_float_digits: digits, ..EncodeSettings::default() };
        let theirs = server(&client, &doubles.iter().map(|v| format!("{v:e}")).collect::<Vec<_>>(), "float8").await;
        compare(&lines(Arc::new(Float64Array::from(doubles.clone())), pgtype::FLOAT8, &settings), &theirs);
        let theirs = server(&client, &singles.iter().map(|v| format!("{v:e}")).collect::<Vec<_>>(), "float4").await;
        compare(&lines(Arc::new(Float32Array::from(singles.clone())), pgtype::FLOAT4, &settings), &theirs);
    }
}

#[tokio::test]
async fn instants_print_as_postgres_prints_them() {
    let server_ = Postgres::start().unwrap();
    let client = server_.client().await.unwrap();
    let mut rng = StdRng::seed_from_u64(8);
    // From 1850 to 2600: history, the present rules, and beyond every table.
    let usecs: Vec<i64> =
        (0..3_000).map(|_| rng.random_range(-3_786_825_600..19_880_899_200i64) * 1_000_000 + rng.random_range(0..1_000_000)).collect();
    let plain = lines(Arc::new(TimestampMicrosecondArray::from(usecs.clone())), pgtype::TIMESTAMP, &EncodeSettings::default());
    let utc: Vec<String> = plain.iter().map(|t| format!("{t}+00")).collect();
    for zone in ["America/New_York", "Australia/Sydney", "America/Sao_Paulo", "Asia/Tehran", "Europe/London", "Asia/Kathmandu", "UTC"] {
        client.batch_execute(&format!("SET TimeZone = '{zone}'")).await.unwrap();
        let settings = EncodeSettings { time_zone: Zone::parse(zone).unwrap(), ..EncodeSettings::default() };
        let theirs = server(&client, &utc, "timestamptz").await;
        let array = TimestampMicrosecondArray::from(usecs.clone()).with_timezone("UTC");
        compare(&lines(Arc::new(array), pgtype::TIMESTAMPTZ, &settings), &theirs);
    }
}

#[tokio::test]
async fn intervals_print_as_postgres_prints_them() {
    let server_ = Postgres::start().unwrap();
    let client = server_.client().await.unwrap();
    let mut rng = StdRng::seed_from_u64(9);
    let mut small = |n: i64| if rng.random_bool(0.3) { 0 } else { rng.random_range(-n..=n) };
    let values: Vec<(i32, i32, i64)> = (0..4_000).map(|_| (small(30) as i32, small(40) as i32, small(200_000_000_000))).collect();
    let given: Vec<String> = values.iter().map(|(m, d, u)| format!("{m} mons {d} days {u} us")).collect();
    let array: IntervalMonthDayNanoArray = values.iter().map(|(m, d, u)| Some(IntervalMonthDayNano::new(*m, *d, u * 1_000))).collect();
    let theirs = server(&client, &given, "interval").await;
    compare(&lines(Arc::new(array), pgtype::INTERVAL, &EncodeSettings::default()), &theirs);
}

/// The same table through the server's COPY and through ours, for every format and the odd options.
#[tokio::test]
async fn copy_writes_what_postgres_writes() {
    use arrow::array::{Int32Array, StringArray};
    let server_ = Postgres::start().unwrap();
    let client = server_.client().await.unwrap();
    let texts: Vec<Option<&str>> = vec![
        Some("plain"),
        Some(""),
        None,
        Some("a,b"),
        Some("quote\"d"),
        Some("line\nbreak"),
        Some("cr\r"),
        Some("tab\tbed"),
        Some("back\\slash"),
        Some("\\N"),
        Some("\\."),
        Some("NULL"),
        Some("  blanks  "),
        Some("é世"),
        Some("\u{8}\u{c}\u{b}"),
        Some("semi;colon|pipe"),
        Some("'single'"),
    ];
    client.batch_execute("CREATE TABLE t (id int, \"odd, name\" text)").await.unwrap();
    for (i, t) in texts.iter().enumerate() {
        client.execute("INSERT INTO t VALUES ($1, $2)", &[&(i as i32), t]).await.unwrap();
    }
    let schema = Arc::new(Schema::new(vec![
        pgtype::field("id", arrow::datatypes::DataType::Int32, true, pgtype::INT4),
        pgtype::field("odd, name", arrow::datatypes::DataType::Utf8, true, pgtype::TEXT),
    ]));
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..texts.len() as i32));
    let batch = RecordBatch::try_new(schema.clone(), vec![ids, Arc::new(StringArray::from(texts))]).unwrap();
    let csv = CopyOptions { format: CopyFormat::Csv, ..CopyOptions::default() };
    let text = CopyOptions::default();
    let cases = [
        ("FORMAT text", text.clone()),
        ("FORMAT text, HEADER", CopyOptions { header: true, ..text.clone() }),
        ("FORMAT text, DELIMITER '|', NULL 'nil'", CopyOptions { delimiter: Some(b'|'), null: Some("nil".into()), ..text.clone() }),
        ("FORMAT csv", csv.clone()),
        ("FORMAT csv, HEADER, NULL 'NULL'", CopyOptions { header: true, null: Some("NULL".into()), ..csv.clone() }),
        (
            "FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\\'",
            CopyOptions { delimiter: Some(b';'), quote: Some(b'\''), escape: Some(b'\\'), ..csv.clone() },
        ),
        ("FORMAT csv, FORCE_QUOTE *", CopyOptions { force_quote_all: true, ..csv.clone() }),
        ("FORMAT csv, FORCE_QUOTE (id)", CopyOptions { force_quote: vec!["id".into()], ..csv.clone() }),
        ("FORMAT binary", CopyOptions { format: CopyFormat::Binary, ..CopyOptions::default() }),
    ];
    for (sql, options) in cases {
        for narrow in [false, true] {
            let (columns, schema, batch) = match narrow {
                true if sql.contains("(id)") => continue,
                true => ("\"odd, name\"", Arc::new(schema.project(&[1]).unwrap()), batch.project(&[1]).unwrap()),
                false => ("*", schema.clone(), batch.clone()),
            };
            let copy = client.copy_out(&format!("COPY (SELECT {columns} FROM t ORDER BY id) TO STDOUT ({sql})")).await.unwrap();
            let theirs: Vec<u8> = copy
                .try_fold(vec![], |mut all, b| async move {
                    all.extend_from_slice(&b);
                    Ok(all)
                })
                .await
                .unwrap();
            let encoder = CopyEncoder::new(&schema, &options, &EncodeSettings::default()).unwrap();
            let mut ours = BytesMut::new();
            encoder.put_header(&mut ours);
            let bound = encoder.bind(&batch).unwrap();
            for i in 0..bound.rows() {
                encoder.put_row(&bound, i, &mut ours).unwrap();
            }
            encoder.put_trailer(&mut ours);
            assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs), "{sql} {columns}");
        }
    }
}
