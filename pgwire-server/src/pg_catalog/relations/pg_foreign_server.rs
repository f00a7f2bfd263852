//! `pg_foreign_server`: connectors. Options show secrets by name only.

use super::Context;
use super::pg_foreign_data_wrapper::wrapper_oid;
use crate::pg_catalog::model::Model;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for s in &cx.model.servers {
        rows.push(&[
            ("oid", s.oid.into()),
            ("srvname", (&s.name).into()),
            ("srvowner", Model::role_oid(&s.owner).into()),
            ("srvfdw", wrapper_oid(&s.type_name).into()),
            ("srvtype", (&s.type_name).into()),
            ("srvversion", s.version.as_deref().into()),
            ("srvoptions", (!s.options.is_empty()).then(|| s.options.clone()).into()),
        ]);
    }
}
