//! A world: tables with their rows, as text, and how they come into Postgres and into Parquet files.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use fjord_harness::{Error, MySql, Result};

use crate::ast::{FILES_SCHEMA, Names, SCHEMA, quoted};
use crate::source::Source;
use crate::types::{Kind, LABELS, Ty, text_literal};
use crate::wire::{Connection, Row};

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSpec {
    /// Its name, not quoted.
    pub name: String,
    /// Its type.
    pub ty: Ty,
    /// The type as CREATE TABLE says it, with collation and NOT NULL.
    pub sql: String,
    /// No value of it is larger; infinite where that is not known.
    pub magnitude: f64,
    /// Its values differ from one another and none is NULL.
    pub unique: bool,
}

/// A table or a file with its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    /// Its name, not quoted.
    pub name: String,
    /// It is a Parquet file.
    pub file: bool,
    /// The columns.
    pub columns: Vec<ColumnSpec>,
    /// The rows, values in Postgres's text form.
    pub rows: Vec<Row>,
    /// Statements after the rows are there: indexes, constraints. `{}` is the table.
    pub after: Vec<String>,
}

/// Every table that a query may name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// The server that its tables are in.
    pub source: Source,
    /// The tables and files.
    pub tables: Vec<TableSpec>,
}

/// What every database needs once: types and collations.
pub fn prelude() -> String {
    let labels: Vec<String> = LABELS.iter().map(|l| text_literal(l)).collect();
    format!(
        "CREATE EXTENSION IF NOT EXISTS citext;
         CREATE TYPE mood AS ENUM ({});
         CREATE COLLATION nondet (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE DOMAIN small AS int CHECK (VALUE < 1000000);
         CREATE DOMAIN label AS text COLLATE \"C\";
         CREATE SCHEMA {SCHEMA}; CREATE SCHEMA {FILES_SCHEMA};",
        labels.join(", ")
    )
}

impl World {
    /// The statements that make its tables, without rows.
    pub fn ddl(&self) -> String {
        let mut sql = format!(
            "DROP SCHEMA {SCHEMA} CASCADE; DROP SCHEMA {FILES_SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}; CREATE SCHEMA {FILES_SCHEMA};\n"
        );
        for t in &self.tables {
            let _ = writeln!(sql, "{};", t.create());
        }
        sql
    }

    /// Puts it into Postgres, and its files into the folder, in the place of what was there.
    pub fn load(&self, postgres: &mut Connection, folder: &Path) -> Result<()> {
        postgres.run(&format!("SET client_min_messages = error; {}", self.ddl()))?;
        for t in &self.tables {
            if let Some(insert) = t.insert() {
                postgres.run(&insert)?;
            }
            for statement in &t.after {
                postgres.run(&statement.replace("{}", &t.qualified()))?;
            }
            postgres.run(&format!("ANALYZE {}", t.qualified()))?;
        }
        self.write_files(folder)
    }

    /// The same for MySQL and MariaDB, in databases of a worker.
    pub fn load_mysql(&self, server: &MySql, names: &Names, folder: &Path) -> Result<()> {
        // Dates that are none may be written, and what does not fit is cut.
        let mut sql = String::from("SET NAMES utf8mb4; SET sql_mode = 'ALLOW_INVALID_DATES'; SET time_zone = '+00:00';\n");
        for database in [&names.schema, &names.beside] {
            let _ = writeln!(sql, "DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database};");
        }
        for t in self.tables.iter().filter(|t| !t.file) {
            let name = format!("{}.{}", names.schema_of(&t.name), self.source.quoted(&t.name));
            let columns: Vec<String> = t.columns.iter().map(|c| format!("{} {}", self.source.quoted(&c.name), c.sql)).collect();
            let _ = writeln!(sql, "CREATE TABLE {name} ({}) ENGINE=InnoDB;", columns.join(", "));
            let row = |r: &Row| {
                let value = |(c, v): (&ColumnSpec, &Option<String>)| v.as_deref().map_or("NULL".into(), |v| self.source.literal(c.ty, v));
                format!("({})", t.columns.iter().zip(r).map(value).collect::<Vec<_>>().join(", "))
            };
            if !t.rows.is_empty() {
                let rows: Vec<String> = t.rows.iter().map(row).collect();
                let _ = writeln!(sql, "INSERT INTO {name} VALUES {};", rows.join(",\n"));
            }
            for statement in &t.after {
                let _ = writeln!(sql, "{};", statement.replace("{}", &name));
            }
            let _ = writeln!(sql, "ANALYZE TABLE {name};");
        }
        server.sql(&sql).map_err(|e| Error::new(format!("{e}\nin {sql}")))?;
        self.write_files(folder)
    }

    fn write_files(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        for t in self.tables.iter().filter(|t| t.file) {
            t.write_parquet(&folder.join(format!("{}.parquet", t.name)))?;
        }
        Ok(())
    }
}

impl TableSpec {
    /// Schema and name.
    pub fn qualified(&self) -> String {
        format!("{}.{}", if self.file { FILES_SCHEMA } else { SCHEMA }, quoted(&self.name))
    }

    /// CREATE TABLE.
    pub fn create(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|c| format!("{} {}", quoted(&c.name), c.sql)).collect();
        format!("CREATE TABLE {} ({})", self.qualified(), columns.join(", "))
    }

    fn insert(&self) -> Option<String> {
        let row = |r: &Row| {
            let values: Vec<String> = r.iter().map(|v| v.as_deref().map_or("NULL".into(), text_literal)).collect();
            format!("({})", values.join(", "))
        };
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        (!rows.is_empty()).then(|| format!("INSERT INTO {} VALUES {}", self.qualified(), rows.join(",\n")))
    }

    /// Several small row groups, so that statistics of groups and pages matter.
    fn write_parquet(&self, path: &Path) -> Result<()> {
        let mut fields = vec![];
        let mut arrays = vec![];
        for (i, c) in self.columns.iter().enumerate() {
            let texts: Vec<Option<&str>> = self.rows.iter().map(|r| r[i].as_deref()).collect();
            let array = column(c.ty, &texts)?;
            fields.push(Field::new(&c.name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(Error::at("a file's rows"))?;
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(7)).build();
        let mut writer = ArrowWriter::try_new(File::create(path)?, schema, Some(properties)).map_err(Error::at("a Parquet file"))?;
        writer.write(&batch).map_err(Error::at("a Parquet file"))?;
        writer.close().map_err(Error::at("a Parquet file"))?;
        Ok(())
    }
}

/// Texts as an Arrow column of the type that a file has for it.
fn column(ty: Ty, texts: &[Option<&str>]) -> Result<ArrayRef> {
    let strings = || Arc::new(StringArray::from_iter(texts.iter().copied())) as ArrayRef;
    let to = |t: DataType| cast(&strings(), &t).map_err(Error::at(format!("values of {}", ty.name())));
    let floats = |t: &&str| t.replace("Infinity", "inf").parse::<f64>().map_err(Error::at("a float"));
    Ok(match ty {
        Ty::Bool => Arc::new(BooleanArray::from_iter(texts.iter().map(|t| t.map(|t| t == "t")))),
        Ty::I2 => to(DataType::Int16)?,
        Ty::I4 => to(DataType::Int32)?,
        Ty::I8 => to(DataType::Int64)?,
        Ty::F4 => {
            let values: Result<Vec<Option<f32>>> =
                texts.iter().map(|t| t.map(|t| t.replace("Infinity", "inf").parse().map_err(Error::at("a float"))).transpose()).collect();
            Arc::new(Float32Array::from(values?))
        }
        Ty::F8 => {
            let values: Result<Vec<Option<f64>>> = texts.iter().map(|t| t.as_ref().map(floats).transpose()).collect();
            Arc::new(Float64Array::from(values?))
        }
        Ty::Num(p, s) => to(DataType::Decimal128(p, s.cast_signed()))?,
        Ty::Date => to(DataType::Date32)?,
        Ty::Ts => to(DataType::Timestamp(TimeUnit::Microsecond, None))?,
        Ty::Tz => to(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?,
        Ty::Bytes => {
            let bytes =
                |t: &str| (2..t.len()).step_by(2).filter_map(|i| u8::from_str_radix(t.get(i..i + 2)?, 16).ok()).collect::<Vec<u8>>();
            Arc::new(BinaryArray::from_iter(texts.iter().map(|t| t.map(bytes))))
        }
        Ty::Text(Kind::C) => strings(),
        other => return Err(Error::new(format!("a file has no column of {other:?}"))),
    })
}
