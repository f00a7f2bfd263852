//! From catalog rows to the engine's [`SourceCatalog`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fjord_engine::source::{
    ColumnInfo, ColumnStats, ForeignKey, IndexInfo, KeyInfo, Partitioning, SchemaInfo, SourceCatalog, TableInfo, TableKind,
};

use crate::facts::{Facts, Mark};
use crate::options::MySqlOptions;
use crate::types::{Collations, Declared, declared};
use crate::wire::TextRow;

/// Examples named in a notice about a type; the others are counted.
const NOTICE_EXAMPLES: usize = 3;

/// What the queries returned.
pub(super) struct Rows {
    pub collations: Collations,
    pub schemas: Vec<TextRow>,
    pub tables: Vec<TextRow>,
    pub columns: Vec<TextRow>,
    pub indexes: Vec<TextRow>,
    pub foreign_keys: Vec<TextRow>,
}

/// Rows of a table, by database and name.
type ByTable<'a> = HashMap<(&'a str, &'a str), Vec<&'a TextRow>>;

fn by_table(rows: &[TextRow]) -> ByTable<'_> {
    let mut map: ByTable<'_> = HashMap::new();
    for row in rows {
        map.entry((row.text(0).unwrap_or_default(), row.text(1).unwrap_or_default())).or_default().push(row);
    }
    map
}

/// Builds the catalog.
pub(super) fn assemble(rows: &Rows, options: &MySqlOptions) -> (SourceCatalog, Facts) {
    let (columns, indexes, foreign_keys) = (by_table(&rows.columns), by_table(&rows.indexes), by_table(&rows.foreign_keys));
    let mut schemas: BTreeMap<String, SchemaInfo> = BTreeMap::new();
    for row in &rows.schemas {
        let name = row.owned(0);
        schemas.insert(name.clone(), SchemaInfo { name, comment: None, tables: vec![] });
    }
    let missing = options.include_schemas.iter().filter(|s| !schemas.contains_key(*s)).cloned().collect();
    let mut notices = Notices { missing, ..Notices::default() };
    let mut facts = Facts::default();
    for row in &rows.tables {
        let (schema, name) = (row.owned(0), row.owned(1));
        if row.text(2) == Some("SEQUENCE") || options.exclude_tables.iter().any(|p| excluded(p, &schema, &name)) {
            continue;
        }
        let Some(info) = schemas.get_mut(&schema) else { continue };
        let key = (schema.as_str(), name.as_str());
        let mut table = relation(row);
        let mut marks: HashMap<String, Mark> = HashMap::new();
        let distinct = distinct_values(indexes.get(&key));
        for c in columns.get(&key).map(Vec::as_slice).unwrap_or_default() {
            marks.insert(c.owned(2), (c.owned(4), c.owned(8), c.owned(9)));
            // Without the right on a column it can be neither read nor compared.
            if !c.text(14).unwrap_or_default().split(',').any(|p| p.trim() == "select") {
                notices.hidden_columns += 1;
                continue;
            }
            let column = column(c, &table, rows, options, &distinct, &mut notices);
            table.columns.push(column);
        }
        if table.columns.is_empty() {
            table.unreadable = Some(format!("the source's user has no SELECT right on `{schema}`.`{name}`"));
            notices.unreadable += 1;
        }
        for group in groups(indexes.get(&key)) {
            index(&group, &mut table);
        }
        table.keys.sort_by_key(|k| !k.primary);
        for group in groups(foreign_keys.get(&key)) {
            table.foreign_keys.extend(foreign_key(&group, &table));
        }
        let table = Arc::new(table);
        facts.add(table.clone(), marks);
        info.tables.push(table);
    }
    let mut schemas: Vec<SchemaInfo> = schemas.into_values().collect();
    for s in &mut schemas {
        s.tables.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let default_schema = match &options.database {
        Some(d) => d.clone(),
        None => schemas.first().map(|s| s.name.clone()).unwrap_or_default(),
    };
    (SourceCatalog { server_version: String::new(), default_schema, schemas, notices: notices.into_texts() }, facts)
}

fn relation(row: &TextRow) -> TableInfo {
    let kind = match row.text(2) {
        Some("VIEW" | "SYSTEM VIEW") => TableKind::View,
        _ => TableKind::Table,
    };
    let stored = kind == TableKind::Table;
    TableInfo {
        schema: row.owned(0),
        name: row.owned(1),
        kind,
        columns: vec![],
        keys: vec![],
        foreign_keys: vec![],
        checks: vec![],
        indexes: vec![],
        partitioning: Partitioning::default(),
        // The comment of a view is the word VIEW.
        comment: row.text(5).filter(|c| stored && !c.is_empty()).map(str::to_string),
        // 0 is also what was never counted, and would be taken for an empty table.
        rows: row.number(3).filter(|n| stored && *n > 0),
        bytes: row.number(4).filter(|_| stored),
        unreadable: None,
        row_security: false,
        native: None,
    }
}

/// Distinct values of columns that are the first of an index.
fn distinct_values<'a>(rows: Option<&Vec<&'a TextRow>>) -> HashMap<&'a str, u64> {
    let mut out = HashMap::new();
    let mut last = "";
    for row in rows.map(Vec::as_slice).unwrap_or_default() {
        let name = row.text(2).unwrap_or_default();
        if name != last {
            last = name;
            if let (Some(column), Some(n), None) = (row.text(4), row.number(6), row.text(5)) {
                out.insert(column, n);
            }
        }
    }
    out
}

fn column(
    row: &TextRow,
    table: &TableInfo,
    rows: &Rows,
    options: &MySqlOptions,
    distinct: &HashMap<&str, u64>,
    notices: &mut Notices,
) -> ColumnInfo {
    let name = row.owned(2);
    let source_type = row.owned(4);
    let mapped = declared(
        &Declared {
            data_type: row.text(3).unwrap_or_default(),
            column_type: &source_type,
            precision: row.number(5),
            scale: row.number(6),
            characters: row.number(7),
            collation: row.text(8),
            nullable: row.text(9) == Some("YES"),
        },
        &rows.collations,
        options.reading,
    );
    if mapped.unknown {
        notices.unknown(&source_type, format!("{}.{}.{name}", table.schema, table.name));
    }
    let extra = row.text(11).unwrap_or_default().to_ascii_lowercase();
    let generated = row.text(12).filter(|e| !e.is_empty()).map(str::to_string);
    let stats = distinct.get(name.as_str()).map(|n| ColumnStats { distinct: Some(*n), null_fraction: 0.0, average_width: 8 });
    ColumnInfo {
        field: Arc::new(mapped.field(&name)),
        remote: mapped.remote,
        source_type,
        comment: row.text(13).filter(|c| !c.is_empty()).map(str::to_string),
        default: row.text(10).filter(|_| generated.is_none()).map(str::to_string),
        identity: extra.contains("auto_increment").then_some('d'),
        generated,
        pretty: None,
        stats,
    }
}

/// Runs of rows with the same name in their third cell.
fn groups<'a>(rows: Option<&Vec<&'a TextRow>>) -> Vec<Vec<&'a TextRow>> {
    let mut out: Vec<Vec<&TextRow>> = vec![];
    for row in rows.map(Vec::as_slice).unwrap_or_default() {
        match out.last_mut() {
            Some(group) if group.first().and_then(|r| r.text(2)) == row.text(2) => group.push(row),
            _ => out.push(vec![row]),
        }
    }
    out
}

fn ordinal(table: &TableInfo, column: &str) -> Option<usize> {
    table.columns.iter().position(|c| c.field.name() == column)
}

/// An index, and the key that it makes: one of whole columns, all of which may be read.
fn index(rows: &[&TextRow], table: &mut TableInfo) {
    let Some(first) = rows.first() else { return };
    let name = first.owned(2);
    let (unique, primary) = (first.text(3) == Some("0"), name == "PRIMARY");
    let columns: Vec<Option<usize>> = rows.iter().map(|r| r.text(4).and_then(|c| ordinal(table, c))).collect();
    let list: Vec<String> = rows
        .iter()
        .map(|r| match (r.text(4), r.text(5)) {
            (Some(c), Some(prefix)) => format!("{c}({prefix})"),
            (Some(c), None) => c.to_string(),
            (None, _) => "(expression)".into(),
        })
        .collect();
    let list = list.join(", ");
    let method = first.owned(7).to_ascii_lowercase();
    let whole = rows.iter().all(|r| r.text(5).is_none());
    if unique
        && whole
        && let Some(columns) = columns.iter().copied().collect::<Option<Vec<_>>>()
    {
        let definition = if primary { format!("PRIMARY KEY ({list})") } else { format!("UNIQUE ({list})") };
        table.keys.push(KeyInfo { name: name.clone(), primary, columns, deferrable: false, definition, comment: None });
    }
    let kind = if unique { "UNIQUE INDEX" } else { "INDEX" };
    let definition = format!("CREATE {kind} {name} ON {}.{} USING {method} ({list})", table.schema, table.name);
    table.indexes.push(IndexInfo {
        name,
        unique,
        primary,
        collations: vec![None; columns.len()],
        operator_classes: vec![String::new(); columns.len()],
        columns,
        included: vec![],
        pretty: definition.clone(),
        definition,
        method,
        // It does not hold all of a column's value.
        partial: false,
        comment: first.text(8).filter(|c| !c.is_empty()).map(str::to_string),
        parent: None,
    });
}

fn foreign_key(rows: &[&TextRow], table: &TableInfo) -> Option<ForeignKey> {
    let first = rows.first()?;
    let columns = rows.iter().map(|r| r.text(3).and_then(|c| ordinal(table, c))).collect::<Option<Vec<_>>>()?;
    let (from, to): (Vec<String>, Vec<String>) = rows.iter().map(|r| (r.owned(3), r.owned(6))).unzip();
    let definition = format!("FOREIGN KEY ({}) REFERENCES {}({})", from.join(", "), first.owned(5), to.join(", "));
    Some(ForeignKey {
        name: first.owned(2),
        columns,
        to_schema: first.owned(4),
        to_table: first.owned(5),
        to_columns: to,
        definition,
        comment: None,
    })
}

/// `table` or `database.table`, with `*` for any characters.
fn excluded(pattern: &str, schema: &str, table: &str) -> bool {
    matches(pattern, table) || matches(pattern, &format!("{schema}.{table}"))
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(tail)
}

/// What the user should know, one line per subject, however many tables it concerns.
#[derive(Default)]
struct Notices {
    types: BTreeMap<String, (Vec<String>, usize)>,
    unreadable: usize,
    missing: Vec<String>,
    hidden_columns: usize,
}

impl Notices {
    fn unknown(&mut self, source_type: &str, column: String) {
        let entry = self.types.entry(source_type.to_string()).or_default();
        entry.1 += 1;
        if entry.0.len() < NOTICE_EXAMPLES {
            entry.0.push(column);
        }
    }

    fn into_texts(self) -> Vec<String> {
        let mut out = vec![];
        for (name, (examples, count)) in self.types {
            let more = count - examples.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            out.push(format!("type {name} is not known and read as the source sends it: {}{more}", examples.join(", ")));
        }
        for schema in &self.missing {
            out.push(format!("database \"{schema}\" of option include_schemas does not exist at the source, or the user may not see it"));
        }
        if self.unreadable > 0 {
            out.push(format!("{} tables are listed but cannot be read: the source's user lacks a right", self.unreadable));
        }
        if self.hidden_columns > 0 {
            out.push(format!("{} columns are left out: the source's user has no right on them", self.hidden_columns));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{excluded, matches};

    #[test]
    fn patterns() {
        assert!(matches("a*c", "abc") && matches("*", "") && matches("a", "a") && matches("a*b*c", "a.b.c"));
        assert!(!matches("a", "ab") && !matches("a*c", "ab") && !matches("ab*ba", "aba"));
        assert!(excluded("audit_*", "crm", "audit_1") && excluded("log.*", "log", "x") && !excluded("log.*", "crm", "x"));
    }
}
