//! `columns`: columns of tables and views, with the standard's way to describe types.

use crate::pg_catalog::information_schema::Facts;
use crate::pg_catalog::relations::Context;
use crate::pg_catalog::table::{Rows, Value};
use crate::pg_catalog::types::{self, TypeRow};

/// Fills it.
pub fn fill(cx: &Context<'_>, rows: &mut Rows) {
    for (schema, r) in cx.visible() {
        for (i, c) in r.columns.iter().enumerate() {
            let t = types::by_oid(c.type_oid);
            let own = cx.model.source_type(c.type_oid);
            let name = own.map_or_else(|| t.map_or("text", |t| t.name), |o| o.name.as_str());
            let type_schema = own.and_then(|o| cx.model.schemas.get(o.schema)).map_or("pg_catalog", |s| s.name.as_str());
            let mut row: Vec<(&'static str, Value<'_>)> = vec![
                ("table_catalog", cx.database()),
                ("table_schema", (&schema.name).into()),
                ("table_name", (&r.name).into()),
                ("column_name", (&c.name).into()),
                ("ordinal_position", (i + 1).into()),
                ("column_default", c.default.as_deref().filter(|_| !c.generated).into()),
                ("is_nullable", if c.not_null { "NO" } else { "YES" }.into()),
                ("data_type", own.map_or_else(|| data_type(t), |o| if o.element == 0 { "USER-DEFINED" } else { "ARRAY" }.into()).into()),
                ("udt_catalog", cx.database()),
                ("udt_schema", type_schema.into()),
                ("udt_name", name.into()),
                ("dtd_identifier", (i + 1).to_string().into()),
                ("is_self_referencing", "NO".into()),
                ("is_identity", if c.identity.is_some() { "YES" } else { "NO" }.into()),
                ("identity_generation", c.identity.map(|i| if i == 'a' { "ALWAYS" } else { "BY DEFAULT" }).into()),
                ("identity_cycle", "NO".into()),
                ("is_generated", if c.generated { "ALWAYS" } else { "NEVER" }.into()),
                ("generation_expression", c.default.as_deref().filter(|_| c.generated).into()),
                ("is_updatable", "NO".into()),
            ];
            describe(name, c.typmod, &mut row);
            rows.push(&row);
        }
    }
}

fn data_type(t: Option<&TypeRow>) -> String {
    match t {
        Some(t) if t.category == 'A' && t.len == -1 => "ARRAY".into(),
        Some(t) => types::format_type(t.oid, None),
        None => "text".into(),
    }
}

/// Lengths and precisions, as `_pg_char_max_length` and its kin of Postgres's information_schema.sql compute them.
fn describe(name: &str, typmod: i32, row: &mut Vec<(&'static str, Value<'_>)>) {
    match name {
        "bpchar" | "varchar" => {
            let n = (typmod > 4).then(|| i64::from(typmod - 4));
            row.push(("character_maximum_length", n.into()));
            // Up to four bytes a character in UTF-8; 1 GiB where there is no limit.
            row.push(("character_octet_length", n.map_or(1 << 30, |n| n * 4).into()));
        }
        "text" => row.push(("character_octet_length", (1_i64 << 30).into())),
        "bit" | "varbit" => row.push(("character_maximum_length", (typmod > 0).then_some(i64::from(typmod)).into())),
        "int2" | "int4" | "int8" | "float4" | "float8" => {
            let bits = match name {
                "int2" => 16,
                "int4" => 32,
                "int8" => 64,
                "float4" => 24,
                _ => 53,
            };
            row.push(("numeric_precision", bits.into()));
            row.push(("numeric_precision_radix", 2.into()));
            if name.starts_with("int") {
                row.push(("numeric_scale", 0.into()));
            }
        }
        "numeric" => {
            row.push(("numeric_precision_radix", 10.into()));
            if typmod >= 0 {
                let (precision, scale) = types::numeric_typmod(typmod);
                row.push(("numeric_precision", precision.into()));
                row.push(("numeric_scale", scale.into()));
            }
        }
        "date" => row.push(("datetime_precision", 0.into())),
        "time" | "timetz" | "timestamp" | "timestamptz" | "interval" => {
            row.push(("datetime_precision", if typmod < 0 { 6 } else { typmod & 0xffff }.into()));
        }
        _ => {}
    }
}
