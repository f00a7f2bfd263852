//! What was pushed, what was not, and why: for EXPLAIN and `sys.pushdown_summary`.

use std::fmt;

use serde::Serialize;

use super::class::Class;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A condition.
    Filter,
    /// The output columns.
    Projection,
    /// Grouping and aggregates, DISTINCT.
    Aggregate,
    /// A join, EXISTS, IN (subquery).
    Join,
    /// UNION.
    Union,
    /// ORDER BY.
    Sort,
    /// LIMIT and OFFSET.
    Limit,
    /// A filter that a join made while the query ran.
    DynamicFilter,
}

impl Part {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Filter => "filter",
            Part::Projection => "projection",
            Part::Aggregate => "aggregate",
            Part::Join => "join",
            Part::Union => "union",
            Part::Sort => "sort",
            Part::Limit => "limit",
            Part::DynamicFilter => "dynamic_filter",
        }
    }
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// About what.
    pub part: Part,
    /// The expression, as DataFusion prints it.
    pub text: String,
    /// The class: `Exact` and `Rewritten` ran at the source, `Superset` at both, `No` locally.
    pub class: Class,
    /// Why, or what was rewritten; empty for a plain exact push.
    pub reason: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match (self.class, self.reason.as_str()) {
            (Class::Exact, _) => Ok(()),
            (c, "") => write!(f, " ({c})"),
            (c, r) => write!(f, " ({c}: {r})"),
        }
    }
}

/// All decisions about one remote query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which they were made.
    pub notes: Vec<Note>,
}

/// Notes kept per remote query: generated queries with thousands of conditions must not fill memory.
const NOTES_MAX: usize = 200;
/// Characters of an expression that are kept.
const TEXT_MAX: usize = 500;

impl Report {
    /// Adds a decision.
    pub fn add(&mut self, part: Part, text: impl fmt::Display, class: Class, reason: impl Into<String>) {
        if self.notes.len() < NOTES_MAX {
            let mut text = text.to_string();
            if text.chars().count() > TEXT_MAX {
                text = text.chars().take(TEXT_MAX).collect::<String>() + "...";
            }
            let note = Note { part, text, class, reason: reason.into() };
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }
    /// The decisions that came out as one of these classes, about one part.
    pub fn of(&self, part: Part, classes: &[Class]) -> Vec<&Note> {
        self.notes.iter().filter(|n| n.part == part && classes.contains(&n.class)).collect()
    }
    /// What ran at the source alone.
    pub fn pushed(&self) -> Vec<&Note> {
        self.notes.iter().filter(|n| n.class.is_exact()).collect()
    }
    /// What ran locally, wholly or again.
    pub fn local(&self) -> Vec<&Note> {
        self.notes.iter().filter(|n| !n.class.is_exact()).collect()
    }
}
