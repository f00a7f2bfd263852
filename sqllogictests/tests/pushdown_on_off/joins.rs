//! Joins, unions and subqueries of one source.

use super::{COMPARABLE, Case, ours, same};

/// Columns on which Postgres's own equality is that of bytes, or of numbers and times.
const PLAIN_KEYS: &[&str] = &["b", "i2", "i4", "i8", "n10", "n38", "t", "tc", "ten", "vc", "d", "tm", "ts", "tz", "u", "o"];

pub fn keys() -> Vec<Case> {
    let mut out = vec![];
    for c in COMPARABLE {
        let case = |sql: String| if PLAIN_KEYS.contains(c) { same(sql) } else { ours(sql) };
        // Aggregates over them: a join of many with many goes only so.
        out.push(case(format!("SELECT count(*), count(a.{c}), sum(x.id) FROM {{t}} a JOIN {{t}} x ON a.{c} = x.{c}")));
        out.push(case(format!(
            "SELECT count(*), count(x.id) FROM {{t}} a LEFT JOIN (SELECT * FROM {{t}} WHERE id < 50) x ON a.{c} = x.{c}"
        )));
        out.push(case(format!(
            "SELECT count(*), count(a.id) FROM (SELECT * FROM {{t}} WHERE id < 9) a RIGHT JOIN {{t}} x ON a.{c} = x.{c}"
        )));
        out.push(case(format!(
            "SELECT count(*), count(a.id), count(x.id) FROM (SELECT * FROM {{t}} WHERE id < 40) a FULL JOIN (SELECT * FROM {{t}} WHERE id > 230) x ON a.{c} = x.{c}"
        )));
        out.push(case(format!("SELECT a.id FROM {{t}} a WHERE EXISTS (SELECT 1 FROM {{t}} x WHERE x.{c} = a.{c} AND x.id < 7)")));
        out.push(case(format!("SELECT a.id FROM {{t}} a WHERE NOT EXISTS (SELECT 1 FROM {{t}} x WHERE x.{c} = a.{c} AND x.id < 7)")));
        out.push(case(format!("SELECT a.id FROM {{t}} a WHERE a.{c} IN (SELECT x.{c} FROM {{t}} x WHERE x.id < 5)")));
        out.push(case(format!(
            "SELECT a.id FROM {{t}} a WHERE a.{c} NOT IN (SELECT x.{c} FROM {{t}} x WHERE x.id < 4 AND x.{c} IS NOT NULL)"
        )));
        out.push(case(format!("SELECT a.id FROM {{t}} a WHERE a.{c} NOT IN (SELECT x.{c} FROM {{t}} x WHERE x.id < 60)")));
        out.push(case(format!("SELECT count(*) FROM {{t}} a WHERE a.{c} NOT IN (SELECT x.{c} FROM {{t}} x WHERE x.id < 0)")));
        out.push(case(format!("SELECT a.id FROM {{t}} a WHERE a.id = 3 OR a.{c} IN (SELECT x.{c} FROM {{t}} x WHERE x.id < 3)")));
        out.push(case(format!("SELECT count(*) FROM {{t}} a JOIN {{t}} x ON a.{c} IS NOT DISTINCT FROM x.{c} WHERE x.id > 200")));
        out.push(ours(format!("SELECT {c} FROM {{t}} WHERE id < 50 INTERSECT SELECT {c} FROM {{t}} WHERE id > 100")));
        out.push(ours(format!("SELECT {c} FROM {{t}} EXCEPT SELECT {c} FROM {{t}} WHERE id < 3")));
        out.push(ours(format!("SELECT {c} FROM {{t}} WHERE id < 5 UNION ALL SELECT {c} FROM {{t}} WHERE id > 235")));
        out.push(ours(format!("SELECT {c} FROM {{t}} UNION SELECT {c} FROM {{t}} WHERE b")));
    }
    out
}

pub fn all() -> Vec<Case> {
    let mut out = vec![];
    for (a, b) in
        [("i2", "i4"), ("i4", "i8"), ("i2", "i8"), ("i4", "n10"), ("n10", "nu"), ("n10", "n38"), ("t", "vc"), ("t", "tc"), ("ten", "vc")]
    {
        out.push(same(format!("SELECT count(*) FROM {{t}} a JOIN {{t}} x ON a.{a} = x.{b}")));
        out.push(same(format!("SELECT a.id FROM {{t}} a WHERE a.{a} IN (SELECT {b} FROM {{t}} WHERE id < 20)")));
    }
    for (a, b) in [
        ("t", "bp"),
        ("t", "ci"),
        ("e", "t"),
        ("tnd", "ten"),
        ("u", "t"),
        ("nm", "t"),
        ("f4", "f8"),
        ("i4", "f8"),
        ("jb", "j"),
        ("bp", "ci"),
    ] {
        out.push(ours(format!("SELECT count(*) FROM {{t}} a JOIN {{t}} x ON a.{a} = x.{b}")));
        out.push(ours(format!("SELECT a.id FROM {{t}} a WHERE a.{a} IN (SELECT {b} FROM {{t}} WHERE id < 20)")));
        out.push(ours(format!("SELECT a.id FROM {{t}} a WHERE a.{a} NOT IN (SELECT {b} FROM {{t}} WHERE id < 9)")));
    }
    for sql in [
        // Conditions that are finished here, above the join: under aliases and projections, over columns that nothing else needs.
        "SELECT a.id, x.i2 FROM {t} a JOIN {t} x ON a.i4 = x.id WHERE md5(a.t) <> md5('abc') AND x.i8 - x.i8 = 0",
        "SELECT a.k, x.i2 FROM (SELECT id AS t, i4 AS k FROM {t} WHERE md5(t) <> md5('abc')) a JOIN {t} x ON a.k = x.id",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id WHERE md5(a.t) <> md5('abc')",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN (SELECT id, i2 FROM {t} WHERE md5(t) <> md5('abc')) x ON a.i4 = x.id",
        "SELECT a.id FROM {t} a WHERE md5(a.t) <> md5('abc') AND a.i4 IN (SELECT id FROM {t})",
        "SELECT a.id FROM {t} a WHERE md5(a.t) <> md5('abc') AND (a.b OR a.i4 IN (SELECT id FROM {t}))",
        "SELECT a.id FROM {t} a WHERE a.i4 IN (SELECT id FROM {t} WHERE md5(t) <> md5('abc'))",
        "SELECT a.id, x.id, y.id FROM {t} a JOIN {t} x ON a.i4 = x.id JOIN {t} y ON x.i2 = y.id WHERE md5(x.t) <> md5('abc') AND md5(y.vc) <> 'x'",
        "SELECT count(*) FROM {t} a JOIN {t} x ON a.i4 = x.id WHERE md5(a.t) <> md5('abc')",
        // Many to one, self joins, columns of one name.
        "SELECT a.id, x.id, a.t, x.t FROM {t} a JOIN {t} x ON a.i4 = x.id",
        "SELECT * FROM (SELECT id, b FROM {t}) a JOIN (SELECT id, b FROM {t}) x ON a.id = x.id",
        "SELECT a.id, x.id, y.id FROM {t} a JOIN {t} x ON a.i4 = x.id JOIN {t} y ON x.i2 = y.id",
        "SELECT a.id, x.id, y.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id LEFT JOIN {t} y ON x.i2 = y.id",
        "SELECT a.id, x.id, y.id FROM {t} a LEFT JOIN ({t} x JOIN {t} y ON x.i2 = y.id) ON a.i4 = x.id",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id AND x.b",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id AND a.b AND x.t = 'abc'",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id AND a.i2 < x.i2",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id WHERE x.id IS NULL",
        "SELECT a.id, x.n FROM {t} a LEFT JOIN (SELECT i4, count(*) AS n FROM {t} GROUP BY i4) x ON a.id = x.i4",
        "SELECT a.id, COALESCE(x.n, 0) FROM {t} a LEFT JOIN (SELECT i4, count(*) AS n FROM {t} GROUP BY i4) x ON a.id = x.i4",
        "SELECT a.id, x.y FROM {t} a LEFT JOIN (SELECT id, COALESCE(i2, 0) AS y FROM {t}) x ON a.i4 = x.id",
        "SELECT a.id, x.one FROM {t} a LEFT JOIN (SELECT id, 1 AS one FROM {t} WHERE b) x ON a.id = x.id",
        "SELECT a.id, x.id FROM {t} a FULL JOIN {t} x ON a.i4 = x.id",
        "SELECT a.id, x.id FROM (SELECT * FROM {t} WHERE b) a FULL JOIN (SELECT * FROM {t} WHERE i2 = 1) x ON a.id = x.id",
        "SELECT a.id, x.id FROM {t} a FULL JOIN {t} x ON a.i4 = x.id AND a.i2 < x.i2",
        "SELECT a.id, x.id FROM {t} a RIGHT JOIN {t} x ON a.id = x.i4 AND a.b",
        "SELECT x.id, a.id FROM {t} a JOIN {t} x ON a.id = x.i4 WHERE a.t = x.t OR a.i2 > 1",
        "SELECT count(*) FROM {t} a JOIN {t} x ON a.i2 < x.i4 AND a.id = x.id",
        "SELECT count(*) FROM {t} a CROSS JOIN {t} x",
        "SELECT a.id, x.m FROM {t} a CROSS JOIN (SELECT max(i4) AS m FROM {t}) x",
        "SELECT count(*) FROM {t} a JOIN {t} x ON a.id < x.id",
        "SELECT a.id FROM {t} a JOIN {t} x USING (id)",
        "SELECT a.id FROM {t} a WHERE EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id AND x.i2 > a.i2)",
        "SELECT a.id FROM {t} a WHERE EXISTS (SELECT 1 FROM {t} x WHERE x.i4 > a.id)",
        "SELECT a.id FROM {t} a WHERE NOT EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id AND x.i2 > a.i2)",
        "SELECT a.id FROM {t} a WHERE EXISTS (SELECT 1 FROM {t} WHERE id < 0)",
        "SELECT a.id FROM {t} a WHERE (a.i2, a.i4) IN (SELECT i4, i2 FROM {t})",
        "SELECT a.id FROM {t} a WHERE a.id NOT IN (SELECT i4 FROM {t})",
        "SELECT a.id FROM {t} a WHERE a.id NOT IN (SELECT i4 FROM {t} WHERE i4 IS NOT NULL)",
        "SELECT a.id FROM {t} a WHERE a.i2 NOT IN (SELECT i4 FROM {t} WHERE i4 IS NOT NULL)",
        "SELECT a.id FROM {t} a WHERE a.i2 NOT IN (SELECT id FROM {t})",
        "SELECT a.id FROM {t} a WHERE a.i2 NOT IN (SELECT id FROM {t} WHERE id < 0)",
        "SELECT a.id FROM {t} a WHERE a.b OR EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id)",
        // As values, where NULL and false differ.
        "SELECT a.id, EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id) AS e FROM {t} a",
        "SELECT a.id, NOT EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id AND x.i2 > a.i2) AS e FROM {t} a",
        "SELECT EXISTS (SELECT 1 FROM {t} WHERE id < 0) AS none, EXISTS (SELECT 1 FROM {t} ORDER BY id LIMIT 5) AS some",
        "SELECT a.id, a.i4 IN (SELECT x.id FROM {t} x WHERE x.id > 3) AS e, a.i4 NOT IN (SELECT x.i2 FROM {t} x) AS n FROM {t} a",
        "SELECT a.id, a.i4 IN (SELECT x.i4 FROM {t} x WHERE x.id < 0) AS e, a.i4 + 1 IN (SELECT x.i4 FROM {t} x WHERE x.i2 = a.i2) AS c FROM {t} a",
        "SELECT EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id) AS e, count(*) FROM {t} a GROUP BY EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id)",
        "SELECT CASE WHEN a.i4 IN (SELECT id FROM {t}) THEN 'in' WHEN a.b THEN 'b' END AS c FROM {t} a",
        "SELECT a.id FROM {t} a WHERE a.b OR NOT EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id)",
        "SELECT a.id, EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id) FROM {t} a",
        // Above joins.
        "SELECT x.t, count(*), sum(a.id) FROM {t} a JOIN {t} x ON a.i4 = x.id GROUP BY x.t",
        "SELECT a.b, count(DISTINCT x.t) FROM {t} a JOIN {t} x ON a.i2 = x.i2 GROUP BY a.b",
        "SELECT count(DISTINCT a.t), count(DISTINCT x.vc) FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id",
        "SELECT x.i2, count(*) FROM {t} a JOIN {t} x ON a.i4 = x.id GROUP BY x.i2 HAVING count(*) > 20",
        "SELECT DISTINCT a.b, x.b FROM {t} a JOIN {t} x ON a.i4 = x.id",
        "SELECT a.id, x.t FROM {t} a JOIN {t} x ON a.i4 = x.id ORDER BY a.id DESC LIMIT 10",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id ORDER BY a.i2 NULLS FIRST, a.id LIMIT 10 OFFSET 3",
        "SELECT a.id, x.id FROM {t} a JOIN {t} x ON a.i2 = x.i2 ORDER BY a.id, x.id LIMIT 20",
        "SELECT a.id + x.id, a.t || x.vc FROM {t} a JOIN {t} x ON a.i4 = x.id",
        "SELECT count(*) FROM (SELECT a.id FROM {t} a JOIN {t} x ON a.i2 = x.i2 LIMIT 1000) y",
        "SELECT a.i2, b.n FROM {t} a JOIN (SELECT i2, count(*) AS n FROM {t} GROUP BY i2) b ON a.i2 = b.i2 WHERE a.id < 40",
        "SELECT sum(n) FROM (SELECT a.b, count(*) AS n FROM {t} a JOIN {t} x ON a.i4 = x.i4 GROUP BY a.b) y",
        "SELECT a.id FROM (SELECT id FROM {t} ORDER BY id LIMIT 10) a JOIN (SELECT i4 FROM {t} ORDER BY id LIMIT 100) x ON a.id = x.i4",
        "SELECT a.id FROM (SELECT id, i4 FROM {t} ORDER BY t) a JOIN {t} x ON a.i4 = x.id",
        // Unions.
        "SELECT id, t FROM {t} WHERE b UNION ALL SELECT i4, vc FROM {t}",
        "SELECT id, 'a' AS src FROM {t} WHERE b UNION ALL SELECT id, 'b' FROM {t} WHERE NOT b",
        "SELECT src, count(*) FROM (SELECT 'a' AS src, id FROM {t} WHERE b UNION ALL SELECT 'b', i2 FROM {t}) x GROUP BY src",
        "SELECT id, NULL AS x FROM {t} WHERE id < 5 UNION ALL SELECT id, t FROM {t} WHERE id < 5",
        "SELECT i2 FROM {t} UNION SELECT i4 FROM {t} UNION SELECT i8 FROM {t}",
        "SELECT count(*) FROM (SELECT id FROM {t} UNION ALL SELECT i4 FROM {t}) x",
        "SELECT i, count(*) FROM (SELECT i2 AS i FROM {t} UNION ALL SELECT i4 FROM {t}) x GROUP BY i",
        "SELECT i FROM (SELECT i2 AS i FROM {t} UNION ALL SELECT i4 FROM {t}) x WHERE i > 5",
        "SELECT i FROM (SELECT id AS i FROM {t} UNION ALL SELECT i4 FROM {t}) x ORDER BY i DESC NULLS LAST LIMIT 7",
        "SELECT t FROM {t} UNION ALL SELECT tc FROM {t}",
        "SELECT t FROM {t} UNION SELECT vc FROM {t}",
        "SELECT a.id, x.v FROM {t} a JOIN (SELECT id, t AS v FROM {t} WHERE b UNION ALL SELECT i2, vc FROM {t} WHERE NOT b) x ON a.id = x.id",
        // Subqueries.
        "SELECT id FROM {t} WHERE i4 = (SELECT max(i4) FROM {t})",
        "SELECT id FROM {t} WHERE i4 > (SELECT min(i4) FROM {t} WHERE b) AND i2 < (SELECT max(i2) FROM {t})",
        "SELECT id FROM {t} WHERE i4 = (SELECT max(i4) FROM {t} WHERE id < 0)",
        "SELECT id FROM {t} WHERE id < (SELECT count(*) FROM {t} WHERE b) ORDER BY id DESC LIMIT 3",
        "SELECT id, (SELECT count(*) FROM {t} x WHERE x.i4 = a.id) FROM {t} a",
        "SELECT id, (SELECT max(x.id) FROM {t} x WHERE x.i2 = a.i2) FROM {t} a WHERE a.id < 60",
        "SELECT id FROM {t} a WHERE id > (SELECT min(x.id) FROM {t} x WHERE x.i4 = a.i4)",
        "SELECT id, (SELECT max(i4) FROM {t}) FROM {t} WHERE id < 5",
        // Grouping.
        "SELECT b, i2, count(*) FROM {t} GROUP BY ROLLUP (b, i2)",
        "SELECT b, i2, sum(id) FROM {t} GROUP BY CUBE (b, i2)",
        "SELECT b, i2, count(*), grouping(b) FROM {t} GROUP BY GROUPING SETS ((b, i2), (b), ())",
        "SELECT 'x', count(*) FROM {t} GROUP BY 1",
        "SELECT 'x', 2, count(*) FROM {t} WHERE id < 0 GROUP BY 1, 2",
        "SELECT DISTINCT ON (b) b, id FROM {t} ORDER BY b, id",
        "SELECT b, count(DISTINCT t), count(DISTINCT i4), sum(DISTINCT i2) FROM {t} GROUP BY b",
        "SELECT count(DISTINCT t) FILTER (WHERE b), sum(i4) FILTER (WHERE NOT b) FROM {t}",
    ] {
        out.push(same(sql));
    }
    for sql in [
        "SELECT a.id, x.id FROM {t} a JOIN {t} x ON a.id = x.id WHERE upper(a.t) = upper(x.vc)",
        "SELECT a.id, x.id FROM {t} a JOIN {t} x ON a.id = x.id AND upper(a.t) = 'ABC'",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.id = x.id AND upper(x.t) = 'ABC'",
        "SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id AND x.t ILIKE 'a%'",
        "SELECT a.id FROM {t} a JOIN {t} x ON a.id = x.id AND a.iv = x.iv",
        "SELECT a.id FROM {t} a JOIN {t} x ON a.id = x.id AND a.ai = x.ai",
        "SELECT a.id, x.ci, x.bp, x.e, x.u, x.j FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id",
        "SELECT a.id, x.f8, x.iv, x.ip, x.m, x.p, x.\"Odd \"\"Name\" FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id",
        "SELECT a.id, x.id, v.y FROM {t} a JOIN (VALUES (1, 'a'), (2, 'b'), (NULL, 'c')) v(i, y) ON a.i2 = v.i JOIN {t} x ON a.i4 = x.id",
        "SELECT a.id, x.id, v.y FROM {t} a JOIN (VALUES (1, 'a'), (42, 'b'), (7, 'c')) v(i, y) ON a.id = v.i JOIN {t} x ON x.id = v.i",
        "SELECT v.y, count(*) FROM (VALUES (1, 'a'), (42, 'b'), (7, 'c')) v(i, y) LEFT JOIN (SELECT a.id, x.t FROM {t} a JOIN {t} x ON a.i4 = x.id) j ON j.id = v.i GROUP BY v.y",
        "SELECT v.y, u.n FROM (VALUES (1, 'a'), (42, 'b')) v(i, y) JOIN (SELECT i4, count(*) AS n FROM {t} GROUP BY i4) u ON u.i4 = v.i",
        "SELECT v.y, u.t FROM (VALUES (1, 'a'), (42, 'b')) v(i, y) JOIN (SELECT id, t FROM {t} UNION ALL SELECT i4, vc FROM {t}) u ON u.id = v.i",
        "SELECT tnd FROM {t} UNION SELECT ci FROM {t}",
        "SELECT bp FROM {t} UNION ALL SELECT e FROM {t}",
        "SELECT iv FROM {t} UNION ALL SELECT iv FROM {t} WHERE b",
        "SELECT e, ip FROM {t} UNION ALL SELECT e, ip FROM {t} WHERE b",
        "SELECT f8 FROM {t} UNION ALL SELECT f4 FROM {t}",
        // The scale is that of the wider type here, that of each value there.
        "SELECT n10 FROM {t} UNION ALL SELECT i4 FROM {t}",
        "SELECT f.i4, a.id, x.id FROM {t} a JOIN (SELECT i4, md5(t) AS h FROM {t} WHERE id < 30) f ON f.i4 = a.id JOIN {t} x ON x.id = a.i2 WHERE f.h > '1'",
        "SELECT i4 + i4 FROM {t} WHERE i4 < 100 UNION ALL SELECT id FROM {t}",
        "SELECT id FROM {t} WHERE id > (SELECT avg(id) FROM {t})",
        "SELECT id FROM {t} WHERE i4 = (SELECT i4 FROM {t} WHERE id = 3)",
        "SELECT ten, e, count(*) FROM {t} GROUP BY ROLLUP (ten, e)",
        "SELECT f8, b, count(*) FROM {t} GROUP BY CUBE (f8, b)",
    ] {
        out.push(ours(sql));
    }
    out
}
