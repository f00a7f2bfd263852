//! Sorts, projections, joins, set operations: the shapes around the conditions.

use super::{COMPARABLE, Case, EVERY, ours, same};

pub fn sorts() -> Vec<Case> {
    let mut out = vec![];
    for c in COMPARABLE {
        out.push(ours(format!("SELECT id, {c} FROM {{t}} ORDER BY {c}, id")));
        out.push(ours(format!("SELECT id, {c} FROM {{t}} ORDER BY {c} DESC, id LIMIT 17")));
        out.push(ours(format!("SELECT id FROM {{t}} WHERE {c} IS NOT NULL ORDER BY {c} NULLS FIRST, id DESC LIMIT 9 OFFSET 5")));
        out.push(ours(format!("SELECT {c}, count(*) AS n FROM {{t}} GROUP BY {c} ORDER BY n DESC, {c} DESC NULLS LAST LIMIT 5")));
    }
    for sql in [
        "SELECT id FROM {t} ORDER BY id DESC LIMIT 3",
        "SELECT id FROM {t} ORDER BY id LIMIT 0",
        "SELECT id FROM {t} ORDER BY id OFFSET 239",
        "SELECT id FROM {t} WHERE t = 'abc' ORDER BY id LIMIT 2",
        "SELECT id, tc FROM {t} ORDER BY tc, id",
        "SELECT id, i4 FROM {t} ORDER BY i4 DESC NULLS LAST, id LIMIT 20",
        "SELECT id FROM {t} ORDER BY i2, i4 DESC, id LIMIT 30 OFFSET 10",
        "SELECT id, b FROM {t} ORDER BY b NULLS FIRST, id DESC",
        "SELECT id, d FROM {t} ORDER BY d, id",
        "SELECT id, ts FROM {t} ORDER BY ts DESC, id",
        "SELECT id, tz FROM {t} ORDER BY tz, id LIMIT 100",
        "SELECT id, i4::bigint + 1 AS x FROM {t} ORDER BY i4::bigint + 1, id LIMIT 10",
        "SELECT id, \"by\" FROM {t} ORDER BY \"by\", id",
        "SELECT id, u FROM {t} ORDER BY u, id",
        "SELECT id FROM (SELECT id FROM {t} ORDER BY id LIMIT 10) x ORDER BY id DESC LIMIT 5",
        "SELECT id FROM (SELECT id, b FROM {t} ORDER BY id LIMIT 10) x WHERE b ORDER BY id",
    ] {
        out.push(same(sql));
    }
    out
}

pub fn all() -> Vec<Case> {
    let mut out = vec![];
    for c in EVERY {
        // Two differ from Postgres by design: a char(n) is read without its padding, a numeric without precision without its trailing zeros.
        let sql = format!("SELECT id, {c} FROM {{t}}");
        out.push(if matches!(*c, "nu" | "bp") { ours(sql) } else { same(sql) });
        out.push(ours(format!("SELECT count(*) FROM {{t}} WHERE {c} IS NULL")));
    }
    for c in COMPARABLE {
        out.push(ours(format!("SELECT count(*) FROM {{t}} a JOIN {{t}} x ON a.{c} = x.{c}")));
        out.push(ours(format!("SELECT a.id FROM {{t}} a WHERE a.{c} IN (SELECT x.{c} FROM {{t}} x WHERE x.id < 5)")));
    }
    for sql in [
        "SELECT 1 FROM {t} WHERE id < 3",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id WHERE a.id < 30",
        "SELECT a.id, x.id FROM {t} a FULL JOIN (SELECT id, i2 FROM {t} WHERE b) x ON a.id = x.i2",
        "SELECT a.id FROM {t} a JOIN {t} x ON a.t = x.vc WHERE x.id < 20",
        "SELECT a.id FROM {t} a WHERE NOT EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id)",
        "SELECT id FROM {t} WHERE b UNION ALL SELECT i4 FROM {t} WHERE i4 > 5",
        "SELECT id FROM {t} WHERE b UNION SELECT i2 FROM {t}",
        "SELECT i2 FROM {t} INTERSECT SELECT id FROM {t}",
        "SELECT id FROM {t} EXCEPT SELECT i4 FROM {t}",
        "WITH x AS (SELECT b, count(*) AS n FROM {t} GROUP BY b) SELECT a.id, x.n FROM {t} a JOIN x ON a.b = x.b WHERE a.id < 20",
        "SELECT id, row_number() OVER (PARTITION BY b ORDER BY id) FROM {t} WHERE id < 40",
        "SELECT id, sum(i2) OVER (ORDER BY id) FROM {t} WHERE id < 20",
        "SELECT (SELECT max(i4) FROM {t}) - id FROM {t} WHERE id < 5",
        "SELECT id, CASE WHEN i4 > 5 THEN 'big' ELSE 'small' END FROM {t}",
        "SELECT id, i4 = 1, t IS NULL, NOT b FROM {t}",
        "SELECT id, COALESCE(vc, t, '-') FROM {t}",
        "SELECT id, n10 * 2, i4 / 3 FROM {t} WHERE id < 50",
        "SELECT id AS a, id AS b, t FROM {t} WHERE id < 5",
        "SELECT x.id FROM (SELECT id, i4 + 1 AS y FROM {t} WHERE i4 < 100) x WHERE x.y > 1",
        "SELECT n FROM (SELECT vc, count(*) AS n FROM {t} GROUP BY vc) x WHERE n > 4",
        "SELECT t, n FROM (SELECT t, count(*) AS n FROM {t} GROUP BY t) x WHERE t = 'abc'",
    ] {
        out.push(same(sql));
    }
    for sql in [
        "SELECT * FROM {t} WHERE id = 42",
        "SELECT a.id FROM {t} a JOIN {t} x ON a.f8 = x.f8 WHERE x.id = 1",
        "SELECT a.id FROM {t} a JOIN {t} x ON a.tnd = x.tnd AND a.ci = x.ci",
        "SELECT id, tnd = 'abc', ci = 'abc', bp = 'abc', e = 'ok', f8 = 0 FROM {t}",
        "SELECT id, t < 'b', e < 'b', ten LIKE 'a%', NULLIF(tnd, 'abc') FROM {t}",
        "SELECT id, -f8, i4::text, ts::date FROM {t} WHERE id < 20",
        "SELECT id, i4 + i4 FROM {t} WHERE i4 < 100 AND i4 > -100",
        "SELECT id, i4 + i4 FROM {t}",
        "SELECT id, i8 + 1 FROM {t}",
        "SELECT sum(i4 * i4) FROM {t}",
        "SELECT 1 / i2 FROM {t}",
        "SELECT id FROM {t} WHERE 1 / i2 = 1",
    ] {
        out.push(ours(sql));
    }
    out
}
