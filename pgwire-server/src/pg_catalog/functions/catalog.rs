//! Functions about objects of the catalog: names, visibility, definitions, comments.

use fjord_engine::error::Result;

use super::{Def, Env, Row, lax, strict};
use crate::pg_catalog::definitions::{self, quote_ident};
use crate::pg_catalog::model::Model;
use crate::pg_catalog::relations::pg_description::{PG_CLASS, PG_CONSTRAINT, PG_FOREIGN_SERVER, PG_NAMESPACE};
use crate::pg_catalog::table::Value;
use crate::pg_catalog::types;

pub(super) const FUNCTIONS: &[Def] = &[
    strict("pg_get_userbyid", "name", |env, r| {
        let Some(oid) = r.oid(0) else { return Ok(Value::Null) };
        let name = match env.model().role(oid) {
            Some(n) => n.to_string(),
            None if Model::role_oid(&env.session.user) == oid => env.session.user.clone(),
            None => format!("unknown (OID={oid})"),
        };
        Ok(name.into())
    }),
    lax("format_type", "text", |env, r| {
        let Some(oid) = r.oid(0) else { return Ok(Value::Null) };
        let typmod = r.int(1).and_then(|m| i32::try_from(m).ok());
        Ok(match types::by_oid(oid) {
            Some(_) => types::format_type(oid, typmod),
            None => env.model().format_type(oid, typmod, &env.search_path()),
        }
        .into())
    }),
    strict("pg_table_is_visible", "bool", |env, r| {
        let (m, path) = (env.model(), env.search_path());
        let Some(oid) = r.oid(0) else { return Ok(Value::Null) };
        let relation = m.relation(oid).or_else(|| m.index(oid).and_then(|i| m.relations.get(i.relation)));
        Ok(relation.map(|relation| definitions::is_visible(&m, relation, &path)).into())
    }),
    strict("pg_type_is_visible", "bool", |env, r| {
        let visible = |o| types::by_oid(o).is_some() || env.model().is_type_visible(o, &env.search_path());
        Ok(r.oid(0).map(visible).into())
    }),
    strict("pg_function_is_visible", "bool", visible),
    strict("pg_operator_is_visible", "bool", visible),
    strict("pg_opclass_is_visible", "bool", visible),
    strict("pg_opfamily_is_visible", "bool", visible),
    strict("pg_collation_is_visible", "bool", visible),
    strict("pg_conversion_is_visible", "bool", visible),
    strict("pg_statistics_obj_is_visible", "bool", visible),
    strict("pg_ts_config_is_visible", "bool", visible),
    strict("pg_ts_dict_is_visible", "bool", visible),
    strict("pg_ts_parser_is_visible", "bool", visible),
    strict("pg_ts_template_is_visible", "bool", visible),
    strict("pg_get_expr", "text", |_, r| {
        let pretty = r.bool(2) == Some(true);
        Ok(r.text(0).map(|t| definitions::expression(&t, pretty).to_string()).into())
    }),
    strict("pg_get_indexdef", "text", |env, r| {
        let Some(oid) = r.oid(0) else { return Ok(Value::Null) };
        let path = env.search_path();
        Ok(definitions::index(&env.model(), oid, r.int(1).unwrap_or(0), (r.bool(2) == Some(true)).then_some(path.as_slice())).into())
    }),
    strict("pg_get_constraintdef", "text", |env, r| {
        let (m, path) = (env.model(), env.search_path());
        let c = r.oid(0).and_then(|oid| m.constraint(oid));
        Ok(c.and_then(|c| definitions::constraint(&m, c, &path, r.bool(1) == Some(true))).into())
    }),
    strict("pg_get_viewdef", "text", |env, r| {
        let m = env.model();
        let oid = super::casts::class_oid(env, r, 0)?;
        let view = oid.and_then(|o| m.relation(o)).filter(|v| v.kind == 'v' || v.kind == 'm');
        Ok(view.map(|v| v.definition.clone().unwrap_or_default()).into())
    }),
    strict("pg_get_triggerdef", "text", nothing),
    strict("pg_get_ruledef", "text", nothing),
    strict("pg_get_partkeydef", "text", |env, r| {
        let m = env.model();
        let key = r.oid(0).and_then(|o| m.relation(o)).and_then(|t| t.table.as_ref()?.partitioning.key.clone());
        Ok(key.into())
    }),
    strict("pg_get_partition_constraintdef", "text", nothing),
    strict("pg_get_statisticsobjdef", "text", nothing),
    strict("pg_get_statisticsobjdef_columns", "text", nothing),
    strict("pg_get_functiondef", "text", nothing),
    strict("pg_get_function_sqlbody", "text", nothing),
    strict("pg_get_function_arg_default", "text", nothing),
    strict("pg_get_serial_sequence", "text", nothing),
    strict("pg_get_function_arguments", "text", arguments),
    strict("pg_get_function_identity_arguments", "text", arguments),
    strict("pg_get_function_result", "text", |_, r| Ok(r.oid(0).and_then(function).map(|f| f.1).into())),
    lax("obj_description", "text", |env, r| {
        // The catalog's name tells objects of one OID apart; Fjord's OIDs do not clash, so the older form without it means the same.
        let wanted = r.text(1);
        Ok(r.oid(0).and_then(|oid| description(&env.model(), oid, wanted.as_deref())).into())
    }),
    strict("col_description", "text", |env, r| {
        let m = env.model();
        let column = r.oid(0).and_then(|o| m.relation(o)).zip(r.int(1)).and_then(|(t, n)| t.columns.get(usize::try_from(n - 1).ok()?));
        Ok(column.and_then(|c| c.comment.clone()).into())
    }),
    strict("shobj_description", "text", nothing),
    strict("pg_relation_is_publishable", "bool", |_, _| Ok(false.into())),
    strict("pg_relation_is_updatable", "int4", |_, _| Ok(0.into())),
    strict("pg_column_is_updatable", "bool", |_, _| Ok(false.into())),
    // A set in Postgres; the rewrite unnests it.
    strict("fjord_partition_ancestors", "_oid", |env, r| {
        let all = r.oid(0).map(|o| env.model().ancestors(o)).unwrap_or_default();
        Ok(all.into_iter().map(i64::from).collect::<Vec<_>>().into())
    }),
    strict("pg_partition_root", "oid", |env, r| Ok(r.oid(0).and_then(|o| env.model().ancestors(o).pop()).into())),
    strict("pg_tablespace_location", "text", |_, _| Ok("".into())),
    strict("pg_relation_filenode", "oid", |_, r| Ok(r.oid(0).into())),
    strict("pg_relation_filepath", "text", nothing),
    strict("pg_index_column_has_property", "bool", |_, r| {
        Ok(r.text(2).map(|p| matches!(p.as_str(), "asc" | "orderable" | "nulls_last" | "returnable" | "search_nulls")).into())
    }),
];

fn visible(_: &Env, r: &Row<'_>) -> Result<Value<'static>> {
    Ok(r.oid(0).map(|_| true).into())
}

fn nothing(_: &Env, _: &Row<'_>) -> Result<Value<'static>> {
    Ok(Value::Null)
}

fn arguments(_: &Env, r: &Row<'_>) -> Result<Value<'static>> {
    Ok(r.oid(0).and_then(function).map(|f| f.0).into())
}

/// A function's arguments and result as text.
fn function(oid: u32) -> Option<(String, String)> {
    let oid = oid.to_string();
    let row = types::lines(include_str!("../data/pg_proc.tsv")).find(|l| l.first() == Some(&oid.as_str()))?;
    let name = |t: &str| types::format_type(t.parse().unwrap_or(0), None);
    let arguments: Vec<String> = row.get(8)?.split_whitespace().map(name).collect();
    let set = if row.get(5) == Some(&"t") { "SETOF " } else { "" };
    Some((arguments.join(", "), format!("{set}{}", name(row.get(7)?))))
}

fn description(m: &Model, oid: u32, catalog: Option<&str>) -> Option<String> {
    let is = |name: &str, class: u32| catalog.is_none_or(|c| c == name || c == class.to_string());
    let relation = || m.relation(oid).filter(|_| is("pg_class", PG_CLASS)).and_then(|r| r.comment.clone());
    let schema = || m.schema(oid).filter(|_| is("pg_namespace", PG_NAMESPACE)).and_then(|s| s.comment.clone());
    let server = || m.servers.iter().find(|s| s.oid == oid).filter(|_| is("pg_foreign_server", PG_FOREIGN_SERVER));
    let index = || m.index(oid).filter(|_| is("pg_class", PG_CLASS)).and_then(|i| i.info.comment.clone());
    let constraint = || m.constraint(oid).filter(|_| is("pg_constraint", PG_CONSTRAINT)).and_then(|c| c.kind.comment().cloned());
    relation().or_else(index).or_else(constraint).or_else(schema).or_else(|| server()?.comment.clone())
}

/// A schema's name, quoted where it must be.
pub(super) fn schema_name(m: &Model, oid: u32) -> Option<String> {
    m.schema(oid).map(|s| quote_ident(&s.name))
}
