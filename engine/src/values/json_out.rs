//! Structs, maps, unions and lists out as JSON text, by the rules of Postgres's `to_json`.

use crate::Result;
use crate::pgtype::{JSON, JSONB};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, StructArray, UnionArray};
use arrow::datatypes::{DataType, Field};
use bytes::{BufMut, BytesMut};

use super::array::ListRef;
use super::cell::{Cell, CellBox, Shape, cell, downcast};
use super::wire_type::wire_type;
use super::{EncodeSettings, Format};

/// Writes a text as a JSON string.
pub(crate) fn put_json_string(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (i, b) in bytes.iter().enumerate() {
        let escape: &[u8] = match b {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0..=0x1f => b"\\u00",
            _ => continue,
        };
        out.put_slice(&bytes[plain..i]);
        out.put_slice(escape);
        if escape.len() == 4 {
            let hex = b"0123456789abcdef";
            out.put_slice(&[hex[usize::from(b >> 4)], hex[usize::from(b & 15)]]);
        }
        plain = i + 1;
    }
    out.put_slice(&bytes[plain..]);
    out.put_u8(b'"');
}

/// A cell that writes a value of any type as JSON.
pub(crate) fn json_cell(array: &ArrayRef, field: &Field, settings: &EncodeSettings) -> Result<CellBox> {
    Ok(match array.data_type() {
        DataType::Struct(fields) => {
            let array: StructArray = downcast(array)?;
            let mut members = Vec::with_capacity(fields.len());
            for (f, column) in fields.iter().zip(array.columns()) {
                let mut name = BytesMut::new();
                put_json_string(f.name(), &mut name);
                name.put_u8(b':');
                members.push((name.to_vec(), json_cell(column, f, settings)?));
            }
            Box::new(StructCell { array, members })
        }
        DataType::Map(entries, _) => {
            let array: MapArray = downcast(array)?;
            let (key, value) = match entries.data_type() {
                DataType::Struct(f) if f.len() == 2 => (f[0].clone(), f[1].clone()),
                other => return Err(crate::SqlError::internal(format!("a map with entries of type {other}"))),
            };
            let keys = Leaf { cell: text_cell(array.keys(), &key, settings)?, quote: Quote::Always };
            let values = json_cell(array.values(), &value, settings)?;
            Box::new(MapCell { array, keys, values })
        }
        DataType::Union(fields, _) => {
            let array: UnionArray = downcast(array)?;
            let mut children = vec![];
            for (id, f) in fields.iter() {
                children.push((id, json_cell(array.child(id), f, settings)?));
            }
            Box::new(UnionCell { array, children })
        }
        t if ListRef::is_list(t) => {
            let list = ListRef::of(array)?;
            let child = json_cell(list.values(), list.field(), settings)?;
            Box::new(JsonListCell { list, child })
        }
        DataType::Boolean => Box::new(BoolCell(array.as_boolean().clone())),
        t => {
            let quote = match t {
                _ if t.is_integer() || t.is_decimal() => Quote::Never,
                _ if t.is_floating() => Quote::UnlessFinite,
                _ if [JSON, JSONB].contains(&wire_type(field)) => Quote::Never,
                DataType::Timestamp(_, None) => Quote::Iso { zone: false },
                DataType::Timestamp(_, Some(_)) => Quote::Iso { zone: true },
                _ => Quote::Always,
            };
            Box::new(Leaf { cell: text_cell(array, field, settings)?, quote })
        }
    })
}

fn text_cell(array: &ArrayRef, field: &Field, settings: &EncodeSettings) -> Result<CellBox> {
    cell(array, &Shape::of_field(field, wire_type(field), Format::Text), settings)
}

fn put_or_null(cell: &dyn Cell, i: usize, out: &mut BytesMut) -> Result<()> {
    if cell.is_null(i) {
        out.put_slice(b"null");
        return Ok(());
    }
    cell.put(i, out)
}

#[derive(Clone, Copy)]
enum Quote {
    Never,
    Always,
    /// NaN and the infinities are no JSON numbers.
    UnlessFinite,
    /// Timestamps in XSD form: `T` between date and time, the offset with minutes.
    Iso {
        zone: bool,
    },
}

struct Leaf {
    cell: CellBox,
    quote: Quote,
}

impl Cell for Leaf {
    fn is_null(&self, i: usize) -> bool {
        self.cell.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        let start = out.len();
        self.cell.put(i, out)?;
        match self.quote {
            Quote::Never => {}
            Quote::UnlessFinite if !out[start..].iter().any(|b| matches!(b, b'N' | b'I')) => {}
            Quote::Iso { zone } => {
                let mut text = out.split_off(start);
                if let Some(blank) = text.iter().position(|b| *b == b' ').filter(|at| text.get(at + 1).is_some_and(u8::is_ascii_digit)) {
                    text[blank] = b'T';
                }
                let bc = text.ends_with(b" BC");
                if bc {
                    text.truncate(text.len() - 3);
                }
                if zone && text.len() > 3 && matches!(text[text.len() - 3], b'+' | b'-') && text[0].is_ascii_digit() {
                    text.put_slice(b":00");
                }
                if bc {
                    text.put_slice(b" BC");
                }
                out.put_u8(b'"');
                out.put_slice(&text);
                out.put_u8(b'"');
            }
            Quote::Always | Quote::UnlessFinite => {
                let text = out.split_off(start);
                put_json_string(&String::from_utf8_lossy(&text), out);
            }
        }
        Ok(())
    }
}

struct BoolCell(BooleanArray);

impl Cell for BoolCell {
    fn is_null(&self, i: usize) -> bool {
        self.0.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        out.put_slice(if self.0.value(i) { b"true" } else { b"false" });
        Ok(())
    }
}

struct StructCell {
    array: StructArray,
    /// `"name":` and the value.
    members: Vec<(Vec<u8>, CellBox)>,
}

impl Cell for StructCell {
    fn is_null(&self, i: usize) -> bool {
        self.array.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        out.put_u8(b'{');
        for (n, (name, value)) in self.members.iter().enumerate() {
            if n > 0 {
                out.put_u8(b',');
            }
            out.put_slice(name);
            put_or_null(value.as_ref(), i, out)?;
        }
        out.put_u8(b'}');
        Ok(())
    }
}

struct MapCell {
    array: MapArray,
    keys: Leaf,
    values: CellBox,
}

impl Cell for MapCell {
    fn is_null(&self, i: usize) -> bool {
        self.array.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        let offsets = self.array.value_offsets();
        let (start, end) = (offsets[i] as usize, offsets[i + 1] as usize);
        out.put_u8(b'{');
        for at in start..end {
            if at > start {
                out.put_u8(b',');
            }
            self.keys.put(at, out)?;
            out.put_u8(b':');
            put_or_null(self.values.as_ref(), at, out)?;
        }
        out.put_u8(b'}');
        Ok(())
    }
}

struct UnionCell {
    array: UnionArray,
    children: Vec<(i8, CellBox)>,
}

impl UnionCell {
    fn child(&self, i: usize) -> Option<(&dyn Cell, usize)> {
        let id = self.array.type_id(i);
        self.children.iter().find(|(c, _)| *c == id).map(|(_, c)| (c.as_ref(), self.array.value_offset(i)))
    }
}

impl Cell for UnionCell {
    fn is_null(&self, i: usize) -> bool {
        self.child(i).is_none_or(|(c, at)| c.is_null(at))
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        match self.child(i) {
            Some((c, at)) => c.put(at, out),
            None => Ok(()),
        }
    }
}

struct JsonListCell {
    list: ListRef,
    child: CellBox,
}

impl Cell for JsonListCell {
    fn is_null(&self, i: usize) -> bool {
        self.list.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        let range = self.list.range(i);
        let start = range.start;
        out.put_u8(b'[');
        for at in range {
            if at > start {
                out.put_u8(b',');
            }
            put_or_null(self.child.as_ref(), at, out)?;
        }
        out.put_u8(b']');
        Ok(())
    }
}
