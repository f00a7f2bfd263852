//! Real servers for tests and for the demo: started on free ports in temp folders, stopped and removed at the end.
//!
//! Here live [`Postgres`], [`PgBouncer`], [`MySql`] (MariaDB too), [`Mongo`], [`FjordServer`] (the real `fjord` binary), [`FaultProxy`] (a TCP proxy that misbehaves on request), [`S3Server`] and the Python
//! environments of client tests ([`Venv`]). No mocks, and nothing of the engine: this crate must build fast and know nothing of DataFusion.
//!
//! Rules of the house:
//! - Nothing sleeps where a condition can be waited for, and every wait has a bound.
//! - A child dies with the process that started it, even when that process is killed (see [`process`]).
//! - What is slow to make (an initialised data folder, certificates, a Python environment) is made once and kept under the cache folder.

pub mod cache;
mod error;
mod fjord;
pub mod java;
pub mod mongo;
pub mod mongo_programs;
mod mysql;
pub mod mysql_programs;
mod pgbouncer;
pub mod ports;
mod postgres;
pub mod process;
mod proxy;
mod s3;
mod tempdir;
pub mod tls;
mod venv;

pub use error::{Error, Result};
pub use fjord::{FjordOptions, FjordServer};
pub use mongo::{Mongo, MongoOptions};
pub use mysql::{Flavor, MySql, MySqlOptions};
pub use pgbouncer::PgBouncer;
pub use postgres::{Auth, Postgres, PostgresOptions};
pub use proxy::{Direction, FaultProxy};
pub use s3::S3Server;
pub use tempdir::TempFolder;
pub use venv::Venv;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks even when another test thread panicked with the lock held: what we guard is never left half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
