//! What a table's files hold: one format, one compression, one set of partition folders, one schema. What does not agree is refused, and the file named.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::file_format::FileFormat;
use datafusion::error::DataFusionError;
use fjord_engine::{Result, SqlError, SqlState};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore};

use crate::format::{Format, Kind};
use crate::layout::partition_keys;
use crate::options::Reading;
use crate::store::TableStore;

/// Files whose schema is read at one time.
const CONCURRENT_MAX: usize = 16;
/// Files of formats with a schema that are read for it; of more, so many evenly spread ones.
const SCHEMA_FILES_MAX: usize = 10_000;
/// Files of CSV and JSON, whose types are guessed from their rows.
const GUESSED_FILES_MAX: usize = 100;

/// What was found out about a table.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) format: Format,
    pub(crate) kind: Kind,
    /// The files' own columns.
    pub(crate) file_schema: SchemaRef,
    /// Partition columns, outermost first.
    pub(crate) partitions: Vec<(String, DataType)>,
    pub(crate) notices: Vec<String>,
}

/// The format of a table's files, by option or by their names.
pub(crate) fn kind_of(files: &[String], reading: &Reading) -> Result<(Format, Kind)> {
    let mut first: Option<(&String, Kind)> = None;
    for name in files {
        let kind = Kind::of(name).with(reading);
        match &first {
            None => first = Some((name, kind)),
            Some((other, k)) if (k.format, k.compression, k.tabs) != (kind.format, kind.compression, kind.tabs) => {
                return Err(mixed(format!("files \"{other}\" and \"{name}\" are of different formats or compressions"))
                    .hint("Narrow the location with a glob such as *.parquet, or say the format with the option \"format\"."));
            }
            Some(_) => {}
        }
    }
    let (name, kind) = first.ok_or_else(|| SqlError::new(SqlState::UNDEFINED_FILE, "there are no files"))?;
    let format = kind.format.ok_or_else(|| {
        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("the format of file \"{name}\" cannot be told from its name"))
            .hint("Say it with the option \"format\": parquet, csv, json, json_array or arrow.")
    })?;
    if !format.is_guessed() && kind.compression != crate::format::Compression::None {
        return Err(SqlError::unsupported(format!("file \"{name}\": {} files are not read through another compression", format.name())));
    }
    Ok((format, kind))
}

/// The partition columns that all files share. A column of whole numbers is bigint, else text.
pub(crate) fn partitions_of(files: &[String], reading: &Reading) -> Result<Vec<(String, DataType)>> {
    let first = files.first().map(|f| partition_keys(f)).unwrap_or_default();
    let keys: Vec<String> = match &reading.partition_columns {
        Some(listed) => listed.clone(),
        None => first.iter().map(|k| (*k).to_string()).collect(),
    };
    let mut values: Vec<Vec<String>> = vec![vec![]; keys.len()];
    for file in files {
        let found = partition_keys(file);
        // Columns that the user listed may be fewer than the folders; inferred ones must be the same everywhere.
        let agree = found.len() >= keys.len() && found.iter().zip(&keys).all(|(a, b)| a == b);
        if !agree || (reading.partition_columns.is_none() && found.len() != keys.len()) {
            let shown = |k: &[&str]| if k.is_empty() { "none".to_string() } else { k.join(", ") };
            let wanted: Vec<&str> = keys.iter().map(String::as_str).collect();
            let other = match &reading.partition_columns {
                Some(_) => "the option partition_columns says".to_string(),
                None => format!("file \"{}\" in", files.first().map_or("", String::as_str)),
            };
            return Err(mixed(format!("file \"{file}\" lies in partition folders ({}), {other} ({})", shown(&found), shown(&wanted)))
                .hint("Name the partition columns with the option partition_columns, or narrow the location."));
        }
        for (i, part) in file.split('/').take(keys.len()).enumerate() {
            if let Some((_, value)) = part.split_once('=') {
                values[i].push(value.to_string());
            }
        }
    }
    // Only the canonical spelling: DataFusion looks for `year=7` where the query says 7, and would not find a folder `year=07`.
    let whole = |v: &String| v.parse::<i64>().is_ok_and(|n| n.to_string() == *v);
    Ok(keys
        .into_iter()
        .zip(values)
        .map(|(k, v)| (k, if v.iter().all(whole) && !v.is_empty() { DataType::Int64 } else { DataType::Utf8 }))
        .collect())
}

/// The columns of a table's files.
pub(crate) async fn infer(
    session: &dyn Session,
    store: &TableStore,
    files: &[ObjectMeta],
    names: &[String],
    reading: &Reading,
) -> Result<Shape> {
    let (format, kind) = kind_of(names, reading)?;
    let reader = kind.reader(format, reading);
    let mut notices = vec![];
    let filled: Vec<ObjectMeta> = files.iter().filter(|f| f.size > 0).cloned().collect();
    if filled.is_empty() {
        return Err(SqlError::new(SqlState::UNDEFINED_FILE, "all files are empty: there is no schema to infer"));
    }
    let most = if format.is_guessed() { GUESSED_FILES_MAX } else { SCHEMA_FILES_MAX };
    let looked_at = spread(&filled, most);
    if looked_at.len() < filled.len() {
        notices.push(format!("the schema was read from {} of {} files", looked_at.len(), filled.len()));
    }
    let as_store: Arc<dyn ObjectStore> = Arc::new(store.clone());
    let schemas = one_by_one(session, &as_store, store, &reader, &looked_at).await?;
    let merged = match format {
        Format::Csv => {
            same_columns(&schemas, reading)?;
            // Types of all rows together: whole numbers in one file and fractions in another are fractions.
            let whole = reader.infer_schema(session, &as_store, &looked_at).await;
            whole.map_err(|e| plain("could not read the schema", &e))?
        }
        Format::Json | Format::JsonArray => {
            let whole = reader.infer_schema(session, &as_store, &looked_at).await;
            whole.map_err(|e| plain("the files' schemas do not agree", &e))?
        }
        Format::Parquet | Format::Arrow => merge(&schemas)?,
    };
    let partitions = partitions_of(names, reading)?;
    if let Some((key, _)) = partitions.iter().find(|(k, _)| merged.fields().iter().any(|f| f.name() == k)) {
        return Err(mixed(format!("column \"{key}\" is in the files and in the folders' names"))
            .hint("Leave it out with the option partition_columns; '-' stands for none."));
    }
    let mut seen = BTreeMap::new();
    for field in merged.fields() {
        if seen.insert(field.name().clone(), ()).is_some() {
            return Err(mixed(format!("column \"{}\" appears twice", field.name())));
        }
    }
    // A file may lack a column, and a reader may meet an empty value: every column may be NULL.
    let fields: Vec<Field> = merged.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    Ok(Shape { format, kind, file_schema: Arc::new(Schema::new(fields)), partitions, notices })
}

async fn one_by_one(
    session: &dyn Session,
    as_store: &Arc<dyn ObjectStore>,
    store: &TableStore,
    reader: &Arc<dyn FileFormat>,
    files: &[ObjectMeta],
) -> Result<Vec<(String, SchemaRef)>> {
    // Boxed, because the compiler cannot see that a stream of borrowing futures may move between threads.
    let tasks: Vec<BoxFuture<'_, Result<(String, SchemaRef)>>> = files
        .iter()
        .map(|file| {
            async move {
                let name = store.name(&file.location);
                match reader.infer_schema(session, as_store, std::slice::from_ref(file)).await {
                    Ok(schema) => Ok((name, schema)),
                    Err(e) => Err(plain(&format!("file \"{name}\" cannot be read"), &e)),
                }
            }
            .boxed()
        })
        .collect();
    futures::stream::iter(tasks).buffered(CONCURRENT_MAX).try_collect().await
}

/// The union of the columns; a column of two types is refused.
fn merge(schemas: &[(String, SchemaRef)]) -> Result<SchemaRef> {
    let mut columns: Vec<(Field, &str)> = vec![];
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (file, schema) in schemas {
        for field in schema.fields() {
            match places.get(field.name()) {
                None => {
                    places.insert(field.name().clone(), columns.len());
                    columns.push((field.as_ref().clone(), file));
                }
                Some(i) => {
                    let (known, other) = &mut columns[*i];
                    if known.try_merge(field).is_err() {
                        return Err(mixed(format!(
                            "column \"{}\" is {} in file \"{other}\" and {} in file \"{file}\"",
                            field.name(),
                            known.data_type(),
                            field.data_type()
                        ))
                        .hint("Narrow the location so that the files of one table have the same columns."));
                    }
                }
            }
        }
    }
    Ok(Arc::new(Schema::new(columns.into_iter().map(|(f, _)| f).collect::<Vec<_>>())))
}

/// CSV is read by position: the columns of all files must be the same, in the same order.
fn same_columns(schemas: &[(String, SchemaRef)], reading: &Reading) -> Result<()> {
    let Some((first, schema)) = schemas.first() else { return Ok(()) };
    let names = |s: &SchemaRef| s.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let wanted = names(schema);
    for (file, other) in schemas {
        let found = names(other);
        let same = if reading.has_header { found == wanted } else { found.len() == wanted.len() };
        if !same {
            return Err(mixed(format!("file \"{file}\" has the columns ({}), file \"{first}\" ({})", found.join(", "), wanted.join(", ")))
                .hint("CSV files of one table must have the same columns in the same order. Narrow the location."));
        }
    }
    Ok(())
}

/// At most so many, evenly spread, the first and the last among them.
fn spread(files: &[ObjectMeta], most: usize) -> Vec<ObjectMeta> {
    if files.len() <= most {
        return files.to_vec();
    }
    (0..most).map(|i| files[i * (files.len() - 1) / (most - 1)].clone()).collect()
}

fn mixed(message: String) -> SqlError {
    SqlError::new(SqlState::DATATYPE_MISMATCH, message)
}

/// A reader's error behind what was being done.
fn plain(doing: &str, e: &DataFusionError) -> SqlError {
    if let Some(ours) = SqlError::within(e) {
        return ours;
    }
    let state = match e.find_root() {
        DataFusionError::ObjectStore(o) => match o.as_ref() {
            object_store::Error::NotFound { .. } => SqlState::UNDEFINED_FILE,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => SqlState::INSUFFICIENT_PRIVILEGE,
            _ => SqlState::CONNECTION_UNABLE,
        },
        _ => SqlState::DATA_EXCEPTION,
    };
    SqlError::new(state, doing.to_string()).detail(e.strip_backtrace())
}
