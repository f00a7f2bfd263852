//! Postgres's JSON operators and functions over json and jsonb.
//!
//! A json is held as its text as it was written, a jsonb as Postgres's canonical text, so that any part of either is a part of its text. The operators
//! are planned as functions with plain names and fixed types (`json` stands for either type):
//!
//! | operator | function | result |
//! |---|---|---|
//! | `json -> key`, `json -> index` | `fjord_json_get(json, text or integer)` | json of the same kind |
//! | `json ->> key`, `json ->> index` | `fjord_json_get_text(json, text or integer)` | text |
//! | `json #> path`, `json #>> path` | `fjord_json_get_path(json, text[])`, `fjord_json_get_path_text(json, text[])` | json of the same kind, text |
//! | `jsonb @> jsonb` | `fjord_jsonb_contains(jsonb, jsonb)` | boolean |
//! | `jsonb ? key`, `?|`, `?&` | `fjord_jsonb_exists(jsonb, text)`, `fjord_jsonb_exists_any(jsonb, text[])`, `fjord_jsonb_exists_all(jsonb, text[])` | boolean |
//!
//! By name: `json_typeof`, `json_array_length`, `json_extract_path`, `json_extract_path_text` and the same with `jsonb_`.
//! <https://www.postgresql.org/docs/15/functions-json.html>.

mod function;
mod operators;
mod part;

pub(crate) use function::functions;
pub(crate) use operators::JsonOperators;
