//! `pg_type`: the built-in types. A source's own types (enums, domains) appear as the built-in type that they are read as.

use super::Context;
use crate::pg_catalog::model::SYSTEM_ROLE_OID;
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::TYPES;

/// Fills it.
pub fn fill(_: &Context<'_>, rows: &mut Rows) {
    for t in TYPES.iter() {
        let [input, output, receive, send, modin, modout, analyze] = t.functions;
        rows.push(&[
            ("oid", t.oid.into()),
            ("typname", t.name.into()),
            ("typnamespace", 11_u32.into()),
            ("typowner", SYSTEM_ROLE_OID.into()),
            ("typlen", t.len.into()),
            ("typbyval", t.by_value.into()),
            ("typtype", t.kind.into()),
            ("typcategory", t.category.into()),
            ("typispreferred", t.preferred.into()),
            ("typisdefined", true.into()),
            ("typdelim", t.delimiter.into()),
            ("typsubscript", super::pg_proc::oid(t.subscript).into()),
            ("typelem", t.element.into()),
            ("typarray", t.array.into()),
            ("typinput", input.into()),
            ("typoutput", output.into()),
            ("typreceive", receive.into()),
            ("typsend", send.into()),
            ("typmodin", modin.into()),
            ("typmodout", modout.into()),
            ("typanalyze", analyze.into()),
            ("typalign", t.align.into()),
            ("typstorage", t.storage.into()),
            ("typtypmod", (-1).into()),
            ("typcollation", t.collation.into()),
        ]);
    }
}
