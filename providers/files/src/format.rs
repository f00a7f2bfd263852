//! Which format and compression a file has, and DataFusion's reader for it.

use std::sync::Arc;

use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;

use crate::options::Reading;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    Json,
    JsonArray,
    Arrow,
}

/// A compression around a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// What a file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) format: Option<Format>,
    pub(crate) compression: Compression,
    /// `.tsv`.
    pub(crate) tabs: bool,
}

impl Format {
    pub(crate) fn parse(word: &str) -> Option<Format> {
        Some(match word {
            "parquet" => Format::Parquet,
            "csv" => Format::Csv,
            "json" => Format::Json,
            "json_array" => Format::JsonArray,
            "arrow" => Format::Arrow,
            _ => return None,
        })
    }
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::JsonArray => "json_array",
            Format::Arrow => "arrow",
        }
    }
    /// Types are guessed from values, so that a few files say as much as all.
    pub(crate) fn is_guessed(self) -> bool {
        matches!(self, Format::Csv | Format::Json | Format::JsonArray)
    }
}

impl Compression {
    pub(crate) fn parse(word: &str) -> Option<Compression> {
        Some(match word {
            "none" => Compression::None,
            "gzip" => Compression::Gzip,
            "bzip2" => Compression::Bzip2,
            "xz" => Compression::Xz,
            "zstd" => Compression::Zstd,
            _ => return None,
        })
    }
    fn of_extension(extension: &str) -> Option<Compression> {
        Some(match extension {
            "gz" | "gzip" => Compression::Gzip,
            "bz2" => Compression::Bzip2,
            "xz" => Compression::Xz,
            "zst" | "zstd" => Compression::Zstd,
            _ => return None,
        })
    }
    fn to_datafusion(self) -> FileCompressionType {
        CompressionTypeVariant::from(self).into()
    }
}

impl From<Compression> for CompressionTypeVariant {
    fn from(c: Compression) -> CompressionTypeVariant {
        match c {
            Compression::None => CompressionTypeVariant::UNCOMPRESSED,
            Compression::Gzip => CompressionTypeVariant::GZIP,
            Compression::Bzip2 => CompressionTypeVariant::BZIP2,
            Compression::Xz => CompressionTypeVariant::XZ,
            Compression::Zstd => CompressionTypeVariant::ZSTD,
        }
    }
}

impl Kind {
    /// By the extensions of a file's name.
    pub(crate) fn of(name: &str) -> Kind {
        let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        let mut rest = name.as_str();
        let mut compression = Compression::None;
        if let Some((stem, extension)) = rest.rsplit_once('.')
            && let Some(c) = Compression::of_extension(extension)
        {
            compression = c;
            rest = stem;
        }
        let extension = rest.rsplit_once('.').map_or("", |(_, e)| e);
        let format = match extension {
            "parquet" | "parq" | "pq" => Some(Format::Parquet),
            "csv" | "tsv" => Some(Format::Csv),
            "json" | "jsonl" | "ndjson" => Some(Format::Json),
            "arrow" | "arrows" | "ipc" | "feather" => Some(Format::Arrow),
            _ => None,
        };
        Kind { format, compression, tabs: extension == "tsv" }
    }

    /// With what the user said.
    pub(crate) fn with(self, reading: &Reading) -> Kind {
        Kind { format: reading.format.or(self.format), compression: reading.compression.unwrap_or(self.compression), tabs: self.tabs }
    }

    /// DataFusion's reader.
    pub(crate) fn reader(self, format: Format, reading: &Reading) -> Arc<dyn FileFormat> {
        match format {
            // Text columns are plain Utf8 everywhere in Fjord; a timestamp of 96 bits is read as microseconds, which do not overflow before the year 294247.
            Format::Parquet => Arc::new(ParquetFormat::new().with_force_view_types(false).with_coerce_int96(Some("us".into()))),
            Format::Csv => Arc::new(
                CsvFormat::default()
                    .with_has_header(reading.has_header)
                    .with_delimiter(reading.delimiter.unwrap_or(if self.tabs { b'\t' } else { b',' }))
                    .with_quote(reading.quote)
                    .with_escape(reading.escape)
                    .with_newlines_in_values(reading.newlines_in_values)
                    .with_schema_infer_max_rec(reading.infer_rows)
                    .with_file_compression_type(self.compression.to_datafusion()),
            ),
            Format::Json | Format::JsonArray => Arc::new(
                JsonFormat::default()
                    .with_newline_delimited(format == Format::Json)
                    .with_schema_infer_max_rec(reading.infer_rows)
                    .with_file_compression_type(self.compression.to_datafusion()),
            ),
            Format::Arrow => Arc::new(ArrowFormat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_extension() {
        assert_eq!(Kind::of("a/b/x.CSV.gz"), Kind { format: Some(Format::Csv), compression: Compression::Gzip, tabs: false });
        assert_eq!(Kind::of("x.snappy.parquet").format, Some(Format::Parquet));
        assert_eq!(Kind::of("README").format, None);
        assert_eq!(Kind::of("x.zst"), Kind { format: None, compression: Compression::Zstd, tabs: false });
        assert!(Kind::of("x.tsv").tabs);
    }
}
