//! Casts to and from the types that name objects (`regclass` and its kin), as functions: the rewrite turns casts into calls of these.
//!
//! `fjord_regclass(x)` gives the OID, `fjord_regclass_text(x)` the name that Postgres prints for it.

use fjord_engine::error::{Result, SqlError, SqlState};

use super::{Def, Env, Row, strict};
use crate::pg_catalog::definitions::{quote_ident, relation_name};
use crate::pg_catalog::model::Model;
use crate::pg_catalog::relations::pg_proc;
use crate::pg_catalog::table::Value;
use crate::pg_catalog::{split_path, types};

pub(super) const FUNCTIONS: &[Def] = &[
    strict("fjord_regclass", "oid", |env, r| Ok(class_oid(env, r, 0)?.into())),
    strict("fjord_regclass_text", "text", |env, r| Ok(class_oid(env, r, 0)?.map(|o| class_text(env, o)).into())),
    strict("fjord_regclass_out", "regclass", |env, r| Ok(shown(class_oid(env, r, 0)?, |o| class_text(env, o)))),
    strict("to_regclass", "oid", |env, r| Ok(r.text(0).and_then(|t| find_class(env, &t)).into())),
    strict("fjord_regtype", "oid", |env, r| type_oid(env, r).map(Into::into)),
    strict("fjord_regtype_text", "text", |env, r| Ok(type_oid(env, r)?.map(|o| type_text(env, o)).into())),
    strict("fjord_regtype_out", "regtype", |env, r| Ok(shown(type_oid(env, r)?, |o| type_text(env, o)))),
    strict("to_regtype", "oid", |env, r| Ok(r.text(0).and_then(|t| find_type(env, &t)).into())),
    strict("fjord_regnamespace", "oid", |env, r| Ok(schema_oid(env, r)?.into())),
    strict("fjord_regnamespace_text", "text", |env, r| Ok(schema_oid(env, r)?.map(|o| schema_text(env, o)).into())),
    strict("fjord_regnamespace_out", "regnamespace", |env, r| Ok(shown(schema_oid(env, r)?, |o| schema_text(env, o)))),
    strict("to_regnamespace", "oid", |env, r| Ok(r.text(0).and_then(|t| find_schema(env, &t)).into())),
    strict("fjord_regrole", "oid", |env, r| Ok(role_oid(env, r)?.into())),
    strict("fjord_regrole_text", "text", |env, r| Ok(role_oid(env, r)?.map(|o| role_text(env, o)).into())),
    strict("fjord_regrole_out", "regrole", |env, r| Ok(shown(role_oid(env, r)?, |o| role_text(env, o)))),
    strict("to_regrole", "oid", |env, r| Ok(r.text(0).and_then(|t| find_role(env, &t)).into())),
    strict("fjord_regproc", "oid", |_, r| Ok(proc_oid(r)?.into())),
    strict("fjord_regproc_text", "text", |_, r| Ok(proc_oid(r)?.map(proc_text).into())),
    strict("fjord_regproc_out", "regproc", |_, r| Ok(shown(proc_oid(r)?, proc_text))),
    strict("to_regproc", "oid", |_, r| {
        let oid = r.text(0).map(|t| pg_proc::oid(t.strip_prefix("pg_catalog.").unwrap_or(&t)));
        Ok(oid.filter(|o| *o != 0).into())
    }),
];

/// A value of a `reg...` type for the wire: its name, and the OID for clients that read binary.
fn shown(oid: Option<u32>, name: impl Fn(u32) -> String) -> Value<'static> {
    oid.map(|o| fjord_engine::values::reg_value(&name(o), o)).into()
}

fn type_text(env: &Env, oid: u32) -> String {
    let m = env.model();
    match oid {
        0 => "-".into(),
        o if types::by_oid(o).is_some() || m.source_type(o).is_some() => m.format_type(o, None, &env.search_path()),
        o => o.to_string(),
    }
}

fn schema_text(env: &Env, oid: u32) -> String {
    super::catalog::schema_name(&env.model(), oid).unwrap_or_else(|| number(oid))
}

fn role_text(env: &Env, oid: u32) -> String {
    let name = env.model().role(oid).map(quote_ident);
    let own = || (Model::role_oid(&env.session.user) == oid).then(|| quote_ident(&env.session.user));
    name.or_else(own).unwrap_or_else(|| number(oid))
}

fn proc_text(oid: u32) -> String {
    pg_proc::name(oid).map_or_else(|| number(oid), quote_ident)
}

/// What is printed for an OID that names nothing: `-` for none, else the number.
fn number(oid: u32) -> String {
    if oid == 0 { "-".into() } else { oid.to_string() }
}

fn unknown(state: SqlState, what: &str, name: &str) -> SqlError {
    SqlError::new(state, format!("{what} \"{name}\" does not exist"))
}

/// A relation's OID from an OID or a name; an unknown name is 42P01.
pub(super) fn class_oid(env: &Env, r: &Row<'_>, i: usize) -> Result<Option<u32>> {
    if let Some(oid) = r.oid(i) {
        return Ok(Some(oid));
    }
    let Some(text) = r.text(i) else { return Ok(None) };
    if text == "-" {
        return Ok(Some(0));
    }
    find_class(env, &text).map(Some).ok_or_else(|| unknown(SqlState::UNDEFINED_TABLE, "relation", &text))
}

fn find_class(env: &Env, text: &str) -> Option<u32> {
    let m = env.model();
    let mut names = split_path(text)?;
    // `database.schema.table`.
    if names.len() == 3 {
        if names.first() != Some(&m.database) {
            // `connector.schema.table`: as it is exposed in the default database.
            let [connector, schema, table] = names.as_slice() else { return None };
            let of = |r: &&crate::pg_catalog::model::RelationRow| {
                r.connector.as_ref() == Some(connector) && r.remote_schema.as_ref() == Some(schema) && &r.name == table
            };
            return m.relations.iter().find(of).map(|r| r.oid);
        }
        names.remove(0);
    }
    let find = |schema: &str, name: &str| {
        m.relation_named(schema, name)
            .map(|r| r.oid)
            .or_else(|| m.indexes.iter().find(|i| i.info.name == name && m.names(i.oid).is_some_and(|(s, _)| s == schema)).map(|i| i.oid))
    };
    match names.as_slice() {
        [schema, name] => find(schema, name),
        [name] => {
            let path = env.search_path();
            std::iter::once("pg_catalog").chain(path.iter().map(String::as_str)).find_map(|s| find(s, name))
        }
        _ => None,
    }
}

fn class_text(env: &Env, oid: u32) -> String {
    let (m, path) = (env.model(), env.search_path());
    if let Some(r) = m.relation(oid) {
        return relation_name(&m, r, &path);
    }
    match m.names(oid) {
        Some((schema, name)) if path.iter().any(|p| p == schema) => quote_ident(name),
        Some((schema, name)) => format!("{}.{}", quote_ident(schema), quote_ident(name)),
        None => number(oid),
    }
}

/// A type by name: a built-in one, or one of a source in a schema of the path.
fn find_type(env: &Env, text: &str) -> Option<u32> {
    types::parse_type(text).map(|t| t.oid).or_else(|| env.model().find_source_type(text, &env.search_path()))
}

fn type_oid(env: &Env, r: &Row<'_>) -> Result<Option<u32>> {
    if let Some(oid) = r.oid(0) {
        return Ok(Some(oid));
    }
    let Some(text) = r.text(0) else { return Ok(None) };
    if text == "-" {
        return Ok(Some(0));
    }
    find_type(env, &text).map(Some).ok_or_else(|| unknown(SqlState::UNDEFINED_OBJECT, "type", &text))
}

fn find_schema(env: &Env, text: &str) -> Option<u32> {
    let names = split_path(text)?;
    let [name] = names.as_slice() else { return None };
    env.model().schema_named(name).map(|s| s.oid)
}

fn schema_oid(env: &Env, r: &Row<'_>) -> Result<Option<u32>> {
    if let Some(oid) = r.oid(0) {
        return Ok(Some(oid));
    }
    let Some(text) = r.text(0) else { return Ok(None) };
    find_schema(env, &text).map(Some).ok_or_else(|| unknown(SqlState::INVALID_SCHEMA_NAME, "schema", &text))
}

fn find_role(env: &Env, text: &str) -> Option<u32> {
    let names = split_path(text)?;
    let [name] = names.as_slice() else { return None };
    (env.session.user == *name || env.model().roles.iter().any(|(n, _)| n == name)).then(|| Model::role_oid(name))
}

fn role_oid(env: &Env, r: &Row<'_>) -> Result<Option<u32>> {
    if let Some(oid) = r.oid(0) {
        return Ok(Some(oid));
    }
    let Some(text) = r.text(0) else { return Ok(None) };
    find_role(env, &text).map(Some).ok_or_else(|| unknown(SqlState::UNDEFINED_OBJECT, "role", &text))
}

fn proc_oid(r: &Row<'_>) -> Result<Option<u32>> {
    if let Some(oid) = r.oid(0) {
        return Ok(Some(oid));
    }
    let Some(text) = r.text(0) else { return Ok(None) };
    let name = text.strip_prefix("pg_catalog.").unwrap_or(&text);
    // regprocedure is written with its arguments.
    match pg_proc::oid(name.split('(').next().unwrap_or(name)) {
        0 if text == "-" => Ok(Some(0)),
        0 => Err(unknown(SqlState::UNDEFINED_FUNCTION, "function", &text)),
        oid => Ok(Some(oid)),
    }
}
