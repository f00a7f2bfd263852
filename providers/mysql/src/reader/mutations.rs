//! Bad bytes from a server: every mutation of a good row ends in an error or in rows, never in a panic.
#![allow(clippy::unwrap_used)]

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::column::Column;
use crate::types::{kind, utc};
use crate::wire::{ColumnDef, Input};

/// One column of each layout, with the bytes of a value.
fn columns() -> Vec<(ColumnDef, DataType, Vec<u8>)> {
    let def = |kind: u8, flags: u16| ColumnDef { name: "c".into(), kind, flags, collation: 45, length: 20, decimals: 0 };
    vec![
        (def(kind::TINY, 0), DataType::Int8, vec![0x80]),
        (def(kind::SHORT, 0), DataType::Int16, vec![1, 2]),
        (def(kind::LONG, 0), DataType::Int32, vec![1, 2, 3, 4]),
        (def(kind::LONGLONG, kind::UNSIGNED_FLAG), DataType::UInt64, vec![255; 8]),
        (def(kind::LONGLONG, 0), DataType::Decimal128(20, 0), vec![1; 8]),
        (def(kind::FLOAT, 0), DataType::Float32, vec![0, 0, 128, 63]),
        (def(kind::DOUBLE, 0), DataType::Float64, vec![0; 8]),
        (def(kind::NEWDECIMAL, 0), DataType::Decimal128(10, 2), b"\x06-12.50".to_vec()),
        (def(kind::NEWDECIMAL, 0), DataType::Decimal256(65, 2), b"\x06-12.50".to_vec()),
        (def(kind::NEWDECIMAL, 0), DataType::Int64, b"\x0212".to_vec()),
        (def(kind::DATE, 0), DataType::Date32, vec![4, 0xe8, 7, 2, 29]),
        (def(kind::DATETIME, 0), DataType::Timestamp(TimeUnit::Microsecond, None), vec![11, 0xe8, 7, 2, 29, 23, 59, 59, 1, 0, 0, 0]),
        (def(kind::TIMESTAMP, 0), utc(), vec![7, 0xe8, 7, 2, 29, 23, 59, 59]),
        (def(kind::TIME, 0), DataType::Time64(TimeUnit::Microsecond), vec![8, 0, 0, 0, 0, 0, 1, 2, 3]),
        (def(kind::TIME, 0), DataType::Interval(IntervalUnit::MonthDayNano), vec![12, 1, 34, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0]),
        (def(kind::BIT, 0), DataType::UInt64, vec![2, 1, 255]),
        (def(kind::GEOMETRY, 0), DataType::Binary, vec![6, 0, 0, 0, 0, 1, 2]),
        (def(253, 0), DataType::Utf8, b"\x05h\xc3\xa9y!".to_vec()),
        (def(252, 0), DataType::Binary, vec![0xfc, 3, 0, 1, 2, 3]),
        (def(kind::YEAR, kind::UNSIGNED_FLAG), DataType::Int16, vec![0xe8, 7]),
        (def(kind::LONG, 0), DataType::Boolean, vec![2, 0, 0, 0]),
    ]
}

#[test]
fn a_row_of_every_layout_is_read() {
    for (def, arrow, bytes) in columns() {
        let mut column = Column::new("c", &def, &arrow).unwrap();
        let mut input = Input(&bytes);
        column.take(&mut input).unwrap();
        assert!(input.0.is_empty(), "{def:?}");
        let array = column.finish();
        assert_eq!((array.len(), array.null_count()), (1, 0), "{def:?}");
        assert_eq!(*array.data_type(), arrow);
    }
}

#[test]
fn no_mutation_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        // xorshift64: repeatable, and no dependency.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut refused = 0;
    for (def, arrow, good) in columns() {
        for round in 0..4_000 {
            let mut bytes = good.clone();
            for _ in 0..=(random() % 3) {
                match random() % 4 {
                    0 if !bytes.is_empty() => {
                        let at = random() as usize % bytes.len();
                        bytes[at] = random() as u8;
                    }
                    1 => bytes.truncate(random() as usize % (bytes.len() + 1)),
                    2 => bytes.push(random() as u8),
                    _ if !bytes.is_empty() => bytes[0] = random() as u8,
                    _ => {}
                }
            }
            let mut column = Column::new("c", &def, &arrow).unwrap();
            let outcome = column.take(&mut Input(&bytes));
            refused += usize::from(outcome.is_err());
            if outcome.is_ok() {
                assert_eq!(column.finish().len(), 1, "{def:?} round {round}");
            }
        }
    }
    // A test of nothing would refuse nothing.
    assert!(refused > 1_000, "{refused}");
}
