//! Grouping, DISTINCT and aggregates.

use super::{COMPARABLE, Case, NUMBERS, ours, same};

pub fn all() -> Vec<Case> {
    let mut out = vec![];
    for c in COMPARABLE {
        out.push(ours(format!("SELECT {c}, count(*) FROM {{t}} GROUP BY {c}")));
        out.push(ours(format!("SELECT DISTINCT {c} FROM {{t}}")));
        out.push(ours(format!("SELECT count(DISTINCT {c}) FROM {{t}}")));
        out.push(same(format!("SELECT count({c}) FROM {{t}}")));
        out.push(ours(format!("SELECT min({c}), max({c}) FROM {{t}}")));
        // Which of a group's NaN and numbers wins depends on the order of rows here: nothing to compare.
        if !c.starts_with('f') {
            out.push(ours(format!("SELECT b, min({c}), max({c}) FROM {{t}} WHERE id > 20 GROUP BY b")));
        }
        out.push(ours(format!("SELECT min({c}), max({c}) FROM {{t}} WHERE id < 0")));
    }
    // Sums of floats depend on the order of the rows.
    for c in NUMBERS.iter().filter(|c| !c.starts_with('f')) {
        out.push(same(format!("SELECT sum({c}) FROM {{t}}")));
        out.push(same(format!("SELECT b, sum({c}), count({c}) FROM {{t}} GROUP BY b")));
        out.push(same(format!("SELECT sum({c}) FROM {{t}} WHERE id < 0")));
        out.push(ours(format!("SELECT avg({c}) FROM {{t}}")));
        out.push(ours(format!("SELECT b, avg({c}) FROM {{t}} GROUP BY b")));
        out.push(same(format!("SELECT sum(DISTINCT {c}) FROM {{t}}")));
    }
    for sql in [
        "SELECT count(*) FROM {t}",
        "SELECT count(*) FROM {t} WHERE id < 0",
        "SELECT count(*), count(i4), sum(i4) FROM {t} WHERE t = 'abc'",
        "SELECT bool_and(b), bool_or(b) FROM {t}",
        "SELECT i4, bool_and(b), bool_or(b) FROM {t} GROUP BY i4",
        "SELECT i2, count(*) FROM {t} GROUP BY i2 HAVING count(*) > 28",
        "SELECT i2, sum(i4) FROM {t} GROUP BY i2 HAVING sum(i4) > 1000 OR i2 IS NULL",
        "SELECT i2, b, count(*) FROM {t} WHERE id < 100 GROUP BY i2, b",
        "SELECT count(*) FILTER (WHERE b), count(*) FILTER (WHERE t = 'abc') FROM {t}",
        "SELECT sum(i4) FILTER (WHERE vc IS NOT NULL) FROM {t}",
        "SELECT i4 % 3, count(*) FROM {t} GROUP BY i4 % 3",
        "SELECT i2 + 1 AS x, count(*) FROM {t} GROUP BY i2 + 1",
        "SELECT CASE WHEN b THEN 'yes' WHEN NOT b THEN 'no' END, count(*) FROM {t} GROUP BY 1",
        "SELECT COALESCE(t, '-') AS x, count(*) FROM {t} GROUP BY 1",
        "SELECT count(*) FROM (SELECT DISTINCT t, vc FROM {t}) x",
        "SELECT count(*) FROM (SELECT t FROM {t} LIMIT 10) x",
        "SELECT sum(n) FROM (SELECT b, count(*) AS n FROM {t} GROUP BY b) x",
        "SELECT max(n) FROM (SELECT t, count(*) AS n FROM {t} GROUP BY t) x",
        "SELECT DISTINCT i2, b FROM {t}",
        "SELECT DISTINCT i4 FROM {t} WHERE b",
        "SELECT b, i2, count(DISTINCT t) FROM {t} GROUP BY b, i2",
        "SELECT count(DISTINCT t), count(DISTINCT vc), count(*) FROM {t}",
        "SELECT sum(i2 * 2), sum(id + 1) FROM {t}",
        "SELECT i2, i2, count(*) FROM {t} GROUP BY i2",
        "SELECT sum(i4), sum(i8), sum(n10) FROM {t} WHERE b IS NOT TRUE",
        "SELECT 1, count(*) FROM {t} WHERE id < 0 GROUP BY 1",
        "SELECT b, i2, count(*), sum(i4), count(DISTINCT t) FROM {t} GROUP BY ROLLUP (b, i2)",
        "SELECT b, i2, e::text, count(*) FROM {t} GROUP BY CUBE (b, i2, e::text)",
        "SELECT b, i2, count(*) FROM {t} GROUP BY GROUPING SETS ((b), (i2, b), ())",
        "SELECT b, i2, grouping(b), grouping(i2, b), min(i4) FROM {t} GROUP BY CUBE (b, i2)",
        "SELECT b, i2, avg(n10), grouping(b) FROM {t} GROUP BY ROLLUP (b, i2)",
        "SELECT i2, count(*) FROM {t} WHERE id < 0 GROUP BY ROLLUP (i2)",
        "SELECT i2, b, count(*) FROM {t} GROUP BY i2, ROLLUP (b)",
        "SELECT b, i2, count(*) FROM {t} GROUP BY ROLLUP (b, i2) HAVING b IS NOT NULL AND grouping(i2) = 1",
        "SELECT t, vc, count(*) AS n FROM {t} GROUP BY ROLLUP (t, vc) ORDER BY n DESC, t, vc LIMIT 9",
        "SELECT x.b, count(*) FROM (SELECT b, i2, count(*) AS n FROM {t} GROUP BY CUBE (b, i2)) x WHERE x.n > 5 GROUP BY x.b",
        "SELECT left(t, 1) AS l, b, count(*) FROM {t} GROUP BY ROLLUP (left(t, 1), b)",
        "SELECT count(*) FROM {t} GROUP BY GROUPING SETS (())",
    ] {
        out.push(same(sql));
    }
    for sql in [
        "SELECT f8, b, count(*) FROM {t} GROUP BY f8, b",
        "SELECT b, f4 FROM {t} GROUP BY b, f4",
        "SELECT tnd, count(*) FROM {t} GROUP BY tnd HAVING count(*) > 3",
        "SELECT ci, e, count(*) FROM {t} GROUP BY ci, e",
        "SELECT iv, count(*) FROM {t} GROUP BY iv",
        "SELECT ai, count(*) FROM {t} GROUP BY ai",
        "SELECT count(DISTINCT f8), count(DISTINCT iv) FROM {t}",
        "SELECT e, max(ten), min(ci) FROM {t} GROUP BY e",
        "SELECT avg(i4), avg(i8), avg(n10) FROM {t} WHERE b",
        "SELECT i4 + i2, count(*) FROM {t} WHERE i4 < 1000 GROUP BY 1",
        "SELECT stddev(i4) FROM {t} WHERE i4 = 42",
        "SELECT string_agg(t, ',' ORDER BY id) FROM {t}",
        "SELECT min(b), max(b) FROM {t} WHERE i4 = 1",
    ] {
        out.push(ours(sql));
    }
    out
}
