//! The catalog's own truths: what psql prints of tables, partitions, enums and views; vectors on the wire; privileges.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod twin;

use std::process::Command;

use common::{Raw, Running};
use twin::{MORE, SHOP, Twin};

fn shop() -> Twin {
    Twin::start(&format!("{SHOP}{MORE}"))
}

/// What psql prints, as a user sees it.
fn psql(port: u16, database: &str, script: &str) -> String {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres", "-d", database, "-v", "ON_ERROR_STOP=1"]);
    let commands = std::iter::once("SET search_path = shop, public").chain(script.lines());
    command.args(commands.flat_map(|c| ["-c", c]));
    let out = command.output().unwrap();
    // An error is an answer too: the other side has none.
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn psql_prints_what_it_prints_of_postgres() {
    let s = shop();
    let mut report = String::new();
    for command in include_str!("clients/twin.psql").lines() {
        let (expected, got) = (psql(s.postgres.port(), "twin", command), psql(s.fjord.port(), "fjord", command));
        if expected != got {
            report.push_str(&format!("{command}\n--- postgres\n{expected}\n--- fjord\n{got}\n"));
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn views_have_the_columns_that_planning_finds() {
    let s = shop();
    s.fjord
        .psql(
            "CREATE VIEW rich AS SELECT u.id, u.email, count(*) AS orders, sum(o.amount) FROM shop.users u JOIN shop.orders o ON o.user_id = u.id GROUP BY 1, 2;
             CREATE VIEW looks AS SELECT attname FROM pg_attribute WHERE attrelid = 'public.looks'::regclass;
             CREATE VIEW text AS SELECT * FROM remote_query('shop', $$SELECT 1 AS one, 'x'::varchar(5) AS v$$);",
        )
        .unwrap();
    let described = |view: &str| s.fjord.psql(&format!("\\d {view}")).unwrap();
    assert_eq!(described("rich").trim(), "id|integer|||\nemail|character varying(80)|||\norders|bigint|||\nsum|double precision|||");
    assert_eq!(described("looks").trim(), "attname|name|||");
    assert_eq!(described("text").trim(), "one|integer|||\nv|character varying(5)|||");
    assert!(s.fjord.psql_script(&[], "\\d+ rich").unwrap().contains("View definition:\nSELECT u.id"), "no definition");
    let listed = "SELECT table_name, column_name, ordinal_position, data_type FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 3";
    let all = s.fjord.psql(listed).unwrap();
    let counts = "SELECT relname, relnatts FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace ORDER BY 1";
    assert_eq!(s.fjord.psql(counts).unwrap().trim(), "looks|1\nrich|4\ntext|2");
    assert!(all.starts_with("looks|attname|1|name\nrich|id|1|integer\n") && all.trim().ends_with("text|v|2|character varying"), "{all}");

    // A view that no longer plans is listed, without columns; the others keep theirs.
    s.postgres.psql("DROP VIEW active; DROP TABLE orders CASCADE").unwrap();
    s.fjord.psql("ALTER CONNECTOR shop REFRESH SCHEMA").unwrap();
    assert_eq!(described("rich").trim(), "");
    assert_eq!(described("looks").trim(), "attname|name|||");
    assert!(s.fjord.psql("\\dv").unwrap().contains("public|rich|view"), "not listed");
}

#[test]
fn a_subquery_over_the_catalog_that_finds_two_rows_is_an_error() {
    let s = shop();
    let two = "ERROR:  more than one row returned by a subquery used as an expression\n";
    for (sql, fails) in [
        // By key, by a part of it, by what is no key, with a condition of one side only.
        ("SELECT (SELECT nspname FROM pg_namespace n WHERE n.oid = c.relnamespace) FROM pg_class c WHERE relname = 'users'", false),
        ("SELECT (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid) FROM pg_class c WHERE relname = 'users'", true),
        (
            "SELECT (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum = 1) FROM pg_class c WHERE relname = 'users'",
            false,
        ),
        (
            "SELECT (SELECT attname FROM pg_attribute a WHERE c.oid = a.attrelid AND attnum IN (1, 2)) FROM pg_class c WHERE relname = 'users'",
            true,
        ),
        (
            "SELECT relname FROM pg_class c WHERE relname = 'users' AND 'x' = (SELECT attname FROM pg_attribute a WHERE attrelid = c.oid)",
            true,
        ),
        (
            "SELECT (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND c.relkind = 'x') FROM pg_class c WHERE relname = 'users'",
            false,
        ),
        // Not asked for the row that would have two.
        ("SELECT (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid) FROM pg_class c WHERE relname = 'nothere'", false),
        (
            "SELECT (SELECT attname FROM pg_attribute a, pg_type t WHERE a.attrelid = c.oid AND t.oid = a.atttypid AND t.typname = 'int4' AND attnum = 1) FROM pg_class c WHERE relname = 'users'",
            false,
        ),
        (
            "SELECT (SELECT typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND attnum > 0) FROM pg_class c WHERE relname = 'users'",
            true,
        ),
    ] {
        let (expected, got) = (psql(s.postgres.port(), "twin", sql), psql(s.fjord.port(), "fjord", sql));
        assert_eq!(got, expected, "{sql}");
        assert_eq!(got == two, fails, "{sql}: {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_sent_as_postgres_sends_them() {
    let s = tokio::task::spawn_blocking(shop).await.unwrap();
    // pg_index of the twin and of Fjord; a prepared statement with text and with binary results.
    let sql =
        "SELECT i.indkey, i.indoption, i.indclass FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = 'amount_pos'";
    let mut answers = vec![];
    for (port, database) in [(s.postgres.port(), "twin"), (s.fjord.port(), "fjord")] {
        let mut raw = Raw::connect(std::net::SocketAddr::from(([127, 0, 0, 1], port))).await;
        raw.startup(0x0003_0000, &[("user", "postgres"), ("database", database)]).await;
        raw.until_ready().await;
        for format in [0, 1] {
            raw.parse("", sql, &[]).bind("", "", &[], &[], &[format]).describe(b'P', "").execute("", 0).sync();
            let all = raw.round().await;
            let shapes = all.iter().find(|m| m.tag == b'T').unwrap().body.clone();
            // The table's OID and the column's number stand in the description too, and differ: only types count.
            let types: Vec<u32> = [22, 22, 30].to_vec();
            let text = String::from_utf8_lossy(&shapes).to_string();
            assert!(text.contains("indkey") && text.contains("indclass"));
            for t in types {
                assert!(shapes.windows(4).any(|w| w == t.to_be_bytes()), "type {t} is not announced");
            }
            answers.push(all.iter().filter(|m| m.tag == b'D').flat_map(|m| m.values()).collect::<Vec<_>>());
        }
    }
    assert_eq!(answers[0], answers[2], "text");
    assert_eq!(answers[1], answers[3], "binary");
    assert_eq!(answers[0][0].as_deref(), Some(b"2 3".as_slice()));
}

#[test]
fn privileges_are_those_of_the_role_at_the_source() {
    let s = shop();
    s.postgres.psql("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA public TO reader; GRANT SELECT ON users TO reader; GRANT SELECT (id) ON orders TO reader").unwrap();
    s.connect("limited", "reader");
    for (question, answer) in [
        ("has_table_privilege('limited.users', 'SELECT')", "t"),
        ("has_table_privilege('limited.users', 'INSERT')", "f"),
        ("has_table_privilege('limited.users', 'INSERT, SELECT')", "t"),
        ("has_table_privilege('limited.items', 'SELECT')", "f"),
        ("has_table_privilege(current_user, 'limited.items', 'SELECT')", "f"),
        ("has_any_column_privilege('limited.items', 'SELECT')", "f"),
        ("has_any_column_privilege('limited.orders', 'SELECT')", "t"),
        ("has_column_privilege('limited.orders', 'id', 'SELECT')", "t"),
        ("has_schema_privilege('limited', 'USAGE')", "t"),
        ("has_schema_privilege('limited', 'CREATE')", "f"),
        ("has_database_privilege('fjord', 'CONNECT')", "t"),
        ("has_table_privilege(0::oid, 'SELECT') IS NULL", "t"),
    ] {
        assert_eq!(s.fjord.psql(&format!("SELECT {question}")).unwrap().trim(), answer, "{question}");
    }
    // What is said to be denied is denied.
    let denied = s.fjord.psql("SELECT * FROM limited.items").unwrap_err().to_string();
    assert!(denied.contains("permission denied"), "{denied}");
    for (missing, state) in
        [("has_table_privilege('nothere', 'SELECT')", "does not exist"), ("has_schema_privilege('nothere', 'USAGE')", "does not exist")]
    {
        assert!(s.fjord.psql(&format!("SELECT {missing}")).unwrap_err().to_string().contains(state), "{missing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_and_settings_are_those_of_the_wire() {
    let running = Running::start().await;
    let client = running.client().await;
    client.simple_query("SET application_name = 'watcher'; SET statement_timeout = '7s'").await.unwrap();
    let one = |sql: &'static str| {
        let client = &client;
        async move { client.query_one(sql, &[]).await.unwrap() }
    };
    let row = one("SELECT application_name, state, query, usename::text, pid = pg_backend_pid() FROM pg_stat_activity WHERE application_name = 'watcher'").await;
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(1), row.get::<_, &str>(3), row.get::<_, bool>(4)),
        ("watcher", "active", "fjord", true)
    );
    assert!(row.get::<_, &str>(2).starts_with("SELECT application_name, state"));
    // A prepared statement sees the sessions of each run, not of its preparation.
    let prepared = client.prepare("SELECT count(*) FROM pg_stat_activity").await.unwrap();
    let before: i64 = client.query_one(&prepared, &[]).await.unwrap().get(0);
    let other = running.client().await;
    other.simple_query("SELECT 1").await.unwrap();
    assert_eq!(client.query_one(&prepared, &[]).await.unwrap().get::<_, i64>(0), before + 1);
    // pg_settings, SHOW and current_setting say the same of every setting.
    let settings = client.query("SELECT name, setting, current_setting(name) FROM pg_settings", &[]).await.unwrap();
    assert!(settings.len() > 20);
    for s in &settings {
        assert_eq!(s.get::<_, &str>(1), s.get::<_, &str>(2), "{}", s.get::<_, &str>(0));
    }
    assert_eq!(one("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'").await.get::<_, &str>(0), "7s");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_ddl_is_remembered() {
    let running = Running::start().await;
    let client = running.client().await;
    let sql = "CREATE CONNECTOR s TYPE postgres OPTIONS (host 'h', user 'u', database 'd') MODE SYNC";
    let count = "SELECT coalesce(sum(count), 0)::bigint FROM sys.unsupported_queries WHERE query LIKE 'CREATE CONNECTOR s%'";
    assert_eq!(client.simple_query(sql).await.unwrap_err().code().unwrap().code(), "0A000");
    assert_eq!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 1);
    assert_eq!(client.execute(sql, &[]).await.unwrap_err().code().unwrap().code(), "0A000");
    assert_eq!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 2);
}

#[test]
fn explain_lists_remote_query_too() {
    let s = shop();
    let sql = "EXPLAIN (PUSHDOWN) SELECT * FROM remote_query('shop', $$SELECT 1 AS one$$) r JOIN shop.users u ON u.id = r.one";
    let out = s.fjord.psql(sql).unwrap();
    assert!(out.lines().any(|l| l.contains("shop|remote_query|") && l.contains("SELECT 1 AS one")), "{out}");
    assert!(out.lines().any(|l| l.contains("\"users\"")), "{out}");
    let ran = s.fjord.psql(&sql.replace("(PUSHDOWN)", "(PUSHDOWN, ANALYZE)")).unwrap();
    assert!(ran.lines().any(|l| l.contains("|remote_query|") && l.contains("SELECT 1 AS one|1|")), "{ran}");
}

/// What pgjdbc 42.5 asks for a type that it does not know, with the type's name in the place of its OID.
#[test]
fn pgjdbc_finds_an_enum() {
    let s = shop();
    let sql = "SELECT typinput='pg_catalog.array_in'::regproc as is_array, typtype, typname, sp.r FROM pg_type
        LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r from pg_namespace as ns
            join (select s.r, (current_schemas(false))[s.r] as nspname
                  from generate_series(1, array_upper(current_schemas(false), 1)) as s(r)) as r using (nspname)) as sp
        ON sp.nspoid = typnamespace WHERE typname = 'mood' ORDER BY sp.r, pg_type.oid DESC";
    assert_eq!(s.fjord.psql(&format!("SET search_path = public, shop; {sql}")).unwrap().trim(), "f|e|mood|2");
}
