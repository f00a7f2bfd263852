//! The plans of texts that this session has sent before.
//!
//! Of the session, not of the server: nothing is locked, and no plan outlives the role and the settings that it was made under. A client that connects
//! anew for each statement gains nothing from it.

use std::collections::VecDeque;
use std::sync::Arc;

use fjord_engine::pgtype::PgType;
use fjord_engine::session::lift::{self, Lifted};
use fjord_engine::sql::{Statement, StatementKind};

use super::Connection;
use super::guard::Guard;
use super::io::Socket;
use super::portal::{Action, Planned};

/// Texts whose plans a session keeps; the one used longest ago goes first.
pub const KEPT_MAX: usize = 64;
/// The longest text that is kept. Plans grow with their texts, so this bounds them too: some hundred KiB each at the most.
pub const KEPT_TEXT_MAX: usize = lift::TEXT_MAX;

/// Plans by text and declared parameter types, the last used first.
#[derive(Default)]
pub struct KeptPlans(VecDeque<Kept>);

struct Kept {
    text: String,
    declared: Vec<Option<PgType>>,
    /// `None`: a lifted text whose literals must stay in it.
    planned: Option<Arc<Planned>>,
}

impl KeptPlans {
    fn get(&mut self, text: &str, declared: &[Option<PgType>]) -> Option<Option<Arc<Planned>>> {
        let at = self.0.iter().position(|k| k.text == text && k.declared == declared)?;
        let found = self.0.remove(at)?;
        let planned = found.planned.clone();
        self.0.push_front(found);
        Some(planned)
    }

    fn put(&mut self, text: &str, declared: &[Option<PgType>], planned: Option<Arc<Planned>>) {
        if text.len() > KEPT_TEXT_MAX {
            return;
        }
        self.0.retain(|k| k.text != text || k.declared != declared);
        self.0.truncate(KEPT_MAX - 1);
        self.0.push_front(Kept { text: text.to_string(), declared: declared.to_vec(), planned });
    }

    /// DISCARD.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<S: Socket> Connection<S> {
    /// The plan of a text that was sent before, if it still holds. `told`: the client is told the columns before it runs.
    pub(super) fn known(&mut self, text: &str, declared: &[Option<PgType>], told: bool) -> Option<Arc<Planned>> {
        if !self.session.keeps_plans() {
            return None;
        }
        let planned = self.kept.get(text, declared)??;
        self.holds(&planned).then(|| Arc::new(planned.telling(told)))
    }

    fn holds(&self, planned: &Planned) -> bool {
        matches!(&planned.action, Action::Engine(p) if self.session.is_current(p))
    }

    /// Remembers the plan of a text, where plans like it may be kept.
    pub(super) fn remember(&mut self, text: &str, declared: &[Option<PgType>], planned: &Arc<Planned>) {
        if text.len() <= KEPT_TEXT_MAX
            && let Action::Engine(p) = &planned.action
            && matches!(p.statement.kind, StatementKind::Query(_))
            && self.session.keeps_plans()
            && self.session.keeps(p)
        {
            self.kept.put(text, declared, Some(planned.clone()));
        }
    }

    /// The plan of a text that was sent before, perhaps with other values.
    pub(super) fn repeated(&mut self, text: &str, told: bool) -> Option<Arc<Planned>> {
        if let Some(planned) = self.known(text, &[], told) {
            return Some(planned);
        }
        if !self.session.keeps_plans() {
            return None;
        }
        let Lifted { text: lifted, literals } = lift::lift(text)?;
        let planned = self.kept.get(&lifted, &[])??;
        if !self.holds(&planned) {
            return None;
        }
        let values = lift::values(&planned.params, &literals)?;
        Some(Arc::new(planned.with_literals(text, values, told)))
    }

    /// Plans a statement by its text without its literals, so that the next one like it finds the plan; `None` where they must stay in it.
    pub(super) async fn plan_lifted(&mut self, statement: &Statement, text: &str, told: bool, guard: &Guard) -> Option<Arc<Planned>> {
        if !matches!(statement.kind, StatementKind::Query(_)) || !self.session.keeps_plans() {
            return None;
        }
        let Lifted { text: lifted, literals } = lift::lift(text)?;
        // Known to be in vain. A plan that holds no longer is made again.
        if let Some(None) = self.kept.get(&lifted, &[]) {
            return None;
        }
        let session = &self.session;
        let catalog_version = session.engine.catalog.snapshot().version;
        let work = async { Ok(session.prepare_lifted(&lifted).await) };
        let prepared = guard.run(&mut self.io, Box::pin(work)).await.ok()?;
        let Some((prepared, values)) = prepared.and_then(|p| lift::values(&p.params, &literals).map(|v| (p, v))) else {
            self.kept.put(&lifted, &[], None);
            return None;
        };
        let params = prepared.params.clone();
        let planned = Planned { shown: lifted.clone(), action: Action::Engine(prepared), params, lifted: None, catalog_version };
        let here = Arc::new(planned.with_literals(text, values, told));
        self.kept.put(&lifted, &[], Some(Arc::new(planned)));
        Some(here)
    }
}
