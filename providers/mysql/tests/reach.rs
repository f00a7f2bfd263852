//! What reaches the source and what it costs: lookups in one round trip, keys of a join's other side, parts of dates, groups.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;

const PEOPLE: &str = "SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE DATABASE d; USE d;
    CREATE TABLE p (id int PRIMARY KEY, big bigint unsigned, name varchar(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, at datetime(6), ts timestamp(3) NULL,
        amount decimal(10,2), KEY by_name (name));
    CREATE TABLE digits (i int); INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
    INSERT INTO p SELECT n, n * 3, concat(if(n % 2 = 0, 'Name ', 'NAME '), n), date_add('2000-01-01 10:11:12.345678', INTERVAL n * 7 HOUR), date_add('2001-01-01', INTERVAL n HOUR), n / 4
        FROM (SELECT a.i + b.i * 10 + c.i * 100 + e.i * 1000 AS n FROM digits a, digits b, digits c, digits e) s;
    INSERT INTO p (id, at) VALUES (-1, '0001-01-01 00:00:00'), (-2, '0001-01-03 23:59:59.999999'), (-3, '0099-12-31 12:00:00.5'), (-4, '9999-12-31 23:59:59.999999'),
        (-5, '0000-00-00 00:00:00'), (-6, '2024-02-30 10:00:00'), (-7, '2024-02-29 10:59:59.999999'), (-8, '1969-12-29 00:00:00');
    CREATE TABLE few (k int PRIMARY KEY, name varchar(60) CHARACTER SET latin1, at datetime); INSERT INTO few VALUES (7, 'name 7', '2000-01-03 11:11:12'), (8, 'Name 8', NULL), (20000, 'name 9 ', NULL);
    ANALYZE TABLE p, few;";

async fn prepared(bed: &Bed) -> u64 {
    let shown = bed.server.sql("SHOW GLOBAL STATUS LIKE 'Com_stmt_prepare'").unwrap();
    shown.split('\t').nth(1).unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_is_prepared_once_and_means_what_its_literal_means() {
    // One connection: each that there is prepares for itself.
    for bed in Bed::both(PEOPLE, ", pool_size 1").await {
        let on = bed.name();
        assert_eq!(bed.rows("SELECT name, amount FROM crm.d.p WHERE id = 41").await.unwrap(), ["NAME 41|10.25"]);
        let before = prepared(&bed).await;
        for id in 42..72 {
            let name = if id % 2 == 0 { "Name" } else { "NAME" };
            let expected = format!("{name} {id}|{}.{:02}", id / 4, id % 4 * 25);
            assert_eq!(bed.rows(&format!("SELECT name, amount FROM crm.d.p WHERE id = {id}")).await.unwrap(), [expected], "{on}");
        }
        assert_eq!(prepared(&bed).await, before, "{on}: a lookup prepared its statement again");
        // Values at the edges, and lists.
        for c in [
            "big = 18446744073709551615",
            "id IN (1, -2, 2147483647)",
            "id = -2147483648",
            "big IN (0, 3, 9223372036854775808)",
            "id = 5 AND big = 15",
        ] {
            bed.same(&format!("SELECT id, big FROM crm.d.p WHERE {c}")).await;
        }
        // More texts than a connection keeps.
        for n in 1..60 {
            assert_eq!(bed.rows(&format!("SELECT id AS c{n} FROM crm.d.p WHERE id = {n} LIMIT {n}")).await.unwrap(), [n.to_string()]);
        }
        // The table changes under a statement that is kept.
        let lookup = "SELECT amount FROM crm.d.p WHERE id = 44";
        assert_eq!(bed.rows(lookup).await.unwrap(), ["11.00"]);
        bed.server.sql("SET sql_mode = 'ALLOW_INVALID_DATES'; ALTER TABLE d.p ADD COLUMN more int FIRST; ALTER TABLE d.p MODIFY amount decimal(12,4)").unwrap();
        bed.rows("ALTER CONNECTOR crm REFRESH SCHEMA").await.unwrap();
        assert_eq!(bed.rows(lookup).await.unwrap(), ["11.0000"], "{on}");
        bed.server.sql("DROP TABLE d.p").unwrap();
        assert!(bed.rows(lookup).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_joins_other_side_go_along() {
    for bed in Bed::both(PEOPLE, "").await {
        let on = bed.name();
        // A connector of its own: what is joined are two sources.
        let port = bed.server.port();
        bed.rows(&format!("CREATE CONNECTOR other TYPE mysql OPTIONS (host '127.0.0.1', port {port}, user 'root', sslmode 'disable')"))
            .await
            .unwrap();
        for (join, fetched) in [
            ("p.id = f.k", 2),
            // By bytes: `name 7` is none of the names, though the column's collation takes it for one.
            ("p.name = f.name", 1),
            ("p.id = f.k AND p.name = f.name", 1),
        ] {
            let sql = format!("SELECT p.id, f.k FROM other.d.few f JOIN crm.d.p p ON {join}");
            bed.same(&sql).await;
            bed.rows(&sql).await.unwrap();
            let seen = bed
                .rows("SELECT rows, dynamic_filters FROM sys.pushdown_summary WHERE connector = 'crm' ORDER BY query_id DESC LIMIT 1")
                .await
                .unwrap();
            let rows: u64 = seen[0].split('|').next().unwrap().parse().unwrap();
            assert!(rows <= fetched + 1, "{on}: {join}: {seen:?}");
        }
        bed.same("SELECT p.id FROM crm.d.p p WHERE p.at IN (SELECT at FROM other.d.few)").await;
        bed.same("SELECT p.id, f.k FROM other.d.few f LEFT JOIN crm.d.p p ON p.id = f.k").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_dates_and_groups() {
    for bed in Bed::both(PEOPLE, "").await {
        let on = bed.name();
        for unit in ["second", "minute", "hour", "day", "week", "month", "quarter", "year"] {
            let sql = format!("SELECT id, date_trunc('{unit}', at) FROM crm.d.p WHERE id < 30");
            assert!(bed.explain(&sql).await.contains("AS DATETIME(6))"), "{on}: {}", bed.explain(&sql).await);
            // What nanoseconds do not reach is an error where weeks and longer are cut here.
            let near = if ["second", "minute", "hour", "day"].contains(&unit) { "true" } else { "id > 0 OR id < -4" };
            bed.same(&format!("{sql} AND ({near})")).await;
            bed.same(&format!("SELECT date_trunc('{unit}', ts), count(*) FROM crm.d.p WHERE id < 500 GROUP BY 1")).await;
        }
        assert_eq!(
            bed.rows("SELECT id, date_trunc('week', at) FROM crm.d.p WHERE id IN (-1, -2, -4) ORDER BY id").await.unwrap(),
            ["-4|9999-12-27T00:00:00", "-2|0001-01-01T00:00:00", "-1|0001-01-01T00:00:00"],
            "{on}"
        );
        bed.server.sql("DELETE FROM d.p WHERE id BETWEEN -4 AND -1").unwrap();
        bed.same("SELECT id FROM crm.d.p WHERE date_trunc('month', at) = '2000-02-01'").await;
        bed.rows("SET TimeZone = 'Europe/Berlin'").await.unwrap();
        bed.same("SELECT id, date_trunc('day', ts) FROM crm.d.p WHERE id < 100").await;
        bed.rows("SET TimeZone = 'UTC'").await.unwrap();
        for sql in [
            "SELECT at + INTERVAL '1 month' FROM crm.d.p WHERE id IN (3, -7)",
            "SELECT big, amount, sum(amount), count(*) FROM crm.d.p WHERE id BETWEEN 1 AND 9 GROUP BY ROLLUP (big, amount)",
            "SELECT id % 3, sum(amount), avg(amount), count(DISTINCT big), count(DISTINCT name) FROM crm.d.p WHERE id > 0 GROUP BY 1",
        ] {
            bed.same(sql).await;
        }
        for sql in [
            "SELECT sum(amount), count(DISTINCT name) FROM crm.d.p",
            "SELECT amount, sum(amount), sum(big), count(DISTINCT id % 7) FROM crm.d.p WHERE id BETWEEN 1 AND 90 GROUP BY amount",
        ] {
            bed.same(sql).await;
        }
        let local = "SELECT sum(x), sum(n), count(DISTINCT y) FROM (VALUES (1.25, 1, 'a'), (2.50, 2, 'a'), (0.25, 3, 'b')) AS v (x, n, y)";
        assert_eq!(bed.rows(local).await.unwrap(), ["4.00|6|2"]);
        let plan = bed.explain("SELECT amount, count(*) FROM crm.d.p GROUP BY ROLLUP (amount)").await;
        assert!(!plan.contains("WITH ROLLUP") && plan.to_lowercase().contains("grouping sets"), "{on}: {plan}");
    }
}
