//! How connectors fare: the present state of each, and the last transitions of all. In memory: it is about this process's connections.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::error::{SqlError, SqlState};

/// Transitions remembered.
pub const EVENTS_MAX: usize = 1_000;

/// The state of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not reached yet since the start, or since it was changed.
    Starting,
    /// Its source answers.
    Running,
    /// Its source does not answer, or refuses us.
    Stalled,
    /// By ALTER CONNECTOR ... PAUSE.
    Paused,
}

impl Phase {
    /// As shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stalled => "stalled",
            Phase::Paused => "paused",
        }
    }
}

/// How one connector fares.
#[derive(Debug, Clone)]
pub struct Health {
    /// The state.
    pub phase: Phase,
    /// Since when.
    pub since: SystemTime,
    /// The last error, also after it is over.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<SystemTime>,
    /// When the source last answered.
    pub last_ok_at: Option<SystemTime>,
    /// Introspections that worked.
    pub introspections: u64,
    /// Failures of any kind.
    pub failures: u64,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            phase: Phase::Starting,
            since: SystemTime::now(),
            last_error: None,
            last_error_at: None,
            last_ok_at: None,
            introspections: 0,
            failures: 0,
        }
    }
}

/// A transition.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// The connector's name then.
    pub connector: String,
    /// The state before; `None` at the beginning.
    pub from: Option<Phase>,
    /// The state after; `None` at the end (DROP).
    pub to: Option<Phase>,
    /// Why.
    pub detail: String,
    /// The error's SQLSTATE, where it was one.
    pub state: Option<SqlState>,
}

impl Event {
    pub(super) fn new(connector: &str, from: Option<Phase>, to: Option<Phase>, detail: impl Into<String>) -> Event {
        Event { at: SystemTime::now(), connector: connector.into(), from, to, detail: detail.into(), state: None }
    }
}

/// The last transitions.
#[derive(Debug, Default)]
pub(super) struct Events(VecDeque<Event>);

impl Events {
    pub fn push(&mut self, e: Event) {
        if self.0.len() == EVENTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(e);
    }
    pub fn all(&self) -> Vec<Event> {
        self.0.iter().cloned().collect()
    }
}

impl Health {
    /// Goes to a state; gives the event if it is another one.
    pub(super) fn to(&mut self, connector: &str, phase: Phase, detail: impl Into<String>) -> Option<Event> {
        if self.phase == phase {
            return None;
        }
        let event = Event::new(connector, Some(self.phase), Some(phase), detail);
        self.phase = phase;
        self.since = event.at;
        Some(event)
    }
    pub(super) fn ok(&mut self, connector: &str) -> Option<Event> {
        self.last_ok_at = Some(SystemTime::now());
        if self.phase == Phase::Paused { None } else { self.to(connector, Phase::Running, "the source answers") }
    }
    /// `stalls`: the error means that the source is not usable, not only that one query failed.
    pub(super) fn failed(&mut self, connector: &str, e: &SqlError, stalls: bool) -> Option<Event> {
        self.failures += 1;
        self.last_error = Some(e.message.clone());
        self.last_error_at = Some(SystemTime::now());
        if !stalls || self.phase == Phase::Paused {
            return None;
        }
        let mut event = self.to(connector, Phase::Stalled, e.message.clone());
        if let Some(ev) = &mut event {
            ev.state = Some(e.state);
        }
        event
    }
}

/// Whether an error says that the source as a whole is not usable: not reachable, or we may not log in.
pub(super) fn stalls(e: &SqlError) -> bool {
    e.state.0.starts_with("08") || e.state.0.starts_with("28") || matches!(e.state, SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN)
}
