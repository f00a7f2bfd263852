//! One query, run every way there is.

use fjord_harness::Result;

use crate::ast::{Names, Query, Target, render};
use crate::compare::Rules;
use crate::generate::Generated;
use crate::rng::Rng;
use crate::types::Ty;
use crate::wire::{Answer, Connection, Outcome};

/// The kinds of failure: shrinking keeps to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failing {
    /// Pushed and local answers differ.
    Different,
    /// Pushing adds an error.
    AddsError,
    /// An error of class XX, or what looks like one.
    Internal,
    /// Postgres answers otherwise.
    Postgres,
    /// As a prepared statement with parameters it answers otherwise.
    Prepared,
    /// EXPLAIN fails where the query does not.
    Explain,
    /// The server hung up, or hangs.
    Lost,
}

/// What went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which kind.
    pub kind: Failing,
    /// In words.
    pub text: String,
}

/// How a query ended.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What is wrong.
    pub failure: Option<Failure>,
    /// The code and message that both ways ended in.
    pub error: Option<String>,
    /// Postgres's answer was compared, and it is the same.
    pub compared: bool,
    /// Why Postgres refused, where Fjord answered.
    pub refused_by_postgres: Option<String>,
    /// The remote texts, where they were asked for.
    pub remote: Option<Vec<String>>,
    /// Rows of the answer.
    pub rows: usize,
}

/// Connections of one worker.
#[derive(Debug)]
pub struct Ways {
    /// Fjord, with everything pushed that may be.
    pub on: Connection,
    /// Fjord, with nothing pushed.
    pub off: Connection,
    /// The source, where it is Postgres.
    pub postgres: Option<Connection>,
    /// What tables are called.
    pub names: Names,
}

/// What is checked of a query, apart from pushed against local.
#[derive(Debug, Clone)]
pub struct Checks {
    /// The types of its columns.
    pub types: Vec<Ty>,
    /// Postgres's answer is compared.
    pub postgres: bool,
    /// 0 and -0 are the same.
    pub loose_zero: bool,
    /// It is run as a prepared statement too.
    pub prepared: bool,
    /// EXPLAIN is asked for its remote texts.
    pub explain: bool,
}

impl Checks {
    /// Of a generated query; `rng` decides on the expensive ones.
    pub fn of(g: &Generated, rng: &mut Rng) -> Checks {
        Checks {
            types: g.types.clone(),
            postgres: g.not_postgres.is_empty(),
            loose_zero: g.loose_zero,
            prepared: rng.chance(15),
            explain: rng.chance(10),
        }
    }
}

impl Ways {
    /// The text that Fjord gets.
    pub fn text(&self, query: &Query) -> String {
        render(query, Target::Fjord(&self.names), None)
    }

    /// Runs a query in every way; an error is one of the test's own.
    pub fn check(&mut self, query: &Query, checks: &Checks) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        let sql = self.text(query);
        match self.pushed_and_local(query, &sql, checks, &mut verdict) {
            Ok(failure) => verdict.failure = failure,
            Err(e) => verdict.failure = failed(Failing::Lost, e.to_string()),
        }
        Ok(verdict)
    }

    fn pushed_and_local(&mut self, query: &Query, sql: &str, checks: &Checks, verdict: &mut Verdict) -> Result<Option<Failure>> {
        self.on.send(sql)?;
        self.off.send(sql)?;
        let (on, off) = (self.on.receive()?, self.off.receive()?);
        for (side, outcome) in [("pushed", &on), ("local", &off)] {
            if let Err(e) = outcome
                && is_internal(&e.code, &e.message)
            {
                return Ok(failed(Failing::Internal, format!("{side}: {} {}", e.code, e.message)));
            }
        }
        let rules = Rules::of(query, &checks.types, checks.loose_zero, false);
        let answer = match (on, off) {
            (Ok(on), Ok(off)) => {
                if let Some(text) = rules.difference(&on, &off) {
                    return Ok(failed(Failing::Different, format!("pushed and local differ: {text}")));
                }
                on
            }
            (Err(e), Ok(_)) => return Ok(failed(Failing::AddsError, format!("pushing adds an error: {} {}", e.code, e.message))),
            (Ok(_), Err(e)) | (Err(_), Err(e)) => {
                verdict.error = Some(format!("{} {}", e.code, e.message));
                return Ok(None);
            }
        };
        verdict.rows = answer.rows.len();
        if let Some(failure) = self.within_the_unlimited(query, &rules, &answer)? {
            return Ok(Some(failure));
        }
        if checks.explain
            && let Some(failure) = self.explain(sql, verdict)?
        {
            return Ok(Some(failure));
        }
        if checks.prepared
            && let Some(failure) = self.prepared(query, checks, &answer)?
        {
            return Ok(Some(failure));
        }
        if checks.postgres {
            return self.postgres(query, checks, &answer, verdict);
        }
        Ok(None)
    }

    /// LIMIT without ORDER BY may return any rows, but only of those that there are.
    fn within_the_unlimited(&mut self, query: &Query, rules: &Rules, answer: &Answer) -> Result<Option<Failure>> {
        if query.limit.is_none() || !query.order.is_empty() {
            return Ok(None);
        }
        let all = Query { limit: None, offset: None, ..query.clone() };
        let sql = self.text(&all);
        let Ok(whole) = self.off.query(&sql)? else { return Ok(None) };
        Ok(rules.not_among(answer, &whole).and_then(|text| failed(Failing::Different, text)))
    }

    fn explain(&mut self, sql: &str, verdict: &mut Verdict) -> Result<Option<Failure>> {
        match self.on.query(&format!("EXPLAIN {sql}"))? {
            Ok(plan) => {
                let lines = plan.rows.iter().flatten().flatten().flat_map(|v| v.lines());
                verdict.remote = Some(lines.filter_map(|l| l.split_once("remote=")).map(|(_, text)| text.to_string()).collect());
                Ok(None)
            }
            Err(e) => Ok(failed(Failing::Explain, format!("EXPLAIN: {} {}", e.code, e.message))),
        }
    }

    fn prepared(&mut self, query: &Query, checks: &Checks, answer: &Answer) -> Result<Option<Failure>> {
        let mut parameters = vec![];
        let sql = render(query, Target::Fjord(&self.names), Some(&mut parameters));
        // A literal's type is told by its value (1.5 is numeric), a parameter's by what it was declared as: only rows are compared.
        let rules = Rules { postgres: true, ..Rules::of(query, &checks.types, checks.loose_zero, false) };
        Ok(match self.on.execute(&sql, &parameters, 2)? {
            Ok(other) => {
                rules.difference(answer, &other).and_then(|text| failed(Failing::Prepared, format!("as {sql} with {parameters:?}: {text}")))
            }
            // What a parameter's type cannot do, its literal could.
            Err(e) if e.code.starts_with("42") || e.code.starts_with("0A") || e.code.starts_with("22") => None,
            Err(e) => failed(Failing::Prepared, format!("as {sql} with {parameters:?}: {} {}", e.code, e.message)),
        })
    }

    fn postgres(&mut self, query: &Query, checks: &Checks, answer: &Answer, verdict: &mut Verdict) -> Result<Option<Failure>> {
        let Some(postgres) = &mut self.postgres else { return Ok(None) };
        let outcome: Outcome = postgres.query(&render(query, Target::Postgres, None))?;
        match outcome {
            Ok(theirs) => {
                let rules = Rules::of(query, &checks.types, checks.loose_zero, true);
                if let Some(text) = rules.difference(answer, &theirs) {
                    return Ok(failed(Failing::Postgres, format!("Fjord and Postgres differ: {text}")));
                }
                verdict.compared = true;
            }
            Err(e) => verdict.refused_by_postgres = Some(format!("{} {}", e.code, e.message)),
        }
        Ok(None)
    }
}

/// Errors that nobody should see: our own class, and DataFusion's for what it holds to be impossible.
fn is_internal(code: &str, message: &str) -> bool {
    code.starts_with("XX") || message.contains("Internal error") || message.contains("likely caused by a bug")
}

#[allow(clippy::unnecessary_wraps)]
fn failed(kind: Failing, text: String) -> Option<Failure> {
    Some(Failure { kind, text })
}
