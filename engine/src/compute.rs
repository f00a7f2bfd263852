//! Where queries compute: threads of their own, so that a query that needs the processor for seconds leaves those of the wire alone.
//!
//! An operator gives its thread back only between batches. On the wire's threads a few such queries would keep everybody waiting: who connects, who
//! cancels, who looks up a row. Here they wait for each other only, and there are more threads than cores, so that the operating system lets each have
//! its turn. What only passes on what a source sends stays with its session, which saves a lookup two changes of thread.

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Result, SqlError, SqlState};

/// Stack of a thread that plans or computes: DataFusion recurses, and an unoptimized build overflows the usual 2 MiB with a plain SELECT. Address space
/// only: pages are taken as they are touched.
pub const STACK_BYTES: usize = 32 << 20;
/// Threads, at least and at most; in between four to a core.
const THREADS_MIN: usize = 8;
const THREADS_MAX: usize = 64;

/// The threads of one engine.
pub(crate) struct Compute {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Compute {
    /// Starts them; they sleep until there is work.
    ///
    /// # Errors
    /// 58030 where the system has no threads left.
    pub(crate) fn start() -> Result<Compute> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = (cores * 4).clamp(THREADS_MIN, THREADS_MAX);
        // Sources may be spoken to from here too (files): sockets and timers work.
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(threads).thread_name("fjord-compute").thread_stack_size(STACK_BYTES).enable_all();
        let runtime =
            builder.build().map_err(|e| SqlError::new(SqlState::IO_ERROR, format!("the threads for queries cannot be started: {e}")))?;
        Ok(Compute { runtime: Some(runtime) })
    }

    /// For spawning.
    pub(crate) fn handle(&self) -> Result<&Handle> {
        self.runtime.as_ref().map(Runtime::handle).ok_or_else(|| SqlError::internal("the threads for queries are gone"))
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        // An engine may end inside of an async task, where nothing may be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
