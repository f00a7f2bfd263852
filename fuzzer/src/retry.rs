//! A pinned case, run again in every way.

use fjord_harness::Result;

use crate::compare::Rules;
use crate::pinned::Pinned;
use crate::run::Worker;
use crate::wire::Outcome;

/// What every way answered.
#[derive(Debug)]
pub struct Tried {
    /// `pushed`, `local`, and `postgres` where the case asks for it.
    pub outcomes: Vec<(&'static str, Outcome)>,
}

impl Worker {
    /// Loads a case's tables and runs its query.
    pub fn try_case(&mut self, case: &Pinned) -> Result<Tried> {
        self.load(&case.world)?;
        let sql = self.ways.names.in_pinned(&case.query);
        let mut outcomes = vec![("pushed", self.ways.on.query(&sql)?), ("local", self.ways.off.query(&sql)?)];
        if let (Some(sql), Some(postgres)) = (&case.postgres, &mut self.ways.postgres) {
            outcomes.push(("postgres", postgres.query(sql)?));
        }
        Ok(Tried { outcomes })
    }
}

impl Tried {
    /// In words, what is wrong; `None` where all agree. A case that is kept ends in no error.
    pub fn difference(&self) -> Option<String> {
        let failed: Vec<String> =
            self.outcomes.iter().filter_map(|(way, o)| o.as_ref().err().map(|e| format!("{way}: {} {}", e.code, e.message))).collect();
        if !failed.is_empty() {
            return Some(failed.join("; "));
        }
        let [(_, Ok(first)), others @ ..] = &self.outcomes[..] else { return None };
        others.iter().find_map(|(way, other)| {
            let rules = Rules { postgres: *way == "postgres", ..Rules::default() };
            rules.difference(first, other.as_ref().ok()?).map(|text| format!("pushed and {way} differ: {text}"))
        })
    }
}
