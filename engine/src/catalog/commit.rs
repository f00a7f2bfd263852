//! Commits: read the newest state, change it, put it under the next number if nobody else has.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::state::{Commit, State};
use super::store::{Commits, Put};
use crate::error::{Result, SqlError, SqlState};

/// Lost races before a commit gives up.
const ATTEMPTS_MAX: u32 = 64;
/// Old commits kept: for looking back, and for a server that is a little behind.
pub(super) const KEPT: u64 = 100;
/// And none is deleted that is younger: a server that was stopped between its list and its put must find the numbers taken.
const KEPT_AGE: Duration = Duration::from_secs(3600);

/// The newest commit of the store; a catalog that was never written to has commit 0, which is not stored.
pub(super) async fn newest(commits: &Commits) -> Result<Commit> {
    // The newest in a list can be pruned before it is read only by a server that has made many more: list again then.
    for _ in 0..ATTEMPTS_MAX {
        let Some((seq, _)) = commits.list().await?.last().copied() else {
            return Ok(Commit { seq: 0, nonce: String::new(), parent: None, state: Arc::default() });
        };
        if let Some(bytes) = commits.read(seq).await? {
            return Commit::decode(seq, &bytes);
        }
    }
    Err(SqlError::new(SqlState::IO_ERROR, "the newest catalog commit disappears again and again"))
}

/// The commit after `seq`, if there is one: one cheap read, for polling.
pub(super) async fn next(commits: &Commits, seq: u64) -> Result<Option<Commit>> {
    match commits.read(seq + 1).await? {
        Some(bytes) => Commit::decode(seq + 1, &bytes).map(Some),
        None => Ok(None),
    }
}

/// Changes the newest state. `change` runs again, on the newer state, each time another server was faster; it decides from the state alone. A change
/// that changes nothing commits nothing.
pub(super) async fn commit<T>(commits: &Commits, change: impl Fn(&mut State) -> Result<T>) -> Result<(T, Commit)> {
    for attempt in 0..ATTEMPTS_MAX {
        let base = newest(commits).await?;
        let mut state = base.state.as_ref().clone();
        let value = change(&mut state)?;
        if state == *base.state {
            return Ok((value, base));
        }
        let new = Commit {
            seq: base.seq + 1,
            nonce: uuid::Uuid::new_v4().to_string(),
            parent: (base.seq > 0).then_some(base.nonce),
            state: Arc::new(state),
        };
        if put(commits, &new).await? {
            return Ok((value, new));
        }
        // Another was faster. Wait a little, and more each time, so that many servers do not keep losing to each other.
        let wait = rand::rng().random_range(0..=(2 << attempt.min(7)));
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    Err(SqlError::new(SqlState::SERIALIZATION_FAILURE, "the catalog is changed by other servers all the time").hint("Try again."))
}

/// Puts a commit; false: the number is another's.
async fn put(commits: &Commits, new: &Commit) -> Result<bool> {
    let bytes = new.encode()?;
    let mut last = None;
    // A put whose answer was lost may have worked; and object_store retries by itself, so our own success can come back as a conflict. The
    // nonce tells.
    for _ in 0..3 {
        match commits.create(new.seq, bytes.clone()).await {
            Ok(Put::Created) => return Ok(true),
            Ok(Put::Exists) => {}
            Err(e) => last = Some(e),
        }
        match commits.read(new.seq).await? {
            Some(there) => return Ok(Commit::decode(new.seq, &there)?.nonce == new.nonce),
            // Exists, and then it does not: only a store that breaks its word; the next round says so.
            None => continue,
        }
    }
    Err(last.unwrap_or_else(|| SqlError::new(SqlState::IO_ERROR, "the store says that a catalog commit exists, and does not give it")))
}

/// Deletes commits that nobody needs any more.
pub(super) async fn prune(commits: &Commits, newest: u64) {
    let Ok(all) = commits.list().await else { return };
    for (seq, age) in all {
        if seq + KEPT < newest && age > KEPT_AGE {
            commits.delete(seq).await;
        }
    }
}
