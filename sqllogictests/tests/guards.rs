//! One test for each place where DataFusion 55, left to itself, answers wrongly and Fjord steps in. Each fails when its guard is taken out. (The guard
//! against filters that land on a column of the same name is tested beside it, in `federation/barrier.rs`; that of COPY with the parser.)
#![allow(clippy::unwrap_used, clippy::expect_used)]

use fjord_harness::{FjordServer, Postgres};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

const SOURCE: &str = "
CREATE TABLE edge (id int PRIMARY KEY, b bigint, i int, f float8, t text, ts timestamp(6));
INSERT INTO edge VALUES (1, 9223372036854775807, 2147483647, '-0', 'a', '2024-01-01 00:00:00.000001'),
    (2, 9223372036854775807, -2147483648, 0.0, 'A', '2024-01-01 00:00:00.000002'), (3, 1, 1, 'NaN', 'a ', NULL), (4, NULL, NULL, 1.5, NULL, '1500-01-01'),
    (5, -5, 5, NULL, 'é', '2024-01-01');
CREATE TABLE orders AS SELECT i AS id, i % 1000 AS user_id, 'note ' || i % 7 AS note FROM generate_series(1, 20000) i;
CREATE TABLE tree AS SELECT i AS id, i / 2 AS parent, repeat('x', 20) AS filler FROM generate_series(2, 5000) i;
ANALYZE;";

struct Setup {
    postgres: Postgres,
    _fjord: FjordServer,
    client: Client,
}

async fn setup() -> Setup {
    let postgres = Postgres::start().unwrap();
    postgres.psql(SOURCE).unwrap();
    let fjord = FjordServer::start().unwrap();
    let client = fjord.client().await.unwrap();
    let create = format!(
        "CREATE CONNECTOR src TYPE postgres OPTIONS (host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable', \
         schema_ttl '1h')",
        postgres.port()
    );
    client.simple_query(&create).await.unwrap();
    Setup { postgres, _fjord: fjord, client }
}

impl Setup {
    async fn rows(&self, sql: &str) -> Result<Vec<String>, String> {
        let answer =
            self.client.simple_query(sql).await.map_err(|e| e.as_db_error().map_or(e.to_string(), |d| d.code().code().to_string()))?;
        let rows = answer.iter().filter_map(|m| match m {
            SimpleQueryMessage::Row(r) => Some((0..r.len()).map(|i| r.get(i).unwrap_or("NULL")).collect::<Vec<_>>().join("|")),
            _ => None,
        });
        Ok(rows.collect())
    }
    /// The rows with everything pushed that may be; the same come with nothing pushed.
    async fn both(&self, sql: &str) -> Result<Vec<String>, String> {
        let pushed = self.rows(sql).await;
        self.rows("SET fjord.pushdown = off").await?;
        let local = self.rows(sql).await;
        self.rows("SET fjord.pushdown = on").await?;
        let sorted = |rows: &Result<Vec<String>, String>| {
            rows.clone().map(|mut r| {
                r.sort();
                r
            })
        };
        assert_eq!(sorted(&pushed), sorted(&local), "{sql}");
        pushed
    }
}

#[tokio::test]
async fn both_zeros_are_in_a_list_that_holds_one() {
    let s = setup().await;
    for list in ["0.0, 7.0, 8.0, 9.0, 10.0", "-0.0, 7.0, 8.0, 9.0, 10.0"] {
        assert_eq!(s.both(&format!("SELECT id FROM src.public.edge WHERE f IN ({list}) ORDER BY id")).await.unwrap(), ["1", "2"], "{list}");
        let not = format!("SELECT id FROM src.public.edge WHERE f NOT IN ({list}) ORDER BY id");
        assert_eq!(s.both(&not).await.unwrap(), ["3", "4"], "{list}");
    }
}

#[tokio::test]
async fn case_and_nullif_take_both_zeros_for_one() {
    let s = setup().await;
    for zero in ["0.0", "-0.0", "'0'::float8", "'-0'::float8"] {
        let case = format!("SELECT id FROM src.public.edge WHERE CASE f WHEN {zero} THEN true WHEN 1.5 THEN true END ORDER BY id");
        assert_eq!(s.both(&case).await.unwrap(), ["1", "2", "4"], "{zero}");
        let nullif = format!("SELECT id FROM src.public.edge WHERE nullif(f, {zero}) IS NULL ORDER BY id");
        assert_eq!(s.both(&nullif).await.unwrap(), ["1", "2", "5"], "{zero}");
    }
}

#[tokio::test]
async fn a_distinct_count_and_a_windows_keys_take_both_zeros_for_one() {
    let s = setup().await;
    let zeros = "FROM src.public.edge WHERE f IN (0.0, 1.5, 7.0, 8.0, 9.0)";
    for (select, want) in [
        ("count(DISTINCT f), count(DISTINCT t), avg(DISTINCT f)", "2|2|0.75"),
        ("count(DISTINCT f), count(DISTINCT -f), count(*)", "2|2|3"),
    ] {
        assert_eq!(s.both(&format!("SELECT {select} {zeros}")).await.unwrap(), [want], "{select}");
    }
    for (select, want) in [
        ("count(*) OVER (PARTITION BY f)", ["2", "2", "1"]),
        ("rank() OVER (ORDER BY f)", ["1", "1", "3"]),
        ("sum(id) OVER (ORDER BY f)", ["3", "3", "7"]),
    ] {
        assert_eq!(s.both(&format!("SELECT {select} {zeros} ORDER BY id")).await.unwrap(), want, "{select}");
    }
}

/// A NaN has a sign bit, by which DataFusion sorts it.
#[tokio::test]
async fn a_negated_nan_is_the_greatest_float() {
    let s = setup().await;
    let sql = "SELECT -f FROM src.public.edge WHERE f IS NOT NULL ORDER BY -f DESC LIMIT 1";
    assert_eq!(s.both(sql).await.unwrap(), ["NaN"]);
    let sql = "SELECT count(DISTINCT x), count(*) FROM (SELECT -f AS x FROM src.public.edge WHERE id = 3 UNION ALL SELECT f FROM src.public.edge WHERE id = 3) y";
    assert_eq!(s.both(sql).await.unwrap(), ["1|2"]);
}

#[tokio::test]
async fn the_key_of_a_using_join_is_never_that_of_the_missing_side() {
    let s = setup().await;
    s.postgres
        .psql("CREATE TABLE ua (k int, x text); CREATE TABLE ub (k int, y text); CREATE TABLE uc (k int, w text); INSERT INTO uc VALUES (1, 'x'), (3, 'z'), (4, 'w'); INSERT INTO ua VALUES (1, 'a'), (2, 'b'); INSERT INTO ub VALUES (2, 'B'), (3, 'C')")
        .unwrap();
    s.rows("ALTER CONNECTOR src REFRESH SCHEMA").await.unwrap();
    s.rows("SET search_path = src").await.unwrap();
    for kind in ["", "LEFT", "RIGHT", "FULL", "NATURAL LEFT", "NATURAL RIGHT", "NATURAL FULL"] {
        // By the order of the tables' names DataFusion chooses the side.
        for (l, r, x, y) in [("ua", "ub", "x", "y"), ("ub", "ua", "y", "x")] {
            let natural = kind.starts_with("NATURAL");
            let join = format!("{l} {kind} JOIN {r} {}", if natural { "" } else { "USING (k)" });
            let mut queries = vec![
                format!("SELECT k, {x}, {y} FROM {join}"),
                format!("SELECT k, {l}.k, {r}.k FROM {join}"),
                format!("SELECT {l}.k, {r}.k, k AS one FROM {join}"),
                format!("SELECT DISTINCT {l}.k FROM {join} ORDER BY {l}.k"),
                format!("SELECT {l}.k, count(*) FROM {join} GROUP BY {l}.k"),
                format!("SELECT k, count({l}.k) AS n, count({r}.k) AS m FROM {join} GROUP BY k"),
                format!("SELECT k, {x} FROM {join} WHERE {r}.k IS NULL OR {l}.k IS NULL"),
                format!("SELECT t.k FROM (SELECT * FROM {join}) t WHERE t.k > 1"),
                format!("SELECT k + 1 AS n FROM {join} ORDER BY {l}.k NULLS FIRST, k LIMIT 1"),
            ];
            if !natural {
                queries.push(format!("SELECT * FROM {join}"));
                queries.push(format!("SELECT {y}, k FROM {join} WHERE k > 1 AND k IN (SELECT k FROM {r} WHERE k < 9)"));
                queries.push(format!("SELECT {l}.*, {r}.* FROM {join}"));
                for next in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
                    queries.push(format!("SELECT k, z.k, {l}.k, {r}.k, {x}, {y}, z.w FROM {join} {next} uc z USING (k)"));
                    queries.push(format!("SELECT * FROM {join} {next} uc z USING (k)"));
                }
            }
            for sql in queries {
                let psql = s.postgres.psql(&sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
                let mut want: Vec<String> = psql
                    .lines()
                    .map(|l| l.split('|').map(|v| if v.is_empty() { "NULL" } else { v }).collect::<Vec<_>>().join("|"))
                    .collect();
                want.sort();
                let mut got = s.both(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
                got.sort();
                assert_eq!(got, want, "{sql}");
            }
        }
    }
}

/// DataFusion takes a key to decide the other columns even where a join has repeated it, and then drops the sort by them.
#[tokio::test]
async fn a_key_that_a_join_repeats_decides_no_sort() {
    let s = setup().await;
    s.postgres
        .psql("CREATE TABLE q (id int PRIMARY KEY, k int, v int); INSERT INTO q VALUES (1, 9, 5), (15, 9, 3), (16, 9, 4), (9, 22, 1)")
        .unwrap();
    s.rows("ALTER CONNECTOR src REFRESH SCHEMA").await.unwrap();
    let sql = "SELECT DISTINCT a.v, b.v AS w, b.id FROM src.public.q a JOIN src.public.q b ON a.k = b.id ORDER BY 3 DESC, 1";
    for pushdown in ["on", "off"] {
        s.rows(&format!("SET fjord.pushdown = {pushdown}")).await.unwrap();
        assert_eq!(s.rows(sql).await.unwrap(), ["3|1|9", "4|1|9", "5|1|9"], "pushdown {pushdown}");
    }
}

/// GROUP BY a primary key lets the table's other columns be named: where, and with what rows, Postgres says.
#[tokio::test]
async fn group_by_a_key_is_what_it_is_in_postgres() {
    let s = setup().await;
    s.postgres
        .psql(
            "CREATE TABLE person (id int PRIMARY KEY, name text, born date, score float8, \"Odd \"\"Name\" text); \
             CREATE TABLE visit (person_id int, day date, place text, n int, PRIMARY KEY (person_id, day)); \
             CREATE TABLE no_key (id int, name text); CREATE TABLE uniq (id int UNIQUE NOT NULL, name text); \
             CREATE TABLE late (id int PRIMARY KEY DEFERRABLE, name text); \
             INSERT INTO person VALUES (1, 'ann', '2001-01-01', 'NaN', 'a'), (2, 'bob', NULL, '-1.5', NULL), (3, 'ann', '2001-01-01', 0, 'a'), (4, NULL, NULL, NULL, 'A'); \
             INSERT INTO visit VALUES (1, '2024-01-01', 'x', 1), (1, '2024-01-02', 'y', 2), (2, '2024-01-01', 'x', 3), (9, '2024-01-01', 'z', 4); \
             INSERT INTO no_key VALUES (1, 'a'); INSERT INTO uniq VALUES (1, 'a'); INSERT INTO late VALUES (1, 'a')",
        )
        .unwrap();
    s.rows("ALTER CONNECTOR src REFRESH SCHEMA").await.unwrap();
    s.rows("SET search_path = src").await.unwrap();
    let source = s.postgres.client().await.unwrap();
    let (mut refused, mut differ) = (0, vec![]);
    for sql in [
        "SELECT name, born, count(*) FROM person GROUP BY id",
        "SELECT id, name, score, \"Odd \"\"Name\" FROM person GROUP BY id",
        "SELECT * FROM person GROUP BY id",
        "SELECT p.* FROM person p GROUP BY p.id",
        "SELECT upper(name) || id FROM person GROUP BY id HAVING born IS NOT NULL",
        "SELECT count(*) FROM person GROUP BY id ORDER BY name NULLS FIRST, id",
        "SELECT p.name, count(v.day), sum(v.n) FROM person p LEFT JOIN visit v ON v.person_id = p.id GROUP BY p.id",
        "SELECT p.name, v.place FROM person p JOIN visit v ON v.person_id = p.id GROUP BY p.id, v.person_id, v.day",
        "SELECT p.name, max(v.place) FROM visit v LEFT JOIN person p ON v.person_id = p.id GROUP BY p.id",
        "SELECT p.name, count(*) FROM visit v FULL JOIN person p ON v.person_id = p.id GROUP BY p.id",
        "SELECT person_id, day, place FROM visit GROUP BY day, person_id",
        "SELECT a.name, b.name FROM person a JOIN person b ON a.name = b.name GROUP BY a.id, b.id",
        "SELECT name FROM (SELECT name, count(*) AS n FROM person GROUP BY id) x WHERE n = 1",
        "SELECT id, name FROM person GROUP BY 1",
        "SELECT name, count(*) FILTER (WHERE score > 0) FROM person GROUP BY id",
        "SELECT name, sum(count(*)) OVER (ORDER BY id) FROM person GROUP BY id",
        "SELECT name, (SELECT count(*) FROM visit v WHERE v.person_id = p.id) FROM person p GROUP BY id",
        "WITH person AS (SELECT * FROM no_key) SELECT id, count(name) FROM person GROUP BY id",
        // What Postgres refuses.
        "SELECT place FROM visit GROUP BY day",
        "SELECT v.place FROM person p JOIN visit v ON v.person_id = p.id GROUP BY p.id",
        "SELECT name FROM no_key GROUP BY id",
        "SELECT name FROM uniq GROUP BY id",
        "SELECT name FROM late GROUP BY id",
        "SELECT name FROM (SELECT * FROM person) p GROUP BY id",
        "SELECT b.name FROM person a JOIN person b ON a.id = b.id GROUP BY a.id",
        "SELECT name FROM person GROUP BY id + 0",
        "WITH person AS (SELECT * FROM no_key) SELECT name FROM person GROUP BY id",
    ] {
        let want = match source.simple_query(sql).await {
            Ok(all) => {
                let mut rows: Vec<String> = all
                    .iter()
                    .filter_map(|m| match m {
                        SimpleQueryMessage::Row(r) => Some((0..r.len()).map(|i| r.get(i).unwrap_or("NULL")).collect::<Vec<_>>().join("|")),
                        _ => None,
                    })
                    .collect();
                rows.sort();
                Ok(rows)
            }
            Err(e) => Err(e.as_db_error().unwrap().code().code().to_string()),
        };
        refused += usize::from(want.is_err());
        let got = s.both(sql).await.map(|mut rows| {
            rows.sort();
            rows
        });
        if got != want {
            differ.push(format!("{sql}\n    fjord {got:?}\n    postgres {want:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!(refused, 9);
}

#[tokio::test]
async fn a_literal_finer_than_a_microsecond_is_not_cut() {
    let s = setup().await;
    for (op, want) in [
        ("<", vec!["1", "4", "5"]),
        ("=", vec![]),
        (">", vec!["2"]),
        (">=", vec!["2"]),
        ("<=", vec!["1", "4", "5"]),
        ("<>", vec!["1", "2", "4", "5"]),
    ] {
        let fine = "arrow_cast('2024-01-01T00:00:00.0000015', 'Timestamp(Nanosecond, None)')";
        assert_eq!(s.both(&format!("SELECT id FROM src.public.edge WHERE ts {op} {fine} ORDER BY id")).await.unwrap(), want, "{op}");
        // Nanoseconds have no room for these years.
        let old =
            format!("SELECT id FROM src.public.edge WHERE ts IN (timestamp '1500-01-01', timestamp '0001-01-01', {fine}) ORDER BY id");
        assert_eq!(s.both(&old).await.unwrap(), ["4"]);
    }
}

#[tokio::test]
async fn integer_arithmetic_does_not_wrap() {
    let s = setup().await;
    for e in ["b + 1", "b * 2", "-b - 10", "i + i", "i * i", "-i"] {
        assert_eq!(s.both(&format!("SELECT {e} FROM src.public.edge WHERE id < 3")).await, Err("22003".into()), "{e}");
    }
    s.rows("SET fjord.pushdown = off").await.unwrap();
    assert_eq!(s.rows("SELECT id FROM src.public.edge WHERE i + i < 0").await, Err("22003".into()));
}

#[tokio::test]
async fn a_sum_does_not_wrap() {
    let s = setup().await;
    assert_eq!(s.both("SELECT sum(b), sum(i) FROM src.public.edge").await.unwrap(), ["18446744073709551610|5"]);
    // Where it cannot be pushed, and in windows.
    assert_eq!(s.rows("SELECT sum(b) FROM (SELECT b FROM src.public.edge LIMIT 5) x").await.unwrap(), ["18446744073709551610"]);
    let windows = "SELECT sum(b) OVER (ORDER BY id) FROM src.public.edge ORDER BY id LIMIT 2";
    assert_eq!(s.both(windows).await.unwrap(), ["9223372036854775807", "18446744073709551614"]);
}

#[tokio::test]
async fn no_limit_goes_below_a_filter_that_is_finished_here() {
    let s = setup().await;
    for filter in ["md5(note) < '8'", "(id > 0 AND md5(note) < '8') OR id = 20000", "id > 3 AND md5(note) < '8'"] {
        for (more, want) in [("LIMIT 7", 7), ("LIMIT 7 OFFSET 3", 7), ("ORDER BY id DESC LIMIT 7", 7)] {
            let sql = format!("SELECT id FROM src.public.orders WHERE {filter} {more}");
            assert_eq!(s.rows(&sql).await.unwrap().len(), want, "{sql}");
        }
        let ordered = format!("SELECT id FROM src.public.orders WHERE {filter} ORDER BY id LIMIT 9 OFFSET 2");
        s.both(&ordered).await.unwrap();
    }
}

/// A plan with a recursive term runs its leaf again and again. A dynamic filter of the last round would drop the rows of the next.
#[tokio::test]
async fn a_leaf_that_runs_again_forgets_its_filters() {
    let s = setup().await;
    let sql = "WITH RECURSIVE below(id) AS (SELECT 40 UNION ALL SELECT t.id FROM src.public.tree t JOIN below b ON t.parent = b.id) \
               SELECT count(*) FROM below";
    let want = s.postgres.psql(&sql.replace("src.public.", "")).unwrap();
    assert_eq!(s.both(sql).await.unwrap(), [want.trim()]);
}

/// DataFusion answers count(*) from an exact row count, and min and max from exact bounds. What a source has counted may be old.
#[tokio::test]
async fn statistics_of_a_source_are_never_taken_for_the_answer() {
    let s = setup().await;
    s.postgres.psql("INSERT INTO orders VALUES (30000, 1, 'new'), (-5, 1, 'new')").unwrap();
    let sql = "SELECT count(*), min(id), max(id), count(DISTINCT user_id) FROM src.public.orders";
    assert_eq!(s.both(sql).await.unwrap(), ["20002|-5|30000|1000"]);
    s.rows("SET fjord.pushdown = off").await.unwrap();
    assert_eq!(s.rows("SELECT count(*) FROM src.public.orders").await.unwrap(), ["20002"]);
    s.postgres.psql("TRUNCATE orders").unwrap();
    assert_eq!(s.rows("SELECT count(*) FROM src.public.orders").await.unwrap(), ["0"]);
    assert_eq!(s.rows("SELECT count(*) FROM src.public.orders o JOIN src.public.edge e ON o.id = e.id").await.unwrap(), ["0"]);
}

/// DataFusion announces the last arm's type, whatever the values are.
#[tokio::test]
async fn a_union_has_the_type_that_holds_all_its_arms() {
    let s = setup().await;
    s.postgres
        .psql(
            "CREATE TABLE u (i2 int2 NOT NULL, i4 int, v varchar(5), c char(3), d date, ts timestamp); \
                     INSERT INTO u VALUES (1, 2147483647, 'a', 'b', '2020-01-01', '2020-01-02')",
        )
        .unwrap();
    s.rows("ALTER CONNECTOR src REFRESH SCHEMA").await.unwrap();
    for (sql, t) in [
        ("SELECT i4 FROM src.public.u UNION ALL SELECT i2 FROM src.public.u", Type::INT4),
        ("SELECT i2 FROM src.public.u UNION ALL SELECT i4 FROM src.public.u", Type::INT4),
        ("SELECT i4 FROM src.public.u UNION SELECT i2 FROM src.public.u", Type::INT4),
        ("SELECT i2 FROM src.public.u UNION SELECT 5::bigint", Type::INT8),
        ("SELECT v FROM src.public.u UNION SELECT c FROM src.public.u", Type::TEXT),
        ("SELECT v FROM src.public.u UNION ALL SELECT v FROM src.public.u", Type::VARCHAR),
        ("SELECT d FROM src.public.u UNION SELECT ts FROM src.public.u", Type::TIMESTAMP),
        ("SELECT max(x) FROM (SELECT i4 AS x FROM src.public.u UNION ALL SELECT i2 FROM src.public.u) y", Type::INT4),
        ("SELECT x, count(*) FROM (SELECT i2 AS x FROM src.public.u UNION SELECT i4 FROM src.public.u) y GROUP BY x", Type::INT4),
        ("SELECT i4::bigint FROM src.public.u", Type::INT8),
        ("SELECT i4::text FROM src.public.u", Type::TEXT),
        ("SELECT i4::bigint FROM src.public.u UNION SELECT i2 FROM src.public.u", Type::INT8),
    ] {
        let prepared = s.client.prepare(sql).await.unwrap_or_else(|e| panic!("{sql}: {:?}", e.as_db_error()));
        assert_eq!(prepared.columns()[0].type_(), &t, "{sql}");
        // Binary, so a value of another width does not decode.
        let rows = s.client.query(&prepared, &[]).await.unwrap();
        for row in rows {
            match t {
                Type::INT4 => assert!([1, 2147483647].contains(&row.get::<_, i32>(0)), "{sql}"),
                Type::INT8 => assert!([1, 5, 2147483647].contains(&row.get::<_, i64>(0)), "{sql}"),
                _ => {}
            }
        }
        s.both(sql).await.unwrap();
    }
}

#[tokio::test]
async fn no_statement_writes_or_reads_a_file_of_the_server() {
    let s = setup().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.csv");
    std::fs::write(folder.path().join("in.csv"), "a\n1\n").unwrap();
    for sql in [
        format!("COPY src.public.edge TO '{}'", file.display()),
        format!("COPY (SELECT 1) TO '{}' STORED AS CSV", file.display()),
        format!("COPY (SELECT 1) TO PROGRAM 'cat > {}'", file.display()),
        format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{}'", folder.path().join("in.csv").display()),
        format!(
            "CREATE EXTERNAL TABLE x (a int) STORED AS CSV LOCATION '{}' OPTIONS ('format.has_header' 'true')",
            folder.path().display()
        ),
        format!("SELECT * FROM '{}'", folder.path().join("in.csv").display()),
        "EXPLAIN COPY src.public.edge TO '/tmp/never'".to_string(),
    ] {
        let state = s.rows(&sql).await.unwrap_err();
        assert!(["0A000", "42601", "42P01", "25006"].contains(&state.as_str()), "{sql}: {state}");
    }
    assert!(!file.exists() && !std::path::Path::new("/tmp/never").exists());
}
