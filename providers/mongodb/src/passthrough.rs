//! `remote_query`: the user's own command as extended JSON, if it is one that only reads.
//!
//! A text names a command first (`{"aggregate": "orders", "pipeline": [...], "cursor": {}}`); `$db` names the database, else it is the connector's own. What
//! comes back are the documents of its cursor, or its reply, in one column `document`: MongoDB cannot say what a pipeline returns without running it.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use bson::{Bson, Document};
use fjord_engine::{Result, SqlState};

use crate::error::Origin;
use crate::types::Kind;

/// A command that only reads.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub database: String,
    pub document: Document,
    /// It answers with a cursor.
    pub cursor: bool,
}

/// Commands, whether they answer with a cursor, and the fields that they may have. Others could write, or leave the session in another state.
const COMMANDS: &[(&str, bool, &[&str])] = &[
    ("aggregate", true, &["pipeline", "cursor", "collation", "hint", "let", "allowDiskUse", "readConcern"]),
    (
        "find",
        true,
        &[
            "filter",
            "projection",
            "sort",
            "skip",
            "limit",
            "batchSize",
            "singleBatch",
            "collation",
            "hint",
            "let",
            "min",
            "max",
            "returnKey",
            "showRecordId",
            "allowDiskUse",
            "readConcern",
        ],
    ),
    ("listCollections", true, &["filter", "nameOnly", "authorizedCollections", "cursor"]),
    ("listIndexes", true, &["cursor"]),
    ("count", false, &["query", "limit", "skip", "hint", "collation", "readConcern"]),
    ("distinct", false, &["key", "query", "collation", "hint", "readConcern"]),
    ("explain", false, &["verbosity"]),
    ("collStats", false, &["scale"]),
    ("dbStats", false, &["scale", "freeStorage"]),
    ("listDatabases", false, &["filter", "nameOnly", "authorizedDatabases"]),
    ("buildInfo", false, &[]),
    ("hello", false, &[]),
    ("ping", false, &[]),
];

/// Stages that write, or that never end.
const STAGES_REFUSED: [&str; 3] = ["$out", "$merge", "$changeStream"];

/// The one column of every answer.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Kind::Raw.field("document", false)]))
}

/// Reads and judges a text.
pub(crate) fn parse(origin: &Origin, text: &str, database: &str) -> Result<Command> {
    let refused = |state: SqlState, what: String| {
        origin.error(state, what).hint(
        "remote_query takes one command that only reads, as JSON: {\"aggregate\": \"collection\", \"pipeline\": [...], \"cursor\": {}}. \"$db\" names another database.",
    )
    };
    let mut document: Document =
        serde_json::from_str(text).map_err(|e| refused(SqlState::SYNTAX_ERROR, format!("the text is no JSON object: {e}")))?;
    let database = match document.remove("$db") {
        None => database.to_string(),
        Some(Bson::String(d)) => d,
        Some(_) => return Err(refused(SqlState::SYNTAX_ERROR, "\"$db\" is no text".into())),
    };
    let cursor = allowed(&document).map_err(|what| refused(SqlState::FEATURE_NOT_SUPPORTED, what))?;
    if let Some(stage) = STAGES_REFUSED.iter().find(|s| names(&document, s)) {
        return Err(refused(SqlState::READ_ONLY_SQL_TRANSACTION, format!("{stage} does more than read")));
    }
    Ok(Command { database, document, cursor })
}

fn allowed(document: &Document) -> Result<bool, String> {
    let Some(name) = document.keys().next() else { return Err("the command is empty".into()) };
    let Some((_, cursor, fields)) = COMMANDS.iter().find(|(n, ..)| n == name) else {
        return Err(format!("\"{name}\" is not one of the commands that are known to only read"));
    };
    for field in document.keys().skip(1) {
        if !fields.contains(&field.as_str()) && !matches!(field.as_str(), "maxTimeMS") {
            return Err(format!("\"{name}\" with \"{field}\" is not sent"));
        }
    }
    if name == "explain" {
        return match document.get("explain") {
            Some(Bson::Document(inner)) if inner.keys().next().is_some_and(|n| n != "explain") => allowed(inner).map(|_| false),
            _ => Err("\"explain\" explains a command".into()),
        };
    }
    Ok(*cursor)
}

/// Whether a name stands anywhere inside.
fn names(document: &Document, name: &str) -> bool {
    fn inside(v: &Bson, name: &str) -> bool {
        match v {
            Bson::Document(d) => names(d, name),
            Bson::Array(a) => a.iter().any(|v| inside(v, name)),
            _ => false,
        }
    }
    document.iter().any(|(k, v)| k == name || inside(v, name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_that_read() {
        let origin = Origin { connector: "docs".into(), location: "h:1".into() };
        let of = |text: &str| parse(&origin, text, "shop");
        let c =
            of(r#"{"aggregate": "t", "pipeline": [{"$match": {"_id": {"$oid": "507f1f77bcf86cd799439011"}}}], "cursor": {}, "$db": "x"}"#)
                .unwrap();
        assert_eq!((c.database.as_str(), c.cursor, c.document.keys().next().unwrap().as_str()), ("x", true, "aggregate"));
        let id = c.document.get_array("pipeline").unwrap()[0].as_document().unwrap().get_document("$match").unwrap().get_object_id("_id");
        assert_eq!(id.unwrap().to_hex(), "507f1f77bcf86cd799439011");
        for good in
            [r#"{"find": "t", "filter": {"a": 1}}"#, r#"{"count": "t"}"#, r#"{"explain": {"find": "t"}, "verbosity": "queryPlanner"}"#]
        {
            assert_eq!(of(good).unwrap().database, "shop", "{good}");
        }
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"insert": "t", "documents": []}"#,
            r#"{"aggregate": "t", "pipeline": [{"$out": "u"}], "cursor": {}}"#,
            r#"{"aggregate": "t", "pipeline": [{"$facet": {"a": [{"$merge": {"into": "u"}}]}}], "cursor": {}}"#,
            r#"{"aggregate": 1, "pipeline": [{"$changeStream": {}}], "cursor": {}}"#,
            r#"{"find": "t", "tailable": true}"#,
            r#"{"find": "t", "lsid": {}}"#,
            r#"{"explain": {"delete": "t"}}"#,
            r#"{"explain": {"explain": {"find": "t"}}}"#,
            r#"{"filter": {}, "find": "t"}"#,
            r#"{"dropDatabase": 1}"#,
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
