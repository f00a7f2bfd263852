//! Functions about the session and the server.

use std::time::{SystemTime, UNIX_EPOCH};

use fjord_engine::error::{Result, SqlError, SqlState};
use fjord_engine::pgtype::PgType;

use super::{Def, Env, Row, effect, lax, strict};
use crate::pg_catalog::table::Value;
use crate::pg_catalog::{Sessions, types};

pub(super) const FUNCTIONS: &[Def] = &[
    strict("current_database", "name", |env, _| Ok(env.engine.database.clone().into())),
    strict("current_catalog", "name", |env, _| Ok(env.engine.database.clone().into())),
    strict("current_user", "name", user),
    strict("session_user", "name", user),
    strict("current_role", "name", user),
    strict("user", "name", user),
    strict("getpgusername", "name", user),
    strict("current_schema", "name", |env, _| Ok(schemas(env, false).into_iter().next().into())),
    strict("current_schemas", "_name", |env, r| Ok(schemas(env, r.bool(0) == Some(true)).into())),
    strict("version", "text", |env, _| {
        let version = env.settings.read().get("server_version").unwrap_or("15.0").to_string();
        Ok(format!("PostgreSQL {version} on {}-{}, 64-bit", std::env::consts::ARCH, std::env::consts::OS).into())
    }),
    strict("pg_backend_pid", "int4", |env, _| Ok(env.session.pid.into())),
    strict("pg_is_in_recovery", "bool", |_, _| Ok(false.into())),
    strict("pg_is_wal_replay_paused", "bool", |_, _| Ok(false.into())),
    lax("current_setting", "text", |env, r| {
        let Some(name) = r.text(0) else { return Ok(Value::Null) };
        let settings = env.settings.read();
        match settings.get(&name) {
            Some(v) => Ok(v.to_string().into()),
            None if r.bool(1) == Some(true) => Ok(Value::Null),
            None => Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
                .hint("SHOW ALL lists every setting.")),
        }
    }),
    effect("set_config", "text", |env, r| {
        let (Some(name), Some(value)) = (r.text(0), r.text(1)) else { return Ok(Value::Null) };
        let mut settings = env.settings.write();
        settings.set(&name, &value)?;
        Ok(settings.get(&name).unwrap_or(&value).to_string().into())
    }),
    strict("pg_postmaster_start_time", "timestamptz", |env, _| Ok(Value::Instant(micros(env.shared.started())))),
    strict("pg_conf_load_time", "timestamptz", |env, _| Ok(Value::Instant(micros(env.shared.started())))),
    // Reads have no transaction ids; a number that grows with the catalog serves who compares.
    strict("txid_current", "int8", |env, _| Ok(transaction(env).into())),
    strict("pg_current_xact_id", "int8", |env, _| Ok(transaction(env).into())),
    strict("txid_current_if_assigned", "int8", |_, _| Ok(Value::Null)),
    strict("pg_current_xact_id_if_assigned", "int8", |_, _| Ok(Value::Null)),
    strict("pg_my_temp_schema", "oid", |_, _| Ok(0.into())),
    strict("pg_is_other_temp_schema", "bool", |_, _| Ok(false.into())),
    strict("inet_client_addr", "inet", |env, _| Ok(address(&env.session.client).map(|a| a.0).into())),
    strict("inet_client_port", "int4", |env, _| Ok(address(&env.session.client).map(|a| a.1).into())),
    strict("inet_server_addr", "inet", |_, _| Ok(Value::Null)),
    strict("inet_server_port", "int4", |_, _| Ok(Value::Null)),
    effect("pg_cancel_backend", "bool", |env, r| signal(env, r, |s, pid| s.cancel(pid))),
    effect("pg_terminate_backend", "bool", |env, r| signal(env, r, |s, pid| s.terminate(pid))),
    // There is nothing to lock against: Fjord writes nothing. Accepted because pools send them when they reset a connection.
    effect("pg_advisory_lock", "text", |_, _| Ok("".into())),
    effect("pg_advisory_lock_shared", "text", |_, _| Ok("".into())),
    effect("pg_advisory_xact_lock", "text", |_, _| Ok("".into())),
    effect("pg_try_advisory_lock", "bool", |_, _| Ok(true.into())),
    effect("pg_try_advisory_xact_lock", "bool", |_, _| Ok(true.into())),
    effect("pg_advisory_unlock", "bool", |_, _| Ok(true.into())),
    effect("pg_advisory_unlock_all", "text", |_, _| Ok("".into())),
    lax("pg_typeof", "text", |_, r| {
        let name = r.field(0).map(|f| {
            let pg = PgType::of(f);
            if f.data_type() == &arrow::datatypes::DataType::Null { "unknown".into() } else { types::format_type(pg.oid, None) }
        });
        Ok(name.into())
    }),
    strict("pg_encoding_to_char", "name", |_, r| Ok(if r.int(0) == Some(6) { "UTF8" } else { "" }.into())),
    strict("pg_char_to_encoding", "int4", |_, r| {
        let utf8 = r.text(0).is_some_and(|t| matches!(t.to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "unicode"));
        Ok(if utf8 { 6 } else { -1 }.into())
    }),
    strict("getdatabaseencoding", "name", |_, _| Ok("UTF8".into())),
    strict("pg_client_encoding", "name", |_, _| Ok("UTF8".into())),
];

/// Cancels or ends another session: one's own role's only, as for a role without `pg_signal_backend` in Postgres.
fn signal(env: &Env, r: &Row<'_>, act: fn(&dyn Sessions, i32) -> bool) -> Result<Value<'static>> {
    let Some(pid) = r.int(0).and_then(|p| i32::try_from(p).ok()) else { return Ok(Value::Null) };
    let Some(sessions) = env.shared.sessions() else { return Ok(false.into()) };
    match sessions.list().into_iter().find(|s| s.pid == pid).map(|s| s.user) {
        None => Ok(false.into()),
        Some(owner) if owner == env.session.user => Ok(act(sessions.as_ref(), pid).into()),
        Some(_) => Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied to signal the session {pid}"))
            .detail("Only the role that opened a session may cancel or end it.")),
    }
}

fn user(env: &Env, _: &Row<'_>) -> Result<Value<'static>> {
    Ok(env.session.user.clone().into())
}

/// The schemas of the search path that exist.
fn schemas(env: &Env, implicit: bool) -> Vec<String> {
    let m = env.model();
    let path = env.search_path();
    let first = (implicit && !path.iter().any(|p| p == "pg_catalog")).then(|| "pg_catalog".to_string());
    first.into_iter().chain(path).filter(|s| m.schema_named(s).is_some()).collect()
}

fn transaction(env: &Env) -> i64 {
    i64::try_from(env.model().version).unwrap_or(i64::MAX).saturating_add(1_000)
}

fn micros(t: SystemTime) -> i64 {
    t.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// `127.0.0.1:40000` or `[::1]:40000` as address and port.
pub(in crate::pg_catalog) fn address(client: &str) -> Option<(String, i32)> {
    let (host, port) = client.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']').to_string(), port.parse().ok()?))
}
