//! Postgres's dialect of sqlparser, without what makes it take exponential time.
//!
//! sqlparser 0.62 tries each argument of a function as `name => value` first, and PostgreSqlDialect lets the name be any expression: an argument is
//! parsed twice, its own arguments four times, and so on. Thirty nested calls would take half an hour. Names of arguments are identifiers in Postgres
//! (<https://www.postgresql.org/docs/current/sql-syntax-calling-funcs.html>); expressions stand there only in SQL/JSON constructors, which are not known
//! here.

use std::any::TypeId;

use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};

/// What queries are parsed with.
#[derive(Debug)]
pub(super) struct Postgres;

const INNER: PostgreSqlDialect = PostgreSqlDialect {};

/// The methods that PostgreSqlDialect has of its own and that take nothing.
macro_rules! as_postgres {
    ($($name:ident),* $(,)?) => {
        $(fn $name(&self) -> bool {
            INNER.$name()
        })*
    };
}

impl Dialect for Postgres {
    fn dialect(&self) -> TypeId {
        INNER.dialect()
    }
    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        INNER.identifier_quote_style(identifier)
    }
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        INNER.is_delimited_identifier_start(ch)
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        INNER.is_identifier_start(ch)
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        INNER.is_identifier_part(ch)
    }
    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        INNER.is_reserved_for_identifier(kw)
    }
    fn is_custom_operator_part(&self, ch: char) -> bool {
        INNER.is_custom_operator_part(ch)
    }
    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        INNER.get_next_precedence(parser)
    }
    fn prec_value(&self, prec: Precedence) -> u8 {
        INNER.prec_value(prec)
    }
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }
    as_postgres!(
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_listen_notify,
        supports_factorial_operator,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_set_names,
        supports_alter_column_type_using,
        supports_notnull_operator,
        supports_interval_options,
        supports_insert_table_alias,
        supports_create_table_like_parenthesized,
        supports_select_wildcard_with_alias,
        supports_comma_separated_trim,
        supports_xml_expressions,
        supports_comment_optimizer_hint,
    );
}
