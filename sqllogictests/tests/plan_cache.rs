//! Kept plans: the same answers as planning each time, whatever the values, and never a plan that holds no longer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use fjord_harness::{FjordServer, Postgres};
use tokio_postgres::{Client, SimpleQueryMessage};

const NASTY: &str = include_str!("../sources/nasty.sql");

type Rows = Vec<String>;

/// Rows as texts, or the SQLSTATE.
async fn answer(client: &Client, sql: &str) -> Result<Rows, String> {
    let messages = client.simple_query(sql).await.map_err(|e| match e.as_db_error() {
        Some(db) => db.code().code().to_string(),
        None => e.to_string(),
    })?;
    let rows = messages.iter().filter_map(|m| match m {
        SimpleQueryMessage::Row(r) => Some((0..r.len()).map(|i| r.get(i).unwrap_or("NULL")).collect::<Vec<_>>().join("|")),
        _ => None,
    });
    Ok(rows.collect())
}

async fn rows(client: &Client, sql: &str) -> Rows {
    answer(client, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

async fn one(client: &Client, sql: &str) -> String {
    rows(client, sql).await.join(",")
}

/// How the last query that is like this was planned.
async fn plan(client: &Client, like: &str) -> String {
    let sql = format!("SELECT plan FROM sys.queries WHERE query LIKE '{like}' AND query NOT LIKE '%sys.queries%' ORDER BY id DESC LIMIT 1");
    one(client, &sql).await
}

fn connector(postgres: &Postgres, database: &str) -> String {
    format!(
        "CREATE CONNECTOR src TYPE postgres OPTIONS (host '127.0.0.1', port {}, database '{database}', user 'postgres', sslmode 'disable')",
        postgres.port()
    )
}

async fn setup(sql: &str) -> (Postgres, FjordServer, Client) {
    let postgres = Postgres::start().unwrap();
    postgres.psql(sql).unwrap();
    let fjord = FjordServer::start().unwrap();
    let client = fjord.client().await.unwrap();
    rows(&client, &connector(&postgres, "postgres")).await;
    (postgres, fjord, client)
}

const INTEGERS: &[&str] = &["0", "1", "-1", "2", "100", "32767", "-32768", "40000", "2147483647", "2147483648", "9223372036854775807"];
const FLOATS: &[&str] = &["0", "-0", "1.5", "NaN", "Infinity", "-Infinity", "0.1"];
const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "abc",
    "abc ",
    "ABC",
    "\u{e9}",
    "e\u{301}",
    "O'Brien",
    "a\\b",
    "\\",
    "ok",
    "happy",
    "no label",
    "a%b",
    "%",
    "_",
    "\u{65e5}\u{672c}",
    "10",
    "NULL",
];
const INSTANTS: &[&str] = &[
    "2024-02-29 12:00:00",
    "2024-02-29 12:00:00.123456",
    "1969-12-31 23:59:59.999999",
    "infinity",
    "-infinity",
    "0044-03-15 12:00:00 BC",
    "2024-02-29",
];
const DAYS: &[&str] = &["2024-02-29", "1970-01-01", "1969-12-31", "infinity", "-infinity", "0044-03-15 BC"];
const UUIDS: &[&str] =
    &["00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "no uuid"];

/// A column, the type of the parameter that meets it, and values.
const COLUMNS: &[(&str, &str, &[&str])] = &[
    ("b", "boolean", &["true", "false"]),
    ("i2", "smallint", INTEGERS),
    ("i4", "integer", INTEGERS),
    ("i4", "bigint", INTEGERS),
    ("i2", "integer", INTEGERS),
    ("i8", "bigint", INTEGERS),
    ("n10", "numeric", INTEGERS),
    ("f4", "real", FLOATS),
    ("f8", "double precision", FLOATS),
    ("t", "text", TEXTS),
    ("tc", "text", TEXTS),
    ("ten", "text", TEXTS),
    ("tnd", "text", TEXTS),
    ("vc", "varchar", TEXTS),
    ("bp", "text", TEXTS),
    ("ci", "text", TEXTS),
    ("nm", "text", TEXTS),
    ("e", "text", TEXTS),
    ("d", "date", DAYS),
    ("ts", "timestamp", INSTANTS),
    ("tz", "timestamptz", INSTANTS),
    ("u", "uuid", UUIDS),
];

const SHAPES: &[&str] = &[
    "SELECT id FROM src.public.nasty WHERE {c} = $1 ORDER BY id",
    "SELECT id, {c} FROM src.public.nasty WHERE {c} <> $1 AND id < 200 ORDER BY id",
    "SELECT id FROM src.public.nasty WHERE {c} >= $1 OR {c} IS NULL ORDER BY id",
    "SELECT count(*), max(id) FROM src.public.nasty WHERE NOT ({c} < $1)",
    "SELECT id FROM src.public.nasty WHERE {c} IN ($1, $2) ORDER BY id",
    "SELECT n.id FROM src.public.nasty n JOIN src.public.nasty m ON n.id = m.id WHERE n.{c} = $1 ORDER BY 1",
];

#[tokio::test]
async fn parameters_of_all_kinds_find_what_planning_anew_finds() {
    let (_postgres, fjord, kept) = setup(NASTY).await;
    let anew = fjord.client().await.unwrap();
    rows(&anew, "SET fjord.plan_cache = off").await;
    let quoted = |v: &str| format!("'{}'", v.replace('\'', "''"));
    let (mut failures, mut answered, mut kept_plans) = (vec![], 0, 0);
    for (column, ty, values) in COLUMNS {
        for shape in SHAPES {
            let two = shape.contains("$2");
            let types = if two { format!("{ty}, {ty}") } else { ty.to_string() };
            let sql = format!("PREPARE p({types}) AS {}", shape.replace("{c}", column));
            for client in [&kept, &anew] {
                rows(client, &sql).await;
            }
            let mut all: Vec<String> = values.iter().map(|v| quoted(v)).collect();
            all.push("NULL".into());
            for value in &all {
                let execute = if two { format!("EXECUTE p({value}, {})", all[0]) } else { format!("EXECUTE p({value})") };
                let (a, b) = (answer(&kept, &execute).await, answer(&anew, &execute).await);
                answered += usize::from(b.is_ok());
                if a != b {
                    failures.push(format!("{sql}: {execute}\n    kept {a:?}\n    anew {b:?}"));
                }
            }
            for client in [&kept, &anew] {
                rows(client, "DEALLOCATE p").await;
            }
        }
        let how = one(&kept, "SELECT count(*) FROM sys.queries WHERE plan IN ('template', 'cached') AND state = 'finished'").await;
        kept_plans = kept_plans.max(how.parse::<u64>().unwrap());
    }
    for client in [&kept, &anew] {
        rows(client, "PREPARE p(int, bigint, bigint) AS SELECT id, t FROM src.public.nasty WHERE id > $1 ORDER BY id LIMIT $2 OFFSET $3")
            .await;
    }
    for arguments in ["10, 5, 0", "10, 5, 3", "200, 1000, 1", "10, 0, 0", "10, NULL, 0", "10, 5, NULL", "10, -1, 0", "10, 1, -1"] {
        let execute = format!("EXECUTE p({arguments})");
        let (a, b) = (answer(&kept, &execute).await, answer(&anew, &execute).await);
        if a != b {
            failures.push(format!("{execute}\n    kept {a:?}\n    anew {b:?}"));
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(answered > 1_000 && kept_plans > 100, "{answered} answers, at most {kept_plans} by kept plans among the last 1,000 queries");
}

/// Columns, the type of an array of their values, and arrays.
const ARRAYS: &[(&str, &str, &[&str])] = &[
    ("i2", "smallint[]", &["{1,2}", "{1}", "{}", "{NULL}", "{1,NULL}", "{-32768,32767,1,1}"]),
    ("i4", "integer[]", &["{1,2,42}", "{2147483647}", "{}", "{NULL,42}"]),
    ("i4", "bigint[]", &["{1,2,42}", "{9223372036854775807,42}"]),
    ("i8", "bigint[]", &["{1,2,42}", "{9223372036854775807,-9223372036854775808}"]),
    ("t", "text[]", &["{abc,a}", "{\"\",\" \"}", "{\"O'Brien\",\"a\\\\b\",\"x,y\",\"NULL\"}", "{NULL}", "{é,日本}"]),
    ("tnd", "text[]", &["{abc,ABC}"]),
    ("vc", "text[]", &["{abc,ABC,\"abc \"}"]),
    ("bp", "text[]", &["{abc,ABC,\"abc \"}"]),
    ("ci", "text[]", &["{abc,ABC}"]),
    ("e", "text[]", &["{ok,happy}", "{\"no label\"}"]),
    ("u", "uuid[]", &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12}"]),
    ("d", "date[]", &["{2024-02-29,1970-01-01}", "{infinity}"]),
    ("f8", "double precision[]", &["{0,NaN}", "{-0,1.5}"]),
    ("ts", "timestamp[]", &["{2024-02-29 12:00:00,infinity}"]),
];

#[tokio::test]
async fn arrays_and_what_is_computed_from_parameters_find_what_planning_anew_finds() {
    let (_postgres, fjord, kept) = setup(NASTY).await;
    let anew = fjord.client().await.unwrap();
    rows(&anew, "SET fjord.plan_cache = off").await;
    let mut cases: Vec<(String, Vec<String>)> = vec![];
    for (column, ty, values) in ARRAYS {
        for condition in ["{c} = ANY($1)", "id < 200 AND NOT ({c} = ANY($1))", "{c} = ANY($1) OR id = 3"] {
            let condition = condition.replace("{c}", column);
            let sql = format!("PREPARE p({ty}) AS SELECT id FROM src.public.nasty WHERE {condition} ORDER BY id");
            let quoted = values.iter().map(|v| format!("'{}'", v.replace('\'', "''")));
            cases.push((sql, quoted.chain(["NULL".to_string()]).collect()));
        }
    }
    for (types, condition, arguments) in [
        (
            "timestamp, interval",
            "ts > $1 - $2",
            &["'2024-03-01', '1 day'", "'2024-03-31', '1 mon'", "NULL, '1 day'", "'infinity', '1 day'"][..],
        ),
        ("timestamptz, interval", "tz <= $1 + $2", &["'2024-02-28', '1 day 12:00'", "'2024-02-28', NULL"]),
        ("int, int", "i4 = $1 + $2", &["41, 1", "2147483647, 1", "NULL, 1"]),
        ("text, text", "t = $1 || $2", &["'ab', 'c'", "'', ''", "NULL, 'x'"]),
        ("text, int", "vc = left($1, $2)", &["'abcd', 3", "'abc', -1"]),
        ("date, int", "d = $1 + $2", &["'2024-02-28', 1"]),
        ("bigint, bigint", "i8 >= $1 / $2", &["10, 3", "1, 0"]),
    ] {
        let sql = format!("PREPARE p({types}) AS SELECT id FROM src.public.nasty WHERE {condition} ORDER BY id");
        cases.push((sql, arguments.iter().map(ToString::to_string).collect()));
    }
    let (mut failures, mut answered) = (vec![], 0);
    for (sql, arguments) in &cases {
        for client in [&kept, &anew] {
            rows(client, sql).await;
        }
        for values in arguments {
            let execute = format!("EXECUTE p({values})");
            let (a, b) = (answer(&kept, &execute).await, answer(&anew, &execute).await);
            answered += usize::from(b.is_ok());
            if a != b {
                failures.push(format!("{sql}: {execute}\n    kept {a:?}\n    anew {b:?}"));
            }
        }
        for client in [&kept, &anew] {
            rows(client, "DEALLOCATE p").await;
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(answered > 100, "{answered} answers");
    // And that they were kept: each of these is a remote query with other values.
    for (like, sql, execute) in [
        ("%i4 = ANY%", "PREPARE p(int[]) AS SELECT id FROM src.public.nasty WHERE i4 = ANY($1)", "EXECUTE p('{1,42}')"),
        ("%t = ANY%", "PREPARE p(text[]) AS SELECT id FROM src.public.nasty WHERE t = ANY($1)", "EXECUTE p('{a,abc}')"),
        (
            "%ts > $1 -%",
            "PREPARE p(timestamp, interval) AS SELECT id FROM src.public.nasty WHERE ts > $1 - $2",
            "EXECUTE p('2024-03-01', '1 day')",
        ),
        ("%i8 = $1 +%", "PREPARE p(bigint, bigint) AS SELECT id FROM src.public.nasty WHERE i8 = $1 + $2", "EXECUTE p(41, 1)"),
    ] {
        rows(&kept, sql).await;
        rows(&kept, execute).await;
        rows(&kept, execute).await;
        assert_eq!(plan(&kept, like).await, "template", "{sql}");
        rows(&kept, "DEALLOCATE p").await;
    }
}

#[tokio::test]
async fn literals_that_change_find_what_planning_anew_finds() {
    let (_postgres, fjord, kept) = setup(NASTY).await;
    let anew = fjord.client().await.unwrap();
    rows(&anew, "SET fjord.plan_cache = off").await;
    let mut failures = vec![];
    for (column, _, values) in COLUMNS {
        for form in ["= {v}", "<> {v} AND id < 200", "> {v}"] {
            for value in *values {
                let bare = values.as_ptr() == INTEGERS.as_ptr() || *value == "true";
                let literal = if bare { (*value).to_string() } else { format!("'{}'", value.replace('\'', "''")) };
                let sql = format!("SELECT id, {column} FROM src.public.nasty WHERE {column} {} ORDER BY id", form.replace("{v}", &literal));
                let (a, b) = (answer(&kept, &sql).await, answer(&anew, &sql).await);
                // The second time by its own text or by the lifted one.
                let again = answer(&kept, &sql).await;
                if a != b || again != b {
                    failures.push(format!("{sql}\n    kept {a:?}, then {again:?}\n    anew {b:?}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

/// A uuid is a text to DataFusion, so where it compares them itself the spelling counts.
#[tokio::test]
async fn a_value_in_another_spelling_is_found_where_nothing_is_pushed() {
    let (_postgres, _fjord, c) = setup(NASTY).await;
    let by = |value: &str| format!("SELECT id FROM src.public.nasty WHERE u = '{value}'");
    let stored = one(&c, "SELECT u FROM src.public.nasty WHERE u IS NOT NULL AND u::text ~ '[a-f]' ORDER BY id LIMIT 1").await;
    let wanted = rows(&c, &by(&stored)).await;
    assert!(!wanted.is_empty());
    rows(&c, "SET fjord.pushdown = off").await;
    rows(&c, "PREPARE p(uuid) AS SELECT id FROM src.public.nasty WHERE u = $1").await;
    for spelling in [stored.clone(), stored.to_uppercase(), format!("{{{stored}}}"), stored.replace('-', "")] {
        assert_eq!(rows(&c, &by(&spelling)).await, wanted, "{spelling}");
        assert_eq!(rows(&c, &format!("EXECUTE p('{spelling}')")).await, wanted, "{spelling}");
    }
    assert_eq!(answer(&c, &by("no uuid")).await, Err("22P02".into()));
    assert_eq!(answer(&c, "EXECUTE p('no uuid')").await, Err("22P02".into()));
}

const SHOP: &str = "
    CREATE TABLE users (id int PRIMARY KEY, name text, joined timestamptz);
    INSERT INTO users SELECT i, 'user ' || i, timestamptz '2024-01-01 00:00Z' + i * interval '1 hour' FROM generate_series(1, 2000) i;
    CREATE DATABASE other;
    ANALYZE;";

#[tokio::test]
async fn where_the_plan_came_from_is_shown() {
    let (_postgres, _fjord, c) = setup(SHOP).await;
    for (sql, like, expected) in [
        ("SELECT name FROM src.public.users WHERE id = 7", "SELECT name%id = 7", "template"),
        ("SELECT name FROM src.public.users WHERE id = 8", "SELECT name%id = 8", "template"),
        ("SELECT u.name FROM src.public.users u JOIN (VALUES (8)) v(x) ON u.id = v.x", "SELECT u.name%", "cached"),
        ("SELECT name, now() > joined FROM src.public.users WHERE id = 8", "SELECT name, now()%", "planned"),
        ("SELECT name FROM src.public.users WHERE joined < now() AND id = 8", "%joined < now()%", "planned"),
        ("SELECT nspname FROM pg_namespace WHERE oid = 11", "SELECT nspname%", "planned"),
    ] {
        for _ in 0..2 {
            rows(&c, sql).await;
            assert_eq!(plan(&c, like).await, expected, "{sql}");
        }
    }
    // What shows the moment shows it each time.
    let (first, second) = (one(&c, "SELECT max(id) FROM sys.queries").await, one(&c, "SELECT max(id) FROM sys.queries").await);
    assert_ne!(first, second);
    let (first, second) = (one(&c, "SELECT now()").await, one(&c, "SELECT now()").await);
    assert_ne!(first, second);
    rows(&c, "SET fjord.plan_cache = off").await;
    assert_eq!(one(&c, "SELECT name FROM src.public.users WHERE id = 8").await, "user 8");
    assert_eq!(plan(&c, "SELECT name%id = 8").await, "planned");
}

#[tokio::test]
async fn a_kept_plan_follows_settings() {
    let (_postgres, _fjord, c) = setup(SHOP).await;
    let day = "SELECT date_trunc('day', joined) FROM src.public.users WHERE id = 23";
    let lookup = "SELECT name FROM src.public.users WHERE id = 23";
    rows(&c, "PREPARE p AS SELECT date_trunc('day', joined) FROM src.public.users WHERE id = $1").await;
    for _ in 0..2 {
        for (zone, expected) in [
            ("UTC", "2024-01-01 00:00:00+00"),
            ("Europe/Stockholm", "2024-01-02 00:00:00+01"),
            ("America/New_York", "2024-01-01 00:00:00-05"),
        ] {
            rows(&c, &format!("SET TimeZone = '{zone}'")).await;
            assert_eq!(one(&c, day).await, expected, "{zone}");
            assert_eq!(one(&c, "EXECUTE p(23)").await, expected, "{zone}");
        }
        let texts = "SELECT r.remote_text FROM sys.remote_queries r JOIN sys.queries q ON q.id = r.query_id WHERE q.query LIKE 'SELECT name%id = 23' ORDER BY q.id DESC LIMIT 1";
        for pushdown in ["on", "off"] {
            rows(&c, &format!("SET fjord.pushdown = {pushdown}")).await;
            assert_eq!(one(&c, lookup).await, "user 23");
            assert_eq!(one(&c, texts).await.contains("WHERE"), pushdown == "on", "pushdown {pushdown}: {}", one(&c, texts).await);
        }
        rows(&c, "SET fjord.pushdown = on").await;
    }
    // A bare name is another table under another path.
    rows(&c, "CREATE VIEW public.users AS SELECT 'a view' AS name, 23 AS id").await;
    for _ in 0..2 {
        for (path, expected) in [("public", "a view"), ("src", "user 23")] {
            rows(&c, &format!("SET search_path = {path}")).await;
            assert_eq!(one(&c, "SELECT name FROM users WHERE id = 23").await, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn a_kept_plan_follows_the_catalog() {
    let (postgres, _fjord, c) = setup(SHOP).await;
    postgres
        .psql_in("other", "CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users VALUES (5, 'another'); ANALYZE")
        .unwrap();
    let lookup = "SELECT name FROM src.public.users WHERE id = 5";
    rows(&c, "PREPARE p AS SELECT name FROM src.public.users WHERE id = $1").await;
    let both = async |expected: Result<&str, &str>| {
        let expected = expected.map(|r| vec![r.to_string()]).map_err(str::to_string);
        for sql in [lookup, "EXECUTE p(5)"] {
            for _ in 0..2 {
                assert_eq!(answer(&c, sql).await, expected, "{sql}");
            }
        }
    };
    both(Ok("user 5")).await;
    rows(&c, "ALTER CONNECTOR src PAUSE").await;
    both(Err("55000")).await;
    rows(&c, "ALTER CONNECTOR src RESUME").await;
    both(Ok("user 5")).await;
    rows(&c, "ALTER CONNECTOR src SET (database 'other')").await;
    both(Ok("another")).await;
    rows(&c, "ALTER CONNECTOR src SET (database 'postgres')").await;
    both(Ok("user 5")).await;
    // The type of the key: the lifted parameter is of another type, the statement's keeps its own.
    postgres.psql("ALTER TABLE users ALTER id TYPE bigint").unwrap();
    rows(&c, "ALTER CONNECTOR src REFRESH SCHEMA").await;
    both(Ok("user 5")).await;
    postgres.psql("ALTER TABLE users ALTER name TYPE varchar(3) USING 'x'").unwrap();
    rows(&c, "ALTER CONNECTOR src REFRESH SCHEMA").await;
    assert_eq!(one(&c, lookup).await, "x");
    // As in PostgreSQL: what the client was told of the columns is no longer so.
    assert_eq!(answer(&c, "EXECUTE p(5)").await, Err("0A000".into()));
    rows(&c, "CREATE VIEW v AS SELECT name FROM src.public.users WHERE id = 5").await;
    assert_eq!(one(&c, "SELECT name FROM v WHERE name = 'x'").await, "x");
    rows(&c, "CREATE OR REPLACE VIEW v AS SELECT name FROM src.public.users WHERE id < 3").await;
    assert_eq!(rows(&c, "SELECT name FROM v WHERE name = 'x'").await.len(), 2);
    rows(&c, "DROP VIEW v").await;
    rows(&c, "DROP CONNECTOR src").await;
    assert_eq!(answer(&c, lookup).await, Err("3D000".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_look_up_while_the_schema_is_read_again() {
    let (_postgres, fjord, c) = setup(SHOP).await;
    let mut sessions = vec![];
    for n in 0..6 {
        let client = fjord.client().await.unwrap();
        sessions.push(tokio::spawn(async move {
            let statement = client.prepare("SELECT name FROM src.public.users WHERE id = $1").await.unwrap();
            for i in 0..20 {
                let id = (n * 251 + i * 7) % 2000 + 1;
                let expected = format!("user {id}");
                assert_eq!(one(&client, &format!("SELECT name FROM src.public.users WHERE id = {id}")).await, expected);
                let row = client.query_one(&statement, &[&id]).await.unwrap();
                assert_eq!(row.get::<_, String>(0), expected);
                assert_eq!(one(&client, &format!("SELECT id FROM src.public.users WHERE name = 'user {id}'")).await, id.to_string());
            }
        }));
    }
    while sessions.iter().any(|s| !s.is_finished()) {
        rows(&c, "ALTER CONNECTOR src REFRESH SCHEMA").await;
        tokio::task::yield_now().await;
    }
    for s in sessions {
        s.await.unwrap();
    }
}
