//! The source: from a location to tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use fjord_engine::pgtype::PgType;
use fjord_engine::pushdown::{Dialect, Family, RemoteType};
use fjord_engine::source::{
    Check, ColumnInfo, Partitioning, PoolStatus, RemoteRequest, SchemaInfo, Source, SourceCatalog, TableInfo, TableKind,
};
use fjord_engine::{Result, SqlError, SqlState};
use futures::TryStreamExt;

use crate::error::store_error;
use crate::layout::Place;
use crate::location::Opened;
use crate::options::FilesOptions;
use crate::schema::{Shape, infer, partitions_of};
use crate::store::{FILES_MAX, TableStore};
use crate::table::FilesTable;

/// The one schema of a files connector.
const SCHEMA: &str = "files";
/// Tables of one connector: a folder of more sub-folders is likely not meant as tables.
const TABLES_MAX: usize = 10_000;

/// An open files connector.
#[derive(Debug)]
pub(crate) struct FilesSource {
    connector: String,
    options: FilesOptions,
}

impl FilesSource {
    pub(crate) fn open(connector: &str, options: FilesOptions) -> Result<FilesSource> {
        Ok(FilesSource { connector: connector.to_string(), options })
    }

    /// Puts the connector's name before a message.
    fn named(&self, mut e: SqlError) -> SqlError {
        e.message = format!("connector \"{}\": {}", self.connector, e.message);
        e
    }

    /// The tables and how many files each has, by listing.
    async fn places(&self, opened: &Opened) -> Result<BTreeMap<String, (Place, Vec<String>)>> {
        let text = &self.options.location.text;
        let mut tables: BTreeMap<String, (Place, Vec<String>)> = BTreeMap::new();
        let mut add = |path: &str| -> Result<()> {
            let Some(place) = opened.layout.place(path, &self.options.reading) else { return Ok(()) };
            let (known, files) = tables.entry(place.table.clone()).or_insert_with(|| (place.clone(), vec![]));
            if *known != place {
                return Err(SqlError::new(
                    SqlState::DUPLICATE_TABLE,
                    format!("file \"{path}\" and the folder \"{}\" make the same table", place.table),
                )
                .hint("Narrow the location with a glob."));
            }
            files.push(path.to_string());
            Ok(())
        };
        if let crate::layout::Layout::File { name, .. } = &opened.layout {
            add(name)?;
            return Ok(tables);
        }
        let base = Some(&opened.base).filter(|b| b.as_ref() != "");
        let mut found = opened.store.list(base);
        let mut count = 0;
        while let Some(meta) = found.try_next().await.map_err(|e| store_error("list", text, &e))? {
            count += 1;
            if count > FILES_MAX {
                return Err(SqlError::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    format!("location \"{text}\" has more than {FILES_MAX} files"),
                )
                .hint("Narrow the location."));
            }
            let path = meta.location.as_ref();
            let skip = if opened.base.as_ref().is_empty() { 0 } else { opened.base.as_ref().len() + 1 };
            if let Some(below) = path.get(skip..) {
                add(below)?;
            }
        }
        if tables.is_empty() {
            return Err(SqlError::new(SqlState::UNDEFINED_FILE, format!("there are no files of a known format at \"{text}\""))
                .detail(format!("{count} files were listed."))
                .hint("Known extensions: .parquet, .csv, .tsv, .json, .jsonl, .ndjson, .arrow; for others say the option \"format\"."));
        }
        if tables.len() > TABLES_MAX {
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("location \"{text}\" makes {} tables", tables.len()))
                .hint(format!("At most {TABLES_MAX}: narrow the location.")));
        }
        Ok(tables)
    }

    async fn table(&self, opened: &Opened, place: &Place, files: &[String]) -> Result<(TableInfo, Shape)> {
        // Unique in the process: DataFusion's caches and its registry of stores are shared by all.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let reading = &self.options.reading;
        let skip = if place.folder.is_empty() { 0 } else { place.folder.len() + 1 };
        let mut below: Vec<String> = files.iter().filter_map(|f| f.get(skip..)).map(str::to_string).collect();
        below.sort();
        let partitions = partitions_of(&below, reading)?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let store = TableStore::new(opened, reading, place, id, partitions.into_iter().map(|(k, _)| k).collect());
        let metas = store.files().await.map_err(|e| store_error("list", &self.options.location.text, &e))?;
        let context = SessionContext::new();
        let shape = infer(&context.state(), &store, &metas, &below, reading).await?;
        let provider = FilesTable::new(&place.table, store, &shape, reading)?;
        let info = TableInfo {
            schema: SCHEMA.into(),
            name: place.table.clone(),
            kind: TableKind::Files,
            columns: provider.schema().fields().iter().map(column).collect(),
            keys: vec![],
            foreign_keys: vec![],
            checks: vec![],
            indexes: vec![],
            partitioning: Partitioning::default(),
            comment: None,
            rows: None,
            bytes: Some(metas.iter().map(|m| m.size).sum()),
            unreadable: None,
            row_security: false,
            native: Some(Arc::new(provider)),
        };
        Ok((info, shape))
    }

    async fn all(&self) -> Result<Vec<(Place, usize, Result<(TableInfo, Shape)>)>> {
        let opened = self.options.location.open(&self.options.access, self.options.root.as_deref()).await?;
        let mut out = vec![];
        for (place, files) in self.places(&opened).await?.into_values() {
            let table = self.table(&opened, &place, &files).await;
            out.push((place, files.len(), table));
        }
        Ok(out)
    }
}

#[async_trait]
impl Source for FilesSource {
    fn dialect(&self) -> Option<Arc<dyn Dialect>> {
        None
    }

    fn location(&self) -> String {
        self.options.location.text.clone()
    }

    async fn validate(&self) -> Vec<Check> {
        let opened = match self.options.location.open(&self.options.access, self.options.root.as_deref()).await {
            Ok(o) => o,
            Err(e) => return vec![Check::failed("location", self.named(e))],
        };
        let mut checks = vec![Check::ok("location", self.options.location.text.clone())];
        let places = match self.places(&opened).await {
            Ok(p) => p,
            Err(e) => {
                checks.push(Check::failed("list", self.named(e)));
                return checks;
            }
        };
        let count: usize = places.values().map(|(_, f)| f.len()).sum();
        checks.push(Check::ok("list", format!("{count} files, {} tables", places.len())));
        let tables = places.len();
        let mut broken = vec![];
        for (place, files) in places.into_values() {
            match self.table(&opened, &place, &files).await {
                Ok((info, shape)) => {
                    let detail =
                        format!("table \"{}\": {} {} files, {} columns", place.table, files.len(), shape.format.name(), info.columns.len());
                    checks.push(Check::ok("schema", detail));
                }
                Err(e) => broken.push((place, e)),
            }
        }
        // One broken table among good ones is shown with its reason; a connector without any good one is refused.
        let all_broken = broken.len() == tables;
        for (place, e) in broken {
            checks.push(if all_broken {
                Check::failed("schema", self.named(e))
            } else {
                let more = e.detail.as_deref().unwrap_or("");
                Check::warning("schema", format!("table \"{}\": {} {more}", place.table, e.message), e.hint.unwrap_or_default())
            });
        }
        checks
    }

    async fn introspect(&self) -> Result<SourceCatalog> {
        let mut notices = vec![];
        let mut tables = vec![];
        let mut good = 0;
        let mut first_error = None;
        for (place, _, table) in self.all().await.map_err(|e| self.named(e))? {
            match table {
                Ok((info, shape)) => {
                    notices.extend(shape.notices.iter().map(|n| format!("table \"{}\": {n}", place.table)));
                    tables.push(Arc::new(info));
                    good += 1;
                }
                Err(e) => {
                    notices.push(format!("table \"{}\" cannot be read: {}", place.table, e.message));
                    tables.push(Arc::new(unreadable(&place, &e)));
                    first_error.get_or_insert(e);
                }
            }
        }
        if let Some(e) = first_error.filter(|_| good == 0) {
            return Err(self.named(e));
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(SourceCatalog {
            server_version: "files".into(),
            default_schema: SCHEMA.into(),
            schemas: vec![SchemaInfo { name: SCHEMA.into(), comment: None, tables }],
            notices,
        })
    }

    fn execute(&self, _: RemoteRequest) -> Result<SendableRecordBatchStream> {
        Err(no_queries(&self.connector))
    }

    async fn describe(&self, _: &str) -> Result<SchemaRef> {
        Err(no_queries(&self.connector))
    }

    fn pool(&self) -> PoolStatus {
        PoolStatus::default()
    }

    async fn close(&self) {}
}

fn no_queries(connector: &str) -> SqlError {
    SqlError::unsupported(format!("connector \"{connector}\" reads files, and takes no remote queries"))
}

/// A table that is listed although it cannot be read.
fn unreadable(place: &Place, e: &SqlError) -> TableInfo {
    let reason = e.detail.as_deref().map_or_else(|| e.message.clone(), |d| format!("{} ({d})", e.message));
    TableInfo {
        schema: SCHEMA.into(),
        name: place.table.clone(),
        kind: TableKind::Files,
        columns: vec![],
        keys: vec![],
        foreign_keys: vec![],
        checks: vec![],
        indexes: vec![],
        partitioning: Partitioning::default(),
        comment: None,
        rows: None,
        bytes: None,
        unreadable: Some(reason),
        row_security: false,
        native: None,
    }
}

fn column(field: &Arc<Field>) -> ColumnInfo {
    let pg = PgType::of(field);
    ColumnInfo {
        field: field.clone(),
        remote: RemoteType {
            name: pg.name.to_string(),
            family: family(field.data_type()),
            arrow: field.data_type().clone(),
            nullable: field.is_nullable(),
            text: None,
        },
        source_type: field.data_type().to_string(),
        comment: None,
        default: None,
        identity: None,
        generated: None,
        pretty: None,
        stats: None,
    }
}

/// Nothing is pushed into files by us; this is for display and for planning by kinds.
fn family(t: &DataType) -> Family {
    match t {
        DataType::Boolean => Family::Bool,
        DataType::Int8 => Family::Int(8),
        DataType::Int16 => Family::Int(16),
        DataType::Int32 => Family::Int(32),
        DataType::Int64 => Family::Int(64),
        DataType::UInt8 => Family::UInt(8),
        DataType::UInt16 => Family::UInt(16),
        DataType::UInt32 => Family::UInt(32),
        DataType::UInt64 => Family::UInt(64),
        DataType::Float32 => Family::Float(32),
        DataType::Float64 => Family::Float(64),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Family::Decimal(Some((*p, *s))),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Family::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Family::Bytes,
        DataType::Date32 | DataType::Date64 => Family::Date,
        DataType::Time32(_) | DataType::Time64(_) => Family::Time,
        DataType::Timestamp(_, None) => Family::Timestamp,
        DataType::Timestamp(_, Some(_)) => Family::TimestampTz,
        DataType::Interval(_) => Family::Interval,
        _ => Family::Other,
    }
}
