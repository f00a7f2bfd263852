//! What is asked of `information_schema`. Cells are read by position, because the two servers spell the names of columns differently.

/// Databases: name.
pub(super) fn schemas(condition: &str) -> String {
    format!("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE {condition}", condition = on("SCHEMA_NAME", condition))
}

/// Collations: name, and whether they pad where the server says so.
pub(super) fn collations(mariadb: bool) -> &'static str {
    match mariadb {
        true => "SELECT COLLATION_NAME, NULL FROM information_schema.COLLATIONS",
        false => "SELECT COLLATION_NAME, PAD_ATTRIBUTE FROM information_schema.COLLATIONS",
    }
}

/// Tables: database, name, kind, rows, bytes, comment.
pub(super) fn tables(condition: &str) -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, TABLE_ROWS, DATA_LENGTH, TABLE_COMMENT FROM information_schema.TABLES WHERE {}",
        on("TABLE_SCHEMA", condition)
    )
}

/// Columns: database, table, name, type, declared type, precision, scale, characters, collation, nullable, default, extra, generation expression,
/// comment, rights.
pub(super) fn columns(condition: &str) -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_MAXIMUM_LENGTH, \
         COLLATION_NAME, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, GENERATION_EXPRESSION, COLUMN_COMMENT, PRIVILEGES \
         FROM information_schema.COLUMNS WHERE {} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
        on("TABLE_SCHEMA", condition)
    )
}

/// Index columns in order: database, table, index, not unique, column, prefix length, cardinality, method, comment.
pub(super) fn indexes(condition: &str) -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, CARDINALITY, INDEX_TYPE, INDEX_COMMENT \
         FROM information_schema.STATISTICS WHERE {} ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX",
        on("TABLE_SCHEMA", condition)
    )
}

/// Columns of foreign keys in order: database, table, constraint, column, referenced database, table, column.
pub(super) fn foreign_keys(condition: &str) -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, \
         REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL AND {} \
         ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
        on("TABLE_SCHEMA", condition)
    )
}

/// Where the column's name goes in a condition: a character that no text literal of ours holds.
pub(super) const COLUMN: char = '\0';

fn on(column: &str, condition: &str) -> String {
    condition.replace(COLUMN, column)
}
