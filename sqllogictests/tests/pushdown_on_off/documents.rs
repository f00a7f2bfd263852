//! JSON operators over documents. Postgres raises where a json holds what is no text, so of a json its answer is not asked.

use super::{Case, ours, same};

pub fn all() -> Vec<Case> {
    let mut out = vec![];
    for c in ["j", "jb"] {
        let case = |sql: String| Case { sql, oracle: c == "jb" };
        for expr in [
            "{c} ->> 'k'",
            "{c} -> 'k'",
            "{c} -> 'k' -> 'a' -> 2 ->> 'b'",
            "{c} #>> '{k,a,1}'",
            "{c} #>> '{k,a,-1}'",
            "{c} #> '{k,a}'",
            "{c} #> ARRAY['a', 'k', 'k']",
            "{c} ->> 0",
            "{c} ->> -1",
            "{c} -> 0",
            "{c} -> 1 ->> 'k'",
            "{c} #>> '{0}'",
            "{c} -> 'k' ->> 1",
            "{c} ->> ''",
            "{c} ->> 'a b'",
            "{c} ->> '\u{e9}'",
            "{c}_typeof({c})",
            "{c}_extract_path_text({c}, 'k', 'a', '1')",
            "{c}_extract_path({c}, 'k')",
        ] {
            let expr = expr.replace("{c}_", if c == "j" { "json_" } else { "jsonb_" }).replace("{c}", c);
            out.push(case(format!("SELECT id, {expr} FROM {{docs}} WHERE id <> 23 AND id <> 24")));
            out.push(case(format!("SELECT id FROM {{docs}} WHERE {expr} IS NULL AND id NOT IN (23, 24)")));
        }
        for predicate in [
            "{c} ->> 'k' = 'v'",
            "NOT ({c} ->> 'k' = 'v')",
            "{c} ->> 'k' <> 'v'",
            "{c} ->> 'k' IN ('v', 'V', '')",
            "{c} ->> 'k' NOT IN ('v', 'V', '')",
            "{c} ->> 'k' LIKE '%e%'",
            "lower({c} ->> 'k') = 'v'",
            "{c} #>> '{k,a,0}' = '1'",
            "length({c} ->> 'k') = 1",
            "({c} ->> 'k') IS DISTINCT FROM 'v'",
            "{c} ->> 'k' = 'v' OR {c} ->> 'n' = '12'",
            "({c} ->> 'n') IN ('1', '12', '-7') AND CASE WHEN {c} ->> 'n' IN ('1', '12', '-7') THEN ({c} ->> 'n')::int END > 0",
            "CASE WHEN {c} ->> 'n' IN ('1', '12', '05', '999999999999') THEN ({c} ->> 'n')::bigint END >= 5",
            "CASE WHEN {c} ->> 'n' IN ('1', '12', '05') THEN ({c} ->> 'n')::numeric END > 1.5",
            "CASE WHEN {c} ->> 'n' = '2024-02-28' THEN ({c} ->> 'n')::date END < '2025-01-01'",
        ] {
            out.push(case(format!("SELECT id FROM {{docs}} WHERE {}", predicate.replace("{c}", c))));
        }
        // Text has the order of its bytes here.
        out.push(ours(format!("SELECT id FROM {{docs}} WHERE {c} ->> 'k' > 'a'")));
        out.push(ours(format!("SELECT {c} ->> 'k' AS k, count(*) FROM {{docs}} WHERE id <> 23 GROUP BY 1")));
        out.push(ours(format!("SELECT id, {c} ->> 'k' AS k FROM {{docs}} WHERE id <> 23 ORDER BY 2, 1 LIMIT 7")));
    }
    for predicate in [
        "jb @> '{\"k\": \"v\"}'",
        "NOT (jb @> '{\"k\": \"v\"}')",
        "jb @> '{\"k\": 1.5}'",
        "jb @> '[1]'",
        "jb @> '\"k\"'",
        "jb @> '{}'",
        "jb @> '[]'",
        "jb @> '{\"k\": {\"a\": [{}]}}'",
        "jb -> 'k' @> '[10]'",
        "jb <@ '{\"k\": \"v\", \"n\": 1, \"x\": 2}'",
        "'{\"k\": \"v\", \"n\": 1, \"x\": 2}' @> jb",
        "jb @> (jb -> 'k')",
        "jb ? 'k'",
        "NOT (jb ? 'k')",
        "jb ?| ARRAY['n', 'a b']",
        "jb ?& ARRAY['k', 'n']",
        "jsonb_typeof(jb) = 'object'",
        "jsonb_typeof(jb -> 'k') = 'number'",
        "jb -> 'k' IS NULL",
        "json_typeof(j) = 'string'",
    ] {
        out.push(same(format!("SELECT id FROM {{docs}} WHERE {predicate}")));
        out.push(same(format!("SELECT count(*) FROM {{docs}} WHERE {predicate}")));
    }
    // What may raise here and there stays: an exponent, escapes, a path with blanks or NULL.
    for predicate in ["jb @> '{\"k\": 1e2}'", "jb @> '{\"k\": \"\\u00e9\"}'", "jb #>> '{k, a}' IS NULL", "jb #>> ARRAY['k', NULL] IS NULL"]
    {
        out.push(same(format!("SELECT id FROM {{docs}} WHERE {predicate}")));
    }
    out
}
