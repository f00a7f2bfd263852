//! `pg_opclass`: operator classes.

use std::sync::LazyLock;

use super::Context;
use super::pg_am::access_method;
use crate::pg_catalog::model::SYSTEM_ROLE_OID;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::lines;

// Each: oid, method, name, family, input type, default, key type.
static ROWS: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| lines(include_str!("../data/pg_opclass.tsv")).collect());

/// The class of a method by name; where the name is not known, the default one for the type; 0 is none.
pub fn find(method: &str, name: &str, type_oid: u32) -> u32 {
    let (method, wanted) = (access_method(method).to_string(), type_oid.to_string());
    // varchar has no classes of its own: those of text serve it.
    let kinds = [wanted.as_str(), if type_oid == 1043 { "25" } else { "" }];
    let of_method = |r: &&Vec<&'static str>| r.get(1) == Some(&method.as_str());
    let by_name = ROWS.iter().filter(of_method).find(|r| r.get(2) == Some(&name));
    let by_type = || ROWS.iter().filter(of_method).find(|r| r.get(5) == Some(&"t") && r.get(4).is_some_and(|t| kinds.contains(t)));
    by_name.or_else(by_type).and_then(|r| r.first()?.parse().ok()).unwrap_or(0)
}

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for r in ROWS.iter() {
        let [oid, method, name, family, of, default, key] = r.as_slice() else { continue };
        let number = |s: &str| s.parse::<i64>().unwrap_or(0);
        rows.push(&[
            ("oid", number(oid).into()),
            ("opcmethod", number(method).into()),
            ("opcname", (*name).into()),
            ("opcnamespace", 11_u32.into()),
            ("opcowner", SYSTEM_ROLE_OID.into()),
            ("opcfamily", number(family).into()),
            ("opcintype", number(of).into()),
            ("opcdefault", (*default == "t").into()),
            ("opckeytype", number(key).into()),
        ]);
    }
}
