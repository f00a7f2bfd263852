//! The columns of Fjord's own views, which only planning them tells. Planned when a relation that shows columns is read, once per catalog version.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fjord_engine::Engine;
use fjord_engine::session::SessionInfo;
use tokio::sync::Mutex;

use super::Built;
use super::columns::{Relation, Schema};
use super::model::ViewColumns;

/// How long one view may take to plan: a `remote_query` in it is described by its source.
const PLAN_MAX: Duration = Duration::from_secs(5);
/// How long all views of a catalog may take; those that were not reached are shown without columns.
const PLAN_ALL_MAX: Duration = Duration::from_secs(15);
/// When views that could not be planned are tried again.
const RETRY: Duration = Duration::from_secs(30);

/// The catalog with the columns of views.
#[derive(Debug, Default)]
pub(super) struct Planned(Mutex<Option<State>>);

#[derive(Debug)]
struct State {
    built: Arc<Built>,
    /// Some views have no columns: try them again then.
    again: Option<Instant>,
}

/// Whether what is read of a relation shows the columns of views. `read`: its columns, by number; all, if `None`.
pub(super) fn has_their_columns(relation: &Relation, read: Option<&Vec<usize>>) -> bool {
    match (relation.schema, relation.name) {
        (Schema::PgCatalog, "pg_attribute") | (Schema::InformationSchema, "columns") => true,
        // `\dt` and its kin plan no view.
        (Schema::PgCatalog, "pg_class") => {
            let number = relation.columns.iter().position(|c| c.name == "relnatts");
            number.is_some_and(|n| read.is_none_or(|read| read.contains(&n)))
        }
        _ => false,
    }
}

impl Planned {
    /// `plain`, with the columns of views. A view that no longer plans has none.
    pub(super) async fn built(&self, plain: Arc<Built>, engine: &Arc<Engine>, session: &SessionInfo) -> Arc<Built> {
        let snapshot = engine.catalog.snapshot();
        if snapshot.views.is_empty() || snapshot.version != plain.model.version {
            return plain;
        }
        let mut state = self.0.lock().await;
        if let Some(s) = &*state
            && s.built.model.version == snapshot.version
            && s.again.is_none_or(|at| Instant::now() < at)
        {
            return s.built.clone();
        }
        let planner = engine.session(session.clone());
        let begun = Instant::now();
        let mut columns = ViewColumns::default();
        for (key, view) in &snapshot.views {
            let left = PLAN_ALL_MAX.saturating_sub(begun.elapsed()).min(PLAN_MAX);
            if let Ok(Ok(schema)) = tokio::time::timeout(left, planner.view_columns(view)).await {
                columns.insert(key.clone(), schema);
            }
        }
        let again = (columns.len() < snapshot.views.len()).then(|| Instant::now() + RETRY);
        let built = Arc::new(Built::new(&snapshot, &engine.database, &columns));
        *state = Some(State { built: built.clone(), again });
        built
    }
}
