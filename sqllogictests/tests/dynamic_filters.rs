//! Filters that a join makes while it runs: they reach the source in every form that DataFusion gives them, in time or bounded in time, and change no
//! answer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use fjord_harness::{Direction, FaultProxy, FjordServer, Postgres};
use tokio_postgres::{Client, SimpleQueryMessage};

const SOURCE: &str = "
-- The side that is probed: enough rows that waiting for a filter pays.
CREATE TABLE facts AS SELECT i AS id, i % 5000 AS k, (i % 5000) / 10 AS a, i % 10 AS b, CASE WHEN i % 3 > 0 THEN i % 50 END AS n,
    CASE i % 4 WHEN 0 THEN '0' WHEN 1 THEN '-0' WHEN 2 THEN 'NaN' ELSE i::float8 END AS f, 'note ' || i AS note FROM generate_series(1, 100000) i;
-- Wide rows: DataFusion partitions a join whose sides are both over 1 MiB.
CREATE TABLE wide AS SELECT i * 3 AS k, i AS a, i % 10 AS b, repeat('w', 1500) AS filler FROM generate_series(1, 1000) i;
CREATE TABLE few (a int, b int, n int, f float8);
INSERT INTO few VALUES (1, 1, 1, 0.0), (1, 1, 1, 0.0), (2, 3, NULL, 7), (NULL, 4, 4, NULL), (499, NULL, 7, 'NaN');
CREATE TABLE one AS SELECT 77 AS id;
CREATE TABLE more AS SELECT i AS id, 'more ' || i AS note FROM generate_series(1, 150000) i;
ANALYZE;";

struct Setup {
    postgres: Postgres,
    /// Before the connector `right_`, whose tables build the joins.
    proxy: FaultProxy,
    fjord: FjordServer,
    client: Client,
}

/// What was sent to the source for one table, and how many rows came.
#[derive(Debug)]
struct Sent {
    text: String,
    rows: i64,
}

async fn setup() -> Setup {
    setup_with("").await
}

async fn setup_with(more: &str) -> Setup {
    let postgres = Postgres::start().unwrap();
    postgres.psql(&format!("{SOURCE}{more}")).unwrap();
    let fjord = FjordServer::start().unwrap();
    let proxy = FaultProxy::start(postgres.port()).unwrap();
    let client = fjord.client().await.unwrap();
    // Several connectors, so that a join is Fjord's whatever may be pushed to one source.
    for (name, port) in [("left", postgres.port()), ("right", proxy.port()), ("mid", postgres.port())] {
        let create = format!(
            "CREATE CONNECTOR {name}_ TYPE postgres OPTIONS (host '127.0.0.1', port {port}, database 'postgres', user 'postgres', sslmode 'disable')"
        );
        client.simple_query(&create).await.unwrap();
    }
    Setup { postgres, proxy, fjord, client }
}

async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let answer = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {:?}", e.as_db_error()));
    let rows = answer.iter().filter_map(|m| match m {
        SimpleQueryMessage::Row(r) => Some((0..r.len()).map(|i| r.get(i).unwrap_or("NULL")).collect::<Vec<_>>().join("|")),
        _ => None,
    });
    rows.collect()
}

impl Setup {
    /// Runs a query with and without dynamic filters; both answers are Postgres's. Gives back what was sent for `table` with them.
    async fn check(&self, sql: &str, table: &str) -> Sent {
        let mut with = rows(&self.client, sql).await;
        let sent = self.sent(table).await;
        rows(&self.client, "SET fjord.dynamic_filters = off").await;
        let mut without = rows(&self.client, sql).await;
        rows(&self.client, "SET fjord.dynamic_filters = on").await;
        let source = self.postgres.client().await.unwrap();
        let mut truth = rows(&source, &sql.replace("left_.public.", "").replace("right_.public.", "").replace("mid_.public.", "")).await;
        with.sort();
        without.sort();
        truth.sort();
        assert_eq!(with, without, "{sql}");
        assert_eq!(with, truth, "{sql}");
        sent
    }
    async fn sent(&self, table: &str) -> Sent {
        let sql =
            format!("SELECT remote_text, rows FROM sys.remote_queries WHERE tables = 'public.{table}' ORDER BY query_id DESC LIMIT 1");
        let row = self.client.query_one(&sql, &[]).await.unwrap();
        // A side that was never read has sent nothing.
        Sent { text: row.get::<_, Option<String>>(0).unwrap_or_default(), rows: row.get(1) }
    }
}

#[tokio::test]
async fn a_partitioned_joins_filter_is_sent_whole() {
    let s = setup().await;
    let sql = "SELECT f.id, f.note, length(w.filler) FROM left_.public.facts f JOIN right_.public.wide w ON f.k = w.k";
    let plan = rows(&s.client, &format!("EXPLAIN {sql}")).await.join("\n");
    assert!(plan.contains("mode=Partitioned"), "the test is about a partitioned join:\n{plan}");
    let sent = s.check(sql, "facts").await;
    assert!(sent.text.contains("= ANY (") && sent.text.contains(" OR "), "the lists of both partitions: {}", sent.text);
    assert_eq!(sent.rows, 20_000, "only the rows that join: {}", sent.text);
    assert!(sent.text.len() < 64 << 10, "{} bytes of text", sent.text.len());
}

#[tokio::test]
async fn keys_of_several_columns_are_sent_column_by_column() {
    let s = setup().await;
    let sql = "SELECT f.id FROM left_.public.facts f JOIN right_.public.few x ON f.a = x.a AND f.b = x.b";
    let sent = s.check(sql, "facts").await;
    assert!(sent.text.contains("\"a\" IN (") && sent.text.contains("\"b\" IN ("), "{}", sent.text);
    assert!(sent.rows < 2_000, "{} rows for {}", sent.rows, sent.text);
    // Partitioned and of several columns.
    let sql = "SELECT f.id, f.note, length(w.filler) FROM left_.public.facts f JOIN right_.public.wide w ON f.a = w.a AND f.b = w.b";
    let sent = s.check(sql, "facts").await;
    assert!(sent.rows < 100_000, "{} rows for {}", sent.rows, sent.text);
}

#[tokio::test]
async fn nulls_duplicates_and_zeros_in_a_filter_change_nothing() {
    let s = setup().await;
    for (sql, most) in [
        ("SELECT f.id, x.a FROM left_.public.facts f JOIN right_.public.few x ON f.n = x.n", 10_000),
        ("SELECT f.id FROM left_.public.facts f JOIN right_.public.few x ON f.f = x.f", 100_000),
        ("SELECT f.id FROM left_.public.facts f WHERE f.n IN (SELECT x.n FROM right_.public.few x)", 10_000),
        ("SELECT f.id FROM left_.public.facts f WHERE f.f IN (SELECT x.f FROM right_.public.few x WHERE x.f = 0)", 60_000),
        ("SELECT f.id FROM left_.public.facts f JOIN right_.public.few x ON f.f = -x.f AND f.b = x.b WHERE x.f < 9", 100_000),
        // Nothing on the build side, or only NULLs: the other side is not read.
        ("SELECT f.id FROM left_.public.facts f JOIN right_.public.few x ON f.k = x.n WHERE x.a = 2", 0),
        // NULLs that do match.
        ("SELECT n FROM left_.public.facts INTERSECT SELECT n FROM right_.public.few", 100_000),
        ("SELECT f.id FROM left_.public.facts f JOIN right_.public.few x ON f.n IS NOT DISTINCT FROM x.n WHERE f.id < 500", 100_000),
        ("SELECT a, n FROM left_.public.facts INTERSECT SELECT a, n FROM right_.public.few", 100_000),
        ("SELECT n FROM left_.public.facts EXCEPT SELECT n FROM right_.public.few", 100_000),
    ] {
        let sent = s.check(sql, "facts").await;
        assert!(sent.rows <= most, "{sql}: {} rows for {}", sent.rows, sent.text);
    }
}

/// An uncorrelated scalar subquery runs first: its value goes with the query, judged as a literal is.
#[tokio::test]
async fn the_value_of_a_subquery_goes_with_the_query() {
    let s = setup_with("CREATE TABLE times AS SELECT i AS id, timestamp '2024-01-01 00:00:00.000001' + i * interval '1 s' AS t FROM generate_series(1, 5000) i; ANALYZE").await;
    for (sql, table, most) in [
        ("SELECT f.id FROM left_.public.facts f WHERE f.k = (SELECT max(x.a) FROM right_.public.few x)", "facts", 20),
        (
            "SELECT f.id, f.note FROM left_.public.facts f WHERE f.k > (SELECT max(x.a) FROM right_.public.few x) * 10 AND f.b < 3",
            "facts",
            100,
        ),
        (
            "SELECT f.b, count(*) FROM left_.public.facts f WHERE f.id <= 2 + (SELECT min(x.a) FROM right_.public.few x) GROUP BY f.b",
            "facts",
            3,
        ),
        ("SELECT f.id FROM left_.public.facts f WHERE f.k BETWEEN (SELECT 3) AND (SELECT max(x.b) FROM right_.public.few x)", "facts", 40),
        // By bytes on both sides, whatever the collation is.
        (
            "SELECT f.id FROM left_.public.facts f WHERE f.note > (SELECT max(m.note) FROM right_.public.more m WHERE m.id < 9)",
            "facts",
            100_000,
        ),
        // No row of the subquery: NULL, which nothing compares with.
        ("SELECT f.id FROM left_.public.facts f WHERE f.k = (SELECT x.a FROM right_.public.few x WHERE x.a = 1000)", "facts", 0),
        ("SELECT f.id FROM left_.public.facts f WHERE f.k <> (SELECT x.a FROM right_.public.few x WHERE x.a = 1000)", "facts", 0),
        // Not a condition by itself.
        (
            "SELECT f.id FROM left_.public.facts f WHERE f.id < 4 OR (f.k = (SELECT x.a FROM right_.public.few x WHERE x.a = 1000)) IS NULL",
            "facts",
            100_000,
        ),
        // NaN and the zeros.
        ("SELECT f.id FROM left_.public.facts f WHERE f.f >= (SELECT max(x.f) FROM right_.public.few x)", "facts", 100_000),
        ("SELECT f.id FROM left_.public.facts f WHERE f.f = (SELECT -min(x.f) FROM right_.public.few x)", "facts", 100_000),
        ("SELECT t.id FROM left_.public.times t WHERE t.t <= (SELECT max(u.t) FROM right_.public.times u WHERE u.id < 5)", "times", 4),
    ] {
        let sent = s.check(sql, table).await;
        assert!(sent.rows <= most, "{sql}: {} rows for {}", sent.rows, sent.text);
    }
    // More than one row is an error, with and without.
    let e =
        s.client.simple_query("SELECT f.id FROM left_.public.facts f WHERE f.k = (SELECT x.a FROM right_.public.few x)").await.unwrap_err();
    assert_eq!(e.code().unwrap().code(), "21000");
    // A statement that is kept runs its subquery each time.
    let kept = s
        .client
        .prepare("SELECT count(*) FROM left_.public.facts f WHERE f.k = (SELECT max(x.a) FROM right_.public.few x WHERE x.a < $1)")
        .await
        .unwrap();
    for (below, found) in [(2, 20), (500, 20), (0, 0), (3, 20)] {
        let n: i64 = s.client.query_one(&kept, &[&below]).await.unwrap().get(0);
        assert_eq!(n, found, "{below}");
    }
}

/// The scan of `facts` stands below an operator that starts it at once: before the outer join has its keys.
const EARLY: &str = "SELECT f.id, f.note FROM right_.public.one l JOIN (SELECT f.id, m.note FROM left_.public.facts f \
                     JOIN mid_.public.more m ON f.id = m.id WHERE md5(f.note) IS NOT NULL) f ON l.id = f.id";

#[tokio::test]
async fn a_filter_that_is_not_there_yet_is_waited_for() {
    let s = setup().await;
    rows(&s.client, "SET fjord.dynamic_filter_wait = '20s'").await;
    let plan = rows(&s.client, &format!("EXPLAIN {EARLY}")).await.join("\n");
    let early = plan.find("CoalescePartitionsExec").zip(plan.find("\"facts\"")).is_some_and(|(spawns, scan)| spawns < scan);
    assert!(early, "the test is about a scan that is started before its filter is there:\n{plan}");
    s.proxy.latency(Duration::from_millis(150));
    let sent = s.check(EARLY, "facts").await;
    assert!(sent.text.contains("77") && sent.rows <= 1, "{} rows for {}", sent.rows, sent.text);
}

/// TopK and aggregates make their filters better to the end, and never say that one is complete.
#[tokio::test]
async fn a_filter_that_never_completes_is_not_waited_for() {
    let s = setup().await;
    rows(&s.client, "SET fjord.dynamic_filter_wait = '60s'").await;
    for sql in [
        "SELECT f.k FROM left_.public.facts f JOIN right_.public.more m ON f.id = m.id WHERE md5(f.note) IS NOT NULL ORDER BY f.k DESC LIMIT 1",
        "SELECT max(f.k) FROM left_.public.facts f WHERE md5(f.note) IS NOT NULL",
        "SELECT f.k FROM left_.public.facts f WHERE md5(f.note) IS NOT NULL ORDER BY f.k DESC LIMIT 1",
    ] {
        let begun = Instant::now();
        assert_eq!(rows(&s.client, sql).await, ["4999"], "{sql}");
        assert!(begun.elapsed() < Duration::from_secs(40), "{sql}: {:?}", begun.elapsed());
    }
}

/// A plan with a recursive term runs its joins again and again, and DataFusion has them make no filter then. A scan that kept that of the first plan would
/// wait for it in every round.
#[tokio::test]
async fn a_plan_that_runs_again_waits_for_no_filter_of_before() {
    let s = setup().await;
    rows(&s.client, "SET fjord.dynamic_filter_wait = '20s'").await;
    let sql = "WITH RECURSIVE below(id) AS (SELECT 1 UNION ALL SELECT b.id + 1 FROM below b, right_.public.one o \
               JOIN left_.public.facts f ON f.id = o.id WHERE b.id < f.id - 70 AND length(f.note) > b.id - 9) SELECT count(*), max(id) FROM below";
    let plan = rows(&s.client, &format!("EXPLAIN {sql}")).await.join("\n");
    assert!(plan.contains("dynamic_filters=1"), "the test is about a scan with a filter:\n{plan}");
    let begun = Instant::now();
    assert_eq!(rows(&s.client, sql).await, ["7|7"]);
    // Six or seven rounds, each of which would wait.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// DataFusion can read a join's probe side ahead of its build side: before there is a filter.
#[tokio::test]
async fn the_side_that_is_probed_is_not_read_before_the_other() {
    let s = setup().await;
    let sql = "SELECT f.id, f.note FROM right_.public.one l JOIN left_.public.facts f ON l.id = f.id";
    s.check(sql, "facts").await;
    // It does not help to wait: nobody does.
    rows(&s.client, "SET fjord.dynamic_filter_wait = 0").await;
    s.proxy.latency(Duration::from_millis(150));
    let sent = s.check(sql, "facts").await;
    assert!(sent.text.contains("77") && sent.rows <= 1, "{} rows for {}", sent.rows, sent.text);
}

#[tokio::test]
async fn the_wait_for_a_filter_is_bounded() {
    let s = setup().await;
    rows(&s.client, EARLY).await;
    let watcher = s.fjord.client().await.unwrap();
    let sent = "SELECT remote_text FROM sys.remote_queries WHERE tables = 'public.facts' AND remote_text IS NOT NULL ORDER BY query_id";
    let before = rows(&watcher, sent).await.len();
    // The build side does not answer.
    s.proxy.stall(Direction::ToClient, true);
    let begun = Instant::now();
    let query = rows(&s.client, EARLY);
    // After 200 ms the scan is sent without the filter.
    let started = async {
        while rows(&watcher, sent).await.len() == before {
            assert!(begun.elapsed() < Duration::from_secs(30), "never sent");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let started = begun.elapsed();
        s.proxy.stall(Direction::ToClient, false);
        started
    };
    let (found, started) = tokio::join!(query, started);
    assert_eq!(found, ["77|more 77"]);
    assert!(started >= Duration::from_millis(190), "the scan did not wait at all: {started:?}");
    let text = rows(&watcher, sent).await.pop().unwrap();
    assert!(!text.contains("77"), "{text}");
}

/// About 9,000 pages, read in eight ranges, each more than what is read ahead of the consumer.
const PAGES: &str = "CREATE TABLE pages (id int, k int, pad text);
    INSERT INTO pages SELECT i, i % 1000, repeat('x', 700) FROM generate_series(1, 90000) i; VACUUM ANALYZE pages";

impl Setup {
    /// What the summary says of the dynamic filters of the last query over the table.
    async fn told(&self, table: &str) -> String {
        let sql =
            format!("SELECT dynamic_filters FROM sys.pushdown_summary WHERE tables = 'public.{table}' ORDER BY query_id DESC LIMIT 1");
        self.client.query_one(&sql, &[]).await.unwrap().get::<_, Option<String>>(0).unwrap_or_default()
    }
}

#[tokio::test]
async fn the_bound_of_a_topk_goes_with_the_ranges_that_are_read_later() {
    let s = setup_with(PAGES).await;
    rows(&s.client, "SET fjord.max_parallel_reads = 2").await;
    // What stays here keeps the sort here.
    let stays = "md5(pad) IS NOT NULL";
    for (sql, most) in [
        (format!("SELECT id FROM left_.public.pages WHERE {stays} ORDER BY id LIMIT 5"), 50_000),
        (format!("SELECT id, k FROM left_.public.pages WHERE {stays} ORDER BY k NULLS FIRST, id LIMIT 5 OFFSET 2"), 50_000),
        // The best come last: nothing is ruled out, and nothing may be lost.
        (format!("SELECT id FROM left_.public.pages WHERE {stays} ORDER BY id DESC LIMIT 5"), 90_000),
    ] {
        let sent = s.check(&sql, "pages").await;
        assert!(sent.rows <= most, "{} rows for {sql}", sent.rows);
    }
    let found = rows(&s.client, &format!("SELECT id FROM left_.public.pages WHERE {stays} ORDER BY id LIMIT 5")).await;
    assert_eq!(found, ["1", "2", "3", "4", "5"]);
    // Which bound the last range went with is a matter of time.
    assert!(s.told("pages").await.contains("id < Int32("), "{}", s.told("pages").await);
}

#[tokio::test]
async fn a_topk_drops_the_rows_of_a_stream_that_cannot_be_among_the_first() {
    let s = setup().await;
    let stays = "md5(note) IS NOT NULL";
    for (order, told) in [
        ("k, id", true),
        ("k DESC, id DESC", true),
        ("n NULLS FIRST, id", true),
        ("n DESC NULLS LAST, id", true),
        ("n DESC, id", true),
        ("note", true),
        // A sort tells -0.0 from 0.0, a comparison does not: no bounds of floats.
        ("f, id", false),
    ] {
        let sql = format!("SELECT id, n, k FROM left_.public.facts WHERE {stays} ORDER BY {order} LIMIT 9");
        if told {
            s.check(&sql, "facts").await;
        }
        rows(&s.client, &sql).await;
        let dropped = s.told("facts").await.contains("dropped here");
        assert_eq!(dropped, told, "{order}: {}", s.told("facts").await);
    }
    // Below a join: the rows do not reach it.
    let sql =
        "SELECT f.id, f.note, length(w.filler) FROM left_.public.facts f JOIN right_.public.wide w ON f.k = w.k ORDER BY f.id LIMIT 3";
    s.check(sql, "facts").await;
}
