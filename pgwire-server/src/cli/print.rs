//! Results as readable tables, in psql's style.

use std::io::Write;

use fjord_engine::{SqlError, SqlState};

/// Rows gathered to find the columns' widths; further ones are printed with these widths, so that memory stays bounded.
const WIDTH_ROWS: usize = 1000;

/// A column of a result.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub oid: u32,
}

/// Takes results as they come.
pub trait Printer: Send {
    /// A result begins.
    fn columns(&mut self, columns: Vec<Column>);
    /// One of its rows.
    fn row(&mut self, row: Vec<Option<String>>);
    /// COPY data.
    fn raw(&mut self, data: &[u8]);
    /// A statement is done.
    fn complete(&mut self, tag: &str);
    /// A notice.
    fn notice(&mut self, text: &str);
    /// A statement has failed; gives the error to pass on.
    fn error(&mut self, e: SqlError) -> SqlError;
}

/// Takes nothing: errors pass through, notices go to the log.
pub struct Quiet;

impl Printer for Quiet {
    fn columns(&mut self, _: Vec<Column>) {}
    fn row(&mut self, _: Vec<Option<String>>) {}
    fn raw(&mut self, _: &[u8]) {}
    fn complete(&mut self, tag: &str) {
        tracing::debug!(tag, "init SQL");
    }
    fn notice(&mut self, text: &str) {
        tracing::info!("{text}");
    }
    fn error(&mut self, e: SqlError) -> SqlError {
        e
    }
}

/// Prints tables.
pub struct Table<W: Write + Send> {
    out: W,
    columns: Vec<Column>,
    rows: Vec<Vec<Option<String>>>,
    widths: Option<Vec<usize>>,
    count: u64,
    copied: bool,
}

impl Table<std::io::Stdout> {
    /// To standard output.
    pub fn stdout() -> Self {
        Table::new(std::io::stdout())
    }
}

impl<W: Write + Send> Table<W> {
    /// To a writer.
    pub fn new(out: W) -> Self {
        Table { out, columns: vec![], rows: vec![], widths: None, count: 0, copied: false }
    }
    /// A closed pipe (`fjord sql ... | head`) is no error of ours: what nobody reads is not written.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }
    fn head(&mut self) {
        if self.widths.is_some() {
            return;
        }
        let mut widths: Vec<usize> = self.columns.iter().map(|c| width(&c.name)).collect();
        for row in &self.rows {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(cell.as_deref().map_or(0, |c| c.lines().map(width).max().unwrap_or(0)));
            }
        }
        let names: Vec<String> = self.columns.iter().zip(&widths).map(|(c, w)| centre(&c.name, *w)).collect();
        let rule: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
        self.widths = Some(widths);
        self.line(format!(" {}", names.join(" | ")).trim_end());
        self.line(&rule.join("+"));
        for row in std::mem::take(&mut self.rows) {
            self.body(&row);
        }
    }
    fn body(&mut self, row: &[Option<String>]) {
        let widths = self.widths.clone().unwrap_or_default();
        let cells: Vec<Vec<&str>> = row.iter().map(|c| c.as_deref().map_or(vec![""], |c| c.split('\n').collect())).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for i in 0..height {
            let parts: Vec<String> = cells
                .iter()
                .zip(&widths)
                .zip(&self.columns)
                .map(|((lines, w), column)| {
                    let text = lines.get(i).copied().unwrap_or("");
                    let pad = " ".repeat(w.saturating_sub(width(text)));
                    let more = if i + 1 < lines.len() { "+" } else { " " };
                    if is_number(column.oid) { format!(" {pad}{text}{more}") } else { format!(" {text}{pad}{more}") }
                })
                .collect();
            self.line(parts.join("|").trim_end());
        }
    }
}

impl<W: Write + Send> Printer for Table<W> {
    fn columns(&mut self, columns: Vec<Column>) {
        self.columns = columns;
        self.rows.clear();
        self.widths = None;
        self.count = 0;
    }
    fn row(&mut self, row: Vec<Option<String>>) {
        self.count += 1;
        if self.widths.is_some() {
            return self.body(&row);
        }
        self.rows.push(row);
        if self.rows.len() >= WIDTH_ROWS {
            self.head();
        }
    }
    fn raw(&mut self, data: &[u8]) {
        self.copied = true;
        let _ = self.out.write_all(data);
    }
    fn complete(&mut self, tag: &str) {
        if std::mem::take(&mut self.copied) {
            return;
        }
        if self.columns.is_empty() {
            return self.line(tag);
        }
        self.head();
        let rows = if self.count == 1 { "row" } else { "rows" };
        self.line(&format!("({} {rows})\n", self.count));
        self.columns.clear();
    }
    fn notice(&mut self, text: &str) {
        eprintln!("{text}");
    }
    fn error(&mut self, e: SqlError) -> SqlError {
        if !self.rows.is_empty() {
            self.head();
        }
        eprintln!("ERROR:  {e}\nSQLSTATE: {}", e.state);
        SqlError::new(SqlState::SUCCESS, "")
    }
}

/// Characters, which is columns on a terminal for all but East Asian and combining ones.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn centre(text: &str, w: usize) -> String {
    let pad = w.saturating_sub(width(text));
    format!("{}{text}{}", " ".repeat(pad / 2), " ".repeat(pad - pad / 2))
}

fn is_number(oid: u32) -> bool {
    use fjord_engine::pgtype::{FLOAT4, FLOAT8, INT2, INT4, INT8, MONEY, NUMERIC, OID};
    [INT2, INT4, INT8, FLOAT4, FLOAT8, NUMERIC, OID, MONEY].iter().any(|t| t.oid == oid)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_table() {
        let mut out = vec![];
        let mut t = Table::new(&mut out);
        t.columns(vec![Column { name: "id".into(), oid: 23 }, Column { name: "name".into(), oid: 25 }]);
        t.row(vec![Some("1".into()), Some("a\nbc".into())]);
        t.row(vec![Some("100".into()), None]);
        t.complete("SELECT 2");
        drop(t);
        let want = " id  | name\n-----+------\n   1 | a   +\n     | bc\n 100 |\n(2 rows)\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
