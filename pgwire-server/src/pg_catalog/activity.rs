//! The wire's registry of sessions, as `pg_stat_activity` shows it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Sessions;
use super::functions::address;
use super::relations::Activity;
use crate::sessions::SessionRegistry;

/// The registry behind the trait.
#[derive(Debug)]
pub struct Registry(pub Arc<SessionRegistry>);

impl Sessions for Registry {
    fn list(&self) -> Vec<Activity> {
        let sessions = self.0.list();
        let rows = sessions.iter().map(|s| {
            let a = s.activity();
            let client = address(&s.client);
            Activity {
                pid: s.pid,
                user: s.user.clone(),
                database: s.database.clone(),
                application_name: a.application_name,
                client_addr: client.clone().map(|c| c.0),
                client_port: client.map(|c| c.1),
                started: micros(s.started),
                transaction_start: a.transaction_start.map(micros),
                query_start: a.query_start.map(micros),
                state_change: Some(micros(a.state_change)),
                state: a.state.as_str().to_string(),
                query: a.query,
            }
        });
        rows.collect()
    }
    fn cancel(&self, pid: i32) -> bool {
        self.0.cancel(pid)
    }
    fn terminate(&self, pid: i32) -> bool {
        self.0.terminate(pid)
    }
}

fn micros(t: SystemTime) -> i64 {
    t.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}
