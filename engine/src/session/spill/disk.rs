//! Batches on disk: files without a name, each with many batches one behind the other, as Arrow IPC streams.
//!
//! A file has no name from its first moment on (`O_TMPFILE`, or removed once it is open), so that the kernel removes it with the process that has it
//! open, however that ends. A file is closed, and its room free again, when its last batch has been read or dropped.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::error::DataFusionError;

use crate::error::{Result, SqlError, SqlState};

/// A file is closed when it has so much.
const FILE_BYTES: u64 = 64 << 20;
/// Of all queries together, where nothing else is said.
const ALL_BYTES: u64 = 16 << 30;

/// Where batches are put, and how much room there is for all.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    used: AtomicU64,
    max: AtomicU64,
}

impl Disk {
    /// Below the data folder, or among the system's temporary files. The folder is made when it is first needed.
    pub(crate) fn new(data_dir: Option<&Path>) -> Arc<Disk> {
        let folder = data_dir.map_or_else(|| std::env::temp_dir().join("fjord-spill"), |d| d.join("spill"));
        Arc::new(Disk { folder, used: AtomicU64::new(0), max: AtomicU64::new(ALL_BYTES) })
    }
    /// Bytes of all queries together.
    pub(crate) fn limit(&self, bytes: u64) {
        self.max.store(bytes, Ordering::Relaxed);
    }
    /// Bytes on disk now.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }
    fn take(&self, bytes: u64) -> Result<()> {
        let max = self.max.load(Ordering::Relaxed);
        let taken = self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| used.checked_add(bytes).filter(|all| *all <= max));
        taken.map(|_| ()).map_err(|_| {
            SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, format!("rows that clients do not read take more disk than {max} bytes"))
                .hint("Read them, or raise [limits] spill in fjord.toml.")
        })
    }
    pub(super) fn failed(&self, what: &str, e: &io::Error) -> SqlError {
        let state =
            if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) { SqlState::DISK_FULL } else { SqlState::IO_ERROR };
        SqlError::new(state, format!("rows that wait for their client cannot be {what} {}: {e}", self.folder.display()))
    }
}

/// The batches of one query.
pub(super) struct Writer {
    disk: Arc<Disk>,
    room: Arc<Room>,
    file: Option<Arc<Spill>>,
    at: u64,
}

/// What one query has on disk.
struct Room {
    used: AtomicU64,
    max: u64,
}

/// A file.
struct Spill {
    file: File,
    bytes: AtomicU64,
    room: Arc<Room>,
    disk: Arc<Disk>,
}

impl Drop for Spill {
    fn drop(&mut self) {
        let bytes = self.bytes.load(Ordering::SeqCst);
        self.room.used.fetch_sub(bytes, Ordering::SeqCst);
        self.disk.used.fetch_sub(bytes, Ordering::SeqCst);
    }
}

/// A batch on disk.
pub(super) struct Extent {
    spill: Arc<Spill>,
    at: u64,
    bytes: usize,
}

impl Writer {
    pub(super) fn new(disk: Arc<Disk>, bytes_max: u64) -> Writer {
        Writer { disk, room: Arc::new(Room { used: AtomicU64::new(0), max: bytes_max }), file: None, at: 0 }
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// 53400 where there is no room for it, 53100 or 58030 where the disk does not take it.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Extent> {
        let data = encoded(batch).map_err(|e| SqlError::from(DataFusionError::from(e)))?;
        let bytes = data.len() as u64;
        let max = self.room.max;
        if self.room.used.load(Ordering::SeqCst) + bytes > max {
            let m = format!("rows that wait for their client take more disk than fjord.spill_size_max ({max} bytes)");
            return Err(SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, m).hint("Read them, or raise fjord.spill_size_max."));
        }
        let spill = self.file()?;
        self.disk.take(bytes)?;
        self.room.used.fetch_add(bytes, Ordering::SeqCst);
        spill.bytes.fetch_add(bytes, Ordering::SeqCst);
        if let Err(e) = spill.file.write_all_at(&data, self.at) {
            // What was written of it is given back with the file.
            self.file = None;
            return Err(self.disk.failed("written to", &e).hint("Free some space, or see fjord.spill_after."));
        }
        let extent = Extent { spill, at: self.at, bytes: data.len() };
        self.at += bytes;
        Ok(extent)
    }

    /// The file to write to.
    fn file(&mut self) -> Result<Arc<Spill>> {
        if let Some(file) = self.file.as_ref().filter(|_| self.at < FILE_BYTES) {
            return Ok(file.clone());
        }
        let folder = &self.disk.folder;
        let made = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        let file = made.map_err(|e| self.disk.failed("written to", &e))?;
        let spill = Arc::new(Spill { file, bytes: AtomicU64::new(0), room: self.room.clone(), disk: self.disk.clone() });
        self.file = Some(spill.clone());
        self.at = 0;
        Ok(spill)
    }
}

impl Extent {
    /// Its size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
    }
    /// The batch again.
    ///
    /// # Errors
    /// 58030.
    pub(super) fn read(&self, schema: SchemaRef) -> Result<RecordBatch> {
        let mut data = vec![0; self.bytes];
        self.spill.file.read_exact_at(&mut data, self.at).map_err(|e| self.spill.disk.failed("read from", &e))?;
        decoded(data, schema).map_err(|e| self.spill.disk.failed("read from", &io::Error::other(e)))
    }
}

fn encoded(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::with_capacity(batch.get_array_memory_size()), &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner()
}

fn decoded(data: Vec<u8>, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
    let mut reader = StreamReader::try_new(Cursor::new(data), None)?;
    let batch = reader.next().ok_or_else(|| ArrowError::IpcError("no batch".into()))??;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, batch.columns().to_vec(), &options)
}
