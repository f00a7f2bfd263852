//! Bad bytes from a server: every mutation of a good document ends in an error or in rows, never in a panic.
#![allow(clippy::unwrap_used)]

use bson::raw::RawBsonRef;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, RawDocument, RawDocumentBuf, Timestamp, doc, oid::ObjectId};

use super::column::Column;
use super::fields::Fields;
use crate::types::Kind;

fn document() -> RawDocumentBuf {
    let d = doc! {
        "i": 1, "l": 5i64, "d": 1.5, "s": "héy", "b": true, "o": ObjectId::from_bytes([7; 12]), "t": DateTime::from_millis(5), "n": Bson::Null,
        "dec": "12.50".parse::<bson::Decimal128>().unwrap(), "u": Binary { subtype: BinarySubtype::Uuid, bytes: vec![1; 16] },
        "bin": Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2] }, "a": [1, 2, Bson::Null], "in": { "x": 1, "y": { "z": "deep" } },
        "ts": Timestamp { time: 1, increment: 2 },
    };
    RawDocumentBuf::try_from(&d).unwrap()
}

fn columns() -> (Fields, Vec<Column>) {
    let list = [
        ("i", Kind::Int),
        ("l", Kind::Long),
        ("d", Kind::Double),
        ("s", Kind::String),
        ("b", Kind::Bool),
        ("o", Kind::ObjectId),
        ("t", Kind::Date),
        ("dec", Kind::Decimal),
        ("u", Kind::Uuid),
        ("bin", Kind::Binary),
        ("a", Kind::Array(Box::new(Kind::Int))),
        ("in.x", Kind::Int),
        ("in", Kind::Json),
        ("ts", Kind::Json),
        ("n", Kind::Json),
    ];
    let mut fields = Fields::default();
    let columns = list.iter().enumerate().map(|(i, (path, kind))| {
        fields.add(path, i);
        Column::new(kind, &kind.arrow(), true).unwrap()
    });
    let columns = columns.collect();
    (fields, columns)
}

fn read(bytes: &[u8]) -> bool {
    let Ok(doc) = RawDocument::from_bytes(bytes) else { return false };
    let (fields, mut columns) = columns();
    let walked = fields.walk(doc, &mut columns, 0).is_ok();
    let mut all = Column::new(&Kind::Raw, &Kind::Raw.arrow(), false).unwrap();
    walked & all.take(RawBsonRef::Document(doc)).is_ok()
}

#[test]
fn no_mutation_panics() {
    let good = document().into_bytes();
    assert!(read(&good));
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        // xorshift64: repeatable, and no dependency.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % 100_003).unwrap()
    };
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random() % 3 {
            let at = random() % bytes.len();
            match random() % 3 {
                0 => bytes[at] = u8::try_from(random() % 256).unwrap(),
                1 => bytes[at] ^= 1 << (random() % 8),
                _ => {
                    bytes.remove(at);
                    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
                    bytes[..4].copy_from_slice(&length);
                }
            }
        }
        refused += usize::from(!read(&bytes));
    }
    assert!(refused > 1_000, "{refused}");
}
