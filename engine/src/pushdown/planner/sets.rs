//! GROUPING SETS, ROLLUP and CUBE as lists of keys.

use std::collections::HashSet;

use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::utils::{enumerate_grouping_sets, grouping_set_to_exprlist};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet};

use crate::pushdown::class::Dialect;
use crate::pushdown::ir::{RemoteType, Scalar};

/// Sets that are sent at most: a CUBE of eight keys.
const SETS_MAX: usize = 256;

/// The keys of a grouping set, each once, and the sets as ordinals of them.
pub(super) struct Sets {
    pub(super) keys: Vec<Expr>,
    pub(super) sets: Vec<Vec<usize>>,
}

/// Of a grouping expression, if it is one of sets.
pub(super) fn of(e: &Expr) -> Result<Option<Sets>, String> {
    let Expr::GroupingSet(set) = e else { return Ok(None) };
    let size = match set {
        GroupingSet::Cube(keys) => 1usize.checked_shl(u32::try_from(keys.len()).unwrap_or(u32::MAX)).unwrap_or(usize::MAX),
        GroupingSet::Rollup(keys) => keys.len() + 1,
        GroupingSet::GroupingSets(sets) => sets.len(),
    };
    if size > SETS_MAX {
        return Err(format!("{size} grouping sets are grouped locally"));
    }
    let plain = |e: datafusion::error::DataFusionError| e.strip_backtrace();
    let whole = [e.clone()];
    let keys: Vec<Expr> = grouping_set_to_exprlist(&whole).map_err(plain)?.into_iter().cloned().collect();
    let listed = match enumerate_grouping_sets(whole.to_vec()).map_err(plain)?.as_slice() {
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.clone(),
        // Already so, or of another form: taken apart here.
        _ => match set {
            GroupingSet::GroupingSets(sets) => sets.clone(),
            GroupingSet::Rollup(keys) => (0..=keys.len()).map(|n| keys.iter().take(n).cloned().collect()).collect(),
            GroupingSet::Cube(keys) => {
                let of = |mask: usize| keys.iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0).map(|(_, k)| k.clone()).collect();
                (0..size).map(of).collect()
            }
        },
    };
    let ordinals = |set: &Vec<Expr>| {
        let mut places = set.iter().map(|k| keys.iter().position(|o| o == k)).collect::<Option<Vec<_>>>()?;
        places.sort_unstable();
        places.dedup();
        Some(places)
    };
    let sets = listed.iter().map(ordinals).collect::<Option<Vec<_>>>().ok_or("a grouping set names a key that is not among its keys")?;
    // Rows of equal sets are told apart by a number that the source does not know.
    if sets.iter().collect::<HashSet<_>>().len() < sets.len() {
        return Err("equal grouping sets are grouped locally".into());
    }
    Ok(Some(Sets { keys, sets }))
}

/// A key inside of another, and a constant, are matched in their own way by each server.
pub(super) fn sendable(keys: &[Scalar]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for key in keys {
        let mut own = HashSet::new();
        columns(key, &mut own);
        if own.is_empty() || own.iter().any(|c| seen.contains(c)) {
            return Err("grouping sets over constants, or over two expressions of one column, are grouped locally".into());
        }
        seen.extend(own);
    }
    Ok(())
}

fn columns(s: &Scalar, out: &mut HashSet<usize>) {
    match s {
        Scalar::Column(i) => {
            out.insert(*i);
        }
        Scalar::Literal(..) => {}
        Scalar::Call { args, .. } => args.iter().for_each(|a| columns(a, out)),
    }
}

impl Sets {
    /// The type of the grouping id, which stands after the keys.
    pub(super) fn id(&self, dialect: &dyn Dialect, schema: &DFSchemaRef) -> Result<RemoteType, String> {
        let field = schema.fields().get(self.keys.len()).filter(|f| f.name() == Aggregate::INTERNAL_GROUPING_ID);
        let field = field.ok_or("grouping sets without a grouping id")?;
        let id = dialect.grouping_id(self.keys.len(), field.data_type());
        id.ok_or_else(|| format!("grouping sets of {} keys are not sent to {}", self.keys.len(), dialect.name()))
    }
}
