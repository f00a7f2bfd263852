//! The statements about what Fjord remembers: secrets, connectors, views, comments.

mod execute;
pub(crate) mod rows;
mod view;

use std::fmt;

use crate::source::Secret;

pub use execute::{execute, schema};

/// A parsed statement of this family.
#[derive(Debug, Clone)]
pub enum Ddl {
    /// CREATE SECRET.
    CreateSecret {
        /// OR REPLACE.
        or_replace: bool,
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// Its name.
        name: String,
        /// Where its value comes from.
        source: SecretSource,
    },
    /// DROP SECRET.
    DropSecret {
        /// IF EXISTS.
        if_exists: bool,
        /// Which.
        names: Vec<String>,
    },
    /// SHOW SECRETS.
    ShowSecrets,
    /// CREATE CONNECTOR.
    CreateConnector(CreateConnector),
    /// ALTER CONNECTOR.
    AlterConnector {
        /// IF EXISTS.
        if_exists: bool,
        /// Which.
        name: String,
        /// What to do.
        action: AlterConnector,
    },
    /// DROP CONNECTOR.
    DropConnector {
        /// IF EXISTS.
        if_exists: bool,
        /// Which.
        names: Vec<String>,
        /// Views that read from it go too; otherwise they keep it from being dropped.
        cascade: bool,
        /// Leave slot and publication at the source.
        keep_slot: bool,
    },
    /// SHOW CONNECTORS.
    ShowConnectors {
        /// LIKE.
        like: Option<String>,
    },
    /// SHOW CONNECTOR TYPES.
    ShowConnectorTypes,
    /// SHOW CREATE CONNECTOR.
    ShowCreateConnector(String),
    /// SHOW CREATE VIEW.
    ShowCreateView(ViewName),
    /// DESCRIBE CONNECTOR.
    DescribeConnector(String),
    /// VALIDATE CONNECTOR.
    ValidateConnector(String),
    /// CREATE VIEW.
    CreateView {
        /// OR REPLACE.
        or_replace: bool,
        /// Its name.
        name: ViewName,
        /// Column names, if given.
        columns: Vec<String>,
        /// The query; a [`StatementKind::Query`](super::StatementKind::Query).
        query: Box<super::Statement>,
    },
    /// DROP VIEW.
    DropView {
        /// IF EXISTS.
        if_exists: bool,
        /// Which.
        names: Vec<ViewName>,
        /// Views over it go too.
        cascade: bool,
    },
    /// COMMENT ON.
    Comment {
        /// What.
        on: CommentTarget,
        /// The text; `None` removes it.
        text: Option<String>,
    },
}

/// A view's name, with its schema if given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewName {
    /// The schema in the default database.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
}

impl fmt::Display for ViewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(s) => write!(f, "{s}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Where a secret's value comes from.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// FROM ENV 'V': an environment variable of the server, read when a connector connects.
    Env(String),
    /// FROM FILE 'p': a file below the server's secret root, read when a connector connects.
    File(String),
    /// FROM VAULT 'path#key'.
    Vault(String),
    /// AS 'literal'.
    Literal(Secret),
}

/// CREATE CONNECTOR.
#[derive(Debug, Clone)]
pub struct CreateConnector {
    /// OR REPLACE.
    pub or_replace: bool,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// Option names, lower case, in order.
    pub options: Vec<(String, OptionValue)>,
    /// MODE.
    pub mode: Option<Mode>,
    /// SYNC.
    pub sync: Option<SyncClause>,
    /// COMMENT.
    pub comment: Option<String>,
}

/// The value of an option. A literal may be a secret, and only the connector's type knows: it never shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// A literal.
    Literal(Secret),
    /// SECRET n.
    Secret(String),
}

/// MODE of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Queries go to the source.
    Federation,
    /// Queries go to the copy.
    Sync,
    /// Both.
    Both,
}

/// SYNC of CREATE CONNECTOR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncClause {
    /// What.
    pub what: SyncWhat,
    /// EXCEPT.
    pub except: Vec<Vec<String>>,
}

/// What is synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncWhat {
    /// ALL TABLES.
    All,
    /// SCHEMA s, ...
    Schemas(Vec<String>),
    /// TABLE t [(columns)], ...
    Tables(Vec<(Vec<String>, Vec<String>)>),
}

/// What ALTER CONNECTOR does.
#[derive(Debug, Clone)]
pub enum AlterConnector {
    /// SET (k v, ...).
    Set(Vec<(String, OptionValue)>),
    /// RESET (k, ...).
    Reset(Vec<String>),
    /// PAUSE [SYNC | FEDERATION].
    Pause(Option<Mode>),
    /// RESUME [SYNC | FEDERATION].
    Resume(Option<Mode>),
    /// REFRESH SCHEMA.
    RefreshSchema,
    /// ADD SYNC TABLE t, ...
    AddSyncTables(Vec<Vec<String>>),
    /// DROP SYNC TABLE t, ...
    DropSyncTables(Vec<Vec<String>>),
    /// RESYNC { ALL TABLES | TABLE t, ... }; empty is all.
    Resync(Vec<Vec<String>>),
    /// OWNER TO r.
    Owner(String),
    /// RENAME TO m.
    Rename(String),
}

/// What COMMENT ON is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommentTarget {
    /// CONNECTOR n.
    Connector(String),
    /// VIEW v.
    View(ViewName),
    /// SECRET n.
    Secret(String),
}

impl Ddl {
    /// The command tag.
    pub fn tag(&self) -> &'static str {
        match self {
            Ddl::CreateSecret { .. } => "CREATE SECRET",
            Ddl::DropSecret { .. } => "DROP SECRET",
            Ddl::CreateConnector(_) => "CREATE CONNECTOR",
            Ddl::AlterConnector { .. } => "ALTER CONNECTOR",
            Ddl::DropConnector { .. } => "DROP CONNECTOR",
            Ddl::CreateView { .. } => "CREATE VIEW",
            Ddl::DropView { .. } => "DROP VIEW",
            Ddl::Comment { .. } => "COMMENT",
            Ddl::DescribeConnector(_) => "DESCRIBE",
            Ddl::ValidateConnector(_) => "VALIDATE",
            Ddl::ShowSecrets
            | Ddl::ShowConnectors { .. }
            | Ddl::ShowConnectorTypes
            | Ddl::ShowCreateConnector(_)
            | Ddl::ShowCreateView(_) => "SHOW",
        }
    }

    /// It changes what Fjord remembers: it takes effect at once, not at COMMIT, and ROLLBACK does not undo it.
    pub fn changes(&self) -> bool {
        !matches!(self.tag(), "SHOW" | "DESCRIBE" | "VALIDATE")
    }
}
