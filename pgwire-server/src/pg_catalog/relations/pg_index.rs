//! `pg_index`: indexes of the sources.

use super::Context;
use super::pg_opclass;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::{definitions, types};

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for i in &cx.model.indexes {
        let Some(relation) = cx.model.relations.get(i.relation) else { continue };
        let number = |c: &Option<usize>| c.map_or(0, |c| i64::try_from(c + 1).unwrap_or(0));
        let keys = i.info.columns.len();
        let deferrable = relation.table.as_ref().is_some_and(|t| t.keys.iter().any(|k| k.name == i.info.name && k.deferrable));
        let kinds: Vec<_> =
            i.info.columns.iter().map(|c| c.and_then(|c| relation.columns.get(c)).and_then(|c| types::by_oid(c.type_oid))).collect();
        let collations: Vec<i64> = kinds.iter().map(|t| t.map_or(0, |t| i64::from(t.collation))).collect();
        let class = |(n, t): (usize, &Option<&types::TypeRow>)| {
            let name = i.info.operator_classes.get(n).map_or("", String::as_str);
            i64::from(pg_opclass::find(&i.info.method, name, t.map_or(25, |t| t.oid)))
        };
        let mut options: Vec<i64> = definitions::index_columns(&i.info.definition).iter().map(|c| direction(c)).collect();
        let n = kinds.len();
        options.resize(n, 0);
        let condition = |d: &'_ str| d.rfind(" WHERE ").and_then(|at| d.get(at + 7..)).map(str::to_string);
        let predicate = condition(&i.info.definition).filter(|_| i.info.partial);
        let predicate = predicate.map(|p| definitions::tree(&p, condition(&i.info.pretty).as_deref()));
        rows.push(&[
            ("indexrelid", i.oid.into()),
            ("indrelid", relation.oid.into()),
            ("indnatts", (n + i.info.included.len()).into()),
            ("indnkeyatts", keys.into()),
            ("indisunique", i.info.unique.into()),
            ("indisprimary", i.info.primary.into()),
            ("indimmediate", (!deferrable).into()),
            ("indisvalid", true.into()),
            ("indisready", true.into()),
            ("indislive", true.into()),
            (
                "indkey",
                i.info.columns.iter().map(number).chain(i.info.included.iter().map(|c| number(&Some(*c)))).collect::<Vec<_>>().into(),
            ),
            ("indcollation", collations.into()),
            ("indclass", kinds.iter().enumerate().map(class).collect::<Vec<_>>().into()),
            ("indoption", options.into()),
            ("indexprs", i.info.columns.iter().any(Option::is_none).then_some("").into()),
            ("indpred", predicate.into()),
        ]);
    }
}

/// `indoption` of a column by its text: 1 is DESC, 2 NULLS FIRST (which DESC implies).
fn direction(column: &str) -> i64 {
    match (column.contains(" DESC"), column.contains(" NULLS LAST"), column.contains(" NULLS FIRST")) {
        (true, true, _) => 1,
        (true, false, _) => 3,
        (false, _, true) => 2,
        (false, _, false) => 0,
    }
}
