//! `pg_stat_activity`: sessions, as the wire knows them. Statement texts have no secrets in them.

use super::Context;
use super::pg_database::DATABASE_OID;
use crate::pg_catalog::model::Model;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::table::Value;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    let instant = |t: Option<i64>| t.map_or(Value::Null, Value::Instant);
    for a in &cx.activity {
        rows.push(&[
            ("datid", DATABASE_OID.into()),
            ("datname", (&a.database).into()),
            ("pid", a.pid.into()),
            ("usesysid", Model::role_oid(&a.user).into()),
            ("usename", (&a.user).into()),
            ("application_name", (&a.application_name).into()),
            ("client_addr", a.client_addr.as_deref().into()),
            ("client_port", a.client_port.into()),
            ("backend_start", Value::Instant(a.started)),
            ("xact_start", instant(a.transaction_start)),
            ("query_start", instant(a.query_start)),
            ("state_change", instant(a.state_change)),
            ("state", (&a.state).into()),
            ("query", (&a.query).into()),
            ("backend_type", "client backend".into()),
        ]);
    }
}
