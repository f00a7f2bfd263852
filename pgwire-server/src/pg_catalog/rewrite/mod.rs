//! Rewrites.

use sqlparser::ast;

/// Rewrites a statement.
pub fn rewrite(statement: &mut ast::Statement) {
    let _ = statement;
}
