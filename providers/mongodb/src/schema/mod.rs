//! The schema of collections that have none: the user's column list, else a `$jsonSchema` validator and a random sample together.
//!
//! [`shape`] is what was seen, [`declared`] what was said. Never from the first document, never by writing into the source.

mod declared;
mod shape;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};
use fjord_engine::Result;
use fjord_engine::source::{ColumnInfo, IndexInfo, KeyInfo, Partitioning, SchemaInfo, SourceCatalog, TableInfo, TableKind};
use futures::{StreamExt, TryStreamExt};
use mongodb::error::ErrorKind;

use crate::error::Origin;
use crate::facts::{Facts, Known};
use crate::options::MongoOptions;
use crate::types::Kind;
pub(crate) use declared::{Declared, declared};
pub(crate) use shape::Shape;

/// Collections that are looked at at one time.
const AT_ONCE: usize = 6;
/// Bytes of one collection's sample; what is more is left out.
const SAMPLE_BYTES_MAX: usize = 64 << 20;
/// The longest that one collection's sample may take at the source: a view may be a long computation.
const SAMPLE_TIME_MAX: Duration = Duration::from_secs(30);
/// Examples named in a notice; the others are counted.
const NOTICE_EXAMPLES: usize = 3;
const SYSTEM: [&str; 3] = ["admin", "config", "local"];

/// The outcome of one pass.
pub(crate) struct Found {
    pub catalog: SourceCatalog,
    pub facts: Facts,
}

/// A collection as `listCollections` names it.
struct Listed {
    database: String,
    name: String,
    kind: String,
    options: Document,
}

/// Reads all databases.
pub(crate) async fn introspect(client: &mongodb::Client, origin: &Origin, options: &MongoOptions, known: &Known) -> Result<Found> {
    let fail = |e: mongodb::error::Error| origin.driver(&e);
    let build = client.database("admin").run_command(doc! { "buildInfo": 1 }).await.map_err(fail)?;
    let hello = client.database("admin").run_command(doc! { "hello": 1 }).await.map_err(fail)?;
    let sharded = hello.get_str("msg").is_ok_and(|m| m == "isdbgrid");
    let mut facts = Facts::new(sharded || hello.contains_key("setName"));
    let databases = databases(client, origin, options).await?;
    let mut all = vec![];
    for database in &databases {
        all.extend(collections(client, origin, options, database).await?);
    }
    let mut read = futures::stream::iter(all.into_iter().map(|c| collection(client, origin, options, known, c, sharded)))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    read.sort_by(|a, b| (&a.info.schema, &a.info.name).cmp(&(&b.info.schema, &b.info.name)));
    let mut schemas: BTreeMap<String, SchemaInfo> =
        databases.iter().map(|d| (d.clone(), SchemaInfo { name: d.clone(), comment: None, tables: vec![] })).collect();
    let mut notices = notices(&read);
    notices.extend(known.drifts().into_iter().map(|d| format!("drift: {d}")));
    for r in read {
        let info = Arc::new(r.info);
        facts.add(info.clone(), r.own_collation, r.ranges);
        if let Some(s) = schemas.get_mut(&info.schema) {
            s.tables.push(info);
        }
    }
    let version = build.get_str("version").unwrap_or("of unknown version");
    let catalog = SourceCatalog {
        server_version: format!("MongoDB {version}"),
        default_schema: options.database.clone(),
        schemas: schemas.into_values().collect(),
        notices,
    };
    Ok(Found { catalog, facts })
}

fn notices(read: &[Read]) -> Vec<String> {
    let mut out = vec![];
    let mut say = |what: &str, which: Vec<String>| {
        if !which.is_empty() {
            let more = which.len().saturating_sub(NOTICE_EXAMPLES);
            let shown = which.into_iter().take(NOTICE_EXAMPLES).collect::<Vec<_>>().join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            out.push(format!("{what}: {shown}{more}"));
        }
    };
    let named = |f: &dyn Fn(&&Read) -> bool| {
        read.iter().filter(f).map(|r| format!("\"{}\".\"{}\"", r.info.schema, r.info.name)).collect::<Vec<_>>()
    };
    say("collections that cannot be read", named(&|r| r.info.unreadable.is_some()));
    say("some fields are no columns, because there are too many or their names are no paths (see raw_column)", named(&|r| r.partial));
    say("a random sample took too long, so the first documents were looked at", named(&|r| r.not_random));
    let mixed = |r: &Read| {
        let of = format!("\"{}\".\"{}\"", r.info.schema, r.info.name);
        r.mixed.iter().map(move |c| format!("\"{c}\" of {of}")).collect::<Vec<_>>()
    };
    say("columns of mixed types are read as json", read.iter().flat_map(mixed).collect());
    out
}

async fn databases(client: &mongodb::Client, origin: &Origin, options: &MongoOptions) -> Result<Vec<String>> {
    if !options.include_databases.is_empty() {
        return Ok(options.include_databases.clone());
    }
    let mut names = match client.list_database_names().authorized_databases(true).await {
        Ok(names) => names,
        Err(e) => return Err(origin.driver(&e).hint("The user may not list databases: name them in \"include_databases\".")),
    };
    names.retain(|n| options.system_schemas || !SYSTEM.contains(&n.as_str()));
    names.sort();
    Ok(names)
}

async fn collections(client: &mongodb::Client, origin: &Origin, options: &MongoOptions, database: &str) -> Result<Vec<Listed>> {
    let command = doc! { "listCollections": 1, "authorizedCollections": true, "nameOnly": false };
    let db = client.database(database);
    let full = match db.run_cursor_command(command).await {
        Ok(cursor) => Ok(cursor),
        // Without listCollections on the database, the names are all that may be asked for.
        Err(e) if matches!(e.kind.as_ref(), ErrorKind::Command(c) if c.code == 13) => {
            db.run_cursor_command(doc! { "listCollections": 1, "authorizedCollections": true, "nameOnly": true }).await
        }
        Err(e) => Err(e),
    };
    let mut cursor = full.map_err(|e| origin.driver(&e))?;
    let mut out = vec![];
    while let Some(c) = cursor.next().await {
        let c = c.map_err(|e| origin.driver(&e))?;
        let name = c.get_str("name").unwrap_or_default().to_string();
        let system = name.starts_with("system.") && !options.system_schemas;
        if name.is_empty() || system || options.exclude_tables.iter().any(|p| excluded(p, database, &name)) {
            continue;
        }
        let kind = c.get_str("type").unwrap_or("collection").to_string();
        let of = c.get_document("options").cloned().unwrap_or_default();
        out.push(Listed { database: database.to_string(), name, kind, options: of });
    }
    Ok(out)
}

/// `collection` or `database.collection`, with `*` for any characters.
fn excluded(pattern: &str, database: &str, collection: &str) -> bool {
    matches(pattern, collection) || matches(pattern, &format!("{database}.{collection}"))
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(tail)
}

/// One collection, read.
struct Read {
    info: TableInfo,
    own_collation: bool,
    /// It can be read by ranges of `_id`.
    ranges: bool,
    partial: bool,
    not_random: bool,
    mixed: Vec<String>,
}

async fn collection(
    client: &mongodb::Client,
    origin: &Origin,
    options: &MongoOptions,
    known: &Known,
    listed: Listed,
    sharded: bool,
) -> Result<Read> {
    let stored = listed.kind == "collection";
    let collated = listed.options.get_document("collation").is_ok_and(|c| c.get_str("locale").is_ok_and(|l| l != "simple"));
    let own_collation = !stored && collated;
    let mut info = TableInfo {
        schema: listed.database.clone(),
        name: listed.name.clone(),
        kind: if listed.kind == "view" { TableKind::View } else { TableKind::Table },
        columns: vec![],
        keys: vec![],
        foreign_keys: vec![],
        checks: vec![],
        indexes: vec![],
        partitioning: Partitioning::default(),
        comment: None,
        rows: None,
        bytes: None,
        unreadable: None,
        row_security: false,
        native: None,
    };
    let (mut partial, mut not_random, mut mixed) = (false, false, vec![]);
    let key = (listed.database.clone(), listed.name.clone());
    let columns: Vec<(String, Kind, bool)> = match options.reading.columns.get(&key) {
        Some(columns) => columns.iter().map(|(n, k)| (n.clone(), textual(k, options), n != "_id")).collect(),
        None => {
            let mut shape = Shape::default();
            if let Some(v) = listed.options.get_document("validator").ok().and_then(declared::of_validator) {
                shape.merge(&v);
            }
            match sample(client, options, &listed, &mut shape).await {
                Ok(random) => not_random = !random,
                Err(e) if matches!(e.kind.as_ref(), ErrorKind::Command(c) if c.code == 13 || !stored) => {
                    info.unreadable = Some(origin.driver(&e).message);
                }
                Err(e) => return Err(origin.driver(&e)),
            }
            let shape = known.widen(&listed.database, &listed.name, &shape);
            partial = shape.partial;
            shape.columns(options.reading.flatten_depth, options.reading.decimal_as_text)
        }
    };
    let columns = if columns.is_empty() { vec![("_id".to_string(), Kind::Json, !stored)] } else { columns };
    for (name, kind, nullable) in columns {
        let mut remote = kind.remote(nullable);
        if own_collation {
            // Its texts compare by a collation that no query can override.
            remote.family = match remote.family {
                fjord_engine::pushdown::Family::Text => fjord_engine::pushdown::Family::Other,
                other => other,
            };
            remote.text = None;
        }
        if kind == Kind::Json && name != "_id" && name.split('.').count() == 1 {
            mixed.push(name.clone());
        }
        info.columns.push(ColumnInfo {
            field: Arc::new(kind.field(&name, nullable)),
            source_type: kind.name(),
            remote,
            comment: None,
            default: None,
            identity: None,
            generated: None,
            pretty: None,
            stats: None,
        });
    }
    if options.reading.raw_column && !info.columns.iter().any(|c| c.field.name() == "_raw") {
        info.columns.push(ColumnInfo {
            field: Arc::new(Kind::Raw.field("_raw", false)),
            source_type: Kind::Raw.name(),
            remote: Kind::Raw.remote(false),
            comment: Some("the whole document as relaxed extended JSON".into()),
            default: None,
            identity: None,
            generated: None,
            pretty: None,
            stats: None,
        });
    }
    if stored {
        statistics(client, &mut info).await;
        indexes(client, &mut info, sharded).await;
    }
    // Its index on `_id` is in the order of its collation: no range of ours is one of it.
    Ok(Read { info, own_collation, ranges: stored && !collated, partial, not_random, mixed })
}

fn textual(kind: &Kind, options: &MongoOptions) -> Kind {
    match kind {
        Kind::Decimal if options.reading.decimal_as_text => Kind::DecimalText,
        k => k.clone(),
    }
}

/// Adds what a sample shows. False: it is not a random one.
async fn sample(client: &mongodb::Client, options: &MongoOptions, listed: &Listed, shape: &mut Shape) -> mongodb::error::Result<bool> {
    let size = i64::from(options.reading.sample_size);
    match look_at(client, listed, doc! { "$sample": { "size": size } }, shape).await {
        Err(e) if matches!(e.kind.as_ref(), ErrorKind::Command(c) if c.code == 50) => {
            look_at(client, listed, doc! { "$limit": size }, shape).await.map(|()| false)
        }
        other => other.map(|()| true),
    }
}

async fn look_at(client: &mongodb::Client, listed: &Listed, stage: Document, shape: &mut Shape) -> mongodb::error::Result<()> {
    let millis = i64::try_from(SAMPLE_TIME_MAX.as_millis()).unwrap_or(i64::MAX);
    let command = doc! { "aggregate": &listed.name, "pipeline": [stage], "cursor": { "batchSize": 200 }, "maxTimeMS": millis };
    let mut batches = client.database(&listed.database).run_cursor_command(command).batch_size(200).batch().await?;
    let mut bytes = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        bytes += batch.as_raw_document().as_bytes().len();
        for d in batch.doc_slices()? {
            if let bson::raw::RawBsonRef::Document(d) = d? {
                shape.observe(d);
            }
        }
        if bytes > SAMPLE_BYTES_MAX {
            break;
        }
    }
    Ok(())
}

/// Estimates: without them the query is as right.
async fn statistics(client: &mongodb::Client, info: &mut TableInfo) {
    let Ok(stats) = client.database(&info.schema).run_command(doc! { "collStats": &info.name }).await else { return };
    let number = |name: &str| match stats.get(name) {
        Some(bson::Bson::Int32(n)) => u64::try_from(*n).ok(),
        Some(bson::Bson::Int64(n)) => u64::try_from(*n).ok(),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(bson::Bson::Double(n)) if *n >= 0.0 => Some(*n as u64),
        _ => None,
    };
    info.rows = number("count");
    info.bytes = number("size");
}

async fn indexes(client: &mongodb::Client, info: &mut TableInfo, sharded: bool) {
    let ordinal = |info: &TableInfo, path: &str| info.columns.iter().position(|c| c.field.name() == path);
    // Over several shards, `_id` is unique only where it is the shard key.
    if let (Some(at), false) = (ordinal(info, "_id"), sharded) {
        info.keys.push(KeyInfo {
            name: "_id_".into(),
            primary: true,
            columns: vec![at],
            deferrable: false,
            definition: "PRIMARY KEY (_id)".into(),
            comment: None,
        });
    }
    let Ok(mut cursor) = client.database(&info.schema).run_cursor_command(doc! { "listIndexes": &info.name }).await else { return };
    while let Some(Ok(index)) = cursor.next().await {
        let (Ok(name), Ok(key)) = (index.get_str("name"), index.get_document("key")) else { continue };
        let method = key.values().find_map(bson::Bson::as_str).unwrap_or("btree").to_string();
        let columns: Vec<Option<usize>> = key.keys().map(|path| ordinal(info, path)).collect();
        info.indexes.push(IndexInfo {
            name: name.to_string(),
            unique: name == "_id_" || index.get_bool("unique").unwrap_or(false),
            primary: name == "_id_",
            collations: vec![None; columns.len()],
            operator_classes: vec![String::new(); columns.len()],
            columns,
            included: vec![],
            definition: key.to_string(),
            pretty: key.to_string(),
            method,
            partial: index.contains_key("partialFilterExpression") || index.get_bool("sparse").unwrap_or(false),
            comment: None,
            parent: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{excluded, matches};

    #[test]
    fn patterns() {
        assert!(matches("a*c", "abc") && matches("*", "") && matches("*_log", "x_log") && !matches("a", "ab") && !matches("a*", "b"));
        assert!(excluded("audit_*", "crm", "audit_1") && excluded("log.*", "log", "x") && !excluded("log.*", "crm", "x"));
        assert!(excluded("a.b", "crm", "a.b") && excluded("crm.a.b", "crm", "a.b"));
    }
}
