//! Broken bytes never panic the reader, and never make it allocate more than they could hold.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use fjord_engine::pushdown::Family;
use tokio_util::sync::CancellationToken;

use super::*;

fn ty(name: &str, family: Family, arrow: DataType) -> RemoteType {
    RemoteType { name: name.into(), family, arrow, nullable: true, text: None }
}

fn types() -> Vec<RemoteType> {
    let int = ty("int4", Family::Int(32), DataType::Int32);
    let item = Field::new("item", DataType::Int32, true);
    vec![
        ty("bool", Family::Bool, DataType::Boolean),
        int.clone(),
        ty("int8", Family::Int(64), DataType::Int64),
        ty("float8", Family::Float(64), DataType::Float64),
        ty("numeric", Family::Decimal(Some((10, 2))), DataType::Decimal128(10, 2)),
        ty("numeric", Family::Decimal(None), DataType::Decimal256(76, 38)),
        ty("numeric", Family::Decimal(None), DataType::Utf8),
        ty("text", Family::Text, DataType::Utf8),
        ty("bpchar", Family::Bpchar, DataType::Utf8),
        ty("jsonb", Family::Jsonb, DataType::Utf8),
        ty("uuid", Family::Uuid, DataType::Utf8),
        ty("inet", Family::Other, DataType::Utf8),
        ty("bytea", Family::Bytes, DataType::Binary),
        ty("date", Family::Date, DataType::Date32),
        ty("time", Family::Time, DataType::Time64(TimeUnit::Microsecond)),
        ty("timestamptz", Family::TimestampTz, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ty("interval", Family::Interval, DataType::Interval(IntervalUnit::MonthDayNano)),
        ty("int4[]", Family::Array(Box::new(int)), DataType::List(Arc::new(item))),
    ]
}

fn sample() -> Vec<u8> {
    let mut b = b"PGCOPY\n\xff\r\n\0".to_vec();
    b.extend([0; 8]);
    let numeric: &[u8] = &[0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 13, 72];
    let array: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255];
    let fields: [&[u8]; 18] = [
        &[1],
        &[0, 0, 0, 7],
        &[0; 8],
        &1.5f64.to_be_bytes(),
        numeric,
        numeric,
        numeric,
        "häß".as_bytes(),
        b"ab  ",
        b"\x01{}",
        &[7; 16],
        &[2, 32, 0, 4, 1, 2, 3, 4],
        &[0, 255],
        &[0; 4],
        &[0; 8],
        &[0; 8],
        &[0; 16],
        array,
    ];
    for row in 0..3 {
        b.extend(18i16.to_be_bytes());
        for f in fields {
            if row == 1 {
                b.extend((-1i32).to_be_bytes());
            } else {
                b.extend(i32::try_from(f.len()).unwrap().to_be_bytes());
                b.extend(f);
            }
        }
    }
    b.extend((-1i16).to_be_bytes());
    b
}

fn read(bytes: &[u8], chunk: usize) -> Result<usize> {
    let types = types();
    let fields: Vec<Field> = types.iter().enumerate().map(|(i, t)| Field::new(format!("c{i}"), t.arrow.clone(), true)).collect();
    let job = Job {
        bound: None,
        text: String::new(),
        types,
        schema: Arc::new(Schema::new(fields)),
        scope: QueryScope::new(1, CancellationToken::new()),
        memory: Arc::new(UnboundedMemoryPool::default()),
        batch_rows: 2,
        stats: RemoteStats::new("fuzz"),
        untrusted: false,
        facts: Arc::default(),
        verify: vec![],
        tables: vec![],
        limits: ScanLimits::default(),
    };
    let origin = Origin { connector: "fuzz".into(), location: "nowhere".into() };
    let mut batches = rows::Batches::new(&origin, &job)?;
    for c in bytes.chunks(chunk) {
        let mut message = vec![b'd'];
        message.extend(u32::try_from(c.len() + 4).unwrap().to_be_bytes());
        message.extend(c);
        batches.feed(&message)?;
    }
    batches.end_copy()?;
    batches.finish()?;
    Ok(batches.ready.iter().map(|h| h.batch.num_rows()).sum())
}

/// A small generator of our own: the seed is in the failure message.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap()
    }
}

#[test]
fn the_sample_is_read_whole_whatever_the_chunks() {
    let all = sample();
    for chunk in [1, 2, 3, 7, 64, all.len()] {
        assert_eq!(read(&all, chunk).unwrap(), 3);
    }
}

#[test]
fn mutated_bytes_are_rows_or_an_error() {
    let original = sample();
    let mut failures = 0;
    for seed in 1..20_000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut bytes = original.clone();
        for _ in 0..=random.next() % 4 {
            let at = random.next() % bytes.len();
            match random.next() % 4 {
                0 => bytes[at] = u8::try_from(random.next() % 256).unwrap(),
                1 => bytes[at] ^= 1 << (random.next() % 8),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, [0, 127, 128, 255][random.next() % 4]),
            }
        }
        let chunk = 1 + random.next() % bytes.len();
        failures += usize::from(read(&bytes, chunk).is_err());
    }
    // Most mutations hit a length or a digit; were they all accepted, nothing would be checked.
    assert!(failures > 5_000, "only {failures} of the mutations were noticed");
}
