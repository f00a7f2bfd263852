//! `foreign_servers`: connectors.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::Rows;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for s in &cx.model.servers {
        rows.push(&[
            ("foreign_server_catalog", cx.database()),
            ("foreign_server_name", (&s.name).into()),
            ("foreign_data_wrapper_catalog", cx.database()),
            ("foreign_data_wrapper_name", (&s.type_name).into()),
            ("foreign_server_type", (&s.type_name).into()),
            ("foreign_server_version", s.version.as_deref().into()),
            ("authorization_identifier", (&s.owner).into()),
        ]);
    }
}
