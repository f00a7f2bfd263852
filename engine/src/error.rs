//! The one error type a user can meet: a message, a SQLSTATE, and what to do about it.
//!
//! SQLSTATEs are decided here and nowhere else, because drivers branch on them. Codes:
//! <https://www.postgresql.org/docs/15/errcodes-appendix.html>.

use std::fmt;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

/// A five-character SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

macro_rules! states {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal;)*) => {
        impl SqlState {
            $($(#[doc = $doc])* pub const $name: SqlState = SqlState($code);)*
            /// Every state that Fjord itself raises, by name: the source of docs/errors.md.
            pub const ALL: &'static [(&'static str, SqlState)] = &[$((stringify!($name), SqlState($code)),)*];
            /// What each of [`SqlState::ALL`] means, in the same order.
            pub const MEANINGS: &'static [&'static str] = &[$(concat!($($doc),*),)*];
        }
    };
}

states! {
    /// A message that is no error.
    SUCCESS = "00000";
    /// A warning.
    WARNING = "01000";
    /// The statement is not finished yet: no data.
    NO_DATA = "02000";
    /// The source (or Fjord) could not be connected to.
    CONNECTION_UNABLE = "08001";
    /// The connection to the source broke in mid query.
    CONNECTION_FAILURE = "08006";
    /// A client broke the protocol.
    PROTOCOL_VIOLATION = "08P01";
    /// A thing we know of but do not do.
    FEATURE_NOT_SUPPORTED = "0A000";
    /// A subquery that stands for one value gave more than one row.
    CARDINALITY_VIOLATION = "21000";
    /// Text where a number was expected, and the like, at the level of a whole row.
    DATA_EXCEPTION = "22000";
    /// A string too long for its type.
    STRING_DATA_RIGHT_TRUNCATION = "22001";
    /// A number that its type cannot hold.
    NUMERIC_VALUE_OUT_OF_RANGE = "22003";
    /// A date that does not parse.
    INVALID_DATETIME_FORMAT = "22007";
    /// A date beyond its type's range.
    DATETIME_FIELD_OVERFLOW = "22008";
    /// Division by zero.
    DIVISION_BY_ZERO = "22012";
    /// A parameter of a statement has a wrong value.
    INVALID_PARAMETER_VALUE = "22023";
    /// An ESCAPE that is more than one character.
    INVALID_ESCAPE_SEQUENCE = "22025";
    /// Bytes that are no UTF-8.
    CHARACTER_NOT_IN_REPERTOIRE = "22021";
    /// The logarithm of a number that has none.
    INVALID_ARGUMENT_FOR_LOGARITHM = "2201E";
    /// A power or root of a number that has none.
    INVALID_ARGUMENT_FOR_POWER = "2201F";
    /// width_bucket with wrong bounds or count.
    INVALID_ARGUMENT_FOR_WIDTH_BUCKET = "2201G";
    /// A character that a text cannot hold.
    UNTRANSLATABLE_CHARACTER = "22P05";
    /// A text that is no value of its type.
    INVALID_TEXT_REPRESENTATION = "22P02";
    /// Binary input that is no value of its type.
    INVALID_BINARY_REPRESENTATION = "22P03";
    /// A statement that must run outside a transaction block.
    ACTIVE_SQL_TRANSACTION = "25001";
    /// A write in a read-only place.
    READ_ONLY_SQL_TRANSACTION = "25006";
    /// COMMIT or SAVEPOINT without a transaction.
    NO_ACTIVE_SQL_TRANSACTION = "25P01";
    /// Commands are ignored until the end of the transaction block.
    IN_FAILED_SQL_TRANSACTION = "25P02";
    /// The session idled in a transaction for too long.
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = "25P03";
    /// An unknown prepared statement.
    INVALID_SQL_STATEMENT_NAME = "26000";
    /// An unknown role or a role that may not connect.
    INVALID_AUTHORIZATION = "28000";
    /// A wrong password.
    INVALID_PASSWORD = "28P01";
    /// Other objects need this one.
    DEPENDENT_OBJECTS_STILL_EXIST = "2BP01";
    /// An unknown portal or cursor.
    INVALID_CURSOR_NAME = "34000";
    /// An unknown savepoint.
    INVALID_SAVEPOINT = "3B001";
    /// An unknown database or connector.
    INVALID_CATALOG_NAME = "3D000";
    /// An unknown schema.
    INVALID_SCHEMA_NAME = "3F000";
    /// The source could not serialize: try again.
    SERIALIZATION_FAILURE = "40001";
    /// A syntax error.
    SYNTAX_ERROR = "42601";
    /// A right is missing.
    INSUFFICIENT_PRIVILEGE = "42501";
    /// Types that do not fit an operator or a cast.
    DATATYPE_MISMATCH = "42804";
    /// A cast that does not exist.
    CANNOT_COERCE = "42846";
    /// A column is not in GROUP BY.
    GROUPING_ERROR = "42803";
    /// A column of that name exists, or is named twice.
    DUPLICATE_COLUMN = "42701";
    /// An unknown column.
    UNDEFINED_COLUMN = "42703";
    /// An unknown function.
    UNDEFINED_FUNCTION = "42883";
    /// An unknown table.
    UNDEFINED_TABLE = "42P01";
    /// An unknown parameter.
    UNDEFINED_PARAMETER = "42P02";
    /// An unknown object of another kind (connector type, secret, setting).
    UNDEFINED_OBJECT = "42704";
    /// A name that means two things.
    AMBIGUOUS_COLUMN = "42702";
    /// A cursor of that name exists.
    DUPLICATE_CURSOR = "42P03";
    /// A prepared statement of that name exists.
    DUPLICATE_PSTATEMENT = "42P05";
    /// A table or view of that name exists.
    DUPLICATE_TABLE = "42P07";
    /// An object of that name exists.
    DUPLICATE_OBJECT = "42710";
    /// A parameter's type cannot be told.
    INDETERMINATE_DATATYPE = "42P18";
    /// A wrong name.
    INVALID_NAME = "42602";
    /// An object of the wrong kind.
    WRONG_OBJECT_TYPE = "42809";
    /// Memory is used up.
    OUT_OF_MEMORY = "53200";
    /// The disk is full.
    DISK_FULL = "53100";
    /// Too many connections: ours, or a connector's pool.
    TOO_MANY_CONNECTIONS = "53300";
    /// A configured limit was met.
    CONFIGURATION_LIMIT_EXCEEDED = "53400";
    /// A statement is too complex.
    STATEMENT_TOO_COMPLEX = "54001";
    /// A limit of the program was met.
    PROGRAM_LIMIT_EXCEEDED = "54000";
    /// The object is not in the state that the statement needs (a paused connector).
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000";
    /// A setting that cannot be set, or not now.
    CANT_CHANGE_RUNTIME_PARAM = "55P02";
    /// Somebody else has changed or holds it.
    OBJECT_IN_USE = "55006";
    /// Cancelled by the user or by statement_timeout.
    QUERY_CANCELED = "57014";
    /// The server shuts down.
    ADMIN_SHUTDOWN = "57P01";
    /// The session idled for too long.
    IDLE_SESSION_TIMEOUT = "57P05";
    /// The server is not ready.
    CANNOT_CONNECT_NOW = "57P03";
    /// The store could not be read or written.
    IO_ERROR = "58030";
    /// A file is missing.
    UNDEFINED_FILE = "58P01";
    /// A configuration file is wrong.
    CONFIG_FILE_ERROR = "F0000";
    /// An error that the source itself raised and that has no better code.
    FDW_ERROR = "HV000";
    /// The source's schema changed under the query.
    FDW_INCONSISTENT_DESCRIPTOR = "HV021";
    /// An option that the connector type does not have.
    FDW_INVALID_OPTION_NAME = "HV00D";
    /// A fault of Fjord's own: please report it.
    INTERNAL_ERROR = "XX000";
    /// Stored data is damaged.
    DATA_CORRUPTED = "XX001";
}

impl SqlState {
    /// The state for a five-character code that came from a source, or [`SqlState::FDW_ERROR`] where we do not know it.
    pub fn from_code(code: &str) -> SqlState {
        SqlState::ALL.iter().find(|(_, s)| s.0 == code).map_or(SqlState::FDW_ERROR, |(_, s)| *s)
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An error as a user sees it. It never holds a secret: whoever makes one from a driver's error passes only server messages on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// What drivers branch on.
    pub state: SqlState,
    /// One sentence that names the object.
    pub message: String,
    /// More about the cause.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// 1-based character position in the statement, where known.
    pub position: Option<u32>,
}

/// The engine's result.
pub type Result<T, E = SqlError> = std::result::Result<T, E>;

impl SqlError {
    /// An error with a state and a message.
    pub fn new(state: SqlState, message: impl Into<String>) -> SqlError {
        SqlError { state, message: message.into(), detail: None, hint: None, position: None }
    }
    /// 0A000.
    pub fn unsupported(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }
    /// XX000: a fault of our own.
    pub fn internal(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::INTERNAL_ERROR, message)
    }
    /// 42601.
    pub fn syntax(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::SYNTAX_ERROR, message)
    }
    /// 57014.
    pub fn cancelled() -> SqlError {
        SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
    }
    /// Our own error inside a DataFusion error.
    pub fn inside(e: &DataFusionError) -> Option<&SqlError> {
        match e.find_root() {
            DataFusionError::External(inner) => inner.downcast_ref::<SqlError>(),
            _ => None,
        }
    }
    /// Our own error among the causes of any other: one that came through an object store and its HTTP client.
    pub fn within(e: &(dyn std::error::Error + 'static)) -> Option<SqlError> {
        std::iter::successors(Some(e), |e| e.source()).find_map(|e| e.downcast_ref::<SqlError>()).cloned()
    }
    /// Adds the DETAIL line.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> SqlError {
        self.detail = Some(detail.into());
        self
    }
    /// Adds the HINT line.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> SqlError {
        self.hint = Some(hint.into());
        self
    }
    /// Adds the position.
    #[must_use]
    pub fn at(mut self, position: u32) -> SqlError {
        self.position = Some(position);
        self
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(d) = &self.detail {
            write!(f, "\nDETAIL:  {d}")?;
        }
        if let Some(h) = &self.hint {
            write!(f, "\nHINT:  {h}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlError {}

impl From<SqlError> for DataFusionError {
    fn from(e: SqlError) -> DataFusionError {
        DataFusionError::External(Box::new(e))
    }
}

impl From<DataFusionError> for SqlError {
    /// Digs out our own error where there is one; otherwise maps DataFusion's by its variant.
    fn from(e: DataFusionError) -> SqlError {
        let root = e.find_root();
        match root {
            DataFusionError::External(inner) if inner.downcast_ref::<SqlError>().is_some() => {
                inner.downcast_ref::<SqlError>().cloned().unwrap_or_else(|| SqlError::internal("lost error"))
            }
            DataFusionError::ArrowError(a, _) => from_arrow(a),
            DataFusionError::ResourcesExhausted(m) => SqlError::new(SqlState::OUT_OF_MEMORY, m.clone()),
            DataFusionError::NotImplemented(m) => SqlError::unsupported(m.clone()),
            DataFusionError::SQL(m, _) => SqlError::syntax(m.to_string()),
            DataFusionError::SchemaError(m, _) => from_schema(m),
            DataFusionError::Plan(m) => from_plan(m),
            DataFusionError::Execution(m) => from_execution(m),
            // `x BETWEEN a AND b` over numerics of such digits that no type holds them all.
            DataFusionError::Internal(m) if m.contains("Failed to coerce types") => {
                let said = m.lines().next().unwrap_or_default();
                SqlError::new(SqlState::DATATYPE_MISMATCH, format!("no type holds all that is compared: {said}"))
                    .hint("Cast to numeric(p, s) of fewer digits.")
            }
            DataFusionError::ObjectStore(o) => SqlError::within(o.as_ref()).unwrap_or_else(|| from_store(o)),
            other => SqlError::within(other).unwrap_or_else(|| SqlError::internal(other.strip_backtrace())),
        }
    }
}

/// A file that was there when the query was planned.
fn from_store(e: &object_store::Error) -> SqlError {
    let state = match e {
        object_store::Error::NotFound { .. } => SqlState::UNDEFINED_FILE,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => SqlState::INSUFFICIENT_PRIVILEGE,
        _ => SqlState::CONNECTION_FAILURE,
    };
    SqlError::new(state, "a file could not be read").detail(e.to_string())
}

/// Column names.
fn from_schema(e: &SchemaError) -> SqlError {
    match e {
        SchemaError::AmbiguousReference { field } => {
            SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
        }
        SchemaError::FieldNotFound { field, valid_fields } => {
            let e = SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{}\" does not exist", field.flat_name()));
            let near = crate::federation::near(&field.name, valid_fields.iter().map(|c| c.name.as_str()));
            match near.first() {
                Some(n) => e.hint(format!("Perhaps you meant to reference the column \"{n}\".")),
                None => e,
            }
        }
    }
}

/// DataFusion's planning errors have no codes: they are told apart by the words of 55.2. A message that is not known stays 42601.
fn from_plan(message: &str) -> SqlError {
    let m = message.lines().next().unwrap_or_default();
    if let Some(name) = m.strip_prefix("Invalid function '").and_then(|m| m.split('\'').next()) {
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} does not exist"))
            .hint("No function matches the given name and argument types.");
    }
    let has = |words: &[&str]| words.iter().any(|w| message.contains(w));
    let ungrouped = message.split("column \"").nth(1).and_then(|m| m.split_once("\" must appear in the GROUP BY"));
    if let Some((column, _)) = ungrouped {
        let said = format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
        return SqlError::new(SqlState::GROUPING_ERROR, said);
    }
    let state = if m.starts_with("table '") && m.ends_with("not found") {
        SqlState::UNDEFINED_TABLE
    } else if has(&["must appear in the GROUP BY", "must be in GROUP BY", "GROUP BY clause or must be part of an aggregate"]) {
        SqlState::GROUPING_ERROR
    } else if has(&["No function matches", "Failed to coerce arguments", "Function '", "failed to match any signature", "expects"]) {
        SqlState::UNDEFINED_FUNCTION
    } else if has(&["Cannot infer common argument type", "Cannot coerce arithmetic", "cannot be converted", "Cannot cast", "coerc"]) {
        SqlState::DATATYPE_MISMATCH
    } else if has(&["unique expression names"]) {
        SqlState::DUPLICATE_COLUMN
    } else {
        SqlState::SYNTAX_ERROR
    };
    SqlError::new(state, message)
}

fn from_execution(message: &str) -> SqlError {
    if message.starts_with("Scalar subquery returned more than one row") {
        return SqlError::new(SqlState::CARDINALITY_VIOLATION, "more than one row returned by a subquery used as an expression");
    }
    let lower = message.to_ascii_lowercase();
    let state = if lower.contains("divide by zero") || lower.contains("division by zero") {
        SqlState::DIVISION_BY_ZERO
    } else if lower.contains("overflow") || lower.contains("out of range") {
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    } else if lower.contains("scalar subquery returned more than one row") {
        return SqlError::new(SqlState::CARDINALITY_VIOLATION, "more than one row returned by a subquery used as an expression");
    } else if lower.contains("position must not be zero") {
        SqlState::INVALID_PARAMETER_VALUE
    } else if lower.contains("parse") || lower.contains("cannot cast string") {
        SqlState::INVALID_TEXT_REPRESENTATION
    } else {
        SqlState::DATA_EXCEPTION
    };
    SqlError::new(state, message)
}

/// Arithmetic in Arrow's kernels, in Postgres's words.
fn from_arrow(e: &ArrowError) -> SqlError {
    match e {
        ArrowError::DivideByZero => SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(m) => SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range").detail(m.clone()),
        ArrowError::CastError(m) => SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, m.clone()),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<SqlError>() {
            Some(e) => e.clone(),
            None => SqlError::internal(inner.to_string()),
        },
        ArrowError::ParseError(m) => SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, m.clone()),
        ArrowError::InvalidArgumentError(m) | ArrowError::ComputeError(m) => from_execution(m),
        other => SqlError::internal(other.to_string()),
    }
}
