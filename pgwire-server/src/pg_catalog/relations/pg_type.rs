//! `pg_type`: the built-in types, and the sources' enums. Other types of a source's own appear as the built-in type that they are read as.

use super::{Context, pg_proc};
use crate::pg_catalog::model::{Model, SYSTEM_ROLE_OID};
use crate::pg_catalog::table::Rows;
use crate::pg_catalog::types::TYPES;

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for t in &cx.model.source_types.all {
        let (Some(schema), Some(storage)) = (cx.model.schemas.get(t.schema), cx.model.storage(t.oid)) else { continue };
        let (way, subscript) = if t.element == 0 { ("enum", "-") } else { ("array", "array_subscript_handler") };
        let function = |name: &str| pg_proc::oid(&format!("{way}_{name}"));
        rows.push(&[
            ("oid", t.oid.into()),
            ("typname", (&t.name).into()),
            ("typnamespace", schema.oid.into()),
            ("typowner", Model::role_oid(&schema.owner).into()),
            ("typlen", storage.len.into()),
            ("typbyval", storage.by_value.into()),
            ("typtype", if t.element == 0 { 'e' } else { 'b' }.into()),
            ("typcategory", if t.element == 0 { 'E' } else { 'A' }.into()),
            ("typisdefined", true.into()),
            ("typdelim", ','.into()),
            ("typsubscript", pg_proc::oid(subscript).into()),
            ("typelem", t.element.into()),
            ("typarray", t.array.into()),
            ("typinput", function("in").into()),
            ("typoutput", function("out").into()),
            ("typreceive", function("recv").into()),
            ("typsend", function("send").into()),
            ("typanalyze", if t.element == 0 { 0 } else { function("typanalyze") }.into()),
            ("typalign", storage.align.into()),
            ("typstorage", storage.storage.into()),
            ("typtypmod", (-1).into()),
        ]);
    }
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
            ("typsubscript", pg_proc::oid(t.subscript).into()),
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
