//! Parameters: errors as Postgres raises them, and bytes from anywhere without a panic.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod golden;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use bytes::{Bytes, BytesMut};
use datafusion::common::ScalarValue;
use fjord_engine::SqlError;
use fjord_engine::pgtype::{self, PG_TYPES, PgType};
use fjord_harness::Postgres;
use fjord_server::codec::{DateOrder, EncodeSettings, Format, RowEncoder, decode_param, decode_params, describe};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn text(pg: PgType, value: &str) -> Result<ScalarValue, SqlError> {
    decode_param(pg, Format::Text, Some(value.as_bytes()), &EncodeSettings::default())
}

/// What is no value of its type is refused with the SQLSTATE of the real server, and (but for the details of times) its message.
#[tokio::test]
async fn errors_as_postgres_raises_them() {
    let server = Postgres::start().unwrap();
    let client = server.client().await.unwrap();
    let cases: &[(PgType, &[&str])] = &[
        (pgtype::BOOL, &["", "maybe", "o", "tru e", "2"]),
        (pgtype::INT2, &["", "x", "32768", "1.5", "1 2", "99999999999999999999999999999999999999999999"]),
        (pgtype::INT4, &["2147483648", "0x10", "--1"]),
        (pgtype::INT8, &["9223372036854775808", "+"]),
        (pgtype::OID, &["x", "4294967296"]),
        (pgtype::FLOAT4, &["1e39", "1e-50", "x", ""]),
        (pgtype::FLOAT8, &["1e400", "1e-400", "1.2.3", "infinit", "- 1"]),
        (pgtype::NUMERIC, &["", "1.2.3", "1e", "abc", "--1", "+-1"]),
        (
            pgtype::UUID,
            &["", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-"],
        ),
        (pgtype::JSON, &["", "{", "[1,]", "nul", "{\"a\" 1}"]),
        (pgtype::JSONB, &["", "{a:1}", "01"]),
        (pgtype::INET, &["", "1.2.3.4.5", "1.2.3.4/33", "::1/129", "x"]),
        (pgtype::CIDR, &["10.1.0.0/8"]),
        (pgtype::MACADDR, &["", "08:00:2b:01:02", "x"]),
        (pgtype::BYTEA, &["\\x0", "\\xzz", "\\9"]),
        (pgtype::VARBIT, &["102", "xg"]),
        (pgtype::DATE, &["", "x", "2024-02-30", "2024-13-01", "0000-01-01", "5874898-01-01", "2024-01-01 2024-01-02", "1-2", "13/13/2024"]),
        (pgtype::TIME, &["", "25:00", "24:00:01", "10:60", "x", "12"]),
        (pgtype::TIMESTAMP, &["", "2024-01-01 25:00", "2024-02-30 10:00", "294277-01-01", "4714-01-01 BC", "10:00", "2024-01-01 x"]),
        (pgtype::TIMESTAMPTZ, &["2024-01-01 10:00 Nowhere/Land", "2024-01-01 10:00+99", "x"]),
        (pgtype::INTERVAL, &["", "x", "1 x", "1 2", "P", "2147483648 days", "1:2:3:4"]),
        (pgtype::INT4.array().unwrap(), &["", "1", "{", "{1", "{1,}", "{1}x", "{\"1}", "{x}"]),
    ];
    let mut wrong = vec![];
    for (pg, values) in cases {
        for value in *values {
            let theirs = client.simple_query(&format!("SELECT '{value}'::{}", pg.sql_name)).await;
            let ours = text(*pg, value);
            match (ours, theirs) {
                (Err(ours), Err(theirs)) => {
                    let theirs = theirs.as_db_error().unwrap();
                    // Postgres has two more codes for times; Fjord's table of states has the class.
                    let state = match theirs.code().code() {
                        "22009" | "22015" => "22008",
                        other => other,
                    };
                    let times = [pgtype::DATE, pgtype::TIME, pgtype::TIMESTAMP, pgtype::TIMESTAMPTZ, pgtype::INTERVAL].contains(pg);
                    if ours.state.0 != state || (!times && ours.message != theirs.message()) {
                        wrong.push(format!("{} '{value}': {} {}, wanted {state} {}", pg.name, ours.state, ours.message, theirs.message()));
                    }
                }
                (Ok(v), Err(theirs)) => {
                    wrong.push(format!("{} '{value}': {v:?}, wanted {}", pg.name, theirs.as_db_error().unwrap().message()))
                }
                (Err(ours), Ok(_)) => wrong.push(format!("{} '{value}': {ours}, but Postgres takes it", pg.name)),
                (Ok(_), Ok(_)) => wrong.push(format!("{} '{value}': is good", pg.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wrong_bytes() {
    let decode = |pg, format, bytes: &[u8]| decode_param(pg, format, Some(bytes), &EncodeSettings::default()).unwrap_err().state.0;
    assert_eq!(decode(pgtype::INT4, Format::Binary, &[0, 0, 1]), "08P01");
    assert_eq!(decode(pgtype::INT4, Format::Binary, &[0, 0, 0, 1, 2]), "22P03");
    assert_eq!(decode(pgtype::TEXT, Format::Text, b"a\0b"), "22021");
    assert_eq!(decode(pgtype::TEXT, Format::Binary, &[0xff, 0xfe]), "22021");
    assert_eq!(decode(pgtype::NUMERIC, Format::Binary, &[0x7f, 0xff, 0, 0, 0, 0, 0, 0]), "22P03");
    // An array that claims two billion elements must not become an allocation.
    let lie = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1];
    assert_eq!(decode(pgtype::INT4.array().unwrap(), Format::Binary, &lie), "08P01");
    assert_eq!(decode(pgtype::INT4.array().unwrap(), Format::Text, b"{{1},{2}}"), "0A000");
}

#[test]
fn which_parameter_it_was() {
    let e = decode_params(
        &[pgtype::INT4, pgtype::INT4],
        &[0],
        &[Some(Bytes::from_static(b"1")), Some(Bytes::from_static(b"x"))],
        &EncodeSettings::default(),
    )
    .unwrap_err();
    assert_eq!(e.detail.as_deref(), Some("Parameter $2 of type integer."));
    assert_eq!(decode_params(&[pgtype::INT4], &[], &[], &EncodeSettings::default()).unwrap_err().state.0, "08P01");
    assert_eq!(decode_params(&[pgtype::INT4], &[0, 0], &[None], &EncodeSettings::default()).unwrap_err().state.0, "08P01");
    assert_eq!(Format::results(&[0, 1, 0], 2).unwrap_err().state.0, "08P01");
    assert_eq!(decode_params(&[pgtype::INT4], &[1], &[None], &EncodeSettings::default()).unwrap(), [ScalarValue::Int32(None)]);
}

#[test]
fn the_order_of_dates() {
    let read = |order| {
        let settings = EncodeSettings { date_order: order, ..EncodeSettings::default() };
        decode_param(pgtype::DATE, Format::Text, Some(b"1/2/03"), &settings).unwrap()
    };
    let days = |t| match text(pgtype::DATE, t).unwrap() {
        ScalarValue::Date32(d) => d,
        other => panic!("{other:?}"),
    };
    assert_eq!(read(DateOrder::Mdy), ScalarValue::Date32(days("2003-01-02")));
    assert_eq!(read(DateOrder::Dmy), ScalarValue::Date32(days("2003-02-01")));
    assert_eq!(read(DateOrder::Ymd), ScalarValue::Date32(days("2001-02-03")));
}

/// Valid input, broken at random: an answer or an error, never a panic. What is accepted can be written again.
#[test]
fn mutated_input_never_panics() {
    let mut rng = StdRng::seed_from_u64(42);
    let all = golden::read();
    let settings = EncodeSettings::default();
    let mut accepted = 0;
    for round in 0..60_000 {
        let g = &all[rng.random_range(0..all.len())];
        let (mut bytes, format) =
            if round % 2 == 0 { (g.text.clone().into_bytes(), Format::Text) } else { (g.binary.clone(), Format::Binary) };
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..=bytes.len());
            match rng.random_range(0..5) {
                0 if at < bytes.len() => bytes[at] = rng.random(),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.insert(at, rng.random()),
                3 => bytes.insert(at, b"0123456789-+:./ T{},\"\\eE"[rng.random_range(0..24)]),
                _ => bytes.truncate(at),
            }
        }
        // Sometimes as another type altogether.
        let pg = if rng.random_bool(0.1) { PG_TYPES[rng.random_range(0..PG_TYPES.len())] } else { g.pg() };
        if let Ok(value) = decode_param(pg, format, Some(&bytes), &settings) {
            accepted += 1;
            let array = value.to_array().unwrap();
            let schema = Arc::new(Schema::new(vec![pgtype::field("c", array.data_type().clone(), true, pg)]));
            let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
            for format in [Format::Text, Format::Binary] {
                let mut out = BytesMut::new();
                let _ = RowEncoder::new(&schema, &[format], &settings).unwrap().bind(&batch).unwrap().data_row(0, &mut out);
            }
        }
    }
    assert!(accepted > 5_000, "{accepted}");
}

fn row(array: ArrayRef, field: Field, format: Format) -> Result<Vec<u8>, SqlError> {
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
    let mut out = BytesMut::new();
    RowEncoder::new(&schema, &[format], &EncodeSettings::default())?.bind(&batch)?.data_row(0, &mut out)?;
    Ok(out[11..].to_vec())
}

fn shown(array: ArrayRef) -> String {
    let field = Field::new("c", array.data_type().clone(), true);
    String::from_utf8(row(array, field, Format::Text).unwrap()).unwrap()
}

/// Structs, maps and lists of structs have no Postgres type: they are JSON, as `to_json` writes it.
#[test]
fn nested_values_are_json() {
    let fields = Fields::from(vec![
        Field::new("a \"b\"", DataType::Int32, true),
        Field::new("t", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("s", DataType::Utf8, true),
        pgtype::field("j", DataType::Utf8, true, pgtype::JSONB),
        Field::new("f", DataType::Float64, true),
        Field::new("n", DataType::Boolean, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1])),
        Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["x\"\n"])),
        Arc::new(StringArray::from(vec!["{\"k\": 1}"])),
        Arc::new(arrow::array::Float64Array::from(vec![f64::NAN])),
        Arc::new(arrow::array::BooleanArray::from(vec![None])),
    ];
    let record: ArrayRef = Arc::new(StructArray::new(fields, columns, None));
    let wanted = r#"{"a \"b\"":1,"t":"1970-01-01T00:00:00+00:00","s":"x\"\n","j":{"k": 1},"f":"NaN","n":null}"#;
    assert_eq!(shown(record.clone()), wanted);
    let item = Arc::new(Field::new("item", record.data_type().clone(), true));
    let list: ArrayRef = Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([1]), record.clone(), None));
    assert_eq!(shown(list), format!("{{\"{}\"}}", wanted.replace('\\', "\\\\").replace('"', "\\\"")), "json[]");
    let entries = StructArray::from(vec![
        (Arc::new(Field::new("key", DataType::Utf8, false)), Arc::new(StringArray::from(vec!["k", "l"])) as ArrayRef),
        (Arc::new(Field::new("value", DataType::Int64, true)), Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
    ]);
    let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    let map: ArrayRef = Arc::new(MapArray::new(field, OffsetBuffer::from_lengths([2]), entries, None, false));
    assert_eq!(shown(map.clone()), r#"{"k":1,"l":null}"#);
    let jsonb = row(map, pgtype::field("c", list_type_of_map(), true, pgtype::JSONB), Format::Binary).unwrap();
    assert_eq!(jsonb, b"\x01{\"k\":1,\"l\":null}");
}

fn list_type_of_map() -> DataType {
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

#[test]
fn arrays_of_more_dimensions() {
    let inner = |rows: Vec<Option<Vec<Option<i32>>>>| ListArray::from_iter_primitive::<Int32Type, _, _>(rows);
    let outer = |inner: ListArray, lengths: &[usize], nulls: Option<NullBuffer>| -> ArrayRef {
        let item = Arc::new(Field::new("item", inner.data_type().clone(), true));
        Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths.iter().copied()), Arc::new(inner), nulls))
    };
    let square = outer(inner(vec![Some(vec![Some(1), None]), Some(vec![Some(3), Some(4)])]), &[2], None);
    assert_eq!(shown(square.clone()), "{{1,NULL},{3,4}}");
    let binary = row(square.clone(), Field::new("c", square.data_type().clone(), true), Format::Binary).unwrap();
    assert_eq!(
        golden::hex(&binary),
        "000000020000000100000017000000020000000100000002000000010000000400000001ffffffff000000040000000300000004".to_string() + "00000004"
    );
    let ragged = outer(inner(vec![Some(vec![Some(1)]), Some(vec![])]), &[2], None);
    assert_eq!(shown(ragged.clone()), "{{1},{}}");
    assert_eq!(row(ragged.clone(), Field::new("c", ragged.data_type().clone(), true), Format::Binary).unwrap_err().state.0, "22000");
    let empty = outer(inner(vec![Some(vec![]), Some(vec![])]), &[2], None);
    assert_eq!(shown(empty.clone()), "{}");
    assert_eq!(
        row(empty.clone(), Field::new("c", empty.data_type().clone(), true), Format::Binary).unwrap(),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23]
    );
}

/// A type whose binary form Fjord does not make is announced as text; a label that does not fit its Arrow type gives way.
#[test]
fn what_row_description_says() {
    let schema = Schema::new(vec![
        pgtype::field("range", DataType::Utf8, true, pgtype::INT4RANGE),
        pgtype::field("money", DataType::Utf8, true, pgtype::MONEY),
        pgtype::field("id", DataType::Utf8, true, pgtype::UUID),
        pgtype::field("stale", DataType::Int32, true, pgtype::UUID),
        Field::new("big", DataType::UInt64, true),
        Field::new("nothing", DataType::Null, true),
        pgtype::field("v", DataType::Utf8, true, pgtype::VARCHAR).with_metadata(
            [(pgtype::PG_TYPE.to_string(), "varchar".to_string()), (pgtype::PG_TYPMOD.to_string(), "24".to_string())].into(),
        ),
    ]);
    let formats = vec![Format::Binary; 7];
    let seen: Vec<_> =
        describe(&schema, &formats).into_iter().map(|d| (d.name, d.type_id, d.type_size, d.type_modifier, d.format_code)).collect();
    let wanted = [
        ("range", 25, -1, -1),
        ("money", 25, -1, -1),
        ("id", 2950, 16, -1),
        ("stale", 23, 4, -1),
        ("big", 1700, -1, -1),
        ("nothing", 25, -1, -1),
        ("v", 1043, -1, 24),
    ];
    assert_eq!(seen, wanted.map(|(n, oid, len, typmod)| (n.to_string(), oid, len, typmod, 1)));
    let big: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX]));
    assert_eq!(shown(big), u64::MAX.to_string());
}
