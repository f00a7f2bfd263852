//! The whole way from SQL through the pushdown pass to a real MariaDB and a real MySQL and back: pushed and local answers are the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;

/// Texts under collations of all kinds, dates that are none, numbers at their edges.
fn nasty() -> String {
    let texts = [
        "''",
        "' '",
        "'a'",
        "'A'",
        "'a '",
        "'a  '",
        "'á'",
        "_utf8mb4 x'61cc81'",
        "'é'",
        "'E'",
        "'ab'",
        "'AB'",
        "'aB '",
        "'ß'",
        "'ss'",
        "x'6100'",
        "x'6101'",
        "'%'",
        "'a%'",
        "'a_b'",
        "'a\\\\b'",
        "'5abc'",
        "'5'",
        "'O''Brien'",
        "NULL",
        "'Z'",
        "'z'",
        "'zz'",
    ];
    let wide = ["'日'", "'ÿ'", "'😀'"];
    let dates = [
        "'0000-00-00'",
        "'2024-00-01'",
        "'2024-01-00'",
        "'2024-02-30'",
        "'2024-02-29'",
        "'1970-01-01'",
        "'9999-12-31'",
        "'1000-01-01'",
        "NULL",
    ];
    let numbers = ["0", "1", "-1", "127", "-128", "5", "7", "NULL"];
    let mut rows = vec![];
    for (i, t) in texts.iter().chain(&wide).enumerate() {
        let latin = if *t == "'日'" || *t == "'😀'" || t.contains("cc81") { "'x'" } else { t };
        let three = if *t == "'😀'" { "'y'" } else { t };
        let (d, n) = (dates[i % dates.len()], numbers[i % numbers.len()]);
        let u = ["18446744073709551615", "0", "9223372036854775808", "1", "NULL"][i % 5];
        let e = ["'a'", "'B'", "'1'", "''", "NULL"][i % 5];
        rows.push(format!(
            "({i}, {t}, {t}, {t}, {latin}, {three}, {t}, {t}, {e}, {d}, {d}, {n}, {u}, {n}, {n} / 3, {n} * 0.1e0, {n}, {n} % 2, {t}, {t}, '10:00:00', \
             2000 + coalesce({n}, 1) % 50, coalesce({n}, 0) & 1)"
        ));
    }
    format!(
        "SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE DATABASE d; USE d; SET NAMES utf8mb4;
         CREATE TABLE n (id int PRIMARY KEY, ci varchar(50) CHARACTER SET utf8mb4, bin varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
            gen varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, l1 varchar(50) CHARACTER SET latin1,
            u3 varchar(50) CHARACTER SET utf8mb3, ch char(20) CHARACTER SET utf8mb4, tx text CHARACTER SET utf8mb4,
            e enum('a','B','1','') CHARACTER SET utf8mb4, d date, dt datetime(6), i int, u bigint unsigned, big bigint, dec5 decimal(20,10), db double,
            fl float, flag tinyint(1), vb varbinary(50), bn binary(8), tm time, y year, bt bit(1),
            KEY (ci), KEY (gen), KEY (l1), KEY (d), KEY (i), KEY (u)) ENGINE=InnoDB;
         INSERT INTO n VALUES {};
         CREATE TABLE m (k int PRIMARY KEY, name varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, at date, KEY (name));
         INSERT INTO m SELECT id, gen, d FROM n;
         CREATE DATABASE d2; CREATE TABLE d2.o (id int PRIMARY KEY, n_id int, amount decimal(10,2), note varchar(30) CHARACTER SET latin1, KEY (n_id));
         INSERT INTO d2.o SELECT a.id * 100 + b.id, a.id, b.id * 1.25, a.l1 FROM n a JOIN n b ON b.id < 10;
         ANALYZE TABLE n, m, d2.o;",
        rows.join(",\n")
    )
}

const LITERALS: &[&str] =
    &["''", "'a'", "'A'", "'a '", "'á'", "'ss'", "'日'", "'😀'", "'ÿ'", "'5abc'", "'1'", "'B'", "'O''Brien'", "E'a\\\\b'"];

const TEXTS: &[&str] = &["ci", "bin", "gen", "l1", "u3", "ch", "tx", "e"];

#[tokio::test(flavor = "multi_thread")]
async fn text_means_the_same_pushed_and_local_on_mariadb() {
    text_means_the_same(fjord_harness::Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_means_the_same_pushed_and_local_on_mysql() {
    text_means_the_same(fjord_harness::Flavor::MySql).await;
}

async fn text_means_the_same(flavor: fjord_harness::Flavor) {
    let bed = Bed::start(flavor, &nasty(), "").await;
    for c in TEXTS {
        for l in LITERALS {
            let mut queries = vec![];
            for op in ["=", "<>", "<", ">="] {
                queries.push(format!("{c} {op} {l}"));
            }
            queries.push(format!("{c} LIKE {l}"));
            queries.push(format!("NOT ({c} = {l})"));
            queries.push(format!("{c} IS DISTINCT FROM {l}"));
            // One query for all conditions, each as a filter of its own: rows come with the number of the condition.
            let all: Vec<String> = queries.iter().enumerate().map(|(i, q)| format!("SELECT {i} AS q, id FROM crm.d.n WHERE {q}")).collect();
            bed.same(&all.join(" UNION ALL ")).await;
        }
        for q in [
            format!("SELECT id FROM crm.d.n WHERE {c} IN ('a', 'É', '日', 'ss') OR id < 3"),
            format!("SELECT id FROM crm.d.n WHERE {c} NOT IN ('a', 'é', 'B')"),
            format!("SELECT id FROM crm.d.n WHERE {c} IN ('a', NULL, 'Z')"),
            format!("SELECT id FROM crm.d.n WHERE {c} LIKE 'a%'"),
            format!("SELECT id FROM crm.d.n WHERE {c} LIKE 'A_%' OR {c} LIKE '_'"),
            format!("SELECT id FROM crm.d.n WHERE {c} LIKE 'a\\%'"),
            format!("SELECT id FROM crm.d.n WHERE {c} NOT LIKE '%a%'"),
            format!("SELECT {c}, count(*) FROM crm.d.n GROUP BY {c}"),
            format!("SELECT DISTINCT {c} FROM crm.d.n"),
            format!("SELECT count(DISTINCT {c}), min({c}), max({c}) FROM crm.d.n"),
            format!("SELECT {c}, id FROM crm.d.n ORDER BY {c}, id LIMIT 9"),
            format!("SELECT {c}, id FROM crm.d.n ORDER BY {c} DESC NULLS LAST, id LIMIT 9 OFFSET 2"),
            format!("SELECT coalesce({c}, 'none'), CASE WHEN {c} = 'a' THEN {c} ELSE 'x' END, nullif({c}, 'A') FROM crm.d.n"),
            format!("SELECT char_length({c}), octet_length({c}) FROM crm.d.n WHERE char_length({c}) > 1"),
            format!("SELECT a.id, b.id FROM crm.d.n a JOIN crm.d.n b ON a.{c} = b.{c}"),
            format!("SELECT a.id, b.k FROM crm.d.n a LEFT JOIN crm.d.m b ON a.{c} = b.name AND a.id < 20"),
            format!("SELECT id FROM crm.d.n a WHERE EXISTS (SELECT 1 FROM crm.d.m b WHERE b.name = a.{c} AND b.k <> a.id)"),
            format!("SELECT id FROM crm.d.n a WHERE {c} NOT IN (SELECT name FROM crm.d.m b WHERE b.k < 5 AND name IS NOT NULL)"),
        ] {
            bed.same(&q).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_dates_and_bytes_mean_the_same_pushed_and_local() {
    for bed in Bed::both(&nasty(), ", tinyint1_is_bool true").await {
        let mut conditions: Vec<String> = vec![];
        for c in ["i", "big", "u", "dec5", "db", "y"] {
            for v in ["0", "1", "-1", "127", "5.5", "9223372036854775807", "18446744073709551615", "24", "2007", "0.3333333333"] {
                for op in ["=", "<>", "<", ">="] {
                    conditions.push(format!("{c} {op} {v}"));
                }
            }
            conditions.push(format!("{c} IN (1, 5, 7)"));
            conditions.push(format!("{c} NOT IN (1, 5)"));
            conditions.push(format!("{c} IS NULL"));
            conditions.push(format!("NOT ({c} > 1)"));
            conditions.push(format!("{c} BETWEEN -1 AND 7"));
        }
        for c in ["d", "dt"] {
            // Beyond what nanoseconds hold, a date that meets a timestamp is an error here.
            let far = if c == "d" { &["9999-12-31", "1000-01-01", "0500-01-01"][..] } else { &[] };
            for v in ["2024-02-29", "1970-01-01", "2024-01-01"].iter().chain(far) {
                for op in ["=", "<>", "<", ">", "<=", ">="] {
                    conditions.push(format!("{c} {op} DATE '{v}'"));
                }
                conditions.push(format!("NOT ({c} = DATE '{v}')"));
                conditions.push(format!("{c} IS DISTINCT FROM DATE '{v}'"));
            }
            conditions.push(format!("{c} IS NULL"));
            conditions.push(format!("{c} IS NOT NULL"));
            conditions.push(format!("{c} IN (DATE '2024-02-29', DATE '1970-01-01')"));
            conditions.push(format!("{c} NOT IN (DATE '2024-02-29')"));
            conditions.push(format!("({c} > DATE '1999-01-01') IS NOT TRUE"));
            conditions.push(format!("extract(year FROM {c}) = 2024"));
        }
        conditions.extend(
            [
                "flag",
                "NOT flag",
                "flag = true",
                "flag IS NULL",
                "flag IS NOT TRUE",
                "bt",
                "bt = false",
                "i > 1 AND NOT flag",
                "coalesce(flag, bt)",
            ]
            .map(String::from),
        );
        conditions.extend(
            [
                "vb = 'a'::bytea",
                "vb < 'b'::bytea",
                "bn = 'a'::bytea",
                "bn = E'\\\\x6100000000000000'::bytea",
                "vb IN ('a'::bytea, ''::bytea)",
            ]
            .map(String::from),
        );
        conditions.extend(["tm = TIME '10:00'", "tm > TIME '09:59:59.5'", "fl = 5", "fl > 0.1", "db = 0.1", "db = -0.0"].map(String::from));
        conditions.extend(
            [
                "i + 1 > 5",
                "i * i = 25",
                "-i = 1",
                "i % 3 = 1",
                "i / 2 = 3",
                "i - 7 < 0",
                "big + 1 > 5",
                "u + 1 > 5",
                "nullif(i, 5) IS NULL",
            ]
            .map(String::from),
        );
        for c in &conditions {
            bed.same(&format!("SELECT id FROM crm.d.n WHERE {c}")).await;
        }
        for q in [
            "SELECT d, count(*) FROM crm.d.n GROUP BY d",
            "SELECT d, dt, id FROM crm.d.n ORDER BY d NULLS FIRST, id LIMIT 12",
            "SELECT dt, id FROM crm.d.n ORDER BY dt DESC, id LIMIT 12",
            "SELECT count(d), min(d), max(d), min(dt), max(dt), count(DISTINCT d) FROM crm.d.n",
            "SELECT sum(i), sum(u), sum(big), sum(dec5), min(u), max(u), avg(i), count(*) FROM crm.d.n",
            "SELECT i, sum(u), bool_and(flag), bool_or(bt), count(*) FILTER (WHERE d IS NOT NULL), sum(i) FILTER (WHERE id > 5) FROM crm.d.n GROUP BY i",
            "SELECT y, count(*), max(y) FROM crm.d.n GROUP BY y",
            "SELECT flag, bt, count(*) FROM crm.d.n GROUP BY flag, bt",
            "SELECT db, fl, count(*) FROM crm.d.n GROUP BY db, fl",
            "SELECT u, id FROM crm.d.n ORDER BY u DESC NULLS LAST, id LIMIT 7",
            "SELECT flag, id FROM crm.d.n ORDER BY flag, id LIMIT 12",
            "SELECT extract(year FROM d), extract(month FROM dt), extract(week FROM d), extract(dow FROM d), extract(doy FROM d), count(*) FROM crm.d.n GROUP BY 1, 2, 3, 4, 5",
            "SELECT a.id, b.k FROM crm.d.n a JOIN crm.d.m b ON a.d = b.at",
            "SELECT a.id, b.k FROM crm.d.n a LEFT JOIN crm.d.m b ON a.d = b.at AND b.k > 3",
            "SELECT a.id, b.k FROM crm.d.n a FULL JOIN crm.d.m b ON a.id = b.k + 3",
            "SELECT count(*) FROM crm.d.n a WHERE NOT EXISTS (SELECT 1 FROM crm.d.m b WHERE b.at = a.d)",
            "SELECT 5, count(*) FROM crm.d.n WHERE id < 0 GROUP BY 1",
            "SELECT a.i, sum(o.amount), count(o.note) FROM crm.d.n a JOIN crm.d2.o o ON o.n_id = a.id GROUP BY a.i",
            "SELECT a.i, count(DISTINCT o.note) FROM crm.d.n a JOIN crm.d2.o o ON o.n_id = a.id GROUP BY a.i",
            "SELECT a.id, o.amount FROM crm.d.n a LEFT JOIN crm.d2.o o ON o.n_id = a.id AND o.amount > 10 ORDER BY a.id, o.amount NULLS FIRST LIMIT 20",
            "SELECT id FROM crm.d.n WHERE i = 5 UNION ALL SELECT k FROM crm.d.m WHERE at IS NULL",
            "SELECT i FROM crm.d.n WHERE i > 0 UNION SELECT i FROM crm.d.n WHERE i < 2",
            "SELECT coalesce(i, 0), coalesce(u, 0), coalesce(d, DATE '2000-01-01'), CASE WHEN i > 2 THEN 'big' WHEN d IS NULL THEN 'none' END FROM crm.d.n",
            "SELECT CASE WHEN i > 2 THEN dt END, CASE WHEN flag THEN dec5 ELSE 0 END FROM crm.d.n",
            "SELECT s.c FROM (SELECT count(*) AS c, i FROM crm.d.n GROUP BY i) s WHERE s.c > 2",
            "SELECT * FROM (SELECT id, i FROM crm.d.n ORDER BY id LIMIT 9) s WHERE i > 0 ORDER BY i, id",
            "SELECT i, count(*) AS c FROM crm.d.n GROUP BY i HAVING count(*) > 3 ORDER BY c DESC, i LIMIT 3",
        ] {
            bed.same(q).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_should_go_goes_and_says_why() {
    for bed in Bed::both(&nasty(), "").await {
        let on = bed.name();
        for (sql, parts) in [
            (
                "SELECT id FROM crm.d.n WHERE gen = 'abc'",
                &[
                    "`gen` = 'abc' AND CAST(`gen` AS BINARY) = _binary'abc'",
                    "varchar(50) (utf8mb4_general_ci)",
                    "equality rewritten, index usable",
                ][..],
            ),
            ("SELECT id FROM crm.d.n WHERE l1 = 'é'", &["CAST(CONVERT(`l1` USING utf8mb4) AS BINARY) = _binary'é'", "`l1` = 'é' AND "]),
            (
                "SELECT id FROM crm.d.n WHERE l1 = '日'",
                &["WHERE CAST(CONVERT(`l1` USING utf8mb4) AS BINARY) = _binary'日'", "index not usable"],
            ),
            ("SELECT id FROM crm.d.n WHERE gen LIKE 'ab%'", &["`gen` LIKE 'ab%' AND (`gen` COLLATE utf8mb4_bin) LIKE 'ab%'"]),
            ("SELECT tx, count(*) FROM crm.d.n GROUP BY tx", &["may be longer than the 4096 bytes"]),
            ("SELECT id FROM crm.d.n WHERE d = DATE '2024-02-29'", &["WHERE `d` = DATE'2024-02-29'"]),
            ("SELECT id FROM crm.d.n WHERE d IS NULL", &["DAYOFMONTH(LAST_DAY(`d`))", "IS NOT TRUE", "zero and invalid dates"]),
            ("SELECT id FROM crm.d.n WHERE e = 'c'", &["the enum has no such label"]),
            ("SELECT id FROM crm.d.n WHERE fl = 5", &["local_filters", "FLOAT"]),
            ("SELECT i, count(*) FROM crm.d.n GROUP BY i", &["COUNT(*)", "GROUP BY `n`.`i`"]),
            ("SELECT i, id FROM crm.d.n ORDER BY i, id LIMIT 3", &["ORDER BY `n`.`i` IS NULL, `n`.`i`, `n`.`id` LIMIT 3"]),
            ("SELECT a.id FROM crm.d.n a JOIN crm.d2.o o ON o.n_id = a.id WHERE o.id = 101", &["`d`.`n` AS q", "JOIN `d2`.`o`"]),
            ("SELECT a.id, b.k FROM crm.d.n a FULL JOIN crm.d.m b ON a.id = b.k", &["have no FULL JOIN"]),
        ] {
            let plan = bed.explain(sql).await;
            for part in parts {
                assert!(plan.contains(part), "{on}: {sql}: no {part} in\n{plan}");
            }
        }
    }
}

/// The server's own EXPLAIN of the text that was sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_used() {
    let sql = "CREATE DATABASE d; USE d; CREATE TABLE p (id int PRIMARY KEY, name varchar(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, l1 varchar(60) CHARACTER SET latin1, at date, \
               KEY by_name (name), KEY by_l1 (l1), KEY by_at (at)); SET @@cte_max_recursion_depth = 100000;";
    let fill = "INSERT INTO d.p WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) \
                SELECT n, concat('name ', n), concat('l', n), DATE'2000-01-01' + INTERVAL n DAY FROM s; ANALYZE TABLE d.p";
    for flavor in fjord_harness::Flavor::ALL {
        let setup = match flavor {
            fjord_harness::Flavor::MariaDb => {
                sql.replace("SET @@cte_max_recursion_depth = 100000;", "SET max_recursive_iterations = 100000;")
            }
            fjord_harness::Flavor::MySql => sql.to_string(),
        };
        let bed = Bed::start(flavor, &format!("{setup} {fill}"), "").await;
        for (query, index) in [
            ("SELECT id FROM crm.d.p WHERE name = 'name 77'", "by_name"),
            ("SELECT id FROM crm.d.p WHERE name IN ('name 77', 'NAME 78')", "by_name"),
            ("SELECT id FROM crm.d.p WHERE name LIKE 'name 777%'", "by_name"),
            ("SELECT name FROM crm.d.p WHERE l1 = 'l77'", "by_l1"),
            ("SELECT name FROM crm.d.p WHERE at = DATE '2001-01-01'", "by_at"),
            ("SELECT name FROM crm.d.p WHERE at > DATE '2054-09-20'", "by_at"),
        ] {
            let plan = bed.explain(query).await;
            let start = plan.find("remote=").unwrap() + "remote=".len();
            let text = plan[start..].split(", pushed_filters").next().unwrap();
            let theirs = bed.server.sql(&format!("SET NAMES utf8mb4 COLLATE utf8mb4_bin; EXPLAIN FORMAT=JSON {text}")).unwrap();
            assert!(theirs.contains(&format!("\"{index}\"")) && !theirs.contains("\"ALL\""), "{}: {text}\n{theirs}", bed.name());
            let used = theirs.contains(&format!("\"key\": \"{index}\"")) || theirs.contains(&format!("\"index_name\": \"{index}\""));
            assert!(used, "{}: {text}\n{theirs}", bed.name());
            bed.same(query).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_query_and_live() {
    for bed in Bed::both(&nasty(), ", database 'd'").await {
        assert_eq!(bed.rows("SELECT * FROM remote_query('crm', 'SELECT id, l1 FROM d.n WHERE id = 2')").await.unwrap(), ["2|a"]);
        assert_eq!(bed.rows("SELECT x.id FROM live(crm.d.n) x WHERE x.id = 3").await.unwrap(), ["3"]);
        assert_eq!(bed.rows("SELECT count(*) FROM crm.n").await.unwrap(), bed.rows("SELECT count(*) FROM crm.d.n").await.unwrap());
        for bad in [
            "DELETE FROM d.n",
            "SELECT * FROM no_such",
            "SELECT 1; SELECT 2",
            "INSERT INTO d.m VALUES (1000, 'x', NULL) RETURNING k",
            "SELECT ?",
        ] {
            let e = bed.rows(&format!("SELECT * FROM remote_query('crm', $${bad}$$)")).await;
            assert!(e.is_err(), "{}: {bad}", bed.name());
        }
        assert_eq!(bed.server.sql("SELECT count(*) FROM d.n").unwrap(), "31\n");
    }
}
