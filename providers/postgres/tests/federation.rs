//! The whole way from SQL through the pushdown pass to a real Postgres and back.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::object_store::memory::InMemory;
use fjord_engine::session::{Session, SessionInfo};
use fjord_engine::{Engine, EngineConfig, Result, SqlError, SqlState};
use fjord_harness::Postgres;
use fjord_postgres::PostgresType;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

const SHOP: &str = "
    CREATE TABLE users (id int PRIMARY KEY, name text, email varchar(50), active boolean, joined timestamptz, score float8);
    INSERT INTO users SELECT i, 'user ' || i, 'u' || i || '@x.org', i % 2 = 0, timestamptz '2024-01-01 00:00Z' + i * interval '1 day', i / 4.0
        FROM generate_series(1, 1000) i;
    CREATE TABLE orders (id bigint PRIMARY KEY, user_id int REFERENCES users, amount numeric(10,2), note text, big bigint, ts timestamp);
    INSERT INTO orders SELECT i, i % 1000 + 1, i * 0.25, CASE WHEN i % 10 = 0 THEN NULL ELSE 'note ' || i % 7 END, i,
        timestamp '2024-01-01' + i * interval '1 hour' FROM generate_series(1, 20000) i;
    CREATE TABLE edge (id int PRIMARY KEY, b bigint, f float8, t text, ts timestamp(6));
    INSERT INTO edge VALUES (1, 9223372036854775807, -0.0, 'a', '2024-01-01 00:00:00.000001'), (2, 9223372036854775807, 0.0, 'A', '2024-01-01 00:00:00.000002'),
        (3, 1, 'NaN', 'a ', NULL), (4, NULL, 1.5, NULL, '1500-01-01'), (5, -5, NULL, 'é', '2024-01-01');
    CREATE SCHEMA billing; CREATE TABLE billing.\"Invoices\" (\"Id\" int PRIMARY KEY, total numeric(8,2));
    INSERT INTO billing.\"Invoices\" VALUES (1, 10.00), (2, 20.50);
    ANALYZE;";

struct Shop {
    pg: Postgres,
    session: Session,
}

async fn shop() -> Shop {
    let pg = Postgres::start().unwrap();
    pg.psql(SHOP).unwrap();
    let config = EngineConfig {
        store: Arc::new(InMemory::new()),
        data_dir: None,
        secret_key: None,
        memory_limit: 256 << 20,
        database: "fjord".into(),
        secret_root: None,
        allow_link_local: false,
    };
    let engine = Engine::open(config, vec![Arc::new(PostgresType)]).await.unwrap();
    let session = engine.session(SessionInfo {
        user: "ann".into(),
        database: "fjord".into(),
        application_name: "test".into(),
        client: String::new(),
        pid: 1,
    });
    let create = format!(
        "CREATE CONNECTOR shop TYPE postgres OPTIONS (host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable')",
        pg.port()
    );
    let s = Shop { pg, session };
    s.rows(&create).await.unwrap();
    s
}

impl Shop {
    async fn run(&self, sql: &str, params: Vec<ScalarValue>) -> Result<Vec<String>> {
        let mut out = vec![];
        for statement in fjord_engine::sql::parse(sql)? {
            let prepared = self.session.prepare(&statement, &[]).await?;
            let mut e = self.session.execute(&prepared, params.clone(), CancellationToken::new()).await?;
            out.clear();
            let Some(mut stream) = e.stream.take() else { continue };
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(SqlError::from)?;
                let options = FormatOptions::default().with_null("NULL");
                let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
                for i in 0..batch.num_rows() {
                    out.push(columns.iter().map(|c| c.value(i).to_string()).collect::<Vec<_>>().join("|"));
                }
            }
        }
        Ok(out)
    }
    async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        self.run(sql, vec![]).await
    }
    async fn explain(&self, sql: &str) -> String {
        self.rows(&format!("EXPLAIN {sql}")).await.unwrap().join("\n")
    }
    /// Pushed and local rows are the same; gives them back. Sorted unless the query orders.
    async fn both(&self, sql: &str) -> Vec<String> {
        let pushed = self.rows(sql).await;
        self.rows("SET fjord.pushdown = off").await.unwrap();
        let local = self.rows(sql).await;
        self.rows("SET fjord.pushdown = on").await.unwrap();
        let (mut pushed, mut local) = (pushed.unwrap_or_else(|e| panic!("{sql}: {e}")), local.unwrap_or_else(|e| panic!("{sql}: {e}")));
        let shown = pushed.clone();
        if !sql.to_uppercase().contains("ORDER BY") {
            pushed.sort();
            local.sort();
        }
        assert_eq!(pushed, local, "{sql}");
        shown
    }
}

#[tokio::test]
async fn names_resolve_as_in_postgres() {
    let s = shop().await;
    for sql in [
        "SELECT name FROM shop.public.users WHERE id = 7",
        "SELECT name FROM shop.users WHERE id = 7",
        "SELECT NAME FROM SHOP.PUBLIC.USERS U WHERE U.ID = 7",
        "SELECT users.name FROM shop.users WHERE users.id = 7",
        "SELECT shop.public.users.name FROM shop.public.users WHERE id = 7",
        "SELECT u.name FROM live(shop.public.users) u WHERE u.id = 7",
        "SELECT users.name FROM live(shop.users) WHERE users.id = 7",
        "SELECT r.name FROM remote_query('shop', $$SELECT name FROM public.users WHERE id = 7$$) r",
        "SELECT remote_query.n FROM remote_query('shop', 'SELECT id, name AS n FROM public.users') WHERE id = 7",
        "SET search_path = shop; SELECT name FROM users WHERE id = 7; ",
    ] {
        assert_eq!(s.rows(sql).await.unwrap(), ["user 7"], "{sql}");
    }
    s.rows("RESET search_path").await.unwrap();
    assert_eq!(s.both("SELECT total FROM shop__billing.\"Invoices\" WHERE \"Id\" = 2").await, ["20.50"]);
    assert_eq!(s.both("SELECT total FROM shop.billing.\"Invoices\" WHERE \"Id\" = 2").await, ["20.50"]);
    for (sql, state, hint) in [
        ("SELECT * FROM shop.public.user", SqlState::UNDEFINED_TABLE, "\"users\""),
        ("SELECT * FROM users", SqlState::UNDEFINED_TABLE, "\"shop.public.users\""),
        ("SELECT * FROM shop.publc.users", SqlState::INVALID_SCHEMA_NAME, "\"public\""),
        ("SELECT * FROM shp.public.users", SqlState::INVALID_CATALOG_NAME, "\"shop\""),
        ("SELECT * FROM shop.billing.invoices", SqlState::UNDEFINED_TABLE, "\"Invoices\""),
        ("SELECT nam FROM shop.users", SqlState::UNDEFINED_COLUMN, "name"),
        ("SELECT * FROM live('users')", SqlState::SYNTAX_ERROR, "live("),
        ("SELECT * FROM live(sys.queries)", SqlState::WRONG_OBJECT_TYPE, "live("),
        ("SELECT * FROM remote_query('shp', 'SELECT 1')", SqlState::INVALID_CATALOG_NAME, "\"shop\""),
    ] {
        let e = s.rows(sql).await.unwrap_err();
        assert_eq!(e.state, state, "{sql}: {e}");
        assert!(e.hint.as_deref().unwrap_or_default().contains(hint), "{sql}: {e}");
    }
}

#[tokio::test]
async fn work_is_pushed_and_gives_the_same_rows() {
    let s = shop().await;
    for (sql, sent, absent) in [
        ("SELECT id FROM shop.users WHERE id = 42", "WHERE", "FilterExec"),
        ("SELECT id, name FROM shop.users WHERE name = 'user 4' AND active", "'user 4'", "FilterExec"),
        ("SELECT id FROM shop.users WHERE id IN (1, 2, 3, 4, 5, 2000)", "IN (", "FilterExec"),
        ("SELECT id FROM shop.users WHERE id BETWEEN 5 AND 9 OR name IS NULL", "OR", "FilterExec"),
        ("SELECT id FROM shop.users WHERE NOT (id > 10)", "WHERE", "FilterExec"),
        ("SELECT id FROM shop.users WHERE name LIKE 'user 99%'", "LIKE", "FilterExec"),
        ("SELECT id FROM shop.users WHERE name > 'user 995'", "COLLATE \"C\"", "FilterExec"),
        ("SELECT count(*) FROM shop.orders", "count(*)", "AggregateExec"),
        ("SELECT user_id, count(*), sum(big), min(amount), max(note) FROM shop.orders GROUP BY user_id", "GROUP BY", "AggregateExec"),
        ("SELECT user_id, avg(amount) FROM shop.orders WHERE id < 500 GROUP BY user_id", "GROUP BY", "AggregateExec"),
        ("SELECT user_id, count(*) c FROM shop.orders GROUP BY user_id HAVING count(*) > 19", "GROUP BY", "AggregateExec"),
        ("SELECT DISTINCT note FROM shop.orders", "\"note\"", "AggregateExec"),
        ("SELECT id FROM shop.orders ORDER BY amount DESC, id LIMIT 5", "LIMIT 5", "SortExec"),
        ("SELECT id, note FROM shop.orders ORDER BY note NULLS FIRST, id LIMIT 3 OFFSET 2", "OFFSET 2", "SortExec"),
        ("SELECT name FROM shop.users ORDER BY id DESC LIMIT 3", "LIMIT 3", "SortExec"),
        ("SELECT id FROM shop.users WHERE joined >= timestamptz '2026-09-01 00:00:00Z'", "WHERE", "FilterExec"),
        ("SELECT id FROM shop.orders WHERE ts < timestamp '2024-01-02' AND amount > 2.5", "WHERE", "FilterExec"),
        ("SELECT count(DISTINCT user_id) FROM shop.orders", "GROUP BY", "AggregateExec"),
    ] {
        let rows = s.both(sql).await;
        assert!(!rows.is_empty(), "{sql}");
        let plan = s.explain(sql).await;
        assert!(plan.to_lowercase().contains(&sent.to_lowercase()), "{sql} does not send {sent}:\n{plan}");
        assert!(!plan.contains(absent), "{sql} keeps {absent}:\n{plan}");
    }
}

#[tokio::test]
async fn partial_pushdown_keeps_the_rest_local() {
    let s = shop().await;
    for (sql, sent, local) in [
        ("SELECT id FROM shop.users WHERE id < 100 AND md5(name) < '8'", "100", "FilterExec"),
        ("SELECT upper(name) FROM shop.users WHERE id < 3", "\"name\"", "ProjectionExec"),
        ("SELECT md5(name), count(*) FROM shop.users WHERE id < 10 GROUP BY md5(name)", "\"id\"", "AggregateExec"),
        ("SELECT id FROM shop.users WHERE md5(name) < '8' ORDER BY id LIMIT 2", "FROM", "FilterExec"),
        ("SELECT id FROM shop.users WHERE md5(name) < '8' LIMIT 2000", "FROM", "FilterExec"),
    ] {
        s.both(sql).await;
        let plan = s.explain(sql).await;
        assert!(plan.contains(sent) && plan.contains(local), "{sql}:\n{plan}");
        assert!(!plan.contains(" LIMIT "), "a limit over a local filter: {plan}");
    }
    // Columns that only a pushed filter or nothing needs are not read.
    let plan = s.explain("SELECT upper(name) FROM shop.users WHERE id < 3 AND md5(name) < 'z'").await;
    assert!(!plan.contains("\"email\"") && !plan.contains("SELECT \"id\""), "{plan}");
    let plan = s.explain("SELECT id FROM shop.users WHERE md5(name) < '8' LIMIT 2").await;
    assert!(plan.contains("local_limit"), "the reason is shown: {plan}");
}

#[tokio::test]
async fn joins_of_one_and_two_tables_agree() {
    let s = shop().await;
    for sql in [
        "SELECT u.id, o.id FROM shop.users u JOIN shop.orders o ON u.id = o.user_id WHERE u.id < 5 AND o.note = 'note 3'",
        "SELECT u.id, o.id FROM shop.users u LEFT JOIN shop.orders o ON u.id = o.user_id AND o.id < 10 WHERE u.id < 20",
        "SELECT u.id FROM shop.users u WHERE EXISTS (SELECT 1 FROM shop.orders o WHERE o.user_id = u.id AND o.amount > 4990)",
        "SELECT u.id FROM shop.users u WHERE u.id NOT IN (SELECT user_id FROM shop.orders WHERE id > 100)",
        "SELECT id FROM shop.orders WHERE amount = (SELECT max(amount) FROM shop.orders)",
        "SELECT u.name, (SELECT count(*) FROM shop.orders o WHERE o.user_id = u.id) FROM shop.users u WHERE u.id < 4",
        "SELECT u.id, v.x FROM shop.users u JOIN (VALUES (1, 'a'), (5, 'b'), (NULL, 'c')) v(id, x) ON v.id = u.id",
        "SELECT u.name, v.x FROM shop.users u JOIN (VALUES ('user 1', 'a'), ('user 5', 'b')) v(n, x) ON v.n = u.name",
        "SELECT count(*) FROM shop.users UNION ALL SELECT id FROM shop.orders WHERE id < 3",
        "WITH big AS (SELECT * FROM shop.orders WHERE amount > 4000) SELECT u.name, count(*) FROM shop.users u JOIN big b ON b.user_id = u.id GROUP BY u.name",
        "SELECT e.id, v.x FROM shop.edge e JOIN (VALUES (0.0::float8, 'zero'), ('NaN'::float8, 'nan')) v(f, x) ON v.f = e.f",
    ] {
        s.both(sql).await;
    }
}

#[tokio::test]
async fn dynamic_filters_reach_the_source() {
    let s = shop().await;
    let sql = "SELECT o.id, v.x FROM shop.orders o JOIN (VALUES (3, 'a'), (17, 'b'), (17, 'c'), (NULL, 'd')) v(id, x) ON v.id = o.id";
    assert_eq!(s.both(sql).await.len(), 3);
    let text = s.rows("SELECT remote_text, rows FROM sys.remote_queries ORDER BY query_id").await.unwrap();
    assert!(text.iter().any(|t| t.contains("17") && t.ends_with("|2")), "the keys were not sent: {text:?}");
    let summary = s.rows("SELECT dynamic_filters FROM sys.pushdown_summary ORDER BY query_id LIMIT 1").await.unwrap();
    assert!(summary[0].contains("pushed"), "{summary:?}");
    s.rows("SET fjord.dynamic_filters = off").await.unwrap();
    assert_eq!(s.both(sql).await.len(), 3);
    let text = s.rows("SELECT rows FROM sys.remote_queries ORDER BY query_id DESC LIMIT 2").await.unwrap();
    assert!(text.contains(&"20000".to_string()), "{text:?}");
}

#[tokio::test]
async fn guards_of_datafusion() {
    let s = shop().await;
    // -0.0 is in a list that holds 0.0.
    assert_eq!(s.both("SELECT id FROM shop.edge WHERE f IN (0.0, 7.0, 8.0, 9.0, 10.0) ORDER BY id").await, ["1", "2"]);
    assert_eq!(s.both("SELECT id FROM shop.edge WHERE f = 0.0 ORDER BY id").await, ["1", "2"]);
    // Finer than a microsecond.
    for (op, want) in [
        ("<", vec!["1", "4", "5"]),
        ("=", vec![]),
        (">", vec!["2"]),
        (">=", vec!["2"]),
        ("<=", vec!["1", "4", "5"]),
        ("<>", vec!["1", "2", "4", "5"]),
    ] {
        let sql = format!(
            "SELECT id FROM shop.edge WHERE ts {op} arrow_cast('2024-01-01T00:00:00.0000015', 'Timestamp(Nanosecond, None)') ORDER BY id"
        );
        assert_eq!(s.both(&sql).await, want, "{op}");
    }
    // Checked arithmetic, numeric sums.
    for sql in ["SELECT b + 1 FROM shop.edge WHERE id = 1", "SELECT b * 2 FROM shop.edge", "SELECT -b - 10 FROM shop.edge WHERE id = 1"] {
        assert_eq!(s.rows(sql).await.unwrap_err().state, SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "{sql}");
    }
    assert_eq!(s.both("SELECT sum(b), count(b) FROM shop.edge").await, ["18446744073709551610|4"]);
    assert_eq!(s.rows("SELECT id / 0 FROM shop.edge").await.unwrap_err().state, SqlState::DIVISION_BY_ZERO);
    // Text compares by its bytes.
    assert_eq!(s.both("SELECT id FROM shop.edge WHERE t = 'a'").await, ["1"]);
    assert_eq!(s.both("SELECT t FROM shop.edge WHERE t IS NOT NULL ORDER BY t").await, ["A", "a", "a ", "é"]);
    assert_eq!(s.both("SELECT id FROM shop.edge ORDER BY f DESC NULLS LAST, id").await, ["3", "4", "1", "2", "5"]);
    // A limit over a filter that is finished locally.
    assert_eq!(s.both("SELECT id FROM shop.edge WHERE md5(t) IS NOT NULL AND id > 1 ORDER BY id LIMIT 1").await, ["2"]);
    // Nothing is written.
    for sql in [
        "COPY shop.users TO '/tmp/x.csv'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "INSERT INTO shop.users VALUES (1)",
    ] {
        let e = s.rows(sql).await.unwrap_err();
        assert!(matches!(e.state, SqlState::FEATURE_NOT_SUPPORTED | SqlState::READ_ONLY_SQL_TRANSACTION), "{sql}: {e}");
    }
    assert_eq!(s.pg.psql("SELECT count(*) FROM users").unwrap().trim(), "1000");
}

#[tokio::test]
async fn explained_everywhere() {
    let s = shop().await;
    let rows = s.rows("EXPLAIN (PUSHDOWN) SELECT id FROM shop.users WHERE id < 100 AND md5(name) < '8' LIMIT 3").await.unwrap();
    let text = rows.join("\n");
    assert!(text.contains("filter") && text.contains("|exact|") && text.contains("|no|"), "{text}");
    let text = s.rows("EXPLAIN (PUSHDOWN, ANALYZE, FORMAT JSON) SELECT id FROM shop.users WHERE id < 100").await.unwrap().join("\n");
    assert!(text.contains("\"rows\": 99") && text.contains("remote_text"), "{text}");
    let text = s.rows("EXPLAIN ANALYZE SELECT id FROM shop.users WHERE id < 100").await.unwrap().join("\n");
    assert!(text.contains("rows=99") && text.contains("first_row="), "{text}");
    s.rows("SELECT count(*) FROM shop.users WHERE md5(name) = 'x'").await.unwrap();
    let summary = s
        .rows("SELECT connector, tables, filters_local, rows, cancelled FROM sys.pushdown_summary ORDER BY query_id DESC LIMIT 1")
        .await
        .unwrap();
    assert!(summary[0].starts_with("shop|public.users|md5(") && summary[0].ends_with("|1000|false"), "{summary:?}");
    let q = s
        .rows("SELECT state, rows, remote_queries FROM sys.queries WHERE query LIKE 'SELECT count%md5(name)%' AND state <> 'running'")
        .await
        .unwrap();
    assert_eq!(q, ["finished|1|1"]);
}

#[tokio::test]
async fn parameters_are_pushed_as_literals() {
    let s = shop().await;
    let sql = "SELECT name FROM shop.users WHERE id = $1 AND active = $2 LIMIT $3";
    let params = vec![ScalarValue::Int32(Some(8)), ScalarValue::Boolean(Some(true)), ScalarValue::Int64(Some(1))];
    assert_eq!(s.run(sql, params).await.unwrap(), ["user 8"]);
    let text = s.rows("SELECT remote_text FROM sys.remote_queries ORDER BY query_id DESC LIMIT 1").await.unwrap();
    assert!(text[0].contains("8") && text[0].contains("WHERE"), "{text:?}");
}

#[tokio::test]
async fn a_source_that_is_down_fails_its_queries_only() {
    let mut s = shop().await;
    s.pg.stop().unwrap();
    let e = s.rows("SELECT count(*) FROM shop.users").await.unwrap_err();
    assert!(matches!(e.state, SqlState::CONNECTION_UNABLE | SqlState::CONNECTION_FAILURE), "{e}");
    assert!(e.message.contains("shop"), "{e}");
    assert_eq!(s.rows("SELECT 1").await.unwrap(), ["1"]);
    s.pg.start_again().unwrap();
    assert_eq!(s.rows("SELECT count(*) FROM shop.users").await.unwrap(), ["1000"]);
}

#[tokio::test]
async fn joins_of_one_source_are_one_remote_query() {
    let s = shop().await;
    for (sql, sent) in [
        ("SELECT u.id, o.id FROM shop.users u JOIN shop.orders o ON u.id = o.user_id WHERE o.note = 'note 3'", " JOIN "),
        ("SELECT u.id, o.id FROM shop.users u LEFT JOIN shop.orders o ON u.id = o.user_id AND o.id < 10", "LEFT JOIN"),
        ("SELECT u.id, o.id FROM shop.users u RIGHT JOIN shop.orders o ON u.id = o.user_id", "JOIN"),
        ("SELECT u.id, o.id FROM shop.users u FULL JOIN shop.orders o ON u.id = o.user_id", "FULL JOIN"),
        ("SELECT u.id FROM shop.users u WHERE EXISTS (SELECT 1 FROM shop.orders o WHERE o.user_id = u.id AND o.amount > 4990)", "EXISTS"),
        (
            "SELECT u.id FROM shop.users u WHERE NOT EXISTS (SELECT 1 FROM shop.orders o WHERE o.user_id = u.id AND o.id < 900)",
            "NOT EXISTS",
        ),
        ("SELECT u.id FROM shop.users u WHERE u.id NOT IN (SELECT user_id FROM shop.orders WHERE id < 100)", "NOT EXISTS"),
        ("SELECT u.id FROM shop.users u WHERE u.active OR u.id IN (SELECT user_id FROM shop.orders WHERE id < 9)", "EXISTS"),
        ("SELECT u.name, i.total FROM shop.users u JOIN shop.billing.\"Invoices\" i ON i.\"Id\" = u.id", "\"billing\".\"Invoices\""),
        ("SELECT u.name, count(*), sum(o.amount) FROM shop.users u JOIN shop.orders o ON o.user_id = u.id GROUP BY u.name", "GROUP BY"),
        ("SELECT u.id, o.id FROM shop.users u LEFT JOIN shop.orders o ON o.user_id = u.id ORDER BY u.id DESC, o.id LIMIT 5", "LIMIT 5"),
        ("SELECT count(*) FROM shop.orders a JOIN shop.orders b ON a.note = b.note", "count(*)"),
        ("SELECT id, note FROM shop.orders WHERE id < 4 UNION ALL SELECT id, name FROM shop.users", "UNION ALL"),
        ("SELECT note FROM shop.orders UNION SELECT name FROM shop.users", "GROUP BY"),
        ("SELECT id FROM shop.orders WHERE amount = (SELECT max(amount) FROM shop.orders)", "max("),
        ("SELECT u.id, (SELECT count(*) FROM shop.orders o WHERE o.user_id = u.id) FROM shop.users u", "LEFT JOIN"),
        ("SELECT u.id FROM shop.users u JOIN shop.orders o ON o.user_id = u.id AND md5(o.note) < u.name WHERE o.id < 50", " JOIN "),
        (
            "SELECT users.id, users.name, orders.id FROM shop.users LEFT JOIN shop.orders ON users.id = orders.user_id WHERE users.name ILIKE 'USER 7%'",
            "LEFT JOIN",
        ),
        ("SELECT a.id, b.id, c.id FROM shop.orders a JOIN shop.users b ON a.user_id = b.id JOIN shop.users c ON c.id = a.id", " JOIN "),
    ] {
        let rows = s.both(sql).await;
        assert!(!rows.is_empty(), "{sql}");
        let plan = s.explain(sql).await;
        assert_eq!(plan.matches("RemoteScanExec").count(), 1, "{sql}:\n{plan}");
        assert!(plan.contains(sent) && !plan.contains("JoinExec"), "{sql} does not send {sent}:\n{plan}");
    }
}

#[tokio::test]
async fn joins_that_stay_say_why() {
    let s = shop().await;
    for (sql, reason) in [
        (
            "SELECT a.id, b.id FROM shop.orders a JOIN shop.orders b ON a.note = b.note WHERE a.id < 40 AND b.id < 60",
            "the join would send about",
        ),
        (
            "SELECT u.id, o.id FROM shop.users u LEFT JOIN shop.orders o ON u.id = o.user_id AND md5(o.note) > u.name",
            "is not exact at the source",
        ),
        ("SELECT a.id FROM shop.edge a CROSS JOIN shop.edge b", "the join would send about"),
        (
            "SELECT u.id, o.id FROM (SELECT * FROM shop.users WHERE md5(name) < '1') u RIGHT JOIN shop.orders o ON u.id = o.user_id",
            "filter that is finished locally",
        ),
        ("SELECT u.id FROM shop.users u JOIN (VALUES (1), (2)) v(i) ON v.i = u.id", "not one remote query"),
        (
            "SELECT id, md5(note) FROM shop.orders WHERE id < 4 UNION ALL SELECT id, name FROM shop.users",
            "not every input is one remote query",
        ),
    ] {
        s.both(sql).await;
        let plan = s.explain(sql).await;
        assert!(plan.contains(reason), "{sql} does not say {reason}:\n{plan}");
    }
    // The rows of EXPLAIN (PUSHDOWN) and of the summary, pushed and not.
    let rows = s.rows("EXPLAIN (PUSHDOWN) SELECT u.id, o.id FROM shop.users u JOIN shop.orders o ON u.id = o.user_id").await.unwrap();
    assert!(rows.iter().any(|r| r.contains("|join|JOIN ON u.id = o.user_id|exact|")), "{rows:?}");
    s.rows("SELECT a.id, b.id FROM shop.orders a JOIN shop.orders b ON a.note = b.note WHERE a.id < 40 AND b.id < 60").await.unwrap();
    let summary = s.rows("SELECT joins FROM sys.pushdown_summary ORDER BY query_id DESC LIMIT 1").await.unwrap();
    assert!(summary[0].starts_with("JOIN ON a.note = b.note: local (the join would send"), "{summary:?}");
    // Two limits, two notes.
    let rows = s
        .rows("EXPLAIN (PUSHDOWN) SELECT user_id, count(*) FROM (SELECT user_id FROM shop.orders LIMIT 90) x GROUP BY user_id LIMIT 5 OFFSET 2")
        .await
        .unwrap();
    assert_eq!(rows.iter().filter(|r| r.contains("|limit|")).count(), 2, "{rows:?}");
}

#[tokio::test]
async fn inputs_of_one_source_meet_around_another() {
    let s = shop().await;
    let values = "(VALUES (3, 'a'), (17, 'b'), (17, 'c'), (NULL, 'd')) v(i, x)";
    for sql in [
        format!("SELECT v.x, u.name, o.id FROM shop.users u JOIN {values} ON v.i = u.id JOIN shop.orders o ON o.user_id = u.id"),
        format!("SELECT v.x, u.name, o.id FROM shop.users u JOIN {values} ON v.i = u.id JOIN shop.orders o ON o.user_id = v.i"),
        format!(
            "SELECT v.x, u.name, o.id FROM {values}, shop.users u, shop.orders o WHERE v.i = u.id AND o.user_id = u.id AND o.id < v.i + 9000"
        ),
        format!(
            "SELECT v.x, u.name, count(*) FROM shop.users u JOIN {values} ON v.i = u.id JOIN shop.orders o ON o.user_id = u.id GROUP BY 1, 2"
        ),
    ] {
        assert!(!s.both(&sql).await.is_empty(), "{sql}");
        let plan = s.explain(&sql).await;
        assert_eq!(plan.matches("RemoteScanExec").count(), 1, "{sql}:\n{plan}");
        // The keys of the other side reach the joined query.
        s.rows(&sql).await.unwrap();
        let text = s.rows("SELECT remote_text, rows FROM sys.remote_queries ORDER BY query_id DESC LIMIT 1").await.unwrap();
        assert!(text[0].contains(" IN (") && text[0].contains("17"), "{sql}: the keys were not sent: {text:?}");
    }
    for (sql, rows) in [
        (
            format!(
                "SELECT v.x, g.n FROM {values} JOIN (SELECT user_id, count(*) n FROM shop.orders GROUP BY user_id) g ON g.user_id = v.i"
            ),
            "2",
        ),
        (
            format!(
                "SELECT v.x, g.n FROM {values} JOIN (SELECT id, note n FROM shop.orders UNION ALL SELECT id, name FROM shop.users) g ON g.id = v.i"
            ),
            "4",
        ),
    ] {
        s.both(&sql).await;
        s.rows(&sql).await.unwrap();
        let text = s.rows("SELECT remote_text, rows FROM sys.remote_queries ORDER BY query_id DESC LIMIT 1").await.unwrap();
        assert!(text[0].contains("17") && text[0].ends_with(&format!("|{rows}")), "{sql}: {text:?}");
    }
}

#[tokio::test]
async fn the_first_rows_of_an_outer_join_are_the_first_of_its_kept_side() {
    let s = shop().await;
    for sql in [
        "SELECT o.id, v.x FROM shop.orders o LEFT JOIN (VALUES (3, 'a'), (17, 'b'), (19999, 'c'), (19999, 'd')) v(i, x) ON v.i = o.id ORDER BY o.id DESC, v.x LIMIT 4",
        "SELECT o.id, v.x FROM (VALUES (3, 'a'), (17, 'b'), (19999, 'c'), (19999, 'd')) v(i, x) RIGHT JOIN shop.orders o ON v.i = o.id ORDER BY o.id DESC LIMIT 4 OFFSET 3",
    ] {
        assert_eq!(s.both(sql).await.len(), 4, "{sql}");
        let plan = s.explain(sql).await;
        // Only a sort by the kept side's columns goes below.
        assert_eq!(plan.contains(" LIMIT "), !sql.contains("v.x LIMIT"), "{sql}:\n{plan}");
    }
}
