//! Every type's text and binary against a real Postgres: `golden/values.tsv` holds what PostgreSQL 15 answered.
//!
//! `UPDATE_EXPECT=1 cargo nextest run -p fjord-server golden` asks a real server again and rewrites the file.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod golden;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal256Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, i256};
use arrow::record_batch::RecordBatch;
use bytes::{Buf, BytesMut};
use fjord_engine::pgtype::{self, PgType};
use fjord_server::codec::{EncodeSettings, Format, RowEncoder, Zone, decode_param, wire_type};
use golden::{Golden, read};

/// The value of one column of one row, as it goes over the wire.
fn encode(array: &ArrayRef, pg: PgType, format: Format, settings: &EncodeSettings) -> Vec<u8> {
    let field = pgtype::field("c", array.data_type().clone(), true, pg);
    assert_eq!(wire_type(&field), pg, "{} cannot carry {}", array.data_type(), pg.name);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array.clone()]).unwrap();
    let encoder = RowEncoder::new(&schema, &[format], settings).unwrap();
    let mut out = BytesMut::new();
    encoder.bind(&batch).unwrap().data_row(0, &mut out).unwrap();
    let mut row = out.freeze();
    assert_eq!(row.get_u8(), b'D');
    assert_eq!(row.get_i32() as usize, row.len() + 4);
    assert_eq!(row.get_i16(), 1);
    assert_eq!(row.get_i32() as usize, row.len());
    row.to_vec()
}

fn settings(g: &Golden) -> EncodeSettings {
    EncodeSettings { time_zone: Zone::parse(&g.zone).unwrap(), ..EncodeSettings::default() }
}

/// What differs from the server's answer; every value is compared before a test fails.
#[derive(Default)]
struct Report {
    compared: usize,
    wrong: Vec<String>,
}

impl Report {
    fn same(&mut self, g: &Golden, array: &ArrayRef, what: &str) {
        self.compared += 1;
        let text = encode(array, g.pg(), Format::Text, &settings(g));
        let text = String::from_utf8_lossy(&text);
        let binary = golden::hex(&encode(array, g.pg(), Format::Binary, &settings(g)));
        if text != g.text || binary != golden::hex(&g.binary) {
            let wanted = golden::hex(&g.binary);
            self.wrong.push(format!("{what} {} '{}' in {}: {text} {binary}, wanted {} {wanted}", g.type_name, g.input, g.zone, g.text));
        }
    }
    fn failed(&mut self, g: &Golden, what: &str, error: &dyn std::fmt::Display) {
        self.wrong.push(format!("{what} {} '{}' in {}: {error}", g.type_name, g.input, g.zone));
    }
    fn finish(self, least: usize) {
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        assert!(self.compared >= least, "only {} compared", self.compared);
    }
}

fn is_numeric(pg: PgType) -> bool {
    pg == pgtype::NUMERIC || pg.element() == Some(pgtype::NUMERIC)
}

#[tokio::test]
async fn golden_is_complete() {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        golden::generate().await;
    }
    assert!(read().len() >= 200, "{} values", read().len());
}

#[test]
fn golden_text_in_and_out() {
    let mut report = Report::default();
    for g in read().iter().filter(|g| !is_numeric(g.pg()) && g.arrow_holds_it()) {
        for (what, input) in [("as printed", &g.text), ("as given", &g.input)] {
            match decode_param(g.pg(), Format::Text, Some(input.as_bytes()), &settings(g)) {
                Ok(value) => report.same(g, &value.to_array().unwrap(), what),
                Err(e) => report.failed(g, what, &e),
            }
        }
    }
    report.finish(500);
}

#[test]
fn golden_binary_in_and_out() {
    let mut report = Report::default();
    for g in read().iter().filter(|g| !is_numeric(g.pg()) && g.arrow_holds_it()) {
        match decode_param(g.pg(), Format::Binary, Some(&g.binary), &settings(g)) {
            Ok(value) => report.same(g, &value.to_array().unwrap(), "binary"),
            Err(e) => report.failed(g, "binary", &e),
        }
    }
    report.finish(250);
}

/// A numeric keeps its scale where Arrow has one, and as text in any case.
#[test]
fn golden_numeric() {
    let mut report = Report::default();
    let mut decimals = 0;
    for g in read().iter().filter(|g| g.pg() == pgtype::NUMERIC) {
        report.same(g, &(Arc::new(StringArray::from(vec![g.text.clone()])) as ArrayRef), "held as text");
        let digits = g.text.replace('.', "");
        let scale = g.text.split_once('.').map_or(0, |(_, f)| f.len());
        let Some(unscaled) = i256::from_string(&digits).filter(|_| digits.trim_start_matches('-').len() <= 76) else { continue };
        let array = Decimal256Array::from(vec![unscaled]).with_precision_and_scale(76, scale as i8).unwrap();
        let typed = pgtype::field("c", array.data_type().clone(), true, pgtype::NUMERIC);
        if *typed.data_type() != DataType::Decimal256(76, 38) {
            report.same(g, &(Arc::new(array.clone()) as ArrayRef), "as decimal");
            decimals += 1;
        }
        if let Some(small) = unscaled.to_i128().filter(|_| digits.trim_start_matches('-').len() <= 38) {
            let array = arrow::array::Decimal128Array::from(vec![small]).with_precision_and_scale(38, scale as i8).unwrap();
            report.same(g, &(Arc::new(array) as ArrayRef), "as decimal128");
        }
        // As a parameter the value stays, in 76 digits of which 38 are the fraction; the scale is not kept.
        for (format, bytes) in [(Format::Text, g.text.as_bytes()), (Format::Binary, g.binary.as_slice())] {
            match decode_param(pgtype::NUMERIC, format, Some(bytes), &EncodeSettings::default()) {
                Ok(v) => {
                    let printed = String::from_utf8(encode(&v.to_array().unwrap(), pgtype::NUMERIC, Format::Text, &settings(g))).unwrap();
                    let trimmed = if g.text.contains('.') { g.text.trim_end_matches('0').trim_end_matches('.') } else { &g.text };
                    assert_eq!(printed, if trimmed == "-0" { "0" } else { trimmed }, "{format:?} {}", g.text);
                }
                Err(e) => assert_eq!(e.state.0, "22003", "{}", g.text),
            }
        }
    }
    assert!(decimals >= 30);
    report.finish(90);
}

/// The same values in every other Arrow layout that can hold them are written the same.
#[test]
fn golden_other_layouts() {
    let mut report = Report::default();
    for g in read().iter().filter(|g| !is_numeric(g.pg()) && g.arrow_holds_it()) {
        let array = decode_param(g.pg(), Format::Binary, Some(&g.binary), &settings(g)).unwrap().to_array().unwrap();
        for other in layouts(array.data_type()) {
            let Ok(moved) = cast(&array, &other) else { continue };
            if cast(&moved, array.data_type()).is_ok_and(|back| *back == *array) {
                report.same(g, &moved, &format!("as {other}"));
            }
        }
    }
    report.finish(300);
}

fn layouts(t: &DataType) -> Vec<DataType> {
    let dictionary = |v: &DataType| DataType::Dictionary(Box::new(DataType::Int16), Box::new(v.clone()));
    let mut all = match t {
        DataType::Utf8 => vec![DataType::LargeUtf8, DataType::Utf8View],
        DataType::Binary => vec![DataType::LargeBinary, DataType::BinaryView],
        // Not wider than the type: what a bigint column holds is announced as bigint.
        DataType::Int16 => vec![DataType::Int8, DataType::UInt8],
        DataType::Int32 => vec![DataType::UInt16],
        DataType::Int64 => vec![DataType::UInt32],
        DataType::UInt32 => vec![DataType::Int64],
        DataType::Float32 => vec![DataType::Float16],
        DataType::Date32 => vec![DataType::Date64],
        DataType::Time64(_) => {
            vec![DataType::Time32(TimeUnit::Second), DataType::Time32(TimeUnit::Millisecond), DataType::Time64(TimeUnit::Nanosecond)]
        }
        DataType::Timestamp(_, zone) => {
            [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Nanosecond].map(|u| DataType::Timestamp(u, zone.clone())).to_vec()
        }
        DataType::List(f) => vec![DataType::LargeList(f.clone()), DataType::ListView(f.clone()), DataType::FixedSizeList(f.clone(), 2)],
        _ => vec![],
    };
    all.push(dictionary(t));
    let ends = Arc::new(Field::new("run_ends", DataType::Int32, false));
    all.push(DataType::RunEndEncoded(ends, Arc::new(Field::new("values", t.clone(), true))));
    all
}
