//! The fields of columns in a document, found in one walk over it.

use bson::RawDocument;
use bson::raw::RawBsonRef;

use super::column::{Column, Misfit};

/// What is wanted of a document: names, and what is wanted inside of them.
#[derive(Debug, Default)]
pub(super) struct Fields {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: String,
    /// Columns that take the value itself.
    columns: Vec<usize>,
    inside: Fields,
}

/// Where a document did not fit.
#[derive(Debug)]
pub(super) struct At {
    /// The column; `None`: the document itself is malformed.
    pub column: Option<usize>,
    pub misfit: Misfit,
}

impl Fields {
    /// Column `column` is the field at `path`.
    pub(super) fn add(&mut self, path: &str, column: usize) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(n, r)| (n, Some(r)));
        let at = match self.nodes.iter().position(|n| n.name == name) {
            Some(at) => at,
            None => {
                self.nodes.push(Node { name: name.to_string(), columns: vec![], inside: Fields::default() });
                self.nodes.len() - 1
            }
        };
        if let Some(node) = self.nodes.get_mut(at) {
            match rest {
                None => node.columns.push(column),
                Some(rest) => node.inside.add(rest, column),
            }
        }
    }

    fn first_column(&self) -> Option<usize> {
        self.nodes.iter().find_map(|n| n.columns.first().copied().or_else(|| n.inside.first_column()))
    }

    /// Gives each column its value, if it has one in this document. `row`: how many values each column has had before.
    pub(super) fn walk(&self, doc: &RawDocument, columns: &mut [Column], row: usize) -> Result<(), At> {
        // Documents of one collection mostly have their fields in one order.
        let mut expected = 0;
        for element in doc.iter_elements() {
            let element = element.map_err(|e| broken(&e))?;
            let name = element.key().as_str();
            let found = match self.nodes.get(expected) {
                Some(n) if n.name == name => Some(expected),
                _ => self.nodes.iter().position(|n| n.name == name),
            };
            let Some(at) = found else { continue };
            expected = at + 1;
            let Some(node) = self.nodes.get(at) else { continue };
            let value = element.value().map_err(|e| broken(&e))?;
            for c in &node.columns {
                let Some(column) = columns.get_mut(*c) else { continue };
                if column.len > row {
                    let what = format!("the field \"{name}\" occurs twice in a document");
                    let misfit =
                        Misfit::Value(fjord_engine::SqlState::FDW_ERROR, what, Some("Repair the document, or leave the column out."));
                    return Err(At { column: Some(*c), misfit });
                }
                column.take(value).map_err(|misfit| At { column: Some(*c), misfit })?;
            }
            if !node.inside.nodes.is_empty() {
                match value {
                    RawBsonRef::Document(inner) => node.inside.walk(inner, columns, row)?,
                    // A path into an array means all of its elements: not one value.
                    RawBsonRef::Array(_) => {
                        return Err(At { column: node.inside.first_column(), misfit: Misfit::Type("array (above it)") });
                    }
                    // Nothing is inside of a scalar.
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn broken(e: &bson::error::Error) -> At {
    At { column: None, misfit: Misfit::Value(fjord_engine::SqlState::PROTOCOL_VIOLATION, format!("a document is no BSON: {e}"), None) }
}
