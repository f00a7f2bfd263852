//! `SET fjord.verify = on`: queries whose answers agree pass; a source that answers otherwise each time is named; what cannot be compared is said.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use fjord_harness::{FjordServer, Postgres};
use tokio_postgres::{Client, SimpleQueryMessage};

const NASTY: &str = include_str!("../sources/nasty.sql");

const QUERIES: &[&str] = &[
    "SELECT * FROM src.public.nasty",
    "SELECT id, t FROM src.public.nasty WHERE t = 'abc' OR tnd = 'abc' OR ci = 'abc'",
    "SELECT id FROM src.public.nasty WHERE f8 > 1 AND upper(t) = 'ABC'",
    "SELECT f8, count(*) FROM src.public.nasty GROUP BY f8",
    "SELECT b, sum(i8), avg(n10), min(ten), max(f8) FROM src.public.nasty GROUP BY b",
    "SELECT count(*), count(DISTINCT t) FROM src.public.nasty",
    "SELECT DISTINCT i2, b FROM src.public.nasty",
    "SELECT id, ten FROM src.public.nasty ORDER BY ten DESC NULLS LAST, id LIMIT 20 OFFSET 3",
    "SELECT ten FROM src.public.nasty WHERE i4 > 0 ORDER BY ten",
    "SELECT id FROM src.public.nasty ORDER BY i2 LIMIT 10",
    "SELECT id FROM src.public.nasty LIMIT 7",
    "SELECT a.id, x.id FROM src.public.nasty a JOIN src.public.nasty x ON a.i4 = x.id WHERE a.t < 'b'",
    "SELECT a.id FROM src.public.nasty a LEFT JOIN src.public.nasty x ON a.f8 = x.f8 AND x.id < 20",
    "SELECT id FROM src.public.nasty WHERE id IN (SELECT i4 FROM src.public.nasty) UNION ALL SELECT i4 FROM src.public.nasty",
    "SELECT id, ai, at, iv, jb FROM src.public.nasty",
    "SELECT 1",
];

async fn setup() -> (Postgres, FjordServer, Client) {
    let postgres = Postgres::start().unwrap();
    postgres.psql(NASTY).unwrap();
    postgres.psql("CREATE VIEW dice AS SELECT random() AS x, n FROM generate_series(1, 10) AS n").unwrap();
    let fjord = FjordServer::start().unwrap();
    let client = fjord.client().await.unwrap();
    let options = format!("host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable'", postgres.port());
    client.simple_query(&format!("CREATE CONNECTOR src TYPE postgres OPTIONS ({options})")).await.unwrap();
    (postgres, fjord, client)
}

fn rows(messages: &[SimpleQueryMessage]) -> usize {
    messages.iter().filter(|m| matches!(m, SimpleQueryMessage::Row(_))).count()
}

#[tokio::test]
async fn answers_that_agree_pass_and_those_that_do_not_name_the_table() {
    let (_postgres, fjord, client) = setup().await;
    for sql in QUERIES {
        client.simple_query("SET fjord.verify = off").await.unwrap();
        let plain = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        client.simple_query("SET fjord.verify = on").await.unwrap();
        let verified = client.simple_query(sql).await.unwrap_or_else(|e| panic!("verified, {sql}: {e:?}"));
        assert_eq!(rows(&plain), rows(&verified), "{sql}");
    }
    // By the extended protocol, with a parameter.
    let found = client.query("SELECT id FROM src.public.nasty WHERE i4 = $1 ORDER BY id", &[&42_i32]).await.unwrap();
    assert!(!found.is_empty());

    let e = client.simple_query("SELECT x FROM src.public.dice WHERE n < 5").await.unwrap_err();
    let e = e.as_db_error().unwrap();
    assert_eq!(e.code().code(), "40001", "{e:?}");
    assert!(e.message().contains("src.public.dice"), "{e:?}");
    // What the source computes anew each time is well defined where it is not asked for.
    client.simple_query("SELECT n FROM src.public.dice WHERE n < 5").await.unwrap();

    // The same connection goes on, and so does everything that is refused to be compared: with a notice.
    let seen = fjord
        .psql_script(&["-q", "-A", "-t"], "SET fjord.verify = on;\nSELECT count(*) FROM (SELECT id FROM src.public.nasty LIMIT 10) x;\n")
        .unwrap();
    assert!(seen.contains("10"), "{seen}");
    client.simple_query("SELECT sum(f8) FROM src.public.nasty WHERE f8 < 10").await.unwrap();
}

/// An index that lacks rows: what the source answers through it is wrong, and what it answers from the table is right. It is made by writing rows while the
/// index is marked as not to be kept up.
const DAMAGED: &str = "CREATE TABLE damaged (id int, k int NOT NULL, pad text);
    INSERT INTO damaged SELECT i, i, repeat('x', 100) FROM generate_series(1, 20000) i;
    CREATE INDEX damaged_k ON damaged (k);
    UPDATE pg_index SET indisready = false WHERE indexrelid = 'damaged_k'::regclass;
    INSERT INTO damaged VALUES (20001, 777, 'lost'), (20002, 30000, 'lost'), (20003, -1, 'lost');
    UPDATE pg_index SET indisready = true WHERE indexrelid = 'damaged_k'::regclass;
    ALTER DATABASE postgres SET enable_indexonlyscan = off; VACUUM ANALYZE";

#[tokio::test]
async fn a_source_that_answers_wrongly_is_caught_and_the_part_at_fault_is_named() {
    let (postgres, _fjord, client) = setup().await;
    for statement in DAMAGED.split(';') {
        postgres.psql(statement).unwrap();
    }
    // Read as a whole, the table is read itself: that is a setting of connections that are made from now on.
    let options = format!("host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable'", postgres.port());
    client.simple_query(&format!("CREATE CONNECTOR dmg TYPE postgres OPTIONS ({options})")).await.unwrap();
    for (sql, parts) in [
        ("SELECT id FROM dmg.public.damaged WHERE k = 777", &["filters"][..]),
        ("SELECT count(*) FROM dmg.public.damaged WHERE k = 777", &["filters"]),
        ("SELECT max(k) FROM dmg.public.damaged", &["aggregates or DISTINCT"]),
        ("SELECT k FROM dmg.public.damaged ORDER BY k LIMIT 3", &["sorts", "limits"]),
    ] {
        client.simple_query("SET fjord.verify = off").await.unwrap();
        client.simple_query(sql).await.unwrap();
        client.simple_query("SET fjord.verify = on").await.unwrap();
        let e = client.simple_query(sql).await.expect_err(sql);
        let e = e.as_db_error().unwrap();
        assert_eq!(e.code().code(), "XX001", "{sql}: {e:?}");
        let detail = e.detail().unwrap_or_default();
        let named = detail.split_once("The part at fault: ").map(|(_, p)| p).unwrap_or_default();
        assert!(parts.iter().any(|p| named.starts_with(p)), "{sql}: {detail}");
    }
    // What does not go through the index is right, and passes.
    client.simple_query("SELECT id FROM dmg.public.damaged WHERE id = 20001").await.unwrap();
    client.simple_query("SELECT count(*) FROM dmg.public.damaged").await.unwrap();
}
