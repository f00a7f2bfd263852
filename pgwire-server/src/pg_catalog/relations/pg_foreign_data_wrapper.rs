//! `pg_foreign_data_wrapper`: the connector types that connectors have.

use std::collections::BTreeMap;

use super::Context;
use crate::pg_catalog::model::{Model, hashed};
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    let types: BTreeMap<&str, &str> = cx.model.servers.iter().map(|s| (s.type_name.as_str(), s.owner.as_str())).collect();
    for (name, owner) in types {
        rows.push(&[("oid", wrapper_oid(name).into()), ("fdwname", name.into()), ("fdwowner", Model::role_oid(owner).into())]);
    }
}

/// The OID of a connector type.
pub fn wrapper_oid(name: &str) -> u32 {
    hashed(&["connector type", name])
}
