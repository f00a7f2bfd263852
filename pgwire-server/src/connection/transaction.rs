//! The transaction state of a session.
//!
//! Fjord writes nothing to sources, so a transaction has three jobs: to answer as Postgres does (tags, warnings, 25P02 until the block ends), to
//! take SETs back on ROLLBACK, and to end cursors.

use fjord_engine::session::Settings;
use fjord_engine::source::{Notice, Severity};
use fjord_engine::{Result, SqlError, SqlState};

use crate::protocol::backend::TxStatus;
use crate::protocol::limits::SAVEPOINTS_MAX;

/// Where a session stands.
#[derive(Debug, Default)]
pub struct Transaction {
    block: Block,
    /// Settings to go back to; set while any transaction, explicit or implicit, is open.
    start: Option<Snapshot>,
    savepoints: Vec<Savepoint>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Block {
    #[default]
    None,
    /// Several statements in one simple Query, or extended messages up to Sync.
    Implicit,
    Explicit,
    Failed,
}

/// The settings at one point: what the session sees, and what it will see after COMMIT (without SET LOCAL).
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Seen now.
    pub current: Settings,
    /// Seen after COMMIT; `None` is the same as `current`.
    pub session: Option<Settings>,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    at: Snapshot,
    /// Portals with this serial number or a higher one were made after it.
    portal_serial: u64,
}

/// What ROLLBACK TO leads to.
#[derive(Debug)]
pub struct RolledBack {
    /// The settings to take up again.
    pub settings: Snapshot,
    /// Close the portals made since.
    pub portal_serial: u64,
}

impl Transaction {
    /// For ReadyForQuery.
    pub fn status(&self) -> TxStatus {
        match self.block {
            Block::None | Block::Implicit => TxStatus::Idle,
            Block::Explicit => TxStatus::Block,
            Block::Failed => TxStatus::Failed,
        }
    }
    /// In an explicit block that has failed.
    pub fn is_failed(&self) -> bool {
        self.block == Block::Failed
    }
    /// In an explicit block, failed or not.
    pub fn in_block(&self) -> bool {
        matches!(self.block, Block::Explicit | Block::Failed)
    }
    /// Any transaction is open that has something to go back to.
    pub fn is_open(&self) -> bool {
        self.start.is_some()
    }
    /// Opens the implicit transaction of one statement or of several, where none is open.
    pub fn enter(&mut self, settings: &Settings, several: bool) {
        if self.start.is_none() {
            self.start = Some(Snapshot { current: settings.clone(), session: None });
        }
        if several && self.block == Block::None {
            self.block = Block::Implicit;
        }
    }
    /// BEGIN. A warning where a block is open already.
    pub fn begin(&mut self, settings: &Settings) -> Option<Notice> {
        if self.in_block() {
            return Some(warning(SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress"));
        }
        self.enter(settings, false);
        self.block = Block::Explicit;
        None
    }
    /// COMMIT or ROLLBACK outside a block only warn.
    pub fn warn_if_none(&self) -> Option<Notice> {
        (!self.in_block()).then(|| warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress"))
    }
    /// Ends the transaction; gives its start for a rollback.
    pub fn end(&mut self) -> Option<Snapshot> {
        self.block = Block::None;
        self.savepoints.clear();
        self.start.take()
    }
    /// A statement has failed: an explicit block is now in 25P02.
    pub fn fail(&mut self) {
        if self.block == Block::Explicit {
            self.block = Block::Failed;
        }
    }
    /// 25P01 outside a block; a query text of several statements counts as one, as in Postgres.
    pub fn require_block(&self, what: &str) -> Result<()> {
        if self.block == Block::None {
            return Err(SqlError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, format!("{what} can only be used in transaction blocks")));
        }
        Ok(())
    }
    /// 25001 inside a block.
    pub fn forbid_block(&self, what: &str) -> Result<()> {
        if self.block != Block::None {
            return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, format!("{what} cannot run inside a transaction block")));
        }
        Ok(())
    }
    /// SAVEPOINT.
    pub fn savepoint(&mut self, name: &str, at: Snapshot, portal_serial: u64) -> Result<()> {
        self.require_explicit("SAVEPOINT")?;
        if self.savepoints.len() >= SAVEPOINTS_MAX {
            return Err(SqlError::new(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a transaction may have {SAVEPOINTS_MAX} savepoints"),
            )
            .hint("RELEASE savepoints that are no longer needed."));
        }
        self.savepoints.push(Savepoint { name: name.to_string(), at, portal_serial });
        Ok(())
    }
    /// RELEASE: forgets the savepoint and those after it.
    pub fn release(&mut self, name: &str) -> Result<()> {
        self.require_explicit("RELEASE SAVEPOINT")?;
        let i = self.find(name)?;
        self.savepoints.truncate(i);
        Ok(())
    }
    /// ROLLBACK TO: back to the savepoint, which stays; heals a failed block.
    pub fn rollback_to(&mut self, name: &str) -> Result<RolledBack> {
        self.require_explicit("ROLLBACK TO SAVEPOINT")?;
        let i = self.find(name)?;
        self.savepoints.truncate(i + 1);
        self.block = Block::Explicit;
        let s = &self.savepoints[i];
        Ok(RolledBack { settings: s.at.clone(), portal_serial: s.portal_serial })
    }
    fn require_explicit(&self, what: &str) -> Result<()> {
        if self.in_block() {
            return Ok(());
        }
        Err(SqlError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, format!("{what} can only be used in transaction blocks")))
    }
    fn find(&self, name: &str) -> Result<usize> {
        self.savepoints
            .iter()
            .rposition(|s| s.name == name)
            .ok_or_else(|| SqlError::new(SqlState::INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist")))
    }
}

/// A WARNING.
pub fn warning(state: SqlState, message: &str) -> Notice {
    Notice { severity: Severity::Warning, state, message: message.to_string(), detail: None, hint: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rollback_to_heals_and_keeps_the_savepoint() {
        let s = Settings::default();
        let mut t = Transaction::default();
        assert!(t.savepoint("a", Snapshot { current: s.clone(), session: None }, 0).is_err());
        assert!(t.begin(&s).is_none());
        assert!(t.begin(&s).is_some());
        t.savepoint("a", Snapshot { current: s.clone(), session: None }, 3).unwrap();
        t.savepoint("b", Snapshot { current: s.clone(), session: None }, 5).unwrap();
        t.fail();
        assert!(t.is_failed());
        assert_eq!(t.rollback_to("a").unwrap().portal_serial, 3);
        assert!(!t.is_failed());
        assert_eq!(t.rollback_to("b").unwrap_err().state, SqlState::INVALID_SAVEPOINT);
        t.release("a").unwrap();
        assert_eq!(t.release("a").unwrap_err().state, SqlState::INVALID_SAVEPOINT);
        assert!(t.end().is_some());
        assert_eq!(t.status(), TxStatus::Idle);
    }
}
