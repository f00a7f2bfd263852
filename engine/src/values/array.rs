//! Lists out as Postgres arrays, text and binary (`array_out`, `array_send` in `arrayfuncs.c`).

use std::ops::Range;

use crate::pgtype::PgType;
use crate::{Result, SqlError, SqlState};
use arrow::array::{Array, ArrayRef, FixedSizeListArray, LargeListArray, LargeListViewArray, ListArray, ListViewArray};
use arrow::datatypes::{DataType, Field};
use bytes::{BufMut, BytesMut};

use super::cell::{Cell, CellBox, Shape, cell, downcast, put_with_length};
use super::{EncodeSettings, Format};

/// Postgres's MAXDIM.
const DIMENSIONS_MAX: usize = 6;

/// A list array of any layout.
pub(crate) enum ListRef {
    List(ListArray),
    Large(LargeListArray),
    View(ListViewArray),
    LargeView(LargeListViewArray),
    Fixed(FixedSizeListArray),
}

impl ListRef {
    pub(crate) fn is_list(t: &DataType) -> bool {
        ListRef::element_of(t).is_some()
    }
    /// The element's field of a list type.
    pub(crate) fn element_of(t: &DataType) -> Option<&Field> {
        match t {
            DataType::List(f)
            | DataType::LargeList(f)
            | DataType::ListView(f)
            | DataType::LargeListView(f)
            | DataType::FixedSizeList(f, _) => Some(f),
            _ => None,
        }
    }
    pub(crate) fn of(array: &ArrayRef) -> Result<ListRef> {
        Ok(match array.data_type() {
            DataType::List(_) => ListRef::List(downcast(array)?),
            DataType::LargeList(_) => ListRef::Large(downcast(array)?),
            DataType::ListView(_) => ListRef::View(downcast(array)?),
            DataType::LargeListView(_) => ListRef::LargeView(downcast(array)?),
            DataType::FixedSizeList(..) => ListRef::Fixed(downcast(array)?),
            other => return Err(SqlError::internal(format!("{other} is no list"))),
        })
    }
    fn array(&self) -> &dyn Array {
        match self {
            ListRef::List(a) => a,
            ListRef::Large(a) => a,
            ListRef::View(a) => a,
            ListRef::LargeView(a) => a,
            ListRef::Fixed(a) => a,
        }
    }
    pub(crate) fn field(&self) -> &Field {
        // `of` has seen that it is a list.
        static NULL: std::sync::LazyLock<Field> = std::sync::LazyLock::new(|| Field::new("item", DataType::Null, true));
        ListRef::element_of(self.array().data_type()).unwrap_or(&NULL)
    }
    pub(crate) fn values(&self) -> &ArrayRef {
        match self {
            ListRef::List(a) => a.values(),
            ListRef::Large(a) => a.values(),
            ListRef::View(a) => a.values(),
            ListRef::LargeView(a) => a.values(),
            ListRef::Fixed(a) => a.values(),
        }
    }
    pub(crate) fn is_null(&self, i: usize) -> bool {
        self.array().is_null(i)
    }
    /// Where the elements of list `i` stand in the values.
    pub(crate) fn range(&self, i: usize) -> Range<usize> {
        match self {
            ListRef::List(a) => a.value_offsets()[i] as usize..a.value_offsets()[i + 1] as usize,
            ListRef::Large(a) => a.value_offsets()[i] as usize..a.value_offsets()[i + 1] as usize,
            ListRef::View(a) => {
                let start = a.value_offset(i) as usize;
                start..start + a.value_size(i) as usize
            }
            ListRef::LargeView(a) => {
                let start = a.value_offset(i) as usize;
                start..start + a.value_size(i) as usize
            }
            ListRef::Fixed(a) => {
                let start = a.value_offset(i) as usize;
                start..start + a.value_length() as usize
            }
        }
    }
}

/// Lists in lists, down to the elements.
enum Node {
    List(ListRef, Box<Node>),
    Element(CellBox),
}

impl Node {
    fn build(array: &ArrayRef, element: &Shape, settings: &EncodeSettings) -> Result<Node> {
        if !ListRef::is_list(array.data_type()) {
            return Ok(Node::Element(cell(array, element, settings)?));
        }
        let list = ListRef::of(array)?;
        let inner = Node::build(list.values(), element, settings)?;
        Ok(Node::List(list, Box::new(inner)))
    }
    fn is_null(&self, i: usize) -> bool {
        match self {
            Node::List(list, _) => list.is_null(i),
            Node::Element(cell) => cell.is_null(i),
        }
    }
}

/// A cell that writes a list as an array of `element`.
pub(crate) struct ArrayCell {
    list: ListRef,
    inner: Node,
    element: PgType,
    format: Format,
}

impl ArrayCell {
    pub(crate) fn build(array: &ArrayRef, element: &Shape, settings: &EncodeSettings) -> Result<ArrayCell> {
        let list = ListRef::of(array)?;
        let inner = Node::build(list.values(), element, settings)?;
        Ok(ArrayCell { list, inner, element: element.pg, format: element.format })
    }
}

impl Cell for ArrayCell {
    fn is_null(&self, i: usize) -> bool {
        self.list.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        match self.format {
            Format::Text if is_empty(&self.list, &self.inner, i) => {
                out.put_slice(b"{}");
                Ok(())
            }
            Format::Text => put_text(&self.list, &self.inner, i, out),
            Format::Binary => put_binary(&self.list, &self.inner, i, self.element, out),
        }
    }
}

/// A cell that writes a list as `int2vector` or `oidvector`: `1 2 3` in text, in binary an array of one dimension that counts from 0
/// (`int2vectorout`, `int2vectorsend` in `int.c`).
pub(super) struct VectorCell(ArrayCell);

impl VectorCell {
    pub(super) fn build(array: &ArrayRef, element: &Shape, settings: &EncodeSettings) -> Result<VectorCell> {
        Ok(VectorCell(ArrayCell::build(array, element, settings)?))
    }
}

impl Cell for VectorCell {
    fn is_null(&self, i: usize) -> bool {
        self.0.list.is_null(i)
    }
    fn put(&self, i: usize, out: &mut BytesMut) -> Result<()> {
        let ArrayCell { list, inner, element, format } = &self.0;
        let range = list.range(i);
        if *format == Format::Binary {
            out.put_i32(1);
            out.put_i32(0);
            out.put_u32(element.oid);
            out.put_i32(i32::try_from(range.len()).map_err(|_| too_large())?);
            out.put_i32(0);
            return put_elements(list, inner, i, &mut false, out);
        }
        let (Node::Element(cell), start) = (inner, range.start) else { return Err(ragged()) };
        for at in range {
            if at > start {
                out.put_u8(b' ');
            }
            // Vectors hold no NULLs.
            cell.put(at, out)?;
        }
        Ok(())
    }
}

/// An array without a single element has no dimensions in Postgres: `{}`, never `{{},{}}`.
fn is_empty(list: &ListRef, inner: &Node, i: usize) -> bool {
    let mut range = list.range(i);
    match inner {
        Node::Element(_) => range.is_empty(),
        Node::List(below, deeper) => range.all(|at| !below.is_null(at) && is_empty(below, deeper, at)),
    }
}

fn put_text(list: &ListRef, inner: &Node, i: usize, out: &mut BytesMut) -> Result<()> {
    out.put_u8(b'{');
    let range = list.range(i);
    let start = range.start;
    for at in range {
        if at > start {
            out.put_u8(b',');
        }
        if inner.is_null(at) {
            out.put_slice(b"NULL");
            continue;
        }
        match inner {
            Node::List(below, deeper) => put_text(below, deeper, at, out)?,
            Node::Element(cell) => {
                let from = out.len();
                cell.put(at, out)?;
                quote_element(out, from);
            }
        }
    }
    out.put_u8(b'}');
    Ok(())
}

/// Quotes what was written from `from` on, where `array_out` would.
fn quote_element(out: &mut BytesMut, from: usize) {
    let text = &out[from..];
    let escapes = text.iter().filter(|b| matches!(b, b'"' | b'\\')).count();
    let special = |b: &u8| matches!(b, b'{' | b'}' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    if escapes == 0 && !text.is_empty() && !text.eq_ignore_ascii_case(b"null") && !text.iter().any(special) {
        return;
    }
    // Grown in place from the end, so that nothing is allocated for an element.
    let mut read = out.len();
    out.put_bytes(b'"', escapes + 2);
    let mut write = out.len() - 1;
    while read > from {
        read -= 1;
        write -= 1;
        let b = out[read];
        out[write] = b;
        if matches!(b, b'"' | b'\\') {
            write -= 1;
            out[write] = b'\\';
        }
    }
    out[from] = b'"';
}

fn put_binary(list: &ListRef, inner: &Node, i: usize, element: PgType, out: &mut BytesMut) -> Result<()> {
    let mut sizes: Vec<usize> = vec![];
    if !is_empty(list, inner, i) {
        measure(list, inner, i, 0, &mut sizes)?;
    }
    out.put_i32(sizes.len() as i32);
    let flags = out.len();
    out.put_i32(0);
    out.put_u32(element.oid);
    for size in &sizes {
        out.put_i32(i32::try_from(*size).map_err(|_| too_large())?);
        out.put_i32(1);
    }
    let mut has_null = false;
    if !sizes.is_empty() {
        put_elements(list, inner, i, &mut has_null, out)?;
    }
    if has_null {
        out[flags + 3] = 1;
    }
    Ok(())
}

/// The size of each dimension; an error where sublists differ in size, which a Postgres array cannot hold.
fn measure(list: &ListRef, inner: &Node, i: usize, depth: usize, sizes: &mut Vec<usize>) -> Result<()> {
    if depth >= DIMENSIONS_MAX {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("number of array dimensions exceeds the maximum allowed ({DIMENSIONS_MAX})"),
        ));
    }
    let range = list.range(i);
    match sizes.get(depth) {
        None => sizes.push(range.len()),
        Some(size) if *size == range.len() => {}
        Some(_) => return Err(ragged()),
    }
    if let Node::List(below, deeper) = inner {
        for at in range {
            if below.is_null(at) {
                return Err(ragged());
            }
            measure(below, deeper, at, depth + 1, sizes)?;
        }
    }
    Ok(())
}

fn put_elements(list: &ListRef, inner: &Node, i: usize, has_null: &mut bool, out: &mut BytesMut) -> Result<()> {
    for at in list.range(i) {
        match inner {
            Node::List(below, deeper) => put_elements(below, deeper, at, has_null, out)?,
            Node::Element(cell) => {
                *has_null |= cell.is_null(at);
                put_with_length(cell.as_ref(), at, out)?;
            }
        }
    }
    Ok(())
}

fn ragged() -> SqlError {
    SqlError::new(SqlState::DATA_EXCEPTION, "a list of lists of different lengths is no Postgres array in binary")
        .hint("Ask for the result in text format, or cast the column to text.")
}

fn too_large() -> SqlError {
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "array size exceeds the maximum allowed")
}
