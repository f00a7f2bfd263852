//! What the present role may do. Fjord reads: SELECT and USAGE are granted where the source lets its own role read; nothing may be written.

use fjord_engine::error::{Result, SqlError, SqlState};

use super::casts::class_oid;
use super::{Def, Env, Row, strict};
use crate::pg_catalog::relations::pg_database;
use crate::pg_catalog::table::Value;

pub(super) const FUNCTIONS: &[Def] = &[
    strict("has_table_privilege", "bool", |env, r| table(env, r, 2)),
    strict("has_any_column_privilege", "bool", |env, r| table(env, r, 2)),
    strict("has_column_privilege", "bool", |env, r| table(env, r, 3)),
    strict("has_schema_privilege", "bool", |env, r| {
        let m = env.model();
        let at = r.len().saturating_sub(2);
        let known = match r.oid(at) {
            Some(oid) => m.schema(oid).is_some(),
            None => {
                let name = r.text(at).unwrap_or_default();
                if m.schema_named(&name).is_none() {
                    return Err(SqlError::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist")));
                }
                true
            }
        };
        Ok(known.then(|| asks(r, &["USAGE"])).into())
    }),
    strict("has_database_privilege", "bool", |env, r| {
        let m = env.model();
        let at = r.len().saturating_sub(2);
        if r.oid(at).is_none() {
            let name = r.text(at).unwrap_or_default();
            if pg_database::oid(&m.database, &name).is_none() {
                return Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist")));
            }
        }
        Ok(asks(r, &["CONNECT"]).into())
    }),
    strict("has_function_privilege", "bool", |_, r| Ok(asks(r, &["EXECUTE"]).into())),
    strict("has_language_privilege", "bool", |_, r| Ok(asks(r, &["USAGE"]).into())),
    strict("has_type_privilege", "bool", |_, r| Ok(asks(r, &["USAGE"]).into())),
    strict("has_server_privilege", "bool", |_, r| Ok(asks(r, &["USAGE"]).into())),
    strict("has_foreign_data_wrapper_privilege", "bool", |_, r| Ok(asks(r, &["USAGE"]).into())),
    strict("has_sequence_privilege", "bool", |_, r| Ok(asks(r, &["SELECT", "USAGE"]).into())),
    strict("has_tablespace_privilege", "bool", |_, _| Ok(false.into())),
    strict("has_parameter_privilege", "bool", |_, r| Ok(asks(r, &["SET"]).into())),
    strict("pg_has_role", "bool", |env, r| {
        // Roles have no members: one has only itself.
        let at = r.len().saturating_sub(2);
        let named = r.text(at).unwrap_or_default();
        let own = named == env.session.user || r.oid(at) == Some(crate::pg_catalog::model::Model::role_oid(&env.session.user));
        Ok(own.into())
    }),
    strict("row_security_active", "bool", |env, r| {
        let m = env.model();
        let relation = class_oid(env, r, 0)?.and_then(|o| m.relation(o));
        Ok(relation.map(|t| t.table.as_ref().is_some_and(|t| t.row_security)).into())
    }),
];

/// Whether any privilege of the list in the last argument is among the granted; WITH GRANT OPTION never is.
fn asks(r: &Row<'_>, granted: &[&str]) -> bool {
    let list = r.text(r.len().saturating_sub(1)).unwrap_or_default();
    list.split(',').any(|p| granted.iter().any(|g| p.trim().eq_ignore_ascii_case(g)))
}

/// `tail`: arguments from the table on.
fn table(env: &Env, r: &Row<'_>, tail: usize) -> Result<Value<'static>> {
    let m = env.model();
    let Some(oid) = class_oid(env, r, r.len().saturating_sub(tail))? else { return Ok(Value::Null) };
    let Some(relation) = m.relation(oid) else { return Ok(Value::Null) };
    let readable = relation.table.as_ref().is_none_or(|t| t.unreadable.is_none());
    Ok((readable && asks(r, &["SELECT"])).into())
}
