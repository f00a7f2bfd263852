//! The relations of `pg_catalog` that have rows, one file each. Every other relation of [`columns`](super::columns) exists and is empty.

use fjord_engine::session::SessionInfo;

use super::columns::Relation;
use super::model::Model;
use super::table::Rows;

pub mod pg_am;
pub mod pg_attrdef;
pub mod pg_attribute;
pub mod pg_authid;
pub mod pg_cast;
pub mod pg_class;
pub mod pg_collation;
pub mod pg_constraint;
pub mod pg_database;
pub mod pg_description;
pub mod pg_enum;
pub mod pg_foreign_data_wrapper;
pub mod pg_foreign_server;
pub mod pg_index;
pub mod pg_indexes;
pub mod pg_inherits;
pub mod pg_language;
pub mod pg_matviews;
pub mod pg_namespace;
pub mod pg_opclass;
pub mod pg_operator;
pub mod pg_opfamily;
pub mod pg_partitioned_table;
pub mod pg_proc;
pub mod pg_range;
pub mod pg_roles;
pub mod pg_settings;
pub mod pg_stat_activity;
pub mod pg_stats;
pub mod pg_tables;
pub mod pg_tablespace;
pub mod pg_type;
pub mod pg_user;
pub mod pg_views;

/// One session as `pg_stat_activity` shows it; times in microseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct Activity {
    /// The process id.
    pub pid: i32,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The client's name for itself.
    pub application_name: String,
    /// The client's address.
    pub client_addr: Option<String>,
    /// The client's port.
    pub client_port: Option<i32>,
    /// When it connected.
    pub started: i64,
    /// When its transaction began.
    pub transaction_start: Option<i64>,
    /// When its statement began.
    pub query_start: Option<i64>,
    /// When its state changed.
    pub state_change: Option<i64>,
    /// `active`, `idle`...
    pub state: String,
    /// The statement, redacted.
    pub query: String,
}

/// What relations are filled from.
pub struct Context<'a> {
    /// The catalog.
    pub model: &'a Model,
    /// Who asks; `None` for relations that are the same for all sessions.
    pub session: Option<&'a SessionInfo>,
    /// Settings: name, value, description.
    pub settings: Vec<(String, String, String)>,
    /// Sessions.
    pub activity: Vec<Activity>,
}

impl Context<'_> {
    /// The roles of the catalog and the one who asks.
    pub fn roles(&self) -> Vec<(String, u32)> {
        let mut roles = self.model.roles.clone();
        if let Some(s) = self.session
            && !roles.iter().any(|(n, _)| *n == s.user)
        {
            roles.push((s.user.clone(), Model::role_oid(&s.user)));
        }
        roles
    }
}

/// Fills the rows of a relation.
pub type Fill = fn(&Context<'_>, &mut Rows);

const FILLED: &[(&str, Fill)] = &[
    ("pg_am", pg_am::fill),
    ("pg_attrdef", pg_attrdef::fill),
    ("pg_attribute", pg_attribute::fill),
    ("pg_authid", pg_authid::fill),
    ("pg_cast", pg_cast::fill),
    ("pg_class", pg_class::fill),
    ("pg_collation", pg_collation::fill),
    ("pg_constraint", pg_constraint::fill),
    ("pg_database", pg_database::fill),
    ("pg_description", pg_description::fill),
    ("pg_enum", pg_enum::fill),
    ("pg_foreign_data_wrapper", pg_foreign_data_wrapper::fill),
    ("pg_foreign_server", pg_foreign_server::fill),
    ("pg_index", pg_index::fill),
    ("pg_indexes", pg_indexes::fill),
    ("pg_inherits", pg_inherits::fill),
    ("pg_language", pg_language::fill),
    ("pg_matviews", pg_matviews::fill),
    ("pg_namespace", pg_namespace::fill),
    ("pg_opclass", pg_opclass::fill),
    ("pg_operator", pg_operator::fill),
    ("pg_opfamily", pg_opfamily::fill),
    ("pg_partitioned_table", pg_partitioned_table::fill),
    ("pg_proc", pg_proc::fill),
    ("pg_range", pg_range::fill),
    ("pg_roles", pg_roles::fill),
    ("pg_settings", pg_settings::fill),
    ("pg_stat_activity", pg_stat_activity::fill),
    ("pg_stats", pg_stats::fill),
    ("pg_tables", pg_tables::fill),
    ("pg_tablespace", pg_tablespace::fill),
    ("pg_type", pg_type::fill),
    ("pg_user", pg_user::fill),
    ("pg_views", pg_views::fill),
];

/// How a relation of pg_catalog is filled; `None`: it has no rows in Fjord, ever.
pub fn fill(relation: &Relation) -> Option<Fill> {
    FILLED.iter().find(|(n, _)| *n == relation.name).map(|(_, f)| *f)
}

/// Whether the rows depend on the session that asks.
pub fn per_session(relation: &Relation) -> bool {
    matches!(relation.name, "pg_roles" | "pg_user" | "pg_authid" | "pg_settings" | "pg_stat_activity")
}
