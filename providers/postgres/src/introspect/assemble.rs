//! From catalog rows to the engine's [`SourceCatalog`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fjord_engine::source::{
    CheckInfo, ColumnInfo, ColumnStats, ForeignKey, IndexInfo, KeyInfo, Partitioning, SchemaInfo, SourceCatalog, TableInfo, TableKind,
};
use tokio_postgres::{Error, Row};

use super::{by_oid, first, oid};
use crate::facts::{Facts, mark};
use crate::options::PostgresOptions;
use crate::types::Types;

/// Examples named in a notice about a type; the others are counted.
const NOTICE_EXAMPLES: usize = 3;

/// What the queries returned.
pub(super) struct Rows {
    pub schemas: Vec<Row>,
    pub relations: Vec<Row>,
    pub columns: Vec<Row>,
    pub constraints: Vec<Row>,
    pub indexes: Vec<Row>,
    pub statistics: Vec<Row>,
}

struct Schema {
    name: String,
    usable: bool,
    info: SchemaInfo,
}

/// Statistics of a column by (schema, table, column): distinct values (negative: a fraction of the rows), NULLs, width.
type Statistics<'a> = HashMap<(&'a str, &'a str, &'a str), (f64, f64, i32)>;

/// Builds the catalog.
pub(super) fn assemble(rows: &Rows, types: &Types, options: &PostgresOptions) -> Result<(SourceCatalog, Facts), Error> {
    let columns = by_oid(&rows.columns)?;
    let constraints = by_oid(&rows.constraints)?;
    let indexes = by_oid(&rows.indexes)?;
    let mut statistics: Statistics<'_> = HashMap::new();
    for row in &rows.statistics {
        // Ordered so that a whole partition tree's statistics come last and win.
        statistics.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?));
    }
    let partitions = partition_totals(&rows.relations)?;
    let mut schemas: BTreeMap<u32, Schema> = BTreeMap::new();
    for row in &rows.schemas {
        let name: String = row.try_get(1)?;
        if options.include_schemas.is_empty() || options.include_schemas.contains(&name) {
            let info = SchemaInfo { name: name.clone(), comment: row.try_get(2)?, tables: vec![] };
            schemas.insert(oid(row, 0)?, Schema { name, usable: row.try_get(3)?, info });
        }
    }
    let missing = options.include_schemas.iter().filter(|s| !schemas.values().any(|k| k.name == **s)).cloned().collect();
    let mut notices = Notices { missing, ..Notices::default() };
    let mut facts = Facts::default();
    let none: Vec<&Row> = vec![];
    for row in &rows.relations {
        let id = oid(row, 0)?;
        let Some(schema) = schemas.get_mut(&oid(row, 1)?) else { continue };
        let name: String = row.try_get(2)?;
        if options.exclude_tables.iter().any(|p| excluded(p, &schema.name, &name)) {
            continue;
        }
        let mut table = relation(row, schema, name)?;
        if let Some((rows, bytes)) = partitions.get(&id) {
            table.rows = table.rows.or(Some(*rows));
            table.bytes = Some(*bytes);
        }
        let mut ordinals = HashMap::new();
        let mut marks = vec![];
        for c in columns.get(&id).unwrap_or(&none) {
            if !c.try_get::<_, bool>(10)? {
                notices.hidden_columns += 1;
                continue;
            }
            ordinals.insert(i16::try_from(c.try_get::<_, i32>(1)?).unwrap_or(0), table.columns.len());
            let column = column(c, &table, types, options, &statistics, &mut notices)?;
            table.columns.push(column);
            marks.push(mark(types, oid(c, 3)?, c.try_get(4)?, oid(c, 5)?, c.try_get(6)?));
        }
        for k in constraints.get(&id).unwrap_or(&none) {
            constraint(k, &ordinals, &mut table)?;
        }
        for i in indexes.get(&id).unwrap_or(&none) {
            let index = index(i, &ordinals)?;
            table.indexes.push(index);
        }
        if table.unreadable.is_some() {
            notices.unreadable += 1;
        }
        let table = Arc::new(table);
        facts.add(table.clone(), marks);
        schema.info.tables.push(table);
    }
    let mut schemas: Vec<SchemaInfo> = schemas.into_values().map(|s| s.info).collect();
    schemas.sort_by(|a, b| a.name.cmp(&b.name));
    for s in &mut schemas {
        // The server sorted by its own collation.
        s.tables.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let default_schema = if schemas.iter().any(|s| s.name == "public") {
        "public".to_string()
    } else {
        schemas.first().map_or_else(|| "public".to_string(), |s| s.name.clone())
    };
    Ok((SourceCatalog { server_version: String::new(), default_schema, schemas, notices: notices.into_texts() }, facts))
}

fn relation(row: &Row, schema: &Schema, name: String) -> Result<TableInfo, Error> {
    let kind = match first(row, 3)? {
        'p' => TableKind::Partitioned,
        'v' => TableKind::View,
        'm' => TableKind::MaterializedView,
        'f' => TableKind::Foreign,
        _ => TableKind::Table,
    };
    let estimate: f64 = row.try_get(4)?;
    let bytes: i64 = row.try_get(5)?;
    let (whole, some): (bool, bool) =
        (row.try_get::<_, Option<bool>>(6)?.unwrap_or(false), row.try_get::<_, Option<bool>>(7)?.unwrap_or(false));
    let unreadable = if !schema.usable {
        Some(format!("the source's role has no USAGE right on schema \"{}\"", schema.name))
    } else if whole || some {
        None
    } else {
        Some(format!("the source's role has no SELECT right on \"{}\".\"{name}\"", schema.name))
    };
    let stored = matches!(kind, TableKind::Table | TableKind::MaterializedView);
    Ok(TableInfo {
        schema: schema.name.clone(),
        name,
        kind,
        columns: vec![],
        keys: vec![],
        foreign_keys: vec![],
        checks: vec![],
        indexes: vec![],
        partitioning: Partitioning {
            parent: row.try_get::<_, Option<String>>(13)?.zip(row.try_get(14)?),
            bound: row.try_get(12)?,
            key: row.try_get(11)?,
        },
        comment: row.try_get(9)?,
        // -1: never analyzed. Views have no estimate, and 0 would be taken for an empty table.
        rows: (estimate >= 0.0 && kind != TableKind::View).then_some(estimate as u64),
        bytes: if stored { u64::try_from(bytes).ok() } else { None },
        unreadable,
        row_security: row.try_get(8)?,
        native: None,
    })
}

/// Rows and bytes of all leaves below each partitioned table, for roots that were never analyzed as a whole.
fn partition_totals(relations: &[Row]) -> Result<HashMap<u32, (u64, u64)>, Error> {
    let mut parents: HashMap<u32, u32> = HashMap::new();
    for row in relations {
        if let Some(parent) = row.try_get::<_, Option<i64>>(10)? {
            parents.insert(oid(row, 0)?, u32::try_from(parent).unwrap_or(0));
        }
    }
    let mut totals: HashMap<u32, (u64, u64)> = HashMap::new();
    for row in relations {
        if first(row, 3)? == 'p' {
            continue;
        }
        let (estimate, bytes): (f64, i64) = (row.try_get(4)?, row.try_get(5)?);
        let mut at = oid(row, 0)?;
        // A tree has no cycles; the bound keeps damaged catalogs from hanging us.
        for _ in 0..64 {
            let Some(parent) = parents.get(&at) else { break };
            let total = totals.entry(*parent).or_default();
            total.0 += estimate.max(0.0) as u64;
            total.1 += u64::try_from(bytes).unwrap_or(0);
            at = *parent;
        }
    }
    Ok(totals)
}

fn column(
    row: &Row,
    table: &TableInfo,
    types: &Types,
    options: &PostgresOptions,
    statistics: &Statistics<'_>,
    notices: &mut Notices,
) -> Result<ColumnInfo, Error> {
    let name: String = row.try_get(2)?;
    let typmod: i32 = row.try_get(4)?;
    let not_null: bool = row.try_get(6)?;
    let source_type: String = row.try_get(7)?;
    let mapped = types.map(oid(row, 3)?, typmod, oid(row, 5)?, !not_null, options.unconstrained_numeric);
    if mapped.as_text {
        notices.as_text(&source_type, format!("{}.{}.{name}", table.schema, table.name));
    }
    let stats = statistics.get(&(table.schema.as_str(), table.name.as_str(), name.as_str())).map(|(distinct, nulls, width)| ColumnStats {
        // Negative: a fraction of the rows, so that it stays true while the table grows.
        distinct: match *distinct {
            d if d > 0.0 => Some(d as u64),
            d if d < 0.0 => table.rows.map(|r| (-d * r as f64) as u64),
            _ => None,
        },
        null_fraction: nulls.clamp(0.0, 1.0),
        average_width: u32::try_from(*width).unwrap_or(0),
    });
    Ok(ColumnInfo {
        field: Arc::new(mapped.field(&name, typmod)),
        remote: mapped.remote,
        source_type,
        comment: row.try_get(9)?,
        default: row.try_get(8)?,
        identity: row.try_get::<_, Option<String>>(11)?.and_then(|i| i.chars().next()),
        generated: row.try_get(12)?,
        pretty: row.try_get(13)?,
        stats,
    })
}

fn constraint(row: &Row, ordinals: &HashMap<i16, usize>, table: &mut TableInfo) -> Result<(), Error> {
    let attnums: Vec<i16> = row.try_get::<_, Option<Vec<i16>>>(3)?.unwrap_or_default();
    // A key over a column that may not be read is no key for us.
    let Some(columns) = attnums.iter().map(|a| ordinals.get(a).copied()).collect::<Option<Vec<_>>>() else { return Ok(()) };
    let name: String = row.try_get(1)?;
    let definition = row.try_get::<_, Option<String>>(8)?.unwrap_or_default();
    let comment: Option<String> = row.try_get(10)?;
    match first(row, 2)? {
        kind @ ('p' | 'u') => {
            table.keys.push(KeyInfo { name, primary: kind == 'p', columns, deferrable: row.try_get(4)?, definition, comment })
        }
        'c' => {
            let pretty = row.try_get::<_, Option<String>>(9)?.unwrap_or_default();
            table.checks.push(CheckInfo { name, columns, definition, pretty, comment });
        }
        _ => table.foreign_keys.push(ForeignKey {
            name,
            columns,
            to_schema: row.try_get::<_, Option<String>>(5)?.unwrap_or_default(),
            to_table: row.try_get::<_, Option<String>>(6)?.unwrap_or_default(),
            to_columns: row.try_get(7)?,
            definition,
            comment,
        }),
    }
    Ok(())
}

fn index(row: &Row, ordinals: &HashMap<i16, usize>) -> Result<IndexInfo, Error> {
    let attnums: Vec<i16> = row.try_get(4)?;
    let opclasses: Vec<Option<String>> = row.try_get::<_, Option<_>>(9)?.unwrap_or_default();
    let included: Vec<i16> = row.try_get::<_, Option<_>>(10)?.unwrap_or_default();
    Ok(IndexInfo {
        name: row.try_get(1)?,
        unique: row.try_get(2)?,
        primary: row.try_get(3)?,
        columns: attnums.iter().map(|a| ordinals.get(a).copied()).collect(),
        included: included.iter().filter_map(|a| ordinals.get(a).copied()).collect(),
        definition: row.try_get::<_, Option<String>>(5)?.unwrap_or_default(),
        pretty: row.try_get::<_, Option<String>>(11)?.unwrap_or_default(),
        method: row.try_get(6)?,
        partial: row.try_get(7)?,
        comment: row.try_get(12)?,
        parent: row.try_get(13)?,
        collations: row.try_get::<_, Option<_>>(8)?.unwrap_or_default(),
        operator_classes: opclasses.into_iter().map(Option::unwrap_or_default).collect(),
    })
}

/// `table` or `schema.table`, with `*` for any characters.
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
    fn as_text(&mut self, source_type: &str, column: String) {
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
            out.push(format!("type {name} is read as text: {}{more}", examples.join(", ")));
        }
        for schema in &self.missing {
            out.push(format!("schema \"{schema}\" of option include_schemas does not exist at the source"));
        }
        if self.unreadable > 0 {
            out.push(format!("{} tables are listed but cannot be read: the source's role lacks a right", self.unreadable));
        }
        if self.hidden_columns > 0 {
            out.push(format!("{} columns are left out: the source's role has no right on them", self.hidden_columns));
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
        assert!(excluded("audit_*", "public", "audit_1") && excluded("log.*", "log", "x") && !excluded("log.*", "public", "x"));
    }
}
